"""A classifier with scikit-learn's interface, for pipelines, grid search and calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isqrt
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nndl._typing import Array
from nndl.activations import ACTIVATIONS, Activation, sigmoid, softmax
from nndl.conv import Conv
from nndl.costs import COSTS, Cost, log_likelihood
from nndl.dataset import Dataset
from nndl.initializers import INITIALIZERS, Initializer
from nndl.layers import Dense, Dropout, Layer
from nndl.network import Network
from nndl.rng import Streams
from nndl.training import Settings, train

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state, compute_sample_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "nndl.NetworkClassifier needs scikit-learn 1.6 or later: install it by "
        "pip install 'nndl[sklearn]'"
    ) from error

__all__ = ["NetworkClassifier"]

DTYPES = (np.float64, np.float32, np.uint8)
IMAGE_FEATURES = 64  # from this many features on, whole numbers from 0 to 255 are taken for pixels
BATCH = 1000  # rows that are predicted at a time


class NetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A feedforward network, `nndl.Network`, as a classifier of scikit-learn.

    Parameters
    ----------
    hidden : sequence of int
        The number of neurons of each hidden layer; () for none.
    conv : sequence of (maps, size, pool)
        Convolutional layers before those: feature maps, side of the filters, side of the pools.
    input_shape : (maps, height, width), optional
        The shape of a row, for ``conv``; by default one square image.
    activation, cost, init : str or object
        A name or an object of `nndl.activations`, `nndl.costs` and `nndl.initializers`. The output
        layer has softmax neurons with the log-likelihood cost, and sigmoid neurons with the others.
    dropout : float
        Probability of dropping the output of a hidden layer in training.
    epochs, mini_batch_size, eta, lmbda, lmbda_l1, mu, patience, halve_after
        As in `nndl.Settings`. ``lmbda`` and ``lmbda_l1`` are divided by the sum of the weights of
        the examples, or by their number if they have none.
    schedule, warmup, nesterov, label_smoothing, average, judge_by
        As in `nndl.Settings`; schedules and averages are for `fit`.
    scale : "auto", "standard", "none" or float
        How features are scaled. "standard" subtracts the mean of each feature and divides by its
        standard deviation; a number multiplies all features; "auto" decides from the training data:
        features within [0, 1] stay as they are; pixels, which are whole numbers from 0 to 255 in
        64 features or more or with ``conv``, are multiplied by 1/16 if none is above 16, else by
        1/256; all others are scaled as by "standard".
    class_weight : dict, "balanced" or None
        Weights of the classes, which multiply those of the examples.
    validation_fraction : float
        The part of the training data, drawn class by class, that is set aside for ``patience`` and
        ``halve_after``, if `fit` is given no validation data.
    warm_start : bool
        Whether `fit` continues from the network of the fit before, with its scaling.
    random_state : int, RandomState or None
        Seeds the initial parameters, the order of the examples, dropout and the validation split.
    verbose : bool
        Whether a line is printed after every epoch.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    network_ : nndl.Network
        Its outputs are in the order of ``classes_``. Its dtype is float32 for features of float32
        or uint8, else float64.
    history_ : nndl.History
        What happened in the last `fit`, epoch by epoch.
    n_iter_ : int
        The number of epochs of the last `fit`.
    offset_, factor_ : float or ndarray, shape (n_features,)
        The network is given ``(X - offset_) * factor_``.
    n_features_in_ : int
    feature_names_in_ : ndarray, shape (n_features,)
        Only if X has names of features, all strings.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> NetworkClassifier(random_state=0).fit(X[:1500], y[:1500]).score(X[1500:], y[1500:]) > 0.9
    True
    """

    def __init__(
        self,
        hidden: Sequence[int] = (100,),
        *,
        conv: Sequence[tuple[int, int, int]] = (),
        input_shape: tuple[int, int, int] | None = None,
        activation: str | Activation = "relu",
        cost: str | Cost = "log-likelihood",
        init: str | Initializer = "he",
        dropout: float = 0.0,
        epochs: int = 50,
        mini_batch_size: int = 32,
        eta: float | Callable[[float], float] = 0.05,
        lmbda: float = 1.0,
        lmbda_l1: float = 0.0,
        mu: float = 0.9,
        patience: int | None = None,
        halve_after: int | None = None,
        schedule: str = "constant",
        warmup: float = 0.0,
        nesterov: bool = False,
        label_smoothing: float = 0.0,
        average: float = 0.0,
        judge_by: str = "accuracy",
        scale: str | float = "auto",
        class_weight: dict[Any, float] | str | None = None,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.hidden = hidden
        self.conv = conv
        self.input_shape = input_shape
        self.activation = activation
        self.cost = cost
        self.init = init
        self.dropout = dropout
        self.epochs = epochs
        self.mini_batch_size = mini_batch_size
        self.eta = eta
        self.lmbda = lmbda
        self.lmbda_l1 = lmbda_l1
        self.mu = mu
        self.patience = patience
        self.halve_after = halve_after
        self.schedule = schedule
        self.warmup = warmup
        self.nesterov = nesterov
        self.label_smoothing = label_smoothing
        self.average = average
        self.judge_by = judge_by
        self.scale = scale
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        validation: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Self:
        """Train a new network, or with ``warm_start`` the one of the fit before.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
            Finite numbers, an example in each row.
        y : array_like, shape (n,)
            The classes, 2 or more, of any type that can be sorted.
        sample_weight : array_like, shape (n,), optional
            Weights of the examples in the cost, 0 or more. An example of weight 2 counts as two.
        validation : pair (X, y), optional
            Data to measure after every epoch, which ``patience`` and ``halve_after`` go by.

        Raises
        ------
        ValueError
            If the data or a parameter is not as described.
        nndl.DivergedError
            If the parameters or costs are no longer finite: try a smaller ``eta``.
        """
        continued = self.warm_start and hasattr(self, "network_")
        features, target = self._validated(X, y, reset=not continued)
        labels = self._labels(target, None, continued)
        weights = self._weights(features, target, sample_weight)
        if weights is not None:  # examples of weight 0 are none, also in validation
            some = np.flatnonzero(weights)
            features, target = features[some], target[some]
            labels, weights = labels[some], weights[some]
        if validation is None and self._settings().keeps_best:
            part, rest = train_test_split(
                np.arange(len(labels)),
                test_size=self.validation_fraction,
                stratify=labels,
                random_state=self.random_state,
            )
            validation = features[rest], target[rest]
            features, labels = features[part], labels[part]
            weights = None if weights is None else weights[part]
        if not continued:
            self._start(features, weights)
        training, factor = self._dataset(features, labels, weights)
        self.history_ = train(
            self.network_,
            training,
            self._settings(factor),
            validation=None if validation is None else self._validation(*validation),
            rng=self._rng,
            progress=self.verbose,
        )
        self.n_iter_ = len(self.history_)
        return self

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch with these data.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`. Features are scaled as the data of the first call ask for.
        classes : array_like
            All classes that will ever occur; needed in the first call.

        Raises
        ------
        ValueError
            As `fit`; if the first call has no ``classes``, ``class_weight`` is "balanced", or
            settings span all epochs of a training.
        """
        continued = hasattr(self, "network_")
        features, target = self._validated(X, y, reset=not continued)
        if self.class_weight == "balanced":
            raise ValueError(
                'class_weight="balanced" needs all data at once, but partial_fit sees a part: give '
                "a dict, or weights of the examples by sample_weight"
            )
        if not continued and classes is None:
            raise ValueError(
                "the first call of partial_fit needs classes, all that will ever occur"
            )
        labels = self._labels(target, classes, continued)
        weights = self._weights(features, target, sample_weight)
        settings = self._settings(1.0)
        if settings.average or settings.keeps_best or not settings.is_constant:
            raise ValueError(
                "schedules, warmup, average, patience and halve_after depend on the epochs of a "
                "training, which partial_fit does not know: use fit, or leave them out"
            )
        if not continued:
            self._start(features, weights)
        training, factor = self._dataset(features, labels, weights)
        settings = self._settings(factor)
        for _ in self.network_.sgd(
            training,
            1,
            settings.mini_batch_size,
            settings.eta,
            lmbda=settings.lmbda,
            lmbda_l1=settings.lmbda_l1,
            mu=settings.mu,
            nesterov=settings.nesterov,
            label_smoothing=settings.label_smoothing,
            rng=self._streams,
        ):
            pass
        self.n_iter_ = 1
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each row, shape (n,)."""
        largest = self._outputs(X).argmax(axis=1)
        predicted: NDArray[Any] = self.classes_[largest]
        return predicted

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probability of each class of ``classes_``, shape (n, n_classes).

        Sigmoid outputs are divided by their sum.
        """
        a = self._outputs(X)
        if self.network_.output.activation is not softmax:
            a += np.finfo(a.dtype).tiny  # if all of them are 0
            a /= a.sum(axis=1, keepdims=True)
        return a

    # Preparation

    def _validated(self, X: ArrayLike, y: ArrayLike, reset: bool) -> tuple[Array, NDArray[Any]]:
        features, target = validate_data(self, X, y, dtype=DTYPES, reset=reset)
        return features, target

    def _settings(self, factor: float = 1.0) -> Settings:
        return Settings(
            epochs=self.epochs,
            mini_batch_size=self.mini_batch_size,
            eta=self.eta,
            lmbda=self.lmbda * factor,
            lmbda_l1=self.lmbda_l1 * factor,
            mu=self.mu,
            patience=self.patience,
            halve_after=self.halve_after,
            schedule=self.schedule,
            warmup=self.warmup,
            nesterov=self.nesterov,
            label_smoothing=self.label_smoothing,
            average=self.average,
            judge_by=self.judge_by,
        )

    def _labels(
        self, y: NDArray[Any], classes: ArrayLike | None, continued: bool
    ) -> NDArray[np.intp]:
        """Return y as numbers of classes, and set ``classes_``."""
        check_classification_targets(y)
        if not continued:
            self.classes_ = np.unique(np.asarray(y if classes is None else classes))
            if len(self.classes_) < 2:
                raise ValueError(
                    f"y must have 2 classes or more, but has 1 class, {self.classes_[0]}: add "
                    "examples of another"
                )
        elif classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"classes must stay those of the first call, {self.classes_.tolist()}, not "
                f"{classes!r}"
            )
        labels: NDArray[np.intp] = np.searchsorted(self.classes_, y)
        if unknown := np.setdiff1d(y, self.classes_).tolist():
            raise ValueError(
                f"y must hold the classes {self.classes_.tolist()} that the network knows, but "
                f"holds {unknown} too: fit a new classifier"
            )
        return labels

    def _weights(
        self, X: Array, y: NDArray[Any], sample_weight: ArrayLike | None
    ) -> NDArray[np.float64] | None:
        """Return the weight of each example in the cost, or None if all are 1."""
        if sample_weight is None and self.class_weight is None:
            return None
        weights: NDArray[np.float64] = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        weights = weights * compute_sample_weight(self.class_weight, y)
        if not weights.any():
            raise ValueError("sample_weight must be above 0 for some example, but all are 0")
        return weights

    def _start(self, X: Array, weights: NDArray[np.float64] | None) -> None:
        """Decide the scaling, and make the network."""
        self.offset_, self.factor_ = _scaling(X, self.scale, bool(self.conv), weights)
        draws = check_random_state(self.random_state)
        self._rng = np.random.default_rng(draws.randint(2**31, size=4))
        self._streams = Streams(self._rng)
        activation = _named(self.activation, ACTIVATIONS, Activation, "activation")
        cost = _named(self.cost, COSTS, Cost, "cost")
        init = _named(self.init, INITIALIZERS, Initializer, "init")
        if not isinstance(self.hidden, Sequence | np.ndarray):
            raise ValueError(
                f"hidden must be a sequence of layer sizes, like (100,), not {self.hidden!r}"
            )
        if any(np.shape(numbers) != (3,) for numbers in self.conv):
            raise ValueError(
                f"conv must hold three numbers (maps, size, pool) for each layer, not {self.conv!r}"
            )
        layers: list[Layer] = [
            Conv(maps, size, activation, pool, init) for maps, size, pool in self.conv
        ]
        for n in self.hidden:
            layers.append(Dense(n, activation, init))
            if self.dropout:
                layers.append(Dropout(self.dropout))
        output = softmax if cost is log_likelihood else sigmoid
        layers.append(Dense(len(self.classes_), output, init))
        n = X.shape[1]
        shape: tuple[int, ...] = (n,)
        if self.conv or self.input_shape is not None:
            shape = self.input_shape or (1, isqrt(n), isqrt(n))
            if self.input_shape is None and isqrt(n) ** 2 != n:
                raise ValueError(
                    f"X has {n} features, which are not a square image: give input_shape as (maps, "
                    "height, width)"
                )
            if int(np.prod(shape)) != n:
                raise ValueError(
                    f"input_shape must have {n} numbers, one for each feature of X, but is {shape}"
                )
        self.network_ = Network(
            layers,
            cost=cost,
            rng=self._rng,
            dtype=np.float64 if X.dtype == np.float64 else np.float32,
            input_shape=shape,
        )

    def _scaled(self, X: Array) -> Array:
        """Return the features as the network takes them, (n, n_features)."""
        if X.dtype == np.uint8 and np.ndim(self.factor_) == 0 and self.factor_ == 1 / 256:
            return X  # the network multiplies pixels of uint8 by 1/256 itself
        scaled: Array = ((X - self.offset_) * self.factor_).astype(self.network_.dtype, copy=False)
        return scaled

    def _dataset(
        self, X: Array, labels: NDArray[np.intp], weights: NDArray[np.float64] | None
    ) -> tuple[Dataset, float]:
        """Return the training set, with weights of mean 1, and the factor of lmbda."""
        X = self._scaled(X)
        if weights is None:
            return Dataset(X, labels, "training"), 1.0
        rows = np.flatnonzero(weights)
        mean = float(weights[rows].mean())
        return Dataset(X[rows], labels[rows], "training", weights=weights[rows] / mean), 1 / mean

    def _validation(self, X: ArrayLike, y: ArrayLike) -> Dataset:
        features, target = self._validated(X, y, reset=False)
        return Dataset(self._scaled(features), self._labels(target, None, True), "validation")

    def _outputs(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        features: Array = validate_data(self, X, dtype=DTYPES, reset=False)
        parts = [
            self.network_.feedforward(self._scaled(features[i : i + BATCH]).T).T
            for i in range(0, len(features), BATCH)
        ]
        return np.concatenate(parts)


def _scaling(
    X: Array, scale: object, images: bool, weights: NDArray[np.float64] | None
) -> tuple[float | Array, float | Array]:
    """Return offset and factor of the features; see ``scale`` of `NetworkClassifier`."""
    if isinstance(scale, Real) and 0 < float(scale) < np.inf:
        return 0.0, float(scale)
    if not isinstance(scale, str) or scale not in ("auto", "standard", "none"):
        raise ValueError(
            f'scale must be "auto", "standard", "none" or a number above 0, not {scale!r}'
        )
    if scale == "none":
        return 0.0, 1.0
    if scale == "auto" and X.min() >= 0:
        largest = float(X.max())
        if largest <= 1:
            return 0.0, 1.0
        if (images or X.shape[1] >= IMAGE_FEATURES) and largest <= 255 and _whole(X):
            return 0.0, 1 / 16 if largest <= 16 else 1 / 256
    return _standard(X, np.ones(len(X)) if weights is None else weights)


def _standard(X: Array, weights: NDArray[np.float64]) -> tuple[Array, Array]:
    """Return the mean of each feature and the inverse of its standard deviation, in float64."""
    starts, total = range(0, len(X), BATCH), weights.sum()
    parts = [(weights[i : i + BATCH], X[i : i + BATCH]) for i in starts]
    # Features are divided by the largest, so that no square overflows or underflows.
    largest = np.max([np.abs(x).max(axis=0) for _, x in parts], axis=0).astype(np.float64)
    unit = np.where(largest > 0, largest, 1)
    mean: Array = sum(w @ (x / unit) for w, x in parts) / total
    spread = np.sqrt(sum(w @ np.square(x / unit - mean) for w, x in parts) / total)
    # As scikit-learn's StandardScaler: rounding errors of the mean are not a spread.
    varies = spread > len(X) * np.finfo(np.float64).eps * np.abs(mean)
    return unit * mean, 1 / np.where(varies, unit * spread, 1)


def _whole(X: Array) -> bool:
    return X.dtype.kind in "iu" or bool((np.floor(X) == X).all())


def _named(value: object, known: dict[str, Any], kind: type, name: str) -> Any:
    """Return the object that a parameter names, or that it is."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    return known[value]
