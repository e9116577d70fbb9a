"""Chapter 5: deep networks of narrow layers, and how fast each layer learns."""

from __future__ import annotations

from dataclasses import replace

from nndl.reproduction.experiments.record import Experiment
from nndl.reproduction.reading import Reading
from nndl.training import Settings

__all__ = ["CHAPTER_5"]

DEEP = Experiment(
    section="5, The vanishing gradient problem",
    settings=Settings(eta=0.1, lmbda=5.0),
)


def _deep(depth: int, *, book: float, notes: tuple[str, ...] = ()) -> Experiment:
    return replace(
        DEEP,
        title=f"{depth} hidden layer{'s' * (depth > 1)} of 30",
        sizes=(784, *[30] * depth, 10),
        readings=(Reading("validation_accuracy", book=book),),
        notes=("best-epoch", *notes),
    )


def _norms(*published: float) -> Experiment:
    """Return full-batch descent on 1,000 images; ``published`` are the norms before training."""
    depth = len(published)
    return replace(
        DEEP,
        title=f"speed of learning at the start, {depth} hidden layers",
        sizes=(784, *[30] * depth, 10),
        procedure="gradient norms",
        settings=Settings(epochs=500, mini_batch_size=1000, eta=0.1, lmbda=5.0),
        training_size=1000,
        readings=tuple(
            Reading(f"norm_{l}", "epoch 0", book=norm) for l, norm in enumerate(published, start=1)
        ),
        notes=("one-start",),
    )


CHAPTER_5 = {
    "c5-depth-1": _deep(1, book=96.48),
    "c5-depth-2": _deep(2, book=96.90),
    "c5-depth-3": _deep(3, book=96.57, notes=("close-seeds",)),
    "c5-depth-4": _deep(4, book=96.53),
    "c5-norms-2": _norms(0.07, 0.31),
    "c5-norms-3": _norms(0.012, 0.060, 0.283),
    "c5-norms-4": _norms(0.003, 0.017, 0.070, 0.285),
}
