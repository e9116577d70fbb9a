"""Reproduce the results of the book 'Neural Networks and Deep Learning'.

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
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path

from nndl.cli.errors import CommandError, UsageError
from nndl.cli.options import Parser, path_of, program_name, whole
from nndl.data import load_mnist
from nndl.files import make_folder, write_text
from nndl.parallel import cores
from nndl.reproduction import jobs
from nndl.reproduction.experiments import EXPERIMENTS
from nndl.reproduction.replay import REPLAYS, agreement, as_json, average_darkness, replay

RESULTS = Path("results")  # in the current folder


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    args = parse(argv)
    try:
        args.command(args)
    except KeyboardInterrupt:
        if args.command is not run:
            raise
        raise KeyboardInterrupt(
            "interrupted; finished runs are kept: run the same command again to continue"
        ) from None
    except BrokenExecutor:
        raise
    except RuntimeError as error:  # experiments failed
        raise CommandError(str(error)) from error
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the parsed arguments; ``command`` is the function to call with them."""
    parser = Parser(prog=program_name("reproduce"), description=__doc__.splitlines()[0])
    parser.add_argument(
        "--results",
        type=path_of,
        default=RESULTS,
        metavar="DIR",
        help="folder of the results (default: %(default)s)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    sub = commands.add_parser("list", help="list all experiments with their finished seeds")
    sub.set_defaults(command=list_all)

    sub = commands.add_parser("replay", help="replay runs of the book's author, digit for digit")
    sub.add_argument("names", nargs="+", metavar="NAME", choices=[*REPLAYS, "c1-darkness", "all"])
    sub.add_argument("--out", type=path_of, metavar="DIR", help="write the curves to DIR/NAME.json")
    sub.set_defaults(command=replay_all)

    sub = commands.add_parser("run", help="run experiments; finished seeds are not run again")
    sub.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        type=experiment,
        help="experiments, as named by the command list (default: all)",
    )
    sub.add_argument(
        "--chapter",
        type=int,
        action="append",
        choices=(1, 3, 5, 6),
        default=[],
        help="all experiments of a chapter; may be repeated",
    )
    sub.add_argument(
        "--jobs",
        type=whole,
        default=cores(),
        metavar="N",
        help="number of worker processes (default: %(default)s)",
    )
    sub.add_argument(
        "--dask", metavar="tcp://HOST:PORT", help="run on a Dask cluster instead of local processes"
    )
    sub.set_defaults(command=run)

    sub = commands.add_parser("figures", help="draw the book's figures from the results")
    sub.set_defaults(command=figures)

    sub = commands.add_parser("report", help="write README.md in the folder of the results")
    sub.set_defaults(command=report)
    for sub in commands.choices.values():  # --results is accepted after the command as well
        sub.add_argument(
            "--results", type=path_of, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    return parser.parse_args(argv)


def experiment(text: str) -> str:
    """Return the name of an experiment; ArgumentTypeError if there is none of that name."""
    if text not in EXPERIMENTS:
        raise argparse.ArgumentTypeError(
            f"there is no experiment {text!r}: the command list shows their names"
        )
    return text


def list_all(args: argparse.Namespace) -> None:
    """Print every experiment with its number of finished seeds, and the names of the replays."""
    for name, e in EXPERIMENTS.items():
        done = len(jobs.load_results(args.results / "book", name))
        print(f"{name:31s} {done} of {e.seeds} seeds  {e.title}")
    done = len(jobs.load_results(args.results / "book", "c6-dropout"))
    print(f"{'c6-ensemble':31s} {done} of 5 networks  the vote of the networks of c6-dropout")
    print("\nreplays:", ", ".join(["c1-darkness", *REPLAYS]))


def replay_all(args: argparse.Namespace) -> None:
    """Replay runs of the author; print how many of the published values differ."""
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
        values = "published value" if found.values == 1 else "published values"
        print(f"{name}: {found.values} {values}, {found.differ} differ")
        for curve, epoch in found.first_difference.items():
            print(f"  {f'curve {curve}' if curve else 'the curve'} differs from epoch {epoch} on")
        if found.differ and name in REPLAYS and REPLAYS[name].note:
            print(f"  {REPLAYS[name].note}")


def run(args: argparse.Namespace) -> None:
    """Run the experiments that have no result yet."""
    if args.names and args.chapter:
        raise UsageError("expected names or --chapter, not both: leave one of them out")
    names = args.names or [
        name for name, e in EXPERIMENTS.items() if not args.chapter or e.chapter in args.chapter
    ]
    executor = (
        partial(jobs.dask_cluster, args.dask) if args.dask else partial(jobs.workers, args.jobs)
    )
    jobs.run(
        args.results / "book",
        names,
        executor,
        lambda line: print(line, flush=True),
        local=not args.dask,
    )


def figures(args: argparse.Namespace) -> None:
    """Draw the figures into the folder figures of the results."""
    from nndl.reproduction.gallery import draw_all  # imports Matplotlib

    draw_all(args.results, print)


def report(args: argparse.Namespace) -> None:
    """Write the page of results."""
    from nndl.reproduction.report import render

    path = args.results / "README.md"
    write_text(path, render(args.results))
    print(f"wrote {path}")
