"""Plots: learning curves, gradient norms, digits, mistakes, weights, confusion matrices.

Every function returns the figure that it drew on: a new one, which a notebook displays, or that of
the ``ax`` or ``fig`` that it was given. None uses pyplot, so there is no global state, and no
display is needed. Fonts, colors and other settings of the reader's Matplotlib style apply.
Importing this module is what imports Matplotlib.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from math import ceil, isqrt, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nndl.files import atomic_write

if TYPE_CHECKING:
    from nndl.training.history import History

__all__ = [
    "Picture",
    "picture_shape",
    "plot_confusion",
    "plot_curves",
    "plot_digits",
    "plot_gradient_norms",
    "plot_learning_curves",
    "plot_mistakes",
    "plot_outputs",
    "plot_weights",
    "save",
]

Run: TypeAlias = "Mapping[str, Sequence[float]] | History"
Pictures = NDArray[Any]
Shape = tuple[int, int]

# Okabe and Ito's colors, which color-blind readers can tell apart; without yellow, pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^DvPX*"  # so that runs differ in black and white too
SETS: dict[str, dict[str, Any]] = {
    "training": {"ls": "--", "fillstyle": "none"},
    "validation": {"ls": "-"},
    "test": {"ls": ":", "fillstyle": "left", "mfcalt": "none"},
}
QUANTITIES = {"accuracy": "accuracy (%)", "cost": "cost"}
LINE = 0.24  # inches of a line of a legend
GAP = 0.12  # between the pictures of a grid, in picture heights


class Picture(Figure):
    """A Matplotlib Figure that notebooks display, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def save(fig: Figure, path: str | Path) -> None:
    """Write a figure as PNG (200 dpi) or SVG, atomically.

    Equal figures give equal bytes. Characters that the font lacks are one warning.

    Raises
    ------
    ValueError
        If the path ends neither in .png nor in .svg.
    OSError
        As `nndl.files.atomic_write`.
    """
    kind = Path(path).suffix.lower()
    if kind not in (".png", ".svg"):
        raise ValueError(f"figures are saved as .png or .svg: give {path} one of these endings")
    with (
        matplotlib.rc_context({"svg.hashsalt": "nndl"}),
        np.errstate(over="ignore"),  # products of 3-D axes set this flag without an overflow
        warnings.catch_warnings(record=True) as caught,
        atomic_write(path) as file,
    ):
        warnings.simplefilter("always")
        fig.savefig(file, format=kind[1:], dpi=200, metadata={"Date": None})
    missing = [w for w in caught if str(w.message).startswith("Glyph ")]
    for warning in caught:
        if warning not in missing:
            warnings.warn(warning.message, warning.category, stacklevel=2)
    if missing:
        warnings.warn(
            f"the font lacks {len({str(w.message) for w in missing})} characters of {path}: set "
            "Matplotlib's font.family to a list with a font that has them",
            stacklevel=2,
        )


# Curves by epoch.


def plot_curves(
    runs: Mapping[str, Run], quantity: str, *, first: int = 0, ax: Axes | None = None
) -> Figure:
    """Draw a quantity of runs by epoch: training dashed, validation solid, test dotted.

    A ring marks the best epoch of a run: that of its History, or the first with the highest
    validation accuracy, or with the lowest validation cost if there are no accuracies.

    Parameters
    ----------
    runs : mapping of labels to runs
        A run is a History, or like `History.epochs`: "training_cost", "validation_accuracy"
        (fractions in [0, 1], drawn in percent), ..., each a list with an entry for every epoch;
        some may be missing.
    quantity : {"accuracy", "cost"}
    first : int
        The first epoch to draw, counted from 0 as in the book.
    ax : Axes, optional
        Where to draw. The legend is beside it, so its figure needs ``layout="constrained"``.

    Raises
    ------
    TypeError
        If runs is not such a mapping.
    ValueError
        If the quantity is another, no run has that epoch of it, or a value is not finite or, for an
        accuracy, not a fraction.
    """
    curves = _curves(runs)
    handles, labels = _key(curves, [quantity], first, 24)
    ax = _new_beside(labels) if ax is None else ax
    _draw_curves(ax, curves, quantity, first)
    _legend_beside(ax, handles, labels)
    return _figure(ax)


