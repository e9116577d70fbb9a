"""Split a labeled set into training, validation and test set."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nndl.dataset import Dataset, warn_of_missing_classes
from nndl.text import printable

__all__ = ["converted", "split", "three_sets"]

PARTS = 6  # the last sixth of the training images validates, as in the book: 10,000 of 60,000


def split(dataset: Dataset, parts: int = PARTS) -> tuple[Dataset, Dataset]:
    """Split off the last part of a data set, such that both parts have all classes.

    The last ``n // parts`` images are split off if every class has its share among them, to within
    a factor of two. Otherwise, as in files sorted by class, the last ``1 / parts`` of the images
    of each class are. Both results keep the order of the images. Nothing is drawn at random.

    Parameters
    ----------
    dataset : Dataset
        Of n images.
    parts : int
        1 / the size of the second part; 6 gives the book's 50,000 and 10,000 for MNIST.

    Returns
    -------
    rest, last : Dataset
        About n - n / parts and n / parts images.

    Raises
    ------
    ValueError
        If there are fewer images than parts, or parts is less than 2.
    """
    n = len(dataset)
    if parts < 2 or n < parts:
        raise ValueError(
            f"cannot split {n} images into {parts} parts: give {max(parts, 2)} or more"
        )
    tail = np.arange(n) >= n - n // parts
    classes = dataset.labels if dataset.has_classes else np.zeros(n, int)
    _, labels, counts = np.unique(classes, return_inverse=True, return_counts=True)
    in_tail = np.bincount(labels[tail], minlength=len(counts))
    if (2 * parts * in_tail < counts).any() or (parts * in_tail > 2 * counts).any():
        stratified = _last_of_each_class(classes, parts)
        tail = stratified if stratified.any() else tail
    if np.count_nonzero(tail) == n // parts and tail[n - n // parts :].all():
        return dataset[: n - n // parts], dataset[n - n // parts :]  # without copying
    return dataset[np.flatnonzero(~tail)], dataset[np.flatnonzero(tail)]


def _last_of_each_class(labels: NDArray[np.integer], parts: int) -> NDArray[np.bool_]:
    """Return a mask of the last 1 / parts of each class, and of one image at least of two."""
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        size = max(len(rows) // parts, min(1, len(rows) - 1))
        chosen[rows[len(rows) - size :]] = True
    return chosen


def three_sets(
    name: str,
    train: Dataset,
    validation: Dataset | None,
    test: Dataset | None,
    dtype: DTypeLike,
) -> tuple[Dataset, Dataset, Dataset]:
    """Return training, validation and test set; what is not given is split off ``train``.

    Raises
    ------
    ValueError
        If the labels go much further than the number of classes.

    Warns
    -----
    UserWarning
        If the training set lacks classes that another set has.
    """
    given = [data.labels for data in (train, validation, test) if data is not None]
    classes = np.unique(np.concatenate(given))
    if classes.max(initial=0) >= max(10, 2 * len(classes)):
        raise ValueError(
            f"labels must number the classes, but those of {printable(name)} go up to "
            f"{classes.max()} while only {len(classes)} of them occur: the file of labels is "
            "damaged, or number the classes from 0"
        )
    if test is None:
        train, test = split(train, min(PARTS, len(train)))
    if validation is None:
        train, validation = split(train, min(PARTS, len(train)))
    for other, part in ((validation, "validation"), (test, "test")):
        warn_of_missing_classes(train, other, f"the {part} set", stacklevel=4)
    return (
        converted(train._replace(name=f"{name} training"), dtype),
        converted(validation._replace(name=f"{name} validation"), dtype),
        converted(test._replace(name=f"{name} test"), dtype),
    )


def converted(dataset: Dataset, dtype: DTypeLike) -> Dataset:
    """Return a data set with images of this dtype: raw/256 for floats, as everywhere.

    For uint8, float images become float32 unless every pixel is a whole number of 256ths.
    """
    images = dataset.images
    if images.dtype == dtype:
        return dataset
    if np.dtype(dtype) != np.uint8:
        scale = 1 / 256 if images.dtype == np.uint8 else 1
        return dataset._replace(images=np.multiply(images, scale, dtype=dtype))
    raw = _as_raw(images)
    return dataset._replace(images=images.astype(np.float32, copy=False) if raw is None else raw)


def _as_raw(images: NDArray[np.floating | np.uint8]) -> NDArray[np.uint8] | None:
    """Return images as raw pixels, k for k/256, or None if they are no such numbers."""
    raw = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), 1000):
        chunk = images[start : start + 1000] * 256
        if not ((chunk >= 0) & (chunk <= 255) & (chunk == np.rint(chunk))).all():
            return None
        raw[start : start + 1000] = chunk
    return raw
