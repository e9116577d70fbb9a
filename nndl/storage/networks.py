"""Networks on disk, without pickle; everything read is validated.

docs/formats.md describes the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nndl._typing import Array
from nndl.files import write_text
from nndl.network import Network
from nndl.storage.archive import opened, write
from nndl.storage.description import (
    FORMATS,
    NETWORK,
    build,
    check_description,
    check_names,
    describe,
    parameter_names,
    parameters,
)
from nndl.storage.network2 import from_network2, to_network2
from nndl.storage.reader import Arrays
from nndl.storage.schema import check_size, dumps

__all__ = [
    "load",
    "load_network2",
    "opened_description",
    "save",
    "save_network2",
    "write_description",
]


def save(net: Network, path: str | Path, **about: Any) -> None:
    """Write a network to a file, atomically.

    Parameters
    ----------
    net : Network
    path : str or Path
        Ending in .npz, in .safetensors (needs the library of that name), or in .json for the format
        of the book's network2, which can hold only layers of sigmoid neurons.
    **about
        Plain JSON to store with it: ``preprocessing="raw/256", data="MNIST", accuracy=0.9512``.

    Raises
    ------
    ValueError
        If the ending is another, the format cannot express the network, a parameter is not finite,
        or ``about`` is not plain JSON.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If the file cannot be written; the old one is as it was.
    """
    if Path(path).suffix == ".json":
        _save_network2(net, path, about)
    else:
        write_description(path, NETWORK, {**describe(net), "about": about}, parameters(net))


def load(path: str | Path) -> Network:
    """Read a network that `save` or the book's network2 wrote.

    Raises
    ------
    ValueError
        If the file is damaged, holds something else, or was written by a later version.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If the file cannot be opened, or is not a regular file.
    """
    return _load(path)


def save_network2(net: Network, path: str | Path) -> None:
    """Write a network as network2 does, as JSON in a file of any name; raises as `save`."""
    _save_network2(net, path, {})


def load_network2(path: str | Path) -> Network:
    """Read network2's JSON from a file of any name; raises as `load`."""
    return _load(path, ".json")


def _save_network2(net: Network, path: str | Path, about: dict[str, Any]) -> None:
    text = dumps(to_network2(net, about))
    try:
        check_size(text.encode())
    except ValueError as error:
        raise ValueError(f"the network is too large for JSON, {error}: save it as .npz") from None
    write_text(path, text)


def _load(path: str | Path, suffix: str = "") -> Network:
    with opened_description(path, NETWORK, suffix=suffix) as (record, stored):
        check_names(stored, parameter_names(record))
        return build(record, stored)


@contextmanager
def opened_description(
    path: str | Path, *formats: str, suffix: str = ""
) -> Iterator[tuple[dict[str, Any], Arrays]]:
    """Open a file in one of the formats: yield its validated description and its arrays."""
    with opened(path, suffix) as (content, stored):
        if ".json" in (suffix, Path(path).suffix):
            content, stored = from_network2(content)
        yield check_description(content, *formats), stored


def write_description(
    path: str | Path, format: str, description: dict[str, Any], arrays: dict[str, Array]
) -> None:
    """Write a description and its arrays, after checking that they can be read again."""
    description = {"format": format, "version": max(FORMATS[format]), **description}
    check_description(json.loads(dumps(description)), format)
    write(path, description, arrays)
