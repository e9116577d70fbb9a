"""Evaluate a trained network on the test set: accuracy, digit by digit, mistakes.

python scripts/evaluate_mnist.py results/runs/mnist-100
python scripts/evaluate_mnist.py results/runs/mnist-100 --data synthetic
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nndl import plots
from nndl.cli.options import exit_with, path_of
from nndl.cli.run_folder import RunFolder
from nndl.data import Dataset, load_data
from nndl.files import make_folder
from nndl.network import Network
from nndl.training.metrics import confusion_matrix, evaluate, mistakes, wilson_interval


def parse() -> argparse.Namespace:
    """Return the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=path_of, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--data",
        "--data-dir",
        metavar="WHICH",
        help="auto, mnist, synthetic, or a folder (default: what the run was trained on)",
    )
    parser.add_argument(
        "--set",
        choices=("training", "validation", "test"),
        default="test",
        help="which part of it (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=path_of,
        metavar="DIR",
        help="where the pictures go (default: RUN; for other data than its test set, a folder "
        "in RUN)",
    )
    return parser.parse_args()


def describe(net: Network, data: Dataset) -> None:
    """Print the accuracy with its interval, in all and for each digit."""
    score = evaluate(net, data)
    counts = confusion_matrix(net, data)
    print(f"{data.name}: cost {score.cost:.4f} without regularization")
    print("\n        images  correct  accuracy   95 % interval   most often read as")
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


def draw(net: Network, data: Dataset, trained_on: str, folder: Path) -> list[str]:
    """Draw the confusion matrix, and what is square; return the names of the pictures."""
    counts = confusion_matrix(net, data)
    side = 6 * max(1.0, len(counts) / 25)  # room for a number in each cell
    figures = {"confusion.png": Figure(figsize=(side, side - 0.5), layout="constrained")}
    plots.plot_confusion(figures["confusion.png"].add_subplot(title=data.name), counts)
    if plots.are_square(data.images):
        fig = figures["mistakes.png"] = Figure(figsize=(10, 5), layout="constrained")
        worst = mistakes(net, data, 40)
        notes = (worst.true, worst.given, worst.confidence)
        plots.plot_mistakes(fig, data.images[worst.index], *notes, title=data.name)
    if plots.are_square(net.weights[0]):
        fig = figures["weights.png"] = Figure(figsize=(10, 5), layout="constrained")
        plots.plot_weights(fig, net.weights[0], title=f"trained on {trained_on}")
    for name, fig in figures.items():
        plots.save(fig, folder / name)
    return list(figures)


def main() -> int:
    """Run the command line; return the exit status."""
    args = parse()
    run = RunFolder(args.run)
    try:
        config = run.config()
        choice = args.data or config["settings"].get("data", "auto")
        sets = dict(
            zip(("training", "validation", "test"), load_data(choice, np.uint8), strict=True)
        )
        net, chosen = run.network(), sets[args.set]
        own = chosen.name == f"{config['data'].removesuffix(' training')} test"
        folder = args.out or (args.run if own else args.run / chosen.name.replace(" ", "-"))
        mine = own and folder.resolve() == args.run.resolve()
        if RunFolder(folder).config_path.exists() and not mine:
            raise ValueError(f"{folder} has the pictures of a run: give another --out")
        make_folder(folder)
        describe(net, chosen)
        names = draw(net, chosen, config["data"], folder)
    except BrokenPipeError:  # is an OSError, but for exit_with
        raise
    except (OSError, ValueError) as error:
        print(f"evaluate_mnist.py: error: {error}", file=sys.stderr)
        return 1
    print(f"\ndrawn in {folder}: {', '.join(names)}")
    return 0


if __name__ == "__main__":
    exit_with(main)
