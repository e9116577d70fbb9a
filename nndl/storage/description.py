"""A network as a description in JSON and named arrays, and back.

docs/formats.md describes the keys. The classes and functions that a description may name are in
tables, here and in activations.py, costs.py and initializers.py, and in those that the caller of
`load` passes; a name from a file is looked up nowhere else.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nndl._typing import Array
from nndl.activations import ACTIVATIONS, LeakyReLU
from nndl.conv import Conv, MaxPool
from nndl.costs import COSTS
from nndl.initializers import INITIALIZERS, Initializer, default
from nndl.layers import Dense, Dropout
from nndl.network import Network
from nndl.normalization import BatchNorm
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
    "state",
    "state_names",
    "version_of",
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
    """Return the name of an activation or cost; one of the reader's own must have its own name."""
    if table.get(thing.name, thing) is not thing and type(thing) is not LeakyReLU:
        raise ValueError(
            f"{type(thing).__name__} has the name {thing.name!r} of one of nndl's own: give its "
            "class another name"
        )
    return str(thing.name)


def _named(name: str, table: Mapping[str, Any], kind: str, own: Mapping[str, Any]) -> Any:
    """Return the activation or cost of a name in a file."""
    if name in table:
        return table[name]
    if kind == "activation" and (slope := re.fullmatch(r"leaky-relu\(([0-9.e-]{1,40})\)", name)):
        return LeakyReLU(float(slope[1]))
    if name not in own:
        raise ValueError(
            f"its {kind} {name!r} is not built into nndl: pass the object that computes it, as in "
            f"load(path, {kind}s={{{name!r}: ...}})"
        )
    return own[name]


def parameters(net: Network, prefix: str = "") -> dict[str, Any]:
    """Return name -> array, in the order of `net.parameters`; with "v_", the velocities."""
    weighted = [(i, layer) for i, layer in enumerate(net.layers) if layer.w is not None]
    return {f"layers.{i}.{p}": getattr(layer, prefix + p) for p in "wb" for i, layer in weighted}


def parameter_names(record: dict[str, Any]) -> list[str]:
    """Return the names of the parameters that a description implies, in the same order."""
    kinds = [(i, layer["kind"]) for i, layer in enumerate(record["layers"])]
    return [f"layers.{i}.{p}" for p in "wb" for i, kind in kinds if kind in _WEIGHTED]


def state(net: Network) -> dict[str, Any]:
    """Return name -> array, in the order of `net.state`: parameters and statistics."""
    return parameters(net) | {
        f"layers.{i}.{name}": getattr(layer, name)
        for i, layer in enumerate(net.layers)
        for name in layer.statistics
    }


def state_names(record: dict[str, Any]) -> list[str]:
    """Return the names of the arrays that a description implies, in the same order."""
    return parameter_names(record) + [
        f"layers.{i}.{name}"
        for i, layer in enumerate(record["layers"])
        for name in _LAYERS[layer["kind"]].statistics
    ]


def build(
    record: dict[str, Any],
    stored: Arrays,
    activations: Mapping[str, Any] | None = None,
    costs: Mapping[str, Any] | None = None,
) -> Network:
    """Return the network of a validated description and its arrays.

    ``activations`` and ``costs`` are those of the reader's own, by name.
    """
    activations, costs = activations or {}, costs or {}
    layers = []
    for i, layer in enumerate(record["layers"]):
        arguments = _DEFAULTS.get(layer["kind"], {}) | layer
        del arguments["kind"]
        arguments.pop("init", None)
        if "activation" in arguments:
            names = layer["activation"], ACTIVATIONS, "activation", activations
            arguments["activation"] = _named(*names)
        layers.append(_LAYERS[layer["kind"]](**arguments))
        if layer["kind"] in _WEIGHTED:
            w, b = stored[f"layers.{i}.w"], stored[f"layers.{i}.b"]
            layers[-1].init = _Stored(**vars(default), w=w, b=b)
    net = Network(
        layers,
        cost=_named(record["cost"], COSTS, "cost", costs),
        dtype=record["dtype"],
        input_shape=tuple(record["input_shape"]),
        rng=0,
    )
    _check_work(net)
    for i, (built, layer) in enumerate(zip(layers, record["layers"], strict=True)):
        if "init" in layer:
            built.init = INITIALIZERS[layer["init"] or "default"]
        elif layer["kind"] in _WEIGHTED:
            del built.init  # its class has one
        for name in built.statistics:
            values = stored[f"layers.{i}.{name}"](getattr(built, name).shape, net.dtype)
            if name == "variance" and (values < 0).any():
                raise ValueError(f"layers.{i}.variance must not be negative")
            setattr(built, name, values)
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
                    f"{layer} needs {numbers:,} numbers for each image; at most {LARGEST_WORK:,} "
                    "are allowed"
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
_LAYERS: dict[str, Any] = {
    "dense": Dense,
    "dropout": Dropout,
    "conv": Conv,
    "max-pool": MaxPool,
    "batch-norm": BatchNorm,
}
_WEIGHTED = frozenset({"dense", "conv", "batch-norm"})
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "dense": {
        "n_out": SIZE,
        "activation": str,
        "init": (frozenset(INITIALIZERS),),
    },
    "dropout": {"p": float},
    "conv": {
        "maps": SIZE,
        "size": SIZE,
        "activation": str,
        "pool": SIZE,
        "init": (frozenset(INITIALIZERS),),
        "stride": SIZE,
        "padding": range(LARGEST),
    },
    "max-pool": {"size": SIZE},
    "batch-norm": {"activation": str, "momentum": float, "epsilon": float},
}
_VERSION = range(1, 1000)
NETWORK_KEYS = {
    "format": str,
    "version": _VERSION,
    "dtype": frozenset({"float32", "float64"}),
    "input_shape": [SIZE, 8],
    "cost": str,
    "layers": [dict, MOST_LAYERS],
    "about": dict,
}
FORMATS: dict[str, dict[int, dict[str, Any]]] = {NETWORK: {1: NETWORK_KEYS, 2: NETWORK_KEYS}}
"""The keys of each version of each format. For the versions of networks see `version_of`."""

_OLD_ACTIVATIONS = ACTIVATIONS.keys() - {"leaky-relu"}


def version_of(format: str, record: dict[str, Any]) -> int:
    """Return the version to write: for networks, version 2 only for what version 1 cannot express.

    So an older nndl reads whatever it can express, and asks for an upgrade otherwise.
    """
    if format != NETWORK:
        return max(FORMATS[format])
    names = {layer["activation"] for layer in record["layers"] if "activation" in layer}
    kinds = {layer["kind"] for layer in record["layers"]}
    old = names <= _OLD_ACTIVATIONS and "batch-norm" not in kinds and record["cost"] in COSTS
    return 1 if old else 2


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
        raise ValueError(f"its input_shape has {n_in:,} numbers, more than the {LARGEST:,} allowed")
    return record


def check_names(stored: Arrays, expected: list[str]) -> None:
    """Raise ValueError unless a file holds exactly the expected arrays."""
    if stored.keys() != set(expected):
        missing, unknown = set(expected) - stored.keys(), stored.keys() - set(expected)
        raise ValueError(
            "its arrays must be those that its description implies: missing are "
            f"{reprlib.repr(sorted(missing))}, unknown are {reprlib.repr(sorted(unknown))}"
        )
