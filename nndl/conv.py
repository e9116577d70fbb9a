"""Convolution and max-pooling: the layers of chapter 6.

A picture is a column of height x width x maps numbers, channels last: the maps of a pixel are
adjacent. A convolution is a dense layer whose inputs are the patches of the pictures, and its
equations are those of `Dense`; `nndl.blocks` has the products. Pictures are processed in blocks
that fit into the processor's cache, by several threads if the mini-batch is large.
"""

from __future__ import annotations

from itertools import chain, pairwise
from math import prod

import numpy as np
from numpy.typing import DTypeLike

from nndl._typing import Array
from nndl.activations import Activation, sigmoid, softmax
from nndl.arrays import columns
from nndl.blocks import Block, Blocks, take, turned
from nndl.initializers import Initializer, default
from nndl.layers import Layer, Shape
from nndl.parallel import EXAMPLES, run
from nndl.patches import most_together, right_operand, together
from nndl.pooling import Later, by_place_in_pool, pool, unpool
from nndl.step import Step, Weights
from nndl.validation import check, check_functions

__all__ = ["Conv", "MaxPool", "Planes", "maps_first"]


class Planes(Shape):
    """The shape (maps, height, width) of channels-first inputs: one map after the other."""


def maps_first(nabla_x: Array, shape: Shape) -> Array:
    """Return columns with one map after the other, as of `Planes`, for pictures (h, w, maps)."""
    height, width, c = shape
    maps = nabla_x.T.reshape(-1, height * width, c).swapaxes(1, 2)
    return np.ascontiguousarray(maps).reshape(nabla_x.shape[1], -1).T


BLOCK = 2**19  # numbers in the patches of a block of pictures: 2 MiB in float32
BLOCKS = 4  # of a mini-batch that is worth threads, at least
PARTS = 16  # of nabla_w in memory at a time
LARGE = 2**20  # numbers in the outputs of a mini-batch that are worth threads


