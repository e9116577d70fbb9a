"""Convolution and max-pooling: the layers of chapter 6.

A picture is a column of height x width x maps numbers, the maps of a pixel side by side. A
convolution is a dense layer whose inputs are the patches of the pictures. Forward, the K numbers of
each patch are gathered into a column, (K, m x patches), and the equation is that of `Dense`.
Backward, no patches are gathered: each of the size x size pixels of a filter multiplies a shifted
copy of the picture, so that each equation is a sum over the pixels of a filter.

Pictures are processed in blocks that fit into the processor's cache.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from nndl._typing import Array
from nndl.activations import Activation, sigmoid, softmax
from nndl.blas import Adder, accumulate, add_scaled, columns, gemm_of
from nndl.initializers import Initializer, default
from nndl.layers import Layer, Shape
from nndl.step import Step, Weights
from nndl.validation import check, check_functions

__all__ = ["Conv", "MaxPool", "Planes"]


class Planes(Shape):
    """The shape (maps, height, width) of inputs that hold one map after the other, as rows do."""


CACHE = 2**19  # numbers that the patches of a block of pictures may have: 1 MiB in float32
LARGEST = 2**24  # numbers that the outputs of a block may have, however few weights make them
FEW_MAPS = 24  # up to so many input maps, the backward pass is faster by patches than by shifts


class Conv(Weights, Layer):
    """A convolution with square filters, followed by max-pooling if asked for.

    As in the book's network3, the largest of each pool x pool outputs is taken before the bias is
    added and the activation applied. For monotonic activations, and all accepted ones are, this
    equals pooling at the end, ``Conv(20, 5)`` and then ``MaxPool(2)``, with a quarter of
    the work for 2 x 2.

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

    Raises
    ------
    ValueError
        If a number is out of range, or the activation is softmax; when the network is built, if
        the pictures are smaller than a filter or than a pool.
    """

    buffers = ("m", "x", "a", "work", "nabla_x", "nabla_w", "later", "delta_from")

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
        if padding == "same":
            if not isinstance(size, int) or size % 2 == 0:
                raise ValueError(f"padding 'same' needs filters of odd size, not {size!r}")
            padding = size // 2
        check(maps=maps, size=size, pool=pool, stride=stride, padding=padding)
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
            raise ValueError(
                f"{self!r} is larger than its pictures of {height} x {width}: use a smaller filter"
            )
        self.shape_in, self.shape_padded = (*sides, c), (height, width, c)
        rows, across = ((side - self.size) // self.stride + 1 for side in (height, width))
        self.shape_z = (rows, across, self.maps)
        self.shape_out = _pooled(self, self.shape_z, self.pool)
        k = self.size**2
        fan = (k * c, max(1, k * self.maps // self.pool**2))
        self.draw(self.init, (self.maps, k * c), rng, dtype, fan)
        self.allocate(0)
        return (self.maps, *self.shape_out[:2])

    def allocate(self, m: int) -> None:
        dtype = self.w.dtype
        self.m, self.work = m, _Block(self, m)
        self.a, self.nabla_x = (columns(prod(s), m, dtype) for s in (self.shape_out, self.shape_in))
        self.nabla_w = np.empty_like(self.w)
        self.delta_from: Array | None = None
        self.later: list[Later] = []
        self.prepare_steps()

    def adder(self, w: Array) -> Adder:
        def add(nabla: Array, _: Array, alpha: float, beta: float) -> None:
            w[...] *= beta
            add_scaled(w, alpha, nabla)

        return add

    @property
    def filters(self) -> Array:
        """The weights as pictures, (maps, input maps, size, size): a live view."""
        size = self.size
        return self.w.reshape(self.maps, size, size, -1).transpose(0, 3, 1, 2)

    def feedforward(self, x: Array) -> Array:
        m = x.shape[1]
        work, outputs = _Block(self, m), columns(prod(self.shape_out), m, self.w.dtype)
        for block in work.blocks(m):
            self._outputs(x[:, block], work, outputs[:, block])
        return outputs

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        if x.shape[1] != self.m:
            self.allocate(x.shape[1])
        self.x, self.delta_from = x, None
        self.later = [
            self._outputs(x[:, block], self.work, self.a[:, block])
            for block in self.work.blocks(self.m)
        ]
        return self.a

    def _outputs(self, x: Array, work: _Block, a: Array) -> Later:
        """Compute the outputs of a block into ``a``; return where the largest of each pool was."""
        m = x.shape[1]
        patches, z = work.patches_of(x), work.z[:, : m * prod(self.shape_z[:2])]
        gemm_of(z)(1.0, self.w.T, patches, 0.0, z, 1, 0, 1)  #     z = w @ x for each patch  (25)
        largest, later = _pool(z.T.reshape(m, *self.shape_z), self.shape_out, self.pool)
        z = largest.reshape(-1, self.maps).T
        gemm_of(z)(1.0, self.b, work.ones[:, : z.shape[1]], 1.0, z, 0, 0, 1)  #  + b         (25)
        self.activation(z, a.T.reshape(-1, self.maps).T)  #        a = sigma(z)              (25)
        return later

    def delta(self, nabla_a: Array) -> Array:
        return self.activation.delta(nabla_a, self.a)  #           nabla_a * sigma'(z)       BP2

    def backward(self, delta: Array) -> Array:
        self._differentiate(delta, self.nabla_x)
        return self.nabla_x

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        if self.delta_from is not delta:  # nabla_x was not needed
            self._differentiate(delta, None)
        nabla_b: Array = delta.T.reshape(-1, self.maps).T.sum(axis=1, keepdims=True)  #      BP3
        return nabla_b, self.nabla_w.copy()

    def _differentiate(self, delta: Array, nabla_x: Array | None) -> None:
        """Compute nabla_w, and with it nabla_x where it is asked for, block by block."""
        self.nabla_w[...] = 0
        self.delta_from = delta
        for block, later in zip(self.work.blocks(self.m), self.later, strict=True):
            delta_z = self.work.spread(delta[:, block], later)
            if nabla_x is not None:
                self.work.transposed(delta_z, nabla_x[:, block])  # w.T @ delta              BP2
            self.work.gradient(delta_z, self.x[:, block], self.nabla_w)  # delta @ x.T       BP4

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


class _Block:
    """The arrays that a block of pictures is worked on in, and the products over its patches.

    delta is kept in a grid as large as the padded pictures, with 0 wherever no patch begins. Then
    pixel (i, j) of all filters, at once, is a shift of the grid by i rows and j pixels.
    """

    def __init__(self, conv: Conv, m: int) -> None:
        self.conv, dtype = conv, conv.w.dtype
        (height, width, c), (rows, across, maps) = conv.shape_padded, conv.shape_z
        size, stride = conv.size, conv.stride
        self.m = min(m, max(1, CACHE // (conv.w.shape[1] * rows * across)))
        self.m = min(self.m, max(1, LARGEST // (height * width * maps)))
        self.patches = columns(conv.w.shape[1], self.m * rows * across, dtype)
        self.z = columns(maps, self.m * rows * across, dtype)
        self.ones = np.ones((1, self.m * rows * across), dtype)
        self.padded = np.zeros((self.m, height, width, c), dtype)
        self.nabla = np.zeros_like(self.padded)
        self.grid = np.zeros((self.m, height, width, maps), dtype)
        self.begins = (
            slice(None),
            slice(0, rows * stride, stride),
            slice(0, across * stride, stride),
        )
        self.shifts = [i * width + j for i in range(size) for j in range(size)]
        self.length = height * width - self.shifts[-1]  # pixels that a patch can begin at

    def blocks(self, m: int) -> list[slice]:
        """Return the blocks of m pictures."""
        return [slice(i, min(i + self.m, m)) for i in range(0, m, self.m or 1)]

    def pictures(self, x: Array) -> Array:
        """Return the columns x as pictures (m, height, width, c), padded."""
        conv, m = self.conv, x.shape[1]
        height, width, c = conv.shape_in
        if conv.planes:
            pictures = x.T.reshape(m, c, height, width).transpose(0, 2, 3, 1)
        else:
            pictures = x.T.reshape(m, height, width, c)
        if conv.padding or conv.planes:
            p = conv.padding
            self.padded[:m, p : p + height, p : p + width] = pictures
            return self.padded[:m]
        return np.ascontiguousarray(pictures)

    def patches_of(self, x: Array) -> Array:
        """Return the patches of the columns x, (K, m x patches).

        A row of a patch, size x c numbers, lies together in the picture and is copied together.
        """
        pictures, (rows, across, _) = self.pictures(x), self.conv.shape_z
        size, stride, c = self.conv.size, self.conv.stride, pictures.shape[3]
        by_picture, by_row, by_pixel, by_map = pictures.strides
        strides = (by_picture, stride * by_row, stride * by_pixel, by_row, by_map)
        shape = (len(pictures), rows, across, size, size * c)
        patches = self.patches[:, : prod(shape[:3])]
        patches.T.reshape(shape)[...] = as_strided(pictures, shape, strides)
        return patches

    def spread(self, delta: Array, later: Later) -> Array:
        """Return delta where each patch begins, (m, height, width, maps), before the pooling.

        An output that was not the largest of its pool had no influence: its delta is 0.
        """
        m, grid = delta.shape[1], self.grid[: delta.shape[1]]
        _unpool(delta.T.reshape(m, *self.conv.shape_out), later, self.conv.pool, grid[self.begins])
        return grid

    def transposed(self, delta_z: Array, nabla_x: Array) -> None:
        """Compute w.T @ delta for all patches into the columns nabla_x."""
        conv, m = self.conv, len(delta_z)
        height, width, c = conv.shape_in
        out = nabla_x.T.reshape(m, height, width, c)
        nabla = self.nabla[:m] if conv.padding else out
        nabla[...] = 0
        filters = np.ascontiguousarray(conv.w.reshape(conv.maps, -1, c).swapaxes(0, 1))
        if c <= FEW_MAPS:
            self._by_patches(filters, delta_z, nabla)
        else:
            self._by_shifts(filters, delta_z, nabla)
        if conv.padding:
            p = conv.padding
            out[...] = nabla[:, p : p + height, p : p + width]

    def _by_shifts(self, filters: Array, delta_z: Array, nabla: Array) -> None:
        gemm, n, (m, _, _, c) = gemm_of(nabla), self.length, nabla.shape
        deltas = delta_z.reshape(m, -1, self.conv.maps)
        for picture, delta in zip(nabla.reshape(m, -1, c), deltas, strict=True):
            delta_t = delta[:n].T
            for w, s in zip(filters, self.shifts, strict=True):
                gemm(1.0, w.T, delta_t, 1.0, picture[s : s + n].T, 0, 0, 1)

    def _by_patches(self, filters: Array, delta_z: Array, nabla: Array) -> None:
        (rows, across, maps), size, stride = self.conv.shape_z, self.conv.size, self.conv.stride
        delta = delta_z[self.begins].reshape(-1, maps)
        gemm, part = gemm_of(nabla), columns(nabla.shape[3], len(delta), nabla.dtype)
        pixels = part.T.reshape(-1, rows, across, nabla.shape[3])
        for w, (i, j) in zip(filters, np.ndindex(size, size), strict=True):
            gemm(1.0, w.T, delta.T, 0.0, part, 0, 0, 1)
            last_i, last_j = i + rows * stride, j + across * stride
            nabla[:, i:last_i:stride, j:last_j:stride] += pixels

    def gradient(self, delta_z: Array, x: Array, nabla_w: Array) -> None:
        """Add delta @ x.T over all patches to nabla_w."""
        conv, gemm, m = self.conv, gemm_of(nabla_w), len(delta_z)
        maps, c = conv.maps, conv.shape_in[2]
        if c <= FEW_MAPS:
            # The patches of a mini-batch that is one block are still there from the forward pass.
            whole = self.patches[:, : m * prod(conv.shape_z[:2])]
            patches = whole if m == conv.m else self.patches_of(x)
            delta = delta_z[self.begins].reshape(-1, maps)
            accumulate(nabla_w, len(delta))(delta.T, patches, 1.0, 1.0)
            return
        pictures, n = self.pictures(x).reshape(m, -1, c), self.length
        nabla = np.zeros((len(self.shifts), maps, c), nabla_w.dtype)
        for picture, delta in zip(pictures, delta_z.reshape(m, -1, maps), strict=True):
            delta_t = delta[:n].T
            for nabla_k, s in zip(nabla, self.shifts, strict=True):
                gemm(1.0, picture[s : s + n].T, delta_t, 1.0, nabla_k.T, 0, 1, 1)
        nabla_w += nabla.swapaxes(0, 1).reshape(maps, -1)


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
        largest, later = _pool(pictures, self.shape_out, self.size)
        return largest.reshape(m, -1).T, later

    def backward(self, delta: Array) -> Array:
        m = delta.shape[1]
        spread = np.zeros((m, *self.shape_in), delta.dtype)
        _unpool(delta.T.reshape(m, *self.shape_out), self.later, self.size, spread)
        return spread.reshape(m, -1).T

    def __repr__(self) -> str:
        return f"MaxPool({self.size})"


# Pooling of pictures, (m, height, width, maps).

Later = tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]]
"""For rows, then columns: where the second, third, ... of a pool is larger than those before."""


def _pool(z: Array, shape_out: Shape, size: int) -> tuple[Array, Later]:
    """Return the largest of each pool, (m, height/size, width/size, maps), and where it was."""
    height, width = size * shape_out[0], size * shape_out[1]
    largest, rows = _largest([z[:, i:height:size, :width] for i in range(size)])
    largest, across = _largest([largest[:, :, i::size] for i in range(size)])
    return largest, (rows, across)


def _largest(parts: list[Array]) -> tuple[Array, list[NDArray[np.bool_]]]:
    largest, later = parts[0], []
    for part in parts[1:]:
        later.append(part > largest)
        largest = np.maximum(part, largest)
    return largest, later


def _unpool(delta: Array, later: Later, size: int, out: Array) -> None:
    """Write each delta into ``out`` where the largest of its pool was, and 0 beside it."""
    if size == 1:
        out[...] = delta
        return
    m, height, width, c = delta.shape
    rows, across = later
    wide = np.empty((m, height, width * size, c), delta.dtype)
    _scatter(delta, across, [wide[:, :, i::size] for i in range(size)])
    fitting = out[:, : height * size, : width * size]  # the remainder of ``out`` stays 0
    _scatter(wide, rows, [fitting[:, i::size] for i in range(size)])


def _scatter(delta: Array, later: list[NDArray[np.bool_]], parts: list[Array]) -> None:
    """Write delta to the last part that was larger than those before it, and 0 to the others."""
    for part, larger in zip(parts[:0:-1], later[::-1], strict=True):
        np.multiply(delta, larger, out=part)
        delta = delta - part
    parts[0][...] = delta


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
