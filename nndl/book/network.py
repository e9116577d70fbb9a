"""The book's ``network`` (chapters 1 and 2), over `nndl.Network` in float64.

Everything is drawn from a NumPy Generator, which each call that draws seeds from NumPy's global
state: after ``numpy.random.seed(s)`` a program repeats itself. ``random.seed`` has no effect here,
and SGD leaves the order of the list that it is given as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from nndl._typing import Array
from nndl.activations import sigmoid
from nndl.book.mnist_loader import Pair, as_columns, as_dataset, floats
from nndl.costs import Cost, quadratic
from nndl.data import Dataset
from nndl.initializers import Initializer, large
from nndl.network import Network as Core
from nndl.training.metrics import Score, evaluate
from nndl.validation import DivergedError

__all__ = ["Adapter", "Network", "sigmoid", "sigmoid_prime"]


class Live(list[Array]):
    """The arrays of a network. Assigning one copies its values into the network's own array."""

    def __setitem__(self, l: Any, values: Any) -> None:
        many = isinstance(l, slice)
        live = self[l] if many else [self[l]]
        new = list(map(np.array, values)) if many else [values]
        shapes, given = ([np.shape(array) for array in arrays] for arrays in (live, new))
        if given != shapes:
            raise ValueError(
                f"the network's arrays have the shapes {shapes}, those assigned {given}; for other "
                "sizes make a new Network"
            )
        for array, its_values in zip(live, new, strict=True):
            array[...] = its_values

    def _fixed(self, *args: object, **more: object) -> NoReturn:
        raise TypeError("the number and order of a network's arrays is fixed: assign each by [l]")

    __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = _fixed
    pop = remove = reverse = sort = _fixed

    def __reduce__(self) -> Any:
        return list, (list(self),)  # a copy belongs to no network


class Adapter:
    """What the networks of chapters 1 and 3 share.

    Attributes
    ----------
    num_layers, sizes : int, list of int
    weights, biases : lists of ndarray, (n_out, n_in) and (n_out, 1)
        Live: they change as the network learns. Keep a state by ``copy.deepcopy``.
    """

    def __init__(self, sizes: list[int], cost: Cost, init: Initializer) -> None:
        self.num_layers, self.sizes = len(sizes), sizes
        self._core = Core(sizes, cost=cost, init=init, rng=_rng(), dtype=np.float64)

    @property
    def weights(self) -> list[Array]:
        return Live(self._core.weights)

    @weights.setter
    def weights(self, values: Iterable[ArrayLike]) -> None:
        self.weights[:] = values  # type: ignore[assignment]

    @property
    def biases(self) -> list[Array]:
        return Live(self._core.biases)

    @biases.setter
    def biases(self, values: Iterable[ArrayLike]) -> None:
        self.biases[:] = values  # type: ignore[assignment]

    def feedforward(self, a: ArrayLike) -> Array:
        """Return the output, (n_out, 1), for the input a, (n_in, 1)."""
        return self._core.feedforward(floats(a))

    def backprop(self, x: ArrayLike, y: ArrayLike) -> tuple[list[Array], list[Array]]:
        """Return (nabla_b, nabla_w) of the cost of one example, x (n_in, 1) and y (n_out, 1)."""
        return self._core.backprop(floats(x), y)

    def _draw(self, init: Initializer) -> None:
        rng = _rng()
        for w, b in zip(self.weights, self.biases, strict=True):
            w[...], b[...] = init.draw((w.shape[0], w.shape[1]), rng, w.dtype)

    def _dataset(self, pairs: Iterable[Pair]) -> Dataset:
        return as_dataset(pairs, self.sizes)

    def _measure(self, data: Dataset, lmbda: float = 0.0) -> Score:
        with np.errstate(over="ignore", invalid="ignore"):  # after training diverged
            return evaluate(self._core, data, lmbda)

    def _descend(self, training: Dataset, epochs: int, *args: Any, **more: Any) -> Iterator[int]:
        """Train, and yield each epoch. Like the book's, run to the last one even without hope."""
        epoch = -1
        try:
            for epoch in self._core.sgd(training, epochs, *args, rng=_rng(), **more):
                yield epoch
        except DivergedError as error:
            warnings.warn(f"{error}; no more is learned", RuntimeWarning, stacklevel=3)
            yield from range(epoch + 1, epochs)


class Network(Adapter):
    """The network of chapter 1: sigmoid neurons, quadratic cost, all parameters from N(0, 1)."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__(sizes, quadratic, large)

    def SGD(
        self,
        training_data: Iterable[Pair],
        epochs: int,
        mini_batch_size: int,
        eta: float,
        test_data: Iterable[Pair] | None = None,
    ) -> None:
        """Train by mini-batch stochastic gradient descent, and print a line after each epoch."""
        training = self._dataset(training_data)
        test = self._dataset(test_data) if test_data else None
        for epoch in self._descend(training, epochs, mini_batch_size, eta):
            if test:
                print(f"Epoch {epoch}: {self._measure(test).correct} / {len(test)}")
            else:
                print(f"Epoch {epoch} complete")

    def update_mini_batch(self, mini_batch: Iterable[Pair], eta: float) -> None:
        """Take one step with a list of tuples (x, y)."""
        self._core.update_mini_batch(*as_columns(mini_batch, self.sizes), eta)

    def evaluate(self, test_data: Iterable[Pair]) -> int:
        """Return how many images the network reads correctly."""
        return self._measure(self._dataset(test_data)).correct

    def cost_derivative(self, output_activations: Array, y: ArrayLike) -> Array:
        """Return the derivative of the cost with respect to the outputs, a - y."""
        derivative: Array = output_activations - np.asarray(y)
        return derivative


def sigmoid_prime(z: Array) -> Array:
    """Return the derivative of the sigmoid at z."""
    a = sigmoid(z)
    return a * (1 - a)


def _rng() -> np.random.Generator:
    return np.random.default_rng(np.random.randint(2**31, size=4))  # noqa: NPY002
