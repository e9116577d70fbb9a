"""Ensembles and test-time shifts: what they mean, ties, faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nndl import (
    Dataset,
    Ensemble,
    Network,
    accuracy,
    confusion_matrix,
    evaluate,
    identity,
    inference,
    log_likelihood,
    quadratic,
    relu,
    shifted_proba,
    softmax,
    synthetic_digits,
)
from nndl.data.augment import shift
from nndl.ensemble import plurality
from nndl.initializers import large
from nndl.layers import Dense
from nndl.parallel import cores
from nndl.training.metrics import mistakes


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic_digits(60, 0)


def network(seed: int, n_in: int = 784, n_out: int = 10, dtype: type = np.float32) -> Network:
    layers = [Dense(8, relu, large), Dense(n_out, softmax, large)]
    return Network(layers, cost=log_likelihood, input_shape=n_in, rng=seed, dtype=dtype)


def constant(*probabilities: float) -> Network:
    """Return a network of two inputs that gives these probabilities to whatever it sees."""
    net = Network([2, len(probabilities)], cost=log_likelihood, rng=0)
    net.weights[0][...], net.biases[0][:, 0] = 0, np.log(probabilities)
    return net


# Meaning.


def test_the_prediction_is_that_of_the_mean_probability(data: Dataset) -> None:
    nets = [network(seed) for seed in range(3)]
    mean = np.mean([net.predict_proba(data.images) for net in nets], axis=0)
    ensemble = Ensemble(nets)
    np.testing.assert_allclose(ensemble.predict_proba(data.images), mean, rtol=1e-5, atol=1e-7)
    assert (ensemble.predict(data.images) == mean.argmax(axis=1)).all()
    assert (len(ensemble), ensemble.n_in, ensemble.n_out) == (3, 784, 10)
    assert repr(ensemble) == "Ensemble(3 networks, 784 -> 10)"


def test_one_network_sure_of_itself_outweighs_two_that_are_not_but_does_not_outvote_them() -> None:
    ensemble = Ensemble([constant(0.9, 0.1), constant(0.4, 0.6), constant(0.4, 0.6)])
    x = np.zeros((1, 2))
    np.testing.assert_allclose(ensemble.predict_proba(x), [[17 / 30, 13 / 30]], rtol=1e-6)
    assert ensemble.predict(x) == [0]
    assert ensemble.vote(x) == [1]


def test_of_equally_many_votes_those_of_the_earliest_network_count() -> None:
    nets = [constant(0.1, 0.1, 0.8), constant(0.6, 0.3, 0.1), constant(0.2, 0.7, 0.1)]
    x = np.zeros((1, 2))
    assert Ensemble(nets).vote(x) == [2]
    assert Ensemble(nets[::-1]).vote(x) == [1]
    labels = np.array([[1, 5, 0], [2, 6, 0], [2, 5, 3], [1, 6, 3], [0, 6, 3]])
    assert plurality(labels).tolist() == [1, 6, 3]


def test_sigmoid_outputs_are_divided_by_their_sum_as_those_of_a_network(data: Dataset) -> None:
    nets = [Network([784, 10], rng=seed) for seed in range(2)]
    mean = np.mean([net.predict_proba(data.images) for net in nets], axis=0)
    np.testing.assert_allclose(Ensemble(nets).predict_proba(data.images), mean, rtol=1e-5)


@pytest.mark.parametrize("measure", [accuracy, evaluate])
@pytest.mark.parametrize("desired", [[[0.0, 1.0]], [[0.3, 0.7]]])
def test_an_ensemble_refuses_desired_outputs_which_it_would_measure_as_classes(
    measure: Callable[..., Any], desired: Any
) -> None:
    data = Dataset(np.zeros((1, 4)), np.array(desired), "two outputs")
    ensemble = Ensemble([Network([4, 2], rng=0)])
    with pytest.raises(ValueError, match=r"an ensemble needs integer labels.*one by one"):
        measure(ensemble, data)


def test_what_measures_a_network_measures_an_ensemble(data: Dataset) -> None:
    ensemble = Ensemble([network(seed) for seed in range(3)])
    right = ensemble.predict(data.images) == data.labels
    score = evaluate(ensemble, data)
    assert score.correct == right.sum()
    assert accuracy(ensemble, data) == right.mean()
    assert np.trace(confusion_matrix(ensemble, data)) == right.sum()
    assert sorted(mistakes(ensemble, data).index) == np.flatnonzero(~right).tolist()
    of_label = ensemble.predict_proba(data.images)[np.arange(len(data)), data.labels]
    assert score.cost == pytest.approx(-np.log(of_label).mean(), rel=1e-4)


def test_the_cost_is_finite_where_all_networks_rule_a_label_out() -> None:
    net = constant(0.5, 0.5)
    net.biases[0][:, 0] = 500, -500
    wrong = Dataset(np.zeros((1, 2), np.float32), [1])
    assert Ensemble([net, net]).predict_proba(wrong.images).tolist() == [[1, 0]]
    assert 80 < evaluate(Ensemble([net, net]), wrong).cost < 100


def test_members_may_compute_in_different_dtypes(data: Dataset) -> None:
    nets = [network(0), network(1, dtype=np.float64)]
    mixed = Ensemble(nets).predict_proba(data.images)
    assert mixed.dtype == np.float64
    assert Ensemble(nets[:1]).predict_proba(data.images).dtype == np.float32
    np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-6)


def test_inference_runs_in_blocks_on_all_cores_with_the_same_result(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = Ensemble([network(seed) for seed in range(2)])
    whole = ensemble.predict_proba(data.images)
    used: list[int] = []
    monkeypatch.setattr(inference, "IMAGES", 7)
    monkeypatch.setattr(inference, "WORK", 0)
    run = inference.run

    def noted(n: int, part: Callable[[slice], Any], blocks: list[slice]) -> list[Any]:
        used.append(len(blocks))
        return run(n, part, blocks)

    monkeypatch.setattr(inference, "run", noted)
    np.testing.assert_allclose(ensemble.predict_proba(data.images), whole, rtol=1e-6)
    assert sum(used) == 9
    assert max(used) == min(9, cores())


# Test-time shifts.


def test_shifts_average_over_the_image_and_its_four_neighbors(data: Dataset) -> None:
    net, images = network(0), data.images
    for pixels in (1, 2):
        moves = [(0, 0), (pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)]
        mean = np.mean([net.predict_proba(shift(images, *move)) for move in moves], axis=0)
        found = shifted_proba(net, images, pixels)
        np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-7)
        assert found.dtype == np.float32
    assert not np.allclose(found, net.predict_proba(images), atol=1e-3)


def test_an_ensemble_is_shifted_as_its_members_are(data: Dataset) -> None:
    nets = [network(seed) for seed in range(2)]
    mean = np.mean([shifted_proba(net, data.images) for net in nets], axis=0)
    found = shifted_proba(Ensemble(nets), data.images)
    np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-7)


def test_raw_pixels_and_images_that_are_not_square_are_shifted() -> None:
    raw = np.full((3, 6), 128, np.uint8)
    net = network(0, 6, 3)
    found = shifted_proba(net, raw, shape=(2, 3))
    np.testing.assert_allclose(found, shifted_proba(net, raw / 256, shape=(2, 3)), rtol=1e-6)
    with pytest.raises(ValueError, match="square"):
        shifted_proba(net, raw)


def test_images_are_shifted_in_the_shape_that_the_network_has() -> None:
    images = np.random.default_rng(0).random((3, 4 * 8 * 8), np.float32)
    net = Network([Dense(3, softmax)], input_shape=(4, 8, 8), cost=log_likelihood, rng=0)
    found = shifted_proba(net, images)
    np.testing.assert_array_equal(found, shifted_proba(net, images, shape=(4, 8, 8)))
    np.testing.assert_allclose(found, shifted_proba(Ensemble([net]), images), rtol=1e-5)


# Faults.


@pytest.mark.parametrize(
    ("nets", "error", "message"),
    [
        (list, ValueError, r"the list is empty: pass Ensemble\(\[net\]\)"),
        (lambda: network(0), TypeError, r"pass a list of networks: Ensemble\(\[net\]\)"),
        (lambda: [network(0), network(0, n_in=9)], ValueError, "9 -> 10 and 784 -> 10"),
        (lambda: [network(0), network(0, n_out=3)], ValueError, "784 -> 3 and 784 -> 10"),
        (lambda: [network(0), "a.npz"], TypeError, "not of 'a.npz': load"),
    ],
)
def test_what_is_no_ensemble_is_refused(
    nets: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Ensemble(nets())


def test_images_and_pixels_that_do_not_fit_are_refused(data: Dataset) -> None:
    ensemble = Ensemble([network(0)])
    for method in (ensemble.predict, ensemble.predict_proba, ensemble.vote):
        with pytest.raises(ValueError, match=r"images must be numbers of shape \(n, 784\)"):
            method(data.images[0])
    with pytest.raises(TypeError, match=r"pass dataset\.images"):
        shifted_proba(ensemble, data)
    with pytest.raises(ValueError, match="pixels must be a whole number, 1 or more, not 0"):
        shifted_proba(ensemble, data.images, 0)
    with pytest.raises(ValueError, match="the network takes 784 pixels"):
        evaluate(ensemble, Dataset(np.zeros((1, 9), np.float32), [0]))


def test_the_warning_about_raw_pixels_points_to_the_caller_once(data: Dataset) -> None:
    raw, ensemble = 255 * data.images, Ensemble([network(0), network(1)])

    def call(method: Callable[..., Any]) -> None:
        method(raw)

    for method in (network(0).predict, ensemble.predict, ensemble.predict_proba, ensemble.vote):
        with pytest.warns(UserWarning, match="divide raw ones by 256") as found:
            call(method)
        assert [(w.filename, w.lineno) for w in found] == [
            (__file__, call.__code__.co_firstlineno + 1)
        ]
    with pytest.warns(UserWarning, match="divide raw ones by 256") as found:
        shifted_proba(ensemble, raw)
    assert [w.filename for w in found] == [__file__]


def test_outputs_that_are_not_probabilities_can_be_voted_on_but_not_averaged(
    data: Dataset,
) -> None:
    nets = [Network([784, 10], cost=quadratic, output=identity, rng=seed) for seed in range(2)]
    assert (Ensemble(nets).vote(data.images) == nets[0].predict(data.images)).all()
    with pytest.raises(ValueError, match="not probabilities"):
        Ensemble(nets).predict(data.images)


def test_outputs_that_are_not_probabilities_can_only_vote() -> None:
    nets = [Network([4, 3], cost=quadratic, output=identity, rng=seed) for seed in range(3)]
    ensemble, x = Ensemble(nets), np.eye(4)
    for method in (ensemble.predict, ensemble.predict_proba):
        with pytest.raises(ValueError, match="identity outputs are not probabilities: use vote"):
            method(x)
    labels = plurality(np.stack([net.predict(x) for net in nets]))
    assert ensemble.vote(x).tolist() == labels.tolist()
