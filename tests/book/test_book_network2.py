"""The listings of chapters 3 and 5, with fewer epochs and mostly on synthetic digits."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
from listings import X, assert_all_close, seed

from nndl.activations import sigmoid
from nndl.book import mnist_loader, network2
from nndl.costs import cross_entropy, quadratic
from nndl.data import Dataset
from nndl.network import Network as Core
from nndl.training.metrics import evaluate

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
    with pytest.warns(RuntimeWarning, match=r"diverged in epoch \d.*stay as they are"):
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


def test_monitoring_needs_evaluation_data(data) -> None:
    with pytest.raises(ValueError, match="pass evaluation_data that are not empty"):
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
def test_costs_equal_the_core_s(cost, core, instance, small) -> None:
    cost = cost() if instance else cost
    z, y = np.array([[1.5], [-0.5], [0.25]]), small[0][1]
    a = sigmoid(z)
    assert cost.fn(a, y) == pytest.approx(core.value(z, a, y, sigmoid)[0], rel=1e-12)
    np.testing.assert_allclose(cost.delta(z, a, y), core.delta(z, a, y, sigmoid), rtol=1e-12)
    net = network2.Network([5, 3], cost=cost)
    assert net.cost is cost
    net.weights, net.biases = [np.zeros((3, 5))], [z]
    assert net.total_cost([(X, y)], 0.0) == pytest.approx(cost.fn(a, y), rel=1e-12)


def test_saturated_correct_outputs_cost_0() -> None:
    y = np.array([[1.0], [0.0]])
    assert network2.CrossEntropyCost.fn(y, y) == 0
    assert network2.CrossEntropyCost.fn(1 - y, y) == np.inf


def test_the_l2_term_is_divided_by_the_size_of_the_measured_set(small) -> None:
    net = network2.Network([5, 4, 3])
    squares = sum(float((w**2).sum()) for w in net.weights)
    for n in (3, 14):
        term = net.total_cost(small[:n], 6.0) - net.total_cost(small[:n], 0.0)
        assert term == pytest.approx(6.0 / (2 * n) * squares, rel=1e-9)


@pytest.mark.parametrize("cost", ["cross-entropy", network2, cross_entropy])
def test_a_cost_without_fn_and_delta_is_refused(cost) -> None:
    with pytest.raises(TypeError, match=r"must have functions fn\(a, y\) and delta"):
        network2.Network([2, 1], cost=cost)


# Files


@pytest.mark.parametrize("cost", [network2.QuadraticCost, network2.CrossEntropyCost])
def test_a_saved_network_loads_with_the_same_outputs(tmp_path: Path, small, cost, capsys) -> None:
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


def test_files_of_the_author_s_code_are_read(tmp_path: Path) -> None:
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


def test_accuracy_and_cost_equal_the_core_s(data) -> None:
    net = network2.Network([784, 30, 10])
    core = Core([784, 30, 10], dtype=np.float64)
    for p, q in zip(core.parameters, [*net.weights, *net.biases], strict=True):
        p[...] = q
    images = np.array([x for x, _ in data[2]])[:, :, 0]
    labels = np.array([label for _, label in data[2]])
    score = evaluate(core, Dataset(images, labels), 3.0)
    assert net.accuracy(data[2]) == score.correct
    assert net.total_cost(data[2], 3.0, convert=True) == score.cost
