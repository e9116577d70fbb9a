"""Large mini-batches on all cores, with bit-identical results for any number of threads.

A mini-batch is split into shards. Each shard runs through the network's own backward pass, in a
replica with shared weights and its own buffers. Then the weights are updated: those of a dense
layer in blocks of rows, those of a convolution by the gradients of all shards, added in order.
Shards and blocks depend on shapes alone, never on the number of threads.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import ceil, log2, prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nndl._typing import Array
from nndl.blas import accumulate, release_the_gil
from nndl.layers import Dense, Dropout
from nndl.step import Step, Weights, take_step
from nndl.threads import one_thread
from nndl.validation import pixels_as_columns

if TYPE_CHECKING:
    from nndl.network import Network

__all__ = ["cores", "infer", "shard_bounds", "steps"]

WORK = 2**26  # multiplications of a shard's forward pass, about: 1 ms of a core
ROWS = 2**22  # multiplications of a dense layer's update at a time, about
IMAGES = 1000  # at a time at inference, at most
LARGEST = 2**22  # numbers in the outputs of a layer at a time: few weights can have many outputs

Take = Callable[[Array, Array, np.random.Generator, Step, Array | None], None]


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def work(net: Network) -> int:
    """Return the multiplications of an example's forward pass."""
    return sum(
        layer.w.size * prod(getattr(layer, "shape_z", ())[:2])
        for layer in net.layers
        if isinstance(layer, Weights)
    )


