"""Replays of the author's own runs, digit for digit: his seeds, his draws, Python 2's shuffle.

The figures of chapter 3 were made by four programs that call ``random.seed(12345678)`` and
``numpy.random.seed(12345678)`` once, at the start. The replays draw the same numbers in the same
order. The network, its gradients and its updates are those of `nndl.Network`, in float64.

In one run, `c3-reg-full`, rounding errors grow from 1e-13 in the cost of the first epoch to about
1e-6 in that of the last, and counts depend on single training images. How the author's program
rounded is not known: in 80-bit arithmetic the training counts of epochs 27 and 28 are one image off
(tests/rounding.py). `nndl.reproduction.rounding` fixes a rounding that gives all of his counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nndl._typing import Array
from nndl.data import Dataset, load_mnist
from nndl.files import read_regular
from nndl.layers import Dense
from nndl.network import Network
from nndl.reproduction.published import published
from nndl.reproduction.rounding import RoundedDense
from nndl.storage.schema import LARGEST_JSON, check, loads
from nndl.threads import one_thread
from nndl.training.metrics import evaluate

__all__ = [
    "REPLAYS",
    "AuthorsRandom",
    "Replay",
    "Run",
    "agreement",
    "as_json",
    "average_darkness",
    "load_replay",
    "replay",
]

SEED = 12345678
Curve = dict[str, list[float]]


@dataclass(frozen=True)
class Run:
    """One call of SGD in one of the author's programs."""

    eta: float
    lmbda: float
    epochs: int = 30
    curve: str = ""
    size: int = 50_000  # of the training set
    new_network: bool = True  # draws default weights first, even if large ones replace them
    large: bool = True  # then calls large_weight_initializer()
    slice_of_list: bool = False  # trains on a copy: shuffling does not change the full list
    last_only: bool = False  # measured after the last epoch only


@dataclass(frozen=True)
class Replay:
    """One of the author's programs: runs that share one pair of seeded random streams."""

    runs: tuple[Run, ...]
    hidden: int = 30
    evaluation: str = "validation"
    cost_tolerance: float = 1e-9  # largest difference of a cost that counts as equal
    rounded: bool = False  # use layers with a fixed rounding: see the module's docstring
    note: str = ""


def _more_data() -> tuple[Run, ...]:
    sizes = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
    return tuple(
        Run(
            eta=0.5,
            lmbda=0.0001 * size,
            epochs=1_500_000 // size,
            curve=str(size),
            size=size,
            new_network=size == sizes[0],
            slice_of_list=True,
            last_only=True,
        )
        for size in sizes
    )


_OLD_AND_NEW = (
    Run(eta=0.1, lmbda=5.0, curve="new", large=False),
    Run(eta=0.1, lmbda=5.0, curve="old", new_network=False),
)
_CHAOTIC = (
    "Chaotic: rounding errors, which depend on the BLAS and on the order of each sum, grow by a "
    "constant factor per step until the two runs differ as much as two seeds; only their level can "
    "agree"
)

REPLAYS: dict[str, Replay] = {
    "c3-overfit-1000": Replay((Run(0.5, 0.0, 400, size=1000, slice_of_list=True),), 30, "test"),
    "c3-reg-1000": Replay((Run(0.5, 0.1, 400, size=1000, slice_of_list=True),), 30, "test"),
    "c3-overfit-full": Replay((Run(0.5, 0.0),), 30, "test", note=_CHAOTIC),
    "c3-reg-full": Replay((Run(0.5, 5.0),), 30, "test", cost_tolerance=5e-6, rounded=True),
    "c3-winit-30": Replay(_OLD_AND_NEW),
    "c3-winit-100": Replay(_OLD_AND_NEW, hidden=100),
    "c3-eta-compare": Replay(
        tuple(Run(eta, 5.0, curve=str(eta), large=False) for eta in (0.025, 0.25, 2.5)),
        cost_tolerance=5e-6,
        note=_CHAOTIC,
    ),
    "c3-more-data": Replay(_more_data()),
}


class AuthorsRandom:
    """The two random streams of the author's programs, as Python 2.7 and NumPy gave them."""

    def __init__(self) -> None:
        self.shuffles = random.Random(SEED)
        self.normals = np.random.RandomState(SEED)

    def draw(self, net: Network, large: bool) -> None:
        """Draw all biases N(0, 1), then all weights N(0, 1) if ``large``, else N(0, 1/n_in)."""
        for b in net.biases:
            b[...] = self.normals.randn(*b.shape)
        for w in net.weights:
            w[...] = self.normals.randn(*w.shape) / (1 if large else np.sqrt(w.shape[1]))

    def shuffle(self, order: list[int]) -> None:
        """Shuffle in place as Python 2.7 did: one random() per swap, unlike Python 3."""
        draw = self.shuffles.random
        for i in range(len(order) - 1, 0, -1):
            j = int(draw() * (i + 1))
            order[i], order[j] = order[j], order[i]


