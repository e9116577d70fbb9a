"""Networks set by hand: chapter 4's steps, bumps and towers, and chapter 3's single neuron."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from nndl.activations import Activation, identity, sigmoid
from nndl.costs import Cost, quadratic
from nndl.initializers import zeros
from nndl.network import Network

__all__ = [
    "average_deviation",
    "best_heights",
    "bumps",
    "goal",
    "saturation",
    "step",
    "target",
    "tower",
    "towers",
]

STEEP = 1000.0  # the weight that turns a sigmoid into a step
Floats = NDArray[np.float64]
Interval = tuple[float, float]
GRID = np.arange(100) / 100


def step(s: float, w: float = STEEP) -> Network:
    """Return a neuron sigma(w x + b) with its step at x = s, so that b = -w s."""
    net = _empty([1, 1], sigmoid)
    net.weights[0][...], net.biases[0][...] = w, -w * s
    return net


def bumps(edges: Sequence[Interval], heights: Sequence[float], w: float = STEEP) -> Network:
    """Return a network with one input whose weighted output is a sum of bumps.

    Each bump is a pair of step neurons, at the ends of its interval, with output weights h and -h.
    The output neuron is linear; sigma of its output is the output of the book's network.
    """
    net = _empty([1, 2 * len(edges), 1])
    net.weights[0][...] = w
    net.biases[0][:, 0] = -w * np.ravel(edges)
    net.weights[1][0] = np.ravel([(h, -h) for h in heights])
    return net


def target(x: Floats) -> Floats:
    """Return the function that chapter 4 approximates, equation (113), for x in [0, 1]."""
    return 0.2 + 0.4 * x**2 + 0.3 * x * np.sin(15 * x) + 0.05 * np.cos(50 * x)


def goal(x: Floats) -> Floats:
    """Return the weighted output for which the output is `target`."""
    result: Floats = logit(target(x))
    return result


def best_heights(n: int = 5) -> Floats:
    """Return the heights of n bumps of equal width with the smallest `average_deviation`.

    The median minimizes the mean absolute deviation from a constant. n must divide 100.
    """
    heights: Floats = np.median(goal(GRID).reshape(n, -1), axis=1)
    return heights


def average_deviation(net: Network) -> float:
    """Return the mean of |weighted output - goal|, the score of chapter 4's interactive page.

    The goal is taken at 0, 0.01, ..., 0.99; the network at the middle of each of these intervals,
    away from the steps.
    """
    return float(np.abs(net(GRID[None] + 0.005)[0] - goal(GRID)).mean())


def tower(x: Interval, y: Interval, h: float = 10.0, w: float = STEEP) -> Network:
    """Return a network with inputs x and y that is near 1 over a rectangle and near 0 elsewhere.

    An x bump and a y bump of height h add up to 2h over the rectangle and to h or 0 elsewhere; the
    output neuron's bias -3h/2 separates the two.
    """
    return towers([(x, y)], [1.0], h, w, readout=False)


def towers(
    places: Sequence[tuple[Interval, Interval]],
    heights: Sequence[float],
    h: float = 10.0,
    w: float = STEEP,
    *,
    readout: bool = True,
) -> Network:
    """Return a network whose linear output neuron gives a weighted sum of towers.

    Without ``readout`` the outputs are the towers themselves, one neuron for each.
    """
    k = len(places)
    net = _empty([2, 4 * k, k, 1]) if readout else _empty([2, 4 * k, k], sigmoid)
    w1, w2 = net.weights[:2]
    for i, (x, y) in enumerate(places):
        rows = slice(4 * i, 4 * i + 4)
        w1[rows] = [[w, 0], [w, 0], [0, w], [0, w]]
        net.biases[0][rows, 0] = [-w * edge for edge in (*x, *y)]
        w2[i, rows] = [h, -h, h, -h]
        net.biases[1][i] = -1.5 * h
    if readout:
        net.weights[2][0] = heights
    return net


def saturation(
    w: float, b: float, cost: Cost = quadratic, eta: float = 0.15, epochs: int = 300
) -> tuple[Floats, Floats]:
    """Train one sigmoid neuron to map 1 to 0, by gradient descent (chapter 3's first example).

    Returns
    -------
    outputs, costs : ndarray, shape (epochs + 1,)
        Before the first epoch and after each epoch.
    """
    net = Network([1, 1], cost=cost, dtype=np.float64, output=sigmoid)
    net.weights[0][...], net.biases[0][...] = w, b
    x, y = np.ones((1, 1)), np.zeros((1, 1))
    outputs, costs = [], []
    for _ in range(epochs + 1):
        z, a = net.outputs(x)
        outputs.append(a.item())
        costs.append(cost.value(z, a, y, sigmoid).item())
        net.update_mini_batch(x, y, eta)
    return np.array(outputs), np.array(costs)


def _empty(sizes: list[int], output: Activation = identity) -> Network:
    """Return a network of sigmoid neurons with all parameters 0 and the given output activation."""
    return Network(sizes, cost=quadratic, output=output, init=zeros, dtype=np.float64)
