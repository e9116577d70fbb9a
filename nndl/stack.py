"""A stack of layers: how a network is built, from sizes or layers, and the parameters it has."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Self, cast

import numpy as np
from numpy.typing import DTypeLike

from nndl._typing import Array
from nndl.activations import Activation, sigmoid, softmax
from nndl.conv import Planes
from nndl.costs import Cost, cross_entropy, log_likelihood
from nndl.initializers import Initializer, default
from nndl.layers import Dense, Dropout, Layer
from nndl.notebook import network_html
from nndl.rng import Rng, generator
from nndl.validation import are_sizes, check_kinds, check_layers, check_shape

__all__ = ["Stack", "dense_layers", "unbuilt"]


class Stack:
    """Layers and their parameters; `nndl.Network` documents the arguments."""

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
        self.cost, self.dtype = cost, check_kinds(cost, dtype)
        arguments = (layers, input_shape, cost, activation, output, init, dropout)
        self.layers, self.input_shape = _as_layers(*arguments)
        self.output = cast("Dense", self.layers[-1])
        self.n_in, self.n_out = prod(self.input_shape), self.output.n_out
        rng, shape = generator(rng), Planes(self.input_shape)
        try:
            for layer in self.layers:
                shape = layer.build(shape, rng, self.dtype)  # type: ignore[assignment]
        except BaseException:
            unbuilt(self.layers)  # for another network
            raise
        # Delta goes down to the lowest layer with weights: each layer, and the one below.
        lowest = next(i for i, layer in enumerate(self.layers) if layer.w is not None)
        self._lowest = self.layers[lowest]
        self._pairs = list(pairwise(reversed(self.layers[lowest:])))

    @property
    def weights(self) -> tuple[Array, ...]:
        """The weights of each layer with parameters, (n_out, n_in); change them in place."""
        return tuple(layer.w for layer in self.layers if layer.w is not None)

    @property
    def biases(self) -> tuple[Array, ...]:
        """The biases of each layer with parameters, (n_out, 1); change them in place."""
        return tuple(layer.b for layer in self.layers if layer.b is not None)

    @property
    def parameters(self) -> tuple[Array, ...]:
        """All weights, then all biases, live."""
        return self.weights + self.biases

    @property
    def state(self) -> tuple[Array, ...]:
        """All that training changes and that a copy or a file must keep, live.

        The parameters, then statistics such as the running mean and variance of `BatchNorm`.
        """
        layers = self.layers
        return self.parameters + tuple(getattr(l, name) for l in layers for name in l.statistics)

    @property
    def decaying(self) -> tuple[Array, ...]:
        """The weights that L2 and L1 regularization shrink, without those of `BatchNorm`."""
        return tuple(layer.w for layer in self.layers if layer.w is not None and layer.decays)

    @property
    def n_parameters(self) -> int:
        """The number of weights and biases together."""
        return sum(p.size for p in self.parameters)

    def astype(self, dtype: DTypeLike) -> Self:
        """Return a copy that computes in another dtype; its velocities start from 0."""
        layers = unbuilt(copy.deepcopy(self.layers))
        twin = type(self)(layers, cost=self.cost, dtype=dtype, input_shape=self.input_shape)
        for new, old in zip(twin.state, self.state, strict=True):
            new[...] = old
        return twin

    def __repr__(self) -> str:
        chain = " - ".join(["x".join(map(str, self.input_shape)), *map(str, self.layers)])
        size = f"{self.n_parameters:,} parameters, {self.dtype}"
        return f"{type(self).__name__}({chain}, {self.cost}, {size})"

    _repr_html_ = network_html


def unbuilt(layers: Sequence[Layer]) -> Sequence[Layer]:
    """Return the same layers, ready to be built into another network."""
    for layer in layers:
        vars(layer).pop("w", None)
        vars(layer).pop("shape_in", None)
    return layers


def _as_layers(
    layers: Sequence[int] | Sequence[Layer],
    input_shape: int | tuple[int, ...] | None,
    cost: Cost,
    activation: Activation,
    output: Activation | None,
    init: Initializer,
    dropout: float,
) -> tuple[tuple[Layer, ...], tuple[int, ...]]:
    """Return the layers and the shape of an input, for `Network`'s arguments."""
    if are_sizes(layers):
        if input_shape is not None:
            raise ValueError("sizes begin with the number of inputs: leave input_shape out")
        input_shape, *neurons = layers
        layers = dense_layers(neurons, cost, activation, output, init, dropout)
    elif activation is not sigmoid or output or init is not default or dropout:
        raise ValueError(
            "activation, output, init and dropout are for sizes: give each layer its own"
        )
    every: tuple[Layer, ...] = check_layers(layers)
    last = every[-1]
    if not isinstance(last, Dense):
        raise ValueError(f"the last layer must be Dense, to compare with y, not {last!r}")
    cost.check(last.activation)
    return every, check_shape(input_shape)


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
