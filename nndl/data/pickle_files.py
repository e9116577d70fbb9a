"""The book's mnist.pkl.gz, read without running what a pickle may contain.

A pickle is a program: loading one by ``pickle.load`` runs whatever its author wants. Here the only
names that it can refer to are those by which NumPy's arrays are pickled, and they stand for classes
of this module that keep what they are given. No function of NumPy or of another library is called
before shape, dtype and size have been checked.
"""

from __future__ import annotations

import gzip
import io
import math
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nndl.dataset import Dataset
from nndl.text import printable

__all__ = ["read_pickle"]

LARGEST = 2**30  # bytes of the pickle; the book's has 220 million
# A gzipped file may unpack to FLOOR bytes, or to RATIO times its own size if that is more: the
# book's unpacks to 14 times.
FLOOR, RATIO = 2**26, 20
PIECE = 2**20  # bytes that are read at a time
DTYPES = {"f4", "f8", "u1", "i1", "i2", "i4", "i8", "u2", "u4", "u8"}
ERRORS = (  # what a damaged or hostile pickle raises within the interpreter of pickles
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    gzip.BadGzipFile,
)


def read_pickle(path: Path) -> dict[str, Dataset]:
    """Read training, validation and test set from the book's mnist.pkl.gz, gzipped or not.

    Such a file holds three pairs of images (n, n_in) and labels (n,). Images may also have the
    shapes that `Dataset` takes.

    Returns
    -------
    dict of str to Dataset
        "train", "validation" and "test".

    Raises
    ------
    ValueError
        If the file holds anything else, such as a reference to a function.
    OSError
        If it cannot be read.
    """
    try:
        pairs = _load(_unzipped(path))
        return {
            part: Dataset(_array(images), _array(labels), path.name.partition(".")[0])
            for part, (images, labels) in zip(("train", "validation", "test"), pairs, strict=True)
        }
    except ERRORS as error:
        raise ValueError(
            f"{printable(path)} must hold the three pairs of arrays of the book's mnist.pkl.gz, "
            "but "
            f"{printable(str(error) or type(error).__name__)}"
        ) from None


def _unzipped(path: Path) -> bytes:
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    most = min(LARGEST, max(FLOOR, RATIO * path.stat().st_size)) if zipped else LARGEST
    content = bytearray()
    with gzip.open(path) if zipped else open(path, "rb") as stream:
        while piece := stream.read(PIECE):
            content += piece
            if len(content) > most:
                raise ValueError(f"it has more than {most:,} bytes")
    return bytes(content)


class _Dtype:
    """Stands for a dtype in a pickle: keeps its code and its byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class _Array:
    """Stands for an array in a pickle: keeps its shape, dtype, order and bytes."""

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.dtype, self.fortran, self.content = state


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """Return what protocol 5 has for an array."""
    if not isinstance(content, bytes | bytearray):
        raise ValueError("has an array without bytes")
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", bytes(content)))
    return array


def _encode(text: Any, encoding: Any) -> bytes:
    """Return the bytes that newer Pythons write as text in old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("it encodes something other than bytes")
    return text.encode("latin1")


KNOWN = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
}


def _load_bytearray8(unpickler: Any) -> None:
    """Read the bytes of an array in protocol 5, of which pickle believes the length."""
    (size,) = struct.unpack("<Q", unpickler.read(8))
    content = unpickler.read(size)
    if len(content) < size:
        raise EOFError(f"ends after {len(content):,} of {size:,} bytes")
    unpickler.append(content)


# Arrays do not need these. Keys are hashed, which overflows the stack for deeply nested tuples.
HASHED = b"".join(
    (
        *(pickle.DICT, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS),
        *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
    )
)


# The interpreter in Python: that in C allocates as many places as a pickle claims to need.
class _Unpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Any]] = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code not in HASHED
    } | {pickle.BYTEARRAY8[0]: _load_bytearray8}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return KNOWN[module, name]
        except KeyError:
            raise ValueError(f"refers to {module}.{name}, which is not part of an array") from None


def _load(content: bytes) -> Any:
    # Strings of Python 2 are the bytes of arrays.
    return _Unpickler(io.BytesIO(content), encoding="bytes").load()


def _array(stub: Any) -> NDArray[Any]:
    """Return the array for which a pickle has a `_Array`."""
    if not isinstance(stub, _Array) or not isinstance(stub.dtype, _Dtype):
        raise ValueError(f"has {type(stub).__name__} where an array should be")
    code, order = (_text(value) for value in (stub.dtype.code, stub.dtype.order))
    if code not in DTYPES or order not in ("<", ">", "|", "="):
        raise ValueError(f"has an array of dtype {order}{code}, not of numbers")
    dtype = np.dtype(order + code)
    shape, content = stub.shape, stub.content
    if not isinstance(shape, tuple) or not 1 <= len(shape) <= 4 or not isinstance(content, bytes):
        raise ValueError("has an array without 1 to 4 dimensions, or without bytes")
    if not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise ValueError("has an array whose dimensions are not integers of at least 0")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"has {len(content):,} bytes for an array of {dtype} and shape {shape}")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if stub.fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)
