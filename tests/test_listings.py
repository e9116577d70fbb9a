"""The book's listings, as a reader types them, with fewer epochs and, mostly, with our digits."""

from __future__ import annotations

import copy
import json
import pickle
import random
import re
from pathlib import Path

import numpy as np
import pytest

from nndl.activations import identity, relu, sigmoid, softmax
from nndl.book import mnist_loader, network, network2, network3
from nndl.book.network3 import (
    ConvPoolLayer,
    FullyConnectedLayer,
    ReLU,
    SoftmaxLayer,
    linear,
    tanh,
)
from nndl.conv import Conv
from nndl.costs import cross_entropy, log_likelihood, quadratic
from nndl.data import Dataset, shift, synthetic_digits
from nndl.initializers import Initializer, default, he, zeros
from nndl.layers import Dense, Dropout
from nndl.network import Network as Core
from nndl.storage import load, save
from nndl.training.metrics import evaluate

SIZES = (1000, 200, 300)


def seed(s: int) -> None:
    """Seed as the book's readers do."""
    np.random.seed(s)  # noqa: NPY002


@pytest.fixture(scope="module")
def digits() -> tuple[Dataset, Dataset, Dataset]:
    data = synthetic_digits(sum(SIZES), 1)
    ends = np.cumsum(SIZES)
    return data[: ends[0]], data[ends[0] : ends[1]], data[ends[1] :]


@pytest.fixture
def data(digits, monkeypatch):
    """What load_data_wrapper returns, on our own digits; the reader has set a seed."""
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: digits)
    seed(12345678)
    return mnist_loader.load_data_wrapper()


@pytest.fixture
def small():
    """Fourteen tuples for a network [5, 4, 3]."""
    rng = np.random.default_rng(5)
    hot = [mnist_loader.vectorized_result(j)[:3] for j in rng.integers(0, 3, 14)]
    return [(rng.standard_normal((5, 1)), y) for y in hot]


def epochs_of(text: str, pattern: str) -> list[int]:
    """Return the counts in a listing all of whose lines have the pattern, numbered from 0."""
    lines = text.splitlines()
    found = [re.fullmatch(pattern, line) for line in lines]
    assert all(found), lines
    assert [int(match[1]) for match in found] == list(range(len(lines)))
    return [int(match[2]) for match in found]


# mnist_loader


def test_the_wrapper_gives_lists_of_tuples(data, digits) -> None:
    training_data, validation_data, test_data = data
    assert [len(part) for part in data] == list(SIZES)
    assert all(type(part) is list and type(part[0]) is tuple for part in data)
    for i in (0, 17, -1):
        x, y = training_data[i]
        assert x.shape == (784, 1)
        assert x.dtype == np.float32
        assert np.array_equal(x[:, 0], digits[0].images[i])
        assert np.array_equal(y, mnist_loader.vectorized_result(digits[0].labels[i]))
    for part, source in ((validation_data, digits[1]), (test_data, digits[2])):
        assert [label for _, label in part] == source.labels.tolist()
        assert all(x.shape == (784, 1) for x, _ in part)


def test_the_images_are_there_once(data) -> None:
    (first, _), (last, _) = data[0][0], data[0][-1]
    assert first.base is last.base is not None


def test_load_data_gives_pairs_of_arrays(digits, monkeypatch) -> None:
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: digits)
    for (x, y), n in zip(mnist_loader.load_data(), SIZES, strict=True):
        assert (x.shape, x.dtype) == ((n, 784), np.float32)
        assert (y.shape, y.dtype.kind) == ((n,), "i")


def test_a_vectorized_result_is_one_hot() -> None:
    e = mnist_loader.vectorized_result(3)
    assert e.shape == (10, 1)
    assert e.ravel().tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


# Chapters 1 and 2: network


def test_the_first_network_of_chapter_1() -> None:
    net = network.Network([2, 3, 1])
    assert net.num_layers == 3
    assert net.sizes == [2, 3, 1]
    assert [w.shape for w in net.weights] == [(3, 2), (1, 3)]
    assert [b.shape for b in net.biases] == [(3, 1), (1, 1)]
    a = np.array([[0.5], [-2.0]])
    for w, b in zip(net.weights, net.biases, strict=True):
        assert w.dtype == b.dtype == np.float64
        a = 1.0 / (1.0 + np.exp(-(np.dot(w, a) + b)))
    np.testing.assert_allclose(net.feedforward(np.array([[0.5], [-2.0]])), a, rtol=1e-14)


def test_chapter_1_weights_and_biases_are_standard_normal() -> None:
    seed(0)
    net = network.Network([900, 400])
    assert np.std(net.weights[0]) == pytest.approx(1, abs=0.01)
    assert np.std(net.biases[0]) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("sizes", "eta", "least", "most"),
    [
        ([784, 30, 10], 3.0, 130, 300),
        ([784, 100, 10], 0.001, 0, 60),  # far too small
        ([784, 10], 3.0, 70, 300),  # the exercise: no hidden layer
    ],
)
def test_listings_of_chapter_1(data, capsys, sizes, eta, least, most) -> None:
    training_data, _, test_data = data
    net = network.Network(sizes)
    assert net.SGD(training_data, 8, 10, eta, test_data=test_data) is None
    counts = epochs_of(capsys.readouterr().out, r"Epoch (\d+): (\d+) / 300")
    assert len(counts) == 8
    assert least <= counts[-1] <= most
    assert net.evaluate(test_data) == counts[-1]


def test_the_listing_with_eta_100_runs_to_its_end(data, capsys) -> None:
    net = network.Network([784, 30, 10])
    net.SGD(data[0], 2, 10, 100.0, test_data=data[2])
    counts = epochs_of(capsys.readouterr().out, r"Epoch (\d+): (\d+) / 300")
    assert len(counts) == 2
    assert counts[-1] < 150


def test_without_test_data_an_epoch_is_complete(data, capsys) -> None:
    network.Network([784, 10]).SGD(data[0][:20], 2, 10, 3.0)
    assert capsys.readouterr().out == "Epoch 0 complete\nEpoch 1 complete\n"


def test_the_first_epochs_on_the_real_mnist(mnist, capsys) -> None:
    training_data, _, test_data = mnist_loader.load_data_wrapper()
    assert [len(training_data), len(test_data)] == [50_000, 10_000]
    seed(1)
    net = network.Network([784, 30, 10])
    net.SGD(training_data, 2, 10, 3.0, test_data=test_data)
    counts = epochs_of(capsys.readouterr().out, r"Epoch (\d+): (\d+) / 10000")
    assert min(counts) > 8000


