"""Networks on disk, without pickle; everything read is validated.

docs/formats.md describes the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nndl._typing import Array
from nndl.activations import Activation
from nndl.costs import Cost
from nndl.files import write_text
from nndl.network import Network
from nndl.storage.archive import opened, write
from nndl.storage.description import (
    NETWORK,
    build,
    check_description,
    check_names,
    describe,
    state,
    state_names,
    version_of,
)
from nndl.storage.network2 import from_network2, to_network2
from nndl.storage.reader import Arrays
from nndl.storage.schema import check_size, dumps, loads

__all__ = [
    "check_own",
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
        An activation or a cost of your own is saved by its ``name`` alone: pass it to `nndl.load`.
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
        write_description(path, NETWORK, {**describe(net), "about": about}, state(net))


def load(
    path: str | Path,
    *,
    activations: Mapping[str, Activation] | None = None,
    costs: Mapping[str, Cost] | None = None,
) -> Network:
    """Read a network that `nndl.save` or the book's network2 wrote.

    Parameters
    ----------
    path : str or Path
    activations, costs : mappings of names to objects, optional
        Those of your own that the network has, by the names they were saved with:
        ``load(path, activations={"softplus": Softplus()})``. A file holds no code.

    Raises
    ------
    TypeError
        If one of these is not an Activation, or not a Cost.
    ValueError
        If the file is damaged, holds something else, was written by a later version, or names an
        activation or a cost that is neither nndl's nor passed.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If the file cannot be opened, or is not a regular file.
    """
    check_own(activations, costs)
    return _load(path, "", activations, costs)


def save_network2(net: Network, path: str | Path) -> None:
    """Write a network as network2 does, as JSON in a file of any name; raises as `nndl.save`."""
    _save_network2(net, path, {})


def load_network2(path: str | Path) -> Network:
    """Read network2's JSON from a file of any name; raises as `nndl.load`."""
    return _load(path, ".json")


def _save_network2(net: Network, path: str | Path, about: dict[str, Any]) -> None:
    text = dumps(to_network2(net, about))
    try:
        check_size(text.encode())
    except ValueError as error:
        raise ValueError(f"the network is too large for JSON, {error}: save it as .npz") from None
    loads(text.encode())  # or raise ValueError for what could not be read again
    write_text(path, text)


def check_own(activations: object, costs: object) -> None:
    """Raise TypeError unless these are mappings of names to activations and to costs, or None."""
    kinds = {"activations": (activations, Activation), "costs": (costs, Cost)}
    for argument, (things, kind) in kinds.items():
        for name, thing in things.items() if isinstance(things, Mapping) else ():
            if not isinstance(thing, kind):
                raise TypeError(
                    f"{argument}[{name!r}] must be an object of {kind.__name__}, not {thing!r}"
                )
        if not isinstance(things, Mapping | None):
            raise TypeError(f"{argument} must be a mapping of names, not {type(things).__name__}")


def _load(
    path: str | Path,
    suffix: str = "",
    activations: Mapping[str, Activation] | None = None,
    costs: Mapping[str, Cost] | None = None,
) -> Network:
    with opened_description(path, NETWORK, suffix=suffix) as (record, stored):
        check_names(stored, state_names(record))
        return build(record, stored, activations, costs)


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
    version = version_of(format, description)
    description = {"format": format, "version": version, **description}
    check_description(json.loads(dumps(description)), format)
    write(path, description, arrays)
