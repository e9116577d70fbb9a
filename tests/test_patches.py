"""Patches of pictures, operands at cache lines, and pooling by place in a pool."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from nndl.arrays import CACHE_LINE, aligned, aligned_copy, columns
from nndl.patches import Patches, most_together, right_operand, together
from nndl.pooling import by_place_in_pool, pool, unpool


@pytest.mark.parametrize(
    ("m", "height", "width", "c", "size", "stride", "group", "pool"),
    [
        (1, 5, 5, 1, 3, 1, 1, 1),
        (4, 6, 7, 3, 2, 1, 2, 2),
        (6, 7, 6, 2, 3, 1, 3, 2),
        (2, 9, 9, 2, 3, 2, 1, 1),
        (3, 9, 9, 1, 2, 3, 3, 3),
    ],
)
def test_patches_are_those_of_a_loop_over_places(
    m: int, height: int, width: int, c: int, size: int, stride: int, group: int, pool: int
) -> None:
    pictures = np.random.default_rng(0).normal(size=(m, height, width, c))
    rows, across = ((side - size) // stride + 1 for side in (height, width))
    across -= across % pool
    patches = Patches(m, height, across, size, c, np.dtype(np.float64))
    patches.gather(pictures, stride, pool=pool)
    seen = patches.rows(0, rows, size, stride, group).reshape(m // group, rows, group, across, -1)
    order = np.arange(across).reshape(-1, pool).T.ravel()  # first of each pool, then second, ...
    for i, row, column in product(range(m), range(rows), range(across)):
        y, x = stride * row, stride * order[column]
        expected = pictures[i, y : y + size, x : x + size].ravel()
        np.testing.assert_array_equal(seen[i // group, row, i % group, column], expected)


def test_patches_may_begin_further_down_and_to_the_right() -> None:
    pictures = np.arange(2 * 6 * 7 * 2, dtype=np.float32).reshape(2, 6, 7, 2)
    patches = Patches(2, 6, 3, 3, 2, np.dtype(np.float32))
    patches.gather(pictures, left=2)
    seen = patches.rows(1, 2, 4)  # of four rows, from row 1 on
    assert seen.shape == (2, 2, 3, 24)
    np.testing.assert_array_equal(seen[1, 1, 2], pictures[1, 2:6, 4:7].ravel())


@pytest.mark.parametrize("shape", [(20, 25), (32, 9), (64, 288), (40, 500), (20, 1000), (48, 288)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_right_operand_is_the_transpose_in_lines_of_the_cache(
    shape: tuple[int, int], dtype: type
) -> None:
    w = np.random.default_rng(0).normal(size=shape).astype(dtype)
    operand = right_operand(w)
    np.testing.assert_array_equal(operand, w.T)
    w[...] = 0
    assert operand.any()  # a copy
    lines = operand if operand.strides[1] == operand.itemsize else operand.T
    assert lines.strides[1] == lines.itemsize  # BLAS needs no copy
    assert lines.strides[0] % CACHE_LINE == lines.ctypes.data % CACHE_LINE == 0


@pytest.mark.parametrize("work", [1, 3_000, 250_000, 400_000, 2_000_000])
def test_pictures_are_multiplied_together_up_to_a_million_multiplications(work: int) -> None:
    for m in (1, 7, 10, 12, 100):
        n = together(m, work)
        assert m % n == 0
        assert n == 1 or n * work <= 1_000_000
        assert n <= most_together(work)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_largest_of_each_pool_takes_delta(size: int) -> None:
    rng = np.random.default_rng(size)
    pictures = rng.permuted(np.arange(2 * 6 * 6 * 3)).reshape(2, 6, 6, 3).astype(np.float64)
    largest, later = pool(by_place_in_pool(pictures, size))
    tiles = pictures.reshape(2, 6 // size, size, 6 // size, size, 3)
    np.testing.assert_array_equal(largest, tiles.max(axis=(2, 4)))
    delta, spread = rng.normal(size=largest.shape), np.empty_like(pictures)
    unpool(delta, later, by_place_in_pool(spread, size))
    repeated = (np.repeat(np.repeat(a, size, axis=1), size, axis=2) for a in (largest, delta))
    largest, delta = repeated
    np.testing.assert_array_equal(spread, np.where(pictures == largest, delta, 0))


def test_arrays_begin_at_a_cache_line() -> None:
    for shape in ((1,), (3, 5), (7, 11, 13)):
        for array in (aligned(shape, np.float32), aligned_copy(np.ones(shape), np.float64)):
            assert array.ctypes.data % CACHE_LINE == 0
            assert array.flags.c_contiguous
            assert array.shape == shape
    assert aligned((0, 4), np.float32).shape == (0, 4)
    matrix = columns(4, 9, np.float32)
    assert matrix.shape == (4, 9)
    assert matrix.flags.f_contiguous
