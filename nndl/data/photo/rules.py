"""Ruled lines, as of exercise books and squared paper, and ink without them.

Digits that touch a line are one piece of ink with it. Lines are found as long straight runs of ink,
across the picture or down, and at most a little tilted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nndl.data.photo.ink import Ink

__all__ = ["without_rules"]

Mask = NDArray[np.bool_]

LONG = 0.8  # of the picture that a line is long, at least
SLOPES = np.linspace(-0.06, 0.06, 13)  # of lines: at most 3.4 degrees
EDGE = 0.03  # of the picture along each edge, where a line may be that of the paper
AROUND = 2  # pixels above and below a line that belong to it
BRIDGED = 13  # pixels of a gap across a line, at most, that a stroke crosses


def without_rules(ink: Ink) -> Ink | None:
    """Return ink without ruled lines, across which strokes are joined again; None without lines."""
    mask, found = ink.mask, False
    for transpose in (False, True):
        whole, rest = (m.T if transpose else m for m in (ink.mask, mask))
        lines = _lines(whole)
        if lines.any():
            found = True
            removed = rest & ~lines
            joined = ndimage.binary_closing(removed, np.ones((BRIDGED, 1)))
            rest = removed | (rest & joined)
            mask = rest.T if transpose else rest
    return Ink(ink.depth, mask) if found else None


def _lines(mask: Mask) -> Mask:
    """Return the pixels of lines from left to right, and those just above and below."""
    height, width = mask.shape
    thick = _spread(mask, 1)  # a tilted line goes up or down by pixels
    x, length = np.arange(width) - width // 2, max(21, int(LONG * width)) | 1
    lines = np.zeros_like(mask)
    for shift in np.unique(np.rint(np.outer(SLOPES, x)).astype(int), axis=0):
        level = _moved(thick, shift).astype(np.uint8)
        # The opening by a row: only pixels of runs that are long enough stay.
        inner = ndimage.minimum_filter1d(level, length, axis=1, mode="constant", cval=1)
        runs = ndimage.maximum_filter1d(inner, length, axis=1, mode="constant", cval=0)
        lines |= _moved(runs.astype(bool), -shift)
    lines &= mask
    edge = round(EDGE * height)
    lines[:edge] = lines[height - edge :] = False
    return _spread(lines, AROUND)


def _moved(mask: Mask, shift: NDArray[Any]) -> Mask:
    """Return a mask with each column moved up by a number of pixels; no ink comes in."""
    rows = np.arange(len(mask))[:, None] + shift
    inside = (rows >= 0) & (rows < len(mask))
    moved: Mask = inside & np.take_along_axis(mask, rows.clip(0, len(mask) - 1), axis=0)
    return moved


def _spread(mask: Mask, pixels: int) -> Mask:
    """Return a mask that also has this many pixels above and below each pixel."""
    spread: Mask = ndimage.maximum_filter1d(mask.astype(np.uint8), 2 * pixels + 1, axis=0) > 0
    return spread
