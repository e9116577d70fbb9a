"""Show where the time of a training step goes: by layer and direction, with GFLOP/s.

python benchmarks/layers.py                       all networks of races.py beyond the book
python benchmarks/layers.py deep-100 --threads 1 2
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from contestants.with_nndl import network
from races import RACES

from nndl.cli.options import whole
from nndl.inference import work
from nndl.parallel import computing
from nndl.step import Step

NAMES = [name for name, race in RACES.items() if not (race.task.book or race.inference)]
PARTS = ("forward", "delta", "backward", "update")


def timed(layer: Any, times: dict[str, list[float]]) -> None:
    """Let the passes of a layer record their seconds."""

    def record(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any) -> Any:
            start = perf_counter()
            result = original(*arguments)
            times[name].append(perf_counter() - start)
            return result

        return recorded

    for name in PARTS:
        setattr(layer, name, record(name, getattr(layer, name)))


def gemm_rate() -> float:
    """Return the GFLOP/s of a product of 1024 x 1024 matrices on one thread."""
    a = np.ones((1024, 1024), np.float32)
    out = np.empty_like(a)
    seconds = []
    with computing(threads=1):
        for _ in range(15):
            start = perf_counter()
            np.matmul(a, a, out=out)
            seconds.append(perf_counter() - start)
    return 2 * 1024**3 / median(seconds) / 1e9


def profile(name: str, threads: int, steps: int) -> None:
    """Print the microseconds per image, and the GFLOP/s, of each layer and direction."""
    task = RACES[name].task
    net, m, rng = network(task), task.batch, np.random.default_rng(0)
    x = rng.random((m, net.n_in), np.float32).T
    y = np.eye(net.n_out, dtype=np.float32)[rng.integers(0, net.n_out, m)].T
    times: list[dict[str, list[float]]] = [defaultdict(list) for _ in net.layers]
    for layer, by_part in zip(net.layers, times, strict=True):
        timed(layer, by_part)
    step, total = Step(m, 50_000, 0.01), []
    with computing(threads):
        for _ in range(steps):
            start = perf_counter()
            net.take_step(x, y, rng, step)
            total.append(perf_counter() - start)
    works = [2 * work([layer]) for layer in net.layers]
    passes = 3 * sum(works) - works[0]  # the first layer has no layer below to pass delta to
    seconds = median(total) / m
    print(
        f"\n{name}, {threads} thread{'s' * (threads > 1)}: {1e6 * seconds:.0f} us per image, ",
        end="",
    )
    print(f"{passes / seconds / 1e9:.0f} GFLOP/s; sgemm {gemm_rate():.0f} on one thread")
    print(f"{'':32s}{''.join(f'{part:>10s}' for part in PARTS)}   GFLOP/s")
    for layer, by_part, flop in zip(net.layers, times, works, strict=True):
        us = [1e6 * median(by_part[part]) / m if by_part[part] else 0.0 for part in PARTS]
        flop *= 2 if layer is net.layers[0] else 3
        rate = f"{flop / sum(us) / 1e3:9.0f}" if flop else ""
        print(f"{layer!s:32s}{''.join(f'{v:10.1f}' for v in us)} {rate}")


def main(argv: list[str] | None = None) -> None:
    """Profile the networks that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], default=NAMES, metavar="RACE")
    parser.add_argument("--threads", nargs="+", type=whole, default=[1], metavar="N")
    parser.add_argument("--steps", type=whole, default=30, metavar="N")
    args = parser.parse_args(argv)
    for name in args.names:
        for threads in args.threads:
            profile(name, threads, args.steps)


if __name__ == "__main__":
    main()
