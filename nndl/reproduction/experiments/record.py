"""The record of one experiment: a row of the tables in this package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from nndl.activations import Activation, sigmoid
from nndl.batches import Transform
from nndl.costs import Cost, cross_entropy
from nndl.initializers import Initializer, default
from nndl.layers import Layer
from nndl.reproduction.reading import Reading
from nndl.training import Settings

__all__ = ["Experiment", "Procedure"]

Procedure = Literal[
    "train",
    "train, measure last",
    "train, accuracy only",
    "gradient norms",
    "network3",
    "network3, reshuffled",
]
"""How an experiment is run; `nndl.reproduction.run` has a function for each name."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A network, its data and hyper-parameters, and what is read off its runs.

    Parameters
    ----------
    section : str
        Chapter number and title of the book's section.
    title : str
        What distinguishes the experiment, for the table of results.
    readings : tuple of Reading
    procedure : Procedure
        How the experiment is run.
    settings : Settings
        The hyper-parameters.
    sizes : tuple of int
        Neurons in each layer, inputs first; not used if ``layers`` is given.
    cost, activation, init, dropout, dtype
        As for `nndl.Network`.
    layers : callable, optional
        Returns the layers of a network on images, chapter 6's.
    training_size, validation_size : int
        How many images of the training and the validation set are used.
    fivefold : bool
        Train on all 50,000 images and their shifts by one pixel in four directions.
    transform : Transform, optional
        Random distortions of the training images.
    monitor : tuple of {"training", "test"}
        Sets to measure in every epoch, besides the validation set.
    seeds : int
        The number of runs, with seeds 0, 1, ...
    notes : tuple of str
        Keys of `nndl.reproduction.notes.NOTES`.
    """

    section: str
    title: str = ""
    readings: tuple[Reading, ...] = ()
    procedure: Procedure = "train"
    settings: Settings = field(default_factory=Settings)
    sizes: tuple[int, ...] = ()
    cost: Cost = cross_entropy
    activation: Activation = sigmoid
    init: Initializer = default
    dropout: float = 0.0
    dtype: type[np.floating] = np.float32
    layers: Callable[[], list[Layer]] | None = None
    training_size: int = 50_000
    validation_size: int = 10_000
    fivefold: bool = False
    transform: Transform | None = None
    monitor: tuple[str, ...] = ()
    seeds: int = 5
    notes: tuple[str, ...] = ()

    @property
    def chapter(self) -> int:
        """The chapter of the book."""
        return int(self.section.partition(",")[0])
