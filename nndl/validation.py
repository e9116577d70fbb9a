"""What comes in from outside is looked at once, at the door, and then trusted."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import isfinite
from typing import Any, TypeGuard, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nndl._typing import Array
from nndl.dataset import Dataset, warn_of_raw_pixels

__all__ = [
    "Parameters",
    "are_sizes",
    "as_columns",
    "as_targets",
    "check_dataset",
    "check_shape",
    "one_hot",
    "rows_as_columns",
    "warn_of_lost_decay",
]


def are_sizes(layers: object) -> TypeGuard[Sequence[int]]:
    """Return whether a network is given as sizes, [784, 30, 10], and not as layers.

    Raises
    ------
    TypeError
        If it is no sequence.
    ValueError
        If there are fewer than two sizes, or one is below 1.
    """
    if isinstance(layers, str) or not isinstance(layers, Sequence | np.ndarray):
        raise TypeError(f"give sizes like [784, 30, 10], or a list of layers, not {layers!r}")
    whole = [isinstance(layer, int | np.integer) for layer in layers]
    if all(whole) and len(whole) < 2:
        raise ValueError(
            "sizes must name the inputs and at least one layer, like [784, 30, 10], "
            f"not {list(layers)!r}"
        )
    if all(whole) and min(layers) < 1:
        raise ValueError(f"every size must be 1 or more, like [784, 30, 10], not {list(layers)!r}")
    return all(whole)


def check_shape(shape: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape of an input as a tuple of whole numbers, or raise ValueError."""
    sides = (shape,) if isinstance(shape, int | np.integer) else shape
    whole = isinstance(sides, tuple) and [isinstance(n, int | np.integer) and n > 0 for n in sides]
    if not whole or not all(whole):
        raise ValueError(f"input_shape must be like 784 or (1, 28, 28), not {shape!r}")
    return cast("tuple[int, ...]", sides)


def as_columns(x: ArrayLike, n_in: int, dtype: DTypeLike) -> Array:
    """Return x as a finite matrix (n_in, m) of the given dtype, or raise ValueError.

    Raw pixels of uint8 are divided by 256, as everywhere.
    """
    array = _array(x)
    if array.ndim != 2 or array.shape[0] != n_in or array.dtype.kind not in "fiub":
        raise ValueError(
            f"x must be numbers of shape ({n_in}, m), a column for each example, but is "
            f"{array.dtype} of shape {array.shape}; transpose images in rows, and reshape a "
            f"single one to ({n_in}, 1)"
        )
    if array.dtype == np.uint8:
        columns: Array = np.multiply(array, 1 / 256, dtype=dtype)
        return columns
    return _finite(array, "x", dtype)[0]


def rows_as_columns(images: ArrayLike, n_in: int, dtype: DTypeLike) -> Array:
    """Return images (n, n_in) as columns (n_in, n); raw pixels of uint8 are divided by 256."""
    array = _array(images)
    if array.ndim != 2 or array.shape[1] != n_in or array.dtype.kind not in "fiub":
        raise ValueError(
            f"images must be numbers of shape (n, {n_in}), a row for each, but are "
            f"{array.dtype} of shape {array.shape}; reshape them, a single one to (1, {n_in})"
        )
    if array.dtype.kind in "iu" and array.dtype != np.uint8 and array.size and array.max() > 1:
        raise ValueError(
            f"images must be floats like those of the training set, or raw pixels of uint8, but "
            f"are {array.dtype} up to {array.max()}; convert raw pixels with .astype(numpy.uint8)"
        )
    if array.dtype == np.uint8:
        columns: Array = np.multiply(array, 1 / 256, dtype=dtype).T
        return columns
    numbers, total = _finite(array, "images", dtype)
    warn_of_raw_pixels(total, numbers.size, stacklevel=5)
    return numbers.T


