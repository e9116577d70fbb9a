"""Running many experiments: each seed is a job with a result file, and no job is run twice."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nndl.files import folder_lock, make_folder, read_regular, remove_parts, write_text
from nndl.reproduction.experiments import EXPERIMENTS
from nndl.reproduction.reading import Result
from nndl.reproduction.run import run_seed
from nndl.storage.schema import check, loads
from nndl.training.environment import ENVIRONMENT

__all__ = ["dask_cluster", "load_results", "pending", "result_path", "run", "save", "workers"]

Job = tuple[str, int]
"""Name and seed of an experiment."""
LARGEST_RESULT = 1 << 24  # bytes; the largest committed result has 270,000
ATTEMPTS = 3  # how often jobs are started again after a worker process died


def result_path(folder: Path, name: str, seed: int) -> Path:
    """Return the path of the result of a seed: folder/name/seed-0.json."""
    return folder / name / f"seed-{seed}.json"


def load_results(folder: Path, name: str) -> list[Result]:
    """Return the existing results of an experiment in the order of their seeds.

    Raises
    ------
    ValueError
        If a file is not a result; the message names it.
    """
    paths = (result_path(folder, name, seed) for seed in range(EXPERIMENTS[name].seeds))
    return [_load(path, name) for path in paths if path.exists()]


def _load(path: Path, name: str) -> Result:
    try:
        result: Result = loads(read_regular(path, LARGEST_RESULT), LARGEST_RESULT)
        check(result, _RESULT, "it")
        if (result["experiment"], f"seed-{result['seed']}") != (name, path.stem):
            raise ValueError(f"it is that of {result['experiment']}, seed {result['seed']}")
        wanted = EXPERIMENTS[name].settings.record()  # of which older results have fewer
        if differ := [k for k, v in result["settings"].items() if wanted.get(k) != v]:
            raise ValueError(f"it has other settings: {', '.join(differ)}")
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError included
        raise ValueError(
            f"{path} is not the result of a run ({error}): delete it and run the experiment again"
        ) from None
    return result


_RESULT = {
    "experiment": str,
    "seed": range(2**31),
    "network": str,
    "settings": dict,
    "epochs": {str: [float, 100_000]},
    "final": {str: float | str | list},
    "seconds": float,
    "environment": ENVIRONMENT,
}


def save(folder: Path, result: Result) -> None:
    """Write a result with one line for each list, so that diffs are readable."""
    path = result_path(folder, result["experiment"], result["seed"])
    os.makedirs(path.parent, exist_ok=True)
    write_text(path, _format(result) + "\n")


def _format(value: Any, indent: str = "") -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    inner = indent + " "
    items = [f"{inner}{json.dumps(key)}: {_format(v, inner)}" for key, v in value.items()]
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"


def all_jobs(names: Iterable[str]) -> list[Job]:
    """Return the jobs of experiments: first all seeds 0, then all seeds 1, ..."""
    chosen = {name: EXPERIMENTS[name].seeds for name in names}
    jobs = [(name, seed) for name, seeds in chosen.items() for seed in range(seeds)]
    return sorted(jobs, key=lambda job: job[1])


def pending(folder: Path, names: Iterable[str]) -> list[Job]:
    """Return the jobs that have no result yet, in the same order."""
    return [job for job in all_jobs(names) if not result_path(folder, *job).exists()]


@contextmanager
def workers(count: int) -> Iterator[Executor]:
    """Open a pool of worker processes, each of which computes on one BLAS thread.

    The workers end at once if the block raises, as at Ctrl-C, or if this process is killed: a run
    that has a checkpoint loses the current epoch, any other run starts again next time.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        count, mp_context=context, initializer=_end_with_the_pipe, initargs=(receiver,)
    )
    try:
        yield pool
    except BaseException:
        sender.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        sender.close()
        receiver.close()


def _end_with_the_pipe(receiver: Connection) -> None:
    """End this worker process when the other end of a pipe is closed, or its owner has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes: the owner decides

    def watch() -> None:
        receiver.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """Connect to a Dask cluster, tcp://host:port, whose workers have nndl and the data.

    Jobs of a worker that dies are run again by another worker.

    Raises
    ------
    ImportError
        If the extra `dask` is not installed.
    OSError
        If no scheduler answers within 10 seconds, or the connection to it is lost later.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("a Dask cluster needs an extra: pip install 'nndl[dask]'") from None
    for logger in list(logging.root.manager.loggerDict):
        if logger.partition(".")[0] == "distributed":  # it logs tracebacks of what is raised below
            logging.getLogger(logger).setLevel(logging.CRITICAL)
    with Client(address, timeout=10) as client:
        pool = client.get_executor(pure=False)
        try:
            yield pool
        except CancelledError:
            raise ConnectionError(
                f"the Dask scheduler at {address} has died or cannot be reached; finished results "
                "are kept: start it again, then run the same command"
            ) from None
        finally:
            pool.shutdown(wait=False)


