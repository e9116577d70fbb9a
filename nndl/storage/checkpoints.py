"""Checkpoints: all that training needs to continue as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nndl.activations import Activation
from nndl.costs import Cost
from nndl.dataset import Dataset
from nndl.network import Network
from nndl.rng import Streams
from nndl.schedules import SCHEDULES
from nndl.storage.description import (
    FORMATS,
    NETWORK,
    NETWORK_KEYS,
    build,
    check_names,
    describe,
    parameter_names,
    parameters,
    state_names,
)
from nndl.storage.description import state as state_of
from nndl.storage.histories import HISTORY, MOST_EPOCHS, check_lengths
from nndl.storage.networks import check_own, opened_description, write_description
from nndl.storage.reader import Arrays
from nndl.training import History, Settings, State

__all__ = ["Checkpoints", "load_checkpoint", "read_about", "save_checkpoint"]

CHECKPOINT = "nndl checkpoint"


def save_checkpoint(
    path: str | Path,
    net: Network,
    state: State,
    settings: Settings,
    sets: Mapping[str, Dataset] | None = None,
    **about: Any,
) -> None:
    """Write all that training needs to continue as if it had never stopped, atomically.

    Parameters
    ----------
    path : str or Path
        Ending in .npz or .safetensors.
    net : Network
        With its velocities. If `nndl.train` has given it the average of its weights or the best,
        the weights that ``state`` keeps are saved as its own.
    state, settings : State, Settings
        As `nndl.training.train` gives them to ``after_epoch``, and as they were given to it.
    sets : mapping of names to Datasets, optional
        What the run trains on and measures: `load_checkpoint` refuses to resume with others.
    **about
        As for `nndl.save`; the same errors.
    """
    values, velocities = state_of(net), parameters(net, "v_")
    if state.raw:  # the network has the average, or the best weights
        values = dict(zip(values, state.raw, strict=True))
    moving = any(v is not None for v in velocities.values())
    arrays = dict(values)
    if moving:
        for name, v in velocities.items():
            arrays[f"velocity.{name}"] = np.zeros_like(values[name]) if v is None else v
    for kind, kept in (("best", state.best_parameters), ("average", state.average)):
        if kept:
            arrays |= {f"{kind}.{name}": p for name, p in zip(values, kept, strict=True)}
    history, series = _describe_history(state.history)
    description = {
        **describe(net),
        "settings": settings.record(),
        "history": history,
        "streams": state.streams.state,
        "counters": {name: getattr(state, name) for name in _COUNTERS},
        "velocities": moving,
        "best": bool(state.best_parameters),
        "average": bool(state.average),
        "digests": {name: data.digest for name, data in (sets or {}).items()},
        "about": about,
    }
    write_description(path, CHECKPOINT, description, arrays | series)


def load_checkpoint(
    path: str | Path,
    sets: Mapping[str, Dataset] | None = None,
    *,
    activations: Mapping[str, Activation] | None = None,
    costs: Mapping[str, Cost] | None = None,
) -> tuple[Network, State, Settings]:
    """Read what `save_checkpoint` wrote: network, state and settings, the same to the last bit.

    ``train(net, training, settings, state=state, ...)`` resumes from there. Raises as `nndl.load`.

    Parameters
    ----------
    path : str or Path
    sets : mapping of names to Datasets, optional
        As for `save_checkpoint`: ValueError if one of a name that both know has other content.
    activations, costs
        As for `nndl.load`.
    """
    check_own(activations, costs)
    with opened_description(path, CHECKPOINT) as (record, stored):
        _check_sets(record, sets or {})
        names = state_names(record)
        moving = parameter_names(record) if record["velocities"] else []
        velocities = [f"velocity.{name}" for name in moving]
        best = [f"best.{name}" for name in names if record["best"]]
        average = [f"average.{name}" for name in names if record.get("average")]
        series = [f"history.{i}" for i, _ in enumerate(record["history"].get("series", ()))]
        check_names(stored, [*names, *velocities, *best, *average, *series])
        history = _read_history(record["history"], stored)
        net = build(record, stored, activations, costs)
        values = state_of(net)
        arrays = {
            name: stored[name](values[name.partition(".")[2]].shape, net.dtype)
            for name in velocities + best + average
        }
        for name in velocities:
            _, _, i, p = name.split(".")
            setattr(net.layers[int(i)], f"v_{p}", arrays[name])
        state = State(history, Streams(0), **record["counters"])
        state.streams.state = record["streams"]
        state.best_parameters = tuple(arrays[name] for name in best)
        state.average = tuple(arrays[name] for name in average)
        return net, state, Settings.from_record(record["settings"])


def read_about(path: str | Path) -> dict[str, Any]:
    """Return what `nndl.save` or `save_checkpoint` was given; raises as `nndl.load`."""
    with opened_description(path, NETWORK, CHECKPOINT) as (record, _):
        about: dict[str, Any] = record["about"]
        return about


class Checkpoints:
    """Saves the checkpoints of a run, for at most a twentieth of its time.

    A checkpoint takes some 10 ms, and ten times that after a hundred thousand epochs: the shorter
    the epochs are, the fewer of them end with one.

    Parameters
    ----------
    path, settings, sets, **about
        As for `save_checkpoint`.

    Examples
    --------
    ``train(..., after_epoch=checkpoints.after_epoch, checkpoint=checkpoints.save)``
    """

    def __init__(
        self,
        path: str | Path,
        settings: Settings,
        sets: Mapping[str, Dataset] | None = None,
        **about: Any,
    ) -> None:
        self.path, self.settings, self.sets, self.about = path, settings, sets, about
        self.taken, self.ended = 0.0, -inf

    def save(self, net: Network, state: State) -> None:
        """Save a checkpoint; raises as `save_checkpoint`."""
        start = perf_counter()
        save_checkpoint(self.path, net, state, self.settings, self.sets, **self.about)
        self.ended = perf_counter()
        self.taken = self.ended - start

    def after_epoch(self, net: Network, state: State) -> None:
        """Save a checkpoint if the last one is long enough ago, or this epoch is the last."""
        last = state.history.ended or len(state.history) >= self.settings.epochs
        if last or perf_counter() - self.ended > 19 * self.taken:
            self.save(net, state)


def _check_sets(record: dict[str, Any], sets: Mapping[str, Dataset]) -> None:
    began = record.get("digests", {})  # version 1 has none
    differ = [name for name, data in sets.items() if began.get(name, data.digest) != data.digest]
    if differ:
        raise ValueError(
            f"the run began with other data ({' and '.join(differ)}): restore it, or start "
            "another run"
        )


# The History: its series are arrays, so that a hundred thousand epochs take a few megabytes and
# some ten milliseconds.


def _describe_history(history: History) -> tuple[dict[str, Any], dict[str, Any]]:
    check_lengths(history.epochs, history.best_epoch)
    kinds, arrays = {}, {}
    for i, (name, values) in enumerate(history.epochs.items()):
        counts = set(map(type, values)) == {int} and max(map(abs, values)) < 2**63
        array = np.array(values, np.int64 if counts else np.float64)
        kinds[name], arrays[f"history.{i}"] = array.dtype.name, array
    record = {key: getattr(history, key) for key in HISTORY if key != "epochs"}
    series = [{"name": name, "dtype": kind} for name, kind in kinds.items()]
    return record | {"epochs": len(history), "series": series}, arrays


def _read_history(record: dict[str, Any], stored: Arrays) -> History:
    if "series" in record:
        record = dict(record)
        shape, series = (record.pop("epochs"),), record.pop("series")
        record["epochs"] = {
            one["name"]: stored[f"history.{i}"](shape, np.dtype(one["dtype"])).tolist()
            for i, one in enumerate(series)
        }
        if len(record["epochs"]) < len(series):
            raise ValueError("two series of its history have the same name")
    # Of version 1, the series are in the description.
    check_lengths(record["epochs"], record["best_epoch"])
    return History(**record)


# What a checkpoint holds besides a network.

_COUNT = range(2**31)
_COUNTERS_1 = {
    "eta": float,
    "best_correct": range(-1, 2**31),
    "waited": _COUNT,
    "waited_to_halve": _COUNT,
}
_COUNTERS_2 = _COUNTERS_1 | {"done": _COUNT}
_COUNTERS = _COUNTERS_2 | {"best_cost": (float,)}
_STREAM = {
    "bit_generator": frozenset({"PCG64"}),
    "state": {"state": range(2**128), "inc": range(2**128)},
    "has_uint32": range(2),
    "uinteger": range(2**32),
}
_SETTINGS_1 = {
    **dict.fromkeys(["epochs", "mini_batch_size", "eta", "lmbda", "lmbda_l1", "mu"], float),
    "patience": (float,),
    "halve_after": (float,),
}
_VERSION_1 = NETWORK_KEYS | {  # as 0.1.0 wrote it
    "settings": _SETTINGS_1,
    "history": HISTORY,
    "streams": dict.fromkeys(Streams.names, _STREAM),
    "counters": _COUNTERS_1,
    "velocities": bool,
    "best": bool,
}
_SERIES = {"name": str, "dtype": frozenset({"float64", "int64"})}
_VERSION_2 = _VERSION_1 | {
    "counters": _COUNTERS_2,
    "history": HISTORY | {"epochs": range(MOST_EPOCHS + 1), "series": [_SERIES, 1000]},
    "digests": {str: str},
}
_SETTINGS = _SETTINGS_1 | {
    "eta": float | str,
    "schedule": frozenset(SCHEDULES),
    "warmup": float,
    "nesterov": bool,
    "label_smoothing": float,
    "average": float,
    "judge_by": frozenset({"accuracy", "cost"}),
}
_VERSION_3 = _VERSION_2 | {"settings": _SETTINGS, "counters": _COUNTERS, "average": bool}
FORMATS[CHECKPOINT] = {1: _VERSION_1, 2: _VERSION_2, 3: _VERSION_3}
