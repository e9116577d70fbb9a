"""A digit's ink as an image of MNIST's format."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from nndl.data.photo.segment import Piece
from nndl.data.synthetic import center

__all__ = ["image_of", "stroke_width"]

Floats = NDArray[np.floating[Any]]
FINE = 100  # pixels of the longer side, at least, while strokes are thickened
PEN = 2.2  # pixels of 28 that strokes are wide, at least, as in MNIST


def image_of(depth: Floats, labels: NDArray[np.int32], piece: Piece) -> NDArray[np.float32]:
    """Return a piece of ink as an image.

    It is scaled to fit 20 x 20 pixels, with strokes at least as wide as MNIST's, and moved until
    its center of mass is at the center of 28 x 28.

    Parameters
    ----------
    depth : ndarray, shape (height, width)
        Of the picture's ink.
    labels : ndarray of int, shape (height, width)
        Numbers of its connected components.
    piece : Piece

    Returns
    -------
    ndarray, shape (784,), float32
        0, paper, to 255/256, ink.
    """
    room = 2  # pixels around the box, for the soft edge of strokes
    rows = slice(max(0, piece.top - room), piece.bottom + room)
    box = (rows, slice(max(0, piece.left - room), piece.right + room))
    own = np.isin(labels[box], piece.labels)
    soft = np.clip(2 * depth[box] - 0.5, 0, 1)
    mine = np.where(own, np.maximum(soft, 0.75), soft)  # where the pen pressed less
    mine = np.where(ndimage.binary_dilation(own, iterations=room), mine, 0)
    ys, xs = (np.flatnonzero((mine > 0.5).any(axis=axis)) for axis in (1, 0))
    mine = mine[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    if max(mine.shape) < FINE:
        mine = _scaled(mine, FINE)
    small = _scaled(_thickened(mine, PEN * max(mine.shape) / 20), 20)
    image = np.zeros((28, 28), np.float32)
    top, left = (28 - small.shape[0]) // 2, (28 - small.shape[1]) // 2
    image[top : top + small.shape[0], left : left + small.shape[1]] = small
    gray: NDArray[np.float32] = np.rint(255 * center(image.reshape(1, -1))[0])
    return gray / np.float32(256)


def stroke_width(ink: Floats) -> float:
    """Return the mean width of the strokes of ink, 0 to 1, shape (height, width), in pixels."""
    inside = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))
    # In a stroke of width w the mean distance from the paper is w / 4.
    return 4 * float(inside[inside > 0].mean())


def _scaled(picture: Floats, side: int) -> Floats:
    """Scale the longer side to ``side`` pixels; a smaller one is the mean of what it covers."""
    height, width = picture.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture.astype(np.float32)).resize(size, method))


def _thickened(ink: Floats, width: float) -> Floats:
    """Return strokes at least ``width`` pixels wide, in a box that has grown as much as they."""
    missing = (width - stroke_width(ink)) / 2
    if missing < 0.5:
        return ink
    room = int(np.ceil(missing))
    distance = ndimage.distance_transform_edt(np.pad(ink, room) <= 0.5)
    thicker: Floats = np.clip(missing + 0.5 - distance, 0, 1)
    return thicker
