"""Replays of the author's runs give his published numbers, digit for digit."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from nndl.data import Dataset
from nndl.network import Network
from nndl.reproduction import replay as module
from nndl.reproduction.published import published
from nndl.reproduction.replay import REPLAYS, AuthorsRandom, agreement, average_darkness, replay

Sets = tuple[Dataset, Dataset, Dataset]


def test_classification_by_average_darkness_gives_the_books_count(mnist: Sets) -> None:
    assert average_darkness(mnist[0], mnist[2]) == 2225


@pytest.mark.parametrize(("name", "epochs"), [("c3-overfit-1000", 21), ("c3-reg-1000", 21)])
def test_a_replay_gives_the_first_epochs_of_the_authors_curves(
    mnist: Sets, monkeypatch: pytest.MonkeyPatch, name: str, epochs: int
) -> None:
    program = REPLAYS[name]
    short = replace(program, runs=(replace(program.runs[0], epochs=epochs),))
    monkeypatch.setitem(module.REPLAYS, name, short)
    curve = replay(name, mnist)[""]
    series = published()[name]
    sampled = [e for e in series["epochs"] if e < epochs]
    assert len(sampled) >= 8
    for key, theirs in series["curves"][""].items():
        tolerance = 1e-9 if "cost" in key else 0
        ours = np.array(curve[key])[sampled]
        np.testing.assert_allclose(ours, theirs[: len(sampled)], rtol=0, atol=tolerance)


def test_the_shuffle_is_that_of_python_2() -> None:
    order, theirs = list(range(10)), list(range(10))
    AuthorsRandom().shuffle(order)
    random.Random(12345678).shuffle(theirs)
    assert sorted(order) == list(range(10))
    assert order != theirs


def test_biases_are_drawn_before_weights() -> None:
    net = Network([3, 2, 1], dtype=np.float64)
    AuthorsRandom().draw(net, large=False)
    stream = np.random.RandomState(12345678)
    np.testing.assert_array_equal(net.biases[0][:, 0], stream.randn(2))
    np.testing.assert_array_equal(net.biases[1][:, 0], stream.randn(1))
    np.testing.assert_array_equal(net.weights[0], stream.randn(2, 3) / np.sqrt(3))


def test_agreement_counts_differences_and_gives_the_first_epoch() -> None:
    series = published()["c3-winit-30"]
    curves = {
        name: {key: list(values) for key, values in quantities.items()}
        for name, quantities in series["curves"].items()
    }
    assert agreement("c3-winit-30", curves).differ == 0
    curves["old"]["evaluation_correct"][17] += 1
    found = agreement("c3-winit-30", curves)
    assert (found.values, found.differ, found.first_difference) == (60, 1, {"old": 17})
    curves["old"]["evaluation_correct"][3] = float("nan")
    assert agreement("c3-winit-30", curves).first_difference == {"old": 3}
    curves["new"]["evaluation_correct"].pop()
    with pytest.raises(ValueError, match=r"up to epoch 29, .* got \{.*: replay it again"):
        agreement("c3-winit-30", curves)


def test_an_unknown_replay_is_refused() -> None:
    with pytest.raises(ValueError, match="no replay is named 'c3-nothing'"):
        replay("c3-nothing")
