"""The real MNIST."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from nndl.data.dataset import Dataset

__all__ = ["load_mnist"]


def load_mnist(
    data_dir: str | Path | None = None, *, dtype: DTypeLike = np.float32, download: bool = True
) -> tuple[Dataset, Dataset, Dataset]:
    """Return training, validation and test set: the book's split, in the original order."""
    folder = Path(data_dir or os.environ["NNDL_DATA_DIR"]) / "mnist"

    def part(name: str, rows: slice, title: str) -> Dataset:
        raw = gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((folder / f"{name}-labels-idx1-ubyte.gz").read_bytes())
        images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784)[rows]
        if np.dtype(dtype) != np.uint8:
            images = np.multiply(images, 1 / 256, dtype=dtype)
        return Dataset(images, np.frombuffer(labels, np.uint8, offset=8)[rows].astype(int), title)

    return (
        part("train", slice(50_000), "MNIST training"),
        part("train", slice(50_000, None), "MNIST validation"),
        part("t10k", slice(None), "MNIST test"),
    )
