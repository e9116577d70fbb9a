"""How the weights and biases of a layer start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nndl._typing import Array

__all__ = [
    "INITIALIZERS",
    "Initializer",
    "default",
    "glorot",
    "he",
    "large",
    "lecun",
    "network3",
    "zeros",
]


@dataclass(frozen=True)
class Initializer:
    """Normal draws with mean 0.

    Parameters
    ----------
    name : str
        How tables, files and flags call it.
    weight_sd : callable (n_in, n_out) -> float
        Standard deviation of a weight of a layer with n_in inputs and n_out outputs a neuron.
    bias_sd : float
        Standard deviation of a bias.
    """

    name: str
    weight_sd: Callable[[int, int], float]
    bias_sd: float

    def draw(
        self,
        shape: tuple[int, int],
        rng: np.random.Generator,
        dtype: DTypeLike,
        fan: tuple[int, int] | None = None,
    ) -> tuple[Array, Array]:
        """Return weights of the given shape (n_out, n_in) and biases (n_out, 1).

        ``fan`` is (n_in, n_out) where they are not those of the shape, as in a convolution. The
        draws are made in float64, so that the same seed gives the same start in both dtypes.
        """
        n_out, n_in = shape
        w_sd = self.weight_sd(*(fan or (n_in, n_out)))
        w = rng.standard_normal(shape) * w_sd
        b = rng.standard_normal((n_out, 1)) * self.bias_sd
        return w.astype(dtype), b.astype(dtype)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        if INITIALIZERS.get(self.name) is self:
            return self.name.replace("-", "_")  # one object, also after copy and pickle
        return object.__reduce__(self)


large = Initializer("large", lambda n_in, n_out: 1.0, 1.0)
"""The book's first: weights and biases N(0, 1), chapter 1."""

default = Initializer("default", lambda n_in, n_out: n_in**-0.5, 1.0)
"""The book's better: weights N(0, 1/n_in), biases N(0, 1), chapter 3."""

lecun = Initializer("lecun", lambda n_in, n_out: n_in**-0.5, 0.0)
"""LeCun et al. 1998, "Efficient BackProp", section 4.6: the same weights, biases 0."""

glorot = Initializer("glorot", lambda n_in, n_out: (2 / (n_in + n_out)) ** 0.5, 0.0)
"""Glorot and Bengio 2010, equation (16), as a normal distribution; biases 0."""

he = Initializer("he", lambda n_in, n_out: (2 / n_in) ** 0.5, 0.0)
"""He et al. 2015, equation (10), for rectified linear units; biases 0."""

network3 = Initializer("network3", lambda n_in, n_out: n_out**-0.5, 1.0)
"""The book's program of chapter 6: weights N(0, 1/n_out), which its author later called a slip for
n_in; biases N(0, 1)."""

zeros = Initializer("zeros", lambda n_in, n_out: 0.0, 0.0)
"""All 0, for an output layer only: hidden neurons that start alike stay alike."""

INITIALIZERS: dict[str, Initializer] = {
    i.name: i for i in (large, default, lecun, glorot, he, network3, zeros)
}
