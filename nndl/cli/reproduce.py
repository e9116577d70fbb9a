"""Reproduce the book: replay the author's runs, run every experiment over seeds, draw, report.

nndl reproduce list
nndl reproduce replay c3-overfit-1000 --out DIR
nndl reproduce run c1-net30 c1-net100 --jobs 2
nndl reproduce run --chapter 3
nndl reproduce figures
nndl reproduce report
"""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path

from nndl.cli.errors import CommandError, UsageError
from nndl.cli.options import Parser, path_of, program_name, whole
from nndl.data import load_mnist
from nndl.files import make_folder, write_text
from nndl.reproduction import jobs
from nndl.reproduction.experiments import EXPERIMENTS
from nndl.reproduction.figures import draw_all
from nndl.reproduction.replay import REPLAYS, agreement, as_json, average_darkness, replay
from nndl.reproduction.report import render

RESULTS = Path("results")  # in the current folder


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    args = parse(argv)
    try:
        args.command(args)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted; finished seeds are kept: run the same command again to continue"
        ) from None
    except RuntimeError as error:  # of experiments that failed
        raise CommandError(str(error)) from error
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the flags."""
    parser = Parser(
        prog=program_name("reproduce"),
        description="Reproduce the results of the book 'Neural Networks and Deep Learning'.",
    )
    parser.add_argument(
        "--results", type=path_of, default=RESULTS, help="where results lie (%(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    sub = commands.add_parser("list", help="every experiment, its seeds done, and every replay")
    sub.set_defaults(command=list_all)

    sub = commands.add_parser("replay", help="the author's own runs, digit for digit")
    sub.add_argument("names", nargs="+", metavar="NAME", choices=[*REPLAYS, "c1-darkness", "all"])
    sub.add_argument("--out", type=path_of, metavar="DIR", help="write DIR/NAME.json")
    sub.set_defaults(command=replay_all)

    sub = commands.add_parser("run", help="experiments over seeds; finished seeds are kept")
    sub.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        type=experiment,
        help="names from list; all of them where none is given",
    )
    sub.add_argument("--chapter", type=int, action="append", choices=(1, 3, 5, 6), default=[])
    sub.add_argument("--jobs", type=whole, default=os.cpu_count(), help="processes (%(default)s)")
    sub.add_argument("--dask", metavar="tcp://HOST:PORT", help="run on a Dask cluster instead")
    sub.set_defaults(command=run)

    sub = commands.add_parser("figures", help="draw the book's figures from what has been run")
    sub.set_defaults(command=figures)

    sub = commands.add_parser("report", help="write results/README.md from what has been run")
    sub.set_defaults(command=report)
    for sub in commands.choices.values():
        sub.add_argument(
            "--results", type=path_of, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    return parser.parse_args(argv)


def experiment(text: str) -> str:
    """Return a name on the command line."""
    if text not in EXPERIMENTS:
        raise argparse.ArgumentTypeError(f"no experiment is called {text!r}: see list")
    return text


def list_all(args: argparse.Namespace) -> None:
    """Print every experiment with the seeds that are done, and every replay."""
    for name, e in EXPERIMENTS.items():
        done = len(jobs.load_results(args.results / "book", name))
        print(f"{name:28s} {done} of {e.seeds} seeds  {e.title}")
    done = len(jobs.load_results(args.results / "book", "c6-dropout"))
    print(f"{'c6-ensemble':28s} {done} of 5 networks  the vote of those of c6-dropout")
    print("\nreplays:", ", ".join(["c1-darkness", *REPLAYS]))


def replay_all(args: argparse.Namespace) -> None:
    """Replay the author's runs; say how many of his published values agree."""
    if args.out:
        make_folder(args.out)
    for name in [*REPLAYS, "c1-darkness"] if "all" in args.names else args.names:
        if name == "c1-darkness":
            training, _, test = load_mnist()
            curves = {"": {"evaluation_correct": [float(average_darkness(training, test))]}}
        else:
            curves = replay(name, report=print)
        if args.out:
            write_text(args.out / f"{name}.json", json.dumps(as_json(curves)) + "\n")
        found = agreement(name, curves)
        print(f"{name}: {found.values} published values, {found.differ} differ")
        for curve, epoch in found.parts_at.items():
            print(f"  {curve or 'it'} parts from the author's at epoch {epoch}")
        if found.differ and name in REPLAYS and REPLAYS[name].note:
            print(f"  {REPLAYS[name].note}")


def run(args: argparse.Namespace) -> None:
    """Run what has no result yet."""
    if args.names and args.chapter:
        raise UsageError("give names or --chapter, not both")
    names = args.names or [
        name for name in EXPERIMENTS if not args.chapter or int(name[1]) in args.chapter
    ]
    open_pool = (
        partial(jobs.dask_cluster, args.dask) if args.dask else partial(jobs.workers, args.jobs)
    )
    jobs.run(args.results / "book", names, open_pool, lambda line: print(line, flush=True))


def figures(args: argparse.Namespace) -> None:
    """Draw the figures into results/figures."""
    draw_all(args.results, print)


def report(args: argparse.Namespace) -> None:
    """Write the page of results."""
    path = args.results / "README.md"
    write_text(path, render(args.results))
    print(f"written to {path}")
