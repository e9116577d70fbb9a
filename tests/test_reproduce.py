"""Running experiments: resumable, in processes or on a Dask cluster, with a rendered report."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from cli import nndl
from scipy.optimize import curve_fit

from nndl._typing import Array
from nndl.network import Network
from nndl.reproduction import jobs
from nndl.reproduction import run as run_module
from nndl.reproduction.experiments import EXPERIMENTS
from nndl.reproduction.experiments.record import Procedure
from nndl.reproduction.figures import FIGURES, gallery
from nndl.reproduction.notes import NOTES, Footnotes
from nndl.reproduction.reading import Reading, vote
from nndl.reproduction.report import render
from nndl.reproduction.run import PROCEDURES, run_seed
from nndl.training import History, TrainingInterrupted

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


def test_a_result_without_its_cpu_is_refused_by_name(tmp_path: Path) -> None:
    result = run_seed("c3-hp-d", 0)
    del result["environment"]["cpu"]
    jobs.save(tmp_path, result)
    with pytest.raises(ValueError, match=r"seed-0\.json is not the result of a run"):
        jobs.load_results(tmp_path, "c3-hp-d")


def test_a_result_file_that_is_nested_too_deeply_is_refused_by_name(tmp_path: Path) -> None:
    path = jobs.result_path(tmp_path, "c3-hp-d", 0)
    path.parent.mkdir()
    path.write_text("[" * 10_000)
    with pytest.raises(ValueError, match=r"seed-0\.json is not the result of a run .*deeply"):
        jobs.load_results(tmp_path, "c3-hp-d")


# The tables.


def test_every_procedure_has_a_function() -> None:
    assert set(PROCEDURES) == set(get_args(Procedure))
    assert {e.procedure for e in EXPERIMENTS.values()} == set(PROCEDURES)


MISSING = {  # seeds that have not been run yet
    **dict.fromkeys(("c6-expanded-100", "c6-expanded-300", "c6-2fc-100"), 1),
    **dict.fromkeys(("c6-expanded-1000", "c6-2fc-300", "c6-2fc-1000"), 2),
}


def test_every_committed_result_is_a_run_of_its_experiment() -> None:
    """The settings in the result files are those of the tables."""
    for name, e in EXPERIMENTS.items():
        results = jobs.load_results(RESULTS, name)
        assert len(results) == e.seeds - MISSING.get(name, 0), name
        for result in results:
            assert result["experiment"] == name
            assert result["settings"] == {
                key: getattr(e.settings, key) for key in result["settings"]
            }, name


def test_every_note_is_used_and_every_used_note_exists() -> None:
    used = {note for e in EXPERIMENTS.values() for note in e.notes} | {"after-last-epoch"}
    assert used == set(NOTES)


def test_notes_are_numbered_in_the_order_of_their_first_use() -> None:
    footnotes = Footnotes()
    assert footnotes.links(("paper",)) == "[1](#notes)"
    assert footnotes.links(("l1", "paper")) == "[1](#notes), [2](#notes)"
    assert footnotes.render() == f"1. {NOTES['paper']}\n2. {NOTES['l1']}"


def test_a_measurement_after_training_is_of_the_best_epoch_only_if_training_ends_on_it() -> None:
    for name, e in EXPERIMENTS.items():
        for reading in e.readings:
            if reading.statistic == "at best validation":
                watched = reading.quantity.removesuffix("_accuracy") in e.monitor
                assert e.layers or e.settings.keeps_best or watched, name


# Readings and the report.


def test_readings_are_the_statistics_they_name() -> None:
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


def test_the_vote_is_the_plurality_and_the_first_of_equal_counts_wins() -> None:
    def network(*wrong: list[int]) -> dict[str, Any]:
        return {"final": {"mistakes": list(wrong)}}

    five = [network([1, 5], [2, 3]), network([1, 5]), network([1, 6]), network(), network([2, 4])]
    assert vote(five) == [(1, 5)]  # two say 5, two are correct, and a 5 came first
    assert vote(five[::-1]) == []  # now a correct one came first
    assert vote([network([7, 1], [3, 0])]) == [(3, 0), (7, 1)]


def test_the_accuracy_with_very_much_data() -> None:
    """Chapter 3's problem: a law fitted to sizes up to 20,000 predicts the error at 50,000."""
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


def test_the_page_of_figures_is_not_stale_and_shows_every_figure() -> None:
    page = (ROOT / "results" / "FIGURES.md").read_text(encoding="utf-8")
    assert page == gallery(ROOT / "results"), "results/FIGURES.md is stale: nndl reproduce figures"
    shown = re.findall(r"\(figures/(\w+)\.svg\)", page)
    drawn = {path.stem for path in (ROOT / "results" / "figures").glob("*.svg")}
    assert {*shown, "ladder"} == drawn
    assert len(shown) == len(FIGURES)


def test_the_page_of_results_is_not_stale() -> None:
    folder = ROOT / "results"
    assert (folder / "README.md").read_text(encoding="utf-8") == render(folder), (
        "results/README.md is stale: nndl reproduce report"
    )