def plot_learning_curves(
    runs: Mapping[str, Run], title: str = "", *, fig: Figure | None = None
) -> Figure:
    """Draw accuracy and cost side by side, as `plot_curves`; one alone if no run has the other.

    Parameters
    ----------
    runs : mapping of labels to runs
        As for `plot_curves`.
    title : str
        Above the plots.
    fig : Figure, optional
        An empty figure to draw on; its layout becomes "constrained".

    Raises
    ------
    ValueError
        If there is no run, or one has neither quantity; and as `plot_curves`.
    """
    curves = _curves(runs)
    empty = [label for label, run in curves.items() if not any(_keys(run, q) for q in QUANTITIES)]
    if empty or not curves:
        raise ValueError(
            "every run needs an epoch with a cost or an accuracy, unlike "
            f"{empty or 'an empty mapping'}: train for an epoch first"
        )
    quantities = [q for q in QUANTITIES if any(_keys(run, q) for run in curves.values())]
    handles, labels = _key(curves, quantities, 0, 44)
    lines = [line for label in labels for line in label.split("\n")]
    columns = max(1, min(110 // (8 + max(map(len, lines))), len(labels)))
    fig = _new(10, max(4, 2.8 + LINE * len(lines) / columns)) if fig is None else fig
    fig.set_layout_engine("constrained")
    for ax, quantity in zip(np.ravel(fig.subplots(1, len(quantities))), quantities, strict=True):
        _draw_curves(ax, curves, quantity, 0)
    fig.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    _title(fig, title)
    return fig


def plot_gradient_norms(norms: Mapping[str, Sequence[float]], *, ax: Axes | None = None) -> Figure:
    """Draw the norm of each layer's gradient by epoch on a log axis, as in chapter 5.

    Parameters
    ----------
    norms : mapping of labels of layers to lists
        The norms, above 0, with an entry for every epoch.
    ax : Axes, optional
        As for `plot_curves`.

    Raises
    ------
    ValueError
        If there is no layer, or a norm is not a finite number above 0.
    """
    if not norms:
        raise ValueError("norms must hold one layer or more, but the mapping is empty")
    labels = [_plain(label, 24) for label in norms]
    ax = _new_beside(labels) if ax is None else ax
    for i, (label, values) in enumerate(norms.items()):
        numbers = _numbers(values, f"norms of {label!r}")
        if numbers.min() <= 0:
            raise ValueError(f"a log axis needs norms above 0, but {label!r} has {numbers.min():g}")
        _line(ax, i, len(norms), numbers, 0, "validation")
    ax.set_yscale("log")
    _label_axes(ax, "norm of the gradient")
    _legend_beside(ax, ax.get_lines()[-len(norms) :], labels)
    return _figure(ax)


class _Curves(dict[str, Sequence[float]]):
    """The series of a run, and its best epoch, or -1 if none is known."""

    best: int


def _curves(runs: Mapping[str, Run]) -> dict[str, _Curves]:
    """Return the runs as series, or raise TypeError for what is no mapping to runs."""
    if not isinstance(runs, Mapping):
        raise TypeError(
            f'runs must be a mapping like {{"a label": history}}, not {type(runs).__name__}'
        )
    found = {}
    for label, run in runs.items():
        series = getattr(run, "epochs", run)
        if not isinstance(series, Mapping):
            raise TypeError(
                f"run {label!r} must be a History, or a mapping like its epochs, not "
                f"{type(run).__name__}"
            )
        found[label] = _Curves(series)
        known = getattr(run, "best_epoch", None)
        found[label].best = _best(series) if known is None else known
    return found


def _keys(run: _Curves, quantity: str) -> list[str]:
    return [key for name in SETS if len(run.get(key := f"{name}_{quantity}", ()))]


def _best(run: Mapping[str, Sequence[float]]) -> int:
    """Return the best epoch, or -1 if none is known."""
    for key, best in (("validation_accuracy", np.argmax), ("validation_cost", np.argmin)):
        if len(run.get(key, ())):
            return int(best(run[key]))
    return -1


def _numbers(values: Sequence[float], what: str) -> NDArray[np.float64]:
    numbers = np.array(values, np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"{what} must be finite numbers, one for each epoch, not {values!r:.80}")
    return numbers


def _draw_curves(ax: Axes, runs: Mapping[str, _Curves], quantity: str, first: int) -> None:
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
                        f"{key} of {label!r} must be fractions in [0, 1], but has values from "
                        f"{values.min():g} to {values.max():g}: divide by the number of images"
                    )
                values *= 100
            name = key.partition("_")[0]
            _line(ax, i, len(runs), values, first, name)
            if name == "validation" and first <= run.best < len(values):
                ax.plot(run.best, values[run.best], **_ring(), zorder=3)
    _label_axes(ax, QUANTITIES[quantity])


def _line(ax: Axes, i: int, n: int, y: NDArray[np.float64], first: int, name: str) -> None:
    """Draw line i of n; markers of different lines are at different epochs."""
    epochs = np.arange(first, max(first, len(y)))
    step = max(1, len(epochs) // 8)
    ax.plot(epochs, y[first:], markevery=(i * step // n, step), **_look(i), **SETS[name])


def _look(i: int) -> dict[str, Any]:
    """Return color and marker of run i: the colors of the reader's style, if it sets any."""
    cycle = matplotlib.rcParams["axes.prop_cycle"]
    own = cycle != matplotlib.rcParamsDefault["axes.prop_cycle"]
    colors = cycle.by_key().get("color", COLORS) if own else COLORS
    return {"color": colors[i % len(colors)], "marker": MARKERS[i % len(MARKERS)], "ms": 5}


def _ring() -> dict[str, Any]:
    color = matplotlib.rcParams["text.color"]
    return {"ls": "", "marker": "o", "ms": 11, "mfc": "none", "mec": color}


def _label_axes(ax: Axes, quantity: str) -> None:
    ax.set(xlabel="epoch", ylabel=quantity)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _key(
    runs: Mapping[str, _Curves], quantities: Sequence[str], first: int, width: int
) -> tuple[list[Line2D], list[str]]:
    """Return a legend's handles and labels: colors are runs, dashes are sets, rings are best."""
    handles, labels = [], []
    for i, (label, run) in enumerate(runs.items()):
        text = _plain(label, width)
        if 0 <= run.best < len(accuracies := run.get("validation_accuracy", ())):
            best = f"best {100 * accuracies[run.best]:.2f} % in epoch {run.best}"
            text += f": {best}" if len(text) + len(best) < width else f"\n{best}"
        handles.append(Line2D([], [], **_look(i)))
        labels.append(text)
    keys = {key for run in runs.values() for quantity in quantities for key in _keys(run, quantity)}
    sets = [name for name in SETS if any(key.startswith(name) for key in keys)]
    color = matplotlib.rcParams["text.color"]
    handles += [Line2D([], [], color=color, marker="o", ms=5, **SETS[name]) for name in sets]
    labels += sets
    if "validation" in sets and any(run.best >= first for run in runs.values()):
        handles.append(Line2D([], [], **_ring()))
        labels.append("best epoch")
    return handles, labels


def _new_beside(labels: Sequence[str]) -> Axes:
    """Return the axes of a new figure, as high as a legend of these labels beside them."""
    lines = sum(label.count("\n") + 1 for label in labels)
    return _new(8, max(4, 0.5 + LINE * lines)).add_subplot()


def _legend_beside(ax: Axes, handles: Sequence[Line2D], labels: Sequence[str]) -> None:
    place: dict[str, Any] = {"bbox_to_anchor": (1.01, 1), "borderaxespad": 0}
    ax.legend(handles, labels, loc="upper left", frameon=False, **place)


# Grids of pictures.


def plot_digits(
    images: ArrayLike,
    captions: Sequence[str] | None = None,
    columns: int = 10,
    title: str = "",
    *,
    shape: Shape | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw images in a grid, dark on light as in the book.

    Parameters
    ----------
    images : array_like, shape (n, height * width)
        One image per row: floats from 0 (paper) to 1 (ink), or uint8 from 0 to 255.
    captions : sequence of n strings, optional
        Below the images.
    columns : int
        Images in a row of the grid.
    title : str
        Above the grid.
    shape : (height, width), optional
        Of an image; by default images are square.
    fig : Figure, optional
        An empty figure with ``layout="constrained"`` to draw on.

    Raises
    ------
    ValueError
        If there are no images, they do not have that shape or range, or the number of captions is
        another.
    """
    pictures = _ink(images, shape)
    captions = [""] * len(pictures) if captions is None else captions
    if len(captions) != len(pictures):
        raise ValueError(
            f"expected {len(pictures)} captions, one for each image, not {len(captions)}"
        )
    below = 0.3 if any(captions) else 0.0
    ax, points, corners = _grid(fig, pictures, columns, title, below=below)
    size = points * min(0.26, 1.7 / max(1, *map(len, captions)))
    for (x, y), caption in zip(corners, captions, strict=True):
        middle = x + _width(pictures) / 2
        ax.text(middle, y + 1.03, _plain(caption, 99), size=size, ha="center", va="top")
    return _figure(ax)


def plot_mistakes(
    images: ArrayLike,
    true: ArrayLike,
    predicted: ArrayLike,
    confidence: ArrayLike | None = None,
    columns: int = 8,
    title: str = "",
    *,
    shape: Shape | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw misclassified images: true label upper right, predicted lower right, as in chapter 6.

    Parameters
    ----------
    images, columns, title, shape, fig
        As for `plot_digits`. Without images the figure says that there are no mistakes.
    true, predicted : array_like of integers, shape (n,)
    confidence : array_like, shape (n,), optional
        Below the images.

    Raises
    ------
    ValueError
        As `plot_digits`, and if the lengths differ.
    """
    arrays = [np.asarray(a) for a in (true, predicted, confidence) if a is not None]
    if any(a.shape != np.shape(images)[:1] for a in arrays):
        raise ValueError(
            "true, predicted and confidence need one entry for each image, but have the shapes "
            f"{[a.shape for a in arrays]} with images of shape {np.shape(images)}"
        )
    if not len(arrays[0]):
        fig = _new() if fig is None else fig
        fig.text(0.5, 0.5, "no mistakes", ha="center", va="center")
        return fig
    pictures = _ink(images, shape)
    below = 0.15 if confidence is None else 0.35
    longest = max(len(f"{label}") for label in (*arrays[0], *arrays[1]))
    room = 0.15 + 0.25 * longest
    ax, points, corners = _grid(fig, pictures, columns, title, right=room, below=below)
    right = _width(pictures) + 0.02
    upper: dict[str, Any] = {
        "color": COLORS[0],
        "va": "top",
        "weight": "bold",
        "size": 0.36 * points,
    }
    lower: dict[str, Any] = {"color": COLORS[1], "va": "bottom", "size": 0.36 * points}
    key = "upper right: true label    lower right: predicted label"
    for (x, y), label, other in zip(corners, arrays[0], arrays[1], strict=True):
        ax.text(x + right, y, f"{label}", **upper)
        ax.text(x + right, y + 1, f"{other}", **lower)
    if confidence is not None:
        key += "    below: confidence"
        for (x, y), value in zip(corners, arrays[2], strict=True):
            middle = x + _width(pictures) / 2
            ax.text(middle, y + 1.03, f"{value:.2f}", size=0.22 * points, ha="center", va="top")
    _figure(ax).supxlabel(key, size="medium")
    return _figure(ax)


def plot_weights(
    w: ArrayLike,
    columns: int = 10,
    title: str = "",
    *,
    gray: bool = False,
    shape: Shape | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw the weights of each neuron of a first layer, or each filter, as a picture.

    All share a scale: red above 0, white at 0, blue below, where half a percent of the weights may
    lie beyond its ends; or gray, where whiter is smaller, as in chapter 6.

    Parameters
    ----------
    w : array_like, shape (n_out, height * width)
        Weights of a layer on images, (30, 784), or filters, (20, 25).
    gray : bool
    columns, title, shape, fig
        As for `plot_digits`.

    Raises
    ------
    ValueError
        If there are no weights, or they do not have that shape or are not finite.
    """
    pictures = _pictures(w, "weights", shape)
    if not np.isfinite(pictures).all():
        raise ValueError(
            "weights must be finite, but hold NaN or infinity: train again with a smaller eta"
        )
    size = np.abs(pictures)
    far = np.percentile(size, 99.5) or size.max() or 1.0
    limits = (pictures.min(), pictures.max()) if gray else (-far, far)
    cmap = "Greys" if gray else "RdBu_r"
    ax, _, corners = _grid(fig, pictures, columns, title, cmap=cmap, limits=limits)
    for corner in corners:
        ax.add_patch(
            Rectangle(corner, _width(pictures), 1, fill=False, ec="0.6", lw=0.5, clip_on=False)
        )
    extend = "neither" if gray else "both"
    _figure(ax).colorbar(ax.images[0], ax=ax, extend=extend, aspect=40, pad=0.02)
    return _figure(ax)


def plot_outputs(
    photographs: Sequence[ArrayLike],
    images: ArrayLike,
    outputs: ArrayLike,
    *,
    shape: Shape | None = None,
    fig: Figure | None = None,
) -> Figure:
    """Draw photographs, the images made of them, and the network's outputs: a row for each.

    Parameters
    ----------
    photographs : sequence of n array_likes, each of shape (height, width)
        Brightness from 0 (black) to 1 (white).
    images : array_like, shape (n, height * width)
        The network's inputs, as for `plot_digits`.
    outputs : array_like, shape (n, n_out)
    shape : (height, width), optional
        Of an image; by default images are square.
    fig : Figure, optional
        An empty figure with ``layout="constrained"`` to draw on.

    Raises
    ------
    ValueError
        As `plot_digits`, and if the lengths differ.
    """
    seen, a = _ink(images, shape), np.asarray(outputs)
    if not len(photographs) == len(seen) == len(a):
        raise ValueError(
            "every photograph needs an image and outputs, but there are "
            f"{len(photographs)} photographs, {len(seen)} images and outputs of {len(a)}"
        )
    fig = _new(7, 0.4 + 1.5 * len(seen)) if fig is None else fig
    axes = fig.subplots(len(seen), 3, squeeze=False, width_ratios=(1.5, 1, 2))
    for ax, title in zip(axes[0], ("photograph", "network input", "outputs"), strict=True):
        ax.set_title(title, size="medium")
    for row, photograph, image, output in zip(axes, photographs, seen, a, strict=True):
        row[0].imshow(photograph, "gray", vmin=0, vmax=1)
        row[1].imshow(image, "Greys", vmin=0, vmax=1)
        for ax in row[:2]:
            ax.set(xticks=[], yticks=[])
        bars = row[2].bar(range(len(output)), output, color=COLORS[0])
        bars[int(output.argmax())].set_color(COLORS[1])
        row[2].set(
            xticks=range(0, len(output), ceil(len(output) / 15)),
            ylim=(min(0, output.min()), max(1, output.max())),
        )
    return fig


def picture_shape(pixels: int, shape: tuple[int, ...] | None = None) -> Shape | None:
    """Return (height, width) of a picture with this many pixels, or None if it cannot be drawn.

    ``shape`` is that of an image, (height, width) or (maps, height, width); by default images are
    square.
    """
    *maps, height, width = shape or (isqrt(pixels),) * 2
    return (height, width) if prod(maps) == 1 and height * width == pixels else None


def _pictures(rows: ArrayLike, what: str, shape: Shape | None) -> Pictures:
    """Return rows as pictures, shape (n, height, width)."""
    a = np.asarray(rows)
    if a.ndim == 3 and a.size and shape in (None, a.shape[1:]):
        return a
    side = isqrt(a.shape[-1]) if a.ndim == 2 else 0
    height, width = shape or (side, side)
    if a.ndim != 2 or not a.size or a.shape[-1] != height * width:
        needed = "height * width" if shape else "side * side"
        raise ValueError(
            f"{what} must be one or more of the shape (n, {needed}) or (n, height, width), not "
            f"{a.shape}: give those, or their shape as (height, width)"
        )
    return a.reshape(-1, height, width)


def _ink(images: ArrayLike, shape: Shape | None) -> Pictures:
    pictures = _pictures(images, "images", shape)
    if pictures.dtype == np.uint8:
        return pictures / 255
    if not (pictures.dtype.kind == "f" and pictures.min() >= 0 and pictures.max() <= 1):
        raise ValueError(
            f"images must be uint8 or floats from 0 to 1, not {pictures.dtype} from "
            f"{pictures.min():g} to {pictures.max():g}: divide them by their largest value"
        )
    return pictures


def _width(pictures: Pictures) -> float:
    """Return the width of a picture in picture heights."""
    return float(pictures.shape[2] / pictures.shape[1])


def _grid(
    fig: Figure | None,
    pictures: Pictures,
    columns: int,
    title: str,
    *,
    right: float = 0.0,
    below: float = 0.0,
    cmap: str = "Greys",
    limits: tuple[float, float] = (0.0, 1.0),
) -> tuple[Axes, float, list[tuple[float, float]]]:
    """Draw pictures in a grid on one Axes, whose unit is the height of a picture.

    Each picture has room to its ``right`` and ``below``. Returns the axes, the unit in points
    (about), and the upper left corners of the pictures.
    """
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    width = _width(pictures)
    across, down = width + right + GAP, 1 + below + GAP
    wide, high = columns * across - GAP, ceil(len(pictures) / columns) * down - GAP
    fig = _new(8, 8 * high / wide + (0.5 if title or right else 0)) if fig is None else fig
    ax = fig.add_subplot(xlim=(0, wide), ylim=(high, 0))
    ax.set_axis_off()
    corners = [(i % columns * across, i // columns * down) for i in range(len(pictures))]
    for picture, (x, y) in zip(pictures, corners, strict=True):
        extent = (x, x + width, y + 1, y)
        ax.imshow(picture, cmap, vmin=limits[0], vmax=limits[1], extent=extent)
    ax.set(xlim=(0, wide), ylim=(high, 0))
    _title(fig, title)
    return ax, 72 * fig.get_figwidth() / wide, corners


def plot_confusion(matrix: ArrayLike, title: str = "", *, ax: Axes | None = None) -> Figure:
    """Draw a confusion matrix; its colors count the mistakes only.

    Parameters
    ----------
    matrix : array_like of integers, shape (n_out, n_out)
        Counts: the true label is the row, the predicted one the column.
    title : str
        Above the matrix.
    ax : Axes, optional
        Where to draw.

    Raises
    ------
    ValueError
        If the matrix is not square, or an entry is not a count.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or len({*counts.shape}) > 1 or counts.dtype.kind not in "iu":
        raise ValueError(
            "a confusion matrix must be a square array of integers, not "
            f"{counts.dtype} of shape {counts.shape}"
        )
    if not counts.size or counts.min() < 0:
        raise ValueError("a confusion matrix must hold counts of at least 0, for 1 label or more")
    n, correct = len(counts), np.eye(len(counts), dtype=bool)
    if ax is None:
        side = max(6.0, 0.24 * n)  # room for a number in each cell
        ax = _new(side, side - 0.5).add_subplot()
    most = max(1, counts[~correct].max(initial=0))
    size = min(9.0, 0.3 * ax.bbox.width / n * 72 / _figure(ax).dpi)
    ax.set_facecolor("0.88")
    ax.imshow(np.ma.masked_where(correct, counts), cmap="Oranges", vmin=0, vmax=most)
    for (i, j), count in np.ndenumerate(counts):
        if size >= 3 and (count or i == j):  # smaller numbers cannot be read: the color remains
            color = "0.35" if i == j else "white" if count > 0.6 * most else "black"
            ax.text(j, i, f"{count}", size=size, color=color, ha="center", va="center")
    every = ceil(n / 30)
    ax.set_title(_plain(title, int(9 * ax.bbox.width / _figure(ax).dpi)), size="medium")
    ax.set(xlabel="predicted label", ylabel="true label")
    ax.set(xticks=range(0, n, every), yticks=range(0, n, every))
    ax.tick_params(length=0, labelsize=min(10.0, 2 * size))
    ax.spines[:].set_visible(False)
    return _figure(ax)


def _new(width: float = 8, height: float = 4) -> Picture:
    return Picture(figsize=(width, height), layout="constrained")


def _figure(ax: Axes) -> Figure:
    figure = ax.figure
    return figure if isinstance(figure, Figure) else figure.figure


def _title(fig: Figure | SubFigure, title: str) -> None:
    if title:
        fig.suptitle(_plain(title, 110), x=0.02, ha="left", size="medium")


def _plain(text: str, width: int) -> str:
    """Wrap a text, escape what cannot be printed, and keep Matplotlib from interpreting it.

    Matplotlib reads $ as mathematics and a leading _ as "not in the legend".
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return textwrap.fill(" " * text.startswith("_") + text.replace("$", r"\$"), width)