def book_backprop(net, x, y, cost):
    """Backpropagation for one example as chapter 2 derives it, on lists of activations."""
    activations, zs = [x], []
    for w, b in zip(net.weights, net.biases, strict=True):
        zs.append(np.dot(w, activations[-1]) + b)
        activations.append(network.sigmoid(zs[-1]))
    delta = cost.delta(zs[-1], activations[-1], y)
    nabla_b, nabla_w = [delta], [np.dot(delta, activations[-2].T)]
    for l in range(2, net.num_layers):
        delta = np.dot(net.weights[-l + 1].T, delta) * network.sigmoid_prime(zs[-l])
        nabla_b.insert(0, delta)
        nabla_w.insert(0, np.dot(delta, activations[-l - 1].T))
    return nabla_b, nabla_w


NETWORKS = [
    (network.Network, network2.QuadraticCost),
    (network2.Network, network2.CrossEntropyCost),
    (lambda sizes: network2.Network(sizes, cost=network2.QuadraticCost), network2.QuadraticCost),
]


def assert_all_close(ours, theirs) -> None:
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("make", "cost"), NETWORKS)
def test_backprop_is_that_of_one_example_by_hand(make, cost, small) -> None:
    net = make([5, 4, 4, 3])
    x, y = small[0]
    for ours, theirs in zip(net.backprop(x, y), book_backprop(net, x, y, cost), strict=True):
        assert_all_close(ours, theirs)


@pytest.mark.parametrize(("make", "cost"), NETWORKS)
def test_backprop_is_the_core_s(make, cost, small) -> None:
    net = make([5, 4, 3])
    kind = quadratic if cost is network2.QuadraticCost else cross_entropy
    core = Core([5, 4, 3], cost=kind, dtype=np.float64)
    for p, q in zip(core.parameters, [*net.weights, *net.biases], strict=True):
        p[...] = q
    for ours, theirs in zip(net.backprop(*small[1]), core.backprop(*small[1]), strict=True):
        for p, q in zip(ours, theirs, strict=True):
            assert np.array_equal(p, q)


def book_step(net, mini_batch, eta, lmbda, n, cost):
    """Return the weights and biases after a step that sums over examples one by one."""
    weights = [(1 - eta * lmbda / n) * w for w in net.weights]
    biases = [b.copy() for b in net.biases]
    for x, y in mini_batch:
        nabla_b, nabla_w = book_backprop(net, x, y, cost)
        for l in range(len(weights)):
            weights[l] -= eta / len(mini_batch) * nabla_w[l]
            biases[l] -= eta / len(mini_batch) * nabla_b[l]
    return weights, biases


@pytest.mark.parametrize(("make", "cost"), NETWORKS)
def test_a_step_is_the_book_s_loop_over_examples(make, cost, small) -> None:
    net = make([5, 4, 3])
    chapter_1 = isinstance(net, network.Network)
    lmbda = 0.0 if chapter_1 else 2.0
    expected = book_step(net, small, 0.7, lmbda, 100, cost)
    if chapter_1:
        net.update_mini_batch(small, 0.7)
    else:
        net.update_mini_batch(small, 0.7, lmbda, 100)
    assert_all_close(net.weights, expected[0])
    assert_all_close(net.biases, expected[1])


def test_a_step_learns_any_outputs() -> None:
    net = network.Network([2, 1])
    mini_batch = [(np.array([[0.0], [1.0]]), np.array([[0.25]]))]
    for _ in range(2000):
        net.update_mini_batch(mini_batch, 10.0)
    assert net.feedforward(mini_batch[0][0])[0, 0] == pytest.approx(0.25, abs=1e-3)


def test_sgd_divides_lmbda_by_the_size_of_the_training_set(small, capsys) -> None:
    net = network2.Network([5, 4, 3])
    expected = book_step(net, small, 0.7, 2.0, len(small), network2.CrossEntropyCost)
    net.SGD(small, 1, len(small), 0.7, lmbda=2.0)  # one mini-batch: its order has no effect
    assert_all_close(net.weights, expected[0])
    assert_all_close(net.biases, expected[1])


def test_cost_derivative_and_sigmoid() -> None:
    a, y = np.array([[0.25], [0.5]]), np.array([[1.0], [0.0]])
    derivative = network.Network([2, 2]).cost_derivative(a, y)
    assert derivative.tolist() == [[-0.75], [0.5]]
    z = np.linspace(-4, 4, 9)
    np.testing.assert_allclose(network.sigmoid(z), 1 / (1 + np.exp(-z)), rtol=1e-14)
    slope = (network.sigmoid(z + 1e-6) - network.sigmoid(z - 1e-6)) / 2e-6
    np.testing.assert_allclose(network.sigmoid_prime(z), slope, rtol=1e-8)
    assert network.sigmoid(0.0) == 0.5
    assert network2.sigmoid_prime(0.0) == 0.25


# What a reader does with data


def test_data_can_be_used_as_lists_are(data, capsys) -> None:
    training_data, validation_data, test_data = data
    random.seed(12345678)
    random.shuffle(training_data)
    pairs = zip([x for x, _ in training_data], [y for _, y in training_data], strict=True)
    net = network.Network([784, 30, 10])
    net.SGD(pairs, 4, 10, 3.0, test_data=zip(*map(list, zip(*test_data, strict=True)), strict=True))
    assert epochs_of(capsys.readouterr().out, r"Epoch (\d+): (\d+) / 300")[-1] > 110
    for part in (training_data, validation_data + test_data):  # one-hot, and labels
        assert net.evaluate(part) > 0.35 * len(part)


def test_training_leaves_the_reader_s_list_in_order(data, capsys) -> None:
    training_data = data[0]
    before = [id(pair) for pair in training_data]
    network.Network([784, 10]).SGD(training_data, 1, 10, 3.0)
    assert [id(pair) for pair in training_data] == before


@pytest.mark.filterwarnings("ignore:float pixels")
def test_whole_numbers_are_taken_as_they_are(small) -> None:
    x = np.full((5, 1), 2, np.uint8)
    net = network2.Network([5, 3])
    a = net.feedforward(x.astype(float))
    expected = network2.CrossEntropyCost.fn(a, small[0][1])
    assert net.total_cost([(x, small[0][1])], 0.0) == pytest.approx(expected, rel=1e-12)


