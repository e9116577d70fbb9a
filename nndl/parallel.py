"""Inference on all cores, with bit-identical results for any number of threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nndl._typing import Array
from nndl.blas import release_the_gil
from nndl.step import Weights
from nndl.threads import one_thread
from nndl.validation import pixels_as_columns

if TYPE_CHECKING:
    from nndl.network import Network

__all__ = ["cores", "infer"]

WORK = 2**27  # multiplications that are worth starting threads for, about: 1 ms of a core
IMAGES = 1000  # at a time, at most
LARGEST = 2**22  # numbers in the outputs of a layer at a time: few weights can have many outputs


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
        if n == 1 or len(images) * work(net) <= WORK:
            yield from map(outputs, blocks)
            return
        with ThreadPoolExecutor(n, initializer=release_the_gil) as pool:
            for i in range(0, len(blocks), 2 * n):  # no more outputs in memory at a time
                yield from pool.map(outputs, blocks[i : i + 2 * n])
