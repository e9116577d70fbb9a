"""The error boundary of every command: one line for each error, and a documented exit status.

====  ==================================================================================
0     success
1     the command failed: a file, the data, a run that diverged, a target that was missed
2     wrong usage: flags, values, names
70    a bug in nndl; ``--traceback`` shows where
130   interrupted by Ctrl-C
141   the command finished, but the reader of its output had gone (``| head``)
====  ==================================================================================
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TextIO, cast

from nndl.cli.interrupts import INTERRUPTED
from nndl.text import printable

__all__ = [
    "BUG",
    "CLOSED_OUTPUT",
    "FAILED",
    "USAGE",
    "CommandError",
    "UsageError",
    "exit_status",
    "guarded",
    "protect_streams",
    "say",
]

FAILED, USAGE, BUG, CLOSED_OUTPUT = 1, 2, 70, 141
LONGEST_MESSAGE = 2000  # characters


class CommandError(Exception):
    """A command failed for a reason that its message explains; ``status`` is the exit status."""

    status = FAILED


class UsageError(CommandError):
    """The command was called with flags or values that it cannot take."""

    status = USAGE


def guarded(program: str, command: Callable[[], int], *, show_traceback: bool = False) -> int:
    """Run a command and return its exit status; print every error as one line.

    Parameters
    ----------
    program : str
        What the user typed, like "nndl train": the first words of every message.
    command : callable
        Returns an exit status.
    show_traceback : bool
        Print the traceback of an error above its line.
    """
    try:
        return command()
    except SystemExit as ended:  # argparse has printed its message
        return ended.code if isinstance(ended.code, int) else 0
    except KeyboardInterrupt as interrupt:
        if show_traceback:
            traceback.print_exc()
        say(str(interrupt) or "interrupted")
        return INTERRUPTED
    except Exception as error:
        if show_traceback:
            traceback.print_exc()
        if (known := explain(error)) is not None:
            say(f"{program}: error: {known}")
            return error.status if isinstance(error, CommandError) else FAILED
        say(
            f"{program}: this is a bug in nndl: {type(error).__name__}: {printable(error)}; please "
            "report it with the output of the same command with --traceback"
        )
        return BUG


def explain(error: Exception) -> str | None:
    """Return the message of an expected error; None for a bug."""
    from concurrent.futures import BrokenExecutor  # these two only when there is an error

    from nndl import DivergedError

    if isinstance(error, MemoryError):
        detail = f" ({error})" if str(error) else ""
        return f"not enough memory{detail}: use smaller layers or less data"
    if isinstance(error, BrokenExecutor):
        return (
            "a worker process was killed, perhaps for lack of memory: run the command again, with "
            "fewer processes"
        )
    if isinstance(error, CommandError | OSError | ValueError | ImportError | DivergedError):
        return str(error) or type(error).__name__
    return None


def say(message: object) -> None:
    """Print a message on standard error: one line, of limited length."""
    print(printable(message, LONGEST_MESSAGE), file=sys.stderr, flush=True)


# Standard output and standard error.


class Output:
    """A text stream that drops what cannot be written: a closed output must not stop training.

    Parameters
    ----------
    stream : text stream
        What cannot be encoded is escaped.

    Attributes
    ----------
    error : OSError or None
        Why nothing is written any more.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.error: OSError | None = None
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write, or drop the text."""
        if self.error is None:
            try:
                return self.stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush what was written."""
        if self.error is None:
            try:
                self.stream.flush()
            except OSError as error:
                self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _give_up(self, error: OSError) -> None:
        self.error = error
        # The interpreter flushes the stream's buffer when it exits: let that succeed.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)

    @property
    def reader_has_gone(self) -> bool:
        """Whether the other end of a pipe was closed; Windows says EINVAL."""
        return isinstance(self.error, BrokenPipeError) or (
            os.name == "nt" and getattr(self.error, "errno", None) == 22
        )


def protect_streams() -> Output:
    """Make standard output and error streams that never fail; return standard output.

    Where one of them was closed before the program started, it becomes the null device. Otherwise
    the next file that is opened would get its descriptor, and what is printed would go there.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor: this one
    out, err = (
        Output(stream or open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr)
    )
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(message, 500)}\n"
    return out


def exit_status(status: int, out: Output) -> int:
    """Return the exit status of a command whose output may have been dropped."""
    out.flush()
    if out.error is None:
        return status
    if out.reader_has_gone:
        return status or CLOSED_OUTPUT
    say(f"error: cannot write to standard output: {out.error.strerror}")
    return status or FAILED