X, Y = np.zeros((5, 1)), np.array([[1.0], [0.0], [0.0]])


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "empty"),
        (zip([], [], strict=True), r"keep list\(zip"),
        ([(X[:, 0], Y)], r"each x must have the shape \(5, 1\), but .* \[\(5,\)\]"),
        ([(X, Y), (X[:4], Y)], r"each x .*\[\(4, 1\), \(5, 1\)\]"),
        ([(X, Y[:2])], r"each y must have the shape \(3, 1\)"),
        ([(X, Y), (X, 2)], r"each y must have the shape \(3, 1\)"),
        ([(X, 0.5 * Y)], "one-hot"),
        ([(X, 3)], "labels up to 3"),
        ([(X, 1.0)], "labels must be integers"),
        ([(np.full((5, 1), np.nan), Y)], "finite"),
        (np.zeros((4, 5)), r"tuples \(x, y\).*ndarray of shape \(5,\)"),
        ([1, 2], r"tuples \(x, y\).*int"),
    ],
)
@pytest.mark.parametrize("module", [network, network2])
def test_data_of_another_form_are_refused(module, pairs, message) -> None:
    with pytest.raises(ValueError, match=message):
        module.Network([5, 3]).SGD(pairs, 1, 10, 1.0)


@pytest.mark.parametrize("mini_batch", [[], [(X, 1)], [(X, Y.T)], [(X[:4], Y)]])
def test_a_mini_batch_of_another_form_is_refused(mini_batch) -> None:
    with pytest.raises(ValueError, match="must"):
        network.Network([5, 3]).update_mini_batch(mini_batch, 1.0)


def test_wrong_shapes_of_one_example_are_refused() -> None:
    net = network.Network([5, 3])
    with pytest.raises(ValueError, match=r"\(5, m\)"):
        net.feedforward(X[:, 0])
    with pytest.raises(ValueError, match=r"\(3, 1\)"):
        net.backprop(X, 2)


# Weights and biases, live


def test_assigned_weights_and_biases_are_the_network_s(small, capsys) -> None:
    net = network.Network([5, 4, 3])
    net.weights = [np.zeros_like(w) for w in net.weights]
    net.biases = [np.zeros_like(b) for b in net.biases]
    assert net.feedforward(X).tolist() == [[0.5]] * 3
    net.biases[-1] = np.array([[0.0], [1.0], [2.0]])
    net.biases[0] += 3.0
    net.weights[1][2, :] = 1.0
    hidden = 1 / (1 + np.exp(-3.0))
    expected = 1 / (1 + np.exp(-np.array([[0.0], [1.0], [2.0 + 4 * hidden]])))
    np.testing.assert_allclose(net.feedforward(X), expected, rtol=1e-12)
    live = net.weights[0]
    net.SGD(small, 1, 10, 3.0)
    assert live.any()
    assert live is net.weights[0]


def test_weights_may_be_reordered_when_assigned_together() -> None:
    net = network.Network([3, 3, 3])
    first, second = copy.deepcopy(net.weights)
    net.weights = net.weights[::-1]
    assert np.array_equal(net.weights[0], second)
    assert np.array_equal(net.weights[1], first)


def test_assignment_takes_copies() -> None:
    net, other = network.Network([3, 2]), network.Network([3, 2])
    net.weights = other.weights
    before = net.weights[0].copy()
    other.weights[0][...] = 7
    assert np.array_equal(net.weights[0], before)


def test_what_is_no_network_of_these_sizes_cannot_be_assigned() -> None:
    net = network.Network([5, 4, 3])
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        net.weights[0] = net.weights[0].T
    with pytest.raises(ValueError, match=r"\(4, 1\).*\(4,\)"):
        net.biases[0] = np.zeros(4)
    with pytest.raises(
        ValueError, match=r"shapes \[\(4, 5\), \(3, 4\)\], those assigned \[\(4, 5\)\]"
    ):
        net.weights = [net.weights[0]]
    kept = [w.copy() for w in net.weights]
    with pytest.raises(ValueError, match=r"those assigned \[\(4, 5\), \(2, 4\)\]"):
        net.weights = [np.zeros((4, 5)), np.zeros((2, 4))]
    assert all(np.array_equal(w, w0) for w, w0 in zip(net.weights, kept, strict=True))
    for change in (net.weights.append, net.biases.extend, net.weights.pop):
        with pytest.raises(TypeError, match="number and order"):
            change([])
    with pytest.raises(TypeError, match="number and order"):
        del net.weights[0]


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_another_network(twin) -> None:
    net = network2.Network([5, 4, 3])
    a, kept, other = net.feedforward(X), twin(net.weights), twin(net)
    net.large_weight_initializer()
    assert np.array_equal(other.feedforward(X), a)
    assert not np.array_equal(net.feedforward(X), a)
    net.weights, net.biases = kept, other.biases
    assert np.array_equal(net.feedforward(X), a)


# Chapters 3 and 5: network2

NUMBER = r"(\d+\.\d+)"
ALL = {
    "monitor_evaluation_cost": True,
    "monitor_evaluation_accuracy": True,
    "monitor_training_cost": True,
    "monitor_training_accuracy": True,
}


def test_the_listing_with_all_monitors_prints_and_returns_them(data, capsys) -> None:
    training_data, validation_data, _ = data
    net = network2.Network([784, 30, 10], cost=network2.CrossEntropyCost)
    results = net.SGD(training_data, 5, 10, 0.5, lmbda=0.1, evaluation_data=validation_data, **ALL)
    evaluation_cost, evaluation_accuracy, training_cost, training_accuracy = results
    blocks = capsys.readouterr().out.split("\n\n")
    assert blocks.pop() == ""
    assert len(blocks) == 5
    for epoch, block in enumerate(blocks):
        match = re.fullmatch(
            rf"Epoch {epoch} training complete\n"
            rf"Cost on training data: {NUMBER}\n"
            r"Accuracy on training data: (\d+) / 1000\n"
            rf"Cost on evaluation data: {NUMBER}\n"
            r"Accuracy on evaluation data: (\d+) / 200",
            block,
        )
        assert match, block
        assert float(match[1]) == training_cost[epoch]
        assert int(match[2]) == training_accuracy[epoch]
        assert float(match[3]) == evaluation_cost[epoch]
        assert int(match[4]) == evaluation_accuracy[epoch]
    assert training_accuracy[-1] > 750
    assert evaluation_accuracy[-1] > 110
    assert training_cost[-1] < training_cost[0]
    assert net.accuracy(training_data, convert=True) == training_accuracy[-1]
    assert net.accuracy(validation_data) == evaluation_accuracy[-1]
    assert net.total_cost(training_data, 0.1) == training_cost[-1]
    assert net.total_cost(validation_data, 0.1, convert=True) == evaluation_cost[-1]


@pytest.mark.parametrize("place", range(4))
def test_each_monitor_has_its_place_and_its_line(data, capsys, place) -> None:
    name = list(ALL)[place]
    net = network2.Network([784, 10])
    results = net.SGD(data[0][:100], 2, 10, 0.5, 0.0, data[1], **{name: True})
    assert [len(series) for series in results] == [2 * (i == place) for i in range(4)]
    _, which, quantity = name.split("_")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0::3] == ["Epoch 0 training complete", "Epoch 1 training complete"]
    shown = [
        f"{results[place][i]}" + f" / {[200, 100][which == 'training']}" * (place % 2)
        for i in (0, 1)
    ]
    assert lines[1::3] == [f"{quantity.capitalize()} on {which} data: {text}" for text in shown]
    assert lines[2::3] == ["", ""]


