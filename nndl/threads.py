"""BLAS on one thread, for as long as somebody computes."""

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
    """Limits BLAS when the first thread enters, and lifts the limit when the last one leaves."""

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
            self.inside = +self.inside  # without those that have left
            if not self.inside:
                self._lift()

    def after_fork(self) -> None:
        """Forget the threads that a forked child does not have, and the lock they may hold."""
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
        """Take control from the one thread that newer threadpoolctl lets set and lift limits."""
        for library in self.controller.lib_controllers if self.controller else ():
            getattr(library, "clear_controlling_thread", _nothing)(force=True)


_ONE_THREAD = _OneThread()
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_ONE_THREAD.after_fork)


def one_thread() -> AbstractContextManager[None]:
    """Return a context in which every BLAS runs on one thread.

    Products as small as those of a mini-batch are slower on two threads than on one, some of them
    by a factor of twenty; and with one thread the results do not depend on the machine's number
    of cores. The limit is the process's: it holds from the first thread that enters to the last
    that leaves.
    """
    return _ONE_THREAD
