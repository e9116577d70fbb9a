"""A picture of readings: each picture with its boxes, and what the network saw of each digit."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from nndl import plots
from nndl.data.photo.files import Picture
from nndl.data.photo.reading import Digit, Reading

__all__ = ["plot_readings"]

SURE, UNSURE = plots.COLORS[0], plots.COLORS[1]
SIDE = 1.7  # inches that a picture is high, and an image wide
COLUMNS = 8  # images of digits side by side, at most
LARGEST = 500  # pixels of a picture that are drawn


def plot_readings(pictures: Sequence[Picture], readings: Sequence[Reading]) -> plots.Picture:
    """Draw each picture with a box around every digit, and the images that the network saw.

    Parameters
    ----------
    pictures : sequence of n Pictures
    readings : sequence of n Readings
        Of the pictures, with boxes in pixels of the files.
    """
    columns = min(COLUMNS, max(2, *(len(r.digits) for r in readings)))
    rows = [max(1, ceil(len(r.digits) / columns)) for r in readings]
    heights = [max(SIDE + 0.2, 0.95 * n) for n in rows]
    size = (2 * SIDE + 0.8 * columns, sum(heights) + 0.1)
    fig = plots.Picture(figsize=size, layout="constrained")
    outer = fig.add_gridspec(len(rows), 2, height_ratios=heights, width_ratios=(2, columns / 2))
    for i, (picture, reading) in enumerate(zip(pictures, readings, strict=True)):
        _draw_picture(fig.add_subplot(outer[i, 0]), picture, reading)
        inner = outer[i, 1].subgridspec(max(2, rows[i]), columns)
        for j, digit in enumerate(reading.digits):
            _draw_digit(fig.add_subplot(inner[divmod(j, columns)]), digit)
    return fig


def _draw_picture(ax: Axes, picture: Picture, reading: Reading) -> None:
    width, height = picture.size
    every = 1 + max(picture.brightness.shape) // LARGEST
    shown = picture.brightness[::every, ::every]
    ax.imshow(shown, "gray", vmin=0, vmax=1, extent=(0, width, height, 0))
    for digit in reading.digits:
        left, top, wide, high = digit.box
        color = UNSURE if digit.unsure else SURE
        ax.add_patch(Rectangle((left, top), wide, high, fill=False, ec=color, lw=1))
        at: dict[str, Any] = {
            "ha": "center",
            "va": "bottom",
            "size": 7,
            "color": color,
            "weight": "bold",
        }
        ax.text(left + wide / 2, top, _mark(digit), clip_on=True, **at)
    ax.set_anchor("W")
    _without_ticks(ax)


def _draw_digit(ax: Axes, digit: Digit) -> None:
    ax.imshow(np.reshape(digit.image, (28, 28)), "Greys", vmin=0, vmax=1)
    color = UNSURE if digit.unsure else "black"
    ax.set_title(f"{_mark(digit)}  {digit.probability:.2f}", size=8, pad=2, color=color)
    _without_ticks(ax)


def _mark(digit: Digit) -> str:
    return f"{digit.digit}?" if digit.unsure else str(digit.digit)


def _without_ticks(ax: Any) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("0.8")
