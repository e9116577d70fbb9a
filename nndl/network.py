"""The network of the book: feedforward, backpropagation and stochastic gradient descent.

Data comes in rows, mathematics runs in columns: inside, x is (n_in, m), w is (n_out, n_in) and b is
(n_out, 1) for the m examples of a mini-batch, so that every line is the book's line.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nndl._typing import Array
from nndl.activations import Activation, sigmoid, softmax
from nndl.batches import Transform, mini_batches
from nndl.blas import Products, columns, one_thread
from nndl.costs import Cost, cross_entropy, log_likelihood
from nndl.dataset import Dataset
from nndl.initializers import Initializer, default
from nndl.layers import Dropout, Layer, Learning, Step, check_kinds
from nndl.rng import Rng, Streams, generator
from nndl.validation import (
    are_sizes,
    as_columns,
    as_targets,
    check_dataset,
    check_shape,
    rows_as_columns,
    warn_of_lost_decay,
)

__all__ = ["Dense", "DivergedError", "Network", "dense_layers"]


class DivergedError(ArithmeticError):
    """Training reached parameters or costs that are no longer finite."""


class Dense(Learning):
    """A fully connected layer of n_out neurons: a = sigma(w a_in + b).

    Attributes
    ----------
    w : ndarray, shape (n_out, n_in)
    b : ndarray, shape (n_out, 1)
    """

    working = ("m", "z", "a", "nabla_x", "products", "x")

    def __init__(
        self, n_out: int, activation: Activation = sigmoid, init: Initializer = default
    ) -> None:
        if isinstance(n_out, bool) or not isinstance(n_out, int | np.integer) or n_out < 1:
            raise ValueError(
                f"a layer has a whole number of neurons, 1 or more, not {n_out!r}: give one like 30"
            )
        check_kinds(activation, init)
        self.n_out, self.activation, self.init = int(n_out), activation, init

    def build(
        self, shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike
    ) -> tuple[int, ...]:
        self.draw(self.init, (self.n_out, prod(shape)), rng, dtype)
        self.allocate(0)
        return (self.n_out,)

    def allocate(self, m: int) -> None:
        n_out, n_in = self.w.shape
        self.m = m
        self.z = columns(n_out, m, self.w.dtype)
        self.a = columns(n_out, m, self.w.dtype)
        self.nabla_x = columns(n_in, m, self.w.dtype)
        self.products = Products(self.w, self.b, m)

    def weighted_input(self, a: Array) -> Array:
        """Return z, (n_out, m), of an answer, for the outputs a, (n_in, m), of the layer below.

        `forward` does the same in training.
        """
        z: Array = self.w @ a + self.b  # (25)
        return z

    def feedforward(self, a: Array) -> Array:
        return self.activation(self.weighted_input(a))

    def forward(self, a: Array, rng: np.random.Generator | None) -> Array:
        if a.shape[1] != self.m:
            self.allocate(a.shape[1])
        self.x = a
        self.products.affine(a, self.z)  # z = w @ a + b, as (25) above but into an array
        # By name: to call the object takes a tenth of a microsecond more.
        self.a = self.activation.__call__(self.z, self.a)
        return self.a

    def error(self, nabla_a: Array) -> Array:
        return self.activation.error(nabla_a, self.a)  # BP2: (w.T @ delta) * sigma_prime(z)

    def propagate(self, delta: Array) -> Array:
        return self.products.transposed(delta, self.nabla_x)  # w.T @ delta

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        nabla_b: Array = delta.sum(axis=1, keepdims=True)  # BP3
        nabla_w: Array = delta @ self.x.T  # BP4
        return nabla_b, nabla_w

    def update(self, delta: Array, step: Step) -> None:
        if step.plain and self.v_w is None:  # w <- beta w + alpha delta @ x.T, and so on
            self.products.step(delta, self.x, step.alpha, step.beta)
        else:
            self.descend(delta, self.x, delta, self.products.ones, step)

    @property
    def shapes(self) -> str:
        return f"{self.w.shape[1]} -> {self.n_out}"

    def __str__(self) -> str:
        return f"Dense({self.n_out}, {self.activation})"


class Network:
    """A feedforward neural network.

    Parameters
    ----------
    layers : sequence of int, or of layers
        ``[784, 30, 10]`` as in the book, the number of inputs and then the neurons of each layer;
        or layer objects, the last of them Dense, with the shape of an input in ``input_shape``.
    cost : Cost
        quadratic, cross_entropy or log_likelihood.
    activation, init, dropout
        Where sizes are given: the activation of the hidden layers, the initializer of all layers,
        the probability of dropping a hidden neuron.
    output : Activation, optional
        Where sizes are given: the activation of the last layer. By default sigmoid for the
        cross-entropy, softmax for the log-likelihood, ``activation`` for the quadratic cost.
    rng : int, Generator or None
        What the parameters are drawn with.
    dtype : float32 or float64
        Of all parameters and all arithmetic.
    input_shape : int or tuple of int
        Where layers are given: 784, or (maps, height, width).

    Raises
    ------
    ValueError
        For fewer than two sizes, a size below 1, another dtype, or a cost that has no gradient
        with the output activation.

    Examples
    --------
    >>> Network([784, 30, 10], rng=0).n_parameters
    23860
    """

    def __init__(
        self,
        layers: Sequence[int] | Sequence[Layer],
        *,
        cost: Cost = cross_entropy,
        activation: Activation = sigmoid,
        output: Activation | None = None,
        init: Initializer = default,
        dropout: float = 0.0,
        rng: Rng = None,
        dtype: DTypeLike = np.float32,
        input_shape: int | tuple[int, ...] | None = None,
    ) -> None:
        if not isinstance(cost, Cost):
            raise TypeError(f"cost must be one of nndl.costs, not {cost!r}")
        if are_sizes(layers):
            if input_shape is not None:
                raise ValueError("sizes begin with the number of inputs: leave input_shape out")
            input_shape, *neurons = layers
            layers = dense_layers(neurons, cost, activation, output, init, dropout)
        elif activation is not sigmoid or output or init is not default or dropout:
            raise ValueError(
                "activation, output, init and dropout are for sizes: give each layer its own"
            )
        self.layers, self.output = _check_layers(layers)  # for good: the way back is theirs
        self._way_back = list(pairwise(reversed(self.layers)))  # made once: steps are short
        self.cost = cost
        cost.check(self.output.activation)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, not {self.dtype}")
        self.input_shape = shape = check_shape(input_shape)
        self.n_in, self.n_out = prod(shape), self.output.n_out
        rng = generator(rng)
        for layer in self.layers:
            shape = layer.build(shape, rng, self.dtype)

    @property
    def weights(self) -> tuple[Array, ...]:
        """The weights of each layer that has some, (n_out, n_in): live, so change them in place."""
        return tuple(layer.w for layer in self.layers if layer.w is not None)

    @property
    def biases(self) -> tuple[Array, ...]:
        """The biases of each layer that has some, (n_out, 1): live, so change them in place."""
        return tuple(layer.b for layer in self.layers if layer.b is not None)

    @property
    def parameters(self) -> tuple[Array, ...]:
        """All weights, then all biases, live."""
        return self.weights + self.biases

    @property
    def n_parameters(self) -> int:
        """The number of weights and biases together."""
        return sum(p.size for p in self.parameters)

    def astype(self, dtype: DTypeLike) -> Network:
        """Return a copy that computes in another dtype; its velocities start from 0."""
        layers = copy.deepcopy(self.layers)
        for layer in layers:  # as if never built
            vars(layer).pop("w", None)
            vars(layer).pop("shape_in", None)
        twin = Network(layers, cost=self.cost, dtype=dtype, input_shape=self.input_shape)
        for new, old in zip(twin.parameters, self.parameters, strict=True):
            new[...] = old
        return twin

    def __repr__(self) -> str:
        chain = " - ".join(["x".join(map(str, self.input_shape)), *map(str, self.layers)])
        return f"Network({chain}, {self.cost}, {self.n_parameters:,} parameters, {self.dtype})"

    # Answers: pure, they remember nothing.

    def feedforward(self, x: ArrayLike) -> Array:
        """Return the outputs, (n_out, m), for inputs x, (n_in, m); ``net(x)`` is the same.

        Raises
        ------
        ValueError
            If x is not a matrix of n_in rows, or holds NaN or infinity.
        """
        with one_thread():
            return self.outputs(as_columns(x, self.n_in, self.dtype))[1]

    __call__ = feedforward

    def predict(self, images: ArrayLike) -> NDArray[np.intp]:
        """Return the label, the number of the largest output, for rows of images (n, n_in).

        Raises
        ------
        ValueError
            If images are no rows of n_in numbers, or hold NaN or infinity.
        """
        labels: NDArray[np.intp] = self._answers(images)[1].argmax(axis=0)
        return labels

    def predict_proba(self, images: ArrayLike) -> Array:
        """Return the probability of each label, (n, n_out), for rows of images (n, n_in).

        Softmax outputs are probabilities; sigmoid outputs are divided by their sum.

        Raises
        ------
        ValueError
            As `feedforward`; and if the outputs are of another kind.
        """
        if self.output.activation not in (sigmoid, softmax):
            raise ValueError(
                f"{self.output.activation} outputs are no probabilities: use predict for labels, "
                "or feedforward for the outputs themselves"
            )
        z, a = self._answers(images)
        if self.output.activation is sigmoid:
            a = softmax(-np.logaddexp(0, -z))  # a / sum a, also where every a rounds to 0
        probabilities: Array = a.T
        return probabilities

    def _answers(self, images: ArrayLike) -> tuple[Array, Array]:
        x = rows_as_columns(images, self.n_in, self.dtype)
        z, a = np.empty((2, self.n_out, x.shape[1]), self.dtype)
        with one_thread():
            for i in range(0, x.shape[1], 1000):  # no more memory than a thousand images need
                z[:, i : i + 1000], a[:, i : i + 1000] = self.outputs(x[:, i : i + 1000])
        return z, a

    def outputs(self, x: Array) -> tuple[Array, Array]:
        """Return z and a of the last layer, (n_out, m), for columns x that are known to fit."""
        for layer in self.layers[:-1]:
            x = layer.feedforward(x)
        z = self.output.weighted_input(x)
        return z, self.output.activation(z)

    # Backpropagation (chapter 2) and the steps it serves.

    def _errors(
        self, x: Array, y: Array, rng: np.random.Generator | None
    ) -> Iterator[tuple[Layer, Array]]:
        """Yield (layer, delta) from the last layer back to the first.

        A layer is yielded after its delta has been propagated, so that it may be updated at once.
        """
        a = x
        for layer in self.layers:
            a = layer.forward(a, rng)
        out = self.output
        delta = self.cost.delta(out.z, out.a, y, out.activation)  # BP1: see costs.py
        for layer, below in self._way_back:
            nabla_a = layer.propagate(delta)
            yield layer, delta
            delta = below.error(nabla_a)
        yield self.layers[0], delta

    def backprop(
        self, x: ArrayLike, y: ArrayLike, rng: np.random.Generator | None = None
    ) -> tuple[list[Array], list[Array]]:
        """Return the gradient of the mean cost of a mini-batch, without regularization.

        It is worked out in arrays of the layers, as a step is: by one thread at a time, so that
        each thread needs a ``copy.deepcopy`` of the network.

        Parameters
        ----------
        x : array_like, shape (n_in, m)
            Inputs.
        y : array_like, shape (n_out, m), or integers of shape (m,)
            Desired outputs, or labels.
        rng : Generator, optional
            What dropout draws with; without it dropout is averaged, as in an answer.

        Returns
        -------
        nabla_b, nabla_w : lists of ndarray, shaped like `biases` and `weights`

        Raises
        ------
        ValueError
            If a shape does not fit, a label is out of range, or a number is not finite.
        """
        x = as_columns(x, self.n_in, self.dtype)
        m = x.shape[1]
        if not m:
            raise ValueError("a mini-batch needs 1 example or more, not 0")
        y = as_targets(y, self.n_out, m, self.dtype)
        rng = None if rng is None else generator(rng)
        with one_thread():
            deltas = self._errors(x, y, rng)
            gradients = [l.gradient(delta) for l, delta in deltas if l.w is not None]
        nabla_b, nabla_w = zip(*reversed(gradients), strict=True)
        return [b / m for b in nabla_b], [w / m for w in nabla_w]

    def update_mini_batch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        eta: float,
        lmbda: float = 0.0,
        n: int | None = None,
        *,
        lmbda_l1: float = 0.0,
        mu: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        """Take one step of gradient descent with a mini-batch of m examples.

        w <- (1 - eta lmbda/n) w - eta lmbda_l1/n sgn(w) - eta/m sum_x dC_x/dw, and the same for b
        without decay (equations 20-21, 93, 97); with mu, the velocity takes this step and moves
        the weights (equations 107-108).

        Parameters
        ----------
        x, y, rng
            As for `backprop`; the same errors.
        eta, lmbda, lmbda_l1, mu : float
            Learning rate, L2 and L1 regularization, momentum coefficient.
        n : int
            Size of the training set, by which lmbda is divided; needed where lmbda is not 0.
        """
        x = as_columns(x, self.n_in, self.dtype)
        y = as_targets(y, self.n_out, x.shape[1], self.dtype)
        if n is None and (lmbda or lmbda_l1):
            raise ValueError("lmbda is divided by the size of the training set: give it as n")
        step = Step(x.shape[1], 1 if n is None else n, eta, lmbda, lmbda_l1, mu)
        rng = None if rng is None else generator(rng)
        with one_thread():
            for layer, delta in self._errors(x, y, rng):
                layer.update(delta, step)

    def sgd(
        self,
        training: Dataset,
        epochs: int,
        mini_batch_size: int,
        eta: float | Callable[[int], float],
        *,
        lmbda: float = 0.0,
        lmbda_l1: float = 0.0,
        mu: float = 0.0,
        rng: Rng | Streams = None,
        order: Callable[[int], NDArray[np.integer]] | None = None,
        transform: Transform | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[int]:
        """Train by mini-batch stochastic gradient descent: yield each epoch, from 0, at its end.

        Parameters
        ----------
        training : Dataset
            The n images to learn.
        epochs, mini_batch_size : int
            Passes through the images; images in a step. What is left at the end of a pass makes a
            smaller mini-batch, whose gradient is divided by its own size.
        eta : float, or callable epoch -> float
            Learning rate.
        lmbda, lmbda_l1, mu : float
            As for `update_mini_batch`.
        rng : int, Generator, Streams or None
            What shuffling, dropout and expansion draw with.
        order : callable n -> permutation of range(n), optional
            The order of the images, asked for at every epoch; by default a fresh shuffle.
        transform : callable (images (k, n_in), Generator) -> images (k, n_in), optional
            Expansion of the data on its way into the mini-batches.
        stop : callable () -> bool
            Asked every 500 images, or every mini-batch of more; true ends training there, without
            a yield.

        Raises
        ------
        ValueError
            If the data does not fit the network or a hyper-parameter is out of its range.
        DivergedError
            If the parameters are no longer finite.
        """
        check_dataset(training, self.n_in, self.n_out)
        if not isinstance(mini_batch_size, int | np.integer) or mini_batch_size < 1:
            raise ValueError(
                f"a mini-batch needs a whole number of images, 1 or more, not {mini_batch_size!r}"
            )
        if not isinstance(epochs, int | np.integer) or epochs < 0:
            raise ValueError(f"epochs must be a whole number of at least 0, not {epochs!r}")
        n = len(training)
        Step(mini_batch_size, n, 1.0 if callable(eta) else eta, lmbda, lmbda_l1, mu)  # may refuse
        streams = rng if isinstance(rng, Streams) else Streams(rng)
        permutation = order or streams.shuffle.permutation
        prepare = None if transform is None else lambda rows: transform(rows, streams.expansion)

        def train() -> Iterator[int]:  # so that what is refused is refused by the call itself
            for epoch in range(epochs):
                rate = eta(epoch) if callable(eta) else eta
                if not (epoch or mu):  # velocities are small enough to take it up
                    warn_of_lost_decay(lmbda, rate * lmbda / n, self.dtype)
                chunks = mini_batches(
                    training, permutation(n), mini_batch_size, self.n_out, self.dtype, prepare
                )
                with one_thread(), np.errstate(over="ignore", invalid="ignore"):
                    for chunk in chunks:
                        if stop():
                            return
                        step = Step(chunk[0][0].shape[1], n, rate, lmbda, lmbda_l1, mu)
                        for x, y in chunk:
                            for layer, delta in self._errors(x, y, streams.dropout):
                                layer.update(delta, step)
                        if not all(isfinite(p.sum()) for p in self.parameters):
                            raise DivergedError(
                                f"training diverged in epoch {epoch}: the parameters are no longer "
                                f"finite; try a smaller eta than {rate:g}"
                            )
                yield epoch

        return train()


def dense_layers(
    neurons: Sequence[int],
    cost: Cost = cross_entropy,
    activation: Activation = sigmoid,
    output: Activation | None = None,
    init: Initializer = default,
    dropout: float = 0.0,
) -> list[Layer]:
    """Return the layers that ``Network([n_in, *neurons])`` is short for; see `Network`."""
    *hidden, n_out = neurons
    if dropout and not hidden:
        raise ValueError(
            f"dropout of {dropout!r} is for hidden layers, but there are none: leave it out"
        )
    layers: list[Layer] = []
    for n in hidden:
        layers.append(Dense(n, activation, init))
        if dropout:
            layers.append(Dropout(dropout))
    matching = {cross_entropy: sigmoid, log_likelihood: softmax}
    return [*layers, Dense(n_out, output or matching.get(cost, activation), init)]


def _check_layers(layers: Sequence[Any]) -> tuple[tuple[Layer, ...], Dense]:
    if not all(hasattr(layer, "build") for layer in layers):
        raise TypeError(
            "layers must be whole numbers of neurons, like [784, 30, 10], or all of them "
            f"layers, like [Dense(30), Dense(10)], not {list(layers)!r}"
        )
    built = [getattr(layer, "__dict__", {}).keys() & {"w", "shape_in"} for layer in layers]
    if any(built) or len({id(layer) for layer in layers}) < len(layers):
        raise ValueError(
            "every layer needs a place of its own in one network, but one stands here twice or was "
            "given to a network before: make new ones"
        )
    if not isinstance(layers[-1], Dense):
        raise ValueError(f"the last layer must be Dense, to compare with y, not {layers[-1]!r}")
    return tuple(layers), layers[-1]
