"""A network as one self-contained HTML page that reads digits as they are drawn.

The page holds the parameters of a network, and computes feedforward and backpropagation in
JavaScript. Its sources are in nndl/export/template: page.html with its style sheet, network.js (the
mathematics), picture.js (from strokes or photographs to 28 x 28 pixels) and interface.js.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import zlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nndl._typing import Array
from nndl.activations import ACTIVATIONS
from nndl.costs import COSTS
from nndl.dataset import Dataset
from nndl.network import Network
from nndl.normalization import BatchNorm, fold
from nndl.storage.description import describe, parameters
from nndl.training import History
from nndl.training.metrics import mistakes

__all__ = ["LARGEST_PAGE", "MOST_EPOCHS", "Page", "make_page"]

LARGEST_PAGE = 1_000_000  # bytes
TEST_ROOM = 50_000  # bytes of it, for the test set's mistakes and the facts
MISTAKES = 40  # shown at most
MOST_EPOCHS = 5_000  # of the curves
FILM_NEURONS, FILM_EPOCHS = 30, 61  # shown at most, of the weights by epoch

# The layers that the page can compute, and the keys of their descriptions.
LAYERS = {
    "dense": {"kind", "n_out", "activation", "init"},
    "dropout": {"kind", "p"},
    "conv": {"kind", "maps", "size", "activation", "pool", "init", "stride", "padding"},
    "max-pool": {"kind", "size"},
}


@dataclass(frozen=True)
class Page:
    """A page, and how faithfully it computes.

    Attributes
    ----------
    html : str
    number : str
        The format of the weights in it: "float32", or "float16" where float32 would not fit.
    differ : list of (index, label, label of the page), or None
        The test images whose label differs because of the rounded weights; None without a test set.
    """

    html: str
    number: str
    differ: list[tuple[int, int, int]] | None


def make_page(
    net: Network,
    name: str,
    *,
    test: Dataset | None = None,
    history: History | None = None,
    weights_by_epoch: NDArray[np.floating[Any]] | None = None,
) -> Page:
    """Return a page on which a network reads digits.

    Parameters
    ----------
    net : Network
        With 784 inputs, pixels from 0 to 255/256, and dense, dropout, convolution and max-pooling
        layers; BatchNorm if `nndl.fold` can fold it.
    name : str
        What the page calls the network.
    test : Dataset, optional
        For the accuracy and the most confident mistakes.
    history : History, optional
        For the curves of training.
    weights_by_epoch : ndarray, shape (epochs + 1, n_out, n_in), optional
        Weights of the first layer before training and after each epoch; shown with a history.

    Raises
    ------
    ValueError
        If the page cannot compute such a network, the history has more than `MOST_EPOCHS` epochs,
        or the page would be larger than `LARGEST_PAGE`.
    """
    if history is not None and len(history) > MOST_EPOCHS:
        raise ValueError(
            f"a page shows curves of at most {MOST_EPOCHS:,} epochs, not {len(history):,}: leave "
            "the history out"
        )
    folded = fold(net)
    record = _check(describe(folded))
    for number in ("float32", "float16"):
        stored = {key: _rounded(key, p, number) for key, p in parameters(folded).items()}
        content = record | {
            "number": number,
            "layers": _layers(record, stored),
            "lede": _lede(folded, record),
            "history": _curves(history),
            "film": None,
        }
        size = len(_page(content | {"facts": [], "test": None}))
        if size <= LARGEST_PAGE - TEST_ROOM:
            break
    else:
        raise ValueError(
            f"a page with the {net.n_parameters:,} parameters of this network would have "
            f"{size:,} bytes, more than {LARGEST_PAGE - TEST_ROOM:,}: choose a smaller network"
        )
    content["test"], differ = _tested(net, folded, stored, test)
    content["facts"] = [
        ["Name", name],
        ["Network", repr(net)],
        *_accuracy(content["test"], differ),
        ["Weights", f"stored in this page as {number}"],
    ]
    if content["history"] and weights_by_epoch is not None:
        content["film"] = _film(weights_by_epoch, LARGEST_PAGE - TEST_ROOM - size)
    return Page(_page(content), number, differ)


def _check(record: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a network, if the page can compute it."""
    shape = record["input_shape"]
    if shape not in ([784], [1, 28, 28]):
        raise ValueError(
            "the page draws images of 28 x 28 pixels, so the network must have the input shape "
            f"784 or (1, 28, 28), not {tuple(shape)}"
        )
    for layer in record["layers"]:
        if layer["kind"] not in LAYERS:
            raise ValueError(
                f"the page computes layers of the kinds {', '.join(LAYERS)}, not {layer['kind']}"
            )
        if (name := layer.get("activation", "identity").partition("(")[0]) not in ACTIVATIONS:
            raise ValueError(
                f"the page computes the activations {', '.join(ACTIVATIONS)}, not {name}"
            )
        if unknown := layer.keys() - LAYERS[layer["kind"]]:
            raise ValueError(
                f"the page cannot compute {layer['kind']} layers with {', '.join(sorted(unknown))}"
            )
    if record["cost"] not in COSTS:
        raise ValueError(f"the page computes the costs {', '.join(COSTS)}, not {record['cost']}")
    return record


def _rounded(key: str, parameter: Array, number: str) -> Array:
    """Round weights as the page stores them; biases, which are few, are always float32."""
    with np.errstate(over="ignore"):
        rounded = parameter.astype(number if key.endswith(".w") else "float32")
    if not np.isfinite(rounded).all():
        raise ValueError(f"{key} has weights too large for {number}: train with regularization")
    return rounded


