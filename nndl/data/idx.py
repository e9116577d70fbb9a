"""IDX, the file format of MNIST, read with limits and written.

A file is a magic number (two zero bytes, a code for the type, the number of dimensions), the
dimensions as big-endian 32-bit integers, and the elements, big-endian, in C order; often gzipped.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nndl.dataset import Dataset
from nndl.files import LONGEST_PATH, atomic_write, open_regular
from nndl.text import printable

__all__ = ["read_idx", "read_labeled_images", "write_idx"]

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CODES = {np.dtype(name): code for code, name in TYPES.items()}
LARGEST = 2**32  # bytes of elements: larger than any data set that is kept in this format
# A gzipped file may unpack to FLOOR bytes, or to RATIO times its own size if that is more: MNIST's
# images to 4.7 times theirs, blank images to a thousand times.
FLOOR, RATIO = 2**26, 10
PIECE = 2**20  # bytes that are read at a time


def read_idx(path: str | Path) -> NDArray[Any]:
    """Read an IDX file, gzipped or not; its content decides, not its name.

    Returns
    -------
    ndarray
        uint8, int8, int16, int32, float32 or float64, in the machine's byte order.

    Raises
    ------
    ValueError
        If the file is not IDX, is damaged, holds more or less than its dimensions say, or unpacks
        to more than 64 MiB and more than 10 times its size.
    OSError
        If it cannot be opened, or is not a regular file.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            if not zipped:
                return _read(file, size)
            with gzip.open(file) as unzipped:
                return _read(unzipped, max(FLOOR, RATIO * size))
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{printable(path, LONGEST_PATH)} is not a whole IDX file: {error}"
            ) from None


def _read(file: BinaryIO | gzip.GzipFile, most: int) -> NDArray[Any]:
    """Read an array of at most ``most`` bytes."""
    zeros, code, n_dims = struct.unpack(">HBB", _exactly(file, 4))
    if zeros or code not in TYPES or not 1 <= n_dims <= 4:
        raise ValueError(
            f"it begins with {zeros:04x}{code:02x}{n_dims:02x}, not with 0000, a type from 08 to "
            "0e and 1 to 4 dimensions"
        )
    dtype = np.dtype(TYPES[code])
    shape = struct.unpack(f">{n_dims}I", _exactly(file, 4 * n_dims))
    size = math.prod(shape) * dtype.itemsize
    if size > min(most, LARGEST):
        raise ValueError(
            f"its dimensions {shape} mean {size:,} bytes, and a file of its size holds at most "
            f"{min(most, LARGEST):,}"
        )
    elements = _exactly(file, size)
    if file.read(1):
        raise ValueError(f"it holds more than the {size:,} bytes that its dimensions {shape} mean")
    array = np.frombuffer(elements, dtype).reshape(shape)
    native = dtype.newbyteorder("=")
    # In place: the elements are in memory once.
    return array if dtype == native else array.byteswap(inplace=True).view(native)


def _exactly(file: BinaryIO | gzip.GzipFile, size: int) -> bytearray:
    """Read ``size`` bytes in pieces, so that a wrong size costs no memory."""
    content = bytearray()
    while len(content) < size:
        piece = file.read(min(PIECE, size - len(content)))
        if not piece:
            raise ValueError(f"it ends after {len(content):,} of {size:,} bytes")
        content += piece
    return content


def write_idx(path: str | Path, array: NDArray[Any]) -> None:
    """Write an array as IDX, atomically; gzipped, without a date, if the name ends in .gz.

    Raises
    ------
    ValueError
        If the format has no such dtype, or the array does not have 1 to 4 dimensions.
    OSError
        As `nndl.files.atomic_write`.
    """
    dtype = array.dtype.newbyteorder(">")
    if dtype not in CODES or not 1 <= array.ndim <= 4:
        raise ValueError(
            "IDX holds uint8, int8, int16, int32, float32 or float64 in 1 to 4 dimensions, not "
            f"{array.dtype} of shape {array.shape}: convert it with astype"
        )
    content = io.BytesIO()
    content.write(struct.pack(f">HBB{array.ndim}I", 0, CODES[dtype], array.ndim, *array.shape))
    content.write(array.astype(dtype).tobytes())
    data = content.getvalue()
    with atomic_write(path) as file:
        file.write(gzip.compress(data, mtime=0) if Path(path).suffix == ".gz" else data)


def read_labeled_images(images: Path, labels: Path, name: str) -> Dataset:
    """Read a file of images and one of labels as a Dataset of raw uint8 pixels.

    Raises
    ------
    ValueError
        If a file holds something else, or they do not belong together.
    """
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise ValueError(
            f"{printable(images, LONGEST_PATH)} must hold uint8 images (n, height, width), but "
            f"holds {pixels.dtype} of shape {pixels.shape}"
        )
    if classes.dtype.kind not in "iu" or classes.shape != pixels.shape[:1]:
        raise ValueError(
            f"{printable(labels, LONGEST_PATH)} must hold {len(pixels):,} whole numbers, a label "
            f"for each image of {printable(images.name)}, but holds {classes.dtype} of shape "
            f"{classes.shape}"
        )
    return Dataset(pixels, classes.astype(np.intp), name)
