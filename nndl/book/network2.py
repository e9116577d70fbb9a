"""The book's ``network2`` (chapters 3 and 5), over `nndl.Network` in float64.

Seeds, live arrays and the order of lists are as in `nndl.book.network`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.special import xlog1py, xlogy

from nndl import storage
from nndl._typing import Array
from nndl.book.mnist_loader import Pair, as_columns, vectorized_result
from nndl.book.network import Adapter, sigmoid, sigmoid_prime
from nndl.costs import Cost, cross_entropy, quadratic
from nndl.initializers import default, large

__all__ = [
    "CrossEntropyCost",
    "Network",
    "QuadraticCost",
    "load",
    "sigmoid",
    "sigmoid_prime",
    "vectorized_result",
]


class QuadraticCost:
    """The quadratic cost, equation (6)."""

    @staticmethod
    def fn(a: Array, y: Array) -> float:
        """Return the cost of one example."""
        return 0.5 * float(np.square(a - y).sum())

    @staticmethod
    def delta(z: Array, a: Array, y: Array) -> Array:
        """Return the error of the output layer, BP1."""
        return (a - y) * sigmoid_prime(z)


class CrossEntropyCost:
    """The cross-entropy cost, equation (63)."""

    @staticmethod
    def fn(a: Array, y: Array) -> float:
        """Return the cost of one example: 0 for a = y, also where both are 0 or 1."""
        return -float((xlogy(y, a) + xlog1py(1 - y, -a)).sum())

    @staticmethod
    def delta(z: Array, a: Array, y: Array) -> Array:
        """Return the error of the output layer, BP1; z has no part in it."""
        return a - y


BookCost = QuadraticCost | CrossEntropyCost | type[QuadraticCost] | type[CrossEntropyCost]
Monitors = tuple[list[float], list[int], list[float], list[int]]

_COSTS: dict[type, Cost] = {QuadraticCost: quadratic, CrossEntropyCost: cross_entropy}


class Network(Adapter):
    """The network of chapter 3: sigmoid neurons, and at the start weights from N(0, 1/n_in).

    Parameters
    ----------
    sizes : list of int
    cost : CrossEntropyCost or QuadraticCost
        The class, or an instance of it.

    Raises
    ------
    ValueError
        For another cost: those that `nndl.Network` has are in `nndl.costs`.
    """

    def __init__(self, sizes: list[int], cost: BookCost = CrossEntropyCost) -> None:
        self.cost = cost
        kind = cost if isinstance(cost, type) else type(cost)
        if kind not in _COSTS:
            raise ValueError(
                f"cost must be CrossEntropyCost or QuadraticCost, not {cost!r}; for another one "
                "use nndl.Network with a cost of nndl.costs"
            )
        super().__init__(sizes, _COSTS[kind], default)

    def default_weight_initializer(self) -> None:
        """Draw weights from N(0, 1/n_in) and biases from N(0, 1), in place."""
        self._draw(default)

    def large_weight_initializer(self) -> None:
        """Draw weights and biases from N(0, 1), in place, as in chapter 1."""
        self._draw(large)

    def SGD(
        self,
        training_data: Iterable[Pair],
        epochs: int,
        mini_batch_size: int,
        eta: float,
        lmbda: float = 0.0,
        evaluation_data: Iterable[Pair] | None = None,
        monitor_evaluation_cost: bool = False,
        monitor_evaluation_accuracy: bool = False,
        monitor_training_cost: bool = False,
        monitor_training_accuracy: bool = False,
    ) -> Monitors:
        """Train by mini-batch stochastic gradient descent, and print lines after each epoch.

        Returns
        -------
        evaluation_cost, evaluation_accuracy, training_cost, training_accuracy : lists
            An entry for each epoch, none where not monitored. Accuracies are counts of images;
            costs include the L2 term, over the size of the set that is measured.

        Raises
        ------
        ValueError
            If evaluation data are to be monitored and not given, or as `as_dataset` and
            `nndl.Network.sgd`.
        """
        costs = {"training": monitor_training_cost, "evaluation": monitor_evaluation_cost}
        counts = {"training": monitor_training_accuracy, "evaluation": monitor_evaluation_accuracy}
        sets = {"training": self._dataset(training_data)}
        if costs["evaluation"] or counts["evaluation"]:
            sets["evaluation"] = self._dataset(evaluation_data or ())
        cost: dict[str, list[float]] = {"training": [], "evaluation": []}
        correct: dict[str, list[int]] = {"training": [], "evaluation": []}
        for epoch in self._descend(sets["training"], epochs, mini_batch_size, eta, lmbda=lmbda):
            print(f"Epoch {epoch} training complete")
            for name, data in sets.items():
                if costs[name] or counts[name]:
                    score = self._measure(data, lmbda)
                if costs[name]:
                    cost[name].append(score.cost)
                    print(f"Cost on {name} data: {score.cost}")
                if counts[name]:
                    correct[name].append(score.correct)
                    print(f"Accuracy on {name} data: {score.correct} / {score.n}")
            print()
        return cost["evaluation"], correct["evaluation"], cost["training"], correct["training"]

    def update_mini_batch(
        self, mini_batch: Iterable[Pair], eta: float, lmbda: float, n: int
    ) -> None:
        """Take one step with a list of tuples (x, y); n is the size of the training set."""
        self._core.update_mini_batch(*as_columns(mini_batch, self.sizes), eta, lmbda, n)

    def accuracy(self, data: Iterable[Pair], convert: bool = False) -> int:
        """Return how many images are read correctly; one-hot y are seen without ``convert``."""
        return self._measure(self._dataset(data)).correct

    def total_cost(self, data: Iterable[Pair], lmbda: float, convert: bool = False) -> float:
        """Return the mean cost, with the L2 term; labels are seen without ``convert``."""
        return self._measure(self._dataset(data), lmbda).cost

    def save(self, filename: str | Path) -> None:
        """Write the network as the book's JSON."""
        storage.save_network2(self._core, filename)


def load(filename: str | Path) -> Network:
    """Read a network that `Network.save`, or the author's own code, has written.

    Raises
    ------
    ValueError, OSError
        As `nndl.storage.load`.
    """
    core = storage.load_network2(filename)
    kinds = {cost: kind for kind, cost in _COSTS.items()}
    net = Network([core.n_in, *map(len, core.biases)], kinds[core.cost])
    net._core = core
    return net
