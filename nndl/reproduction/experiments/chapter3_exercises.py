"""Chapter 3: its problems, and the published networks that it quotes."""

from __future__ import annotations

from dataclasses import replace

from nndl.activations import relu
from nndl.costs import log_likelihood
from nndl.data import ElasticDistortion, RandomAffine
from nndl.initializers import he
from nndl.reproduction.experiments.chapter3 import NETWORK2
from nndl.reproduction.reading import Reading
from nndl.training import Settings

__all__ = ["CHAPTER_3_EXERCISES"]

CODE = "3, Handwriting recognition revisited: the code"
VARIATIONS = "3, Variations on stochastic gradient descent"
HYPER_PARAMETERS = "3, How to choose a neural network's hyper-parameters?"
TECHNIQUES = "3, Other techniques for regularization"
EXPANDING = "3, Artificially expanding the training data"

VALIDATION = Reading("validation_accuracy")
TEST_AT_BEST = Reading("test_accuracy", "at best validation")
TEST_LAST = Reading("test_accuracy", "last")
EPOCHS = Reading("epochs", "last")

HIDDEN_100 = replace(NETWORK2, sizes=(784, 100, 10))

_L1 = {
    f"c3-prob-l1-{lmbda:g}": replace(
        NETWORK2,
        title=f"L1 regularization, lambda {lmbda:g}, 30 hidden",
        section=CODE,
        settings=Settings(eta=0.5, lmbda_l1=lmbda),
        readings=(VALIDATION, TEST_LAST),
        notes=("l1",),
    )
    for lmbda in (0.0, 0.3, 1.0, 3.0)
}
_MOMENTUM = {
    f"c3-prob-momentum-{mu:g}": replace(
        NETWORK2,
        title=f"momentum {mu:g}, eta {eta:g}, 30 hidden",
        section=VARIATIONS,
        settings=Settings(eta=eta, lmbda=5.0, mu=mu),
        readings=(VALIDATION,),
    )
    for mu, eta in {0.5: 0.5 * (1 - 0.5), 0.9: 0.5 * (1 - 0.9)}.items()
}
_EARLY_STOPPING = {
    f"c3-prob-early-stopping-{patience}": replace(
        HIDDEN_100,
        title=f"stop after {patience} epochs without improvement, 100 hidden",
        section=HYPER_PARAMETERS,
        settings=Settings(epochs=200, eta=0.5, lmbda=5.0, patience=patience),
        readings=(VALIDATION, TEST_AT_BEST, EPOCHS),
    )
    for patience in (5, 10, 20)
}
_SCHEDULE = {
    "c3-ex-eta-schedule": replace(
        HIDDEN_100,
        title="eta halved after 10 epochs without improvement, down to 1/128, 100 hidden",
        section=HYPER_PARAMETERS,
        settings=Settings(epochs=300, eta=0.5, lmbda=5.0, halve_after=10),
        readings=(VALIDATION, TEST_AT_BEST, EPOCHS),
        notes=("schedule",),
    ),
}
RECTIFIED_800 = replace(
    NETWORK2, sizes=(784, 800, 10), cost=log_likelihood, activation=relu, init=he, notes=("paper",)
)
_OTHER_TECHNIQUES = {
    "c3-dropout-100": replace(
        HIDDEN_100,
        title="dropout 0.5, 100 hidden",
        section=TECHNIQUES,
        settings=Settings(epochs=60, eta=0.5),
        dropout=0.5,
        readings=(VALIDATION, TEST_LAST),
    ),
    "c3-dropout-800": replace(
        RECTIFIED_800,
        title="dropout 0.5, 800 rectified hidden",
        section=TECHNIQUES,
        settings=Settings(epochs=60, eta=0.1, halve_after=3),
        dropout=0.5,
        readings=(replace(TEST_AT_BEST, book=98.7, source="Hinton 2012"),),
    ),
    "c3-expanded-100": replace(
        HIDDEN_100,
        title="the fivefold training set, 100 hidden",
        section=EXPANDING,
        settings=Settings(epochs=30, eta=0.5, lmbda=5.0, halve_after=3),
        fivefold=True,
        readings=(VALIDATION, TEST_AT_BEST),
    ),
}

# Simard, Steinkraus and Platt (2003): 800 hidden neurons, with and without distortions.
SIMARD = replace(RECTIFIED_800, section=EXPANDING)
AFFINE = RandomAffine()
_SIMARD = {
    "c3-simard-none": replace(
        SIMARD,
        title="800 rectified hidden, no distortions",
        settings=Settings(epochs=60, eta=0.1, lmbda=2.0, halve_after=4),
        readings=(replace(TEST_AT_BEST, book=98.4, source="Simard 2003"),),
    ),
    "c3-simard-affine": replace(
        SIMARD,
        title="800 rectified hidden, affine distortions",
        settings=Settings(epochs=60, eta=0.1, lmbda=0.2, halve_after=4),
        transform=AFFINE,
        readings=(replace(TEST_AT_BEST, book=98.9, source="Simard 2003"),),
    ),
    "c3-simard-elastic": replace(
        SIMARD,
        title="800 rectified hidden, elastic distortions",
        settings=Settings(epochs=60, eta=0.1, lmbda=0.2, halve_after=4),
        transform=ElasticDistortion(affine=AFFINE),
        readings=(replace(TEST_AT_BEST, book=99.3, source="Simard 2003"),),
    ),
}

CHAPTER_3_EXERCISES = _L1 | _MOMENTUM | _EARLY_STOPPING | _SCHEDULE | _OTHER_TECHNIQUES | _SIMARD