class Conv(Weights, Layer):
    """A convolution with square filters, followed by max-pooling if asked for.

    As in the book's network3, the largest of each pool x pool outputs is taken before the bias is
    added and the activation applied. For activations that never decrease, such as all of nndl's,
    this equals pooling at the end, ``Conv(20, 5)`` and then ``MaxPool(2)``; for 2 x 2 pools, bias
    and activation then take a quarter of the work.

    Parameters
    ----------
    maps : int
        Feature maps, the number of filters.
    size : int
        Height and width of a filter.
    activation : Activation
        Of each neuron: all but softmax.
    pool : int
        Height and width of a pool; 1 for no pooling. Rows and columns that do not fill a pool are
        left out.
    init : Initializer
        Fan-in is size^2 x input maps, fan-out is size^2 x maps / pool^2.
    stride : int
        Pixels from one patch to the next.
    padding : int or "same"
        Zeros around the pictures. "same" keeps height and width at stride 1; size must be odd.

    Attributes
    ----------
    w : ndarray, shape (maps, size x size x input maps)
        A row for each filter; `filters` has them as pictures.
    b : ndarray, shape (maps, 1)
        The biases; all places of a map share one.

    Raises
    ------
    ValueError
        If a number is out of range, or the activation is softmax; when the network is built, if
        the pictures are smaller than a filter or than a pool.
    TypeError
        If the activation or the initializer is not one.
    """

    buffers = (
        *(*Weights.buffers, "m", "x", "a", "blocks", "works", "later"),
        *("nabla_x", "nabla_b", "nabla_w", "delta_from"),
    )
    nabla_b: Array  # of `delta_from`
    nabla_w: Array

    def __init__(
        self,
        maps: int,
        size: int = 5,
        activation: Activation = sigmoid,
        pool: int = 1,
        init: Initializer = default,
        *,
        stride: int = 1,
        padding: int | str = 0,
    ) -> None:
        check(maps=maps, size=size, pool=pool, stride=stride)
        if padding == "same":
            if size % 2 == 0:
                raise ValueError(f"padding 'same' needs filters of odd size, not {size}")
            padding = size // 2
        check(padding=padding)
        check_functions(activation, init)
        if activation is softmax:
            raise ValueError(
                "softmax is for the last layer, which is Dense: use another activation"
            )
        self.maps, self.size, self.pool = int(maps), int(size), int(pool)
        self.stride, self.padding = int(stride), int(padding)
        self.activation, self.init = activation, init

    def build(self, shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> Shape:
        c, *sides = _check_pictures(self, shape)
        self.planes = isinstance(shape, Planes) and c > 1
        height, width = (side + 2 * self.padding for side in sides)
        if min(height, width) < self.size:
            padded = " with padding" if self.padding else ""
            raise ValueError(
                f"{self!r} is larger than its pictures of {height} x {width}{padded}: use a "
                "smaller filter"
            )
        self.shape_in, self.shape_padded = (*sides, c), (height, width, c)
        rows, across = ((side - self.size) // self.stride + 1 for side in (height, width))
        self.shape_out = _pooled(self, (rows, across, self.maps), self.pool)
        rows, across = (self.pool * n for n in self.shape_out[:2])
        self.shape_z = (rows, across, self.maps)  # of the outputs that fill pools
        k = self.size**2
        fan = (k * c, max(1, k * self.maps // self.pool**2))
        self.draw(self.init, (self.maps, k * c), rng, dtype, fan)
        self.allocate(0)
        return (self.maps, *self.shape_out[:2])

    def allocate(self, m: int) -> None:
        self.m, self.blocks, self.works = m, self.blocks_of(m), Blocks()
        self.a = columns(prod(self.shape_out), m, self.w.dtype)
        self.nabla_x = columns(prod(self.shape_in), m, self.w.dtype)
        self.delta_from: Array | None = None
        self.prepare_steps()

    def blocks_of(self, m: int) -> list[slice]:
        """Cut m pictures into blocks that fit into the cache and that threads share."""
        (height, _, c), (rows, across, maps) = self.shape_padded, self.shape_z
        largest = max(height * across * self.size * c, 2 * rows * across * maps)
        n = max(1, BLOCK // largest)
        if m >= EXAMPLES:
            n = min(n, -(-m // BLOCKS))
        work = self.w.size * across  # of a row of places
        most = min(n, most_together(work))
        n -= n % most
        ends = {*range(0, m, n), m}
        if 2 * together(m % n or n, work) < most < m % n:  # products of few pictures are slower
            ends.add(m - m % most)
        return [slice(i, j) for i, j in pairwise(sorted(ends))]

    @property
    def filters(self) -> Array:
        """The weights as pictures, (maps, input maps, size, size): a live view."""
        size = self.size
        return self.w.reshape(self.maps, size, size, -1).transpose(0, 3, 1, 2)

    def feedforward(self, x: Array) -> Array:
        outputs = columns(prod(self.shape_out), x.shape[1], self.w.dtype)
        w_t, works = right_operand(self.w), Blocks()
        for block in self.blocks_of(x.shape[1]):
            with take(works, self, block) as work:
                self._outputs(x, block, w_t, work, outputs)
        return outputs

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        if x.shape[1] != self.m:
            self.allocate(x.shape[1])
        self.x, self.delta_from, w_t = x, None, right_operand(self.w)

        for work in chain.from_iterable(self.works.values()):
            work.gathered = None  # of an earlier mini-batch

        def block(some: slice) -> Later:
            with take(self.works, self, some) as work:
                return self._outputs(x, some, w_t, work, self.a)

        self.later = run(self.m, block, self.blocks)
        return self.a

    def _outputs(self, x: Array, some: slice, w_t: Array, work: Block, outputs: Array) -> Later:
        """Compute the outputs of a block; return where the largest of each pool was."""
        a = outputs[:, some]
        z = work.z if self.pool > 1 else a.T.reshape(work.m, *self.shape_z)
        work.gather(x[:, some], some)
        np.matmul(work.patches, w_t, out=z)  #                     z = w @ x for each patch  (25)
        largest, later = pool(z.reshape(*z.shape[:2], self.pool, -1, self.maps))
        b = np.tile(self.b[:, 0], self.shape_out[1])  # for a row: longer sums are faster
        row_by_row = (*largest.shape[:2], len(b))
        z = a.T.reshape(row_by_row)
        np.add(largest.reshape(row_by_row), b, out=z)  #           + b                       (25)
        if (a_z := self.activation(a, a)) is not a:  #             a = sigma(z)              (25)
            a[...] = a_z  # an activation of the reader's own need not write into a
        return later

    def delta(self, nabla_a: Array) -> Array:
        def block(some: slice) -> None:
            nabla = nabla_a[:, some]
            delta = self.activation.delta(nabla, self.a[:, some])  # nabla_a * sigma'(z)     BP2
            if delta is not nabla:
                nabla[...] = delta

        run(self.m if nabla_a.size > LARGE else 0, block, self.blocks)
        return nabla_a

    def backward(self, delta: Array) -> Array:
        self._differentiate(delta, self.nabla_x)
        return maps_first(self.nabla_x, self.shape_in) if self.planes else self.nabla_x

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        if self.delta_from is not delta:  # nabla_x was not needed
            self._differentiate(delta, None)
        return self.nabla_b, self.nabla_w

    def _differentiate(self, delta: Array, nabla_x: Array | None) -> None:
        """Compute nabla_b and nabla_w, and nabla_x where it is asked for."""
        w_turned = None if nabla_x is None else turned(self)

        def block(some: slice, later: Later) -> tuple[Array, Array]:
            delta_a = delta[:, some].T.reshape(-1, self.maps)
            with take(self.works, self, some) as work:
                if work.gathered != some:
                    work.gather(self.x[:, some], some)
                work.unpool(delta_a, later)
                nabla_w = work.gradient()  #                       delta @ x.T               BP4
                if nabla_x is not None and w_turned is not None:
                    work.backward(w_turned, nabla_x[:, some])  #   w.T @ delta               BP2
            return work.ones @ delta_a, nabla_w  #                 delta                     BP3

        nabla_b, nabla_w = np.zeros_like(self.b[:, 0]), np.zeros_like(self.w)
        for i in range(0, len(self.blocks), PARTS):
            some = slice(i, i + PARTS)
            for part_b, part_w in run(self.m, block, self.blocks[some], self.later[some]):
                nabla_b += part_b
                nabla_w += part_w
        self.nabla_b, self.nabla_w, self.delta_from = nabla_b[:, None], nabla_w, delta

    def update(self, delta: Array, step: Step) -> None:
        nabla_b, nabla_w = self.gradient(delta)
        self.move(nabla_w, None, nabla_b, None, step)

    @property
    def shapes(self) -> str:
        pictures = ["x".join(map(str, (c, h, w))) for h, w, c in (self.shape_in, self.shape_out)]
        return " -> ".join(pictures)

    def __str__(self) -> str:
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        padding = f", padding {self.padding}" if self.padding else ""
        pool = f", pool {self.pool}" if self.pool > 1 else ""
        size = f"{self.size}x{self.size}"
        return f"Conv({self.maps}, {size}, {self.activation}{stride}{padding}{pool})"


class MaxPool(Layer):
    """The largest of each size x size neurons of a map; pools do not overlap.

    Rows and columns that do not fill a pool are left out. Where several neurons of a pool are
    equally large, the leftmost, and of these the uppermost, takes all of delta.

    Parameters
    ----------
    size : int
        Height and width of a pool.

    Raises
    ------
    ValueError
        If size is not whole and positive; when the network is built, if pictures are smaller.
    """

    buffers = ("later",)

    def __init__(self, size: int = 2) -> None:
        check(size=size)
        self.size = int(size)

    def build(self, shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> Shape:
        c, height, width = _check_pictures(self, shape)
        self.planes = isinstance(shape, Planes) and c > 1
        self.shape_in = (height, width, c)
        self.shape_out = _pooled(self, self.shape_in, self.size)
        return (c, *self.shape_out[:2])

    def feedforward(self, x: Array) -> Array:
        return self._outputs(x)[0]

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        outputs, self.later = self._outputs(x)
        return outputs

    def _outputs(self, x: Array) -> tuple[Array, Later]:
        m, (height, width, c) = x.shape[1], self.shape_in
        if self.planes:
            pictures = x.T.reshape(m, c, height, width).transpose(0, 2, 3, 1)
        else:
            pictures = x.T.reshape(m, height, width, c)
        largest, later = pool(self._pools(pictures))
        return largest.reshape(m, -1).T, later

    def backward(self, delta: Array) -> Array:
        m = delta.shape[1]
        spread = np.zeros((m, *self.shape_in), delta.dtype)
        unpool(delta.T.reshape(m, *self.shape_out), self.later, self._pools(spread))
        nabla_x = spread.reshape(m, -1).T
        return maps_first(nabla_x, self.shape_in) if self.planes else nabla_x

    def _pools(self, pictures: Array) -> Array:
        """Return a view of the pixels that fill pools, ordered for `pool`."""
        height, width = (self.size * n for n in self.shape_out[:2])
        return by_place_in_pool(pictures[:, :height, :width], self.size)

    def __repr__(self) -> str:
        return f"MaxPool({self.size})"


# Validation.


def _check_pictures(layer: object, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ValueError(
            f"{layer!r} needs pictures (maps, height, width) from the layer below or as the "
            f"network's input_shape, like (1, 28, 28), not {tuple(shape)}"
        )
    return shape


def _pooled(layer: object, shape: Shape, size: int) -> Shape:
    height, width, c = shape
    if min(height, width) < size:
        raise ValueError(
            f"{layer!r} cannot pool maps of {height} x {width}: use pools of at most "
            f"{min(height, width)}"
        )
    return height // size, width // size, c
