"""The book's figures that show results of experiments, drawn from our results.

Our curves are the mean of all seeds (of gradient norms the geometric mean), in color, with a band
from the lowest to the highest. The author's are thin and black: a line if he published every epoch;
otherwise dots at the epochs that he published, on the line of the replay. A replay that differs
from the published curve is dotted. The axes are those of the book.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nndl.costs import Cost, cross_entropy, quadratic
from nndl.data import load_mnist
from nndl.files import write_text
from nndl.plots import COLORS, plot_mistakes, plot_weights, save
from nndl.reproduction.chapter4 import (
    average_deviation,
    best_heights,
    bumps,
    goal,
    saturation,
    step,
    target,
    tower,
    towers,
)
from nndl.reproduction.jobs import load_results
from nndl.reproduction.published import published
from nndl.reproduction.reading import Result, vote
from nndl.reproduction.replay import load_replay

__all__ = ["FIGURES", "draw_all", "gallery"]

Floats = NDArray[np.float64]
Draw = Callable[[Figure, Path], None]
WIDE, SQUARE = (6.4, 3.8), (6.4, 5.6)
AUTHORS: dict[str, Any] = {"color": "black", "lw": 0.8, "label": "the author's"}
SETS = {"training": "training", "test": "evaluation", "validation": "evaluation"}


@dataclass(frozen=True)
class Line:
    """A quantity of an experiment, and the published curve to draw with it."""

    experiment: str
    quantity: str
    label: str = "ours"
    record: str = ""  # name of the published series; by default that of the experiment
    curve: str = ""


@dataclass(frozen=True)
class Drawing:
    """A figure: the chapter and section of the book, what it shows, and how it is drawn."""

    section: str
    caption: str
    draw: Draw
    size: tuple[float, float] = WIDE


GALLERY = """\
# The book's figures, redrawn

