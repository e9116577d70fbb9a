"""Labeled images: the form in which all data enters the package."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = [
    "Dataset",
    "check_dtype",
    "scaled_alike",
    "scaled_integers",
    "warn_of_missing_classes",
    "warn_of_raw_pixels",
]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images in rows and their labels.

    Parameters
    ----------
    images : array_like, shape (n, n_in), (n, height, width) or (n, maps, height, width)
        Floats with finite values (the book's MNIST: float32, raw/256, so 0 <= pixel < 1), or
        uint8 with the raw values 0 to 255, which are divided by 256 when they are used. Other
        integers are scaled by their range, as the page "How to load data" says. An image is stored
        as a row.
    labels : array_like of integers, shape (n,), or of floats, shape (n, k)
        The class of each image, 0 or more; or the desired outputs of a network with k outputs: 0
        and 1 where an image can have several labels at once, or real values.
    name : str
        What the images are, for tables and figures: "MNIST training", "synthetic digits".
    shape : tuple of int, optional
        (height, width) or (maps, height, width) of an image, for plots, shifts and convolution.
        Found from ``images`` if they have more than two dimensions; rows of a square number of
        pixels are square images; else None.
    weights : ndarray of floats, shape (n,), optional
        The factor of each image's cost, 0 or more. With a mean of 1 they keep the meaning of eta
        and lmbda.

    Raises
    ------
    ValueError
        If the shapes do not fit together, the labels are neither integers of at least 0 nor finite
        floats, or are one-hot, a pixel is NaN or infinite, integer pixels are not between 0 and
        255, or a weight is negative or not finite.

    Warns
    -----
    UserWarning
        If the mean of float pixels is above 1, or uint8 pixels are all 16 or less: both are on
        another scale than networks expect. The message names the right divisor.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((2, 8, 8), np.float32)
    >>> Dataset(images, [3, 5], "blank").shape
    (8, 8)
    """

    images: NDArray[np.floating | np.uint8]
    labels: NDArray[Any]
    name: str = "unnamed"
    shape: tuple[int, ...] | None = None
    weights: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        images, labels = _plain(self.images, "images"), _plain(self.labels, "labels")
        if images.ndim not in (2, 3, 4) or images.dtype.kind not in "fiu":
            raise ValueError(
                "images must be floats or integers of shape (n, n_in), (n, height, width) or "
                f"(n, maps, height, width), but are {images.dtype} of shape {images.shape}; "
                f"{_advice_on_images(images)}"
            )
        shape = _image_shape(images, self.shape)
        last = images.ndim == 4 and images.shape[3] in (1, 3, 4) and images.shape[1] > 4
        if last and self.shape is None:
            height, *_, maps = images.shape[1:]
            warnings.warn(
                f"images of shape {images.shape} are read as {height} maps: if the last axis has "
                f"the {maps} maps, give images.transpose(0, 3, 1, 2)",
                stacklevel=3,
            )
        if images.ndim > 2:
            images = images.reshape(len(images), math.prod(images.shape[1:]))
        if labels.ndim == 2 and labels.dtype.kind == "f":
            _check_targets(labels, len(images))
        elif labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels must be integers of shape ({len(images)},), one for each image, but are "
                f"{labels.dtype} of shape {labels.shape}; {_advice_on_labels(labels)}"
            )
        elif labels.size and labels.min() < 0:
            raise ValueError(
                f"labels must be 0 or more, but the smallest is {labels.min()}; number the classes "
                "from 0"
            )
        if images.dtype.kind == "f":
            _check_floats(images)
        else:
            images = scaled_integers(images)
        weights = None if self.weights is None else _check_weights(self.weights, len(labels))
        checked = {"images": images, "labels": labels, "shape": shape, "weights": weights}
        for field, value in checked.items():
            object.__setattr__(self, field, value)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of images, labels and weights; equal data has equal digests anywhere."""
        images = self.images.astype(self.images.dtype.newbyteorder("<"), copy=False)
        digest = hashlib.sha256(f"{images.dtype.str} {images.shape}".encode())
        for i in range(0, len(images), 1000):  # rows that are not contiguous are copied
            digest.update(np.ascontiguousarray(images[i : i + 1000]).data)
        kind = "<i8" if self.has_classes else "<f8"
        digest.update(np.ascontiguousarray(self.labels, kind).data)
        if self.weights is not None:
            digest.update(np.ascontiguousarray(self.weights, "<f8").data)
        return digest.hexdigest()

    @property
    def has_classes(self) -> bool:
        """Whether labels are the classes of images, (n,), and not desired outputs, (n, k)."""
        return self.labels.ndim == 1

    @cached_property
    def is_multi_label(self) -> bool:
        """Whether labels are desired outputs that are all 0 or 1."""
        return not self.has_classes and bool(np.isin(self.labels, (0, 1)).all())

    def targets(
        self, n_out: int, dtype: DTypeLike, smoothing: float = 0.0
    ) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
        """Return a table of desired outputs in rows, (k, n_out), and each image's row in it, (n,).

        For labels the table is one-hot. Smoothed labels share the part ``smoothing`` of the 1 among
        all outputs (Szegedy et al. 2016): 1 - smoothing + smoothing/n_out at the label, and
        smoothing/n_out elsewhere. Raises ValueError if the part is not in [0, 1), or labels are
        desired outputs already.
        """
        if not 0 <= smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), not {smoothing!r}")
        if not self.has_classes:
            if smoothing:
                raise ValueError(
                    "label_smoothing is for integer labels, not for desired outputs: leave it out, "
                    "and smooth them yourself"
                )
            return self.labels.astype(dtype, copy=False), np.arange(len(self))
        table = (1 - smoothing) * np.eye(n_out) + smoothing / n_out
        return table.astype(dtype), self.labels.astype(np.intp, copy=False)

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        """Allow ``images, labels = dataset``."""
        return iter((self.images, self.labels))

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> Dataset:
        """Return the data set of the chosen rows, as ``training[:1000]`` in the book."""
        if not isinstance(rows, slice | np.ndarray):
            raise TypeError(
                f"a data set is indexed by a slice or an array of rows, not by {rows!r}; "
                "a single image is dataset.images[i] with dataset.labels[i]"
            )
        weights = None if self.weights is None else self.weights[rows]
        return self._replace(images=self.images[rows], labels=self.labels[rows], weights=weights)

    def repeated(self, times: int, images: NDArray[Any], name: str) -> Dataset:
        """Return a data set of other images, for which labels and weights are repeated in order."""
        weights = None if self.weights is None else np.tile(self.weights, times)
        labels = np.concatenate([self.labels] * times)
        return self._replace(images=images, labels=labels, name=name, weights=weights)

    def _replace(self, **changes: Any) -> Dataset:
        """Return a copy with other fields, which are not checked again."""
        copy = object.__new__(Dataset)
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        vars(copy).update(kept | changes)
        return copy

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {len(self):,} images of {self.images.shape[1]} pixels, "
            f"{self.images.dtype})"
        )

    def _repr_html_(self) -> str:
        """Return a table and the first images, for notebooks."""
        from nndl.html import picture, table

        pixels = " × ".join(map(str, self.shape or self.images.shape[1:]))
        rows = {"images": f"{len(self):,} of {pixels} pixels, {self.images.dtype}"}
        if self.has_classes:
            counts = zip(*np.unique(self.labels, return_counts=True), strict=True)
            rows["images per class"] = ", ".join(f"{label}: {n:,}" for label, n in counts)
        else:
            rows["desired outputs"] = f"{self.labels.shape[1]:,} for each image"
        return table(self.name, rows) + picture(self.images[:SHOWN], self.shape)


SHOWN = 40  # images in a notebook


def _plain(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return an array without a mask, and not a matrix."""
    if np.ma.is_masked(values):
        raise ValueError(f"{name} must have no masked values: fill them first, with .filled(0)")
    return np.asarray(values)


