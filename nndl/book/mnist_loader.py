"""The book's ``mnist_loader``: MNIST as the listings use it, lists of tuples (x, y).

The lists are ordinary lists, so a program may shuffle, slice or filter them. Each x is a view of
one array that holds all images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nndl._typing import Array
from nndl.book.examples import Pair
from nndl.data import Dataset, load_folder, load_mnist

__all__ = ["load_data", "load_data_wrapper", "vectorized_result"]

Arrays = tuple[Array, NDArray[np.int64]]


def load_data(path: str | Path | None = None) -> tuple[Arrays, Arrays, Arrays]:
    """Return training, validation and test data: 50,000, 10,000 and 10,000 images of MNIST.

    Parameters
    ----------
    path : str or Path, optional
        The book's mnist.pkl.gz, from which no code is run, or other data that `nndl.load_folder`
        reads. Without it MNIST is downloaded once.

    Returns
    -------
    training, validation, test : pairs of ndarray
        Images, (n, 784) float32 in [0, 1], and labels, (n,) int64.

    Raises
    ------
    OSError
        If the data are missing and cannot be downloaded, or cannot be read.
    ValueError
        If the file holds something else.
    """
    sets = load_mnist() if path is None else load_folder(path)
    training, validation, test = map(_arrays, sets)
    return training, validation, test


def load_data_wrapper(
    path: str | Path | None = None,
) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Return the data of `load_data` as lists of tuples (x, y), with x of shape (784, 1).

    In the training data y is one-hot, (10, 1); in the validation and test data it is the label.
    The errors are those of `load_data`.
    """
    training, *others = load_data(path)
    one_hot = np.eye(max(10, training[1].max() + 1))[training[1]]
    validation, test = (_pairs(images, labels) for images, labels in others)
    return _pairs(training[0], one_hot[:, :, None]), validation, test


def vectorized_result(j: int) -> Array:
    """Return the one-hot column, (10, 1), of the digit j."""
    e = np.zeros((10, 1))
    e[j] = 1.0
    return e


def _arrays(data: Dataset) -> Arrays:
    return np.asarray(data.images, np.float32), data.labels.astype(np.int64)


def _pairs(images: Array, y: NDArray[np.generic]) -> list[Pair]:
    return list(zip(images[:, :, None], y, strict=True))
