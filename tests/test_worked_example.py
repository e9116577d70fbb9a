"""The worked 2-2-1 network without biases, and a hidden gradient that only broadcasts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from nndl._typing import Array
from nndl.costs import quadratic
from nndl.differences import gradient_check
from nndl.initializers import zeros
from nndl.layers import Dense
from nndl.network import Network
from nndl.step import Step

X, Y = np.array([[0.35], [0.9]]), np.array([[0.5]])
W0, W1 = [[0.1, 0.8], [0.4, 0.6]], [[0.3, 0.9]]

COSTS = {
    0: 0.01810390383656677,
    1: 0.016565382326770402,
    2: 0.015126955254447882,
    99: 3.266878922007038e-07,
}
W0_AFTER_100 = [[0.09949729, 0.79870731], [0.35650028, 0.48814358]]
W1_AFTER_100 = [[-0.30047225, 0.32533603]]

SLIPPED_COSTS = {0: 0.01810390383656677, 1: 0.01652628079547517, 99: 5.929448176860616e-07}
SLIPPED_W0_AFTER_100 = [[0.0993309, 0.6425254], [0.3993309, 0.4425254]]


class Slipped(Dense):
    """A hidden layer that takes nabla_a of its two outputs as a row, not as a column.

    Row times column broadcasts to (2, 2), and so does the update of the weights: nothing fails.
    """

    def delta(self, nabla_a: Array) -> Array:
        return nabla_a.T * self.activation.prime(self.a)

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        nabla_w = np.broadcast_to(self.x.T @ delta, self.w.shape)
        return np.zeros_like(self.b), nabla_w

    def update(self, delta: Array, step: Step) -> None:
        self.w += step.alpha * self.gradient(delta)[1]


def example(hidden: type[Dense] = Dense) -> Network:
    layers = [hidden(2, init=zeros), Dense(1, init=zeros)]
    net = Network(layers, cost=quadratic, input_shape=2, dtype=np.float64)
    net.weights[0][...] = W0
    net.weights[1][...] = W1
    return net


def costs_of_training(net: Network, iterations: int = 100) -> list[float]:
    """Take steps of eta = 1, with biases kept at 0; return the cost before each step."""
    costs = []
    for _ in range(iterations):
        costs.append(0.5 * float(np.square(net(X) - Y).sum()))
        net.update_mini_batch(X, Y, 1.0)
        for b in net.biases:
            b[...] = 0
    return costs


def test_the_cost_falls_as_worked_out_by_hand() -> None:
    costs = costs_of_training(example())
    for iteration, cost in COSTS.items():
        assert costs[iteration] == pytest.approx(cost, rel=0, abs=1e-12)


def test_the_weights_after_100_steps_are_those_worked_out_by_hand() -> None:
    net = example()
    costs_of_training(net)
    np.testing.assert_allclose(net.weights[0], W0_AFTER_100, rtol=0, atol=5e-9)
    np.testing.assert_allclose(net.weights[1], W1_AFTER_100, rtol=0, atol=5e-9)


def test_the_first_gradient_is_the_chain_rule_step_by_step() -> None:
    def sigma(z: float) -> float:
        return 1 / (1 + np.exp(-z))

    h1, h2 = sigma(0.1 * 0.35 + 0.8 * 0.9), sigma(0.4 * 0.35 + 0.6 * 0.9)
    a = sigma(0.3 * h1 + 0.9 * h2)
    out = (a - 0.5) * a * (1 - a)
    hidden = [out * 0.3 * h1 * (1 - h1), out * 0.9 * h2 * (1 - h2)]
    nabla_b, (nabla_w0, nabla_w1) = example().backprop(X, Y)
    np.testing.assert_allclose(nabla_w1, [[out * h1, out * h2]], rtol=1e-14)
    np.testing.assert_allclose(nabla_w0, [[d * 0.35, d * 0.9] for d in hidden], rtol=1e-14)
    np.testing.assert_allclose(nabla_b[0][:, 0], hidden, rtol=1e-14)


def test_the_cost_falls_despite_the_slip() -> None:
    net = example(Slipped)
    costs = costs_of_training(net)
    for iteration, cost in SLIPPED_COSTS.items():
        assert costs[iteration] == pytest.approx(cost, rel=0, abs=1e-12)
    assert all(after < before for before, after in pairwise(costs))
    np.testing.assert_allclose(net.weights[0], SLIPPED_W0_AFTER_100, rtol=0, atol=5e-8)


def test_the_gradient_check_finds_the_slip() -> None:
    assert gradient_check(example(), X, Y) < 1e-7
    assert gradient_check(example(Slipped), X, Y) > 0.1


def test_the_slip_is_in_the_hidden_layer_only() -> None:
    right, slipped = (example(kind).backprop(X, Y)[1] for kind in (Dense, Slipped))
    np.testing.assert_array_equal(slipped[1], right[1])
    assert np.abs(slipped[0] / right[0] - 1).min() > 0.05
    np.testing.assert_array_equal(slipped[0][0], slipped[0][1])  # the same row for both neurons


@pytest.mark.parametrize(
    ("x", "y"),
    [(X.T, Y), (X[:, 0], Y), (X, Y[0]), (X, np.ones((2, 1))), (X, np.array(0.5))],
    ids=["a row", "a vector", "y a vector", "two outputs", "y a number"],
)
def test_shapes_that_would_only_broadcast_raise_value_error(x: Array, y: Array) -> None:
    for act in (example().backprop, lambda x, y: example().update_mini_batch(x, y, 1.0)):
        with pytest.raises(ValueError, match=r"must (be numbers of|have the) shape .* of shape \("):
            act(x, y)
