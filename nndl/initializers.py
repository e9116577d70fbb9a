"""Initializers: distributions of the initial weights and biases of a layer."""

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
    """Draws initial weights and biases from normal distributions with mean 0.

    Parameters
    ----------
    name : str
        Its name in tables, files and command-line flags.
    weight_sd : callable (n_in, n_out) -> float
        Standard deviation of the weights of a layer with n_in inputs and n_out outputs.
    bias_sd : float
        Standard deviation of the biases.

    Examples
    --------
    >>> import numpy as np
    >>> from nndl.initializers import default
    >>> w, b = default.draw((30, 784), np.random.default_rng(0), np.float32)
    >>> w.shape, b.shape, w.dtype
    ((30, 784), (30, 1), dtype('float32'))
    >>> bool(abs(w.std() - 784**-0.5) < 0.001)
    True
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

        ``fan`` replaces (n_in, n_out) if they differ from the shape, as in a convolution. Numbers
        are drawn in float64 and then rounded, so that a seed gives the same values in both dtypes.
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
            return self.name  # copying and unpickling return this object
        return object.__reduce__(self)


large = Initializer("large", lambda n_in, n_out: 1.0, 1.0)
"""The book's first initialization, chapter 1. Weights and biases are N(0, 1)."""

default = Initializer("default", lambda n_in, n_out: n_in**-0.5, 1.0)
"""The book's improved initialization, chapter 3. Weights are N(0, 1/n_in), biases N(0, 1)."""

lecun = Initializer("lecun", lambda n_in, n_out: n_in**-0.5, 0.0)
"""LeCun et al. 1998, "Efficient BackProp", section 4.6. Weights are N(0, 1/n_in), biases 0."""

glorot = Initializer("glorot", lambda n_in, n_out: (2 / (n_in + n_out)) ** 0.5, 0.0)
"""Glorot and Bengio 2010, equation (16), as a normal distribution; biases 0."""

he = Initializer("he", lambda n_in, n_out: (2 / n_in) ** 0.5, 0.0)
"""He et al. 2015, equation (10), for rectified linear units; biases 0."""

network3 = Initializer("network3", lambda n_in, n_out: n_out**-0.5, 1.0)
"""The book's program of chapter 6. Weights are N(0, 1/n_out), biases N(0, 1). The author later
called n_out a slip for n_in."""

zeros = Initializer("zeros", lambda n_in, n_out: 0.0, 0.0)
"""All 0. For output layers only, since hidden neurons with equal weights would stay equal."""

INITIALIZERS: dict[str, Initializer] = {
    i.name: i for i in (large, default, lecun, glorot, he, network3, zeros)
}
