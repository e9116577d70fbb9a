"""Synthetic digits."""

from __future__ import annotations

import numpy as np
import pytest

from nndl.data import Dataset, synthetic_digits
from nndl.data.synthetic import DOTS, SKELETONS, _skeleton
from nndl.network import Network
from nndl.training import Settings, train
from nndl.training.metrics import accuracy


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return synthetic_digits(6000, 1)


def ink(dataset: Dataset) -> np.ndarray:
    return dataset.images.reshape(-1, 28, 28)


def nearest_label(examples: Dataset, images: np.ndarray) -> np.ndarray:
    """Return the label of the example with the least Euclidean distance to each image."""
    square = (examples.images**2).sum(axis=1)
    return examples.labels[(square / 2 - images @ examples.images.T).argmin(axis=1)]


def test_form_and_pixel_values_are_those_of_mnist(digits):
    assert digits.images.shape == (6000, 784)
    assert digits.images.dtype == np.float32
    assert digits.labels.shape == (6000,)
    assert digits.labels.dtype == np.int64
    assert digits.name == "synthetic digits"
    raw = 256 * digits.images
    np.testing.assert_array_equal(raw, np.rint(raw))
    assert raw.min() == 0
    assert raw.max() == 255


def test_every_ten_images_are_the_ten_digits(digits):
    tens = digits.labels.reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(tens, axis=1), np.tile(np.arange(10), (600, 1)))
    assert len(np.unique(tens, axis=0)) > 590


def test_ink_fills_a_box_of_twenty_pixels(digits):
    sides = []
    for axis in (1, 2):
        any_ink = (ink(digits) > 0).any(axis=axis)
        sides.append(28 - any_ink[:, ::-1].argmax(axis=1) - any_ink.argmax(axis=1))
    longer = np.maximum(*sides)
    assert longer.max() == 20
    # The ends of a stroke of uneven pressure may fall short of it by a pixel or two.
    assert longer.min() >= 18
    assert (longer == 20).mean() > 0.9


def test_center_of_mass_is_in_the_middle_to_half_a_pixel(digits):
    # MNIST is moved by whole pixels, which leaves between 13.5 and 14.5 along both axes.
    squares, pixel = ink(digits), np.arange(28)
    mass = squares.sum(axis=(1, 2))
    for axis in (1, 2):
        center = squares.sum(axis=axis) @ pixel / mass
        assert (np.abs(center - 14) <= 0.501).mean() > 0.99
        # A few sevens have their mass so high that they would leave the image.
        assert np.abs(center - 14).max() < 2


def test_amount_of_ink_is_that_of_mnist(digits):
    # Mean pixel sums of the 60,000 training images, in order of the digits.
    mnist = np.array([135, 59, 116, 111, 95, 101, 107, 89, 117, 96])
    ours = [digits.images[digits.labels == digit].sum(axis=1).mean() for digit in range(10)]
    np.testing.assert_allclose(ours, mnist, rtol=0.12)


def test_the_same_seed_gives_the_same_digits():
    first, again, other = (synthetic_digits(50, seed) for seed in (3, np.random.default_rng(3), 4))
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.images != other.images).any()
    assert (first.labels != other.labels).any()


def test_a_generator_draws_new_digits_at_each_call():
    rng = np.random.default_rng(3)
    first, second = synthetic_digits(30, rng), synthetic_digits(30, rng)
    assert len(np.unique(np.concatenate([first.images, second.images]), axis=0)) == 60


