"""Convolution and max-pooling compared with loops, central differences and PyTorch."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from nndl import conv as conv_module
from nndl._typing import Array
from nndl.activations import ACTIVATIONS, Activation, identity, relu, softmax, tanh
from nndl.blocks import take
from nndl.conv import Conv, MaxPool
from nndl.costs import cross_entropy, log_likelihood
from nndl.data import Dataset
from nndl.differences import gradient_check
from nndl.initializers import Initializer
from nndl.layers import Dense, Dropout, Layer, Shape
from nndl.network import Network
from nndl.normalization import BatchNorm
from nndl.parallel import computing

HIDDEN = [f for f in ACTIVATIONS.values() if f is not softmax]
M = 4


# The reference: plain loops over pictures of shape (m, maps, height, width).


def flat(pictures: Array) -> Array:
    """Return columns (height x width x maps, m), in which the maps of a pixel are adjacent."""
    return pictures.transpose(2, 3, 1, 0).reshape(-1, len(pictures))


def pictures_of(columns: Array, shape: tuple[int, ...]) -> Array:
    """Invert `flat`: return (m, *shape) with shape = (maps, height, width)."""
    maps, height, width = shape
    return columns.reshape(height, width, maps, -1).transpose(3, 2, 0, 1)


def correlated(filters: Array, pictures: Array, stride: int = 1) -> Array:
    """Return the weighted inputs without bias: filter times window, summed, at each pixel."""
    (maps, _, size, _), (m, _, *sides) = filters.shape, pictures.shape
    z = np.empty((m, maps, *((side - size) // stride + 1 for side in sides)))
    for i, k, y, x in np.ndindex(z.shape):
        top, left = stride * y, stride * x
        z[i, k, y, x] = (filters[k] * pictures[i, :, top : top + size, left : left + size]).sum()
    return z


def padded(pictures: Array, padding: int) -> Array:
    return np.pad(pictures, [(0, 0), (0, 0), (padding, padding), (padding, padding)])


def winners(z: Array, pool: int) -> dict[tuple[int, ...], tuple[int, int]]:
    """Return the position of the maximum for each pooled (picture, map, row, column)."""
    m, maps, height, width = z.shape
    found = {}
    for i, k, y, x in np.ndindex(m, maps, height // pool, width // pool):
        window = z[i, k, y * pool : (y + 1) * pool, x * pool : (x + 1) * pool]
        row, column = np.unravel_index(window.argmax(), window.shape)
        found[i, k, y, x] = (int(y * pool + row), int(x * pool + column))
    return found


def pooled(z: Array, pool: int) -> Array:
    m, maps, height, width = z.shape
    largest = np.empty((m, maps, height // pool, width // pool))
    for (i, k, y, x), (row, column) in winners(z, pool).items():
        largest[i, k, y, x] = z[i, k, row, column]
    return largest


def gradients(
    filters: Array, pictures: Array, delta: Array, pool: int, stride: int = 1
) -> tuple[Array, Array, Array]:
    """Return nabla_b (maps,), and the gradients of filters and pictures, for a given delta."""
    size = filters.shape[2]
    nabla_filters, nabla_pictures = np.zeros_like(filters), np.zeros_like(pictures)
    for (i, k, y, x), pixel in winners(correlated(filters, pictures, stride), pool).items():
        row, column = (stride * side for side in pixel)
        window = (slice(None), slice(row, row + size), slice(column, column + size))
        nabla_filters[k] += delta[i, k, y, x] * pictures[i][window]
        nabla_pictures[i][window] += delta[i, k, y, x] * filters[k]
    return delta.sum(axis=(0, 2, 3)), nabla_filters, nabla_pictures


@dataclass
class Case:
    """A convolution of pictures of a shape (maps, height, width)."""

    shape: tuple[int, int, int]
    maps: int
    size: int
    pool: int = 1
    stride: int = 1
    padding: int = 0


CASES = [
    Case((1, 6, 6), 2, 3),
    Case((1, 6, 6), 2, 3, pool=2),
    Case((3, 7, 5), 4, 2),
    Case((2, 8, 5), 3, 3, pool=3),
    Case((2, 4, 6), 1, 1, pool=2),
    Case((3, 3, 3), 2, 3),  # the filter is as large as the picture
    Case((1, 1, 1), 1, 1),
    Case((2, 5, 3), 3, 2, pool=2),
    Case((1, 7, 9), 2, 3, pool=2),  # the last row and column of the maps fill no pool
    Case((2, 8, 7), 3, 3, stride=2),
    Case((2, 9, 11), 2, 3, pool=2, stride=2),
    Case((3, 5, 6), 2, 3, padding=1),
    Case((2, 6, 7), 3, 5, padding=2, pool=2),
    Case((2, 7, 6), 2, 3, padding=1, stride=2),
    Case((25, 6, 5), 3, 3, padding=1, pool=2),  # many input maps
    Case((26, 5, 7), 2, 2, stride=2),
]


def prepared(
    case: Case, rng: np.random.Generator, f: Activation = tanh, m: int = M
) -> tuple[Conv, Array, Array, Array]:
    """Return a layer, m pictures, the outputs of the reference, and a delta."""
    options = {"stride": case.stride, "padding": case.padding}
    conv = Conv(case.maps, case.size, f, pool=case.pool, **options)
    shape = conv.build(case.shape, rng, np.float64)
    pictures = rng.normal(size=(m, *case.shape))
    z = correlated(conv.filters, padded(pictures, case.padding), case.stride)
    z = pooled(z, case.pool) + conv.b[:, :, None]
    assert shape == z.shape[1:]
    return conv, pictures, f(z), rng.normal(size=z.shape)


# Forward and backward.


@pytest.mark.parametrize("layout", ["columns", "rows", "every second", "a part"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_match_a_loop_over_pixels_in_any_memory_layout(
    case: Case, layout: str, rng: np.random.Generator
) -> None:
    conv, pictures, expected, _ = prepared(case, rng)
    a = {
        "columns": np.asfortranarray(flat(pictures)),
        "rows": np.ascontiguousarray(flat(pictures)),
        "every second": np.repeat(flat(pictures), 2, axis=1)[:, ::2],
        "a part": np.pad(flat(pictures), 2)[2:-2, 2:-2],
    }[layout]
    before = a.copy()
    for answer in (conv.feedforward(a), conv.forward(a, None)):
        assert answer.shape == (expected[0].size, M)
        np.testing.assert_allclose(answer, flat(expected), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(a, before)


@pytest.mark.parametrize("layout", ["columns", "rows"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_match_a_loop_over_pixels(
    case: Case, layout: str, rng: np.random.Generator
) -> None:
    conv, pictures, _, error = prepared(case, rng)
    p, (_, height, width) = case.padding, case.shape
    expected = gradients(conv.filters, padded(pictures, p), error, case.pool, case.stride)
    nabla_b, nabla_filters, nabla_pictures = expected
    nabla_pictures = nabla_pictures[:, :, p : p + height, p : p + width]
    conv.forward(flat(pictures), None)
    delta = np.array(flat(error), order="F" if layout == "columns" else "C")
    before = delta.copy()
    np.testing.assert_allclose(conv.backward(delta), flat(nabla_pictures), rtol=1e-10, atol=1e-12)
    ours_b, ours_w = conv.gradient(delta)
    assert (ours_b.shape, ours_w.shape) == (conv.b.shape, conv.w.shape)
    np.testing.assert_allclose(ours_b[:, 0], nabla_b, rtol=1e-10, atol=1e-12)
    rows = nabla_filters.transpose(0, 2, 3, 1).reshape(conv.w.shape)
    np.testing.assert_allclose(ours_w, rows, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(delta, before)


@pytest.mark.parametrize("f", HIDDEN, ids=repr)
def test_delta_is_that_of_the_activation(f: Activation, rng: np.random.Generator) -> None:
    conv, pictures, expected, error = prepared(CASES[1], rng, f)
    conv.forward(flat(pictures), None)
    delta = conv.delta(flat(error).copy())
    np.testing.assert_allclose(delta, flat(error * f.prime(expected)), rtol=1e-10, atol=1e-12)


def test_the_first_layer_of_the_book_has_520_parameters() -> None:
    """Chapter 6: 28 x 28 pixels, 20 maps of 24 x 24 neurons, pooled to 12 x 12."""
    rng = np.random.default_rng(0)
    assert Conv(20, 5).build((1, 28, 28), rng, np.float32) == (20, 24, 24)
    conv = Conv(20, 5, pool=2)
    assert conv.build((1, 28, 28), rng, np.float32) == (20, 12, 12)
    assert MaxPool(2).build((20, 24, 24), rng, np.float32) == (20, 12, 12)
    assert conv.w.size + conv.b.size == 520
    net = Network([Conv(20, 5, pool=2), Dense(100), Dense(10)], input_shape=(1, 28, 28))
    assert net.n_parameters == 520 + 100 * (12 * 12 * 20 + 1) + 10 * (100 + 1)


def test_filters_are_a_live_view_of_the_weights(rng: np.random.Generator) -> None:
    conv = Conv(2, 3, identity)
    conv.build((2, 4, 5), rng, np.float64)
    assert conv.filters.shape == (2, 2, 3, 3)
    conv.filters[...] = 0
    conv.filters[1, 0, 2, 1] = 1  # shifts the first map by two rows and one column
    conv.b[...] = 0
    pictures = rng.normal(size=(3, 2, 4, 5))
    maps = pictures_of(conv.feedforward(flat(pictures)), (2, 2, 3))
    np.testing.assert_array_equal(maps[:, 1], pictures[:, 0, 2:4, 1:4])
    assert not maps[:, 0].any()
    assert conv.w.sum() == 1


def test_the_maps_of_a_pixel_lie_side_by_side(rng: np.random.Generator) -> None:
    conv = Conv(3, 1, identity)
    conv.build((1, 2, 2), rng, np.float64)
    conv.w[:, 0], conv.b[...] = [1, 10, 100], 0
    answer = conv.feedforward(np.array([[1.0], [2.0], [3.0], [4.0]]))
    assert answer[:, 0].tolist() == [1, 10, 100, 2, 20, 200, 3, 30, 300, 4, 40, 400]


def test_initializers_use_the_fan_in_and_fan_out_of_a_filter(rng: np.random.Generator) -> None:
    seen = []
    mine = Initializer("mine", lambda n_in, n_out: seen.append((n_in, n_out)) or 0.25, 1.0)
    conv = Conv(20, 5, pool=2, init=mine)
    conv.build((3, 28, 28), rng, np.float32)
    assert seen == [(3 * 25, 20 * 25 / 4)]
    assert conv.w.std() == pytest.approx(0.25, rel=0.1)
    assert conv.b.std() == pytest.approx(1, abs=0.5)


# Central differences.

NETWORKS: dict[str, Callable[[Activation], list[Layer]]] = {
    "Conv": lambda f: [Conv(2, 3, f)],
    "Conv with pool": lambda f: [Conv(2, 3, f, pool=2)],
    "Conv, MaxPool": lambda f: [Conv(2, 3, f), MaxPool(2)],
    "two Convs": lambda f: [Conv(3, 3, f, pool=2), Conv(2, 2, f)],
    "two Convs with pools": lambda f: [Conv(3, 2, f), MaxPool(1), Conv(2, 2, f, pool=2)],
    "MaxPool, Conv": lambda f: [MaxPool(2), Conv(2, 2, f)],
    "dropout": lambda f: [Conv(2, 3, f, pool=2), Dropout(0.4), Dense(5, f)],
    "dropout before Conv": lambda f: [Dropout(0.3), Conv(3, 3, f), Dropout(0.3), Conv(2, 2, f)],
}


@pytest.mark.parametrize("f", HIDDEN, ids=repr)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_agree_with_central_differences(
    name: str, f: Activation, rng: np.random.Generator
) -> None:
    layers = [*NETWORKS[name](f), Dense(3, softmax)]
    net = Network(layers, cost=log_likelihood, input_shape=(2, 6, 6), rng=rng, dtype=np.float64)
    assert gradient_check(net, rng.normal(size=(72, 5)), rng.integers(0, 3, 5)) < 1e-6


class Scale(Layer):
    """A layer of the reader's own: a factor and a shift for each input."""

    def build(self, shape: Shape, rng: np.random.Generator, dtype: DTypeLike) -> Shape:
        n = int(np.prod(shape))
        self.w, self.b = 1 + rng.random((n, 1)).astype(dtype), np.zeros((n, 1), dtype)
        return shape

    def feedforward(self, x: Array) -> Array:
        return self.w * x + self.b

    def forward(self, x: Array, rng: np.random.Generator | None) -> Array:
        self.x = x
        return self.feedforward(x)

    def backward(self, delta: Array) -> Array:
        return self.w * delta

    def gradient(self, delta: Array) -> tuple[Array, Array]:
        return delta.sum(axis=1, keepdims=True), (delta * self.x).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("layer", [Conv(4, 3, tanh), MaxPool(2), BatchNorm(tanh)], ids=str)
