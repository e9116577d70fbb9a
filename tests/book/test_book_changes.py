"""A reader who changes the listings' code: each change is used, and SGD says so once."""

from __future__ import annotations

import copy
import pickle
import types
import warnings
from itertools import pairwise

import numpy as np
import pytest
from listings import NETWORKS, X, assert_all_close, epochs_of, seed

from nndl.book import network, network2
from nndl.book.adapter import seeded_generator

SLOWER = "SGD uses it, in the book's loop over examples, which is slower"


class Momentum(network.Network):
    """What many readers write first: chapter 3's momentum in chapter 1's program."""

    mu = 0.5

    def __init__(self, sizes):
        super().__init__(sizes)
        self.velocities = [np.zeros(w.shape) for w in self.weights]

    def update_mini_batch(self, mini_batch, eta):
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        for x, y in mini_batch:
            nabla_w = [n + d for n, d in zip(nabla_w, self.backprop(x, y)[1], strict=True)]
        self.velocities = [
            self.mu * v - eta / len(mini_batch) * n
            for v, n in zip(self.velocities, nabla_w, strict=True)
        ]
        self.weights = [w + v for w, v in zip(self.weights, self.velocities, strict=True)]


def test_columns_of_a_mini_batch_give_the_sums_of_the_books_lines(monkeypatch):
    seed(0)
    net = network.Network([6, 4, 3])
    rng = np.random.default_rng(0)
    x, y = rng.random((6, 10)), np.eye(3)[:, rng.integers(0, 3, 10)]
    nabla_b, nabla_w = net.backprop(x, y)
    each = [net.backprop(x[:, [i]], y[:, [i]]) for i in range(10)]
    for layer, (b, w) in enumerate(zip(nabla_b, nabla_w, strict=True)):
        assert_all_close([w], [sum(one[1][layer] for one in each)])
        assert_all_close([b], [np.hstack([one[0][layer] for one in each])])


class CubicCost:
    """A reader's own cost: the sum of |a - y|^3 / 3."""

    @staticmethod
    def fn(a, y):
        return float((np.abs(a - y) ** 3).sum() / 3)

    @staticmethod
    def delta(z, a, y):
        return (a - y) * np.abs(a - y) * network2.sigmoid_prime(z)


def twins(make, sizes=(5, 4, 3)):
    """Return the network that make returns, and the plain listing's with the same parameters."""
    changed = make(list(sizes))
    plain = type(changed).__mro__[1](list(sizes))
    plain.weights, plain.biases = changed.weights, changed.biases
    return changed, plain


def learned(net, small, *more, **keywords):
    """Train with a seed, and return the parameters."""
    seed(3)
    net.SGD(small, 3, 4, 0.7, *more, **keywords)
    return [*net.weights, *net.biases]


@pytest.fixture
def slower():
    """Expect the warning that says what has been replaced."""
    with pytest.warns(UserWarning, match=SLOWER):
        yield


# Methods that a subclass overrides