`nndl reproduce figures` draws these figures from the results in [book](book) and [replay](replay),
and writes this page. Our curves are the mean over seeds (of gradient norms the geometric mean), in
color, with a band from the lowest to the highest. The author's are thin and black: a line if he
published every epoch; otherwise dots at the epochs that he published, on the line of the replay. A
replay that differs from the published curve is dotted.
"""


def draw_all(results: Path, report: Callable[[str], None] = lambda line: None) -> None:
    """Draw every figure whose results exist, as PNG and SVG, into results/figures.

    The page results/FIGURES.md shows them.

    Matplotlib's default style is used, whatever the reader's is: the files are to be the same for
    everyone.

    Parameters
    ----------
    results : Path
        A folder that holds book/ and replay/.
    report : callable
        Called with a line of text for every figure; those without results are skipped.
    """
    folder = results / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in FIGURES.items():
        fig = Figure(figsize=drawing.size, layout="constrained")
        with style.context("default"):
            try:
                drawing.draw(fig, results)
            except FileNotFoundError as error:
                report(f"{name}: skipped, {error}")
                continue
            for ending in (".png", ".svg"):
                save(fig, folder / (name + ending))
        report(f"{name}: drawn")
    write_text(results / "FIGURES.md", gallery(results))


# Curves by epoch: chapter 3.


def _curves(
    fig: Figure, results: Path, lines: tuple[Line, ...], first: int = 0, ylim: Any = None
) -> None:
    ax = fig.add_subplot()
    for i, line in enumerate(lines):
        ours = _ours(results, line)[:, first:]
        epochs = np.arange(first, first + ours.shape[1])
        _band(ax, epochs, ours, i, line.label)
        _authors(ax, results, line, first, "the author's" if i == 0 else None)
    percent = lines[0].quantity.endswith("accuracy")
    name = lines[0].quantity if len({line.quantity for line in lines}) == 1 else "accuracy"
    ax.set(xlabel="epoch", ylabel=name.replace("_", " ") + (" (%)" if percent else ""), ylim=ylim)
    _finish(ax)
    # Above the axes, where it covers no curve.
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)


def _ours(results: Path, line: Line) -> Floats:
    """Return the series of every seed, shape (seeds, epochs); accuracies in percent."""
    runs = load_results(results / "book", line.experiment)
    if not runs:
        raise FileNotFoundError(f"{line.experiment} has not been run")
    scale = 100 if line.quantity.endswith("accuracy") else 1
    return scale * np.array([run["epochs"][line.quantity] for run in runs])


def _band(ax: Axes, x: Any, series: Floats, i: int, label: str) -> None:
    """Draw the mean of all seeds, and a band from the lowest to the highest."""
    dashes, seeds = ("-", "--", "-.")[i], f"{len(series)} seed{'s' * (len(series) > 1)}"
    ax.plot(x, series.mean(axis=0), dashes, color=COLORS[i], label=f"{label}, {seeds}")
    ax.fill_between(
        x, series.min(axis=0), series.max(axis=0), color=COLORS[i], alpha=0.25, linewidth=0
    )


def _authors(ax: Axes, results: Path, line: Line, first: int, label: str | None) -> None:
    """Draw the published curve, and its replay if only some epochs were published."""
    name = line.record or line.experiment
    if name not in published():
        return
    series = published()[name]
    set_name, _, kind = line.quantity.partition("_")
    key = f"{SETS[set_name]}_{'correct' if kind == 'accuracy' else kind}"
    epochs, values = np.array(series["epochs"]), np.array(series["curves"][line.curve][key])
    scale = 1.0
    if kind == "accuracy":
        scale = 100 / (_training_size(name) if set_name == "training" else 10_000)
    look = AUTHORS | {"label": label}
    path = results / "replay" / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{path}, the replay of the author's run, is missing: create it with nndl reproduce "
            f"replay {name} --out {path.parent}"
        )
    curve = np.array(load_replay(path)[line.curve][key])
    if len(epochs) == epochs[-1] + 1:
        ax.plot(epochs[first:], scale * values[first:], **look)
        if not np.allclose(curve, values, rtol=1e-3, atol=0):
            label = "its replay" if label or line.curve else None
            ax.plot(epochs[first:], scale * curve[first:], ":", **AUTHORS | {"label": label})
        return
    shown = epochs >= first
    ax.plot(np.arange(first, len(curve)), scale * curve[first:], **look)
    ax.plot(epochs[shown], scale * values[shown], "k.", ms=4)


def _training_size(record: str) -> int:
    return 1000 if record.endswith("-1000") else 50_000


def _finish(ax: Axes) -> None:
    ax.grid(axis="y", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)


def _by_size(fig: Figure, results: Path, log: bool = False, svm: bool = False) -> None:
    """Draw the accuracy by the size of the training set."""
    ax = fig.add_subplot()
    series = published()["c3-more-data"]["curves"]
    sizes = [int(size) for size in series]
    values = [_final(results, f"c3-more-data-{size}") for size in sizes]
    _band(ax, sizes, np.array(values).T, 0, "ours")
    theirs = [curve["evaluation_correct"][0] / 100 for curve in series.values()]
    ax.plot(sizes, theirs, marker=".", ms=5, **AUTHORS)
    if svm:
        machine = published()["c3-more-data-svm"]["curves"].values()
        accuracies = [curve["evaluation_correct"][0] / 100 for curve in machine]
        ax.plot(sizes, accuracies, "s:", color="black", lw=0.8, ms=3, label="the author's SVM")
    ax.set(xlabel="training images", ylabel="validation accuracy (%)")
    if log:
        ax.set_xscale("log")
    _finish(ax)


def _final(results: Path, name: str) -> list[float]:
    runs = load_results(results / "book", name)
    if not runs:
        raise FileNotFoundError(f"{name} has not been run")
    return [100 * run["final"]["validation_accuracy"] for run in runs]


# Chapter 5: how fast each layer learns.


def _bars(fig: Figure, results: Path) -> None:
    """Draw the gradients of six neurons in each hidden layer, before training."""
    runs = load_results(results / "book", "c5-norms-2")
    if not runs:
        raise FileNotFoundError("c5-norms-2 has not been run")
    curves = published()["c5-initial-bars"]["curves"]
    axes = fig.subplots(1, 2, sharey=True)
    neurons = np.arange(1, 7)
    for l, ax in enumerate(axes, start=1):
        ours = np.array(runs[0]["epochs"][f"bar_{l}"])
        ax.bar(neurons - 0.2, ours, 0.4, color=COLORS[l - 1], label="ours, seed 0")
        theirs = curves[str(l)]["gradient"]
        ax.bar(neurons + 0.2, theirs, 0.4, fill=False, lw=0.8, label="the author's")
        ax.axhline(0, color="black", lw=0.5)
        ax.set(title=f"hidden layer {l}", xlabel="neuron", xticks=neurons)
        _finish(ax)
    axes[0].set_ylabel(r"$\partial C/\partial b$")


def _norms(fig: Figure, results: Path, depth: int) -> None:
    """Draw the norm of each hidden layer's bias gradient while the network learns."""
    ax = fig.add_subplot()
    series = published()[f"c5-norms-{depth}"]
    for l in range(1, depth + 1):
        ours = _ours(results, Line(f"c5-norms-{depth}", f"norm_{l}"))
        epochs = np.arange(ours.shape[1])
        middle = np.exp(np.log(ours).mean(axis=0))
        dashes = ("-", "--", "-.", ":")[l - 1]
        label = f"layer {l}, {len(ours)} seeds"
        ax.plot(epochs, middle, dashes, color=COLORS[l - 1], label=label)
        ax.fill_between(
            epochs, ours.min(axis=0), ours.max(axis=0), color=COLORS[l - 1], alpha=0.2, lw=0
        )
        look = AUTHORS | {"label": "the author's" if l == depth else None}
        theirs = series["curves"][str(l)]["norm"]
        ax.plot(series["epochs"], theirs, marker=f"${l}$", ms=5, markevery=slice(10, None), **look)
    ax.set(xlabel="epoch", ylabel=r"$\|\partial C/\partial b\|$", yscale="log")
    _finish(ax)


