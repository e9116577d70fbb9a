"""Argument validation: inputs are checked once, by the public function that receives them.

After that they are trusted: the mathematics checks nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeGuard, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nndl._typing import Array
from nndl.activations import Activation
from nndl.costs import Cost, cross_entropy, log_likelihood
from nndl.dataset import Dataset, scaled_integers, warn_of_raw_pixels
from nndl.initializers import Initializer

__all__ = [
    "DivergedError",
    "Parameter",
    "are_sizes",
    "as_columns",
    "as_examples",
    "as_permutation",
    "as_targets",
    "check",
    "check_choice",
    "check_classes",
    "check_dataset",
    "check_drawn",
    "check_finite",
    "check_functions",
    "check_initial",
    "check_kinds",
    "check_layers",
    "check_n",
    "check_nesterov",
    "check_rate",
    "check_shape",
    "check_transformed",
    "one_hot",
    "pixels_as_columns",
    "rows_as_columns",
]


# Numbers.


class Rule(NamedTuple):
    """What an argument must be: its type, its range, and both in words for the error message."""

    kind: type
    fits: Callable[[Any], bool]
    words: str
    optional: bool = False


def _at_least(least: int, what: str, optional: bool = False) -> Rule:
    return Rule(Integral, lambda v: v >= least, f"{what}, {least} or more", optional)


_WHOLE = "a whole number"
_PENALTY = Rule(Real, lambda v: 0 <= v < inf, "0 or more and finite")
_PROBABILITY = Rule(Real, lambda v: 0 <= v < 1, "a probability of dropping a neuron, in [0, 1)")

RULES = {
    "eta": Rule(Real, lambda v: 0 < v < inf, "positive and finite"),
    "eta(epoch)": Rule(Real, lambda v: 0 <= v < inf, "0 or more and finite"),
    "warmup": Rule(Real, lambda v: 0 <= v < inf, "a number of epochs, 0 or more"),
    "lmbda": _PENALTY,
    "lmbda_l1": _PENALTY,
    # From 1 on the velocity never decays; below 0 it changes sign at every step.
    "mu": Rule(Real, lambda v: 0 <= v < 1, "in [0, 1)"),
    "n": _at_least(1, "the size of the training set"),
    "m": _at_least(1, "a number of examples"),
    "epochs": _at_least(0, _WHOLE),
    "first": _at_least(0, _WHOLE),
    "skip": _at_least(0, _WHOLE),
    "label_smoothing": Rule(Real, lambda v: 0 <= v < 1, "in [0, 1)"),
    "average": Rule(Real, lambda v: 0 <= v < 1, "in [0, 1)"),
    "mini_batch_size": _at_least(1, f"{_WHOLE} of images"),
    "threads": _at_least(1, _WHOLE, optional=True),
    "patience": _at_least(1, _WHOLE, optional=True),
    "halve_after": _at_least(1, _WHOLE, optional=True),
    "n_out": _at_least(1, f"{_WHOLE} of neurons"),
    "maps": _at_least(1, _WHOLE),
    "size": _at_least(1, _WHOLE),
    "pool": _at_least(1, _WHOLE),
    "pixels": _at_least(1, _WHOLE),
    "stride": _at_least(1, _WHOLE),
    "padding": _at_least(0, f'"same" or {_WHOLE}'),
    "p": _PROBABILITY,
    "momentum": Rule(Real, lambda v: 0 < v <= 1, "a share in (0, 1]"),
    "epsilon": Rule(Real, lambda v: 0 < v < inf, "positive and finite"),
    "h": Rule(Real, lambda v: 0 < v < inf, "a small positive number, like 1e-5"),
}


def check(**arguments: object) -> None:
    """Raise for the first argument that breaks its rule in `RULES`.

    Raises
    ------
    TypeError
        If a number is expected and something else is passed.
    ValueError
        If a number is out of range, or not whole where it must be.
    """
    for name, value in arguments.items():
        rule = RULES[name]
        if rule.optional and value is None:
            continue
        number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
        if not number or not isinstance(value, rule.kind) or not rule.fits(value):
            kind = ValueError if number else TypeError
            raise kind(f"{name} must be {rule.words}, not {value!r}")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise ValueError for an argument that is none of these."""
    allowed = list(choices)
    if not any(type(value) is type(one) and value == one for one in allowed):
        raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, not {value!r}")


