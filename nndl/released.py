"""BLAS's gemm without the GIL, so that threads multiply in parallel.

SciPy's wrapper of gemm keeps the GIL. But SciPy publishes the addresses of its BLAS functions, for
Cython, in ``scipy.linalg.cython_blas.__pyx_capi__``, and ctypes releases the GIL while it calls
one. It is the same function and returns the same bits. If the addresses are unavailable, `GEMM`
calls SciPy's wrapper, and threads multiply one after the other.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.linalg import blas, cython_blas

from nndl._typing import Array

__all__ = ["GEMM"]

SMALL = 2**18  # multiplications: for fewer, releasing the GIL takes longer than it saves

_N, _T = ctypes.c_char(b"N"), ctypes.c_char(b"T")
_TRANS = ctypes.addressof(_N), ctypes.addressof(_T)


@lru_cache(maxsize=1024)
def _sizes(*sizes: int) -> tuple[Any, list[int]]:
    """Return whole numbers in C, which must be kept alive, and their addresses."""
    numbers = (ctypes.c_int * len(sizes))(*sizes)
    first = ctypes.addressof(numbers)
    return numbers, [first + ctypes.sizeof(ctypes.c_int) * i for i in range(len(sizes))]


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _between_columns(array: Array, dtype: Any) -> int:
    """Return the numbers from one column to the next if each is contiguous, else 0."""
    rows, size = len(array), array.itemsize
    down, right = array.strides
    if array.flags.f_contiguous:
        right = rows * size
    elif down != size or right < rows * size or right % size:
        return 0
    return right // size if array.dtype == dtype else 0


def _gemm(name: str, number: Any) -> Callable[..., Array]:
    """Return gemm(alpha, a, b, beta, c, trans_a, trans_b) -> c, which changes c in place.

    The columns of a, b and c are contiguous, but there may be a gap from one to the next.
    """
    held, released = getattr(blas, name), _without_gil(name)
    dtype, by = np.dtype(number), ctypes.addressof

    def gemm(
        alpha: float,
        a: Array,
        b: Array,
        beta: float,
        c: Array,
        trans_a: int = 0,
        trans_b: int = 0,
    ) -> Array:
        (m, n), k = c.shape, a.shape[0] if trans_a else a.shape[1]
        if (
            released is None
            or m * n * k < SMALL
            or not (lda := _between_columns(a, dtype))
            or not (ldb := _between_columns(b, dtype))
            or not (ldc := _between_columns(c, dtype))
        ):
            result = held(alpha, a, b, beta, c, trans_a, trans_b, 1)
            if result is not c:  # BLAS had to work in a copy
                c[...] = result
            return c
        scale, keep = number(alpha), number(beta)
        # `_` keeps the numbers alive, even if the cache drops them during the call.
        _, (rows, across, inner, by_a, by_b, by_c) = _sizes(m, n, k, lda, ldb, ldc)
        released(
            *(_TRANS[trans_a], _TRANS[trans_b], rows, across, inner),
            *(by(scale), _address(a), by_a, _address(b), by_b, by(keep), _address(c), by_c),
        )
        return c

    return gemm


def _without_gil(name: str) -> Callable[..., None] | None:
    """Return the function at the address that SciPy publishes, or None."""
    python = ctypes.pythonapi
    python.PyCapsule_GetName.restype = ctypes.c_char_p
    python.PyCapsule_GetName.argtypes = [ctypes.py_object]
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    try:
        capsule = cython_blas.__pyx_capi__[name]
        signature = python.PyCapsule_GetName(capsule)
        pointer = python.PyCapsule_GetPointer(capsule, signature)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if signature.count(b"int *") != 6:  # sizes in integers of another width, or another function
        return None
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(pointer)


GEMM = {4: _gemm("sgemm", ctypes.c_float), 8: _gemm("dgemm", ctypes.c_double)}
"""Keyed by itemsize, as in `nndl.blas`."""
