"""Schedules: their values, the rate at every step, and resuming within an epoch."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nndl.batches
from nndl.data import Dataset
from nndl.network import Network
from nndl.schedules import SCHEDULES, scheduled
from nndl.storage import load_checkpoint, save_checkpoint
from nndl.training import Settings, State, train

pytestmark = pytest.mark.filterwarnings("ignore:.* which is chance:UserWarning")


def draw(seed: int, n: int = 40) -> Dataset:
    rng = np.random.default_rng(seed)
    return Dataset(rng.random((n, 5)).astype(np.float32), rng.integers(0, 3, n))


def fresh() -> Network:
    return Network([5, 6, 3], rng=1, dtype=np.float64)


def values(net: Network) -> bytes:
    return b"".join(p.tobytes() for p in net.parameters)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0]),
        ("one-cycle", [0.04, 0.84, 0.5 / 0.7, 0.25 / 0.7, 0]),
    ],
)
def test_the_values_of_the_schedules(name: str, expected: list[float]) -> None:
    found = [SCHEDULES[name](progress) for progress in (0, 0.25, 0.5, 0.75, 1)]
    np.testing.assert_allclose(found, expected, atol=1e-15)
    assert max(SCHEDULES[name](k / 100) for k in range(101)) == pytest.approx(1)


def test_warm_up_rises_to_eta_and_leaves_the_rest_to_the_schedule() -> None:
    rate = scheduled(0.8, "linear", 6, 2.0)
    found = [rate(epoch) for epoch in (0, 0.5, 1, 2, 3, 5)]
    np.testing.assert_allclose(found, [0, 0.2, 0.4, 0.8, 0.6, 0.2], rtol=1e-15)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(3, 7, 0.8, mu=0.5, schedule="cosine", warmup=0.5),
        Settings(3, 7, 0.8, lmbda=0.1, schedule="linear"),
        Settings(3, 7, lambda epoch: 1 / (1 + epoch)),
    ],
)
def test_the_rate_of_every_step_is_that_of_the_schedule(settings: Settings) -> None:
    data, net, twin = draw(1), fresh(), fresh()
    history = train(net, data, settings, order=np.arange)
    assert history["eta"] == [settings.rate(k + 0.5) for k in range(3)]
    x, start = data.images.T, [*range(0, 40, 7)]
    for k in range(3):
        for i in start:
            rate, part = settings.rate(k + i / 40), slice(i, i + 7)
            if rate == 0:  # the first step of the warm-up
                continue
            numbers = rate, settings.lmbda, 40
            twin.update_mini_batch(x[:, part], data.labels[part], *numbers, mu=settings.mu)
    np.testing.assert_allclose(
        np.concatenate([p.ravel() for p in net.parameters]),
        np.concatenate([p.ravel() for p in twin.parameters]),
        rtol=1e-12,
    )


def test_a_schedule_without_steps_is_the_constant_rate_to_the_bit() -> None:
    nets = fresh(), fresh()
    for net, eta in zip(nets, (0.5, lambda epoch: 0.5), strict=True):
        train(net, draw(1), Settings(3, 7, eta, mu=0.5, lmbda=0.1), rng=0)
    assert values(nets[0]) == values(nets[1])


def decreasing(epoch: float) -> float:
    return 0.5 / (1 + epoch)


@pytest.mark.parametrize(
    "settings",
    [Settings(4, 10, 0.5, schedule="one-cycle"), Settings(4, 10, decreasing, mu=0.5)],
)
def test_a_scheduled_run_resumes_within_an_epoch_to_the_same_bits(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nndl.batches, "CHUNK", 20)
    data, path, whole = draw(4, 70), tmp_path / "checkpoint.npz", fresh()

    def keep(net: Network, state: State) -> None:
        if (len(state.history), state.done) == (2, 40):
            save_checkpoint(path, net, state, settings)

    more: dict[str, Any] = {"checkpoint_seconds": 0.0}
    history = train(whole, data, settings, rng=2, checkpoint=keep, **more)
    net, state, found = load_checkpoint(path)
    if callable(settings.eta):
        with pytest.raises(ValueError, match=r"was a function, decreasing, .* pass it again"):
            train(*copy.deepcopy((net, data, found)), state=copy.deepcopy(state))
        found = replace(found, eta=decreasing)
    assert found == settings
    again = train(net, data, found, state=state)
    assert values(net) == values(whole)
    assert again["eta"] == history["eta"]
    assert again.settings == history.settings == settings.record()


class Rate:
    """A learning rate that is an object."""

    def __call__(self, epoch: float) -> float:
        return 0.5 - epoch / 100


def test_a_function_of_any_kind_has_a_name_that_another_process_knows() -> None:
    for eta, name in ((partial(decreasing), "decreasing"), (Rate(), "Rate")):
        assert Settings(eta=eta).record()["eta"] == name


def test_a_resumed_run_must_have_the_same_schedule_and_epochs() -> None:
    settings = Settings(4, 7, 0.5, schedule="cosine")
    kept: list[tuple[Network, State]] = []
    train(fresh(), draw(1), settings, after_epoch=lambda *both: kept.append(copy.deepcopy(both)))
    for change, says in (
        ({"schedule": "linear"}, "schedule 'cosine', not 'linear'"),
        ({"epochs": 9}, "epochs 4, not 9"),
        ({"schedule": "constant", "eta": decreasing}, "eta 0.5, not 'decreasing'"),
    ):
        net, state = copy.deepcopy(kept[0])
        with pytest.raises(ValueError, match=says):
            train(net, draw(1), replace(settings, **change), state=state)
