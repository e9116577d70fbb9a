"""Threads: the same bits for any number of them; and gemm without the GIL."""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from nndl import blas, conv, inference, large, parallel, released, step
from nndl.activations import relu, softmax, tanh
from nndl.conv import Conv, MaxPool
from nndl.costs import log_likelihood
from nndl.dataset import Dataset
from nndl.inference import infer
from nndl.layers import Dense, Dropout, Layer
from nndl.network import Network
from nndl.parallel import computing, run
from nndl.training import Settings, train

NETWORKS: dict[str, Callable[[], list[Layer]]] = {
    "dense": lambda: [Dense(30, tanh), Dense(20, relu), Dense(3, softmax)],
    "dropout": lambda: [Dense(30, relu), Dropout(0.4), Dense(3, softmax)],
    "conv": lambda: [Conv(4, 3, relu, pool=2), Conv(5, 2, tanh), MaxPool(2), Dense(3, softmax)],
    "conv of maps": lambda: [Conv(6, 3, relu), Conv(5, 3, relu, stride=2), Dense(3, softmax)],
    "conv with dropout": lambda: [Conv(3, 3, padding=1), Dropout(0.3), Dense(3, softmax)],
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use threads, and gemm without the GIL, even for the small networks of these tests."""
    monkeypatch.setattr(inference, "WORK", 1)
    monkeypatch.setattr(released, "SMALL", 1)
    monkeypatch.setattr(parallel, "EXAMPLES", 1)
    monkeypatch.setattr(conv, "BLOCK", 700)
    monkeypatch.setattr(conv, "LARGE", 1)
    monkeypatch.setattr(large, "_MULTIPLICATIONS", 40)
    monkeypatch.setattr(large, "_FEW_COLUMNS", 1)
    monkeypatch.setattr(large.parts_of, "__defaults__", (200,))
    monkeypatch.setattr(step, "LARGE", 50)
    monkeypatch.setattr(large, "ROWS_OF_MANY", 30)


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
    monkeypatch.setattr(inference, "IMAGES", 7)
    net, images = network(name), digits().images
    one, *more = ([a.tobytes() for _, _, a in infer(net, images, n)] for n in (1, 2, 3, 4))
    assert len(one) == 19
    assert all(other == one for other in more)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", NETWORKS)
def test_training_gives_the_same_bits_on_any_number_of_threads(name: str, momentum: float) -> None:
    results = []
    for threads in (1, 2, 3, 4):
        net = network(name)
        arguments = {"lmbda": 0.1, "lmbda_l1": 0.1, "mu": momentum, "rng": 1, "threads": threads}
        assert list(net.sgd(digits(), 2, 40, 0.1, **arguments)) == [0, 1]
        results.append([p.tobytes() for p in net.parameters])
    assert all(other == results[0] for other in results)
    assert results[0] != [p.tobytes() for p in network(name).parameters]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_work_is_shared_by_the_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work = threading.Barrier(2, timeout=20)  # passed only by two threads at the same time

    def together(m: int, part: Callable[..., object], *arguments: object) -> object:
        def wait(*call: object) -> object:
            at_work.wait()
            return part(*call)

        calls = list(zip(*arguments, strict=True))
        return run(m, wait if len(calls) == 2 else part, *arguments)

    for module in (large, conv):
        monkeypatch.setattr(module, "run", together)
    monkeypatch.setattr(large.parts_of, "__defaults__", (30 * 64 * 20,))
    net, data = network(name), digits(40)
    list(net.sgd(data, 1, 40, 0.1, rng=1, threads=2))


def test_parts_are_computed_in_any_order_and_returned_in_theirs() -> None:
    with computing(4):
        assert run(100, lambda a, b: 10 * a + b, range(50), range(50)) == [
            11 * i for i in range(50)
        ]
        assert run(100, lambda i: i, []) == []


def test_parts_of_parts_are_not_given_to_further_threads() -> None:
    def slowly(_: int) -> int:
        time.sleep(0.005)
        return threading.get_ident()

    def part(i: int) -> set[int]:
        return set(run(100, slowly, range(4)))

    with computing(4):
        assert len(set(run(100, slowly, range(8)))) > 1  # threads are there
    with computing(2):
        assert all(len(idents) == 1 for idents in run(100, part, range(2)))


def test_an_error_in_a_part_is_raised_when_no_part_runs_any_more() -> None:
    running = []

    def part(i: int) -> None:
        running.append(i)
        if i == 3:
            raise ZeroDivisionError(i)
        running.remove(i)

    with computing(3), pytest.raises(ZeroDivisionError):
        run(100, part, range(40))
    assert running == [3]
    assert parallel._THREADS.get() is None


def test_busy_threads_are_not_waited_for() -> None:
    busy, free = threading.Event(), threading.Event()

    def hold(i: int) -> None:
        busy.set()
        assert free.wait(20)

    def elsewhere() -> None:
        with computing(2):
            run(100, hold, range(2))

    other = threading.Thread(target=elsewhere)
    other.start()
    assert busy.wait(20)
    with computing(2):
        assert run(100, lambda i: i, range(3)) == [0, 1, 2]  # although no thread is free
    free.set()
    other.join()


def test_work_goes_on_without_threads_when_the_interpreter_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Ended:
        def submit(self, work: object) -> None:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(parallel._POOL, "executor", Ended())
    monkeypatch.setattr(parallel._POOL, "size", 8)
    with computing(3):
        assert run(100, lambda i: i * i, range(5)) == [0, 1, 4, 9, 16]


def test_one_thread_is_enough_for_training_measuring_and_inference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "IMAGES", 7)
    monkeypatch.setattr(parallel._POOL, "start", None)  # calling it is an error
    net, data = network("conv"), digits()
    train(net, data, Settings(epochs=1, mini_batch_size=40), validation=data, rng=0, threads=1)
    with computing(threads=1):
        assert net.predict(data.images).shape == (len(data),)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_process_starts_threads_of_its_own() -> None:
    with computing(2):
        run(100, lambda i: i, range(4))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with computing(2):
                status = 0 if run(100, lambda i: i, range(4)) == [0, 1, 2, 3] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_heed_what_numpy_was_told_about_overflow() -> None:
    both = threading.Barrier(2, timeout=20)  # so that each thread has a part

    def part(i: int) -> np.float32:
        both.wait()
        return np.float32(3e38) * np.float32(10)

    with computing(2), np.errstate(over="ignore"):  # a warning would be an error
        assert np.isinf(run(100, part, range(2))).all()


# gemm without the GIL.


def columns(rng: np.random.Generator, shape: tuple[int, int], gap: int, dtype: type) -> np.ndarray:
    """Return random numbers with contiguous columns, and a gap from one to the next."""
    return rng.normal(size=(shape[1], shape[0] + gap)).astype(dtype).T[: shape[0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
def test_the_released_gemm_returns_the_same_bits_in_place(
    dtype: type, gap: int, trans_a: int, trans_b: int, rng: np.random.Generator
) -> None:
    a = columns(rng, (23, 17) if trans_a else (17, 23), gap, dtype)
    b = columns(rng, (40, 23) if trans_b else (23, 40), gap, dtype)
    ours = columns(rng, (17, 40), gap, dtype)
    theirs, around = ours.copy(order="F"), ours.base.copy()
    arguments = (-0.5, a, b, 0.3)
    assert released.GEMM[ours.itemsize](*arguments, ours, trans_a, trans_b) is ours
    np.testing.assert_array_equal(
        ours, blas._GEMM[ours.itemsize](*arguments, theirs, trans_a, trans_b)
    )
    np.testing.assert_array_equal(ours.base.T[17:], around.T[17:])  # the gaps are untouched


def test_the_sizes_that_the_released_gemm_keeps_are_bounded(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(released, "SMALL", 1)
    a, b = np.asfortranarray(rng.random((2, 3))), np.asfortranarray(rng.random((3, 1500)))
    for n in (*range(1, 1501), 1):  # the last was kept at first, and dropped
        c = np.zeros((2, n), order="F")
        released.GEMM[8](1.0, a, b[:, :n], 0.0, c)
        np.testing.assert_allclose(c[:, -1], a @ b[:, n - 1])
    assert released._sizes.cache_info().currsize == 1024


def test_the_released_gemm_works_in_place_in_any_layout(rng: np.random.Generator) -> None:
    a, b, c = rng.normal(size=(5, 6)), rng.normal(size=(6, 7)), rng.normal(size=(5, 7))
    expected = a @ b + c
    assert released.GEMM[8](1.0, a, b, 1.0, c) is c
    np.testing.assert_allclose(c, expected)


def test_without_the_addresses_training_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from scipy.linalg import cython_blas

    def trained() -> list[bytes]:
        net = network("conv")
        list(net.sgd(digits(), 1, 40, 0.1, rng=1, threads=2))
        return [p.tobytes() for p in net.parameters]

    expected = trained()
    monkeypatch.setattr(cython_blas, "__pyx_capi__", {})
    monkeypatch.setattr(released, "GEMM", importlib.reload(released).GEMM)
    assert released._without_gil("sgemm") is None
    assert trained() == expected
    monkeypatch.undo()
    importlib.reload(released)


def test_after_an_error_no_further_part_begins() -> None:
    begun: list[int] = []

    def part(i: int) -> None:
        begun.append(i)
        if i == 0:
            raise ValueError("part 0")
        time.sleep(0.05)

    with computing(2), pytest.raises(ValueError, match="part 0"):
        run(1, part, range(40))
    assert len(begun) <= 4


@pytest.mark.parametrize("threads", [0, -3, "2", 2.5, True])
def test_a_number_of_threads_that_is_none_is_refused(threads: object) -> None:
    with pytest.raises(ValueError, match="threads must be a whole number, 1 or more, not"):
        computing(threads)  # type: ignore[arg-type]
