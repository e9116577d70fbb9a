"""Labeled images in .npz files, as of Keras (mnist.npz), MedMNIST and scikit-learn's bunches."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nndl.dataset import Dataset, scaled_alike
from nndl.text import printable

__all__ = ["read_npz"]

# The names of images and labels: of one part, or of all of the data.
NAMES = {
    "train": [("x_train", "y_train"), ("train_images", "train_labels"), ("X_train", "y_train")],
    "validation": [("x_val", "y_val"), ("val_images", "val_labels"), ("X_val", "y_val")],
    "test": [("x_test", "y_test"), ("test_images", "test_labels"), ("X_test", "y_test")],
    "all": [("data", "target"), ("images", "labels"), ("x", "y"), ("X", "y")],
}
MEMBERS = 100
DAMAGED = (  # what a damaged archive raises, where it is not found out before
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)
FREE, RATIO = 2**26, 100  # a member may unpack to FREE bytes, or RATIO times its size in the file


def read_npz(path: Path) -> dict[str, Dataset]:
    """Read the sets of a .npz file, without pickle and without trusting what its headers claim.

    Returns
    -------
    dict of str to Dataset
        "train", and "validation" and "test" where the file has them.

    Raises
    ------
    ValueError
        If the file is damaged, holds no images under a known name, or claims more than it holds.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(archive, path)
        except DAMAGED as error:
            raise ValueError(
                f"{printable(path)} cannot be read as .npz: {printable(error)}"
            ) from None


def _read(archive: zipfile.ZipFile, path: Path) -> dict[str, Dataset]:
    members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()[: MEMBERS + 1]}
    if len(members) > MEMBERS:
        raise ValueError(f"it has more than {MEMBERS} members")
    pairs = {}
    for part, names in NAMES.items():
        for images, labels in names:
            if images in members and labels in members:
                pairs[part] = (
                    _maps_first(_array(archive, members[images])),
                    _labels(_array(archive, members[labels])),
                )
                break
    scaled = scaled_alike([images for images, _ in pairs.values()])
    found = {
        part: Dataset(images, labels, path.stem)
        for (part, (_, labels)), images in zip(pairs.items(), scaled, strict=True)
    }
    if "train" not in found and "all" in found:
        found["train"] = found["all"]
    if "train" not in found:
        arrays = printable(", ".join(members)) or "none"
        raise ValueError(
            f"it has the arrays {arrays}, but x_train and y_train are needed (x_test, y_test; or "
            "data and target)"
        )
    found.pop("all", None)
    return found


def _maps_first(images: NDArray[Any]) -> NDArray[Any]:
    """Return (n, maps, height, width) for images with the maps last, as of Keras and MedMNIST."""
    if images.ndim == 4 and images.shape[3] in (1, 3, 4) and images.shape[1] > 4:
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images


def _labels(labels: NDArray[Any]) -> NDArray[np.integer]:
    labels = labels.ravel() if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if (
        labels.ndim == 1
        and labels.dtype.kind == "f"
        and (abs(labels) < 2**53).all()
        and (labels % 1 == 0).all()
    ):
        return labels.astype(np.int64)
    return labels


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """Read a member of an archive as `numpy.load` does, after a look at its header and size."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} must be stored or deflated")
    if member.file_size > max(FREE, RATIO * member.compress_size):
        raise ValueError(
            f"{member.filename} claims to unpack {member.compress_size:,} bytes to "
            f"{member.file_size:,}"
        )
    with archive.open(member) as file:
        shape, fortran, dtype = _npy_header(file)
        size = math.prod(shape) * dtype.itemsize
        if size != member.file_size - file.tell():
            raise ValueError(
                f"{member.filename} must have {size:,} bytes for {dtype} of shape {shape}, but "
                f"has {member.file_size - file.tell():,}"
            )
        raw = file.read(size)
    array: NDArray[Any] = np.frombuffer(raw, dtype).reshape(shape[::-1] if fortran else shape)
    return array.T if fortran else array


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of .npy is unknown")
    shape, fortran, dtype = readers[version](file)
    if dtype.kind not in "fiub" or len(shape) > 4:
        raise ValueError(
            f"arrays must hold numbers in 4 dimensions at most, not {dtype} of shape {shape}"
        )
    return shape, fortran, dtype
