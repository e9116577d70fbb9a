"""Pictures of digits, drawn here from digits whose image in MNIST's format is known."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo
from scipy import ndimage

from nndl import Dataset, Network, Settings, train
from nndl.cli import predict
from nndl.cli.errors import CommandError, UsageError
from nndl.data import mnist_like, read_picture, synthetic_digits
from nndl.data.photo import files, open_picture, png, read_digits
from nndl.data.photo.ink import Ink, find_ink
from nndl.data.photo.plot import plot_readings
from nndl.data.photo.rules import without_rules
from nndl.pretrained import pretrained
from nndl.storage import save as save_network

Picture = NDArray[np.floating]
DRAWN = synthetic_digits(200, 0)
DIGITS = DRAWN.images
NET = pretrained()


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
    """Return a picture of the digit, enlarged size times, on noisy paper lit from one side."""
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
    digit=st.integers(0, 19),
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


def test_photographs_of_mnist_are_read_as_well_as_mnist(
    mnist: tuple[Dataset, Dataset, Dataset],
) -> None:
    training, _, test = mnist
    net = Network([784, 30, 10], rng=0)
    train(net, training, Settings(epochs=2), rng=0, progress=False)
    images, labels = test.images[:60], test.labels[:60]
    seen = [
        mnist_like(photograph(image, size=4, margin=40, shade=0.15, negative=i % 2 == 1))
        for i, image in enumerate(images)
    ]
    right = [int((net.predict(x) == labels).sum()) for x in (images, np.stack(seen))]
    assert right[1] >= right[0] - 2


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
def test_other_arrays_are_refused(picture: Picture, message: str) -> None:
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


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
def test_pictures_are_read_as_the_camera_was_held(suffix: str, tmp_path: Path) -> None:
    upright = photograph(DIGITS[2])[:-8]  # wider than high
    image = Image.fromarray((255 * upright).astype(np.uint8)).convert("RGB")
    exif = Image.Exif()
    path = tmp_path / f"turned.{suffix}"
    turns = {6: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180}
    for exif[0x0112], turn in turns.items():  # 6: turn by 90 degrees to see it upright
        image.transpose(turn).save(path, exif=exif, quality=95)
        picture = open_picture(path)
        assert picture.size == image.size
        assert np.abs(picture.brightness - upright).mean() < 0.02


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
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, levels / 255, atol=0.006)


def test_light_ink_on_transparency_gets_black_paper(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("content", [b"", b"a letter", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_not_a_picture_is_named(tmp_path: Path, content: bytes) -> None:
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


def sheet(rows: list[list[int]], *, size: int = 3, wave: int = 0) -> tuple[Picture, str]:
    """Return a picture of drawn digits in lines, and their text."""
    side = 28 * size
    paper = np.full((len(rows) * (side + 20) + 60, max(map(len, rows)) * side + 60), 0.85)
    text = []
    for i, row in enumerate(rows):
        for j, k in enumerate(row):
            large = ndimage.zoom(DIGITS[k].reshape(28, 28), size, order=3).clip(0, 1)
            top = 30 + i * (side + 20) + round(wave * np.sin(j))
            paper[top : top + side, 30 + j * side : 30 + (j + 1) * side] -= 0.6 * large
        text.append("".join(str(DRAWN.labels[k]) for k in row))
    noise = 0.01 * np.random.default_rng(0).standard_normal(paper.shape)
    return np.clip(paper + noise, 0, 1), "/".join(text)


def test_a_stroke_that_fades_stays_whole() -> None:
    fading = np.linspace(1, 0.3, 28)[:, None]
    picture = photograph(DIGITS[4])
    faded = photograph((DIGITS[4].reshape(28, 28) * fading).ravel())
    assert alike(mnist_like(faded), mnist_like(picture)) > 0.9


def test_a_faint_part_of_a_digit_is_kept_beside_a_dark_one() -> None:
    drawn = np.where(np.arange(28) < 13, 1, 0.4) * DIGITS[0].reshape(28, 28)
    ink = find_ink(photograph(drawn.ravel(), ink=0.9), light=False, local=False)
    assert ink is not None
    whole = photograph(DIGITS[0], ink=0.9) < 0.4
    assert (ink.mask & whole).sum() > 0.95 * whole.sum()


@pytest.mark.parametrize("digit", range(10))
def test_a_crop_without_margin_is_read_like_one_with_margin(digit: int) -> None:
    image = DIGITS[digit].reshape(28, 28)
    rows, columns = (np.flatnonzero((image > 0.3).any(axis=axis)) for axis in (1, 0))
    tight = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    crop = 0.9 - 0.7 * ndimage.zoom(tight, 6, order=1).clip(0, 1)
    with_margin = read_digits(NET, photograph(image.ravel())).text
    assert read_digits(NET, crop).text == read_digits(NET, 1 - crop).text == with_margin


def test_lines_and_neighbors_at_the_edge_are_dropped() -> None:
    clean = photograph(DIGITS[2])
    box = clean.copy()
    box[4:7] = box[-7:-4] = box[:, 4:7] = box[:, -7:-4] = 0.2
    box[100:180, :12] = 0.2  # the rest of a neighbor
    cell = box[5:-5, 5:-5]
    assert alike(mnist_like(cell), mnist_like(clean)) > 0.95
    assert read_digits(NET, cell).text == read_digits(NET, clean).text


def ruled(depth: float, degrees: float = 0.0) -> Picture:
    """Return a picture of five digits on ruled paper, which they touch."""
    digits = np.concatenate(list(DRAWN.images[:5].reshape(-1, 28, 28)), axis=1)
    ink = np.pad(digits.repeat(3, axis=0).repeat(3, axis=1), 60)
    paper = np.full_like(ink, 0.93)
    for row in (57, 58):
        paper[row::75] -= depth
    picture = np.minimum(paper, 0.93 - 0.7 * ink)
    return ndimage.rotate(picture, degrees, reshape=False, order=1, mode="nearest").clip(0, 1)


@pytest.mark.parametrize("degrees", [-3.0, 0.0, 1.0])
@pytest.mark.parametrize("depth", [0.0, 0.2, 0.3, 0.4])
def test_digits_on_ruled_lines_are_read(depth: float, degrees: float) -> None:
    text = "".join(map(str, DRAWN.labels[:5]))
    assert read_digits(NET, ruled(depth, degrees)).text == text


def test_a_reading_is_unsure_if_much_ink_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nndl.data.photo.reading.without_rules", lambda ink: None)
    reading = read_digits(NET, ruled(0.3))
    assert reading.unsure
    assert reading.left_out > 0.5


def test_lines_are_taken_out_of_the_ink_and_strokes_joined_across_them() -> None:
    mask = np.zeros((100, 200), bool)
    mask[49:51] = mask[20:80, 60:66] = True  # a line and a stroke across it
    mask[30:33, 100:180] = True  # a stroke of 0.4 of the width
    mask[99] = True  # the edge of the paper
    found = without_rules(Ink(mask.astype(np.float32), mask))
    assert found is not None
    expected = mask.copy()
    expected[49:51] = False
    expected[49:51, 60:66] = True
    np.testing.assert_array_equal(found.mask, expected)
    mask = np.zeros((100, 200), bool)
    mask[20:80, 60:66] = True
    assert without_rules(Ink(mask.astype(np.float32), mask)) is None


def test_a_digit_that_touches_the_edge_is_kept() -> None:
    picture = photograph(DIGITS[1], margin=0)
    rows = np.flatnonzero((picture < 0.5).any(axis=1))
    cut = picture[rows[0] :]
    assert alike(mnist_like(cut), mnist_like(picture)) > 0.9
    assert read_digits(NET, cut).text == str(DRAWN.labels[1])


def test_a_reflection_is_not_taken_for_the_ink() -> None:
    picture = 0.5 * photograph(DIGITS[7], margin=100)
    y, x = np.mgrid[: len(picture), : len(picture)]
    picture += 0.6 * np.exp(-((x - 30) ** 2 + (y - 40) ** 2) / 100)
    assert read_digits(NET, picture.clip(0, 1)).text == str(DRAWN.labels[7])


def test_faint_pencil_is_read() -> None:
    clean = 0.8 * (1 - 0.08 * (photograph(DIGITS[3]) < 0.5))
    noise = 0.004 * np.random.default_rng(0).standard_normal(clean.shape)
    assert read_digits(NET, clean + noise).text == str(DRAWN.labels[3])


def test_folded_paper_is_followed_by_its_local_brightness() -> None:
    picture, text = sheet([[0, 1, 2, 3, 4, 5, 6, 7]])
    picture[:, 200:330] *= 0.75
    picture[:, 500:] *= 0.85
    read = read_digits(NET, picture).lines[-1]
    assert sum(str(d.digit) == c for d, c in zip(read, text, strict=True)) >= 7


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("local", [False, True])
def test_ink_is_what_was_drawn(light: bool, local: bool) -> None:
    picture = photograph(DIGITS[0], size=2, margin=150, shade=0.1, negative=light)
    ink = find_ink(picture, light=light, local=local)
    assert ink is not None
    drawn = photograph(DIGITS[0], size=2, margin=150) < 0.45
    assert (ink.mask & drawn).sum() > 0.95 * drawn.sum()
    assert (ink.mask & ~ndimage.binary_dilation(drawn, iterations=2)).sum() < 0.05 * drawn.sum()


@pytest.mark.parametrize("wave", [0, 25])
def test_lines_of_digits_are_read_from_the_top_and_from_the_left(wave: int) -> None:
    picture, text = sheet([list(range(10)), list(range(10, 17)), list(range(20, 30))], wave=wave)
    reading = read_digits(NET, picture)
    same = sum(a == b != "/" for a, b in zip(reading.text, text, strict=True))
    assert same >= 23  # of 27: the program draws some badly
    assert list(map(len, reading.lines)) == [10, 7, 10]


def test_boxes_are_in_pixels_of_the_file() -> None:
    picture, _ = sheet([[0, 1]])
    reading = read_digits(NET, picture)
    twice = read_digits(NET, picture, (2 * picture.shape[1], 2 * picture.shape[0]))
    for digit, large, left in zip(reading.digits, twice.digits, (30, 114), strict=True):
        x, y, width, height = digit.box
        assert left <= x < x + width <= left + 84
        assert 30 <= y < y + height <= 114
        assert 55 <= max(width, height) <= 65  # MNIST's 20 pixels, three times as large
        np.testing.assert_allclose(large.box, np.multiply(2, digit.box), atol=1)


@pytest.mark.parametrize("depth", [10, 12, 14, 16])
def test_white_is_found_in_16_bit_files_of_fewer_bits(tmp_path: Path, depth: int) -> None:
    picture = np.linspace(0, 1, 100).reshape(10, 10)
    numbers = np.rint((2**depth - 1) * picture).astype(np.uint16)
    for suffix in (".png", ".tiff"):
        Image.fromarray(numbers).save(tmp_path / f"x{suffix}")
        read = read_picture(tmp_path / f"x{suffix}")
        np.testing.assert_allclose(read, picture, atol=1 / 255)


def test_of_several_frames_the_first_is_read_and_the_number_reported(tmp_path: Path) -> None:
    first, *others = (
        Image.fromarray((255 * photograph(DIGITS[i])).astype(np.uint8)) for i in range(3)
    )
    for name in ("x.gif", "x.tiff", "x.png"):
        first.save(tmp_path / name, save_all=True, append_images=others)
        picture = open_picture(tmp_path / name)
        assert picture.frames == 3, name
        assert np.abs(picture.brightness - np.asarray(first) / 255).max() < 0.02, name


def test_heic_is_read_or_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    Image.init()  # else the formats are registered in the list below, and lost with it
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        without.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
        with pytest.raises(OSError, match=r"pillow-heif; install it .* or convert"):
            read_picture(path)
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    picture = photograph(DIGITS[0])
    Image.fromarray((255 * picture).astype(np.uint8)).convert("RGB").save(path, quality=90)
    assert np.abs(read_picture(path) - picture).mean() < 0.02


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            read_picture(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as on Linux")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_81_megapixels_are_read_in_less_than_300_megabytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"large{suffix}"
    picture = Image.new("L" if suffix == ".tif" else "RGB", (9000, 9000), "white")
    picture.paste("black", (4000, 2000, 4600, 7000))
    picture.save(path)
    program = (
        "import json, re, sys\n"
        "from nndl.data.photo import open_picture, read_digits\n"
        "from nndl.pretrained import pretrained\n"
        "picture = open_picture(sys.argv[1])\n"
        "reading = read_digits(pretrained(), picture.brightness, picture.size)\n"
        "peak = int(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1])\n"
        "print(json.dumps([reading.text, reading.digits[0].box, peak]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    text, box, peak = json.loads(done.stdout)
    assert text == "1"
    np.testing.assert_allclose(box, (4000, 2000, 600, 5000), atol=30)
    assert peak < 300_000  # KiB


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGB with a transparent color"])
def test_a_png_file_is_the_same_in_strips_as_whole(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y, x = np.mgrid[:300, :400]
    noise = 40 * np.random.default_rng(0).random((4, 300, 400))
    levels = np.stack([x * (k + 1) / 5 + y / 3 + noise[k] for k in range(4)], axis=-1) % 256
    levels[:100, :200] = 255  # where other filters are chosen
    colors = Image.fromarray(levels.astype(np.uint8)[..., : 4 if mode == "RGBA" else 3])
    if " " in mode:
        colors.info["transparency"] = (255, 255, 255)
    colors.save(tmp_path / "x.png")
    monkeypatch.setattr(files, "LONGEST", 200)
    monkeypatch.setattr(files, "BAND", 20_000)
    whole = read_picture(tmp_path / "x.png")
    monkeypatch.setattr(files, "STRIPS", 0)
    monkeypatch.setattr(files, "_bands", None)
    np.testing.assert_array_equal(read_picture(tmp_path / "x.png"), whole)


def test_damage_to_a_png_file_in_strips_is_an_error_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    path = tmp_path / "x.png"
    Image.fromarray(colors).save(path)
    good = path.read_bytes()
    middle = len(good) // 2
    damaged = good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :]
    monkeypatch.setattr(files, "STRIPS", 0)
    for content, message in ((good[:middle], "truncated"), (damaged, "IDAT|data")):
        path.write_bytes(content)
        with pytest.raises(OSError, match=rf"x\.png cannot be read.*({message})"):
            read_picture(path)


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("compressed", [False, True])
def test_the_orientation_that_imagemagick_writes_is_read_without_decoding(
    compressed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()  # "Exif\0\0" and a TIFF directory
    text = PngInfo()
    profile = f"\nexif\n{len(data):8d}\n{data.hex()}\n"
    text.add_text("Raw profile type exif", profile, zip=compressed)
    levels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "x.png", pnginfo=text)
    whole = open_picture(tmp_path / "x.png")
    assert whole.size == (60, 80)
    monkeypatch.setattr(files, "STRIPS", 0)
    load = PngImageFile.load

    def load_a_strip(picture: PngImageFile) -> object:
        assert picture.size != (80, 60), "the whole picture is decoded"
        return load(picture)

    monkeypatch.setattr(PngImageFile, "load", load_a_strip)
    in_strips = open_picture(tmp_path / "x.png")
    assert in_strips.size == (60, 80)
    np.testing.assert_array_equal(in_strips.brightness, whole.brightness)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tRNS", bytes(4_000_000)),
        20_000 * chunk(b"tRNS", bytes(6)),
        100 * chunk(b"tRNS", bytes(40_000)),
    ],
    ids=["huge", "repeated", "both"],
)
@pytest.mark.parametrize("place", ["before", "between"])
def test_transparent_colors_too_large_or_too_many_take_no_memory(
    place: str, extra: bytes, tmp_path: Path
) -> None:
    levels = np.random.default_rng(0).integers(1, 256, (300, 200, 3), np.uint8)
    path = tmp_path / "x.png"
    Image.fromarray(levels).save(path, transparency=(1, 2, 3))
    png_file = path.read_bytes()
    before = png_file[: png_file.index(b"IDAT") - 4]
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in levels))
    first, rest = chunk(b"IDAT", pixels[:1000]), chunk(b"IDAT", pixels[1000:])
    middle = extra + first + rest if place == "before" else first + extra + rest
    path.write_bytes(before + middle + chunk(b"IEND", b""))
    with Image.open(path) as picture:
        tracemalloc.start()
        try:
            rows = [np.asarray(strip.convert("RGB")) for strip in png.strips(path, picture, 30)]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    np.testing.assert_array_equal(np.concatenate(rows), levels)
    assert peak < 1_500_000


def save(picture: Picture, path: Path) -> str:
    Image.fromarray((255 * picture).astype(np.uint8)).save(path)
    return str(path)


def test_predict_prints_json_and_fails_only_if_nothing_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, text = sheet([[0, 1], [2]])
    good = save(picture, tmp_path / "good.png")
    blank = save(np.full((50, 50), 0.9), tmp_path / "blank.png")
    bad = str(tmp_path / "absent.png")
    assert predict.main(["--json", bad, good, blank]) == 0
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert first.keys() == {"file", "error"}
    assert first["file"] == bad
    assert second["file"] == good
    assert second["text"] == text
    assert second["unsure"] is False
    assert [d["digit"] for d in second["digits"]] == [int(c) for c in text if c != "/"]
    assert all(0.6 < d["probability"] <= 1 and len(d["box"]) == 4 for d in second["digits"])
    assert "stands out" in third.pop("error")
    assert third == {"file": blank, "text": "", "digits": [], "unsure": True}
    assert predict.main(["--json", bad, blank]) == 1


def test_predict_draws_what_it_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.png"
    one = save(photograph(DIGITS[0]), tmp_path / "one.png")
    many = save(sheet([[0, 1, 2]])[0], tmp_path / "many.png")
    assert predict.main([one, many, "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{one}: {DRAWN.labels[0]}  (probability ")
    assert printed[1].startswith(f"{many}: {''.join(map(str, DRAWN.labels[:3]))}  (3 digits, ")
    assert read_picture(out).shape[1] > 500
    with pytest.raises(UsageError, match="give another --out"):
        predict.main([one, "--out", one])


def test_predict_says_that_only_the_first_pictures_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "DIGITS", 2)
    many = save(sheet([[0, 1, 2]])[0], tmp_path / "many.png")
    assert predict.main([many, many, "--out", str(tmp_path / "out.png")]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("what the network saw of the first 1 of 2 pictures is in ")


def test_more_pieces_than_can_be_read_are_named() -> None:
    picture = np.full((400, 400), 0.9)
    for y, x in np.ndindex(13, 13):
        picture[10 + 30 * y : 25 + 30 * y, 12 + 30 * x : 18 + 30 * x] = 0.1
    with pytest.raises(ValueError, match="more than 150 pieces of ink: cut it into parts"):
        read_digits(NET, picture)


def test_the_drawing_has_a_box_and_an_image_for_each_digit(tmp_path: Path) -> None:
    pictures = [open_picture(save(sheet([[0, 1, 2]])[0], tmp_path / "x.png"))] * 2
    readings = [read_digits(NET, p.brightness, p.size) for p in pictures]
    fig = plot_readings(pictures, readings)
    boxes = [len(ax.patches) for ax in fig.axes if ax.patches]
    assert boxes == [3, 3]
    seen = [ax for ax in fig.axes if not ax.patches]
    assert len(seen) == 6
    np.testing.assert_array_equal(
        np.ravel(seen[0].images[0].get_array()), readings[0].digits[0].image
    )


def test_another_network_is_given_by_flag_or_as_the_first_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, other = tmp_path / "net.npz", tmp_path / "other.npz"
    save_network(NET, path)
    save_network(Network([4, 3, 2], rng=0), other)
    picture = save(photograph(DIGITS[0]), tmp_path / "x.png")
    outputs = []
    for args in ([picture], ["--network", str(path), picture], [str(path), picture]):
        assert predict.main(["--json", *args]) == 0
        outputs.append(capsys.readouterr().out)
    assert len(set(outputs)) == 1
    with pytest.raises(CommandError, match="takes 4 numbers"):
        predict.main([str(other), picture])
    with pytest.raises(SystemExit):
        predict.main([str(path)])
