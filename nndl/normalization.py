"""Batch normalization (Ioffe and Szegedy 2015), and its removal from a trained network by `fold`.

z = gamma (x - mean) / sqrt(variance + epsilon) + beta, with the mean and variance of each neuron
over the examples of a mini-batch, or of each map over the pixels of all its pictures, and a =
sigma(z). At inference, running averages of both take their place, and z is linear in x.

A pass over the numbers of a mini-batch takes about as long as an operation of NumPy on numbers in
the processor's cache, so the arrays are worked on in blocks, and operations are few: two passes
forward (moments; z and a), two backward (delta and its sums; nabla_x).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nndl._typing import Array
from nndl.activations import Activation, identity, softmax
from nndl.arrays import columns
from nndl.conv import Conv, Planes, maps_first
from nndl.initializers import Initializer
from nndl.layers import Dense, Layer, Shape
from nndl.network import Network
from nndl.stack import unbuilt
from nndl.step import Step, Weights
from nndl.validation import Parameter, check, check_functions

__all__ = ["BatchNorm", "fold"]

BLOCK = 2**16  # numbers that are worked on at a time: 256 KiB in float32
ROW = 2**11  # numbers of a row of a block, at least: a short row takes longer to sum
FAR = 16.0  # mean^2 / variance above which x is centered before it is squared


class _Ones(Initializer):
    """gamma = 1 and beta = 0, which draws nothing."""

    def draw(
        self,
        shape: tuple[int, int],
        rng: np.random.Generator,
        dtype: DTypeLike,
        fan: tuple[int, int] | None = None,
    ) -> tuple[Array, Array]:
        return np.ones(shape, dtype), np.zeros((shape[0], 1), dtype)


_ONES = _Ones("ones", lambda n_in, n_out: 0.0, 0.0)


class BatchNorm(Weights, Layer):
    """Normalize each neuron, or each map of pictures, over the mini-batch; then activate it.

    It follows a linear layer, whose bias has no influence then: ``Dense(100, identity)`` and
    ``BatchNorm(relu)``, or ``Conv(20, 5, identity)``, ``BatchNorm(relu)`` and ``MaxPool(2)``.

    As in PyTorch, the variance of the mini-batch is that of its N numbers, divided by N, while the
    running variance averages the unbiased one, divided by N - 1. Running averages move when the
    weights do, in `update`: `Network.backprop` normalizes by its mini-batch, with rng or without,
    and changes nothing. A mini-batch with one number for each neuron leaves the averages alone; its
    outputs are sigma(beta). L2 and L1 regularization leave gamma and beta alone.

    Parameters
    ----------
    activation : Activation
        Applied to the normalized numbers: all but softmax.
    momentum : float
        Share of each mini-batch in the running averages, in (0, 1], as in PyTorch:
        mean <- (1 - momentum) mean + momentum mean_of_the_mini_batch.
    epsilon : float
        Added to the variance.

    Attributes
    ----------
    w, b : ndarray, shape (n, 1)
        gamma and beta of the n neurons or maps; at first 1 and 0.
    mean, variance : ndarray, shape (n, 1)
        The running averages; at first 0 and 1.

    Raises
    ------
    TypeError, ValueError
        If an argument has another type or is out of its range, or the activation is softmax.

    Examples
    --------
    >>> from nndl import BatchNorm, Dense, Network, identity, relu
    >>> Network([Dense(30, identity), BatchNorm(relu), Dense(10)], input_shape=784, rng=0)
    Network(784 - Dense(30, identity) - BatchNorm(relu) - Dense(10, sigmoid), cross-entropy, \
23,920 parameters, float32)
    """

    mean, variance = Parameter(), Parameter()
    statistics = ("mean", "variance")
    decays = False
    init: Initializer = _ONES
    buffers = (*Weights.buffers, "m", "x", "a", "nabla_x", "work", "batch", "summed")

    def __init__(
        self, activation: Activation = identity, *, momentum: float = 0.1, epsilon: float = 1e-5
    ) -> None:
        check(momentum=momentum, epsilon=epsilon)
        check_functions(activation, self.init)
        if activation is softmax:
            raise ValueError(
                "softmax is for the last layer, which is Dense: use another activation"
            )
        self.activation = activation
        self.momentum, self.epsilon = float(momentum), float(epsilon)

    def build(self, shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> Shape:
        self.is_pictures = len(shape) == 3
        n = shape[0] if self.is_pictures else prod(shape)
        self.draw(self.init, (n, 1), rng, dtype)
        mean, variance = np.zeros((n, 1), dtype), np.ones((n, 1), dtype)
        vars(self).update(mean=mean, variance=variance)
        self.planes = isinstance(shape, Planes) and self.is_pictures and n > 1
        self.shape_in = (*shape[1:], n) if self.is_pictures else (n,)
        self.shape_out = self.shape_in
        self.allocate(0)
        return tuple(shape) if self.planes else shape

    def allocate(self, m: int) -> None:
        dtype, n = self.w.dtype, prod(self.shape_in)
        self.m, self.work = m, _Blocks(len(self.w), m * n, dtype)
        self.a, self.nabla_x = columns(n, m, dtype), columns(n, m, dtype)
        self.summed: Any = None  # a delta, dC/dbeta and dC/dgamma
        self.prepare_steps()

    def feedforward(self, x: Array) -> Array:
        x = self._side_by_side(x)
        work, a = _Blocks(len(self.w), x.size, self.w.dtype), np.empty_like(x)
        self._normalize(x, *self.affine, a, work)
        return a

    @property
    def affine(self) -> tuple[Array, Array]:
        """The scale and the shift that z = scale x + shift has at inference, (n,), in float64."""
        mean, variance = (v[:, 0].astype(np.float64) for v in (self.mean, self.variance))
        return self._scale_and_shift(mean, self._inverse(variance))

    def _scale_and_shift(self, mean: Array, inverse: Array) -> tuple[Array, Array]:
        scale = self.w[:, 0] * inverse
        return scale, self.b[:, 0] - scale * mean

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        if x.shape[1] != self.m:
            self.allocate(x.shape[1])
        self.x, self.summed = self._side_by_side(x), None
        mean, variance, far = self.work.moments(self.x)
        self.batch = mean, variance, self._inverse(variance), far
        scale, shift = self._scale_and_shift(mean, self.batch[2])
        self._normalize(self.x, scale, shift, self.a, self.work)
        return self.a

    def _inverse(self, variance: Array) -> Array:
        inverse: Array = 1 / np.sqrt(variance + self.epsilon)
        return inverse

    def _normalize(self, x: Array, scale: Array, shift: Array, a: Array, work: _Blocks) -> None:
        tiles = work.tile(scale, shift)
        for x_some, a_some, by, plus, z in work.cut((x, a), (*tiles, work.buffers[0])):
            np.multiply(x_some, by, out=z)
            np.add(z, plus, out=z)  #              z = gamma (x - mean) / sqrt(variance) + beta
            if (a_z := self.activation(z, a_some)) is not a_some:  #              a = sigma(z)
                a_some[...] = a_z  # an activation of the reader's own need not write into a

    def delta(self, nabla_a: Array) -> Array:
        return self._sum(nabla_a, self.activation)  #              nabla_a * sigma'(z)       BP2

    def _sum(self, delta: Array, activation: Activation | None) -> Array:
        """Sum up delta for each map, after multiplying it by sigma'(z) if it is nabla_a."""
        mean, _, inverse, far = self.batch
        delta = np.asfortranarray(delta)
        nabla_b, centered = self.work.sums(delta, self.a, self.x, mean, far, activation)
        self.summed = delta, nabla_b, inverse * centered
        return delta

    def _sums(self, delta: Array) -> tuple[Array, Array]:
        """Return dC/dbeta and dC/dgamma, (n,), in float64."""
        if self.summed is None or self.summed[0] is not delta:  # not from self.delta
            self._sum(delta, None)
        _, nabla_b, nabla_w = self.summed
        return nabla_b, nabla_w

    def backward(self, delta: Array) -> Array:
        # With x^ = (x - mean) inverse, nabla_x is
        # gamma inverse (delta - mean of delta - x^ mean of delta x^): Ioffe and Szegedy, section 3.
        nabla_b, nabla_w = self._sums(delta)
        mean, _, inverse, _ = self.batch
        scale, n = self.w[:, 0] * inverse, self.x.size // len(self.w)
        slope = -scale * inverse * nabla_w / n
        tiles = self.work.tile(scale, slope, -scale * nabla_b / n - slope * mean)
        arrays = (np.asfortranarray(delta), self.x, self.nabla_x)
        # What is written to memory is written once: intermediate results stay in the cache.
        for d, x, out, *tiles_some in self.work.cut(arrays, (*tiles, *self.work.buffers)):
            by_d, by_x, plus, part, other = tiles_some
            np.multiply(x, by_x, out=part)
            np.add(part, plus, out=part)
            np.multiply(d, by_d, out=other)
            np.add(part, other, out=out)
        return maps_first(self.nabla_x, self.shape_in) if self.planes else self.nabla_x

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        nabla_b, nabla_w = (nabla[:, None].astype(self.w.dtype) for nabla in self._sums(delta))
        return nabla_b, nabla_w  #                                 sums of delta and delta x^  BP3

    def update(self, delta: Array, step: Step) -> None:
        nabla_b, nabla_w = self.gradient(delta)
        self.move(nabla_w, None, nabla_b, None, step.unregularized)
        n = self.x.size // len(self.w)
        if n > 1:
            mean, variance, _, _ = self.batch
            self.mean += self.momentum * (mean[:, None] - self.mean)
            self.variance += self.momentum * (variance[:, None] * n / (n - 1) - self.variance)

    def _side_by_side(self, x: Array) -> Array:
        """Return x with contiguous columns, the maps of a pixel side by side."""
        if self.planes:
            height, width, c = self.shape_in
            x = x.T.reshape(-1, c, height * width).swapaxes(1, 2).reshape(x.shape[1], -1).T
        return np.asfortranarray(x)

    @property
    def shapes(self) -> str:
        return f"{len(self.w)} {'maps' if self.is_pictures else 'neurons'}"

    def __str__(self) -> str:
        rate = f", momentum {self.momentum:g}" if self.momentum != 0.1 else ""
        epsilon = f", epsilon {self.epsilon:g}" if self.epsilon != 1e-5 else ""
        return f"BatchNorm({self.activation}{rate}{epsilon})"


