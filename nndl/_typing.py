"""The one type alias that every module shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array"]

Array = NDArray[np.floating[Any]]
"""float32 or float64; between layers a matrix of columns, shape (n, m) for m examples."""
