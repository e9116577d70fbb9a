"""Layers: Dense, Dropout, initializers and the factors of a step."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from nndl.activations import Activation, relu, sigmoid, softmax, tanh
from nndl.costs import log_likelihood, quadratic
from nndl.data import Dataset
from nndl.differences import gradient_check
from nndl.initializers import INITIALIZERS, Initializer, lecun
from nndl.layers import Dense, Dropout
from nndl.network import Network
from nndl.step import Step

WRITTEN_AS_LAYERS = [Dense(4, tanh, lecun), Dropout(0.25), Dense(3, softmax, lecun)]


def test_sizes_are_short_for_layers() -> None:
    kinds = {"activation": tanh, "init": lecun, "dropout": 0.25}
    sizes = Network([5, 4, 3], cost=log_likelihood, **kinds, rng=1)
    layers = Network(WRITTEN_AS_LAYERS, cost=log_likelihood, input_shape=5, rng=1)
    assert repr(sizes) == repr(layers)
    for p, q in zip(sizes.parameters, layers.parameters, strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("f", [sigmoid, tanh, relu, softmax], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["rows", "columns", "every second"])
def test_forward_and_backward_match_their_formulas_in_any_memory_layout(
    f: Activation, dtype: type, layout: str, rng: np.random.Generator
) -> None:
    layer, a, delta = Dense(4, f), rng.normal(size=(3, 6)), rng.normal(size=(4, 6))
    assert layer.build((3,), rng, dtype) == (4,)
    a, delta = a.astype(dtype), delta.astype(dtype)
    if layout == "columns":
        a, delta = np.asfortranarray(a), np.asfortranarray(delta)
    elif layout == "every second":
        a, delta = (np.repeat(array, 2, axis=1)[:, ::2] for array in (a, delta))
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype is np.float32 else {"rtol": 1e-12}
    out = layer.forward(a, None)
    assert layer.x is a
    np.testing.assert_allclose(layer.z, layer.w @ a + layer.b, **tolerance)
    np.testing.assert_allclose(out, f(layer.w @ a + layer.b), **tolerance)
    np.testing.assert_allclose(layer.feedforward(a), out, **tolerance)
    np.testing.assert_allclose(layer.backward(delta), layer.w.T @ delta, **tolerance)
    nabla_b, nabla_w = layer.gradient(delta)
    np.testing.assert_allclose(nabla_b[:, 0], delta.sum(axis=1), **tolerance)
    np.testing.assert_allclose(nabla_w, delta @ a.T, **tolerance)


def test_a_mini_batch_of_another_size_gets_new_buffers(rng: np.random.Generator) -> None:
    layer = Dense(4)
    layer.build((3,), rng, np.float64)
    for m in (6, 2, 6, 1):
        a = rng.normal(size=(3, m))
        assert layer.forward(a, None).shape == (4, m)
        nabla_x = layer.backward(np.ones((4, m)))
        np.testing.assert_allclose(nabla_x, np.tile(layer.w.sum(axis=0)[:, None], m))


def test_an_image_is_flattened_for_a_dense_layer() -> None:
    net = Network([Dense(4)], input_shape=(2, 3, 5), rng=1)
    assert net.n_in == 30
    assert net.weights[0].shape == (4, 30)


def test_a_step_has_the_factors_of_the_update() -> None:
    step = Step(10, 50_000, 0.5, lmbda=5.0, lmbda_l1=2.0, mu=0.9)
    assert step.alpha == -0.05
    assert step.decay == pytest.approx(0.5 * 5 / 50_000)
    assert step.l1 == pytest.approx(0.5 * 2 / 50_000)
    assert step.mu == 0.9
    biases = step.unregularized
    assert (biases.alpha, biases.mu) == (-0.05, 0.9)
    assert (biases.decay, biases.l1, biases.beta) == (0, 0, 1)


def test_a_velocity_begins_at_0_whatever_the_weights_are() -> None:
    layer = Network([3, 2], rng=0).layers[0]
    layer.w[0, 0] = np.inf
    layer.allocate(1)
    delta, x, one = (np.zeros((n, 1), np.float32) for n in (2, 3, 1))
    layer.move(delta, x, delta, one, Step(1, 1, 1.0, mu=0.5))
    np.testing.assert_array_equal(layer.v_w, np.zeros((2, 3)))


@pytest.mark.parametrize("init", INITIALIZERS.values(), ids=repr)
def test_initial_weights_and_biases_have_the_standard_deviation_of_their_formula(
    init: Initializer, rng: np.random.Generator
) -> None:
    n_in, n_out = 300, 200
    w_sd = {
        "large": 1,
        "default": 300**-0.5,
        "lecun": 300**-0.5,
        "glorot": (2 / 500) ** 0.5,
        "he": (2 / 300) ** 0.5,
        "network3": 200**-0.5,
        "zeros": 0,
    }[init.name]
    w, b = init.draw((n_out, n_in), rng, np.float32)
    assert (w.shape, b.shape) == ((n_out, n_in), (n_out, 1))
    assert w.dtype == b.dtype == np.float32
    assert w.std() == pytest.approx(w_sd, rel=0.02)
    assert abs(w.mean()) <= 5 * w_sd / 60_000**0.5
    assert b.std() == pytest.approx(float(init.name in ("large", "default", "network3")), abs=0.2)


# Dropout.


def test_dropout_zeroes_a_fraction_p_and_leaves_the_others_unscaled(
    rng: np.random.Generator,
) -> None:
    layer, a = Dropout(0.3), rng.uniform(1, 2, (100, 200))
    out = layer.forward(a, rng)
    kept = out != 0
    np.testing.assert_array_equal(out[kept], a[kept])  # not scaled up, as in the book
    assert kept.mean() == pytest.approx(0.7, abs=0.02)
    assert np.unique(kept, axis=1).shape == kept.shape  # each example has its own mask
    np.testing.assert_array_equal(layer.backward(np.ones_like(a)), kept)
    assert (layer.forward(a, rng) != out).any()  # and each mini-batch


def test_dropout_at_inference_is_the_mean_over_masks(rng: np.random.Generator) -> None:
    layer, a = Dropout(0.3), rng.normal(size=(20, 3))
    mean = np.mean([layer.forward(a, rng) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(layer.feedforward(a), mean, atol=0.08)
    np.testing.assert_array_equal(layer.forward(a, None), layer.feedforward(a))
    np.testing.assert_array_equal(layer.feedforward(a), 0.7 * a)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_keeps_the_dtype(dtype: type, rng: np.random.Generator) -> None:
    layer, a = Dropout(0.3), np.ones((4, 5), dtype)
    for generator in (rng, None):
        assert layer.forward(a, generator).dtype == dtype
        assert layer.backward(a).dtype == dtype
    assert layer.feedforward(a).dtype == dtype


def test_dropout_of_0_changes_nothing(rng: np.random.Generator) -> None:
    data = Dataset(rng.normal(size=(30, 5)), rng.integers(0, 3, 30))
    plain = Network([5, 6, 3], rng=1)
    zero = Network([Dense(6), Dropout(0), Dense(3)], input_shape=5, rng=1)
    for net in (plain, zero):
        list(net.sgd(data, 2, 4, 0.5, rng=2))
    for p, q in zip(plain.parameters, zero.parameters, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sizes", [[5, 8, 3], [5, 8, 6, 3]], ids=len)
def test_the_gradient_through_dropout_agrees_with_central_differences(
    sizes: list[int], rng: np.random.Generator
) -> None:
    net = Network(sizes, cost=quadratic, dropout=0.4, rng=rng, dtype=np.float64)
    assert gradient_check(net, rng.normal(size=(5, 7)), rng.integers(0, 3, 7)) < 1e-6


def test_weights_of_a_dropped_neuron_do_not_change_in_that_mini_batch(
    rng: np.random.Generator,
) -> None:
    net = Network([5, 30, 3], dropout=0.5, rng=rng, dtype=np.float64)
    before, dropout = net.weights[0].copy(), net.layers[1]
    net.update_mini_batch(rng.normal(size=(5, 1)), [1], 0.5, rng=rng)
    moved = (net.weights[0] != before).any(axis=1)
    np.testing.assert_array_equal(moved, dropout.mask[:, 0])
    assert 0 < moved.sum() < 30


def test_delta_goes_no_lower_than_the_lowest_layer_with_weights(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing below uses it, and for many inputs the product is among the longest of a step."""
    lowest = Dense(4)
    net = Network([Dropout(0.3), Dropout(0.3), lowest, Dense(3)], input_shape=5, rng=0)
    x, y = rng.random((5, 6)), rng.integers(0, 3, 6)
    monkeypatch.setattr(lowest, "backward", None)
    dropped = Network([Dense(4), Dense(3)], input_shape=5, rng=0)
    for ours, theirs in zip(net.backprop(x, y), dropped.backprop(0.49 * x, y), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_dropout_has_a_repr_and_no_parameters() -> None:
    layer = Dropout(0.5)
    assert repr(layer) == "Dropout(0.5)"
    assert layer.w is layer.b is None
    with pytest.raises(TypeError, match=r"Dropout\(0.5\) has no parameters"):
        layer.gradient(np.ones((2, 1)))


class Orthogonal(Initializer):
    """A custom initializer whose weights have another memory order and precision."""

    def draw(self, shape: Any, rng: Any, dtype: Any, fan: Any = None) -> Any:
        n_out, n_in = shape
        return np.linalg.qr(rng.normal(size=(n_in, n_out)))[0].T, np.zeros((n_out, 1))


def test_values_of_a_custom_initializer_get_the_layout_and_dtype_of_the_network() -> None:
    start = Orthogonal("orthogonal", abs, 0.0)
    net = Network([5, 3], init=start, rng=1)
    assert net(np.ones((5, 2))).dtype == np.float32
    net.update_mini_batch(np.ones((5, 2)), [0, 1], 0.5)
    assert pickle.loads(pickle.dumps(net)).layers[0].init == start


def test_an_initializer_that_returns_another_shape_raises_value_error() -> None:
    class Flat(Orthogonal):
        def draw(self, shape: Any, *more: Any) -> Any:
            return np.zeros(shape), np.zeros(shape[0])

    with pytest.raises(ValueError, match=r"flat must draw .* biases of shape \(3, 1\), .*\(3,\)"):
        Network([3, 3], init=Flat("flat", abs, 0.0))


def test_the_layers_of_a_network_cannot_be_replaced() -> None:
    net = Network([5, 4, 3], dropout=0.5, rng=1)
    with pytest.raises(TypeError):
        del net.layers[1]  # type: ignore[attr-defined]


def test_a_layer_without_a_network_has_no_weights_and_says_why() -> None:
    layer = Dense(3)
    for ask in (lambda: layer.w, lambda: layer.b, lambda: setattr(layer, "w", np.zeros((3, 2)))):
        with pytest.raises(AttributeError, match=r"[wb] is drawn when a Network is created"):
            ask()
