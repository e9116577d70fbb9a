"""Activation functions: derivatives, saturation, dtypes, copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from nndl._typing import Array
from nndl.activations import ACTIVATIONS, Activation, LeakyReLU, leaky_relu, relu, softmax, tanh
from nndl.costs import quadratic
from nndl.differences import gradient_check
from nndl.initializers import he
from nndl.network import Network

ALL = list(ACTIVATIONS.values())
ELEMENTWISE = [f for f in ALL if f is not softmax]
every = pytest.mark.parametrize("f", ALL, ids=repr)
elementwise = pytest.mark.parametrize("f", ELEMENTWISE, ids=repr)

EXTREME = np.array([[-1e3, -30, -1, 0, 0.5, 30, 1e3], [1e3, 30, 1, 0, -0.5, -30, -1e3]])


def away_from_0(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Draw weighted inputs with 0.1 < |z| < 3: the kink of relu has no derivative."""
    return rng.uniform(0.1, 3, shape) * rng.choice([-1, 1], shape)


@pytest.mark.parametrize(
    ("name", "at_half"),
    [
        ("sigmoid", 1 / (1 + np.exp(-0.5))),
        ("tanh", (np.exp(1) - 1) / (np.exp(1) + 1)),
        ("scaled-tanh", 1.7159 * np.tanh(1 / 3)),
        ("relu", 0.5),
        ("leaky-relu", 0.5),
        ("identity", 0.5),
        ("softmax", np.exp(0.5) / (np.exp(0.5) + np.exp(-2))),
    ],
)
def test_values_match_the_definitions(name: str, at_half: float) -> None:
    z = np.array([[0.5], [-2.0]])
    assert ACTIVATIONS[name](z)[0, 0] == pytest.approx(at_half, rel=1e-14)


def test_scaled_tanh_maps_1_to_1() -> None:
    one = np.array([[1.0], [-1.0]])
    np.testing.assert_allclose(ACTIVATIONS["scaled-tanh"](one), one, atol=1e-4)


def test_relu_and_its_derivative_are_0_at_0() -> None:
    relu, zero = ACTIVATIONS["relu"], np.zeros((1, 1))
    assert relu(zero) == 0
    assert relu.prime(relu(zero)) == 0


def test_leaky_relu_has_a_slope_below_0() -> None:
    z = np.array([[-2.0, 0.0, 3.0]])
    np.testing.assert_array_equal(leaky_relu(z), [[-0.02, 0, 3]])
    steep = LeakyReLU(0.25)
    np.testing.assert_array_equal(steep(z), [[-0.5, 0, 3]])
    np.testing.assert_array_equal(steep.prime(steep(z)), [[0.25, 0.25, 1]])
    assert [f.name for f in (leaky_relu, steep)] == ["leaky-relu", "leaky-relu(0.25)"]
    again = pickle.loads(pickle.dumps(copy.deepcopy(steep)))
    assert (again.name, again.slope) == (steep.name, 0.25)
    for slope in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match=f"slope must be between 0 and 1, .* not {slope}"):
            LeakyReLU(slope)


def test_he_keeps_the_variance_through_layers_of_leaky_relu() -> None:
    net = Network([500] * 6 + [2], activation=leaky_relu, init=he, rng=0, dtype=np.float64)
    a = start = np.random.default_rng(1).normal(size=(500, 50))
    for layer in net.layers[:5]:
        a = layer.feedforward(a)
    assert np.square(a).mean() == pytest.approx(np.square(start).mean(), rel=0.1)


@pytest.mark.parametrize("shape", [(3, 4), (100, 100)])
def test_the_delta_of_relu_is_the_same_for_small_and_large_arrays(
    shape: tuple[int, int], rng: np.random.Generator
) -> None:
    a, nabla_a = np.maximum(rng.normal(size=shape), 0), rng.normal(size=shape)
    np.testing.assert_array_equal(relu.delta(nabla_a.copy(), a), nabla_a * (a > 0))


