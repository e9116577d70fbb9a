"""More training images from those at hand: shifts, affine and elastic distortions.

A transform is a callable ``transform(images, rng)`` that returns a new chunk of rows. Training
applies it chunk by chunk, so that no two epochs see the same images; `materialize` keeps them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nndl.batches import Transform, checked
from nndl.dataset import Dataset

__all__ = [
    "ElasticDistortion",
    "RandomAffine",
    "RandomShift",
    "affine",
    "materialize",
    "shift",
    "shifted_fivefold",
]

Images = NDArray[np.floating]

CHUNK = 500  # images at a time: what one step works on stays in the cache


def shift(images: NDArray[Any], dx: int, dy: int) -> NDArray[Any]:
    """Move images by whole pixels; zeros come in from outside.

    Parameters
    ----------
    images : ndarray, shape (n, side * side)
        Of any dtype, which is kept.
    dx, dy : int
        Pixels to the right and downwards; negative to the left and upwards.

    Returns
    -------
    ndarray, shape (n, side * side)
        A new array.

    Raises
    ------
    ValueError
        If a row is not a square image.
    """
    squares = _squares(images)
    side = squares.shape[1]
    moved = np.zeros_like(squares)
    to_y, from_y = _overlap(dy, side)
    to_x, from_x = _overlap(dx, side)
    moved[:, to_y, to_x] = squares[:, from_y, from_x]
    return moved.reshape(images.shape)


def shifted_fivefold(dataset: Dataset) -> Dataset:
    """Return the images of a data set, then all of them one pixel up, down, left and right.

    The book's expanded set (chapter 3, section "Other techniques for regularization", and
    ``expand_mnist.py``), in this order instead of shuffled. For the 50,000 images of MNIST in
    float32 it takes 0.8 GB; `RandomShift` takes none.

    Raises
    ------
    ValueError
        If a row is not a square image.
    """
    n = len(dataset)
    images = np.empty((5 * n, dataset.images.shape[1]), dataset.images.dtype)
    moves = [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)]
    for i, (dx, dy) in enumerate(moves):
        images[i * n : (i + 1) * n] = shift(dataset.images, dx, dy)
    return Dataset(images, np.tile(dataset.labels, 5), f"{dataset.name}, shifted fivefold")


def materialize(
    dataset: Dataset, transform: Transform, times: int, rng: np.random.Generator | int
) -> Dataset:
    """Return the images of a data set followed by transformed copies of all of them.

    Parameters
    ----------
    dataset : Dataset
        Of n float images.
    transform : callable
        ``transform(images, rng)``, called with chunks of rows.
    times : int
        The size of the result in units of n: 1 copies the data set, 5 adds four copies.
    rng : numpy.random.Generator or int
        Passed on to the transform.

    Raises
    ------
    ValueError
        If times is less than 1, or the transform refuses the images.
    """
    if times < 1:
        raise ValueError(f"times must be 1 or more, but is {times}; 5 adds four transformed copies")
    rng = np.random.default_rng(rng)
    images = np.tile(dataset.images, (times, 1))
    for start in range(len(dataset), len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        chunk[...] = checked(transform(chunk, rng), chunk.shape)
    return Dataset(images, np.tile(dataset.labels, times), f"{dataset.name}, expanded {times}-fold")


def affine(images: Images, matrices: ArrayLike, translations: ArrayLike = (0.0, 0.0)) -> Images:
    """Map each image by p -> matrix @ (p - c) + c + translation, with bilinear interpolation.

    Points are p = (x, y) with x to the right and y downwards in pixels, and c is the center of
    the image. Outside the image all is 0.

    Parameters
    ----------
    images : ndarray of float32 or float64, shape (k, side * side)
    matrices : array_like, shape (2, 2) or (k, 2, 2)
        Each must have an inverse.
    translations : array_like, shape (2,) or (k, 2)
        Pixels.

    Returns
    -------
    ndarray, shape (k, side * side)
        A new array of the same dtype.

    Raises
    ------
    ValueError
        If the images are not floats in rows of square images.
    numpy.linalg.LinAlgError
        If a matrix has no inverse.
    """
    squares = _squares(images, floats=True)
    k = len(squares)
    matrices = np.broadcast_to(np.asarray(matrices, float), (k, 2, 2))
    translations = np.broadcast_to(np.asarray(translations, float), (k, 2))
    return _bilinear(squares, *_affine_source(squares, matrices, translations))


@dataclass(frozen=True)
class RandomShift:
    """Move each image by whole pixels, each of (2 * pixels + 1)^2 moves being equally likely.

    With ``pixels=1`` a stream in place of the book's fivefold set; it moves along diagonals too.

    Raises
    ------
    ValueError
        If pixels is not a whole number of at least 0.
    """

    pixels: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.pixels, int) or self.pixels < 0:
            raise ValueError(f"pixels must be a whole number, 0 or more, but is {self.pixels!r}")

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        """Return new images (k, side * side) of the same dtype."""
        squares = _squares(images)
        k, side, _ = squares.shape
        p = self.pixels
        padded = np.pad(squares, ((0, 0), (p, p), (p, p)))
        start = rng.integers(2 * p + 1, size=(2, k, 1)) + np.arange(side)
        rows, columns = start[0][:, :, None], start[1][:, None, :]
        moved: Images = padded[np.arange(k)[:, None, None], rows, columns]
        return moved.reshape(images.shape)


@dataclass(frozen=True)
class RandomAffine:
    """Scale, skew, turn and move each image at random, in this order.

    Every amount is uniform between minus and plus its parameter, and is drawn for each image.

    Parameters
    ----------
    rotation : float
        Degrees.
    skew : float
        Pixels to the right per pixel upwards.
    scale : float
        Of width and height, each on its own, around 1: 0.15 gives factors of 0.85 to 1.15.
    translation : float
        Pixels, along x and y each on its own.

    Raises
    ------
    ValueError
        If a parameter is negative, not finite, or scale is not less than 1.
    """

    rotation: float = 15.0
    skew: float = 0.1
    scale: float = 0.15
    translation: float = 1.0

    def __post_init__(self) -> None:
        _require_amounts(self, "rotation", "skew", "scale", "translation")
        if self.scale >= 1:
            raise ValueError(f"scale must be less than 1, but is {self.scale}")

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        """Return new images (k, side * side) of the same dtype."""
        return affine(images, *self.draw(len(images), rng))

    def draw(
        self, k: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return k matrices (k, 2, 2) and translations (k, 2), as `affine` takes them."""
        amounts = rng.uniform(-1, 1, (6, k))
        angle = math.radians(self.rotation) * amounts[0]
        skew = self.skew * amounts[1]
        width, height = 1 + self.scale * amounts[2:4]
        cos, sin = np.cos(angle), np.sin(angle)
        # rotation @ [[1, -skew], [0, 1]] @ diag(width, height)
        matrices = np.array(
            [
                [cos * width, (-sin - cos * skew) * height],
                [sin * width, (cos - sin * skew) * height],
            ]
        )
        return np.moveaxis(matrices, 2, 0), self.translation * amounts[4:].T