class _Blocks:
    """Blocks of a mini-batch's numbers, n maps side by side, and sums over them for each map.

    A block is a matrix (rows, k n). A vector for the maps is repeated to fill a tile, a block of
    its own, so that an operation runs over contiguous numbers.
    """

    def __init__(self, n: int, size: int, dtype: DTypeLike) -> None:
        self.n, self.count = n, max(1, size // n)
        self.across = n * min(max(1, ROW // n), self.count)
        rows = max(1, min(BLOCK, size) // self.across)
        self.tiles, self.buffers = (np.empty((k, rows, self.across), dtype) for k in (3, 2))
        self.ones = np.ones(rows, dtype)
        end = size - size % self.across
        starts = range(0, end, rows * self.across)
        self.parts = [(i, min(i + rows * self.across, end), self.across) for i in starts]
        if end < size:
            self.parts.append((end, size, size - end))

    def tile(self, *vectors: Array) -> Array:
        """Return a tile for each vector (n,): at most three, valid until the next call."""
        tiles = self.tiles[: len(vectors)]
        for tile, vector in zip(tiles, vectors, strict=True):
            tile[0].reshape(-1, self.n)[...] = vector
            tile[1:] = tile[0]
        return tiles

    def cut(self, arrays: Iterable[Array], tiles: Iterable[Array] = ()) -> Iterator[Any]:
        """Yield a block of each array, whose columns are contiguous, and as much of each tile."""
        flat = [array.T.reshape(-1) for array in arrays]
        for start, stop, across in self.parts:
            rows = (stop - start) // across
            blocks = [array[start:stop].reshape(rows, across) for array in flat]
            yield *blocks, *(tile[:rows, :across] for tile in tiles)

    def moments(self, x: Array) -> tuple[Array, Array, bool]:
        """Return mean and variance (n,) in float64, and whether a mean is far from 0.

        x^2 loses digits of the variance where the mean is large; then x is centered first.
        """
        total, squares = self._sums_of(x, ())
        mean, variance = total / self.count, squares / self.count
        variance -= mean**2
        far = bool((mean**2 > FAR * variance).any())
        if far:
            rounded = mean.astype(x.dtype)
            total, squares = self._sums_of(x, self.tile(rounded))
            rest = total / self.count
            mean, variance = rounded + rest, squares / self.count - rest**2
        return mean, np.maximum(variance, 0), far

    def _sums_of(self, x: Array, means: Iterable[Array]) -> tuple[Array, Array]:
        """Return the sums of x, less its mean if that is given, and of its squares."""
        sums = np.zeros((2, self.across))
        for some, *mean, centered in self.cut((x,), (*means, self.buffers[0])):
            if mean:
                some = np.subtract(some, mean[0], out=centered)
            self._add(sums[0], some)
            self._add(sums[1], some, some)
        return self._by_map(sums)

    def sums(
        self,
        delta: Array,
        a: Array,
        x: Array,
        mean: Array,
        far: bool,
        activation: Activation | None,
    ) -> tuple[Array, Array]:
        """Return the sums of delta and of delta (x - mean), (n,), in float64.

        With an activation, delta is nabla_a at first, and becomes delta in place.
        """
        sums = np.zeros((2, self.across))
        means = self.tile(mean)
        for d, a_some, some, means_some, buffer in self.cut(
            (delta, a, x), (*means, self.buffers[0])
        ):
            if activation is not None and (result := activation.delta(d, a_some)) is not d:
                d[...] = result
            if far:
                some = np.subtract(some, means_some, out=buffer)
            self._add(sums[0], d)
            self._add(sums[1], d, some)
        total, products = self._by_map(sums)
        subtracted = mean.astype(x.dtype) if far else 0.0  # rounded in its tile
        return total, products - (mean - subtracted) * total

    def _add(self, sums: Array, x: Array, y: Array | None = None) -> None:
        """Add the sum of each column of a block, or of the product of two, to sums (k n,)."""
        rows, across = x.shape
        some = np.dot(self.ones[:rows], x) if y is None else np.einsum("ij,ij->j", x, y)
        sums[:across] += some

    def _by_map(self, sums: Array) -> tuple[Array, Array]:
        total, products = sums.reshape(2, -1, self.n).sum(axis=1)
        return total, products


def fold(net: Network) -> Network:
    """Return a network without BatchNorm that gives the same outputs at inference, up to rounding.

    At inference, BatchNorm multiplies each neuron or map by a number and adds another. A Dense or
    Conv layer with identity activation directly below absorbs both in its weights and biases, and
    takes over the activation. For pictures without such a layer below, a convolution of size 1
    takes the place of BatchNorm. The same happens above a Conv that pools, if one of the numbers is
    negative, since the largest of a pool would become the smallest.

    Raises
    ------
    ValueError
        If what BatchNorm normalizes are neither pictures nor the outputs of such a layer.

    Examples
    --------
    >>> from nndl import BatchNorm, Dense, Network, identity, relu
    >>> net = Network([Dense(30, identity), BatchNorm(relu), Dense(10)], input_shape=784, rng=0)
    >>> [str(layer) for layer in fold(net).layers]
    ['Dense(30, relu)', 'Dense(10, sigmoid)']
    """
    layers: list[Layer] = []
    arrays: list[dict[str, Array]] = []
    for layer in copy.deepcopy(net.layers):
        if not isinstance(layer, BatchNorm):
            names = ("w", "b") if layer.w is not None else ()
            arrays.append({name: getattr(layer, name) for name in (*names, *layer.statistics)})
            layers.append(layer)
            continue
        scale, shift = layer.affine
        below = layers[-1] if layers else None
        if not _absorbs(below, scale):
            if not layer.is_pictures:
                raise ValueError(
                    f"{layer} can be folded into a Dense layer with identity activation directly "
                    f"below it, not into {'the inputs' if below is None else below}"
                )
            layers.append(Conv(len(scale), 1, identity))
            arrays.append({"w": np.eye(len(scale)), "b": np.zeros((len(scale), 1))})
        w, b = arrays[-1]["w"], arrays[-1]["b"]
        arrays[-1] |= {"w": scale[:, None] * w, "b": scale[:, None] * b + shift[:, None]}
        layers[-1].activation = layer.activation  # type: ignore[attr-defined]
    folded = Network(unbuilt(layers), cost=net.cost, dtype=net.dtype, input_shape=net.input_shape)
    for layer, values in zip(folded.layers, arrays, strict=True):
        for name, array in values.items():
            getattr(layer, name)[...] = array
    return folded


def _absorbs(below: Layer | None, scale: Array) -> bool:
    """Return whether a layer can multiply its outputs by these numbers, and add others."""
    linear = type(below) in (Dense, Conv) and vars(below)["activation"] is identity
    return linear and (getattr(below, "pool", 1) == 1 or not (scale < 0).any())
