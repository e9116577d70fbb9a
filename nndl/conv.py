"""Convolution and max-pooling: the layers of chapter 6.

A picture of c maps is a column of height x width x c numbers, the maps of a pixel side by side. A
convolution is a dense layer whose inputs are the patches of the pictures: with the K numbers of
each patch as a column, (K, m x patches), its equations are those of `nndl.network.Dense`.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import DTypeLike, NDArray

from nndl._typing import Array
from nndl.activations import Activation, sigmoid, softmax
from nndl.blas import columns, gemm_of
from nndl.initializers import Initializer, default
from nndl.layers import Layer
from nndl.step import Step, Weights
from nndl.validation import check, check_functions

__all__ = ["Conv", "MaxPool"]

BLOCK = 50  # pictures that `feedforward` answers at a time: their patches fit into the cache


class Conv(Weights, Layer):
    """A convolution of square filters, stride 1, without padding; then pooling, if asked for.

    As in the book's network3, the largest of each pool x pool outputs is taken before the bias is
    added and the activation applied. For activations that never fall, as all that are taken here,
    this gives what pooling at the end gives, ``Conv(20, 5)`` followed by ``MaxPool(2)``, with a
    quarter of the work for 2 x 2.

    Parameters
    ----------
    maps : int
        Feature maps, the number of filters.
    size : int
        Height and width of a filter.
    activation : Activation
        Of each neuron: all but softmax.
    pool : int
        Height and width of what is pooled into one; 1 for no pooling.
    init : Initializer
        It counts size^2 x maps inputs and outputs to a filter, the latter divided by pool^2.

    Attributes
    ----------
    w : ndarray, shape (maps, size x size x input maps)
        A row for each filter; `filters` has them as pictures.
    b : ndarray, shape (maps, 1)

    Raises
    ------
    ValueError
        If a number is not whole and positive, or the activation is softmax; when the network is
        built, if the pictures are smaller than a filter, or pools do not tile what comes out.
    """

    buffers = ("work", "a", "delta_from", "delta_z")

    def __init__(
        self,
        maps: int,
        size: int = 5,
        activation: Activation = sigmoid,
        pool: int = 1,
        init: Initializer = default,
    ) -> None:
        check(maps=maps, size=size, pool=pool)
        check_functions(activation, init)
        if activation is softmax:
            raise ValueError(
                "softmax is for the last layer, which is Dense: use another activation"
            )
        self.maps, self.size, self.pool = int(maps), int(size), int(pool)
        self.activation, self.init = activation, init

    def build(
        self, shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike
    ) -> tuple[int, ...]:
        c, height, width = _check_pictures(self, shape)
        if min(height, width) < self.size:
            raise ValueError(
                f"{self!r} is larger than its pictures of {height} x {width}: take a smaller filter"
            )
        self.shape_z = (height - self.size + 1, width - self.size + 1, self.maps)
        self.shape_out = _pooled(self, self.shape_z, self.pool)
        self.shape_in = (height, width, c)
        k = self.size**2
        fan = (k * c, max(1, k * self.maps // self.pool**2))
        self.draw(self.init, (self.maps, k * c), rng, dtype, fan)
        self.allocate(0)
        return (self.maps, *self.shape_out[:2])

    def allocate(self, m: int) -> None:
        self.work = _Buffers(self, m)

    @property
    def filters(self) -> Array:
        """The weights as pictures, (maps, input maps, size, size): a live view."""
        size = self.size
        return self.w.reshape(self.maps, size, size, -1).transpose(0, 3, 1, 2)

    def feedforward(self, x: Array) -> Array:
        m = x.shape[1]
        outputs = columns(prod(self.shape_out), m, self.w.dtype)
        work = _Buffers(self, min(m, BLOCK))
        for i in range(0, m, BLOCK):
            block = x[:, i : i + BLOCK]
            if block.shape[1] != work.m:
                work = _Buffers(self, block.shape[1])
            outputs[:, i : i + BLOCK] = self._outputs(block, work)
        return outputs

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        if x.shape[1] != self.work.m:
            self.allocate(x.shape[1])
        self.delta_from: Array | None = None
        self.a = self._outputs(x, self.work)
        return self.a

    def _outputs(self, x: Array, work: _Buffers) -> Array:
        m = work.m
        _cut(x.T.reshape(m, *self.shape_in), self.size, work.patches)
        _product(self.w, work.patches, work.z)  #  z = w @ x for each patch                 (25)
        largest, work.later = _pool(work.z.T.reshape(m, *self.shape_z), self.pool)
        z = largest.reshape(-1, self.maps).T
        _add_bias(z, self.b, work.ones)  #                    + b                           (25)
        return self.activation(z, z).T.reshape(m, -1).T

    def delta(self, nabla_a: Array) -> Array:
        return self.activation.delta(nabla_a, self.a)  # nabla_a * sigma'(z)               BP2

    def backward(self, delta: Array) -> Array:
        delta_z, _ = self._spread(delta)
        height, width, c = self.shape_in
        rows, across, _ = self.shape_z
        pictures = np.zeros((self.work.m, height, width, c), delta.dtype)
        part = columns(c, delta_z.shape[1], delta.dtype)
        pixels = part.T.reshape(-1, rows, across, c)
        # One pixel of the patches at a time: patches overlap, so they cannot be written at once.
        for k, (i, j) in enumerate(np.ndindex(self.size, self.size)):
            w = self.w[:, k * c : (k + 1) * c]
            _transposed_product(w, delta_z, part)  #  w.T @ delta for each patch    BP2
            pictures[:, i : i + rows, j : j + across] += pixels
        return pictures.reshape(-1, height * width * c).T

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        delta_z, delta_b = self._spread(delta)
        nabla_b: Array = delta_b.sum(axis=1, keepdims=True)  #   dC/db = delta           BP3
        nabla_w: Array = delta_z @ self.work.patches.T  #        dC/dw = delta @ x.T        BP4
        return nabla_b, nabla_w

    def update(self, delta: Array, step: Step) -> None:
        delta_z, delta_b = self._spread(delta)
        self.move(delta_z, self.work.patches, delta_b, self.work.ones, step)

    def _spread(self, delta: Array) -> tuple[Array, Array]:
        """Return delta patch by patch, (maps, m x patches), before the pooling and after it.

        An output that was not the largest of its pool had no influence: its error is 0.
        """
        delta_b = delta.T.reshape(self.work.m, *self.shape_out)
        if self.delta_from is not delta:  # backward and update ask for the same
            spread = _unpool(delta_b, self.work.later, self.pool)
            self.delta_from, self.delta_z = delta, spread.reshape(-1, self.maps).T
        return self.delta_z, delta_b.reshape(-1, self.maps).T

    @property
    def shapes(self) -> str:
        pictures = ["x".join(map(str, (c, h, w))) for h, w, c in (self.shape_in, self.shape_out)]
        return " -> ".join(pictures)

    def __str__(self) -> str:
        pool = f", pool {self.pool}" if self.pool > 1 else ""
        return f"Conv({self.maps}, {self.size}x{self.size}, {self.activation}{pool})"


class _Buffers:
    """What a convolution of m pictures works in."""

    def __init__(self, conv: Conv, m: int) -> None:
        (height, width, maps), dtype = conv.shape_z, conv.w.dtype
        self.m = m
        self.patches = columns(conv.w.shape[1], m * height * width, dtype)
        self.z = columns(maps, m * height * width, dtype)
        self.ones = np.ones((1, m * prod(conv.shape_out[:2])), dtype)
        self.later: Later = ([], [])


class MaxPool(Layer):
    """The largest of each size x size neurons of a map; pools do not overlap.

    Where several are equally large, the leftmost, and of these the uppermost, takes all of the
    error.

    Parameters
    ----------
    size : int
        Height and width of a pool; it must divide those of the pictures.

    Raises
    ------
    ValueError
        If size is not whole and positive; when the network is built, if it does not divide.
    """

    def __init__(self, size: int = 2) -> None:
        check(size=size)
        self.size = int(size)

    def build(
        self, shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike
    ) -> tuple[int, ...]:
        c, height, width = _check_pictures(self, shape)
        self.shape_out = _pooled(self, (height, width, c), self.size)
        self.shape_in = (height, width, c)
        return (c, *self.shape_out[:2])

    def feedforward(self, x: Array) -> Array:
        return self._outputs(x)[0]

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        outputs, self.later = self._outputs(x)
        return outputs

    def _outputs(self, x: Array) -> tuple[Array, Later]:
        m = x.shape[1]
        largest, later = _pool(x.T.reshape(m, *self.shape_in), self.size)
        return largest.reshape(m, -1).T, later

    def backward(self, delta: Array) -> Array:
        m = delta.shape[1]
        spread = _unpool(delta.T.reshape(m, *self.shape_out), self.later, self.size)
        return spread.reshape(m, -1).T

    def __repr__(self) -> str:
        return f"MaxPool({self.size})"


# On pictures, (m, height, width, maps).


def _product(w: Array, x: Array, out: Array) -> Array:
    """Compute w @ x, shape (n_out, m), into ``out`` (from `columns`) and return it."""
    gemm_of(out)(1.0, w.T, x, 0.0, out, 1, 0, 1)
    return out


def _transposed_product(w: Array, delta: Array, out: Array) -> Array:
    """Compute w.T @ delta, shape (n_in, m), into ``out`` (from `columns`) and return it."""
    gemm_of(out)(1.0, w.T, delta, 0.0, out, 0, 0, 1)
    return out


def _add_bias(z: Array, b: Array, ones: Array) -> None:
    """Compute z <- z + b in place, for z (n_out, m) with contiguous columns and ones (1, m)."""
    gemm_of(z)(1.0, b, ones, 1.0, z, 0, 0, 1)


Later = tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]]
"""For rows, then columns: where the second, third, ... of a pool is larger than those before."""


def _cut(pictures: Array, size: int, patches: Array) -> None:
    """Copy the size x size patches of all pictures into the columns of patches, (K, m x patches).

    A row of a patch, size x maps numbers, lies together in the picture and is copied together.
    """
    m, height, width, c = pictures.shape
    by_picture, by_row, by_pixel, by_map = pictures.strides
    shape = (m, height - size + 1, width - size + 1, size, size * c)
    windows = as_strided(pictures, shape, (by_picture, by_row, by_pixel, by_row, by_map))
    patches.T.reshape(shape)[...] = windows


def _pool(z: Array, size: int) -> tuple[Array, Later]:
    """Return the largest of each pool, (m, height/size, width/size, maps), and where it was."""
    largest, rows = _largest([z[:, i::size] for i in range(size)])
    largest, across = _largest([largest[:, :, i::size] for i in range(size)])
    return largest, (rows, across)


def _largest(parts: list[Array]) -> tuple[Array, list[NDArray[np.bool_]]]:
    largest, later = parts[0], []
    for part in parts[1:]:
        later.append(part > largest)
        largest = np.maximum(part, largest)
    return largest, later


def _unpool(delta: Array, later: Later, size: int) -> Array:
    """Return (m, height, width, maps) with each error where the largest was, and 0 elsewhere."""
    if size == 1:
        return delta
    m, height, width, c = delta.shape
    rows, across = later
    wide = np.empty((m, height, width * size, c), delta.dtype)
    _hand_back(delta, across, [wide[:, :, i::size] for i in range(size)])
    spread = np.empty((m, height * size, width * size, c), delta.dtype)
    _hand_back(wide, rows, [spread[:, i::size] for i in range(size)])
    return spread


def _hand_back(delta: Array, later: list[NDArray[np.bool_]], parts: list[Array]) -> None:
    """Give delta to the last part that was larger than those before it."""
    for part, larger in zip(parts[:0:-1], later[::-1], strict=True):
        np.multiply(delta, larger, out=part)
        delta = delta - part
    parts[0][...] = delta


# Validation.


def _check_pictures(layer: object, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise ValueError(
            f"{layer!r} needs pictures (maps, height, width) from the layer below or as the "
            f"network's input_shape, like (1, 28, 28), not {shape}"
        )
    return shape


def _pooled(layer: object, shape: tuple[int, int, int], size: int) -> tuple[int, int, int]:
    height, width, c = shape
    if height % size or width % size:
        raise ValueError(
            f"{layer!r} cannot pool maps of {height} x {width}: {size} must divide both sides"
        )
    return height // size, width // size, c
