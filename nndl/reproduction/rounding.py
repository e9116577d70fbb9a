"""Dense layers whose updates are rounded in the same way with every BLAS.

A BLAS sums in an order that depends on its kernel, and so on the processor. Every order is equally
good, but if a published count depends on a single image, the order decides it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from nndl._typing import Array
from nndl.layers import Dense
from nndl.step import Step

__all__ = ["RoundedDense", "product"]


class RoundedDense(Dense):
    """A dense layer of sigmoid neurons in float64 with the same bits after training on any BLAS.

    Like the author's loop over the examples, it adds their gradients one after the other, and it
    applies the weight decay before the gradient. How the author's BLAS summed a matrix-vector
    product is not known; `product` sums in ``parts`` interleaved parts. Four parts, the number of
    float64 values in a register of his time's processors, reproduce all of his counts.
    tests/rounding.py shows what other numbers give. Inference is that of `Dense`, since rounding
    errors do not grow there.

    Raises
    ------
    ValueError
        If the network is not in float64, or if it is trained with momentum or L1.
    """

    parts = 4

    def __init__(self, n_out: int) -> None:
        super().__init__(n_out)

    def build(
        self, shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike
    ) -> tuple[int, ...]:
        if np.dtype(dtype) != np.float64:
            raise ValueError(
                f"{type(self).__name__} needs dtype float64, not {np.dtype(dtype)}: use Dense"
            )
        return super().build(shape, rng, dtype)

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        self.x = x
        self.z = product(self.w, x, self.parts) + self.b
        # numpy.exp in float64 differs in the last bit from processor to processor. The exponential
        # of a longdouble, where it is wider than float64, is rounded to float64 only once.
        exp: Array = np.exp(-self.z.astype(np.longdouble)).astype(np.float64)
        self.a = 1 / (1 + exp)
        return self.a

    def backward(self, delta: Array) -> Array:
        return product(self.w.T, delta, self.parts)

    def update(self, delta: Array, step: Step) -> None:
        if step.mu or step.l1:
            raise ValueError(
                "RoundedDense supports neither momentum nor L1, as the author's program: use Dense"
            )
        # NumPy sums the first axis of a C-contiguous array in order, one by one.
        delta_t, x_t = np.ascontiguousarray(delta.T), np.ascontiguousarray(self.x.T)
        nabla_b = delta_t.sum(axis=0)[:, None]
        nabla_w = (delta_t[:, :, None] * x_t[:, None, :]).sum(axis=0)
        w, b = self.w, self.b
        b += step.alpha * nabla_b
        w *= 1 - step.decay
        w += step.alpha * nabla_w


def product(w: Array, a: Array, parts: int) -> Array:
    """Return w @ a; each sum is computed in interleaved parts, which are added at the end.

    Parameters
    ----------
    w, a : ndarray, shapes (n_out, n_in), (n_in, m)
    parts : int
        Part i is the sum of the terms i, i + parts, i + 2 parts, ...

    Returns
    -------
    ndarray, shape (n_out, m)
    """
    terms = np.ascontiguousarray(a)[:, :, None] * np.ascontiguousarray(w.T)[:, None, :]
    n, *rest = terms.shape
    rows = n // parts
    sums = terms[: rows * parts].reshape(rows, parts, *rest).sum(axis=0)
    sums[: n % parts] += terms[rows * parts :]
    total: Array = sums.sum(axis=0)
    return total.T
