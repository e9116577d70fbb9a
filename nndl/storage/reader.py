"""What the archives share: readers that return an array only if it is as expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nndl._typing import Array

__all__ = ["DESCRIPTION", "Arrays", "Reader", "check_finite"]

Reader = Callable[[tuple[int, ...], np.dtype[Any]], Array]
"""Returns an array of a file if it has the given shape and dtype, or raises ValueError."""

Arrays = Mapping[str, Reader]

DESCRIPTION = "description.json"  # the name of the description in every archive


def check_finite(name: str, array: Array) -> None:
    """Raise ValueError if an array holds NaN or infinity."""
    # The sum of finite numbers is rarely infinite, and needs no array: only then look at each.
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum()
    if not np.isfinite(total) and not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")