def test_the_global_random_state_does_not_change():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    synthetic_digits(10, 0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_all_images_differ_and_a_class_varies_as_in_mnist(digits):
    assert len({image.tobytes() for image in digits.images}) == 6000
    for digit in range(10):
        images = digits.images[digits.labels == digit]
        spread = np.linalg.norm(images - images.mean(axis=0), axis=1)
        # MNIST: 4.6 for ones, 6.0 to 7.1 for the others.
        assert 4.2 < spread.mean() < 8
        # Thin and thick pens: the ink of a class varies as in MNIST, by about a quarter.
        mass = images.sum(axis=1)
        assert 0.2 < mass.std() / mass.mean() < 0.4


def test_a_nearest_neighbor_classifier_reads_them(digits):
    train, test = digits[:5000], digits[5000:]
    # 83 %; of MNIST, as many nearest neighbors from MNIST itself read 90 %.
    assert (nearest_label(train, test.images) == test.labels).mean() > 0.75


def test_a_nearest_neighbor_classifier_with_them_reads_mnist(digits, mnist):
    # 86 %, without any training: the drawings look like MNIST.
    test = mnist[2][:2000]
    assert (nearest_label(digits[:5000], test.images) == test.labels).mean() > 0.82


def test_a_network_trained_on_them_reads_mnist(mnist):
    """About 95 %: they are good enough to develop with where MNIST is not available."""
    net = Network([784, 100, 10], rng=0)
    settings = Settings(epochs=5, eta=0.5, lmbda=2.0)
    train(net, synthetic_digits(20_000, 2013, np.uint8), settings, rng=0)
    assert accuracy(net, mnist[2]) > 0.92


@pytest.mark.parametrize("n", [0, 1, 7, 1003])
def test_any_number_of_digits(n):
    digits = synthetic_digits(n, 5)
    assert digits.images.shape == (n, 784)
    assert digits.labels.shape == (n,)
    assert np.all(digits.images.max(axis=1) > 0.5)


@pytest.mark.parametrize(("dtype", "unit"), [(np.float64, 1), (np.uint8, 256)])
def test_other_dtypes_hold_the_same_digits(dtype, unit):
    single, other = synthetic_digits(20, 5), synthetic_digits(20, 5, dtype)
    assert other.images.dtype == dtype
    np.testing.assert_array_equal(unit * single.images, other.images)


def test_every_digit_has_several_styles():
    digits = [digit for digit, weight, _ in SKELETONS if weight > 0]
    assert np.bincount(digits).min() >= 6
    assert len({strokes for _, _, strokes in SKELETONS}) == len(SKELETONS)


def test_a_skeleton_is_drawn_evenly_from_end_to_end_and_into_its_corners():
    mean, spread = _skeleton("10,0! 90,0! 90,80! 10,80; 20,20 20,60")
    assert mean.shape == (DOTS, 2)
    assert spread.shape == (DOTS, 6)
    np.testing.assert_allclose(mean[[0, -1]], [[0.1, 0], [0.2, 0.6]], atol=1e-6)
    for corner in ([0.9, 0], [0.9, 0.8]):
        assert np.hypot(*(mean - corner).T).min() < 0.02
    step = np.hypot(*np.diff(mean, axis=0).T)
    lift = step.argmax()
    np.testing.assert_allclose(mean[[lift, lift + 1]], [[0.1, 0.8], [0.2, 0.2]], atol=1e-6)
    # 2.8 units of ink in 96 dots.
    np.testing.assert_allclose(np.delete(step, lift), 2.8 / 95, atol=0.015)
    # Without the marks the spline cuts the corners.
    rounded, _ = _skeleton("10,0 90,0 90,80 10,80")
    assert np.hypot(*(rounded - [0.9, 0]).T).min() > 0.1


@pytest.mark.parametrize(
    ("n", "dtype", "message"),
    [(-1, np.float32, "0 or more"), (5, np.int16, "float32, float64 or uint8")],
)
def test_wrong_arguments_are_refused(n, dtype, message):
    with pytest.raises(ValueError, match=message):
        synthetic_digits(n, 0, dtype)


def test_all_styles_are_drawn_on_request() -> None:
    ones = [
        drawn.images[drawn.labels == 1].reshape(-1, 28, 28)
        for drawn in (synthetic_digits(1000, 0), synthetic_digits(1000, 0, all_styles=True))
    ]
    # Most are a line; with all styles, most have a flag or a foot.
    widths = [(images > 0.5).sum(axis=2).max(axis=1).mean() for images in ones]
    assert widths[1] > 1.3 * widths[0]
