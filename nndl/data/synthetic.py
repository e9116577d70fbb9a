"""Synthetic handwritten digits, for computers without access to MNIST.

A digit is a skeleton of strokes, each a quadratic B-spline over control points. Random variations
move the control points, bend and slant the digit, and change the pressure of the pen. The digit is
then normalized like those of MNIST: anti-aliased, scaled into 20 x 20 pixels, and moved by whole
pixels until its center of mass is at the center of 28 x 28.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nndl.dataset import Dataset, check_dtype

__all__ = ["center", "synthetic_digits"]

Floats = NDArray[np.float32]

# Digit, weight of the style, and its strokes: control points "x,y" in percent of a unit box, with y
# downward; ";" begins a new stroke, "!" makes a corner. A stroke begins and ends in its first and
# last point; between them it passes near the points, as a spline does. Styles of weight 0 are rare
# in MNIST, and are drawn only where all styles are.
SKELETONS = (
    (0, 3.0, "48,0 12,4 -6,40 -2,85 26,103 56,98 80,70 80,25 58,0 40,-1 30,6"),  # closed
    (0, 2.0, "34,8 4,30 -4,75 20,104 54,102 80,70 82,25 64,-3 42,2"),  # open at the top
    (0, 2.0, "66,14 44,-4 10,15 -6,60 14,104 52,104 82,60 74,6 48,-2 30,14"),  # ends crossing
    (0, 1.5, "34,2 66,-4 84,40 74,90 40,106 3,95 -8,50 10,8 38,-4 50,8"),  # clockwise
    (0, 1.0, "52,18 34,0 6,18 -6,60 15,104 52,104 80,60 74,6 44,-4 36,36"),  # ends inside
    (0, 0.3, "46,0 10,4 -8,40 -2,85 26,103 56,98 80,70 80,25 58,0 40,-1; 76,5 10,95"),  # slashed
    (1, 10.0, "54,0 50,50 46,100"),  # a line
    (1, 4.0, "66,0 50,50 34,100"),  # leaning
    (1, 1.5, "62,0 48,45 46,100"),  # bent like (
    (1, 1.5, "44,0 54,50 52,100"),  # bent like )
    (1, 1.0, "28,20! 52,0! 48,100"),  # flag
    (1, 0.8, "8,40! 52,0! 46,100"),  # long flag
    (1, 1.3, "28,18! 52,0! 48,100; 16,100 82,100"),  # flag and foot
    (1, 0.0, "0,46! 56,0! 52,100"),  # flag half as long as the stem
    (1, 0.0, "24,16! 52,0! 50,100; 4,100 96,100"),  # flag and wide foot
    (2, 3.0, "6,24 10,-2 50,-6 68,18 55,55 0,100! 75,100"),  # straight base
    (2, 2.0, "5,22 15,-2 55,-6 68,20 55,58 25,95 5,104 -4,86 15,74 40,90 60,100 85,90"),  # loop
    (2, 2.5, "6,26 14,-4 62,-8 76,30 50,68 18,100 -4,98 -2,78 22,72 52,84 98,98"),  # wide loop
    (2, 2.0, "4,24 16,-6 66,-6 72,34 60,72 26,104 -6,102 -2,80 26,74 48,88 60,108"),  # like d
    (2, 0.5, "24,32 0,28 2,0 50,-8 70,20 52,58 20,98 -2,98 -2,80 20,74 50,90 90,98"),  # curled
    (2, 1.5, "0,6 35,0 70,0! 0,100! 75,98"),  # like Z
    (2, 1.5, "8,18 30,-6 66,4 62,45 28,84 2,100! 30,92 55,104 90,94"),  # base like a wave
    (2, 1.0, "0,22 12,0 38,0 42,30 20,65 0,98! 30,88 75,90"),  # small head
    (2, 0.7, "12,18 24,-4 50,4 44,34 10,72 6,98 30,104 66,94"),  # round base
    (3, 3.0, "2,14 23,-4 60,-2 62,36 24,46! 68,46 76,86 42,108 2,92"),  # round
    (3, 1.5, "3,0 60,0! 28,40! 68,42 78,85 42,108 2,94"),  # flat top
    (3, 1.5, "3,12 33,-6 64,8 52,40 25,50 20,42 35,40 72,52 70,95 36,106 2,90"),  # looped waist
    (3, 1.5, "4,10 43,-6 64,16 44,44 34,46 70,56 68,92 38,108 2,96"),  # shallow waist
    (3, 1.5, "6,10 22,-4 54,-4 56,24 26,50! 50,40 68,56 60,92 20,106 -12,98"),  # long tail
    (3, 1.0, "2,4 58,-4! 18,46! 62,46 70,80 54,102 4,102"),  # angular
    (3, 1.0, "4,8 30,-4 56,2 50,26 26,44! 60,48 66,66 40,100"),  # short tail
    (3, 0.8, "0,20 18,-4 44,-2 44,24 30,48! 56,40 66,56 56,100"),  # like m
    (4, 2.0, "14,0 4,58! 76,54; 60,4 54,100"),  # open
    (4, 1.5, "55,0! 0,64! 78,64; 56,0 52,100"),  # closed
    (4, 2.0, "12,0 0,46 12,62 44,54 62,46; 66,0 56,100"),  # round
    (4, 2.0, "12,0 2,50 26,62 60,46 66,4! 52,100"),  # one stroke, like y
    (4, 1.5, "30,2 4,48! 70,44; 52,18 42,100"),  # short stem
    (4, 0.7, "20,4 0,40 10,54 40,50 56,40 60,8! 20,4! 60,8! 56,100"),  # closed with a flat top
    (4, 1.0, "8,4 4,50! 92,46; 70,0 62,100"),  # wide
    (4, 1.0, "26,0 2,70! 84,66; 62,34 54,100"),  # low bar
    (4, 0.0, "50,0! 0,38! 52,40!; 50,0 52,100"),  # a triangle on a stem, unlike a 9's bow
    (4, 0.0, "62,0! 2,60! 62,60!; 62,0 60,100"),  # a triangle, and a bar that ends at the stem
    (5, 2.0, "14,0 9,44! 32,32 72,44 68,92 37,108 2,94; 14,0 74,-2"),  # separate bar
    (5, 3.0, "77,0 18,0! 11,44! 42,28 74,52 62,98 32,106 2,95"),  # one stroke
    (5, 1.5, "73,4 28,-2 3,24 30,44 64,56 62,92 32,108 2,94"),  # like S
    (5, 2.0, "92,-4 38,2! 23,46! 54,44 64,76 42,102 2,92"),  # long bar
    (5, 1.5, "27,8 21,46! 46,34 72,52 62,92 32,106 2,92; 31,8 95,-2"),  # loose bar
    (5, 0.7, "19,6 16,44! 50,28 84,54 66,98 26,108 -2,88 10,70; 19,6 71,0"),  # bowl almost closed
    (5, 1.0, "90,-4 36,4! 20,40! 46,48 52,70 34,98 24,104"),  # hook
    (6, 2.0, "52,0 18,16 -2,62 5,98 40,106 64,84 50,54 25,54 4,78"),  # curved stem
    (6, 1.5, "56,10 44,-6 12,10 -4,62 5,98 40,106 60,84 46,54 22,56 4,80"),  # hooked stem
    (6, 2.0, "48,0 22,30 2,70 15,102 45,102 62,80 45,58 20,64 8,86"),  # straight stem
    (6, 2.0, "17,0 3,40 0,82 20,105 56,102 68,74 46,54 20,58 4,80"),  # upright
    (6, 2.5, "12,0 0,45 2,80 20,104 50,102 68,76 58,52 40,52 22,66 14,88"),  # wide bowl
    (6, 2.5, "28,0 4,50 0,85 15,104 45,102 66,70 50,46 26,68 12,92"),  # pointed bowl
    (6, 1.5, "22,0 2,40 0,85 25,106 62,95 66,62 44,50 26,62"),  # open bowl
    (7, 3.0, "-4,2 66,0! 29,100"),  # plain
    (7, 2.0, "-4,6 36,-2 72,0 54,40 35,100"),  # curved
    (7, 2.0, "-4,2 66,0! 33,100; 8,54 76,50"),  # barred
    (7, 0.7, "-4,4 60,0! 44,100; 0,62 86,58"),  # barred low
    (7, 1.0, "-2,20 2,-2 56,-6 66,20 44,60 38,100; 14,52 80,46"),  # barred, curved
    (7, 1.5, "-4,22 -2,0! 66,0! 38,100"),  # serif
    (7, 1.5, "-4,34! -2,2! 68,0! 64,100"),  # long serif, upright
    (7, 1.0, "-4,16! 11,0 36,8 66,0! 33,100"),  # wavy top
    (7, 1.5, "1,8 46,-8 76,14 64,50 38,100"),  # like )
    (7, 1.0, "-4,2 56,0! 56,100"),  # upright
    (7, 1.0, "14,12! 62,0! 34,100"),  # small head
    (7, 0.0, "-6,26 14,0 34,16! 72,-2! 34,100; 4,52 84,46"),  # barred, with a wave like a flag
    (8, 4.0, "62,14 38,-6 2,8 12,38 46,56 68,84 38,110 0,90 12,60 44,40 64,14 48,-2"),  # from S
    (8, 0.6, "34,0 2,2 2,44 34,46 66,44 66,2 34,0; 34,46 -4,48 -4,104 34,102 74,104 74,48 34,46"),
    (8, 1.5, "68,6 38,-4 4,6 14,38 42,56 56,84 32,108 6,90 16,60 44,36 72,4"),  # open top
    (8, 1.0, "8,10 30,36 60,70 50,104 22,106 8,84 30,56 60,22 48,-4 20,-4 4,14 26,34"),  # left
    (8, 1.5, "62,14 38,-6 -4,10 10,44 46,66 54,90 38,108 18,92 24,66 50,44 66,14 46,-4"),  # top
    (8, 1.5, "56,10 38,-4 16,8 22,34 56,54 74,84 38,112 -4,92 8,60 40,40 56,14 42,0"),  # bottom
    (8, 0.7, "88,0 38,-4 -2,10 14,40 46,62 42,104 16,106 8,84 30,54 64,26 72,0"),  # like &
    (8, 1.5, "50,12 38,-4 22,8 24,30 40,54 54,84 38,108 20,86 30,56 46,34 52,10"),  # slender
    (8, 1.2, "74,10 36,-8 0,8 6,40 40,50 78,64 76,104 36,108 -6,104 -4,62 38,48 72,40 70,4 44,-4"),
    (9, 3.0, "57,18 32,-6 0,12 2,48 34,52 57,24 59,4! 56,100"),  # straight stem
    (9, 1.5, "57,16 32,-6 0,12 4,48 36,50 59,12! 60,70 44,106 6,96"),  # hooked stem
    (9, 1.0, "56,14 32,-6 2,6 4,40 38,46 58,12 64,40 62,90 40,108 8,100 2,86"),  # like g
    (9, 1.5, "48,0 6,10 4,48 38,46 60,4! 54,100"),  # open loop
    (9, 3.0, "62,20 36,-6 4,16 8,50 38,50 62,14 50,60 36,100"),  # slanting stem
    (9, 1.0, "61,14 34,-8 -6,14 -6,56 32,68 59,36 63,8! 62,100"),  # large loop
    (9, 1.5, "46,12 28,-6 4,8 6,36 30,40 48,10! 42,60 40,100"),  # small loop
    (9, 0.7, "54,0 8,4 0,46 34,52 59,30; 63,8 60,50 54,100"),  # two strokes
    (9, 1.5, "62,2 30,-4 0,20 6,48 36,46 62,26 54,60 36,100"),  # loop and stem in one bow
)

# The variation between writers: standard deviations unless noted.
POINT, DRAG = 0.11, 2.0  # of a control point, in units of the box; and how many neighbors follow it
TREMOR = 0.02  # of a control point independently
BEND = 0.10  # of each coefficient of a cubic warp of [-1, 1] x [-1, 1]
SLANT = (0.11, 0.23)  # mean and deviation of the shear
WIDTH = 0.18  # of the logarithm of the width
TURN = 0.10  # of the rotation, in radians
RADIUS = (0.17, 0.32)  # mean and deviation of the logarithm of the pen's radius, in pixels
PRESSURE = 0.20  # of the same logarithm along the path
UNTIDY = 1.8  # deviations at which normal numbers are clipped

PEN = (1.13, 1.13, 1.08, 1.05, 1.0, 1.0, 1.04, 1.06, 0.98, 0.93)  # factor of the radius by digit
THIN, THICK = 0.55, 3.4  # limits of the radius
SOFT = 0.55  # half the width of the anti-aliased edge, in pixels
DOTS = 96  # circles of ink along the path
SHEET = 1_000  # digits drawn at a time: bounds the memory


def synthetic_digits(
    n: int,
    rng: np.random.Generator | int,
    dtype: DTypeLike = np.float32,
    *,
    all_styles: bool = False,
) -> Dataset:
    """Draw digits that look like those of MNIST.

    Parameters
    ----------
    n : int
        How many. Every ten in a row are the ten digits in random order.
    rng : numpy.random.Generator or int
        Determines the digits: the same state gives the same digits.
    dtype : float32, float64 or uint8
        Of the images.
    all_styles : bool
        Draw each style of a digit as often as the others, also those that are rare in MNIST, such
        as a 1 with a foot, a 4 that is a triangle on a stem, or a 7 with a bar.

    Returns
    -------
    Dataset
        Images (n, 784), values k/256 with whole k from 0 to 255, or k as uint8; and labels (n,) of
        int64.

    Raises
    ------
    ValueError
        If n is negative or dtype is not one of the three.
    """
    if n < 0:
        raise ValueError(f"the number of digits must be 0 or more, but is {n}")
    check_dtype(dtype)
    rng = np.random.default_rng(rng)
    tens = np.tile(np.arange(10), (-(-n // 10), 1))
    labels = rng.permuted(tens, axis=1).ravel()[:n]
    styles = [_skeleton(strokes) for _, _, strokes in SKELETONS]
    images, unit = np.empty((n, 784), dtype), 1 if np.dtype(dtype) == np.uint8 else 256
    for start in range(0, n, SHEET):
        sheet = slice(start, start + SHEET)
        path = _bend(_write(labels[sheet], styles, rng, all_styles), rng)
        radius = _press(labels[sheet], rng)
        images[sheet] = np.rint(255 * center(_ink(_fit(path, radius), radius))) / unit
    return Dataset(images, labels, "synthetic digits")


def _skeleton(strokes: str) -> tuple[Floats, Floats]:
    """Return mean (DOTS, 2) and spread (DOTS, k): a path is mean + spread @ normals (k, 2)."""
    pens = [stroke.split() for stroke in strokes.split(";")]
    points = np.array([word.rstrip("!").split(",") for pen in pens for word in pen], float) / 100
    curves, first = [], 0
    for pen in pens:
        # The spline passes through a point that is there twice: a corner, or an end.
        ends = (0, len(pen) - 1)
        times = [2 if i in ends or word.endswith("!") else 1 for i, word in enumerate(pen)]
        curves.append(_spline(np.eye(len(points))[np.repeat(np.arange(len(pen)) + first, times)]))
        first += len(pen)
    lengths = [_length(curve @ points) for curve in curves]
    shares = np.cumsum([0.0] + [length[-1] for length in lengths])
    counts = np.diff(np.rint(shares * (DOTS / shares[-1])).astype(int))
    # Dots at equal distances along each stroke.
    dots = np.concatenate(
        [
            curve[np.searchsorted(length, np.linspace(0, length[-1], count))]
            for curve, length, count in zip(curves, lengths, counts, strict=True)
        ]
    )
    apart = np.subtract.outer(np.arange(first), np.arange(first)) / DRAG
    covariance = POINT**2 * np.exp(-(apart**2) / 2) + TREMOR**2 * np.eye(first)
    spread = dots @ np.linalg.cholesky(covariance)
    return (dots @ points).astype(np.float32), spread.astype(np.float32)


def _spline(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of the quadratic B-spline with control points p (k, d), densely, in order."""
    t = np.linspace(0, 1, 40)[:, None, None]
    pieces = (1 - t) ** 2 / 2 * p[:-2] + (0.5 + t - t * t) * p[1:-1] + t * t / 2 * p[2:]
    return pieces.swapaxes(0, 1).reshape(-1, p.shape[1])


