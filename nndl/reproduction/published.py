"""The numbers that the book and its author published, as data.

From the book's text and from the JSON files in ``fig/`` of the author's repository
mnielsen/neural-networks-and-deep-learning, commit 72db53d.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TypedDict

__all__ = ["Published", "published"]


class Published(TypedDict):
    """A published series: the epochs it covers (-1 is the last) and its curves.

    ``curves`` maps the name of a curve ("" if there is only one) to its quantities:
    "evaluation_correct" and "training_correct" (counts), "evaluation_cost", "training_cost", and
    chapter 5's "norm" and "gradient". Each has one value for each of ``epochs``.
    """

    epochs: list[int]
    curves: dict[str, dict[str, list[float]]]


@cache
def published() -> dict[str, Published]:
    """Return all published series by the name of their record."""
    text = files("nndl.reproduction").joinpath("published.json").read_text(encoding="utf-8")
    series: dict[str, Published] = json.loads(text)
    return series
