"""Gradient check: backpropagation compared with central differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from nndl._typing import Array
from nndl.network import Network
from nndl.rng import generator
from nndl.threads import one_thread
from nndl.validation import as_columns, as_targets, check

__all__ = ["gradient_check"]

SMALL = 2000  # networks of at most this many parameters are checked one parameter at a time
DIRECTIONS = 20  # random directions in which larger networks are checked


def gradient_check(
    net: Network, x: ArrayLike, y: ArrayLike, *, h: float = 1e-5, seed: int = 0
) -> float:
    """Return the largest relative error of `net.backprop` compared with central differences.

    Up to 2,000 parameters are perturbed one at a time; a larger network is perturbed along 20
    random directions. The check runs on a copy in float64. Expect 1e-7 or less for a correct
    gradient, away from the kinks of relu; 1e-2 means that the gradient is wrong.

    Parameters
    ----------
    net : Network
        It is not modified.
    x, y
        As for `Network.backprop`.
    h : float
        Step size: the cost is evaluated at +h and -h.
    seed : int
        Seed of the random directions and of the dropout masks. Every evaluation uses the same
        masks.

    Returns
    -------
    float
        ``max |g - d| / max(|g| + |d|, 1e-4 max |g|)`` over the derivatives g from backprop and the
        central differences d.

    Raises
    ------
    TypeError
        If h is not a number.
    ValueError
        If h is not positive and finite, or x or y does not fit the network.

    Examples
    --------
    >>> import numpy as np
    >>> from nndl import Network, gradient_check
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.random((4, 5)), rng.integers(0, 3, 5)
    >>> gradient_check(Network([4, 6, 3], rng=0), x, y) < 1e-7
    True
    """
    check(h=h)
    net = net.astype(np.float64)
    columns = as_columns(x, net.n_in, net.dtype)
    targets = as_targets(y, net.n_out, columns.shape[1], net.dtype)
    with one_thread():
        return _worst(net, columns, targets, h, seed)


def _worst(net: Network, columns: Array, targets: Array, h: float, seed: int) -> float:
    parameters = [*net.weights, *net.biases]

    def cost() -> float:
        a, rng = columns, np.random.default_rng(seed)
        for layer in net.layers:
            a = layer.forward(a, rng)
        return float(net.cost.value(net.output.z, a, targets, net.output.activation).mean())

    nabla_b, nabla_w = net.backprop(columns, targets, np.random.default_rng(seed))
    gradient = [*nabla_w, *nabla_b]
    if net.n_parameters <= SMALL:
        g = np.concatenate([p.ravel() for p in gradient])
        d = np.concatenate([_each(cost, p, h) for p in parameters])
    else:
        rng = generator(seed)
        pairs = [_along(cost, parameters, gradient, h, rng) for _ in range(DIRECTIONS)]
        g, d = np.array(pairs).T
    scale = np.maximum(np.abs(g) + np.abs(d), 1e-4 * np.abs(g).max())
    return float((np.abs(g - d) / np.where(scale > 0, scale, 1)).max())


def _each(cost: Callable[[], float], p: Array, h: float) -> Array:
    """Return the central differences of the cost with respect to each element of p."""
    flat = p.reshape(-1)  # a view, since parameters are contiguous
    differences = np.empty_like(flat)
    for i, value in enumerate(flat.copy()):
        flat[i] = value + h
        above = cost()
        flat[i] = value - h
        differences[i] = (above - cost()) / (2 * h)
        flat[i] = value
    return differences


def _along(
    cost: Callable[[], float],
    parameters: list[Array],
    gradient: list[Array],
    h: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the derivative along a random unit direction, by backprop and by a difference."""
    start = [p.copy() for p in parameters]
    direction = [rng.standard_normal(p.shape) for p in parameters]
    norm = np.sqrt(sum(np.vdot(u, u) for u in direction))
    costs = []
    for step in (h, -h):
        for p, p0, u in zip(parameters, start, direction, strict=True):
            p[...] = p0 + step * u / norm
        costs.append(cost())
    for p, p0 in zip(parameters, start, strict=True):
        p[...] = p0
    slope = sum(np.vdot(g, u) for g, u in zip(gradient, direction, strict=True)) / norm
    return float(slope), (costs[0] - costs[1]) / (2 * h)
