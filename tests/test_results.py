"""The committed results of the book, what is read off them, and the pages generated from them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.optimize import curve_fit

from nndl._typing import Array
from nndl.reproduction import jobs
from nndl.reproduction.experiments import EXPERIMENTS
from nndl.reproduction.experiments.record import Procedure
from nndl.reproduction.figures import draw_by_size
from nndl.reproduction.gallery import FIGURES, draw_all, gallery
from nndl.reproduction.notes import NOTES, Footnotes
from nndl.reproduction.reading import Reading, vote
from nndl.reproduction.report import render
from nndl.reproduction.run import PROCEDURES

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "book"

# Files that are read.


def test_a_result_without_its_cpu_is_refused_by_name(tmp_path: Path) -> None:
    result = jobs.load_results(RESULTS, "c3-hp-d")[0]
    del result["environment"]["cpu"]
    jobs.save(tmp_path, result)
    with pytest.raises(ValueError, match=r"seed-0\.json is not the result of a run"):
        jobs.load_results(tmp_path, "c3-hp-d")


def test_a_result_in_the_place_of_another_is_refused_by_name(tmp_path: Path) -> None:
    result = jobs.load_results(RESULTS, "c3-hp-d")[0]
    for changes, reason in (
        ({"experiment": "c3-hp-a"}, "that of c3-hp-a, seed 0"),
        ({"seed": 1}, "that of c3-hp-d, seed 1"),
        ({"settings": result["settings"] | {"eta": 7.0}}, "it has other settings: eta"),
    ):
        path = jobs.result_path(tmp_path, "c3-hp-d", 0)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result | changes))
        with pytest.raises(ValueError, match=rf"seed-0\.json is not .*{reason}.*delete it"):
            jobs.load_results(tmp_path, "c3-hp-d")


def test_a_series_that_is_missing_is_not_replaced_by_the_final_value() -> None:
    result = jobs.load_results(RESULTS, "c1-net30")[0]
    del result["epochs"]["test_accuracy"]
    with pytest.raises(ValueError, match="c1-net30, seed 0, has no series test_accuracy"):
        Reading("test_accuracy", "peak").of(result)
    last = Reading("test_accuracy", "last").of(result)
    assert last == 100 * result["final"]["test_accuracy"]


def test_a_result_file_that_is_nested_too_deeply_is_refused_by_name(tmp_path: Path) -> None:
    path = jobs.result_path(tmp_path, "c3-hp-d", 0)
    path.parent.mkdir()
    path.write_text("[" * 10_000)
    with pytest.raises(ValueError, match=r"seed-0\.json is not the result of a run .*deeply"):
        jobs.load_results(tmp_path, "c3-hp-d")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text[:1000], "Expecting"),
        (lambda text: text.replace("training_cost", "cost"), "it lacks training_cost"),
        (lambda text: json.dumps({"training_cost": "low"}), "must be a list"),
    ],
)
def test_a_damaged_replay_is_refused_by_name(
    tmp_path: Path, change: Callable[[str], str], reason: str
) -> None:
    shutil.copytree(RESULTS.parent / "replay", tmp_path / "replay")
    shutil.copytree(RESULTS / "c3-overfit-1000", tmp_path / "book" / "c3-overfit-1000")
    path = tmp_path / "replay" / "c3-overfit-1000.json"
    path.write_text(change(path.read_text()))
    for function in (render, draw_all):
        with pytest.raises(ValueError, match=rf"1000\.json is not a replay \(.*{reason}"):
            function(tmp_path)


@pytest.mark.parametrize("local", [True, False])
def test_only_workers_on_this_machine_get_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    given: dict[tuple[str, int], str | None] = {}
    monkeypatch.setattr(
        jobs, "_collect", lambda folder, todo, pool, report: given.update(todo) or []
    )
    jobs.run(tmp_path / "book", ["c6-shallow", "c3-hp-d"], lambda: nullcontext(), local=local)
    kept = str(tmp_path / "runs" / "book" / "c6-shallow-seed-0.npz")
    assert given["c6-shallow", 0] == (kept if local else None)
    assert given["c3-hp-d", 0] is None


# The tables.


def test_every_procedure_has_a_function() -> None:
    assert set(PROCEDURES) == set(get_args(Procedure))
    assert {e.procedure for e in EXPERIMENTS.values()} == set(PROCEDURES)


def test_every_committed_result_is_a_run_of_its_experiment() -> None:
    """The settings in the result files are those of the tables."""
    for name, e in EXPERIMENTS.items():
        results = jobs.load_results(RESULTS, name)
        assert len(results) == e.seeds, name
        for result in results:
            assert result["experiment"] == name
            assert result["settings"] == {
                key: getattr(e.settings, key) for key in result["settings"]
            }, name


def test_every_note_is_used_and_every_used_note_exists() -> None:
    used = {note for e in EXPERIMENTS.values() for note in e.notes} | {"after-last-epoch", "ties"}
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


def test_sizes_with_different_numbers_of_seeds_are_drawn(tmp_path: Path) -> None:
    """As after a reproduction that was interrupted."""
    for folder in RESULTS.glob("c3-more-data-*"):
        shutil.copytree(folder, tmp_path / "book" / folder.name)
    (tmp_path / "book" / "c3-more-data-50000" / "seed-4.json").unlink()
    fig = Figure()
    draw_by_size(fig, tmp_path)
    assert "ours, 4 seeds" in fig.axes[0].get_legend_handles_labels()[1]
