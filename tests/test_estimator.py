"""NetworkClassifier keeps scikit-learn's contract, and is the network that it says it is."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from dataclasses import fields

import numpy as np
import pytest

import nndl
from nndl.costs import cross_entropy, log_likelihood, quadratic
from nndl.data import Dataset
from nndl.training import Settings, evaluate

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.datasets import load_digits, load_iris  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

from nndl.estimator import NetworkClassifier, _scaling  # noqa: E402
from nndl.initializers import INITIALIZERS  # noqa: E402

DIGITS = load_digits(return_X_y=True)
IRIS = load_iris(return_X_y=True)


def small(**parameters) -> NetworkClassifier:
    """Return a classifier that trains in a moment."""
    return NetworkClassifier(**{"hidden": (8,), "epochs": 5, "random_state": 0} | parameters)


# The contract


@pytest.mark.parametrize(
    "classifier",
    [
        NetworkClassifier(),
        NetworkClassifier((20,), activation="sigmoid", cost="cross-entropy", init="default"),
    ],
    ids=["default", "cross-entropy"],
)
def test_all_checks_of_scikit_learn_pass_without_expected_failures(classifier) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(classifier, on_skip=None, on_fail=None)
    not_passed = {r["check_name"]: r["exception"] for r in results if r["status"] != "passed"}
    assert not_passed.keys() <= {"check_array_api_input"}  # skipped without SCIPY_ARRAY_API
    assert len(results) > 50


def test_every_setting_is_a_parameter_with_the_same_meaning() -> None:
    parameters = NetworkClassifier().get_params()
    assert {field.name for field in fields(Settings)} <= parameters.keys()
    values = {"epochs": 3, "mini_batch_size": 7, "eta": 0.3, "lmbda": 2.0, "lmbda_l1": 0.5}
    values |= {"mu": 0.25, "patience": 2, "halve_after": 1, "nesterov": True}
    values |= {"label_smoothing": 0.1, "average": 0.1, "judge_by": "cost"}
    fitted = small(**values).fit(*IRIS)
    assert {name: fitted.history_.settings[name] for name in values} == values


@pytest.mark.parametrize("more", [{"schedule": "cosine"}, {"warmup": 0.5}, {"average": 0.01}])
def test_settings_that_span_a_training_are_for_fit(more) -> None:
    small(epochs=2, **more).fit(*IRIS)
    with pytest.raises(ValueError, match=r"depend on the epochs .* use fit"):
        small(**more).partial_fit(*IRIS, classes=[0, 1, 2])


def test_a_copy_and_a_pickle_predict_the_same_and_a_clone_is_unfitted() -> None:
    fitted = small().fit(*IRIS)
    expected = fitted.predict_proba(IRIS[0])
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(fitted)).predict_proba(IRIS[0]), expected
    )
    fresh = clone(fitted)
    assert not hasattr(fresh, "network_")
    np.testing.assert_array_equal(fresh.fit(*IRIS).predict_proba(IRIS[0]), expected)


def test_it_works_in_pipelines_grid_search_and_calibration() -> None:
    pipeline = make_pipeline(StandardScaler(), small())
    grid = {"networkclassifier__hidden": [(4,), (8, 8)], "networkclassifier__mu": [0.9]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(*IRIS)
    assert search.best_score_ > 0.8
    assert cross_val_score(small(epochs=30), *IRIS, cv=3).min() > 0.85
    calibrated = CalibratedClassifierCV(small(), cv=3).fit(*IRIS)
    np.testing.assert_allclose(calibrated.predict_proba(IRIS[0]).sum(axis=1), 1)


def test_import_needs_scikit_learn_only_when_the_class_is_used(monkeypatch) -> None:
    program = "import sys, nndl; print('sklearn' in sys.modules, nndl.NetworkClassifier.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False NetworkClassifier\n", done.stderr
    monkeypatch.delitem(sys.modules, "nndl.estimator")
    monkeypatch.delitem(vars(nndl), "NetworkClassifier", raising=False)  # kept after its first use
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ImportError, match=r"pip install 'nndl\[sklearn\]'"):
        nndl.NetworkClassifier  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        nndl.Nonsense  # noqa: B018


def test_names_of_features_are_kept_and_compared() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(IRIS[0], columns=["a", "b", "c", "d"])
    fitted = small().fit(frame, IRIS[1])
    assert (fitted.n_features_in_, list(fitted.feature_names_in_)) == (4, ["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame.rename(columns={"a": "z"}))


# Classes and outputs


@pytest.mark.parametrize(
    "names",
    [
        np.array(["versicolor", "setosa", "virginica"]),
        np.array([True, False]),
        np.array([-7, 40, 3]),
        np.array(["b", "a", "c"], object),
        np.array([0.0, 1.0, 2.0]),
    ],
)
def test_classes_may_be_of_any_type(names) -> None:
    rows = IRIS[1] < len(names)
    X, y = IRIS[0][rows], names[IRIS[1][rows]]
    fitted = small(epochs=30).fit(X, y)
    assert list(fitted.classes_) == sorted(names)
    assert fitted.predict(X).dtype == y.dtype
    assert fitted.score(X, y) > 0.9
    assert (fitted.classes_[fitted.predict_proba(X).argmax(axis=1)] == fitted.predict(X)).all()


@pytest.mark.parametrize("cost", ["quadratic", "cross-entropy", "log-likelihood"])
def test_probabilities_add_to_1_with_every_cost(cost) -> None:
    fitted = small(cost=cost).fit(*IRIS)
    probabilities = fitted.predict_proba(IRIS[0])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    expected = {"quadratic": quadratic, "cross-entropy": cross_entropy}.get(cost, log_likelihood)
    assert fitted.network_.cost is expected
    far = fitted.predict_proba(1e9 * np.ones((1, 4)))  # where every output may be 0
    np.testing.assert_allclose(far.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("dtype", "expected"), [(np.float32, "float32"), (np.uint8, "float32"), (float, "float64")]
)
def test_the_dtype_of_the_data_is_that_of_the_network(dtype, expected) -> None:
    X = DIGITS[0].astype(dtype)
    fitted = small(epochs=1).fit(X, DIGITS[1])
    assert fitted.predict_proba(X).dtype == fitted.network_.dtype == np.dtype(expected)


def test_rows_are_predicted_the_same_alone_and_among_many(monkeypatch) -> None:
    fitted = small().fit(*DIGITS)
    expected = fitted.predict_proba(DIGITS[0])
    monkeypatch.setattr("nndl.estimator.BATCH", 7)
    np.testing.assert_allclose(fitted.predict_proba(DIGITS[0]), expected, rtol=1e-9)


def test_convolutional_layers_take_rows_as_square_images() -> None:
    X, y = DIGITS
    fitted = small(conv=((8, 3, 2),), hidden=(30,), epochs=10).fit(X[:1000], y[:1000])
    assert str(fitted.network_.layers[0]).startswith("Conv(8")
    assert fitted.network_.input_shape == (1, 8, 8)
    assert fitted.score(X[1000:], y[1000:]) > 0.85
    oblong = small(conv=((4, 3),), input_shape=(1, 4, 16), epochs=1)
    with pytest.raises(ValueError, match=r"conv must hold three numbers \(maps, size, pool\)"):
        oblong.fit(X, y)
    oblong.set_params(conv=((4, 3, 2),)).fit(X, y)
    assert oblong.network_.input_shape == (1, 4, 16)


# Weights


def test_a_weight_of_2_counts_an_example_twice() -> None:
    X, y = IRIS[0][::10], IRIS[1][::10]
    weights = np.arange(len(y)) % 3
    repeated = X.repeat(weights, axis=0), y.repeat(weights)
    kinds = {"mini_batch_size": 50, "lmbda": 3.0, "lmbda_l1": 0.5, "epochs": 20}
    expected = small(**kinds).fit(*repeated).predict_proba(X)
    np.testing.assert_allclose(
        small(**kinds).fit(X, y, sample_weight=weights).predict_proba(X), expected, rtol=1e-9
    )


def test_class_weights_multiply_the_weights_of_examples() -> None:
    X, y = IRIS
    weights = np.linspace(0.5, 1.5, len(y))
    by_class = small(class_weight={0: 1.0, 1: 4.0, 2: 0.5}).fit(X, y, sample_weight=weights)
    by_hand = small().fit(X, y, sample_weight=weights * np.array([1.0, 4.0, 0.5])[y])
    np.testing.assert_array_equal(by_class.predict_proba(X), by_hand.predict_proba(X))


def test_balanced_classes_find_the_rare_one() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (300, 2)), rng.normal(1.2, 1, (15, 2))])
    y = np.repeat([0, 1], [300, 15])
    found = [
        (small(class_weight=weight, epochs=20).fit(X, y).predict(X)[300:] == 1).mean()
        for weight in (None, "balanced")
    ]
    assert found[1] > found[0] + 0.3


def test_the_cost_is_weighted() -> None:
    X, y = IRIS
    weights = np.where(y == 0, 5.0, 0.25)
    X = X / 8
    fitted = small(scale="none").fit(X, y, sample_weight=weights)
    data = Dataset(X, y, "iris", weights=weights)
    rows = fitted.network_.predict_proba(X)[np.arange(len(y)), y]
    expected = np.average(-np.log(rows), weights=weights)
    assert evaluate(fitted.network_, data).cost == pytest.approx(expected, rel=1e-9)


# Validation, continued training


def test_validation_is_set_aside_class_by_class(monkeypatch) -> None:
    seen = {}

    def spy(net, training, settings, validation, **more):
        seen.update(training=training, validation=validation)
        return nndl.train(net, training, settings, validation=validation, **more)

    monkeypatch.setattr("nndl.estimator.train", spy)
    X, y = IRIS  # sorted by class
    fitted = small(patience=2, validation_fraction=0.2).fit(X, y, sample_weight=1.0 + y)
    assert np.bincount(seen["validation"].labels).tolist() == [10, 10, 10]
    assert np.bincount(seen["training"].labels).tolist() == [40, 40, 40]
    weights = 1.0 + seen["training"].labels
    np.testing.assert_allclose(seen["training"].weights, weights / weights.mean())
    assert len(fitted.history_["validation_accuracy"]) == fitted.n_iter_
    explicit = small(patience=2).fit(X[::2], y[::2], validation=(X[1::2], y[1::2]))
    assert len(seen["validation"]) == len(seen["training"]) == 75
    assert "validation_accuracy" in explicit.history_
    small().fit(X, y)
    assert seen["validation"] is None


def test_warm_start_continues_and_a_cold_start_does_not() -> None:
    once = small(epochs=3, warm_start=True).fit(*IRIS)
    before = once.network_
    first = [p.copy() for p in before.parameters]
    once.fit(*IRIS)
    assert once.network_ is before
    assert not np.array_equal(first[0], before.parameters[0])
    again = small(epochs=3).fit(*IRIS)
    np.testing.assert_array_equal(again.network_.parameters[0], first[0])
    again.fit(*IRIS)
    np.testing.assert_array_equal(again.network_.parameters[0], first[0])


def test_the_layers_are_those_that_the_parameters_ask_for() -> None:
    one = small(hidden=(9, 8), activation="tanh", dropout=0.25, init="zeros", epochs=1)
    assert [repr(layer).partition(":")[0] for layer in one.fit(*IRIS).network_.layers] == [
        *("Dense(9, tanh)", "Dropout(0.25)", "Dense(8, tanh)", "Dropout(0.25)"),
        "Dense(3, softmax)",
    ]
    assert {layer.init for layer in one.network_.layers[::2]} == {INITIALIZERS["zeros"]}


def test_verbose_prints_every_epoch(capsys) -> None:
    small(epochs=2).fit(*IRIS)
    assert capsys.readouterr().out == ""
    small(epochs=2, verbose=True).fit(*IRIS)
    assert capsys.readouterr().out.count("epoch  ") == 2


def test_partial_fit_is_an_epoch_of_sgd_with_the_parameters() -> None:
    X, y = DIGITS[0][:200], DIGITS[1][:200]
    weights = np.arange(200) % 3 + 1.0
    values = {"mini_batch_size": 20, "eta": 0.2, "lmbda": 3.0, "lmbda_l1": 2.0, "mu": 0.5}
    values |= {"nesterov": True, "label_smoothing": 0.1}
    net = small(**values).partial_fit(X, y, np.arange(10), sample_weight=weights)
    (twin := small(**values))._validated(X, y, reset=True)
    twin._labels(y, None, False)
    twin._start(X, None)
    data = Dataset(twin._scaled(X), y, weights=weights / weights.mean())
    regularization = {key: values.pop(key) / weights.mean() for key in ("lmbda", "lmbda_l1")}
    epochs = twin.network_.sgd(data, 1, **values, **regularization, rng=twin._streams)
    assert list(epochs) == [0]
    for ours, theirs in zip(net.network_.parameters, twin.network_.parameters, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_warm_start_keeps_the_scaling() -> None:
    X, y = IRIS
    net = small(epochs=1, warm_start=True).fit(X, y)
    offset, factor = net.offset_, net.factor_
    net.fit(1.1 * X, y)
    np.testing.assert_array_equal(net.offset_, offset)
    np.testing.assert_array_equal(net.factor_, factor)


def test_partial_fit_learns_from_parts() -> None:
    X, y = DIGITS
    net = small(hidden=(30,))
    for _ in range(15):
        for start in range(0, 1500, 500):
            part = slice(start, start + 500)
            net.partial_fit(X[part], y[part], classes=np.arange(10))
    assert net.score(X[1500:], y[1500:]) > 0.9
    scale = net.factor_
    net.partial_fit(X[:20] / 16, y[:20], sample_weight=np.ones(20))
    assert net.factor_ == scale


# Scaling


@pytest.mark.parametrize(
    ("X", "factor"),
    [
        (DIGITS[0], 1 / 16),
        (DIGITS[0].astype(np.uint8), 1 / 16),
        (16 * DIGITS[0] - (DIGITS[0] > 0), 1 / 256),
        ((15 * DIGITS[0]).astype(np.uint8), 1 / 256),
        ((15 * DIGITS[0]).astype(np.int64), 1 / 256),
        (DIGITS[0] / 16, 1.0),
        ((DIGITS[0] > 8).astype(int), 1.0),
        (DIGITS[0][:, 20:23] / 16, 1.0),
    ],
)
def test_pixels_are_scaled_by_their_range(X, factor) -> None:
    fitted = small(epochs=1).fit(X, DIGITS[1])
    assert (fitted.offset_, fitted.factor_) == (0.0, factor)
    inputs = X * factor
    expected = fitted.network_.feedforward(inputs.T.astype(fitted.network_.dtype)).T
    np.testing.assert_allclose(fitted.predict_proba(X), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("X", [IRIS[0], IRIS[0] - 3, 100 * IRIS[0], np.round(10 * IRIS[0])])
def test_other_features_are_standardized(X) -> None:
    fitted = small(epochs=1).fit(X, IRIS[1])
    np.testing.assert_allclose(fitted.offset_, X.mean(axis=0))
    np.testing.assert_allclose(fitted.factor_, 1 / X.std(axis=0))


def test_features_are_pixels_however_few_if_there_is_a_convolution() -> None:
    X = np.random.default_rng(0).integers(0, 256, (40, 25), np.uint8)
    y = np.arange(40) % 2
    pictures = small(epochs=1, conv=((2, 2, 1),)).fit(X, y)
    assert (pictures.offset_, pictures.factor_) == (0.0, 1 / 256)
    np.testing.assert_allclose(small(epochs=1).fit(X, y).offset_, X.mean(axis=0))


def test_a_constant_feature_becomes_0() -> None:
    X = np.column_stack([IRIS[0], np.full(150, 7.0)])
    fitted = small().fit(X, IRIS[1])
    assert fitted.factor_[4] == 1
    assert fitted.offset_[4] == 7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_does_not_make_a_constant_vary(dtype) -> None:
    X = np.random.default_rng(0).normal(size=(1000, 3)).astype(dtype)
    X[:, 1], X[:, 2] = 0.1, 1e-9 * X[:, 0]
    fitted = small(epochs=1).fit(X, X[:, 0] > 0)
    assert fitted.factor_[1] == 1
    np.testing.assert_allclose(fitted.factor_[2], 1 / X[:, 2].std(), rtol=1e-5)


def test_the_mean_of_many_float32_numbers_is_accurate() -> None:
    X = (10_000 + np.random.default_rng(1).normal(size=(200_000, 1))).astype(np.float32)
    offset, factor = _scaling(X, "standard", False, None)
    np.testing.assert_allclose(offset, X.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(factor, 1 / X.std(axis=0, dtype=np.float64), rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_features_of_any_unit_are_standardized(unit) -> None:
    offset, factor = _scaling(unit * IRIS[0], "standard", False, None)
    np.testing.assert_allclose(offset, unit * IRIS[0].mean(axis=0))
    np.testing.assert_allclose(factor, 1 / (unit * IRIS[0].std(axis=0)))


@pytest.mark.parametrize(
    ("scale", "offset", "factor"), [("none", 0, 1), (0.25, 0, 0.25), (2, 0, 2)]
)
def test_scaling_may_be_given(scale, offset, factor) -> None:
    fitted = small(scale=scale).fit(IRIS[0] / 8, IRIS[1])
    assert (fitted.offset_, fitted.factor_) == (offset, factor)


# Refusals


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"activation": "rely"}, r"activation must be one of sigmoid, .* not 'rely'"),
        ({"cost": "entropy"}, r"cost must be one of quadratic, .* not 'entropy'"),
        ({"init": 3}, r"init must be one of large, .* not 3"),
        ({"scale": "minmax"}, r'scale must be "auto", .* not \'minmax\''),
        ({"activation": ["relu"]}, r"activation must be one of .* not \['relu'\]"),
        ({"scale": np.ones(4)}, 'scale must be "auto", "standard", "none" or a number'),
        ({"scale": -1}, "scale must be .* a number above 0, not -1"),
        ({"hidden": (0,)}, "n_out must be a whole number of neurons, 1 or more"),
        ({"hidden": 30}, r"hidden must be a sequence of layer sizes, like \(100,\), not 30"),
        ({"epochs": 0}, "epochs must be a whole number, 1 or more"),
        ({"eta": -1.0}, "eta must be positive"),
        ({"conv": ((2, 3, 1),)}, r"input_shape must have 4 numbers.* \(1, 3, 3\)|pictures|smaller"),
        ({"input_shape": (1, 3, 3)}, "input_shape must have 4 numbers, one for each feature"),
        ({"patience": 1, "validation_fraction": 0.001}, "test_size"),
    ],
)
def test_a_wrong_parameter_is_named_when_fit_is_called(parameters, message) -> None:
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(*IRIS)


def test_data_that_do_not_fit_are_refused() -> None:
    X, y = IRIS
    with pytest.raises(ValueError, match="2 classes or more, but has 1 class, a"):
        small().fit(X, ["a"] * 150)
    with pytest.raises(ValueError, match="must be above 0 for some example"):
        small(class_weight=dict.fromkeys(range(3), 0)).fit(X, y)
    with pytest.raises(ValueError, match="first call of partial_fit needs classes"):
        small().partial_fit(X, y)
    with pytest.raises(ValueError, match='class_weight="balanced" needs all data at once'):
        small(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])
    known = small().partial_fit(X[y < 2], y[y < 2], classes=[0, 1])
    with pytest.raises(
        ValueError, match=r"classes \[0, 1\] that the network knows, but holds \[2\]"
    ):
        known.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"classes must stay those of the first call, \[0, 1\]"):
        known.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"holds \[2\] too: fit a new classifier"):
        small(warm_start=True).fit(X[y < 2], y[y < 2]).fit(X, y)


def test_the_defaults_are_accurate_on_digits() -> None:
    scores = cross_val_score(NetworkClassifier(random_state=0), *DIGITS, cv=3)
    assert scores.mean() > 0.93  # measured: 0.940, and MLPClassifier 0.939


@pytest.mark.parametrize("more", [{"patience": 3}, {"halve_after": 3}, {"schedule": "cosine"}])
def test_a_first_partial_fit_that_is_refused_leaves_no_network(more) -> None:
    classifier = small(**more)
    with pytest.raises(ValueError, match=r"depend on the epochs .* use fit"):
        classifier.partial_fit(*IRIS, classes=[0, 1, 2])
    assert not hasattr(classifier, "network_")


def test_examples_of_weight_0_are_not_validated_on() -> None:
    X = np.concatenate([IRIS[0], IRIS[0]])
    y = np.concatenate([IRIS[1], (IRIS[1] + 1) % 3])  # the second half is wrong
    weights = np.repeat([1.0, 0.0], 150)
    fitted = small(patience=3, epochs=30).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(
        fitted.predict_proba(IRIS[0]),
        small(patience=3, epochs=30).fit(*IRIS, np.ones(150)).predict_proba(IRIS[0]),
    )


def test_features_that_are_no_square_image_need_a_shape() -> None:
    X = np.random.default_rng(0).random((20, 65))
    with pytest.raises(ValueError, match="X has 65 features, which are not a square image"):
        small(conv=((2, 3, 1),)).fit(X, np.arange(20) % 2)
