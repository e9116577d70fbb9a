"""Products with large weights: some rows or columns at a time, or shared by threads.

Up to a million multiplications, OpenBLAS multiplies without packing an operand first. For the few
columns of a mini-batch, packing large weights takes longer than the product, so they are taken some
rows at a time, and many columns some columns at a time.

`affine`, `transposed` and `accumulate` are those of `nndl.blas` for large weights. They return None
where one call of gemm is as fast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nndl._typing import Array
from nndl.parallel import EXAMPLES, run

__all__ = [
    "LARGE",
    "accumulate",
    "affine",
    "gemm_of_large",
    "parts_of",
    "run_by_rows",
    "transposed",
]

# OpenBLAS does not pack operands for up to this many multiplications and outputs. Of up to
# _FEW_COLUMNS columns, the rows of the weights are divided into parts; of more, the columns.
_MULTIPLICATIONS, _OUTPUTS, _FEW_COLUMNS = 1_000_000, 1_200, 32
_A_PART = 2**25  # multiplications in one part: about half a millisecond

# Weights that do not fit into the cache take their step some rows at a time, so that a velocity is
# still in the cache when it is added. For many examples, products of few rows take longer than
# that saves.
LARGE, ROWS, ROWS_OF_MANY = 2**18, 2**16, 2**18  # numbers

Product = Callable[[Array, Array], Array]
Adder = Callable[[Array, Array, float, float], None]


def gemm_of_large(dtype: Any) -> Any:
    """Return gemm(alpha, a, b, beta, c, trans_a, trans_b) for large products: without the GIL."""
    from nndl.released import GEMM  # which asks for more of SciPy than small products need

    return GEMM[np.dtype(dtype).itemsize]


def affine(w: Array, b: Array, m: int, gemm: Any) -> Product | None:
    """Return the function (x, out) that computes out = w @ x + b."""
    w_t, ones, rows = w.T, np.ones((1, m), w.dtype), _rows_at_a_time(w, m)
    parts = parts_of(len(w), w.size * m)

    def by_rows(x: Array, out: Array) -> Array:
        z = np.empty(out.shape, out.dtype)
        for i in range(0, len(z), rows):
            part = slice(i, i + rows)
            gemm(1.0, x, w[part].T, 0.0, z[part].T, 1, 0, 1)
        return np.add(z, b, out=out)

    def by_parts(x: Array, out: Array) -> Array:
        released = gemm_of_large(w.dtype)
        run(m, lambda part: released(1.0, w_t[:, part], x, 0.0, out[part], 1), parts)
        gemm(1.0, b, ones, 1.0, out, 0, 0, 1)
        return out

    return by_rows if rows else by_parts if len(parts) > 1 else None


def transposed(w: Array, m: int, gemm: Any) -> Product | None:
    """Return the function (delta, out) that computes out = w.T @ delta."""
    w_t, rows = w.T, _rows_at_a_time(w, m)
    parts = parts_of(w.shape[1], w.size * m)

    def by_rows(delta: Array, out: Array) -> Array:
        for i in range(0, len(delta), rows):
            part = slice(i, i + rows)
            gemm(1.0, w[part].T, delta[part], 1.0 if i else 0.0, out, 0, 0, 1)
        return out

    def by_parts(delta: Array, out: Array) -> Array:
        released = gemm_of_large(w.dtype)
        run(m, lambda part: released(1.0, w_t[part], delta, 0.0, out[part]), parts)
        return out

    return by_rows if rows else by_parts if len(parts) > 1 else None


def accumulate(w: Array, m: int, whole: Adder) -> Adder | None:
    """Return the function (delta, x, alpha, beta) that computes w <- beta w + alpha delta @ x.T.

    ``whole`` does so in one call.
    """
    w_t, some = w.T, _columns_at_a_time(w, m)

    def by_columns(delta: Array, x: Array, alpha: float, beta: float) -> None:
        for i in range(0, m, some):
            part = slice(i, i + some)
            whole(delta[:, part], x[:, part], alpha, 1.0 if i else beta)

    def by_parts(delta: Array, x: Array, alpha: float, beta: float) -> None:
        released, parts = gemm_of_large(w.dtype), parts_of(len(w), w.size * m)
        run(m, lambda part: released(alpha, x, delta[part], beta, w_t[:, part], 0, 1), parts)

    return by_columns if some else by_parts if w.size * m >= _MULTIPLICATIONS else None


def run_by_rows(w: Array, m: int, step: Callable[[slice], None]) -> None:
    """Call ``step`` for some rows of w at a time, after a mini-batch of m examples."""
    run(m, step, parts_of(len(w), w.size, ROWS if m < EXAMPLES else ROWS_OF_MANY))


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
