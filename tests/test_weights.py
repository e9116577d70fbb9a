"""Weights of examples: they multiply costs and gradients, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from nndl.batches import mini_batches
from nndl.conv import Conv
from nndl.costs import COSTS, cross_entropy, log_likelihood
from nndl.data import Dataset, shifted_fivefold
from nndl.layers import Dense
from nndl.network import Network
from nndl.training import evaluate

RNG = np.random.default_rng(3)
IMAGES, LABELS = RNG.random((12, 36)), RNG.integers(0, 3, 12)
WEIGHTS = RNG.random(12) * 3
WEIGHTS /= WEIGHTS.mean()
WEIGHTED = Dataset(IMAGES, LABELS, "weighted", weights=WEIGHTS)


def step(net: Network, data: Dataset, eta: float = 1.0, **more) -> list[np.ndarray]:
    """Return the parameters after one step with the whole data set."""
    list(net.sgd(data, 1, len(data), eta, rng=0, **more))
    return [p.copy() for p in net.parameters]


NETWORKS = {
    **{
        name: lambda c=c: Network([36, 5, 3], cost=c, rng=1, dtype=np.float64)
        for name, c in COSTS.items()
    },
    "convolution": lambda: Network(
        [Conv(2, 3, pool=2), Dense(4), Dense(3)], input_shape=(1, 6, 6), rng=1, dtype=np.float64
    ),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=list(NETWORKS))
def test_a_step_follows_the_gradient_of_the_weighted_cost(make) -> None:
    net, h = make(), 1e-6
    start = [p.copy() for p in net.parameters]
    gradient = [before - after for before, after in zip(start, step(make(), WEIGHTED), strict=True)]
    for p, g in zip(net.parameters, gradient, strict=True):
        for i in np.ndindex(p.shape):
            p[i] += h
            above = evaluate(net, WEIGHTED).cost
            p[i] -= 2 * h
            slope = (above - evaluate(net, WEIGHTED).cost) / (2 * h)
            p[i] += h
            assert g[i] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_weight_of_2_counts_an_example_twice() -> None:
    counts = np.arange(12) % 3
    repeated = Dataset(IMAGES.repeat(counts, axis=0), LABELS.repeat(counts))
    weighted = Dataset(IMAGES, LABELS, "weighted", weights=counts / counts.mean())
    nets = [Network([36, 5, 3], rng=1, dtype=np.float64) for _ in range(2)]
    for p, q in zip(step(nets[0], repeated), step(nets[1], weighted), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-12, atol=1e-14)
    assert evaluate(nets[0], repeated).cost == pytest.approx(evaluate(nets[1], weighted).cost)


@pytest.mark.parametrize("more", [{}, {"mu": 0.5, "lmbda": 2.0, "lmbda_l1": 0.5}])
@pytest.mark.parametrize("cost", [cross_entropy, log_likelihood])
def test_weights_of_1_change_no_bit(cost, more) -> None:
    data = [Dataset(IMAGES, LABELS), Dataset(IMAGES, LABELS, "weighted", weights=np.ones(12))]
    nets = [Network([36, 5, 3], cost=cost, dropout=0.5, rng=1) for _ in data]
    for net, one in zip(nets, data, strict=True):
        list(net.sgd(one, 3, 5, 0.5, rng=2, **more))
    assert evaluate(nets[0], data[0]) == evaluate(nets[1], data[1])
    for p, q in zip(nets[0].parameters, nets[1].parameters, strict=True):
        np.testing.assert_array_equal(p, q)


def test_each_image_keeps_its_weight_in_every_order(monkeypatch) -> None:
    monkeypatch.setattr("nndl.batches.CHUNK", 5)
    order = np.random.default_rng(0).permutation(12)
    data = Dataset(IMAGES, LABELS, "weighted", weights=IMAGES[:, 0].copy())
    chunks = mini_batches(data, data.targets(3, np.float64), order, 5)
    sizes = []
    for chunk in chunks:
        for x, _, weights in chunk:
            np.testing.assert_array_equal(weights, x[0])
            sizes.append(len(weights))
    assert sizes == [5, 5, 2]


def test_the_weighted_cost_is_a_weighted_mean_over_all_parts(monkeypatch) -> None:
    net = Network([36, 3], rng=1, dtype=np.float64)
    costs = [evaluate(net, WEIGHTED[i : i + 1]).cost for i in range(12)]
    monkeypatch.setattr("nndl.inference.IMAGES", 5)
    expected = np.average(costs, weights=WEIGHTS)
    assert evaluate(net, WEIGHTED).cost == pytest.approx(expected, rel=1e-12)
    assert evaluate(net, WEIGHTED).correct == evaluate(net, Dataset(IMAGES, LABELS)).correct
    assert evaluate(net, Dataset(IMAGES, LABELS, "none", weights=np.zeros(12))).cost == 0


def test_a_part_of_a_data_set_keeps_its_weights() -> None:
    np.testing.assert_array_equal(WEIGHTED[3:7].weights, WEIGHTS[3:7])
    np.testing.assert_array_equal(WEIGHTED[np.array([5, 1])].weights, WEIGHTS[[5, 1]])
    assert Dataset(IMAGES, LABELS)[:3].weights is None


def test_copies_of_an_image_have_its_weight() -> None:
    np.testing.assert_array_equal(shifted_fivefold(WEIGHTED).weights, np.tile(WEIGHTS, 5))
    assert shifted_fivefold(Dataset(IMAGES, LABELS)).weights is None


def test_the_digest_of_a_data_set_depends_on_its_weights() -> None:
    digests = {Dataset(IMAGES, LABELS).digest, WEIGHTED.digest, WEIGHTED[np.arange(12)].digest}
    assert len(digests) == 2
    assert Dataset(IMAGES, LABELS, weights=WEIGHTS + 1).digest not in digests


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (WEIGHTS[:5], r"floats of shape \(12,\), one for each image, but are float64 of shape \(5"),
        (np.ones(12, int), "must be floats .* but are int64"),
        (WEIGHTS - 3, "0 or more and finite"),
        (np.where(WEIGHTS > 1, np.nan, 1), "0 or more and finite"),
        (np.where(WEIGHTS > 1, np.inf, 1), "0 or more and finite"),
    ],
)
def test_weights_that_are_not_one_number_for_each_image_are_refused(weights, message) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset(IMAGES, LABELS, "weighted", weights=weights)
