"""Desired outputs of shape (n, k): several labels of an image, and real values."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nndl import accuracy, confusion_matrix, evaluate, synthetic_digits
from nndl.activations import identity, tanh
from nndl.costs import Cost, cross_entropy, log_likelihood, quadratic
from nndl.data import Dataset, split
from nndl.network import Network
from nndl.storage import load_checkpoint, save_checkpoint
from nndl.training import Settings, State, train
from nndl.training.metrics import Score, mistakes

IMAGES = np.random.default_rng(0).random((30, 4)).astype(np.float32)
REAL = np.random.default_rng(1).normal(size=(30, 2))
SEVERAL = (REAL > 0).astype(np.float32)


def test_several_labels_of_an_image_are_learned(capsys: pytest.CaptureFixture[str]) -> None:
    digits = synthetic_digits(700, 0)
    labels = np.stack([digits.labels % 2 == 1, digits.labels > 4, digits.labels % 3 == 0], axis=1)
    data = Dataset(digits.images, labels.astype(np.float32), "odd, large, divisible by 3")
    net = Network([784, 30, 3], rng=0)  # sigmoid outputs, cross-entropy
    history = train(
        net, data[:600], Settings(8, 10, 0.5, mu=0.5), validation=data[600:], rng=0, progress=True
    )
    assert history["validation_accuracy"][-1] > 0.5  # the most frequent labels would give 0.2
    predicted = net(data.images[600:].T).T > 0.5
    right = (predicted == labels[600:]).all(axis=1)
    assert history["validation_correct"][-1] == right.sum()
    assert accuracy(net, data[600:]) == right.mean()
    assert "validation " in capsys.readouterr().out
    assert "3 for each image" in data._repr_html_()


def test_real_values_are_learned_and_have_no_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((400, 2))
    y = np.stack([np.sin(3 * x[:, 0]), x[:, 0] * x[:, 1] - 2], axis=1)
    data = Dataset(x, y, "two functions")
    settings = Settings(30, 10, 0.1, mu=0.9, patience=20, schedule="cosine")
    layers = {"activation": tanh, "output": identity, "cost": quadratic}
    net, states = Network([2, 20, 2], **layers, rng=0), list[Any]()

    def keep(net: Network, state: State) -> None:
        states.append(state.best_cost)
        if len(states) == 5:
            save_checkpoint(tmp_path / "five.npz", net, state, settings, {"training": data})

    more = {"validation": data[300:], "progress": True}
    history = train(net, data[:300], settings, rng=0, after_epoch=keep, **more)
    assert history["validation_cost"][-1] < 0.001 < 0.1 < history["validation_cost"][0]
    assert not [key for key in history.epochs if "accuracy" in key or "correct" in key]
    assert history.best_epoch == np.argmin(history["validation_cost"])
    assert states[-1] == min(history["validation_cost"])
    assert "validation cost " in capsys.readouterr().out
    back, state, found = load_checkpoint(tmp_path / "five.npz", {"training": data})
    again = train(back, data[:300], found, state=state, **more)
    assert again["validation_cost"] == history["validation_cost"]

    score = evaluate(net, data)
    assert score.cost == pytest.approx(0.5 * np.square(net(x.T).T - y).sum(axis=1).mean(), rel=1e-5)
    for read in (lambda: score.accuracy, lambda: score.correct):
        with pytest.raises(ValueError, match="no accuracy: use the cost"):
            read()
    for measure in (accuracy, confusion_matrix, mistakes):
        with pytest.raises(ValueError, match=f"{measure.__name__} needs integer labels"):
            measure(net, data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_is_that_of_backprop_in_the_order_of_the_images(dtype: type) -> None:
    data = Dataset(IMAGES, REAL)
    net = Network([4, 3, 2], output=identity, cost=quadratic, rng=0, dtype=dtype)
    twin = copy.deepcopy(net)
    order = np.random.default_rng(2).permutation(30)
    list(net.sgd(data, 1, 8, 0.5, order=lambda n: order))
    for i in range(0, 30, 8):
        rows = order[i : i + 8]
        twin.update_mini_batch(IMAGES[rows].T, REAL[rows].T, 0.5)
    for p, q in zip(net.parameters, twin.parameters, strict=True):
        assert p.tobytes() == q.tobytes()


def test_one_output_learns_xor() -> None:
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    xor = Dataset(corners, np.array([[0.0], [1.0], [1.0], [0.0]]))
    net = Network([2, 4, 1], rng=0)
    list(net.sgd(xor, 500, 4, 5.0, rng=0))
    assert evaluate(net, xor).accuracy == 1


def test_parts_and_repetitions_keep_rows_together() -> None:
    data = Dataset(IMAGES, REAL)
    np.testing.assert_array_equal(data[4:9].labels, REAL[4:9])
    twice = data.repeated(2, np.concatenate([IMAGES, IMAGES]), "twice")
    np.testing.assert_array_equal(twice.labels, np.concatenate([REAL, REAL]))
    parts = split(data, 10)
    rows = [np.flatnonzero((image == IMAGES).all(axis=1))[0] for image in parts[1].images]
    np.testing.assert_array_equal(parts[1].labels, REAL[rows])
    other = REAL.copy()
    other[0, 0] += 1
    assert data.digest != Dataset(IMAGES, other).digest
    assert data.digest == Dataset(IMAGES, REAL.copy()).digest


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (REAL[:-1], r"shape \(30, k\), a row for each image, but have the shape \(29, 2\)"),
        (REAL[:, :0], r"have the shape \(30, 0\)"),
        (np.full((30, 2), np.nan), "row 0 holds NaN or infinity"),
        (np.eye(3)[np.arange(30) % 3], r"one-hot labels become integers by labels\.argmax"),
        (SEVERAL.astype(int), r"several labels of an image are floats, labels\.astype"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset(IMAGES, labels)


@pytest.mark.parametrize("cost", [cross_entropy, log_likelihood])
def test_these_costs_need_outputs_from_0_to_1(cost: Cost) -> None:
    net, data = Network([4, 2], cost=cost), Dataset(IMAGES, REAL)
    for use in (lambda: net.sgd(data, 1, 8, 0.5), lambda: evaluate(net, data)):
        with pytest.raises(ValueError, match=r"cost needs desired outputs from 0 to 1.*quadratic"):
            use()
    list(net.sgd(Dataset(IMAGES, SEVERAL), 1, 8, 0.5))


def test_outputs_must_fit_the_network_and_have_no_smoothing() -> None:
    data = Dataset(IMAGES, SEVERAL)
    with pytest.raises(ValueError, match=r"has 3 outputs, but .* has 2 desired outputs for each"):
        train(Network([4, 3]), data, Settings(1))
    with pytest.raises(ValueError, match="label_smoothing is for integer labels"):
        train(Network([4, 2]), data, Settings(1, label_smoothing=0.1))


def test_scores_count_images_with_all_labels_right() -> None:
    net = Network([2, 2], rng=0)
    net.weights[0][...], net.biases[0][...] = 10 * np.eye(2), -5
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    wrong = corners.copy()
    wrong[0, 0], wrong[1] = 1, [1, 0]
    assert evaluate(net, Dataset(corners, corners)).correct == 4
    assert evaluate(net, Dataset(corners, wrong)).correct == 2
    assert Score(0.5, 3, 4).accuracy == 0.75


@pytest.mark.parametrize("cost", [cross_entropy, log_likelihood])
def test_desired_outputs_above_1_are_refused_where_they_are_probabilities(cost: Cost) -> None:
    net = Network([4, 2], cost=cost, rng=0)
    data = Dataset(IMAGES, 2 * np.abs(REAL) + 1)
    with pytest.raises(ValueError, match="needs desired outputs from 0 to 1"):
        evaluate(net, data)
