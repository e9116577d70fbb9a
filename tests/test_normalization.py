"""Batch normalization: mathematics, precision, running averages, files, and its removal by fold."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nndl import inference, normalization
from nndl._typing import Array
from nndl.activations import Activation, identity, leaky_relu, relu, sigmoid, softmax, tanh
from nndl.conv import Conv, MaxPool
from nndl.costs import log_likelihood, quadratic
from nndl.dataset import Dataset
from nndl.differences import gradient_check
from nndl.layers import Dense, Dropout, Layer
from nndl.network import Network
from nndl.normalization import BatchNorm, fold
from nndl.storage import load, load_checkpoint, save, save_checkpoint
from nndl.training import Settings, State, train
from nndl.training.metrics import evaluate
from nndl.validation import DivergedError

STACKS: dict[str, tuple[Callable[[], list[Layer]], int | tuple[int, ...]]] = {
    "dense": (lambda: [Dense(6, identity), BatchNorm(tanh), Dense(3)], 8),
    "two, and dropout": (
        lambda: [
            *(Dense(7, identity), BatchNorm(sigmoid), Dropout(0.3)),
            *(Dense(5, identity), BatchNorm(leaky_relu), Dropout(0.5), Dense(3)),
        ],
        8,
    ),
    "inputs": (lambda: [BatchNorm(), Dense(3)], 8),
    "conv": (lambda: [Conv(3, 3, identity), BatchNorm(tanh), Dense(3)], (1, 7, 7)),
    "conv with pool": (lambda: [Conv(3, 3, identity, 2), BatchNorm(relu), Dense(3)], (1, 8, 8)),
    "conv, then pool": (
        lambda: [
            *(Conv(3, 3, identity), BatchNorm(relu), MaxPool(2), Dropout(0.2)),
            *(Conv(4, 2, identity), BatchNorm(sigmoid), Dense(3)),
        ],
        (2, 8, 8),
    ),
    "input maps": (lambda: [Dropout(0.1), BatchNorm(tanh), Conv(2, 2), Dense(3)], (4, 5, 5)),
}
stacks = pytest.mark.parametrize(("layers", "shape"), STACKS.values(), ids=list(STACKS))


def network(layers: list[Layer], shape: int | tuple[int, ...], **options: Any) -> Network:
    """Return a network whose gamma and beta are not 1 and 0."""
    net, rng = Network(layers, input_shape=shape, rng=0, **options), np.random.default_rng(1)
    for layer in net.layers:
        if isinstance(layer, BatchNorm):
            layer.w = rng.uniform(0.5, 1.5, layer.w.shape)
            layer.b = rng.normal(size=layer.b.shape)
    return net


def examples(net: Network, m: int = 9) -> tuple[Array, Any]:
    rng = np.random.default_rng(2)
    return rng.normal(size=(net.n_in, m)), rng.integers(0, net.n_out, m)


def normalized(x: Array, shape: tuple[int, ...]) -> Array:
    """Return the book-like definition: maps x numbers, normalized over axis 1."""
    return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)


# Mathematics.


@stacks
def test_gradients_agree_with_central_differences(layers: Any, shape: Any) -> None:
    net = network(layers(), shape)
    assert gradient_check(net, *examples(net)) < 1e-6


@pytest.mark.parametrize("block", [16, 64, 10**6])
def test_any_size_of_block_gives_the_same(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network([Conv(5, 2, identity), BatchNorm(tanh), Dense(3)], (1, 6, 6), dtype=np.float64)
    x, y = examples(net)
    expected = net.backprop(x, y)
    monkeypatch.setattr(normalization, "BLOCK", block)
    monkeypatch.setattr(normalization, "ROW", min(block, 16))
    for found, wanted in zip(copy.deepcopy(net).backprop(x, y), expected, strict=True):
        for g, e in zip(found, wanted, strict=True):
            np.testing.assert_allclose(g, e, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("activation", [identity, relu, tanh], ids=repr)
def test_outputs_are_normalized_scaled_shifted_and_activated(
    activation: Activation, order: Any, rng: np.random.Generator
) -> None:
    layer = BatchNorm(activation)
    layer.build((4, 3, 5), rng, np.float64)
    layer.w, layer.b = rng.normal(size=(4, 1)), rng.normal(size=(4, 1))
    x = rng.normal(3, 2, size=(4 * 3 * 5, 6))  # pixels of all maps side by side
    maps = x.reshape(15, 4, 6).swapaxes(0, 1).reshape(4, -1)
    a = layer.forward(np.array(x, order=order), None)
    z = layer.w * normalized(maps, (4,)) + layer.b
    expected = activation(z).reshape(4, 15, 6).swapaxes(0, 1).reshape(60, 6)
    np.testing.assert_allclose(a, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("mean", [0.0, 30.0, 1e3, -1e4])
def test_a_large_mean_costs_no_more_precision_than_its_own_rounding(mean: float) -> None:
    x = np.random.default_rng(0).normal(mean, 1, (50, 2000)).astype(np.float32).T
    layer, g = BatchNorm(), np.random.default_rng(1).normal(size=(2000, 50))
    layer.build((2000,), np.random.default_rng(0), np.float32)
    exact = BatchNorm()
    exact.build((2000,), np.random.default_rng(0), np.float64)
    rounding = 1e-6 + 4 * abs(mean) * np.finfo(np.float32).eps
    a, wanted = layer.forward(x, None), exact.forward(x.astype(np.float64), None)
    np.testing.assert_allclose(layer.batch[1], x.astype(np.float64).var(axis=1), rtol=1e-5)
    np.testing.assert_allclose(a, wanted, atol=4 * rounding)
    delta, wanted_delta = layer.delta(g.astype(np.float32)), exact.delta(g.copy())
    nabla_x, wanted_x = layer.backward(delta), exact.backward(wanted_delta)
    np.testing.assert_allclose(nabla_x, wanted_x, atol=4 * rounding)
    for found, value in zip(layer.gradient(delta), exact.gradient(wanted_delta), strict=True):
        np.testing.assert_allclose(found, value, atol=2e-5)


def test_a_constant_neuron_and_a_single_example_give_beta_and_finite_gradients() -> None:
    net = network([BatchNorm(), Dense(2)], 3)
    net.layers[0].b[...] = 0.25
    constant = np.full((3, 8), 0.1)
    np.testing.assert_array_equal(net.layers[0].forward(constant.astype(np.float32), None), 0.25)
    before = [p.copy() for p in net.state]
    net.update_mini_batch(np.ones((3, 1)), np.array([1]), 0.1)
    assert all(np.isfinite(p).all() for p in net.state)
    for p, was in zip(net.state[-2:], before[-2:], strict=True):
        np.testing.assert_array_equal(p, was)  # one number has no variance


def test_backprop_normalizes_by_its_mini_batch_and_moves_no_average() -> None:
    net = network([Dense(5, identity), BatchNorm(relu), Dense(3)], 8, dtype=np.float64)
    x, y = examples(net)
    before = [p.copy() for p in net.state]
    first = net.backprop(x, y)
    second = net.backprop(x, y, rng=0)  # without dropout, the generator makes no difference
    for p, was in zip(net.state, before, strict=True):
        np.testing.assert_array_equal(p, was)
    for one, other in zip([*first[0], *first[1]], [*second[0], *second[1]], strict=True):
        np.testing.assert_array_equal(one, other)
    net.update_mini_batch(x, y, 0.1)
    moved = [(p != was).all() for p, was in zip(net.state, before, strict=True)]
    assert all(moved[i] for i in (1, 4, 6, 7))  # gamma, beta, mean, variance


def test_running_averages_follow_each_mini_batch_with_the_unbiased_variance(
    rng: np.random.Generator,
) -> None:
    net = Network([BatchNorm(momentum=0.25), Dense(2)], input_shape=3, rng=0, dtype=np.float64)
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(4):
        x = rng.normal(2, 3, (3, 7))
        net.update_mini_batch(x, rng.integers(0, 2, 7), 0.1)
        mean = 0.75 * mean + 0.25 * x.mean(axis=1)
        variance = 0.75 * variance + 0.25 * x.var(axis=1, ddof=1)
    np.testing.assert_allclose(net.layers[0].mean[:, 0], mean, rtol=1e-12)
    np.testing.assert_allclose(net.layers[0].variance[:, 0], variance, rtol=1e-12)
    scale = net.layers[0].w[:, 0] / np.sqrt(variance + 1e-5)
    inputs = scale[:, None] * (x - mean[:, None]) + net.layers[0].b
    np.testing.assert_allclose(net.layers[0].feedforward(x), inputs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mu", [0.0, 0.9])
def test_regularization_leaves_gamma_and_beta_alone(mu: float) -> None:
    plain, shrunk = (network([Dense(4, identity), BatchNorm(tanh), Dense(3)], 8) for _ in "ab")
    x, y = examples(plain)
    plain.update_mini_batch(x, y, 0.1, mu=mu)
    shrunk.update_mini_batch(x, y, 0.1, 5.0, 100, lmbda_l1=5.0, mu=mu)
    np.testing.assert_array_equal(shrunk.layers[1].w, plain.layers[1].w)
    np.testing.assert_array_equal(shrunk.layers[1].b, plain.layers[1].b)
    assert (shrunk.layers[0].w != plain.layers[0].w).any()
    data = Dataset(x.T, y)
    penalty = 0.5 * 3 / 9 * sum(float(np.vdot(w, w)) for w in (plain.weights[0], plain.weights[2]))
    expected = evaluate(plain, data).cost + penalty
    assert evaluate(plain, data, lmbda=3).cost == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"activation": softmax}, "softmax is for the last layer"),
        ({"activation": "relu"}, "activation must be a function"),
        ({"momentum": 0}, r"momentum must be a share in \(0, 1\], not 0"),
        ({"momentum": 1.5}, "momentum must be"),
        ({"epsilon": 0.0}, "epsilon must be positive and finite, not 0.0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        BatchNorm(**arguments)


class Softplus(Activation):
    """ln(1 + e^z), which ignores ``out``; its derivative is 1 - e^-a."""

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        return np.logaddexp(0, z)

    def prime(self, a: Array) -> Array:
        return -np.expm1(-a)

    def delta(self, nabla_a: Array, a: Array) -> Array:
        return nabla_a * self.prime(a)  # not in place


def test_an_activation_of_the_readers_own_works() -> None:
    net = network([Dense(4, identity), BatchNorm(Softplus()), Dense(3)], 8)
    assert gradient_check(net, *examples(net)) < 1e-6


# The state of a network.


def trained(layers: list[Layer], shape: Any, **options: Any) -> Network:
    net = network(layers, shape, **options)
    rng = np.random.default_rng(4)
    for _ in range(5):
        x = rng.normal(0.5, 2, size=(net.n_in, 20))
        net.update_mini_batch(x, rng.integers(0, net.n_out, 20), 0.2, mu=0.5, rng=rng)
    return net


def assert_equal(found: Network, expected: Network) -> None:
    for p, q in zip(found.state, expected.state, strict=True):
        np.testing.assert_array_equal(p, q)
    x, _ = examples(expected)
    np.testing.assert_array_equal(found(x), expected(x))


@stacks
def test_copies_files_and_other_dtypes_keep_the_running_averages(
    layers: Any, shape: Any, tmp_path: Path
) -> None:
    net = trained(layers(), shape)
    assert any((p != 0).all() for p in net.state[len(net.parameters) :])
    save(net, tmp_path / "net.npz")
    for twin in (
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        net.astype(np.float64).astype(np.float32),
        load(tmp_path / "net.npz"),
    ):
        assert_equal(twin, net)
        assert repr(twin) == repr(net)
        twin.update_mini_batch(*examples(net), 0.1)


def data(n: int = 120) -> Dataset:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, n)
    images = rng.normal(size=(n, 8)) + 2 * np.eye(8)[labels]
    return Dataset(images.astype(np.float32), labels)


def small() -> Network:
    layers = [Dense(6, identity), BatchNorm(relu), Dropout(0.2), Dense(3)]
    return Network(layers, input_shape=8, rng=0)


SETTINGS = Settings(epochs=6, mini_batch_size=7, eta=0.3, lmbda=0.1, mu=0.5, patience=9)


def test_training_resumes_from_a_checkpoint_to_the_last_bit(tmp_path: Path) -> None:
    training, path = data(), tmp_path / "checkpoint.npz"
    whole, best = small(), dict[int, list[Array]]()

    def keep(net: Network, state: State) -> None:
        best[len(state.history)] = [p.copy() for p in net.state]
        if len(state.history) == 3:
            save_checkpoint(path, net, state, SETTINGS)

    options = {"validation": data(60), "rng": 1}
    history = train(whole, training, SETTINGS, after_epoch=keep, **options)
    resumed, state, settings = load_checkpoint(path)
    again = train(resumed, training, settings, state=state, validation=data(60))
    assert_equal(resumed, whole)
    assert again["validation_cost"] == history["validation_cost"]
    # Both have the weights and the averages of the best epoch.
    for p, q in zip(whole.state, best[history.best_epoch + 1], strict=True):
        np.testing.assert_array_equal(p, q)


def test_divergence_restores_the_averages_of_the_last_epoch() -> None:
    net, kept = small(), list[Array]()

    def keep(net: Network, state: State) -> None:
        kept[:] = [p.copy() for p in net.state]
        state.eta = 1e38

    with pytest.raises(DivergedError):
        train(net, data(), Settings(epochs=3, eta=0.1), after_epoch=keep, rng=0)
    assert len(kept) == 6 + 2
    for p, q in zip(net.state, kept, strict=True):
        np.testing.assert_array_equal(p, q)


def test_a_network_shows_its_layers() -> None:
    net = small()
    assert "BatchNorm(relu) - Dropout" in repr(net)
    assert repr(net.layers[1]) == "BatchNorm(relu): 6 neurons, 12 parameters"
    assert str(BatchNorm(tanh, momentum=0.5, epsilon=1e-3)) == (
        "BatchNorm(tanh, momentum 0.5, epsilon 0.001)"
    )
    assert "<td>BatchNorm(relu)</td><td>6 x 1</td><td>12</td>" in net._repr_html_()
    assert net.n_parameters == 8 * 6 + 6 + 2 * 6 + 6 * 3 + 3
    maps = Network([Conv(2, 3, identity), BatchNorm(), Dense(2)], input_shape=(1, 6, 6))
    assert repr(maps.layers[1]) == "BatchNorm(identity): 2 maps, 4 parameters"


# Removal.

FOLDED = {
    "dense": ["Dense(6, tanh)", "Dense(3, sigmoid)"],
    "conv": ["Conv(3, 3x3, tanh)", "Dense(3, sigmoid)"],
    "conv with pool": ["Conv(3, 3x3, relu, pool 2)", "Dense(3, sigmoid)"],
    "input maps": ["Dropout(0.1)", "Conv(4, 1x1, tanh)", "Conv(2, 2x2, sigmoid)"],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@stacks
def test_a_folded_network_gives_the_same_outputs(
    layers: Any, shape: Any, dtype: type, request: pytest.FixtureRequest
) -> None:
    net = trained(layers(), shape, dtype=dtype)
    if "inputs" in request.node.callspec.id:
        with pytest.raises(ValueError, match=r"BatchNorm\(identity\) .* not into the inputs"):
            fold(net)
        return
    before = [p.copy() for p in net.state]
    folded = fold(net)
    assert not any(isinstance(layer, BatchNorm) for layer in folded.layers)
    x = examples(net, 50)[0]
    np.testing.assert_allclose(folded(x), net(x), atol=1e-5 if dtype is np.float32 else 1e-12)
    for p, was in zip(net.state, before, strict=True):
        np.testing.assert_array_equal(p, was)
    for name, expected in FOLDED.items():
        if request.node.callspec.id.startswith(f"{name}-"):
            assert [str(layer) for layer in folded.layers][: len(expected)] == expected
    folded.update_mini_batch(*examples(net), 0.1)


def test_one_picture_moves_the_running_averages_but_one_number_does_not() -> None:
    layers = [Conv(2, 3, identity), BatchNorm(), Dense(2)]
    net = Network(layers, input_shape=(1, 5, 5), rng=0)
    net.update_mini_batch(np.random.default_rng(0).normal(size=(25, 1)), [1], 0.1)
    assert (net.layers[1].mean != 0).all()
    assert (net.layers[1].variance != 1).all()
    net = Network([Dense(3, identity), BatchNorm(), Dense(2)], input_shape=4, rng=0)
    net.update_mini_batch(np.ones((4, 1)), [1], 0.1)
    assert (net.layers[1].mean == 0).all()


def test_a_folded_network_keeps_its_cost() -> None:
    for cost, output in ((quadratic, identity), (log_likelihood, softmax)):
        layers = [Dense(3, identity), BatchNorm(relu), Dense(2, output)]
        assert fold(Network(layers, cost=cost, input_shape=4, rng=0)).cost is cost


def test_a_layer_with_an_activation_cannot_absorb_batch_norm() -> None:
    for activation in (tanh, sigmoid, relu):
        layers = [Dense(3, activation), BatchNorm(), Dense(2)]
        with pytest.raises(ValueError, match="can be folded into a Dense layer with identity"):
            fold(Network(layers, input_shape=4, rng=0))


def test_a_pool_below_a_negative_gamma_is_folded_exactly() -> None:
    net = trained([Conv(3, 3, identity, 2), BatchNorm(tanh), Dense(3)], (1, 8, 8))
    net.layers[1].w[1] = -0.7
    folded = fold(net)
    assert [str(layer) for layer in folded.layers[:2]] == [
        "Conv(3, 3x3, identity, pool 2)",
        "Conv(3, 1x1, tanh)",
    ]
    x = examples(net, 50)[0]
    np.testing.assert_allclose(folded(x), net(x), atol=1e-5)
    # Absorbed, it would be wrong: the test could not pass by chance.
    wrong = Network([Conv(3, 3, tanh, 2), Dense(3)], input_shape=(1, 8, 8))
    scale, shift = net.layers[1].affine
    wrong.layers[0].w = scale[:, None] * net.layers[0].w
    wrong.layers[0].b = scale[:, None] * net.layers[0].b + shift[:, None]
    wrong.layers[1].w, wrong.layers[1].b = net.layers[2].w, net.layers[2].b
    assert np.abs(wrong(x) - net(x)).max() > 1e-3


def test_what_cannot_be_folded_is_named() -> None:
    net = Network([Dense(4, relu), BatchNorm(), Dense(3)], input_shape=8)
    with pytest.raises(
        ValueError, match=r"BatchNorm\(identity\) can be folded .* not into Dense\("
    ):
        fold(net)


def test_inference_in_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "IMAGES", 7)
    monkeypatch.setattr(inference, "WORK", 0)
    net = trained(STACKS["conv, then pool"][0](), (2, 8, 8))
    images = examples(net, 200)[0].T.astype(np.float32)
    one, four = (list(inference.infer(net, images, threads)) for threads in (1, 4))
    for (rows, z, a), (rows_4, z_4, a_4) in zip(one, four, strict=True):
        assert rows == rows_4
        np.testing.assert_array_equal(z, z_4)
        np.testing.assert_array_equal(a, a_4)
