"""Histories on disk: plain JSON, a line for each series."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nndl.files import LONGEST_PATH, read_regular, write_text
from nndl.storage.schema import LARGEST_JSON, check, loads
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
        If its series differ in length, or it holds something that is not plain JSON.
    OSError
        If the file cannot be written; the old one is as it was.
    """
    check_lengths(history.epochs)
    series = [f"  {_dumps(key)}: {_dumps(values)}" for key, values in history.epochs.items()]
    rest = [key for key in HISTORY if key != "epochs"]
    lines = [f" {_dumps(key)}: {_dumps(getattr(history, key))}" for key in rest]
    epochs = "{\n" + ",\n".join(series) + "\n }" if series else "{}"
    write_text(path, "{\n" + ",\n".join([f' "epochs": {epochs}', *lines]) + "\n}\n")


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


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
        content = loads(read_regular(path, LARGEST_JSON))
        check(content, HISTORY, "it")
        check_lengths(content["epochs"])
        return History(**content)
    except ValueError as error:
        raise ValueError(
            f"{printable(path, LONGEST_PATH)} is not a History written by nndl: "
            f"{printable(error, 500)}"
        ) from None


def check_lengths(epochs: Mapping[str, list[float]]) -> None:
    """Raise ValueError unless all series have an entry for each epoch."""
    lengths = {key: len(series) for key, series in epochs.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"its series must have an entry for each epoch, but have {printable(lengths)}"
        )
