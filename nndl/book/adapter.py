"""What the listings of chapters 1 to 3 share: a core that computes fast, and a reader's changes.

A network that nobody has changed learns by `nndl.Network`, a mini-batch at a time. A reader may
also override methods in a subclass, or replace ``sigmoid`` and ``sigmoid_prime`` in the listing's
module. Then everything that depends on the replacement runs as in the book, in a loop over
examples, and the rest stays with the core.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from nndl import storage, validation
from nndl._typing import Array
from nndl.book.examples import (
    Pair,
    Targets,
    as_columns,
    as_examples,
    correct,
    floats,
    unzip,
)
from nndl.costs import Cost, quadratic
from nndl.data import Dataset
from nndl.initializers import Initializer, zeros
from nndl.network import Network as Core
from nndl.rng import Streams
from nndl.training.metrics import Score, evaluate
from nndl.validation import DivergedError

__all__ = ["Adapter", "Live", "listing", "seeded_generator"]


class Live(list[Array]):
    """The arrays of a network. Assigning one copies its values into the network's own array."""

    def __setitem__(self, l: Any, values: Any) -> None:
        many = isinstance(l, slice)
        live = self[l] if many else [self[l]]
        new = list(map(np.array, values)) if many else [values]
        expected, assigned = ([np.shape(array) for array in arrays] for arrays in (live, new))
        if assigned != expected:
            raise ValueError(
                f"the network's arrays have the shapes {expected}, but those assigned have "
                f"{assigned}: make a new Network for other sizes"
            )
        for array, its_values in zip(live, new, strict=True):
            array[...] = its_values

    def _fixed(self, *args: object, **more: object) -> NoReturn:
        raise TypeError(
            "the number and order of a network's arrays is fixed: assign to each by [l], or make a "
            "new Network"
        )

    __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = _fixed
    pop = remove = reverse = sort = _fixed

    def __reduce__(self) -> Any:
        return list, (list(self),)  # a copy does not belong to the network


