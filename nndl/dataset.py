"""Labelled images: the one form in which data enters the package."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["Dataset", "check_dtype", "warn_of_raw_pixels"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images in rows and their labels.

    Parameters
    ----------
    images : ndarray, shape (n, n_in)
        Floats with finite values (the book's MNIST: float32, raw/256, so 0 <= pixel < 1), or uint8
        with the raw values 0 to 255. An image is a row.
    labels : ndarray of integers, shape (n,)
        The class of each image, 0 or more.
    name : str
        What the images are, for tables and figures: "MNIST training", "synthetic digits".

    Raises
    ------
    ValueError
        If the shapes do not fit together, the labels are not whole numbers of at least 0, or a
        pixel is NaN or infinite.

    Warns
    -----
    UserWarning
        If the mean of float pixels is above 1: they are raw ones, 0 to 255, as other loaders give.
    """

    images: NDArray[np.floating | np.uint8]
    labels: NDArray[np.integer]
    name: str = "unnamed"

    def __post_init__(self) -> None:
        images, labels = np.asanyarray(self.images), np.asanyarray(self.labels)
        if images.ndim != 2 or not (images.dtype == np.uint8 or images.dtype.kind == "f"):
            raise ValueError(
                "images must be floats or uint8 of shape (n, n_in), a row for each image, but are "
                f"{images.dtype} of shape {images.shape}; flatten them with "
                "images.reshape(len(images), -1) and convert them with .astype(numpy.float32)"
            )
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels must be integers of shape ({len(images)},), one for each image, but are "
                f"{labels.dtype} of shape {labels.shape}; {_advice(labels)}"
            )
        if labels.size and labels.min() < 0:
            raise ValueError(
                f"labels must be 0 or more, but the smallest is {labels.min()}; number the classes "
                "from 0"
            )
        # A sum is finite only if every pixel is: one pass without a temporary mask.
        with np.errstate(invalid="ignore", over="ignore"):  # of infinity minus infinity
            total = images.sum(dtype=np.float64)
        if not np.isfinite(total) and not np.isfinite(images).all():
            row = int(np.argmin(np.isfinite(images).all(axis=1)))
            raise ValueError(
                f"pixels must be finite, but image {row} holds NaN or infinity; "
                "clean the images before training"
            )
        if images.dtype != np.uint8:
            warn_of_raw_pixels(total, images.size)
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of images and labels, computed once: equal data has equal digests anywhere."""
        images = self.images.astype(self.images.dtype.newbyteorder("<"), copy=False)
        digest = hashlib.sha256(f"{images.dtype.str} {images.shape}".encode())
        for i in range(0, len(images), 1000):  # rows that are not contiguous are copied
            digest.update(np.ascontiguousarray(images[i : i + 1000]).data)
        digest.update(np.ascontiguousarray(self.labels, "<i8").data)
        return digest.hexdigest()

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
        return Dataset(self.images[rows], self.labels[rows], self.name)

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {len(self):,} images of {self.images.shape[1]} pixels, "
            f"{self.images.dtype})"
        )


def _advice(labels: NDArray[np.generic]) -> str:
    if labels.ndim == 2 and labels.shape[1] == 1:
        return "flatten them with labels.ravel()"
    if labels.ndim == 2:
        return "one-hot labels become integers by labels.argmax(axis=1)"
    if labels.dtype.kind in "fb":
        return "convert them with labels.astype(int)"
    if labels.dtype.kind not in "iu":
        return "names become integers by numpy.unique(labels, return_inverse=True)[1]"
    return "give as many labels as images"


def check_dtype(dtype: DTypeLike) -> None:
    """Raise ValueError for what images are not kept in."""
    if np.dtype(dtype) not in (np.float32, np.float64, np.uint8):
        raise ValueError(f"dtype must be float32, float64 or uint8, but is {np.dtype(dtype)}")


def warn_of_raw_pixels(total: float, n: int, stacklevel: int = 4) -> None:
    """Warn if n float pixels add to more than pixels between 0 and 1 can: sigmoids saturate."""
    if total > n:
        warnings.warn(
            f"float pixels should lie between 0 and 1, but their mean is {total / n:.3g}; divide "
            "raw ones by 256, or give them as uint8",
            stacklevel=stacklevel,
        )