def _length(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of the path (m, 2) up to each of its points, (m,)."""
    steps = np.diff(path, axis=0, prepend=path[:1])
    return np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))


def _write(
    labels: NDArray[np.int64],
    styles: list[tuple[Floats, Floats]],
    rng: np.random.Generator,
    all_styles: bool,
) -> Floats:
    """Return the path of the pen for each label, (n, DOTS, 2), in the unit box."""
    digits, weights = np.array([style[:2] for style in SKELETONS]).T
    if all_styles:
        weights = np.ones_like(weights)
    path = np.empty((len(labels), DOTS, 2), np.float32)
    for digit in range(10):
        rows = np.flatnonzero(labels == digit)
        mine = np.flatnonzero(digits == digit)
        chosen = rng.choice(mine, len(rows), p=weights[mine] / weights[mine].sum())
        for style in mine:
            mean, spread = styles[style]
            here = rows[chosen == style]
            path[here] = mean + spread @ _normal(rng, len(here), spread.shape[1], 2)
    return path


def _bend(path: Floats, rng: np.random.Generator) -> Floats:
    """Warp, slant, stretch and turn each path."""
    n = len(path)
    low, high = path.min(axis=1, keepdims=True), path.max(axis=1, keepdims=True)
    path = (2 * path - low - high) / (high - low).max(axis=2, keepdims=True)
    x, y = path[:, :, 0], path[:, :, 1]
    cubic = np.stack([x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3], axis=2)
    path = path + cubic @ (BEND * _normal(rng, n, 7, 2))
    slant = SLANT[0] + SLANT[1] * _normal(rng, n, 1)
    width = np.exp(WIDTH * _normal(rng, n, 1))
    turn = TURN * _normal(rng, n, 1)
    cos, sin = np.cos(turn), np.sin(turn)
    x, y = width * path[:, :, 0] - slant * path[:, :, 1], path[:, :, 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=2)


def _press(labels: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Return the radius of the pen along each path, (n, DOTS), in pixels."""
    n = len(labels)
    along = np.linspace(0, np.pi, DOTS, dtype=np.float32)
    waves = np.stack([np.cos(k * along) / k for k in (1, 2, 3)])
    radius = RADIUS[0] + RADIUS[1] * _normal(rng, n, 1) + PRESSURE * _normal(rng, n, 3) @ waves
    return np.clip(np.exp(radius) * np.array(PEN, np.float32)[labels, None], THIN, THICK)


def _fit(path: Floats, radius: Floats) -> Floats:
    """Scale and move each path: its ink fills 20 of 28 pixels, whose centers are whole numbers."""
    low, high = path.min(axis=1, keepdims=True), path.max(axis=1, keepdims=True)
    # Ink fades out SOFT beyond the radius: on the centers of the pixels around the box.
    margin = radius.max(axis=1)[:, None, None] + (SOFT - 0.5)
    scale = (20 - 2 * margin) / (high - low).max(axis=2, keepdims=True)
    fitted: Floats = (path - (low + high) / 2) * scale + 13.5
    return fitted


def _ink(path: Floats, radius: Floats) -> Floats:
    """Return images (n, 784), values 0 to 1, of the dots of each path, anti-aliased."""
    depth = np.full(len(path) * 784, -SOFT, np.float32)  # of a pixel's center in the ink
    # Only the pixels that the widest dot of a digit can reach are visited. Those of one dot are
    # distinct, so that plain indexing takes the maximum.
    reaches = np.ceil(radius.max(axis=1) + (SOFT - 0.5)).astype(np.int64)
    for reach in np.unique(reaches):
        rows = np.flatnonzero(reaches == reach)
        window = np.arange(-reach, reach + 1)
        centers = np.rint(path[rows]).astype(np.int64)
        squares = ((centers - path[rows])[..., None] + window.astype(np.float32)) ** 2
        corners = rows[:, None] * 784 + centers @ (1, 28)
        offsets = np.add.outer(28 * window, window)
        for dot in range(DOTS):
            x, y = squares[:, dot, 0, None, :], squares[:, dot, 1, :, None]
            pixels = corners[:, dot, None, None] + offsets
            inside = radius[rows, dot, None, None] - np.sqrt(x + y)
            depth[pixels] = np.maximum(depth[pixels], inside)
    cover: Floats = np.clip(0.5 + depth / (2 * SOFT), 0, 1).reshape(-1, 784)
    return cover


def center(images: Floats) -> Floats:
    """Move each image (n, 784) by whole pixels; its center of mass comes near pixel (14, 14)."""
    squares = images.reshape(-1, 28, 28)
    pixel = np.arange(28)
    mass = images.sum(axis=1)
    center = np.stack([squares.sum(axis=2) @ pixel, squares.sum(axis=1) @ pixel]) / mass
    # At most 4: the ink, which keeps 4 pixels from the edge, stays on the paper.
    down, right = np.clip(np.rint(14 - center), -4, 4).astype(np.int64)
    image = np.arange(len(images))[:, None, None]
    row = (pixel - down[:, None])[:, :, None] % 28
    column = (pixel - right[:, None])[:, None, :] % 28
    moved: Floats = squares[image, row, column].reshape(-1, 784)
    return moved


def _normal(rng: np.random.Generator, *shape: int) -> Floats:
    return np.clip(rng.standard_normal(shape, dtype=np.float32), -UNTIDY, UNTIDY)