def test_unmonitored_training_prints_the_epochs_and_returns_empty_lists(data, capsys) -> None:
    results = network2.Network([784, 10]).SGD(data[0][:50], 2, 10, 0.5, evaluation_data=data[1])
    assert results == ([], [], [], [])
    assert capsys.readouterr().out == ("Epoch 0 training complete\n\nEpoch 1 training complete\n\n")


def test_the_overfitting_listing(data, capsys) -> None:
    """Chapter 3: few images are learned by heart."""
    training_data, _, test_data = data
    net = network2.Network([784, 30, 10], cost=network2.CrossEntropyCost)
    net.large_weight_initializer()
    _, correct, cost, _ = net.SGD(
        training_data[:100],
        60,
        10,
        0.5,
        evaluation_data=test_data,
        monitor_evaluation_accuracy=True,
        monitor_training_cost=True,
    )
    assert net.accuracy(training_data[:100], convert=True) == 100
    assert max(correct) < 280
    assert cost[-1] < 0.05 * cost[0]


def test_a_larger_lmbda_gives_smaller_weights(data, capsys) -> None:
    norms = []
    for lmbda in (0.0, 0.1, 5.0):
        seed(3)
        net = network2.Network([784, 30, 10])
        net.large_weight_initializer()
        net.SGD(data[0], 2, 10, 0.5, lmbda=lmbda)
        norms.append(float(np.linalg.norm(net.weights[0])))
    assert norms[0] > norms[1] > norms[2]


@pytest.mark.parametrize(
    ("eta", "lmbda", "least"), [(10.0, 20.0, 0), (100.0, 20.0, 0), (1.0, 20.0, 30)]
)
def test_the_search_for_hyper_parameters(data, capsys, eta, lmbda, least) -> None:
    training_data, validation_data, _ = data
    net = network2.Network([784, 10])
    results = net.SGD(
        training_data[:1000],
        4,
        10,
        eta,
        lmbda=lmbda,
        evaluation_data=validation_data[:100],
        monitor_evaluation_accuracy=True,
    )
    lines = capsys.readouterr().out.splitlines()[1::3]
    assert lines == [f"Accuracy on evaluation data: {count} / 100" for count in results[1]]
    assert results[1][-1] >= least


def test_a_listing_that_diverges_warns_and_runs_to_its_end(data, capsys) -> None:
    """Chapter 3: eta lmbda/n is 10, so that every step multiplies the weights by -9."""
    training_data, validation_data, _ = data
    net = network2.Network([784, 10])
    with pytest.warns(RuntimeWarning, match=r"diverged in epoch \d.*no more is learned"):
        results = net.SGD(
            training_data[:1000],
            6,
            10,
            10.0,
            lmbda=1000.0,
            evaluation_data=validation_data[:100],
            **ALL,
        )
    zeros = sum(label == 0 for _, label in validation_data[:100])
    assert [len(series) for series in results] == [6] * 4
    assert results[1][-1] == zeros  # of outputs that are not numbers, the first is the largest
    assert capsys.readouterr().out.count("training complete") == 6


@pytest.mark.parametrize("hidden", [[30], [30, 30], [30, 30, 30]])
def test_the_deeper_networks_of_chapter_5(data, capsys, hidden) -> None:
    training_data, validation_data, _ = data
    net = network2.Network([784, *hidden, 10])
    _, correct, _, _ = net.SGD(
        training_data,
        30,
        10,
        0.3,
        lmbda=0.1,
        evaluation_data=validation_data,
        monitor_evaluation_accuracy=True,
    )
    assert max(correct) > 110


def test_the_gradient_norms_of_chapter_5(data) -> None:
    """The first layer learns more slowly than the last, by gradients averaged over tuples."""
    net = network2.Network([784, 30, 30, 30, 10])
    gradients = [net.backprop(x, y)[0] for x, y in data[0][:200]]
    means = [sum(layer) / 200 for layer in zip(*gradients, strict=True)]
    norms = [float(np.linalg.norm(mean)) for mean in means]
    assert norms[0] < norms[1] < norms[2]


def test_the_tuned_listing_on_the_real_mnist(mnist, monkeypatch, capsys) -> None:
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: mnist)
    training_data, validation_data, _ = mnist_loader.load_data_wrapper()
    seed(1)
    net = network2.Network([784, 30, 10])
    _, correct, _, _ = net.SGD(
        training_data,
        1,
        10,
        0.1,
        lmbda=5.0,
        evaluation_data=validation_data,
        monitor_evaluation_accuracy=True,
    )
    assert correct[0] > 9150  # the author's: 9270


def test_evaluation_that_is_monitored_must_be_given(data) -> None:
    with pytest.raises(ValueError, match="empty"):
        network2.Network([784, 10]).SGD(data[0], 1, 10, 0.5, monitor_evaluation_cost=True)


# Initial weights, and seeds


def test_initializers_draw_anew_in_place() -> None:
    seed(2)
    net = network2.Network([900, 400, 100])
    arrays = [*net.weights, *net.biases]

    def spreads() -> list[float]:
        return [float(np.std(p)) for p in arrays]

    small, bias = [pytest.approx(s, rel=0.02) for s in (1 / 30, 1 / 20)], pytest.approx(1, rel=0.2)
    assert spreads() == [*small, bias, bias]
    before = [p.copy() for p in arrays]
    net.large_weight_initializer()
    assert spreads() == [pytest.approx(1, rel=0.02)] * 2 + [bias, bias]
    net.default_weight_initializer()
    assert spreads() == [*small, bias, bias]
    for p, old, now in zip(arrays, before, [*net.weights, *net.biases], strict=True):
        assert p is now
        assert not (p == old).any()


def test_numpy_s_seed_repeats_a_program(small, capsys) -> None:
    def program(s: int) -> list[float]:
        seed(s)
        net = network2.Network([5, 4, 3])
        net.large_weight_initializer()
        return net.SGD(small, 3, 2, 0.5, monitor_training_cost=True)[2]

    assert program(4) == program(4) != program(5)


def test_each_call_of_sgd_shuffles_afresh(small, capsys) -> None:
    seed(4)
    net, twin = network.Network([5, 4, 3]), network.Network([5, 4, 3])
    twin.weights, twin.biases = net.weights, net.biases
    net.SGD(small, 1, 1, 3.0)
    twin.SGD(small, 1, 1, 3.0)
    assert not np.array_equal(net.weights[0], twin.weights[0])


