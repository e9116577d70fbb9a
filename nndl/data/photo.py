"""Photographs and drawings of a digit, made like the images of MNIST.

MNIST's digits were black and white, fitted into 20 x 20 pixels, which made them gray, and moved
until their center of mass was at the center of 28 x 28 (LeCun, Cortes and Burges, "The MNIST
database"). A network that was trained on such images reads no others: not ink on paper as a camera
sees it, dark on light, small, in a corner, half in shadow, written with a fine pen. So ink is told
from paper first, and then the same is done to it.
"""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps, UnidentifiedImageError  # Pillow comes with Matplotlib
from scipy import ndimage

from nndl.data.synthetic import center

__all__ = ["mnist_like", "read_picture"]

Floats = NDArray[np.floating[Any]]
# What Pillow raises, beside OSError, for a file that only begins like a picture.
DAMAGED = (ArithmeticError, EOFError, SyntaxError, TypeError, ValueError, struct.error)

SMALLEST, LARGEST = 224, 600  # pixels of the longer side in which ink is told from paper
CONTRAST = 0.12  # by which ink differs from paper, at least, of what lies between black and white
SPECK = 0.04  # of the largest piece of ink: what is smaller is dirt
PEN = 2.2  # pixels of 28 that strokes are wide, at least; MNIST's are


def read_picture(path: str | Path) -> NDArray[np.float64]:
    """Read a picture in any format that Pillow knows, as the camera was held.

    Returns
    -------
    ndarray, shape (height, width), float64
        Brightness from 0, black, to 1, white; what is transparent is white, or black behind a
        drawing that is light and has no dark in it.

    Raises
    ------
    OSError
        If the file cannot be read, is no picture, or has more pixels than Pillow thinks safe.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged notes of the camera
            paper = _on_paper(path)
    except UnidentifiedImageError:
        raise OSError(f"{path} should be a picture, like a PNG or JPEG file, but is none") from None
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise OSError(f"{path} cannot be read as a picture: {error}") from None
    return np.asarray(paper.convert("L"), np.float64) / 255


def _on_paper(path: str | Path) -> Image.Image:
    with Image.open(path) as file:
        picture: Image.Image = ImageOps.exif_transpose(file)
    if picture.mode[0] in "IF":  # more than 8 bits, which convert would cut off
        deep = np.asarray(picture, np.float64)
        full = 65535 if picture.mode.startswith("I;16") else _white(float(deep.max()))
        picture = Image.fromarray((255 * (deep / full).clip(0, 1)).astype(np.uint8))
    picture = picture.convert("RGBA")
    visible = np.asarray(picture.getchannel("A")) > 127
    light = np.asarray(picture.convert("L"))[visible]
    chalk = 0 < visible.mean() < 0.5 and np.percentile(light, 1) > 127
    paper = Image.new("RGBA", picture.size, "black" if chalk else "white")
    paper.alpha_composite(picture)
    return paper


def _white(largest: float) -> float:
    """Return what white is in numbers that do not say how many bits they have."""
    return next((full for full in (1.0, 255.0) if largest <= full), 65535.0)


def mnist_like(picture: ArrayLike) -> NDArray[np.float32]:
    """Make the picture of one digit like an image of MNIST.

    Parameters
    ----------
    picture : array_like, shape (height, width)
        Brightness from 0 to 1, dark on light or light on dark; the digit alone, on paper that may
        be lit unevenly.

    Returns
    -------
    ndarray, shape (784,), float32
        0, paper, to 255/256, ink.

    Raises
    ------
    ValueError
        If the picture has another shape, other values, or nothing that stands out from its paper.
    """
    brightness: Floats = np.asarray(picture, np.float64)
    if brightness.ndim != 2 or min(brightness.shape) < 8:
        raise ValueError(
            "a picture must have the shape (height, width), at least 8 pixels each, not "
            f"{brightness.shape}"
        )
    if not (brightness.min() >= 0 and brightness.max() <= 1):
        raise ValueError(
            "brightness must be from 0, black, to 1, white, not "
            f"from {brightness.min():g} to {brightness.max():g}"
        )
    sides = max(brightness.shape)
    if not SMALLEST <= sides <= LARGEST:
        brightness = _scale(brightness, SMALLEST if sides < SMALLEST else LARGEST)
    ink = _cut_out(_whole_pieces(_ink(brightness)))
    small = _scale(_thicken(ink, PEN * max(ink.shape) / 20), 20)
    image = np.zeros((28, 28), np.float32)
    top, left = (28 - small.shape[0]) // 2, (28 - small.shape[1]) // 2
    image[top : top + small.shape[0], left : left + small.shape[1]] = small
    gray: NDArray[np.float32] = np.rint(255 * center(image.reshape(1, -1))[0])
    return gray / np.float32(256)


def _scale(picture: Floats, side: int) -> Floats:
    """Scale to a longer side of so many pixels; a smaller one is the mean of what it covers."""
    height, width = picture.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture.astype(np.float32)).resize(size, method))


def _ink(brightness: Floats) -> Floats:
    """Return how much ink there is in each pixel, 0 to 1, on paper lit evenly or not."""
    height, width = brightness.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    surfaces = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    # The paper is a smooth surface through most of the pixels: fitted to the edge of the picture,
    # then again and again to all that are near the last one.
    step = 1 + min(height, width) // 100
    terms = surfaces[::step, ::step].reshape(-1, 6)
    values = brightness[::step, ::step].ravel()
    near = np.abs(terms[:, 1:3]).max(axis=1) > 0.9
    for _ in range(8):
        fitted = np.linalg.lstsq(terms[near], values[near], rcond=None)[0]
        distance = np.abs(values - terms @ fitted)
        near = distance <= max(0.02, 5 * np.quantile(distance, 0.3))
    # Of black and white, differences in how much light there is are no ratios any more.
    paper, brightness = (np.clip(a, 0.05, 0.95) for a in (surfaces @ fitted, brightness))
    darker, lighter = 1 - brightness / paper, 1 - (1 - brightness) / (1 - paper)
    depth, most = max(((d, np.percentile(d, 99.9)) for d in (darker, lighter)), key=lambda d: d[1])
    if most < CONTRAST:
        raise ValueError(
            "nothing in the picture stands out from its paper: write larger or darker, or cut the "
            "picture to the digit"
        )
    ink: Floats = np.clip(2 * depth / most - 0.5, 0, 1)
    return ink


def _whole_pieces(ink: Floats) -> Floats:
    """Return the ink without specks."""
    pieces, n = ndimage.label(ink > 0.5, np.ones((3, 3)))
    sizes = ndimage.sum_labels(ink > 0.5, pieces, np.arange(n + 1))
    kept = sizes >= SPECK * sizes.max()
    kept[0] = False
    # And the gray edge around what is kept.
    return np.where(ndimage.binary_dilation(kept[pieces], iterations=2), ink, 0)


def _cut_out(ink: Floats) -> Floats:
    rows, columns = (np.flatnonzero((ink > 0.5).any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _thicken(ink: Floats, width: float) -> Floats:
    """Return strokes at least so many pixels wide, in a box that has grown as much as they."""
    inside = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))
    # In a stroke of width w the mean distance from the paper is w / 4.
    missing = (width - 4 * inside[inside > 0].mean()) / 2
    if missing < 0.5:
        return ink
    room = int(np.ceil(missing))
    distance = ndimage.distance_transform_edt(np.pad(ink, room) <= 0.5)
    thicker: Floats = np.clip(missing + 0.5 - distance, 0, 1)
    return thicker