def check_nesterov(nesterov: object, mu: float) -> None:
    """Raise ValueError unless nesterov is a bool, and False without momentum."""
    if not isinstance(nesterov, bool | np.bool_):
        raise ValueError(f"nesterov must be False or True, not {nesterov!r}")
    if nesterov and not mu:
        raise ValueError("nesterov changes the momentum: give mu, like 0.9, or leave nesterov out")


def check_n(n: int | None, lmbda: float, lmbda_l1: float) -> int:
    """Return the size of the training set, or 1 if it is not needed; check it."""
    if n is None and (lmbda or lmbda_l1):
        raise ValueError("lmbda is divided by the size of the training set: pass it as n")
    check(n=1 if n is None else n)
    return n or 1


def check_rate(
    eta: float | Callable[[float], float],
    epoch: float,
    lmbda: float,
    n: int,
    mu: float,
    dtype: np.dtype[Any],
) -> float:
    """Return the learning rate after ``epoch`` epochs; warn if lmbda has no effect with it.

    A step multiplies the weights by 1 - eta lmbda/n, which has no effect if it rounds to 1. With
    momentum the decay is added to the velocity, which is small enough not to lose it.
    """
    rate = eta(epoch) if callable(eta) else eta
    check(**{"eta(epoch)": rate})
    rate = float(rate)
    decay = rate * lmbda / n
    if decay and epoch == 0 and not mu and dtype.type(1 - decay) == 1:
        warnings.warn(
            f"lmbda of {lmbda:g} has no effect in {dtype}, where a decay of eta lmbda/n = "
            f"{decay:.2g} a step is lost in rounding: use a larger lmbda, or float64",
            stacklevel=3,
        )
    return rate


def check_finite(parameters: Sequence[Array], epoch: int, eta: float) -> None:
    """Raise DivergedError if a parameter is infinite or NaN."""
    if not _are_finite(parameters):
        raise DivergedError(
            f"training diverged in epoch {epoch}: the parameters are no longer finite; "
            f"try a smaller eta than {eta:g}"
        )


def check_initial(parameters: Sequence[Array]) -> None:
    """Raise ValueError if a parameter is infinite or NaN before training."""
    if not _are_finite(parameters):
        raise ValueError(
            "the parameters of the network must be finite, but some are infinite or NaN, as after "
            "training that diverged: create the network again, or load it"
        )


def _are_finite(parameters: Sequence[Array]) -> bool:
    return all(isfinite(p.sum()) for p in parameters)


class DivergedError(ArithmeticError):
    """Raised if parameters or costs become infinite or NaN during training."""


# Networks and layers.


def check_kinds(cost: object, dtype: DTypeLike) -> np.dtype[Any]:
    """Return the dtype of a network; raise if it is not supported or if cost is not a Cost."""
    if not isinstance(cost, Cost):
        raise TypeError(f"cost must be one of nndl.costs, not {cost!r}")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, not {np.dtype(dtype)}")
    return np.dtype(dtype)


