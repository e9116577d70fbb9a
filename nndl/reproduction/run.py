"""One run of an experiment: `run_seed` builds the network, trains it and returns the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nndl.conv import Conv
from nndl.data import Dataset, load_mnist, shifted_fivefold
from nndl.network import Network
from nndl.parallel import computing
from nndl.reproduction.experiments import EXPERIMENTS, Experiment
from nndl.reproduction.experiments.record import Procedure
from nndl.reproduction.reading import Result
from nndl.rng import generator
from nndl.storage import load_checkpoint, read_about, save_checkpoint
from nndl.training import History, State, train
from nndl.training.environment import environment
from nndl.training.metrics import accuracy, evaluate, mistakes

__all__ = ["PROCEDURES", "run_seed"]


@dataclass(frozen=True)
class Job:
    """One run: an experiment with its network, data and random stream."""

    name: str
    seed: int
    experiment: Experiment
    net: Network
    training: Dataset
    validation: Dataset
    test: Dataset
    rng: np.random.Generator
    checkpoint: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run gave: a value per epoch of each series, and what was measured after training."""

    net: Network
    epochs: dict[str, list[float]]
    final: dict[str, Any]


def run_seed(name: str, seed: int, checkpoint: str | None = None) -> Result:
    """Run an experiment once, on one thread, and return the result as plain JSON.

    Parameters
    ----------
    name : str
        A key of `EXPERIMENTS`.
    seed : int
        Seeds two random streams: one for the initial weights, one for training.
    checkpoint : str, optional
        Path of a checkpoint, for the experiments of chapter 6: written after every epoch. If the
        file exists, the run resumes from it.

    Returns
    -------
    dict
        "experiment", "seed", "network", "settings", "epochs" (lists as in `History`), "final"
        (measured once, after training), "seconds" in all, and "environment".

    Raises
    ------
    ValueError
        If the checkpoint belongs to another run.
    KeyboardInterrupt
        If Ctrl-C interrupted the run: an interrupted run is not a result.
    """
    e = EXPERIMENTS[name]
    init_rng, training_rng = generator(seed).spawn(2)
    net = _network(e, init_rng)
    training, validation, test = _mnist()
    training = _fivefold() if e.fivefold else training[: e.training_size]
    validation = validation[: e.validation_size]
    job = Job(name, seed, e, net, training, validation, test, training_rng, checkpoint)
    start = perf_counter()
    with computing(threads=1):  # runs are parallel, and the results give seconds of one core
        outcome = PROCEDURES[e.procedure](job)
    seconds = outcome.final.pop("seconds", perf_counter() - start)
    return {
        "experiment": name,
        "seed": seed,
        "network": repr(outcome.net),
        "settings": e.settings.record(),
        "epochs": {key: [_short(v) for v in series] for key, series in outcome.epochs.items()},
        "final": outcome.final,
        "seconds": round(seconds, 1),
        "environment": environment(),
    }


def _network(e: Experiment, rng: np.random.Generator) -> Network:
    if e.layers is not None:
        return Network(e.layers(), cost=e.cost, input_shape=(1, 28, 28), rng=rng)
    return Network(
        e.sizes,
        cost=e.cost,
        activation=e.activation,
        init=e.init,
        dropout=e.dropout,
        rng=rng,
        dtype=e.dtype,
    )


# The procedures: how experiments are run.


def _train(job: Job, *, every_epoch: bool = True) -> Outcome:
    """Train and measure the validation set and the monitored sets after every epoch.

    Without ``every_epoch`` they are measured after training only.
    """
    e, sets = job.experiment, {"training": job.training, "test": job.test}
    history = train(
        job.net,
        job.training,
        e.settings,
        validation=job.validation if every_epoch else None,
        monitor={name: sets[name] for name in e.monitor},
        rng=job.rng,
        transform=e.transform,
        regularized_cost=True,  # as network2 measures it
    )
    return Outcome(job.net, history.epochs, _final_accuracies(job, history))


def _train_accuracy_only(job: Job) -> Outcome:
    """Train and measure nothing but the validation accuracy: `train` stops at infinite costs."""
    settings, history = job.experiment.settings, History()
    epochs = job.net.sgd(
        job.training,
        settings.epochs,
        settings.mini_batch_size,
        settings.eta,
        lmbda=settings.lmbda,
        rng=job.rng,
    )
    for epoch in epochs:
        measured = accuracy(job.net, job.validation)
        history.append({"eta": settings.rate(epoch), "validation_accuracy": measured})
    history.ended = "all epochs done"
    return Outcome(job.net, history.epochs, _final_accuracies(job, history))


