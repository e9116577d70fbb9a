"""The network that comes with the package, and the recipe that trains it."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from nndl import Dataset, fold, synthetic_digits
from nndl.pretrained import pretrained, recipe
from nndl.pretrained.negatives import negatives
from nndl.pretrained.recipe import (
    Augmentation,
    network,
    training_set,
)

DRAWN = synthetic_digits(100, 0)
PIXELS = np.rint(256 * DRAWN.images).astype(np.uint8)


def test_the_file_is_small_and_every_network_is_new() -> None:
    assert len(files("nndl.pretrained").joinpath("digits.npz").read_bytes()) <= 400_000
    first, second = pretrained(), pretrained()
    first.parameters[0][...] = 0
    assert second.parameters[0].any()


def test_the_recipe_builds_the_network_that_comes_with_the_package() -> None:
    assert repr(fold(network(np.random.default_rng(0)))) == repr(pretrained())


def test_the_network_is_sure_of_digits_and_unsure_of_others(
    mnist: tuple[Dataset, Dataset, Dataset],
) -> None:
    images, labels = mnist[2]
    outputs = pretrained()(images.T)
    assert (outputs.argmax(axis=0) == labels).mean() >= 0.9954  # 99.55 %, and rounding
    assert (outputs.max(axis=0) < 0.6).mean() <= 0.02
    others = negatives(500, np.rint(256 * images).astype(np.uint8), np.random.default_rng(99))
    outputs = pretrained()(others.T / np.float32(256))
    assert (outputs.max(axis=0) < 0.6).mean() >= 0.9


def test_negatives_are_centered_images_of_many_kinds() -> None:
    images = negatives(60, PIXELS, np.random.default_rng(0)).reshape(-1, 28, 28) / 255
    assert images.dtype == np.float64
    assert (images.max(axis=(1, 2)) > 0.9).all()
    assert len(np.unique(images.reshape(60, -1), axis=0)) > 55
    mass = images.sum(axis=(1, 2))
    for axis in (1, 2):
        center = images.sum(axis=axis) @ np.arange(28) / mass
        assert np.abs(center - 13.5).max() <= 4


def test_blank_rows_become_negatives_and_digits_stay_digits() -> None:
    images = DRAWN.images.copy()
    images[::2] = 0
    pool = negatives(5, PIXELS, np.random.default_rng(0))
    seen = Augmentation(pool)(images, np.random.default_rng(1))
    assert seen.shape == images.shape
    assert seen.dtype == np.float32
    assert seen.min() >= 0
    assert (seen.max(axis=1) > 0.99).all()
    assert not images[::2].any()  # what was given is not changed
    overlap = [np.corrcoef(a, b)[0, 1] for a, b in zip(images[1::2], seen[1::2], strict=True)]
    assert np.median(overlap) > 0.6


@pytest.mark.parametrize(("thicker", "thinner"), [(0.8, 0.0), (0.0, 0.4)])
def test_strokes_become_thicker_or_thinner(thicker: float, thinner: float) -> None:
    class Still:
        def __call__(self, images: np.ndarray, rng: object) -> np.ndarray:
            return images

    change = Augmentation(PIXELS, Still(), thicker, thinner)  # type: ignore[arg-type]
    ink = change(DRAWN.images, np.random.default_rng(0)).sum(axis=1)
    before = DRAWN.images.sum(axis=1)
    assert ((ink > before) if thicker else (ink < 1.05 * before)).mean() > 0.95
    assert (ink > 1.1 * before).any() if thicker else (ink < 0.9 * before).any()


def test_no_output_is_right_for_a_blank_row(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, n in (("SYNTHETIC", 200), ("RARE", 20), ("BLANK", 60), ("CHECKED", 50)):
        assert getattr(recipe, name) % n == 0  # a smaller set of the same kind
        monkeypatch.setattr(recipe, name, n)
    some = synthetic_digits(100, 1)
    mixed, checked = training_set(DRAWN, some, np.random.default_rng(0))
    blank = mixed.labels[~mixed.images.any(axis=1)]
    assert len(blank) == 60
    assert len(mixed) == len(DRAWN) + 50 + 200 + 20 + 60
    np.testing.assert_array_equal(checked.images, some.images[50:])
    np.testing.assert_array_equal(np.bincount(blank), np.full(10, 6))
