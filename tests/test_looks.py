"""The looks at a digit: turned and scaled images, and the mean of a network's outputs for them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nndl.data import synthetic_digits
from nndl.data.photo import read_digits
from nndl.data.photo.looks import LOOKS, SIDE, looks
from nndl.pretrained import pretrained


@pytest.mark.parametrize("look", range(len(LOOKS)))
def test_a_look_is_an_affine_map_about_the_center(look: int) -> None:
    image = synthetic_digits(1, 0).images[0]
    angle, scale = LOOKS[look]
    inverse = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    center = np.full(2, (SIDE - 1) / 2)
    expected = ndimage.affine_transform(
        image.reshape(SIDE, SIDE), inverse, center - inverse @ center, order=1
    )
    seen = looks(image[:, None])[:, look].reshape(SIDE, SIDE)
    np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_the_first_look_is_the_image_and_images_stay_together() -> None:
    images = synthetic_digits(3, 0).images.T
    seen = looks(images)
    assert seen.shape == (SIDE**2, 3 * len(LOOKS))
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen[:, :3], images)
    np.testing.assert_array_equal(seen[:, 4::3], looks(images[:, 1:2])[:, 1:])


def test_a_reading_is_the_mean_over_the_looks() -> None:
    net = pretrained()
    digits = read_digits(net, 1 - synthetic_digits(1, 2).images[0].reshape(SIDE, SIDE)).digits
    mean = net(looks(digits[0].image[:, None])).mean(axis=1)
    np.testing.assert_allclose(digits[0].outputs, mean, rtol=1e-5, atol=1e-7)
    assert digits[0].probability == digits[0].outputs.max()
    assert np.abs(mean - net(digits[0].image[:, None])[:, 0]).max() > 1e-4
