"""What takes too long for the ordinary suite: run it by hand, before a release.

python tests/soak.py kills --times 200      kill training within epochs, resume, compare the bits
python tests/soak.py fuzz --cases 20000     hostile and damaged files, see fuzz.py
python tests/soak.py epochs                 a hundred thousand epochs with checkpoints
python tests/soak.py hour --minutes 60      train, save and evaluate; memory and files must not grow

Each prints its progress and ends with status 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import fuzz
import numpy as np

from nndl import Conv, Dense, Network, Settings, log_likelihood, synthetic_digits, train
from nndl.activations import relu, softmax
from nndl.batches import Transform
from nndl.data import Dataset, ElasticDistortion, RandomAffine
from nndl.stack import dense_layers
from nndl.storage import (
    Checkpoints,
    load,
    load_checkpoint,
    load_history,
    save,
    save_checkpoint,
    save_history,
)
from nndl.training import State

# Killed runs.


@dataclass(frozen=True)
class Run:
    """A run of a few epochs of some seconds."""

    images: int
    net: Callable[[], Network]
    transform: Transform | None = None


def conv() -> Network:
    """Return a small network as in chapter 6."""
    layers = [Conv(6, 5, relu, pool=2), *dense_layers([30], dropout=0), Dense(10, softmax)]
    return Network(layers, cost=log_likelihood, input_shape=(1, 28, 28), rng=0)


RUNS = {
    "dense": Run(5_000, lambda: Network([784, 300, 100, 10], dropout=0.2, rng=0)),
    "conv": Run(1_500, conv),
    "distortions": Run(2_000, lambda: Network([784, 30, 10], rng=0), ElasticDistortion()),
}


def drawn(seed: int) -> Settings:
    """Return settings that make the state of a run large, drawn anew for each seed."""
    draw = random.Random(seed)
    if schedule := draw.choice(["", "cosine", "one-cycle", "linear"]):
        warmup = 0.0 if schedule == "one-cycle" else draw.choice([0.0, 0.5])
        rate: dict[str, Any] = {"schedule": schedule, "warmup": warmup}
    else:
        rate = {"halve_after": 1}
    return Settings(
        epochs=3,
        mini_batch_size=10,
        eta=0.1,
        mu=0.5,
        lmbda=0.5,
        patience=draw.choice([None, 2]),
        nesterov=draw.choice([False, True]),
        label_smoothing=draw.choice([0.0, 0.1]),
        average=draw.choice([0.0, 0.01]),
        **rate,
    )


def child(name: str, folder: Path, seed: int) -> None:
    """Train a run to its end, from its checkpoint if there is one, saving ten times a second."""
    run, settings = RUNS[name], drawn(seed)
    data = synthetic_digits(run.images + 500, np.random.default_rng(0))
    sets: dict[str, Dataset] = {"training": data[500:], "validation": data[:500]}
    checkpoints = Checkpoints(folder / "checkpoint.npz", settings, sets)
    net, state = run.net(), State.start(settings, 1)
    if checkpoints.path.exists():
        net, state, _ = load_checkpoint(checkpoints.path, sets)
    print(len(state.history), state.done, flush=True)
    history = train(
        net,
        sets["training"],
        settings,
        validation=sets["validation"],
        transform=run.transform,
        after_epoch=checkpoints.after_epoch,
        checkpoint=checkpoints.save,
        checkpoint_seconds=0.1,
        state=state,
    )
    save_history(history, folder / "history.json")
    save(net, folder / "network.npz")


def result(folder: Path) -> object:
    """Return what a run left, except the seconds."""
    history = asdict(load_history(folder / "history.json"))
    del history["epochs"]["seconds"]
    return history, [p.tobytes() for p in load(folder / "network.npz").parameters]


def kills(runs: list[str], times: int, seed: int) -> bool:
    """Kill each run so often, at random moments; compare it with one that was left alone."""
    moments = random.Random(seed)
    good = True
    for name in runs:
        with tempfile.TemporaryDirectory() as temporary:
            whole, part = Path(temporary, "whole"), Path(temporary, "part")
            killed = within = rounds = 0
            while killed < times:
                settings = moments.randrange(1000)
                for folder in (whole, part):
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir()
                began = time.perf_counter()
                trained(name, whole, settings)
                life = time.perf_counter() - began
                while not (part / "network.npz").exists():
                    moment = moments.uniform(0, life / 4) if killed < times else None
                    done, ended = trained(name, part, settings, moment)
                    within += done > 0
                    killed += not ended
                fine = result(whole) == result(part)
                good, rounds = good and fine, rounds + 1
                print(
                    f"{drawn(settings)}\n{name}: killed {killed} times in {rounds} runs, resumed "
                    f"within an epoch {within} times, the same bits: {fine}",
                    flush=True,
                )
    return good


def trained(
    name: str, folder: Path, settings: int, moment: float | None = None
) -> tuple[int, bool]:
    """Start a child and kill it so many seconds after it has begun to train.

    Returns
    -------
    int
        How many images of an epoch it found done.
    bool
        Whether it came to its end before.
    """
    command = [sys.executable, __file__, "child", name, str(folder), str(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        start = process.stdout.readline()
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode > 0:
            raise RuntimeError(f"a run failed with status {process.returncode}")
    return int(start.split()[1]), process.returncode == 0


# Many files, many epochs, and a long time.


def hostile(cases: int, seed: int, first: int) -> bool:
    """Read so many hostile files."""
    began = time.perf_counter()
    for outcome in fuzz.run(seed, cases, first):
        print(f"{time.perf_counter() - began:.0f} s: {outcome}", flush=True)
    for fault in outcome.faults:
        print(f"{fault} (seed {seed})")
    return not outcome.faults


def epochs(n: int) -> bool:
    """Train for many epochs of two images: the time must grow linearly."""
    data = Dataset(np.eye(2, dtype=np.float32), np.array([0, 1]))
    settings, marks = Settings(epochs=n, eta=0.01), [time.perf_counter()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.npz")
        checkpoints = Checkpoints(path, settings)

        def after_epoch(net: Network, state: State) -> None:
            checkpoints.after_epoch(net, state)
            if len(state.history) % (n // 10) == 0:
                marks.append(time.perf_counter())

        net = Network([2, 2], rng=0)
        history = train(net, data, settings, validation=data, rng=0, after_epoch=after_epoch)
        parts = [b - a for a, b in pairwise(marks)]
        start = time.perf_counter()
        checkpoints.save(net, State.start(settings))
        save_history(history, Path(folder, "history.json"))
        back = load_history(Path(folder, "history.json")) == history
    print(f"seconds of each tenth: {', '.join(f'{part:.1f}' for part in parts)}")
    print(f"its History was written and read in {time.perf_counter() - start:.1f} s")
    return back and len(history) == n and parts[-1] < 2 * parts[0]


def resident() -> int:
    """Return the memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def hour(minutes: float) -> bool:
    """Train without end: memory within 5 % of what it was after a tenth of the time."""
    data = synthetic_digits(6000, np.random.default_rng(0))
    sets = data[:5000], data[5000:]
    end = time.monotonic() + 60 * minutes
    base: tuple[int, int] | None = None
    good = True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.npz")
        rounds = 0
        while time.monotonic() < end:
            dense = Network([784, 50, 10], dropout=0.2, rng=rounds)
            conv = Network(
                [Conv(4, 5, relu, pool=2), *dense_layers([20]), Dense(10, softmax)],
                cost=log_likelihood,
                input_shape=(1, 28, 28),
                rng=rounds,
            )
            for net in (dense, conv):
                train(
                    net,
                    sets[0],
                    Settings(epochs=2, eta=0.1, mu=0.5, patience=5),
                    validation=sets[1],
                    rng=rounds,
                    transform=RandomAffine(),
                    after_epoch=lambda net, state: save_checkpoint(path, net, state, Settings()),
                )
                load_checkpoint(path)[0].predict(sets[1].images)
            rounds += 1
            now = resident(), len(os.listdir("/proc/self/fd"))
            if base is None and time.monotonic() > end - 54 * minutes:
                base = now
            if base is not None:
                good = now[0] <= 1.05 * base[0] and now[1] <= base[1]
                print(f"round {rounds}: {now[0] / 1e6:.1f} MB, {now[1]} files: {good}", flush=True)
                if not good:
                    break
    return good and base is not None


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("kills")
    sub.add_argument("--times", type=int, default=20, help="kills of each run")
    sub.add_argument("--runs", nargs="*", choices=RUNS, default=list(RUNS))
    sub.add_argument("--seed", type=int, default=0)
    sub = commands.add_parser("fuzz")
    sub.add_argument("--cases", type=int, default=20_000)
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--first", type=int, default=0, help="number of the first case")
    sub = commands.add_parser("epochs")
    sub.add_argument("--epochs", type=int, default=100_000)
    sub = commands.add_parser("hour")
    sub.add_argument("--minutes", type=float, default=60)
    sub = commands.add_parser("child", help="used by kills")
    sub.add_argument("name")
    sub.add_argument("folder", type=Path)
    sub.add_argument("settings", type=int)
    args = parser.parse_args()
    if args.command == "child":
        child(args.name, args.folder, args.settings)
        return 0
    if args.command == "kills":
        good = kills(args.runs, args.times, args.seed)
    elif args.command == "fuzz":
        good = hostile(args.cases, args.seed, args.first)
    elif args.command == "epochs":
        good = epochs(args.epochs)
    else:
        good = hour(args.minutes)
    print("all is as it should be" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
