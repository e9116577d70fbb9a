"""Progress bars: on a terminal, in a notebook as a widget or as text, and nowhere else."""

from __future__ import annotations

import sys
import warnings
from typing import Any, TextIO

__all__ = ["progress_bar"]


def progress_bar(total: int, unit: str, description: str | None = None) -> Any:
    """Return a tqdm bar that disappears at its end; disabled outside terminals and notebooks.

    Notebooks get a widget if ipywidgets is installed, and otherwise text.
    """
    with warnings.catch_warnings():
        # tqdm.auto warns in notebooks without ipywidgets; a bar of text is no reason for a warning.
        warnings.filterwarnings("ignore", "IProgress not found")
        from tqdm.auto import tqdm
    stream = _watched()
    return tqdm(
        total=total,
        unit=unit,
        unit_scale=True,
        desc=description,
        leave=False,
        file=stream,
        disable=stream is None,
    )


def _watched() -> TextIO | None:
    """Return the stream for a line that is rewritten: a notebook's, a terminal's, or None."""
    # Jupyter starts a new block of output where the stream changes. On the stream of the other
    # lines, each of them replaces the bar; on standard error it would leave the bar behind.
    if _module(sys.stdout) == "ipykernel":
        return sys.stdout
    # IDLE says that it is a terminal, but gives each update a new line. Without a console, as
    # under pythonw, the streams are None.
    if sys.stderr is None or _module(sys.stderr) == "idlelib" or not sys.stderr.isatty():
        return None
    return sys.stderr


def _module(stream: TextIO | None) -> str:
    return type(stream).__module__.partition(".")[0]