@dataclass(frozen=True)
class ElasticDistortion:
    """Move each pixel by a smooth random field: Simard, Steinkraus and Platt (2003).

    Both components of the field are uniform in (-1, 1) at every pixel and are smoothed by a
    Gaussian, with nothing outside the image. The paper then normalizes the field "to a norm of
    1" and multiplies it by alpha. Here the norm is the Euclidean one over all pixels and both
    components, so that the root mean square displacement is alpha / side for every image:
    34 / 28 = 1.2 pixels.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian, in pixels; the paper takes 4.
    alpha : float
        Strength, in pixels times side; the paper takes 34.
    affine : RandomAffine or None
        A distortion to apply as well, in the same interpolation.

    Raises
    ------
    ValueError
        If sigma is not positive, alpha is negative, or one of them is not finite.
    """

    sigma: float = 4.0
    alpha: float = 34.0
    affine: RandomAffine | None = None

    def __post_init__(self) -> None:
        _require_amounts(self, "sigma", "alpha")
        if self.sigma == 0:
            raise ValueError("sigma must be positive, but is 0; alpha=0 switches the field off")

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        """Return new images (k, side * side) of the same dtype."""
        squares = _squares(images, floats=True)
        k, side, _ = squares.shape
        pixel = np.arange(side, dtype=squares.dtype)
        gauss = np.exp(-(np.subtract.outer(pixel, pixel) ** 2) / (2 * self.sigma**2))
        # A product from the left and one from the right smooth along both axes.
        field = gauss @ (2 * rng.random((k, 2, side, side), squares.dtype) - 1) @ gauss
        norm = np.sqrt(np.einsum("kcyx,kcyx->k", field, field))
        field *= (self.alpha / norm)[:, None, None, None]
        if self.affine is None:
            x, y = pixel, pixel[:, None]
        else:
            x, y = _affine_source(squares, *self.affine.draw(k, rng))
        return _bilinear(squares, x + field[:, 0], y + field[:, 1])


