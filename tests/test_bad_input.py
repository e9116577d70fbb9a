"""Common mistakes of users, and the error message for each.

A row is a call that must raise. The message must name the argument and what was passed. Where the
docstring promises a type of error, the row checks it; otherwise TypeError and ValueError both pass.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nndl.activations import relu, softmax, tanh
from nndl.conv import Conv, MaxPool
from nndl.costs import COSTS, log_likelihood, quadratic
from nndl.data import Dataset
from nndl.dataset import check_dtype
from nndl.differences import gradient_check
from nndl.initializers import he
from nndl.layers import Dense, Dropout
from nndl.network import Network
from nndl.rng import Streams, generator
from nndl.storage import load_history
from nndl.training import Settings, train
from nndl.training.metrics import accuracy, confusion_matrix, evaluate, mistakes, wilson_interval

NET = Network([3, 4, 2], rng=1)
DROPPING = Network([3, 4, 2], dropout=0.5, rng=1)
X, Y = np.ones((3, 5), np.float32), np.zeros(5, int)
DATA = Dataset(X.T, Y)
SHAPED = Dataset(np.ones((5, 4)), Y)
EITHER = (TypeError, ValueError)
nan, inf = np.nan, np.inf


def filled(value: float) -> np.ndarray:
    images = np.ones((5, 3))
    images[3, 1] = value
    return images


def sgd(
    data: Any = DATA, epochs: Any = 1, mini_batch_size: Any = 2, eta: Any = 0.5, **more: Any
) -> None:
    list(Network([3, 4, 2], rng=1).sgd(data, epochs, mini_batch_size, eta, **more))


def step(x: Any = X, y: Any = Y, eta: Any = 0.5, *args: Any, **more: Any) -> None:
    Network([3, 4, 2], rng=1).update_mini_batch(x, y, eta, *args, **more)


def ordered(order: Callable[[int], Any]) -> None:
    sgd(order=order)


def transformed(images: Callable[[np.ndarray], Any]) -> None:
    sgd(transform=lambda rows, rng: images(rows))


def training(data: Any = DATA, settings: Any = None, **more: Any) -> None:
    train(Network([3, 4, 2], rng=1), data, settings or Settings(1), **more)


def shared(layer: Dense) -> None:
    Network([layer, layer, Dense(2)], input_shape=3)


def row(f: Callable[..., Any], *args: Any, error: Any = EITHER, says: str, **more: Any) -> Any:
    name = getattr(f, "__name__", type(f).__name__)
    return pytest.param(f, args, more, error, says, id=f"{name}: {says}".replace("\\", ""))


BUILDING = [
    row(Network, [784], error=ValueError, says=r"at least one layer, like.*not \[784\]"),
    row(Network, [], error=ValueError, says=r"at least one layer.*not \[\]"),
    row(check_dtype, np.int32, error=ValueError, says="float32, float64 or uint8, but is int32"),
    row(Network, 784, says=r"\[784, 30, 10\].*not 784"),
    row(Network, None, says=r"\[784, 30, 10\].*not None"),
    row(Network, "784", says=r"\[784, 30, 10\].*not '784'"),
    row(Network, [784, 30.0, 10], says=r"whole number.*30\.0"),
    row(Network, [784, 30.0, Dense(10)], says=r"30\.0"),
    row(Network, [3, 0, 2], error=ValueError, says="every size must be 1 or more, .*not .3, 0, 2"),
    row(Dense, 0, error=ValueError, says="whole number of neurons, 1 or more, not 0"),
    row(Network, [3, -4, 2], error=ValueError, says="not .3, -4, 2"),
    row(Network, [0, 2], error=ValueError, says="not .0, 2"),
    row(Network, [-3, 2], error=ValueError, says="not .-3, 2"),
    row(Network, [4, Dense(2)], input_shape=3, says=r"layers.*\[4, Dense"),
    row(Network, [Dense(2), Dropout()], input_shape=3, error=ValueError, says="last layer.*Drop"),
    row(Network, [Dense(2)], error=ValueError, says="input_shape.*784.*not None"),
    row(Network, [Dense(2)], input_shape=0, error=ValueError, says="input_shape.*not 0"),
    row(Network, [Dense(2)], input_shape=(1, -28, 28), error=ValueError, says="input_shape.*-28"),
    row(Network, [Dense(2)], input_shape=(2, 1.5), says=r"input_shape.*1\.5"),
    row(Network, [Dense(2)], input_shape="784", says="input_shape.*'784'"),
    row(shared, Dense(3), says="each layer can be used once"),
    row(Network, [3, 2], cost="quadratic", says="cost.*'quadratic'"),
    row(Network, [3, 2], cost=type(quadratic), says="cost.*Quadratic"),
    row(Network, [3, 4, 2], activation="relu", says="activation.*'relu'"),
    row(Network, [3, 4, 2], output="relu", says="activation.*'relu'"),
    row(Network, [3, 4, 2], init="he", says="init.*'he'"),
    row(Network, [3, 4, 2], cost=log_likelihood, output=tanh, error=ValueError, says="not tanh"),
    row(Network, [3, 4, 2], dtype="f2", error=ValueError, says="float32 or float64, not float16"),
    row(Network, [3, 4, 2], dtype=int, error=ValueError, says="float32 or float64, not int64"),
    row(Network, [3, 4, 2], rng="seed", error=TypeError, says="rng must be.*'seed'"),
    row(NET.astype, np.int32, error=ValueError, says="float32 or float64, not int32"),
    *(row(Dense, n, says=f"whole number of neurons.*{n!r}") for n in (0, -1, 2.5, "3", True, None)),
    row(Dense, 3, "relu", says="activation.*'relu'"),
    *(row(Dropout, p, error=ValueError, says=rf"\[0, 1\), not {p}") for p in (1, 1.5, -0.1, nan)),
    *(row(Dropout, p, says=rf"\[0, 1\), not {p!r}") for p in ("0.5", None)),
    row(Network, [3, 4, 2], dropout=1.0, error=ValueError, says=r"dropping a neuron.*not 1\.0"),
    *(row(generator, s, error=TypeError, says=f"rng must be.*{s!r}") for s in (-1, 1.5, "seed")),
    row(Streams, 1.5, error=TypeError, says=r"rng must be.*1\.5"),
    row(Streams, np.random.RandomState(0), error=TypeError, says="rng must be.*Generator, not"),
    row(Network, [784, 10], dropout=0.5, error=ValueError, says="hidden layers.*leave it out"),
]  # fmt: skip

ANSWERING = [
    *(
        row(f, x, error=ValueError, says=says)
        for f, example in ((NET, r"\(3, m\), a column"), (NET.feedforward, r"\(3, m\), a column"))
        for x, says in [
            (np.ones(3), rf"{example}.*shape \(3,\); transpose.*\(3, 1\)"),
            (X.T, rf"{example}.*shape \(5, 3\)"),
            (np.ones((3, 1, 1)), rf"{example}.*shape \(3, 1, 1\)"),
            (X + 1j, rf"{example}.*complex64"),
            (X.astype(str), rf"{example}.*<U"),
            (None, rf"{example}.*object"),
            (filled(nan).T, "x must be finite"),
            (filled(inf).T, "x must be finite"),
            (filled(1e39).T, "x must be finite"),  # too large for float32
        ]
    ),
    *(
        row(f, images, error=ValueError, says=says)
        for f in (NET.predict, NET.predict_proba)
        for images, says in [
            (np.ones(3), r"shape \(n, 3\), a row.*shape \(3,\); reshape.*\(1, 3\)"),
            (X, r"shape \(n, 3\), a row.*float32 of shape \(3, 5\)"),
            (np.ones((2, 1, 3)), r"shape \(n, 3\).*shape \(2, 1, 3\)"),
            (X.T.astype(str), r"shape \(n, 3\).*<U"),
            (None, r"shape \(n, 3\).*object"),
            ([], r"shape \(n, 3\).*shape \(0,\)"),
            (filled(nan), "images must be finite"),
            (filled(-inf), "images must be finite"),
            (filled(1e39), "images must be finite"),
        ]
    ),
    *(row(f, DATA, says=r"Dataset.*images") for f in (NET, NET.predict, NET.predict_proba)),
    row(
        Network([3, 2], cost=quadratic, activation=tanh).predict_proba,
        X.T,
        error=ValueError,
        says="tanh outputs are not probabilities: use predict",
    ),
]

LEARNING = [
    *(
        row(f, X, y, error=ValueError, says=says)
        for f in (NET.backprop, step, lambda x, y: gradient_check(NET, x, y))
        for y, says in [
            (Y[:3], r"shape \(2, 5\), or be 5 integer labels.*shape \(3,\)"),
            (Y * 1.0, r"integer labels, but is float64"),
            (Y > 0, r"integer labels, but is bool"),
            (Y.astype(str), r"integer labels, but is <U"),
            (np.ones((5, 2)), r"shape \(2, 5\).*shape \(5, 2\)"),
            (0, r"shape \(2, 5\).*shape \(\)"),
            (Y + 2, "labels must be 0 to 1, but range from 2 to 2"),
            (Y - 1, "labels must be 0 to 1, but range from -1 to -1"),
            (np.full((2, 5), nan), "y must be finite"),
        ]
    ),
    *(
        row(f, X.T, Y, error=ValueError, says=r"shape \(3, m\).*shape \(5, 3\)")
        for f in (NET.backprop, step, lambda x, y: gradient_check(NET, x, y))
    ),
    *(
        row(f, X[:, :0], Y[:0], error=ValueError, says="m must be .*, 1 or more, not 0")
        for f in (NET.backprop, step)
    ),
    row(DROPPING.backprop, X, Y, rng="seed", says="rng must be.*'seed'"),
    row(gradient_check, NET, X, Y, h=0, says="h must be.*not 0"),
    *(
        row(f, eta=eta, error=ValueError, says=rf"eta must be positive and finite, not {eta!r}")
        for f in (step, sgd, Settings)
        for eta in (0, -0.5, nan, inf)
    ),
    *(
        row(f, eta=eta, says=f"eta.*{eta!r}")
        for f in (step, sgd, Settings)
        for eta in ("0.5", None)
    ),
    *(
        row(sgd, eta=lambda _, v=v: v, error=ValueError, says=rf"eta\(epoch\) must be 0 .*{v}")
        for v in (nan, inf, -0.5)
    ),
    row(sgd, eta=lambda epoch: None, says=r"eta\(epoch\) must be 0 .*None"),
    row(sgd, first=-1, error=ValueError, says="first must be a whole number, 0 or more, not -1"),
    row(sgd, eta=[0.5, 0.1], says=r"eta.*\[0\.5, 0\.1\]"),
    *(
        row(f, error=ValueError, says=f"{name} must be 0 or more.* not {value}", **{name: value})
        for f in (lambda **more: step(n=5, **more), sgd, Settings)
        for name in ("lmbda", "lmbda_l1")
        for value in (-1.0, nan, inf)
    ),
    *(
        row(f, mu=mu, error=ValueError, says=rf"mu must be in \[0, 1\), not {mu}")
        for f in (step, sgd, Settings)
        for mu in (1.0, -0.1, nan)
    ),
    row(step, X, Y, 0.5, 1.0, error=ValueError, says="size of the training set: pass it as n"),
    *(row(step, X, Y, 0.5, 1.0, n, error=ValueError, says=f"n must be.*{n}") for n in (0, -5)),
    row(sgd, (X.T, Y), error=TypeError, says="expected a Dataset.*not tuple"),
    row(sgd, DATA[:0], error=ValueError, says="is empty"),
    row(sgd, SHAPED, error=ValueError, says="takes 3 pixels.*5 images of 4 pixels"),
    row(sgd, Dataset(X.T, Y + 2), error=ValueError, says="labels 0 to 1, but .* up to 2"),
    *(
        row(sgd, mini_batch_size=m, error=ValueError, says=f"size must .* 1 or more, not {m}")
        for m in (0, -1)
    ),
    *(row(sgd, mini_batch_size=m, says=f"mini_batch_size must .*{m!r}") for m in (2.5, "2", None)),
    *(row(sgd, epochs=epochs, says=f"epochs.*{epochs!r}") for epochs in (-1, 1.5, "2", None)),
    row(sgd, label_smoothing=-0.1, error=ValueError, says=r"label_smoothing must be in \[0, 1\)"),
    row(sgd, rng="seed", error=TypeError, says="rng must be.*'seed'"),
    row(ordered, lambda n: np.arange(n) + 1, error=ValueError, says="order.*permutation"),
    row(ordered, lambda n: np.arange(n) - 1, error=ValueError, says="order.*permutation"),
    row(ordered, lambda n: np.arange(n - 1), error=ValueError, says="order.*permutation"),
    row(ordered, lambda n: np.zeros(n, int), error=ValueError, says="order.*permutation"),
    row(ordered, lambda n: np.arange(n) / 2, says="order.*permutation"),
    row(transformed, lambda rows: rows[:, :2], error=ValueError, says=r"transform.*\(4, 2\)"),
    row(transformed, lambda rows: rows[:1], error=ValueError, says=r"transform.*\(1, 3\)"),
    row(transformed, lambda rows: 0.5, error=ValueError, says=r"transform.*\(\)"),
    row(transformed, lambda rows: None, says="transform.*None"),
]  # fmt: skip

RUNNING = [
    *(
        row(
            Settings,
            error=TypeError if isinstance(v, str) else ValueError,
            says=f"{name} must be a whole.*not {v!r}",
            **{name: v},
        )
        for name in ("epochs", "mini_batch_size", "patience", "halve_after")
        for v in (0, -1, 2.5, "3")
    ),
    *(
        row(Settings, 4, error=ValueError, says=says, **more)
        for says, more in {
            "schedule must be 'constant' or 'cosine' or 'one-cycle' or 'linear', not 'step'": {
                "schedule": "step"
            },
            "warmup must be a number of epochs, 0 or more, not -1": {"warmup": -1},
            "warmup must be shorter than training, 4 epochs, but is 4 epochs": {"warmup": 4.0},
            "nesterov must be False or True, not 1": {"nesterov": 1, "mu": 0.9},
            "nesterov changes the momentum: give mu": {"nesterov": True},
            "label_smoothing must be in .* not 1.0": {"label_smoothing": 1.0},
            "judge_by must be 'accuracy' or 'cost', not 'loss'": {"judge_by": "loss"},
            "average must be in .* not -0.1": {"average": -0.1},
            "has its own warm-up": {"schedule": "one-cycle", "warmup": 0.5},
            "eta is a schedule itself": {"eta": abs, "schedule": "cosine"},
            "halve_after is for a constant eta: .* leave out schedule": {
                "schedule": "linear",
                "halve_after": 2,
            },
            "halve_after is for a constant eta: .* function": {"eta": abs, "halve_after": 2},
        }.items()
    ),
    row(Settings, epochs=None, error=TypeError, says="epochs must be a whole.*not None"),
    row(Settings, mini_batch_size=None, error=TypeError, says="mini_batch_size must.*not None"),
    row(training, (X.T, Y), error=TypeError, says="expected a Dataset.*not tuple"),
    row(training, 5, error=TypeError, says="expected a Dataset.*not int"),
    row(training, SHAPED, error=ValueError, says="takes 3 pixels"),
    row(training, DATA, {"epochs": 3}, says="Settings.*dict"),
    row(training, DATA, Settings(1, patience=2), error=ValueError, says="pass validation"),
    row(training, DATA, Settings(1, halve_after=2), error=ValueError, says="pass validation"),
    row(training, validation=(X.T, Y), error=TypeError, says="expected a Dataset.*not tuple"),
    row(training, validation=SHAPED, error=ValueError, says="takes 3 pixels"),
    row(training, validation=DATA[:0], error=ValueError, says="is empty"),
    row(training, monitor={"test": SHAPED}, error=ValueError, says="takes 3 pixels"),
    row(training, monitor=DATA, says="monitor.*Dataset"),
    row(training, monitor=[DATA], says="monitor.*list"),
    row(training, rng="seed", error=TypeError, says="rng must be.*'seed'"),
]  # fmt: skip

MEASURING = [
    *(
        row(f, NET, data, error=error, says=says)
        for f in (evaluate, accuracy, confusion_matrix, mistakes)
        for data, error, says in [
            ((X.T, Y), TypeError, "expected a Dataset.*not tuple"),
            (5, TypeError, "expected a Dataset.*not int"),
            (DATA[:0], ValueError, "is empty"),
            (SHAPED, ValueError, "takes 3 pixels.*of 4 pixels"),
            (Dataset(X.T, Y + 2), ValueError, "labels 0 to 1, but .* up to 2"),
        ]
    ),
    *(row(mistakes, NET, DATA, k, says=rf"\bk\b.*{k}") for k in (-1, 1.5)),
    *(
        row(wilson_interval, *args, error=ValueError, says=f"correct.*{args[0]} of {args[1]}")
        for args in [(0, 0), (-1, 10), (11, 10), (nan, 10), (0, -1)]
    ),
    row(wilson_interval, 0.98, 10_000, says=r"correct.*0\.98"),  # the accuracy, not the count
    row(wilson_interval, "9", 10, says="correct.*'9'"),
    *(
        row(wilson_interval, 9, 10, level, error=ValueError, says=f"level.*{level}")
        for level in (0, 1, 95, -1, nan)
    ),
]  # fmt: skip

ROWS = [*BUILDING, *ANSWERING, *LEARNING, *RUNNING, *MEASURING]


@pytest.mark.parametrize(("f", "args", "more", "error", "says"), ROWS)
def test_a_message_says_what_was_expected_and_what_was_passed(
    f: Callable[..., Any], args: tuple[Any, ...], more: dict[str, Any], error: Any, says: str
) -> None:
    with pytest.raises(error, match=says):
        f(*args, **more)


@pytest.mark.parametrize("sets", [{"validation": SHAPED}, {"monitor": {"test": SHAPED}}], ids=str)
def test_a_data_set_that_does_not_fit_raises_before_the_first_epoch(sets: dict[str, Any]) -> None:
    net = Network([3, 4, 2], rng=1)
    with pytest.raises(ValueError, match="takes 3 pixels"):
        train(net, DATA, Settings(1), **sets)
    for p, q in zip(net.parameters, NET.parameters, strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"weights": []}', '{"epochs": 5}', "5"])
def test_a_file_that_is_not_a_history_raises_an_error_with_its_name(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json is not a History"):
        load_history(tmp_path / "run.json")


# Unusual arguments that are valid.


@pytest.mark.parametrize("size", [5, 6, 1000])
@pytest.mark.parametrize("cost", COSTS.values(), ids=repr)
def test_a_mini_batch_larger_than_the_data_set_is_one_step_with_all_images(
    cost: Any, size: int
) -> None:
    net, twin = (Network([3, 4, 2], cost=cost, rng=1, dtype=np.float64) for _ in range(2))
    list(net.sgd(DATA, 1, size, 0.5, rng=2))
    twin.update_mini_batch(X, Y, 0.5)
    for p, q in zip(net.parameters, twin.parameters, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-12)


def test_zero_images_give_zero_predictions() -> None:
    assert NET(X[:, :0]).shape == (2, 0)
    assert NET.predict(np.ones((0, 3))).shape == (0,)
    assert NET.predict_proba(np.ones((0, 3))).shape == (0, 2)


def test_zero_epochs_train_nothing() -> None:
    assert list(Network([3, 4, 2], rng=1).sgd(DATA, 0, 2, 0.5)) == []


def test_numpy_scalars_are_accepted() -> None:
    assert repr(Network(np.array([3, 4, 2]), rng=np.int64(1))) == repr(NET)
    sgd(DATA, np.int64(1), np.int64(2), np.float32(0.5))
    settings = Settings(np.int64(3), np.int64(2), np.float32(0.5), patience=np.int64(1))
    assert settings == Settings(3, 2, 0.5, patience=1)


def test_a_layer_belongs_to_one_network() -> None:
    layers = [Dense(3), Dense(2)]
    first = Network(layers, input_shape=4, rng=0)
    with pytest.raises(ValueError, match="already belongs to a network: create new layers"):
        Network(layers, input_shape=4, rng=1)
    assert first.astype(np.float64).n_parameters == first.n_parameters


@pytest.mark.parametrize("wrong", [Conv(2, 5), Conv(2, 3, pool=6)])
def test_layers_of_a_network_that_could_not_be_built_can_be_used_again(wrong: Conv) -> None:
    pool, dense = MaxPool(2), Dense(2)
    with pytest.raises(ValueError, match=r"pictures|maps"):
        Network([pool, wrong, dense], input_shape=(1, 8, 8), rng=0)
    assert Network([pool, dense], input_shape=(1, 8, 8), rng=0).n_in == 64
    with pytest.raises(ValueError, match=r"pictures|maps"):
        Network([wrong, Dense(2)], input_shape=(1, 2, 2), rng=0)
    assert Network([wrong, Dense(2)], input_shape=(1, 20, 20), rng=0).n_in == 400


@pytest.mark.parametrize(
    "arguments", [{"activation": relu}, {"output": softmax}, {"init": he}, {"dropout": 0.5}]
)
def test_arguments_for_sizes_raise_an_error_with_layers(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="are for sizes: give each layer its own"):
        Network([Dense(2)], input_shape=4, **arguments)
    with pytest.raises(ValueError, match="leave input_shape out"):
        Network([4, 2], input_shape=4)


def test_raw_pixels_of_every_integer_dtype_are_divided_by_256() -> None:
    net = Network([4, 2], rng=0)
    raw = np.array([[0, 255, 3, 1]])
    for dtype in (np.uint8, np.int16, np.int64):
        np.testing.assert_array_equal(
            net.predict_proba(raw.astype(dtype)), net.predict_proba(raw / 256)
        )
    with pytest.raises(ValueError, match=r"0 to 255, but range from 0 to 256; .*images / 256"):
        net.predict(raw + np.array([0, 1, 0, 0]))
    assert net.predict([[0, 1, 1, 0]]).shape == (1,)  # zeros and ones are not raw pixels


def test_a_monitored_set_named_validation_raises_value_error() -> None:
    with pytest.raises(ValueError, match='monitor has a set named "validation" too'):
        train(Network([3, 2]), DATA, validation=DATA, monitor={"validation": DATA})


@pytest.mark.parametrize(
    ("labels", "advice"),
    [
        (np.zeros((5, 1), int), r"labels.ravel\(\)$"),
        (np.eye(5), r"labels.argmax\(axis=1\)$"),
        (np.ones(5), r"labels.astype\(int\)$"),
        (np.ones(5, bool), r"labels.astype\(int\)$"),
        (np.full(5, 0.5), r"desired outputs, of the shape of labels\[:, None\]$"),
        (np.array(list("abcde")), "numpy.unique"),
        (np.zeros(4, int), "as many labels as images$"),
    ],
)
def test_messages_about_labels_say_how_to_convert_them(labels: Any, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        Dataset(np.ones((5, 3)), labels)


def test_raw_pixels_are_divided_by_256_at_every_entry_point() -> None:
    raw = np.arange(15, dtype=np.uint8).reshape(3, 5)
    net = Network([3, 4, 2], rng=1)
    np.testing.assert_array_equal(net(raw), net(raw / 256))
    for raw_gradient, gradient in zip(
        net.backprop(raw, [0, 1, 0, 1, 1]), net.backprop(raw / 256, [0, 1, 0, 1, 1]), strict=True
    ):
        for ours, theirs in zip(raw_gradient, gradient, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_pool_belongs_to_one_network() -> None:
    pool = MaxPool(2)
    net = Network([pool, Dense(2)], input_shape=(1, 4, 4), rng=0)
    with pytest.raises(ValueError, match="already belongs to a network"):
        Network([pool, Dense(2)], input_shape=(1, 8, 2), rng=0)
    assert net.astype(np.float64).n_parameters == net.n_parameters
