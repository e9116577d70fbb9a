"""Cost functions: definitions, BP1 and central differences, saturation, invalid pairs."""

from __future__ import annotations

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from nndl._typing import Array
from nndl.activations import ACTIVATIONS, Activation, sigmoid, softmax
from nndl.costs import COSTS, Cost, cross_entropy, log_likelihood, quadratic
from nndl.differences import gradient_check
from nndl.network import Network

PAIRS = [(c, f) for c in COSTS.values() for f in c.accepts or ACTIVATIONS.values()]
REFUSED = [(c, f) for c in COSTS.values() for f in ACTIVATIONS.values() if (c, f) not in PAIRS]
pairs = pytest.mark.parametrize(("cost", "f"), PAIRS, ids=str)

DEFINITIONS = {
    quadratic: lambda a, y: 0.5 * ((y - a) ** 2).sum(axis=0),
    cross_entropy: lambda a, y: -(y * np.log(a) + (1 - y) * np.log(1 - a)).sum(axis=0),
    log_likelihood: lambda a, y: -(y * np.log(a)).sum(axis=0),
}


def draw(rng: np.random.Generator, one_hot: bool) -> tuple[Array, Array]:
    """Draw z away from the kink of relu, and targets y that are one-hot or fractions."""
    z = rng.uniform(0.1, 2, (4, 6)) * rng.choice([-1, 1], (4, 6))
    return z, np.eye(4)[:, rng.integers(0, 4, 6)] if one_hot else rng.random((4, 6))


def test_eleven_pairs_of_cost_and_output_activation_have_a_gradient() -> None:
    assert len(PAIRS) == 11
    assert len(REFUSED) == 10


@pairs
@pytest.mark.parametrize("one_hot", [True, False], ids=["labels", "fractions"])
def test_values_match_the_definitions(
    cost: Cost, f: Activation, one_hot: bool, rng: np.random.Generator
) -> None:
    z, y = draw(rng, one_hot)
    value = cost.value(z, f(z), y, f)
    assert value.shape == (6,)
    np.testing.assert_allclose(value, DEFINITIONS[cost](f(z), y), rtol=1e-12)


@pairs
@pytest.mark.parametrize("one_hot", [True, False], ids=["labels", "fractions"])
def test_bp1_agrees_with_central_differences(
    cost: Cost, f: Activation, one_hot: bool, rng: np.random.Generator
) -> None:
    z, y = draw(rng, one_hot)
    delta, h = cost.delta(z, f(z), y, f), 1e-6
    for j in range(len(z)):
        step = np.zeros_like(z)
        step[j] = h
        above, below = (cost.value(w, f(w), y, f) for w in (z + step, z - step))
        np.testing.assert_allclose(delta[j], (above - below) / (2 * h), atol=1e-8)


@pairs
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [30, 1e3, 1e4])
def test_saturated_outputs_give_finite_costs_and_deltas(
    cost: Cost, f: Activation, dtype: type, scale: float
) -> None:
    z = scale * np.array([[1, -1, 1, -1], [-1, 1, 1, -1], [-1, -1, 1, -1]], dtype)
    for label in range(3):
        y = np.eye(3, dtype=dtype)[:, [label] * 4]
        assert np.isfinite(cost.value(z, f(z), y, f)).all()
        assert np.isfinite(cost.delta(z, f(z), y, f)).all()


@pytest.mark.parametrize(
    ("cost", "f", "expected"),
    [
        (quadratic, sigmoid, 1.0),
        (cross_entropy, sigmoid, 2e3),
        (log_likelihood, sigmoid, 1e3),
        (log_likelihood, softmax, 2e3),
        (cross_entropy, softmax, 4e3),
    ],
    ids=str,
)
def test_the_cost_of_a_confident_mistake_is_not_clipped(
    cost: Cost, f: Activation, expected: float
) -> None:
    z, y = np.array([[1e3], [-1e3]]), np.array([[0.0], [1.0]])
    assert cost.value(z, f(z), y, f).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("f", [sigmoid, softmax], ids=repr)
