"""The book's ``mnist_loader``: MNIST as its listings take it, lists of tuples (x, y).

The lists are plain lists, so whatever a reader does with a list works. Each x is a view of one
array of images. `as_dataset` makes arrays of such a list again, once in a call of SGD.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nndl._typing import Array
from nndl.data import Dataset, load_mnist

__all__ = [
    "as_columns",
    "as_dataset",
    "floats",
    "load_data",
    "load_data_wrapper",
    "vectorized_result",
]

Arrays = tuple[Array, NDArray[np.int64]]
Pair = tuple[Array, Any]


def load_data() -> tuple[Arrays, Arrays, Arrays]:
    """Return training, validation and test data: 50,000, 10,000 and 10,000 images.

    Each is a pair of the images, (n, 784) float32 in [0, 1), and the labels, (n,) integers.
    Raises OSError as `nndl.load_mnist` where MNIST is absent and cannot be downloaded.
    """
    training, validation, test = map(_arrays, load_mnist())
    return training, validation, test


def load_data_wrapper() -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Return the same as lists of tuples (x, y), x of shape (784, 1).

    In the training data y is one-hot, (10, 1); in validation and test data it is the label.
    """
    training, *others = load_data()
    one_hot = np.eye(10)[training[1]]
    validation, test = (_pairs(images, labels) for images, labels in others)
    return _pairs(training[0], one_hot[:, :, None]), validation, test


def vectorized_result(j: int) -> Array:
    """Return the one-hot column, (10, 1), of the digit j."""
    e = np.zeros((10, 1))
    e[j] = 1.0
    return e


def as_columns(pairs: Iterable[Pair], sizes: list[int]) -> tuple[Array, Array]:
    """Return m tuples as matrices x, (n_in, m), and y, (n_out, m), for a network of these sizes.

    Raises
    ------
    ValueError
        If there is no tuple, or a shape is not (n_in, 1) or (n_out, 1).
    """
    xs, ys = _unzip(pairs)
    return _rows(xs, "x", sizes[0]).T, _rows(ys, "y", sizes[-1]).T


def as_dataset(pairs: Iterable[Pair], sizes: list[int]) -> Dataset:
    """Return tuples (x, y), in a list or from an iterator, as what a network can learn.

    y is one-hot, (n_out, 1), or a label. Raises ValueError as `as_columns`, and for other y.
    """
    xs, ys = _unzip(pairs)
    images = _rows(xs, "x", sizes[0])
    if all(np.ndim(y) == 0 for y in ys):
        return Dataset(images, np.array(ys), "the reader's data")
    y = _rows(ys, "y", sizes[-1])
    labels = y.argmax(axis=1)
    if not np.array_equal(y, np.eye(sizes[-1])[labels]):
        raise ValueError(
            "each y must be a label or one-hot, a single 1 among 0s, but others came: learn them "
            "by update_mini_batch"
        )
    return Dataset(images, labels, "the reader's data")


def _arrays(data: Dataset) -> Arrays:
    return np.asarray(data.images, np.float32), data.labels.astype(np.int64)


def _pairs(images: Array, y: NDArray[Any]) -> list[Pair]:
    return list(zip(images[:, :, None], y, strict=True))


def _unzip(pairs: Iterable[Pair]) -> tuple[list[Any], list[Any]]:
    pairs = list(pairs)
    if not pairs:
        raise ValueError(
            "the data must hold a tuple (x, y), but are empty, as an iterator such as zip is after "
            "its first use: keep list(zip(...))"
        )
    try:
        return [x for x, _ in pairs], [y for _, y in pairs]
    except (TypeError, ValueError):
        raise ValueError(
            "the data must be tuples (x, y), as of load_data_wrapper, but begin with "
            f"{type(pairs[0]).__name__} of shape {np.shape(pairs[0])}: pair arrays by zip(x, y)"
        ) from None


def _rows(columns: list[Any], name: str, n: int) -> Array:
    """Return m columns (n, 1) as one array (m, n)."""
    shapes = {np.shape(column) for column in columns}
    if shapes != {(n, 1)}:
        raise ValueError(
            f"each {name} must have the shape {(n, 1)}, but there are the shapes "
            f"{sorted(shapes)[:3]}: reshape a single one by {name}.reshape(-1, 1)"
        )
    return floats(np.array(columns)[:, :, 0])


def floats(numbers: ArrayLike) -> Array:
    """Return whole numbers in float64: the core divides those of uint8 by 256."""
    array = np.asarray(numbers)
    return array.astype(np.float64) if array.dtype.kind in "iub" else array
