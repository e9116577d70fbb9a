"""Dense layers whose steps round alike with every BLAS, in the order of the author's program.

The numbers of a BLAS depend on its kernels, which sum as the processor likes best. That is as good
as any other order; but where a published count hangs on a single image, it may fall either way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from nndl._typing import Array
from nndl.layers import Dense
from nndl.step import Step

__all__ = ["RoundedDense", "product"]


class RoundedDense(Dense):
    """A dense layer of sigmoid neurons in float64 that learns the same bits whatever the BLAS.

    Like the author's loop over the examples it adds their gradients one after the other, and takes
    the decay before the step. How his BLAS summed a matrix times a vector is not known; `product`
    does it in ``parts`` parts. Four, as many numbers as processors of his time have in a register,
    are chosen because all his counts come out; tests/rounding.py shows what others give. Answers,
    in which nothing grows, are those of `Dense`.

    Raises
    ------
    ValueError
        If the network is not in float64; in training, with momentum or L1.
    """

    parts = 4

    def __init__(self, n_out: int) -> None:
        super().__init__(n_out)

    def build(
        self, shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike
    ) -> tuple[int, ...]:
        if np.dtype(dtype) != np.float64:
            raise ValueError(f"{type(self).__name__} rounds in float64, not in {np.dtype(dtype)}")
        return super().build(shape, rng, dtype)

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        self.x = x
        self.z = product(self.w, x, self.parts) + self.b
        # Rounded once, from a number of more bits where the machine has such; numpy.exp in float64
        # differs in the last bit from processor to processor.
        exp: Array = np.exp(-self.z.astype(np.longdouble)).astype(np.float64)
        self.a = 1 / (1 + exp)
        return self.a

    def backward(self, delta: Array) -> Array:
        return product(self.w.T, delta, self.parts)

    def update(self, delta: Array, step: Step) -> None:
        if step.mu or step.l1:
            raise ValueError("the author's program has no momentum and no L1: use Dense for them")
        # In order: NumPy sums the first axis of what lies in C's order one by one.
        delta_t, x_t = np.ascontiguousarray(delta.T), np.ascontiguousarray(self.x.T)
        nabla_b = delta_t.sum(axis=0)[:, None]
        nabla_w = (delta_t[:, :, None] * x_t[:, None, :]).sum(axis=0)
        w, b = self.w, self.b
        b += step.alpha * nabla_b
        w *= 1 - step.decay
        w += step.alpha * nabla_w


def product(w: Array, a: Array, parts: int) -> Array:
    """Return w @ a, each of its sums in interleaved parts that are then added in turn.

    Parameters
    ----------
    w, a : ndarray, shapes (n_out, n_in), (n_in, m)
    parts : int
        The terms i, i + parts, i + 2 parts, ... make part i.

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
