"""Shards of a mini-batch in threads: the same bits for any number, the same step as without."""

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
from nndl.parallel import infer, replica, shard_bounds

NETWORKS: dict[str, Callable[[], list[Layer]]] = {
    "dense": lambda: [Dense(30, tanh), Dense(20, relu), Dense(3, softmax)],
    "dropout": lambda: [Dense(30, relu), Dropout(0.4), Dense(3, softmax)],
    "conv": lambda: [Conv(4, 3, relu, pool=2), Conv(5, 2, tanh), MaxPool(2), Dense(3, softmax)],
    "conv with dropout": lambda: [Conv(3, 3, padding=1), Dropout(0.3), Dense(3, softmax)],
}
PENALTIES = [{}, {"lmbda": 3.0}, {"lmbda_l1": 2.0, "mu": 0.7, "lmbda": 3.0}]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut even the small mini-batches of these tests into shards."""
    monkeypatch.setattr(parallel, "WORK", 2000)
    monkeypatch.setattr(parallel, "ROWS", 500)
    monkeypatch.setattr(released, "SMALL", 1)


def network(name: str) -> Network:
    return Network(
        NETWORKS[name](), cost=log_likelihood, input_shape=(1, 8, 8), rng=1, dtype=np.float32
    )


def digits(n: int = 130) -> Dataset:
    rng = np.random.default_rng(2)
    return Dataset(rng.normal(size=(n, 64)).astype(np.float32), rng.integers(0, 3, n))


def trained(name: str, threads: int | None, **more: float) -> list[bytes]:
    net = network(name)
    for _ in net.sgd(digits(), 2, 40, 0.3, rng=3, threads=threads, **more):
        pass
    return [p.tobytes() for p in net.parameters]


@pytest.mark.parametrize("more", PENALTIES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_any_number_of_threads_gives_the_same_bits(name: str, more: dict[str, float]) -> None:
    assert len(shard_bounds(network(name), 40)) > 4
    one = trained(name, 1, **more)
    for threads in (2, 3, 4, None):
        assert trained(name, threads, **more) == one


@pytest.mark.parametrize("more", PENALTIES, ids=str)
@pytest.mark.parametrize("name", ["dense", "conv"])
def test_shards_take_the_step_of_the_whole_mini_batch(
    name: str, more: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = network(name).astype(np.float64)
    whole = cut.astype(np.float64)
    for _ in cut.sgd(digits(), 2, 40, 0.3, rng=3, threads=2, **more):
        pass
    monkeypatch.setattr(parallel, "WORK", 2**62)
    assert shard_bounds(whole, 40) == [0, 40]
    for _ in whole.sgd(digits(), 2, 40, 0.3, rng=3, **more):
        pass
    for p, q in zip(cut.parameters, whole.parameters, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-8, atol=1e-11)


def test_shards_depend_on_shapes_alone_and_cover_the_mini_batch() -> None:
    net = network("dense")
    for m in (1, 2, 7, 40, 1000):
        bounds = shard_bounds(net, m)
        assert (bounds[0], bounds[-1]) == (0, m)
        assert sorted(set(bounds)) == bounds


def test_the_books_networks_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for hidden in (30, 100):
        net = Network([784, hidden, 10])
        assert shard_bounds(net, 10) == [0, 10]
        assert shard_bounds(net, 100) == [0, 100]


def test_replicas_share_the_weights_and_nothing_else() -> None:
    net = network("conv")
    twin = replica(net)
    for p, q in zip(net.parameters, twin.parameters, strict=True):
        assert p is q
    x = digits(6).images.T
    expected = net(x)
    kept = net.layers[0].forward(np.asfortranarray(x), None).copy()
    twin.layers[0].forward(np.asfortranarray(-x), None)
    np.testing.assert_array_equal(net.layers[0].a, kept)
    np.testing.assert_array_equal(net(x), expected)


def test_threads_must_be_a_whole_number() -> None:
    for threads in (0, -1, 1.5, "2"):
        with pytest.raises(ValueError, match="threads must be a whole number, 1 or more, not"):
            network("dense").sgd(digits(), 1, 40, 0.3, threads=threads)  # type: ignore[arg-type]


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


def test_without_the_addresses_training_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = trained("conv", 2)
    monkeypatch.setattr(released, "GEMM", None)
    assert trained("conv", 2) == expected


def test_a_scipy_without_the_addresses_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.linalg import cython_blas

    monkeypatch.setattr(cython_blas, "__pyx_capi__", {})
    module = importlib.reload(released)
    try:
        assert module.GEMM is None
    finally:
        monkeypatch.undo()
        importlib.reload(released)
