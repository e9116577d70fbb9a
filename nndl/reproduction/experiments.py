"""Every experiment of the book that trains a network, as data, and how one is run.

Settings come from the book's text and, where that is silent, from the author's programs; the
record names are those of docs/book.md. Accuracies are in percent here, since the book's are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nndl.activations import Activation, relu, sigmoid, softmax, tanh
from nndl.batches import Transform
from nndl.conv import Conv
from nndl.costs import Cost, cross_entropy, log_likelihood, quadratic
from nndl.data import Dataset, ElasticDistortion, RandomAffine, load_mnist, shifted_fivefold
from nndl.initializers import Initializer, default, he, large, network3, zeros
from nndl.layers import Dense, Dropout, Layer
from nndl.network import Network
from nndl.rng import generator
from nndl.storage import load_checkpoint, read_about, save_checkpoint
from nndl.threads import one_thread
from nndl.training import History, Settings, State, train
from nndl.training.environment import environment
from nndl.training.metrics import accuracy, evaluate, mistakes

__all__ = ["EXPERIMENTS", "Experiment", "Reading", "best_epoch", "run_seed", "vote"]

Result = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """A number read off the runs of an experiment, and the book's beside it.

    Parameters
    ----------
    quantity : str
        Which series: "test_accuracy", "validation_accuracy", "training_cost", ...
    statistic : str
        "peak" or "last" of the epochs, "epoch k", or "at best validation". What is measured once,
        after training, is "at best validation" if training ends on the best weights, else "last".
    book : float, optional
        The book's value, in percent for an accuracy.
    best_of : int, optional
        The book gives the best of so many runs.
    """

    quantity: str
    statistic: str = "peak"
    book: float | None = None
    best_of: int | None = None
    source: str = "text"

    def of(self, result: Result) -> float:
        """Return the value in one run; accuracies in percent."""
        series = result["epochs"].get(self.quantity) or [result["final"][self.quantity]]
        if self.statistic == "peak":
            value = max(series)
        elif self.statistic == "last":
            value = series[-1]
        elif self.statistic == "at best validation":
            value = series[best_epoch(result)] if len(series) > 1 else series[0]
        else:
            value = series[int(self.statistic.removeprefix("epoch "))]
        return 100 * value if self.quantity.endswith("accuracy") else float(value)


def best_epoch(result: Result) -> int:
    """Return the first epoch with the best validation accuracy."""
    validation: list[float] = result["epochs"]["validation_accuracy"]
    return validation.index(max(validation))


def vote(results: list[Result]) -> list[tuple[int, int]]:
    """Return the (index, answer) that a plurality of networks of chapter 6 gets wrong.

    Of answers with as many votes, the one that came first counts, as in the author's program.
    """
    given = [dict(map(tuple, result["final"]["mistakes"])) for result in results]
    right = -1
    wrong = []
    for index in sorted(set().union(*given)):
        answers = Counter(answer.get(index, right) for answer in given)
        if (plurality := answers.most_common(1)[0][0]) != right:
            wrong.append((index, plurality))
    return wrong


@dataclass(frozen=True)
class Experiment:
    """A network, its data and its hyper-parameters, and what is read off its runs."""

    title: str
    section: str
    sizes: tuple[int, ...]  # of the layers of neurons; empty where `layers` makes them
    settings: Settings
    readings: tuple[Reading, ...]
    cost: Cost = cross_entropy
    activation: Activation = sigmoid
    output: Activation | None = None
    init: Initializer = default
    dropout: float = 0.0
    training_size: int = 50_000
    validation_size: int = 10_000
    fivefold: bool = False  # the training set and its four shifts by a pixel
    transform: Transform | None = None
    monitor: tuple[str, ...] = ()  # sets besides validation that are measured in every epoch
    every_epoch: bool = True  # else measured at the end only
    norms: bool = False  # chapter 5: norms of the bias gradients before every epoch
    layers: Callable[[], list[Layer]] | None = None  # chapter 6
    costs_overflow: bool = False  # so that only accuracies are measured, of a network in float64
    reshuffle: bool = True  # else the order of the first epoch is that of all
    seeds: int = 5
    notes: tuple[int, ...] = ()  # numbers of the remarks in results/README.md


def _watched(name: str, book: float | None = None, **more: Any) -> tuple[Reading, ...]:
    return (Reading(f"{name}_accuracy", book=book, **more),)


CHAPTER_1 = Experiment(
    title="",
    section="1, Implementing our network to classify digits",
    sizes=(784, 30, 10),
    settings=Settings(eta=3.0),
    readings=(),
    cost=quadratic,
    init=large,
    monitor=("test",),
)
CHAPTER_3 = replace(
    CHAPTER_1,
    section="3, Overfitting and regularization",
    settings=Settings(eta=0.5),
    cost=cross_entropy,
)
CHAPTER_5 = replace(
    CHAPTER_3,
    section="5, The vanishing gradient problem",
    settings=Settings(eta=0.1, lmbda=5.0),
    init=default,
    monitor=(),
)
CHAPTER_6 = replace(
    CHAPTER_1,
    section="6, Convolutional neural networks in practice",
    sizes=(),
    settings=Settings(epochs=60, eta=0.1),  # lambda: see note 12
    cost=log_likelihood,
    monitor=(),
    reshuffle=False,
    seeds=3,
    notes=(12,),
)
OURS = replace(CHAPTER_3, settings=Settings(eta=0.5, lmbda=5.0), init=default, monitor=())
SIMARD = replace(
    OURS,
    section="3, Artificially expanding the training data",
    sizes=(784, 800, 10),
    cost=log_likelihood,
    activation=relu,
    init=he,
)


def _chapter_1() -> dict[str, Experiment]:
    e, test = CHAPTER_1, partial(_watched, "test")
    table = {
        "c1-net30": replace(e, title="30 hidden neurons", readings=test(95.42, best_of=3)),
        "c1-net100": replace(
            e, title="100 hidden neurons", sizes=(784, 100, 10), readings=test(96.59, best_of=3)
        ),
        "c1-net100-eta0.001": replace(
            e,
            title="eta far too small",
            sizes=(784, 100, 10),
            settings=Settings(eta=0.001),
            readings=(Reading("test_accuracy", "last", 21.42, 3),),
        ),
        "c1-net30-eta100": replace(
            e,
            title="eta far too large",
            settings=Settings(eta=100.0),
            readings=(Reading("test_accuracy", "last", 9.82, 3),),
        ),
        "c1-ex-nohidden": replace(
            e, title="no hidden layer", sizes=(784, 10), readings=test(), notes=(1,)
        ),
    }
    for eta in (0.01, 0.1, 1.0):
        table[f"c1-eta-ladder-{eta:g}"] = replace(
            e,
            title=f"on the way up: eta {eta:g}",
            sizes=(784, 100, 10),
            settings=Settings(eta=eta),
            readings=test(),
        )
    return table


def _chapter_3() -> dict[str, Experiment]:
    e, test, validation = CHAPTER_3, partial(_watched, "test"), partial(_watched, "validation")
    entropy = replace(e, section="3, Using the cross-entropy to classify MNIST digits")
    both = ("training", "test")
    author = "author's file"
    table = {
        "c3-ce-30": replace(
            entropy, title="cross-entropy, 30 hidden", readings=test(95.49), notes=(2,)
        ),
        "c3-ce-100": replace(
            entropy,
            title="cross-entropy, 100 hidden",
            sizes=(784, 100, 10),
            readings=test(96.82),
            notes=(2,),
        ),
        "c3-overfit-1000": replace(
            e,
            title="1,000 images, no regularization",
            settings=replace(e.settings, epochs=400),
            training_size=1000,
            monitor=both,
            readings=(*test(82.27), Reading("training_accuracy", "last", 100.0)),
        ),
        "c3-reg-1000": replace(
            e,
            title="1,000 images, lambda 0.1",
            settings=replace(e.settings, epochs=400, lmbda=0.1),
            training_size=1000,
            monitor=both,
            readings=test(87.1),
        ),
        "c3-overfit-full": replace(
            e,
            title="50,000 images, no regularization",
            monitor=both,
            readings=(*test(95.33), Reading("training_accuracy", "peak", 97.86)),
        ),
        "c3-reg-full": replace(
            e,
            title="50,000 images, lambda 5",
            settings=replace(e.settings, lmbda=5.0),
            monitor=both,
            readings=test(96.49),
        ),
        "c3-reg-100": replace(
            e,
            title="100 hidden, lambda 5",
            sizes=(784, 100, 10),
            settings=replace(e.settings, lmbda=5.0),
            monitor=(),
            readings=validation(97.92),
            notes=(2,),
        ),
        "c3-reg-100-tuned": replace(
            e,
            title="100 hidden, lambda 5, eta 0.1, 60 epochs",
            sizes=(784, 100, 10),
            settings=Settings(epochs=60, eta=0.1, lmbda=5.0),
            monitor=(),
            readings=validation(98.04),
            notes=(2, 3),
        ),
        "c3-monitor-demo": replace(
            OURS,
            title="the listing of network2, no output printed",
            section="3, Handwriting recognition revisited: the code",
            readings=validation(),
        ),
        "c3-hp-bad": replace(
            OURS,
            title="eta 10, lambda 1000",
            section="3, How to choose a neural network's hyper-parameters?",
            settings=Settings(eta=10.0, lmbda=1000.0),
            readings=(Reading("validation_accuracy", "last", 9.67),),
        ),
    }
    small = replace(
        table["c3-hp-bad"], sizes=(784, 10), training_size=1000, validation_size=100, notes=(4,)
    )
    for name, eta, lmbda, epoch, book in (
        ("a", 10.0, 1000.0, 2, 10.0),
        ("b", 10.0, 20.0, 3, 18.0),
        ("c", 100.0, 20.0, 3, 10.0),
        ("d", 1.0, 20.0, 3, 61.0),
    ):
        table[f"c3-hp-{name}"] = replace(
            small,
            title=f"no hidden layer, 1,000 images, eta {eta:g}, lambda {lmbda:g}",
            settings=Settings(eta=eta, lmbda=lmbda),
            readings=(Reading("validation_accuracy", f"epoch {epoch}", book),),
            notes={"a": (4, 8), "b": (4, 9)}.get(name, (4,)),
        )
    table["c3-hp-a"] = replace(
        table["c3-hp-a"], settings=Settings(epochs=3, eta=10.0, lmbda=1000.0), costs_overflow=True
    )
    for hidden, init, name, book, first in (
        (30, default, "new", 96.53, 92.70),
        (30, large, "old", 96.48, 86.43),
        (100, default, "new", 97.81, 92.95),
        (100, large, "old", 97.55, 89.94),
    ):
        table[f"c3-winit-{hidden}-{name}"] = replace(
            CHAPTER_5,
            title=f"{name} weight initialization, {hidden} hidden",
            section="3, Weight initialization",
            sizes=(784, hidden, 10),
            init=init,
            readings=(
                *validation(book, source=author),
                Reading("validation_accuracy", "epoch 0", first, source=author),
            ),
            notes=(14,) if (hidden, name) == (30, "old") else (),
        )
    for eta, book in ((0.025, 0.33920), (0.25, 0.33880), (2.5, 0.86069)):
        table[f"c3-eta-compare-{eta:g}"] = replace(
            OURS,
            title=f"learning rate {eta:g}",
            section="3, How to choose a neural network's hyper-parameters?",
            settings=Settings(eta=eta, lmbda=5.0),
            monitor=("training",),
            readings=(Reading("training_cost", "last", book, source=author),),
            notes=(10,) if eta == 2.5 else (),
        )
    published = (69.09, 76.37, 85.29, 88.85, 91.27, 93.24, 94.89, 95.85, 95.97)
    sizes = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
    for size, book in zip(sizes, published, strict=True):
        table[f"c3-more-data-{size}"] = replace(
            e,
            title=f"{size:,} training images",
            section="3, Other techniques for regularization",
            settings=Settings(epochs=1_500_000 // size, eta=0.5, lmbda=0.0001 * size),
            training_size=size,
            monitor=(),
            every_epoch=False,
            readings=(Reading("validation_accuracy", "last", book, source=author),),
        )
    return table


def _own_rows() -> dict[str, Experiment]:
    """Return what the book asks its readers to try, without a number of its own."""
    e, validation = OURS, partial(_watched, "validation")
    best = (Reading("validation_accuracy"), Reading("test_accuracy", "at best validation"))
    last = (Reading("validation_accuracy"), Reading("test_accuracy", "last"))
    table = {}
    for strength in (0.0, 0.3, 1.0, 3.0):
        table[f"c3-prob-l1-{strength:g}"] = replace(
            e,
            title=f"L1 regularization, lambda {strength:g}, 30 hidden",
            section="3, Handwriting recognition revisited: the code",
            settings=Settings(eta=0.5, lmbda_l1=strength),
            readings=last,
            notes=(5,),
        )
    for mu in (0.5, 0.9):
        table[f"c3-prob-momentum-{mu:g}"] = replace(
            e,
            title=f"momentum {mu:g}, eta {0.5 * (1 - mu):g}, 30 hidden",
            section="3, Variations on stochastic gradient descent",
            settings=Settings(eta=0.5 * (1 - mu), lmbda=5.0, mu=mu),
            readings=validation(),
        )
    for patience in (5, 10, 20):
        table[f"c3-prob-early-stopping-{patience}"] = replace(
            e,
            title=f"no improvement in {patience} epochs, 100 hidden",
            section="3, How to choose a neural network's hyper-parameters?",
            sizes=(784, 100, 10),
            settings=Settings(epochs=200, eta=0.5, lmbda=5.0, patience=patience),
            readings=(*best, Reading("epochs", "last")),
        )
    table["c3-ex-eta-schedule"] = replace(
        table["c3-prob-early-stopping-10"],
        title="eta halved at no improvement in 10, down to 1/128, 100 hidden",
        settings=Settings(epochs=300, eta=0.5, lmbda=5.0, halve_after=10),
        notes=(15,),
    )
    table["c3-dropout-100"] = replace(
        e,
        title="dropout 0.5, 100 hidden",
        section="3, Other techniques for regularization",
        sizes=(784, 100, 10),
        settings=Settings(epochs=60, eta=0.5),
        dropout=0.5,
        readings=last,
    )
    table["c3-dropout-800"] = replace(
        table["c3-dropout-100"],
        title="dropout 0.5, 800 rectified hidden",
        sizes=(784, 800, 10),
        cost=log_likelihood,
        activation=relu,
        init=he,
        settings=Settings(epochs=60, eta=0.1, halve_after=3),
        readings=(Reading("test_accuracy", "at best validation", 98.7, source="Hinton 2012"),),
        notes=(6,),
    )
    table["c3-expanded-100"] = replace(
        e,
        title="the fivefold training set, 100 hidden",
        section="3, Artificially expanding the training data",
        sizes=(784, 100, 10),
        settings=Settings(epochs=30, eta=0.5, lmbda=5.0, halve_after=3),
        fivefold=True,
        readings=best,
    )
    return table


def _simard() -> dict[str, Experiment]:
    """Return the networks of Simard, Steinkraus and Platt (2003), 800 hidden neurons."""
    affine = RandomAffine()
    table = {}
    for name, transform, lmbda, book in (
        ("none", None, 2.0, 98.4),
        ("affine", affine, 0.2, 98.9),
        ("elastic", ElasticDistortion(affine=affine), 0.2, 99.3),
    ):
        table[f"c3-simard-{name}"] = replace(
            SIMARD,
            title=f"800 rectified hidden, distortions: {name}",
            settings=Settings(epochs=60, eta=0.1, lmbda=lmbda, halve_after=4),
            transform=transform,
            readings=(Reading("test_accuracy", "at best validation", book, source="Simard 2003"),),
            notes=(6,),
        )
    return table


def _chapter_5() -> dict[str, Experiment]:
    e = CHAPTER_5
    table = {}
    for depth, book in ((1, 96.48), (2, 96.90), (3, 96.57), (4, 96.53)):
        table[f"c5-depth-{depth}"] = replace(
            e,
            title=f"{depth} hidden layer{'s' * (depth > 1)} of 30",
            sizes=(784, *[30] * depth, 10),
            readings=_watched("validation", book),
            notes=(2, 11) if depth == 3 else (2,),
        )
    for depth, books in (
        (2, (0.07, 0.31)),
        (3, (0.012, 0.060, 0.283)),
        (4, (0.003, 0.017, 0.070, 0.285)),
    ):
        table[f"c5-norms-{depth}"] = replace(
            e,
            title=f"speed of learning at the start, {depth} hidden layers",
            sizes=(784, *[30] * depth, 10),
            settings=Settings(epochs=500, mini_batch_size=1000, eta=0.1, lmbda=5.0),
            training_size=1000,
            norms=True,
            readings=tuple(
                Reading(f"norm_{l}", "epoch 0", book) for l, book in enumerate(books, start=1)
            ),
            notes=(7,),
        )
    return table


def _network3(
    maps: tuple[int, ...] = (),
    neurons: tuple[int, ...] = (),
    activation: Activation = sigmoid,
    dropout: float = 0.0,
    init: Initializer = network3,
) -> list[Layer]:
    """Return layers as the book's network3 builds them: dropout is on the way into a layer."""
    layers: list[Layer] = [Conv(n, 5, activation, pool=2, init=init) for n in maps]
    for n in neurons:
        layers += [Dropout(dropout)] * (dropout > 0) + [Dense(n, activation, init)]
    return [*layers, *[Dropout(dropout)] * (dropout > 0), Dense(10, softmax, zeros)]


