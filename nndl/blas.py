"""Matrix products for mini-batches: BLAS calls that write into given arrays.

The matrices of a mini-batch of ten are so small that the call costs as much as the product. SciPy's
gemm is called in a quarter of the time that NumPy's operators need, adds a bias in a fifth, and
makes one pass over the weights of a step where operators make three.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg.blas import daxpy, dgemm, saxpy, sgemm

from nndl import large
from nndl._typing import Array
from nndl.large import Adder, Product

__all__ = ["Adder", "accumulate", "add_scaled", "affine", "transposed"]

_GEMM = {4: sgemm, 8: dgemm}  # by itemsize, which is faster to look up than the dtype
_AXPY = {4: saxpy, 8: daxpy}


def gemm_of(w: Array) -> Any:
    """Return BLAS's gemm for the dtype of w: gemm(alpha, a, b, beta, c, ...) -> c."""
    return _GEMM.get(w.itemsize, dgemm)


def affine(w: Array, b: Array, m: int) -> Product:
    """Return the function (x, out) that computes out = w @ x + b, equation (25), for m examples.

    x is (n_in, m) and out is (n_out, m), both with contiguous columns. w and b are read at every
    call, so they may change in place.
    """
    gemm, w_t, ones = gemm_of(w), w.T, np.ones((1, m), w.dtype)

    # Positionally: gemm(alpha, a, b, beta, c, trans_a, trans_b, overwrite_c) -> c.
    def whole(x: Array, out: Array) -> Array:
        gemm(1.0, w_t, x, 0.0, out, 1, 0, 1)
        gemm(1.0, b, ones, 1.0, out, 0, 0, 1)
        return out

    return large.affine(w, b, m, gemm) or whole


def transposed(w: Array, m: int) -> Product:
    """Return the function (delta, out) that computes out = w.T @ delta for m examples.

    delta is (n_out, m) and out is (n_in, m), both with contiguous columns.
    """
    gemm, w_t = gemm_of(w), w.T

    def whole(delta: Array, out: Array) -> Array:
        gemm(1.0, w_t, delta, 0.0, out, 0, 0, 1)
        return out

    return large.transposed(w, m, gemm) or whole


def accumulate(w: Array, m: int) -> Adder:
    """Return the function (delta, x, alpha, beta) that computes w <- beta w + alpha delta @ x.T.

    w is C-contiguous and changes in place; delta is (n_out, m) and x is (n_in, m). The function
    raises RuntimeError where BLAS would update a copy, because of the layout or dtype of w.
    """
    gemm, w_t = gemm_of(w), w.T

    def whole(delta: Array, x: Array, alpha: float, beta: float) -> None:
        if gemm(alpha, x, delta, beta, w_t, 0, 1, 1) is not w_t:
            name = "biases" if w.shape[1] == len(x) == 1 else "weights"
            raise RuntimeError(
                f"{name} must be C-contiguous {x.dtype} to be updated in place, but are {w.dtype} "
                f"with strides {w.strides}; change them by {name}[l][...] = values"
            )

    return large.accumulate(w, m, whole) or whole


def add_scaled(y: Array, alpha: float, x: Array) -> None:
    """Compute y <- y + alpha x in place, for C-contiguous arrays of one shape."""
    _AXPY[y.itemsize](x.reshape(-1), y.reshape(-1), a=alpha)
