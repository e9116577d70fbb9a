"""The MNIST data set: downloaded once, and verified at every call.

The files are those of Y. LeCun, C. Cortes and C. Burges, which every mirror carries byte for byte.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from nndl.data.download import cache_folder, fetch, is_whole
from nndl.data.idx import read_labeled_images
from nndl.data.splitting import converted
from nndl.dataset import Dataset, check_dtype
from nndl.text import printable

__all__ = ["load_mnist"]

FILES = {  # name: (bytes, SHA-256)
    "train-images-idx3-ubyte.gz": (
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte.gz": (
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte.gz": (
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}
UNZIPPED = {  # the same files after gunzip
    "train-images-idx3-ubyte": (
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": (
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": (
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": (
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
MIRRORS = [  # in the order in which they are tried
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/ae608a02b796c9ee908c082585a5f006fe05258e/",
]


def load_mnist(
    data_dir: str | Path | None = None, *, dtype: DTypeLike = np.float32, download: bool = True
) -> tuple[Dataset, Dataset, Dataset]:
    """Return the training, validation and test set: the book's split, in the original order.

    The files are in the sub-folder ``mnist`` of ``data_dir``, of the environment variable
    NNDL_DATA_DIR, or of the platform's cache folder, gzipped or not. Missing and damaged files
    are downloaded from the first mirror that works. The SHA-256 of every file is checked at every
    call.

    Parameters
    ----------
    data_dir : str or Path, optional
        Takes the place of NNDL_DATA_DIR.
    dtype : float32, float64 or uint8
        Of the images: raw/256 as in the book, or the raw pixels for uint8.
    download : bool
        Whether the network may be used.

    Returns
    -------
    training, validation, test : Dataset
        50,000, 10,000 and 10,000 images in rows of 784, and their labels as integers.

    Raises
    ------
    OSError
        If files are missing and cannot be downloaded or written. The message gives the reason for
        each mirror, and says where to put the files by hand.
    ValueError
        If dtype is another.
    """
    check_dtype(dtype)
    folder = cache_folder("mnist", data_dir)
    found = {name: _find(folder, name) for name in FILES}
    missing = [name for name, path in found.items() if path is None]
    if missing and not download:
        raise FileNotFoundError(
            f"{', '.join(missing)} must be in {printable(folder)}, complete and unchanged: allow "
            "the "
            "download, or put them there by hand"
        )
    if missing:
        fetch(missing, FILES, MIRRORS, folder, "MNIST")
    images, labels, test_images, test_labels = (found[name] or folder / name for name in FILES)
    train = read_labeled_images(images, labels, "MNIST")
    test = converted(read_labeled_images(test_images, test_labels, "MNIST test"), dtype)
    training = converted(train[:50_000]._replace(name="MNIST training"), dtype)
    validation = converted(train[50_000:]._replace(name="MNIST validation"), dtype)
    return training, validation, test


def _find(folder: Path, name: str) -> Path | None:
    """Return the path of a file, gzipped or not, if it is the published one."""
    for path, file in (
        (folder / name, FILES[name]),
        (folder / name[:-3], UNZIPPED.get(name[:-3])),
    ):
        if file and is_whole(path, *file):
            return path
    return None
