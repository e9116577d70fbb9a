"""Measure how many seconds of a CPU each accuracy takes: the recipes of nndl train --recipe.

nndl ladder list
nndl ladder run fast-conv --seeds 0 1 2
nndl ladder ensemble conv-best
nndl ladder report
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from nndl.cli.options import Parser, import_plots, path_of, program_name, whole_number
from nndl.files import make_folder, write_text
from nndl.ladder import ensemble
from nndl.ladder.records import load_rung
from nndl.ladder.run import run
from nndl.recipes import RECIPES

RESULTS = Path("results")  # in the current folder


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    args = parse(argv)
    try:
        args.command(args)
    except KeyboardInterrupt:
        if args.command is not run_all:
            raise
        raise KeyboardInterrupt("interrupted; run the same command again to continue") from None
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the parsed arguments; ``command`` is the function to call with them."""
    parser = Parser(prog=program_name("ladder"), description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    sub = commands.add_parser("list", help="list the recipes, what they reached, and why")
    sub.set_defaults(command=list_all)

    sub = commands.add_parser(
        "run", help="train recipes and measure them; finished seeds are not run again"
    )
    _add_recipes(sub, "default: from 0, as many as the recipe is to be measured with")
    sub.set_defaults(command=run_all)

    sub = commands.add_parser("ensemble", help="measure the networks of a recipe together")
    _add_recipes(sub, "the networks (default: all that have been trained)")
    sub.set_defaults(command=ensemble_all)

    sub = commands.add_parser("report", help="write LADDER.md and its picture")
    sub.set_defaults(command=report)
    for sub in commands.choices.values():
        sub.add_argument(
            "--results",
            type=path_of,
            default=RESULTS,
            metavar="DIR",
            help="folder of the results (default: %(default)s)",
        )
    return parser.parse_args(argv)


def _add_recipes(parser: argparse.ArgumentParser, seeds: str) -> None:
    """Add the arguments NAME and --seeds, the latter with this help."""
    parser.add_argument("names", nargs="+", metavar="NAME", choices=RECIPES, help="recipes")
    parser.add_argument("--seeds", nargs="+", type=whole_number(0), metavar="SEED", help=seeds)


def list_all(args: argparse.Namespace) -> None:
    """Print every recipe with its number of finished seeds, what they reached, and its reasons."""
    for name, recipe in RECIPES.items():
        rung = load_rung(args.results / "ladder", name)
        done = f"{len(rung or ()):2d} of {recipe.n:2d} seeds"
        found = f": {rung.mean:.2f} % in {rung.seconds:.3g} core-seconds" if rung else ""
        print(f"{name:16s} {done}{found}")
        print(textwrap.fill(recipe.why, initial_indent=" " * 17, subsequent_indent=" " * 17))


def run_all(args: argparse.Namespace) -> None:
    """Run the seeds that have no result yet."""
    for name in args.names:
        for seed in args.seeds or range(RECIPES[name].n):
            run(args.results, name, seed, lambda line: print(line, flush=True))


def ensemble_all(args: argparse.Namespace) -> None:
    """Measure the ensembles; an existing record is overwritten."""
    for name in args.names:
        record = ensemble.run(args.results, name, args.seeds)
        print(
            f"{ensemble.ensemble_path(args.results, name)}: {len(record['members'])} networks, "
            f"{record['correct']:,} of {record['of']:,} by the mean of probabilities, "
            f"{record['vote_correct']:,} by vote, {record['shifted_correct']:,} with shifts"
        )


def report(args: argparse.Namespace) -> None:
    """Write the page of the ladder, and its picture into the folder figures."""
    import_plots()
    from nndl import plots
    from nndl.ladder.picture import draw
    from nndl.ladder.report import render

    page, picture = args.results / "LADDER.md", args.results / "figures" / "ladder.svg"
    make_folder(picture.parent)
    plots.save(draw(args.results), picture)
    write_text(page, render(args.results))
    print(f"wrote {page} and {picture}")
