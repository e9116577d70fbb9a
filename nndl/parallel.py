"""Threads that share the work of a layer, with the same bits for any number of them.

A layer cuts its work into parts whose sizes depend on shapes alone, and adds up results in their
order. `run` computes the parts in parallel. NumPy and the gemm of `nndl.released` compute without
the GIL, so the parts do run in parallel if each takes much longer than Python's own work for it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar, Token
from numbers import Integral
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from nndl.threads import one_thread

__all__ = ["EXAMPLES", "computing", "cores", "limit", "run"]

EXAMPLES = 32  # of a mini-batch that is worth more than one thread

T = TypeVar("T")

_THREADS: ContextVar[int | None] = ContextVar("threads", default=None)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit() -> int:
    """Return the number of threads of the context, by default all cores."""
    return _THREADS.get() or cores()


class computing(AbstractContextManager[None]):
    """A context in which networks compute with a number of threads, and BLAS with one.

    Parameters
    ----------
    threads : int, optional
        By default those of the context around this one, or all cores.

    Raises
    ------
    ValueError
        If threads is not a whole number, 1 or more.

    Examples
    --------
    >>> from nndl import Network, synthetic_digits
    >>> from nndl.parallel import computing
    >>> net, images = Network([784, 10], rng=0), synthetic_digits(20, 0).images
    >>> with computing(threads=1):
    ...     net.predict(images).shape
    (20,)
    """

    def __init__(self, threads: int | None = None) -> None:
        number: Any = 1 if threads is None else threads
        if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
            raise ValueError(f"threads must be a whole number, 1 or more, not {threads!r}")
        self.threads, self.blas = threads, one_thread()

    def __enter__(self) -> None:
        self.blas.__enter__()
        self.token: Token[int | None] = _THREADS.set(self.threads or limit())

    def __exit__(self, *error: object) -> None:
        _THREADS.reset(self.token)
        self.blas.__exit__(None, None, None)


def run(m: int, part: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
    """Return ``list(map(part, *arguments))``, computed by the threads of `computing`.

    For fewer than 32 examples m, waking threads up takes longer than it saves.
    """
    calls = list(zip(*arguments, strict=True))
    threads = min(_THREADS.get() or 1, len(calls))
    if threads <= 1 or m < EXAMPLES:
        return [part(*call) for call in calls]
    results: list[Any] = [None] * len(calls)
    left = deque(range(len(calls)))
    errors = np.geterr()  # which other threads do not inherit

    def work() -> None:
        token = _THREADS.set(1)  # parts are not cut again
        try:
            with np.errstate(**errors):
                while left:
                    try:
                        i = left.popleft()
                    except IndexError:  # another thread has taken the last one
                        return
                    results[i] = part(*calls[i])
        except BaseException:
            left.clear()  # nobody needs the rest
            raise
        finally:
            _THREADS.reset(token)

    others = _POOL.start(work, threads - 1)
    try:
        work()
    finally:
        # Wait also after an error, since the parts write into shared arrays; but not for threads
        # that have not begun, perhaps because others keep them busy.
        others = [other for other in others if not other.cancel()]
        for other in others:
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
        """Let n threads run ``work``, or fewer if the system or the interpreter allows no more."""
        started: list[Future[None]] = []
        with self.lock, suppress(RuntimeError):
            if self.executor is None or self.size < n:
                self.executor, self.size = ThreadPoolExecutor(n, "nndl"), n
            for _ in range(n):
                started.append(self.executor.submit(work))
        return started


_POOL = _Pool()
