"""Data sets of labeled images: MNIST, other files, synthetic digits, augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nndl.data.augment import (
    ElasticDistortion,
    RandomAffine,
    RandomShift,
    affine,
    materialize,
    shift,
    shifted_fivefold,
)
from nndl.data.idx import read_idx, write_idx
from nndl.data.load import load_data, load_folder
from nndl.data.mnist import load_mnist
from nndl.data.splitting import split
from nndl.data.synthetic import synthetic_digits
from nndl.dataset import Dataset

if TYPE_CHECKING:
    from nndl.data.photo import mnist_like, open_picture, read_digits, read_picture

__all__ = [
    "Dataset",
    "ElasticDistortion",
    "RandomAffine",
    "RandomShift",
    "affine",
    "load_data",
    "load_folder",
    "load_mnist",
    "materialize",
    "mnist_like",
    "open_picture",
    "read_digits",
    "read_idx",
    "read_picture",
    "shift",
    "shifted_fivefold",
    "split",
    "synthetic_digits",
    "write_idx",
]


def __getattr__(name: str) -> Any:
    """Import nndl.data.photo, and with it Pillow and scipy.ndimage, when it is first used."""
    if name in ("mnist_like", "open_picture", "read_digits", "read_picture"):
        from nndl.data import photo

        return getattr(photo, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
