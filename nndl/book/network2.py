"""The book's ``network2`` (chapters 3 and 5), over `nndl.Network` in float64.

Seeds, live arrays, the order of lists and a reader's changes are as in `nndl.book.network`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, xlog1py, xlogy

from nndl import storage
from nndl._typing import Array
from nndl.book.adapter import Adapter, listing
from nndl.book.examples import Pair, correct, floats, unzip
from nndl.book.mnist_loader import vectorized_result
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


def sigmoid(z: Array) -> Array:
    """Return 1/(1 + exp(-z)), equation (3)."""
    a: Array = expit(z)
    return a


def sigmoid_prime(z: Array) -> Array:
    """Return the derivative of the sigmoid at z."""
    a = sigmoid(z)
    return a * (1 - a)


class QuadraticCost:
    """The quadratic cost, equation (6)."""

    @staticmethod
    def fn(a: Array, y: Array) -> float:
        """Return the cost of one example."""
        return 0.5 * float(np.square(a - y).sum())

    @staticmethod
    def delta(z: Array, a: Array, y: Array) -> Array:
        """Return delta of the output layer, BP1."""
        return (a - y) * sigmoid_prime(z)


class CrossEntropyCost:
    """The cross-entropy cost, equation (63)."""

    @staticmethod
    def fn(a: Array, y: Array) -> float:
        """Return the cost of one example; it is 0 for a = y, also where both are 0 or 1."""
        return -float((xlogy(y, a) + xlog1py(1 - y, -a)).sum())

    @staticmethod
    def delta(z: Array, a: Array, y: Array) -> Array:
        """Return delta of the output layer, BP1, equation (66); it does not depend on z."""
        return a - y


BookCost = Any
"""A class, or an instance of it, with the functions fn(a, y) and delta(z, a, y) of one example."""

Monitors = tuple[list[float], list[int], list[float], list[int]]

_COSTS: dict[type, Cost] = {QuadraticCost: quadratic, CrossEntropyCost: cross_entropy}
_COST_FUNCTIONS = {(c, name): getattr(c, name) for c in _COSTS for name in ("fn", "delta")}


@listing
class Network(Adapter):
    """The network of chapter 3: sigmoid neurons, and at the start weights from N(0, 1/n_in).

    Parameters
    ----------
    sizes : list of int
        The number of inputs, then the number of neurons of each layer.
    cost : class, or instance of it
        CrossEntropyCost, QuadraticCost, or one of the reader's own with ``fn`` and ``delta``.

    Raises
    ------
    TypeError
        If the cost has no ``fn`` and ``delta``.
    """

    _calls: ClassVar = {
        "update_mini_batch": ("backprop",),
        "backprop": ("delta", "sigmoid", "sigmoid_prime"),
        "accuracy": ("feedforward",),
        "total_cost": ("feedforward", "fn"),
        "feedforward": ("sigmoid",),
    }
    _core_cost = cross_entropy
    _cost: BookCost = CrossEntropyCost

    def __init__(self, sizes: list[int], cost: BookCost = CrossEntropyCost) -> None:
        self.num_layers, self.sizes, self.cost = len(sizes), sizes, cost
        self.default_weight_initializer()

    @property
    def cost(self) -> BookCost:
        return self._cost

    @cost.setter
    def cost(self, cost: BookCost) -> None:
        for name in ("fn", "delta"):
            if not callable(getattr(cost, name, None)):
                raise TypeError(
                    f"cost must have functions fn(a, y) and delta(z, a, y), but {cost!r} has no "
                    f"{name}: give CrossEntropyCost, QuadraticCost or a class of your own"
                )
        self._cost = cost
        # The core works with a cost of its own kind; without one, the loop over examples is used.
        self._core.cost = _COSTS.get(_kind(cost), cross_entropy)

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
        early_stopping_n: int = 0,
    ) -> Monitors:
        """Train by mini-batch stochastic gradient descent, and print lines after each epoch.

        Parameters
        ----------
        training_data, evaluation_data : lists of tuples (x, y)
            x is (n_in, 1). y is a label, or (n_out, 1): one-hot or any other desired outputs.
        epochs, mini_batch_size : int
        eta, lmbda : float
            Learning rate, and L2 regularization, which is divided by the number of training data.
        early_stopping_n : int
            Stop when the accuracy on the evaluation data has not improved for this many epochs; 0
            never stops. The network keeps the parameters of the last epoch.

        Returns
        -------
        evaluation_cost, evaluation_accuracy, training_cost, training_accuracy : lists
            One entry for each epoch, or none if not monitored. Accuracies are counts of examples;
            costs include the L2 term, divided by the size of the measured set.

        Raises
        ------
        ValueError
            If evaluation data are needed and missing, the data do not fit the network, or a number
            is out of its range.

        Warns
        -----
        UserWarning
            If methods, functions or the cost have been replaced: what depends on them is slower.
        RuntimeWarning
            If training diverges.
        """
        if not isinstance(early_stopping_n, int | np.integer) or early_stopping_n < 0:
            raise ValueError(
                f"early_stopping_n must be a number of epochs, or 0 for never, not "
                f"{early_stopping_n!r}"
            )
        self._announce("update_mini_batch", "accuracy", "total_cost")
        costs = {"training": monitor_training_cost, "evaluation": monitor_evaluation_cost}
        counts = {"training": monitor_training_accuracy, "evaluation": monitor_evaluation_accuracy}
        sets = {"training": list(training_data), "evaluation": list(evaluation_data or ())}
        measured = [name for name in sets if costs[name] or counts[name]]
        if early_stopping_n and "evaluation" not in measured:
            measured.append("evaluation")
        if "evaluation" in measured and not sets["evaluation"]:
            raise ValueError(
                "to monitor evaluation data, or to stop early, pass evaluation_data that are not "
                "empty: a list of tuples (x, y), as list(zip(x, y))"
            )
        replaced = self._replaced("accuracy", "total_cost")
        examples = {name: self._examples(sets[name]) for name in measured if not replaced}
        cost: dict[str, list[float]] = {"training": [], "evaluation": []}
        count: dict[str, list[int]] = {"training": [], "evaluation": []}
        best, waited = -1, 0
        for epoch in self._epochs(sets["training"], epochs, mini_batch_size, eta, lmbda):
            print(f"Epoch {epoch} training complete")
            for name in measured:
                if replaced:
                    total, right = self._measure_replaced(name, sets[name], lmbda, costs[name])
                else:
                    score = self._measure(examples[name], lmbda)
                    total, right = score.cost, score.correct
                if costs[name]:
                    cost[name].append(total)
                    print(f"Cost on {name} data: {total}")
                if counts[name]:
                    count[name].append(right)
                    print(f"Accuracy on {name} data: {right} / {len(sets[name])}")
            print()
            if early_stopping_n:
                waited = 0 if right > best else waited + 1  # of the evaluation data, the last
                best = max(best, right)
                if waited == early_stopping_n:
                    print(f"Stopped: no better accuracy in {waited} epochs")
                    break
        return cost["evaluation"], count["evaluation"], cost["training"], count["training"]

    def update_mini_batch(
        self, mini_batch: Iterable[Pair], eta: float, lmbda: float, n: int
    ) -> None:
        """Take one step with a list of tuples (x, y); n is the size of the training set."""
        self._step(mini_batch, eta, lmbda, n)

    def accuracy(self, data: Iterable[Pair], convert: bool = False) -> int:
        """Return for how many inputs the output is right, as `nndl.book.network.Network.evaluate`.

        ``convert`` is not needed: labels and one-hot columns are told apart by their shape.
        """
        if not self._replaced("feedforward"):
            return self._measure(self._examples(data)).correct
        xs, ys = unzip(data)
        return sum(correct(self.feedforward(x), y) for x, y in zip(xs, ys, strict=True))

    def total_cost(self, data: Iterable[Pair], lmbda: float, convert: bool = False) -> float:
        """Return the mean cost, with the L2 term; ``convert`` is not needed, as in `accuracy`."""
        if not self._replaced("feedforward", "fn"):
            return self._measure(self._examples(data), lmbda).cost
        xs, ys = unzip(data)
        one_hot = np.eye(self.sizes[-1])
        columns = [
            one_hot[:, [y]] if np.ndim(y) == 0 and len(one_hot) > 1 else floats(y) for y in ys
        ]
        total = sum(
            float(self.cost.fn(self.feedforward(x), y)) for x, y in zip(xs, columns, strict=True)
        )
        return (total + 0.5 * lmbda * sum(float(np.vdot(w, w)) for w in self.weights)) / len(xs)

    def save(self, filename: str | Path) -> None:
        """Write the network as the book's JSON, for `load`.

        Raises
        ------
        ValueError
            If the cost is the reader's own: the file can only name those of this module.
        OSError
            If the file cannot be written; what was there before stays.
        """
        if _kind(self.cost) not in _COSTS:
            raise ValueError(
                f"the file can name CrossEntropyCost or QuadraticCost, not {self.cost!r}: set "
                "net.cost to one of them, save, and set net.cost to your own again, also after load"
            )
        super().save(filename)

    def _measure_replaced(
        self, name: str, pairs: list[Pair], lmbda: float, with_cost: bool
    ) -> tuple[float, int]:
        """Return cost and count by the reader's methods, called as the book calls them."""
        if name == "training":
            total = self.total_cost(pairs, lmbda) if with_cost else 0.0
            return total, self.accuracy(pairs, convert=True)
        total = self.total_cost(pairs, lmbda, convert=True) if with_cost else 0.0
        return total, self.accuracy(pairs)

    def _is_original(self, name: str) -> bool:
        if name in ("fn", "delta"):
            return getattr(self.cost, name) is _COST_FUNCTIONS.get((_kind(self.cost), name))
        return super()._is_original(name)

    def _output_delta(self, z: Array, a: Array, y: Array) -> Array:
        delta: Array = self.cost.delta(z, a, y)
        return delta


def load(filename: str | Path) -> Network:
    """Read a network that `Network.save`, or the author's own code, has written.

    Raises
    ------
    ValueError
        If the file is not network2's JSON, or names a cost that is not in this module.
    OSError
        If the file cannot be opened.
    """
    core = storage.load_network2(filename)
    kinds = {cost: kind for kind, cost in _COSTS.items()}
    net = Network([core.n_in, *map(len, core.biases)], kinds[core.cost])
    net._core = core
    return net


def _kind(cost: BookCost) -> type:
    return cost if isinstance(cost, type) else type(cost)
