"""Which data a script works on: the real MNIST, a folder of files, or digits that we draw."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from nndl.data.mnist import load_folder, load_mnist
from nndl.data.synthetic import synthetic_digits
from nndl.dataset import Dataset

__all__ = ["load_data"]

SYNTHETIC_SIZES = (20_000, 4_000, 4_000)
SYNTHETIC_SEED = 2013


def load_data(
    choice: str = "auto", dtype: DTypeLike = np.float32
) -> tuple[Dataset, Dataset, Dataset]:
    """Return training, validation and test set.

    Parameters
    ----------
    choice : str
        "mnist": the real MNIST, downloaded if need be. "synthetic": digits drawn by the program.
        "auto": MNIST, or if it cannot be had the synthetic digits, with a warning on standard
        error. Anything else: a folder with four files named as MNIST's.
    dtype : float32, float64 or uint8
        Of the images; as uint8 they take a quarter of the memory and train a little faster, to the
        same numbers.

    Raises
    ------
    OSError
        If files cannot be had or read.
    ValueError
        If a file is not what it should be.
    """
    if choice == "synthetic":
        return _synthetic(dtype)
    if choice == "mnist":
        return load_mnist(dtype=dtype)
    if choice != "auto":
        folder = Path(choice).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(
                f"data must be auto, mnist, synthetic, or a folder with four files named as "
                f"MNIST's, but {choice} is {'a file' if folder.exists() else 'not there'}"
            )
        return load_folder(folder, dtype=dtype)
    try:
        return load_mnist(dtype=dtype)
    except OSError as error:
        rule = "!" * 78
        print(
            f"{rule}\nThe real MNIST is not here: {error}\n\n"
            "WARNING: going on with SYNTHETIC DIGITS drawn by this program. They are not MNIST,\n"
            f"and no accuracy below is an accuracy on MNIST.\n{rule}",
            file=sys.stderr,
        )
        return _synthetic(dtype)


def _synthetic(dtype: DTypeLike) -> tuple[Dataset, Dataset, Dataset]:
    digits = synthetic_digits(sum(SYNTHETIC_SIZES), np.random.default_rng(SYNTHETIC_SEED), dtype)
    parts, start = [], 0
    for name, size in zip(("training", "validation", "test"), SYNTHETIC_SIZES, strict=True):
        rows = slice(start, start + size)
        parts.append(Dataset(digits.images[rows], digits.labels[rows], f"synthetic digits {name}"))
        start += size
    return parts[0], parts[1], parts[2]
