"""Train the recipes, and record what they reach on the test set.

The recipes were chosen on the validation set. Here most of them train on all 60,000 images,
training and validation, and read the test set once, at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from nndl.data import load_mnist
from nndl.dataset import Dataset
from nndl.files import folder_lock, make_folder, remove_parts, write_text
from nndl.inference import work
from nndl.ladder.records import described
from nndl.network import Network
from nndl.recipes import RECIPES
from nndl.storage import load_checkpoint, read_about, save, save_checkpoint
from nndl.training import State, train
from nndl.training.environment import environment
from nndl.training.metrics import evaluate

__all__ = ["as_record", "network_path", "result_path", "run"]


def result_path(results: Path, name: str, seed: int) -> Path:
    """Return the path of a result: results/ladder/NAME/seed-0.json."""
    return results / "ladder" / name / f"seed-{seed}.json"


def network_path(results: Path, name: str, seed: int) -> Path:
    """Return the path of a trained network, which is not committed."""
    return results / "runs" / "ladder" / name / f"seed-{seed}" / "network.npz"


def run(results: Path, name: str, seed: int, report: Callable[[str], None]) -> None:
    """Train a recipe from a seed and write its result, unless it is there; resume what began.

    Raises
    ------
    OSError
        If MNIST is unavailable, a file cannot be written, or another process runs the same seed.
    ValueError
        If a checkpoint is there, but of another recipe.
    """
    path = result_path(results, name, seed)
    if path.exists():
        report(f"{path}: there already")
        return
    parts = load_mnist(dtype=np.uint8)
    training, test = _together(*parts[:2])[: RECIPES[name].images], parts[2]
    kept = network_path(results, name, seed)
    make_folder(kept.parent)
    make_folder(path.parent)
    remove_parts(path.parent)
    with folder_lock(kept.parent):
        if path.exists():  # written by another process in the meantime
            report(f"{path}: there already")
            return
        net, seconds = _train(name, seed, training, kept.with_name("checkpoint.npz"), report)
        save(net, kept, recipe=name, seed=seed)
        correct = evaluate(net, test).correct
        record = as_record(name, seed, net, correct, len(test), len(training), seconds)
        write_text(path, json.dumps(record, indent=1) + "\n")
        kept.with_name("checkpoint.npz").unlink(missing_ok=True)
    report(f"{path}: {correct:,} of {len(test):,} in {seconds:.{0 if seconds >= 10 else 2}f} s")


def as_record(
    name: str, seed: int, net: Network, correct: int, of: int, images: int, seconds: float
) -> dict[str, Any]:
    """Return the result of a run as plain JSON."""
    epochs = RECIPES[name].settings.epochs
    return {
        **described(name),
        "seed": seed,
        "correct": correct,
        "of": of,
        "seconds": round(seconds, 2),
        "images": images,
        "epochs": epochs,
        "flop": 2.0 * multiplications(net) * images * epochs,  # a multiplication and an addition
        "environment": dict(environment()),
    }


def multiplications(net: Network) -> int:
    """Return the multiplications of a training step for each example.

    A layer has three products: for its outputs, for its gradient (BP4), and for the delta of the
    layer below (BP2), which the lowest layer with weights does not need.
    """
    lowest = next(layer for layer in net.layers if layer.w is not None)
    return 3 * work(net.layers) - work([lowest])


def _train(
    name: str, seed: int, training: Dataset, path: Path, report: Callable[[str], None]
) -> tuple[Network, float]:
    """Return the trained network, and the seconds that its training kept one core busy."""
    recipe = RECIPES[name]
    settings = recipe.settings
    for_weights, for_training = np.random.default_rng(seed).spawn(2)
    if path.exists():
        net, state, _ = load_checkpoint(path, {"training": training})
        about = read_about(path)
        if about.get("of") != described(name):
            raise ValueError(
                f"{path} was begun with another network, other settings or other distortions than "
                f"the recipe {name} has now: delete it, and run the recipe again"
            )
        before = float(about["core_seconds"])
    else:
        net, before = recipe.network(rng=for_weights), 0.0
        state = State.start(settings, for_training)
    start = process_time()

    def seconds() -> float:
        return before + process_time() - start

    def checkpoint(net: Network, state: State) -> None:
        if seconds() <= SAVE_FROM:
            return
        sets = {"training": training}
        about = {"of": described(name), "core_seconds": seconds()}
        save_checkpoint(path, net, state, settings, sets, **about)

    def after_epoch(net: Network, state: State) -> None:
        done = len(state.history)
        checkpoint(net, state)
        if seconds() > SAVE_FROM:
            report(f"{name}, seed {seed}: {done} of {settings.epochs} epochs, {seconds():.0f} s")

    train(
        net,
        training,
        settings,
        state=state,
        transform=recipe.transform(),
        threads=1,
        after_epoch=after_epoch,
        checkpoint=checkpoint,
    )
    return net, seconds()


SAVE_FROM = 20.0  # seconds: shorter runs begin again if they are interrupted


def _together(*parts: Dataset) -> Dataset:
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Dataset(images, labels, "MNIST, training and validation", shape=parts[0].shape)
