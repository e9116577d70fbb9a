"""Histories on disk: plain JSON, a line for each series."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nndl.files import LONGEST_PATH, read_regular, write_text
from nndl.storage.schema import LARGEST_JSON, check, dumps, loads
from nndl.text import printable
from nndl.training import History

__all__ = ["HISTORY", "MOST_EPOCHS", "check_lengths", "load_history", "save_history"]

MOST_EPOCHS = 2**31 - 1
HISTORY: dict[str, Any] = {  # a schema of `nndl.storage.schema.check`
    "epochs": {str: [float, MOST_EPOCHS]},
    "settings": dict,
    "environment": dict,
    "ended": str,
    "best_epoch": (range(MOST_EPOCHS),),
}


def save_history(history: History, path: str | Path) -> None:
    """Write a History as JSON, atomically.

    Raises
    ------
    ValueError
        If its series differ in length, its best epoch is none of its epochs, or it holds something
        that is not plain JSON.
    OSError
        If the file cannot be written; the old one is as it was.
    """
    series = [f"  {dumps(key)}: {dumps(values)}" for key, values in history.epochs.items()]
    rest = [key for key in HISTORY if key != "epochs"]
    lines = [f" {dumps(key)}: {dumps(getattr(history, key))}" for key in rest]
    epochs = "{\n" + ",\n".join(series) + "\n }" if series else "{}"
    text = "{\n" + ",\n".join([f' "epochs": {epochs}', *lines]) + "\n}\n"
    try:
        _parse(raw := text.encode(), max(len(raw), LARGEST_JSON))
    except ValueError as error:
        raise ValueError(f"the History cannot be saved: {printable(error, 500)}") from None
    write_text(path, text)


def load_history(path: str | Path) -> History:
    """Read what `save_history` wrote, at most 16 MiB.

    Raises
    ------
    ValueError
        If the file is larger, or holds something else.
    OSError
        If the file cannot be read, or is not a regular file.
    """
    try:
        return History(**_parse(read_regular(path, LARGEST_JSON)))
    except ValueError as error:
        raise ValueError(
            f"{printable(path, LONGEST_PATH)} is not a History written by nndl: "
            f"{printable(error, 500)}"
        ) from None


def _parse(raw: bytes, most: int = LARGEST_JSON) -> dict[str, Any]:
    """Return the content of a file, or raise ValueError."""
    content: dict[str, Any] = loads(raw, most)
    check(content, HISTORY, "it")
    check_lengths(content["epochs"], content["best_epoch"])
    return content


def check_lengths(epochs: Mapping[str, list[float]], best: int | None = None) -> None:
    """Raise ValueError unless all series have an entry for each epoch, the best one included."""
    lengths = {key: len(series) for key, series in epochs.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"its series must have an entry for each epoch, but have {printable(lengths)}"
        )
    if best is not None and best >= max(lengths.values(), default=0):
        raise ValueError(f"its best epoch, {best}, is not one of its epochs")
