"""Draw the learning curves of one or more runs in one picture.

nndl plot results/runs/mnist-100 results/runs/mnist-30 --out curves.svg
"""

from __future__ import annotations

import os
from pathlib import Path

from nndl.cli.options import Parser, figure_path, import_plots, path_of, program_name
from nndl.cli.run_folder import RunFolder, refuse_to_replace
from nndl.text import printable


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    parser = Parser(
        prog=program_name("plot"),
        description="Draw the accuracy and cost curves of one or more runs in one picture.",
    )
    parser.add_argument("runs", type=path_of, nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--out",
        type=figure_path,
        default=Path("curves.png"),
        metavar="FILE",
        help="a .png or .svg file (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    refuse_to_replace(args.out)
    runs = {_label(path, args.runs): RunFolder(path).history() for path in args.runs}
    data = {printable(RunFolder(path).recorded().data) for path in args.runs}

    import_plots()
    from nndl import plots

    fig = plots.plot_learning_curves(runs, ", ".join(sorted(data)))
    plots.save(fig, args.out)
    print(f"written to {printable(args.out)}")
    return 0


def _label(path: Path, paths: list[Path]) -> str:
    """Return the folder's name, or the whole path where two folders have the same name."""
    names = [os.path.basename(os.path.abspath(other)) for other in paths]
    name = os.path.basename(os.path.abspath(path))
    return printable(name if names.count(name) == 1 else path)
