"""Evaluate trained networks on the test set: accuracy, digit by digit, mistakes.

nndl evaluate results/runs/mnist-100
nndl evaluate results/runs/mnist-100 --data synthetic
nndl evaluate results/runs/mnist-100 results/runs/mnist-100-2 results/runs/mnist-100-3
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nndl.cli.errors import UsageError
from nndl.cli.options import Parser, import_plots, path_of, program_name, text
from nndl.cli.run_folder import RunFolder, file_name
from nndl.data import Dataset, load_data
from nndl.ensemble import Ensemble
from nndl.files import make_folder
from nndl.network import Network
from nndl.text import printable
from nndl.training.metrics import accuracy, confusion_matrix, evaluate, mistakes, wilson_interval


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the flags."""
    parser = Parser(
        prog=program_name("evaluate"),
        description="Measure a trained network: accuracy, digit by digit, and its mistakes; or "
        "several networks, one by one and together.",
    )
    parser.add_argument(
        "runs",
        type=path_of,
        nargs="+",
        metavar="RUN",
        help="folder of a run; several are also measured together",
    )
    parser.add_argument(
        "--data",
        "--data-dir",
        type=text,
        metavar="WHICH",
        help="as for train: a name, a folder or a file (default: the data of the run)",
    )
    parser.add_argument(
        "--set",
        choices=("training", "validation", "test"),
        default="test",
        help="the part of the data to measure (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=path_of,
        metavar="DIR",
        help="folder for the pictures (default: RUN; for other data than its test set, a folder "
        "in RUN; for several runs, none are drawn)",
    )
    return parser.parse_args(argv)


def compare(runs: Sequence[RunFolder], ensemble: Ensemble, data: Dataset) -> None:
    """Print the accuracy of each network, and that of their vote."""
    for run, net in zip(runs, ensemble.nets, strict=True):
        print(f"{run}: {100 * accuracy(net, data):.2f} %")
    right = np.count_nonzero(ensemble.vote(data.images) == data.labels)
    print(f"vote of the {len(runs)} networks: {100 * right / len(data):.2f} %")
    print("\nby the mean of their probabilities:")


def describe(net: Network | Ensemble, data: Dataset) -> None:
    """Print the accuracy with its interval, in all and for each digit."""
    score = evaluate(net, data)
    counts = confusion_matrix(net, data)
    print(f"{printable(data.name)}: cost {score.cost:.4f} without regularization")
    print("\n        images  correct  accuracy   95 % interval   most often mistaken for")
    rows = [("all", score.correct, score.n, "")]
    for digit, row in enumerate(counts):
        others = np.where(np.arange(len(row)) == digit, 0, row)
        wrong = f"{others.argmax()} ({others.max()} times)" if others.any() else ""
        rows.append((str(digit), int(row[digit]), int(row.sum()), wrong))
    for label, correct, n, wrong in rows:
        if n:
            low, high = wilson_interval(correct, n)
            print(
                f"{label:6s}{n:8,d}{correct:9,d}{100 * correct / n:8.2f} %"
                f"   {100 * low:5.2f} to {100 * high:5.2f}   {wrong}".rstrip()
            )


def draw(net: Network | Ensemble, data: Dataset, trained_on: str, folder: Path) -> list[str]:
    """Draw confusion matrix, mistakes and, for a network, its weights; return the file names."""
    import_plots()
    from nndl import plots

    name = printable(data.name)
    counts = confusion_matrix(net, data)
    figures = {"confusion.png": plots.plot_confusion(counts, name)}
    if shape := plots.picture_shape(data.images.shape[1], data.shape):
        worst = mistakes(net, data, 40)
        notes = (worst.true, worst.predicted, worst.confidence)
        images = data.images[worst.index]
        figures["mistakes.png"] = plots.plot_mistakes(images, *notes, title=name, shape=shape)
    if isinstance(net, Network):
        w = net.decaying[0]
        # Weights of pixels are pictures as the images are; filters are square.
        if shape := plots.picture_shape(w.shape[1], data.shape) or plots.picture_shape(w.shape[1]):
            title = f"trained on {printable(trained_on)}"
            figures["weights.png"] = plots.plot_weights(w, title=title, shape=shape)
    for name, fig in figures.items():
        plots.save(fig, folder / name)
    return list(figures)


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    args = parse(argv)
    runs = [RunFolder(path) for path in args.runs]
    run, recorded = runs[0], runs[0].recorded()
    nets = [each.network() for each in runs]
    net = nets[0] if len(nets) == 1 else Ensemble(nets)
    for other in runs[1:] if args.data is None else ():
        if (data := other.recorded().data) != recorded.data:
            raise UsageError(
                f"{run} was trained on {printable(recorded.data)}, and {other} on "
                f"{printable(data)}: give the data to measure with by --data"
            )
    sets = dict(
        zip(
            ("training", "validation", "test"),
            load_data(args.data or run.source(), np.uint8),
            strict=True,
        )
    )
    chosen = sets[args.set]
    own = chosen.name == f"{recorded.data} test" and len(runs) == 1
    folder = args.out or (run.path if own else run.path / file_name(chosen.name))
    is_own_folder = own and os.path.realpath(folder) == os.path.realpath(run.path)
    if RunFolder(folder).config_path.exists() and not is_own_folder:
        raise UsageError(f"{RunFolder(folder)} has the pictures of a run: give another --out")
    if isinstance(net, Ensemble):
        compare(runs, net, chosen)
    describe(net, chosen)
    if isinstance(net, Ensemble) and args.out is None:
        return 0
    make_folder(folder)
    names = draw(net, chosen, recorded.training, folder)
    print(f"\ndrawn in {RunFolder(folder)}: {', '.join(names)}")
    return 0