def are_sizes(layers: object) -> TypeGuard[Sequence[int]]:
    """Return whether layers are given as sizes, [784, 30, 10], and not as Layer objects.

    Raises
    ------
    TypeError
        If layers is not a sequence.
    ValueError
        If there are fewer than two sizes, or one is below 1.
    """
    if isinstance(layers, str) or not isinstance(layers, Sequence | np.ndarray):
        raise TypeError(
            f"layers must be sizes like [784, 30, 10], or a list of layers, not {layers!r}"
        )
    whole = [isinstance(layer, Integral) for layer in layers]
    if all(whole) and len(whole) < 2:
        raise ValueError(
            "sizes must have the number of inputs and at least one layer, like [784, 30, 10], "
            f"not {list(layers)!r}"
        )
    if all(whole) and min(layers) < 1:
        raise ValueError(f"every size must be 1 or more, like [784, 30, 10], not {list(layers)!r}")
    return all(whole)


def check_layers(layers: Sequence[Any]) -> tuple[Any, ...]:
    """Return the layers as a tuple.

    Raises TypeError if one is not a layer, ValueError if one is already in use.
    """
    if not all(hasattr(layer, "build") for layer in layers):
        raise TypeError(
            "layers must be all whole numbers of neurons, like [784, 30, 10], or all "
            f"layers, like [Dense(30), Dense(10)], not {list(layers)!r}"
        )
    built = [getattr(layer, "__dict__", {}).keys() & {"w", "shape_in"} for layer in layers]
    if any(built) or len({id(layer) for layer in layers}) < len(layers):
        raise ValueError(
            "each layer can be used once, but one appears twice or already "
            "belongs to a network: create new layers"
        )
    return tuple(layers)


