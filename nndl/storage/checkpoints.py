"""Checkpoints: all that training needs to continue as if it had never stopped."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from nndl.network import Network
from nndl.rng import Streams
from nndl.storage.description import (
    FORMATS,
    NETWORK,
    NETWORK_KEYS,
    build,
    check_names,
    describe,
    parameter_names,
    parameters,
)
from nndl.storage.histories import HISTORY
from nndl.storage.networks import opened_description, write_description
from nndl.training import History, Settings, State

__all__ = ["load_checkpoint", "read_about", "save_checkpoint"]

CHECKPOINT = "nndl checkpoint"


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
    values, velocities = parameters(net), parameters(net, "v_")
    moving = any(v is not None for v in velocities.values())
    arrays = dict(values)
    if moving:
        for name, v in velocities.items():
            arrays[f"velocity.{name}"] = np.zeros_like(values[name]) if v is None else v
    if state.best_parameters:
        for name, p in zip(values, state.best_parameters, strict=True):
            arrays[f"best.{name}"] = p
    description = {
        "format": CHECKPOINT,
        **describe(net),
        "settings": asdict(settings),
        "history": asdict(state.history),
        "streams": state.streams.state,
        "counters": {name: getattr(state, name) for name in _COUNTERS},
        "velocities": moving,
        "best": bool(state.best_parameters),
        "about": about,
    }
    write_description(path, description, arrays)


def load_checkpoint(path: str | Path) -> tuple[Network, State, Settings]:
    """Read what `save_checkpoint` wrote: network, state and settings, the same to the last bit.

    ``train(net, training, settings, state=state, ...)`` goes on from there. Raises as `load`.
    """
    with opened_description(path, CHECKPOINT) as (record, stored):
        names = parameter_names(record)
        velocities = [f"velocity.{name}" for name in names if record["velocities"]]
        best = [f"best.{name}" for name in names if record["best"]]
        check_names(stored, [*names, *velocities, *best])
        net = build(record, stored)
        values = parameters(net)
        arrays = {
            name: stored[name](values[name.partition(".")[2]].shape, net.dtype)
            for name in velocities + best
        }
        for name in velocities:
            _, _, i, p = name.split(".")
            setattr(net.layers[int(i)], f"v_{p}", arrays[name])
        state = State(History(**record["history"]), Streams(0), **record["counters"])
        state.streams.state = record["streams"]
        state.best_parameters = tuple(arrays[name] for name in best)
        return net, state, Settings(**record["settings"])


def read_about(path: str | Path) -> dict[str, Any]:
    """Return what `save` or `save_checkpoint` was given as ``about``; raises as `load`."""
    with opened_description(path, NETWORK, CHECKPOINT) as (record, _):
        about: dict[str, Any] = record["about"]
        return about


# What a checkpoint holds besides a network.

COUNT = range(2**31)
_COUNTERS = {
    "eta": float,
    "best_correct": range(-1, 2**31),
    "waited": COUNT,
    "waited_to_halve": COUNT,
}
_STREAM = {
    "bit_generator": frozenset({"PCG64"}),
    "state": {"state": range(2**128), "inc": range(2**128)},
    "has_uint32": range(2),
    "uinteger": range(2**32),
}
FORMATS[CHECKPOINT] = NETWORK_KEYS | {
    "settings": {f.name: (float,) if f.default is None else float for f in fields(Settings)},
    "history": HISTORY,
    "streams": dict.fromkeys(Streams.names, _STREAM),
    "counters": _COUNTERS,
    "velocities": bool,
    "best": bool,
}
