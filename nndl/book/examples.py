"""Lists of tuples (x, y), as the listings take them, turned into arrays for the core."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nndl._typing import Array
from nndl.data import Dataset

__all__ = ["Pair", "Targets", "as_columns", "as_examples", "correct", "floats", "unzip"]

Pair = tuple[Array, Any]


class Targets(NamedTuple):
    """Examples whose desired outputs are not classes: x is (n_in, n) and y is (n_out, n)."""

    x: Array
    y: Array


def as_columns(pairs: Iterable[Pair], sizes: list[int]) -> Targets:
    """Return n tuples as the columns of two matrices, for a network of these sizes.

    Raises
    ------
    ValueError
        If there is no tuple, or a shape is not (n_in, 1) or (n_out, 1).
    """
    xs, ys = unzip(pairs)
    return Targets(_inputs(xs, sizes).T, _outputs(ys, sizes).T)


def as_examples(pairs: Iterable[Pair], sizes: list[int]) -> Dataset | Targets:
    """Return tuples as a Dataset where y are classes, labels or one-hot, and as Targets elsewhere.

    With a single output y is always a target, a number or an array of one.

    Raises
    ------
    ValueError
        As `as_columns`, or if a label is negative or not below n_out.
    """
    xs, ys = unzip(pairs)
    x, n_out = _inputs(xs, sizes), sizes[-1]
    if n_out > 1 and all(np.ndim(y) == 0 for y in ys):
        labels = np.array(ys)
        if labels.dtype.kind in "iu" and labels.max() >= n_out:
            raise ValueError(
                f"the last size of the network is {n_out}, but there are labels up to "
                f"{labels.max()}: make it {labels.max() + 1}, as in "
                f"Network({[*sizes[:-1], int(labels.max()) + 1]})"
            )
        return Dataset(x, labels, "the reader's data")
    y = _outputs(ys, sizes)
    labels = y.argmax(axis=1)
    if n_out > 1 and np.array_equal(y, np.eye(n_out)[labels]):
        return Dataset(x, labels, "the reader's data")
    return Targets(x.T, y.T)


def correct(a: Array, y: ArrayLike) -> int:
    """Return how many of the outputs a, (n_out, n), are right for y, (n_out, n) or labels.

    The largest output must be the label, or be where y is largest. A single output must lie on
    the same side of 1/2 as y.
    """
    y = np.asarray(y)
    if len(a) == 1:
        return int(((a > 0.5) == (y > 0.5)).sum())
    return int((a.argmax(axis=0) == (y.argmax(axis=0) if y.ndim == 2 else y)).sum())


def floats(numbers: ArrayLike) -> Array:
    """Return whole numbers as float64: the core would divide those of uint8 by 256."""
    array = np.asarray(numbers)
    return array.astype(np.float64) if array.dtype.kind in "iub" else array


def unzip(pairs: Iterable[Pair]) -> tuple[list[Any], list[Any]]:
    """Return the list of all x and the list of all y; ValueError for what is no list of tuples."""
    pairs = list(pairs)
    if not pairs:
        raise ValueError(
            "expected tuples (x, y), but the data are empty, as an iterator such as zip is after "
            "its first use: keep list(zip(x, y)) instead"
        )
    try:
        return [x for x, _ in pairs], [y for _, y in pairs]
    except (TypeError, ValueError):
        raise ValueError(
            "expected tuples (x, y), as load_data_wrapper returns them, but the data begin with "
            f"{type(pairs[0]).__name__} of shape {np.shape(pairs[0])}: pair arrays by zip(x, y)"
        ) from None


def _inputs(xs: list[Any], sizes: list[int]) -> Array:
    shapes = {np.shape(x) for x in xs}
    if len(shapes) == 1 and (shape := shapes.pop()) != (sizes[0], 1) and shape[1:] == (1,):
        raise ValueError(
            f"the first size of the network is {sizes[0]}, but each x holds {shape[0]} numbers: "
            f"make it Network({[shape[0], *sizes[1:]]})"
        )
    return _rows(xs, "x", sizes[0])


def _outputs(ys: list[Any], sizes: list[int]) -> Array:
    n_out = sizes[-1]
    if n_out == 1 and all(np.size(y) == 1 for y in ys):  # also a plain number
        ys = [np.reshape(y, (1, 1)) for y in ys]
    shapes = {np.shape(y) for y in ys}
    if len(shapes) == 1 and (shape := shapes.pop()) != (n_out, 1) and shape[1:] == (1,):
        raise ValueError(
            f"the last size of the network is {n_out}, but each y holds {shape[0]} numbers: "
            f"make it Network({[*sizes[:-1], shape[0]]})"
        )
    return _rows(ys, "y", n_out)


def _rows(columns: list[Any], name: str, n: int) -> Array:
    """Return columns (n, 1) as the rows of one array."""
    shapes = {np.shape(column) for column in columns}
    if shapes != {(n, 1)}:
        raise ValueError(
            f"each {name} must have the shape {(n, 1)}, but there are the shapes "
            f"{sorted(shapes)[:3]}: reshape each by {name}.reshape(-1, 1)"
        )
    return floats(np.array(columns)[:, :, 0])
