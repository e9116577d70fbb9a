"""Running many experiments: seeds as jobs, a JSON file for each, nothing run twice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from nndl.book.experiments import EXPERIMENTS, Result, run_seed
from nndl.files import write_text

__all__ = ["load_results", "pending", "result_path", "run", "workers"]

Job = tuple[str, int]
TRIES = 3  # how often a job may take its worker process down with it


def result_path(folder: Path, name: str, seed: int) -> Path:
    """Return where the result of a seed lies: folder/name/seed-0.json."""
    return folder / name / f"seed-{seed}.json"


def load_results(folder: Path, name: str) -> list[Result]:
    """Return the results of an experiment that are there, in the order of their seeds."""
    paths = (result_path(folder, name, seed) for seed in range(EXPERIMENTS[name].seeds))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def pending(folder: Path, names: Iterable[str]) -> list[Job]:
    """Return the (name, seed) that have no result yet, first seeds first."""
    jobs = [
        (name, seed)
        for name in names
        for seed in range(EXPERIMENTS[name].seeds)
        if not result_path(folder, name, seed).exists()
    ]
    return sorted(jobs, key=lambda job: job[1])


def workers(jobs: int) -> Executor:
    """Return worker processes; each computes on one BLAS thread, as training does everywhere."""
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def run(
    folder: Path,
    names: Iterable[str],
    executor: Callable[[], Executor],
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Run what is pending and write each result as it arrives.

    A result is written by this process, whole or not at all; so whatever is killed, and wherever,
    the next call goes on from the seeds that are finished.

    Parameters
    ----------
    folder : Path
        Where results lie, by convention results/book.
    names : iterable of str
        Keys of `EXPERIMENTS`.
    executor : callable () -> Executor
        Worker processes or a cluster; called again if its workers have died.
    report : callable
        Given a line of text for every result.

    Raises
    ------
    BrokenProcessPool
        If worker processes die again and again, as when memory is short.
    """
    names = list(names)
    for attempt in range(TRIES):
        jobs = pending(folder, names)
        if not jobs:
            return
        try:
            with executor() as pool:
                _collect(folder, {pool.submit(run_seed, *job): job for job in jobs}, report)
        except BrokenProcessPool:
            if attempt == TRIES - 1:
                raise
            report("a worker process died; starting what it had not finished again")


def _collect(
    folder: Path, futures: dict[Future[Result], Job], report: Callable[[str], None]
) -> None:
    try:
        for done, future in enumerate(as_completed(futures), start=1):
            name, seed = futures[future]
            result = future.result()
            save(folder, result)
            values = ", ".join(
                f"{r.quantity} {r.statistic} {r.of(result):.4g}" for r in EXPERIMENTS[name].readings
            )
            report(
                f"[{done}/{len(futures)}] {name} seed {seed}: {values}, {result['seconds']:.0f} s"
            )
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def save(folder: Path, result: dict[str, Any]) -> None:
    """Write a result: a line for each list, so that differences can be read."""
    path = result_path(folder, result["experiment"], result["seed"])
    os.makedirs(path.parent, exist_ok=True)
    lines = [f'  "{key}": {json.dumps(series)}' for key, series in result["epochs"].items()]
    head = {key: value for key, value in result.items() if key != "epochs"}
    text = json.dumps(head, indent=1)[:-2]
    write_text(path, text + ',\n "epochs": {\n' + ",\n".join(lines) + "\n }\n}\n")