def _chapter_6() -> dict[str, Experiment]:
    def test(book: float | None = None) -> tuple[Reading, ...]:
        return (
            Reading("test_accuracy", "at best validation", book, best_of=3 if book else None),
            Reading("validation_accuracy"),
        )

    def e(title: str, book: float | None, make: Callable[..., list[Layer]]) -> Experiment:
        return replace(CHAPTER_6, title=title, readings=test(book), layers=make)

    two = partial(_network3, (20, 40), (100,))
    rectified = replace(CHAPTER_6, settings=Settings(epochs=60, eta=0.03, lmbda=1.0))
    fivefold = replace(rectified, fivefold=True, seeds=1)
    table = {
        "c6-shallow": e("100 hidden neurons", 97.80, partial(_network3, (), (100,))),
        "c6-basic-conv": e("20 maps, 100 neurons", 98.78, partial(_network3, (20,), (100,))),
        "c6-ex-omit-fc": e("20 maps, no dense hidden layer", None, partial(_network3, (20,))),
        "c6-dbl-conv": e("20 and 40 maps, 100 neurons", 99.06, two),
        "c6-own-dbl-conv": replace(
            CHAPTER_6,
            title="20 and 40 maps, 100 neurons, weights by n_in, reshuffled",
            readings=test(),
            layers=partial(two, init=default),
            reshuffle=True,
            notes=(13,),
        ),
        "c6-prob-tanh": e("20 and 40 maps, 100 neurons, tanh", None, partial(two, activation=tanh)),
        "c6-relu": replace(
            rectified,
            title="20 and 40 maps, 100 neurons, rectified, lambda 0.1",
            readings=test(99.23),
            layers=partial(two, activation=relu),
        ),
    }
    for neurons, book in (
        ((100,), 99.37),
        ((300,), 99.46),
        ((1000,), 99.43),
        ((100, 100), 99.43),
        ((300, 300), 99.48),
        ((1000, 1000), 99.47),
    ):
        name = "expanded" if len(neurons) == 1 else "2fc"
        table[f"c6-{name}-{neurons[0]}"] = replace(
            fivefold,
            title=f"20 and 40 maps, {' and '.join(map(str, neurons))} neurons, fivefold data",
            readings=test(book),
            layers=partial(_network3, (20, 40), neurons, relu),
        )
    for n in (1000, 300):
        table[f"c6-dropout{'' if n == 1000 else '-300'}"] = replace(
            fivefold,
            title=f"20 and 40 maps, {n} and {n} neurons, dropout, fivefold data",
            settings=Settings(epochs=40, eta=0.03),
            readings=test(99.60 if n == 1000 else None),
            layers=partial(_network3, (20, 40), (n, n), relu, 0.5),
            seeds=5 if n == 1000 else 3,
        )
    for lmbda in (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0):
        table[f"c6-omitted-reg-dbl-conv-{lmbda:g}"] = replace(
            CHAPTER_6,
            title=f"20 and 40 maps, 100 neurons, lambda {lmbda:g}",
            settings=Settings(epochs=60, eta=0.1, lmbda=10 * lmbda),
            readings=test(),
            layers=two,
            notes=(12, 17) if lmbda <= 1e-3 else (12,),
        )
    return table


