"""Pictures: learning curves, gradient norms, digits, mistakes, weights, confusion.

Every function draws, in one house style, on the axes or the figure it is given; none uses pyplot,
so nothing is global and no display is needed. Legends stand beside the axes: make the figure with
``matplotlib.figure.Figure(figsize=(8, 4), layout="constrained")``, which leaves room for them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil, isqrt
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nndl.files import atomic_write

__all__ = [
    "are_square",
    "plot_answers",
    "plot_confusion",
    "plot_curves",
    "plot_digits",
    "plot_gradient_norms",
    "plot_learning_curves",
    "plot_mistakes",
    "plot_weights",
    "save",
    "style",
]

Run = Mapping[str, Sequence[float]]
Pictures = NDArray[Any]

STYLE: dict[str, Any] = {
    "font.size": 10,
    "figure.titlesize": 11,
    "legend.frameon": False,
    "lines.markersize": 5,
    "savefig.dpi": 200,
    "svg.hashsalt": "nndl",
}
# Okabe and Ito's colors, which color-blind readers can tell apart; without yellow, pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^DvPX*"  # the same for a print in black and white
SETS: dict[str, dict[str, Any]] = {
    "training": {"ls": "--", "mfc": "white"},
    "validation": {"ls": "-"},
    "test": {"ls": ":", "fillstyle": "left", "mfcalt": "white"},
}
QUANTITIES = {"accuracy": "accuracy (%)", "cost": "cost"}
RING: dict[str, Any] = {"ls": "", "marker": "o", "ms": 11, "mfc": "none", "mec": "black"}
PAD, HEAD, GAP = 0.1, 0.3, 0.12  # a grid's margin and line of text in inches; gap in pictures


@contextmanager
def style() -> Iterator[None]:
    """Apply the house style, and nothing of the user's matplotlibrc, inside a with block."""
    with matplotlib.style.context(["default", STYLE]):
        yield


def save(fig: Figure, path: str | Path) -> None:
    """Write a figure as PNG or SVG: whole or not at all, in the same bytes whenever it is redrawn.

    Raises
    ------
    ValueError
        If the path ends neither in .png nor in .svg.
    OSError
        As `nndl.files.atomic_write`.
    """
    kind = Path(path).suffix.lower()
    if kind not in (".png", ".svg"):
        raise ValueError(f"pictures are saved as .png or .svg: give {path} one of these endings")
    with style(), atomic_write(path) as file:
        fig.savefig(file, format=kind[1:], metadata={"Date": None})


# Lines by epoch.


@style()
def plot_curves(ax: Axes, runs: Mapping[str, Run], quantity: str, *, first: int = 0) -> None:
    """Draw a quantity of one or more runs by epoch: training dashed, validation solid, test dotted.

    A ring marks the best epoch of a run: the first with the highest validation accuracy, or the
    lowest validation cost where no accuracy is known.

    Parameters
    ----------
    ax : Axes
    runs : mapping of labels to runs
        A run is like `History.epochs`: "training_cost", "validation_accuracy" (fractions in [0, 1],
        drawn in percent), ..., each a list with an entry for every epoch; some may be missing.
    quantity : {"accuracy", "cost"}
    first : int
        The first epoch to draw, counted from 0 as in the book.

    Raises
    ------
    ValueError
        If the quantity is another, no run has that epoch of it, or a value is not finite or, for an
        accuracy, not a fraction.
    """
    _curves(ax, runs, quantity, first)
    _legend_beside(ax, *_key(runs, [quantity], first, 24))


@style()
def plot_learning_curves(fig: Figure, runs: Mapping[str, Run], title: str = "") -> None:
    """Draw accuracy and cost side by side, as `plot_curves`; one alone if no run has the other.

    Raises
    ------
    ValueError
        If there is no run, or one has neither; and as `plot_curves`.
    """
    empty = [label for label, run in runs.items() if not any(_keys(run, q) for q in QUANTITIES)]
    if empty or not runs:
        unlike = empty or "an empty mapping"
        raise ValueError(f"every run needs an epoch with a cost or an accuracy, unlike {unlike}")
    quantities = [q for q in QUANTITIES if any(_keys(run, q) for run in runs.values())]
    fig.set_layout_engine("constrained")
    for ax, quantity in zip(np.ravel(fig.subplots(1, len(quantities))), quantities, strict=True):
        _curves(ax, runs, quantity, 0)
    handles, labels = _key(runs, quantities, 0, 44)
    columns = 110 // (8 + max(len(line) for label in labels for line in label.split("\n")))
    fig.legend(handles, labels, loc="outside lower center", ncols=max(1, min(columns, len(labels))))
    if title:
        fig.suptitle(title, x=0.02, ha="left")