def test_a_layer_below_gets_its_delta_in_the_order_of_its_outputs(
    layer: Layer, c: int, rng: np.random.Generator
) -> None:
    layers = [Scale(), copy.deepcopy(layer), Dense(3, softmax)]
    net = Network(layers, cost=log_likelihood, input_shape=(c, 6, 6), rng=0)
    x, y = rng.random((c * 36, 5)), rng.integers(0, 3, 5)
    assert gradient_check(net, x, y) < 1e-6


# The order of pooling and activation.


@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize("f", HIDDEN, ids=repr)
def test_pooling_before_bias_and_activation_equals_pooling_after_them(
    f: Activation, pool: int, rng: np.random.Generator
) -> None:
    book = Network([Conv(3, 3, f, pool=pool), Dense(4)], input_shape=(2, 8, 8), dtype=np.float64)
    usual = Network(
        [Conv(3, 3, f), MaxPool(pool), Dense(4)], input_shape=(2, 8, 8), dtype=np.float64
    )
    for p, q in zip(book.parameters, usual.parameters, strict=True):
        p[...] = q
    x, y = rng.normal(size=(128, 6)), rng.integers(0, 4, 6)
    np.testing.assert_allclose(book(x), usual(x), rtol=1e-12)
    for ours, theirs in zip(book.backprop(x, y), usual.backprop(x, y), strict=True):
        for g, h in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(g, h, rtol=1e-9, atol=1e-12)


