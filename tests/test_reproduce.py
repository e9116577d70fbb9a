"""Running the experiments: resumable, in processes or on a cluster, and reported truly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit

from nndl._typing import Array
from nndl.network import Network
from nndl.reproduction import experiments, jobs
from nndl.reproduction.experiments import EXPERIMENTS, Reading, run_seed, vote
from nndl.reproduction.report import render
from nndl.training import History, TrainingInterrupted

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "book"
SCRIPT = [sys.executable, str(ROOT / "scripts" / "reproduce_book.py")]
QUICK = ["c3-hp-a", "c3-hp-b", "c3-hp-d"]  # a thousand images, no hidden layer

pytestmark = pytest.mark.usefixtures("mnist")


def _results(folder: Path) -> dict[str, dict[str, object]]:
    """Return every result in a folder without what depends on the clock."""
    found = {}
    for path in sorted(folder.glob("book/*/seed-*.json")):
        result = json.loads(path.read_text())
        result.pop("seconds")
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


def test_a_run_that_is_killed_goes_on_where_it_was(
    tmp_path: Path, reference: dict[str, dict[str, object]]
) -> None:
    command = [*SCRIPT, "--results", str(tmp_path), "run", *QUICK, "--jobs", "2"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert first.stdout is not None
    first.stdout.readline()  # one result is written
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("book/*/seed-*.json")}
    assert 1 <= len(before) < len(reference)
    subprocess.run(command, check=True, capture_output=True)
    assert _results(tmp_path) == reference
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    assert not list(tmp_path.rglob("*.part"))


def test_a_worker_process_that_dies_is_replaced(
    tmp_path: Path, reference: dict[str, dict[str, object]]
) -> None:
    command = [*SCRIPT, "--results", str(tmp_path), "run", *QUICK, "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        children = subprocess.run(
            ["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True
        )
        os.kill(int(children.stdout.split()[0]), signal.SIGKILL)
        assert "a worker process died" in process.stdout.read()
    assert process.returncode == 0
    assert _results(tmp_path) == reference


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    pytest.importorskip("distributed", reason="needs the extra: pip install '.[dask]'")
    address = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    base = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    scheduler = subprocess.Popen(
        [
            *base,
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            str(address),
        ],
        **quiet,
    )
    worker = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        "--host",
        "127.0.0.1",
        "--scheduler-file",
        str(address),
        "--nthreads",
        "1",
        "--no-nanny",
        "--no-dashboard",
    ]
    workers = [subprocess.Popen(worker, cwd=tmp_path, **quiet) for _ in range(2)]
    deadline = time.monotonic() + 30
    while not address.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield json.loads(address.read_text())["address"], workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


def test_a_dask_cluster_loses_a_worker_but_no_result(
    tmp_path: Path,
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
    reference: dict[str, dict[str, object]],
) -> None:
    address, workers = cluster
    command = [*SCRIPT, "--results", str(tmp_path), "run", *QUICK, "--dask", address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        workers[0].kill()
        lines += process.stdout.readlines()
    assert process.returncode == 0
    assert _results(tmp_path) == reference
    assert len([line for line in lines if line.startswith("[")]) == len(reference)


def test_no_scheduler_is_one_line_and_status_1(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs the extra: pip install '.[dask]'")
    command = [*SCRIPT, "--results", str(tmp_path), "run", "c3-hp-a", "--dask", "tcp://127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("reproduce_book.py: error: ")


@pytest.mark.parametrize("first", [True, False])
def test_where_results_lie_may_stand_before_the_command_or_after_it(
    tmp_path: Path, first: bool
) -> None:
    place = ["--results", str(tmp_path)]
    words = [*place, "list"] if first else ["list", *place]
    done = subprocess.run([*SCRIPT, *words], check=True, capture_output=True, text=True).stdout
    assert " 0 of " in done
    assert "c3-hp-a" in done
    assert all(" 0 of " in line for line in done.split("\n\n")[0].splitlines())


@pytest.mark.parametrize("name", ["c3-hp-d", "c6-shallow"])
def test_what_ctrl_c_has_cut_short_is_no_result(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def interrupted(net: Network, *args: object, **more: object) -> History:
        raise TrainingInterrupted(History({"validation_accuracy": [0.5]}, ended="interrupted"))

    monkeypatch.setattr(experiments, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_seed(name, 0)


def test_readings_are_the_books_statistics() -> None:
    result = {
        "epochs": {
            "test_accuracy": [0.9, 0.95, 0.93],
            "validation_accuracy": [0.9, 0.94, 0.96],
            "training_cost": [1.0, 0.5, 0.7],
        },
        "final": {"epochs": 3, "test_accuracy": 0.93},
    }
    assert Reading("test_accuracy").of(result) == 95
    assert Reading("test_accuracy", "last").of(result) == 93
    assert Reading("test_accuracy", "epoch 0").of(result) == 90
    assert Reading("test_accuracy", "at best validation").of(result) == 93
    assert Reading("training_cost", "last").of(result) == 0.7
    assert Reading("epochs", "last").of(result) == 3


def test_what_is_measured_at_the_end_is_of_the_best_epoch_only_where_training_ends_on_it() -> None:
    for name, e in EXPERIMENTS.items():
        for reading in e.readings:
            if reading.statistic == "at best validation":
                watched = reading.quantity.removesuffix("_accuracy") in e.monitor
                assert e.layers or e.settings.keeps_best or watched, name


def test_the_accuracy_with_very_much_data() -> None:
    """Chapter 3's problem: a law that sizes up to 20,000 obey foretells that of 50,000."""
    sizes = np.array([100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000])
    last = Reading("validation_accuracy", "last")
    errors = [
        100 - np.mean([last.of(result) for result in jobs.load_results(RESULTS, name)])
        for name in (f"c3-more-data-{size}" for size in sizes)
    ]

    def law(n: Array, limit: float, scale: float, power: float) -> Array:
        return limit + scale * n**-power

    (limit, scale, power), _ = curve_fit(law, sizes[:-1], errors[:-1], (2, 300, 0.5), errors[:-1])
    assert law(50_000, limit, scale, power) == pytest.approx(errors[-1], abs=0.2)
    assert 96 < 100 - limit < 99


