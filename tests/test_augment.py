"""Shifts, affine and elastic distortions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from nndl import Network
from nndl.data import (
    Dataset,
    ElasticDistortion,
    RandomAffine,
    RandomShift,
    affine,
    materialize,
    shift,
    shifted_fivefold,
)
from nndl.data.augment import _warp

# A square of 3 x 3 with no symmetry, as a row.
CORNER = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]])

FOUR_MAPS = Dataset(np.tile(CORNER / 9, (2, 4)).reshape(2, 4, 3, 3), [0, 1])
NET = Network([36, 2], rng=0)

TRANSFORMS = [
    RandomShift(),
    RandomAffine(),
    ElasticDistortion(),
    ElasticDistortion(affine=RandomAffine()),
]
STILL = [
    RandomShift(0),
    RandomAffine(0, 0, 0, 0),
    ElasticDistortion(alpha=0),
    ElasticDistortion(alpha=0, affine=RandomAffine(0, 0, 0, 0)),
]


def blobs(k: int, dtype: type = np.float32) -> np.ndarray:
    """Return k images (k, 784) of a smooth spot near the middle, each different."""
    y, x = np.mgrid[:28, :28]
    x0, y0 = np.random.default_rng(5).uniform(11, 16, (2, k, 1, 1))
    return np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 10).reshape(k, 784).astype(dtype)


def test_shift_by_hand():
    up = [[4, 5, 6, 7, 8, 9, 0, 0, 0]]
    down = [[0, 0, 0, 1, 2, 3, 4, 5, 6]]
    left = [[2, 3, 0, 5, 6, 0, 8, 9, 0]]
    right = [[0, 1, 2, 0, 4, 5, 0, 7, 8]]
    for (dx, dy), want in {(0, -1): up, (0, 1): down, (-1, 0): left, (1, 0): right}.items():
        np.testing.assert_array_equal(shift(CORNER, dx, dy), want)
    np.testing.assert_array_equal(shift(CORNER, -2, 1), [[0, 0, 0, 3, 0, 0, 6, 0, 0]])
    np.testing.assert_array_equal(shift(CORNER, 0, 3), np.zeros((1, 9)))
    np.testing.assert_array_equal(shift(CORNER, -9, 0), np.zeros((1, 9)))


@given(st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_shift_there_and_back_loses_only_the_margin(dx, dy):
    images = np.arange(2 * 49, dtype=np.uint8).reshape(2, 49)
    back = shift(shift(images, dx, dy), -dx, -dy)
    kept = images.copy().reshape(2, 7, 7)
    kept[:, max(7 - dy, 0) :] = 0
    kept[:, :, max(7 - dx, 0) :] = 0
    np.testing.assert_array_equal(back, kept.reshape(2, 49))
    assert back.dtype == np.uint8


@pytest.mark.filterwarnings("ignore:float pixels")
def test_fivefold_is_the_original_then_up_down_left_right():
    data = Dataset(np.concatenate([CORNER, 10 * CORNER]), np.array([3, 8]), "squares")
    fivefold = shifted_fivefold(data)
    assert fivefold.labels.tolist() == [3, 8] * 5
    assert fivefold.name == "squares, shifted fivefold"
    assert fivefold.images[::2].tolist() == [
        [1, 2, 3, 4, 5, 6, 7, 8, 9],
        [4, 5, 6, 7, 8, 9, 0, 0, 0],
        [0, 0, 0, 1, 2, 3, 4, 5, 6],
        [2, 3, 0, 5, 6, 0, 8, 9, 0],
        [0, 1, 2, 0, 4, 5, 0, 7, 8],
    ]
    np.testing.assert_array_equal(fivefold.images[1::2], 10 * fivefold.images[::2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_affine_by_hand(dtype):
    image = CORNER.astype(dtype)
    # A quarter turn with y downward takes the x axis to the y axis: clockwise.
    np.testing.assert_array_equal(affine(image, [[0, -1], [1, 0]]), [[7, 4, 1, 8, 5, 2, 9, 6, 3]])
    np.testing.assert_array_equal(affine(image, np.eye(2), (1, 0)), shift(image, 1, 0))
    np.testing.assert_array_equal(affine(image, np.eye(2), (-1, 2)), shift(image, -1, 2))
    half = affine(image, np.eye(2), (0.5, 0))
    np.testing.assert_array_equal(half, [[0.5, 1.5, 2.5, 2, 4.5, 5.5, 3.5, 7.5, 8.5]])
    # Twice as wide: pixels at a distance of 1 from the center are read at 1/2.
    wide = affine(image, np.diag([2, 1]))
    np.testing.assert_array_equal(wide, [[1.5, 2, 2.5, 4.5, 5, 5.5, 7.5, 8, 8.5]])
    assert half.dtype == dtype


def test_affine_takes_a_matrix_for_each_image():
    images = np.concatenate([CORNER, CORNER])
    turned = affine(images, [np.eye(2), -np.eye(2)], [(0, 0), (0, 1)])
    np.testing.assert_array_equal(turned, [CORNER[0], [0, 0, 0, 9, 8, 7, 6, 5, 4]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block", [1, 200, 2**15])
@pytest.mark.parametrize(("height", "width"), [(9, 9), (5, 12), (12, 1)])
def test_bilinear_agrees_with_scipy(rng, monkeypatch, dtype, block, height, width):
    monkeypatch.setattr("nndl.data.augment.BLOCK", block)
    images = rng.random((6, 1, height, width)).astype(dtype)
    x = rng.uniform(-3, width + 2, (6, height, width)).astype(dtype)
    y = rng.uniform(-3, height + 2, (6, height, width)).astype(dtype)

    def points(chosen, to_x, to_y):
        to_x[...], to_y[...] = x[chosen], y[chosen]

    index = np.broadcast_to(np.arange(6.0)[:, None, None], x.shape)
    want = map_coordinates(images[:, 0], [index, y, x], order=1, mode="grid-constant")
    tolerance = 1e-14 if dtype is np.float64 else 3e-6
    np.testing.assert_allclose(_warp(images, points)[:, 0], want, atol=tolerance)


def test_a_point_that_is_not_a_number_is_outside_the_image():
    maps = np.ones((1, 1, 3, 3), np.float32)

    def points(_, x, y):
        x[...], y[...] = np.nan, 1

    assert not _warp(maps, points).any()


def test_the_maps_keep_apart_if_the_transform_has_their_shape():
    moved = materialize(FOUR_MAPS, RandomShift(2, FOUR_MAPS.shape), 2, 0).images[2:]
    maps = moved.reshape(2, 4, 9)
    np.testing.assert_array_equal(maps, np.tile(maps[:, :1], (1, 4, 1)))


def test_the_result_does_not_depend_on_the_size_of_a_block(monkeypatch):
    images, transform = blobs(30), ElasticDistortion(affine=RandomAffine())
    expected = transform(images, np.random.default_rng(1))
    monkeypatch.setattr("nndl.data.augment.BLOCK", 7 * 784)
    np.testing.assert_array_equal(transform(images, np.random.default_rng(1)), expected)


# Images that are not square, and images of several maps.

TALL = (7, 4)


def with_shape(transform, shape):
    return replace(transform, shape=shape)


def test_shift_of_a_rectangle_by_hand():
    image = np.arange(6.0).reshape(1, 6)
    np.testing.assert_array_equal(shift(image, 1, 0, (2, 3)), [[0, 0, 1, 0, 3, 4]])
    np.testing.assert_array_equal(shift(image, 1, 0, (3, 2)), [[0, 0, 0, 2, 0, 4]])
    np.testing.assert_array_equal(shift(image, 0, -1, (2, 3)), [[3, 4, 5, 0, 0, 0]])
    np.testing.assert_array_equal(shift(image, 1, 0, (2, 1, 3)), [[0, 0, 1, 0, 3, 4]])


def test_affine_of_a_rectangle_by_hand():
    image = np.arange(1.0, 7.0).reshape(1, 6)
    np.testing.assert_array_equal(affine(image, -np.eye(2), shape=(2, 3)), [[6, 5, 4, 3, 2, 1]])
    np.testing.assert_array_equal(affine(image, np.eye(2), (1, 1), (3, 2)), [[0, 0, 0, 1, 0, 3]])
    np.testing.assert_array_equal(
        affine(image, np.diag([-1, 1]), shape=(2, 3)), [[3, 2, 1, 6, 5, 4]]
    )


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_a_transform_of_rectangles_moves_their_ink(transform):
    images = np.zeros((50, *TALL), np.float32)
    images[:, 2:5, 1:3] = 1
    rows = images.reshape(50, 28)
    if isinstance(transform, ElasticDistortion):
        transform = replace(transform, alpha=3)
    moved = with_shape(transform, TALL)(rows, np.random.default_rng(0))
    assert moved.shape == rows.shape
    assert (moved != rows).any(axis=1).mean() > 0.6
    assert np.isclose(moved.sum(), rows.sum(), rtol=0.25)
    with pytest.raises(ValueError, match=r"rows of square images.*give shape=\(height, width\)"):
        transform(rows, np.random.default_rng(0))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_the_maps_of_an_image_are_moved_together(transform):
    images = blobs(20)
    pair = np.concatenate([images, 2 * images], axis=1)
    moved = with_shape(transform, (2, 28, 28))(pair, np.random.default_rng(1))
    one = transform(images, np.random.default_rng(1))
    np.testing.assert_array_equal(moved, np.concatenate([one, 2 * one], axis=1))


def test_the_field_of_a_rectangle_has_the_strength_it_says():
    y, x = np.mgrid[:30, :60].astype(float)
    transform = ElasticDistortion(alpha=50, shape=(30, 60))
    squares = 0
    for ramp in (x, y):
        moved = transform(np.repeat(ramp.reshape(1, -1), 50, axis=0), np.random.default_rng(2))
        squares += ((moved.reshape(50, 30, 60) - ramp)[:, 8:-8, 8:-8] ** 2).mean()
    assert np.sqrt(squares) == pytest.approx(50 / np.sqrt(30 * 60), rel=0.15)


def test_fivefold_keeps_the_shape_of_the_data_set():
    data = Dataset(np.eye(6, dtype=np.float32), np.arange(6), shape=(2, 3))
    fivefold = shifted_fivefold(data)
    assert fivefold.shape == (2, 3)
    np.testing.assert_array_equal(fivefold.images[6], [0] * 6)
    np.testing.assert_array_equal(fivefold.images[6 + 3], [1, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("transform", STILL, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_amounts_of_zero_give_the_same_pixels(transform, dtype, rng):
    images = rng.random((7, 784)).astype(dtype)
    np.testing.assert_array_equal(transform(images, rng), images)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_transform_is_a_pure_function_of_images_and_seed(transform, dtype):
    images = blobs(30, dtype)
    before = images.copy()
    first, again, other = (transform(images, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(first, again)
    assert first.dtype == dtype
    assert first.shape == images.shape
    # Every image moves, except for one shift in nine.
    assert (first != other).any(axis=1).mean() > 0.6
    assert first.min() >= 0
    assert first.max() <= images.max()
    # The sum of the pixels stays about the same: only scaling and stretching change it.
    assert np.isclose(first.sum(), images.sum(), rtol=0.1)
    one = transform(images[:1], np.random.default_rng(1))
    assert one.shape == (1, 784)
    assert transform(images[:0], np.random.default_rng(1)).shape == (0, 784)


def test_each_image_of_a_chunk_is_moved_differently(rng):
    images = np.repeat(blobs(1), 20, axis=0)
    for transform in TRANSFORMS:
        distinct = np.unique(transform(images, rng), axis=0)
        assert len(distinct) > (5 if transform == RandomShift() else 19)


def test_random_shift_makes_every_move_and_no_other(rng):
    moved = RandomShift(1)(np.repeat(CORNER, 2000, axis=0), rng)
    wanted = [shift(CORNER, dx, dy)[0] for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    got, counts = np.unique(moved, axis=0, return_counts=True)
    np.testing.assert_array_equal(got, np.unique(wanted, axis=0))
    assert counts.min() > 2000 / 9 * 0.7


def test_elastic_distortion_moves_pixels_along_x_and_y_independently() -> None:
    ramp = np.tile(np.arange(28, dtype=np.float32) / 28, (28, 1))  # its values are its places
    distort = ElasticDistortion(alpha=20)
    along_x, along_y = (
        distort(np.tile(image.ravel(), (50, 1)), np.random.default_rng(0)).reshape(-1, 28, 28)
        - image
        for image in (ramp, ramp.T)
    )
    inside = (slice(None), slice(6, -6), slice(6, -6))
    assert min(along_x[inside].std(), along_y[inside].std()) > 0.01
    assert abs(np.corrcoef(along_x[inside].ravel(), along_y[inside].ravel())[0, 1]) < 0.3


def test_random_affine_draws_within_its_parameters(rng):
    matrices, translations = RandomAffine(20, 0, 0, 1.5).draw(4000, rng)
    angle = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert 19.5 < angle.max() <= 20
    assert -20 <= angle.min() < -19.5
    np.testing.assert_allclose(np.linalg.det(matrices), 1)
    assert 1.45 < translations.max() <= 1.5
    assert abs(translations.mean()) < 0.1
    scales, _ = RandomAffine(0, 0, 0.2, 0).draw(4000, rng)
    assert np.all(scales[:, [0, 1], [1, 0]] == 0)
    assert 0.8 <= scales[:, 0, 0].min() < 0.81
    assert 1.19 < scales[:, 1, 1].max() <= 1.2
    skews, _ = RandomAffine(0, 0.3, 0, 0).draw(4000, rng)
    assert np.all(skews[:, 1] == (0, 1))
    assert np.abs(skews[:, 0, 1]).max() <= 0.3
    every, _ = RandomAffine(30, 0.3, 0.2, 0).draw(5, np.random.default_rng(3))
    amounts = np.random.default_rng(3).uniform(-1, 1, (6, 5))
    for matrix, (turn, skew, width, height, _, _) in zip(every, amounts.T, strict=True):
        c, s = np.cos(np.radians(30 * turn)), np.sin(np.radians(30 * turn))
        scale = np.diag([1 + 0.2 * width, 1 + 0.2 * height])
        want = np.array([[c, -s], [s, c]]) @ [[1, -0.3 * skew], [0, 1]] @ scale
        np.testing.assert_allclose(matrix, want)


def field_of(transform: ElasticDistortion, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return displacements (2, k, 24, 24) of the inner pixels, from images that hold x and y."""
    y, x = np.mgrid[:40, :40].astype(float)
    seed = int(rng.integers(1000))
    return np.stack(
        [
            transform(
                np.repeat(ramp.reshape(1, -1), k, axis=0), np.random.default_rng(seed)
            ).reshape(k, 40, 40)[:, 8:-8, 8:-8]
            - ramp[8:-8, 8:-8]
            for ramp in (x, y)
        ]
    )