def _layers(record: dict[str, Any], stored: dict[str, Array]) -> list[dict[str, Any]]:
    """Return the layers of a description with their parameters in base64."""
    layers = []
    for i, layer in enumerate(record["layers"]):
        names = [p for p in "wb" if f"layers.{i}.{p}" in stored]
        layers.append(layer | {p: _base64(stored[f"layers.{i}.{p}"]) for p in names})
    return layers


def _lede(net: Network, record: dict[str, Any]) -> str:
    convolves = any(layer["kind"] == "conv" for layer in record["layers"])
    kind = "convolutional" if convolves else "fully connected"
    return (
        f"A {kind} network with {net.n_parameters:,} weights and biases reads it while you draw. "
        "It runs in this page: nothing that you draw leaves your device."
    )


def _tested(
    net: Network, folded: Network, stored: dict[str, Array], test: Dataset | None
) -> tuple[dict[str, Any] | None, list[tuple[int, int, int]] | None]:
    """Return what the page tells about a test set, and the labels that rounding changes."""
    if test is None:
        return None, None
    rounded = copy.deepcopy(folded)
    for key, p in parameters(rounded).items():
        p[...] = stored[key]
    labels = read = net.predict(test.images)
    changes = any(isinstance(layer, BatchNorm) for layer in net.layers)
    if changes or any((stored[key] != p).any() for key, p in parameters(folded).items()):
        read = rounded.predict(test.images)
    changed = np.flatnonzero(labels != read)
    worst = mistakes(rounded, test, MISTAKES)
    about = {
        "name": test.name,
        "n": len(test),
        "correct": int((read == test.labels).sum()),
        "mistakes": {
            "images": _base64(_bytes(test.images[worst.index])),
            "index": worst.index.tolist(),
            "true": worst.true.tolist(),
            "read": worst.predicted.tolist(),
        },
    }
    return about, [(int(i), int(labels[i]), int(read[i])) for i in changed]


def _accuracy(
    test: dict[str, Any] | None, differ: list[tuple[int, int, int]] | None
) -> list[list[str]]:
    if test is None or differ is None:
        return []
    n, correct = test["n"], test["correct"]
    changed = ", ".join(f"image {i}: {label} becomes {read}" for i, label, read in differ[:20])
    rounding = f"changes the label of {len(differ):,} of {n:,} images"
    return [
        ["Accuracy", f"{100 * correct / n:.2f} %: {correct:,} of {n:,} images of {test['name']}"],
        ["Rounding", f"{rounding} ({changed})" if changed else rounding],
    ]


def _curves(history: History | None) -> dict[str, Any] | None:
    if history is None or not len(history):
        return None
    kept = ("_accuracy", "_cost")
    epochs = {
        key: [float(f"{value:.6g}") for value in series]
        for key, series in history.epochs.items()
        if key == "eta" or key.endswith(kept)
    }
    return {"epochs": epochs, "best_epoch": history.best_epoch}


def _film(weights: NDArray[np.floating[Any]], room: int) -> dict[str, Any] | None:
    """Return weights by epoch in at most ``room`` bytes: 8-bit differences, compressed.

    Where they do not all fit, fewer neurons are shown.
    """
    steps, n_out, n_in = weights.shape
    side = round(n_in**0.5)
    if side * side != n_in:
        return None
    epochs = np.unique(np.linspace(0, steps - 1, min(steps, FILM_EPOCHS)).round().astype(int))
    kept = weights[epochs]
    neurons = min(n_out, FILM_NEURONS)
    while neurons:
        shown = kept[:, :neurons]
        # The few weights beyond the 99.9th percentile would make all others pale.
        largest = float(np.quantile(np.abs(shown), 0.999)) or 1.0
        levels = np.rint((100 / largest) * shown).clip(-127, 127).astype(np.int8)
        levels[1:] -= levels[:-1].copy()  # modulo 256: the page adds them up again
        film = {
            "weights": _base64(zlib.compress(levels.tobytes(), 9)),
            "epochs": epochs.tolist(),
            "neurons": neurons,
            "of": n_out,
            "pixels": n_in,
        }
        if len(json.dumps(film)) <= room:
            return film
        neurons = neurons * 3 // 4
    return None


def _bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    return (
        images if images.dtype == np.uint8 else np.rint(256 * images).clip(0, 255).astype(np.uint8)
    )


def _base64(content: NDArray[Any] | bytes) -> str:
    if not isinstance(content, bytes):
        content = np.ascontiguousarray(content, content.dtype.newbyteorder("<")).tobytes()
    return base64.b64encode(content).decode()


def _page(record: dict[str, Any]) -> str:
    """Return the page: the template with its style, its scripts and the record of a network."""
    template = files("nndl.export") / "template"
    style = (template / "page.css").read_text(encoding="utf-8")
    script = "\n".join(
        (template / name).read_text(encoding="utf-8")
        for name in ("network.js", "picture.js", "interface.js")
    )
    # Only the style and script of this page are allowed, and no connection at all.
    policy = (
        f"default-src 'none'; img-src data: blob:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'"
    )
    parts = {
        "policy": policy,
        "style": style,
        "script": script,
        "record": json.dumps(record, allow_nan=False).replace("<", "\\u003c"),
    }
    before, *rest = (template / "page.html").read_text(encoding="utf-8").split("{{")
    pieces = [before]
    for piece in rest:
        name, text = piece.split("}}", 1)
        pieces += [parts[name], text]
    return "".join(pieces)


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
