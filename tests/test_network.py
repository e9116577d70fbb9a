"""The network: gradients, the fused step compared with the textbook, training, threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import nndl.batches
from nndl._typing import Array
from nndl.activations import ACTIVATIONS, Activation, identity, sigmoid, softmax, tanh
from nndl.costs import COSTS, Cost, log_likelihood, quadratic
from nndl.data import Dataset
from nndl.differences import gradient_check
from nndl.initializers import default, lecun
from nndl.layers import Dense, Layer
from nndl.network import Network
from nndl.rng import Streams
from nndl.validation import DivergedError, one_hot

DEPTHS = [[5, 3], [5, 4, 3], [5, 4, 6, 3], [5, 4, 6, 4, 3]]
PENALTIES = [{}, {"lmbda": 3.0}, {"lmbda_l1": 2.0}, {"mu": 0.7}]
PENALTIES.append({"lmbda": 3.0, "lmbda_l1": 2.0, "mu": 0.7})
NESTEROV = [{"nesterov": True, **more} for more in ({"mu": 0.7}, PENALTIES[-1])]


def draw(rng: np.random.Generator, n: int = 7, n_in: int = 5, n_out: int = 3) -> Dataset:
    return Dataset(rng.normal(size=(n, n_in)), rng.integers(0, n_out, n))


def in_order(n: int) -> Array:
    return np.arange(n)


def run(net: Network, data: Dataset, epochs: int, size: int, eta: Any, **more: Any) -> Network:
    for _ in net.sgd(data, epochs, size, eta, **more):
        pass
    return net


def gradient(net: Network, x: Array, y: Array) -> list[Array]:
    nabla_b, nabla_w = net.backprop(x, y)
    return [*nabla_b, *nabla_w]


def same(one: Network, other: Network) -> bool:
    pairs = zip(one.parameters, other.parameters, strict=True)
    return all(p.tobytes() == q.tobytes() for p, q in pairs)


def textbook_epoch(
    net: Network, data: Dataset, size: int, eta: float, v: list[Array], **more: float
) -> None:
    """Update by the formulas of chapter 3, from `backprop`; v is the list of velocities."""
    lmbda, l1, mu = (more.get(name, 0.0) for name in ("lmbda", "lmbda_l1", "mu"))
    n = len(data)
    for i in range(0, n, size):
        x, y = data.images[i : i + size].T, data.labels[i : i + size]
        nabla_b, nabla_w = net.backprop(x, y)
        steps = [
            -eta * g - eta * lmbda / n * w - eta * l1 / n * np.sign(w)
            for w, g in zip(net.weights, nabla_w, strict=True)
        ] + [-eta * g for g in nabla_b]
        for k, (p, step) in enumerate(zip(net.parameters, steps, strict=True)):
            old, v[k] = v[k], mu * v[k] + step
            p += (1 + mu) * v[k] - mu * old if more.get("nesterov") else v[k]


@pytest.mark.parametrize("sizes", DEPTHS, ids=len)
@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=repr)
@pytest.mark.parametrize("cost", COSTS.values(), ids=repr)
def test_backpropagation_agrees_with_central_differences(
    sizes: list[int], activation: Activation, cost: Cost, rng: np.random.Generator
) -> None:
    net = Network(sizes, cost=cost, activation=activation, rng=rng, dtype=np.float64)
    data = draw(rng)
    assert gradient_check(net, data.images.T, data.labels) < 1e-5


@pytest.mark.parametrize("sizes", DEPTHS, ids=len)
def test_the_gradient_of_a_mini_batch_is_the_mean_over_its_examples(
    sizes: list[int], rng: np.random.Generator
) -> None:
    net, data = Network(sizes, rng=rng, dtype=np.float64), draw(rng)
    x, y = data.images.T, data.labels
    singles = [gradient(net, x[:, [i]], y[[i]]) for i in range(7)]
    for whole, parts in zip(gradient(net, x, y), zip(*singles, strict=True), strict=True):
        np.testing.assert_allclose(whole, np.mean(parts, axis=0), rtol=1e-12, atol=1e-15)


def test_labels_and_one_hot_columns_give_the_same_gradient(rng: np.random.Generator) -> None:
    net, data = Network([5, 4, 3], rng=rng), draw(rng)
    x, y = data.images.T, data.labels
    for p, q in zip(gradient(net, x, y), gradient(net, x, one_hot(y, 3)), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("more", PENALTIES + NESTEROV, ids=str)
@pytest.mark.parametrize("sizes", DEPTHS[1:3], ids=len)
def test_sgd_takes_the_textbook_step_also_for_a_smaller_last_mini_batch(
    more: dict[str, float], sizes: list[int], rng: np.random.Generator
) -> None:
    net, data = Network(sizes, cost=quadratic, rng=rng, dtype=np.float64), draw(rng)
    book, v = net.astype(np.float64), [np.zeros_like(p) for p in net.parameters]
    for _ in net.sgd(data, 3, 3, 0.4, order=in_order, **more):  # mini-batches of 3, 3 and 1
        textbook_epoch(book, data, 3, 0.4, v, **more)
        for p, q in zip(net.parameters, book.parameters, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("skip", [-7, 5, 700])
def test_images_to_skip_are_whole_mini_batches_of_the_epoch(skip: int) -> None:
    data = Dataset(np.zeros((70, 4), np.float32), np.zeros(70, int))
    with pytest.raises(ValueError, match=r"skip must be"):
        Network([4, 2]).sgd(data, 1, 7, 0.1, skip=skip)


def test_numbers_of_numpy_take_the_same_steps_as_those_of_python(rng: np.random.Generator) -> None:
    x, y = rng.random((4, 7)), rng.integers(0, 2, 7)
    numbers = {"lmbda": 0.5, "lmbda_l1": 0.25, "mu": 0.5}
    exact = {name: np.float32(value) for name, value in numbers.items()}  # powers of 2
    for eta, mixed in ((1.0, exact), (np.uint8(1), numbers), (np.float32(1), exact)):
        ours, theirs = (Network([4, 3, 2], rng=0, dtype=np.float64) for _ in range(2))
        for _ in range(2):
            ours.update_mini_batch(x, y, 1.0, n=1000, **numbers)
            theirs.update_mini_batch(x, y, eta, n=1000, **mixed)
        for p, q in zip(ours.parameters, theirs.parameters, strict=True):
            np.testing.assert_array_equal(p, q)


def test_sgd_and_update_mini_batch_take_the_same_steps(rng: np.random.Generator) -> None:
    net, data = Network([5, 4, 3], rng=rng, dtype=np.float64), draw(rng)
    twin, more = net.astype(np.float64), PENALTIES[-1]
    run(net, data, 1, 3, 0.4, order=in_order, **more)
    for i in (0, 3, 6):
        batch = data[i : i + 3]
        twin.update_mini_batch(batch.images.T, batch.labels, 0.4, n=7, **more)
    for p, q in zip(net.parameters, twin.parameters, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-13)


class TooEarly(Network):
    """Yields each layer for its update before the backward pass through its weights: too early."""

    def deltas(
        self, x: Array, y: Array, rng: np.random.Generator | None, weights: Array | None = None
    ) -> Iterator[tuple[Layer, Array]]:
        for layer in self.layers:
            x = layer.forward(x, rng)
        out = self.output
        delta = self.cost.delta(out.z, out.a, y, out.activation)
        for layer, below in zip(self.layers[:0:-1], self.layers[-2::-1], strict=True):
            yield layer, delta
            delta = below.delta(layer.backward(delta))
        yield self.layers[0], delta


def test_updating_a_layer_before_the_backward_pass_through_it_gives_another_step(
    rng: np.random.Generator,
) -> None:
    data = draw(rng)
    x, y = data.images.T, data.labels
    kinds = (Network, TooEarly, Network)
    net, early, book = (kind([5, 4, 3], rng=1, dtype=np.float64) for kind in kinds)
    for right, wrong in zip(gradient(net, x, y), gradient(early, x, y), strict=True):
        np.testing.assert_array_equal(right, wrong)  # the order matters only for updates
    net.update_mini_batch(x, y, 3.0)
    early.update_mini_batch(x, y, 3.0)
    textbook_epoch(book, data, 7, 3.0, [np.zeros_like(p) for p in book.parameters])
    np.testing.assert_allclose(net.weights[0], book.weights[0], rtol=1e-12)
    np.testing.assert_array_equal(early.weights[1], net.weights[1])
    assert np.abs(early.weights[0] - net.weights[0]).max() > 1e-3


@pytest.mark.parametrize("more", [{"lmbda": 50.0}, {"lmbda_l1": 50.0}], ids=str)
@pytest.mark.parametrize("mu", [0.0, 0.5])
def test_biases_are_never_decayed(
    more: dict[str, float], mu: float, rng: np.random.Generator
) -> None:
    data = draw(rng)
    plain, decayed = (Network([5, 3], rng=1, dtype=np.float64) for _ in range(2))
    for net, penalty in ((plain, {}), (decayed, more)):
        net.update_mini_batch(data.images.T, data.labels, 0.1, n=7, mu=mu, **penalty)
    np.testing.assert_array_equal(decayed.biases[0], plain.biases[0])
    assert np.abs(decayed.weights[0] - plain.weights[0]).min() > 1e-3


@pytest.mark.parametrize("m", [1, 2, 7])
def test_lmbda_is_divided_by_the_size_of_the_training_set_not_of_the_mini_batch(
    m: int, rng: np.random.Generator
) -> None:
    net, data = Network([5, 3], rng=rng, dtype=np.float64), draw(rng)
    plain, w = net.astype(np.float64), net.weights[0].copy()
    x, y = data.images[:m].T, data.labels[:m]
    plain.update_mini_batch(x, y, 0.5)
    net.update_mini_batch(x, y, 0.5, lmbda=4.0, n=100)
    np.testing.assert_allclose(plain.weights[0] - net.weights[0], 0.5 * 4.0 / 100 * w, rtol=1e-10)


@pytest.mark.parametrize("name", ["lmbda", "lmbda_l1"])
def test_a_larger_lmbda_gives_smaller_weights(name: str, rng: np.random.Generator) -> None:
    data, norms = draw(rng, 30), []
    for value in (0.0, 0.1, 0.5):
        net = run(Network([5, 8, 3], rng=1), data, 30, 5, 0.5, rng=2, **{name: value})
        norms.append(sum(float(np.abs(w).sum()) for w in net.weights))
    assert norms[0] > norms[1] > norms[2]


def test_parameters_are_live_views(rng: np.random.Generator) -> None:
    net = Network([5, 4, 3], rng=rng)
    net.weights[1][...] = 0
    net.biases[1][...] = [[0], [2], [0]]
    np.testing.assert_allclose(net(np.ones((5, 1)))[:, 0], [0.5, 1 / (1 + np.exp(-2)), 0.5], 1e-6)
    assert net.predict(np.ones((2, 5))).tolist() == [1, 1]
    assert net.n_parameters == sum(p.size for p in net.parameters) == 5 * 4 + 4 + 4 * 3 + 3


def test_feedforward_is_equation_25_layer_by_layer(rng: np.random.Generator) -> None:
    net = Network([5, 4, 3], activation=tanh, cost=log_likelihood, rng=rng, dtype=np.float64)
    x, (w1, w2), (b1, b2) = rng.normal(size=(5, 6)), net.weights, net.biases
    z = w2 @ np.tanh(w1 @ x + b1) + b2
    a = np.exp(z) / np.exp(z).sum(axis=0)
    np.testing.assert_allclose(net(x), a, rtol=1e-13)
    np.testing.assert_allclose(net.predict_proba(x.T), a.T, rtol=1e-13)
    np.testing.assert_array_equal(net.predict(x.T), a.argmax(axis=0))


def test_probabilities_of_sigmoid_outputs_are_divided_by_their_sum(
    rng: np.random.Generator,
) -> None:
    net, x = Network([5, 3], rng=rng), rng.normal(size=(4, 5))
    np.testing.assert_allclose(net.predict_proba(x), (net(x.T) / net(x.T).sum(axis=0)).T, 1e-6)
    np.testing.assert_allclose(net.predict_proba(x).sum(axis=1), 1, rtol=1e-6)


def test_probabilities_are_finite_when_all_outputs_round_to_0() -> None:
    net = Network([5, 2], rng=1)
    net.weights[0][...] = 0
    net.biases[0][...] = [[-1000], [-1001]]  # e^-1000 rounds to 0 in both dtypes
    expected = [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))]]
    np.testing.assert_allclose(net.predict_proba(np.ones((1, 5))), expected, rtol=1e-4)


def test_evaluation_during_training_does_not_change_training(rng: np.random.Generator) -> None:
    data = draw(rng, 600)
    nets = [Network([5, 6, 3], dropout=0.5, rng=1) for _ in range(2)]
    run(nets[0], data, 4, 7, 0.5, mu=0.5, rng=2)

    def look(done: int) -> bool:  # also between the mini-batches of an epoch
        nets[1](data.images[:9].T)
        return False

    for _ in nets[1].sgd(data, 4, 7, 0.5, mu=0.5, rng=2, stop=look):
        nets[1].predict(data.images)
        nets[1].predict_proba(data.images[:11])
        nets[1].feedforward(data.images[:1].T)
    assert same(*nets)


def test_feedforward_changes_no_state_and_returns_a_new_array(rng: np.random.Generator) -> None:
    net, x = Network([5, 4, 3], rng=rng), rng.normal(size=(5, 6))
    net.backprop(x, [0] * 6)
    remembered = [array.copy() for l in net.layers for array in (l.x, l.z, l.a)]
    first = net(x)
    kept = first.copy()
    net(-x)
    np.testing.assert_array_equal(first, kept)
    for array, before in zip(
        (a for l in net.layers for a in (l.x, l.z, l.a)), remembered, strict=True
    ):
        np.testing.assert_array_equal(array, before)


def test_equal_seeds_give_equal_networks_and_different_seeds_different_ones(
    rng: np.random.Generator,
) -> None:
    data = draw(rng, 30)
    start = {"dropout": 0.3}
    one, two, three, four = (
        run(Network([5, 6, 3], rng=a, **start), data, 2, 4, 0.5, rng=b)
        for a, b in ((1, 2), (1, 2), (1, 3), (4, 2))
    )
    assert same(one, two)
    assert not same(one, three)
    assert not same(one, four)


def test_both_dtypes_draw_the_same_initial_parameters() -> None:
    single, double = (Network([5, 4, 3], rng=1, dtype=t) for t in (np.float32, np.float64))
    assert same(double.astype(np.float32), single)


@pytest.mark.parametrize(
    "more",
    [{}, {"cost": quadratic, "output": sigmoid}, {"cost": log_likelihood, "activation": tanh}],
    ids=str,
)
def test_a_network_memorizes_twenty_images(more: dict[str, Any], rng: np.random.Generator) -> None:
    data = draw(rng, 20, 30, 10)
    net = run(Network([30, 20, 10], rng=1, **more), data, 200, 5, 1.0, rng=2)
    assert net.predict(data.images).tolist() == data.labels.tolist()


@pytest.mark.parametrize("more", PENALTIES + NESTEROV, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_keeps_the_dtype_of_the_network(
    more: dict[str, float], dtype: type, rng: np.random.Generator
) -> None:
    net, data = Network([5, 4, 3], dropout=0.2, rng=rng, dtype=dtype), draw(rng)
    eta = np.float64(0.5)  # hyper-parameters may be NumPy scalars
    run(
        net,
        data,
        2,
        3,
        lambda epoch: eta,
        **{k: np.float64(v) if v is not True else np.True_ for k, v in more.items()},
    )
    layers = [l for l in net.layers if isinstance(l, Dense)]
    velocities = [v for l in layers for v in (l.v_w, l.v_b) if v is not None]
    assert len(velocities) == (4 if "mu" in more else 0)
    remembered = [array for l in layers for array in (l.z, l.a, l.nabla_x)]
    gradients = gradient(net, data.images.T, data.labels)
    answers = [net(data.images.T), net.predict_proba(data.images)]
    everything = [*net.parameters, *velocities, *remembered, *gradients, *answers]
    assert {array.dtype for array in everything} == {np.dtype(dtype)}


def test_sgd_yields_every_epoch_and_calls_eta_for_each(rng: np.random.Generator) -> None:
    data = draw(rng)
    net, twin = (Network([5, 3], rng=1) for _ in range(2))
    eta = lambda epoch: [0.5, 0.25, 2.0][int(epoch)]  # noqa: E731
    assert list(net.sgd(data, 3, 2, eta, order=in_order)) == [0, 1, 2]
    for rate in (0.5, 0.25, 2.0):
        run(twin, data, 1, 2, rate, order=in_order)
    assert same(net, twin)


def test_sgd_trains_nothing_before_the_first_next(rng: np.random.Generator) -> None:
    net = Network([5, 3], rng=1)
    net.sgd(draw(rng), 3, 2, 0.5)
    assert same(net, Network([5, 3], rng=1))


@pytest.mark.parametrize("wrong", [{"eta": 0.0}, {"mu": 1.0}, {"epochs": -1}, {"lmbda": -1.0}])
def test_sgd_raises_for_wrong_arguments_when_it_is_called(
    wrong: dict[str, Any], rng: np.random.Generator
) -> None:
    arguments: dict[str, Any] = {"epochs": 3, "mini_batch_size": 2, "eta": 0.5} | wrong
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Network([5, 3], rng=1).sgd(draw(rng), **arguments)


def test_a_decay_that_is_lost_in_rounding_gives_a_warning(
    rng: np.random.Generator, recwarn: pytest.WarningsRecorder
) -> None:
    data, lmbda = draw(rng), 7 * 0.05e-6  # a decay of 2.5e-8 per step
    arguments: dict[str, Any] = {"epochs": 1, "size": 7, "eta": 0.5, "order": in_order}
    for dtype, more in ((np.float64, {}), (np.float32, {"mu": 0.5})):
        run(Network([5, 3], rng=1, dtype=dtype), data, **arguments, lmbda=lmbda, **more)
    run(Network([5, 3], rng=1), data, **arguments, lmbda=4 * lmbda)
    assert not recwarn.list
    net, twin = (Network([5, 3], rng=1) for _ in range(2))
    with pytest.warns(UserWarning, match=r"lmbda of 3\.5e-07 has no effect in float32.*2\.5e-08"):
        run(net, data, **arguments, lmbda=lmbda)
    run(twin, data, **arguments)
    assert same(net, twin)


def test_momentum_goes_on_after_a_step_without_it() -> None:
    rng = np.random.default_rng(0)
    net = Network([4, 3, 2], rng=0, dtype=np.float64)
    twin = [p.copy() for p in net.parameters]
    velocities = [np.zeros_like(p) for p in twin]
    for mu in (0.5, 0.0, 0.5):
        x, y = rng.normal(size=(4, 5)), rng.integers(0, 2, 5)
        nabla_b, nabla_w = net.backprop(x, y)
        for p, v, g in zip(twin, velocities, [*nabla_w, *nabla_b], strict=True):
            v[...] = mu * v - 0.3 * g
            p += v
        net.update_mini_batch(x, y, 0.3, mu=mu)
        for ours, theirs in zip(net.parameters, twin, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_the_velocities_of_a_copy_in_another_dtype_are_0() -> None:
    net = Network([4, 3], rng=0)
    x, y = np.ones((4, 2)), [0, 1]
    net.update_mini_batch(x, y, 0.3, mu=0.9)
    one, two = net.astype(np.float64), net.astype(np.float64)
    one.update_mini_batch(x, y, 0.3, mu=0.9)
    two.update_mini_batch(x, y, 0.3)
    for a, b in zip(one.parameters, two.parameters, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_stop_ends_training_between_chunks_of_mini_batches_without_a_yield(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nndl.batches, "CHUNK", 500)
    data, asked = draw(rng, 1200), []
    net, twin = (Network([5, 3], rng=1) for _ in range(2))

    def stop(done: int) -> bool:
        asked.append(done)
        return len(asked) == 4

    assert list(net.sgd(data, 5, 10, 0.5, order=in_order, stop=stop)) == [0]
    assert asked == [500, 1000, 500, 1000]  # not at the end of an epoch, where sgd yields
    run(twin, data, 1, 10, 0.5, order=in_order)
    run(twin, data[:1000], 1, 10, 0.5, order=in_order)
    assert same(net, twin)


def test_an_epoch_can_be_resumed_after_the_chunk_at_which_it_stopped(
    rng: np.random.Generator,
) -> None:
    data, more = draw(rng, 1200), {"lmbda": 1.0, "mu": 0.5}
    whole, parts = (Network([5, 6, 3], dropout=0.5, rng=1) for _ in range(2))
    run(whole, data, 2, 10, 0.5, rng=2, **more)
    streams = Streams(2)
    shuffle = streams.shuffle.bit_generator.state
    run(parts, data, 2, 10, 0.5, rng=streams, stop=lambda done: done == 1000, **more)
    streams.shuffle.bit_generator.state = shuffle
    run(parts, data, 2, 10, 0.5, rng=streams, skip=1000, **more)
    assert same(whole, parts)


def test_images_are_used_in_the_given_order_and_transformed(rng: np.random.Generator) -> None:
    data, seen = draw(rng), []
    order = np.array([6, 2, 0, 1, 5, 3, 4])

    def transform(images: Array, generator: np.random.Generator) -> Array:
        assert isinstance(generator, np.random.Generator)
        seen.append(images.copy())
        return -images

    net, twin = (Network([5, 3], rng=1) for _ in range(2))
    run(net, data, 1, 3, 0.5, order=lambda n: order[:n], transform=transform)
    np.testing.assert_array_equal(np.concatenate(seen), data.images[order].astype(np.float32))
    run(twin, Dataset(-data.images[order], data.labels[order]), 1, 3, 0.5, order=in_order)
    assert same(net, twin)


@pytest.mark.filterwarnings("ignore:float pixels")
def test_the_default_order_is_a_fresh_permutation_each_epoch() -> None:
    data, seen = Dataset(np.arange(40.0)[:, None], np.zeros(40, int)), []

    def note(images: Array, generator: np.random.Generator) -> Array:
        seen.append(images.ravel().astype(int).tolist())
        return images

    run(Network([1, 1], rng=1), data, 2, 40, 1e-3, rng=2, transform=note)
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(40))
    assert seen[0] != seen[1] != list(range(40))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_divergence_raises_an_error_that_names_eta(dtype: type, rng: np.random.Generator) -> None:
    net = Network([5, 4, 3], cost=quadratic, activation=identity, init=lecun, rng=rng, dtype=dtype)
    with pytest.raises(DivergedError, match=r"epoch \d+.*smaller eta than 1e\+06"):
        run(net, draw(rng, 50), 100, 5, 1e6)


@pytest.mark.filterwarnings("ignore:float pixels")
def test_infinite_parameters_at_the_end_of_an_epoch_raise_diverged_error(
    rng: np.random.Generator,
) -> None:
    net = Network([5, 3], cost=quadratic, activation=identity, rng=rng)
    with pytest.raises(DivergedError, match="smaller eta than 1e"):
        run(net, Dataset(100 + draw(rng).images, draw(rng).labels), 1, 7, 1e38)  # a single step


def test_concurrent_threads_get_the_same_outputs_as_a_single_one(rng: np.random.Generator) -> None:
    net = Network([50, 40, 10], dropout=0.5, rng=rng)
    parts = [rng.normal(size=(n, 50)) for n in (1, 30, 700, 1500, 2500, 3, 1000, 999)] * 5
    expected = [net.predict(images) for images in parts]
    with ThreadPoolExecutor(8) as pool:
        for answer, one in zip(pool.map(net.predict, parts), expected, strict=True):
            np.testing.assert_array_equal(answer, one)


def test_a_copy_in_another_dtype_shares_no_memory(rng: np.random.Generator) -> None:
    net = Network([5, 4, 3], activation=tanh, cost=log_likelihood, init=default, rng=rng)
    twin = net.astype(np.float32)
    assert same(net, twin)
    assert (twin.cost, twin.output.activation) == (log_likelihood, softmax)
    twin.weights[0][...] = 0
    assert net.weights[0].all()


def test_repr_of_a_network() -> None:
    net = Network([784, 30, 10], dropout=0.5)
    assert repr(net) == (
        "Network(784 - Dense(30, sigmoid) - Dropout(0.5) - Dense(10, sigmoid), cross-entropy, "
        "23,860 parameters, float32)"
    )


def test_calling_a_network_is_feedforward_also_of_a_subclass() -> None:
    class Halved(Network):
        def feedforward(self, x: Any) -> Array:
            return super().feedforward(x) / 2

    net, x = Halved([5, 3], rng=0), np.zeros((5, 1))
    np.testing.assert_array_equal(net(x), Network([5, 3], rng=0)(x) / 2)


def test_training_of_a_network_that_is_not_finite_does_not_blame_eta() -> None:
    net, data = Network([5, 3], rng=0), draw(np.random.default_rng(0))
    net.weights[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="parameters of the network must be finite"):
        net.sgd(data, 1, 7, 0.1)


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"label_smoothing": "a"}, TypeError, "label_smoothing must be"),
        ({"label_smoothing": 1.0}, ValueError, "label_smoothing must be"),
        ({"nesterov": "no", "mu": 0.5}, ValueError, "nesterov must be False or True"),
        ({"nesterov": True}, ValueError, "give mu, like 0.9"),
    ],
)
def test_all_arguments_of_sgd_are_checked(
    more: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Network([5, 3], rng=0).sgd(draw(np.random.default_rng(0)), 1, 7, 0.1, **more)


def test_a_transform_that_returns_nan_does_not_blame_eta() -> None:
    data, nan = draw(np.random.default_rng(0)), lambda images, rng: images * np.nan
    with pytest.raises(ValueError, match="transform must return finite images"):
        run(Network([5, 3], rng=0), data, 1, 7, 0.1, transform=nan)


@pytest.mark.parametrize("wrong", [[0, 1, 2, 3, 4, 5, 10**12], [0] * 7, [-1, 1, 2, 3, 4, 5, 6]])
def test_an_order_that_is_no_permutation_is_refused(wrong: list[int]) -> None:
    data = draw(np.random.default_rng(0))
    begins = rf"each index once, but returned int64 of shape \(7,\), beginning with \[{wrong[0]}, "
    with pytest.raises(ValueError, match=begins):
        run(Network([5, 3], rng=0), data, 1, 7, 0.1, order=lambda n: np.array(wrong))


@pytest.mark.parametrize("h", [0, np.inf, "1e-5", True])
def test_a_step_size_that_is_none_is_refused(h: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="h must be a small positive number"):
        gradient_check(Network([5, 3], rng=0), np.zeros((5, 1)), [0], h=h)