def test_the_page_of_results_is_not_stale() -> None:
    folder = ROOT / "results"
    assert (folder / "README.md").read_text() == render(folder), (
        "results/README.md is stale: python scripts/reproduce_book.py report"
    )


def test_the_vote_is_the_plurality_and_of_equals_the_first() -> None:
    def network(*wrong: list[int]) -> dict[str, Any]:
        return {"final": {"mistakes": list(wrong)}}

    five = [network([1, 5], [2, 3]), network([1, 5]), network([1, 6]), network(), network([2, 4])]
    assert vote(five) == [(1, 5)]  # two say 5, two are right, and a 5 came first
    assert vote(five[::-1]) == []  # now one that is right
    assert vote([network([7, 1], [3, 0])]) == [(3, 0), (7, 1)]


def test_an_experiment_that_is_named_twice_is_run_once(tmp_path: Path) -> None:
    seeds = EXPERIMENTS["c3-hp-d"].seeds
    assert len(jobs.pending(tmp_path, ["c3-hp-d", "c3-hp-d"])) == seeds


def test_of_costs_that_overflow_the_accuracy_is_measured() -> None:
    result = run_seed("c3-hp-a", 0)
    assert "float64" in result["network"]
    assert result["epochs"]["validation_accuracy"][-1] == result["final"]["validation_accuracy"]
    assert (len(result["epochs"]["eta"]), result["final"]["epochs"]) == (3, 3)


def test_a_result_without_its_environment_is_named(tmp_path: Path) -> None:
    result = run_seed("c3-hp-d", 0)
    del result["environment"]["cpu"]
    jobs.save(tmp_path, result)
    with pytest.raises(ValueError, match=r"seed-0\.json is not the result of a run"):
        jobs.load_results(tmp_path, "c3-hp-d")
