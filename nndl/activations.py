"""Activation functions: the value is computed from z, the derivative from the output a.

Arrays are columns: shape (n, m) for n neurons and m examples of a mini-batch. Every function keeps
the dtype of its input. It writes into ``out`` if that is given; ``out`` may be the input itself.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from nndl._typing import Array
from nndl.named import Named

__all__ = ["ACTIVATIONS", "Activation", "LeakyReLU", "identity", "leaky_relu", "relu"]
__all__ += ["scaled_tanh", "sigmoid", "softmax", "tanh"]

# On the small arrays of a mini-batch, 1 - a takes twice as long with a Python 1 as with these.
_ONE = {char: np.ones((), char) for char in "fd"}


class Activation(Named):
    """A function of the weighted input z, applied to each neuron separately (except softmax).

    Examples
    --------
    >>> import numpy as np
    >>> from nndl import sigmoid
    >>> sigmoid.prime(sigmoid(np.zeros((1, 1))))
    array([[0.25]])
    """

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        """Return a = sigma(z), shape (n, m), written into ``out`` if that is given."""
        raise NotImplementedError

    def prime(self, a: Array) -> Array:
        """Return sigma'(z) computed from the output a = sigma(z), shape (n, m)."""
        raise NotImplementedError

    def delta(self, nabla_a: Array, a: Array) -> Array:
        """Turn dC/da into delta = dC/dz, in place: the Hadamard product of BP1 and BP2."""
        nabla_a *= self.prime(a)
        return nabla_a

    def probabilities(self, z: Array) -> Array:
        """Return the outputs as probabilities that sum to 1, shape (n, m).

        Raises ValueError for an activation whose outputs are not probabilities.
        """
        raise ValueError(
            f"{self.name} outputs are not probabilities: use predict for labels, or feedforward "
            "for the outputs themselves"
        )


class Sigmoid(Activation):
    """1 / (1 + exp(-z)), equation (3); its derivative is a (1 - a)."""

    name = "sigmoid"

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        result: Array = expit(z, out)
        return result

    def prime(self, a: Array) -> Array:
        prime: Array = _ONE.get(a.dtype.char, 1) - a
        prime *= a
        return prime

    def delta(self, nabla_a: Array, a: Array) -> Array:
        prime = _ONE.get(a.dtype.char, 1) - a  # `prime` written out, which saves a call
        prime *= a
        nabla_a *= prime
        return nabla_a

    def probabilities(self, z: Array) -> Array:
        return softmax(-np.logaddexp(0, -z))  # a / sum a, also if every a underflows


class Tanh(Activation):
    """tanh(z), equation (110) of the book; its derivative is 1 - a^2."""

    name = "tanh"

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        return np.tanh(z, out=out)

    def prime(self, a: Array) -> Array:
        square = np.multiply(a, a)
        return np.subtract(1, square, out=square)


class ScaledTanh(Activation):
    """1.7159 tanh(2z/3) of LeCun et al., "Efficient BackProp" (1998), section 4.4."""

    name = "scaled-tanh"
    height, slope = 1.7159, 2 / 3

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        out = np.multiply(self.slope, z, out=out)
        np.tanh(out, out=out)
        return np.multiply(self.height, out, out=out)

    def prime(self, a: Array) -> Array:
        prime = np.multiply(a, a)
        np.subtract(self.height**2, prime, out=prime)
        prime *= self.slope / self.height
        return prime


class ReLU(Activation):
    """max(0, z), equation (112); its derivative is 1 where z > 0 and, by convention, else 0."""

    name = "relu"

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        return np.maximum(z, 0, out=out)

    def prime(self, a: Array) -> Array:
        return np.sign(a)

    def delta(self, nabla_a: Array, a: Array) -> Array:
        # The same numbers; a comparison is faster than the sign, except for small arrays.
        nabla_a *= np.sign(a) if a.size < 4096 else a > 0
        return nabla_a


class LeakyReLU(Activation):
    """max(z, slope z); its derivative is 1 where z > 0 and ``slope`` elsewhere (Maas et al. 2013).

    `leaky_relu` has the slope 0.01. Of the initializers, `he` fits: for small slopes, its variance
    is that of He et al. 2015, equation (15). Raises ValueError unless 0 < slope < 1.
    """

    def __init__(self, slope: float = 0.01) -> None:
        if not 0 < slope < 1:
            raise ValueError(f"slope must be between 0 and 1, like 0.01, not {slope!r}")
        self.slope = float(slope)
        self.name = "leaky-relu" if slope == 0.01 else f"leaky-relu({self.slope!r})"

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        a: Array = np.maximum(z, self.slope * z, out=out)
        return a

    def prime(self, a: Array) -> Array:
        number = a.dtype.type
        prime: Array = np.where(a > 0, number(1), number(self.slope))
        return prime


class Identity(Activation):
    """The linear neuron a = z, whose derivative is 1."""

    name = "identity"

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        return np.positive(z, out=out)

    def prime(self, a: Array) -> Array:
        return np.ones_like(a)

    def delta(self, nabla_a: Array, a: Array) -> Array:
        return nabla_a


class Softmax(Activation):
    """exp(z_j) / sum_k exp(z_k) over the neurons of a layer, equation (78).

    Every output depends on every input, so the derivative of one example is the matrix
    da_j/dz_k = a_j (1[j = k] - a_k). `prime` raises TypeError; `delta` multiplies by this matrix.
    """

    name = "softmax"

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        out = np.subtract(z, z.max(axis=0), out=out)
        np.exp(out, out=out)
        out /= out.sum(axis=0)
        return out

    def prime(self, a: Array) -> Array:
        raise TypeError("the derivative of softmax is a matrix, not a vector: use softmax.delta")

    def delta(self, nabla_a: Array, a: Array) -> Array:
        nabla_a -= (nabla_a * a).sum(axis=0)
        return np.multiply(nabla_a, a, out=nabla_a)

    def probabilities(self, z: Array) -> Array:
        return self(z)


sigmoid = Sigmoid()
tanh = Tanh()
scaled_tanh = ScaledTanh()
relu = ReLU()
leaky_relu = LeakyReLU()
identity = Identity()
softmax = Softmax()

ACTIVATIONS: dict[str, Activation] = {
    f.name: f for f in (sigmoid, tanh, scaled_tanh, relu, leaky_relu, identity, softmax)
}
Activation.table = ACTIVATIONS
