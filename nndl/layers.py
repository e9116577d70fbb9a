"""Layers: the contract that each keeps, the step that each takes, and dropout.

Between layers everything is a matrix of columns, shape (n, m): n numbers for each of the m examples
of a mini-batch. A layer that thinks in pictures reshapes inside.
"""

from __future__ import annotations

from math import inf
from numbers import Real
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nndl._typing import Array
from nndl.activations import Activation
from nndl.blas import descend
from nndl.initializers import Initializer
from nndl.validation import Parameters

__all__ = ["Dropout", "Layer", "Learning", "Step", "check_kinds"]


class Step:
    """The numbers of one step of gradient descent with m of n examples.

    Raises
    ------
    ValueError
        If eta is not positive and finite, lmbda or lmbda_l1 is negative or not finite, or mu is
        outside [0, 1): beyond 1 the velocity grows without end, below 0 it turns back.
    """

    __slots__ = ("alpha", "beta", "decay", "l1", "mu", "plain")

    def __init__(
        self,
        m: int,
        n: int,
        eta: float,
        lmbda: float = 0.0,
        lmbda_l1: float = 0.0,
        mu: float = 0.0,
    ) -> None:
        for name, count in (("m", m), ("n", n)):
            if not isinstance(cast("object", count), Real):
                raise TypeError(f"{name} must be a whole number, not {count!r}")
        if m < 1:
            raise ValueError(f"a mini-batch needs 1 example or more, not {m!r}")
        if n < 1:
            raise ValueError(f"n must be the size of the training set, 1 or more, not {n!r}")
        for name, value in (("eta", eta), ("lmbda", lmbda), ("lmbda_l1", lmbda_l1), ("mu", mu)):
            if not isinstance(cast("object", value), Real):
                raise TypeError(f"{name} must be a number, not {value!r}")
        if not 0 < eta < inf:
            raise ValueError(f"the learning rate eta must be positive and finite, not {eta!r}")
        for name, value in (("lmbda", lmbda), ("lmbda_l1", lmbda_l1)):
            if not 0 <= value < inf:
                raise ValueError(f"{name} must be 0 or more and finite, not {value!r}")
        if not 0 <= mu < 1:
            raise ValueError(f"the momentum coefficient mu must be in [0, 1), not {mu!r}")
        self.alpha = -eta / m
        self.decay = eta * lmbda / n
        self.l1 = eta * lmbda_l1 / n
        self.mu = mu
        self.beta = 1 - self.decay
        self.plain = not (mu or lmbda_l1)


class Layer(Protocol):
    """What a network asks of a layer.

    A layer with parameters has weights `w` and biases `b`; one without has None for both.
    """

    @property
    def w(self) -> Array | None:
        """Weights, (n_out, n_in)."""

    @property
    def b(self) -> Array | None:
        """Biases, (n_out, 1)."""

    def build(
        self, shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike
    ) -> tuple[int, ...]:
        """Draw the parameters for inputs of a given shape; return the shape of the outputs."""

    def feedforward(self, a: Array) -> Array:
        """Return the outputs, (n_out, m), for inputs a, (n_in, m). Pure: nothing is remembered."""

    def forward(self, a: Array, rng: np.random.Generator | None) -> Array:
        """Return the outputs and remember, in buffers of the layer, what the way back needs."""

    def error(self, nabla_a: Array) -> Array:
        """Turn dC/da of the remembered outputs into delta = dC/dz; may reuse the array."""

    def propagate(self, delta: Array) -> Array:
        """Return dC/da of the remembered inputs, in a buffer of the layer."""

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        """Return (nabla_b, nabla_w), summed over the mini-batch."""

    def update(self, delta: Array, step: Step) -> None:
        """Take a step of gradient descent, in place."""


