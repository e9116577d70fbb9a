"""What every contestant is given: a network, its hyper-parameters, data and a number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nndl.data import Dataset
from nndl.initializers import large

__all__ = ["Contestant", "Convolution", "Floats", "Parameters", "Predict", "Task", "predict_dense"]

Floats = NDArray[Any]
Parameters = list[tuple[Floats, Floats]]
"""(w, b) of each layer, shapes (n_out, n_in) and (n_out, 1)."""
Predict = Callable[[Floats], NDArray[np.integer]]
"""Maps images, shape (n, 784), to predicted labels, shape (n,)."""
Contestant = Iterator[Predict | None]
"""Yields once when it is ready, then after every round; None if nothing is trained."""


class Convolution(NamedTuple):
    """A convolutional layer with ``size`` x ``size`` filters, and max-pooling if ``pool`` > 1."""

    maps: int
    size: int
    pool: int


@dataclass(frozen=True)
class Task:
    """A network and how it is trained.

    Without convolutions and with ``book``, the network is that of chapter 1: sigmoid neurons, the
    quadratic cost, weights from N(0, 1). Otherwise it has rectified neurons, a softmax output layer
    and the log-likelihood cost.

    Parameters
    ----------
    neurons : tuple of int
        Neurons of the dense layers, the output layer included.
    convolutions : tuple of Convolution
        Layers below the dense layers.
    book : bool
        Whether it is chapter 1's kind of network.
    batch : int
        Images in a mini-batch.
    eta, mu : float
        Learning rate and momentum coefficient.
    images : int
        Training images per round: one epoch.
    threads : int
        How many threads the contestant may use.
    training, test : Dataset
        Set by the race.
    """

    neurons: tuple[int, ...] = (30, 10)
    convolutions: tuple[Convolution, ...] = ()
    book: bool = False
    batch: int = 10
    eta: float = 0.03
    mu: float = 0.0
    images: int = 50_000
    threads: int = 1
    seed: int = 0
    training: Dataset = field(default_factory=lambda: Dataset(np.zeros((1, 784)), np.zeros(1, int)))
    test: Dataset = field(default_factory=lambda: Dataset(np.zeros((1, 784)), np.zeros(1, int)))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the layers of a dense network, inputs first."""
        return (784, *self.neurons)

    def start(self) -> Parameters:
        """Return the initial parameters of chapter 1's network: a new copy at every call."""
        rng = np.random.default_rng(self.seed)
        shapes = [(n_out, n_in) for n_in, n_out in pairwise(self.sizes)]
        return [large.draw(shape, rng, np.float32) for shape in shapes]

    def orders(self) -> Iterator[NDArray[np.int64]]:
        """Yield the order of the training images in each epoch, the same for all contestants."""
        rng = np.random.default_rng(self.seed)
        while True:
            yield rng.permutation(len(self.training))

    def one_hot(self) -> Floats:
        """Return the desired outputs, shape (n, n_out)."""
        desired: Floats = np.eye(self.neurons[-1], dtype=np.float32)[self.training.labels]
        return desired


def predict_dense(parameters: Parameters) -> Predict:
    """Return the predictions of a network of sigmoid neurons."""

    def predict(images: Floats) -> NDArray[np.integer]:
        a: Floats = images.T
        for w, b in parameters:
            a = 1 / (1 + np.exp(-(w @ a + b)))
        labels: NDArray[np.integer] = a.argmax(axis=0)
        return labels

    return predict
