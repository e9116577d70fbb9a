"""Pieces of ink, and the lines they stand in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Piece", "at_edge", "distance", "joined", "lines_of", "pieces_of", "spans", "stacked"]

SPECK = 0.03  # of the area of the largest piece; smaller ones are dirt
SHORT = 0.08  # of the size of the largest piece; smaller ones are dirt


@dataclass(frozen=True)
class Piece:
    """Ink that may be a digit or part of one.

    Attributes
    ----------
    labels : tuple of int
        Numbers of its connected components.
    left, top, right, bottom : int
        Its box; right and bottom are outside.
    area : int
        Pixels of ink.
    """

    labels: tuple[int, ...]
    left: int
    top: int
    right: int
    bottom: int
    area: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def size(self) -> int:
        return max(self.height, self.width)

    def __or__(self, other: Piece) -> Piece:
        return Piece(
            self.labels + other.labels,
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.area + other.area,
        )


def joined(pieces: list[Piece]) -> Piece:
    """Return pieces as one."""
    return reduce(or_, pieces)


def pieces_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], list[Piece]]:
    """Return the numbers of the connected components, shape as mask, and the pieces of ink.

    Each piece is a component. Those much smaller than the largest are left out.
    """
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=n + 1)
    pieces = [
        Piece((i,), columns.start, rows.start, columns.stop, rows.stop, int(areas[i]))
        for i, (rows, columns) in enumerate(ndimage.find_objects(labels), 1)
    ]
    edge = set(at_edge(pieces, mask.shape))
    inside = [p for p in pieces if p not in edge] or pieces
    area = SPECK * max((p.area for p in inside), default=0)
    size = SHORT * max((p.size for p in inside), default=0)
    return labels, [p for p in pieces if p.area >= area and p.size >= size]


def at_edge(pieces: list[Piece], shape: tuple[int, ...]) -> list[Piece]:
    """Return the pieces that touch the edge of a picture of this shape."""
    height, width = shape
    margin = 1 + max(shape) // 200
    return [p for p in pieces if min(p.left, p.top, width - p.right, height - p.bottom) < margin]


def spans(piece: Piece, shape: tuple[int, ...]) -> bool:
    """Return whether a piece reaches across a whole picture of this shape."""
    margin = 1 + max(shape) // 200
    return piece.height > shape[0] - 2 * margin or piece.width > shape[1] - 2 * margin


def lines_of(pieces: list[Piece]) -> list[list[Piece]]:
    """Return the pieces line by line, from the top; lines may climb, fall and wave.

    From left to right, a piece continues the line whose last piece is nearest, of those whose last
    piece shares its height.
    """
    tallest = max(p.size for p in pieces)
    large = [p for p in pieces if p.size >= 0.35 * tallest and p.width < 2.5 * p.height] or pieces
    lines: list[list[Piece]] = []
    for piece in sorted(large, key=lambda p: p.left):
        beside = [line for line in lines if _shared_height(line[-1], piece) > 0.4]
        if beside:
            max(beside, key=lambda line: line[-1].right).append(piece)
        else:
            lines.append([piece])
    for piece in set(pieces).difference(large):  # small or flat, as the bar of a 5
        min(lines, key=lambda line: min(distance(p, piece) for p in line)).append(piece)
    return sorted(lines, key=lambda line: float(np.median([p.top + p.bottom for p in line])))


def stacked(line: list[Piece]) -> list[Piece]:
    """Return a line from left to right, with pieces that stand above each other as one."""
    stacks: list[Piece] = []
    for piece in sorted(line, key=lambda p: (p.left, p.top)):
        while stacks:
            last = stacks[-1]
            common = min(last.right, piece.right) - max(last.left, piece.left)
            if common < 0.4 * min(last.width, piece.width):
                break
            piece = stacks.pop() | piece
        stacks.append(piece)
    return stacks


def _shared_height(a: Piece, b: Piece) -> float:
    """Return the height that two pieces share, as a fraction of the smaller one's."""
    return (min(a.bottom, b.bottom) - max(a.top, b.top)) / min(a.height, b.height)


def distance(a: Piece, b: Piece) -> int:
    """Return how far the boxes of two pieces are apart, across and down."""
    across = max(a.left - b.right, b.left - a.right, 0)
    return across + max(a.top - b.bottom, b.top - a.bottom, 0)
