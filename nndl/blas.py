"""The products of a mini-batch, as calls of BLAS that write where they should, on one thread.

Matrices of ten columns are so small that what surrounds a product costs as much as the product:
SciPy's gemm is called in a quarter of the time that NumPy's operators need, adds a bias in a fifth,
and makes one pass over the weights of a step where they make three.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from scipy.linalg.blas import dgemm, sgemm
from threadpoolctl import ThreadpoolController

from nndl.functions import Array

__all__ = [
    "accumulate",
    "add_bias",
    "affine",
    "columns",
    "descend",
    "one_thread",
    "product",
    "step",
    "transposed_product",
]

_GEMM = {4: sgemm, 8: dgemm}  # by itemsize, which takes less time to ask for than the dtype

# Up to so many multiplications, and outputs, OpenBLAS multiplies without first copying an operand
# into an order of its own. For the few columns of a mini-batch the copy of large weights takes
# longer than the product, so they are taken some rows at a time; and the many columns of the
# patches of a convolution some columns at a time.
_MULTIPLICATIONS, _OUTPUTS, _FEW_COLUMNS = 1_000_000, 1_200, 32
_LARGE = _MULTIPLICATIONS // _FEW_COLUMNS  # weights that may be too many


def columns(n: int, m: int, dtype: Any) -> Array:
    """Return an uninitialised (n, m) array whose columns are contiguous, as BLAS likes them."""
    return np.empty((m, n), dtype).T


def affine(w: Array, a: Array, b: Array, ones: Array, out: Array) -> Array:
    """Compute z = w @ a + b, equation (25), into ``out`` and return it.

    Parameters
    ----------
    w, a, b : ndarray, shapes (n_out, n_in), (n_in, m), (n_out, 1)
    ones : ndarray, shape (1, m)
        Ones: the constant input of which b are the weights.
    out : ndarray, shape (n_out, m), from `columns`
    """
    gemm = _GEMM[out.itemsize]
    # Positionally: gemm(alpha, a, b, beta, c, trans_a, trans_b, overwrite_c).
    if w.size > _LARGE and (rows := _rows_at_a_time(w, out.shape[1])):
        z = np.empty(out.shape, out.dtype)
        for i in range(0, len(w), rows):
            gemm(1.0, a, w[i : i + rows].T, 0.0, z[i : i + rows].T, 1, 0, 1)
        return np.add(z, b, out=out)
    gemm(1.0, w.T, a, 0.0, out, 1, 0, 1)
    gemm(1.0, b, ones, 1.0, out, 0, 0, 1)
    return out


def product(w: Array, a: Array, out: Array) -> Array:
    """Compute w @ a, shape (n_out, m), into ``out`` (from `columns`) and return it."""
    _GEMM[out.itemsize](1.0, w.T, a, 0.0, out, 1, 0, 1)
    return out


def add_bias(z: Array, b: Array, ones: Array) -> None:
    """Compute z <- z + b in place, for z (n_out, m) with contiguous columns and ones (1, m)."""
    _GEMM[z.itemsize](1.0, b, ones, 1.0, z, 0, 0, 1)


def transposed_product(w: Array, delta: Array, out: Array) -> Array:
    """Compute w.T @ delta, shape (n_in, m), into ``out`` (from `columns`) and return it."""
    gemm = _GEMM[out.itemsize]
    if w.size > _LARGE and (rows := _rows_at_a_time(w, out.shape[1])):
        for i in range(0, len(w), rows):
            part = delta[i : i + rows]
            gemm(1.0, w[i : i + rows].T, part, 0.0 if i == 0 else 1.0, out, 0, 0, 1)
        return out
    gemm(1.0, w.T, delta, 0.0, out, 0, 0, 1)
    return out


def _rows_at_a_time(w: Array, m: int) -> int:
    """Return how many rows of w to multiply at a time with m columns, 0 for all at once."""
    if w.size * m <= _MULTIPLICATIONS or m > _FEW_COLUMNS:
        return 0
    rows: int = max(1, _MULTIPLICATIONS // (m * w.shape[1]))
    return min(rows, _OUTPUTS // m)


def step(
    w: Array,
    b: Array,
    delta: Array,
    a: Array,
    delta_b: Array,
    ones: Array,
    alpha: float,
    beta: float,
) -> None:
    """Take the step of plain gradient descent in place: all of it two calls of gemm.

    w <- beta w + alpha delta @ a.T, which is BP4 with decay and step, and
    b <- b + alpha delta_b @ ones.T, which is BP3. Raises as `accumulate`, of which this does the
    work twice with fewer calls of Python: a small step is 3 % shorter for it.
    """
    if a.size * len(w) > _MULTIPLICATIONS:
        accumulate(w, delta, a, alpha, beta)
        accumulate(b, delta_b, ones, alpha, 1.0)
        return
    gemm = _GEMM.get(w.itemsize, dgemm)
    c = w.T  # Fortran's order, in which BLAS can write
    if gemm(alpha, a, delta, beta, c, 0, 1, 1) is not c:
        raise _copied(w, a)
    c = b.T
    if gemm(alpha, ones, delta_b, 1.0, c, 0, 1, 1) is not c:
        raise _copied(b, ones)


def accumulate(w: Array, delta: Array, a: Array, alpha: float, beta: float) -> None:
    """Compute w <- beta w + alpha delta @ a.T in place, by gemm.

    Raises
    ------
    RuntimeError
        If the layout or dtype of w makes BLAS work on a copy of it.
    """
    if a.size * len(w) > _MULTIPLICATIONS and (some := _columns_at_a_time(w, a.shape[1])):
        for i in range(0, a.shape[1], some):
            part = slice(i, i + some)
            accumulate(w, delta[:, part], a[:, part], alpha, beta if i == 0 else 1.0)
        return
    c = w.T
    if _GEMM.get(w.itemsize, dgemm)(alpha, a, delta, beta, c, 0, 1, 1) is not c:
        raise _copied(w, a)


def _copied(w: Array, a: Array) -> RuntimeError:
    name = "biases" if w.shape[1] == len(a) == 1 else "weights"
    return RuntimeError(
        f"{name} must be C-contiguous {a.dtype} to be updated in place, but are {w.dtype} "
        f"with strides {w.strides}; change them by {name}[l][...] = values"
    )


def _columns_at_a_time(w: Array, m: int) -> int:
    """Return how many of m columns to add to w at a time, 0 for all at once."""
    some: int = _MULTIPLICATIONS // w.size
    # Fewer columns than 20 at a time are no faster: w is read and written for each part.
    return some if m > _FEW_COLUMNS and 20 <= some < m else 0


def descend(
    w: Array,
    v: Array | None,
    delta: Array,
    a: Array,
    alpha: float,
    mu: float = 0.0,
    decay: float = 0.0,
    l1: float = 0.0,
    scratch: Array | None = None,
) -> None:
    """Take one step of gradient descent on w, in place.

    Without momentum, w <- (1 - decay) w - l1 sgn(w) + alpha delta @ a.T (equations 91-97); with
    it, v <- mu v - decay w - l1 sgn(w) + alpha delta @ a.T and w <- w + v (equations 107-108).

    Parameters
    ----------
    w : ndarray, shape (n_out, n_in), C-contiguous
        Weights, or biases as the weights of a constant input of 1.
    v : ndarray like w, or None
        Velocity; None for plain descent.
    delta : ndarray, shape (n_out, m)
        Errors of the layer.
    a : ndarray, shape (n_in, m)
        Inputs of the layer.
    alpha : float
        -eta/m.
    mu, decay, l1 : float
        Momentum coefficient, eta lmbda/n and eta lmbda_l1/n.
    scratch : ndarray like w, optional
        To work in, where there is more to do than one gemm: a new array for every step of large
        weights would cost more than what is done with it.

    Raises
    ------
    RuntimeError
        As `accumulate`.
    """
    shrink = None
    if l1:
        # l1 sgn(w), three times faster than numpy.sign and equal to it for 0 and all |w| > 1e-30.
        shrink = np.multiply(w, 2.0**100, out=scratch)
        limit = w.dtype.type(l1)  # a Python number, or numpy.clip, would take twice the time
        shrink.clip(-limit, limit, out=shrink)
    if v is None:
        accumulate(w, delta, a, alpha, 1 - decay)
        if shrink is not None:
            w -= shrink
        return
    accumulate(v, delta, a, alpha, mu)
    if shrink is not None:
        v -= shrink
    if decay:
        v -= np.multiply(w, decay, out=scratch)
    w += v


def _nothing(force: bool) -> None:
    pass


class _OneThread(AbstractContextManager[None]):
    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.controller: ThreadpoolController | None = None

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.controller = self.controller or ThreadpoolController()
                self._take_control()
                self.limit = self.controller.limit(limits=1, user_api="blas")
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self._take_control()
                self.limit.restore_original_limits()
                self._take_control()

    def _take_control(self) -> None:
        """Take control from the one thread that newer threadpoolctl lets set and lift limits."""
        for library in self.controller.lib_controllers if self.controller else ():
            getattr(library, "clear_controlling_thread", _nothing)(force=True)


_ONE_THREAD = _OneThread()


def one_thread() -> AbstractContextManager[None]:
    """Return a context in which every BLAS runs on one thread.

    Products as small as those of a mini-batch are slower on two threads than on one, some of them
    by a factor of twenty; and with one thread the results do not depend on the machine's number
    of cores. The limit is the process's: it holds from the first thread that enters to the last
    that leaves.
    """
    return _ONE_THREAD
