"""The JSON of the book's network2, as a description and arrays, and back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nndl._typing import Array
from nndl.activations import sigmoid
from nndl.costs import cross_entropy, quadratic
from nndl.layers import Dense
from nndl.network import Network
from nndl.storage.description import LARGEST, MOST_LAYERS, NETWORK, SIZE
from nndl.storage.reader import Arrays
from nndl.storage.schema import check

__all__ = ["from_network2", "to_network2"]

_NETWORK2_COSTS = {"CrossEntropyCost": cross_entropy, "QuadraticCost": quadratic}
_NETWORK2 = {
    "sizes": [SIZE, MOST_LAYERS + 1],
    "weights": [list, MOST_LAYERS],
    "biases": [list, MOST_LAYERS],
    "cost": frozenset(_NETWORK2_COSTS),
    "about": dict,
}


def to_network2(net: Network, about: dict[str, Any]) -> dict[str, Any]:
    """Return a network as the content of network2's JSON; ValueError if it cannot express it."""
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
    } | ({"about": about} if about else {})  # network2 ignores a key that it does not know


def from_network2(content: Any) -> tuple[dict[str, Any], Arrays]:
    """Return what a .npz file would describe and hold, for the content of network2's JSON."""
    check(content, dict, "it")
    content = {"about": {}} | content
    check(content, _NETWORK2, "its JSON")
    n_in, *sizes = content["sizes"] or [0]
    layer = {"kind": "dense", "activation": "sigmoid", "init": "default"}
    record = {
        "format": NETWORK,
        "version": 1,
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
    check(rows, [[float, LARGEST], LARGEST], name)
    if len(rows) != shape[0] or any(len(row) != shape[1] for row in rows):
        raise ValueError(f"{name} must be {shape[0]} lists of {shape[1]} numbers")
    return np.array(rows, dtype)
