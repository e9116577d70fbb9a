"""What notebooks show of a network, a History and a confusion matrix: HTML, drawn when displayed.

The classes have a method ``_repr_html_``, which Jupyter calls; plain Python never does.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nndl.stack import Stack
    from nndl.training.history import History

__all__ = ["ConfusionMatrix", "history_html", "network_html"]


class ConfusionMatrix(np.ndarray[tuple[int, ...], np.dtype[np.int64]]):
    """An array of counts that a notebook shows as a picture; rows are true, columns predicted."""

    def _repr_html_(self) -> str | None:
        if self.ndim != 2 or self.shape[0] != self.shape[1] or self.dtype.kind not in "iu":
            return None  # part of a matrix, or computed from one: shown as any other array
        from nndl.plots import plot_confusion

        total, correct = int(self.sum()), int(np.trace(self))
        percent = f" ({100 * correct / total:.2f} %)" if total else ""
        title = f"{correct:,} of {total:,} correct{percent}"
        return _image(plot_confusion(np.asarray(self), title), "confusion matrix")


def network_html(net: Stack) -> str:
    """Return a table of the layers with their weights, and the number of parameters."""
    rows: list[Sequence[Any]] = [("inputs", " x ".join(map(str, net.input_shape)), "")]
    for layer in net.layers:
        w, b = getattr(layer, "w", None), getattr(layer, "b", None)
        shape = "" if w is None else " x ".join(map(str, w.shape))
        rows.append((layer, shape, "" if w is None or b is None else f"{w.size + b.size:,}"))
    caption = f"{net.cost} cost, {net.n_parameters:,} parameters, {net.dtype}"
    return _table(f"Network: {caption}", ("layer", "shape of x or w", "parameters"), rows)


def history_html(history: History) -> str:
    """Return a table of the first, the best and the last epoch, and the learning curves."""
    keys = [key for key in history.epochs if key.endswith(("_accuracy", "_cost"))]
    chosen = {"first": 0, "best": history.best_epoch, "last": len(history) - 1}
    rows = [
        (name, epoch, *(_number(key, history[key][epoch]) for key in keys))
        for name, epoch in chosen.items()
        if epoch is not None and len(history)
    ]
    head = ("", "epoch", *(key.replace("_", " ") for key in keys))
    table = _table(f"History: {len(history)} epochs, {history.ended or 'running'}", head, rows)
    if not keys or not len(history):
        return table
    from nndl.plots import plot_learning_curves

    return table + _image(plot_learning_curves({"run": history}), "learning curves")


def _number(key: str, value: float) -> str:
    return f"{100 * value:.2f} %" if key.endswith("accuracy") else f"{value:.4f}"


def _table(caption: str, head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    def row(tag: str, cells: Iterable[Any]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(row("td", cells) for cells in rows)
    return f"<table><caption>{escape(caption)}</caption>{row('th', head)}{body}</table>"


def _image(figure: Figure, alt: str) -> str:
    file = BytesIO()
    figure.savefig(file, format="png")
    data = b64encode(file.getvalue()).decode()
    return f'<img alt="{alt}" src="data:image/png;base64,{data}">'