@style()
def plot_gradient_norms(ax: Axes, norms: Mapping[str, Sequence[float]]) -> None:
    """Draw the norm of each layer's gradient by epoch, on a log axis: the figures of chapter 5.

    Parameters
    ----------
    ax : Axes
    norms : mapping of labels of layers to lists
        The norms, above 0, with an entry for every epoch.

    Raises
    ------
    ValueError
        If there is no layer, or a norm is not a finite number above 0.
    """
    if not norms:
        raise ValueError("norms must hold one layer or more, but are empty")
    for i, (label, values) in enumerate(norms.items()):
        numbers = _numbers(values, f"norms of {label!r}")
        if numbers.min() <= 0:
            raise ValueError(f"a log axis has norms above 0, but {label!r} has {numbers.min():g}")
        _line(ax, i, len(norms), numbers, 0, "validation")
    ax.set_yscale("log")
    _dress(ax, "norm of the gradient")
    _legend_beside(ax, ax.get_lines()[-len(norms) :], [_plain(label, 24) for label in norms])


def _keys(run: Run, quantity: str) -> list[str]:
    return [key for name in SETS if len(run.get(key := f"{name}_{quantity}", ()))]


def _best(run: Run) -> int:
    """Return the best epoch, or -1 where none is known."""
    for key, best in (("validation_accuracy", np.argmax), ("validation_cost", np.argmin)):
        if len(run.get(key, ())):
            return int(best(run[key]))
    return -1


def _numbers(values: Sequence[float], what: str) -> NDArray[np.float64]:
    numbers = np.array(values, np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"{what} must be finite numbers, one for each epoch, not {values!r:.80}")
    return numbers


def _curves(ax: Axes, runs: Mapping[str, Run], quantity: str, first: int) -> None:
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity must be one of {list(QUANTITIES)}, not {quantity!r}")
    lengths = [len(run[key]) for run in runs.values() for key in _keys(run, quantity)]
    if not 0 <= first < max(lengths, default=0):
        has = {label: {key: len(run[key]) for key in run} for label, run in runs.items()}
        raise ValueError(f"no run has epoch {first} of {quantity}: the numbers of epochs are {has}")
    for i, (label, run) in enumerate(runs.items()):
        for key in _keys(run, quantity):
            values = _numbers(run[key], f"{key} of {label!r}")
            if quantity == "accuracy":
                if values.min() < 0 or values.max() > 1:
                    raise ValueError(
                        f"{key} of {label!r} must be fractions in [0, 1], but reaches from "
                        f"{values.min():g} to {values.max():g}: divide it by what it counts"
                    )
                values *= 100
            name = key.partition("_")[0]
            _line(ax, i, len(runs), values, first, name)
            if name == "validation" and first <= (best := _best(run)) < len(values):
                ax.plot(best, values[best], **RING, zorder=3)
    _dress(ax, QUANTITIES[quantity])


