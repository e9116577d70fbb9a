"""Replay the author's run c3-reg-full with other roundings than ours (takes minutes).

python tests/rounding.py               in longdouble arithmetic, 80 bits on x86
python tests/rounding.py float64       in float64, with NumPy's operators instead of BLAS calls
python tests/rounding.py 1 2 4 8 16    the replay with sums in 1, 2, ... interleaved parts
python tests/rounding.py blas          the replay with Dense, with the sums of the local BLAS

The first two are written from chapter 2 alone; they use only the author's draws and the data of
nndl. They print the difference to the published values for every epoch, and exit with status 1 if
a test count differs.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from nndl import Network, load_mnist
from nndl.data import Dataset
from nndl.reproduction.published import published
from nndl.reproduction.replay import REPLAYS, AuthorsRandom, replay
from nndl.reproduction.rounding import RoundedDense
from nndl.threads import one_thread

NAME = "c3-reg-full"
[RUN] = REPLAYS[NAME].runs
KEYS = ("evaluation_cost", "evaluation_correct", "training_cost", "training_correct")
M = 10  # images in a mini-batch
Matrix = NDArray[np.floating]


def main(dtype: type) -> int:
    """Replay in NumPy's arithmetic of a dtype; return the exit status."""
    if np.finfo(dtype).eps > np.finfo(np.float64).eps:
        raise SystemExit(f"expected a dtype of at least 64 bits, not {dtype.__name__}: use float64")
    print(f"{NAME} with a rounding of {float(np.finfo(dtype).eps):.1e}")
    training, _, test = load_mnist(dtype=np.uint8)
    authors, net = AuthorsRandom(), Network([784, REPLAYS[NAME].hidden, 10], dtype=np.float64)
    authors.draw(net, large=False)
    authors.draw(net, large=True)
    w, b = ([p.astype(dtype) for p in parameters] for parameters in (net.weights, net.biases))
    images, one_hot = training.images.astype(dtype) / 256, np.eye(10, dtype=dtype)
    order = list(range(len(training)))
    step, decay = dtype(RUN.eta) / M, dtype(RUN.eta) * dtype(RUN.lmbda) / len(training)
    theirs = published()[NAME]["curves"][""]
    curves: dict[str, list[float]] = {key: [] for key in KEYS}
    print("ours - published: test cost, count; training cost, count; smallest margin of an image")
    for epoch in range(RUN.epochs):
        authors.shuffle(order)
        for start in range(0, len(order), M):
            batch = order[start : start + M]
            x, y = images[batch].T, one_hot[training.labels[batch]].T
            hidden, a = feedforward(w, b, x)
            delta = a - y  # BP1 for the cross-entropy
            below = (w[1].T @ delta) * hidden * (1 - hidden)  # BP2
            for l, (d, inputs) in enumerate([(below, x), (delta, hidden)]):
                b[l] = b[l] - step * d.sum(axis=1, keepdims=True)  # BP3
                w[l] = (1 - decay) * w[l] - step * (d @ inputs.T)  # BP4
        for key, data in (("evaluation", test), ("training", training)):
            cost, correct, nearest = measure(w, b, data)
            curves[f"{key}_cost"].append(cost)
            curves[f"{key}_correct"].append(correct)
        off = [curves[key][epoch] - theirs[key][epoch] for key in KEYS]
        print("epoch {:2}: {:+.1e} {:+d}   {:+.1e} {:+d}   {:.1e}".format(epoch, *off, nearest))
        sys.stdout.flush()
    distances = {key: np.abs(np.subtract(curves[key], theirs[key])) for key in KEYS}
    counts = np.concatenate([distances[key] for key in KEYS if "correct" in key])
    costs = max(distances[key].max() for key in KEYS if "cost" in key)
    print(f"{counts.size} counts, {np.count_nonzero(counts)} differ; costs by up to {costs:.1e}")
    return int(curves["evaluation_correct"] != theirs["evaluation_correct"])


def replayed(parts: str) -> None:
    """Replay with sums in a number of parts, or by "blas"; print the counts that differ."""
    if parts == "blas":
        REPLAYS[NAME] = replace(REPLAYS[NAME], rounded=False)
        print([library.get("architecture") for library in threadpool_info()])
    else:
        RoundedDense.parts = int(parts)
    ours, theirs = replay(NAME)[""], published()[NAME]["curves"][""]
    off = [
        f"{key} of epoch {epoch} by {difference:+}"
        for key in KEYS
        if "correct" in key
        for epoch, difference in enumerate(np.subtract(ours[key], theirs[key]))
        if difference
    ]
    print(f"{parts}: {', '.join(off) or 'no count differs'}", flush=True)


def feedforward(w: list[Matrix], b: list[Matrix], x: Matrix) -> tuple[Matrix, Matrix]:
    """Return the outputs of the hidden and of the last layer, one column per image."""
    hidden = 1 / (1 + np.exp(-(w[0] @ x + b[0])))
    return hidden, 1 / (1 + np.exp(-(w[1] @ hidden + b[1])))


def measure(w: list[Matrix], b: list[Matrix], data: Dataset) -> tuple[float, int, float]:
    """Return the cost, the number of correct images, and the smallest margin of an image."""
    a = feedforward(w, b, data.images.T.astype(w[0].dtype) / 256)[1]
    own = data.labels == np.arange(10)[:, None]
    with np.errstate(divide="ignore"):
        costs = -np.log(np.where(own, a, 1 - a)).sum(axis=0)
    weights = sum(np.square(matrix).sum() for matrix in w)
    cost = costs.mean() + a.dtype.type(RUN.lmbda) / 2 / len(data) * weights
    distance = a.max(axis=0, where=own, initial=0) - a.max(axis=0, where=~own, initial=0)
    return float(cost), int((a.argmax(axis=0) == data.labels).sum()), float(abs(distance).min())


if __name__ == "__main__":
    if sys.argv[1:] and "float64" not in sys.argv:
        for argument in sys.argv[1:]:
            replayed(argument)
        sys.exit()
    with one_thread(), np.errstate(over="ignore"):
        sys.exit(main(np.dtype(sys.argv[1] if len(sys.argv) > 1 else "longdouble").type))