# Max-pooling.


@given(data=st.data(), size=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_pool_outputs_its_maximum_and_passes_delta_to_one_of_the_largest(
    data: st.DataObject, size: int
) -> None:
    maps, down, across, m = (data.draw(st.integers(1, 3)) for _ in range(4))
    shape = (maps, down * size, across * size)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    pictures = rng.integers(0, data.draw(st.integers(1, 4)), (m, *shape)).astype(float)
    layer = MaxPool(size)
    assert layer.build(shape, rng, np.float64) == (maps, down, across)
    expected = pooled(pictures, size)
    a = flat(pictures)
    np.testing.assert_array_equal(layer.feedforward(a), flat(expected))
    np.testing.assert_array_equal(layer.forward(a, rng), flat(expected))
    delta = rng.uniform(1, 2, expected.shape)
    back = pictures_of(layer.backward(flat(delta)), shape)
    assert back.shape == pictures.shape
    for i, k, y, x in np.ndindex(expected.shape):
        pool = (i, k, slice(y * size, (y + 1) * size), slice(x * size, (x + 1) * size))
        assert np.count_nonzero(back[pool]) == 1
        assert back[pool].sum() == delta[i, k, y, x]
        assert pictures[pool][back[pool] != 0] == expected[i, k, y, x]


@pytest.mark.parametrize("layers", [[Conv(1, 1, identity, pool=3)], [Conv(1, 1), MaxPool(3)]])
def test_in_a_pool_of_equal_values_one_gets_the_delta(
    layers: list[Any], rng: np.random.Generator
) -> None:
    net = Network([*layers, Dense(2)], input_shape=(1, 6, 6), rng=rng, dtype=np.float64)
    a = x = np.ones((36, 2))
    for layer in net.layers:
        a = layer.forward(a, None)
    delta = rng.uniform(1, 2, (4, 2))
    errors = layers[-1].backward(delta)
    by_pool = errors.reshape(2, 3, 2, 3, 2).transpose(0, 2, 4, 1, 3).reshape(4, 2, 9)
    assert (np.count_nonzero(by_pool, axis=2) == 1).all()
    scale = net.weights[0][0, 0] if len(layers) == 1 else 1
    np.testing.assert_allclose(by_pool.sum(axis=2), scale * delta)
    if len(layers) == 1:  # each pool is counted once
        np.testing.assert_allclose(layers[0].gradient(delta)[1], [[(delta * x[0, 0]).sum()]])


def test_pooling_has_no_parameters() -> None:
    layer = MaxPool(2)
    assert layer.w is layer.b is None
    with pytest.raises(TypeError, match=r"MaxPool\(2\) has no parameters"):
        layer.gradient(np.ones((4, 1)))


# PyTorch.


def test_gradients_match_pytorch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    layers = [Conv(4, 3, tanh, pool=2), Conv(3, 3, relu), MaxPool(2), Dense(5, softmax)]
    net = Network(layers, cost=log_likelihood, input_shape=(2, 14, 18), rng=rng, dtype=np.float64)
    pictures, labels = rng.normal(size=(6, 2, 14, 18)), rng.integers(0, 5, 6)

    f_1, f_2 = (torch.tensor(layer.filters, requires_grad=True) for layer in layers[:2])
    w = torch.tensor(net.weights[2], requires_grad=True)
    b_1, b_2, b = (torch.tensor(b[:, 0], requires_grad=True) for b in net.biases)
    functional = torch.nn.functional
    a = functional.conv2d(torch.tensor(pictures), f_1, b_1)
    a = functional.max_pool2d(torch.tanh(a), 2)
    a = functional.max_pool2d(torch.relu(functional.conv2d(a, f_2, b_2)), 2)
    z = functional.linear(a.permute(0, 2, 3, 1).flatten(1), w, b)
    functional.cross_entropy(z, torch.tensor(labels)).backward()

    x = pictures.reshape(6, -1).T  # plane by plane, as PyTorch has it
    np.testing.assert_allclose(net(x), torch.softmax(z, 1).detach().T, rtol=1e-10)
    nabla_b, nabla_w = net.backprop(x, labels)
    rows = [f.grad.permute(0, 2, 3, 1).flatten(1) for f in (f_1, f_2)]
    expected = [*rows, w.grad, *(p.grad[:, None] for p in (b_1, b_2, b))]
    for g, e in zip([*nabla_w, *nabla_b], expected, strict=True):
        assert g.shape == tuple(e.shape)
        assert np.linalg.norm(g - e.numpy()) <= 1e-6 * np.linalg.norm(e)


# Steps.

PENALTIES = [{}, {"lmbda": 3.0}, {"lmbda_l1": 2.0}, {"mu": 0.7}]
PENALTIES.append({"lmbda": 3.0, "lmbda_l1": 2.0, "mu": 0.7})


def draw(rng: np.random.Generator, n: int = 11, dtype: Any = np.float64) -> Dataset:
    return Dataset(rng.normal(size=(n, 128)).astype(dtype), rng.integers(0, 3, n))


def convolutional(dtype: Any = np.float64) -> Network:
    layers = [Conv(3, 3, tanh, pool=2), Conv(2, 2, relu), MaxPool(2), Dense(3)]
    return Network(layers, input_shape=(2, 8, 8), rng=1, dtype=dtype)


@pytest.mark.parametrize("more", PENALTIES, ids=str)
def test_an_epoch_takes_the_textbook_steps_also_for_a_smaller_last_mini_batch(
    more: dict[str, float], rng: np.random.Generator
) -> None:
    data, net, book = draw(rng), convolutional(), convolutional()
    n, eta, (lmbda, l1, mu) = 11, 0.3, (more.get(k, 0.0) for k in ("lmbda", "lmbda_l1", "mu"))
    velocities = [np.zeros_like(p) for p in book.parameters]
    for _ in range(2):
        for i in range(0, n, 4):
            nabla_b, nabla_w = book.backprop(data.images[i : i + 4].T, data.labels[i : i + 4])
            for j, (p, g) in enumerate(zip(book.parameters, [*nabla_w, *nabla_b], strict=True)):
                shrink = lmbda / n * p + l1 / n * np.sign(p) if j < len(nabla_w) else 0
                velocities[j] = mu * velocities[j] - eta * (g + shrink)
                p += velocities[j]
    list(net.sgd(data, 2, 4, eta, order=np.arange, **more))
    for p, q in zip(net.parameters, book.parameters, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-12)


def test_mini_batches_of_another_size_get_new_buffers(rng: np.random.Generator) -> None:
    net = convolutional()
    x, y = rng.normal(size=(128, 7)), rng.integers(0, 3, 7)
    for m in (7, 2, 7, 1):
        expected = convolutional().backprop(x[:, :m], y[:m])
        for ours, theirs in zip(net.backprop(x[:, :m], y[:m]), expected, strict=True):
            for g, h in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(g, h)


def test_a_convolutional_network_learns() -> None:
    """Vertical and horizontal bars anywhere, which no single pixel distinguishes."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 200)
    images = rng.normal(0, 0.1, (200, 10, 10))
    for image, label in zip(images, labels, strict=True):
        y, x = rng.integers(0, 6, 2)
        image[(slice(y, y + 5), x) if label else (y, slice(x, x + 5))] += 1
    data = Dataset(images.reshape(200, 100), labels)
    layers = [Conv(4, 5, relu, pool=2), Dense(2, softmax)]
    net = Network(layers, cost=log_likelihood, input_shape=(1, 10, 10), rng=0)
    list(net.sgd(data[:150], 15, 5, 0.1, rng=0))
    assert (net.predict(data.images[150:]) == labels[150:]).mean() > 0.9


# Inference has no side effects.


def test_feedforward_does_not_change_the_buffers_of_the_backward_pass(
    rng: np.random.Generator,
) -> None:
    for layer in (Conv(3, 3, pool=2), Conv(3, 3), MaxPool(2)):
        shape = layer.build((2, 8, 8), rng, np.float64)
        a, other = rng.normal(size=(2, 128, 5))
        results = []
        for disturbed in (False, True):
            remembered = layer.forward(a, None)
            kept = remembered.copy()
            if disturbed:
                layer.feedforward(other)
                layer.feedforward(other[:, :2])
            np.testing.assert_array_equal(remembered, kept)
            results.append(layer.backward(np.ones((np.prod(shape), 5))).copy())
            if layer.w is not None:
                assert isinstance(layer, Conv)
                results[-1] = np.append(results[-1], layer.gradient(np.ones_like(kept))[1])
        np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("m", [0, 1, 5, 6, 17])
def test_images_in_blocks_give_the_same_outputs_as_all_at_once(
    m: int, pool: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, delta, results = rng.normal(size=(72, m)), rng.normal(size=(48 // pool**2, m)), []
    for pictures in (5, 100):
        monkeypatch.setattr(conv_module, "BLOCK", pictures * 6 * 4 * 6)
        conv = Conv(3, 3, pool=pool)
        conv.build((2, 6, 6), np.random.default_rng(1), np.float64)
        assert conv.feedforward(x).shape == (48 // pool**2, m)
        outputs = conv.forward(x, None).copy()
        results.append([conv.feedforward(x), outputs, conv.backward(delta), *conv.gradient(delta)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_concurrent_threads_get_their_own_outputs(rng: np.random.Generator) -> None:
    net = convolutional()
    xs = [rng.normal(size=(128, m)) for m in (3, 60, 60, 7, 120, 1) * 4]
    expected = [net(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for a, e in zip(pool.map(net, xs), expected, strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-12)


# Dtypes and copies.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_array_keeps_the_network_s_dtype(dtype: Any, rng: np.random.Generator) -> None:
    net, data = convolutional(dtype), draw(rng)
    assert net(data.images.T).dtype == dtype
    for gradient in net.backprop(data.images.T, data.labels):
        assert [g.dtype for g in gradient] == [dtype] * 3
    a = data.images.T.astype(dtype)
    for layer in net.layers:
        a = layer.forward(a, None)
        assert a.dtype == dtype
        assert layer.backward(a).dtype == dtype
    live = net.parameters
    list(net.sgd(data, 1, 4, 0.5, lmbda=1.0, mu=0.5, rng=0))
    for p, q in zip(net.parameters, live, strict=True):
        assert p is q
        assert p.dtype == dtype


def test_the_same_seed_gives_the_same_network_in_both_dtypes(rng: np.random.Generator) -> None:
    single, double, x = convolutional(np.float32), convolutional(), rng.normal(size=(128, 5))
    np.testing.assert_allclose(single(x), double(x), rtol=1e-4, atol=1e-6)
    converted = single.astype(np.float64)
    assert [p.dtype for p in converted.parameters] == [np.float64] * 6
    np.testing.assert_allclose(converted(x), single(x), rtol=1e-4, atol=1e-6)
    assert repr(converted) == repr(single).replace("float32", "float64")


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_made_during_training_continues_equally_and_independently(
    twin_of: Callable[[Network], Network], rng: np.random.Generator
) -> None:
    net, data = convolutional(), draw(rng)
    list(net.sgd(data, 1, 4, 0.3, mu=0.5, rng=0))
    twin = twin_of(net)
    before = [p.copy() for p in net.parameters]
    list(twin.sgd(data, 1, 3, 0.3, mu=0.5, rng=1))
    for p, q in zip(net.parameters, before, strict=True):
        np.testing.assert_array_equal(p, q)
    list(net.sgd(data, 1, 3, 0.3, mu=0.5, rng=1))
    for p, q in zip(net.parameters, twin.parameters, strict=True):
        np.testing.assert_array_equal(p, q)


# Representations and errors.


def test_repr_of_convolution_and_pooling() -> None:
    assert repr(Conv(20)) == "Conv(20, 5x5, sigmoid)"
    assert repr(Conv(3, 2, relu, pool=2)) == "Conv(3, 2x2, relu, pool 2)"
    assert repr(MaxPool()) == "MaxPool(2)"
    net = Network([Conv(2, 3), MaxPool(2), Dense(10)], input_shape=(1, 8, 8))
    assert [repr(layer) for layer in net.layers] == [
        "Conv(2, 3x3, sigmoid): 1x8x8 -> 2x6x6, 20 parameters",
        "MaxPool(2)",
        "Dense(10, sigmoid): 18 -> 10, 190 parameters",
    ]
    assert repr(net) == (
        "Network(1x8x8 - Conv(2, 3x3, sigmoid) - MaxPool(2) - Dense(10, sigmoid), cross-entropy, "
        f"{2 * 10 + 10 * (18 + 1)} parameters, float32)"
    )


@pytest.mark.parametrize("value", [0, -1, 2.0, 2.5, True, "5", None, np.nan])
def test_numbers_must_be_whole_and_positive(value: Any) -> None:
    number = isinstance(value, int | float) and value is not True
    error = ValueError if number else TypeError
    for name in ("maps", "size", "pool"):
        with pytest.raises(error, match=f"{name} must be a whole number, 1 or more, not "):
            Conv(**({"maps": 2} | {name: value}))
    with pytest.raises(error, match="size must be a whole number, 1 or more, not "):
        MaxPool(value)


def test_numpy_integers_are_accepted() -> None:
    conv = Conv(np.int64(2), np.uint8(3), pool=np.int32(2))
    assert [type(n) for n in (conv.maps, conv.size, conv.pool)] == [int] * 3
    assert type(MaxPool(np.int64(2)).size) is int
    same = Conv(2, np.int64(5), padding="same")
    assert (same.padding, type(same.padding)) == (2, int)


def test_a_convolution_with_softmax_raises_value_error() -> None:
    with pytest.raises(ValueError, match="softmax is for the last layer, which is Dense"):
        Conv(2, activation=softmax)


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([Conv(2, 5)], (1, 4, 9), r"Conv\(2, 5x5, sigmoid\) is larger than its .* 4 x 9"),
        ([Conv(2, 5)], (1, 9, 4), "is larger than its pictures of 9 x 4"),
        ([Conv(2, 5), Conv(2, 5)], (1, 8, 8), "is larger than its pictures of 4 x 4"),
        ([Conv(2, 4, pool=6)], (1, 9, 8), "cannot pool maps of 6 x 5: use pools of at most 5"),
        ([MaxPool(3)], (1, 2, 2), "cannot pool maps of 2 x 2"),
        ([Conv(2, 5)], 784, r"needs pictures \(maps, height, width\) .* not \(784,\)"),
        ([MaxPool(2)], (28, 28), r"MaxPool\(2\) needs pictures .* not \(28, 28\)"),
        ([Dense(30), Conv(2, 5)], (1, 28, 28), r"from the layer below .* not \(30,\)"),
    ],
)
def test_images_that_do_not_fit_a_layer_raise_value_error(
    layers: list[Any], shape: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Network([*layers, Dense(3)], input_shape=shape)


def test_a_network_without_a_dense_output_or_an_input_shape_raises_value_error() -> None:
    for last in (Conv(10, 5), MaxPool(2)):
        with pytest.raises(ValueError, match="the last layer must be Dense"):
            Network([Conv(2, 5), last], input_shape=(1, 12, 12))
    with pytest.raises(ValueError, match=r"input_shape must be like 784 or \(1, 28, 28\)"):
        Network([Conv(2, 5), Dense(10)])


def test_images_of_another_size_raise_value_error() -> None:
    net = Network([Conv(2, 3), Dense(3)], cost=cross_entropy, input_shape=(1, 5, 5))
    with pytest.raises(ValueError, match=r"x must be numbers of shape \(25, m\)"):
        net(np.zeros((24, 2)))


def test_gradients_do_not_depend_on_the_previous_delta(rng: np.random.Generator) -> None:
    net = Network([Conv(2, 3, pool=2), Dense(3)], input_shape=(1, 6, 6), rng=0, dtype=np.float64)
    conv = net.layers[0]
    x, (first, second) = rng.random((36, 4)), rng.random((2, 8, 4))
    conv.forward(x, None)
    expected = conv.gradient(second)
    conv.forward(x, None)
    conv.gradient(first)
    for ours, theirs in zip(expected, conv.gradient(second), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("arguments", [{"activation": "relu"}, {"init": "he"}])
def test_names_of_activations_and_initializers_raise_type_error(arguments: dict[str, str]) -> None:
    with pytest.raises(TypeError, match=r"must be .*, not '"):
        Conv(2, 3, **arguments)


class OwnTanh(Activation):
    """An activation of the reader's own: it writes into no array that it is given."""

    def __call__(self, z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return np.tanh(z)

    def prime(self, a: np.ndarray) -> np.ndarray:
        return 1 - a**2

    def delta(self, nabla_a: np.ndarray, a: np.ndarray) -> np.ndarray:
        return nabla_a * self.prime(a)


@pytest.mark.parametrize("m", [31, 70])  # without and with threads
@pytest.mark.parametrize("numbers", [conv_module.BLOCK, 3_000, 700])  # of a block: 1 to 70 blocks
@pytest.mark.parametrize("together", [10**6, 2_000])  # multiplications: few or many products
def test_the_gradient_of_a_mini_batch_is_the_mean_of_those_of_its_examples(
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
    together: int,
    numbers: int,
    m: int,
) -> None:
    monkeypatch.setattr("nndl.patches._MULTIPLICATIONS", together)
    monkeypatch.setattr(conv_module, "BLOCK", numbers)
    monkeypatch.setattr(conv_module, "LARGE", 1)
    layers: list[Layer] = [
        *(Conv(4, 3, tanh, pool=2), Conv(5, 2, OwnTanh(), padding=1), Conv(3, 3, tanh)),
        Dense(5, softmax),
    ]
    net = Network(layers, cost=log_likelihood, input_shape=(2, 12, 12), rng=0, dtype=np.float64)
    x, y = rng.normal(size=(288, m)), rng.integers(0, 5, m)
    with computing(threads=2):
        nablas = net.backprop(x, y)
        outputs = net(x)
    blocks = {len(layer.blocks) for layer in net.layers if isinstance(layer, Conv)}
    if numbers == 700:
        assert max(blocks) > conv_module.PARTS
    each = [net.backprop(x[:, [i]], y[[i]]) for i in range(m)]
    for found, parts in zip(nablas, zip(*each, strict=True), strict=True):
        for nabla, of_examples in zip(found, zip(*parts, strict=True), strict=True):
            np.testing.assert_allclose(nabla, np.mean(of_examples, axis=0), atol=1e-12)
    alone = np.hstack([net(x[:, [i]]) for i in range(m)])
    np.testing.assert_allclose(outputs, alone, rtol=1e-12)
    assert gradient_check(net, x[:, :3], y[:3]) < 1e-6


def test_copies_have_no_buffers(rng: np.random.Generator) -> None:
    layers = [Conv(4, 5, pool=2), MaxPool(2), BatchNorm(relu), Dropout(0.5), Dense(10)]
    net = Network(layers, input_shape=(1, 28, 28), rng=0)
    x, y = rng.random((784, 300)), rng.integers(0, 10, 300)
    before = len(pickle.dumps(net))
    expected = net.backprop(x, y)
    assert len(pickle.dumps(net)) == before
    twin = copy.deepcopy(net)
    for ours, theirs in zip(expected[1], twin.backprop(x, y)[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_activation_of_the_readers_own_need_not_write_into_out() -> None:
    class Plain(Activation):
        def __call__(self, z: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
            return np.tanh(z)

        def prime(self, a: np.ndarray) -> np.ndarray:
            return 1 - a**2

    nets = [
        Network([Conv(3, 3, f, pool=2), Dense(2)], input_shape=(1, 8, 8), rng=0)
        for f in (Plain(), tanh)
    ]
    x = np.random.default_rng(1).normal(size=(64, 5)).astype(np.float32)
    np.testing.assert_array_equal(nets[0](x), nets[1](x))
    for ours, theirs in zip(*(net.backprop(x, [0, 1, 1, 0, 1])[1] for net in nets), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_of_equally_large_neurons_the_leftmost_and_then_the_uppermost_takes_delta() -> None:
    net = Network([MaxPool(2), Dense(1)], input_shape=(1, 4, 2), rng=0, dtype=np.float64)
    layer = net.layers[0]
    x = np.array([[1, 1], [1, 1], [0, 1], [0, 1]], np.float64)  # two pools, one above the other
    layer.forward(x.reshape(8, 1), None)
    spread = layer.backward(np.array([[5.0], [7.0]])).reshape(4, 2)
    assert spread.tolist() == [[5, 0], [0, 0], [0, 7], [0, 0]]


def test_patches_of_an_earlier_mini_batch_are_not_used_again(rng: np.random.Generator) -> None:
    net = Network([Conv(2, 3), Dense(2)], input_shape=(1, 6, 6), rng=0, dtype=np.float64)
    layer, m = net.layers[0], 3
    before, now = rng.normal(size=(2, 36, m))
    delta = rng.normal(size=(32, m))
    layer.forward(now, None)
    expected = layer.gradient(delta)[1].copy()
    layer.forward(before, None)
    with take(layer.works, layer, slice(0, m)), take(layer.works, layer, slice(0, m)) as other:
        other.gather(before, slice(0, m))  # as another thread may have done
    layer.forward(now, None)
    layer.works[m].reverse()  # the other thread's arrays come next
    np.testing.assert_allclose(layer.gradient(delta.copy())[1], expected, rtol=1e-12)
