"""The benchmark runs, compares and renders its tables; only short races of what is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RACE = [sys.executable, str(ROOT / "benchmarks" / "race.py")]


def race(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RACE, *words], capture_output=True, text=True)


def recorded(file: str, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(Path(file).read_text())["races"][name]["rows"]
    return rows


@pytest.mark.usefixtures("mnist")
def test_a_race_gives_the_same_table_from_its_json_file(tmp_path: Path) -> None:
    file = str(tmp_path / "race.json")
    words = ["dense-30", "--images", "500", "--rounds", "2", "--threads", "1", "--json", file]
    done = race(*words, "--only", "nndl", "NumPy, matrix form")
    assert done.returncode == 0, done.stderr
    rows = {
        row["name"]: row for row in json.loads(Path(file).read_text())["races"]["dense-30"]["rows"]
    }
    assert set(rows) == {"nndl", "NumPy, matrix form"}
    assert len(rows["nndl"]["seconds"]) == len(rows["NumPy, matrix form"]["seconds"]) == 2
    # The same start, order and equations, and so the same network but for rounding.
    assert rows["nndl"]["accuracy"] == pytest.approx(
        rows["NumPy, matrix form"]["accuracy"], abs=2e-3
    )
    assert "| nndl | 1 | " in done.stdout
    assert "n = 2 rounds" in done.stdout
    assert race("--show", file).stdout == done.stdout


@pytest.mark.usefixtures("mnist")
def test_convolutional_networks_train_and_predict(tmp_path: Path) -> None:
    file = str(tmp_path / "race.json")
    words = ["conv-10", "--images", "500", "--rounds", "1", "--threads", "1", "--json", file]
    done = race(*words, "--only", "nndl")
    assert done.returncode == 0, done.stderr
    [row] = recorded(file, "conv-10")
    assert row["accuracy"] > 0.3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dense-30", "--only", "nobody"], "--only names no contestant: choose from "),
        (["--images", "60000"], "--images must be 50,000 at most"),
        (["dense-31"], "no race 'dense-31': choose from dense-30, "),
        (
            ["dense-30", "--rounds", "0"],
            "--rounds: expected a whole number from 1 to 2,147,483,647, not '0'",
        ),
    ],
)
def test_an_unknown_race_and_no_rounds_are_refused(words: list[str], message: str) -> None:
    done = race(*words)
    assert done.returncode == 2
    assert message in done.stderr


def test_default_parameters_are_chosen_by_cross_validation() -> None:
    pytest.importorskip("sklearn", reason="needs the extra: pip install '.[sklearn]'")
    program = [sys.executable, str(ROOT / "benchmarks" / "classifiers.py")]
    words = ["choose", "iris", "hidden=()", "eta=0.0001,0.05", "epochs=20", "--seeds", "1"]
    done = subprocess.run([*program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [
        f"| iris, hidden (), eta {eta}, epochs 20" for eta in (0.0001, 0.05)
    ]
    slow, fast = (float(row[1].removesuffix(" %")) for row in rows)
    assert slow < 70 < 90 < fast


def test_the_time_of_a_step_is_shown_by_layer() -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "layers.py"), "conv-10", "--steps", "2"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "GFLOP/s; sgemm" in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith("Conv(")]) == 2