def shard_bounds(net: Network, m: int) -> list[int]:
    """Return where the shards of a mini-batch of m examples begin, and m: a power of 2 of them."""
    shards = min(m, 2 ** ceil(log2(max(1, m * work(net) / WORK))))
    return [m * i // shards for i in range(shards + 1)]


def infer(
    net: Network, images: NDArray[Any], threads: int | None = None
) -> Iterator[tuple[slice, Array, Array]]:
    """Yield (rows, z, a) of the last layer for checked rows of images, some rows at a time.

    The blocks of rows are worked on side by side, and depend on shapes alone.
    """
    widest = max(prod(getattr(layer, "shape_out", ())) for layer in net.layers)
    m = max(1, min(IMAGES, LARGEST // max(widest, *(len(b) for b in net.biases))))
    blocks = [slice(i, i + m) for i in range(0, len(images), m)]
    errors = np.geterr()  # which other threads do not inherit

    def outputs(rows: slice) -> tuple[slice, Array, Array]:
        with np.errstate(**errors):
            return rows, *net.outputs(pixels_as_columns(images[rows], net.dtype))

    n = threads or cores()
    with one_thread():
        if n == 1 or len(images) * work(net) <= 2 * WORK:
            yield from map(outputs, blocks)
            return
        with ThreadPoolExecutor(n, initializer=release_the_gil) as pool:
            for i in range(0, len(blocks), 2 * n):  # no more outputs in memory at a time
                yield from pool.map(outputs, blocks[i : i + 2 * n])


@contextmanager
def steps(net: Network, m: int, threads: int | None) -> Iterator[Take]:
    """Yield the function (x, y, rng, step, weights) that takes a step with a mini-batch.

    Parameters
    ----------
    net : Network
    m : int
        Examples of a mini-batch. If they make only one shard, each layer is updated as soon as its
        delta has passed through its weights.
    threads : int or None
        None for as many as there are cores.
    """
    if len(shard_bounds(net, m)) <= 2:
        yield net.take_step
        return
    if (threads or cores()) == 1:
        yield _Shards(net, map)
        return
    with ThreadPoolExecutor(threads or cores(), initializer=release_the_gil) as pool:
        yield _Shards(net, pool.map)


class _Shards:
    """Takes steps with mini-batches in shards."""

    def __init__(self, net: Network, run: Callable[..., Iterator[Any]]) -> None:
        self.net, self.run = net, run  # run is map, or that of threads
        self.drops = any(isinstance(layer, Dropout) for layer in net.layers)
        self.bounds = [0]
        self.replicas: list[Network] = []

    def _prepare(self, m: int) -> None:
        """Make the replicas, and the arrays that their shards write to, for m examples."""
        net, dtype = self.net, self.net.dtype
        self.bounds = shard_bounds(net, m)
        self.replicas = [replica(net) for _ in self.bounds[1:]]
        self.x: dict[int, Array] = {}
        self.delta: dict[int, Array] = {}
        for i, layer in enumerate(net.layers):
            if isinstance(layer, Dense):
                n_out, n_in = layer.w.shape
                self.x[i], self.delta[i] = np.empty((m, n_in), dtype).T, np.empty((n_out, m), dtype)

    def __call__(
        self,
        x: Array,
        y: Array,
        rng: np.random.Generator,
        step: Step,
        weights: Array | None = None,
    ) -> None:
        if x.shape[1] != self.bounds[-1]:
            self._prepare(x.shape[1])
        n = len(self.replicas)
        seeds = rng.integers(2**63, size=n) if self.drops else [0] * n
        shards = self.run(lambda s: self._walk(s, x, y, int(seeds[s]), weights), range(n))
        gradients = list(shards)
        updates: list[Callable[[], None]] = []
        for i, layer in enumerate(self.net.layers):
            if isinstance(layer, Dense):
                updates += self._rows(layer, self.delta[i], self.x[i], step)
            elif isinstance(layer, Weights):
                nabla_b, nabla_w = (sum(g[i][k] for g in gradients) for k in (0, 1))
                layer.move(nabla_w, None, nabla_b, None, step)
        list(self.run(lambda update: update(), updates))

    def _walk(
        self, s: int, x: Array, y: Array, seed: int, weights: Array | None
    ) -> dict[int, tuple[Array, Array]]:
        """Run shard s through the network; return the gradients of layers that are not dense."""
        net, part = self.replicas[s], slice(self.bounds[s], self.bounds[s + 1])
        rng = np.random.default_rng(seed)
        weights = None if weights is None else weights[part]
        gradients = {}
        with np.errstate(over="ignore", invalid="ignore"):  # which threads do not inherit
            for layer, delta in net.deltas(x[:, part], y[:, part], rng, weights):
                i = net.layers.index(layer)
                if isinstance(layer, Dense):
                    self.x[i][:, part], self.delta[i][:, part] = layer.x, delta
                elif isinstance(layer, Weights):
                    gradients[i] = layer.gradient(delta)
        return gradients

    def _rows(self, layer: Dense, delta: Array, x: Array, step: Step) -> list[Callable[[], None]]:
        """Return the update of a dense layer, some rows of its weights at a time."""
        ones = np.ones((1, x.shape[1]), x.dtype)
        if step.mu and layer.v_w is None:
            layer.v_w, layer.v_b = np.zeros_like(layer.w), np.zeros_like(layer.b)
        some = max(1, ROWS // x.size)

        def update(rows: slice) -> Callable[[], None]:
            v_w, v_b = (None if v is None else v[rows] for v in (layer.v_w, layer.v_b))

            def move() -> None:
                w, b = layer.w[rows], layer.b[rows]
                numbers = (step.alpha, step.mu, step.decay, step.l1)
                for p, v, inputs, more in ((b, v_b, ones, numbers[:2]), (w, v_w, x, numbers)):
                    add = accumulate(p if v is None else v, x.shape[1])
                    take_step(p, v, add, delta[rows], inputs, *more)

            return move

        return [update(slice(i, i + some)) for i in range(0, len(layer.w), some)]


def replica(net: Network) -> Network:
    """Return a network with the same weights, live, and buffers of its own."""
    twin = copy.copy(net)
    layers: Sequence[Any] = [copy.copy(layer) for layer in net.layers]
    for layer, original in zip(layers, net.layers, strict=True):
        if isinstance(layer, Weights):
            vars(layer).update(w=original.w, b=original.b)
            layer.allocate(0)
    twin.connect(layers)
    return twin
