"""A network as a description in JSON and named arrays, and back.

docs/formats.md describes the keys. The classes and functions that a description may name are in
tables, here and in activations.py, costs.py and initializers.py; a name from a file is looked up
nowhere else.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nndl._typing import Array
from nndl.activations import ACTIVATIONS
from nndl.conv import Conv, MaxPool
from nndl.costs import COSTS
from nndl.initializers import INITIALIZERS, Initializer, default
from nndl.layers import Dense, Dropout
from nndl.network import Network
from nndl.storage.reader import Arrays, Reader
from nndl.storage.schema import check

__all__ = [
    "FORMATS",
    "LARGEST",
    "MOST_LAYERS",
    "NETWORK",
    "NETWORK_KEYS",
    "SIZE",
    "build",
    "check_description",
    "check_names",
    "describe",
    "parameter_names",
    "parameters",
]

NETWORK = "nndl network"


def describe(net: Network) -> dict[str, Any]:
    """Return what a file says about a network besides its arrays, as plain JSON."""
    _check_work(net)
    return {
        "dtype": net.dtype.name,
        "input_shape": [int(n) for n in net.input_shape],
        "cost": _name(net.cost, COSTS),
        "layers": [_describe_layer(layer) for layer in net.layers],
    }


def _describe_layer(layer: Any) -> dict[str, Any]:
    kinds = [kind for kind, cls in _LAYERS.items() if type(layer) is cls]
    if not kinds:
        raise ValueError(f"a file can hold the layers {', '.join(_LAYERS)}, not {layer!r}")
    arguments = {n: getattr(layer, n) for n in _ARGUMENTS[kinds[0]]}
    defaults = _DEFAULTS.get(kinds[0], {}).items()
    record = {"kind": kinds[0]} | {n: v for n, v in arguments.items() if (n, v) not in defaults}
    if "activation" in record:
        record["activation"] = _name(layer.activation, ACTIVATIONS)
    if "init" in record:  # no longer needed: one that is not in the table is left out
        record["init"] = layer.init.name if layer.init in INITIALIZERS.values() else None
    return record


def _name(thing: Any, table: Mapping[str, Any]) -> str:
    if thing not in table.values():
        raise ValueError(f"a file can hold {', '.join(table)}, not {thing!r}")
    return str(thing.name)


def parameters(net: Network, prefix: str = "") -> dict[str, Any]:
    """Return name -> array, in the order of `net.parameters`; with "v_", the velocities."""
    weighted = [(i, layer) for i, layer in enumerate(net.layers) if layer.w is not None]
    return {f"layers.{i}.{p}": getattr(layer, prefix + p) for p in "wb" for i, layer in weighted}


def parameter_names(record: dict[str, Any]) -> list[str]:
    """Return the names of the parameters that a description implies, in the same order."""
    weighted = [i for i, layer in enumerate(record["layers"]) if "init" in layer]
    return [f"layers.{i}.{p}" for p in "wb" for i in weighted]


def build(record: dict[str, Any], stored: Arrays) -> Network:
    """Return the network of a validated description and its arrays."""
    layers = []
    for i, layer in enumerate(record["layers"]):
        arguments = _DEFAULTS.get(layer["kind"], {}) | layer
        del arguments["kind"]
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
    _check_work(net)
    for built, layer in zip(layers, record["layers"], strict=True):
        if "init" in layer:
            built.init = INITIALIZERS[layer["init"] or "default"]
    return net


def _check_work(net: Network) -> None:
    """Bound what a convolution computes: few weights can make patches of gigabytes."""
    for layer in net.layers:
        if isinstance(layer, Conv):
            # Patches and outputs, and the pictures with their padding.
            patches, pixels = prod(layer.shape_z[:2]), prod(layer.shape_padded[:2])
            numbers = max(patches * max(layer.w.shape), pixels * max(layer.maps, layer.shape_in[2]))
            if numbers > LARGEST_WORK:
                raise ValueError(
                    f"{layer} works on {numbers:,} numbers for an image of its network, and may "
                    f"on {LARGEST_WORK:,} at most"
                )


@dataclass(frozen=True)
class _Stored(Initializer):
    """Gives a layer its arrays from a file, if they have the shapes it asks for; draws nothing."""

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


# What a description may hold.

_DEFAULTS: dict[str, dict[str, Any]] = {"conv": {"stride": 1, "padding": 0}}
"""Arguments that are left out where they have these values, as in files of version 0.1.0."""

MOST_LAYERS = 1000
LARGEST = 2**24  # numbers of an image, or neurons of a layer
LARGEST_WORK = 2**21  # numbers in the patches or the outputs of a convolution for one image
SIZE = range(1, LARGEST + 1)
_LAYERS: dict[str, Any] = {"dense": Dense, "dropout": Dropout, "conv": Conv, "max-pool": MaxPool}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "dense": {
        "n_out": SIZE,
        "activation": frozenset(ACTIVATIONS),
        "init": (frozenset(INITIALIZERS),),
    },
    "dropout": {"p": float},
    "conv": {
        "maps": SIZE,
        "size": SIZE,
        "activation": frozenset(ACTIVATIONS),
        "pool": SIZE,
        "init": (frozenset(INITIALIZERS),),
        "stride": SIZE,
        "padding": range(LARGEST),
    },
    "max-pool": {"size": SIZE},
}
_VERSION = range(1, 1000)
NETWORK_KEYS = {
    "format": str,
    "version": _VERSION,
    "dtype": frozenset({"float32", "float64"}),
    "input_shape": [SIZE, 8],
    "cost": frozenset(COSTS),
    "layers": [dict, MOST_LAYERS],
    "about": dict,
}
FORMATS: dict[str, dict[int, dict[str, Any]]] = {NETWORK: {1: NETWORK_KEYS}}
"""The keys of each version of each format; the last is the one that is written."""


def check_description(content: Any, *formats: str) -> dict[str, Any]:
    """Return a description in one of the formats, after validating everything in it."""
    check(content, dict, "its description")
    record: dict[str, Any] = content
    check(record.get("format"), frozenset(formats), "its format")
    check(record.get("version"), _VERSION, "its version")
    versions = FORMATS[record["format"]]
    if record["version"] not in versions:
        raise ValueError(
            f"it was written by a later nndl (format version {record['version']}, this one reads "
            f"up to {max(versions)}): upgrade nndl"
        )
    check(record, versions[record["version"]], "its description")
    for i, layer in enumerate(record["layers"]):
        check(layer.get("kind"), frozenset(_LAYERS), f"layers[{i}].kind")
        whole = _DEFAULTS.get(layer["kind"], {}) | layer
        check(whole, {"kind": str, **_ARGUMENTS[layer["kind"]]}, f"layers[{i}]")
    if (n_in := prod(record["input_shape"])) > LARGEST:
        raise ValueError(
            f"its input_shape means {n_in:,} numbers, and may mean {LARGEST:,} at most"
        )
    return record


def check_names(stored: Arrays, expected: list[str]) -> None:
    """Raise ValueError unless a file holds exactly the expected arrays."""
    if stored.keys() != set(expected):
        missing, unknown = set(expected) - stored.keys(), stored.keys() - set(expected)
        raise ValueError(
            "its arrays must be those that its description implies: missing are "
            f"{reprlib.repr(sorted(missing))}, unknown are {reprlib.repr(sorted(unknown))}"
        )
