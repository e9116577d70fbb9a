"""Metrics: by hand for a network with known outputs; the interval by known values."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import nndl.inference
from nndl.activations import identity
from nndl.costs import COSTS, Cost, quadratic
from nndl.data import Dataset
from nndl.initializers import zeros
from nndl.network import Network
from nndl.training.metrics import accuracy, confusion_matrix, evaluate, mistakes, wilson_interval


@pytest.fixture
def mirror() -> Network:
    """Return a network that outputs its three inputs: it predicts the largest pixel."""
    net = Network([3, 3], cost=quadratic, activation=identity, init=zeros, dtype=np.float64)
    net.weights[0][...] = np.eye(3)
    return net


IMAGES = np.array(
    [
        [1.0, 0.5, 0.0],  # label 0, correct
        [0.25, 0.75, 0.0],  # label 0, predicted 1 by a margin of 0.5
        [0.0, 0.125, 0.625],  # label 1, predicted 2 by 0.5
        [0.0, 0.25, 0.75],  # label 1, predicted 2 by 0.5
        [0.125, 0.0, 1.0],  # label 0, predicted 2 by 0.875
        [0.0, 0.0, 0.5],  # label 2, correct
        [0.25, 0.125, 0.0],  # label 2, predicted 0 by 0.25
    ]
)
DATA = Dataset(IMAGES, np.array([0, 0, 1, 1, 0, 2, 2]))


def test_accuracy_is_the_fraction_classified_correctly(mirror: Network) -> None:
    assert accuracy(mirror, DATA) == pytest.approx(2 / 7)
    assert accuracy(mirror, DATA[5:6]) == 1.0
    assert accuracy(mirror, DATA[1:5]) == 0.0


def test_the_confusion_matrix_has_a_row_per_label_and_a_column_per_prediction(
    mirror: Network,
) -> None:
    counts = confusion_matrix(mirror, DATA)
    assert counts.tolist() == [[1, 1, 1], [0, 0, 2], [1, 0, 1]]
    assert counts.dtype == np.int64


def test_labels_that_do_not_occur_have_a_row_of_zeros(mirror: Network) -> None:
    assert confusion_matrix(mirror, DATA[:1]).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_mistakes_are_sorted_by_confidence_and_ties_by_index(
    mirror: Network,
) -> None:
    found = mistakes(mirror, DATA)
    assert found.index.tolist() == [4, 1, 2, 3, 6]
    assert found.true.tolist() == [0, 0, 1, 1, 2]
    assert found.predicted.tolist() == [2, 1, 2, 2, 0]
    np.testing.assert_array_equal(found.confidence, [0.875, 0.5, 0.5, 0.5, 0.25])


@pytest.mark.parametrize("k", [0, 1, 3, 5, 100])
def test_k_limits_the_number_of_mistakes(k: int, mirror: Network) -> None:
    found = mistakes(mirror, DATA, k)
    assert found.index.tolist() == [4, 1, 2, 3, 6][:k]
    assert len(found.true) == len(found.predicted) == len(found.confidence) == min(k, 5)


def test_a_perfect_network_has_no_mistakes(mirror: Network) -> None:
    assert mistakes(mirror, DATA[5:6]).index.size == 0


@pytest.mark.parametrize("cost", COSTS.values(), ids=repr)
def test_evaluate_returns_the_mean_cost_with_the_regularization_terms_of_the_book(
    cost: Cost, rng: np.random.Generator
) -> None:
    net = Network([3, 4, 3], cost=cost, rng=rng, dtype=np.float64)
    hidden = net.layers[0].feedforward(IMAGES.T)
    z = net.output.weighted_input(hidden)
    y = np.eye(3)[DATA.labels].T
    plain = cost.value(z, net(IMAGES.T), y, net.output.activation).mean()
    squares = sum((w**2).sum() for w in net.weights)
    sizes = sum(np.abs(w).sum() for w in net.weights)
    assert evaluate(net, DATA).cost == pytest.approx(plain, rel=1e-12)
    assert evaluate(net, DATA, 5.0).cost == pytest.approx(plain + 5 / 14 * squares, rel=1e-12)
    assert evaluate(net, DATA, 0, 5).cost == pytest.approx(plain + 5 / 7 * sizes, rel=1e-12)


def test_a_score_has_counts_and_a_fraction(mirror: Network) -> None:
    score = evaluate(mirror, DATA)
    assert (score.correct, score.n) == (2, 7)
    assert score.accuracy == pytest.approx(2 / 7)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 8])
def test_metrics_do_not_depend_on_the_block_size(
    batch: int, mirror: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate(mirror, DATA), confusion_matrix(mirror, DATA).tolist()
    monkeypatch.setattr(nndl.inference, "IMAGES", batch)
    score = evaluate(mirror, DATA)
    assert score.cost == pytest.approx(whole[0].cost, rel=1e-14)
    assert score.correct == whole[0].correct
    assert confusion_matrix(mirror, DATA).tolist() == whole[1]
    assert mistakes(mirror, DATA).index.tolist() == [4, 1, 2, 3, 6]


def test_the_cost_of_many_images_is_summed_in_double_precision() -> None:
    net = Network([3, 3], cost=quadratic, activation=identity, init=zeros)
    data = Dataset(np.zeros((5000, 3), np.float32), np.zeros(5000, int))
    assert evaluate(net, data).cost == 0.5


def test_raw_pixels_are_divided_by_256(mirror: Network) -> None:
    raw = np.array([[255, 3, 0], [10, 20, 30]], np.uint8)
    labels = np.array([0, 1])
    assert evaluate(mirror, Dataset(raw, labels)) == evaluate(mirror, Dataset(raw / 256, labels))


def test_evaluation_does_not_modify_the_network(rng: np.random.Generator) -> None:
    net = Network([3, 4, 3], dropout=0.5, rng=rng)
    before = [p.copy() for p in net.parameters]
    assert evaluate(net, DATA) == evaluate(net, DATA)
    mistakes(net, DATA)
    for p, q in zip(net.parameters, before, strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (5, 10, 0.2365931, 0.7634069),
        (9795, 10_000, 0.9765330, 0.9820988),
        (1, 1, 0.2065493, 1.0),
    ],
)
def test_wilson_interval_matches_known_values(
    correct: int, n: int, low: float, high: float
) -> None:
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=1e-7)


def test_the_ends_of_wilson_interval_are_z_deviations_away() -> None:
    for p in wilson_interval(9795, 10_000):
        assert abs(0.9795 - p) / (p * (1 - p) / 10_000) ** 0.5 == pytest.approx(1.959964, abs=1e-5)


def test_a_higher_level_gives_a_wider_interval_and_more_images_a_narrower() -> None:
    def width(correct: int, n: int, level: float) -> float:
        low, high = wilson_interval(correct, n, level)
        return high - low

    assert width(9, 10, 0.9) < width(9, 10, 0.95) < width(9, 10, 0.99)
    assert width(900, 1000, 0.95) < width(90, 100, 0.95) < width(9, 10, 0.95)


def test_a_small_network_with_many_outputs_is_evaluated_in_little_memory() -> None:
    """Its weights take 160 kB, its outputs for 1,000 images at once 80 MB."""
    net = Network([3, 1, 20_000], rng=0)
    rng = np.random.default_rng(0)
    data = Dataset(rng.random((1000, 3), np.float32), rng.integers(0, 20_000, 1000))
    tracemalloc.start()
    score, right, worst = evaluate(net, data), accuracy(net, data), mistakes(net, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6
    a = net(data.images.T)
    assert score.correct == (a.argmax(axis=0) == data.labels).sum() == round(1000 * right)
    assert len(worst.index) == 1000 - score.correct
    image = worst.index[0]
    assert worst.confidence[0] == a[:, image].max() - a[data.labels[image], image]
    assert worst.predicted[0] == a[:, image].argmax()