EXPERIMENTS: dict[str, Experiment] = {
    **_chapter_1(),
    **_chapter_3(),
    **_own_rows(),
    **_simard(),
    **_chapter_5(),
    **_chapter_6(),
}


def run_seed(name: str, seed: int, checkpoint: str | None = None) -> Result:
    """Run an experiment once and return what happened, as plain JSON.

    Parameters
    ----------
    name : str
        A key of `EXPERIMENTS`.
    seed : int
        From which initial weights and training draw, in two streams.
    checkpoint : str, optional
        A file from which a run of chapter 6 goes on if it is there, and which it writes after
        every epoch.

    Returns
    -------
    dict
        "experiment", "seed", "network", "settings", "epochs" (lists as in `History`), "final"
        (measured once, after training), "seconds" in all, and "environment".

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C ended it; a run of chapter 6 goes on from its checkpoint.
    """
    e = EXPERIMENTS[name]
    init_rng, training_rng = generator(seed).spawn(2)
    if e.layers:
        net = Network(e.layers(), cost=e.cost, input_shape=(1, 28, 28), rng=init_rng)
    else:
        net = Network(
            e.sizes,
            cost=e.cost,
            activation=e.activation,
            output=e.output,
            init=e.init,
            dropout=e.dropout,
            rng=init_rng,
            dtype=np.float64 if e.costs_overflow else np.float32,
        )
    training, validation, test = _mnist()
    training = _fivefold() if e.fivefold else training[: e.training_size]
    validation = validation[: e.validation_size]
    start = perf_counter()
    if e.norms:
        epochs = _gradient_norms(net, training, e.settings)
        final: dict[str, Any] = {}
    elif e.layers:
        net, epochs, final = _as_network3(e, net, training_rng, checkpoint)
    else:
        sets = {"training": training, "test": test}
        if e.costs_overflow:
            history = _accuracies(net, training, e.settings, validation, training_rng)
        else:
            history = train(
                net,
                training,
                e.settings,
                validation=validation if e.every_epoch else None,
                monitor={key: sets[key] for key in e.monitor},
                rng=training_rng,
                transform=e.transform,
                regularized_cost=True,  # as network2 measures it
            )
        epochs = history.epochs
        final = {
            f"{key}_accuracy": evaluate(net, data).accuracy
            for key, data in (("validation", validation), ("test", test))
        } | {"epochs": len(history), "ended": history.ended}
    return {
        "experiment": name,
        "seed": seed,
        "network": repr(net),
        "settings": asdict(e.settings),
        "epochs": {key: [_short(value) for value in series] for key, series in epochs.items()},
        "final": final,
        "seconds": round(final.pop("seconds", perf_counter() - start), 1),
        "environment": environment(),
    }


