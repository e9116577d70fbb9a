"""The average of the weights: its values, what it is used for, resuming and divergence."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nndl.batches
from nndl._typing import Array
from nndl.activations import identity
from nndl.costs import quadratic
from nndl.data import Dataset
from nndl.network import Network
from nndl.storage import load_checkpoint, save_checkpoint
from nndl.training import Settings, State, train
from nndl.training.metrics import evaluate
from nndl.validation import DivergedError

pytestmark = pytest.mark.filterwarnings("ignore:.* which is chance:UserWarning")

SETTINGS = Settings(3, 7, 0.5, mu=0.5, average=0.2)


def draw(seed: int, n: int = 40) -> Dataset:
    rng = np.random.default_rng(seed)
    return Dataset(rng.random((n, 5)).astype(np.float32), rng.integers(0, 3, n))


TRAINING, VALIDATION = draw(1), draw(2)


def fresh(**more: Any) -> Network:
    return Network([5, 6, 3], rng=1, **more)


def values(arrays: Network | tuple[Array, ...]) -> bytes:
    arrays = arrays.parameters if isinstance(arrays, Network) else arrays
    return b"".join(p.tobytes() for p in arrays)


@pytest.mark.parametrize("chunk", [7, 14])
def test_the_average_weights_steps_by_powers_and_chunks_by_their_steps(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nndl.batches, "CHUNK", chunk)
    seen: list[tuple[int, Array]] = []  # steps and weights; mini-batches of 7, ..., 7 and 5

    def look(net: Network, state: State) -> None:
        steps = 6 * len(state.history) + state.done // 7
        seen.append((steps, net.weights[0].copy()))

    net = fresh(dtype=np.float64)
    train(net, TRAINING, SETTINGS, rng=2, checkpoint=look, after_epoch=look, checkpoint_seconds=0)
    last = seen[-1][0]
    assert last == 18
    total, expected, before = 0.0, np.zeros((6, 5)), 0
    for steps, w in seen:
        share = sum(0.8 ** (last - i) for i in range(before + 1, steps + 1))
        expected, total, before = expected + share * w, total + share, steps
    np.testing.assert_allclose(net.weights[0], expected / total, rtol=1e-12)


def test_the_average_is_measured_and_kept_and_training_is_as_without() -> None:
    raw: list[bytes] = []
    kept: list[State] = []

    def look(net: Network, state: State) -> None:
        raw.append(values(net))
        kept.append(copy.deepcopy(state))

    net, plain = fresh(), fresh()
    history = train(net, TRAINING, SETTINGS, validation=VALIDATION, rng=2, after_epoch=look)
    states: list[bytes] = []
    train(
        plain,
        TRAINING,
        replace(SETTINGS, average=0.0),
        rng=2,
        after_epoch=lambda net, _: states.append(values(net)),
    )
    assert raw == states
    assert values(net) == values(kept[-1].average) != raw[-1]
    assert history["validation_cost"][-1] == evaluate(net, VALIDATION).cost


def test_the_best_weights_are_those_of_an_average() -> None:
    kept: list[State] = []
    settings = replace(SETTINGS, epochs=9, patience=2)
    net = fresh()
    look = lambda net, state: kept.append(copy.deepcopy(state))  # noqa: E731
    history = train(net, TRAINING, settings, validation=VALIDATION, rng=2, after_epoch=look)
    assert history.best_epoch is not None
    assert values(net) == values(kept[history.best_epoch].average)


@pytest.mark.parametrize("done", [0, 20])
def test_a_run_resumes_to_the_same_bits(
    done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nndl.batches, "CHUNK", 20)
    settings = replace(SETTINGS, mini_batch_size=10, schedule="cosine")
    path, whole = tmp_path / "checkpoint.npz", fresh()

    def keep(net: Network, state: State) -> None:
        if (len(state.history), state.done) == (2, done):
            save_checkpoint(path, net, state, settings)

    more: dict[str, Any] = {"validation": VALIDATION, "checkpoint_seconds": 0.0}
    history = train(whole, TRAINING, settings, rng=2, checkpoint=keep, after_epoch=keep, **more)
    net, state, found = load_checkpoint(path)
    again = train(net, TRAINING, found, state=state, **more)
    assert values(net) == values(whole)
    assert again["validation_cost"] == history["validation_cost"]


@pytest.mark.parametrize("saved", [False, True])
def test_a_finished_run_goes_on_from_its_weights_not_from_the_average(
    saved: bool, tmp_path: Path
) -> None:
    longer, states = replace(SETTINGS, epochs=5), list[State]()
    whole, net = fresh(), fresh()
    train(whole, TRAINING, longer, rng=2)
    keep = lambda net, state: states.append(state)  # noqa: E731
    train(net, TRAINING, SETTINGS, rng=2, after_epoch=keep)
    state = states[-1]
    if saved:
        save_checkpoint(tmp_path / "checkpoint.npz", net, state, SETTINGS)
        net, state, _ = load_checkpoint(tmp_path / "checkpoint.npz")
    train(net, TRAINING, longer, state=state)
    assert values(net) == values(whole)


def test_divergence_leaves_the_average_of_the_last_complete_epoch() -> None:
    net = fresh(cost=quadratic, output=identity)
    states: list[State] = []

    def spoil(images: Array, rng: np.random.Generator) -> Array:
        if len(states) == 2:
            net.weights[0][0, 0] = np.nan
        return images

    with pytest.raises(DivergedError):
        train(
            net,
            TRAINING,
            SETTINGS,
            rng=2,
            transform=spoil,
            after_epoch=lambda _, state: states.append(copy.deepcopy(state)),
        )
    assert len(states) == 2
    assert values(net) == values(states[-1].average)