def _image_shape(images: NDArray[Any], shape: object) -> tuple[int, ...] | None:
    """Return the shape of an image, as given or as the images have it."""
    n_in = math.prod(images.shape[1:])
    found = images.shape[1:] if images.ndim > 2 else None
    if shape is None:
        side = math.isqrt(n_in)
        return found or ((side, side) if side and side**2 == n_in else None)
    sides = tuple(shape) if isinstance(shape, tuple | list) else ()
    whole = all(isinstance(n, int | np.integer) and n > 0 for n in sides)
    if (
        len(sides) not in (2, 3)
        or not whole
        or math.prod(sides) != n_in
        or found not in (None, sides)
    ):
        raise ValueError(
            f"shape must be (height, width) or (maps, height, width) with a product of {n_in}, the "
            f"number of pixels of an image, but is {shape!r} for images of shape {images.shape}"
        )
    return tuple(int(n) for n in sides)


def _advice_on_images(images: NDArray[Any]) -> str:
    if images.dtype.kind not in "fiu":
        return "convert them with .astype(numpy.float32)"
    return "a single image is images[None]"


def _check_weights(weights: NDArray[np.floating], n: int) -> NDArray[np.floating]:
    weights = np.asarray(weights)
    if weights.shape != (n,) or weights.dtype.kind != "f":
        raise ValueError(
            f"weights must be floats of shape ({n},), one for each image, but are {weights.dtype} "
            f"of shape {weights.shape}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError("weights must be 0 or more and finite: replace those that are not")
    return weights


def _check_targets(targets: NDArray[np.floating], n: int) -> None:
    if len(targets) != n or not targets.shape[1]:
        raise ValueError(
            f"desired outputs must be floats of shape ({n}, k), a row for each image, but have the "
            f"shape {targets.shape}"
        )
    if not np.isfinite(targets).all():
        row = int(np.argmin(np.isfinite(targets).all(axis=1)))
        raise ValueError(
            f"desired outputs must be finite, but row {row} holds NaN or infinity; clean them first"
        )
    one_hot = n > 1 and targets.shape[1] > 1 and np.isin(targets, (0, 1)).all()
    if one_hot and (targets.sum(axis=1) == 1).all():
        raise ValueError(
            f"labels must be integers where each image has one class, but are {targets.dtype} of "
            f"shape {targets.shape}; one-hot labels become integers by labels.argmax(axis=1)"
        )


def _advice_on_labels(labels: NDArray[np.generic]) -> str:
    if labels.ndim == 2 and labels.shape[1] == 1:
        return "flatten them with labels.ravel()"
    if labels.ndim == 2:
        return (
            "one-hot labels become integers by labels.argmax(axis=1), and several labels of an "
            "image are floats, labels.astype(numpy.float32)"
        )
    if labels.dtype.kind == "b" or (labels.dtype.kind == "f" and (labels == np.rint(labels)).all()):
        return "convert them with labels.astype(int)"
    if labels.dtype.kind == "f":
        return "real values are desired outputs, of the shape of labels[:, None]"
    if labels.dtype.kind not in "iu":
        return "names become integers by numpy.unique(labels, return_inverse=True)[1]"
    return "give as many labels as images"


def _check_floats(images: NDArray[np.floating]) -> None:
    # A sum is finite only if every pixel is: one pass without a temporary mask.
    with np.errstate(invalid="ignore", over="ignore"):  # of infinity minus infinity
        total = images.sum(dtype=np.float64)
    if not np.isfinite(total) and not np.isfinite(images).all():
        row = int(np.argmin(np.isfinite(images).all(axis=1)))
        raise ValueError(
            f"pixels must be finite, but image {row} holds NaN or infinity; "
            "clean the images before training"
        )
    warn_of_raw_pixels(images, total, stacklevel=5)


def scaled_alike(parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the images of the parts of one data set, all on one scale.

    The largest pixel of all parts decides what `scaled_integers` does with each. Beside a part of
    floats, integers other than uint8 become floats of the same values.
    """
    of_integers = [part for part in parts if part.dtype.kind in "iu"]
    with_floats = len(of_integers) < len(parts)
    raw = any(part.dtype == np.uint8 for part in of_integers)
    largest = 255 if raw else max((int(part.max(initial=0)) for part in of_integers), default=0)
    alike = []
    for part in parts:
        if part.dtype.kind in "iu" and part.dtype != np.uint8:
            part = part.astype(np.float32) if with_floats else scaled_integers(part, largest)
        alike.append(part)
    return alike


def scaled_integers(
    images: NDArray[np.integer], largest: int = 0
) -> NDArray[np.float32 | np.uint8]:
    """Return integer images as uint8 or float32, scaled as their range says.

    uint8 always means raw pixels, 0 to 255, and is returned as it is. Of other integers the
    largest decides: up to 1 they are black and white, and become the floats 0 and 1; up to 16, as
    in scikit-learn's ``load_digits``, they are divided by 16; up to 255 they become uint8.
    ``largest`` is that of images which belong to these.

    Raises
    ------
    ValueError
        If a pixel is below 0 or above 255.

    Warns
    -----
    UserWarning
        If uint8 pixels are all 16 or less.
    """
    low, high = (int(images.min()), int(images.max())) if images.size else (0, 0)
    if images.dtype == np.uint8:
        if 0 < high <= 16:
            scale = "" if high == 1 else " / 16"
            warnings.warn(
                f"uint8 pixels are divided by 256, but the largest of these is {high}; give them "
                f"as floats between 0 and 1: (images{scale}).astype(numpy.float32)",
                stacklevel=4,
            )
        return images  # type: ignore[return-value]
    if low < 0 or high > 255:
        formula = f"images / {high}" if low >= 0 else f"(images - {low}) / {high - low}"
        raise ValueError(
            f"integer pixels must be 0 to 255, but range from {low} to {high}; give them as floats "
            f"between 0 and 1: ({formula}).astype(numpy.float32)"
        )
    if (high := max(high, largest)) > 16:
        return images.astype(np.uint8)
    scaled: NDArray[np.float32] = np.multiply(images, 1 / 16 if high > 1 else 1, dtype=np.float32)
    return scaled


def warn_of_raw_pixels(images: NDArray[np.floating], total: float, stacklevel: int = 4) -> None:
    """Warn if the sum of float pixels is more than that of pixels between 0 and 1 can be.

    Such pixels saturate sigmoids. The warning names the divisor that fits the largest.
    """
    if total > images.size:
        largest = float(images.max())
        if largest <= 16:
            advice = "divide raw ones by 16"
        elif largest <= 256:
            advice = "divide raw ones by 256, or give them as uint8"
        else:
            advice = (
                f"divide raw ones by the largest possible value; here the largest is {largest:g}"
            )
        warnings.warn(
            "float pixels should be between 0 and 1, but their mean is "
            f"{total / images.size:.3g}; {advice}",
            stacklevel=stacklevel,
        )


def warn_of_missing_classes(
    training: Dataset, other: Dataset, what: str, stacklevel: int = 2
) -> None:
    """Warn if a data set has labels that the training set lacks: no network can learn them."""
    if not (training.has_classes and other.has_classes):
        return
    missing = np.setdiff1d(other.labels, training.labels)
    if len(training) and len(missing):
        some = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        warnings.warn(
            f"the training set lacks the labels {some}, which {what} has, so that a network "
            "cannot learn them: were the images sorted by class before they were divided? "
            "nndl.data.split divides them class by class",
            stacklevel=stacklevel,
        )


def check_dtype(dtype: DTypeLike) -> None:
    """Raise ValueError unless images may have this dtype."""
    if np.dtype(dtype) not in (np.float32, np.float64, np.uint8):
        raise ValueError(f"dtype must be float32, float64 or uint8, but is {np.dtype(dtype)}")