# Computed, not trained on images: chapter 3's neuron and chapter 4's constructions.


def _saturation(fig: Figure, results: Path) -> None:
    """Draw the cost of one neuron from a good and a bad start, for both cost functions."""
    axes = fig.subplots(2, 2, sharex=True, sharey="row")
    rows: tuple[Cost, ...] = (quadratic, cross_entropy)
    for cost, row in zip(rows, axes, strict=True):
        for start, ax in zip((0.6, 2.0), row, strict=True):
            b = 0.9 if start == 0.6 else 2.0
            outputs, costs = saturation(start, b, cost)
            ax.plot(costs, color=COLORS[0], label=r"$\eta = 0.15$")
            if cost is cross_entropy:
                _, slow = saturation(start, b, cost, eta=0.005)
                ax.plot(slow, "--", color=COLORS[1], label=r"$\eta = 0.005$")
            ax.set_title(
                f"{cost}, w = {start}, b = {b}:\n"
                rf"output {outputs[0]:.2f} to {outputs[-1]:.3f} with $\eta = 0.15$",
                size=10,
            )
            _finish(ax)
    for ax in axes[1]:
        ax.set_xlabel("epoch")
    for ax in axes[:, 0]:
        ax.set_ylabel("cost")
    fig.supxlabel(
        r"The book's page takes steps of $\partial C/\partial a = 1/(1-a)$; its $\eta = 0.005$ is"
        " chosen for them.\n"
        r"These curves are gradient descent, with $\partial C/\partial w = a$.",
        fontsize=8,
    )


def _steps(fig: Figure, results: Path) -> None:
    """Draw a sigmoid neuron that becomes a step, and two of them that make a bump."""
    x = np.linspace(0, 1, 2001)
    left, right = fig.subplots(1, 2, sharey=True)
    for i, w in enumerate((8.0, 100.0, 999.0)):
        y = step(0.4, w)(x[None])[0]
        left.plot(x, y, ("-", "--", "-.")[i], color=COLORS[i], label=f"w = {w:g}")
    left.set(title="a step at -b/w = 0.4", xlabel="x", ylabel="output")
    one = bumps([(0.4, 0.6)], [0.8])(x[None])[0]
    two = bumps([(0.4, 0.6), (0.7, 0.9)], [-1.2, 0.3])(x[None])[0]
    right.plot(x, one, color=COLORS[0], label="h = 0.8")
    right.plot(x, two, "--", color=COLORS[1], label="h = -1.2 and 0.3")
    right.set(title="bumps: the weighted output", xlabel="x")
    right.set_ylim(top=1.4)  # room for the legend
    for ax in (left, right):
        _finish(ax)


def _approximation(fig: Figure, results: Path) -> None:
    """Draw the function of chapter 4 approximated by five and by fifty bumps."""
    x = np.linspace(0.001, 0.999, 4000)  # the outer steps are at 0 and 1
    left, right = fig.subplots(1, 2)
    for i, n in enumerate((5, 50)):
        edges = [(j / n, (j + 1) / n) for j in range(n)]
        net = bumps(edges, list(best_heights(n)), w=10_000)
        z = net(x[None])[0]
        left.plot(x, z, color=COLORS[i], label=f"{n} bumps: {average_deviation(net):.3f} off")
        right.plot(x, 1 / (1 + np.exp(-z)), color=COLORS[i], label=f"{n} bumps")
    left.plot(x, goal(x), color="black", lw=0.8, label=r"$\sigma^{-1}(f(x))$")
    right.plot(x, target(x), color="black", lw=0.8, label="f(x)")
    left.set(title="the weighted output, goal 0.40", xlabel="x")
    right.set(title="the output", xlabel="x")
    for ax in (left, right):
        _finish(ax)


