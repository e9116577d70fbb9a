"""Read the digits in a picture with a network.

Ink is ambiguous: what belongs to a digit, what to its neighbor, to a ruled line, to dirt? The
network decides, since the one that comes with the package is unsure of images that are not digits.
Of all ways to group the pieces of ink into digits, the one of lowest cost is taken. The cost of a
digit is the negative logarithm of its probability (LeCun, Bottou, Bengio and Haffner,
"Gradient-based learning applied to document recognition", 1998, section VI, reads checks like
this), plus a cost of what is unlikely by its geometry. The probability is a mean over five `looks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nndl.data.photo.ink import Ink, find_ink, resized
from nndl.data.photo.looks import LOOKS, looks
from nndl.data.photo.normalize import image_of, stroke_width
from nndl.data.photo.rules import without_rules
from nndl.data.photo.segment import (
    Piece,
    at_edge,
    distance,
    joined,
    lines_of,
    pieces_of,
    spans,
    stacked,
)

__all__ = ["Digit", "Reading", "mnist_like", "read_digits"]

Floats = NDArray[np.floating[Any]]
Outputs = Callable[[NDArray[np.float32]], Floats]
"""Maps images (784, m) to probabilities (n_out, m), as a Network does."""

# Costs, in units of a negative logarithm of a probability.
DIGIT = 0.5  # of one more digit
GAP = 3.0  # of a gap inside a digit, for each height of its line
WIDE = 3.0  # of what a digit is wider than 1.2 of its height, for each height
SMALL = 3.0  # of a digit of less than 0.4 of its line's height
DIRT = 0.4, 3.0  # of leaving a piece out: in any case, and for each height of its line
COLUMN = 0.5  # of a line of one digit, if there are other lines
WHOLE = 0.3  # of all pieces of a picture being one digit
ACROSS_ALL = 1.0  # of what reaches from edge to edge, as a fold
LOCAL = 1.0  # of uneven paper
INK = 1.0  # of how much of the picture is ink, at most
CLEAR = -0.3  # cost of each digit below which the paper is taken to be even
UNEVEN = 0.5  # cost of ink above which uneven paper is considered in any case
DROPPED = 0.1, 2.5  # of leaving out what touches the edge: each, and by its share of the ink

ACROSS = 4  # pieces side by side in a digit, at most
MOST = 150  # pieces in a picture, at most: more are a texture
INSIDE = 0.15  # of the shorter side that the margin of a picture is wide
LARGE = 0.25  # of the longer side: larger digits are not read on uneven paper
UNSURE = 0.6  # doubt above which a reading is unsure
BLOT = 6.5, 0.5  # pixels of 28 above which strokes are wide, and the doubt for each more
LEFT_OUT = 0.2  # of the ink: more may have been digits, as on ruled lines
RULED = 100  # pixels of a picture that may be of ruled paper, at least
ODD = 0.2  # doubt for each unit of the cost of a reading
NOTHING = (
    "nothing in the picture stands out from its paper; write larger or darker, or crop the picture "
    "to the digits"
)


TOO_MANY = (
    f"the picture has more than {MOST} pieces of ink: cut it into parts with fewer digits, or crop "
    "it to the digits"
)


@dataclass(frozen=True)
class Digit:
    """A digit that was found in a picture.

    Attributes
    ----------
    digit : int
        What it is read as.
    probability : float
        The network's output for it: the mean over five looks, slightly turned and scaled.
    box : tuple of int
        Left, top, width and height, in pixels of the picture.
    image : ndarray of float32, shape (784,)
        What the network saw.
    outputs : ndarray, shape (n_out,)
    """

    digit: int
    probability: float
    box: tuple[int, int, int, int]
    image: NDArray[np.float32] = field(repr=False)
    outputs: Floats = field(repr=False)

    @property
    def doubt(self) -> float:
        """How little the reading is to be relied on; it may be another digit, or none."""
        image = np.reshape(self.image, (28, 28))
        wide = stroke_width(image) - BLOT[0] if image.max() > 0.5 else 0.0
        return BLOT[1] * max(0.0, wide) - float(np.log(max(self.probability, 1e-6)))

    @property
    def unsure(self) -> bool:
        """Whether the doubt is large."""
        return self.doubt > UNSURE


@dataclass(frozen=True)
class Reading:
    """The digits of a picture.

    Attributes
    ----------
    lines : tuple of tuples of Digit
        From the top, each from left to right.
    cost : float
        How unlikely the reading is, to compare it with others of the same picture.
    left_out : float
        The share of the ink that was left out since it touches the edge, without what lies at it.
    """

    lines: tuple[tuple[Digit, ...], ...]
    cost: float = 0.0
    left_out: float = 0.0

    @property
    def digits(self) -> tuple[Digit, ...]:
        """All digits, line by line."""
        return tuple(digit for line in self.lines for digit in line)

    @property
    def text(self) -> str:
        """The digits as a text, with "/" between lines."""
        return "/".join("".join(str(d.digit) for d in line) for line in self.lines)

    @property
    def unsure(self) -> bool:
        """Whether a digit or the reading as a whole is doubtful, or there is no digit."""
        n = len(self.digits)
        if n == 0 or self.left_out > LEFT_OUT:
            return True
        odd = ODD * max(0.0, self.cost / n + DIGIT)
        return max(digit.doubt for digit in self.digits) + odd > UNSURE


def read_digits(
    outputs: Outputs, picture: ArrayLike, size: tuple[int, int] | None = None
) -> Reading:
    """Read all digits in a picture.

    Parameters
    ----------
    outputs : callable
        A Network that reads images (784, m), or another function from them to probabilities
        (n_out, m).
    picture : array_like, shape (height, width)
        Brightness from 0 to 1, dark on light or light on dark.
    size : tuple of int, optional
        Width and height in whose pixels boxes are given: by default those of ``picture``.

    Returns
    -------
    Reading

    Raises
    ------
    ValueError
        If the picture has another shape, other values, nothing that stands out from its paper, or
        more than 150 pieces of ink.
    """
    brightness = _checked(picture)
    small = resized(brightness)
    size = size or brightness.shape[::-1]

    @cache
    def ink(light: bool, local: bool) -> Ink | None:
        return find_ink(small, light=light, local=local)

    def unruled(light: bool, local: bool) -> Ink | None:
        found = ink(light, local)
        return found and without_rules(found)

    best = _best(outputs, ink, small.shape, size)
    if best.unsure and min(brightness.shape) >= RULED:
        with suppress(ValueError):  # there are no lines, or nothing else
            other = _best(outputs, unruled, small.shape, size)
            if not other.unsure or (best.left_out > LEFT_OUT and other.cost < best.cost):
                return other
    return best


def _best(
    outputs: Outputs,
    inks: Callable[[bool, bool], Ink | None],
    shape: tuple[int, ...],
    size: tuple[int, int],
) -> Reading:
    """Return the reading of lowest cost, of dark or light ink, on even or uneven paper.

    ``inks`` takes `light` and `local` as `find_ink` does, and returns ink of this shape, (height,
    width). Boxes are in pixels of a picture of ``size``, (width, height). Raises ValueError if
    there is no reading.
    """
    height, width = shape
    scale, longer = (size[0] / width, size[1] / height), max(size)
    best, clear, too_many = None, False, False
    for local in (False, True):
        for light in (False, True):
            ink = inks(light, local)
            if ink is None:
                continue
            reader = _Reader(outputs, ink, scale)
            too_many |= len(reader.pieces) > MOST
            for reading in reader.readings():
                tall = max((d.box[3] for d in reading.digits), default=0)
                if local and tall > LARGE * longer:
                    continue  # the median of so large a digit's neighborhood is ink
                cost = reading.cost + LOCAL * local
                if best is None or cost < best.cost:
                    best, n = replace(reading, cost=cost), len(reading.digits)
                    surest = max((d.probability for d in reading.digits), default=0.0)
                    clear = (
                        (cost < 0.1 * n and ink.cost < UNEVEN)
                        or cost - min(INK, ink.cost) < CLEAR * n
                        or (n == 1 and surest > 0.95 and tall > LARGE * longer)
                    )
        if clear:
            break  # the paper is even
    if best is None:
        raise ValueError(TOO_MANY if too_many else NOTHING)
    return best


def mnist_like(picture: ArrayLike) -> NDArray[np.float32]:
    """Make the picture of one digit like an image of MNIST.

    Parameters
    ----------
    picture : array_like, shape (height, width)
        Brightness from 0 to 1, dark on light or light on dark; the digit alone, on paper that may
        be lit unevenly.

    Returns
    -------
    ndarray, shape (784,), float32
        0, paper, to 255/256, ink.

    Raises
    ------
    ValueError
        If the picture has another shape, other values, or nothing that stands out from its paper.
    """
    small = resized(_checked(picture))
    inks = [find_ink(small, light=light, local=False) for light in (False, True)]
    found = [(ink, *pieces_of(ink.mask)) for ink in inks if ink is not None]
    speck = 0.05 * min(small.shape)
    found = [f for f in found if max((p.size for p in f[2]), default=0) > speck]
    if not found:
        raise ValueError(NOTHING)
    ink, labels, pieces = min(found, key=lambda f: f[0].cost)
    edge = set(at_edge(pieces, ink.mask.shape))
    inside = [p for p in pieces if p not in edge]
    large = LARGE * min(min(small.shape), max(p.size for p in pieces))
    if max((p.size for p in inside), default=0) >= large:
        pieces = inside
    return image_of(ink.depth, labels, joined(pieces))


def _checked(picture: ArrayLike) -> Floats:
    brightness: Floats = np.asarray(picture, np.float32)
    if brightness.ndim != 2 or min(brightness.shape) < 8:
        raise ValueError(
            "a picture must have the shape (height, width), at least 8 pixels each, not "
            f"{brightness.shape}"
        )
    if not (brightness.min() >= 0 and brightness.max() <= 1):
        raise ValueError(
            "brightness must be from 0, black, to 1, white, not "
            f"from {brightness.min():g} to {brightness.max():g}"
        )
    return brightness


def _typical_height(pieces: list[Piece]) -> float:
    """Return the median height of the pieces that are at least half as tall as the tallest."""
    heights = np.array([p.height for p in pieces])
    return float(np.median(heights[heights >= 0.5 * heights.max()]))


class _Reader:
    """Finds the digits in one picture's ink.

    Parameters
    ----------
    outputs : callable
    ink : Ink
    scale : tuple of float
        Pixels of the picture for each pixel of the ink, across and down.
    """

    def __init__(self, outputs: Outputs, ink: Ink, scale: tuple[float, float]) -> None:
        self.outputs, self.ink, self.scale = outputs, ink, scale
        self.labels, self.pieces = pieces_of(ink.mask)
        self.seen: dict[Piece, tuple[NDArray[np.float32], Floats]] = {}

    def readings(self) -> Iterator[Reading]:
        """Yield the best reading without what hugs the edge, and without all that touches it."""
        if not 0 < len(self.pieces) <= MOST:
            return
        shape = self.labels.shape
        margin = round(INSIDE * min(shape))
        core = self.labels[margin:-margin, margin:-margin]
        inside = {p: int(np.isin(core, p.labels).sum()) for p in at_edge(self.pieces, shape)}
        hugging = {p for p, area in inside.items() if area < 0.2 * p.area}
        rest = [p for p in self.pieces if p not in hugging]
        if max((p.size for p in rest), default=0) < 0.3 * min(shape):
            hugging = set()
        ink = sum(p.area for p in self.pieces)
        for dropped in dict.fromkeys((frozenset(hugging), frozenset(inside))):
            pieces = [p for p in self.pieces if p not in dropped]
            if not pieces:
                continue
            lines, cost = self._lines(pieces)
            n = sum(map(len, lines))
            largest = max(p.size for p in pieces)
            left_out = sum(inside[p] for p in dropped) / ink
            cost += DROPPED[0] * len(dropped) + DROPPED[1] * left_out
            cost += ACROSS_ALL * sum(spans(p, shape) for p in pieces)
            # In a picture of many digits, one at the edge is rather another than a neighbor's.
            others = [p for p in dropped - hugging if p.size > 0.5 * largest]
            cost += 0.2 * max(0, n - 1) * len(others)
            if dropped and largest < 0.25 * min(*shape, max(p.size for p in dropped)):
                cost += DIGIT
            digits = tuple(tuple(map(self._digit, line)) for line in lines)
            # Against a reading of other ink, each sure digit counts as evidence.
            yield Reading(digits, cost + min(INK, self.ink.cost) - 2 * DIGIT * n, left_out)

    def _lines(self, pieces: list[Piece]) -> tuple[list[list[Piece]], float]:
        """Return the digits of each line, and their cost."""
        found = [self._line(line, _typical_height(pieces)) for line in lines_of(pieces)]
        lines, cost = [digits for digits, _ in found if digits], sum(cost for _, cost in found)
        n = sum(map(len, lines))
        if len(lines) > 1:
            cost += COLUMN * sum(len(line) == 1 for line in lines)
        if 1 < len(pieces) <= 2 * ACROSS:  # perhaps one broken digit
            whole = joined(pieces)
            gaps = sum(min(distance(p, q) for q in pieces if q is not p) for p in pieces)
            alone = self._cost(whole, whole.height) + WHOLE + GAP * gaps / whole.height
            sure = self._outputs([whole])[0].max() > 0.5
            if (sure and alone < cost) or alone - 2 * DIGIT < cost - 2 * DIGIT * n:
                return [[whole]], alone
        if n >= 4:  # what is much taller than the digits is a ruled line
            tall = 2.2 * float(np.median([p.height for line in lines for p in line]))
            lines = [[p for p in line if p.height < tall] for line in lines]
            lines = [line for line in lines if line]
        return lines, cost

    def _line(self, line: list[Piece], typical: float) -> tuple[list[Piece], float]:
        """Return the digits of a line and their cost, by dynamic programming.

        ``typical`` is the height of the digits in the picture.
        """
        stacks = stacked(line)
        n, height = len(stacks), max(_typical_height(stacks), 0.6 * typical)
        spans = {
            (i, j): span
            for j in range(1, n + 1)
            for i in range(max(0, j - ACROSS), j)
            if (span := joined(stacks[i:j])).width <= 1.6 * max(height, span.height) or j == i + 1
        }
        self._outputs(list(spans.values()))  # all at once
        best: list[tuple[float, list[Piece]]] = [(0.0, [])]
        for j in range(1, n + 1):
            dirt = DIRT[0] + DIRT[1] * max(0.0, stacks[j - 1].size / height - 0.1)
            options = [(best[j - 1][0] + dirt, best[j - 1][1])]
            for i in range(max(0, j - ACROSS), j):
                if (i, j) in spans:
                    gaps = (b.left - a.right for a, b in pairwise(stacks[i:j]))
                    gap = GAP * sum(max(0, g) for g in gaps) / height
                    cost = best[i][0] + self._cost(spans[i, j], height) + gap
                    options.append((cost, [*best[i][1], spans[i, j]]))
            best.append(min(options, key=lambda option: option[0]))
        cost, digits = best[n]
        return digits, cost

    def _cost(self, piece: Piece, height: float) -> float:
        """Return the cost of reading a piece as a digit, in a line of this height."""
        probability = float(self._outputs([piece])[0].max())
        wide = max(0.0, piece.width / max(height, piece.height) - 1.2)
        small = SMALL * (piece.height < 0.4 * height)
        return DIGIT - float(np.log(max(probability, 1e-6))) + WIDE * wide + small

    def _outputs(self, pieces: Sequence[Piece]) -> list[Floats]:
        """Return the network's mean outputs for the looks of each piece; computed once."""
        new = [p for p in dict.fromkeys(pieces) if p not in self.seen]
        if new:
            images = [image_of(self.ink.depth, self.labels, p) for p in new]
            outputs = self.outputs(looks(np.stack(images, axis=1)))
            outputs = outputs.reshape(len(outputs), len(LOOKS), -1).mean(axis=1).T
            self.seen.update(zip(new, zip(images, outputs, strict=True), strict=True))
        return [self.seen[p][1] for p in pieces]

    def _digit(self, piece: Piece) -> Digit:
        image, outputs = self.seen[piece]
        digit = int(outputs.argmax())
        across, down = self.scale
        left, right = (round(x * across) for x in (piece.left, piece.right))
        top, bottom = (round(y * down) for y in (piece.top, piece.bottom))
        box = (left, top, right - left, bottom - top)
        return Digit(digit, float(outputs[digit]), box, image, outputs)
