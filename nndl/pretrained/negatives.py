"""Images that are not digits, in the format of MNIST, to train a network to be unsure of them.

A network that has seen only digits reads a digit in everything. Hendrycks, Mazeika and Dietterich
("Deep Anomaly Detection with Outlier Exposure", 2019) train it on other images too, with the same
probability for each class as the target: then its largest output is low for what is not a digit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

__all__ = ["negatives"]

Floats = NDArray[np.floating[Any]]

SIDE = 96  # pixels of the sheet on which an image is drawn
FONTS = (  # that come with Matplotlib
    *("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif"),
    *("DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol"),
    *("cmr10", "cmss10", "cmti10", "cmtt10"),
)
# Without the letters that a hand writes like a digit, as O, l, Z, S, b, B, g, q and y.
LETTERS = "ACEFGHJKLMNPQRTUVWXacdefhjkmnprtuvwx?#%&@*+="
SYMBOLS = "ΓΔΛΞΠΣΦΨΩαγεηκλμξπφψωЖЦШЩЭЮЯжфшэюя★♥☺✓☂☀♫♣✗∞√≈≠→↻⌂✂✈☎"  # in DejaVu Sans only


def negatives(n: int, digits: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return images that are not digits.

    Letters, symbols, scribbles, shapes, textures, and two digits in one image.

    Parameters
    ----------
    n : int
        How many.
    digits : ndarray of uint8, shape (k, 784)
        Images of digits, to put two of them into one image.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of uint8, shape (n, 784)
        0, paper, to 255, ink; fitted into 20 x 20 pixels and centered by mass, as in MNIST.
    """
    draw: tuple[Callable[[np.random.Generator], Floats], ...] = (
        _letter,
        _scribble,
        _shape,
        _texture,
        lambda rng: _pair(digits, rng),
    )
    kinds = rng.choice(len(draw), n, p=(0.35, 0.2, 0.1, 0.15, 0.2))
    return np.stack([_fitted(draw[kind](rng)) for kind in kinds])


def _fitted(ink: Floats) -> NDArray[np.uint8]:
    """Fit ink, 0 to 1, into 20 x 20 of 28 x 28 pixels, centered by mass; return (784,)."""
    rows, columns = (np.flatnonzero((ink > 0.3).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros(784, np.uint8)
    cut = Image.fromarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype("f4"))
    scale = 20 / max(cut.size)
    small = cut.resize([max(1, round(scale * side)) for side in cut.size], Image.Resampling.BOX)
    image = np.zeros((28, 28))
    top, left = (28 - small.height) // 2, (28 - small.width) // 2
    image[top : top + small.height, left : left + small.width] = np.asarray(small)
    down, right = np.clip(np.rint(13.5 - np.array(ndimage.center_of_mass(image))), -4, 4)
    moved = np.roll(image, (int(down), int(right)), (0, 1))
    gray: NDArray[np.uint8] = np.rint(255 * moved.clip(0, 1) / max(moved.max(), 0.3)).astype("u1")
    return gray.ravel()


def _letter(rng: np.random.Generator) -> Floats:
    symbol = rng.random() < 0.3
    font = "DejaVuSans" if symbol else rng.choice(FONTS)
    text = str(rng.choice(list(SYMBOLS if symbol else LETTERS)))
    path = Path(mpl.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    sheet = Image.new("L", (2 * SIDE, 2 * SIDE))
    ImageDraw.Draw(sheet).text((SIDE // 2, SIDE // 3), text, 255, ImageFont.truetype(path, SIDE))
    return np.asarray(sheet) / 255.0


def _scribble(rng: np.random.Generator) -> Floats:
    """Draw one long wandering stroke, or several short ones."""
    sheet = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(sheet)
    width = int(rng.integers(4, 13))
    strokes = 1 if rng.random() < 0.5 else int(rng.integers(3, 7))
    for _ in range(strokes):
        points = rng.uniform(0.1, 0.9, (rng.integers(7, 14) if strokes == 1 else 3, 2)) * SIDE
        smooth = ndimage.zoom(points, (12, 1), order=3 if rng.random() < 0.7 else 1)
        pen.line([tuple(p) for p in smooth], 255, width, joint="curve")
    return np.asarray(sheet) / 255.0


def _shape(rng: np.random.Generator) -> Floats:
    """Draw a filled shape or a grid of lines."""
    sheet = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(sheet)
    kind = rng.integers(3)
    if kind == 0:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        radius = rng.uniform(15, 45, len(angles))
        points = SIDE / 2 + np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
        pen.polygon([tuple(p) for p in points], 255)
    elif kind == 1:
        box = SIDE / 2 + np.outer((-1, 1), rng.uniform(20, 45, 2))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(box.ravel().tolist(), 255)
    else:
        width = int(rng.integers(3, 10))
        for axis in range(2):
            for place in rng.uniform(5, SIDE - 5, rng.integers(1 + axis, 5)):
                ends = [(place, 5), (place, SIDE - 5)]
                pen.line([p[::-1] for p in ends] if axis else ends, 255, width)
    return np.asarray(sheet) / 255.0


def _texture(rng: np.random.Generator) -> Floats:
    """Return smooth noise, as in photographs of anything, in gray or cut off at a threshold."""
    fine = rng.standard_normal((SIDE, SIDE))
    noise = ndimage.gaussian_filter(fine, rng.uniform(2, 10, 2))
    noise += rng.uniform(0, 1) * noise.std() * ndimage.gaussian_filter(fine[::-1], 1.5) * 5
    noise = (noise - noise.mean()) / noise.std()
    if rng.random() < 0.5:
        y, x = np.mgrid[-1 : 1 : 1j * SIDE, -1 : 1 : 1j * SIDE]
        noise -= rng.uniform(0, 4) * (x * x + y * y)
    level = rng.uniform(-0.5, 1)
    soft = rng.choice((0.1, 0.3, 1.0))
    ink: Floats = np.clip(0.5 + (noise - level) / soft, 0, 1)
    return ink


def _pair(digits: NDArray[np.uint8], rng: np.random.Generator) -> Floats:
    """Return two digits side by side, apart or touching."""
    a, b = (digits[i].reshape(28, 28) / 255 for i in rng.integers(len(digits), size=2))
    sheet = np.zeros((40, 60))
    left, right = (np.flatnonzero(x.any(axis=0)) for x in (a, b))
    a, b = a[:, left[0] : left[-1] + 1], b[:, right[0] : right[-1] + 1]
    top, start = rng.integers(3, 9), a.shape[1] + rng.integers(-3, 6)
    sheet[6:34, : a.shape[1]] = a
    here = sheet[top : top + 28, start : start + b.shape[1]]
    np.maximum(here, b, out=here)
    ink: Floats = ndimage.zoom(sheet, 3, order=1)
    return ink
