"""More training images from those at hand: shifts, affine and elastic distortions.

A transform is a callable ``transform(images, rng)`` that returns new rows. Training applies it to
chunks of rows, so that no two epochs see the same images; `materialize` keeps the results.

Images are rows. Rows of a square number of pixels are square images; for others, every function and
transform takes ``shape``, (height, width) or (maps, height, width), as `nndl.Dataset` has it. The
maps of an image are moved together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nndl.batches import Transform
from nndl.dataset import Dataset
from nndl.validation import check_transform, check_transformed

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
Shape = tuple[int, ...] | None
Points = Callable[[slice, Images, Images], None]
"""Writes x and y, each (b, height, width), of the points to read in a slice of b images."""

POSITIONS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))  # (dx, dy): the book's expanded images
CHUNK = 500  # images that `materialize` gives to a transform at a time
BLOCK = 2**15  # pixels that are interpolated at a time: their arrays stay in the cache
LARGEST = 2**24  # pixels of an image with its margin: float32 counts no further


def shift(images: NDArray[Any], dx: int, dy: int, shape: Shape = None) -> NDArray[Any]:
    """Move images by whole pixels; zeros come in from outside.

    Parameters
    ----------
    images : ndarray, shape (n, n_in)
        Of any dtype, which is kept.
    dx, dy : int
        Pixels to the right and downward; negative to the left and upward.
    shape : tuple of int, optional
        Of an image that is not square.

    Returns
    -------
    ndarray, shape (n, n_in)
        A new array.

    Raises
    ------
    ValueError
        If a row is not a square image, or does not have the shape.
    """
    maps = _as_maps(images, shape)
    height, width = maps.shape[2:]
    moved = np.zeros_like(maps)
    to_y, from_y = _overlap(dy, height)
    to_x, from_x = _overlap(dx, width)
    moved[:, :, to_y, to_x] = maps[:, :, from_y, from_x]
    return moved.reshape(images.shape)


def shifted_fivefold(dataset: Dataset) -> Dataset:
    """Return the images of a data set, then all of them one pixel up, down, left and right.

    The book's expanded set (chapter 3, section "Other techniques for regularization", and
    ``expand_mnist.py``), in this order instead of shuffled. For the 50,000 images of MNIST in
    float32 it takes 0.8 GB; `RandomShift` takes none.

    Raises
    ------
    ValueError
        If the images are not square and the data set does not have their shape.
    """
    n = len(dataset)
    images = np.empty((5 * n, dataset.images.shape[1]), dataset.images.dtype)
    for i, (dx, dy) in enumerate(POSITIONS):
        images[i * n : (i + 1) * n] = shift(dataset.images, dx, dy, dataset.shape)
    return dataset.repeated(5, images, f"{dataset.name}, shifted fivefold")


def materialize(
    dataset: Dataset, transform: Transform, times: int, rng: np.random.Generator | int
) -> Dataset:
    """Return the images of a data set followed by transformed copies of all of them.

    Parameters
    ----------
    dataset : Dataset
        Of n images; uint8 only if the transform takes it, as `RandomShift` does.
    transform : callable
        ``transform(images, rng)``, called with chunks of rows.
    times : int
        The size of the result in units of n: 1 copies the data set, 5 adds four copies.
    rng : numpy.random.Generator or int
        Passed on to the transform.

    Raises
    ------
    ValueError
        If times is less than 1, the transform refuses the images, or it has no shape and the
        images have several maps.
    """
    if times < 1:
        raise ValueError(f"times must be 1 or more, but is {times}; 5 adds four transformed copies")
    check_transform(transform, dataset)
    rng = np.random.default_rng(rng)
    images = np.tile(dataset.images, (times, 1))
    for start in range(len(dataset), len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        chunk[...] = check_transformed(transform(chunk, rng), chunk.shape)
    return dataset.repeated(times, images, f"{dataset.name}, expanded {times}-fold")


def affine(
    images: Images,
    matrices: ArrayLike,
    translations: ArrayLike = (0.0, 0.0),
    shape: Shape = None,
) -> Images:
    """Map each image by p -> matrix @ (p - c) + c + translation, with bilinear interpolation.

    Points are p = (x, y) with x to the right and y downward in pixels, and c is the center of
    the image. Outside the image all is 0.

    Parameters
    ----------
    images : ndarray of float32 or float64, shape (k, n_in)
    matrices : array_like, shape (2, 2) or (k, 2, 2)
        Each must have an inverse.
    translations : array_like, shape (2,) or (k, 2)
        Pixels.
    shape : tuple of int, optional
        Of an image that is not square.

    Returns
    -------
    ndarray, shape (k, n_in)
        A new array of the same dtype.

    Raises
    ------
    ValueError
        If the images are not floats in rows of square images, do not have the shape, or have
        more than 16 million pixels; if a matrix or a translation is not finite.
    numpy.linalg.LinAlgError
        If a matrix has no inverse.
    """
    maps = _as_maps(images, shape, floats=True)
    k = len(maps)
    matrices = np.broadcast_to(np.asarray(matrices, float), (k, 2, 2))
    translations = np.broadcast_to(np.asarray(translations, float), (k, 2))
    for name, values in (("matrices", matrices), ("translations", translations)):
        finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        if not finite.all():
            raise ValueError(
                f"{name} must be finite numbers, but those of image {finite.argmin()} are not"
            )
    return _warp(maps, _affine_points(maps, matrices, translations)).reshape(images.shape)


@dataclass(frozen=True)
class RandomShift:
    """Move each image by whole pixels, each of (2 * pixels + 1)^2 moves being equally likely.

    With ``pixels=1`` it takes the place of the book's fivefold set, without its memory; it moves
    along diagonals, too.

    Parameters
    ----------
    pixels : int
        The largest move along each axis.
    shape : tuple of int, optional
        Of an image that is not square.

    Raises
    ------
    ValueError
        If pixels is not an integer of at least 0.
    """

    pixels: int = 1
    shape: Shape = None

    def __post_init__(self) -> None:
        if not isinstance(self.pixels, int) or self.pixels < 0:
            raise ValueError(f"pixels must be a whole number, 0 or more, but is {self.pixels!r}")

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        """Return new images (k, n_in) of the same dtype."""
        maps = _as_maps(images, self.shape)
        k, _, height, width = maps.shape
        p = self.pixels
        padded = np.pad(maps, ((0, 0), (0, 0), (p, p), (p, p)))
        start = rng.integers(2 * p + 1, size=(2, k, 1))
        rows = (start[0] + np.arange(height))[:, :, None]
        columns = (start[1] + np.arange(width))[:, None, :]
        # Indices around a slice put the dimension of the maps last.
        moved = padded[np.arange(k)[:, None, None], :, rows, columns]
        return np.moveaxis(moved, 3, 1).reshape(images.shape)


@dataclass(frozen=True)
class RandomAffine:
    """Scale, skew, rotate and move each image at random, in this order.

    Every amount is uniform between minus and plus its parameter, and is drawn for each image.

    Parameters
    ----------
    rotation : float
        Degrees.
    skew : float
        Pixels to the right per pixel upward.
    scale : float
        Of width and height, independently, around 1: 0.15 gives factors of 0.85 to 1.15.
    translation : float
        Pixels, along x and y independently.
    shape : tuple of int, optional
        Of an image that is not square.

    Raises
    ------
    ValueError
        If a parameter is negative or not finite, or scale is not less than 1.
    """

    rotation: float = 15.0
    skew: float = 0.1
    scale: float = 0.15
    translation: float = 1.0
    shape: Shape = None

    def __post_init__(self) -> None:
        _require_amounts(self, "rotation", "skew", "scale", "translation")
        if self.scale >= 1:
            raise ValueError(f"scale must be less than 1, but is {self.scale}")

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        """Return new images (k, n_in) of the same dtype."""
        return affine(images, *self.draw(len(images), rng), self.shape)

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
    components, so that the root mean square displacement is alpha / sqrt(height * width) for every
    image: 34 / 28 = 1.2 pixels.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian, in pixels; the paper takes 4.
    alpha : float
        Strength, in pixels times the side of the image; the paper takes 34.
    affine : RandomAffine or None
        A distortion to apply as well, in the same interpolation.
    shape : tuple of int, optional
        Of an image that is not square.

    Raises
    ------
    ValueError
        If sigma is less than 0.01, alpha is negative, or one of them is not finite.
    """

    sigma: float = 4.0
    alpha: float = 34.0
    affine: RandomAffine | None = None
    shape: Shape = None

    def __post_init__(self) -> None:
        _require_amounts(self, "sigma", "alpha")
        if self.sigma < 0.01:  # the field is not smoothed any more, and its squares underflow
            raise ValueError(
                f"sigma must be 0.01 or more, but is {self.sigma}; alpha=0 switches the field off"
            )

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        """Return new images (k, n_in) of the same dtype."""
        maps = _as_maps(images, self.shape, floats=True)
        k, _, height, width = maps.shape
        field: Images = rng.random((k, 2, height, width), maps.dtype)
        origin = _affine_points(maps, *self.affine.draw(k, rng)) if self.affine else _pixels(maps)
        along_x, along_y = self._gaussian(width, maps.dtype), self._gaussian(height, maps.dtype)
        product = np.empty((_block_size(maps), 2, height, width), maps.dtype)

        def points(block: slice, x: Images, y: Images) -> None:
            noise = field[block]
            noise -= 0.5  # uniform in (-1, 1) but for a factor, which the norm takes away
            # A product from the left and one from the right smooth along both axes.
            half = np.matmul(along_y, noise, out=product[: len(noise)])
            np.matmul(half, along_x, out=noise)
            norm = np.sqrt(np.einsum("kcyx,kcyx->k", noise, noise))
            noise *= (self.alpha / norm)[:, None, None, None]
            origin(block, x, y)
            x += noise[:, 0]
            y += noise[:, 1]

        return _warp(maps, points).reshape(images.shape)

    def _gaussian(self, n: int, dtype: DTypeLike) -> Images:
        """Return the matrix (n, n) that smooths n values by a Gaussian, up to a factor."""
        pixel = np.arange(n, dtype=dtype)
        gaussian: Images = np.exp(-(np.subtract.outer(pixel, pixel) ** 2) / (2 * self.sigma**2))
        return gaussian