def test_elastic_field_has_the_strength_and_smoothness_it_says(rng):
    # Bilinear interpolation is exact on a ramp, which therefore shows the displacement.
    weak, strong = (field_of(ElasticDistortion(sigma=3, alpha=a), 50, rng) for a in (40, 80))
    # The root mean square is alpha / side; the margin, left out here, moves a little less.
    for field, alpha in ((weak, 40), (strong, 80)):
        assert alpha / 40 < np.sqrt((field**2).sum(axis=0).mean()) < 1.2 * alpha / 40
    assert abs(weak.mean()) < 0.1
    # White noise under a Gaussian of sigma has correlation exp(-d^2 / (4 sigma^2)).
    for d in (1, 3, 6):
        correlation = (weak[..., d:] * weak[..., :-d]).mean() / (weak**2).mean()
        assert correlation == pytest.approx(np.exp(-(d**2) / 36), abs=0.12)


def test_elastic_with_affine_is_both_in_one_interpolation():
    # A field of strength 0 leaves the affine map alone.
    images, turn = blobs(8, np.float64), RandomAffine(20, 0.1, 0.1, 1)
    still = ElasticDistortion(alpha=0, affine=turn)
    rng = np.random.default_rng(4)
    rng.random((8, 2, 28, 28))
    np.testing.assert_array_equal(
        still(images, np.random.default_rng(4)), affine(images, *turn.draw(8, rng))
    )


