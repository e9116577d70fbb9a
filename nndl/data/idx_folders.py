"""Folders with four files in MNIST's format: images and labels, for training and for testing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from nndl.data.idx import read_idx, read_labeled_images
from nndl.dataset import Dataset
from nndl.text import printable

__all__ = ["find_idx_files", "read_idx_folder"]

# Such as train-images-idx3-ubyte, t10k-labels.idx1-ubyte.gz, emnist-letters-test-images-idx3-ubyte.
NAME = re.compile(
    r"(?P<prefix>.*?)(?P<part>train|t10k|test)-(?P<kind>images|labels)[.-]idx\d-ubyte(\.gz)?"
)
KINDS = [(part, kind) for part in ("train", "test") for kind in ("images", "labels")]


def find_idx_files(folder: Path) -> dict[str, dict[tuple[str, str], list[Path]]]:
    """Return the files of each data set in a folder: ``[prefix][part, kind]`` is a list of paths.

    The prefix is what comes before "train", as "emnist-letters-"; part is "train" or "test", and
    kind "images" or "labels". A list has two paths where a file is there both gzipped and not.
    """
    found: dict[str, dict[tuple[str, str], list[Path]]] = {}
    for path in sorted(folder.iterdir()):
        match = NAME.fullmatch(path.name)
        if match and path.is_file():
            part = "train" if match["part"] == "train" else "test"
            files = found.setdefault(match["prefix"], {})
            files.setdefault((part, match["kind"]), []).append(path)
    return found


def read_idx_folder(folder: Path, prefix: str | None = None) -> tuple[Dataset, Dataset]:
    """Return the training and the test set of a folder, with raw uint8 pixels.

    Names are as MNIST's, with "test" for "t10k", a dot for the second hyphen, a prefix such as
    "emnist-letters-", and ".gz" if wanted. Where a file is there both gzipped and not, both must
    hold the same, and the one that is not gzipped is read. EMNIST's files, which have that prefix,
    hold transposed images and number the letters from 1: here images are upright, and a is 0.

    Parameters
    ----------
    folder : Path
        Has the files itself.
    prefix : str, optional
        Chooses one of several data sets.

    Raises
    ------
    FileNotFoundError
        If a file is missing, or there are several data sets and no prefix was given.
    ValueError
        If a file is damaged or does not match the others.
    """
    sets = find_idx_files(folder)
    if prefix is None:
        if len(sets) > 1:
            names = ", ".join(printable(f"{name}train-...") for name in sets)
            raise FileNotFoundError(
                f"{printable(folder)} must have the four files of one data set, but has several, "
                f"{names}: "
                "keep each in a folder of its own"
            )
        prefix = next(iter(sets), "")
    files = sets.get(prefix, {})
    missing = [
        f"{prefix}{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
        for part, kind in KINDS
        if (part, kind) not in files
    ]
    if missing:
        raise FileNotFoundError(
            f"{printable(folder)} lacks {', '.join(missing)}, gzipped or not: a data set in "
            "MNIST's format "
            "has these four files"
        )
    images, labels, test_images, test_labels = (_the_one(files[key]) for key in KINDS)
    train = read_labeled_images(images, labels, folder.name)
    test = read_labeled_images(test_images, test_labels, folder.name)
    if prefix.startswith("emnist-"):
        train, test = _upright(train), _upright(test)
    if prefix == "emnist-letters-" and min(train.labels.min(), test.labels.min()) == 1:
        train, test = (d._replace(labels=d.labels - 1) for d in (train, test))
    return train, test


def _the_one(paths: list[Path]) -> Path:
    """Return the path to read: of two files of one content, the one that is not gzipped."""
    if len(paths) > 1:
        first, *others = (read_idx(path) for path in paths)
        if not all(np.array_equal(first, other) for other in others):
            names = " and ".join(printable(path.name) for path in paths)
            raise ValueError(
                f"{names} in {printable(paths[0].parent)} must hold the same, but differ: remove "
                "the wrong one"
            )
    return min(paths, key=lambda path: path.suffix == ".gz")


def _upright(dataset: Dataset) -> Dataset:
    """Return EMNIST's images, which are stored with rows for columns, as one sees them."""
    n = len(dataset)
    height, width = dataset.shape or (1, 1)
    images = dataset.images.reshape(n, height, width).swapaxes(1, 2)
    return dataset._replace(images=images.reshape(n, -1), shape=(width, height))
