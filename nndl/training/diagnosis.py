"""Why a network does not learn: which of the usual causes applies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nndl.activations import relu
from nndl.costs import quadratic
from nndl.dataset import Dataset
from nndl.layers import Dense
from nndl.network import Network
from nndl.threads import one_thread
from nndl.training.history import History
from nndl.validation import pixels_as_columns

__all__ = ["EPOCHS", "diagnose"]

EPOCHS = 3  # this many epochs at chance are more than a slow start
MARGIN = 0.02  # accuracy above chance that is learning; half of chance if that is less
SAMPLE = 500  # images whose activations are looked at
FLAT = 0.0025  # a derivative below this is near 0: 1 % of the sigmoid's largest
MOST = 0.9  # with more of its activations flat, a layer no longer learns


def diagnose(net: Network, training: Dataset, history: History) -> str:
    """Return why training has stayed at chance, in a sentence; "" if it has not.

    Parameters
    ----------
    net : Network
        As it is after the last epoch; it is not changed.
    training : Dataset
        What it was trained on.
    history : History
        With the accuracy of the training set, or of the validation set, for 3 epochs or more.

    Returns
    -------
    str
        The cause and what to change. Checked in this order: labels of one class, raw pixels,
        rectified outputs with the quadratic cost, a learning rate that is too large (the neurons
        of a layer are saturated or always 0), a learning rate that is too small (the cost hardly
        changes); or that none of these applies.
    """
    if not training.has_classes:
        return ""
    classes, counts = np.unique(training.labels, return_counts=True)
    if len(classes) == 1 and len(history) >= EPOCHS:
        return (
            f"all labels of the training set are {classes[0]}, so there is nothing to tell apart: "
            "shuffle data that are sorted by class before splitting them"
        )
    chance = float(counts.max() / len(training))
    measured = next((s for s in ("training", "validation") if f"{s}_accuracy" in history), None)
    if measured is None or len(history) < EPOCHS:
        return ""
    accuracies = history[f"{measured}_accuracy"][-EPOCHS:]
    best = max(accuracies)
    if best > chance + min(MARGIN, chance / 2):
        return ""
    cause = _cause(net, training, history[f"{measured}_cost"], history["eta"][-1])
    shown = f"{100 * best:.{1 if best < 0.1 else 0}f} %"
    at_chance = f"has stayed at {shown} or less for {EPOCHS} epochs, which is chance"
    return f"{measured} accuracy {at_chance}: {cause}"


def _cause(net: Network, training: Dataset, costs: list[float], eta: float) -> str:
    images = training.images[:: -(-len(training) // SAMPLE)]
    if images.dtype != np.uint8 and float(np.abs(images).max()) > 10:
        return (
            f"pixels go up to {images.max():g}, which saturates neurons; divide raw pixels by 256, "
            "or give them as uint8"
        )
    flat = _flat(net, images)
    if net.cost is quadratic and net.output.activation is relu and flat[-1] > MOST:
        return (
            "the rectified outputs are 0, where the quadratic cost has no gradient; use "
            "output=sigmoid, or softmax with the log-likelihood cost"
        )
    for i, part in enumerate(flat):
        if part > MOST:
            return (
                f"{100 * part:.0f} % of the activations of dense layer {i + 1} have a derivative "
                f"near 0; the learning rate is probably too large: try {eta / 10:g} instead of "
                f"{eta:g}"
            )
    if abs(costs[-1] - costs[0]) < 0.01 * abs(costs[0]):
        return (
            f"the cost has hardly changed, from {costs[0]:.4g} to {costs[-1]:.4g}; the learning "
            f"rate is probably too small: try {10 * eta:g} instead of {eta:g}"
        )
    return (
        "none of the usual causes applies (labels of one class, raw pixels, rectified outputs with "
        "the quadratic cost, learning rate); check that the labels belong to the images, and try "
        "other learning rates"
    )


def _flat(net: Network, images: NDArray[Any]) -> list[float]:
    """Return, for each dense layer, the part of its activations with a derivative near 0."""
    x, flat = pixels_as_columns(images, net.dtype), list[float]()
    with one_thread(), np.errstate(over="ignore", invalid="ignore"):
        for layer in net.layers:
            x = layer.feedforward(x)
            if isinstance(layer, Dense):
                try:
                    flat.append(float((np.abs(layer.activation.prime(x)) < FLAT).mean()))
                except (NotImplementedError, TypeError):  # the derivative is a matrix, as softmax's
                    flat.append(0.0)
    return flat
