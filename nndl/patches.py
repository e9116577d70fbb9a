"""The patches of a block of pictures: what the filters of a convolution see at each place.

A patch is size x size pixels of c maps. One row of it is size x c numbers, which are contiguous in
a picture. For each column of places, `Patches` stores these numbers for every row of the picture,
one after the other. A patch is then `size` consecutive stored rows, the patch below it begins one
row later, and each number is stored size times instead of size^2.

For BLAS, the patches of one row of places are a matrix, so that a convolution is a stack of matrix
products. `numpy.matmul` computes the whole stack in one call and without the GIL. The matrices are
kept small on purpose: up to a million multiplications, OpenBLAS multiplies without copying an
operand first, which is up to 1.5 times as fast. Filters that do not begin at a cache line cost
as much.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nndl._typing import Array
from nndl.arrays import CACHE_LINE, aligned

__all__ = ["Patches", "most_together", "right_operand", "together"]

_MULTIPLICATIONS = 1_000_000


class Patches:
    """The patches of m pictures.

    Parameters
    ----------
    m : int
        Pictures of the block.
    height : int
        Of a picture.
    across : int
        The number of patches from left to right.
    size : int
        Height and width of a patch.
    c : int
        Maps of a picture.
    dtype : dtype
    """

    def __init__(
        self, m: int, height: int, across: int, size: int, c: int, dtype: np.dtype[Any]
    ) -> None:
        self.columns = aligned((m, across, height, size * c), dtype)

    def gather(self, pictures: Array, stride: int = 1, left: int = 0, pool: int = 1) -> None:
        """Copy the rows of patches from contiguous pictures (m, height, width, c).

        The first patch begins ``left`` pixels from the left, the next ``stride`` pixels later. With
        a pool, the first patch of each pool comes first, then the second of each, and so on.
        """
        by_picture, by_row, by_pixel, by_map = pictures.strides
        m, across, *patch = self.columns.shape
        shape = m, pool, across // pool, *patch
        strides = by_picture, stride * by_pixel, stride * pool * by_pixel, by_row, by_map
        self.columns.reshape(shape)[...] = _view(pictures, shape, strides, left * by_pixel)

    def rows(self, first: int, n: int, high: int, stride: int = 1, group: int = 1) -> Array:
        """Return a view of patches, (m / group, n, group x across, high x size x c).

        They are the patches of n rows of places, from the row ``first`` of the pictures on, each
        ``high`` rows high. The patches of ``group`` pictures are side by side in one matrix.
        """
        m, across, _, row = self.columns.shape
        _, by_column, by_row, by_number = self.columns.strides
        shape = m // group, n, group * across, high * row
        strides = group * across * by_column, stride * by_row, by_column, by_number
        return _view(self.columns, shape, strides, first * by_row)


def most_together(multiplications: int) -> int:
    """Return how many pictures to put into one product, given the multiplications for one."""
    return max(1, _MULTIPLICATIONS // multiplications)


def together(m: int, multiplications: int) -> int:
    """Return the same for m pictures, which it divides."""
    return next(n for n in range(most_together(multiplications), 0, -1) if m % n == 0)


def right_operand(w: Array) -> Array:
    """Return a copy of w.T, (k, n) for w (n, k), in the layout that is multiplied fastest.

    Rows, or columns, begin at cache lines. Columns are faster for OpenBLAS if rows are long
    enough and their number does not fill its registers.
    """
    n, k = w.shape
    by_rows = n % 32 == 0 or k < 128
    source = w.T if by_rows else w
    line = CACHE_LINE // w.itemsize
    copy = aligned((len(source), -(-source.shape[1] // line) * line), w.dtype)
    copy = copy[:, : source.shape[1]]
    copy[...] = source
    return copy if by_rows else copy.T


def _view(x: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
    """Return a view of contiguous x, as NumPy's as_strided does in ten times the time."""
    view: Array = np.ndarray(shape, x.dtype, x, offset, strides)
    return view
