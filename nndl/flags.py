"""Numbers on a command line, for the `type` of an argparse flag."""

from __future__ import annotations

from argparse import ArgumentTypeError

__all__ = ["percent", "whole", "whole_or_none"]


def whole(text: str) -> int:
    """Return a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number of at least 1, not {text!r}")
    return int(text)


def whole_or_none(text: str) -> int | None:
    """Return a whole number of at least 1, or None for ``none``."""
    return None if text == "none" else whole(text)


def percent(text: str) -> float:
    """Return a number from 0 to 100."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise ArgumentTypeError(f"expected a percentage from 0 to 100, not {text!r}")
    return value
