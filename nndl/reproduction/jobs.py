"""Running many experiments: seeds as jobs, a JSON file for each, nothing run twice."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from nndl.files import folder_lock, make_folder, write_text
from nndl.reproduction.experiments import EXPERIMENTS, Result, run_seed
from nndl.storage.schema import check

__all__ = ["dask_cluster", "load_results", "pending", "result_path", "run", "workers"]

Job = tuple[str, int]
TRIES = 3  # how often a job may take its worker process down with it


def result_path(folder: Path, name: str, seed: int) -> Path:
    """Return where the result of a seed lies: folder/name/seed-0.json."""
    return folder / name / f"seed-{seed}.json"


def load_results(folder: Path, name: str) -> list[Result]:
    """Return the results of an experiment that are there, in the order of their seeds.

    Raises
    ------
    ValueError
        If a file is no result: it says which.
    """
    paths = (result_path(folder, name, seed) for seed in range(EXPERIMENTS[name].seeds))
    return [_load(path) for path in paths if path.exists()]


def _load(path: Path) -> Result:
    try:
        result: Result = json.loads(path.read_text(encoding="utf-8"))
        check(result, _RESULT, "it")
    except ValueError as error:  # of the encoding and of the JSON too
        raise ValueError(
            f"{path} is not the result of a run: {error}; delete it, and the run is done again"
        ) from None
    return result


_RESULT = {
    "experiment": str,
    "seed": range(2**31),
    "network": str,
    "settings": dict,
    "epochs": {str: [float]},
    "final": dict,
    "seconds": float,
    "environment": {
        "nndl": str,
        "python": str,
        "numpy": str,
        "scipy": str,
        "blas": [str],
        "blas_threads": range(2**31),
        "cpu": str,
        "cores": (range(2**31),),
        "system": str,
        "revision": (str,),
    },
}


def pending(folder: Path, names: Iterable[str]) -> list[Job]:
    """Return the (name, seed) that have no result yet, first seeds first."""
    jobs = [
        (name, seed)
        for name in dict.fromkeys(names)
        for seed in range(EXPERIMENTS[name].seeds)
        if not result_path(folder, name, seed).exists()
    ]
    return sorted(jobs, key=lambda job: job[1])


def workers(jobs: int) -> AbstractContextManager[Executor]:
    """Open worker processes; each computes on one BLAS thread, as training does everywhere."""
    return ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_end_with_the_parent
    )


def _end_with_the_parent() -> None:
    """Let a worker process end when the one that started it is killed."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """Open a Dask cluster, tcp://host:port, whose workers have nndl and the data.

    What a worker was running when it died is run again by another.

    Raises
    ------
    ImportError
        If the extra `dask` is not installed.
    OSError
        If no scheduler answers in 10 seconds.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("a Dask cluster needs an extra: pip install '.[dask]'") from None
    with Client(address, timeout=10) as client, client.get_executor(pure=False) as pool:
        yield pool


def run(
    folder: Path,
    names: Iterable[str],
    executor: Callable[[], AbstractContextManager[Executor]],
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
    executor : callable () -> context manager of an Executor
        `workers` or `dask_cluster`; opened again if worker processes have died.
    report : callable
        Given a line of text for every result.

    Raises
    ------
    BlockingIOError
        If another process is running experiments into the same folder.
    BrokenProcessPool
        If worker processes die again and again, as when memory is short.
    RuntimeError
        At the end, if runs failed; the others are written.
    """
    names = list(names)
    make_folder(folder)
    with folder_lock(folder):
        for attempt in range(TRIES):
            jobs = pending(folder, names)
            try:
                with executor() as pool:
                    failures = _collect(folder, pool, jobs, report)
                break
            except BrokenProcessPool:
                if attempt == TRIES - 1:
                    raise
                report("a worker process died; starting what it had not finished again")
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(jobs)} runs failed: {'; '.join(failures)}")


def _collect(
    folder: Path, pool: Executor, jobs: list[Job], report: Callable[[str], None]
) -> list[str]:
    """Write the results of jobs as they end; return a line for each that failed."""
    futures = {pool.submit(run_seed, *job, _checkpoint(folder, *job)): job for job in jobs}
    failures = []
    try:
        for done, future in enumerate(as_completed(futures), start=1):
            name, seed = futures[future]
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                raise error
            if error is not None:
                failures.append(f"{name} seed {seed}: {error!r}")
                report(f"[{done}/{len(jobs)}] {failures[-1]}")
                continue
            result = future.result()
            save(folder, result)
            if unfinished := _checkpoint(folder, name, seed):
                Path(unfinished).unlink(missing_ok=True)
            values = ", ".join(
                f"{r.quantity} {r.statistic} {r.of(result):.4g}" for r in EXPERIMENTS[name].readings
            )
            report(f"[{done}/{len(jobs)}] {name} seed {seed}: {values}, {result['seconds']:.0f} s")
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return failures


def _checkpoint(folder: Path, name: str, seed: int) -> str | None:
    """Return the file from which a run of chapter 6, which is long, goes on: in results/runs."""
    if EXPERIMENTS[name].layers is None:
        return None
    place = folder.parent / "runs" / "book"
    os.makedirs(place, exist_ok=True)
    return str(place / f"{name}-seed-{seed}.npz")


def save(folder: Path, result: Result) -> None:
    """Write a result: a line for each list, so that differences can be read."""
    path = result_path(folder, result["experiment"], result["seed"])
    os.makedirs(path.parent, exist_ok=True)
    write_text(path, _lines(result) + "\n")


def _lines(value: Any, indent: str = "") -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    inside = indent + " "
    items = [f"{inside}{json.dumps(key)}: {_lines(v, inside)}" for key, v in value.items()]
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"
