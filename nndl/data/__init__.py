"""Data sets of labelled images: MNIST, files in its format, synthetic digits, expansions."""

from nndl.data.choice import load_data
from nndl.data.dataset import Dataset
from nndl.data.expand import (
    ElasticDistortion,
    RandomAffine,
    RandomShift,
    affine,
    materialise,
    shift,
    shifted_fivefold,
)
from nndl.data.idx import read_idx, write_idx
from nndl.data.mnist import load_folder, load_mnist
from nndl.data.photo import mnist_like, read_picture
from nndl.data.synthetic import synthetic_digits

__all__ = [
    "Dataset",
    "ElasticDistortion",
    "RandomAffine",
    "RandomShift",
    "affine",
    "load_data",
    "load_folder",
    "load_mnist",
    "materialise",
    "mnist_like",
    "read_idx",
    "read_picture",
    "shift",
    "shifted_fivefold",
    "synthetic_digits",
    "write_idx",
]