def test_a_seed_set_between_two_calls_has_its_effect(small, capsys) -> None:
    net = network2.Network([5, 4, 3])
    seed(8)
    net.default_weight_initializer()
    first = copy.deepcopy(net.weights)
    seed(8)
    net.default_weight_initializer()
    assert_all_close(net.weights, first)


# Costs


@pytest.mark.parametrize(
    ("cost", "core"),
    [(network2.QuadraticCost, quadratic), (network2.CrossEntropyCost, cross_entropy)],
)
@pytest.mark.parametrize("instance", [False, True])
def test_costs_are_the_core_s(cost, core, instance, small) -> None:
    cost = cost() if instance else cost
    z, y = np.array([[1.5], [-0.5], [0.25]]), small[0][1]
    a = sigmoid(z)
    assert cost.fn(a, y) == pytest.approx(core.value(z, a, y, sigmoid)[0], rel=1e-12)
    np.testing.assert_allclose(cost.delta(z, a, y), core.delta(z, a, y, sigmoid), rtol=1e-12)
    net = network2.Network([5, 3], cost=cost)
    assert net.cost is cost
    net.weights, net.biases = [np.zeros((3, 5))], [z]
    assert net.total_cost([(X, y)], 0.0) == pytest.approx(cost.fn(a, y), rel=1e-12)


def test_saturated_outputs_that_are_right_cost_nothing() -> None:
    y = np.array([[1.0], [0.0]])
    assert network2.CrossEntropyCost.fn(y, y) == 0
    assert network2.CrossEntropyCost.fn(1 - y, y) == np.inf


def test_the_l2_term_is_over_the_data_that_are_measured(small) -> None:
    net = network2.Network([5, 4, 3])
    squares = sum(float((w**2).sum()) for w in net.weights)
    for n in (3, 14):
        term = net.total_cost(small[:n], 6.0) - net.total_cost(small[:n], 0.0)
        assert term == pytest.approx(6.0 / (2 * n) * squares, rel=1e-9)


def test_another_cost_is_refused() -> None:
    class MyCost(network2.QuadraticCost):
        pass

    with pytest.raises(ValueError, match="CrossEntropyCost or QuadraticCost"):
        network2.Network([2, 1], cost=MyCost)


# Files


@pytest.mark.parametrize("cost", [network2.QuadraticCost, network2.CrossEntropyCost])
def test_a_network_comes_back_from_its_file(tmp_path: Path, small, cost, capsys) -> None:
    net = network2.Network([5, 4, 3], cost=cost)
    net.save(str(tmp_path / "net.json"))
    written = json.loads((tmp_path / "net.json").read_text())
    assert written == {
        "sizes": [5, 4, 3],
        "weights": [w.tolist() for w in net.weights],
        "biases": [b.tolist() for b in net.biases],
        "cost": cost.__name__,
    }
    loaded = network2.load(tmp_path / "net.json")
    assert (loaded.sizes, loaded.num_layers, loaded.cost) == ([5, 4, 3], 3, cost)
    assert np.array_equal(loaded.feedforward(X), net.feedforward(X))
    assert loaded.total_cost(small, 1.0) == net.total_cost(small, 1.0)
    loaded.SGD(small, 1, 10, 0.5)
    assert not np.array_equal(loaded.weights[0], net.weights[0])


def test_what_the_author_s_code_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "his.json"
    path.write_text(
        '{"cost": "QuadraticCost", "sizes": [2, 1], "biases": [[[0.5]]], "weights": [[[1.0, -2]]]}'
    )
    net = network2.load(str(path))
    assert net.weights[0].tolist() == [[1.0, -2.0]]
    assert net.feedforward([[1.0], [0.75]]).tolist() == [[0.5]]


@pytest.mark.parametrize("name", ["net", "net.npz", "net.txt"])
def test_a_file_may_have_any_name_as_in_the_book(tmp_path: Path, name: str) -> None:
    net = network2.Network([2, 1])
    net.save(tmp_path / name)
    assert json.loads((tmp_path / name).read_text())["sizes"] == [2, 1]
    loaded = network2.load(tmp_path / name)
    np.testing.assert_array_equal(loaded.weights[0], net.weights[0])


def test_a_file_of_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text("[]")
    with pytest.raises(ValueError, match="cannot be loaded"):
        network2.load(tmp_path / "net.json")


def test_the_adapter_answers_as_the_core_does(data) -> None:
    net = network2.Network([784, 30, 10])
    core = Core([784, 30, 10], dtype=np.float64)
    for p, q in zip(core.parameters, [*net.weights, *net.biases], strict=True):
        p[...] = q
    images = np.array([x for x, _ in data[2]])[:, :, 0]
    labels = np.array([label for _, label in data[2]])
    score = evaluate(core, Dataset(images, labels), 3.0)
    assert net.accuracy(data[2]) == score.correct
    assert net.total_cost(data[2], 3.0, convert=True) == score.cost


# Chapter 6: network3


def convolutional(mb: int, *maps: int, f=network3.sigmoid, poolsize=(2, 2)):
    """The convolutional part of a listing, and the number of its outputs."""
    layers, maps_in, side = [], 1, 28
    for n in maps:
        layers.append(
            ConvPoolLayer(
                image_shape=(mb, maps_in, side, side),
                filter_shape=(n, maps_in, 5, 5),
                poolsize=poolsize,
                activation_fn=f,
            )
        )
        maps_in, side = n, (side - 4) // poolsize[0]
    return layers, maps_in * side * side


def shallow(mb: int):
    return network3.Network(
        [FullyConnectedLayer(n_in=784, n_out=100), SoftmaxLayer(n_in=100, n_out=10)], mb
    )


def basic_conv(mb: int):
    layers, n = convolutional(mb, 20)
    layers += [FullyConnectedLayer(n_in=n, n_out=100), SoftmaxLayer(n_in=100, n_out=10)]
    return network3.Network(layers, mb)


def omit_fc(mb: int):
    layers, n = convolutional(mb, 20)
    return network3.Network([*layers, SoftmaxLayer(n_in=n, n_out=10)], mb)


def dbl_conv(mb: int, f=network3.sigmoid):
    layers, n = convolutional(mb, 20, 40, f=f)
    assert n == 40 * 4 * 4
    fully = FullyConnectedLayer(n_in=n, n_out=100, activation_fn=f)
    return network3.Network([*layers, fully, SoftmaxLayer(n_in=100, n_out=10)], mb)


def with_dropout(mb: int):
    layers, n = convolutional(mb, 20, 40, f=ReLU)
    layers += [
        FullyConnectedLayer(n_in=n, n_out=100, activation_fn=ReLU, p_dropout=0.5),
        FullyConnectedLayer(n_in=100, n_out=100, activation_fn=ReLU, p_dropout=0.5),
        SoftmaxLayer(n_in=100, n_out=10, p_dropout=0.5),
    ]
    return network3.Network(layers, mb)


