"""Chapter 4's networks set by hand, and chapter 3's single neuron."""

from __future__ import annotations

import numpy as np
import pytest

from nndl.costs import cross_entropy
from nndl.reproduction.chapter4 import (
    average_deviation,
    best_heights,
    bumps,
    saturation,
    step,
    target,
    tower,
    towers,
)

FIFTHS = [(i / 5, (i + 1) / 5) for i in range(5)]


def test_a_step_is_at_minus_b_over_w() -> None:
    net = step(0.4)
    np.testing.assert_allclose(net(np.array([[0.39, 0.4, 0.41]]))[0], [0, 0.5, 1], atol=1e-4)
    assert net.biases[0].item() == -400


def test_a_bump_has_its_height_inside_its_interval_and_0_outside() -> None:
    net = bumps([(0.4, 0.6)], [0.8])
    np.testing.assert_allclose(net(np.array([[0.3, 0.5, 0.7]]))[0], [0, 0.8, 0], atol=1e-9)


def test_the_best_heights_minimize_the_deviation_of_five_bumps() -> None:
    net = bumps(FIFTHS, best_heights())
    assert average_deviation(net) == pytest.approx(0.372, abs=0.001)
    np.testing.assert_allclose(best_heights(), [-1.243, -1.423, -0.341, -0.983, 1.143], atol=0.03)
    for i in range(5):
        moved = best_heights()
        moved[i] += 0.1
        assert average_deviation(bumps(FIFTHS, moved)) > average_deviation(net)


def test_more_bumps_deviate_less() -> None:
    def deviation(n: int) -> float:
        edges = [(i / n, (i + 1) / n) for i in range(n)]
        return average_deviation(bumps(edges, best_heights(n), w=10_000))

    assert deviation(5) > deviation(10) > deviation(20) > deviation(50)


def test_the_target_is_equation_113() -> None:
    grid = target(np.arange(101) / 100)
    assert grid.min() == pytest.approx(0.0967, abs=1e-4)
    assert grid.max() == pytest.approx(0.8528, abs=1e-4)


def test_a_tower_is_1_over_its_rectangle_and_0_elsewhere() -> None:
    net = tower((0.4, 0.6), (0.3, 0.7))
    points = np.array([[0.5, 0.5, 0.1, 0.1], [0.5, 0.1, 0.5, 0.1]])
    np.testing.assert_allclose(net(points)[0], [1, 0, 0, 0], atol=0.01)


def test_two_towers_have_their_own_heights() -> None:
    net = towers([((0.1, 0.2), (0.8, 0.9)), ((0.7, 0.8), (0.2, 0.3))], [0.7, 0.5])
    points = np.array([[0.15, 0.75, 0.5], [0.85, 0.25, 0.5]])
    np.testing.assert_allclose(net(points)[0], [0.7, 0.5, 0], atol=0.01)


def test_the_saturating_neuron_with_the_quadratic_cost() -> None:
    easy, costs = saturation(0.6, 0.9)
    np.testing.assert_allclose(
        easy[[0, 50, 100, 150, 300]], [0.8176, 0.387, 0.211, 0.1527, 0.094], atol=1e-4
    )
    np.testing.assert_allclose(costs[[0, 300]], [0.3342, 0.00441], atol=1e-4)
    hard, _ = saturation(2.0, 2.0)
    np.testing.assert_allclose(hard[[0, 150, 300]], [0.982, 0.933, 0.203], atol=1e-3)


def test_the_saturating_neuron_with_the_cross_entropy() -> None:
    hard, _ = saturation(2.0, 2.0, cross_entropy)
    np.testing.assert_allclose(
        hard[[50, 100, 150, 300]], [0.0985, 0.0411, 0.0257, 0.012], atol=1e-4
    )
    slow, _ = saturation(2.0, 2.0, cross_entropy, eta=0.005)
    np.testing.assert_allclose(slow[[150, 300]], [0.9282, 0.7796], atol=1e-4)