def _as_network3(
    e: Experiment, net: Network, rng: np.random.Generator, checkpoint: str | None
) -> tuple[Network, dict[str, list[float]], dict[str, Any]]:
    """Train as network3 does: the test set is read when validation has not been better.

    Besides the test accuracy at the last of the best epochs, the mistakes of the network as it
    ends are returned, [index, answer], for the ensemble; and the filters of the first layer.
    """
    _, validation, test = _mnist()
    training = _fivefold() if e.fivefold else _mnist()[0]
    # The author shuffles the fivefold set once, when it is written.
    fixed = rng.permutation(len(training)) if e.fivefold else np.arange(len(training))
    state, start = State.start(e.settings, rng), perf_counter()
    about: dict[str, Any] = {"test_accuracy": 0.0, "seconds": 0.0}
    if checkpoint and Path(checkpoint).exists():
        net, state, _ = load_checkpoint(checkpoint)
        about = read_about(checkpoint)
    before = about["seconds"]

    def after_epoch(net: Network, state: State) -> None:
        correct = state.history["validation_correct"]
        if correct[-1] >= max(correct):
            about["test_accuracy"] = evaluate(net, test).accuracy
        about["seconds"] = before + perf_counter() - start
        if checkpoint:
            save_checkpoint(checkpoint, net, state, e.settings, **about)

    history = train(
        net,
        training,
        e.settings,
        validation=validation,
        order=None if e.reshuffle else lambda n: fixed,
        regularized_cost=True,
        after_epoch=after_epoch,
        state=state,
    )
    wrong, last = mistakes(net, test), evaluate(net, test)
    final = about | {
        "last_test_accuracy": last.accuracy,
        "mistakes": np.stack([wrong.index, wrong.given], axis=1).tolist(),
        "epochs": len(history),
    }
    if isinstance(first := net.layers[0], Conv):
        final["filters"] = [[_short(w) for w in row] for row in first.w.astype(float).tolist()]
    return net, history.epochs, final