@pytest.fixture
def shared(digits, monkeypatch):
    """What load_data_shared returns, on our own digits; the reader has set a seed."""
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: digits)
    seed(12345678)
    return network3.load_data_shared()


@pytest.mark.parametrize(
    ("make", "eta", "lmbda"),
    [
        (shallow, 0.1, 0.0),
        (basic_conv, 0.1, 0.0),
        (omit_fc, 0.1, 0.0),
        (dbl_conv, 0.1, 0.0),
        (lambda mb: dbl_conv(mb, tanh), 0.1, 0.0),
        (lambda mb: dbl_conv(mb, ReLU), 0.03, 0.1),
        (lambda mb: dbl_conv(mb, linear), 0.01, 0.1),
        (with_dropout, 0.03, 0.0),
    ],
    ids=["shallow", "basic", "omit", "double", "tanh", "relu", "linear", "dropout"],
)
def test_listings_of_chapter_6(shared, capsys, make, eta, lmbda) -> None:
    training_data, validation_data, test_data = shared
    mini_batch_size = 10
    net = make(mini_batch_size)
    before = [p.copy() for p in net.core.parameters]
    assert (
        net.SGD(training_data, 1, mini_batch_size, eta, validation_data, test_data, lmbda=lmbda)
        is None
    )
    text = capsys.readouterr().out
    percent = r"(\d+\.\d\d%)"
    match = re.fullmatch(
        "Training mini-batch number 0\n"
        f"Epoch 0: validation accuracy {percent}\n"
        r"This is the best validation accuracy to date\.\n"
        f"The corresponding test accuracy is {percent}\n"
        r"Finished training network\.\n"
        f"Best validation accuracy of {percent} obtained at iteration 99\n"
        f"Corresponding test accuracy of {percent}\n",
        text,
    )
    assert match, text
    for name, data, shown in (
        ("validation", validation_data, match[1]),
        ("test", test_data, match[2]),
    ):
        assert shown == f"{evaluate(net.core, Dataset(*data)).accuracy:.2%}", name
    assert (match[1], match[2]) == (match[3], match[4])
    assert not any(np.array_equal(p, q) for p, q in zip(net.core.parameters, before, strict=True))


def test_a_network_of_chapter_6_learns(shared, capsys) -> None:
    net = dbl_conv(10, ReLU)
    net.SGD(shared[0], 4, 10, 0.03, shared[1], shared[2], lmbda=0.1)
    lines = capsys.readouterr().out.splitlines()
    assert float(re.findall(r"[\d.]+(?=%)", lines[-1])[0]) > 60  # 72 to 79 with other seeds


def test_the_real_mnist_in_the_terms_of_chapter_6(mnist, monkeypatch, capsys) -> None:
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: mnist)
    training_data, validation_data, test_data = network3.load_data_shared()
    seed(1)
    net = shallow(10)
    net.SGD(training_data, 1, 10, 0.1, validation_data, test_data)
    numbers = re.findall(r"[\d.]+(?=%)", capsys.readouterr().out)
    assert float(numbers[0]) > 91  # the book: a little under 94 after an epoch


def test_every_thousandth_mini_batch_is_counted_through_all_epochs(shared, capsys) -> None:
    x, y = (np.concatenate([a, a, a]) for a in shared[0])
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 2)
    net.SGD((x[:2501], y[:2501]), 2, 2, 0.01, shared[1], shared[2])  # 1,250 steps an epoch
    lines = capsys.readouterr().out.splitlines()
    steps = [line for line in lines if line.startswith(("Training", "Epoch"))]
    assert [re.sub(r"[\d.]+%", "p", line) for line in steps] == [
        "Training mini-batch number 0",
        "Training mini-batch number 1000",
        "Epoch 0: validation accuracy p",
        "Training mini-batch number 2000",
        "Epoch 1: validation accuracy p",
    ]


# Its data


def test_shared_data_are_pairs_of_arrays(digits, shared) -> None:
    assert isinstance(shared, list)
    for (x, y), source in zip(shared, digits, strict=True):
        assert (x.dtype, y.dtype.kind) == (np.float32, "i")
        assert np.array_equal(x, source.images)
        assert np.array_equal(y, source.labels)


@pytest.mark.parametrize("filename", ["../data/mnist_expanded.pkl.gz", "mnist_expanded.pkl.gz"])
def test_the_expanded_data_come_under_the_name_of_their_file(digits, monkeypatch, filename) -> None:
    training = Dataset(
        np.round(255 * digits[0].images[:40]).astype(np.uint8), digits[0].labels[:40]
    )
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: digits)
    monkeypatch.setattr(network3, "load_mnist", lambda dtype: (training, *digits[1:]))
    (x, y), validation, test = network3.load_data_shared(filename)
    assert (x.dtype, x.shape, y.shape) == (np.float32, (200, 784), (200,))
    moves = [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)]
    rows = np.concatenate([shift(training.images, dx, dy) for dx, dy in moves]).astype(np.float32)
    labels = np.tile(training.labels, 5)
    expected = {(row.tobytes(), label) for row, label in zip(rows, labels, strict=True)}
    found = [((256 * row).tobytes(), label) for row, label in zip(x, y, strict=True)]
    assert set(found) == expected
    assert not np.array_equal(y[:40], training.labels)  # shuffled
    again = network3.expand_mnist()
    assert np.array_equal(again[0], x)  # once and for all
    assert np.array_equal(again[1], y)
    assert np.array_equal(validation[0], digits[1].images)
    assert np.array_equal(test[1], digits[2].labels)


def test_the_name_of_another_file_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must end in mnist\.pkl\.gz or .* not '\.\./mine\.gz'"):
        network3.load_data_shared("../mine.gz")


# What sets chapter 6 apart


def test_initial_weights_go_by_the_number_of_outputs() -> None:
    seed(1)
    layers, n = convolutional(10, 20, 40)
    layers += [FullyConnectedLayer(n_in=n, n_out=100), SoftmaxLayer(n_in=100, n_out=10)]
    network3.Network(layers, 10)
    spreads = [float(layer.w.std()) for layer in layers]
    assert spreads[0] == pytest.approx((20 * 25 / 4) ** -0.5, rel=0.1)  # 0.0894
    assert spreads[1] == pytest.approx((40 * 25 / 4) ** -0.5, rel=0.03)  # 0.0632
    assert spreads[2] == pytest.approx(100**-0.5, rel=0.01)
    assert spreads[3] == 0
    biases = np.concatenate([layer.b for layer in layers[:3]])
    assert biases.std() == pytest.approx(1, abs=0.2)
    assert not layers[3].b.any()


