"""Chapter 6: convolutional networks, as the book's network3 trains them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from nndl.activations import Activation, relu, sigmoid, softmax, tanh
from nndl.conv import Conv
from nndl.costs import log_likelihood
from nndl.initializers import Initializer, default, network3, zeros
from nndl.layers import Dense, Dropout, Layer
from nndl.reproduction.experiments.record import Experiment
from nndl.reproduction.reading import Reading
from nndl.training import Settings

__all__ = ["CHAPTER_6"]


def _layers(
    maps: tuple[int, ...] = (),
    neurons: tuple[int, ...] = (),
    activation: Activation = sigmoid,
    dropout: float = 0.0,
    init: Initializer = network3,
) -> list[Layer]:
    """Return the layers as network3 builds them, where dropout stands before a dense layer."""
    layers: list[Layer] = [Conv(n, 5, activation, pool=2, init=init) for n in maps]
    for n in neurons:
        layers += [Dropout(dropout)] * (dropout > 0) + [Dense(n, activation, init)]
    return [*layers, *[Dropout(dropout)] * (dropout > 0), Dense(10, softmax, zeros)]


def _readings(book: float | None = None) -> tuple[Reading, ...]:
    best_of = None if book is None else 3
    return (
        Reading("test_accuracy", "at best validation", book=book, best_of=best_of),
        Reading("validation_accuracy"),
    )


NETWORK3 = Experiment(
    section="6, Convolutional neural networks in practice",
    procedure="network3",
    settings=Settings(epochs=60, eta=0.1),
    cost=log_likelihood,
    readings=_readings(),
    seeds=3,
    notes=("network3",),
)
RECTIFIED = replace(NETWORK3, settings=Settings(epochs=60, eta=0.03, lmbda=1.0))
FIVEFOLD = replace(RECTIFIED, fivefold=True)
TWO_CONV = partial(_layers, (20, 40), (100,))

_FIRST = {
    "c6-shallow": replace(
        NETWORK3,
        title="100 hidden neurons",
        layers=partial(_layers, (), (100,)),
        readings=_readings(97.80),
    ),
    "c6-basic-conv": replace(
        NETWORK3,
        title="20 maps, 100 neurons",
        layers=partial(_layers, (20,), (100,)),
        readings=_readings(98.78),
    ),
    "c6-ex-omit-fc": replace(
        NETWORK3, title="20 maps, no dense hidden layer", layers=partial(_layers, (20,))
    ),
    "c6-dbl-conv": replace(
        NETWORK3,
        title="20 and 40 maps, 100 neurons",
        layers=TWO_CONV,
        readings=_readings(99.06),
    ),
    "c6-own-dbl-conv": replace(
        NETWORK3,
        title="20 and 40 maps, 100 neurons, weights by n_in, reshuffled",
        procedure="network3, reshuffled",
        layers=partial(TWO_CONV, init=default),
        notes=("plain-network3",),
    ),
    "c6-prob-tanh": replace(
        NETWORK3,
        title="20 and 40 maps, 100 neurons, tanh",
        layers=partial(TWO_CONV, activation=tanh),
    ),
    "c6-relu": replace(
        RECTIFIED,
        title="20 and 40 maps, 100 neurons, rectified, lambda 0.1",
        layers=partial(TWO_CONV, activation=relu),
        readings=_readings(99.23),
    ),
}


def _expanded(*neurons: int, book: float) -> Experiment:
    return replace(
        FIVEFOLD,
        title=f"20 and 40 maps, {' and '.join(map(str, neurons))} neurons, fivefold data",
        layers=partial(_layers, (20, 40), neurons, relu),
        readings=_readings(book),
    )


_EXPANDED = {
    "c6-expanded-100": _expanded(100, book=99.37),
    "c6-expanded-300": _expanded(300, book=99.46),
    "c6-expanded-1000": _expanded(1000, book=99.43),
    "c6-2fc-100": _expanded(100, 100, book=99.43),
    "c6-2fc-300": _expanded(300, 300, book=99.48),
    "c6-2fc-1000": _expanded(1000, 1000, book=99.47),
    "c6-dropout": replace(
        FIVEFOLD,
        title="20 and 40 maps, 1000 and 1000 neurons, dropout, fivefold data",
        settings=Settings(epochs=40, eta=0.03),
        layers=partial(_layers, (20, 40), (1000, 1000), relu, dropout=0.5),
        readings=_readings(99.60),
        seeds=5,
    ),
    "c6-dropout-300": replace(
        FIVEFOLD,
        title="20 and 40 maps, 300 and 300 neurons, dropout, fivefold data",
        settings=Settings(epochs=40, eta=0.03),
        layers=partial(_layers, (20, 40), (300, 300), relu, dropout=0.5),
        seeds=3,
    ),
}

# The book leaves these out; a comment in the author's conv.py says that L2 did not help much. The
# lambda of the titles is network3's, a tenth of chapter 3's (note "network3").
_REGULARIZED = {
    f"c6-omitted-reg-dbl-conv-{lmbda:g}": replace(
        NETWORK3,
        title=f"20 and 40 maps, 100 neurons, lambda {lmbda:g}",
        settings=Settings(epochs=60, eta=0.1, lmbda=10 * lmbda),
        layers=TWO_CONV,
        notes=("network3", "no-decay") if lmbda <= 1e-3 else ("network3",),
    )
    for lmbda in (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
}

CHAPTER_6 = _FIRST | _EXPANDED | _REGULARIZED
