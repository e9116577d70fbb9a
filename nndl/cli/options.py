"""What the scripts share: numbers on a command line, and the way out."""

from __future__ import annotations

import os
import select
import sys
import warnings
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

__all__ = ["exit_with", "path_of", "percent", "seed", "whole", "whole_or_none"]


def path_of(text: str) -> Path:
    """Return a path, which an empty text, as of a variable that is not set, is not."""
    if not text:
        raise ArgumentTypeError("expected a path, not an empty text")
    return Path(text)


def whole(text: str) -> int:
    """Return a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number of at least 1, not {text!r}")
    return int(text)


def seed(text: str) -> int:
    """Return a whole number of at least 0."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"expected a whole number of at least 0, not {text!r}")
    return int(text)


def whole_or_none(text: str) -> int | None:
    """Return a whole number of at least 1, or None for ``none``."""
    if text.lower() == "none":
        return None
    try:
        return whole(text)
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"{error}; or none") from None


def percent(text: str) -> float:
    """Return a number from 1 to 100: what is smaller is a fraction by mistake."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 1 <= value <= 100:
        raise ArgumentTypeError(f"expected a percentage from 1 to 100, like 97.5, not {text!r}")
    return value


def exit_with(main: Callable[[], int], interrupted: str = "interrupted") -> NoReturn:
    """Run a script's main and exit with its status; show no traceback for what is no error.

    A warning is a line. Ctrl-C is a line and status 130. When who reads the output has stopped, as
    of ``| head``, what was not read was not wanted: the script ends in silence, with a shell's
    status of SIGPIPE, 141.
    """
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        reader = select.poll()
        reader.register(sys.stdout.fileno(), 0)  # errors are always reported
        if not reader.poll(0):
            raise  # another pipe, of a process that died
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        status = 141
    except OSError as error:  # of standard output, as on a full disk: main sees to its own files
        print(f"error: {error}", file=sys.stderr)
        status = 1
    sys.exit(status)