def test_images_that_fill_no_mini_batch_are_refused(shared) -> None:
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 10)
    few = (shared[0][0][:7], shared[0][1][:7])
    with pytest.raises(ValueError, match="7 images do not fill a mini-batch of 10"):
        net.SGD(few, 1, 10, 0.1, shared[1], shared[2])


def test_layers_show_their_weights_live_and_in_the_book_s_shapes() -> None:
    layers, n = convolutional(10, 20, 40)
    layers += [FullyConnectedLayer(n_in=n, n_out=30), SoftmaxLayer(n_in=30, n_out=10)]
    net = network3.Network(layers, 10)
    assert (net.layers, net.mini_batch_size) == (layers, 10)
    shapes = [(20, 1, 5, 5), (40, 20, 5, 5), (640, 30), (30, 10)]
    assert [layer.w.shape for layer in layers] == shapes
    assert [layer.b.shape for layer in layers] == [(20,), (40,), (30,), (10,)]
    for layer in layers:
        layer.w[...], layer.b[...] = 0, 0
    assert not any(p.any() for p in net.core.parameters)
    layers[-1].b[3] = 1
    assert net.core.predict(np.zeros((1, 784))).tolist() == [3]


def steps_of_the_book(core: Core, x, y, mb: int, eta: float, lmbda: float) -> None:
    """An epoch in order: the mean cost, and lambda/2 sum w^2 over the number of mini-batches."""
    n_batches = len(y) // mb
    for i in range(n_batches):
        part = slice(i * mb, (i + 1) * mb)
        nabla_b, nabla_w = core.backprop(x[part].T, y[part])
        for b, g in zip(core.biases, nabla_b, strict=True):
            b -= eta * g
        for w, g in zip(core.weights, nabla_w, strict=True):
            w -= eta * (g + lmbda / n_batches * w)


def test_mini_batches_come_in_order_and_lambda_is_over_their_number(shared, capsys) -> None:
    layers, n = convolutional(10, 3)
    net = network3.Network([*layers, SoftmaxLayer(n_in=n, n_out=10)], 10)
    twin = net.core.astype(np.float32)
    (x, y), validation_data, test_data = shared
    net.SGD((x[:208], y[:208]), 2, 10, 0.1, validation_data, test_data, lmbda=0.5)
    for _ in range(2):
        steps_of_the_book(twin, x[:208], y[:208], 10, 0.1, 0.5)  # the last 8 are left out
    for p, q in zip(net.core.parameters, twin.parameters, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-3, atol=1e-5)


def test_dropout_is_of_the_inputs_of_a_layer() -> None:
    layers, n = convolutional(10, 3)
    first = FullyConnectedLayer(n_in=n, n_out=8, p_dropout=0.25)
    net = network3.Network([*layers, first, SoftmaxLayer(n_in=8, n_out=10, p_dropout=0.5)], 10)
    kinds = [(Conv, None), (Dropout, 0.25), (Dense, None), (Dropout, 0.5), (Dense, None)]
    assert [(type(l), getattr(l, "p", None)) for l in net.core.layers] == kinds
    # An answer is that of the weights times 1 - p.
    seed(5)
    net.layers[-1].w[...] = np.random.standard_normal((8, 10))  # noqa: NPY002
    plain = Core(
        [Conv(3, 5, pool=2), Dense(8), Dense(10, softmax)],
        cost=log_likelihood,
        input_shape=(1, 28, 28),
    )
    for p, q in zip(plain.parameters, net.core.parameters, strict=True):
        p[...] = q
    plain.weights[1][...] *= 0.75
    plain.weights[2][...] *= 0.5
    x = np.random.random((784, 5))  # noqa: NPY002
    np.testing.assert_allclose(net.core(x), plain(x), rtol=1e-4)


def test_a_tie_moves_to_the_later_epoch(shared, capsys, monkeypatch) -> None:
    series = iter([0.5, 0.1, 0.7, 0.2, 0.6, 0.7, 0.3, 0.69])
    monkeypatch.setattr(network3, "accuracy", lambda core, data: next(series))
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 10)
    net.SGD((shared[0][0][:50], shared[0][1][:50]), 5, 10, 0.1, shared[1], shared[2])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Epoch 0: validation accuracy 50.00%",
        "This is the best validation accuracy to date.",
        "The corresponding test accuracy is 10.00%",
        "Epoch 1: validation accuracy 70.00%",
        "This is the best validation accuracy to date.",
        "The corresponding test accuracy is 20.00%",
        "Epoch 2: validation accuracy 60.00%",
        "Epoch 3: validation accuracy 70.00%",
        "This is the best validation accuracy to date.",
        "The corresponding test accuracy is 30.00%",
        "Epoch 4: validation accuracy 69.00%",
        "Finished training network.",
        "Best validation accuracy of 70.00% obtained at iteration 19",
        "Corresponding test accuracy of 30.00%",
    ]


def test_test_data_may_be_none(shared, capsys) -> None:
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 10)
    net.SGD(shared[0], 1, 10, 0.1, shared[1], None)
    assert "test" not in capsys.readouterr().out


def test_validation_leaves_out_what_does_not_fill_a_mini_batch(shared, capsys) -> None:
    x, y = shared[1]
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 60)
    net.SGD(shared[0], 1, 60, 0.1, (x, y), None)  # 180 of 200
    whole = evaluate(net.core, Dataset(x[:180], y[:180])).accuracy
    assert f"Epoch 0: validation accuracy {whole:.2%}\n" in capsys.readouterr().out
    assert f"{whole:.2%}" != f"{evaluate(net.core, Dataset(x, y)).accuracy:.2%}"


def test_numpy_s_seed_repeats_a_program_of_chapter_6(shared, capsys) -> None:
    def program(s: int) -> str:
        seed(s)
        net = with_dropout(10)
        net.SGD((shared[0][0][:100], shared[0][1][:100]), 1, 10, 0.03, shared[1], shared[2])
        return capsys.readouterr().out, [p.tobytes() for p in net.core.parameters]

    assert program(4) == program(4) != program(5)


def test_a_listing_of_chapter_6_that_diverges_warns_and_runs_to_its_end(shared, capsys) -> None:
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 10)
    with pytest.warns(RuntimeWarning, match=r"diverged in epoch \d.*no more is learned"):
        net.SGD(shared[0], 3, 10, 10.0, shared[1], shared[2], lmbda=1000.0)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("Epoch") for line in lines) == 3
    zeros_read = f"{(shared[1][1] == 0).mean():.2%}"
    assert f"Epoch 2: validation accuracy {zeros_read}" in lines


