"""results/figures/ladder.svg: accuracy against core-seconds, with what others reached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nndl.ladder.marks import MARKS, Mark
from nndl.ladder.records import FEW, Rung, load_ensemble, load_rung
from nndl.plots import COLORS
from nndl.recipes import RECIPES

__all__ = ["draw"]

LOWEST, HIGHEST = 96.5, 99.85  # percent
BOOK = "#9c2a5f"  # dark enough for small text
TIMES = {"1 s": 1, "10 s": 10, "1 min": 60, "10 min": 600, "1 h": 3600, "10 h": 36_000}
TICKS = (97, 98, 99, 99.5, 99.7, 99.8)


def draw(results: Path) -> Figure:
    """Return the figure for the results in a folder that holds ladder/.

    The accuracy is drawn as the error rate on a logarithmic axis, upside down.
    """
    folder = results / "ladder"
    with style.context("default"):
        fig = Figure(figsize=(9, 5.5), layout="constrained")
        ax, strip = fig.subplots(1, 2, sharey=True, width_ratios=(5, 3))
        labels: dict[str, Any] = {}
        for name in RECIPES:
            ours, theirs = load_rung(folder, name), load_rung(folder, name, twin=True)
            ensemble = load_ensemble(folder, name)
            if ours and theirs and min(len(ours), len(theirs)) >= FEW:
                ends = (ours.seconds, theirs.seconds), (_error(ours.mean), _error(theirs.mean))
                ax.plot(*ends, color="gray", lw=0.7, zorder=1)
            if ours:
                labels.setdefault("nndl", _point(ax, ours, "o", COLORS[0]))
                at = (ours.seconds, _error(ours.mean))
                ax.annotate(name, at, xytext=(6, -11), textcoords="offset points", fontsize=8)
            if theirs:
                point = _point(ax, theirs, "s", COLORS[1])
                labels.setdefault("PyTorch, the same recipe", point)
            if ensemble:
                at = (ensemble["seconds"], _error(100 * ensemble["correct"] / ensemble["of"]))
                [mark] = ax.plot(*at, "D", color=COLORS[2])
                labels["nndl, ensemble"] = mark
                text = f"{len(ensemble['members'])} x {name}"
                ax.annotate(text, at, xytext=(-6, 6), textcoords="offset points", fontsize=8)
                ax.texts[-1].set_horizontalalignment("right")
        if labels:
            ax.legend(labels.values(), labels.keys(), loc="lower right")
        ax.set(xscale="log", yscale="log", ylim=(100 - LOWEST, 100 - HIGHEST))
        longest = max([300.0, *(x for line in ax.lines for x in line.get_xdata())])
        ax.set_xlabel("CPU time of training on one core")
        ax.set_ylabel("test accuracy (%), on a log scale of errors")
        ax.set_xticks([*TIMES.values()], [*TIMES])
        ax.set_yticks([100 - tick for tick in TICKS], [f"{tick:g}" for tick in TICKS])
        ax.minorticks_off()
        ax.set_xlim(0.3, 3 * longest)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        _marks(strip)
    return fig


def _error(accuracy: float) -> float:
    """Return the error rate in percent; the smallest that the axis shows for less."""
    return max(100 - accuracy, 100 - HIGHEST)


def _point(ax: Axes, rung: Rung, marker: str, color: str) -> Any:
    """Draw the mean accuracy of a rung with a bar of one sd up and down; open for few seeds."""
    at, sd = (rung.seconds, _error(rung.mean)), rung.sd
    fill = color if len(rung) >= FEW else "white"
    # Not below the axis, where a logarithm has no end.
    bar = None if sd is None else [[min(sd, at[1] - _error(100))], [sd]]
    return ax.errorbar(*at, yerr=bar, fmt=marker, color=color, mfc=fill, capsize=3, ms=5)


def _marks(ax: Axes) -> None:
    """Draw the marks of others as lines at their accuracy, their labels apart from each other."""
    marks = sorted(MARKS, key=lambda mark: mark.accuracy)
    errors = [_error(mark.accuracy) for mark in marks]
    for mark, error, beside in zip(marks, errors, _apart(errors), strict=True):
        color = BOOK if mark.book else "black"
        ax.plot((0, 0.06, 0.12), (error, error, beside), color=color, lw=1)
        ax.text(
            0.14, beside, f"{mark.accuracy:.2f}  {_named(mark)}", color=color, size=8, va="center"
        )
    ax.set(xlim=(0, 1), xticks=[], title="the book and others, by accuracy only")
    ax.title.set_fontsize(9)
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.spines[["top", "right", "bottom"]].set_visible(False)


def _named(mark: Mark) -> str:
    """Return the label with the author, who stands in the brackets of a linked source."""
    author = "" if mark.book else mark.source.partition("]")[0].removeprefix("[")
    return f"{mark.label} ({author.split()[0].rstrip(',')})" if author else mark.label


def _apart(errors: Sequence[float], gap: float = 0.045) -> Any:
    """Return places for labels in the order of falling errors, gap decades or more apart."""
    places = np.log10(errors)
    for _ in range(200):
        for i in range(1, len(places)):
            if (lack := gap - (places[i - 1] - places[i])) > 0:
                places[i - 1] += lack / 2
                places[i] -= lack / 2
    return 10**places
