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
from scipy.linalg.blas import daxpy, dgemm, saxpy, sgemm
from threadpoolctl import ThreadpoolController

from nndl._typing import Array

__all__ = [
    "Products",
    "accumulate",
    "add_bias",
    "columns",
    "descend",
    "one_thread",
    "product",
    "transposed_product",
]

_GEMM = {4: sgemm, 8: dgemm}  # by itemsize, which takes less time to ask for than the dtype
_AXPY = {4: saxpy, 8: daxpy}

# Up to so many multiplications, and outputs, OpenBLAS multiplies without first copying an operand
# into an order of its own. For the few columns of a mini-batch the copy of large weights takes
# longer than the product, so they are taken some rows at a time; and the many columns of the
# patches of a convolution some columns at a time.
_MULTIPLICATIONS, _OUTPUTS, _FEW_COLUMNS = 1_000_000, 1_200, 32

# What w is cut off at to have its sign: 0 stays 0, and a product with a power of 2 is not rounded.
# As arrays, for a Python number would cost as much time again as the comparison.
_TINY = 2.0**-80
_NEAR_0 = {np.dtype(t).itemsize: (np.array(-_TINY, t), np.array(_TINY, t)) for t in "fd"}


def columns(n: int, m: int, dtype: Any) -> Array:
    """Return an uninitialized (n, m) array whose columns are contiguous, as BLAS likes them."""
    return np.empty((m, n), dtype).T


class Products:
    """What a dense layer multiplies for m examples, with all that depends on m alone made ready.

    What is not asked again at every step makes one of 30 neurons some 5 % shorter.

    Parameters
    ----------
    w, b : ndarray, shapes (n_out, n_in), (n_out, 1), C-contiguous
        Weights and biases, live: they may change in place.
    m : int
        Examples of a mini-batch.
    """

    __slots__ = ("b", "b_t", "gemm", "large", "ones", "rows", "w", "w_t")

    def __init__(self, w: Array, b: Array, m: int) -> None:
        self.gemm = _GEMM.get(w.itemsize, dgemm)
        self.w, self.b = w, b
        self.w_t, self.b_t = w.T, b.T  # Fortran's order, in which BLAS can write
        self.ones = np.ones((1, m), w.dtype)  # the constant input of which b are the weights
        self.large = w.size * m > _MULTIPLICATIONS
        self.rows = _rows_at_a_time(w, m)

    def affine(self, a: Array, out: Array) -> Array:
        """Compute z = w @ a + b, equation (25), into ``out``, and return it.

        a is (n_in, m), ``out`` is (n_out, m), both of contiguous columns.
        """
        gemm = self.gemm
        # Positionally: gemm(alpha, a, b, beta, c, trans_a, trans_b, overwrite_c).
        if self.rows:
            z = np.empty(out.shape, out.dtype)
            for i in range(0, len(z), self.rows):
                part = slice(i, i + self.rows)
                gemm(1.0, a, self.w[part].T, 0.0, z[part].T, 1, 0, 1)
            return np.add(z, self.b, out=out)
        gemm(1.0, self.w_t, a, 0.0, out, 1, 0, 1)
        gemm(1.0, self.b, self.ones, 1.0, out, 0, 0, 1)
        return out

    def transposed(self, delta: Array, out: Array) -> Array:
        """Compute w.T @ delta, (n_in, m), into ``out``, of contiguous columns, and return it."""
        gemm = self.gemm
        if self.rows:
            for i in range(0, len(delta), self.rows):
                part = slice(i, i + self.rows)
                gemm(1.0, self.w[part].T, delta[part], 1.0 if i else 0.0, out, 0, 0, 1)
            return out
        gemm(1.0, self.w_t, delta, 0.0, out, 0, 0, 1)
        return out

    def step(self, delta: Array, a: Array, alpha: float, beta: float) -> None:
        """Take the step of plain gradient descent, in place: all of it two calls of gemm.

        w <- beta w + alpha delta @ a.T, which is BP4 with decay and step, and
        b <- b + alpha delta @ ones.T, which is BP3. Raises as `accumulate`.
        """
        gemm, ones = self.gemm, self.ones
        if self.large:
            accumulate(self.w, delta, a, alpha, beta)
        elif gemm(alpha, a, delta, beta, self.w_t, 0, 1, 1) is not self.w_t:
            raise _copied(self.w, a)
        if gemm(alpha, ones, delta, 1.0, self.b_t, 0, 1, 1) is not self.b_t:
            raise _copied(self.b, ones)


def product(w: Array, a: Array, out: Array) -> Array:
    """Compute w @ a, shape (n_out, m), into ``out`` (from `columns`) and return it."""
    _GEMM[out.itemsize](1.0, w.T, a, 0.0, out, 1, 0, 1)
    return out


def add_bias(z: Array, b: Array, ones: Array) -> None:
    """Compute z <- z + b in place, for z (n_out, m) with contiguous columns and ones (1, m)."""
    _GEMM[z.itemsize](1.0, b, ones, 1.0, z, 0, 0, 1)


def transposed_product(w: Array, delta: Array, out: Array) -> Array:
    """Compute w.T @ delta, shape (n_in, m), into ``out`` (from `columns`) and return it."""
    _GEMM[out.itemsize](1.0, w.T, delta, 0.0, out, 0, 0, 1)
    return out


def _rows_at_a_time(w: Array, m: int) -> int:
    """Return how many rows of w to multiply at a time with m columns, 0 for all at once."""
    if w.size * m <= _MULTIPLICATIONS or m > _FEW_COLUMNS:
        return 0
    rows: int = max(1, _MULTIPLICATIONS // (m * w.shape[1]))
    return min(rows, _OUTPUTS // m)


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

    Raises
    ------
    RuntimeError
        As `accumulate`.
    """
    moved, beta = (w, 1 - decay) if v is None else (v, mu)
    sign = w.clip(*_NEAR_0[w.itemsize]) if l1 else None  # sgn(w) _TINY, by a third of numpy.sign
    accumulate(moved, delta, a, alpha, beta)
    if sign is not None:
        _add(moved, -l1 / _TINY, sign)
    if v is not None:
        if decay:
            _add(v, -decay, w)
        w += v


def _add(y: Array, alpha: float, x: Array) -> None:
    """Compute y <- y + alpha x in place, for C-contiguous arrays of one shape."""
    _AXPY[y.itemsize](x.reshape(-1), y.reshape(-1), a=alpha)


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
