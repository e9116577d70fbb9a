"""Threads that share the work of a layer, with the same bits for any number of them.

A layer cuts its work into parts whose sizes depend on shapes alone, and adds up results in their
order. `run` computes the parts side by side. NumPy and the gemm of `nndl.released` compute without
the GIL, so the parts do run in parallel if each takes much longer than Python's own work for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from nndl.threads import one_thread

__all__ = ["EXAMPLES", "computing", "cores", "run"]

EXAMPLES = 32  # of a mini-batch that is worth more than one thread

T = TypeVar("T")

_THREADS: ContextVar[int] = ContextVar("threads", default=1)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class computing(AbstractContextManager[None]):
    """A context in which `run` uses a number of threads (by default all cores), and BLAS one."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads, self.blas = threads or cores(), one_thread()

    def __enter__(self) -> None:
        self.blas.__enter__()
        self.token: Token[int] = _THREADS.set(self.threads)

    def __exit__(self, *error: object) -> None:
        _THREADS.reset(self.token)
        self.blas.__exit__(None, None, None)


def run(m: int, part: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
    """Return ``list(map(part, *arguments))``, computed by the threads of `computing`.

    For fewer than 32 examples m, waking threads up takes longer than it saves.
    """
    calls = list(zip(*arguments, strict=True))
    threads = min(_THREADS.get(), len(calls))
    if threads <= 1 or m < EXAMPLES:
        return [part(*call) for call in calls]
    results: list[Any] = [None] * len(calls)
    left = iter(range(len(calls)))
    errors = np.geterr()  # which other threads do not inherit

    def work() -> None:
        token = _THREADS.set(1)  # parts are not cut again
        try:
            with np.errstate(**errors):
                for i in left:
                    results[i] = part(*calls[i])
        finally:
            _THREADS.reset(token)

    others = _POOL.start(work, threads - 1)
    try:
        work()
    finally:
        for other in others:  # wait also after an error: the parts write into shared arrays
            other.exception()
    for other in others:
        other.result()
    return results


class _Pool:
    """Threads that are started when first needed, and again in the child after a fork."""

    def __init__(self) -> None:
        self.reset()
        if hasattr(os, "register_at_fork"):  # Windows has no fork
            os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self.lock, self.size = Lock(), 0
        self.executor: ThreadPoolExecutor | None = None

    def start(self, work: Callable[[], None], n: int) -> list[Future[None]]:
        """Let n threads run ``work``."""
        with self.lock:
            if self.executor is None or self.size < n:
                self.executor, self.size = ThreadPoolExecutor(n, "nndl"), n
            return [self.executor.submit(work) for _ in range(n)]


_POOL = _Pool()
