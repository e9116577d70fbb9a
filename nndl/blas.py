"""Matrix products for mini-batches: BLAS calls that write into given arrays.

The matrices of a mini-batch of ten are so small that the call costs as much as the product. SciPy's
gemm is called in a quarter of the time that NumPy's operators need, adds a bias in a fifth, and
makes one pass over the weights of a step where operators make three.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg.blas import daxpy, dgemm, saxpy, sgemm

from nndl._typing import Array
from nndl.parallel import run

__all__ = [
    "Adder",
    "accumulate",
    "add_scaled",
    "affine",
    "columns",
    "gemm_of_large",
    "parts_of",
    "transposed",
]

_GEMM = {4: sgemm, 8: dgemm}  # by itemsize, which is faster to look up than the dtype
_AXPY = {4: saxpy, 8: daxpy}

# Up to this many multiplications, and this many outputs, OpenBLAS multiplies without packing an
# operand first. For the few columns of a mini-batch, packing large weights takes longer than the
# product, so they are taken some rows at a time, and many columns some columns at a time.
_MULTIPLICATIONS, _OUTPUTS, _FEW_COLUMNS = 1_000_000, 1_200, 32
_A_PART = 2**25  # multiplications, of half a millisecond

Product = Callable[[Array, Array], Array]
Adder = Callable[[Array, Array, float, float], None]


def columns(n: int, m: int, dtype: Any) -> Array:
    """Return an uninitialized (n, m) array whose columns are contiguous, as BLAS needs them."""
    return np.empty((m, n), dtype).T


def gemm_of(w: Array) -> Any:
    """Return BLAS's gemm for the dtype of w: gemm(alpha, a, b, beta, c, ...) -> c."""
    return _GEMM.get(w.itemsize, dgemm)


def gemm_of_large(dtype: Any) -> Any:
    """Return gemm(alpha, a, b, beta, c, trans_a, trans_b) for large products: without the GIL."""
    from nndl.released import GEMM  # which asks for more of SciPy than small products need

    return GEMM[np.dtype(dtype).itemsize]


def affine(w: Array, b: Array, m: int) -> Product:
    """Return the function (x, out) that computes out = w @ x + b, equation (25), for m examples.

    x is (n_in, m) and out is (n_out, m), both with contiguous columns. w and b are read at every
    call, so they may change in place.
    """
    gemm, w_t, ones, rows = gemm_of(w), w.T, np.ones((1, m), w.dtype), _rows_at_a_time(w, m)
    parts = parts_of(len(w), w.size * m)

    # Positionally: gemm(alpha, a, b, beta, c, trans_a, trans_b, overwrite_c) -> c.
    def whole(x: Array, out: Array) -> Array:
        gemm(1.0, w_t, x, 0.0, out, 1, 0, 1)
        gemm(1.0, b, ones, 1.0, out, 0, 0, 1)
        return out

    def by_rows(x: Array, out: Array) -> Array:
        z = np.empty(out.shape, out.dtype)
        for i in range(0, len(z), rows):
            part = slice(i, i + rows)
            gemm(1.0, x, w[part].T, 0.0, z[part].T, 1, 0, 1)
        return np.add(z, b, out=out)

    def by_parts(x: Array, out: Array) -> Array:
        gemm = gemm_of_large(w.dtype)
        run(m, lambda part: gemm(1.0, w_t[:, part], x, 0.0, out[part], 1), parts)
        gemm(1.0, b, ones, 1.0, out)
        return out

    return by_rows if rows else by_parts if len(parts) > 1 else whole


def transposed(w: Array, m: int) -> Product:
    """Return the function (delta, out) that computes out = w.T @ delta for m examples.

    delta is (n_out, m) and out is (n_in, m), both with contiguous columns.
    """
    gemm, w_t, rows = gemm_of(w), w.T, _rows_at_a_time(w, m)
    parts = parts_of(w.shape[1], w.size * m)

    def whole(delta: Array, out: Array) -> Array:
        gemm(1.0, w_t, delta, 0.0, out, 0, 0, 1)
        return out

    def by_rows(delta: Array, out: Array) -> Array:
        for i in range(0, len(delta), rows):
            part = slice(i, i + rows)
            gemm(1.0, w[part].T, delta[part], 1.0 if i else 0.0, out, 0, 0, 1)
        return out

    def by_parts(delta: Array, out: Array) -> Array:
        gemm = gemm_of_large(w.dtype)
        run(m, lambda part: gemm(1.0, w_t[part], delta, 0.0, out[part]), parts)
        return out

    return by_rows if rows else by_parts if len(parts) > 1 else whole


def accumulate(w: Array, m: int) -> Adder:
    """Return the function (delta, x, alpha, beta) that computes w <- beta w + alpha delta @ x.T.

    w is C-contiguous and changes in place; delta is (n_out, m) and x is (n_in, m). The function
    raises RuntimeError where BLAS would update a copy, because of the layout or dtype of w.
    """
    gemm, w_t, some = gemm_of(w), w.T, _columns_at_a_time(w, m)
    is_large = w.size * m >= _MULTIPLICATIONS

    def whole(delta: Array, x: Array, alpha: float, beta: float) -> None:
        if gemm(alpha, x, delta, beta, w_t, 0, 1, 1) is not w_t:
            name = "biases" if w.shape[1] == len(x) == 1 else "weights"
            raise RuntimeError(
                f"{name} must be C-contiguous {x.dtype} to be updated in place, but are {w.dtype} "
                f"with strides {w.strides}; change them by {name}[l][...] = values"
            )

    def by_parts(delta: Array, x: Array, alpha: float, beta: float) -> None:
        gemm, parts = gemm_of_large(w.dtype), parts_of(len(w), w.size * m)
        run(m, lambda part: gemm(alpha, x, delta[part], beta, w_t[:, part], 0, 1), parts)

    def by_columns(delta: Array, x: Array, alpha: float, beta: float) -> None:
        for i in range(0, m, some):
            part = slice(i, i + some)
            whole(delta[:, part], x[:, part], alpha, 1.0 if i else beta)

    return by_columns if some else by_parts if is_large else whole


def add_scaled(y: Array, alpha: float, x: Array) -> None:
    """Compute y <- y + alpha x in place, for C-contiguous arrays of one shape."""
    _AXPY[y.itemsize](x.reshape(-1), y.reshape(-1), a=alpha)


def parts_of(n: int, work: int, a_part: int = _A_PART) -> list[slice]:
    """Cut n rows into parts of about ``a_part`` of all the work, whatever that is counted in."""
    parts = max(1, min(work // a_part, n))
    return [slice(n * i // parts, n * (i + 1) // parts) for i in range(parts)]


def _rows_at_a_time(w: Array, m: int) -> int:
    """Return how many rows of w to multiply at a time with m columns, 0 for all at once."""
    if w.size * m <= _MULTIPLICATIONS or m > _FEW_COLUMNS:
        return 0
    rows: int = max(1, _MULTIPLICATIONS // (m * w.shape[1]))
    return min(rows, _OUTPUTS // m)


def _columns_at_a_time(w: Array, m: int) -> int:
    """Return how many of m columns to multiply and add to w at a time, 0 for all at once."""
    some: int = _MULTIPLICATIONS // w.size
    # Fewer columns than 20 at a time are no faster: w is read and written for each part.
    return some if m > _FEW_COLUMNS and 20 <= some < m else 0
