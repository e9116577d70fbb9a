"""Metrics: accuracy, cost, confusion and mistakes of a network on a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from nndl._typing import Array
from nndl.costs import Cost
from nndl.dataset import Dataset
from nndl.inference import infer
from nndl.network import Network
from nndl.notebook import ConfusionMatrix
from nndl.validation import check, check_classes, check_dataset, one_hot

if TYPE_CHECKING:
    from nndl.ensemble import Ensemble

__all__ = [
    "Mistakes",
    "Score",
    "accuracy",
    "confusion_matrix",
    "evaluate",
    "mistakes",
    "wilson_interval",
]


@dataclass(frozen=True)
class Score:
    """The result of `nndl.evaluate`: the cost, and how many of n images were classified correctly.

    An image with several labels is correct if exactly the desired outputs are above 0.5. Real
    values have no accuracy: ``measured`` is None, and `correct` and `accuracy` raise ValueError.
    """

    cost: float
    measured: int | None
    n: int

    @property
    def correct(self) -> int:
        """The number of images classified correctly."""
        if self.measured is None:
            raise ValueError("real-valued outputs have no accuracy: use the cost")
        return self.measured

    @property
    def accuracy(self) -> float:
        """The fraction classified correctly, in [0, 1]."""
        return self.correct / self.n


def evaluate(
    net: Network | Ensemble, data: Dataset, lmbda: float = 0.0, lmbda_l1: float = 0.0
) -> Score:
    """Return the cost and the accuracy on a data set.

    The cost is the mean over the n images, weighted if they have weights, plus
    ``lmbda/(2n) sum w^2 + lmbda_l1/n sum |w|``: as in the book (equations 87 and 95), n is the size
    of the evaluated set.

    Raises
    ------
    ValueError
        If the data set is empty or does not fit the network; if the images of an `Ensemble` have
        desired outputs instead of labels.

    Examples
    --------
    >>> from nndl import Network, evaluate, synthetic_digits
    >>> score = evaluate(Network([784, 10], rng=0), synthetic_digits(100, 0))
    >>> score.n, score.accuracy == score.correct / 100
    (100, True)
    """
    _check_measured(net, data, net.cost)
    check(lmbda=lmbda, lmbda_l1=lmbda_l1)
    return measure(net, data, lmbda, lmbda_l1)


def measure(net: Network | Ensemble, data: Dataset, lmbda: float, lmbda_l1: float) -> Score:
    """Do the work of `evaluate`, for arguments that are already validated."""
    total, correct, n = 0.0, 0, 0
    counts = data.has_classes or data.is_multi_label
    weights = data.weights
    scale = 1.0 if weights is None else len(data) / (float(weights.sum()) or 1.0)
    for z, a, labels in _outputs(net, data):
        y = one_hot(labels, net.n_out, net.dtype) if data.has_classes else labels.T
        cost = net.cost.value(z, a, y, net.output.activation)
        if weights is not None:
            cost = cost * weights[n : n + len(labels)] * scale
        total += float(cost.sum(dtype=np.float64))
        n += len(labels)
        correct += _right(a, labels)
    for w in net.decaying if lmbda or lmbda_l1 else ():
        total += 0.5 * lmbda * float(np.vdot(w, w)) + lmbda_l1 * float(np.abs(w).sum())
    return Score(total / n, correct if counts else None, n)


def _check_measured(net: Network | Ensemble, data: Dataset, cost: Cost | None = None) -> None:
    check_dataset(data, net.n_in, net.n_out, cost)
    if not isinstance(net, Network):  # the mean of probabilities is that of classes
        check_classes(data, "an ensemble", "measure its networks one by one")


def _right(a: Array, labels: NDArray[Any]) -> int:
    """Return for how many images the outputs (n_out, m) are right."""
    if labels.ndim == 2:
        return int(((a > 0.5) == (labels.T > 0.5)).all(axis=0).sum())
    return int((a.argmax(axis=0) == labels).sum())


def accuracy(net: Network | Ensemble, data: Dataset) -> float:
    """Return the fraction of images classified correctly, in [0, 1]; see `nndl.evaluate`.

    Raises as `nndl.evaluate`, and ValueError for real-valued outputs.

    Examples
    --------
    >>> from nndl import Network, accuracy, synthetic_digits
    >>> 0 <= accuracy(Network([784, 10], rng=0), synthetic_digits(100, 0)) <= 1
    True
    """
    _check_measured(net, data)
    if not data.has_classes and not data.is_multi_label:
        check_classes(data, "accuracy")
    return sum(_right(a, labels) for _, a, labels in _outputs(net, data)) / len(data)


def confusion_matrix(net: Network | Ensemble, data: Dataset) -> ConfusionMatrix:
    """Return how often label i (row) was predicted as j (column), shape (n_out, n_out).

    It is an array of int64, which a notebook displays as a picture.

    Examples
    --------
    >>> from nndl import Network, confusion_matrix, synthetic_digits
    >>> counts = confusion_matrix(Network([784, 10], rng=0), synthetic_digits(100, 0))
    >>> counts.shape, int(counts.sum())
    ((10, 10), 100)
    """
    check_dataset(data, net.n_in, net.n_out)
    check_classes(data, "confusion_matrix")
    counts = np.zeros((net.n_out, net.n_out), np.int64)
    for _, a, labels in _outputs(net, data):
        np.add.at(counts, (labels, a.argmax(axis=0)), 1)
    return counts.view(ConfusionMatrix)


@dataclass(frozen=True)
class Mistakes:
    """Misclassified images, the most confident mistake first; arrays of shape (k,).

    ``index`` has their rows in the data set, ``true`` and ``predicted`` the labels. ``confidence``
    is the output for the predicted label minus the output for the true label.
    """

    index: NDArray[np.intp]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]


def mistakes(net: Network | Ensemble, data: Dataset, k: int | None = None) -> Mistakes:
    """Return the k most confident mistakes, or all; raises as `nndl.evaluate`."""
    if k is not None and (not isinstance(k, int | np.integer) or k < 0):
        raise ValueError(f"k must be a whole number of at least 0, or None for all, not {k!r}")
    check_dataset(data, net.n_in, net.n_out)
    check_classes(data, "mistakes")
    predicted, margin = np.empty(len(data), np.int64), np.empty(len(data))
    start = 0
    for _, a, labels in _outputs(net, data):
        rows = slice(start, start + len(labels))
        columns = np.arange(len(labels))
        predicted[rows] = a.argmax(axis=0)
        margin[rows] = a[predicted[rows], columns] - a[labels, columns]
        start = rows.stop
    wrong = np.flatnonzero(predicted != data.labels)
    worst = wrong[np.argsort(-margin[wrong], kind="stable")][:k]
    return Mistakes(worst, data.labels[worst].astype(np.int64), predicted[worst], margin[worst])


def wilson_interval(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of an accuracy, by Wilson's score (1927).

    Unlike p +- 1.96 sqrt(p (1 - p) / n) it stays within [0, 1] and is accurate near 100 %.

    Examples
    --------
    >>> low, high = wilson_interval(9805, 10_000)
    >>> round(low, 4), round(high, 4)
    (0.9776, 0.983)
    """
    whole = isinstance(correct, int | np.integer) and isinstance(n, int | np.integer)
    if not whole or not 0 <= correct <= n or n < 1:
        raise ValueError(f"expected counts, 0 <= correct <= n and n >= 1, not {correct!r} of {n!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must be a fraction between 0 and 1, like 0.95, not {level!r}")
    z2 = float(ndtri((1 + level) / 2)) ** 2
    p = correct / n
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * p * (1 - p) / n + z2 * z2 / (4 * n * n)) ** 0.5 / (1 + z2 / n)
    return max(0.0, center - half), min(1.0, center + half)


def _outputs(net: Network | Ensemble, data: Dataset) -> Iterator[tuple[Array, Array, NDArray[Any]]]:
    """Yield (z, a, labels) of the output layer for a block of images at a time."""
    for rows, z, a in infer(net, data.images):
        yield z, a, data.labels[rows]
