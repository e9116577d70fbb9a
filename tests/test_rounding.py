"""RoundedDense: the order of its sums, and its agreement with Dense."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nndl._typing import Array
from nndl.layers import Dense
from nndl.network import Network
from nndl.reproduction.rounding import RoundedDense, product

ETA, LMBDA, N, M = 0.5, 5.0, 1000, 12  # NumPy sums 8 or more numbers pairwise


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 99))
def test_a_product_is_summed_in_interleaved_parts(n: int, parts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w, a = rng.standard_normal((3, n)), rng.standard_normal((n, 2))
    z = product(w, a, parts)
    for j, k in np.ndindex(z.shape):
        sums = [0.0] * parts
        for i in range(n):
            sums[i % parts] += float(w[j, i]) * float(a[i, k])
        assert z[j, k] == reduce(add, sums)


def _trained(kind: type[Dense], x: Array, y: Array) -> Network:
    net = Network([kind(6), kind(3)], input_shape=9, rng=0, dtype=np.float64)
    for _ in range(3):
        net.update_mini_batch(x, y, ETA, LMBDA, N)
    return net


@pytest.fixture
def batch() -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.random((9, M)), np.ascontiguousarray(np.eye(3)[rng.integers(0, 3, M)].T)


def test_it_differs_from_dense_only_by_rounding(batch: tuple[Array, Array]) -> None:
    rounded, dense = _trained(RoundedDense, *batch), _trained(Dense, *batch)
    for ours, theirs in zip(rounded.parameters, dense.parameters, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)


def test_updates_equal_a_loop_over_examples_to_the_last_bit(
    batch: tuple[Array, Array],
) -> None:
    start = Network([9, 6, 3], rng=0, dtype=np.float64)
    (w1, w2), (b1, b2) = map(list, (start.weights, start.biases))
    x, y = batch
    for _ in range(3):
        nabla = [np.zeros(p.shape) for p in (w1, b1, w2, b2)]
        for k in range(M):
            a0, y0 = x[:, [k]], y[:, [k]]
            a1 = _sigmoid(product(w1, a0, 4) + b1)
            a2 = _sigmoid(product(w2, a1, 4) + b2)
            delta2 = a2 - y0
            delta1 = product(w2.T, delta2, 4) * (a1 * (1 - a1))
            example = (delta1 * a0.T, delta1, delta2 * a1.T, delta2)
            nabla = [total + g for total, g in zip(nabla, example, strict=True)]
        decay, rate = 1 - ETA * (LMBDA / N), ETA / M
        w1, b1 = decay * w1 - rate * nabla[0], b1 - rate * nabla[1]
        w2, b2 = decay * w2 - rate * nabla[2], b2 - rate * nabla[3]
    for ours, his in zip(_trained(RoundedDense, x, y).parameters, (w1, w2, b1, b2), strict=True):
        np.testing.assert_array_equal(ours, his)


def test_float32_momentum_and_l1_are_refused(batch: tuple[Array, Array]) -> None:
    with pytest.raises(ValueError, match="float64, not float32"):
        Network([RoundedDense(3)], input_shape=9)
    net = Network([RoundedDense(3)], input_shape=9, rng=0, dtype=np.float64)
    for more in ({"mu": 0.5}, {"lmbda_l1": 1.0}):
        with pytest.raises(ValueError, match="use Dense"):
            net.update_mini_batch(*batch, ETA, LMBDA, N, **more)


def _sigmoid(z: Array) -> Array:
    result: Array = 1.0 / (1.0 + np.exp(-z.astype(np.longdouble)).astype(np.float64))
    return result
