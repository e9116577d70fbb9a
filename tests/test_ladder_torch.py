"""The PyTorch twin of a recipe takes the same steps as nndl."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nndl import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    MaxPool,
    Network,
    Settings,
    identity,
    relu,
    synthetic_digits,
    train,
)
from nndl.data.augment import RandomShift
from nndl.initializers import he
from nndl.ladder.run import as_record
from nndl.layers import Layer
from nndl.recipes import RECIPES, Recipe
from nndl.training import State

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def ladder_torch() -> Iterator[Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
        import ladder_torch

        yield ladder_torch
    torch.set_num_threads(threads)


def dense() -> list[Layer]:
    return [Dense(30, identity, he), BatchNorm(relu)]


def conv() -> list[Layer]:
    first = [Conv(4, 5, identity, pool=2, init=he), BatchNorm(relu)]
    return [*first, Conv(6, 3, identity, init=he), BatchNorm(relu), MaxPool(2), *dense()]


BOTH = Settings(
    *(2, 10, 0.1, 5.0),
    mu=0.9,
    nesterov=True,
    schedule="cosine",
    warmup=0.5,
    label_smoothing=0.1,
    average=0.02,
)
PLAIN = Settings(2, 15, 0.1, 5.0, mu=0.5)  # the last mini-batch of an epoch is smaller


def recipe_of(layers: Any, settings: Settings) -> Recipe:
    shift = RandomShift(2) if settings is BOTH else None
    numbers = {"goal": 0.0, "seconds": 0.0, "n": 1, "why": ""}
    return Recipe("test", "test", layers, settings, **numbers, distortion=shift, plain=1)


def flat(twin: Any) -> list[Any]:
    return [p.detach().numpy().ravel() for p in twin.state]


@pytest.mark.parametrize("settings", [BOTH, PLAIN], ids=["all of it", "plain momentum"])
@pytest.mark.parametrize("layers", [dense, conv])
def test_twenty_steps_agree_with_those_of_nndl(
    ladder_torch: Any, layers: Any, settings: Settings
) -> None:
    recipe, training = recipe_of(layers, settings), synthetic_digits(100, 0)
    # From other weights, a pool can have two largest inputs that are equal but for rounding: then
    # the two take different ones, and part.
    net = recipe.network(rng=0)
    twin = ladder_torch.train(recipe, net, training, np.random.default_rng(1))
    transform = recipe.transform()

    def after_epoch(net: Network, state: State) -> None:
        if transform is not None:
            transform.epoch = len(state.history)

    initial = [p.copy() for p in net.parameters]
    streams = np.random.default_rng(1)
    train(net, training, settings, rng=streams, transform=transform, after_epoch=after_epoch)
    moved = [float(abs(p - q).max()) for p, q in zip(net.parameters, initial, strict=True)]
    # In the order of PyTorch: w and b of each layer, then the running averages.
    ours: list[Any] = []
    for layer in net.layers:
        if isinstance(layer, Conv):
            ours += [layer.filters.ravel(), layer.b]
        elif layer.w is not None:
            ours += [layer.w, layer.b]
    ours += [getattr(layer, name) for layer in net.layers for name in layer.statistics]
    assert max(moved) > 0.05
    for p, q in zip(ours, flat(twin), strict=True):
        np.testing.assert_allclose(q, p.ravel(), atol=1e-3)
    x = synthetic_digits(50, 1).images
    twin.modules.eval()
    z = twin.outputs(x).detach().numpy()
    np.testing.assert_allclose(z, net.outputs(x.T)[0].T, atol=1e-3)


def test_dropout_drops_as_the_book_does(ladder_torch: Any) -> None:
    net = recipe_of(lambda: [Dropout(0.25), *dense()], PLAIN).network(rng=0)
    twin = ladder_torch.Twin(net, PLAIN, 100)
    first = twin.modules[0]
    x = torch.ones(100, 100)
    kept = first(x)
    assert sorted(kept.unique().tolist()) == [0, 1]  # not scaled up
    assert kept.mean().item() == pytest.approx(0.75, abs=0.02)
    images = synthetic_digits(20, 0).images
    twin.modules.eval()
    z = twin.outputs(images).detach().numpy()
    np.testing.assert_allclose(z, net.outputs(images.T)[0].T, rtol=1e-4, atol=1e-4)


def test_a_run_writes_what_a_run_of_nndl_writes(
    ladder_torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [synthetic_digits(n, seed) for seed, n in enumerate((150, 50, 40))]
    monkeypatch.setattr(ladder_torch, "load_mnist", lambda dtype: sets)
    original = RECIPES["five-seconds"]
    settings = dataclasses.replace(original.settings, mini_batch_size=10)
    monkeypatch.setitem(
        RECIPES, "five-seconds", dataclasses.replace(original, settings=settings, images=160)
    )
    ladder_torch.run(tmp_path, "five-seconds", 7)
    path = tmp_path / "ladder" / "five-seconds" / "torch-seed-7.json"
    record = json.loads(path.read_text())
    net = RECIPES["five-seconds"].network(rng=0)
    alike = as_record("five-seconds", 7, net, record["correct"], 40, 160, record["seconds"])
    alike["environment"] |= {"torch": torch.__version__, "threads": 1}
    assert record == alike
    assert 20 < record["correct"] <= 40  # four epochs of 16 steps
    path.write_text("kept")
    ladder_torch.run(tmp_path, "five-seconds", 7)
    assert path.read_text() == "kept"


def test_a_network_that_has_no_twin_is_refused(ladder_torch: Any) -> None:
    with pytest.raises(ValueError, match="softmax outputs"):
        ladder_torch.Twin(Network([784, 10], rng=0), PLAIN, 100)