@elementwise
def test_prime_agrees_with_central_differences(f: Activation, rng: np.random.Generator) -> None:
    z, h = away_from_0(rng, (6, 5)), 1e-6
    np.testing.assert_allclose(f.prime(f(z)), (f(z + h) - f(z - h)) / (2 * h), atol=2e-9)


@every
def test_delta_agrees_with_central_differences_in_any_direction(
    f: Activation, rng: np.random.Generator
) -> None:
    z, u, nabla_a = away_from_0(rng, (4, 3)), rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    h = 1e-6
    difference = (nabla_a * (f(z + h * u) - f(z - h * u))).sum(axis=0) / (2 * h)
    delta = f.delta(nabla_a.copy(), f(z))
    np.testing.assert_allclose((delta * u).sum(axis=0), difference, atol=1e-8)


def test_prime_of_softmax_raises_type_error() -> None:
    with pytest.raises(TypeError, match=r"softmax is a matrix.*softmax\.delta"):
        softmax.prime(np.full((2, 1), 0.5))


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturated_inputs_give_finite_values_and_derivatives(f: Activation, dtype: type) -> None:
    a = f(EXTREME.astype(dtype))
    assert np.isfinite(a).all()
    assert np.isfinite(f.delta(np.ones_like(a), a)).all()


def test_softmax_outputs_are_positive_sum_to_1_and_ignore_a_common_shift(
    rng: np.random.Generator,
) -> None:
    z = rng.normal(size=(5, 8))
    a = softmax(z)
    assert (a > 0).all()
    np.testing.assert_allclose(a.sum(axis=0), 1, rtol=1e-14)
    np.testing.assert_allclose(softmax(z + 100), a, rtol=1e-12)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_input_is_kept(f: Activation, dtype: type) -> None:
    z = np.array([[0.3, -0.2], [1, -2]], dtype)
    assert f(z).dtype == dtype
    assert f.delta(np.ones_like(z), f(z)).dtype == dtype
    if f is not softmax:
        assert f.prime(f(z)).dtype == dtype


@every
def test_without_out_the_input_is_not_modified(f: Activation) -> None:
    z = np.array([[0.3, -0.2], [1, -2]])
    kept = z.copy()
    f.delta(np.ones_like(z), f(z))
    np.testing.assert_array_equal(z, kept)


@every
def test_out_may_be_the_input(f: Activation) -> None:
    z = np.array([[0.3, -0.2], [1, -2]])
    expected = f(z)
    assert f(z, out=z) is z
    np.testing.assert_array_equal(z, expected)


@elementwise
def test_delta_works_in_place_and_does_not_modify_the_outputs(f: Activation) -> None:
    a, nabla_a = f(np.array([[0.3], [-2.0]])), np.array([[2.0], [3.0]])
    kept, expected = a.copy(), np.array([[2.0], [3.0]]) * f.prime(a)
    assert f.delta(nabla_a, a) is nabla_a
    np.testing.assert_array_equal(nabla_a, expected)
    np.testing.assert_array_equal(a, kept)


@every
def test_copies_and_pickles_are_the_same_object(f: Activation) -> None:
    assert copy.copy(f) is f
    assert copy.deepcopy([f])[0] is f
    assert pickle.loads(pickle.dumps(f)) is f


def test_every_activation_is_registered_by_its_name() -> None:
    assert ACTIVATIONS["tanh"] is tanh
    assert all(repr(f) == name == f.name for name, f in ACTIVATIONS.items())


class Leaky(Activation):
    """A custom activation that ignores ``out``."""

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        return np.where(z > 0, z, 0.1 * z)

    def prime(self, a: Array) -> Array:
        return np.where(a > 0, 1.0, 0.1)


def test_a_custom_activation_can_be_trained_and_copied(rng: np.random.Generator) -> None:
    net = Network([5, 8, 3], activation=Leaky(), cost=quadratic, dtype=np.float64, rng=1)
    x, y = rng.normal(size=(5, 4)), rng.normal(size=(3, 4))
    assert gradient_check(net, x, y) < 1e-7
    assert "Dense(8, leaky)" in repr(net)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(twin(x), net(x))
        twin.update_mini_batch(x, y, 0.5)
