"""Inference, some images at a time, on all cores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nndl._typing import Array
from nndl.parallel import computing, limit, run
from nndl.step import Weights
from nndl.validation import pixels_as_columns

if TYPE_CHECKING:
    from nndl.layers import Layer

__all__ = ["Classifier", "gathered", "infer", "work"]

WORK = 2**27  # multiplications that are worth starting threads for, about: 1 ms of a core
IMAGES = 1000  # at a time, at most
LARGEST = 2**22  # numbers in the outputs of a layer at a time: few weights can have many outputs


class Classifier(Protocol):
    """The interface that inference and metrics use: that of `Network` and `Ensemble`."""

    @property
    def n_out(self) -> int:
        """Outputs."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the inputs and outputs."""

    @property
    def layers(self) -> Sequence[Layer]:
        """All layers."""

    @property
    def biases(self) -> Sequence[Array]:
        """The biases of all layers that have some."""

    def outputs(self, x: Array) -> tuple[Array, Array]:
        """Return z and a of the last layer, (n_out, m), for columns x that are validated."""


def work(layers: Iterable[Layer]) -> int:
    """Return the multiplications of an example's forward pass through these layers."""
    return sum(
        layer.w.size * prod(getattr(layer, "shape_z", ())[:2])
        for layer in layers
        if isinstance(layer, Weights)
    )


def gathered(net: Classifier, images: NDArray[Any]) -> tuple[Array, Array]:
    """Return z and a of the last layer, (n_out, n), for checked rows of images."""
    z, a = np.empty((2, net.n_out, len(images)), net.dtype)
    for rows, z_rows, a_rows in infer(net, images):
        z[:, rows], a[:, rows] = z_rows, a_rows
    return z, a


def infer(
    net: Classifier, images: NDArray[Any], threads: int | None = None
) -> Iterator[tuple[slice, Array, Array]]:
    """Yield (rows, z, a) of the last layer for checked rows of images, some rows at a time.

    The blocks of rows are computed in parallel, and depend on shapes alone.
    """
    widest = max(prod(getattr(layer, "shape_out", ())) for layer in net.layers)
    m = max(1, min(IMAGES, LARGEST // max(widest, *(len(b) for b in net.biases))))
    blocks = [slice(i, i + m) for i in range(0, len(images), m)]

    def outputs(rows: slice) -> tuple[slice, Array, Array]:
        return rows, *net.outputs(pixels_as_columns(images[rows], net.dtype))

    n = (threads or limit()) if len(images) * work(net.layers) > WORK else 1
    for i in range(0, len(blocks), n):  # no more outputs in memory at a time
        with computing(n):
            done = run(len(images), outputs, blocks[i : i + n])
        yield from done
