"""The network that comes with the package: it reads handwritten digits before any training."""

from __future__ import annotations

from importlib.resources import as_file, files

from nndl.network import Network
from nndl.storage import load

__all__ = ["pretrained"]


def pretrained() -> Network:
    """Return a new copy of the network that comes with the package.

    It reads images of 784 pixels, as `nndl.data.mnist_like` makes them, and has ten softmax
    outputs. ``python -m nndl.pretrained.recipe`` trains it again. The page "Reading your own
    digits" gives its accuracy.

    Returns
    -------
    Network
        The caller may train it further: every call reads the file again.
    """
    with as_file(files(__package__) / "digits.npz") as path:
        return load(path)
