"""The book's ``network`` (chapters 1 and 2), over `nndl.Network` in float64.

All random numbers come from a NumPy Generator, which each call that needs some seeds from NumPy's
global state: after ``numpy.random.seed(s)`` a program repeats itself. ``random.seed`` has no effect
here, and SGD does not change the order of the list that it is given.

A subclass may override any method, and ``sigmoid`` and ``sigmoid_prime`` of this module may be
replaced: see `nndl.book.adapter`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from nndl import storage
from nndl._typing import Array
from nndl.book.adapter import Adapter, listing
from nndl.book.examples import Pair, correct, unzip
from nndl.costs import quadratic
from nndl.initializers import large

__all__ = ["Network", "load", "sigmoid", "sigmoid_prime"]


def sigmoid(z: Array) -> Array:
    """Return 1/(1 + exp(-z)), equation (3)."""
    a: Array = expit(z)
    return a


def sigmoid_prime(z: Array) -> Array:
    """Return the derivative of the sigmoid at z."""
    a = sigmoid(z)
    return a * (1 - a)


@listing
class Network(Adapter):
    """The network of chapter 1: sigmoid neurons, quadratic cost, all parameters from N(0, 1).

    Parameters
    ----------
    sizes : list of int
        The number of inputs, then the number of neurons of each layer.
    """

    _calls: ClassVar = {
        "update_mini_batch": ("backprop",),
        "backprop": ("cost_derivative", "sigmoid", "sigmoid_prime"),
        "evaluate": ("feedforward",),
        "feedforward": ("sigmoid",),
    }

    def __init__(self, sizes: list[int]) -> None:
        self.num_layers, self.sizes = len(sizes), sizes
        self._draw(large)

    def SGD(
        self,
        training_data: Iterable[Pair],
        epochs: int,
        mini_batch_size: int,
        eta: float,
        test_data: Iterable[Pair] | None = None,
    ) -> None:
        """Train by mini-batch stochastic gradient descent, and print a line after each epoch.

        Parameters
        ----------
        training_data, test_data : lists of tuples (x, y)
            x is (n_in, 1). y is a label, or (n_out, 1): one-hot or any other desired outputs.
        epochs, mini_batch_size : int
        eta : float
            Learning rate.

        Raises
        ------
        ValueError
            If the data do not fit the network, or a number is out of its range.

        Warns
        -----
        UserWarning
            If methods or functions have been replaced: what depends on them is slower.
        RuntimeWarning
            If training diverges.
        """
        self._announce("update_mini_batch", "evaluate")
        test = list(test_data or ())
        measured = self._examples(test) if test and not self._replaced("evaluate") else None
        for epoch in self._epochs(list(training_data), epochs, mini_batch_size, eta):
            if test:
                right = self._measure(measured).correct if measured else self.evaluate(test)
                print(f"Epoch {epoch}: {right} / {len(test)}")
            else:
                print(f"Epoch {epoch} complete")

    def update_mini_batch(self, mini_batch: Iterable[Pair], eta: float) -> None:
        """Take one step with a list of tuples (x, y)."""
        self._step(mini_batch, eta)

    def evaluate(self, test_data: Iterable[Pair]) -> int:
        """Return for how many inputs the output is right.

        The largest output must be the label, or be where y is largest; a single output must lie on
        the same side of 1/2 as y.
        """
        if not self._replaced("feedforward"):
            return self._measure(self._examples(test_data)).correct
        xs, ys = unzip(test_data)
        return sum(correct(self.feedforward(x), y) for x, y in zip(xs, ys, strict=True))

    def cost_derivative(self, output_activations: Array, y: ArrayLike) -> Array:
        """Return the derivative of the cost with respect to the outputs, a - y."""
        derivative: Array = output_activations - np.asarray(y)
        return derivative

    def _output_delta(self, z: Array, a: Array, y: Array) -> Array:
        return self.cost_derivative(a, y) * sigmoid_prime(z)


def load(filename: str | Path) -> Network:
    """Read a network that `Network.save` has written.

    Raises
    ------
    ValueError
        If the file holds something else, or a network with another cost, as of network2.
    OSError
        If the file cannot be opened.
    """
    core = storage.load_network2(filename)
    if core.cost is not quadratic:
        raise ValueError(
            f"a network of chapter 1 has the quadratic cost, but {filename} holds one with the "
            f"{core.cost} cost: read it by network2.load"
        )
    net = Network([core.n_in, *map(len, core.biases)])
    net._core = core
    return net
