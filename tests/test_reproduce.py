"""Running experiments: resumable, in processes or on a Dask cluster, with a rendered report."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli import nndl

from nndl.activations import softmax
from nndl.layers import Dense
from nndl.network import Network
from nndl.parallel import limit
from nndl.reproduction import jobs
from nndl.reproduction import run as run_module
from nndl.reproduction.experiments import EXPERIMENTS
from nndl.reproduction.run import PROCEDURES, run_seed
from nndl.training import History, Settings, TrainingInterrupted

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "book"
SCRIPT = [sys.executable, str(ROOT / "scripts" / "reproduce_book.py")]
QUICK = ["c3-hp-a", "c3-hp-d"]  # a thousand images, no hidden layer

pytestmark = pytest.mark.usefixtures("mnist")


def _results(folder: Path) -> dict[str, dict[str, object]]:
    """Return every result in a folder without its times and environment."""
    found = {}
    for path in sorted(folder.glob("book/*/seed-*.json")):
        result = json.loads(path.read_text())
        del result["seconds"], result["environment"]
        result["epochs"].pop("seconds", None)
        found[str(path.relative_to(folder))] = result
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    folder = tmp_path_factory.mktemp("reference")
    for name in QUICK:
        for seed in range(EXPERIMENTS[name].seeds):
            jobs.save(folder / "book", run_seed(name, seed))
    return _results(folder)


def _start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, with Ctrl-C enabled."""
    return subprocess.Popen(
        [*SCRIPT, "--results", str(folder), "run", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def _wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# Kills, interrupts and clusters.


def test_a_killed_command_continues_with_the_unfinished_seeds(
    tmp_path: Path, reference: dict[str, dict[str, object]]
) -> None:
    command = [*SCRIPT, "--results", str(tmp_path), "run", *QUICK, "--jobs", "2"]
    first = _start(tmp_path, *QUICK, "--jobs", "2")
    assert first.stdout is not None
    with closing(first.stdout):
        first.stdout.readline()  # one result is written
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("book/*/seed-*.json")}
    assert 1 <= len(before) < len(reference)
    subprocess.run(command, check=True, capture_output=True)
    assert _results(tmp_path) == reference
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())


def test_runs_that_have_results_are_skipped_and_the_command_says_so(tmp_path: Path) -> None:
    shutil.copytree(RESULTS / "c1-net30", tmp_path / "book" / "c1-net30")
    done = nndl(f"reproduce run c1-net30 --results {tmp_path}")
    assert done.out == (
        f"5 of 5 runs have results in {tmp_path / 'book'} and are skipped: give another folder "
        "with --results to run them again\n"
    )


def test_half_written_files_of_a_killed_command_are_deleted(tmp_path: Path) -> None:
    result, checkpoint = tmp_path / "book" / "c3-hp-d", tmp_path / "runs" / "book"
    parts = [
        result / ".seed-0.json.0123abcd.part",
        checkpoint / ".c6-shallow-seed-0.npz.0123abcd.part",
    ]
    for part in parts:
        part.parent.mkdir(parents=True)
        part.touch()
    kept = checkpoint / "c6-shallow-seed-0.npz"
    kept.touch()
    jobs.run(tmp_path / "book", [], lambda: jobs.workers(1))
    assert not any(part.exists() for part in parts)
    assert kept.exists()


@pytest.mark.parametrize("kill", [os.kill, os.killpg])
def test_ctrl_c_stops_in_seconds_and_keeps_results_and_checkpoints(
    tmp_path: Path, kill: Any
) -> None:
    """SIGINT to the command alone, as from `kill -INT`, or to its group, as from a terminal."""
    process = _start(tmp_path, "c6-shallow", "c3-hp-d", "--jobs", "2")
    checkpoint = tmp_path / "runs" / "book" / "c6-shallow-seed-0.npz"
    _wait_until(checkpoint.exists)
    _wait_until((tmp_path / "book" / "c3-hp-d" / "seed-0.json").exists)
    start = time.monotonic()
    kill(process.pid, signal.SIGINT)
    output, _ = process.communicate()
    assert time.monotonic() - start < 5
    assert process.returncode == 130
    assert "Traceback" not in output
    assert checkpoint.exists()
    assert json.loads((tmp_path / "book" / "c3-hp-d" / "seed-0.json").read_text())["seed"] == 0
    assert not (tmp_path / "book" / "c6-shallow").exists()
    _wait_until(lambda: not _exists(process.pid), seconds=5)  # the workers have ended too


