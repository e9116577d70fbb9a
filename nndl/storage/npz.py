"""The .npz archive: a zip file of .npy arrays and of a description in JSON.

Headers are compared with the one that is expected and never parsed, and no array is allocated
before its shape, dtype and size are known to be right.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any, BinaryIO, cast

import numpy as np

from nndl._typing import Array
from nndl.storage.reader import DESCRIPTION, Arrays, check_finite
from nndl.storage.schema import LARGEST_DESCRIPTION, loads

__all__ = ["open_npz", "write_npz"]

LARGEST_RATIO = 10  # of what the arrays unpack to, to the size of the file
LARGEST_DIRECTORY = 2**20  # bytes: enough for the names of some 10,000 arrays
PIECE = 2**20  # bytes that are read at a time


def write_npz(file: BinaryIO, description: bytes, arrays: Mapping[str, Array]) -> None:
    """Write a description and little-endian arrays, uncompressed; the same content, the same bytes.

    Raises
    ------
    ValueError
        If there are more arrays than `open_npz` would accept.
    """

    def add(name: str, content: bytes) -> None:
        member = zipfile.ZipInfo(name)  # without a date
        member.create_system, member.external_attr = 3, 0o644 << 16  # Unix, and the mode there
        archive.writestr(member, content)

    if sum(len(name) + 100 for name in arrays) > LARGEST_DIRECTORY:
        raise ValueError(f"a .npz file cannot hold as many as {len(arrays):,} arrays")
    with zipfile.ZipFile(file, "w") as archive:
        add(DESCRIPTION, description)
        for name, array in arrays.items():
            npy = io.BytesIO()
            np.lib.format.write_array(npy, array, allow_pickle=False)
            add(f"{name}.npy", npy.getvalue())


def open_npz(file: BinaryIO) -> tuple[Any, Arrays]:
    """Return the description of an open file and the readers of its arrays."""
    limited = _Limited(file, LARGEST_DIRECTORY)
    archive = zipfile.ZipFile(cast("BinaryIO", limited))
    limited.most = None
    members = {member.filename: member for member in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise ValueError("two of its members have the same name")
    # Other compressions are not unpacked piece by piece: a small file could fill the memory.
    if any(
        m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for m in members.values()
    ):
        raise ValueError("its members must be stored or deflated")
    unpacked, size = sum(m.file_size for m in members.values()), file.seek(0, io.SEEK_END)
    if unpacked > LARGEST_DESCRIPTION + LARGEST_RATIO * size:
        raise ValueError(f"its {size:,} bytes claim to unpack to {unpacked:,}")
    described = members.pop(DESCRIPTION, None)
    if described is None or not all(name.endswith(".npy") for name in members):
        raise ValueError(f"it must hold {DESCRIPTION} and .npy members, and nothing else")
    with archive.open(described) as stream:
        raw = stream.read(min(described.file_size, LARGEST_DESCRIPTION + 1))
    description = loads(raw, LARGEST_DESCRIPTION)
    readers = {name[:-4]: partial(_read_npy, archive, member) for name, member in members.items()}
    return description, readers


class _Limited:
    """A file that refuses to read more than ``most`` bytes at once, until ``most`` is None.

    zipfile reads the directory of an archive at once and makes an object of half a kilobyte for
    each member, before a caller can count them.
    """

    def __init__(self, file: BinaryIO, most: int | None) -> None:
        self.file, self.most = file, most
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, n: int = -1) -> bytes:
        if self.most is None:
            return self.file.read(n)
        raw = self.file.read(self.most + 1 if n < 0 else min(n, self.most + 1))
        if len(raw) > self.most:
            raise ValueError(f"its directory of members may have at most {self.most:,} bytes")
        return raw


def _read_npy(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Array:
    little = dtype.newbyteorder("<")
    # What NumPy has always written, apart from the spaces at the end.
    expected = f"{{'descr': '{little.str}', 'fortran_order': False, 'shape': {shape}, }}"
    with archive.open(member) as stream:
        magic, length = stream.read(8), int.from_bytes(stream.read(2), "little")
        found = stream.read(length).decode("latin-1").rstrip()
        if magic != b"\x93NUMPY\x01\x00" or found != expected:
            raise ValueError(
                f"{member.filename} must be {little.str} of shape {shape}, in C order, but it "
                f"starts with {magic[1:]!r} {found[:99]!r}"
            )
        size = prod(shape) * dtype.itemsize
        if member.file_size != stream.tell() + size:
            raise ValueError(f"{member.filename} must have {size} bytes after its header")
        array: Array = np.empty(shape, little)
        target = array.reshape(-1).view(np.uint8).data
        for start in range(0, size, PIECE):  # so that nothing is in memory twice
            piece = target[start : start + PIECE]
            raw = stream.read(len(piece))
            if len(raw) < len(piece):
                raise EOFError(f"{member.filename} ends early")
            piece[:] = raw
    check_finite(member.filename, array)
    return array.astype(dtype, copy=False)
