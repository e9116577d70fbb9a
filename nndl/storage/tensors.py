"""The .safetensors archive, read and written through its library, which is optional."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from nndl._typing import Array
from nndl.storage.reader import DESCRIPTION, Arrays, check_finite
from nndl.storage.schema import LARGEST_DESCRIPTION, loads
from nndl.text import printable

__all__ = ["open_tensors", "pack_tensors"]

LARGEST_HEADER = 2 * LARGEST_DESCRIPTION  # bytes: it holds the description, with quotes escaped


def pack_tensors(description: bytes, arrays: Mapping[str, Array]) -> bytes:
    """Return the content of a file with a description and little-endian arrays."""
    content: bytes = _library("numpy").save(dict(arrays), {DESCRIPTION: description.decode()})
    _check_header(BytesIO(content))  # what could not be read is not written
    return content


def open_tensors(file: BinaryIO) -> tuple[Any, Arrays]:
    """Return the description of an open file and the readers of its arrays."""
    library = _library()
    _check_header(file)
    try:
        tensors = library.safe_open(file.name, framework="numpy")
    except library.SafetensorError as error:
        raise ValueError(printable(error)) from None
    text = (tensors.metadata() or {}).get(DESCRIPTION)
    if text is None:
        raise ValueError(f"its metadata must hold {DESCRIPTION}")
    names = list(tensors.keys())  # the library has no iterator
    readers = {name: partial(_read_tensor, tensors, name) for name in names}
    return loads(text.encode(), LARGEST_DESCRIPTION), readers


def _check_header(file: BinaryIO) -> None:
    """Raise ValueError for a header beyond the limits of JSON: the library bounds no memory.

    It takes a kilobyte for the name of each array.
    """
    length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise ValueError(f"its header may have at most {LARGEST_HEADER:,} bytes, not {length:,}")
    loads(file.read(length), LARGEST_HEADER)


def _library(module: str = "") -> Any:
    try:
        return import_module(f"safetensors.{module}".rstrip("."))
    except ImportError:
        raise ImportError(
            "files ending in .safetensors need the library safetensors: install nndl[safetensors], "
            "or use .npz"
        ) from None


def _read_tensor(tensors: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    kind, part = f"{dtype.kind.upper()}{8 * dtype.itemsize}", tensors.get_slice(name)
    if (part.get_dtype(), tuple(part.get_shape())) != (kind, shape):
        raise ValueError(
            f"{name} must be {kind} of shape {shape}, but is {part.get_dtype()} of shape "
            f"{printable(part.get_shape(), 99)}"
        )
    array: Array = np.array(tensors.get_tensor(name), dtype)
    check_finite(name, array)
    return array
