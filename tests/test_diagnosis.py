"""Training that stays at chance: each of the usual causes is found, and nothing else is."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from nndl._typing import Array
from nndl.activations import Activation, relu, softmax
from nndl.costs import log_likelihood, quadratic
from nndl.data import Dataset, synthetic_digits
from nndl.layers import Dense
from nndl.network import Network
from nndl.training import History, Settings, train
from nndl.training.diagnosis import diagnose

DIGITS = synthetic_digits(600, 1)
AT_CHANCE = r"training accuracy has stayed at \d+ % or less for 3 epochs, which is chance: "


def trained(data: Dataset, eta: float, epochs: int = 3, **network) -> tuple[Network, History]:
    net = Network([784, 20, 10], rng=1, **network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the causes are warned of as well
        settings = Settings(epochs=epochs, eta=eta)
        return net, train(net, data, settings, monitor={"training": data}, rng=2)


def raw(factor: float) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return Dataset(factor * DIGITS.images, DIGITS.labels)


@pytest.mark.parametrize(
    ("eta", "network", "cause"),
    [
        (1000.0, {"cost": quadratic}, "derivative near 0; .* too large: try 100 instead of 1000"),
        (2.0, {"cost": log_likelihood, "activation": relu}, "derivative near 0; .* too large"),
        (1e-7, {"cost": quadratic}, "hardly changed, .* too small: try 1e-06 instead of 1e-07"),
        (5.0, {"cost": quadratic, "activation": relu}, "rectified outputs are 0, .*output=sigmoid"),
    ],
    ids=["saturated", "dead", "slow", "rectified outputs"],
)
def test_the_cause_in_the_hyper_parameters_is_found(eta, network, cause) -> None:
    net, history = trained(DIGITS, eta, **network)
    before = [p.copy() for p in net.parameters]
    text = diagnose(net, DIGITS, history)
    assert re.match(AT_CHANCE + ".*" + cause, text), text
    for p, q in zip(net.parameters, before, strict=True):
        np.testing.assert_array_equal(p, q)


def test_train_warns_once_of_the_cause() -> None:
    settings = Settings(epochs=6, eta=1e-7)
    with pytest.warns(UserWarning, match="which is chance: .*too small") as caught:
        train(Network([784, 10], rng=1), DIGITS, settings, monitor={"training": DIGITS}, rng=2)
    assert len(caught) == 1


class Temperature(Activation):
    """softmax(z / 2), whose derivative is a matrix."""

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        return softmax(z / 2)

    def delta(self, nabla_a: Array, a: Array) -> Array:
        return softmax.delta(nabla_a, a) / 2


class Falling(Activation):
    """-tanh(z)."""

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        return -np.tanh(z)

    def prime(self, a: Array) -> Array:
        return a * a - 1


@pytest.mark.parametrize("activation", [Temperature(), Falling()])
def test_activations_of_the_readers_own_are_diagnosed(activation: Activation) -> None:
    net = Network([Dense(10, activation)], cost=quadratic, input_shape=784, rng=1)
    with pytest.warns(UserWarning, match="which is chance: .*too small"):
        train(net, DIGITS, Settings(3, eta=1e-7), monitor={"training": DIGITS}, rng=2)


def test_train_does_not_judge_fewer_than_500_images() -> None:
    settings, few = Settings(epochs=3, eta=1e-7), DIGITS[:499]
    history = train(Network([784, 10], rng=1), few, settings, monitor={"training": few}, rng=2)
    assert diagnose(Network([784, 10], rng=1), few, history) is not None  # it would have spoken


def test_raw_pixels_are_found_unless_they_are_uint8() -> None:
    for data, found in (
        (raw(255.0), True),
        (Dataset((255 * DIGITS.images).astype(np.uint8), DIGITS.labels), False),
    ):
        net, history = trained(data, 1e-7)
        history.epochs["training_accuracy"] = [0.1] * 3
        text = diagnose(net, data, history)
        cause = ", which saturates neurons; divide raw pixels by 256"
        assert (cause in text) is found


def test_labels_of_one_class_are_found() -> None:
    data = DIGITS[np.flatnonzero(DIGITS.labels == 7)]
    net, history = trained(data, 0.5)
    assert diagnose(net, data, history).startswith("all labels of the training set are 7, so")


def test_labels_that_do_not_belong_to_the_images_leave_no_usual_cause() -> None:
    net, history = trained(DIGITS, 0.5)
    history.epochs["training_accuracy"] = [0.1, 0.11, 0.1]
    assert "none of the usual causes applies" in diagnose(net, DIGITS, history)


def test_a_network_that_learns_has_no_diagnosis() -> None:
    net, history = trained(DIGITS, 0.5)
    assert diagnose(net, DIGITS, history) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"training_accuracy": [0.1, 0.1, 0.3]},
        {"training_accuracy": [0.3, 0.1, 0.1]},
        {"eta": [0.5, 0.5]},
    ],
    ids=["just learned", "above chance within 3 epochs", "only 2 epochs"],
)
def test_there_is_no_diagnosis_before_3_epochs_at_chance(change) -> None:
    net, history = trained(DIGITS, 1e-7)
    assert diagnose(net, DIGITS, history)
    history.epochs |= change
    assert diagnose(net, DIGITS, history) == ""


def test_chance_is_the_share_of_the_most_frequent_class() -> None:
    rows = np.flatnonzero((DIGITS.labels == 3) | (np.arange(600) < 60))
    data = DIGITS[rows]
    share = (data.labels == 3).mean()
    net, history = trained(data, 1e-7)
    for accuracy, found in ((share, True), (share + 0.05, False)):
        history.epochs["training_accuracy"] = [accuracy] * 3
        assert bool(diagnose(net, data, history)) is found


def test_the_validation_accuracy_is_used_where_nothing_else_was_measured() -> None:
    net, history = trained(DIGITS, 1e-7)
    names = {"training_cost": "validation_cost", "training_accuracy": "validation_accuracy"}
    history.epochs = {names.get(name, name): series for name, series in history.epochs.items()}
    assert diagnose(net, DIGITS, history).startswith("validation accuracy has stayed at")
    history.epochs.pop("validation_accuracy")
    assert diagnose(net, DIGITS, history) == ""


def test_of_many_classes_little_above_chance_is_learning() -> None:
    labels = np.arange(620) % 62
    data, net = Dataset(np.zeros((620, 4), np.float32), labels), Network([4, 62], rng=0)
    series = {"training_cost": [4.1, 4.0, 3.9], "eta": [0.1] * 3}
    for accuracy, learns in ((0.034, True), (0.02, False)):
        history = History(series | {"training_accuracy": [accuracy] * 3})
        text = diagnose(net, data, history)
        assert (text == "") == learns
    assert "stayed at 2.0 % or less" in text
