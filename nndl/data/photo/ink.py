"""Ink and paper: which pixels of a picture are ink, and how dark it is.

The brightness that a pixel would have without ink is estimated in one of two ways: as a smooth
surface fitted robustly to the whole picture, or as the median of the neighborhood, for paper with
folds and edges. A threshold halfway up the edges of the strokes separates ink from paper. It is
lower where the pen pressed less, as long as the stroke passes the higher one somewhere (hysteresis:
Canny, "A computational approach to edge detection", 1986).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

__all__ = ["Ink", "find_ink", "resized"]

Floats = NDArray[np.floating[Any]]

SMALLEST, LARGEST = 320, 1000  # pixels of the longer side in which ink is looked for
CONTRAST = 0.04  # difference of ink from paper, at least, as a fraction of the paper's brightness
NOISE = 5.0  # the same, in standard deviations of the paper
LOW = 0.4  # of the threshold that ink is darker than paper in any case
PRESSED = 0.3  # of the largest difference nearby that ink has where the pen pressed less
NEARBY = 16  # parts of the longer side; strokes are narrower
CLOSE = 0.03  # brightness by which a pixel of paper differs from the surface, at most
EDGE = 3  # pixels that the edge of a picture is wide


@dataclass(frozen=True)
class Ink:
    """The ink of a picture, under one assumption about its paper.

    Attributes
    ----------
    depth : ndarray, shape (height, width)
        Difference from the paper's brightness, 1 in typical strokes.
    mask : ndarray of bool, shape (height, width)
        Where there is ink.
    """

    depth: Floats
    mask: NDArray[np.bool_]

    @property
    def cost(self) -> float:
        """Return how unlikely it is that so much of a picture and of its edge is ink."""
        side = min(self.mask.shape)
        rings = (_ring(self.mask, depth).mean() for depth in (0, min(side // 8, side // 2 - EDGE)))
        # A box line may fill one of the two rings.
        return float(2 * self.mask.mean() + 4 * min(rings))


def _ring(mask: NDArray[np.bool_], depth: int) -> NDArray[np.bool_]:
    """Return the pixels of a ring, EDGE pixels wide, this far from the edge."""
    inside = mask[depth : len(mask) - depth, depth : mask.shape[1] - depth]
    sides = (inside[:EDGE], inside[-EDGE:], inside[:, :EDGE], inside[:, -EDGE:])
    return np.concatenate([side.ravel() for side in sides])


def resized(picture: Floats) -> Floats:
    """Scale a picture so that its longer side has from SMALLEST to LARGEST pixels."""
    side = max(picture.shape)
    return _scaled(picture, min(max(side, SMALLEST), LARGEST) / side).clip(0, 1)


def _scaled(picture: Floats, scale: float) -> Floats:
    height, width = picture.shape
    if scale == 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture.astype(np.float32)).resize(size, method))


def find_ink(brightness: Floats, *, light: bool, local: bool) -> Ink | None:
    """Find the ink in a picture.

    Parameters
    ----------
    brightness : ndarray, shape (height, width)
        From 0 to 1.
    light : bool
        Whether to look for light ink on dark paper, or for dark ink on light paper.
    local : bool
        Whether paper is the median of the neighborhood, or a smooth surface.

    Returns
    -------
    Ink or None
        None if nothing stands out from the paper.
    """
    # The depth is relative to the paper's brightness, since a shadow dims paper and ink alike. Near
    # black and white the brightness says little about the light, so it is limited.
    value = np.clip(1 - brightness if light else brightness, 0.05, 0.95)
    paper = np.clip(_local_paper(value) if local else _smooth_paper(value), 0.05, 0.95)
    difference = 1 - value / paper
    slope = np.hypot(ndimage.sobel(difference, 0), ndimage.sobel(difference, 1)) / 8
    # The mean difference at the edges of strokes, weighted by their slope, lies halfway up, however
    # much of the picture is ink (Kittler, Illingworth and Foglein, "Threshold selection based on a
    # simple image statistic", 1985).
    steep = slope > max(0.35 * np.percentile(slope, 99.5), 0.004)
    darker, lighter = ndimage.maximum_filter(difference, 3), ndimage.minimum_filter(difference, 3)
    edges = steep & (darker > -lighter)
    if not edges.any():
        return None
    threshold = float((slope[edges] * difference[edges]).sum() / slope[edges].sum())
    rest = difference[difference < threshold]
    noise = 1.48 * float(np.median(np.abs(rest - np.median(rest)))) if rest.size else 0.0
    if 2 * threshold < max(CONTRAST, NOISE * noise):
        return None
    # Where the pen pressed less, the threshold is a part of the largest difference nearby.
    low = max(LOW * threshold, min(0.9 * threshold, 3 * noise))
    nearby = ndimage.maximum_filter(difference, 1 + max(difference.shape) // NEARBY)
    weak = difference > np.clip(PRESSED * nearby, low, threshold)
    pieces, n = ndimage.label(weak, np.ones((3, 3)))
    strong = np.zeros(n + 1, bool)
    strong[pieces[difference > threshold]] = True
    return Ink(difference / (2 * threshold), strong[pieces])


def _smooth_paper(value: Floats) -> Floats:
    """Return a surface of degree 0, 1 or 2 through most of the bright pixels.

    Of surfaces that lie near about as many pixels, the one of the lowest degree is taken: another
    would bend toward ink that fills the picture.
    """
    step = 1 + min(value.shape) // 100
    y, x = (np.linspace(-1, 1, side) for side in value.shape)
    y = y[:, None]
    v, u = np.broadcast_arrays(y[::step], x[::step])
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1).reshape(-1, 6)
    values = value[::step, ::step].reshape(-1)
    fits = [_fitted(terms[:, :k], values) for k in (1, 3, 6)]
    close = [np.mean(np.abs(values - terms @ c) < CLOSE) for c in fits]
    c = fits[int(np.argmax(np.array(close) >= 0.9 * max(close)))]
    surface: Floats = c[0] + c[1] * x + c[3] * x * x + (c[2] + c[4] * x) * y + c[5] * y * y
    return surface


def _fitted(terms: Floats, values: Floats) -> Floats:
    """Return 6 coefficients of a surface near most of the bright values; the others are 0."""
    k = terms.shape[1]
    # It starts as a surface that four fifths of the pixels lie below (quantile regression by
    # weighted least squares), for more than half may be ink.
    c: Floats = np.zeros(k)
    c[0] = np.percentile(values, 80)
    for _ in range(8):
        above = values - terms @ c
        weights = np.where(above > 0, 0.8, 0.2) / np.maximum(np.abs(above), 0.02)
        gram = terms.T @ (weights[:, None] * terms) + 1e-6 * np.eye(k)
        c = np.linalg.solve(gram, terms.T @ (weights * values))
    near = np.abs(values - terms @ c) < 0.05
    # Then it is fitted to what is near the last fit.
    for _ in range(8):
        if near.sum() < 2 * k:
            break
        c = np.linalg.lstsq(terms[near], values[near], rcond=None)[0]
        distance = np.abs(values - terms @ c)
        near = distance <= max(0.02, 3 * np.median(distance[near]))
    return np.pad(c, (0, 6 - k))


def _local_paper(value: Floats) -> Floats:
    """Return the median of the neighborhood of each pixel, a seventh of the picture wide.

    At an edge of the paper, where the medians around a pixel differ, its own brightness counts as
    long as it lies between them.
    """
    median = ndimage.median_filter(_scaled(value, 140 / max(value.shape)), 21, mode="nearest")
    low, high = (
        np.asarray(Image.fromarray(a).resize(value.shape[::-1], Image.Resampling.NEAREST))
        for a in (ndimage.minimum_filter(median, 3), ndimage.maximum_filter(median, 3))
    )
    return np.clip(value, low, high)
