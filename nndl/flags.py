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
    """Return a number from 1 to 100: what is smaller is a fraction by mistake."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 1 <= value <= 100:
        raise ArgumentTypeError(f"expected a percentage from 1 to 100, like 97.5, not {text!r}")
    return value