@pytest.mark.parametrize("cost", [cross_entropy, log_likelihood], ids=repr)
def test_a_saturated_mistake_still_has_a_gradient(cost: Cost, f: Activation) -> None:
    z, y = np.array([[40.0], [-40.0]]), np.array([[0.0], [1.0]])
    assert (
        cost.delta(z, f(z), y, f)[1, 0] <= -1 + 1e-12
    )  # the output for the right label still increases
    assert (
        np.abs(quadratic.delta(z, f(z), y, f)).max() < 1e-12
    )  # the learning slowdown of chapter 3


@pytest.mark.parametrize(
    ("cost", "f"), [(cross_entropy, sigmoid), (log_likelihood, softmax)], ids=str
)
def test_the_two_pairs_of_the_book_have_delta_a_minus_y(
    cost: Cost, f: Activation, rng: np.random.Generator
) -> None:
    z, y = draw(rng, one_hot=True)
    np.testing.assert_allclose(cost.delta(z, f(z), y, f), f(z) - y, rtol=1e-14)


@pairs
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_input_is_kept(
    cost: Cost, f: Activation, dtype: type, rng: np.random.Generator
) -> None:
    z, y = (array.astype(dtype) for array in draw(rng, one_hot=True))
    assert cost.value(z, f(z), y, f).dtype == dtype
    assert cost.delta(z, f(z), y, f).dtype == dtype


@pairs
def test_arguments_are_not_modified(cost: Cost, f: Activation, rng: np.random.Generator) -> None:
    z, y = draw(rng, one_hot=False)
    a = f(z)
    kept = [z.copy(), a.copy(), y.copy()]
    cost.value(z, a, y, f)
    cost.delta(z, a, y, f)
    for array, copied in zip((z, a, y), kept, strict=True):
        np.testing.assert_array_equal(array, copied)


class Distance(Cost):
    """A custom cost: the sum of the absolute errors."""

    def value(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        return np.abs(a - y).sum(axis=0)

    def delta(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        return activation.delta(np.sign(a - y), a)


def test_a_custom_cost_works_with_every_output_and_can_be_copied(
    rng: np.random.Generator,
) -> None:
    x, y = rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    for f in ACTIVATIONS.values():
        net = Network([3, 4, 2], cost=Distance(), output=f, rng=1)
        assert gradient_check(net, x, y) < 1e-5
    assert repr(net.cost) == "distance"
    twin = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(twin(x), net(x))


@pytest.mark.parametrize(("cost", "f"), REFUSED, ids=str)
def test_a_pair_without_a_gradient_raises_an_error_that_names_both(
    cost: Cost, f: Activation
) -> None:
    names = f"{cost.name} cost.*sigmoid or softmax outputs, not {f.name};"
    with pytest.raises(ValueError, match=names):
        cost.check(f)
    with pytest.raises(ValueError, match=names):
        Network([3, 4, 2], cost=cost, output=f)


@pytest.mark.parametrize("cost", COSTS.values(), ids=repr)
def test_copies_and_pickles_are_the_same_object(cost: Cost) -> None:
    assert copy.copy(cost) is cost
    assert copy.deepcopy([cost])[0] is cost
    assert pickle.loads(pickle.dumps(cost)) is cost
    assert COSTS[repr(cost)] is cost


def test_the_cross_entropy_of_many_softmax_outputs_needs_linear_memory() -> None:
    z = np.random.default_rng(0).normal(size=(1000, 1000))
    y = np.eye(1000)
    tracemalloc.start()
    values = cross_entropy.value(z, softmax(z), y, softmax)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15 * z.nbytes
    a = softmax(z[:, 0].astype(np.longdouble))
    expected = -np.log(a[0]) - np.log1p(-a[1:]).sum()
    assert values[0] == pytest.approx(float(expected), rel=1e-13)