def _line(ax: Axes, i: int, n: int, y: NDArray[np.float64], first: int, name: str) -> None:
    """Draw line i of n; markers of different lines stand at different epochs."""
    epochs = np.arange(first, max(first, len(y)))
    step = max(1, len(epochs) // 8)
    ax.plot(epochs, y[first:], markevery=(i * step // n, step), **_look(i), **SETS[name])


def _look(i: int) -> dict[str, Any]:
    return {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}


def _dress(ax: Axes, quantity: str) -> None:
    ax.set(xlabel="epoch", ylabel=quantity)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9")
    ax.set_axisbelow(True)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _key(
    runs: Mapping[str, Run], quantities: Sequence[str], first: int, width: int
) -> tuple[list[Line2D], list[str]]:
    """Return a legend's handles and labels: colors are runs, dashes are sets, rings are best."""
    handles, labels = [], []
    for i, (label, run) in enumerate(runs.items()):
        text = _plain(label, width)
        if len(accuracies := run.get("validation_accuracy", ())):
            best = f"best {100 * max(accuracies):.2f} % in epoch {_best(run)}"
            text += f": {best}" if len(text) + len(best) < width else f"\n{best}"
        handles.append(Line2D([], [], **_look(i)))
        labels.append(text)
    keys = {key for run in runs.values() for quantity in quantities for key in _keys(run, quantity)}
    sets = [name for name in SETS if any(key.startswith(name) for key in keys)]
    handles += [Line2D([], [], color="0.3", marker="o", **SETS[name]) for name in sets]
    labels += sets
    if "validation" in sets and any(_best(run) >= first for run in runs.values()):
        handles.append(Line2D([], [], **RING))
        labels.append("best epoch")
    return handles, labels


def _plain(label: str, width: int) -> str:
    """Wrap a label, and keep matplotlib from reading $ as mathematics and _ as 'leave out'."""
    return textwrap.fill(" " * label.startswith("_") + label.replace("$", r"\$"), width)


def _legend_beside(ax: Axes, handles: Sequence[Line2D], labels: Sequence[str]) -> None:
    ax.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)


# Grids of pictures.


@style()
def plot_digits(
    fig: Figure,
    images: ArrayLike,
    captions: Sequence[str] | None = None,
    columns: int = 10,
    title: str = "",
) -> None:
    """Draw images in a grid, dark on light as in the book.

    Parameters
    ----------
    fig : Figure
        An empty one; it keeps its width, and its height becomes what the grid needs.
    images : array_like, shape (n, side * side)
        An image in each row: floats from 0, paper, to 1, ink; or uint8 from 0 to 255.
    captions : sequence of n strings, optional
        To write below the images.
    columns : int
        Pictures side by side.
    title : str
        To write above the grid.

    Raises
    ------
    ValueError
        If there are no images, they are not square or not in that range, or captions do not fit.
    """
    pictures = _ink(images)
    captions = [""] * len(pictures) if captions is None else captions
    if len(captions) != len(pictures):
        raise ValueError(f"expected {len(pictures)} captions, one an image, not {len(captions)}")
    ax, unit, corners = _grid(fig, pictures, columns, title, below=0.3 if any(captions) else 0.0)
    size = unit * min(0.26, 1.7 / max(1, *map(len, captions)))
    for (x, y), caption in zip(corners, captions, strict=True):
        ax.text(x + 0.5, y + 1.03, _plain(caption, 99), size=size, ha="center", va="top")


@style()
def plot_mistakes(
    fig: Figure,
    images: ArrayLike,
    true: ArrayLike,
    given: ArrayLike,
    confidence: ArrayLike | None = None,
    columns: int = 8,
    title: str = "",
) -> None:
    """Draw misread images: upper right the true digit, lower right the one given, as in chapter 6.

    Parameters
    ----------
    fig, images, columns, title
        As for `plot_digits`; but there may be no image, and then the figure says so.
    true, given : array_like of integers, shape (n,)
    confidence : array_like, shape (n,), optional
        To write below the images.

    Raises
    ------
    ValueError
        As `plot_digits`; and if there is not one of each for every image.
    """
    notes = [np.asarray(a) for a in (true, given, confidence) if a is not None]
    if any(a.shape != np.shape(images)[:1] for a in notes):
        raise ValueError(
            "true, given and confidence need one entry for each image, but have the shapes "
            f"{[a.shape for a in notes]} with images of shape {np.shape(images)}"
        )
    if not len(notes[0]):
        fig.text(0.5, 0.5, "no mistakes", ha="center", va="center")
        return
    below = 0.15 if confidence is None else 0.35
    ax, unit, corners = _grid(fig, _ink(images), columns, title, right=0.4, below=below, foot=HEAD)

    def write(i: int, words: str, right: float, down: float, size: float, **look: Any) -> None:
        fig.text(0.02 + 0.33 * i, PAD / fig.get_figheight(), words, color=look["color"])
        for (x, y), value in zip(corners, notes[i], strict=True):
            text = f"{value:.2f}" if i == 2 else f"{value}"
            ax.text(x + right, y + down, text, size=size * unit, **look)

    write(0, "upper right: true label", 1.02, 0, 0.36, color=COLORS[0], va="top", weight="bold")
    write(1, "lower right: label given", 1.02, 1, 0.36, color=COLORS[1], va="bottom")
    if confidence is not None:
        write(2, "below: confidence", 0.5, 1.03, 0.22, color="0.35", va="top", ha="center")


@style()
def plot_answers(
    fig: Figure, pictures: Sequence[ArrayLike], images: ArrayLike, outputs: ArrayLike
) -> None:
    """Draw what was given, what the network saw of it, and its outputs: a row for each picture.

    Parameters
    ----------
    fig : Figure
        An empty one; it keeps its width, and its height becomes what the rows need.
    pictures : sequence of n array_likes, each of shape (height, width)
        Brightness from 0, black, to 1, white.
    images : array_like, shape (n, side * side)
        As for `plot_digits`.
    outputs : array_like, shape (n, n_out)

    Raises
    ------
    ValueError
        As `plot_digits`; and if there is not one of each for every picture.
    """
    seen, answers = _ink(images), np.asarray(outputs)
    if not len(pictures) == len(seen) == len(answers):
        raise ValueError(
            "every picture needs an image and outputs, but there are "
            f"{len(pictures)} pictures, {len(seen)} images and outputs of {len(answers)}"
        )
    fig.set_figheight(0.4 + 1.5 * len(seen))
    axes = fig.subplots(len(seen), 3, squeeze=False, width_ratios=(1.5, 1, 2))
    for ax, title in zip(axes[0], ("given", "seen", "outputs"), strict=True):
        ax.set_title(title, size=10)
    for row, picture, image, answer in zip(axes, pictures, seen, answers, strict=True):
        row[0].imshow(picture, "gray", vmin=0, vmax=1)
        row[1].imshow(image, "Greys", vmin=0, vmax=1)
        for ax in row[:2]:
            ax.set(xticks=[], yticks=[])
        bars = row[2].bar(range(len(answer)), answer, color=COLORS[0])
        bars[int(answer.argmax())].set_color(COLORS[1])
        row[2].set(
            xticks=range(0, len(answer), ceil(len(answer) / 15)),
            ylim=(min(0, answer.min()), max(1, answer.max())),
        )


@style()
def plot_weights(
    fig: Figure, w: ArrayLike, columns: int = 10, title: str = "", *, gray: bool = False
) -> None:
    """Draw the weights into each neuron of a first layer, or each filter, as a picture.

    All share a scale: red above 0, white at 0, blue below, where the half per cent of largest size
    may lie beyond its ends; or all of it in gray, whiter is smaller, as in chapter 6.

    Parameters
    ----------
    fig, columns, title
        As for `plot_digits`.
    w : array_like, shape (n_out, side * side)
        Weights of a layer on images, (30, 784), or filters, (20, 25).
    gray : bool

    Raises
    ------
    ValueError
        If there are no weights, or they are not square or not finite.
    """
    pictures = _square(w, "weights")
    if not np.isfinite(pictures).all():
        raise ValueError("weights must be finite, but hold NaN or infinity: train with smaller eta")
    size = np.abs(pictures)
    far = np.percentile(size, 99.5) or size.max() or 1.0
    limits = (pictures.min(), pictures.max()) if gray else (-far, far)
    cmap = "Greys" if gray else "RdBu_r"
    ax, _, corners = _grid(fig, pictures, columns, title, cmap=cmap, limits=limits, bar=0.75)
    for corner in corners:
        ax.add_patch(Rectangle(corner, 1, 1, fill=False, ec="0.6", lw=0.5, clip_on=False))
    scale = ax.inset_axes((1.01, 0, 0.02, 1))
    fig.colorbar(ax.images[0], cax=scale, extend="neither" if gray else "both")


def are_square(rows: NDArray[Any]) -> bool:
    """Return whether rows, (n, k), are square pictures: such can be drawn."""
    return isqrt(int(rows.shape[1])) ** 2 == int(rows.shape[1])


def _square(rows: ArrayLike, what: str) -> Pictures:
    a = np.asarray(rows)
    side = isqrt(a.shape[-1]) if a.ndim == 2 else 0
    if not a.size or a.shape[-1] != side * side:
        raise ValueError(
            f"{what} must have the shape (n, side * side), a square picture in each row, "
            f"not {a.shape}"
        )
    return a.reshape(-1, side, side)


def _ink(images: ArrayLike) -> Pictures:
    pictures = _square(images, "images")
    if pictures.dtype == np.uint8:
        return pictures / 255
    if not (pictures.dtype.kind == "f" and pictures.min() >= 0 and pictures.max() <= 1):
        raise ValueError(
            f"images must be uint8 or floats from 0 to 1, not {pictures.dtype} from "
            f"{pictures.min():g} to {pictures.max():g}"
        )
    return pictures


def _grid(
    fig: Figure,
    pictures: Pictures,
    columns: int,
    title: str,
    *,
    right: float = 0.0,
    below: float = 0.0,
    foot: float = 0.0,
    bar: float = 0.0,
    cmap: str = "Greys",
    limits: tuple[float, float] = (0.0, 1.0),
) -> tuple[Axes, float, list[tuple[float, float]]]:
    """Draw pictures in a grid whose unit is the side of a picture.

    Each picture has room ``right`` and ``below``, in units, and the grid has a ``foot``, and room
    for a ``bar`` to the right, in inches. Returns the axes, the unit in points, and the upper left
    corners of the pictures.
    """
    if columns < 1:
        raise ValueError(f"a grid needs 1 column or more, not {columns}")
    across, down = 1 + right + GAP, 1 + below + GAP
    wide, high = columns * across - GAP, ceil(len(pictures) / columns) * down - GAP
    width = fig.get_figwidth()
    unit = (width - 2 * PAD - bar) / wide
    height = high * unit + 2 * PAD + (HEAD if title else 0) + foot
    fig.set_layout_engine("none")
    fig.set_figheight(height)
    left, bottom = PAD / width, (PAD + foot) / height
    ax = fig.add_axes((left, bottom, wide * unit / width, high * unit / height))
    ax.set(xlim=(0, wide), ylim=(high, 0))
    ax.set_axis_off()
    corners = [(i % columns * across, i // columns * down) for i in range(len(pictures))]
    for picture, (x, y) in zip(pictures, corners, strict=True):
        ax.imshow(picture, cmap, vmin=limits[0], vmax=limits[1], extent=(x, x + 1, y + 1, y))
    fig.text(0.02, 1 - PAD / height, title, size=11, va="top")
    return ax, 72 * unit, corners


@style()
def plot_confusion(ax: Axes, matrix: ArrayLike) -> None:
    """Draw how often each label was read as each other; the colors count the mistakes only.

    Parameters
    ----------
    ax : Axes
    matrix : array_like of integers, shape (n_out, n_out)
        Counts: the true label is the row, the given one the column.

    Raises
    ------
    ValueError
        If the matrix is not square, or its entries are no counts.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or len({*counts.shape}) > 1 or counts.dtype.kind not in "iu":
        raise ValueError(
            f"a confusion matrix is square, of integers, not {counts.dtype} of {counts.shape}"
        )
    if not counts.size or counts.min() < 0:
        raise ValueError("a confusion matrix holds counts of 0 or more, for 1 label or more")
    n, right = len(counts), np.eye(len(counts), dtype=bool)
    most = max(1, counts[~right].max(initial=0))
    size = min(9.0, 0.3 * ax.bbox.width / n * 72 / ax.figure.dpi)
    ax.set_facecolor("0.88")
    ax.imshow(np.ma.masked_where(right, counts), cmap="Oranges", vmin=0, vmax=most)
    for (i, j), count in np.ndenumerate(counts):
        if size >= 3 and (count or i == j):  # smaller it is not read, only seen: the color stays
            color = "0.35" if i == j else "white" if count > 0.6 * most else "black"
            ax.text(j, i, f"{count}", size=size, color=color, ha="center", va="center")
    every = ceil(n / 30)
    ax.set(xlabel="label given", ylabel="true label")
    ax.set(xticks=range(0, n, every), yticks=range(0, n, every))
    ax.tick_params(length=0, labelsize=min(10.0, 2 * size))
    ax.spines[:].set_visible(False)
