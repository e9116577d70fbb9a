"""Load a data set by name or from files, whatever their format: one function for all of them."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from nndl.data.csv_files import find_csv_files, read_csv
from nndl.data.idx_folders import find_idx_files, read_idx_folder
from nndl.data.mnist import load_mnist
from nndl.data.named import NAMED, read_named
from nndl.data.npz_files import read_npz
from nndl.data.pickle_files import read_pickle
from nndl.data.picture_folders import read_picture_folders
from nndl.data.splitting import three_sets
from nndl.data.synthetic import synthetic_digits
from nndl.dataset import Dataset, check_dtype
from nndl.text import printable

__all__ = ["NAMES", "load_data", "load_folder"]

Three = tuple[Dataset, Dataset, Dataset]

NAMES = ("auto", "mnist", "synthetic", *NAMED)
"""The names that `load_data` knows; everything else is a path."""

SYNTHETIC_SIZES = (20_000, 4_000, 4_000)
SYNTHETIC_SEED = 2013


def load_data(choice: str | Path = "auto", dtype: DTypeLike = np.float32) -> Three:
    """Return the training, validation and test set of a data set.

    Parameters
    ----------
    choice : str or Path
        - "mnist": MNIST, downloaded if necessary, as `load_mnist` says.
        - "synthetic": digits drawn by the program.
        - "auto": MNIST, or, if it is not available, the synthetic digits, with a warning on
          standard error.
        - "fashion-mnist", "kmnist", "emnist-balanced", "emnist-byclass", "emnist-bymerge",
          "emnist-digits", "emnist-letters", "emnist-mnist": downloaded if necessary.
        - Anything else: a path to files, as `load_folder` says.
    dtype : float32, float64 or uint8
        Of the images. As uint8 they take a quarter of the memory and train a little faster, with
        the same results. Files whose pixels are not whole 256ths give float32 for uint8.

    Returns
    -------
    training, validation, test : Dataset

    Raises
    ------
    OSError
        If files are missing and cannot be downloaded, or cannot be read.
    ValueError
        If a file is damaged or holds something else, or dtype is another.
    """
    check_dtype(dtype)
    if choice == "synthetic":
        return _synthetic(dtype)
    if choice == "mnist":
        return load_mnist(dtype=dtype)
    if choice in NAMED:
        train, test = read_named(str(choice))
        return three_sets(str(choice), train, None, test, dtype)
    if choice != "auto":
        return load_folder(choice, dtype=dtype)
    try:
        return load_mnist(dtype=dtype)
    except OSError as error:
        if sys.stderr is not None:
            rule = "!" * 78
            print(
                f"{rule}\nMNIST is not available: {error}\n\n"
                "WARNING: falling back to SYNTHETIC DIGITS drawn by this program. They are not\n"
                f"MNIST, and no accuracy below is an accuracy on MNIST.\n{rule}",
                file=sys.stderr,
            )
        return _synthetic(dtype)


def load_folder(folder: str | Path, *, dtype: DTypeLike = np.float32) -> Three:
    """Return the training, validation and test set from a folder, or from one file.

    These forms are recognized, in this order:

    - Four files in MNIST's format (IDX), gzipped or not, as of Fashion-MNIST, KMNIST and EMNIST;
      in the folder, in its sub-folder ``raw`` or, as of torchvision, in ``*/raw``.
    - A file ``*.npz``, as of Keras (``x_train, y_train, x_test, y_test``), MedMNIST
      (``train_images``, ...) or with all images in one array (``data, target``).
    - The book's ``mnist.pkl.gz``; code in a pickle is not run.
    - ``*.csv``, as of Kaggle: one file with "train" and perhaps one with "test" in its name.
    - Pictures in a sub-folder for each class, or in ``train``, ``test`` and perhaps ``val`` with
      such sub-folders.

    Where there is no validation set, it is the last sixth of the training images: of each class,
    if the file is sorted by class (see `nndl.data.split`). A test set that is not there is split
    off in the same way.

    Parameters
    ----------
    folder : str or Path
        A folder, or a file ending in .npz, .pkl, .pkl.gz or .csv. Its name names the data set.
    dtype : float32, float64 or uint8
        As for `load_data`.

    Raises
    ------
    OSError
        If there is nothing of this kind, or it cannot be read.
    ValueError
        If a file is damaged or holds something else.

    Warns
    -----
    UserWarning
        If the training set lacks classes that another set has, or test.csv has no labels.
    """
    check_dtype(dtype)
    path = _expanded(folder)
    if path.is_file():
        name = path.name.partition(".")[0]
        sets = _read_file(path)
    elif path.is_dir():
        name = path.resolve().name
        if name == "raw":  # torchvision's MNIST/raw
            name = path.resolve().parent.name
        sets = _read_folder(path)
    else:
        raise FileNotFoundError(
            "data must be auto, mnist, synthetic, or a folder, a file ending in .npz, .pkl, "
            f".pkl.gz or .csv, or one of {', '.join(NAMED)}, but {printable(folder)} is "
            f"{_what(path)}"
        )
    train, test = sets["train"], sets.get("test")
    if len(train) < 6 or (test is not None and not len(test)):
        raise ValueError(
            f"{printable(path)} must have 6 training images or more, and 1 test image or more if "
            f"it has a test set, but has {len(train)} and {len(test or ())}"
        )
    return three_sets(name, train, sets.get("validation"), test, dtype)


def _expanded(path: str | Path) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # of a user who does not exist
        raise FileNotFoundError(
            f"data must be in a folder, but {printable(path)} names an unknown user"
        ) from None


def _what(path: Path) -> str:
    return "neither a folder nor a regular file" if path.exists() else "not there"


def _read_file(path: Path) -> dict[str, Dataset]:
    """Read the sets of one file."""
    name = path.name.lower()
    if name.endswith(".npz"):
        return read_npz(path)
    if name.endswith((".pkl", ".pkl.gz", ".pickle")):
        return read_pickle(path)
    if name.endswith(".csv"):
        return read_csv(path)
    raise ValueError(
        f"data in one file must end in .npz, .pkl, .pkl.gz or .csv, but the file is "
        f"{printable(path)}; for "
        "files in MNIST's format, give their folder"
    )


def _read_folder(folder: Path) -> dict[str, Dataset]:
    """Read the sets of a folder in the first form that is recognized."""
    homes = _idx_homes(folder)
    if len(homes) > 1:
        raise FileNotFoundError(
            f"{printable(folder)} must have one data set in MNIST's format, but has several: "
            "give one of "
            f"{', '.join(map(printable, homes))}"
        )
    if homes:
        train, test = read_idx_folder(homes[0])
        return {"train": train, "test": test}
    for pattern in ("*.npz", "*.pkl.gz", "*.pkl"):
        paths = sorted(path for path in folder.glob(pattern) if path.is_file())
        if len(paths) == 1:
            return _read_file(paths[0])
        if paths:
            raise FileNotFoundError(
                f"{printable(folder)} must have one file {pattern}, but has several: give one of "
                f"{', '.join(printable(path.name) for path in paths)}"
            )
    train_csv, test_csv = find_csv_files(folder)
    if train_csv:
        return _read_csv_files(train_csv, test_csv)
    if sets := read_picture_folders(folder):
        return sets
    raise FileNotFoundError(
        f"{printable(folder)} must have four files in MNIST's format (train-images-idx3-ubyte, "
        "...), a file "
        ".npz, .pkl.gz or train*.csv, or sub-folders of pictures for each class, but has none of "
        "them"
    )


def _idx_homes(folder: Path) -> list[Path]:
    """Return the folder if it has files in MNIST's format, or else its sub-folders that have."""
    if find_idx_files(folder):
        return [folder]
    subs = sorted(sub for sub in folder.iterdir() if sub.is_dir() and not sub.name.startswith("."))
    nested = [sub / "raw" for sub in subs if (sub / "raw").is_dir()]
    return [sub for sub in (*subs, *nested) if find_idx_files(sub)]


def _read_csv_files(train: Path, test: Path | None) -> dict[str, Dataset]:
    sets = read_csv(train, test)
    if test is not None and "test" not in sets:
        warnings.warn(
            f"{printable(test)} has no column of labels: the test set is split off {train.name}",
            stacklevel=5,
        )
    return sets


def _synthetic(dtype: DTypeLike) -> Three:
    digits = synthetic_digits(sum(SYNTHETIC_SIZES), np.random.default_rng(SYNTHETIC_SEED), dtype)
    parts, start = [], 0
    for name, size in zip(("training", "validation", "test"), SYNTHETIC_SIZES, strict=True):
        part = digits[start : start + size]
        parts.append(part._replace(name=f"synthetic digits {name}"))
        start += size
    return parts[0], parts[1], parts[2]