def _accuracies(
    net: Network,
    training: Dataset,
    settings: Settings,
    validation: Dataset,
    rng: np.random.Generator,
) -> History:
    """Train and look at nothing but the accuracy: at costs that overflow `train` makes an end."""
    size, eta, history = settings.mini_batch_size, settings.eta, History()
    for _ in net.sgd(training, settings.epochs, size, eta, lmbda=settings.lmbda, rng=rng):
        history.append({"eta": eta, "validation_accuracy": accuracy(net, validation)})
    history.ended = "all epochs done"
    return history


def _gradient_norms(net: Network, training: Dataset, settings: Settings) -> dict[str, list[float]]:
    """Return the norms of the bias gradients of each hidden layer before each step (chapter 5).

    The steps are those of full-batch gradient descent. "bar_l" holds the first six gradients of
    hidden layer l at the start.
    """
    x, y = training.images.T, training.labels
    series: dict[str, list[float]] = {}
    with one_thread():
        for epoch in range(settings.epochs):
            nabla_b, _ = net.backprop(x, y)
            for l, nabla in enumerate(nabla_b[:-1], start=1):
                series.setdefault(f"norm_{l}", []).append(float(np.linalg.norm(nabla)))
                if epoch == 0:
                    series[f"bar_{l}"] = nabla[:6, 0].astype(float).tolist()
            net.update_mini_batch(x, y, settings.eta, settings.lmbda, len(training))
    return series


def _short(value: float) -> float:
    """Return a number of at most seven significant digits: float32 holds no more."""
    return float(f"{value:.7g}")


@cache
def _mnist() -> tuple[Dataset, Dataset, Dataset]:
    return load_mnist()


@cache
def _fivefold() -> Dataset:
    return shifted_fivefold(load_mnist(dtype=np.uint8)[0])
