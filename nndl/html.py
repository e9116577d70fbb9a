"""Small pieces of HTML for notebooks: tables, and images as PNG within the page."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["picture", "png", "table"]

COLUMNS = 20  # images in a row
LARGEST = 256  # pixels: images that are higher or wider are not shown


def table(title: str, rows: Mapping[str, str]) -> str:
    """Return an HTML table with a title; the texts are escaped."""
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(key)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for key, value in rows.items()
    )
    return f"<strong>{escape(title)}</strong><table>{cells}</table>"


def picture(images: NDArray[Any], shape: tuple[int, ...] | None) -> str:
    """Return an HTML img of gray images in a grid, black for 0; "" if there is nothing to show.

    Parameters
    ----------
    images : ndarray, shape (n, n_in)
        uint8 from 0 to 255, or floats from 0 to 1; values outside are clipped.
    shape : tuple of int or None
        (height, width) or (maps, height, width), of which the first map is shown.
    """
    if shape is None or not len(images) or max(shape[-2:]) > LARGEST:
        return ""
    height, width = shape[-2:]
    first = images.reshape(len(images), -1, height, width)[:, 0]
    if first.dtype != np.uint8:
        first = np.rint(255 * np.clip(first, 0, 1)).astype(np.uint8)
    columns = min(COLUMNS, len(first))
    rows = -(-len(first) // columns)
    cells = np.full((rows * columns, height + 1, width + 1), 64, np.uint8)  # gray lines between
    cells[: len(first), :-1, :-1] = first
    grid = cells.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2)
    data = b64encode(png(grid.reshape(rows * (height + 1), -1)[:-1, :-1])).decode()
    return f'<img alt="the first {len(first)} images" src="data:image/png;base64,{data}">'


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a gray picture (height, width) as a PNG file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits, gray
    lines = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # each begins with 0: no filter
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )
