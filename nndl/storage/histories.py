"""Histories on disk: plain JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nndl.files import write_text
from nndl.storage.schema import check
from nndl.training import History

__all__ = ["HISTORY", "load_history", "save_history"]

HISTORY: dict[str, Any] = {  # as `nndl.storage.schema.check` has it
    "epochs": {str: [float]},
    "settings": dict,
    "environment": dict,
    "ended": str,
    "best_epoch": (range(2**31),),
}


def save_history(history: History, path: str | Path) -> None:
    """Write a History as JSON, atomically."""
    write_text(path, json.dumps(asdict(history), indent=1) + "\n")


def load_history(path: str | Path) -> History:
    """Read what `save_history` wrote.

    Raises
    ------
    ValueError
        If the file holds something else.
    OSError
        If the file cannot be read.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        check(content, HISTORY, "it")
        lengths = {key: len(series) for key, series in content["epochs"].items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"its series should be of one length, but have {lengths}")
        return History(**content)
    except ValueError as error:  # of the encoding and of the JSON too
        raise ValueError(f"{path} is not a History written by nndl: {error}") from None
