"""What takes too long for the ordinary suite: run it by hand, before a release.

python tests/soak.py kills --times 20       kill real runs, dense and convolutional, and compare
python tests/soak.py hour --minutes 60      train, save and evaluate; memory and files must not grow

Each prints a line for every round and ends with status 1 if anything is not as it should be.
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
from pathlib import Path

import numpy as np

from nndl import Conv, Dense, Network, Settings, log_likelihood, synthetic_digits, train
from nndl.activations import relu, softmax
from nndl.cli.run_folder import RunFolder
from nndl.data import RandomAffine
from nndl.sizes import dense_layers
from nndl.storage import load_checkpoint, save_checkpoint

SCRIPT = Path(__file__).parent.parent / "scripts" / "train_mnist.py"
COMMON = "--data synthetic --train-size 4000 --momentum 0.5 --halve-after 2 --patience 5 --quiet"
RUNS = {
    "dense": f"{COMMON} --hidden 100 --dropout 0.2 --expand affine --epochs 25",
    "conv": f"{COMMON} --conv 6 --hidden 30 --dropout 0.2 --eta 0.1 --epochs 12",
}


def start(flags: str) -> subprocess.Popen[bytes]:
    """Start train_mnist.py."""
    command = [sys.executable, str(SCRIPT), *flags.split()]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def same(a: RunFolder, b: RunFolder) -> bool:
    """Whether two runs ended with the same weights and History, but for the seconds it took."""
    parameters = [run.network().parameters for run in (a, b)]
    histories = [run.history() for run in (a, b)]
    for history in histories:
        history.epochs.pop("seconds")
    return all(map(np.array_equal, *parameters)) and (
        (histories[0].epochs, histories[0].ended, histories[0].best_epoch)
        == (histories[1].epochs, histories[1].ended, histories[1].best_epoch)
    )


def kills(times: int, seed: int) -> bool:
    """Kill each run so often, at random moments of its life; compare with one left alone."""
    moments = random.Random(seed)
    good = True
    for name, flags in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            whole, part = RunFolder(Path(folder, "whole")), RunFolder(Path(folder, "part"))
            began = time.perf_counter()
            assert start(f"{flags} --out {whole.path}").wait() == 0
            life = time.perf_counter() - began
            killed = 0
            while True:
                if part.network_path.exists() and not part.checkpoint_path.exists():
                    fine = same(whole, part)
                    good &= fine
                    print(f"{name}: killed {killed} times, the same bits: {fine}", flush=True)
                    if killed == times:
                        break
                    shutil.rmtree(part.path)
                how = "--resume" if part.config_path.exists() else f"{flags} --out"
                process = start(f"{how} {part.path}")
                try:
                    # Some of these moments hit the start, others training, saving or drawing.
                    moment = moments.uniform(0, 0.6 * life) if killed < times else None
                    assert process.wait(moment) == 0
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    killed += 1
    return good


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
    sub.add_argument("--times", type=int, default=20)
    sub.add_argument("--seed", type=int, default=0)
    sub = commands.add_parser("hour")
    sub.add_argument("--minutes", type=float, default=60)
    args = parser.parse_args()
    good = kills(args.times, args.seed) if args.command == "kills" else hour(args.minutes)
    print("all is as it should be" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
