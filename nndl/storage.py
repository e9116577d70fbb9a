"""Networks and checkpoints on disk: no pickle is written, and nothing that is read is believed.

docs/formats.md describes the files. The classes and functions that a file may name stand in tables,
here and in functions.py, costs.py and initialisers.py: nothing from a file is looked up elsewhere.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nndl.containers import Arrays, Reader, check, dumps, opened, write
from nndl.conv import Conv, MaxPool
from nndl.costs import COSTS, cross_entropy, quadratic
from nndl.files import write_text
from nndl.functions import ACTIVATIONS, Array, sigmoid
from nndl.initialisers import INITIALISERS, Initialiser, default
from nndl.layers import Dropout
from nndl.network import Dense, Network
from nndl.streams import Streams
from nndl.training import HISTORY, History, Settings, State

__all__ = ["load", "load_checkpoint", "read_about", "save", "save_checkpoint"]

NETWORK, CHECKPOINT = "nndl network", "nndl checkpoint"
VERSION = 1


def save(net: Network, path: str | Path, **about: Any) -> None:
    """Write a network to a file, atomically.

    Parameters
    ----------
    net : Network
    path : str or Path
        Ending in .npz, in .safetensors (needs the library of that name), or in .json for the format
        of the book's network2, which knows only layers of sigmoid neurons.
    **about
        Plain JSON to keep with it: ``preprocessing="raw/256", data="MNIST", accuracy=0.9512``.

    Raises
    ------
    ValueError
        If the ending is another, the format cannot express the network, a parameter is not finite,
        or ``about`` is not plain JSON.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If the file cannot be written; what was there before is whole.
    """
    if Path(path).suffix == ".json":
        write_text(path, dumps(_to_network2(net, about)))
    else:
        _write(path, {"format": NETWORK, **_describe(net), "about": about}, _parameters(net))


def load(path: str | Path) -> Network:
    """Read a network that `save`, or the book's network2, has written.

    Raises
    ------
    ValueError
        If the file is not whole, holds something else, or is of a later version.
    ImportError
        If safetensors is needed and not installed.
    OSError
        If the file cannot be opened.
    """
    return _load(path)


def save_network2(net: Network, path: str | Path) -> None:
    """Write a network as network2 does, JSON under any name; raises as `save`."""
    write_text(path, dumps(_to_network2(net, {})))


def load_network2(path: str | Path) -> Network:
    """Read network2's JSON under any name; raises as `load`."""
    return _load(path, ".json")


def _load(path: str | Path, suffix: str = "") -> Network:
    with _described(path, NETWORK, suffix=suffix) as (record, stored):
        _check_names(stored, _names(record))
        return _build(record, stored)


def read_about(path: str | Path) -> dict[str, Any]:
    """Return what `save` or `save_checkpoint` was given as ``about``; raises as `load`."""
    with _described(path, NETWORK, CHECKPOINT) as (record, _):
        about: dict[str, Any] = record["about"]
        return about


def save_checkpoint(
    path: str | Path, net: Network, state: State, settings: Settings, **about: Any
) -> None:
    """Write all that training needs to go on as if it had never stopped, atomically.

    Parameters
    ----------
    path : str or Path
        Ending in .npz or .safetensors.
    net : Network
        With its velocities.
    state, settings : State, Settings
        As given to ``after_epoch`` of `nndl.training.train`, and to `train` itself.
    **about
        As for `save`; the same errors.
    """
    parameters, velocities = _parameters(net), _parameters(net, "v_")
    moving = any(v is not None for v in velocities.values())
    arrays = dict(parameters)
    if moving:
        for name, v in velocities.items():
            arrays[f"velocity.{name}"] = np.zeros_like(parameters[name]) if v is None else v
    if state.best_parameters:
        for name, p in zip(parameters, state.best_parameters, strict=True):
            arrays[f"best.{name}"] = p
    description = {
        "format": CHECKPOINT,
        **_describe(net),
        "settings": asdict(settings),
        "history": asdict(state.history),
        "streams": state.streams.state,
        "counters": {name: getattr(state, name) for name in _COUNTERS},
        "velocities": moving,
        "best": bool(state.best_parameters),
        "about": about,
    }
    _write(path, description, arrays)


def load_checkpoint(path: str | Path) -> tuple[Network, State, Settings]:
    """Read what `save_checkpoint` wrote: network, state and settings, the same to the last bit.

    ``train(net, training, settings, state=state, ...)`` goes on from there. Raises as `load`.
    """
    with _described(path, CHECKPOINT) as (record, stored):
        names = _names(record)
        velocities = [f"velocity.{name}" for name in names if record["velocities"]]
        best = [f"best.{name}" for name in names if record["best"]]
        _check_names(stored, [*names, *velocities, *best])
        net = _build(record, stored)
        parameters = _parameters(net)
        arrays = {
            name: stored[name](parameters[name.partition(".")[2]].shape, net.dtype)
            for name in velocities + best
        }
        for name in velocities:
            _, _, i, p = name.split(".")
            setattr(net.layers[int(i)], f"v_{p}", arrays[name])
        state = State(History(**record["history"]), Streams(0), **record["counters"])
        state.streams.state = record["streams"]
        state.best_parameters = tuple(arrays[name] for name in best)
        return net, state, Settings(**record["settings"])