def run(
    folder: Path,
    names: Iterable[str],
    executor: Callable[[], AbstractContextManager[Executor]],
    report: Callable[[str], None] = lambda line: None,
    *,
    local: bool = True,
) -> None:
    """Run all pending jobs and write each result as it arrives.

    Results are written atomically by this process. After a kill or an interrupt, the next call
    continues with the jobs that are not finished.

    Parameters
    ----------
    folder : Path
        Where results are stored, by convention results/book.
    names : iterable of str
        Keys of `EXPERIMENTS`.
    executor : callable () -> context manager of an Executor
        Such as `workers` or `dask_cluster`; called again after worker processes have died.
    report : callable
        Called with a line of text for every result.
    local : bool
        Whether the workers share this machine's files; only then do long runs have checkpoints.

    Raises
    ------
    BlockingIOError
        If another process is running experiments in the same folder.
    BrokenProcessPool
        If worker processes die repeatedly, as when memory is short.
    RuntimeError
        After the last job, if jobs failed; the results of the others are written.
    KeyboardInterrupt
        At Ctrl-C, within seconds: finished results are written, and unfinished runs of chapter 6
        keep their checkpoints.
    """
    names = list(names)
    checkpoints = folder.parent / "runs" / "book"
    for place in (folder, checkpoints):
        make_folder(place)
    with folder_lock(folder), folder_lock(checkpoints):
        for place in folder.iterdir():
            remove_parts(place, seconds=0)  # of a command that was killed
        for attempt in range(ATTEMPTS):
            jobs = pending(folder, names)
            if not attempt and len(jobs) < (wanted := len(all_jobs(names))):
                report(
                    f"{wanted - len(jobs)} of {wanted} runs have results in {folder} and are "
                    "skipped: give another folder with --results to run them again"
                )
            try:
                with executor() as pool:
                    paths = {job: _checkpoint(checkpoints, *job) if local else None for job in jobs}
                    failures = _collect(folder, paths, pool, report)
                break
            except BrokenProcessPool:
                if attempt == ATTEMPTS - 1:
                    raise
                report("a worker process died; running its unfinished jobs again")
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(jobs)} runs failed: {'; '.join(failures)}")


def _collect(
    folder: Path,
    jobs: dict[Job, str | None],
    pool: Executor,
    report: Callable[[str], None],
) -> list[str]:
    """Write the results of jobs as they finish; return a line for each job that failed.

    Each job has the path of its checkpoint, if any.
    """
    with _sigint_held():
        futures = {pool.submit(run_seed, *job, path): job for job, path in jobs.items()}
    failures = []
    try:
        for done, future in enumerate(as_completed(futures), start=1):
            name, seed = futures[future]
            error = None if future.cancelled() else future.exception()
            if isinstance(error, BrokenProcessPool):
                raise error
            if error is not None:
                failures.append(f"{name} seed {seed}: {error!r}")
                report(f"[{done}/{len(jobs)}] {failures[-1]}")
                continue
            result = _finish(folder, future, jobs[name, seed])
            values = ", ".join(
                f"{r.quantity} {r.statistic} {r.of(result):.4g}" for r in EXPERIMENTS[name].readings
            )
            report(f"[{done}/{len(jobs)}] {name} seed {seed}: {values}, {result['seconds']:.0f} s")
    except BaseException:
        for future, job in futures.items():
            if not future.cancel() and future.done() and future.exception() is None:
                _finish(folder, future, jobs[job])
        raise
    return failures


def _finish(folder: Path, future: Future[Result], checkpoint: str | None) -> Result:
    """Write the result of a finished job and delete its checkpoint."""
    result = future.result()  # CancelledError if the connection to a cluster was lost
    save(folder, result)
    if checkpoint:
        Path(checkpoint).unlink(missing_ok=True)
    return result


def _checkpoint(folder: Path, name: str, seed: int) -> str | None:
    """Return the path of a job's checkpoint; only the long runs of chapter 6 have one."""
    if EXPERIMENTS[name].layers is None:
        return None
    return str(folder / f"{name}-seed-{seed}.npz")


@contextmanager
def _sigint_held() -> Iterator[None]:
    """Deliver SIGINT only after the block; processes that are started in it never receive it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
