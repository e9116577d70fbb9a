"""Recipes, `nndl train --recipe`, and the runs of the ladder."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import nndl
from nndl import Network, Settings
from nndl.cli import ladder, train
from nndl.cli.config import Config
from nndl.cli.errors import UsageError
from nndl.dataset import Dataset
from nndl.ladder import run as ladder_run
from nndl.recipes import RECIPES, Fading, Recipe
from nndl.storage import load, load_history
from nndl.training import State
from nndl.training.metrics import evaluate


def digits(n: int, seed: int) -> Dataset:
    """Return images whose label is the row of pixels that is lit."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    images = rng.integers(0, 30, (n, 28, 28)).astype(np.uint8)
    images[np.arange(n), 2 * labels + 4] = 255
    return Dataset(images, labels)


SETS = digits(90, 0), digits(10, 1), digits(50, 2)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe of three short epochs, of which the last is without distortion."""
    original = RECIPES["conv-minutes"]
    settings = dataclasses.replace(original.settings, epochs=3, mini_batch_size=10)
    recipe = dataclasses.replace(original, settings=settings, n=2)
    monkeypatch.setitem(RECIPES, "conv-minutes", recipe)
    monkeypatch.setattr(ladder_run, "load_mnist", lambda dtype: SETS)
    monkeypatch.setattr(train, "load_data", lambda *_: SETS)
    return recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_describes_a_network_within_its_own_settings(name: str) -> None:
    recipe = RECIPES[name]
    net = recipe.network(rng=0)
    assert net.n_out == 10
    assert recipe.name == name
    assert recipe.why.endswith(".")
    assert recipe.settings.rate(0.5) > 0
    assert recipe.plain < recipe.settings.epochs
    first, second = recipe.layers(), recipe.layers()
    assert not set(map(id, first)) & set(map(id, second))


def test_a_distortion_ends_before_the_last_epochs() -> None:
    images, rng = np.zeros((2, 4), np.float32), np.random.default_rng(0)
    fading = Fading(lambda images, rng: images + 1, until=2)
    seen = []
    for fading.epoch in range(4):
        seen.append(fading(images, rng)[0, 0])
    assert seen == [1, 1, 0, 0]
    assert RECIPES["first-second"].transform() is None
    for recipe in RECIPES.values():
        for epochs in (None, 7) if recipe.distortion else ():
            transform = recipe.transform(epochs)
            assert transform is not None
            assert transform.until == (epochs or recipe.settings.epochs) - recipe.plain


def test_flags_that_a_recipe_depends_on_change_with_it() -> None:
    assert Config.from_flags({"recipe": "conv-minutes", "epochs": 9}).warmup == 0.5
    assert Config.from_flags({"recipe": "conv-minutes", "epochs": 36}).warmup == 1.0
    plain = Config.from_flags({"recipe": "first-second", "momentum": 0})
    assert (plain.momentum, plain.nesterov) == (0, False)


@pytest.mark.parametrize("first", [0, 1, 3])
def test_train_tells_a_distortion_which_epoch_it_is(first: int) -> None:
    data = Dataset(np.zeros((20, 4), np.float32), np.arange(20) % 2)
    seen: list[int] = []
    kept: list[tuple[Network, State]] = []

    def distort(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        seen.append(fading.epoch)
        return images

    fading = Fading(distort, until=3)
    settings = Settings(4, 10, 0.1)
    net = Network([4, 2], rng=0)
    keep = lambda net, state: kept.append(copy.deepcopy((net, state)))  # noqa: E731
    nndl.train(net, data, settings, transform=fading, after_epoch=keep, rng=0)
    assert seen == [0, 1, 2]
    if first:
        net, state = kept[first - 1]
        nndl.train(net, data, settings, transform=fading, state=state)
        assert seen[3:] == list(range(first, 3))


def test_the_ladder_records_what_a_recipe_reaches(small: Recipe, tmp_path: Path) -> None:
    assert ladder.main(["run", "conv-minutes", "--results", str(tmp_path)]) == 0
    records = [
        json.loads((tmp_path / f"ladder/conv-minutes/seed-{seed}.json").read_text())
        for seed in (0, 1)
    ]
    net = load(tmp_path / "runs/ladder/conv-minutes/seed-1/network.npz")
    assert records[1]["correct"] == evaluate(net, SETS[2]).correct
    assert records[1]["images"] == 100  # training and validation
    assert records[0]["seed"] == 0
    assert records[0]["seconds"] > 0
    assert records[0]["settings"]["epochs"] == 3
    # Forward, a Dense layer takes a multiplication for each weight; a Conv for each place, too.
    work = 20 * 25 * 24**2 + 40 * 500 * 8**2 + 150 * 640 + 10 * 150
    work += 20 + 40 + 150  # gamma of BatchNorm
    # Three products for each layer; the lowest needs no delta of the layer below.
    assert records[0]["flop"] == 2 * (3 * work - 20 * 25 * 24**2) * 300


def test_a_run_that_is_interrupted_while_it_is_measured_does_not_train_again(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ladder_run, "SAVE_FROM", -1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder_run, "evaluate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ladder_run.run(tmp_path, "conv-minutes", 0, lambda line: None)
    lines: list[str] = []
    ladder_run.run(tmp_path, "conv-minutes", 0, lines.append)
    assert len(lines) == 1  # the result, and no epoch
    assert [p.name for p in (tmp_path / "runs").rglob("*.npz")] == ["network.npz"]


def test_a_seed_that_another_process_has_finished_is_not_run_again(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may finish between the first look for its result and the lock."""
    path = ladder_run.result_path(tmp_path, "conv-minutes", 0)

    def load_slowly(dtype: object) -> tuple[Dataset, ...]:
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        return SETS

    monkeypatch.setattr(ladder_run, "load_mnist", load_slowly)
    monkeypatch.setattr(ladder_run, "_train", None)
    lines: list[str] = []
    ladder_run.run(tmp_path, "conv-minutes", 0, lines.append)
    assert lines == [f"{path}: there already"]


