"""The listings of chapters 1 and 2, with fewer epochs and mostly on synthetic digits."""

from __future__ import annotations

import copy
import pickle
import random

import numpy as np
import pytest
from listings import NETWORKS, X, Y, assert_all_close, book_backprop, book_step, epochs_of, seed

from nndl.book import mnist_loader, network, network2
from nndl.costs import cross_entropy, quadratic
from nndl.network import Network as Core


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


@pytest.mark.parametrize(("make", "cost"), NETWORKS)
def test_backprop_equals_chapter_2_written_out(make, cost, small) -> None:
    net = make([5, 4, 4, 3])
    x, y = small[0]
    for ours, theirs in zip(net.backprop(x, y), book_backprop(net, x, y, cost), strict=True):
        assert_all_close(ours, theirs)


@pytest.mark.parametrize(("make", "cost"), NETWORKS)
def test_backprop_equals_the_core_s_bit_for_bit(make, cost, small) -> None:
    net = make([5, 4, 3])
    kind = quadratic if cost is network2.QuadraticCost else cross_entropy
    core = Core([5, 4, 3], cost=kind, dtype=np.float64)
    for p, q in zip(core.parameters, [*net.weights, *net.biases], strict=True):
        p[...] = q
    for ours, theirs in zip(net.backprop(*small[1]), core.backprop(*small[1]), strict=True):
        for p, q in zip(ours, theirs, strict=True):
            assert np.array_equal(p, q)


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


def test_a_step_learns_real_outputs() -> None:
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


def test_data_can_be_shuffled_zipped_and_joined(data, capsys) -> None:
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
def test_uint8_inputs_are_not_divided_by_256_in_costs(small) -> None:
    x = np.full((5, 1), 2, np.uint8)
    net = network2.Network([5, 3])
    a = net.feedforward(x.astype(float))
    expected = network2.CrossEntropyCost.fn(a, small[0][1])
    assert net.total_cost([(x, small[0][1])], 0.0) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "empty"),
        (zip([], [], strict=True), r"keep list\(zip"),
        ([(X[:, 0], Y)], r"each x must have the shape \(5, 1\), but .* \[\(5,\)\]"),
        ([(X, Y), (X[:4], Y)], r"each x .*\[\(4, 1\), \(5, 1\)\]"),
        ([(X, Y[:2])], r"last size of the network is 3, but each y holds 2 .*\[5, 2\]"),
        ([(X, Y), (X, 2)], r"each y must have the shape \(3, 1\)"),
        ([(X[:4], Y)], r"first size of the network is 5, but each x holds 4 .*\[4, 3\]"),
        ([(X, 3)], r"last size of the network is 3, but there are labels up to 3.*\[5, 4\]"),
        ([(X, 1.0)], "labels must be integers"),
        ([(np.full((5, 1), np.nan), Y)], "finite"),
        (np.zeros((4, 5)), r"tuples \(x, y\).*ndarray of shape \(5,\)"),
        ([1, 2], r"tuples \(x, y\).*int"),
    ],
)
@pytest.mark.parametrize("module", [network, network2])
def test_data_that_are_not_tuples_of_columns_are_refused(module, pairs, message) -> None:
    with pytest.raises(ValueError, match=message):
        module.Network([5, 3]).SGD(pairs, 1, 10, 1.0)


@pytest.mark.parametrize("mini_batch", [[], [(X, 1)], [(X, Y.T)], [(X[:4], Y)]])
def test_a_mini_batch_that_is_not_tuples_of_columns_is_refused(mini_batch) -> None:
    with pytest.raises(ValueError, match=r"must have the shape|first size|expected tuples"):
        network.Network([5, 3]).update_mini_batch(mini_batch, 1.0)


def test_wrong_shapes_of_one_example_are_refused() -> None:
    net = network.Network([5, 3])
    with pytest.raises(ValueError, match=r"shape \(5, 1\), not \(5,\): reshape"):
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


def test_arrays_of_other_shapes_cannot_be_assigned() -> None:
    net = network.Network([5, 4, 3])
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        net.weights[0] = net.weights[0].T
    with pytest.raises(ValueError, match=r"\(4, 1\).*\(4,\)"):
        net.biases[0] = np.zeros(4)
    with pytest.raises(
        ValueError, match=r"shapes \[\(4, 5\), \(3, 4\)\], but those assigned have \[\(4, 5\)\]"
    ):
        net.weights = [net.weights[0]]
    kept = [w.copy() for w in net.weights]
    with pytest.raises(ValueError, match=r"those assigned have \[\(4, 5\), \(2, 4\)\]"):
        net.weights = [np.zeros((4, 5)), np.zeros((2, 4))]
    assert all(np.array_equal(w, w0) for w, w0 in zip(net.weights, kept, strict=True))
    for change in (net.weights.append, net.biases.extend, net.weights.pop):
        with pytest.raises(TypeError, match="number and order"):
            change([])
    with pytest.raises(TypeError, match="number and order"):
        del net.weights[0]


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_independent(twin) -> None:
    net = network2.Network([5, 4, 3])
    a, kept, other = net.feedforward(X), twin(net.weights), twin(net)
    net.large_weight_initializer()
    assert np.array_equal(other.feedforward(X), a)
    assert not np.array_equal(net.feedforward(X), a)
    net.weights, net.biases = kept, other.biases
    assert np.array_equal(net.feedforward(X), a)


def test_each_call_of_sgd_shuffles_afresh(small, capsys) -> None:
    seed(4)
    net, twin = network.Network([5, 4, 3]), network.Network([5, 4, 3])
    twin.weights, twin.biases = net.weights, net.biases
    net.SGD(small, 1, 1, 3.0)
    twin.SGD(small, 1, 1, 3.0)
    assert not np.array_equal(net.weights[0], twin.weights[0])


def test_uint8_inputs_are_not_divided_by_256_anywhere() -> None:
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
