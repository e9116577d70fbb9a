"""The products of a convolution for a block of pictures, in arrays that are used again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nndl._typing import Array
from nndl.arrays import aligned
from nndl.patches import Patches, right_operand, together
from nndl.pooling import Later, by_place_in_pool, unpool

if TYPE_CHECKING:
    from nndl.conv import Conv

__all__ = ["Block", "Blocks", "take", "turned"]


class Block:
    """A block of m pictures in one thread: its arrays and products.

    Delta is treated as a picture with patches of its own: a pixel of nabla_x gets the sum over the
    outputs that saw it, which are the size x size around it, with the filters turned by 180
    degrees. Outputs are as far apart as the stride, between zeros.
    """

    def __init__(self, conv: Conv, m: int) -> None:
        self.conv, self.m, self.dtype = conv, m, conv.w.dtype
        (height, _, c), (rows, across, _) = conv.shape_padded, conv.shape_z
        self.x = Patches(m, height, across, conv.size, c, self.dtype)
        self.patches = self.x.rows(0, rows, conv.size, conv.stride)
        self.gathered: slice | None = None
        self.ones = np.ones(m * prod(conv.shape_out[:2]), self.dtype)

    @cached_property
    def z(self) -> Array:
        """Buffer for the weighted inputs before pooling, (m, rows, across, maps)."""
        return aligned((self.m, *self.conv.shape_z), self.dtype)

    @cached_property
    def padded(self) -> tuple[Array, Array]:
        """Pictures between zeros, and a view of them without."""
        p, (height, width, _) = self.conv.padding, self.conv.shape_in
        pictures = np.zeros((self.m, *self.conv.shape_padded), self.dtype)
        return pictures, pictures[:, p : p + height, p : p + width]

    def gather(self, x: Array, some: slice) -> None:
        """Gather the patches of the columns x, which are some of the mini-batch."""
        height, width, c = self.conv.shape_in
        if self.conv.planes:
            pictures = x.T.reshape(self.m, c, height, width).transpose(0, 2, 3, 1)
        else:
            pictures = x.T.reshape(self.m, height, width, c)
        if self.conv.padding:
            pictures, inside = self.padded[0], pictures
            self.padded[1][...] = inside
        self.x.gather(np.ascontiguousarray(pictures), self.conv.stride, pool=self.conv.pool)
        self.gathered = some

    @cached_property
    def delta(self) -> tuple[Array, Array]:
        """Pictures of delta between zeros, and a view of them without, (m, rows, across, maps)."""
        size, stride, (rows, across, maps) = self.conv.size, self.conv.stride, self.conv.shape_z
        width = self.conv.shape_padded[1] + size - 1
        pictures = np.zeros((self.m, (rows - 1) * stride + 1, width, maps), self.dtype)
        return pictures, pictures[:, ::stride, size - 1 : size + (across - 1) * stride : stride]

    @cached_property
    def delta_patches(self) -> Patches:
        """The patches of delta that are seen by the pixels without padding."""
        _, width, _ = self.conv.shape_in
        rows, maps = self.delta[0].shape[1], self.conv.maps
        return Patches(self.m, rows, width, self.conv.size, maps, self.dtype)

    @cached_property
    def delta_of_groups(self) -> tuple[int, Array, Array]:
        """The size of a group of pictures, its delta as matrices, and the same as pictures."""
        (rows, across, maps), pool = self.conv.shape_z, self.conv.pool
        group = together(self.m, self.conv.w.size * across)
        delta = aligned((self.m // group, rows, group, pool, across // pool, maps), self.dtype)
        matrices = delta.reshape(self.m // group, rows, -1, maps).swapaxes(2, 3)
        return group, matrices, delta.swapaxes(1, 2)

    @cached_property
    def rows_of_nabla_x(self) -> list[tuple[slice, int, slice]]:
        """Rows of nabla_x, the first row of delta for them, and the rows of the `turned` filters.

        Rows near the edge are seen only through some rows of the filters.
        """
        size, padding = self.conv.size, self.conv.padding
        rows, height = self.delta[0].shape[1], self.conv.shape_in[0]

        def seen(y: int) -> tuple[int, int]:  # first and last row of the turned filters
            return max(0, size - 1 - y), min(size, rows + size - 1 - y)

        result = []
        for (first, last), ys in groupby(range(padding, padding + height), seen):
            n, (top, *_, bottom) = size * self.conv.maps, 2 * list(ys)
            some = slice(top - padding, bottom + 1 - padding)
            result.append((some, max(0, top - size + 1), slice(first * n, max(first, last) * n)))
        return result

    def unpool(self, delta: Array, later: Later) -> None:
        """Set delta of z: 0 for outputs that were not the largest of their pool."""
        group, _, out = self.delta_of_groups
        rows, across = ([_grouped(part, group) for part in parts] for parts in later)
        delta = _grouped(delta.reshape(self.m, *self.conv.shape_out), group)
        unpool(delta, (rows, across), out)

    def gradient(self) -> Array:
        """Return delta @ x.T, (maps, size x size x c)."""
        group, matrices, _ = self.delta_of_groups
        x = self.x.rows(0, self.conv.shape_z[0], self.conv.size, self.conv.stride, group)
        nabla_w: Array = (matrices[0] @ x[0]).sum(axis=0)
        for delta_group, x_group in zip(matrices[1:], x[1:], strict=True):
            nabla_w += (delta_group @ x_group).sum(axis=0)
        return nabla_w

    def backward(self, w_turned: Array, nabla_x: Array) -> None:
        """Compute w.T @ delta for the columns nabla_x: turned filters over the patches of delta."""
        out = nabla_x.T.reshape(self.m, *self.conv.shape_in)
        group, _, delta = self.delta_of_groups
        _grouped(by_place_in_pool(self.delta[1], self.conv.pool), group)[...] = delta
        self.delta_patches.gather(self.delta[0], left=self.conv.padding)
        for some, first, rows_of_w in self.rows_of_nabla_x:
            n = some.stop - some.start
            w = w_turned[rows_of_w]
            if len(w):
                high = len(w) // (self.conv.size * self.conv.maps)
                np.matmul(self.delta_patches.rows(first, n, high), w, out=out[:, some])
            else:
                out[:, some] = 0


Blocks = dict[int, list[Block]]
"""Blocks that no thread works on, by the number of pictures."""


@contextmanager
def take(blocks: Blocks, conv: Conv, some: slice) -> Iterator[Block]:
    """Take the arrays for some pictures from ``blocks``, or make them, and return them later."""
    of_this_size = blocks.setdefault(m := some.stop - some.start, [])
    try:
        block = of_this_size.pop()
    except IndexError:
        block = Block(conv, m)
    yield block
    of_this_size.append(block)


def turned(conv: Conv) -> Array:
    """Return the filters turned by 180 degrees, (size x size x maps, input maps)."""
    w = conv.w.reshape(conv.maps, conv.size, conv.size, -1)[:, ::-1, ::-1]
    return right_operand(w.transpose(3, 1, 2, 0).reshape(w.shape[3], -1))


def _grouped(pictures: NDArray[Any], group: int) -> NDArray[Any]:
    """Return a view of pictures (m, ...) as (m / group, group, ...)."""
    return pictures.reshape(-1, group, *pictures.shape[1:])