class Learning:
    """Weights and biases, and how they move."""

    w = Parameters()
    b = Parameters()
    v_w: Array | None  # velocities, from the first step with momentum on
    v_b: Array | None
    working: ClassVar[tuple[str, ...]]  # what `allocate` makes and steps fill

    def allocate(self, m: int) -> None:
        """Make the arrays that a mini-batch of m examples is worked out in."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        # A copy needs no working arrays: after a large mini-batch they outweigh the weights.
        return {k: v for k, v in vars(self).items() if k not in self.working}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if "w" in state:
            self.allocate(0)

    @property
    def shapes(self) -> str:
        """What goes in and what comes out, in words: "1x28x28 -> 20x12x12"."""
        raise NotImplementedError

    def __repr__(self) -> str:
        if "w" not in vars(self):  # no network has built it
            return str(self)
        return f"{self}: {self.shapes}, {self.w.size + self.b.size:,} parameters"

    def draw(
        self,
        init: Initializer,
        shape: tuple[int, int],
        rng: np.random.Generator,
        dtype: DTypeLike,
        fan: tuple[int, int] | None = None,
    ) -> None:
        """Start from weights of the given shape; see `Initializer.draw`."""
        w, b = init.draw(shape, rng, dtype, fan)
        if np.shape(w) != shape or np.shape(b) != (shape[0], 1):
            raise ValueError(
                f"{init!r} must draw weights of shape {shape} and biases of shape {(shape[0], 1)}, "
                f"but drew {np.shape(w)} and {np.shape(b)}"
            )
        vars(self).update(w=np.ascontiguousarray(w, dtype), b=np.ascontiguousarray(b, dtype))
        self.rest()

    def rest(self) -> None:
        """Let the velocities start from 0."""
        self.v_w = self.v_b = None

    def descend(self, delta: Array, x: Array, delta_b: Array, ones: Array, step: Step) -> None:
        """Move the weights by BP4 for delta and inputs x, the biases by BP3 for delta_b."""
        alpha, mu = step.alpha, step.mu
        w, b = self.w, self.b
        if mu and self.v_w is None:
            self.v_w, self.v_b = np.zeros_like(w), np.zeros_like(b)
        descend(b, self.v_b, delta_b, ones, alpha, mu)
        descend(w, self.v_w, delta, x, alpha, mu, step.decay, step.l1)


class Dropout:
    """Silence each input with probability p, a fresh draw for each example of each mini-batch.

    As in the book (chapter 3, "Dropout"), the survivors are not scaled up in training; instead
    everything is multiplied by 1 - p when the whole network answers.

    Parameters
    ----------
    p : float
        Probability in [0, 1).
    """

    w: Array | None = None
    b: Array | None = None

    def __init__(self, p: float = 0.5) -> None:
        if not isinstance(cast("object", p), Real) or not 0 <= p < 1:
            raise ValueError(f"the probability of dropping a neuron must be in [0, 1), not {p!r}")
        self.p = float(p)

    def build(
        self, shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike
    ) -> tuple[int, ...]:
        return shape

    def feedforward(self, a: Array) -> Array:
        return (1 - self.p) * a

    def forward(self, a: Array, rng: np.random.Generator | None) -> Array:
        if rng is None:
            self.kept: Array | NDArray[np.bool_] = np.full((1, 1), 1 - self.p, a.dtype)
        else:
            self.kept = (rng.random(a.shape[::-1], np.float32) >= self.p).T
        return a * self.kept

    def error(self, nabla_a: Array) -> Array:
        return nabla_a

    def propagate(self, delta: Array) -> Array:
        return delta * self.kept

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        raise TypeError("dropout has no parameters")

    def update(self, delta: Array, step: Step) -> None:
        pass

    def __repr__(self) -> str:
        return f"Dropout({self.p:g})"


def check_kinds(activation: object, init: object) -> None:
    """Raise TypeError for what is no activation or no initializer, such as their names."""
    if not isinstance(activation, Activation):
        raise TypeError(f"activation must be a function of nndl.activations, not {activation!r}")
    if not isinstance(init, Initializer):
        raise TypeError(f"init must be one of nndl.initializers, not {init!r}")
