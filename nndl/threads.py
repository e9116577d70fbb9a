"""Limits BLAS to one thread while a network computes."""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]


def _nothing(force: bool) -> None:
    pass


class _OneThread(AbstractContextManager[None]):
    """Sets the limit when the first thread enters and lifts it when the last one leaves."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside: Counter[int] = Counter()  # how often each thread has entered
        self.controller: ThreadpoolController | None = None

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.controller = self.controller or ThreadpoolController()
                self._take_control()
                self.limit = self.controller.limit(limits=1, user_api="blas")
            self.inside[threading.get_ident()] += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside[threading.get_ident()] -= 1
            self.inside = +self.inside  # drops threads that have left
            if not self.inside:
                self._lift()

    def after_fork(self) -> None:
        """In a forked child, forget the other threads, which it does not have, and their lock."""
        self.lock, limited = threading.Lock(), bool(self.inside)
        me = threading.get_ident()
        self.inside = +Counter({me: self.inside[me]})
        if limited and not self.inside:
            self._lift()

    def _lift(self) -> None:
        self._take_control()
        self.limit.restore_original_limits()
        self._take_control()

    def _take_control(self) -> None:
        """Let this thread change limits; newer threadpoolctl allows it to a single thread only."""
        for library in self.controller.lib_controllers if self.controller else ():
            getattr(library, "clear_controlling_thread", _nothing)(force=True)


_ONE_THREAD = _OneThread()
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_ONE_THREAD.after_fork)


def one_thread() -> AbstractContextManager[None]:
    """Return a context in which every BLAS runs on one thread.

    The small matrix products of a mini-batch are slower on two threads than on one, some of them
    by a factor of twenty. With one thread, results do not depend on the number of cores either.
    The limit applies to the whole process, from the first thread that enters the context until the
    last one leaves it.
    """
    return _ONE_THREAD
