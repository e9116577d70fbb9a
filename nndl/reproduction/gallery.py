"""The table of the book's figures, and the page that shows them as we draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from nndl.files import write_text
from nndl.plots import save
from nndl.reproduction.figures import (
    Draw,
    Line,
    draw_approximation,
    draw_bars,
    draw_by_size,
    draw_curves,
    draw_ensemble_errors,
    draw_filters,
    draw_norms,
    draw_saturation,
    draw_steps,
    draw_towers,
)

__all__ = ["FIGURES", "draw_all", "gallery"]

WIDE, SQUARE = (6.4, 3.8), (6.4, 5.6)


@dataclass(frozen=True)
class Drawing:
    """A figure: the chapter and section of the book, what it shows, and how it is drawn."""

    section: str
    caption: str
    draw: Draw
    size: tuple[float, float] = WIDE


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
    return partial(draw_curves, lines=(Line(record, quantity),), first=first)


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
        draw_saturation,
        SQUARE,
    ),
    "overfitting1": Drawing(
        OVERFITTING,
        "Cost on 1,000 training images, epochs 200 to 399: it keeps falling.",
        _curve("training_cost", first=200),
    ),
    "overfitting2": Drawing(
        OVERFITTING,
        "Accuracy on the test set, the same run: it hardly rises.",
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
        partial(draw_curves, lines=_both("c3-overfit-full"), ylim=(90, 100)),
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
        partial(draw_curves, lines=_both("c3-reg-full"), ylim=(90, 100)),
    ),
    "more_data": Drawing(
        TECHNIQUES, "Validation accuracy by the number of training images.", draw_by_size
    ),
    "more_data_log": Drawing(
        TECHNIQUES, "The same with a logarithmic axis.", partial(draw_by_size, log=True)
    ),
    "more_data_comparison": Drawing(
        TECHNIQUES,
        "The same, with the author's support vector machine.",
        partial(draw_by_size, log=True, svm=True),
    ),
    "weight_initialization_30": Drawing(
        WEIGHTS,
        "Validation accuracy with the old and the new initial weights, 30 hidden neurons.",
        partial(draw_curves, lines=(*_starts(30),), ylim=(85, 100)),
    ),
    "weight_initialization_100": Drawing(
        WEIGHTS,
        "The same with 100 hidden neurons.",
        partial(draw_curves, lines=(*_starts(100),), ylim=(85, 100)),
    ),
    "multiple_eta": Drawing(
        ETAS,
        "Training cost with three learning rates.",
        partial(
            draw_curves,
            lines=tuple(
                Line(f"c3-eta-compare-{eta}", "training_cost", f"eta {eta}", "c3-eta-compare", eta)
                for eta in ("0.025", "0.25", "2.5")
            ),
        ),
    ),
    "chapter4_steps": Drawing(
        UNIVERSALITY,
        "Sigmoid neurons that become a step, and pairs of them that make bumps.",
        draw_steps,
    ),
    "chapter4_approximation": Drawing(
        UNIVERSALITY,
        "The function of the chapter approximated by 5 and by 50 bumps.",
        draw_approximation,
    ),
    "chapter4_towers": Drawing(
        "4, Many input variables", "Towers over the plane.", draw_towers, SQUARE
    ),
    "initial_gradient": Drawing(
        GRADIENTS,
        "Gradients of six neurons in each of two hidden layers, before training.",
        draw_bars,
    ),
    "training_speed_2_layers": Drawing(
        GRADIENTS,
        "Norm of each hidden layer's gradient during training, 2 hidden layers.",
        partial(draw_norms, depth=2),
    ),
    "training_speed_3_layers": Drawing(
        GRADIENTS, "The same with 3 hidden layers.", partial(draw_norms, depth=3)
    ),
    "training_speed_4_layers": Drawing(
        GRADIENTS, "The same with 4 hidden layers.", partial(draw_norms, depth=4)
    ),
    "conv_accuracy": Drawing(
        PRACTICE,
        "Validation accuracy of two convolutions and a dense layer with sigmoid, tanh and "
        "rectified linear neurons.",
        partial(
            draw_curves,
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
        draw_filters,
        (5.4, 3.8),
    ),
    "ensemble_errors": Drawing(
        PRACTICE,
        "The test images that the vote of five networks gets wrong, with the true label at the "
        "upper right and the vote at the lower right.",
        draw_ensemble_errors,
    ),
}


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
