"""The page and the picture of the ladder, from invented records, and ensembles of its networks."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nndl import save, synthetic_digits
from nndl.cli import ladder as command
from nndl.ladder import ensemble
from nndl.ladder.marks import MARKS
from nndl.ladder.picture import _apart, draw
from nndl.ladder.records import described, load_ensemble, load_tried
from nndl.ladder.report import render
from nndl.ladder.run import as_record, network_path
from nndl.recipes import RECIPES

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    net = RECIPES["first-second"].network(rng=0)
    return as_record("first-second", 0, net, 9700, 10_000, 60_000, 0.5)


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def results(tmp_path: Path, record: dict[str, Any]) -> Path:
    """A folder with invented records: of three seeds, of a twin and of an ensemble."""
    folder = tmp_path / "ladder"
    for seed, correct, seconds in ((0, 9690, 0.5), (1, 9700, 0.9), (10, 9707, 0.7)):
        run = record | {"seed": seed, "correct": correct, "seconds": seconds}
        write(folder / "first-second" / f"seed-{seed}.json", run)
    twin = record | {"environment": record["environment"] | {"torch": "2.99", "threads": 1}}
    write(folder / "first-second" / "torch-seed-0.json", twin | {"correct": 9711, "seconds": 1.5})
    together = {"correct": 9980, "vote_correct": 9977, "shifted_correct": 9981, "of": 10_000}
    together |= {**described("conv-best"), "members": [0, 1], "member_correct": [9969, 9972]}
    together |= {"seconds": 3600.0, "environment": record["environment"]}
    write(folder / "ensemble-conv-best.json", together)
    return tmp_path


def row(page: str, begin: str) -> list[str]:
    """Return the cells of the only row that begins so."""
    [line] = [line for line in page.splitlines() if line.startswith(f"| {begin}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


# The page.


PM = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"


def test_a_rung_is_shown_with_spread_seconds_and_twin(results: Path) -> None:
    cells = row(render(results), "first second")
    assert cells[1:7] == [
        "97.00 in 0.6 s",
        "no, 0.010 points short and 0.1 s over",
        "",
        f"96.99{PM}0.09",
        "3 of 30 planned",
        "0.7 s (0.5 to 0.9)",
    ]
    assert cells[8] == "60,000 x 2"
    assert cells[10:] == ["97.11", "1", "1.5 s"]
    assert float(cells[7]) == pytest.approx(
        2e-12 * (2 * 784 + 3 * 10) * 64 * 120_000, rel=0.01
    )  # TFLOP


def test_two_seeds_have_no_spread(results: Path) -> None:
    (results / "ladder" / "first-second" / "seed-10.json").unlink()
    assert row(render(results), "first second")[4] == "96.95"


def add_conv_best(results: Path, correct: int, seconds: float) -> None:
    """Write invented records of conv-best: three seeds, two images apart."""
    net = RECIPES["conv-best"].network(rng=0)
    for seed in range(3):
        found = correct + 2 * (seed - 1)
        run = as_record("conv-best", seed, net, found, 10_000, 60_000, seconds)
        write(results / "ladder" / "conv-best" / f"seed-{seed}.json", run)


def test_a_stretch_goal_is_shown_beside_the_goal(results: Path) -> None:
    add_conv_best(results, 9971, 900.0)
    assert row(render(results), "conv, best")[1:4] == [
        *("99.70 in 1,800 s", "yes", "99.74 in 1,800 s: no, 0.030 points short")
    ]


def test_what_was_missed_is_listed_with_the_time_that_was_left(results: Path) -> None:
    add_conv_best(results, 9968, 900.0)
    path = results / "ladder" / "ensemble-conv-best.json"
    write(path, json.loads(path.read_text()) | {"correct": 9974})
    missed = render(results).partition("## What was missed")[2].partition("##")[0]
    lines = [line for line in missed.splitlines() if line.startswith("- ")]
    # The sd is 0.02 points, and the standard error of three seeds 0.0115.
    assert lines[1] == (
        "- `conv-best`: 0.020 points below 99.70, or 1.7 standard errors, in 50 % of the time that "
        "it may take"
    )
    assert lines[0].startswith("- `first-second`: 0.010 points below 97.00")
    assert "0.050 points below 99.79, in 20 % of the time; it is 0.035 above the mean" in lines[2]
    add_conv_best(results, 9970, 900.0)
    assert "- `conv-best`: " not in render(results)


def test_a_recipe_is_shown_with_its_settings_and_reasons(results: Path) -> None:
    add_conv_best(results, 9971, 900.0)
    network, training, distortion, why = row(render(results), "`conv-best`")[1:]
    assert network.startswith("Conv(32, 5x5, identity, pool 2) - BatchNorm(relu) - ")
    assert training == (
        "mini-batches of 100, eta 0.1, cosine, warm-up of 1 epoch, Nesterov momentum 0.9, "
        "lmbda 25, label smoothing 0.05, average 0.003"
    )
    assert distortion == (
        "ElasticDistortion(sigma=4.0, alpha=20, affine=RandomAffine(rotation=10, skew=0.1, "
        "scale=0.1, translation=2)), without it for 1 epoch at the end"
    )
    assert why == RECIPES["conv-best"].why
    assert row(render(results), "`first-second`")[3] == ""


def test_an_ensemble_is_shown_with_its_members_vote_and_shifts(results: Path) -> None:
    cells = row(render(results), "2 of `conv-best`")[1:]
    assert cells[:5] == ["99.705", "99.80", "99.77", "99.81", "3,600"]
    assert cells[5:8] == ["", "yes", "99.82: no, 0.020 points short"]
    add_conv_best(results, 9971, 900.0)
    page = render(results)
    flop = float(row(page, "conv, best")[7])
    assert float(row(page, "2 of `conv-best`")[6]) == pytest.approx(2 * flop, rel=0.01)


def test_what_has_not_run_is_listed_and_nothing_else_is_shown(
    results: Path, tmp_path: Path
) -> None:
    page = render(results)
    _, _, missing = page.partition("## Not yet run")
    missing = missing.partition("##")[0]
    assert "`conv-best`): 99.70" in missing
    assert "first-second" not in missing
    assert "ensemble of ten" in missing  # there is one of two
    path = results / "ladder" / "ensemble-conv-best.json"
    ten = {"members": list(range(10)), "member_correct": [9970] * 10}
    write(path, json.loads(path.read_text()) | ten)
    assert "- ensemble" not in render(results)
    empty = render(tmp_path / "nothing")
    assert "## Rungs" not in empty
    assert "## Ensembles" not in empty
    assert all(f"(`{name}`)" in empty for name in RECIPES)
    assert "- ensemble of ten: 99.79 in 5 core-hours" in empty


def test_what_did_not_pay_is_listed_if_there_is_a_file(results: Path) -> None:
    assert "tried and not used" not in render(results)
    tried = {"what": "Adam", "instead_of": "momentum", "accuracy": 99.5, "note": "slower"}
    write(results / "ladder" / "tried.json", [tried, tried | {"what": "b", "accuracy": "98 (n 2)"}])
    page = render(results)
    assert row(page, "Adam") == ["Adam", "momentum", "99.50 %", "slower"]
    assert row(page, "b |")[2] == "98 (n 2)"


def test_environments_are_counted_and_name_pytorch(results: Path) -> None:
    page = render(results)
    assert "- 4 runs: " in page  # the ensemble is one
    [line] = [line for line in page.splitlines() if line.startswith("- 1 run: ")]
    assert "PyTorch 2.99, one thread" in line


def test_others_are_named_with_their_sources(tmp_path: Path) -> None:
    page = render(tmp_path)
    for mark in MARKS:
        assert mark.source in row(page, mark.label + " |")[3]


def test_the_page_of_the_ladder_is_not_stale() -> None:
    folder = ROOT / "results"
    assert (folder / "LADDER.md").read_text(encoding="utf-8") == render(folder), (
        "results/LADDER.md is stale: nndl ladder report"
    )


# The picture.


def test_the_picture_shows_means_and_seconds_of_what_is_there(
    results: Path, tmp_path: Path
) -> None:
    ax, strip = draw(results).axes
    drawn = {tuple(np.ravel(line.get_xydata()).round(3)) for line in ax.lines}
    assert (0.7, 3.01) in drawn
    assert (1.5, 2.89) in drawn
    assert (3600, 0.2) in drawn
    assert [text.get_text() for text in ax.texts] == ["first-second", "2 x conv-best"]
    assert len(strip.lines) == len(strip.texts) == len(MARKS)
    low, high = ax.get_ylim()
    assert low > high  # accuracy grows upward
    assert not draw(tmp_path / "nothing").axes[0].lines


def test_few_seeds_are_drawn_open_and_not_compared(results: Path, record: dict[str, Any]) -> None:
    def drawn() -> tuple[set[str], int]:
        lines = draw(results).axes[0].lines
        fills = {str(line.get_markerfacecolor()) for line in lines if line.get_marker() == "s"}
        return fills, sum(line.get_color() == "gray" for line in lines)

    assert drawn() == ({"white"}, 0)
    torch = record["environment"] | {"torch": "2.99", "threads": 1}
    for seed in (1, 2):
        twin = record | {"environment": torch, "seed": seed}
        write(results / "ladder" / "first-second" / f"torch-seed-{seed}.json", twin)
    fills, compared = drawn()
    assert "white" not in fills
    assert compared == 1


def test_marks_name_their_authors(results: Path) -> None:
    texts = {text.get_text() for text in draw(results).axes[1].texts}
    assert "99.30  dense, elastic distortions (Simard)" in texts
    assert "99.60  book: one network" in texts


def test_labels_stand_apart_in_their_order() -> None:
    places = np.log10(_apart([1, 0.4, 0.36, 0.35, 0.35, 0.2]))
    assert (np.diff(places) <= -0.045 + 1e-3).all()
    assert places[0] == pytest.approx(0)  # what is far from others stays


# Faults.


def test_a_damaged_record_is_named(results: Path) -> None:
    path = results / "ladder" / "first-second" / "seed-1.json"
    path.write_text("{}")
    with pytest.raises(
        ValueError, match=r"seed-1\.json is not a record of the ladder .*: delete it"
    ):
        render(results)
    path.unlink()
    write(results / "ladder" / "tried.json", [{"what": "Adam"}])
    with pytest.raises(ValueError, match=r"tried\.json .*: correct it"):
        load_tried(results / "ladder")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["settings"].update(eta=7.0), "eta 7.0, not 0.3"),
        (lambda r: r.update(images=50_000), "images 50000, not 60000"),
        (lambda r: r.update(network="Network(784 - Dense(10, softmax))"), "network Network"),
        (lambda r: r.update(recipe="fast-conv"), "recipe fast-conv, not first-second"),
        (lambda r: r.update(distortion="RandomShift(pixels=1)"), "distortion RandomShift"),
        (lambda r: r.update(plain=1), "plain 1, not 0"),
    ],
)
def test_runs_of_another_recipe_than_that_of_today_are_refused(
    results: Path, record: dict[str, Any], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    other = copy.deepcopy(record)
    change(other)
    write(results / "ladder" / "first-second" / "seed-2.json", other)
    with pytest.raises(ValueError, match=rf"seed-2\.json is not of the recipe .*{message}"):
        render(results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["environment"].pop("cpu"), "its environment must have the keys nndl, python"),
        (lambda r: r.update(correct=10_001), "10,001 of 10,000 images are correct"),
        (lambda r: r.update(seed=3), "seed-2.json is of seed 3: rename it, or delete it"),
    ],
)
def test_a_record_that_cannot_be_right_is_refused(
    results: Path, record: dict[str, Any], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    other = copy.deepcopy(record) | {"seed": 2}
    change(other)
    write(results / "ladder" / "first-second" / "seed-2.json", other)
    with pytest.raises(ValueError, match=message):
        render(results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"member_correct": []}, "needs a result of each member"),
        ({"members": [0, 0]}, "needs a result of each member"),
        ({"members": [], "member_correct": []}, "needs a result of each member"),
        ({"member_correct": [9969, 20_000]}, "20,000 of 10,000 images are correct"),
        ({"recipe": "fast-conv"}, "recipe fast-conv, not conv-best"),
        ({"plain": 2}, "plain 2, not 1"),
    ],
)
def test_the_record_of_an_ensemble_that_cannot_be_right_is_refused(
    results: Path, change: dict[str, Any], message: str
) -> None:
    path = results / "ladder" / "ensemble-conv-best.json"
    write(path, json.loads(path.read_text()) | change)
    with pytest.raises(ValueError, match=rf"{message}.* and run `nndl ladder ensemble conv-best`"):
        load_ensemble(results / "ladder", "conv-best")


def test_a_record_without_its_settings_is_refused(results: Path) -> None:
    path = results / "ladder" / "first-second" / "seed-0.json"
    write(path, json.loads(path.read_text()) | {"settings": {}})
    with pytest.raises(ValueError, match=r"eta None, not 0\.3.* run `nndl ladder run first-secon"):
        render(results)


def test_a_twin_of_another_recipe_is_to_be_run_by_the_benchmark(results: Path) -> None:
    path = results / "ladder" / "first-second" / "torch-seed-0.json"
    write(path, json.loads(path.read_text()) | {"plain": 5})
    with pytest.raises(ValueError, match=r"run `python benchmarks/ladder_torch.py first-second`"):
        render(results)


# Ensembles, and the commands.


def test_an_ensemble_of_trained_networks_is_measured(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    test = synthetic_digits(30, 0)
    monkeypatch.setattr(ensemble, "load_mnist", lambda dtype: (None, None, test))
    nets = [RECIPES["first-second"].network(rng=seed) for seed in range(3)]
    for seed, net in zip((0, 1, 10), nets, strict=True):
        path = network_path(results, "first-second", seed)
        path.parent.mkdir(parents=True)
        save(net, path, recipe="first-second", seed=seed)
    seeds = ["--seeds", "10", "0", "1", "0"]
    assert command.main(["ensemble", "first-second", *seeds, "--results", str(results)]) == 0
    found = json.loads((results / "ladder" / "ensemble-first-second.json").read_text())
    assert found["members"] == [0, 1, 10]
    assert found["seconds"] == 2.1
    right = [int((net.predict(test.images) == test.labels).sum()) for net in nets]
    assert found["member_correct"] == right
    mean = np.mean([net.predict_proba(test.images) for net in nets], axis=0)
    assert found["correct"] == (mean.argmax(axis=1) == test.labels).sum()
    assert "3 networks" in capsys.readouterr().out
    assert "3 of `first-second`" in render(results)
    save(nets[0], path, recipe="first-second", seed=1)
    with pytest.raises(ValueError, match=r"must be the network of first-second, seed 10, but"):
        ensemble.run(results, "first-second", [0, 10])


def test_an_ensemble_of_what_has_not_been_trained_is_refused(results: Path) -> None:
    """Each message names the command that helps, for this folder of results."""
    here = f"--results {results}`"
    record = results / "ladder" / "first-second" / "seed-0.json"
    again = f"delete {record} and run `nndl ladder run first-second --seeds 0 {here}, or give"
    with pytest.raises(ValueError, match="seed 0 of first-second has a record, but no") as found:
        ensemble.run(results, "first-second")
    assert again in str(found.value)
    with pytest.raises(ValueError, match="seed 7 of first-second has no record: run") as found:
        ensemble.run(results, "first-second", [7])
    assert str(found.value).endswith(f"`nndl ladder run first-second --seeds 7 {here}")
    with pytest.raises(ValueError, match="conv-best has no seed yet") as found:
        ensemble.run(results, "conv-best")
    assert str(found.value).endswith(f"`nndl ladder run conv-best {here}")


def test_the_usual_folder_of_results_is_not_repeated_in_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"run `nndl ladder run conv-best --seeds 3`$"):
        ensemble.run(Path("results"), "conv-best", [3])


def test_the_command_writes_page_and_picture(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["report", "--results", str(results)]) == 0
    assert (results / "LADDER.md").read_text(encoding="utf-8") == render(results)
    assert (results / "figures" / "ladder.svg").read_bytes().startswith(b"<?xml")
    assert "LADDER.md" in capsys.readouterr().out