def _require_amounts(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number, 0 or more, but is {value!r}")


def _as_maps(images: NDArray[Any], shape: Shape, floats: bool = False) -> NDArray[Any]:
    """Return rows (k, n_in) as a view (k, maps, height, width)."""
    n_in = images.shape[1] if images.ndim == 2 else 0
    side = math.isqrt(n_in)
    sides = (side, side) if shape is None else tuple(shape)
    if len(sides) not in (2, 3) or math.prod(sides) != n_in or n_in == 0:
        advice = (
            "flatten them with images.reshape(len(images), -1)"
            if images.ndim != 2
            else "give shape=(height, width), as the Dataset has it"
        )
        raise ValueError(
            f"images must be rows of {'square images' if shape is None else f'shape {shape}'}, "
            f"as (n, {math.prod(sides) if shape else 784}), but are {images.shape}; {advice}"
        )
    if floats and images.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"images must be float32 or float64, but are {images.dtype}; "
            "convert them with (images / 256).astype(numpy.float32)"
        )
    return images.reshape(len(images), math.prod(sides[:-2]), *sides[-2:])


def _overlap(d: int, side: int) -> tuple[slice, slice]:
    """Where pixels go to and come from along an axis of which they move by d."""
    d = max(-side, min(d, side))
    return slice(max(d, 0), side + min(d, 0)), slice(max(-d, 0), side - max(d, 0))


