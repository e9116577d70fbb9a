"""Data sets of labeled images: MNIST, files in its format, synthetic digits, expansions."""

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
from nndl.data.load import load_data
from nndl.data.mnist import load_folder, load_mnist
from nndl.data.photo import mnist_like, read_picture
from nndl.data.synthetic import synthetic_digits
from nndl.dataset import Dataset

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
    "read_idx",
    "read_picture",
    "shift",
    "shifted_fivefold",
    "synthetic_digits",
    "write_idx",
]
