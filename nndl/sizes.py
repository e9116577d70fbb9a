"""Sizes as layers: what ``Network([784, 30, 10])`` is short for."""

from __future__ import annotations

from collections.abc import Sequence

from nndl.activations import Activation, sigmoid, softmax
from nndl.costs import Cost, cross_entropy, log_likelihood
from nndl.initializers import Initializer, default
from nndl.layers import Dense, Dropout, Layer
from nndl.validation import are_sizes, check_layers, check_shape

__all__ = ["as_layers", "dense_layers"]


def as_layers(
    layers: Sequence[int] | Sequence[Layer],
    input_shape: int | tuple[int, ...] | None,
    cost: Cost,
    activation: Activation,
    output: Activation | None,
    init: Initializer,
    dropout: float,
) -> tuple[tuple[Layer, ...], Dense, tuple[int, ...]]:
    """Return all layers, the last of them, and the shape of an input, for `Network`'s arguments."""
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
    return every, last, check_shape(input_shape)


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