def _require_amounts(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number, 0 or more, but is {value!r}")


def _squares(images: NDArray[Any], floats: bool = False) -> NDArray[Any]:
    """Return rows (k, side * side) as a view (k, side, side)."""
    side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
    if side == 0 or side**2 != images.shape[1]:
        advice = (
            "flatten them with images.reshape(len(images), -1)"
            if images.ndim != 2
            else "pad them to squares, or do without"
        )
        raise ValueError(
            f"images must be rows of square images, as (n, 784), but are {images.shape}; {advice}"
        )
    if floats and images.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"images must be float32 or float64, but are {images.dtype}; "
            "convert them with (images / 256).astype(numpy.float32)"
        )
    return images.reshape(len(images), side, side)


def _overlap(d: int, side: int) -> tuple[slice, slice]:
    """Where pixels go to and come from along an axis of which they move by d."""
    d = max(-side, min(d, side))
    return slice(max(d, 0), side + min(d, 0)), slice(max(-d, 0), side - max(d, 0))


def _affine_source(
    squares: Images, matrices: NDArray[np.float64], translations: NDArray[np.float64]
) -> tuple[Images, Images]:
    """Return x and y, each (k, side, side), of the points that the map of `affine` brings here."""
    k, side, _ = squares.shape
    center = (side - 1) / 2
    inverse = np.linalg.inv(matrices)
    constant = center - np.einsum("kij,kj->ki", inverse, translations)
    a, b, c, d = inverse.astype(squares.dtype).reshape(k, 4).T[:, :, None, None]
    x0, y0 = constant.astype(squares.dtype).T[:, :, None, None]
    x = (np.arange(side) - center).astype(squares.dtype)
    y = x[:, None]
    return a * x + b * y + x0, c * x + d * y + y0


def _bilinear(squares: Images, x: Images, y: Images) -> Images:
    """Read images (k, side, side) at points x, y (k, side, side), with 0 outside; return rows.

    Three times as fast as ``scipy.ndimage.map_coordinates(order=1, mode="grid-constant")``.
    """
    k, side, _ = squares.shape
    width = side + 3  # one pixel of zeros before, two after: right and down exist everywhere
    padded = np.pad(squares, ((0, 0), (1, 2), (1, 2))).ravel()
    x = np.clip(x + 1, 0, side + 1)
    y = np.clip(y + 1, 0, side + 1)
    column, row = x.astype(np.intp), y.astype(np.intp)
    x -= column
    y -= row
    first = np.arange(k)[:, None, None] * width**2
    pixel = row * width + column + first
    upper = _between(padded.take(pixel), padded[1:].take(pixel), x)
    lower = _between(padded[width:].take(pixel), padded[width + 1 :].take(pixel), x)
    return _between(upper, lower, y).reshape(k, side**2)


def _between(start: Images, end: Images, fraction: Images) -> Images:
    """Return start + fraction * (end - start), in the memory of end."""
    end -= start
    end *= fraction
    end += start
    return end