def _final_accuracies(job: Job, history: History) -> dict[str, Any]:
    return {
        "validation_accuracy": evaluate(job.net, job.validation).accuracy,
        "test_accuracy": evaluate(job.net, job.test).accuracy,
        "epochs": len(history),
        "ended": history.ended,
    }


def _gradient_norms(job: Job) -> Outcome:
    """Train by full-batch gradient descent and record the norms of nabla_b before each step.

    The series "norm_l" holds the norm for hidden layer l in every epoch, and "bar_l" the first six
    entries of its gradient before training (chapter 5).
    """
    net, settings = job.net, job.experiment.settings
    x, y = job.training.images.T, job.training.labels
    series: dict[str, list[float]] = {}
    for epoch in range(settings.epochs):
        nabla_b, _ = net.backprop(x, y)
        for l, nabla in enumerate(nabla_b[:-1], start=1):
            series.setdefault(f"norm_{l}", []).append(float(np.linalg.norm(nabla)))
            if epoch == 0:
                series[f"bar_{l}"] = nabla[:6, 0].astype(float).tolist()
        net.update_mini_batch(x, y, settings.rate(0), settings.lmbda, len(job.training))
    return Outcome(net, series, {})


def _network3(job: Job, *, reshuffled: bool = False) -> Outcome:
    """Train as the book's network3 does, and keep a checkpoint after every epoch.

    The mini-batches come in the same order in every epoch, unless ``reshuffled``. The test accuracy
    is measured whenever the validation accuracy is as good as the best so far, so that the one
    returned belongs to the last of the best epochs. Returned as well, for the network after its
    last epoch: the test accuracy, the mistakes as [index, predicted] for the ensemble, and the
    filters of the first layer.
    """
    e, net, rng = job.experiment, job.net, job.rng
    # The author shuffled the fivefold set once, when he wrote it to disk.
    order = rng.permutation(len(job.training)) if e.fivefold else np.arange(len(job.training))
    state, start = State.start(e.settings, rng), perf_counter()
    final: dict[str, Any] = {"test_accuracy": 0.0, "seconds": 0.0}
    checkpoint = job.checkpoint
    about = {"experiment": job.name, "seed": job.seed}
    sets = {"training": job.training, "validation": job.validation}
    if checkpoint and Path(checkpoint).exists():
        final = read_about(checkpoint)
        # Checkpoints from before version 0.2.0 do not name their run.
        began = {key: final.pop(key, value) for key, value in about.items()}
        found, state, _ = load_checkpoint(checkpoint, sets)
        if began != about or repr(found) != repr(net):
            raise ValueError(
                f"{checkpoint} must be of {job.name}, seed {job.seed}, but is of "
                f"{began['experiment']}, seed {began['seed']}, {found}: delete it"
            )
        net = found
    seconds_before = final["seconds"]

    def after_epoch(net: Network, state: State) -> None:
        correct = state.history["validation_correct"]
        if correct[-1] >= max(correct):
            final["test_accuracy"] = evaluate(net, job.test).accuracy
        final["seconds"] = seconds_before + perf_counter() - start
        if checkpoint:
            save_checkpoint(checkpoint, net, state, e.settings, sets, **about, **final)

    history = train(
        net,
        job.training,
        e.settings,
        validation=job.validation,
        order=None if reshuffled else lambda n: order,
        regularized_cost=True,
        after_epoch=after_epoch,
        state=state,
    )
    wrong = mistakes(net, job.test)
    final |= {
        "last_test_accuracy": evaluate(net, job.test).accuracy,
        "mistakes": np.stack([wrong.index, wrong.predicted], axis=1).tolist(),
        "epochs": len(history),
    }
    if isinstance(first := net.layers[0], Conv):
        final["filters"] = [[_short(w) for w in row] for row in first.w.astype(float).tolist()]
    return Outcome(net, history.epochs, final)


PROCEDURES: dict[Procedure, Callable[[Job], Outcome]] = {
    "train": _train,
    "train, measure last": partial(_train, every_epoch=False),
    "train, accuracy only": _train_accuracy_only,
    "gradient norms": _gradient_norms,
    "network3": _network3,
    "network3, reshuffled": partial(_network3, reshuffled=True),
}


def _short(value: float) -> float:
    """Return a number rounded to seven significant digits: float32 holds no more."""
    return float(f"{value:.7g}")


@cache
def _mnist() -> tuple[Dataset, Dataset, Dataset]:
    return load_mnist()


@cache
def _fivefold() -> Dataset:
    return shifted_fivefold(load_mnist(dtype=np.uint8)[0])