class Adapter:
    """The part that the networks of chapters 1 and 3 have in common.

    Attributes
    ----------
    num_layers, sizes : int, list of int
    weights, biases : lists of ndarray, (n_out, n_in) and (n_out, 1), float64
        Live: they change as the network learns. Keep a state by ``copy.deepcopy``.
    """

    num_layers: int
    sizes: list[int]
    _core_cost: Cost = quadratic
    _calls: ClassVar[dict[str, tuple[str, ...]]]  # which methods and functions each method calls
    _module: ClassVar[ModuleType]  # where sigmoid and sigmoid_prime are looked up, at each use
    _originals: ClassVar[dict[str, object]]

    @cached_property
    def _core(self) -> Core:
        # Made when it is first needed, so that a subclass may have an __init__ of its own.
        return Core(self.sizes, cost=self._core_cost, init=zeros, rng=0, dtype=np.float64)

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
        activation = self._inputs(a)
        if not self._replaced(*self._calls["feedforward"]):
            return self._core.feedforward(activation)
        for w, b in zip(self.weights, self.biases, strict=True):
            activation = self._module.sigmoid(w @ activation + b)
        return activation

    def backprop(self, x: ArrayLike, y: ArrayLike) -> tuple[list[Array], list[Array]]:
        """Return (nabla_b, nabla_w) of the cost of one example, x (n_in, 1) and y (n_out, 1).

        For the m columns of a mini-batch, the lines of the book give nabla_w in all and nabla_b for
        each example, (n, m).
        """
        x = self._inputs(x)
        if x.shape[1] == 1 and not self._replaced(*self._calls["backprop"]):
            return self._core.backprop(x, y)
        zs: list[Array] = []
        activations: list[Array] = [x]
        for w, b in zip(self.weights, self.biases, strict=True):
            zs.append(w @ activations[-1] + b)
            activations.append(self._module.sigmoid(zs[-1]))
        delta: Array = self._output_delta(zs.pop(), activations.pop(), floats(y))  # BP1
        nabla_b: list[Array] = [delta]
        nabla_w: list[Array] = [delta @ activations.pop().T]  # BP3, BP4
        for w in self.weights[:0:-1]:
            delta = (w.T @ delta) * self._module.sigmoid_prime(zs.pop())  # BP2
            nabla_b.insert(0, delta)  # BP3
            nabla_w.insert(0, delta @ activations.pop().T)  # BP4
        return nabla_b, nabla_w

    def save(self, filename: str | Path) -> None:
        """Write the network as the book's JSON, which `nndl.book.network2.load` reads.

        Raises
        ------
        OSError
            If the file cannot be written; what was there before stays.
        """
        storage.save_network2(self._core, filename)

    def _output_delta(self, z: Array, a: Array, y: Array) -> Array:
        """Return delta of the output layer for one example, BP1, by the reader's functions."""
        raise NotImplementedError

    def _inputs(self, x: ArrayLike) -> Array:
        x, n_in = floats(x), self.sizes[0]
        if x.ndim != 2:
            raise ValueError(
                f"expected an input of shape ({n_in}, 1), not {x.shape}: reshape it by "
                "x.reshape(-1, 1)"
            )
        if len(x) != n_in:
            raise ValueError(
                f"the first size of the network is {n_in}, but x holds {len(x)} numbers: "
                f"make it Network({[len(x), *self.sizes[1:]]})"
            )
        return x

    def _draw(self, init: Initializer) -> None:
        rng = seeded_generator()
        for w, b in zip(self.weights, self.biases, strict=True):
            w[...], b[...] = init.draw((w.shape[0], w.shape[1]), rng, w.dtype)

    # A reader's changes

    def _replaced(self, *names: str) -> list[str]:
        """Return which of these methods and functions, and of what they call, a reader replaced."""
        found = []
        for name in names:
            if not self._is_original(name):
                found.append(name)
            found += self._replaced(*self._calls.get(name, ()))
        return list(dict.fromkeys(found))

    def _is_original(self, name: str) -> bool:
        if name in _FUNCTIONS:
            return getattr(self._module, name) is self._originals[name]
        return name not in vars(self) and getattr(type(self), name) is self._originals[name]

    def _announce(self, *names: str) -> None:
        if replaced := self._replaced(*names):
            warnings.warn(
                f"{type(self).__name__} replaces {', '.join(replaced)} of {self._module.__name__}: "
                "SGD uses it, in the book's loop over examples, which is slower",
                stacklevel=3,
            )

    # Training and measuring

    def _examples(self, pairs: Iterable[Pair]) -> Dataset | Targets:
        return as_examples(pairs, self.sizes)

    def _measure(self, data: Dataset | Targets, lmbda: float = 0.0) -> Score:
        with np.errstate(over="ignore", invalid="ignore"):  # after training diverged
            if isinstance(data, Dataset):
                return evaluate(self._core, data, lmbda)
            z, a = self._core.outputs(data.x)
            total = self._core.cost.value(z, a, data.y, self._core.output.activation).sum()
            penalty = 0.5 * lmbda * sum(float(np.vdot(w, w)) for w in self.weights)
            n = data.y.shape[1]
            return Score((float(total) + penalty) / n, correct(a, data.y), n)

    def _epochs(
        self,
        training: list[Pair],
        epochs: int,
        mini_batch_size: int,
        eta: float,
        lmbda: float | None = None,
    ) -> Iterator[int]:
        """Train, and yield each epoch. Like the book's, go on to the last one after divergence."""
        validation.check(epochs=epochs, mini_batch_size=mini_batch_size)
        more = () if lmbda is None else (lmbda, len(training))
        if self._replaced("update_mini_batch"):
            unzip(training)
            shuffle = Streams(seeded_generator()).shuffle
            for epoch in range(epochs):
                order = shuffle.permutation(len(training))
                for k in range(0, len(order), mini_batch_size):
                    mini_batch = [training[i] for i in order[k : k + mini_batch_size]]
                    self.update_mini_batch(mini_batch, eta, *more)
                yield epoch
            return
        epoch = -1
        data = self._examples(training)
        decay, rng = lmbda or 0.0, seeded_generator()
        if isinstance(data, Targets):
            steps = self._target_epochs(data, epochs, mini_batch_size, eta, decay, rng)
        else:
            steps = self._core.sgd(data, epochs, mini_batch_size, eta, lmbda=decay, rng=rng)
        try:
            for epoch in steps:
                yield epoch
        except DivergedError as error:
            warnings.warn(f"{error}; the parameters stay as they are", RuntimeWarning, stacklevel=3)
            yield from range(epoch + 1, epochs)

    def _target_epochs(
        self,
        data: Targets,
        epochs: int,
        mini_batch_size: int,
        eta: float,
        lmbda: float,
        rng: np.random.Generator,
    ) -> Iterator[int]:
        shuffle, n = Streams(rng).shuffle, data.y.shape[1]
        for epoch in range(epochs):
            order = shuffle.permutation(n)
            with np.errstate(over="ignore", invalid="ignore"):
                for k in range(0, n, mini_batch_size):
                    part = order[k : k + mini_batch_size]
                    self._core.update_mini_batch(data.x[:, part], data.y[:, part], eta, lmbda, n)
                validation.check_finite(self._core.parameters, epoch, eta)
            yield epoch

    def update_mini_batch(self, mini_batch: Iterable[Pair], eta: float, *more: Any) -> None:
        raise NotImplementedError

    def _step(
        self, mini_batch: Iterable[Pair], eta: float, lmbda: float = 0.0, n: int | None = None
    ) -> None:
        """Take one step: by the core, or with the gradients of a reader's `backprop`."""
        if not self._replaced("backprop"):
            x, y = as_columns(mini_batch, self.sizes)
            self._core.update_mini_batch(x, y, eta, lmbda, n)
            return
        xs, ys = unzip(mini_batch)
        sum_b, sum_w = (
            [np.zeros_like(b) for b in self.biases],
            list(map(np.zeros_like, self.weights)),
        )
        for x, y in zip(xs, ys, strict=True):
            nabla_b, nabla_w = self.backprop(x, y)
            sum_b = [total + b for total, b in zip(sum_b, nabla_b, strict=True)]
            sum_w = [total + w for total, w in zip(sum_w, nabla_w, strict=True)]
        decay = 1 - eta * lmbda / n if n else 1.0
        m = len(xs)
        self.weights = [decay * w - eta / m * g for w, g in zip(self.weights, sum_w, strict=True)]
        self.biases = [b - eta / m * g for b, g in zip(self.biases, sum_b, strict=True)]


_FUNCTIONS = ("sigmoid", "sigmoid_prime")
_Listing = TypeVar("_Listing", bound=type[Adapter])


def listing(network: _Listing) -> _Listing:
    """Record the methods of a listing's class and the functions of its module, as they are now."""
    network._module = sys.modules[network.__module__]
    called = {name for names in network._calls.values() for name in names}
    network._originals = {
        name: getattr(network._module if name in _FUNCTIONS else network, name)
        for name in {*network._calls, *called, *_FUNCTIONS}
        if name not in ("fn", "delta")  # those of a cost
    }
    return network


def seeded_generator() -> np.random.Generator:
    """Return a generator seeded from NumPy's global state, so that numpy.random.seed counts."""
    return np.random.default_rng(np.random.randint(2**31, size=4))  # noqa: NPY002
