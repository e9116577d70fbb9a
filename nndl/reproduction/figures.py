"""Functions that draw the book's figures from our results; `gallery` has the table of figures.

Our curves are the mean of all seeds (of gradient norms the geometric mean), in color, with a band
from the lowest to the highest. The author's are thin and black: a line if he published every epoch;
otherwise dots at the epochs that he published, on the line of the replay. A replay that differs
from the published curve is dotted. The axes are those of the book.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nndl.costs import Cost, cross_entropy, quadratic
from nndl.data import load_mnist
from nndl.plots import COLORS, plot_mistakes, plot_weights
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

__all__ = [
    "Draw",
    "Line",
    "draw_approximation",
    "draw_bars",
    "draw_by_size",
    "draw_curves",
    "draw_ensemble_errors",
    "draw_filters",
    "draw_norms",
    "draw_saturation",
    "draw_steps",
    "draw_towers",
]

Floats = NDArray[np.float64]
Draw = Callable[[Figure, Path], None]
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


# Curves by epoch: chapter 3.


def draw_curves(
    fig: Figure, results: Path, lines: tuple[Line, ...], first: int = 0, ylim: Any = None
) -> None:
    """Draw quantities by epoch, from the epoch ``first`` on, with the published curves."""
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


def draw_by_size(fig: Figure, results: Path, log: bool = False, svm: bool = False) -> None:
    """Draw the accuracy by the size of the training set."""
    ax = fig.add_subplot()
    series = published()["c3-more-data"]["curves"]
    sizes = [int(size) for size in series]
    values = [_final(results, f"c3-more-data-{size}") for size in sizes]
    n = min(map(len, values))  # of an interrupted reproduction, the seeds that all sizes have
    _band(ax, sizes, np.array([v[:n] for v in values]).T, 0, "ours")
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


def draw_bars(fig: Figure, results: Path) -> None:
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


def draw_norms(fig: Figure, results: Path, depth: int) -> None:
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


def draw_saturation(fig: Figure, results: Path) -> None:
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


def draw_steps(fig: Figure, results: Path) -> None:
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


def draw_approximation(fig: Figure, results: Path) -> None:
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


def draw_towers(fig: Figure, results: Path) -> None:
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


def draw_filters(fig: Figure, results: Path) -> None:
    """Draw the filters of the first layer of a network with dropout: whiter is smaller."""
    plot_weights(_dropout_networks(results)[0]["final"]["filters"], 5, gray=True, fig=fig)


def draw_ensemble_errors(fig: Figure, results: Path) -> None:
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