def _towers(fig: Figure, results: Path) -> None:
    """Draw bumps and towers over the plane."""
    side = (np.arange(100) + 0.5) / 100  # not at 0, 0.2, ..., where the steps are
    x, y = np.meshgrid(side, side)
    points = np.stack([x.ravel(), y.ravel()])
    grid = [((i / 5, (i + 1) / 5), (j / 5, (j + 1) / 5)) for i in range(5) for j in range(5)]
    heights = [(i * i + j * j) / 50 for i in range(5) for j in range(5)]
    flat = tower((0.4, 0.6), (0.3, 0.7), h=0.3)
    flat.biases[1][...] = -0.5
    panels = {
        "h = 0.3, bias -0.5: no tower yet": flat,
        "h = 10, bias -3h/2: a tower": tower((0.4, 0.6), (0.3, 0.7)),
        "two towers": towers([((0.1, 0.2), (0.8, 0.9)), ((0.7, 0.8), (0.2, 0.3))], [0.7, 0.5]),
        "25 towers": towers(grid, heights),
    }
    for i, (title, net) in enumerate(panels.items(), start=1):
        ax = fig.add_subplot(2, 2, i, projection="3d")
        z = net(points)[0].reshape(x.shape)
        look = {"cmap": "cividis", "vmin": 0, "vmax": 1, "lw": 0, "rasterized": True}
        look["antialiased"] = False  # antialiasing shows thin lines between the patches
        ax.plot_surface(x, y, z, rstride=2, cstride=2, **look)
        ax.set(title=title, xlabel="x", ylabel="y", zlim=(0, 1), xticks=(0, 1), yticks=(0, 1))


def _filters(fig: Figure, results: Path) -> None:
    """Draw the filters of the first layer of a network with dropout: whiter is smaller."""
    plot_weights(_dropout_networks(results)[0]["final"]["filters"], 5, gray=True, fig=fig)


def _ensemble_errors(fig: Figure, results: Path) -> None:
    """Draw the test images that the vote of the networks with dropout gets wrong."""
    index, predicted = zip(*vote(_dropout_networks(results)), strict=True)
    test = load_mnist(dtype=np.uint8, download=False)[2]
    rows = np.array(index)
    plot_mistakes(test.images[rows], test.labels[rows], predicted, fig=fig)


def _dropout_networks(results: Path) -> list[Result]:
    runs = load_results(results / "book", "c6-dropout")
    if not runs:
        raise FileNotFoundError("c6-dropout has not been run")
    return runs


def _both(experiment: str) -> tuple[Line, Line]:
    return (
        Line(experiment, "training_accuracy", "training"),
        Line(experiment, "test_accuracy", "test"),
    )


def _starts(hidden: int) -> Iterator[Line]:
    for curve, label in (("new", "new start"), ("old", "old start")):
        record = f"c3-winit-{hidden}"
        yield Line(f"{record}-{curve}", "validation_accuracy", label, record, curve)


def _curve(quantity: str, record: str = "c3-overfit-1000", first: int = 0) -> Draw:
    return partial(_curves, lines=(Line(record, quantity),), first=first)


COSTS = "3, The cross-entropy cost function"
OVERFITTING = "3, Overfitting and regularization"
TECHNIQUES = "3, Other techniques for regularization"
WEIGHTS = "3, Weight initialization"
ETAS = "3, How to choose a neural network's hyper-parameters?"
UNIVERSALITY = "4, Universality with one input and one output"
GRADIENTS = "5, The vanishing gradient problem"
PRACTICE = "6, Convolutional neural networks in practice"

