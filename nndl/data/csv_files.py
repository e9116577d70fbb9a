"""Labeled images in CSV files, as on Kaggle: a row for each image, a column for each pixel."""

from __future__ import annotations

import csv
import re
import warnings
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nndl.dataset import Dataset, scaled_alike
from nndl.text import printable

__all__ = ["find_csv_files", "read_csv"]

LABEL_NAMES = {"label", "labels", "class", "target", "y", "digit"}
LONGEST = 2**24  # characters of the first line


def find_csv_files(folder: Path) -> tuple[Path | None, Path | None]:
    """Return the training and the test file of a folder, by "train" and "test" in their names.

    A file that is alone is the training file, whatever its name.

    Raises
    ------
    FileNotFoundError
        If several files could be the one or the other.
    """
    files = sorted(path for path in folder.glob("*.csv") if path.is_file())
    if len(files) == 1:
        return files[0], None
    found = []
    for part in ("train", "test"):
        paths = [p for p in files if re.search(rf"(?<![a-z]){part}", p.stem.lower())]
        if len(paths) > 1:
            raise FileNotFoundError(
                f"{printable(folder)} must have one CSV file for {part}ing, but has "
                f"{', '.join(printable(p.name) for p in paths)}: give one of them by its path"
            )
        found.append(paths[0] if paths else None)
    return found[0], found[1]


def read_csv(train: Path, test: Path | None = None) -> dict[str, Dataset]:
    """Read CSV files with a label and the pixels of an image in each row.

    The label is in the column named "label", "class", "target", "digit" or "y", or else in the
    first. There may be a header or none. Pixels that are all integers are scaled as
    `nndl.dataset.scaled_alike` says.

    Parameters
    ----------
    train, test : Path
        UTF-8, columns separated by commas.

    Returns
    -------
    dict of str to Dataset
        "train", and "test" unless the header of that file names no column of labels, as Kaggle's.

    Raises
    ------
    ValueError
        If a file does not hold a table of numbers, or a label is not an integer of at least 0.
    OSError
        If it cannot be read.
    """
    tables = {"train": _read(train), "test": _read(test, labels_optional=True) if test else None}
    pairs = {part: pair for part, pair in tables.items() if pair is not None}
    scaled = scaled_alike([pixels for pixels, _ in pairs.values()])
    return {
        part: Dataset(images, labels, train.stem)
        for (part, (_, labels)), images in zip(pairs.items(), scaled, strict=True)
    }


def _read(
    path: Path, labels_optional: bool = False
) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
    """Return the pixels, integers if all are, and the labels; see `read_csv`.

    With ``labels_optional``, a file whose header names no column of labels gives None.
    """
    header = _header(path)
    columns = None
    if header and not header[0].strip():  # pandas wrote its index, which is nothing to learn from
        columns, header = range(1, len(header)), header[1:]
    column = 0
    if header is not None:
        named = [i for i, name in enumerate(header) if name.strip().lower() in LABEL_NAMES]
        if labels_optional and not named:
            return None
        column = named[0] if named else 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an empty table, which is refused below
            table: NDArray[np.float32] = np.loadtxt(
                path,
                np.float32,
                delimiter=",",
                quotechar='"',
                skiprows=0 if header is None else 1,
                usecols=columns,
                ndmin=2,
                encoding="utf-8-sig",
            )
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{printable(path)} must be a table of numbers, a label and pixels in each row, but "
            f"{printable(error)}"
        ) from None
    if table.shape[1] < 2 or not len(table):
        raise ValueError(
            f"{printable(path)} must have a label and pixels in each row, but its table has the "
            "shape "
            f"{table.shape}"
        )
    with np.errstate(invalid="ignore"):  # of NaN and infinity, which are refused below
        classes = table[:, column].astype(np.int64)
    if (classes != table[:, column]).any():
        row = int(np.argmax(classes != table[:, column]))
        raise ValueError(
            f"{printable(path)} must have integer labels in column {column + 1}, but row "
            f"{row + 1} has "
            f"{table[row, column]:g}; name the column of the labels 'label' in a header"
        )
    pixels = np.delete(table, column, axis=1)
    if (pixels == np.rint(pixels)).all() and np.abs(pixels).max() < 2**31:
        return pixels.astype(np.int32), classes
    return pixels, classes


def _header(path: Path) -> list[str] | None:
    """Return the names in the first line, or None if it holds numbers.

    0, 1, 2, ... are names too: those that pandas gives to columns without any.
    """
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        line = file.readline(LONGEST)
    if not line:
        raise ValueError(f"{printable(path)} must be a table of numbers, but is empty")
    if len(line) == LONGEST:
        raise ValueError(
            f"{printable(path)} must be a table of numbers, but its first line does not end"
        )
    cells = next(csv.reader(islice([line], 1)), [])
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return cells
    return cells if numbers == list(range(len(cells))) and len(cells) > 2 else None
