"""Race nndl against other libraries, side by side on this machine.

python benchmarks/race.py                                 all races, on 1 thread and on all cores
python benchmarks/race.py dense-30 conv-10 --threads 1    two races, on 1 thread
python benchmarks/race.py --show race.json                the tables of an earlier race

In every round each contestant trains for one epoch, or predicts the test images, one after the
other, so that a change in the machine's speed affects all of them. Each runs in a process of its
own. All see the images in the same order. The table shows what each has learned after its first
round, measured on the 10,000 test images.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from races import RACES, Entry, Race
from tables import render
from threadpoolctl import threadpool_limits

from nndl.cli.errors import guarded
from nndl.cli.options import path_of, whole
from nndl.data import load_mnist
from nndl.files import write_text
from nndl.training.environment import environment

LIBRARIES = ("torch", "jax", "scikit-learn")
TRAIN = "scripts/train_mnist.py --data mnist --hidden 30 --epochs 30 --halve-after none --quiet"


@dataclass
class Row:
    """The measurements of a contestant: seconds per round, and its accuracy in [0, 1]."""

    name: str
    threads: int
    seconds: list[float] = field(default_factory=list)
    accuracy: float | None = None


def installed(library: str) -> str | None:
    """Return the version of a library, or None if it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def chosen(race: Race, only: list[str]) -> list[Entry]:
    """Return the entries with these names, or whose names contain these texts; without any, all."""
    names, texts = {entry.name.lower() for entry in race.entries}, [text.lower() for text in only]

    def matches(name: str) -> bool:
        return any(text == name if text in names else text in name for text in texts)

    return [entry for entry in race.entries if not only or matches(entry.name.lower())]


def contestants(race: Race, threads: list[int], only: list[str]) -> list[tuple[Entry, int]]:
    """Return the entries that can run here, each with its numbers of threads."""
    found = []
    for entry in chosen(race, only):
        if entry.library and not installed(entry.library):
            print(f"{entry.name}: {entry.library} is not installed", file=sys.stderr)
            continue
        found += [(entry, n) for n in threads if n == 1 or entry.many_threads]
    return found


def work(pipe: Connection, entry: Entry, race: Race, threads: int, images: int | None) -> None:
    """Run a contestant: answer each message with (seconds, accuracy) of a round."""
    training, _, test = load_mnist()
    training = training[: images or race.task.images]
    task = replace(race.task, threads=threads, training=training, test=test)
    with threadpool_limits(1, user_api="blas"):  # as set for NumPy; others have their own setting
        contestant = entry.load()(task)
        next(contestant)
        pipe.send(None)
        measured = False
        while pipe.recv():
            start = perf_counter()
            predict = next(contestant)
            seconds = perf_counter() - start
            accuracy = None
            if predict is not None and not measured:
                accuracy = float((predict(test.images) == test.labels).mean())
                measured = True
            pipe.send((seconds, accuracy))


def run_race(
    name: str, threads: list[int], rounds: int, images: int | None, only: list[str]
) -> list[Row]:
    """Run all contestants for a number of rounds after one that is not counted."""
    context = multiprocessing.get_context("spawn")
    rows, pipes = [], []
    for entry, count in contestants(RACES[name], threads, only):
        ours, theirs = context.Pipe()
        context.Process(
            target=work, args=(theirs, entry, RACES[name], count, images), daemon=True
        ).start()
        theirs.close()
        rows.append(Row(entry.name, count))
        pipes.append(ours)
        ours.recv()
    for done in range(rounds + 1):
        for row, pipe in zip(rows, pipes, strict=True):
            pipe.send(True)
            seconds, accuracy = pipe.recv()
            if done == 0:  # warms up caches, compiles
                row.accuracy = accuracy
            else:
                row.seconds.append(seconds)
        print(f"\r{name}: round {done} of {rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    for pipe in pipes:
        pipe.send(False)
    return rows


def whole_process() -> dict[str, Any]:
    """Time a training run as a user starts it, with its peak memory."""
    import resource  # not on Windows

    script, *flags = TRAIN.split()
    root = Path(__file__).parent.parent
    with TemporaryDirectory() as folder:
        start = perf_counter()
        subprocess.run(
            [sys.executable, str(root / script), *flags, "--out", f"{folder}/run"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return {"command": TRAIN, "seconds": seconds, "peak_memory_bytes": peak}


def thread_count(text: str) -> int:
    """Return a number of threads; "all" is the number of cores."""
    return (os.cpu_count() or 1) if text == "all" else whole(text)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the parsed arguments."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="races: " + "; ".join(f"{name}: {race.title}" for name, race in RACES.items()),
    )
    parser.add_argument(
        "races", nargs="*", metavar="RACE", help="which races to run (default: all)"
    )
    parser.add_argument(
        "--threads",
        type=thread_count,
        nargs="+",
        default=[1, thread_count("all")],
        metavar="N",
        help="numbers of threads to run the contestants with; all is the number of cores "
        "(default: 1 all)",
    )
    parser.add_argument(
        "--rounds",
        type=whole,
        default=9,
        metavar="N",
        help="rounds to measure, after one that is not counted (default: %(default)s)",
    )
    parser.add_argument(
        "--images",
        type=whole,
        metavar="N",
        help="training images in a round, a multiple of the mini-batch size (default: 50,000 for "
        "dense, 5,000 for wide, 3,000 for conv, 1,000 for deep races)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="only contestants of these names, or whose names contain one of these texts",
    )
    parser.add_argument(
        "--process",
        action="store_true",
        help="also time a whole training run as a user starts it, and its peak memory",
    )
    parser.add_argument("--json", type=path_of, metavar="FILE", help="write all measurements")
    parser.add_argument(
        "--show", type=path_of, metavar="FILE", help="print the tables of a --json file, and stop"
    )
    args = parser.parse_args(argv)
    if args.images and args.images > 50_000:
        parser.error(f"--images must be 50,000 at most, the training images, not {args.images:,}")
    for name in args.races:
        if name not in RACES:
            parser.error(f"there is no race {name!r}: choose from {', '.join(RACES)}")
    races = args.races or list(RACES)
    args.races = [name for name in races if chosen(RACES[name], args.only)]
    if not args.races:
        known = dict.fromkeys(entry.name for name in races for entry in RACES[name].entries)
        parser.error(f"--only names no contestant: choose from {', '.join(known)}")
    return args


def main() -> int:
    """Run the command line; return the exit status."""
    args = parse()
    if args.show:
        print(render(json.loads(args.show.read_text(encoding="utf-8"))))
        return 0
    load_mnist()  # downloads it if needed
    record: dict[str, Any] = {
        "environment": environment(),
        "versions": {library: installed(library) for library in LIBRARIES},
        "rounds": args.rounds,
        "races": {},
    }
    if args.process:
        record["process"] = whole_process()
    threads = sorted(set(args.threads))
    for name in args.races:
        race = RACES[name]
        rows = run_race(name, threads, args.rounds, args.images, args.only)
        record["races"][name] = {
            "title": race.title,
            "inference": race.inference,
            "images": 10_000 if race.inference else args.images or race.task.images,
            "rows": [asdict(row) for row in rows],
        }
        if args.json:  # after every race: an interrupted command keeps the finished ones
            write_text(args.json, json.dumps(record, indent=1) + "\n")
    print(render(record))
    return 0


if __name__ == "__main__":
    sys.exit(guarded("race.py", main))
