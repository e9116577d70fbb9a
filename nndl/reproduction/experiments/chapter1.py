"""Chapter 1: the first network, trained with the quadratic cost."""

from __future__ import annotations

from dataclasses import replace

from nndl.costs import quadratic
from nndl.initializers import large
from nndl.reproduction.experiments.record import Experiment
from nndl.reproduction.reading import Reading
from nndl.training import Settings

__all__ = ["CHAPTER_1"]

NETWORK_PY = Experiment(
    section="1, Implementing our network to classify digits",
    settings=Settings(eta=3.0),
    sizes=(784, 30, 10),
    cost=quadratic,
    init=large,
    monitor=("test",),
)
HIDDEN_100 = replace(NETWORK_PY, sizes=(784, 100, 10))

CHAPTER_1 = {
    "c1-net30": replace(
        NETWORK_PY,
        title="30 hidden neurons",
        readings=(Reading("test_accuracy", book=95.42, best_of=3),),
    ),
    "c1-net100": replace(
        HIDDEN_100,
        title="100 hidden neurons",
        readings=(Reading("test_accuracy", book=96.59, best_of=3),),
    ),
    "c1-net100-eta0.001": replace(
        HIDDEN_100,
        title="eta far too small",
        settings=Settings(eta=0.001),
        readings=(Reading("test_accuracy", "last", book=21.42, best_of=3),),
    ),
    "c1-net30-eta100": replace(
        NETWORK_PY,
        title="eta far too large",
        settings=Settings(eta=100.0),
        readings=(Reading("test_accuracy", "last", book=9.82, best_of=3),),
    ),
    "c1-ex-nohidden": replace(
        NETWORK_PY,
        title="no hidden layer",
        sizes=(784, 10),
        readings=(Reading("test_accuracy"),),
        notes=("exercise",),
    ),
} | {
    f"c1-eta-ladder-{eta:g}": replace(
        HIDDEN_100,
        title=f"eta increased to {eta:g}",
        settings=Settings(eta=eta),
        readings=(Reading("test_accuracy"),),
    )
    for eta in (0.01, 0.1, 1.0)
}