@pytest.mark.parametrize("module", [network, network2])
@pytest.mark.parametrize("name", ["backprop", "update_mini_batch"])
def test_an_override_that_only_calls_the_listing_learns_the_same(
    slower, small, module, name, capsys
) -> None:
    calls = []

    def method(self, *args):
        calls.append(args)
        return getattr(module.Network, name)(self, *args)

    changed, plain = twins(type("Same", (module.Network,), {name: method}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = learned(plain, small)
    assert_all_close(learned(changed, small), expected)
    assert len(calls) == 3 * (14 if name == "backprop" else 4)


def test_an_overridden_update_mini_batch_is_used(slower, small, capsys) -> None:
    changed, plain = twins(Momentum)
    start = copy.deepcopy(plain.biases)
    assert not np.allclose(learned(changed, small)[0], learned(plain, small)[0])
    assert_all_close(changed.biases, start)  # it leaves them alone
    assert all(v.any() for v in changed.velocities)


def test_an_overridden_update_mini_batch_of_network2_is_given_lmbda_and_n(slower, small) -> None:
    class Network(network2.Network):
        def update_mini_batch(self, mini_batch, eta, lmbda, n):
            given.add((len(mini_batch), eta, lmbda, n))

    given: set[tuple[object, ...]] = set()
    changed, plain = twins(Network)
    assert_all_close(learned(changed, small, 2.0), [*plain.weights, *plain.biases])
    assert given == {(4, 0.7, 2.0, 14), (2, 0.7, 2.0, 14)}


def test_an_overridden_backprop_is_used(slower, small, capsys) -> None:
    class Frozen(network.Network):
        def backprop(self, x, y):
            nabla_b, nabla_w = super().backprop(x, y)
            return nabla_b, [np.zeros(w.shape) for w in nabla_w]

    changed, plain = twins(Frozen)
    learned(changed, small)
    assert_all_close(changed.weights, plain.weights)
    assert not np.allclose(changed.biases[0], plain.biases[0])


def test_an_overridden_cost_derivative_is_used(slower, small, capsys) -> None:
    class Steeper(network.Network):
        def cost_derivative(self, output_activations, y):
            return 3 * (output_activations - y)

    changed, plain = twins(Steeper)
    for ours, theirs in zip(changed.backprop(*small[0]), plain.backprop(*small[0]), strict=True):
        assert_all_close(ours, [3 * nabla for nabla in theirs])
    changed.SGD(small, 1, 14, 0.1)
    plain.SGD(small, 1, 14, 0.3)
    assert_all_close(changed.weights, plain.weights)


def test_an_overridden_feedforward_is_what_evaluation_asks(slower, data, capsys) -> None:
    class Guess(network.Network):
        def feedforward(self, a):
            return np.eye(10)[:, [7]]

    net = Guess([784, 10])
    sevens = sum(y == 7 for _, y in data[2])
    assert net.evaluate(data[2]) == sevens
    net.SGD(data[0][:20], 1, 10, 3.0, test_data=data[2])
    assert epochs_of(capsys.readouterr().out, r"Epoch (\d+): (\d+) / 300") == [sevens]


def test_an_overridden_evaluate_is_what_is_printed(slower, small, capsys) -> None:
    class Optimist(network.Network):
        def evaluate(self, test_data):
            return len(test_data)

    changed, plain = twins(Optimist)
    assert_all_close(learned(changed, small, small), learned(plain, small))
    assert "Epoch 2: 14 / 14\n" in capsys.readouterr().out


def test_overridden_measures_of_network2_are_called_as_in_the_book(slower, small, capsys) -> None:
    class Network(network2.Network):
        def accuracy(self, data, convert=False):
            return 10 * convert + len(data)

        def total_cost(self, data, lmbda, convert=False):
            return 100.0 * convert + lmbda

    changed, plain = twins(Network)
    monitors = [True] * 4
    seed(3)
    assert changed.SGD(small, 1, 4, 0.7, 2.0, small[:5], *monitors) == ([102.0], [5], [2.0], [24])
    seed(3)
    plain.SGD(small, 1, 4, 0.7, 2.0)
    assert_all_close(changed.weights, plain.weights)
    assert "Cost on evaluation data: 102.0\nAccuracy on evaluation data: 5 / 5\n" in (
        capsys.readouterr().out
    )


def test_an_overridden_initializer_makes_the_first_weights() -> None:
    class Zeros(network2.Network):
        def default_weight_initializer(self):
            self.biases = [np.zeros((n, 1)) for n in self.sizes[1:]]
            self.weights = [np.zeros((n, m)) for m, n in pairwise(self.sizes)]

    assert Zeros([5, 4, 3]).feedforward(X).tolist() == [[0.5]] * 3


def test_a_subclass_may_make_its_parameters_without_the_listing_s_init(small, capsys) -> None:
    class Own(network.Network):
        def __init__(self, sizes):
            self.num_layers, self.sizes = len(sizes), sizes
            self.biases = [np.zeros((n, 1)) for n in sizes[1:]]
            self.weights = [np.full((n, m), 0.1) for m, n in pairwise(sizes)]

    net = Own([5, 4, 3])
    before = net.feedforward(X)
    net.SGD(small, 1, 10, 3.0)
    assert before[0] == 1 / (1 + np.exp(-0.2))
    assert not np.array_equal(net.feedforward(X), before)


# Functions and methods that are assigned


@pytest.mark.parametrize("module", [network, network2])
def test_replaced_sigmoid_and_sigmoid_prime_are_used(module, slower, small, monkeypatch) -> None:
    monkeypatch.setattr(module, "sigmoid", np.tanh)
    monkeypatch.setattr(module, "sigmoid_prime", lambda z: 1 - np.tanh(z) ** 2)
    net = module.Network([5, 4, 3])
    if module is network2:
        net.cost = network2.QuadraticCost
    x, y = small[0]
    a = x
    for w, b in zip(net.weights, net.biases, strict=True):
        a = np.tanh(w @ a + b)
    assert_all_close(net.feedforward(x), a)
    nabla_b, nabla_w = net.backprop(x, y)

    def cost() -> float:
        return float(((net.feedforward(x) - y) ** 2).sum() / 2)

    for nabla, arrays in ((nabla_w, net.weights), (nabla_b, net.biases)):
        for gradient, array in zip(nabla, arrays, strict=True):
            array[0, 0] += 1e-6
            above = cost()
            array[0, 0] -= 2e-6
            assert gradient[0, 0] == pytest.approx((above - cost()) / 2e-6, rel=1e-6, abs=1e-9)
            array[0, 0] += 1e-6
    before = net.weights[0].copy()
    net.SGD(small, 1, 4, 0.1)
    assert not np.array_equal(net.weights[0], before)


def test_a_sigmoid_of_the_reader_s_own_learns_the_same(slower, small, monkeypatch, capsys) -> None:
    plain = network.Network([5, 4, 3])
    net = copy.deepcopy(plain)
    expected = learned(plain, small, small)
    monkeypatch.setattr(network, "sigmoid", lambda z: 1.0 / (1.0 + np.exp(-z)))
    assert_all_close(learned(net, small, small), expected)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == lines[3:]


def test_a_method_assigned_to_one_network_is_used(slower, small, capsys) -> None:
    net, other = network.Network([5, 4, 3]), network.Network([5, 4, 3])
    net.update_mini_batch = types.MethodType(lambda self, mini_batch, eta: None, net)
    before = copy.deepcopy(net.weights)
    learned(net, small)
    assert_all_close(net.weights, before)
    before = copy.deepcopy(other.weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learned(other, small)
    assert not np.array_equal(other.weights[0], before[0])


def test_a_method_assigned_to_the_listing_s_class_is_used(
    slower, small, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(network.Network, "cost_derivative", lambda self, a, y: 0 * a)
    net = network.Network([5, 4, 3])
    before = copy.deepcopy(net.weights)
    learned(net, small)
    assert_all_close(net.weights, before)


# Costs of the reader's own


@pytest.mark.parametrize("instance", [False, True])
def test_a_cost_of_the_reader_s_own_is_used(slower, small, instance, capsys) -> None:
    seed(1)
    cost = CubicCost() if instance else CubicCost
    net = network2.Network([5, 4, 3], cost=cost)
    x, y = small[0]
    expected = np.mean([CubicCost.fn(net.feedforward(x), y) for x, y in small])
    assert net.total_cost(small, 0.0) == pytest.approx(expected, rel=1e-12)
    nabla_b, _ = net.backprop(x, y)
    z = net.weights[1] @ network2.sigmoid(net.weights[0] @ x + net.biases[0]) + net.biases[1]
    assert_all_close(nabla_b[1], CubicCost.delta(z, network2.sigmoid(z), y))
    costs = net.SGD(small, 20, 4, 5.0, monitor_training_cost=True)[2]
    assert costs[-1] == net.total_cost(small, 0.0) < 0.9 * costs[0]


def test_a_cost_of_the_reader_s_own_measures_labels_too(small) -> None:
    net = network2.Network([5, 4, 3], cost=CubicCost)
    labels = [(x, int(y.argmax())) for x, y in small]
    assert net.total_cost(labels, 3.0, convert=True) == net.total_cost(small, 3.0)


def test_a_subclass_of_a_cost_is_used(slower, small, capsys) -> None:
    class Double(network2.QuadraticCost):
        @staticmethod
        def delta(z, a, y):
            return 2 * network2.QuadraticCost.delta(z, a, y)

    net = network2.Network([5, 4, 3], cost=Double)
    plain = network2.Network([5, 4, 3], cost=network2.QuadraticCost)
    plain.weights, plain.biases = net.weights, net.biases
    net.SGD(small, 1, 14, 0.5)
    plain.SGD(small, 1, 14, 1.0)
    assert_all_close(net.weights, plain.weights)


def test_a_replaced_delta_of_the_listing_s_cost_is_used(slower, small, monkeypatch) -> None:
    monkeypatch.setattr(network2.CrossEntropyCost, "delta", staticmethod(lambda z, a, y: 0 * a))
    net = network2.Network([5, 4, 3])
    before = copy.deepcopy(net.biases)
    learned(net, small)
    assert_all_close(net.biases, before)


def test_a_cost_assigned_later_is_the_network_s(small, capsys) -> None:
    net, twin = network2.Network([5, 4, 3]), network2.Network([5, 4, 3], network2.QuadraticCost)
    twin.weights, twin.biases = net.weights, net.biases
    net.cost = network2.QuadraticCost
    for p, q in zip(learned(net, small), learned(twin, small), strict=True):
        assert np.array_equal(p, q)


def test_a_cost_of_the_reader_s_own_cannot_be_named_in_a_file(tmp_path) -> None:
    net = network2.Network([2, 1], cost=CubicCost)
    with pytest.raises(ValueError, match=r"not <class .*CubicCost.*set net\.cost to one of them"):
        net.save(tmp_path / "net.json")


# What is said, and what stays fast


def test_sgd_names_what_was_replaced_once(small, monkeypatch, capsys) -> None:
    monkeypatch.setattr(network, "sigmoid_prime", lambda z: z)
    net = Momentum([5, 4, 3])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            net.SGD(small, 2, 4, 0.7, test_data=small)
    assert [str(warning.message) for warning in caught] == [
        "Momentum replaces update_mini_batch, sigmoid_prime of nndl.book.network: " + SLOWER
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(("make", "cost"), NETWORKS)
def test_a_network_that_nobody_changed_trains_by_the_core(
    make, cost, small, capsys, monkeypatch
) -> None:
    net = make([5, 4, 3])
    twin = copy.deepcopy(net)
    data = net._examples(small)
    seed(3)
    list(twin._core.sgd(data, 3, 4, 0.7, rng=seeded_generator()))
    for p, q in zip(learned(net, small), [*twin.weights, *twin.biases], strict=True):
        assert np.array_equal(p, q)


def test_a_subclass_that_overrides_nothing_trains_by_the_core(small, capsys) -> None:
    class Renamed(network.Network):
        def describe(self):
            return str(self.sizes)

    changed, plain = twins(Renamed)
    for p, q in zip(learned(changed, small, small), learned(plain, small, small), strict=True):
        assert np.array_equal(p, q)


def test_copies_of_a_changed_network_are_changed_too(small) -> None:
    net = Momentum([5, 4, 3])
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert_all_close(twin.feedforward(X), net.feedforward(X))
        assert twin._replaced("update_mini_batch") == ["update_mini_batch"]


# Desired outputs of any kind

XOR = [(np.array([[p], [q]]), np.array([[p ^ q]])) for p in (0, 1) for q in (0, 1)]


@pytest.mark.parametrize("module", [network, network2])
def test_xor_with_one_output_is_learned(module, capsys) -> None:
    seed(1)
    net = module.Network([2, 4, 1])
    net.SGD(XOR, 2000, 4, 5.0)
    for x, y in XOR:
        assert net.feedforward(x)[0, 0] == pytest.approx(y[0, 0], abs=0.1)


def test_xor_is_counted_by_the_side_of_one_half(capsys) -> None:
    seed(1)
    net = network.Network([2, 4, 1])
    net.SGD(XOR, 2000, 4, 5.0, test_data=XOR)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Epoch 1999: 4 / 4"
    assert net.evaluate([(x, 1 - y) for x, y in XOR]) == 0


@pytest.mark.parametrize("form", [lambda y: float(y[0, 0]), lambda y: int(y[0, 0]), np.ravel])
def test_a_single_output_may_be_a_number(form, capsys) -> None:
    nets = [network.Network([2, 3, 1]) for _ in range(2)]
    nets[1].weights, nets[1].biases = nets[0].weights, nets[0].biases
    expected = learned(nets[0], XOR, XOR)
    for p, q in zip(learned(nets[1], [(x, form(y)) for x, y in XOR], XOR), expected, strict=True):
        assert np.array_equal(p, q)


@pytest.mark.parametrize("module", [network, network2])
def test_real_outputs_are_learned_as_in_the_loop_over_examples(
    module, small, capsys, monkeypatch
) -> None:
    pairs = [(x, 0.2 + 0.5 * y) for x, y in small]
    net = module.Network([5, 4, 3])
    looped = copy.deepcopy(net)
    more = () if module is network else (2.0,)
    fast = learned(net, pairs, *more)
    looped.backprop = types.MethodType(module.Network.backprop, looped)
    with pytest.warns(UserWarning, match=SLOWER):
        assert_all_close(learned(looped, pairs, *more), fast)


def test_the_cost_of_real_outputs_is_the_mean_over_examples(small, capsys) -> None:
    pairs = [(x, 0.2 + 0.5 * y) for x, y in small]
    net = network2.Network([5, 4, 3])
    squares = sum(float((w**2).sum()) for w in net.weights)
    mean = np.mean([net.cost.fn(net.feedforward(x), y) for x, y in pairs])
    assert net.total_cost(pairs, 3.0) == pytest.approx(mean + 3.0 / (2 * 14) * squares, rel=1e-12)
    largest = sum(net.feedforward(x).argmax() == y.argmax() for x, y in pairs)
    assert net.accuracy(pairs) == largest


def test_training_on_real_outputs_that_diverges_warns_and_runs_to_its_end(small, capsys) -> None:
    net = network2.Network([5, 3])
    pairs = [(x, 0.5 * y) for x, y in small]
    with pytest.warns(RuntimeWarning, match=r"diverged in epoch \d+.*stay as they are"):
        net.SGD(pairs, 400, 1, 100.0, lmbda=1000.0)
    assert capsys.readouterr().out.count("training complete") == 400


@pytest.mark.parametrize("change", [False, True])
@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_a_mini_batch_size_below_1_is_refused(size, change, small) -> None:
    net = (Momentum if change else network.Network)([5, 4, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="mini_batch_size must be a whole number of images, 1"):
            net.SGD(small, 1, size, 0.5)


# Sizes that do not fit, early stopping, files


def test_a_first_size_of_783_is_named_as_the_one_that_is_wrong(data) -> None:
    message = (
        r"first size of the network is 783, but each x holds 784 .* Network\(\[784, 30, 10\]\)"
    )
    with pytest.raises(ValueError, match=message):
        network.Network([783, 30, 10]).SGD(data[0], 1, 10, 3.0)
    with pytest.raises(ValueError, match="first size of the network is 783, but x holds 784"):
        network.Network([783, 30, 10]).feedforward(data[0][0][0])


def test_a_last_size_of_9_is_named_as_the_one_that_is_wrong(data) -> None:
    net = network.Network([784, 30, 9])
    message = r"last size of the network is 9, but each y holds 10 .* Network\(\[784, 30, 10\]\)"
    with pytest.raises(ValueError, match=message):
        net.SGD(data[0], 1, 10, 3.0)
    with pytest.raises(ValueError, match=r"last size .* is 9, but there are labels up to 9: make"):
        net.evaluate(data[2])


class Scripted(network2.Network):
    """Its accuracies are given."""

    def accuracy(self, data, convert=False):
        return self.counts.pop(0)


@pytest.mark.parametrize(("n", "epochs"), [(0, 10), (1, 3), (2, 4), (3, 8), (6, 10)])
def test_early_stopping_waits_n_epochs_for_a_better_accuracy(
    slower, small, n, epochs, capsys
) -> None:
    net = Scripted([5, 3])
    net.counts = [3, 5, 5, 4, 6, 5, 6, 2, 1, 0]
    result = net.SGD(small, 10, 4, 0.5, 0.0, small, False, True, early_stopping_n=n)
    assert len(result[1]) == epochs


def test_early_stopping_measures_what_is_not_monitored(small, capsys) -> None:
    net = network2.Network([5, 3])
    results = net.SGD(small, 300, 4, 1e-9, evaluation_data=small, early_stopping_n=2)
    assert results == ([], [], [], [])
    lines = capsys.readouterr().out
    assert lines.count("training complete") == 3
    assert lines.endswith("Stopped: no better accuracy in 2 epochs\n")


@pytest.mark.parametrize("n", [-1, 2.5, None])
def test_early_stopping_by_something_else_is_refused(small, n) -> None:
    with pytest.raises(ValueError, match="early_stopping_n must be a number of epochs"):
        network2.Network([5, 3]).SGD(small, 1, 4, 0.5, evaluation_data=small, early_stopping_n=n)


def test_early_stopping_needs_evaluation_data(small) -> None:
    with pytest.raises(ValueError, match="pass evaluation_data that are not empty"):
        network2.Network([5, 3]).SGD(small, 1, 4, 0.5, early_stopping_n=1)


def test_a_network_of_chapter_1_is_saved_and_loaded(small, tmp_path, capsys) -> None:
    net = network.Network([5, 4, 3])
    net.save(tmp_path / "net")
    for module in (network, network2):
        loaded = module.load(tmp_path / "net")
        assert type(loaded) is module.Network
        for p, q in zip(loaded.weights + loaded.biases, net.weights + net.biases, strict=True):
            assert np.array_equal(p, q)
    assert loaded.cost is network2.QuadraticCost
    assert_all_close(learned(network.load(tmp_path / "net"), small), learned(net, small))


def test_a_network_with_cross_entropy_is_not_one_of_chapter_1(tmp_path) -> None:
    network2.Network([2, 1]).save(tmp_path / "net")
    with pytest.raises(ValueError, match=r"holds one with the cross-entropy cost: read it by netw"):
        network.load(tmp_path / "net")