def check_shape(shape: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape of an input as a tuple of whole numbers, or raise ValueError."""
    sides = (shape,) if isinstance(shape, int | np.integer) else shape
    whole = isinstance(sides, tuple) and [isinstance(n, int | np.integer) and n > 0 for n in sides]
    if not whole or not all(whole):
        raise ValueError(f"input_shape must be like 784 or (1, 28, 28), not {shape!r}")
    return cast("tuple[int, ...]", sides)


def check_functions(activation: object, init: object) -> None:
    """Raise TypeError unless these are an activation and an initializer (names are not)."""
    if not isinstance(activation, Activation):
        raise TypeError(f"activation must be a function of nndl.activations, not {activation!r}")
    if not isinstance(init, Initializer):
        raise TypeError(f"init must be one of nndl.initializers, not {init!r}")


def check_drawn(
    init: object, shape: tuple[int, int], w: ArrayLike, b: ArrayLike
) -> tuple[ArrayLike, ArrayLike]:
    """Return w and b, or raise ValueError if an initializer drew other shapes."""
    if np.shape(w) != shape or np.shape(b) != (shape[0], 1):
        raise ValueError(
            f"{init!r} must draw weights of shape {shape} and biases of shape {(shape[0], 1)}, "
            f"but drew {np.shape(w)} and {np.shape(b)}"
        )
    return w, b


class Parameter:
    """A descriptor for a layer's array: assigning copies values into it and keeps the array.

    Raises
    ------
    AttributeError
        Before the parameters are drawn.
    ValueError
        If the assigned values have another shape.
    """

    def __set_name__(self, layer: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: object, kind: type | None = None) -> Array:
        try:
            array: Array = vars(layer)[self.name]
        except (KeyError, TypeError):
            raise AttributeError(
                f"{self.name} is drawn when a Network is created from the layer: create one first"
            ) from None
        return array

    def __set__(self, layer: object, values: ArrayLike) -> None:
        array = self.__get__(layer)
        if np.shape(values) != array.shape:
            raise ValueError(
                f"{self.name} has shape {array.shape}, but the assigned values have shape "
                f"{np.shape(values)}: assign values of the same shape, or create another layer"
            )
        array[...] = values


# Arrays.


def as_columns(x: ArrayLike, n_in: int, dtype: DTypeLike) -> Array:
    """Return x as a finite matrix (n_in, m) of the given dtype, or raise ValueError.

    Raw uint8 pixels are divided by 256.
    """
    array = _array(x)
    if array.ndim != 2 or array.shape[0] != n_in or array.dtype.kind not in "fiub":
        raise ValueError(
            f"x must be numbers of shape ({n_in}, m), a column for each example, but is "
            f"{array.dtype} of shape {array.shape}; transpose images in rows, and reshape a "
            f"single image to ({n_in}, 1)"
        )
    if array.dtype == np.uint8:
        return pixels_as_columns(array.T, dtype)
    return _finite(array, "x", dtype)[0]


def rows_as_columns(images: ArrayLike, n_in: int, dtype: DTypeLike) -> Array:
    """Return images (n, n_in) as columns (n_in, n); raw pixels are divided by 256."""
    array = _array(images)
    if array.ndim != 2 or array.shape[1] != n_in or array.dtype.kind not in "fiub":
        raise ValueError(
            f"images must be numbers of shape (n, {n_in}), a row for each image, but are "
            f"{array.dtype} of shape {array.shape}; reshape them, a single image to (1, {n_in})"
        )
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        # A Dataset decides by its largest pixel; of a few images that would be another number.
        if 1 < (largest := array.max(initial=0)) <= 16:
            raise ValueError(
                f"{array.dtype} pixels up to {largest} may be raw, or the largest may be 16: give "
                "raw pixels as uint8, and others as floats, as the network was trained with"
            )
        array = scaled_integers(array)
    if array.dtype == np.uint8:
        return pixels_as_columns(array, dtype)
    numbers, total = _finite(array, "images", dtype)
    warn_of_raw_pixels(numbers, total, stacklevel=5)
    return numbers.T


def pixels_as_columns(images: NDArray[Any], dtype: DTypeLike) -> Array:
    """Return rows of a Dataset, already validated, as columns of the given dtype."""
    if images.dtype == np.uint8:
        columns: Array = np.multiply(images, 1 / 256, dtype=dtype).T
        return columns
    return images.astype(dtype, copy=False).T


def as_examples(
    x: ArrayLike, y: ArrayLike, n_in: int, n_out: int, dtype: DTypeLike
) -> tuple[Array, Array, int]:
    """Return a mini-batch as columns x (n_in, m) and y (n_out, m), and m, or raise ValueError."""
    columns = as_columns(x, n_in, dtype)
    m = columns.shape[1]
    check(m=m)
    return columns, as_targets(y, n_out, m, dtype), m


def as_targets(y: ArrayLike, n_out: int, m: int, dtype: DTypeLike) -> Array:
    """Return desired outputs as columns (n_out, m); integer labels (m,) become one-hot."""
    array: NDArray[Any] = np.asarray(y)
    if array.shape == (m,) and array.dtype.kind in "iu":
        return one_hot(array, n_out, dtype)
    if array.shape != (n_out, m) or array.dtype.kind not in "fiub":
        raise ValueError(
            f"y must have the shape ({n_out}, {m}), or be {m} integer labels, but is "
            f"{array.dtype} of shape {array.shape}; pass one column or one label per example of x"
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
            "number the classes from 0, and give the last layer a neuron for each class"
        )
    rows = np.zeros((len(labels), n_out), dtype)
    rows[np.arange(len(labels)), labels] = 1
    columns: Array = rows.T
    return columns


def as_permutation(order: ArrayLike, n: int) -> NDArray[np.integer]:
    """Return an order of n images as an array, or raise ValueError if an image is missing."""
    array: NDArray[Any] = np.asarray(order)
    if (
        array.shape != (n,)
        or array.dtype.kind not in "iu"
        or array.min() < 0
        or array.max() >= n
        or not (np.bincount(array, minlength=n) == 1).all()
    ):
        raise ValueError(
            f"order must return a permutation of range({n}), each index once, but returned "
            f"{array.dtype} of shape {array.shape}, beginning with {array.ravel()[:5].tolist()}"
        )
    return array


def check_transformed(rows: Array, shape: tuple[int, ...]) -> Array:
    """Return the output of a transform; raise ValueError unless it is finite and of this shape."""
    if np.shape(rows) != shape:
        raise ValueError(
            f"transform must return images of the shape it was given, {shape}, but "
            f"returned {type(rows).__name__} of shape {np.shape(rows)}"
        )
    if not isfinite(rows.sum()) and not np.isfinite(rows).all():
        raise ValueError("transform must return finite images, but returned NaN or infinity")
    return rows


def check_transform(transform: object, data: Dataset) -> None:
    """Raise ValueError if a transform takes images for square ones that have another shape."""
    square = data.shape is None or len(data.shape) == 2 or data.shape[0] == 1
    if not square and getattr(transform, "shape", data.shape) is None:
        raise ValueError(
            f"the images have the shape {data.shape}: give it to the transform, as "
            f"{type(transform).__name__}(shape={data.shape})"
        )


def check_epoch(data: Dataset, size: int, skip: int, transform: object) -> None:
    """Raise ValueError if an epoch cannot begin after ``skip`` images, or for the transform."""
    check(skip=skip)
    if skip % size or skip >= len(data):
        raise ValueError(
            f"skip must be a multiple of the mini-batch size, {size}, and less than the number of "
            f"images, {len(data):,}, not {skip}"
        )
    check_transform(transform, data)


def check_dataset(data: Dataset, n_in: int, n_out: int, cost: Cost | None = None) -> None:
    """Raise if data is not a Dataset, is empty, or does not fit a network of these sizes.

    Desired outputs must also fit the cost, if it is given.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"expected a Dataset(images, labels), not {type(data).__name__}")
    if not len(data):
        raise ValueError(f"{data!r} is empty: pass at least one image")
    if not data.has_classes:
        _check_targets(data, n_in, n_out, cost)
    elif data.images.shape[1] != n_in or data.labels.max() >= n_out:
        raise ValueError(
            f"the network takes {n_in} pixels and has outputs for labels 0 to {n_out - 1}, but "
            f"{data!r} has labels up to {data.labels.max()}; adapt the input and output sizes"
        )