# From a network to its description, and back.


@dataclass(frozen=True)
class _Stored(Initialiser):
    """Draws nothing: gives a layer its arrays from a file, if they have the shapes it asks for."""

    w: Reader
    b: Reader

    def draw(
        self,
        shape: tuple[int, int],
        rng: np.random.Generator,
        dtype: DTypeLike,
        fan: tuple[int, int] | None = None,
    ) -> tuple[Array, Array]:
        dtype = np.dtype(dtype)
        return self.w(shape, dtype), self.b((shape[0], 1), dtype)


def _parameters(net: Network, prefix: str = "") -> dict[str, Any]:
    """Return name -> array, in the order of `net.parameters`; with "v_", the velocities."""
    learning = [(i, layer) for i, layer in enumerate(net.layers) if layer.w is not None]
    return {f"layers.{i}.{p}": getattr(layer, prefix + p) for p in "wb" for i, layer in learning}


def _names(record: dict[str, Any]) -> list[str]:
    """Return the names of the parameters that a description implies, in the same order."""
    learning = [i for i, layer in enumerate(record["layers"]) if "init" in layer]
    return [f"layers.{i}.{p}" for p in "wb" for i in learning]


def _describe(net: Network) -> dict[str, Any]:
    return {
        "version": VERSION,
        "dtype": net.dtype.name,
        "input_shape": [int(n) for n in net.input_shape],
        "cost": _name(net.cost, COSTS),
        "layers": [_describe_layer(layer) for layer in net.layers],
    }


def _describe_layer(layer: Any) -> dict[str, Any]:
    kinds = [kind for kind, cls in _LAYERS.items() if type(layer) is cls]
    if not kinds:
        raise ValueError(f"a file can hold the layers {', '.join(_LAYERS)}, not {layer!r}")
    record = {"kind": kinds[0]} | {n: getattr(layer, n) for n in _ARGUMENTS[kinds[0]]}
    if "activation" in record:
        record["activation"] = _name(layer.activation, ACTIVATIONS)
    if "init" in record:  # one that is not in the table has done its work, and is forgotten
        record["init"] = layer.init.name if layer.init in INITIALISERS.values() else None
    return record


def _name(thing: Any, table: Mapping[str, Any]) -> str:
    if thing not in table.values():
        raise ValueError(f"a file can hold {', '.join(table)}, not {thing!r}")
    return str(thing.name)


def _build(record: dict[str, Any], stored: Arrays) -> Network:
    layers = []
    for i, layer in enumerate(record["layers"]):
        arguments = {name: layer[name] for name in _ARGUMENTS[layer["kind"]]}
        if "activation" in arguments:
            arguments["activation"] = ACTIVATIONS[layer["activation"]]
        if "init" in arguments:
            w, b = stored[f"layers.{i}.w"], stored[f"layers.{i}.b"]
            arguments["init"] = _Stored(**vars(default), w=w, b=b)
        layers.append(_LAYERS[layer["kind"]](**arguments))
    net = Network(
        layers,
        cost=COSTS[record["cost"]],
        dtype=record["dtype"],
        input_shape=tuple(record["input_shape"]),
        rng=0,
    )
    for built, layer in zip(layers, record["layers"], strict=True):
        if "init" in layer:
            built.init = INITIALISERS[layer["init"] or "default"]
    return net


# What a description may hold.

_WHOLE, _COUNT = range(1, 2**31), range(2**31)
_LAYERS: dict[str, Any] = {"dense": Dense, "dropout": Dropout, "conv": Conv, "max-pool": MaxPool}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "dense": {
        "n_out": _WHOLE,
        "activation": frozenset(ACTIVATIONS),
        "init": (frozenset(INITIALISERS),),
    },
    "dropout": {"p": float},
    "conv": {
        "maps": _WHOLE,
        "size": _WHOLE,
        "activation": frozenset(ACTIVATIONS),
        "pool": _WHOLE,
        "init": (frozenset(INITIALISERS),),
    },
    "max-pool": {"size": _WHOLE},
}
_COUNTERS = {
    "eta": float,
    "best_correct": range(-1, 2**31),
    "waited": _COUNT,
    "waited_to_halve": _COUNT,
}
_STREAM = {
    "bit_generator": frozenset({"PCG64"}),
    "state": {"state": range(2**128), "inc": range(2**128)},
    "has_uint32": range(2),
    "uinteger": range(2**32),
}
_NETWORK = {
    "format": str,
    "version": _WHOLE,
    "dtype": frozenset({"float32", "float64"}),
    "input_shape": [_WHOLE],
    "cost": frozenset(COSTS),
    "layers": [dict],
    "about": dict,
}
_CHECKPOINT = {
    "settings": {f.name: (float,) if f.default is None else float for f in fields(Settings)},
    "history": HISTORY,
    "streams": dict.fromkeys(Streams.names, _STREAM),
    "counters": _COUNTERS,
    "velocities": bool,
    "best": bool,
}
_FORMATS = {NETWORK: _NETWORK, CHECKPOINT: _NETWORK | _CHECKPOINT}


