"""Inference in threads: the same bits for any number; and gemm without the GIL."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest

from nndl import blas, parallel, released
from nndl.activations import relu, softmax, tanh
from nndl.conv import Conv, MaxPool
from nndl.costs import log_likelihood
from nndl.dataset import Dataset
from nndl.layers import Dense, Dropout, Layer
from nndl.network import Network
from nndl.parallel import infer

NETWORKS: dict[str, Callable[[], list[Layer]]] = {
    "dense": lambda: [Dense(30, tanh), Dense(20, relu), Dense(3, softmax)],
    "dropout": lambda: [Dense(30, relu), Dropout(0.4), Dense(3, softmax)],
    "conv": lambda: [Conv(4, 3, relu, pool=2), Conv(5, 2, tanh), MaxPool(2), Dense(3, softmax)],
    "conv with dropout": lambda: [Conv(3, 3, padding=1), Dropout(0.3), Dense(3, softmax)],
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use threads, and gemm without the GIL, even for the small networks of these tests."""
    monkeypatch.setattr(parallel, "WORK", 1)
    monkeypatch.setattr(released, "SMALL", 1)


def network(name: str) -> Network:
    return Network(
        NETWORKS[name](), cost=log_likelihood, input_shape=(1, 8, 8), rng=1, dtype=np.float32
    )


def digits(n: int = 130) -> Dataset:
    rng = np.random.default_rng(2)
    return Dataset(rng.normal(size=(n, 64)).astype(np.float32), rng.integers(0, 3, n))


@pytest.mark.parametrize("name", NETWORKS)
def test_inference_gives_the_same_bits_on_any_number_of_threads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "IMAGES", 7)
    net, images = network(name), digits().images
    one, *more = ([a.tobytes() for _, _, a in infer(net, images, n)] for n in (1, 2, 3, 4))
    assert len(one) == 19
    assert all(other == one for other in more)


def test_inference_in_threads_heeds_what_numpy_was_told_about_overflow() -> None:
    net = network("dense")
    net.weights[0][...] = 3e38
    with np.errstate(over="ignore", invalid="ignore"):  # a warning would be an error
        list(infer(net, digits().images, 2))


# gemm without the GIL.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
def test_the_released_gemm_returns_the_same_bits(
    dtype: type, trans_a: int, trans_b: int, rng: np.random.Generator
) -> None:
    if released.GEMM is None:
        pytest.skip("this SciPy does not publish the addresses of its BLAS")
    a, b, c = (rng.normal(size=s).astype(dtype) for s in ((17, 23), (23, 40), (17, 40)))
    a, b = (np.asfortranarray(x.T if t else x) for x, t in ((a, trans_a), (b, trans_b)))
    ours, theirs = c.copy(order="F"), c.copy(order="F")
    arguments = (-0.5, a, b, 0.3)
    assert released.GEMM[c.itemsize](*arguments, ours, trans_a, trans_b, 1) is ours
    assert blas._GEMM[c.itemsize](*arguments, theirs, trans_a, trans_b, 1) is theirs
    np.testing.assert_array_equal(ours, theirs)


def test_the_released_gemm_leaves_other_layouts_to_scipy(rng: np.random.Generator) -> None:
    if released.GEMM is None:
        pytest.skip("this SciPy does not publish the addresses of its BLAS")
    a, b, c = rng.normal(size=(5, 6)), rng.normal(size=(6, 7)), rng.normal(size=(5, 7))
    expected = a @ b + c
    np.testing.assert_allclose(released.GEMM[8](1.0, a, b, 1.0, c, 0, 0, 1), expected)


def test_without_the_addresses_inference_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parallel, "IMAGES", 7)
    expected = [a.tobytes() for _, _, a in infer(network("conv"), digits().images, 2)]
    monkeypatch.setattr(released, "GEMM", None)
    assert [a.tobytes() for _, _, a in infer(network("conv"), digits().images, 2)] == expected


def test_a_scipy_without_the_addresses_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.linalg import cython_blas

    monkeypatch.setattr(cython_blas, "__pyx_capi__", {})
    module = importlib.reload(released)
    try:
        assert module.GEMM is None
    finally:
        monkeypatch.undo()
        importlib.reload(released)
