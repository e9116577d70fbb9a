"""Layers: their common interface, the dense layer, and dropout.

Between layers everything is a matrix of columns, shape (n, m): n numbers for each of the m examples
of a mini-batch. `delta` is always dC/dz of a layer, `nabla_a` always dC/da.
"""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nndl._typing import Array
from nndl.activations import Activation, sigmoid
from nndl.arrays import columns
from nndl.blas import Adder, accumulate, affine, transposed
from nndl.initializers import Initializer, default
from nndl.step import Step, Weights
from nndl.validation import check, check_functions

__all__ = ["Dense", "Dropout", "Layer"]

Shape = tuple[int, ...]


class Layer(Protocol):
    """The interface of a layer; the defaults are those of one without parameters or activation."""

    w: Any = None  # weights, (n_out, n_in)
    b: Any = None  # biases, (n_out, 1)
    statistics: tuple[str, ...] = ()  # names of other arrays that training changes and files keep
    decays: bool = True  # whether L2 and L1 regularization shrink w
    buffers: ClassVar[tuple[str, ...]] = ()  # what each mini-batch overwrites and no copy needs

    def build(self, shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> Shape:
        """Draw the parameters for inputs of a given shape; return the shape of the outputs."""
        return shape

    def feedforward(self, x: Array) -> Array:
        """Return the outputs, (n_out, m), for inputs x, (n_in, m), and store nothing."""

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        """Return the outputs, and keep in the layer's buffers what the backward pass needs."""

    def backward(self, delta: Array) -> Array:
        """Return nabla_a of the layer below, (n_in, m), in a buffer of this layer."""

    def delta(self, nabla_a: Array) -> Array:
        """Turn nabla_a of this layer's outputs into its delta; may reuse the array."""
        return nabla_a

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        """Return (nabla_b, nabla_w), summed over the mini-batch."""
        raise TypeError(f"{self} has no parameters")

    def update(self, delta: Array, step: Step) -> None:
        """Take a step of gradient descent, in place."""
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in self.buffers}


class Dense(Weights, Layer):
    """A fully connected layer of n_out neurons: a = sigma(w x + b).

    w is (n_out, n_in) and b (n_out, 1); ``init`` draws both when a `Network` is built of the layer.
    """

    buffers = (*Weights.buffers, "m", "x", "z", "a", "nabla_x", "ones", "affine", "transposed")

    def __init__(
        self, n_out: int, activation: Activation = sigmoid, init: Initializer = default
    ) -> None:
        check(n_out=n_out)
        check_functions(activation, init)
        self.n_out, self.activation, self.init = int(n_out), activation, init

    def build(self, shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> Shape:
        self.draw(self.init, (self.n_out, prod(shape)), rng, dtype)
        self.allocate(0)
        return (self.n_out,)

    def allocate(self, m: int) -> None:
        (n_out, n_in), dtype = self.w.shape, self.w.dtype
        self.m, self.ones = m, np.ones((1, m), dtype)
        self.z, self.a, self.nabla_x = (columns(n, m, dtype) for n in (n_out, n_out, n_in))
        self.affine, self.transposed = affine(self.w, self.b, m), transposed(self.w, m)
        self.prepare_steps()

    def adder(self, w: Array) -> Adder:
        return accumulate(w, self.m)

    def weighted_input(self, x: Array) -> Array:
        """Return z, (n_out, m), for inputs x, (n_in, m), and store nothing."""
        z: Array = self.w @ x + self.b  #                          z = w @ x + b            (25)
        return z

    def feedforward(self, x: Array) -> Array:
        return self.activation(self.weighted_input(x))

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        if x.shape[1] != self.m:
            self.allocate(x.shape[1])
        self.x = x
        self.affine(x, self.z)  #                                  z = w @ x + b            (25)
        self.a = self.activation(self.z, self.a)  #                a = sigma(z)             (25)
        return self.a

    def backward(self, delta: Array) -> Array:
        return self.transposed(delta, self.nabla_x)  #             w.T @ delta              BP2

    def delta(self, nabla_a: Array) -> Array:
        return self.activation.delta(nabla_a, self.a)  #           nabla_a * sigma'(z)      BP2

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        nabla_b: Array = delta.sum(axis=1, keepdims=True)  #       dC/db = delta            BP3
        nabla_w: Array = delta @ self.x.T  #                       dC/dw = delta @ x.T      BP4
        return nabla_b, nabla_w

    def update(self, delta: Array, step: Step) -> None:
        if step.plain and self.v_w is None:
            self.add_b(delta, self.ones, step.alpha, 1.0)  #       b += alpha delta         BP3
            self.add_w(delta, self.x, step.alpha, step.beta)  #    w += alpha delta @ x.T   BP4
        else:
            self.move(delta, self.x, delta, self.ones, step)

    def __str__(self) -> str:
        return f"Dense({self.n_out}, {self.activation})"


class Dropout(Layer):
    """Drop each input with probability p in [0, 1), drawn anew for each example of each mini-batch.

    As in the book (chapter 3, "Dropout"), kept inputs are not scaled up in training; instead all
    inputs are multiplied by 1 - p at inference.
    """

    buffers = ("mask",)

    def __init__(self, p: float = 0.5) -> None:
        check(p=p)
        self.p = float(p)

    def feedforward(self, x: Array) -> Array:
        return np.multiply(1 - self.p, x)

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        if rng is None:
            self.mask: NDArray[Any] = np.full((1, 1), 1 - self.p, x.dtype)
        else:
            self.mask = (rng.random(x.shape[::-1], np.float32) >= self.p).T
        return self.mask * x

    def backward(self, delta: Array) -> Array:
        return self.mask * delta

    def __repr__(self) -> str:
        return f"Dropout({self.p:g})"
