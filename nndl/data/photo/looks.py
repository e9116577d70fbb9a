"""The same digit slightly rotated and scaled, for test-time augmentation."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["LOOKS", "looks"]

SIDE = 28
TURN = np.deg2rad(8)
LOOKS = ((0.0, 1.0), (TURN, 1.0), (-TURN, 1.0), (0.0, 0.92), (0.0, 1.08))  # angle and scale


def looks(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return images (784, m) as they are, turned by 8 degrees both ways, smaller and larger.

    Returns
    -------
    ndarray, shape (784, 5 m)
        All images as they are, then all turned, and so on.
    """
    return np.concatenate([_map(*look) @ images for look in LOOKS], axis=1)


@cache
def _map(angle: float, scale: float) -> Any:
    """Return the sparse matrix, (784, 784), that turns and scales images about their center.

    A pixel is interpolated linearly between the four pixels around the place it comes from.
    """
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    from_y, from_x = cos * y - sin * x + (SIDE - 1) / 2, sin * y + cos * x + (SIDE - 1) / 2
    top, left = np.floor(from_y).astype(int), np.floor(from_x).astype(int)
    pixels, sources, weights = [], [], []
    for i, j in np.ndindex(2, 2):
        row, column = top + i, left + j
        weight = (1 - abs(from_y - row)) * (1 - abs(from_x - column))
        inside = (weight > 0) & (np.minimum(row, column) >= 0) & (np.maximum(row, column) < SIDE)
        pixels.append(np.flatnonzero(inside))
        sources.append((SIDE * row + column)[inside])
        weights.append(weight[inside].astype(np.float32))
    places = np.concatenate(pixels), np.concatenate(sources)
    return sparse.csr_array((np.concatenate(weights), places), shape=(SIDE**2, SIDE**2))