def test_a_run_of_the_ladder_that_is_killed_resumes_to_the_same_bits(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def reports(line: str) -> None:
        if line.startswith("conv-minutes, seed 0: 2 of 3"):
            raise Killed

    monkeypatch.setattr(ladder_run, "SAVE_FROM", -1.0)
    with pytest.raises(Killed):
        ladder_run.run(tmp_path / "a", "conv-minutes", 0, reports)
    for folder in ("a", "b"):
        ladder_run.run(tmp_path / folder, "conv-minutes", 0, lambda line: None)
    ours, theirs = (load(ladder_run.network_path(tmp_path / f, "conv-minutes", 0)) for f in "ab")
    for p, q in zip(ours.state, theirs.state, strict=True):
        np.testing.assert_array_equal(p, q)


def test_a_finished_run_of_the_ladder_is_not_run_again(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = ladder_run.result_path(tmp_path, "conv-minutes", 0)
    path.parent.mkdir(parents=True)
    net = RECIPES["conv-minutes"].network(rng=0)
    record = ladder_run.as_record("conv-minutes", 0, net, 9961, 10_000, 60_000, 231.0)
    path.write_text(json.dumps(record))
    monkeypatch.setattr(ladder_run, "_train", None)
    ladder.main(["run", "conv-minutes", "--seeds", "0", "--results", str(tmp_path)])
    assert "there already" in capsys.readouterr().out
    ladder.main(["list", "--results", str(tmp_path)])
    listed = capsys.readouterr().out
    assert "conv-minutes      1 of  2 seeds: 99.61 % in 231 core-seconds\n" in listed
    assert "first-second      0 of 30 seeds\n" in listed
    assert RECIPES["five-seconds"].why in " ".join(listed.split())


def test_train_takes_a_recipe_and_resumes_it(small: Recipe, tmp_path: Path) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    flags = ["--recipe", "conv-minutes", "--quiet"]
    assert train.main([*flags, "--out", one]) == 0
    history = load_history(tmp_path / "one" / "history.json")
    assert history.settings["epochs"] == 3
    assert history.settings["average"] == 0.003

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fading, "__setattr__", interrupt_at(2))
        with pytest.raises(KeyboardInterrupt):
            train.main([*flags, "--out", two])
    assert train.main(["--resume", two, "--quiet"]) == 0
    ours, theirs = (load(Path(p) / "network.npz") for p in (one, two))
    for p, q in zip(ours.state, theirs.state, strict=True):
        np.testing.assert_array_equal(p, q)


def interrupt_at(epoch: int):
    """Return a __setattr__ that raises when a distortion is told of this epoch."""

    def set_or_raise(self: Fading, name: str, value: object) -> None:
        if name == "epoch" and value == epoch:
            raise KeyboardInterrupt
        object.__setattr__(self, name, value)

    return set_or_raise


def test_settings_of_training_can_be_changed_but_not_the_network_of_a_recipe(
    small: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    flags = ["--recipe", "conv-minutes", "--epochs", "2", "--quiet", "--out", str(out)]
    assert train.main(flags) == 0
    assert len(load_history(out / "history.json")) == 2
    with pytest.raises(UsageError, match="its own network and distortions: omit --hidden"):
        train.main(["--recipe", "conv-minutes", "--hidden", "30"])


def test_a_run_of_the_ladder_is_not_resumed_with_another_recipe(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def reports(line: str) -> None:
        raise Killed

    monkeypatch.setattr(ladder_run, "SAVE_FROM", -1.0)
    with pytest.raises(Killed):
        ladder_run.run(tmp_path, "conv-minutes", 0, reports)
    later = dataclasses.replace(small.settings, eta=0.01)
    for change in ({"settings": later}, {"distortion": None}, {"plain": 2}):
        recipe = dataclasses.replace(small, **change)
        monkeypatch.setitem(RECIPES, "conv-minutes", recipe)
        with pytest.raises(ValueError, match="delete it, and run the recipe again"):
            ladder_run.run(tmp_path, "conv-minutes", 0, lambda line: None)


def test_one_epoch_of_a_recipe_with_warm_up_is_enough_to_try_it(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main(["--recipe", "conv-minutes", "--epochs", "1", "--quiet"]) == 0
    [folder] = (tmp_path / "results" / "runs").iterdir()
    assert folder.name == "unnamed-conv-minutes"
    with pytest.raises(UsageError, match="schedule spans all epochs, 1, which cannot become 2"):
        train.main(["--resume", str(folder), "--epochs", "2"])


def test_a_recipe_distorts_images_in_their_own_shape(
    small: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = tuple(
        Dataset(np.pad(s.images.reshape(-1, 28, 28), ((0, 0), (0, 0), (0, 12))), s.labels)
        for s in SETS
    )
    monkeypatch.setattr(train, "load_data", lambda *_: wide)
    shapes = []
    original = Fading.__call__

    def noted(self: Fading, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        shapes.append(self.distortion.shape)
        return original(self, images, rng)

    monkeypatch.setattr(Fading, "__call__", noted)
    flags = ["--recipe", "conv-minutes", "--epochs", "2", "--quiet", "--out", str(tmp_path / "r")]
    assert train.main(flags) == 0
    assert set(shapes) == {(28, 40)}


def test_every_recipe_has_a_name_of_its_own() -> None:
    assert len(RECIPES) == 7
