"""Data sets of labelled images: MNIST, files in its format, synthetic digits, expansions."""

from nndl.data.dataset import Dataset
from nndl.data.mnist import load_mnist

__all__ = ["Dataset", "load_mnist"]
