"""BLAS's gemm without the GIL, so that threads multiply in parallel.

SciPy's wrapper of gemm keeps the GIL. But SciPy publishes the addresses of its BLAS functions, for
Cython, in ``scipy.linalg.cython_blas.__pyx_capi__``, and ctypes releases the GIL while it calls
one. It is the same function and returns the same bits. If the addresses are unavailable, `GEMM` is
None, and threads multiply one after the other.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import blas, cython_blas

from nndl._typing import Array

__all__ = ["GEMM"]

SMALL = 2**18  # multiplications: for fewer, releasing the GIL takes longer than it saves

_N, _T = ctypes.c_char(b"N"), ctypes.c_char(b"T")
_TRANS = ctypes.addressof(_N), ctypes.addressof(_T)


@cache
def _sizes(*sizes: int) -> tuple[Any, list[int]]:
    """Return whole numbers in C, which must be kept alive, and their addresses."""
    numbers = (ctypes.c_int * len(sizes))(*sizes)
    first = ctypes.addressof(numbers)
    return numbers, [first + ctypes.sizeof(ctypes.c_int) * i for i in range(len(sizes))]


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _gemm(name: str, number: Any) -> Callable[..., Array]:
    """Return gemm(alpha, a, b, beta, c, trans_a, trans_b, overwrite_c), as in scipy.linalg.blas."""
    python = ctypes.pythonapi
    python.PyCapsule_GetName.restype, python.PyCapsule_GetName.argtypes = (
        ctypes.c_char_p,
        [ctypes.py_object],
    )
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = cython_blas.__pyx_capi__[name]
    signature = python.PyCapsule_GetName(capsule)
    if signature.count(b"int *") != 6:  # sizes in integers of another width, or another function
        raise TypeError(f"{name} has an unknown signature: {signature!r}")
    pointer = python.PyCapsule_GetPointer(capsule, signature)
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(pointer)
    held, dtype, by = getattr(blas, name), np.dtype(number), ctypes.addressof

    def gemm(
        alpha: float,
        a: Array,
        b: Array,
        beta: float,
        c: Array,
        trans_a: int = 0,
        trans_b: int = 0,
        overwrite_c: int = 0,
    ) -> Array:
        (m, n), k = c.shape, a.shape[0] if trans_a else a.shape[1]
        if m * n * k < SMALL or not (
            a.flags.f_contiguous
            and b.flags.f_contiguous
            and c.flags.f_contiguous
            and a.dtype == b.dtype == c.dtype == dtype
            and overwrite_c
        ):
            result: Array = held(alpha, a, b, beta, c, trans_a, trans_b, overwrite_c)
            return result
        scale, keep = number(alpha), number(beta)
        _, (rows, across, inner, lda, ldb) = _sizes(m, n, k, a.shape[0], b.shape[0])
        function(
            *(_TRANS[trans_a], _TRANS[trans_b], rows, across, inner),
            *(by(scale), _address(a), lda, _address(b), ldb, by(keep), _address(c), rows),
        )
        return c

    return gemm


def _find() -> dict[int, Callable[..., Array]] | None:
    try:
        return {4: _gemm("sgemm", ctypes.c_float), 8: _gemm("dgemm", ctypes.c_double)}
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


GEMM = _find()
"""Keyed by itemsize, as in `nndl.blas`."""