FIGURES: dict[str, Drawing] = {
    "saturation": Drawing(
        COSTS,
        "Cost of one neuron that learns to turn 1 into 0, from a good and from a bad start, with "
        "the quadratic cost and with the cross-entropy.",
        _saturation,
        SQUARE,
    ),
    "overfitting1": Drawing(
        OVERFITTING,
        "Cost on 1,000 training images, epochs 200 to 399: it keeps falling.",
        _curve("training_cost", first=200),
    ),
    "overfitting2": Drawing(
        OVERFITTING,
        "Accuracy on the test set, the same run: it has stopped rising.",
        _curve("test_accuracy", first=200),
    ),
    "overfitting3": Drawing(
        OVERFITTING,
        "Cost on the test set, the same run: after a few epochs it rises.",
        _curve("test_cost"),
    ),
    "overfitting4": Drawing(
        OVERFITTING,
        "Accuracy on the training images, the same run: it reaches 100 %.",
        _curve("training_accuracy"),
    ),
    "overfitting_full": Drawing(
        OVERFITTING,
        "Accuracy with all 50,000 training images: training and test set differ less.",
        partial(_curves, lines=_both("c3-overfit-full"), ylim=(90, 100)),
    ),
    "regularized1": Drawing(
        OVERFITTING,
        "Cost on 1,000 training images with L2 regularization, epochs 200 to 399.",
        _curve("training_cost", "c3-reg-1000", 200),
    ),
    "regularized2": Drawing(
        OVERFITTING,
        "Accuracy on the test set, the same run: it keeps rising.",
        _curve("test_accuracy", "c3-reg-1000", 200),
    ),
    "regularized_full": Drawing(
        OVERFITTING,
        "Accuracy with all training images and L2 regularization.",
        partial(_curves, lines=_both("c3-reg-full"), ylim=(90, 100)),
    ),
    "more_data": Drawing(
        TECHNIQUES, "Validation accuracy by the number of training images.", _by_size
    ),
    "more_data_log": Drawing(
        TECHNIQUES, "The same with a logarithmic axis.", partial(_by_size, log=True)
    ),
    "more_data_comparison": Drawing(
        TECHNIQUES,
        "The same, with the author's support vector machine.",
        partial(_by_size, log=True, svm=True),
    ),
    "weight_initialization_30": Drawing(
        WEIGHTS,
        "Validation accuracy with the old and the new initial weights, 30 hidden neurons.",
        partial(_curves, lines=(*_starts(30),), ylim=(85, 100)),
    ),
    "weight_initialization_100": Drawing(
        WEIGHTS,
        "The same with 100 hidden neurons.",
        partial(_curves, lines=(*_starts(100),), ylim=(85, 100)),
    ),
    "multiple_eta": Drawing(
        ETAS,
        "Training cost with three learning rates.",
        partial(
            _curves,
            lines=tuple(
                Line(f"c3-eta-compare-{eta}", "training_cost", f"eta {eta}", "c3-eta-compare", eta)
                for eta in ("0.025", "0.25", "2.5")
            ),
        ),
    ),
    "chapter4_steps": Drawing(
        UNIVERSALITY,
        "Sigmoid neurons that become a step, and pairs of them that make bumps.",
        _steps,
    ),
    "chapter4_approximation": Drawing(
        UNIVERSALITY,
        "The function of the chapter approximated by 5 and by 50 bumps.",
        _approximation,
    ),
    "chapter4_towers": Drawing(
        "4, Many input variables", "Towers over the plane.", _towers, SQUARE
    ),
    "initial_gradient": Drawing(
        GRADIENTS,
        "Gradients of six neurons in each of two hidden layers, before training.",
        _bars,
    ),
    "training_speed_2_layers": Drawing(
        GRADIENTS,
        "Norm of each hidden layer's gradient during training, 2 hidden layers.",
        partial(_norms, depth=2),
    ),
    "training_speed_3_layers": Drawing(
        GRADIENTS, "The same with 3 hidden layers.", partial(_norms, depth=3)
    ),
    "training_speed_4_layers": Drawing(
        GRADIENTS, "The same with 4 hidden layers.", partial(_norms, depth=4)
    ),
    "conv_accuracy": Drawing(
        PRACTICE,
        "Validation accuracy of two convolutions and a dense layer with sigmoid, tanh and "
        "rectified linear neurons.",
        partial(
            _curves,
            lines=(
                Line("c6-dbl-conv", "validation_accuracy", "sigmoid"),
                Line("c6-prob-tanh", "validation_accuracy", "tanh"),
                Line("c6-relu", "validation_accuracy", "rectified"),
            ),
            ylim=(97, 99.5),
        ),
    ),
    "conv_filters": Drawing(
        PRACTICE,
        "Filters of the first convolution of the best network: whiter is smaller.",
        _filters,
        (5.4, 3.8),
    ),
    "ensemble_errors": Drawing(
        PRACTICE,
        "The test images that the vote of five networks gets wrong, with the true label at the "
        "upper right and the vote at the lower right.",
        _ensemble_errors,
    ),
}


def gallery(results: Path) -> str:
    """Return the page of the figures that are in results/figures, in Markdown."""
    lines = [GALLERY]
    section = ""
    for name, drawing in FIGURES.items():
        if not (results / "figures" / f"{name}.svg").exists():
            continue
        if drawing.section != section:
            chapter, _, title = drawing.section.partition(", ")
            lines.append(f"## Chapter {chapter}: {title}\n")
            section = drawing.section
        lines.append(f"`{name}`: {drawing.caption}\n\n![{drawing.caption}](figures/{name}.svg)\n")
    return "\n".join(lines)
