"""Exercises of the book that ask for numbers or for code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from nndl.activations import identity, relu
from nndl.book import network
from nndl.costs import quadratic
from nndl.initializers import Initializer, default, he
from nndl.network import Network as Core

ROOT = Path(__file__).parents[2]


def test_four_neurons_write_the_digit_in_binary() -> None:
    """Chapter 1: the bit is 1 where the digits that have it outweigh those that have not."""
    net = network.Network([10, 4])
    has_bit = np.array([[digit >> bit & 1 for digit in range(10)] for bit in range(4)])
    net.weights, net.biases = [20.0 * has_bit - 10], [np.zeros((4, 1))]
    for digit in range(10):
        for others in (0.0, 0.01):  # the worst that the exercise allows
            a = np.full((10, 1), others)
            a[digit] = 0.99
            assert np.array_equal(net.feedforward(a).ravel() > 0.5, has_bit[:, digit])


def test_the_width_of_the_range_in_which_a_gradient_does_not_shrink() -> None:
    """Chapter 5: |w sigma'(wa + b)| >= 1 on a range of a no wider than 0.45, at w = 6.9."""
    a = np.linspace(-0.5, 0.5, 20_001)
    w = np.arange(3.5, 12, 0.1)
    width = np.array([(np.abs(v * network.sigmoid_prime(v * a)) >= 1).mean() for v in w])
    assert not width[w < 3.95].any()
    assert width.max() == pytest.approx(0.4477, abs=2e-4)
    assert w[width.argmax()] == pytest.approx(6.9, abs=0.25)


def test_a_sigmoid_neuron_can_reproduce_its_input() -> None:
    """Chapter 5: with a small w_1, w_2 sigma(w_1 (x - 1/2)) is x, but for a constant."""
    w_1 = 0.01
    w_2 = 1 / (w_1 * network.sigmoid_prime(0.0))
    net = network.Network([1, 1])
    net.weights, net.biases = [[[w_1]]], [[[-w_1 / 2]]]
    x = np.linspace(0, 1, 11)
    outputs = w_2 * np.array([net.feedforward([[value]])[0, 0] for value in x])
    np.testing.assert_allclose(outputs - w_2 / 2 + 0.5, x, atol=1e-5)


def test_rectified_outputs_grow_by_c_to_the_number_of_layers() -> None:
    """Chapter 6: what all weights of a rectified network, times c, do to its outputs."""
    net = Core([5, 4, 4, 3], cost=quadratic, activation=relu, init=he, rng=0, dtype=np.float64)
    x = np.random.default_rng(1).random((5, 7))
    for b in net.biases:
        b[...] = 0
    before = net(x)
    for w in net.weights:
        w *= 3
    np.testing.assert_allclose(net(x), 3**3 * before)
    assert before.max() > 0


@pytest.mark.parametrize(("init", "least", "most"), [(he, 0.3, 3), (default, 0, 0.2)])
def test_rectified_gradients_keep_their_size_with_he_initialization(
    init: Initializer, least: float, most: float
) -> None:
    """Chapter 6: half of the neurons are silent, which N(0, 2/n_in) makes good, and 1/n_in not."""
    net = Core([100] * 12, cost=quadratic, activation=relu, output=identity, init=init, rng=0)
    for b in net.biases:
        b[...] = 0
    rng = np.random.default_rng(1)
    nabla_b, _ = net.backprop(rng.standard_normal((100, 50)), rng.standard_normal((100, 50)))
    assert least < np.linalg.norm(nabla_b[0]) / np.linalg.norm(nabla_b[-2]) < most


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "book.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)`: `(test_\w+)`", page)
    assert len(named) >= 9
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), (path, test)
