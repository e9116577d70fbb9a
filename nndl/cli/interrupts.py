"""Ctrl-C: an exit at once during imports, and KeyboardInterrupt while a command runs."""

from __future__ import annotations

import os  # little else: until this module is imported, Ctrl-C prints a traceback
import signal
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # that of typing would take longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

__all__ = ["INTERRUPTED", "exit_on_interrupt", "exit_while_importing", "raise_on_interrupt"]

INTERRUPTED = 130
"""The exit status after Ctrl-C."""

_handled = False  # whether `exit_on_interrupt` was called: not in a notebook, nor in tests


def exit_on_interrupt() -> None:
    """Make Ctrl-C exit with status 130 from now on.

    That is for imports, which write nothing. A KeyboardInterrupt inside an import can get lost in
    the import system, or become another exception. Where SIGINT is ignored, as in a background job,
    it stays ignored.
    """
    global _handled
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit)
        _handled = True


def _exit(signum: int, frame: Any) -> NoReturn:
    with suppress(OSError):
        os.write(2, b"\ninterrupted\n")
    os._exit(INTERRUPTED)


@contextmanager
def raise_on_interrupt() -> Iterator[None]:
    """After `exit_on_interrupt`, let Ctrl-C raise KeyboardInterrupt while the block runs."""
    if not _handled:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _exit)


@contextmanager
def exit_while_importing() -> Iterator[None]:
    """Inside `raise_on_interrupt`, let Ctrl-C exit at once again while the block imports."""
    if not _handled:
        yield
        return
    signal.signal(signal.SIGINT, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