def _check_targets(data: Dataset, n_in: int, n_out: int, cost: Cost | None) -> None:
    if (data.images.shape[1], data.labels.shape[1]) != (n_in, n_out):
        raise ValueError(
            f"the network takes {n_in} pixels and has {n_out} outputs, but {data!r} has "
            f"{data.labels.shape[1]} desired outputs for each; adapt the input and output sizes"
        )
    low, high = data.labels.min(), data.labels.max()
    if cost in (cross_entropy, log_likelihood) and (low < 0 or high > 1):
        raise ValueError(
            f"the {cost} cost needs desired outputs from 0 to 1, but {data!r} has them from "
            f"{low:g} to {high:g}; use the quadratic cost with identity outputs"
        )


def check_classes(data: Dataset, what: str, advice: str = "evaluate measures those") -> None:
    """Raise ValueError unless each image of a data set has one class."""
    if not data.has_classes:
        raise ValueError(
            f"{what} needs integer labels, one class for each image, but {data!r} has desired "
            f"outputs; {advice}"
        )


def _array(x: ArrayLike | Dataset) -> NDArray[Any]:
    if isinstance(x, Dataset):
        raise TypeError("expected an array of images, not a Dataset: pass dataset.images")
    return np.asarray(x)


def _finite(array: NDArray[Any], name: str, dtype: DTypeLike) -> tuple[Array, float]:
    """Return the array in the given dtype, and its sum; raise ValueError unless all are finite."""
    # A finite sum proves that all are finite, and is cheap. Only otherwise is each one tested.
    with np.errstate(over="ignore", invalid="ignore"):
        numbers: Array = array.astype(dtype, copy=False)
        total = float(numbers.sum())
    if not isfinite(total) and not np.isfinite(numbers).all():
        raise ValueError(
            f"{name} must be finite in {numbers.dtype}, but has NaN or infinity: clean it first"
        )
    return numbers, total
