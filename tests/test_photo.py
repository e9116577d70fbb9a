"""Photographs of digits: made here from digits whose image in MNIST's manner is known."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from nndl import Network, Settings, train
from nndl.data import Dataset, mnist_like, read_picture, synthetic_digits

Picture = NDArray[np.floating]
DIGITS = synthetic_digits(20, 0).images


def photograph(
    image: Picture,
    *,
    size: int = 6,
    right: float = 0.5,
    down: float = 0.5,
    shade: float = 0.0,
    turn: float = 0.0,
    ink: float = 0.7,
    negative: bool = False,
    margin: int = 60,
) -> Picture:
    """Return a picture of the digit, so many times as large, on noisy paper lit from one side."""
    large = ndimage.zoom(image.reshape(28, 28), size, order=3).clip(0, 1)
    sheet = np.zeros(np.add(large.shape, 2 * margin))
    y, x = round(2 * margin * down), round(2 * margin * right)
    sheet[y : y + len(large), x : x + len(large)] = large
    south, east = np.mgrid[-1 : 1 : 1j * len(sheet), -1 : 1 : 1j * len(sheet)]
    light = 0.7 + shade * (np.cos(turn) * east + np.sin(turn) * south)
    noise = 0.01 * np.random.default_rng(0).standard_normal(sheet.shape)
    picture = np.clip(light * (1 - ink * sheet) + noise, 0, 1)
    return 1 - picture if negative else picture


def alike(a: Picture, b: Picture) -> float:
    """Return the correlation of two images, wherever in the frame they are best laid over."""
    b = b.reshape(28, 28)
    moved = [np.roll(b, (i, j), (0, 1)).ravel() for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return max(float(np.corrcoef(a.ravel(), c)[0, 1]) for c in moved)


@settings(max_examples=25, deadline=None)
@given(
    digit=st.integers(0, len(DIGITS) - 1),
    size=st.integers(3, 6),
    right=st.floats(0, 1),
    down=st.floats(0, 1),
    shade=st.floats(0, 0.2),
    turn=st.floats(0, 6.3),
    ink=st.floats(0.4, 0.9),
    negative=st.booleans(),
)
def test_a_photograph_becomes_the_image_it_was_made_of(
    digit: int,
    size: int,
    right: float,
    down: float,
    shade: float,
    turn: float,
    ink: float,
    negative: bool,
) -> None:
    picture = photograph(
        DIGITS[digit],
        size=size,
        right=right,
        down=down,
        shade=shade,
        turn=turn,
        ink=ink,
        negative=negative,
    )
    image = mnist_like(picture)
    assert image.dtype == np.float32
    assert image.shape == (784,)
    assert image.min() == 0
    assert 0.9 < image.max() < 1
    assert alike(image, DIGITS[digit]) > 0.85


@pytest.mark.parametrize("digit", range(10))
def test_an_image_of_mnist_stays_what_it_is(digit: int) -> None:
    assert alike(mnist_like(DIGITS[digit].reshape(28, 28)), DIGITS[digit]) > 0.85


def test_the_digit_fills_its_box_about_its_center_of_mass() -> None:
    image = mnist_like(photograph(DIGITS[3], size=8, right=0, down=1)).reshape(28, 28)
    rows, columns = np.nonzero(image)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    middle = ndimage.center_of_mass(image)
    assert np.abs(np.subtract(middle, 14)).max() <= 0.5


def test_a_fine_pen_leaves_strokes_as_wide_as_mnists() -> None:
    picture = np.full((400, 400), 0.9)
    picture[50:350, 199:202] = 0.2
    assert mnist_like(picture).reshape(28, 28).sum(axis=1).max() > 1.5
    assert mnist_like(1 - picture).reshape(28, 28).sum(axis=1).max() > 1.5


def test_specks_and_a_shadow_over_a_corner_are_not_ink() -> None:
    clean = photograph(DIGITS[4])
    dirty = clean.copy()
    for y, x in ((5, 5), (20, 200), (270, 30)):
        dirty[y : y + 3, x : x + 3] = 0.1
    assert alike(mnist_like(dirty), mnist_like(clean)) > 0.98


@pytest.mark.parametrize("brightness", [0.0, 0.5, 1.0])
def test_empty_paper_is_said_to_be_empty(brightness: float) -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal((200, 300))
    with pytest.raises(ValueError, match="nothing in the picture stands out"):
        mnist_like(np.clip(brightness + noise, 0, 1))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros(784), r"\(height, width\)"),
        (np.zeros((28, 28, 3)), r"\(height, width\)"),
        (np.zeros((2, 300)), "at least 8"),
        (np.full((28, 28), 255.0), "from 255 to 255"),
        (np.full((28, 28), np.nan), "from nan"),
    ],
)
def test_what_is_no_picture_is_refused(picture: Picture, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mnist_like(picture)


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_any_picture_gives_an_image_or_is_said_to_be_empty(
    height: int, width: int, smooth: int, seed: int
) -> None:
    picture = np.random.default_rng(seed).random((height, width))
    picture = ndimage.gaussian_filter(picture, smooth).round(1)
    try:
        image = mnist_like(picture)
    except ValueError as error:
        if "nothing in the picture stands out" not in str(error):
            raise
        return
    assert np.isfinite(image).all()
    assert 0 == image.min() < image.max() < 1


def test_a_small_digit_on_a_large_sheet_is_found() -> None:
    sheet = np.full((900, 1200), 0.8)
    large = ndimage.zoom(DIGITS[3].reshape(28, 28), 4, order=3).clip(0, 1)
    sheet[700:812, 100:212] -= 0.5 * large
    assert alike(mnist_like(sheet), DIGITS[3]) > 0.85


def bytes_of(picture: Picture, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray((255 * picture).astype(np.uint8)).save(file, kind)
    return file.getvalue()


def test_pictures_are_read_as_the_camera_was_held(tmp_path: Path) -> None:
    upright = photograph(DIGITS[2])
    image = Image.fromarray((255 * upright).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert np.abs(read_picture(tmp_path / "turned.jpg") - upright).mean() < 0.02


def test_colors_transparency_and_16_bits(tmp_path: Path) -> None:
    picture = photograph(DIGITS[2])
    levels = (255 * picture).astype(np.uint8)
    Image.fromarray(levels).convert("RGB").save(tmp_path / "color.png")
    Image.fromarray((65535 * picture).astype(np.uint16)).save(tmp_path / "deep.png")
    glass = np.zeros((*levels.shape, 4), np.uint8)
    glass[..., 3] = 255 - levels  # black ink, thin where the paper is light
    Image.fromarray(glass).save(tmp_path / "glass.png")
    for name in ("color.png", "deep.png", "glass.png"):
        read = read_picture(tmp_path / name)
        assert read.dtype == np.float64
        np.testing.assert_allclose(read, levels / 255, atol=0.006)


def test_chalk_on_nothing_is_read_and_paper_on_nothing_stays_paper(tmp_path: Path) -> None:
    drawing = np.zeros((200, 200), np.uint8)
    drawing[56:140, 56:140] = 255 * ndimage.zoom(DIGITS[3].reshape(28, 28), 3, order=0)
    full = np.full_like(drawing, 255)
    card = np.zeros_like(drawing)
    card[30:170, 30:170] = 255
    corners = full.copy()
    corners[:5, :5] = corners[-5:, -5:] = 0
    for name, light, alpha in (
        ("chalk", full, drawing),
        ("ink", 0 * full, drawing),
        ("card", 255 - drawing, card),
        ("rounded corners", 255 - drawing, corners),
    ):
        Image.fromarray(np.dstack([light] * 3 + [alpha])).save(tmp_path / "x.png")
        seen = mnist_like(read_picture(tmp_path / "x.png"))
        assert alike(seen, DIGITS[3]) > 0.9, name


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_white_is_found_in_numbers_that_do_not_say_how_many_bits_they_have(
    tmp_path: Path, white: float
) -> None:
    picture = np.linspace(0, white, 100, dtype=np.float32).reshape(10, 10)
    Image.fromarray(picture).save(tmp_path / "x.tiff")
    np.testing.assert_allclose(read_picture(tmp_path / "x.tiff"), picture / white, atol=1 / 255)


@pytest.mark.parametrize("content", [b"", b"a letter, no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "digit.png").write_bytes(content)
    with pytest.raises(OSError, match=r"digit\.png"):
        read_picture(tmp_path / "digit.png")
    with pytest.raises(FileNotFoundError, match="absent"):
        read_picture(tmp_path / "absent.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_damaged_pictures_are_errors_of_the_file(tmp_path: Path, kind: str) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "digit"
    whole = bytes_of(photograph(DIGITS[0], size=3, margin=10), kind)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(damaged), 400), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged[: rng.integers(1, len(damaged) + 1)]))
        try:
            read = read_picture(path)
        except OSError:
            continue
        assert read.ndim == 2


def test_photographs_of_mnist_are_read_as_well_as_mnist(
    mnist: tuple[Dataset, Dataset, Dataset],
) -> None:
    training, _, test = mnist
    net = Network([784, 30, 10], rng=0)
    train(net, training, Settings(epochs=2), rng=0, progress=False)
    images, labels = test.images[:100], test.labels[:100]
    seen = [
        mnist_like(photograph(image, size=5, shade=0.15, negative=i % 2 == 1))
        for i, image in enumerate(images)
    ]
    right = [int((net.predict(x) == labels).sum()) for x in (images, np.stack(seen))]
    assert right[1] >= right[0] - 3
