"""The patches of a block of pictures, and their products with the filters of a convolution.

A patch is what a filter sees at one place: size x size pixels of c maps. The arrays are laid out
so that the products for all patches of a block are a few large matrix products, and so that little
is copied. Places are ordered by row, then picture, then column: for a block of m pictures, z and
delta are (rows, m x across, maps). Filters are (size, maps, size x c): row by row.

`Rows` holds the rows of patches, size x c numbers that lie side by side in a picture. A row
belongs to as many as size patches, one above the other, and is gathered once for all of them.
`Whole` holds whole patches, which is faster for pictures of a few maps.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from nndl._typing import Array
from nndl.blas import gemm_of_large

__all__ = ["Patches", "Rows", "Whole"]

Shape = tuple[int, ...]


class Patches(Protocol):
    """What both layouts can do.

    Parameters
    ----------
    m : int
        Pictures of the block.
    shape : (height, width, c)
        Of a picture, with its padding.
    places : (rows, across)
        The number of patches in a picture.
    size, stride : int
        Of the filters.
    dtype : dtype
    """

    def __init__(
        self, m: int, shape: Shape, places: Shape, size: int, stride: int, dtype: np.dtype[Any]
    ) -> None: ...

    def gather(self, pictures: Array) -> None:
        """Copy the patches x of pictures (m, height, width, c)."""

    def times(self, filters: Array, z: Array) -> None:
        """Compute z = w @ x, (rows, m x across, maps)."""

    def gradient(self, delta: Array) -> Array:
        """Return delta @ x.T, shaped like the filters, for delta (rows, m x across, maps)."""

    def transposed(self, filters: Array, delta: Array) -> None:
        """Replace the patches by w.T @ delta."""

    def scatter(self, pictures: Array) -> None:
        """Add the patches up, where they overlap, into pictures (m, height, width, c)."""


class Rows(Patches):
    """Rows of patches, (height, m x across, size x c); with a stride (size, rows, ...)."""

    def __init__(
        self, m: int, shape: Shape, places: Shape, size: int, stride: int, dtype: np.dtype[Any]
    ) -> None:
        (height, _, c), (rows, across) = shape, places
        self.gemm, self.size, self.stride, self.places = gemm_of_large(dtype), size, stride, places
        down = (height,) if stride == 1 else (size, rows)
        self.array = np.empty((*down, m, across, size * c), dtype)
        lines = self.array.reshape(*down, m * across, size * c)
        # Row i of the filters sees rows i, i + stride, ... of the pictures.
        self.lines = [lines[i : i + rows] for i in range(size)] if stride == 1 else list(lines)
        self.not_first = lines[rows:] if stride == 1 else lines[:0]

    def gather(self, pictures: Array) -> None:
        pictures, stride = np.ascontiguousarray(pictures), self.stride
        by_picture, by_row, by_pixel, by_map = pictures.strides
        down = (by_row,) if stride == 1 else (by_row, stride * by_row)
        strides = (*down, by_picture, stride * by_pixel, by_map)
        self.array[...] = _strided(pictures, self.array.shape, strides)

    def times(self, filters: Array, z: Array) -> None:
        z_t, beta = _flat(z).T, 0.0
        for w, x in zip(filters, self.lines, strict=True):
            self.gemm(1.0, w.T, _flat(x).T, beta, z_t, 1)
            beta = 1.0

    def gradient(self, delta: Array) -> Array:
        # One product for each row of places: small enough for BLAS to work without copies.
        delta_t = delta.swapaxes(1, 2)
        return np.stack([(delta_t @ x).sum(axis=0) for x in self.lines])

    def transposed(self, filters: Array, delta: Array) -> None:
        delta_t, beta = _flat(delta).T, 0.0
        self.not_first[...] = 0
        for w, x in zip(filters, self.lines, strict=True):
            self.gemm(1.0, w.T, delta_t, beta, _flat(x).T)
            beta = 1.0 if self.stride == 1 else 0.0

    def scatter(self, pictures: Array) -> None:
        (rows, across), stride = self.places, self.stride
        lines = self.array.reshape(*self.array.shape[:-1], self.size, pictures.shape[3])
        if stride == 1:
            pictures[:, :, :across] = lines[..., 0, :].swapaxes(0, 1)
            pictures[:, :, across:] = 0
            for j in range(1, self.size):
                pictures[:, :, j : j + across] += lines[..., j, :].swapaxes(0, 1)
            return
        pictures[...] = 0
        for i, j in np.ndindex(self.size, self.size):
            last_i, last_j = i + rows * stride, j + across * stride
            part = lines[i, :, :, :, j].swapaxes(0, 1)
            pictures[:, i:last_i:stride, j:last_j:stride] += part


class Whole(Patches):
    """Whole patches, (size, size, c, rows, m, across)."""

    def __init__(
        self, m: int, shape: Shape, places: Shape, size: int, stride: int, dtype: np.dtype[Any]
    ) -> None:
        (_, _, c), (rows, across) = shape, places
        self.gemm, self.size, self.stride, self.places = gemm_of_large(dtype), size, stride, places
        self.array = np.empty((size, size, c, rows, m, across), dtype)
        self.x = self.array.reshape(size * size * c, rows, m * across)
        self.x_t = self.x.reshape(len(self.x), -1).T

    def gather(self, pictures: Array) -> None:
        pictures = np.ascontiguousarray(pictures)
        by_picture, by_row, by_pixel, by_map = pictures.strides
        by_place = (self.stride * by_row, by_picture, self.stride * by_pixel)
        strides = (by_row, by_pixel, by_map, *by_place)
        self.array[...] = _strided(pictures, self.array.shape, strides)

    def times(self, filters: Array, z: Array) -> None:
        self.gemm(1.0, _whole(filters).T, self.x_t, 0.0, _flat(z).T, 1, 1)

    def gradient(self, delta: Array) -> Array:
        nabla: Array = (delta.swapaxes(1, 2) @ self.x.transpose(1, 2, 0)).sum(axis=0)
        return nabla.reshape(len(nabla), self.size, -1).swapaxes(0, 1)

    def transposed(self, filters: Array, delta: Array) -> None:
        self.gemm(1.0, _flat(delta).T, _whole(filters).T, 0.0, self.x_t, 1, 1)

    def scatter(self, pictures: Array) -> None:
        (rows, across), stride = self.places, self.stride
        pictures[...] = 0
        for i, j in np.ndindex(self.size, self.size):
            last_i, last_j = i + rows * stride, j + across * stride
            pictures[:, i:last_i:stride, j:last_j:stride] += self.array[i, j].transpose(2, 1, 3, 0)


def _strided(x: Array, shape: Shape, strides: Shape) -> Array:
    """Return a view of contiguous x, as NumPy's as_strided does in ten times the time."""
    view: Array = np.ndarray(shape, x.dtype, x, 0, strides)
    return view


def _flat(x: Array) -> Array:
    """Return a view with a row for each place."""
    return x.reshape(-1, x.shape[-1])


def _whole(filters: Array) -> Array:
    """Return filters (size, maps, size x c) as weights (maps, size x size x c)."""
    return np.ascontiguousarray(filters.swapaxes(0, 1).reshape(filters.shape[1], -1))
