"""What the commands share: the parser, kinds of values, and the names of the commands."""

from __future__ import annotations

import argparse
import math
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from nndl.cli.errors import USAGE
from nndl.cli.interrupts import exit_while_importing
from nndl.text import printable

__all__ = [
    "Kind",
    "Parser",
    "choice",
    "figure_path",
    "import_plots",
    "number",
    "optional",
    "path_of",
    "program_name",
    "text",
    "whole",
    "whole_number",
]

SCRIPTS = {
    "train": "train_mnist.py",
    "evaluate": "evaluate_mnist.py",
    "plot": "plot_curves.py",
    "predict": "predict_digits.py",
    "reproduce": "reproduce_book.py",
}


def program_name(command: str = "") -> str:
    """Return what the user types for a command: ``nndl train``, or ``train_mnist.py``."""
    typed = Path(sys.argv[0]).name
    if typed in SCRIPTS.values() and command in SCRIPTS:
        return SCRIPTS[command]
    return f"{'python -m nndl' if typed == '__main__.py' else 'nndl'} {command}".rstrip()


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose error messages are printable and of limited length."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message; exit with status 2."""
        self.exit(USAGE, f"{self.format_usage()}{self.prog}: error: {printable(message, 500)}\n")


@dataclass(frozen=True)
class Kind:
    """The values that an argument can have. Called with a text, it returns the value.

    Parameters
    ----------
    expected : str
        The values in words, for messages.
    convert : callable
        Turns a text into a value; raises ValueError if it cannot.
    allows : callable
        Whether a value, also one that is not from a text, is of this kind.
    choices : tuple of str
        All values, if there are only a few.
    """

    expected: str
    convert: Callable[[str], Any]
    allows: Callable[[Any], bool]
    choices: tuple[str, ...] = ()

    def __call__(self, text: str) -> Any:
        try:
            value = self.convert(text)
        except (ValueError, OverflowError):
            raise ArgumentTypeError(self.unlike(text)) from None
        if not self.allows(value):
            raise ArgumentTypeError(self.unlike(text))
        return value

    def unlike(self, value: object) -> str:
        """Return the message for a value of another kind."""
        return f"expected {self.expected}, not {printable(repr(value), 80)}"


def whole_number(low: int, high: int = 2**31 - 1) -> Kind:
    """Return the kind of whole numbers from low to high."""

    def convert(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or len(text) > 40:
            raise ValueError
        return int(text)

    limit = f"from {low} to {high:,}"
    return Kind(f"a whole number {limit}", convert, lambda v: type(v) is int and low <= v <= high)


def number(expected: str, fits: Callable[[float], bool]) -> Kind:
    """Return the kind of finite numbers that meet a condition, which ``expected`` says in words."""
    return Kind(
        expected,
        float,
        lambda v: type(v) in (int, float) and math.isfinite(v) and fits(v),
    )


def choice(names: Iterable[str]) -> Kind:
    """Return the kind of a few names."""
    choices = tuple(names)
    return Kind(", ".join(choices), str, lambda v: type(v) is str and v in choices, choices)


def optional(kind: Kind) -> Kind:
    """Return the kind of these values, or None, which is written "none"."""
    return Kind(
        f"{kind.expected}; or none",
        lambda text: None if text.lower() == "none" else kind.convert(text),
        lambda v: v is None or kind.allows(v),
        kind.choices,
    )


text = Kind("a text that is not empty", str, lambda v: type(v) is str and v != "")
whole = whole_number(1)


def path_of(text: str) -> Path:
    """Return a path; an empty text, as from a shell variable that is not set, is refused."""
    if not text:
        raise ArgumentTypeError("expected a path, not an empty text")
    return Path(text)


def figure_path(text: str) -> Path:
    """Return the path of a picture to write, .png or .svg."""
    path = path_of(text)
    if path.suffix.lower() not in (".png", ".svg"):
        raise ArgumentTypeError(
            f"expected a path that ends in .png or .svg, not {printable(repr(text), 80)}"
        )
    return path


def import_plots() -> None:
    """Import `nndl.plots` and Matplotlib, which takes half a second: only what draws needs them."""
    with exit_while_importing():
        import_module("nndl.plots")
        import_module("matplotlib.backends.backend_agg")