def as_targets(y: ArrayLike, n_out: int, m: int, dtype: DTypeLike) -> Array:
    """Return desired outputs as columns (n_out, m); integer labels (m,) become one-hot."""
    array: NDArray[Any] = np.asarray(y)
    if array.shape == (m,) and array.dtype.kind in "iu":
        return one_hot(array, n_out, dtype)
    if array.shape != (n_out, m) or array.dtype.kind not in "fiub":
        raise ValueError(
            f"y must have the shape ({n_out}, {m}), or be {m} integer labels, but is "
            f"{array.dtype} of shape {array.shape}; give a column or a label for each example of x"
        )
    return _finite(array, "y", dtype)[0]


def one_hot(labels: NDArray[np.integer], n_out: int, dtype: DTypeLike = np.float32) -> Array:
    """Return (n_out, m) columns that are 1 at the label and 0 elsewhere.

    Raises
    ------
    ValueError
        If a label is not in 0 to n_out - 1.
    """
    if labels.size and not 0 <= labels.min() <= labels.max() < n_out:
        raise ValueError(
            f"labels must be 0 to {n_out - 1}, but range from {labels.min()} to {labels.max()}; "
            "number the classes from 0, and give the last layer a neuron for each"
        )
    columns: Array = np.eye(n_out, dtype=dtype)[labels].T
    return columns


def check_dataset(data: Dataset, n_in: int, n_out: int) -> None:
    """Raise ValueError if a data set is empty or does not fit a network of these ends."""
    if not isinstance(data, Dataset):
        raise TypeError(f"expected a Dataset(images, labels), not {type(data).__name__}")
    if not len(data):
        raise ValueError(f"{data!r} is empty: give it at least one image")
    if data.images.shape[1] != n_in or data.labels.max() >= n_out:
        raise ValueError(
            f"the network takes {n_in} pixels and knows the labels 0 to {n_out - 1}, but {data!r} "
            f"has labels up to {data.labels.max()}; fit the first and the last layer to it"
        )


def warn_of_lost_decay(lmbda: float, decay: float, dtype: np.dtype[Any]) -> None:
    """Warn if 1 - decay, by which a step multiplies the weights, rounds to 1: nothing decays."""
    if decay and dtype.type(1 - decay) == 1:
        warnings.warn(
            f"lmbda of {lmbda:g} has no effect in {dtype}, where a decay of eta lmbda/n = "
            f"{decay:.2g} a step is lost in rounding: take a larger lmbda, or float64",
            stacklevel=3,
        )


class Parameters:
    """Parameters of a layer: one array as long as it lives, of which there are views everywhere.

    What is assigned is copied into it.

    Raises
    ------
    AttributeError
        While they have not been drawn.
    ValueError
        If values of another shape are assigned.
    """

    def __set_name__(self, layer: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: object, kind: type | None = None) -> Array:
        try:
            array: Array = vars(layer)[self.name]
        except (KeyError, TypeError):
            raise AttributeError(
                f"{self.name} is drawn when a Network is made of the layer: make one"
            ) from None
        return array

    def __set__(self, layer: object, values: ArrayLike) -> None:
        array = self.__get__(layer)
        if np.shape(values) != array.shape:
            raise ValueError(
                f"{self.name} must keep its shape {array.shape}, not take that of the values, "
                f"{np.shape(values)}: give as many, or make another layer"
            )
        array[...] = values


def _array(x: ArrayLike | Dataset) -> NDArray[Any]:
    if isinstance(x, Dataset):
        raise TypeError("expected an array of images, not a Dataset: give its dataset.images")
    return np.asarray(x)


def _finite(array: NDArray[Any], name: str, dtype: DTypeLike) -> tuple[Array, float]:
    """Return finite numbers and their sum."""
    # The sum of finite numbers is rarely infinite, and cheap: only then look at each.
    with np.errstate(over="ignore", invalid="ignore"):
        numbers: Array = array.astype(dtype, copy=False)
        total = float(numbers.sum())
    if not isfinite(total) and not np.isfinite(numbers).all():
        raise ValueError(
            f"{name} must be finite in {numbers.dtype}, but holds NaN or infinity: clean it first"
        )
    return numbers, total