def test_a_worker_process_that_dies_is_replaced(
    tmp_path: Path, reference: dict[str, dict[str, object]]
) -> None:
    with _start(tmp_path, *QUICK, "--jobs", "1") as process:
        assert process.stdout is not None
        process.stdout.readline()
        children = subprocess.run(
            ["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True
        )
        os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
        assert "a worker process died" in process.stdout.read()
    assert process.returncode == 0
    assert _results(tmp_path) == reference


Cluster = tuple[str, list[subprocess.Popen[bytes]]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The address of a scheduler, and its process with those of two workers."""
    pytest.importorskip("distributed", reason="needs the extra: pip install '.[dask]'")
    address = tmp_path / "scheduler.json"
    common = ["--host", "127.0.0.1", "--scheduler-file", str(address), "--no-dashboard"]
    scheduler = ["distributed.cli.dask_scheduler", *common, "--port", "0"]
    worker = ["distributed.cli.dask_worker", *common, "--nthreads", "1", "--no-nanny"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for words in (scheduler, worker, worker)
    ]
    _wait_until(address.exists)
    yield json.loads(address.read_text())["address"], processes
    for process in processes:
        process.kill()
        process.wait()


def test_a_dask_cluster_loses_a_worker_but_no_result(
    tmp_path: Path, cluster: Cluster, reference: dict[str, dict[str, object]]
) -> None:
    address, (_, worker, _) = cluster
    with _start(tmp_path, *QUICK, "--dask", address) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        worker.kill()
        lines += process.stdout.readlines()
    assert process.returncode == 0
    assert _results(tmp_path) == reference
    assert len([line for line in lines if line.startswith("[")]) == len(reference)


def test_a_dask_scheduler_that_dies_is_one_line_and_status_1(
    tmp_path: Path, cluster: Cluster
) -> None:
    address, (scheduler, *_) = cluster
    process = _start(tmp_path, "c3-hp-d", "c1-net30", "--dask", address)
    assert process.stdout is not None
    first = process.stdout.readline()
    scheduler.kill()
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    [error] = [line for line in rest.splitlines() if not line.startswith("[")]
    assert "the Dask scheduler at tcp://" in error
    assert "start it again, then run the same command" in error
    assert first.startswith("[1/10] c3-hp-d seed 0")
    assert (tmp_path / "book" / "c3-hp-d" / "seed-0.json").exists()


def test_ctrl_c_ends_a_command_that_runs_on_a_dask_cluster(
    tmp_path: Path, cluster: Cluster
) -> None:
    process = _start(tmp_path, "c3-hp-d", "c1-net30", "--dask", cluster[0])
    assert process.stdout is not None
    process.stdout.readline()
    start = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert process.returncode == 130
    assert "Traceback" not in rest


def test_a_missing_dask_scheduler_is_one_line_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="needs the extra: pip install '.[dask]'")
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")  # not Dask's 30
    process = _start(tmp_path, "c3-hp-a", "--dask", "tcp://127.0.0.1:9")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in output
    assert "error: " in output.splitlines()[-1]


# Runs and their results.


@pytest.mark.parametrize("first", [True, False])
def test_the_flag_results_is_accepted_before_and_after_the_command(
    tmp_path: Path, first: bool
) -> None:
    place = ["--results", str(tmp_path)]
    words = [*place, "list"] if first else ["list", *place]
    done = subprocess.run([*SCRIPT, *words], check=True, capture_output=True, text=True).stdout
    assert " 0 of " in done
    assert "c3-hp-a" in done
    assert all(" 0 of " in line for line in done.split("\n\n")[0].splitlines())


@pytest.mark.parametrize("name", ["c3-hp-d", "c6-shallow"])
def test_an_interrupted_run_is_not_a_result(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def interrupted(net: Network, *args: object, **more: object) -> History:
        raise TrainingInterrupted(History({"validation_accuracy": [0.5]}, ended="interrupted"))

    monkeypatch.setattr(run_module, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_seed(name, 0)


def test_only_an_interrupted_command_that_keeps_runs_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    for function in ("replay", "jobs.run"):
        monkeypatch.setattr(f"nndl.cli.reproduce.{function}", interrupt)
    for line, kept in (("replay c3-overfit-1000", False), ("run c3-hp-a", True)):
        done = nndl(f"reproduce --results /nowhere {line}")
        assert done.status == 130
        assert ("finished runs are kept" in done.err) is kept


def test_an_experiment_that_is_named_twice_is_run_once(tmp_path: Path) -> None:
    seeds = EXPERIMENTS["c3-hp-d"].seeds
    assert len(jobs.pending(tmp_path, ["c3-hp-d", "c3-hp-d"])) == seeds


def test_a_run_whose_costs_overflow_records_accuracies_only() -> None:
    result = run_seed("c3-hp-a", 0)
    assert "float64" in result["network"]
    assert set(result["epochs"]) == {"eta", "validation_accuracy"}
    assert result["epochs"]["validation_accuracy"][-1] == result["final"]["validation_accuracy"]
    assert (len(result["epochs"]["eta"]), result["final"]["epochs"]) == (3, 3)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_resumes_from_its_own_checkpoint_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    small = replace(
        EXPERIMENTS["c6-shallow"],
        layers=lambda: [Dense(5), Dense(10, softmax)],
        settings=Settings(epochs=2, eta=0.1),
        training_size=100,
    )
    other = replace(small, layers=lambda: [Dense(6), Dense(10, softmax)])
    for name, experiment in (("small", small), ("other", other), ("twin", small)):
        monkeypatch.setitem(EXPERIMENTS, name, experiment)
    path = str(tmp_path / "checkpoint.npz")
    first = run_seed("small", seed, path)
    again = run_seed("small", seed, path)
    assert again["epochs"] == first["epochs"]
    for name, wrong in (("other", seed), ("twin", seed), ("small", seed + 1)):
        with pytest.raises(ValueError, match=rf"must be of {name}, seed {wrong}, but is of small"):
            run_seed(name, wrong, path)


def test_runs_compute_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def stop(job: object) -> None:
        found.append(limit())
        raise KeyboardInterrupt

    monkeypatch.setattr("nndl.parallel.cores", lambda: 2)
    monkeypatch.setitem(PROCEDURES, EXPERIMENTS["c3-hp-a"].procedure, stop)
    with pytest.raises(KeyboardInterrupt):
        run_seed("c3-hp-a", 0)
    assert (found, limit()) == ([1], 2)