def _block_size(maps: Images) -> int:
    """Return how many images are interpolated at a time."""
    return max(1, min(len(maps), BLOCK // math.prod(maps.shape[2:])))


def _pixels(maps: Images) -> Points:
    """Return a function that writes the points of the pixels themselves."""
    height, width = maps.shape[2:]

    def points(_: slice, x: Images, y: Images) -> None:
        x[...] = np.arange(width)
        y[...] = np.arange(height)[:, None]

    return points


def _affine_points(
    maps: Images, matrices: NDArray[np.float64], translations: NDArray[np.float64]
) -> Points:
    """Return a function that writes the points which the map of `affine` brings to the pixels."""
    height, width = maps.shape[2:]
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    inverse = np.linalg.inv(matrices)
    constant = center - np.einsum("kij,kj->ki", inverse, translations)
    a, b, c, d = inverse.astype(maps.dtype).reshape(-1, 4).T[:, :, None, None]
    x0, y0 = constant.astype(maps.dtype).T[:, :, None, None]
    columns = (np.arange(width) - center[0]).astype(maps.dtype)
    rows = (np.arange(height) - center[1]).astype(maps.dtype)[:, None]

    def points(block: slice, x: Images, y: Images) -> None:
        np.add(a[block] * columns, b[block] * rows, out=x)
        np.add(c[block] * columns, d[block] * rows, out=y)
        x += x0[block]
        y += y0[block]

    return points


def _warp(maps: Images, points: Points) -> Images:
    """Return images (k, maps, height, width) that are read at other points, block by block."""
    k, n_maps, height, width = maps.shape
    if (height + 3) * (width + 3) > LARGEST:
        raise ValueError(
            f"images must have fewer than {LARGEST:,} pixels, but have {height} x {width}: make "
            "them smaller first"
        )
    warped = np.empty_like(maps)
    size = _block_size(maps)
    bilinear = _Bilinear(size, height, width, maps.dtype)
    for start in range(0, k, size):
        block = slice(start, min(start + size, k))
        bilinear.place(points, block)
        for i in range(n_maps):
            bilinear.read(maps[block, i], warped[block, i])
    return warped


class _Bilinear:
    """Bilinear interpolation in blocks of at most n images, with 0 outside them.

    Several times as fast as ``scipy.ndimage.map_coordinates(order=1, mode="grid-constant")``: its
    arrays are few, are made once, and stay in the cache.
    """

    def __init__(self, n: int, height: int, width: int, dtype: DTypeLike) -> None:
        self.height, self.width, self.stride = height, width, width + 3
        # One pixel of zeros before, and two after: right and down exist everywhere.
        self.padded = np.zeros((n, height + 3, width + 3), dtype)
        self.first = self.padded[0].size * np.arange(n, dtype=dtype)[:, None, None]
        self.index = np.empty((n, height, width), np.intp)
        self.x_and_y = [np.empty((n, height, width), dtype) for _ in range(2)]
        self.corners = [np.empty((n, height, width), dtype) for _ in range(4)]

    def place(self, points: Points, block: slice) -> None:
        """Set the points to read for a block of images."""
        b = block.stop - block.start
        self.x, self.y = x, y = [values[:b] for values in self.x_and_y]
        points(block, x, y)
        column, row = (corner[:b] for corner in self.corners[:2])
        for values, end in ((x, self.width + 1), (y, self.height + 1)):
            values += 1
            np.fmax(values, 0, out=values)  # NaN is outside as well: `take` would not end for it
            np.minimum(values, end, out=values)
        np.floor(x, out=column)
        np.floor(y, out=row)
        x -= column
        y -= row
        # The index is exact in floats, which are faster to compute with than integers.
        row *= self.stride
        row += column
        row += self.first[:b]
        np.copyto(self.index[:b], row, casting="unsafe")

    def read(self, images: Images, out: Images) -> None:
        """Write images (b, height, width), read at the points, to ``out``."""
        b = len(images)
        self.padded[:b, 1:-2, 1:-2] = images
        pixels = self.padded.ravel()
        corners = [corner[:b] for corner in self.corners]
        steps = (0, 1, self.stride, self.stride + 1)
        for corner, step in zip(corners, steps, strict=True):
            # mode="wrap" writes into out directly; the default checks into a buffer first.
            pixels[step:].take(self.index[:b], out=corner, mode="wrap")
        left, right, lower_left, lower_right = corners
        upper = _between(left, right, self.x)
        out[...] = _between(upper, _between(lower_left, lower_right, self.x), self.y)


def _between(start: Images, end: Images, fraction: Images) -> Images:
    """Return start + fraction * (end - start), in the memory of end."""
    end -= start
    end *= fraction
    end += start
    return end
