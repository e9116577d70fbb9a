"""Chapter 2 of the book on MNIST: check the gradient, take a step by hand, then train.

Run ``python examples/chapter2.py``. It takes a few seconds and raises if the network classifies
less than 95 % of the test images correctly. Symbols and equation numbers are the book's.
"""

from __future__ import annotations

import numpy as np

from nndl import Dataset, Network, evaluate, gradient_check, load_mnist, quadratic


def step_by_hand(net: Network, x: np.ndarray, y: np.ndarray, eta: float) -> None:
    """Take one step of gradient descent on the mini-batch x, y: equations (20) and (21)."""
    nabla_b, nabla_w = net.backprop(x, y)  # BP1 to BP4, averaged over the mini-batch
    for w, dw in zip(net.weights, nabla_w, strict=True):
        w -= eta * dw  # in place: net.weights are the arrays that the network computes with
    for b, db in zip(net.biases, nabla_b, strict=True):
        b -= eta * db


def learn_digits(training: Dataset, test: Dataset, epochs: int = 10, required: float = 0.95) -> int:
    """Train [n_in, 30, 10] and return how many test images it classifies correctly.

    Raises
    ------
    ArithmeticError
        If backpropagation disagrees with finite differences, if the library's step disagrees with
        the step by hand, or if the accuracy on the test set is below ``required``.
    """
    net = Network([training.images.shape[1], 30, 10], cost=quadratic, rng=1)
    print(net)

    # Data comes in rows, one image each. The mathematics runs in columns, one example each.
    x, y = training.images[:10].T, training.labels[:10]
    error = gradient_check(net, x, y)
    print(f"backpropagation against finite differences: relative error {error:.0e}")
    if error > 1e-6:
        raise ArithmeticError(f"the gradient must agree to 1e-6, but its error is {error:.1e}")

    by_hand, by_library = net.astype(np.float64), net.astype(np.float64)
    step_by_hand(by_hand, x, y, eta=2.0)
    by_library.update_mini_batch(x, y, eta=2.0)
    pairs = zip(by_hand.parameters, by_library.parameters, strict=True)
    distance = max(np.abs(p - q).max() for p, q in pairs)
    print(f"a step by hand against update_mini_batch: largest difference {distance:.0e}")
    if distance > 1e-12:
        raise ArithmeticError(f"the two steps must agree to 1e-12, but differ by {distance:.1e}")

    for epoch in net.sgd(training, epochs, mini_batch_size=10, eta=2.0, rng=1):
        score = evaluate(net, test)
        print(f"Epoch {epoch}: {score.correct} / {score.n}")
    if score.accuracy < required:
        raise ArithmeticError(
            f"expected {100 * required:g} % or more on {test.name}, but got "
            f"{100 * score.accuracy:.2f} %; check eta, the epochs and the data"
        )
    return score.correct


if __name__ == "__main__":
    training, _, test = load_mnist()
    learn_digits(training, test)
