"""Files that hold arrays and a description of them in JSON, read without believing anything.

Two kinds: .npz, which `numpy.load` opens too, and .safetensors. A reader takes from them numbers,
texts, lists and objects, no more. No array is allocated before its shape, dtype and size in the
file have been found to be those that are asked for.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nndl._typing import Array
from nndl.files import atomic_write
from nndl.storage.schema import dumps, loads

__all__ = ["Arrays", "Reader", "opened", "write"]

Reader = Callable[[tuple[int, int], np.dtype[Any]], Array]
"""Gives out an array of a file if it has the given shape and dtype, or raises ValueError."""

Arrays = Mapping[str, Reader]

DESCRIPTION = "description.json"
LARGEST_DESCRIPTION = 2**22  # bytes
LARGEST_RATIO = 20  # of what a .npz file unpacks to, a description apart, to its own size


def write(path: str | Path, description: Any, arrays: Mapping[str, Array]) -> None:
    """Write arrays and their description to a file ending in .npz or .safetensors, atomically.

    Raises
    ------
    ValueError
        If the ending is another, the description is not plain JSON or too large, or an array is
        not finite: nothing is written that `opened` would refuse.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If the file cannot be written; what was there before is whole.
    """
    suffix = Path(path).suffix
    if suffix not in (".npz", ".safetensors"):
        raise ValueError(f"{path} must end in .npz or .safetensors")
    raw = dumps(description, indent=1).encode()
    _loads_description(raw)
    little = {}
    for name, array in arrays.items():
        _check_finite(name, array)
        little[name] = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    if suffix == ".npz":
        with atomic_write(path) as file:
            _write_npz(file, raw, little)
    else:
        content = _safetensors("numpy").save(little, {DESCRIPTION: raw.decode()})
        with atomic_write(path) as file:
            file.write(content)


@contextmanager
def opened(path: str | Path, suffix: str = "") -> Iterator[tuple[Any, Arrays]]:
    """Open a file ending in .npz, .safetensors or .json: yield its description and its `Arrays`.

    With ``suffix``, the file is taken for one of that ending, whatever it is called. A .json file
    is all description, of any size. Whatever is found to be wrong while the block runs, by the
    readers or by the block itself, is raised as one ValueError that names the file.

    Raises
    ------
    ValueError
        If the ending is another, or the file is not whole or holds something else.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If the file cannot be opened.
    """
    containers = {".npz": _open_npz, ".safetensors": _open_safetensors, ".json": _open_json}
    suffix = suffix or Path(path).suffix
    if suffix not in containers:
        raise ValueError(f"{path} must end in {', '.join(containers)} to be loaded")
    with open(path, "rb") as file:
        try:
            yield containers[suffix](file)
        except (
            ValueError,
            EOFError,
            OSError,
            RuntimeError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            reason = str(error) or type(error).__name__
            raise ValueError(f"{path} cannot be loaded: {reason}") from None


# The description, which is JSON.


def _loads_description(raw: bytes) -> Any:
    if len(raw) > LARGEST_DESCRIPTION:
        raise ValueError(f"a description has {LARGEST_DESCRIPTION:,} bytes at most, not {len(raw)}")
    return loads(raw)


def _open_json(file: BinaryIO) -> tuple[Any, Arrays]:
    return loads(file.read()), {}


# The zip archive of .npy members that is a .npz file.


def _write_npz(file: BinaryIO, raw: bytes, arrays: Mapping[str, Array]) -> None:
    def add(name: str, content: bytes) -> None:
        member = zipfile.ZipInfo(name)  # always of the same date: the same network, the same file
        member.external_attr = 0o644 << 16  # the mode after unzip
        archive.writestr(member, content)

    with zipfile.ZipFile(file, "w") as archive:
        add(DESCRIPTION, raw)
        for name, array in arrays.items():
            npy = io.BytesIO()
            np.lib.format.write_array(npy, array, allow_pickle=False)
            add(f"{name}.npy", npy.getvalue())


def _open_npz(file: BinaryIO) -> tuple[Any, Arrays]:
    archive = zipfile.ZipFile(file)
    members = {member.filename: member for member in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise ValueError("two of its members have the same name")
    # Only these are unpacked piece by piece, so that a small file cannot fill the memory.
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
        description = _loads_description(stream.read(described.file_size))
    readers = {name[:-4]: partial(_read_npy, archive, member) for name, member in members.items()}
    return description, readers


def _read_npy(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, shape: tuple[int, int], dtype: np.dtype[Any]
) -> Array:
    little = dtype.newbyteorder("<")
    # What NumPy has always written, but for the spaces at the end: compared, and never parsed.
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
        raw = stream.read(size)
    array: Array = np.frombuffer(raw, little).reshape(shape).astype(dtype)
    _check_finite(member.filename, array)
    return array


def _check_finite(name: str, array: Array) -> None:
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")


# Safetensors, through its library.


def _safetensors(module: str = "") -> Any:
    try:
        return import_module(f"safetensors.{module}".rstrip("."))
    except ImportError:
        raise ImportError(
            "files ending in .safetensors need the library safetensors: install nndl[safetensors], "
            "or use .npz"
        ) from None


def _open_safetensors(file: BinaryIO) -> tuple[Any, Arrays]:
    library = _safetensors()
    try:
        tensors = library.safe_open(file.name, framework="numpy")
    except library.SafetensorError as error:
        raise ValueError(str(error)) from None
    text = (tensors.metadata() or {}).get(DESCRIPTION)
    if text is None:
        raise ValueError(f"its metadata must hold {DESCRIPTION}")
    names = list(tensors.keys())  # the library has no iterator
    readers = {name: partial(_read_tensor, tensors, name) for name in names}
    return _loads_description(text.encode()), readers


def _read_tensor(tensors: Any, name: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    kind, part = f"F{8 * dtype.itemsize}", tensors.get_slice(name)
    if (part.get_dtype(), tuple(part.get_shape())) != (kind, shape):
        raise ValueError(
            f"{name} must be {kind} of shape {shape}, but is {part.get_dtype()} of shape "
            f"{part.get_shape()}"
        )
    array: Array = np.array(tensors.get_tensor(name), dtype)
    _check_finite(name, array)
    return array
