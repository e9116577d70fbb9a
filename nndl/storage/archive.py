"""Files that hold arrays and a description of them in JSON, written atomically, read with limits.

A reader returns numbers, texts, lists and objects, and nothing else: no file is unpickled, and no
name in a file is looked up.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nndl._typing import Array
from nndl.files import LONGEST_PATH, atomic_write, open_regular
from nndl.storage.npz import open_npz, write_npz
from nndl.storage.reader import Arrays, check_finite
from nndl.storage.schema import LARGEST_DESCRIPTION, LARGEST_JSON, dumps, loads
from nndl.storage.tensors import open_tensors, pack_tensors
from nndl.text import printable

__all__ = ["opened", "write"]


def write(path: str | Path, description: Any, arrays: Mapping[str, Array]) -> None:
    """Write arrays and their description to a file ending in .npz or .safetensors, atomically.

    Raises
    ------
    ValueError
        If the ending is another, the description is not plain JSON or too large, or an array is
        not finite: `opened` would refuse the file.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If the file cannot be written; the old one is as it was.
    """
    suffix = Path(path).suffix
    if suffix not in (".npz", ".safetensors"):
        raise ValueError(f"{printable(path, LONGEST_PATH)} must end in .npz or .safetensors")
    raw = dumps(description, indent=1).encode()
    loads(raw, LARGEST_DESCRIPTION)
    little = {}
    for name, array in arrays.items():
        check_finite(name, array)
        little[name] = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    if suffix == ".npz":
        with atomic_write(path) as file:
            write_npz(file, raw, little)
    else:
        content = pack_tensors(raw, little)
        with atomic_write(path) as file:
            file.write(content)


@contextmanager
def opened(path: str | Path, suffix: str = "") -> Iterator[tuple[Any, Arrays]]:
    """Open a file ending in .npz, .safetensors or .json: yield its description and its `Arrays`.

    A .json file is all description. With ``suffix``, the file is read as one of that ending,
    whatever its name. Whatever is found wrong while the block runs, by the readers or by the block
    itself, is raised as one ValueError that names the file.

    Raises
    ------
    ValueError
        If the ending is another, or the file is damaged or holds something else.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If the file cannot be opened, or is not a regular file.
    """
    suffix, shown = suffix or Path(path).suffix, printable(path, LONGEST_PATH)
    if suffix not in _ARCHIVES:
        raise ValueError(f"{shown} must end in {', '.join(_ARCHIVES)} to be loaded")
    with open_regular(path) as file:
        try:
            yield _ARCHIVES[suffix](file)
        except (
            ValueError,
            EOFError,
            OSError,
            RuntimeError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            reason = printable(str(error) or type(error).__name__, 500)
            raise ValueError(f"{shown} cannot be loaded: {reason}") from None


def _open_json(file: BinaryIO) -> tuple[Any, Arrays]:
    if (size := os.fstat(file.fileno()).st_size) > LARGEST_JSON:
        raise ValueError(f"JSON may have at most {LARGEST_JSON:,} bytes, not {size:,}")
    return loads(file.read(LARGEST_JSON)), {}


_ARCHIVES: dict[str, Callable[[BinaryIO], tuple[Any, Arrays]]] = {
    ".npz": open_npz,
    ".safetensors": open_tensors,
    ".json": _open_json,
}
