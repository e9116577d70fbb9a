"""Draw the accuracy and cost curves of one or more runs in one picture.

python scripts/plot_curves.py results/runs/mnist-100 results/runs/mnist-30 --out curves.svg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from matplotlib.figure import Figure

from nndl import plots
from nndl.cli.options import exit_with, path_of
from nndl.cli.run_folder import WRITTEN, RunFolder


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=path_of, nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--out",
        type=path_of,
        default=Path("curves.png"),
        metavar="FILE",
        help="a .png or .svg file (default: %(default)s)",
    )
    args = parser.parse_args()
    try:
        if args.out.name in WRITTEN and RunFolder(args.out.parent).config_path.exists():
            raise ValueError(f"{args.out} belongs to the run in that folder: give another --out")
        runs = {_label(path, args.runs): RunFolder(path).history().epochs for path in args.runs}
        data = {RunFolder(path).config()["data"].removesuffix(" training") for path in args.runs}
        fig = Figure(figsize=(10, 4), layout="constrained")
        plots.plot_learning_curves(fig, runs, ", ".join(sorted(data)))
        plots.save(fig, args.out)
    except (OSError, ValueError) as error:
        print(f"plot_curves.py: error: {error}", file=sys.stderr)
        return 1
    print(f"written to {args.out}")
    return 0


def _label(path: Path, paths: list[Path]) -> str:
    """Return the folder's name, or the whole path where two folders are called the same."""
    alone = sum(other.resolve().name == path.resolve().name for other in paths) == 1
    return path.resolve().name if alone else str(path)


if __name__ == "__main__":
    exit_with(main)
