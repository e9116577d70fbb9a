"""Arrays that begin at a cache line, which BLAS reads and writes faster."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from nndl._typing import Array

__all__ = ["CACHE_LINE", "aligned", "aligned_copy", "columns"]

CACHE_LINE = 64  # bytes


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return an uninitialized C-contiguous array."""
    n = prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(n + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    array: Array = memory[start : start + n].view(dtype).reshape(shape)
    return array


def aligned_copy(x: ArrayLike, dtype: DTypeLike) -> Array:
    """Return a C-contiguous copy."""
    copy = aligned(np.shape(x), dtype)
    copy[...] = x
    return copy


def columns(n: int, m: int, dtype: DTypeLike) -> Array:
    """Return an uninitialized (n, m) array whose columns are contiguous, as BLAS needs them."""
    return aligned((m, n), dtype).T