def replay(
    name: str,
    data: tuple[Dataset, Dataset, Dataset] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Curve]:
    """Run one of `REPLAYS` and return its curves by name ("" if there is only one).

    Parameters
    ----------
    name : str
        A key of `REPLAYS`.
    data : tuple of Datasets, optional
        Training, validation and test set; by default MNIST.
    report : callable
        Called with a line of text after every run.

    Returns
    -------
    dict of dicts of lists
        "evaluation_cost", "evaluation_correct", "training_cost", "training_correct": a value per
        epoch.

    Raises
    ------
    ValueError
        If no replay has this name.
    """
    if name not in REPLAYS:
        raise ValueError(f"no replay is named {name!r}: choose one of {', '.join(REPLAYS)}")
    program = REPLAYS[name]
    training, validation, test = data or load_mnist(dtype=np.uint8)
    evaluation = test if program.evaluation == "test" else validation
    authors = AuthorsRandom()
    everything = list(range(len(training)))
    curves: dict[str, Curve] = {}
    for run in program.runs:
        if run.new_network:
            kind = RoundedDense if program.rounded else Dense
            layers = [kind(program.hidden), kind(10)]
            net = Network(layers, input_shape=784, dtype=np.float64)
            authors.draw(net, large=False)
        if run.large:
            authors.draw(net, large=True)
        order = list(range(run.size)) if run.slice_of_list else everything
        chosen = training[: run.size]
        curve: Curve = {}
        with one_thread():
            for epoch in _epochs(net, chosen, run, authors, order):
                if not run.last_only or epoch == run.epochs - 1:
                    for key, value in _measure(net, evaluation, chosen, run.lmbda):
                        curve.setdefault(key, []).append(value)
        curves[run.curve] = curve
        label = f"{name} {run.curve}".strip()
        report(f"{label}: last {curve['evaluation_correct'][-1]:.0f} of {len(evaluation):,}")
    return curves


def _epochs(
    net: Network, training: Dataset, run: Run, authors: AuthorsRandom, order: list[int]
) -> Iterator[int]:
    def shuffled(n: int) -> NDArray[np.int64]:
        authors.shuffle(order)
        return np.array(order)

    return net.sgd(training, run.epochs, 10, run.eta, lmbda=run.lmbda, order=shuffled)


def _measure(
    net: Network, evaluation: Dataset, training: Dataset, lmbda: float
) -> Iterator[tuple[str, float]]:
    for key, data in (("evaluation", evaluation), ("training", training)):
        score = evaluate(net, data, lmbda)
        yield f"{key}_cost", score.cost
        yield f"{key}_correct", score.correct


@dataclass(frozen=True)
class Agreement:
    """How many values of a published series a replay reproduces."""

    values: int
    differ: int
    first_difference: dict[str, int]  # first epoch that differs, for each curve that does


def agreement(name: str, curves: dict[str, Curve]) -> Agreement:
    """Compare curves with the published ones: counts exactly, costs to `cost_tolerance`.

    Raises
    ------
    ValueError
        If the curves have fewer epochs than the published ones.
    """
    series = published()[name]
    tolerance = REPLAYS[name].cost_tolerance if name in REPLAYS else 0.0
    values, differ = 0, 0
    first_difference: dict[str, int] = {}
    for curve, quantities in series["curves"].items():
        short = {key: len(list_) for key, list_ in curves[curve].items()}
        if min(short.values()) <= series["epochs"][-1]:
            raise ValueError(
                f"expected curves of {name} up to epoch {series['epochs'][-1]}, the last published "
                f"one, but got {short} epochs: replay it again"
            )
        ours = {key: np.array(list_)[series["epochs"]] for key, list_ in curves[curve].items()}
        for key, theirs in quantities.items():
            allowed = tolerance if "cost" in key else 0
            off = ~(np.abs(ours[key] - np.array(theirs)) <= allowed)  # true for NaN as well
            values, differ = values + off.size, differ + int(off.sum())
            if off.any():
                first = series["epochs"][int(off.argmax())]
                first_difference[curve] = min(first, first_difference.get(curve, first))
    return Agreement(values, differ, first_difference)


def average_darkness(training: Dataset, test: Dataset) -> int:
    """Return how many test images are classified correctly by their darkness (chapter 1: 2225).

    The prediction is the digit whose mean sum of pixels in the training set is nearest to the sum
    of the image's pixels; of two equally near digits the smaller one.
    """
    sums = _darkness(training)
    counts = np.bincount(training.labels)
    means = np.bincount(training.labels, sums) / counts
    predicted = np.abs(_darkness(test)[:, None] - means).argmin(axis=1)
    return int((predicted == test.labels).sum())


def _darkness(data: Dataset) -> Array:
    total: Array = data.images.sum(axis=1, dtype=np.float64)
    return total


def as_json(curves: dict[str, Curve]) -> dict[str, Any]:
    """Return the curves as they are stored in a file: without a name if there is only one."""
    return dict(curves[""]) if list(curves) == [""] else dict(curves)


def load_replay(path: Path) -> dict[str, Curve]:
    """Read the curves of a replay from a file NAME.json that holds what `as_json` returned.

    Raises
    ------
    ValueError
        If it is something else, or lacks a curve or a quantity that the author published.
    """
    name = path.stem
    try:
        data = loads(read_regular(path, LARGEST_JSON))
        check(data, {str: list | dict}, "it")
        curves: dict[str, Curve] = data if dict in map(type, data.values()) else {"": data}
        check(curves, {str: {str: [float, 100_000]}}, "it")
        for curve, quantities in published()[name]["curves"].items():
            if missing := quantities.keys() - curves.get(curve, {}).keys():
                raise ValueError(f"it lacks {', '.join(sorted(missing))} {curve}".rstrip())
    except ValueError as error:
        raise ValueError(
            f"{path} is not a replay ({error}): create it with nndl reproduce replay {name} "
            f"--out {path.parent}"
        ) from None
    return curves
