"""Measure the ensemble of a recipe's networks, one for each seed, on the test set."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nndl.data import load_mnist
from nndl.dataset import Dataset
from nndl.ensemble import Ensemble, shifted_proba
from nndl.files import make_folder, write_text
from nndl.ladder.records import described, load_rung
from nndl.ladder.run import network_path, result_path
from nndl.network import Network
from nndl.storage import load, read_about
from nndl.training.environment import environment

__all__ = ["ensemble_path", "measure", "run"]


def ensemble_path(results: Path, name: str) -> Path:
    """Return the path of a record: results/ladder/ensemble-NAME.json."""
    return results / "ladder" / f"ensemble-{name}.json"


def run(results: Path, name: str, seeds: Sequence[int] | None = None) -> dict[str, Any]:
    """Write and return the record of the ensemble of these seeds, by default all that have run.

    Raises
    ------
    ValueError
        If a seed has no record or no network, or the network is another.
    OSError
        If MNIST is unavailable, or a file cannot be read or written.
    """
    rung = load_rung(results / "ladder", name)
    seconds = {run["seed"]: run["seconds"] for run in (rung.runs if rung else ())}
    seeds = sorted(seconds if seeds is None else set(seeds))
    for seed in seeds:
        train = _command(results, name, seed)
        if seed not in seconds:
            raise ValueError(f"seed {seed} of {name} has no record: run `{train}`")
        if not (network := network_path(results, name, seed)).exists():
            raise ValueError(
                f"seed {seed} of {name} has a record, but no network {network}: delete "
                f"{result_path(results, name, seed)} and run `{train}`, or give --seeds with "
                "networks"
            )
    if not seeds:
        raise ValueError(f"{name} has no seed yet: run `{_command(results, name)}`")
    ensemble = Ensemble([_network(results, name, seed) for seed in seeds])
    record = {
        **described(name),
        "members": seeds,
        **measure(ensemble, load_mnist(dtype=np.uint8)[2]),
        "seconds": round(sum(seconds[seed] for seed in seeds), 2),
        "environment": dict(environment()),
    }
    path = ensemble_path(results, name)
    make_folder(path.parent)
    write_text(path, json.dumps(record, indent=1) + "\n")
    return record


def _network(results: Path, name: str, seed: int) -> Network:
    path = network_path(results, name, seed)
    about = read_about(path)
    if (about.get("recipe"), about.get("seed")) != (name, seed):
        raise ValueError(
            f"{path} must be the network of {name}, seed {seed}, but is not: delete "
            f"{result_path(results, name, seed)} and run `{_command(results, name, seed)}`"
        )
    return load(path)


def _command(results: Path, name: str, seed: int | None = None) -> str:
    """Return the command that trains a seed of a recipe, by default as many as it needs."""
    command = ["nndl", "ladder", "run", name]
    command += [] if seed is None else ["--seeds", str(seed)]
    command += [] if results == Path("results") else ["--results", str(results)]
    return shlex.join(command)


def measure(ensemble: Ensemble, test: Dataset) -> dict[str, Any]:
    """Return how many images are classified correctly, together and by each member."""
    images, labels = test

    def correct(predicted: Any) -> int:
        return int((predicted == labels).sum())

    return {
        "correct": correct(ensemble.predict(images)),
        "vote_correct": correct(ensemble.vote(images)),
        "shifted_correct": correct(shifted_proba(ensemble, images).argmax(axis=1)),
        "of": len(test),
        "member_correct": [correct(net.predict(images)) for net in ensemble.nets],
    }