def _check_description(content: Any, *formats: str) -> dict[str, Any]:
    """Return a description in one of the formats, once everything in it is found right."""
    check(content, dict, "its description")
    record: dict[str, Any] = content
    check(record.get("format"), frozenset(formats), "its format")
    check(record.get("version"), _WHOLE, "its version")
    if record["version"] > VERSION:
        raise ValueError(
            f"it was written by a later nndl (format version {record['version']}, this one reads "
            f"{VERSION}): upgrade nndl"
        )
    check(record, _FORMATS[record["format"]], "its description")
    for i, layer in enumerate(record["layers"]):
        check(layer.get("kind"), frozenset(_LAYERS), f"layers[{i}].kind")
        check(layer, {"kind": str, **_ARGUMENTS[layer["kind"]]}, f"layers[{i}]")
    return record


def _check_names(stored: Arrays, expected: list[str]) -> None:
    if stored.keys() != set(expected):
        missing, unknown = set(expected) - stored.keys(), stored.keys() - set(expected)
        raise ValueError(
            "its arrays must be those that its description implies: missing are "
            f"{reprlib.repr(sorted(missing))}, unknown are {reprlib.repr(sorted(unknown))}"
        )


@contextmanager
def _described(
    path: str | Path, *formats: str, suffix: str = ""
) -> Iterator[tuple[dict[str, Any], Arrays]]:
    with opened(path, suffix) as (content, stored):
        if ".json" in (suffix, Path(path).suffix):
            content, stored = _from_network2(content)
        yield _check_description(content, *formats), stored


def _write(path: str | Path, description: dict[str, Any], arrays: dict[str, Array]) -> None:
    _check_description(json.loads(dumps(description)), description["format"])
    write(path, description, arrays)


# The JSON of the book's network2.

_NETWORK2_COSTS = {"CrossEntropyCost": cross_entropy, "QuadraticCost": quadratic}
_NETWORK2 = {
    "sizes": [_WHOLE],
    "weights": [list],
    "biases": [list],
    "cost": frozenset(_NETWORK2_COSTS),
    "about": dict,
}


def _to_network2(net: Network, about: dict[str, Any]) -> dict[str, Any]:
    costs = {cost: name for name, cost in _NETWORK2_COSTS.items()}
    layers = [l for l in net.layers if type(l) is Dense and l.activation is sigmoid]
    if len(layers) < len(net.layers) or net.cost not in costs:
        raise ValueError(
            "network2's JSON can hold sigmoid neurons with cross-entropy or quadratic cost, not "
            f"{net!r}: save it as .npz"
        )
    return {
        "sizes": [net.n_in, *(layer.n_out for layer in layers)],
        "weights": [w.tolist() for w in net.weights],
        "biases": [b.tolist() for b in net.biases],
        "cost": costs[net.cost],
    } | ({"about": about} if about else {})  # network2 reads over a key that it does not know


def _from_network2(content: Any) -> tuple[dict[str, Any], Arrays]:
    """Return what a .npz file would describe and hold, for the content of network2's JSON."""
    check(content, dict, "it")
    content = {"about": {}} | content
    check(content, _NETWORK2, "its JSON")
    n_in, *sizes = content["sizes"] or [0]
    layer = {"kind": "dense", "activation": "sigmoid", "init": "default"}
    record = {
        "format": NETWORK,
        "version": VERSION,
        "dtype": "float64",
        "input_shape": [n_in],
        "cost": _NETWORK2_COSTS[content["cost"]].name,
        "layers": [layer | {"n_out": n} for n in sizes],
        "about": content["about"],
    }
    lists = [("w", "weights"), ("b", "biases")]
    stored = {
        f"layers.{i}.{p}": partial(_read_rows, f"{key}[{i}]", rows)
        for p, key in lists
        for i, rows in enumerate(content[key])
    }
    return record, stored


def _read_rows(name: str, rows: Any, shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    check(rows, [[float]], name)
    if len(rows) != shape[0] or any(len(row) != shape[1] for row in rows):
        raise ValueError(f"{name} must be {shape[0]} lists of {shape[1]} numbers")
    return np.array(rows, dtype)
