"""Mini-batches: rows of a data set in a given order, returned as columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from nndl._typing import Array
from nndl.arrays import aligned
from nndl.dataset import Dataset
from nndl.validation import as_permutation, check_transformed

__all__ = ["Transform", "mini_batches"]

Transform = Callable[[Array, np.random.Generator], Array]
"""A function that distorts images (k, n_in), keeping shape and dtype: see `nndl.data.augment`."""

CHUNK = 500  # images gathered at a time: enough to hide the overhead, few enough for the cache


def mini_batches(
    dataset: Dataset,
    targets: tuple[Array, NDArray[np.intp]],
    order: NDArray[np.integer],
    size: int,
    prepare: Callable[[Array], Array] | None = None,
    done: int = 0,
) -> Iterator[list[tuple[Array, Array, Array | None]]]:
    """Yield chunks: lists of mini-batches (x, y, weights) of equal size.

    x is (n_in, m), with uint8 pixels divided by 256; y is (n_out, m), of `Dataset.targets`;
    weights are (m,), or None. All are views of buffers that the next chunk overwrites. If
    ``size`` does not divide the number of images, the last mini-batch is smaller and forms its own
    chunk. ``prepare`` receives the rows of a chunk, (k, n_in), before they are split into
    mini-batches. The first ``done`` images of the order are skipped.
    """
    images, (table, row_of), dtype = dataset.images, targets, targets[0].dtype
    order = as_permutation(order, len(dataset))
    n, chunk = len(order), max(1, CHUNK // size) * size
    raw = aligned((min(chunk, n), images.shape[1]), images.dtype)
    x = raw if images.dtype == dtype else aligned(raw.shape, dtype)
    y = aligned((len(raw), table.shape[1]), dtype)
    weights = dataset.weights
    c = None if weights is None else np.empty(len(raw), dtype)

    whole = n - n % size
    bounds = [(start, min(start + chunk, whole)) for start in range(done, whole, chunk)]
    if max(whole, done) < n:
        bounds.append((whole, n))
    views: list[tuple[Array, Array, Array | None]] = []
    for start, end in bounds:
        picked, k = order[start:end], end - start
        # mode="clip" writes directly into out; the default mode goes through a temporary buffer.
        images.take(picked, axis=0, out=raw[:k], mode="clip")
        table.take(row_of[picked], axis=0, out=y[:k], mode="clip")
        if weights is not None and c is not None:
            c[:k] = weights[picked]
        if x is not raw:
            np.copyto(x[:k], raw[:k])  # casting first and then scaling is faster than both at once
            if raw.dtype == np.uint8:
                x[:k] *= 1 / 256
        if prepare is not None:
            x[:k] = check_transformed(prepare(x[:k]), (k, x.shape[1]))
        if k != len(views) * size:
            m = min(size, k)
            parts = [slice(i, i + m) for i in range(0, k, m)]
            views = [(x[part].T, y[part].T, None if c is None else c[part]) for part in parts]
        yield views
