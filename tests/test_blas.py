"""The step and its matrix products: formulas, the check of the layout, one BLAS thread."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nndl import large as large_module
from nndl import step
from nndl.arrays import columns
from nndl.blas import accumulate, affine, transposed
from nndl.data import Dataset
from nndl.layers import Dense
from nndl.network import Network
from nndl.step import Step, take_step
from nndl.threads import one_thread
from nndl.training.metrics import evaluate

SHAPES = [  # n_out, n_in, m
    *[(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 1), (30, 784, 10)],
    *[
        (20, 25, 4100),
        (40, 500, 51),
        (333, 301, 10),
        (333, 301, 33),
    ],  # larger than one gemm call takes
]
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.mark.parametrize(
    "settings",
    [
        {"lmbda": 2.0, "lmbda_l1": 3.0},
        {"lmbda": 2.0, "lmbda_l1": 3.0, "mu": 0.9},
        {"lmbda": 2.0, "lmbda_l1": 3.0, "mu": 0.9, "nesterov": True},
    ],
    ids=["L1", "momentum", "Nesterov"],
)
@pytest.mark.parametrize("size", [10, 40])
def test_the_step_of_large_weights_is_that_of_small_ones(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], size: int
) -> None:
    rng = np.random.default_rng(0)
    data = Dataset(rng.random((120, 20)), rng.integers(0, 7, 120))
    nets = [Network([20, 30, 7], rng=0, dtype=np.float64) for _ in range(2)]
    for net, large in zip(nets, (2**18, 1), strict=True):
        monkeypatch.setattr(step, "LARGE", large)
        monkeypatch.setattr(large_module, "ROWS", 60 if large == 1 else 2**16)
        monkeypatch.setattr(large_module, "ROWS_OF_MANY", 60 if large == 1 else 2**18)
        for _ in net.sgd(data, 2, size, 0.5, rng=0, **settings):
            pass
    for a, b in zip(*(net.parameters for net in nets), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


@dtypes
@pytest.mark.parametrize("layout", ["rows", "columns", "every second"])
@pytest.mark.parametrize(("n_out", "n_in", "m"), SHAPES)
@pytest.mark.parametrize("mu", [None, 0.0, 0.9])
def test_a_step_matches_its_formula(
    n_out: int,
    n_in: int,
    m: int,
    layout: str,
    dtype: type,
    mu: float | None,
    rng: np.random.Generator,
) -> None:
    w, v = rng.normal(size=(2, n_out, n_in))
    delta, a = rng.normal(size=(n_out, m)), rng.normal(size=(n_in, m))
    alpha, decay, l1 = -0.3, 0.01, 0.02
    step = alpha * delta @ a.T - decay * w - l1 * np.sign(w)
    velocity = step if mu is None else mu * v + step
    expected = w + velocity

    w, v, delta, a = (array.astype(dtype) for array in (w, v, delta, a))
    if layout == "columns":
        delta, a = np.asfortranarray(delta), np.asfortranarray(a)
    elif layout == "every second":
        delta, a = (np.repeat(array, 2, axis=1)[:, ::2] for array in (delta, a))
    kept = None if mu is None else v
    add = accumulate(w if kept is None else kept, m)
    take_step(w, kept, add, delta, a, Step(1, 1, -alpha, decay / -alpha, l1 / -alpha, mu or 0.0))
    tolerance = (
        {"rtol": 1e-4, "atol": 1e-5 * max(1, m / 10) ** 0.5}
        if dtype is np.float32
        else {"rtol": 1e-11, "atol": 1e-13}
    )
    np.testing.assert_allclose(w, expected, **tolerance)
    if mu is not None:
        np.testing.assert_allclose(v, velocity, **tolerance)


@dtypes
@pytest.mark.parametrize(
    ("n_out", "n_in", "m"), [*SHAPES, (1000, 1000, 1), (70, 1_500, 32), (2, 1_100_000, 3)]
)
def test_products_match_their_formulas(
    n_out: int, n_in: int, m: int, dtype: type, rng: np.random.Generator
) -> None:
    w, b = rng.normal(size=(n_out, n_in)).astype(dtype), rng.normal(size=(n_out, 1)).astype(dtype)
    a = np.asfortranarray(rng.normal(size=(n_in, m)).astype(dtype))
    delta = np.asfortranarray(rng.normal(size=(n_out, m)).astype(dtype))
    tolerance = {"rtol": 0, "atol": np.finfo(dtype).eps * 64 * (n_in**0.5 + n_out**0.5 + m**0.5)}
    z, nabla = columns(n_out, m, dtype), columns(n_in, m, dtype)
    z[...] = nabla[...] = np.nan  # old contents must not matter
    assert affine(w, b, m)(a, z) is z
    np.testing.assert_allclose(z, w @ a + b, **tolerance)
    assert transposed(w, m)(delta, nabla) is nabla
    np.testing.assert_allclose(nabla, w.T @ delta, **tolerance)
    new_w, new_b = 0.9 * w - 0.3 * delta @ a.T, b - 0.3 * delta.sum(axis=1, keepdims=True)
    accumulate(w, m)(delta, a, -0.3, 0.9)
    accumulate(b, m)(delta, np.ones((1, m), dtype), -0.3, 1.0)
    np.testing.assert_allclose(w, new_w, **tolerance)
    np.testing.assert_allclose(b, new_b, **tolerance)


@dtypes
def test_l1_moves_weights_by_a_constant_and_keeps_zeros(dtype: type) -> None:
    w = np.array([[3.0, -2.0, 0.0, 1e-20, -0.25]], dtype)
    delta, a = np.zeros((1, 1), dtype), np.zeros((5, 1), dtype)
    take_step(w, None, accumulate(w, 1), delta, a, Step(1, 1, 1.0, lmbda_l1=0.5))
    np.testing.assert_array_equal(w, np.array([[2.5, -1.5, 0, -0.5, 0.25]], dtype))


@dtypes
def test_inputs_of_a_step_are_not_modified(dtype: type, rng: np.random.Generator) -> None:
    w, delta, a = (rng.normal(size=s).astype(dtype) for s in ((3, 4), (3, 5), (4, 5)))
    kept = delta.copy(), a.copy()
    v = np.zeros_like(w)
    take_step(w, v, accumulate(v, 5), delta, a, Step(1, 1, 0.5, 0.1, 0.1, 0.5))
    np.testing.assert_array_equal(delta, kept[0])
    np.testing.assert_array_equal(a, kept[1])


@pytest.mark.parametrize(
    "w",
    [
        np.asfortranarray(np.ones((3, 4))),
        np.ones((3, 8))[:, ::2],
        np.ones((3, 4), ">f8"),
        np.ones((3, 4), np.int64),
        np.ones((3, 4), np.float16),
    ],
    ids=["Fortran order", "strided", "big-endian", "integer", "half"],
)
def test_weights_that_blas_would_copy_raise_runtime_error(w: np.ndarray) -> None:
    with pytest.raises(RuntimeError, match=r"C-contiguous.*change them by weights\[l\]"):
        take_step(w, None, accumulate(w, 2), np.ones((3, 2)), np.ones((4, 2)), Step(2, 2, 1.0))


def test_assigning_to_parameters_copies_the_values(rng: np.random.Generator) -> None:
    net, twin = (Network([4, 3], rng=1, dtype=np.float64) for _ in range(2))
    net.update_mini_batch(np.ones((4, 2)), [0, 1], 0.5)  # allocates its buffers
    layer, live = net.layers[0], net.weights[0]
    values = np.asfortranarray(rng.normal(size=(3, 4)))
    layer.w, layer.b = values, [[1], [2], [3]]
    layer.w *= 2
    assert layer.w is live
    twin.weights[0][...], twin.biases[0][...] = 2 * values, [[1], [2], [3]]
    for each in (net, twin):
        each.update_mini_batch(np.ones((4, 2)), [0, 1], 0.5, 0.1, 10)
    for one, other in zip(net.parameters, twin.parameters, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(
        ValueError, match=r"w has shape \(3, 4\), but the assigned values have shape \(4,\)"
    ):
        layer.w = values[0]
    with pytest.raises(ValueError, match=r"b has shape \(3, 1\), but the assigned"):
        layer.b = np.zeros(3)


@dtypes
def test_columns_are_contiguous(dtype: type) -> None:
    array = columns(3, 5, dtype)
    assert array.shape == (3, 5)
    assert array.dtype == dtype
    assert array.flags.f_contiguous


def test_one_thread_limits_blas_inside_the_context_only() -> None:
    def threads() -> list[int]:
        return [info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"]

    before = threads()
    with one_thread():
        assert set(threads()) == {1}
    assert threads() == before


def test_one_thread_lasts_until_the_last_of_several_threads_leaves() -> None:
    def threads() -> set[int]:
        return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}

    before = threads()
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with one_thread():
        thread.start()
        assert entered.wait(10)
    assert threads() == {1}  # the other thread is still inside
    leave.set()
    thread.join()
    assert threads() == before


def test_one_thread_works_in_successive_threads_that_are_all_alive() -> None:
    def threads() -> set[int]:
        return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}

    before, seen = threads(), []
    done, end = threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            seen.append(threads())
        done.set()
        end.wait(10)

    with one_thread():
        pass
    thread = threading.Thread(target=other)
    thread.start()
    assert done.wait(10)
    with one_thread():  # while the other thread, the last to enter, is alive
        seen.append(threads())
    with threadpool_limits(1, "blas"):  # and the caller's own limits still work
        seen.append(threads())
    end.set()
    thread.join()
    assert seen == [{1}] * 3
    assert threads() == before


def test_inference_uses_one_blas_thread(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    net, seen = Network([4, 3], rng=1), []
    data = Dataset(rng.normal(size=(6, 4)), rng.integers(0, 3, 6))
    outputs = net.outputs

    def look(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.extend(i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas")
        return outputs(x)

    monkeypatch.setattr(net, "outputs", look)
    for ask in (lambda: net.predict(data.images), lambda: evaluate(net, data)):
        seen.clear()
        ask()
        assert set(seen) == {1}


def test_a_step_uses_one_blas_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    net, seen = Network([4, 3], rng=1), []

    def look(delta: np.ndarray, step: Step) -> None:
        seen.extend(i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas")

    monkeypatch.setattr(net.layers[0], "update", look)
    net.update_mini_batch(np.ones((4, 2)), [0, 1], 0.5)
    assert set(seen) == {1}


def test_gradients_and_outputs_use_one_blas_thread(rng: np.random.Generator) -> None:
    seen: list[int] = []

    class Looking(Dense):
        def weighted_input(self, a: np.ndarray) -> np.ndarray:
            seen.extend(i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas")
            return super().weighted_input(a)

        def gradient(self, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            seen.extend(i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas")
            return super().gradient(delta)

    net, x = Network([Looking(3)], input_shape=4, rng=1), rng.normal(size=(4, 6))
    for ask in (lambda: net(x), lambda: net.backprop(x, [0, 1, 2, 0, 1, 2])):
        seen.clear()
        ask()
        assert set(seen) == {1}


def test_training_uses_one_blas_thread_and_restores_the_limit_of_the_caller(
    rng: np.random.Generator,
) -> None:
    seen = []

    def look(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        seen.extend(i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas")
        return images

    data = Dataset(rng.normal(size=(6, 4)), rng.integers(0, 3, 6))
    list(Network([4, 3], rng=1).sgd(data, 1, 2, 0.5, transform=look))
    assert set(seen) == {1}