def test_materialize_keeps_the_original_first(rng):
    data = Dataset(blobs(700), np.arange(700) % 10, "blobs")
    expanded = materialize(data, RandomShift(), 3, 7)
    assert len(expanded) == 2100
    assert expanded.name == "blobs, expanded 3-fold"
    np.testing.assert_array_equal(expanded.images[:700], data.images)
    np.testing.assert_array_equal(expanded.labels, np.tile(data.labels, 3))
    # Each copy is its image, shifted by at most one pixel.
    moves = [shift(data.images, dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    for copy in (expanded.images[700:1400], expanded.images[1400:]):
        assert np.any([(copy == move).all(axis=1) for move in moves], axis=0).all()
    assert (expanded.images[700:1400] != expanded.images[1400:]).any(axis=1).mean() > 0.6
    again = materialize(data, RandomShift(), 3, np.random.default_rng(7))
    np.testing.assert_array_equal(expanded.images, again.images)
    assert len(materialize(data, RandomShift(), 1, rng)) == 700


@pytest.mark.filterwarnings("ignore:float pixels")
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RandomShift(-1), "pixels must be a whole number"),
        (lambda: RandomShift(0.5), "pixels must be a whole number"),
        (lambda: RandomAffine(rotation=-1), "rotation must be a finite number"),
        (lambda: RandomAffine(skew=float("nan")), "skew must be a finite number"),
        (lambda: RandomAffine(translation=float("inf")), "translation must be a finite number"),
        (lambda: RandomAffine(scale=1), "scale must be less than 1"),
        (lambda: ElasticDistortion(sigma=1e-30), "sigma must be 0.01 or more"),
        (lambda: ElasticDistortion(alpha=-34), "alpha must be a finite number"),
        (lambda: shift(np.zeros((2, 783)), 1, 0), r"rows of square images.*\(2, 783\)"),
        (lambda: shift(np.zeros(784), 1, 0), r"rows of square images.*\(784,\)"),
        (lambda: affine(np.zeros((2, 784), np.uint8), np.eye(2)), "float32 or float64.*uint8"),
        (lambda: affine(np.zeros((1, 4096**2), "f4"), np.eye(2)), "fewer than 16,777,216 pixels"),
        (lambda: shift(np.zeros((2, 12)), 1, 0, (3, 5)), r"rows of shape \(3, 5\), as \(n, 15\)"),
        (lambda: shift(np.zeros((2, 0)), 1, 0), r"rows of square images"),
        (lambda: affine(CORNER, np.full((2, 2), np.nan)), "matrices must be finite .* image 0 are"),
        (lambda: affine(CORNER, np.eye(2), [0, np.inf]), "translations must be finite numbers"),
        (lambda: materialize(FOUR_MAPS, RandomShift(2), 2, 0), r"RandomShift\(shape=\(4, 3, 3\)\)"),
        (lambda: list(NET.sgd(FOUR_MAPS, 1, 1, 0.1, transform=RandomShift())), "have the shape"),
        (lambda: materialize(Dataset(CORNER, np.array([1])), RandomShift(), 0, 1), "times must be"),
    ],
)
def test_wrong_arguments_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_transforms_are_frozen_and_have_a_repr():
    assert str(RandomAffine(rotation=5)) == (
        "RandomAffine(rotation=5, skew=0.1, scale=0.15, translation=1.0, shape=None)"
    )
    assert RandomShift() == RandomShift(1)
    with pytest.raises(AttributeError):
        RandomShift().pixels = 2


@pytest.mark.parametrize(
    "wrong", [lambda images, rng: images[:, :1], lambda images, rng: images[:1]]
)
def test_a_transform_that_returns_another_shape_is_refused(wrong):
    data = Dataset(blobs(4), np.arange(4), "blobs")
    with pytest.raises(
        ValueError, match=r"transform must return images .*\(4, 784\), but returned"
    ):
        materialize(data, wrong, 2, 0)
