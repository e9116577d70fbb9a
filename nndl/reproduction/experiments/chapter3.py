"""Chapter 3: cost, overfitting, regularization, initialization and hyper-parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nndl.initializers import Initializer, default, large
from nndl.reproduction.experiments.record import Experiment
from nndl.reproduction.reading import Reading
from nndl.training import Settings

__all__ = ["CHAPTER_3", "NETWORK2"]

OLD_START = Experiment(
    section="3, Overfitting and regularization",
    settings=Settings(eta=0.5),
    sizes=(784, 30, 10),
    init=large,
    monitor=("test",),
)
NETWORK2 = replace(
    OLD_START, settings=Settings(eta=0.5, lmbda=5.0), init=default, monitor=()
)  # network2 as the chapter leaves it: 30 hidden neurons, L2, the better initialization

CROSS_ENTROPY = replace(OLD_START, section="3, Using the cross-entropy to classify MNIST digits")
FEW_IMAGES = replace(
    OLD_START,
    settings=Settings(epochs=400, eta=0.5),
    training_size=1000,
    monitor=("training", "test"),
)
HYPER_PARAMETERS = replace(
    NETWORK2, section="3, How to choose a neural network's hyper-parameters?"
)
INITIALIZATION = replace(
    NETWORK2, section="3, Weight initialization", settings=Settings(eta=0.1, lmbda=5.0)
)
AUTHOR = "author's file"

_OVERFITTING = {
    "c3-ce-30": replace(
        CROSS_ENTROPY,
        title="cross-entropy, 30 hidden",
        readings=(Reading("test_accuracy", book=95.49),),
        notes=("best-epoch",),
    ),
    "c3-ce-100": replace(
        CROSS_ENTROPY,
        title="cross-entropy, 100 hidden",
        sizes=(784, 100, 10),
        readings=(Reading("test_accuracy", book=96.82),),
        notes=("best-epoch",),
    ),
    "c3-overfit-1000": replace(
        FEW_IMAGES,
        title="1,000 images, no regularization",
        readings=(
            Reading("test_accuracy", book=82.27),
            Reading("training_accuracy", "last", book=100.0),
        ),
    ),
    "c3-reg-1000": replace(
        FEW_IMAGES,
        title="1,000 images, lambda 0.1",
        settings=Settings(epochs=400, eta=0.5, lmbda=0.1),
        readings=(Reading("test_accuracy", book=87.1),),
    ),
    "c3-overfit-full": replace(
        OLD_START,
        title="50,000 images, no regularization",
        monitor=("training", "test"),
        readings=(
            Reading("test_accuracy", book=95.33),
            Reading("training_accuracy", book=97.86),
        ),
    ),
    "c3-reg-full": replace(
        OLD_START,
        title="50,000 images, lambda 5",
        settings=Settings(eta=0.5, lmbda=5.0),
        monitor=("training", "test"),
        readings=(Reading("test_accuracy", book=96.49),),
    ),
    "c3-reg-100": replace(
        OLD_START,
        title="100 hidden, lambda 5",
        sizes=(784, 100, 10),
        settings=Settings(eta=0.5, lmbda=5.0),
        monitor=(),
        readings=(Reading("validation_accuracy", book=97.92),),
        notes=("best-epoch",),
    ),
    "c3-reg-100-tuned": replace(
        OLD_START,
        title="100 hidden, lambda 5, eta 0.1, 60 epochs",
        sizes=(784, 100, 10),
        settings=Settings(epochs=60, eta=0.1, lmbda=5.0),
        monitor=(),
        readings=(Reading("validation_accuracy", book=98.04),),
        notes=("best-epoch", "assumed-start"),
    ),
    "c3-monitor-demo": replace(
        NETWORK2,
        title="the listing of network2; its output is not printed",
        section="3, Handwriting recognition revisited: the code",
        readings=(Reading("validation_accuracy"),),
    ),
}


def _one_layer(
    *, eta: float, lmbda: float, epoch: int, book: float, notes: tuple[str, ...] = ()
) -> Experiment:
    """Return a network without a hidden layer on 1,000 images, as the section tries first."""
    return replace(
        HYPER_PARAMETERS,
        title=f"no hidden layer, 1,000 images, eta {eta:g}, lambda {lmbda:g}",
        sizes=(784, 10),
        settings=Settings(eta=eta, lmbda=lmbda),
        training_size=1000,
        validation_size=100,
        readings=(Reading("validation_accuracy", f"epoch {epoch}", book=book),),
        notes=("hundred-images", *notes),
    )


_FIRST_TRIALS = {
    "c3-hp-bad": replace(
        HYPER_PARAMETERS,
        title="eta 10, lambda 1000",
        settings=Settings(eta=10.0, lmbda=1000.0),
        readings=(Reading("validation_accuracy", "last", book=9.67),),
    ),
    # Costs overflow: only accuracies are measured, in float64, for the epochs the book prints.
    "c3-hp-a": replace(
        _one_layer(eta=10.0, lmbda=1000.0, epoch=2, book=10.0, notes=("overflow",)),
        settings=Settings(epochs=3, eta=10.0, lmbda=1000.0),
        procedure="train, accuracy only",
        dtype=np.float64,
    ),
    "c3-hp-b": _one_layer(eta=10.0, lmbda=20.0, epoch=3, book=18.0, notes=("unsettled-accuracy",)),
    "c3-hp-c": _one_layer(eta=100.0, lmbda=20.0, epoch=3, book=10.0),
    "c3-hp-d": _one_layer(eta=1.0, lmbda=20.0, epoch=3, book=61.0),
}


def _initialized(
    title: str,
    init: Initializer,
    *,
    hidden: int,
    best: float,
    first: float,
    notes: tuple[str, ...] = (),
) -> Experiment:
    return replace(
        INITIALIZATION,
        title=f"{title}, {hidden} hidden",
        sizes=(784, hidden, 10),
        init=init,
        readings=(
            Reading("validation_accuracy", book=best, source=AUTHOR),
            Reading("validation_accuracy", "epoch 0", book=first, source=AUTHOR),
        ),
        notes=notes,
    )


NEW, OLD = "new weight initialization", "old weight initialization"
_INITIALIZATION = {
    "c3-winit-30-new": _initialized(NEW, default, hidden=30, best=96.53, first=92.70),
    "c3-winit-30-old": _initialized(
        OLD, large, hidden=30, best=96.48, first=86.43, notes=("first-epoch",)
    ),
    "c3-winit-100-new": _initialized(NEW, default, hidden=100, best=97.81, first=92.95),
    "c3-winit-100-old": _initialized(OLD, large, hidden=100, best=97.55, first=89.94),
}

_LEARNING_RATE = {
    f"c3-eta-compare-{eta:g}": replace(
        HYPER_PARAMETERS,
        title=f"learning rate {eta:g}",
        settings=Settings(eta=eta, lmbda=5.0),
        monitor=("training",),
        readings=(Reading("training_cost", "last", book=cost, source=AUTHOR),),
        notes=("unsettled-cost",) if eta == 2.5 else (),
    )
    for eta, cost in {0.025: 0.33920, 0.25: 0.33880, 2.5: 0.86069}.items()
}

PUBLISHED_BY_SIZE = {
    100: 69.09,
    200: 76.37,
    500: 85.29,
    1000: 88.85,
    2000: 91.27,
    5000: 93.24,
    10_000: 94.89,
    20_000: 95.85,
    50_000: 95.97,
}  # validation accuracy by the number of training images
_MORE_DATA = {
    f"c3-more-data-{size}": replace(
        OLD_START,
        title=f"{size:,} training images",
        section="3, Other techniques for regularization",
        procedure="train, measure last",
        settings=Settings(epochs=1_500_000 // size, eta=0.5, lmbda=0.0001 * size),
        training_size=size,
        monitor=(),
        readings=(Reading("validation_accuracy", "last", book=book, source=AUTHOR),),
    )
    for size, book in PUBLISHED_BY_SIZE.items()
}

CHAPTER_3 = _OVERFITTING | _FIRST_TRIALS | _INITIALIZATION | _LEARNING_RATE | _MORE_DATA