def test_a_network_of_chapter_6_is_kept_on_disk_by_its_core(shared, tmp_path: Path, capsys) -> None:
    net = dbl_conv(10, ReLU)
    save(net.core, tmp_path / "net.npz")
    assert np.array_equal(load(tmp_path / "net.npz")(shared[0][0].T), net.core(shared[0][0].T))
    assert net.core.output.init is zeros
    assert net.core.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (list, "last layer must be a SoftmaxLayer"),
        (lambda: [FullyConnectedLayer(784, 10)], "last layer must be a SoftmaxLayer"),
        (
            lambda: [FullyConnectedLayer(784, 30), SoftmaxLayer(100, 10)],
            r"layers\[1\] must take \(30,\), as it comes, but is for \(100,\)",
        ),
        (
            lambda: [*convolutional(10, 20)[0], SoftmaxLayer(20 * 24 * 24, 10)],
            r"layers\[1\] must take \(20, 12, 12\), .* \(11520,\)",
        ),
        (
            lambda: [
                FullyConnectedLayer(784, 784),
                *convolutional(10, 2)[0],
                SoftmaxLayer(288, 10),
            ],
            r"layers\[1\] must take \(784,\), .* \(1, 28, 28\)",
        ),
        (
            lambda: [ConvPoolLayer((2, 1, 5, 4), (10, 1, 28, 28))],
            "filters and pools must be square",
        ),
        (
            lambda: [ConvPoolLayer((2, 1, 5, 5), (10, 1, 28, 28), (2, 1))],
            "filters and pools must be square",
        ),
        (lambda: [ConvPoolLayer((2, 3, 5, 5), (10, 1, 28, 28))], "a filter needs the maps of its"),
        (lambda: [SoftmaxLayer(784, 10, p_dropout=1.0)], r"dropping a neuron, in \[0, 1\)"),
    ],
)
def test_layers_that_do_not_fit_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        network3.Network(make(), 10)


def test_the_size_of_a_mini_batch_is_the_network_s(shared) -> None:
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 10)
    with pytest.raises(ValueError, match="must be that of the network, 10, not 20"):
        net.SGD(shared[0], 1, 20, 0.1, shared[1], shared[2])


def test_activation_functions_are_functions() -> None:
    z = np.array([-1.0, 0.0, 2.0])
    assert ReLU(z).tolist() == [0, 0, 2]
    assert linear(z).tolist() == [-1, 0, 2]
    np.testing.assert_allclose(tanh(z), np.tanh(z))
    np.testing.assert_allclose(network3.sigmoid(z), 1 / (1 + np.exp(-z)))


# Exercises that ask for numbers


def test_four_neurons_write_the_digit_in_binary() -> None:
    """Chapter 1: the bit is 1 where the digits that have it outweigh those that have not."""
    net = network.Network([10, 4])
    has_bit = np.array([[digit >> bit & 1 for digit in range(10)] for bit in range(4)])
    net.weights, net.biases = [20.0 * has_bit - 10], [np.zeros((4, 1))]
    for digit in range(10):
        for others in (0.0, 0.01):  # the worst that the exercise allows
            a = np.full((10, 1), others)
            a[digit] = 0.99
            assert np.array_equal(net.feedforward(a).ravel() > 0.5, has_bit[:, digit])


def test_the_width_of_the_range_in_which_a_gradient_does_not_shrink() -> None:
    """Chapter 5: |w sigma'(wa + b)| >= 1 on a range of a no wider than 0.45, at w = 6.9."""
    a = np.linspace(-0.5, 0.5, 20_001)
    w = np.arange(3.5, 12, 0.1)
    width = np.array([(np.abs(v * network.sigmoid_prime(v * a)) >= 1).mean() for v in w])
    assert not width[w < 3.95].any()
    assert width.max() == pytest.approx(0.4477, abs=2e-4)
    assert w[width.argmax()] == pytest.approx(6.9, abs=0.25)


def test_a_sigmoid_neuron_can_give_back_its_input() -> None:
    """Chapter 5: with a small w_1, w_2 sigma(w_1 (x - 1/2)) is x, but for a constant."""
    w_1 = 0.01
    w_2 = 1 / (w_1 * network.sigmoid_prime(0.0))
    net = network.Network([1, 1])
    net.weights, net.biases = [[[w_1]]], [[[-w_1 / 2]]]
    x = np.linspace(0, 1, 11)
    outputs = w_2 * np.array([net.feedforward([[value]])[0, 0] for value in x])
    np.testing.assert_allclose(outputs - w_2 / 2 + 0.5, x, atol=1e-5)


def test_rectified_outputs_grow_by_c_to_the_number_of_layers() -> None:
    """Chapter 6: what all weights of a rectified network, times c, do to its outputs."""
    net = Core([5, 4, 4, 3], cost=quadratic, activation=relu, init=he, rng=0, dtype=np.float64)
    x = np.random.default_rng(1).random((5, 7))
    for b in net.biases:
        b[...] = 0
    before = net(x)
    for w in net.weights:
        w *= 3
    np.testing.assert_allclose(net(x), 3**3 * before)
    assert before.max() > 0


@pytest.mark.parametrize(("init", "least", "most"), [(he, 0.3, 3), (default, 0, 0.2)])
def test_rectified_gradients_keep_their_size_when_weights_start_as_he_et_al_say(
    init: Initializer, least: float, most: float
) -> None:
    """Chapter 6: half of the neurons are silent, which N(0, 2/n_in) makes good, and 1/n_in not."""
    net = Core([100] * 12, cost=quadratic, activation=relu, output=identity, init=init, rng=0)
    for b in net.biases:
        b[...] = 0
    rng = np.random.default_rng(1)
    nabla_b, _ = net.backprop(rng.standard_normal((100, 50)), rng.standard_normal((100, 50)))
    assert least < np.linalg.norm(nabla_b[0]) / np.linalg.norm(nabla_b[-2]) < most


def test_whole_numbers_are_what_they_are_everywhere() -> None:
    x, y = np.array([[0], [1], [0], [1]], np.uint8), np.array([[1.0], [0.0]])
    nets = [network.Network([4, 3, 2]) for _ in range(3)]
    for net in nets[1:]:
        net.weights, net.biases = nets[0].weights, nets[0].biases
    np.testing.assert_array_equal(nets[0].feedforward(x), nets[0].feedforward(x.astype(float)))
    for ours, theirs in zip(nets[0].backprop(x, y), nets[0].backprop(1.0 * x, y), strict=True):
        for nabla, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(nabla, other)
    nets[1].update_mini_batch([(x, y)], 1.0)
    nets[2].SGD([(x, y)], 1, 1, 1.0)
    for w, other in zip(nets[1].weights, nets[2].weights, strict=True):
        np.testing.assert_array_equal(w, other)
