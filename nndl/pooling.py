"""Max-pooling of pictures whose pixels are ordered by their place in a pool.

Arrays are (..., rows, pool, across, maps): of a row of pixels, those at the left of their pools
come first, then their right neighbors, and so on. Loops over them are longer than over every second
pixel, and so faster.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nndl._typing import Array

__all__ = ["Later", "by_place_in_pool", "pool", "unpool"]

Later = tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]]
"""For rows, then columns: where the second, third, ... of a pool is larger than those before."""


def by_place_in_pool(pictures: Array, size: int) -> Array:
    """Return a view of (..., rows, width, maps) as (..., rows, pool, across, maps)."""
    *others, width, maps = pictures.shape
    return pictures.reshape(*others, width // size, size, maps).swapaxes(-3, -2)


def pool(z: Array) -> tuple[Array, Later]:
    """Return the largest of each pool, (..., rows / pool, across, maps), and where it was."""
    size = z.shape[-3]
    largest, rows = _largest([z[..., i::size, :, :, :] for i in range(size)])
    largest, across = _largest([largest[..., i, :, :] for i in range(size)])
    return largest, (rows, across)


def _largest(parts: list[Array]) -> tuple[Array, list[NDArray[np.bool_]]]:
    largest, later = parts[0], []
    for part in parts[1:]:
        later.append(part > largest)
        largest = np.maximum(part, largest)
    return largest, later


def unpool(delta: Array, later: Later, out: Array) -> None:
    """Write each delta into ``out`` where the largest of its pool was, and 0 beside it."""
    (rows, across), size = later, out.shape[-3]
    if size == 1:
        out[..., 0, :, :] = delta
        return
    wide = np.empty((*delta.shape[:-2], size, *delta.shape[-2:]), delta.dtype)
    _scatter(delta, across, [wide[..., i, :, :] for i in range(size)])
    _scatter(wide, rows, [out[..., i::size, :, :, :] for i in range(size)])


def _scatter(delta: Array, later: list[NDArray[np.bool_]], parts: list[Array]) -> None:
    """Write delta to the last part that was larger than those before it, and 0 to the others."""
    for part, larger in zip(parts[:0:-1], later[::-1], strict=True):
        part[...] = taken = delta * larger  # in two steps, which are faster if part has gaps
        delta = np.subtract(delta, taken, out=parts[0])
