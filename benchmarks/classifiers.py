"""NetworkClassifier beside scikit-learn's MLPClassifier, and the choice of its default parameters.

python benchmarks/classifiers.py choose digits eta=0.02,0.05 mini_batch_size=32,100
python benchmarks/classifiers.py choose mnist eta=0.02,0.05 --images 10000
python benchmarks/classifiers.py compare digits mnist

``choose`` tries every combination of the given values and never sees a test image: it measures by
MNIST's 10,000 validation images after training on the other training images, or on the first of
them. ``compare`` uses the default parameters of both, and MNIST's test images. Both measure the
data sets of scikit-learn by 5-fold cross-validation. Times are seconds of the processor, on one
thread.
"""

from __future__ import annotations

import argparse
from ast import literal_eval
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from statistics import mean, stdev
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from nndl import NetworkClassifier, load_mnist
from nndl.cli.options import whole

Fold = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
SETS: dict[str, Callable[..., Any]] = {
    "digits": load_digits,
    "breast-cancer": load_breast_cancer,
    "iris": load_iris,
    "wine": load_wine,
}


def folds_of(name: str, seed: int) -> Iterator[Fold]:
    """Yield training and test data of 5 folds of a data set of scikit-learn."""
    X, y = SETS[name](return_X_y=True)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y):
        yield X[train], y[train], X[test], y[test]


def mnist_fold(images: int, held_out: int) -> Iterator[Fold]:
    """Yield MNIST's first training images, with the validation (1) or the test (2) images."""
    sets = load_mnist(download=False)
    training, other = sets[0][:images], sets[held_out]
    yield training.images, training.labels, other.images, other.labels


def measure(make: Callable[..., Any], folds: Iterator[Fold], seed: int) -> tuple[float, float]:
    """Return accuracy and seconds of training of a classifier: mean accuracy, sum of seconds."""
    accuracies, seconds = [], 0.0
    for X, y, X_test, y_test in folds:
        classifier = make(random_state=seed)
        with threadpool_limits(1):
            start = process_time()
            classifier.fit(X, y)
            seconds += process_time() - start
        accuracies.append(classifier.score(X_test, y_test))
    return mean(accuracies), seconds


def row(name: str, make: Callable[..., Any], folds: Callable[[int], Iterator[Fold]], n: int) -> str:
    """Return a row of a table: means over n seeds, and the deviation of the accuracy."""
    accuracies, seconds = zip(*(measure(make, folds(seed), seed) for seed in range(n)), strict=True)
    spread = f" ± {100 * stdev(accuracies):.2f}" if n > 1 else ""
    return f"| {name} | {100 * mean(accuracies):.2f} %{spread} | {mean(seconds):.1f} |"


def parameters(words: list[str]) -> Iterator[dict[str, Any]]:
    """Yield every combination of ``name=value,value``; values are Python's, or names."""

    def value(text: str) -> Any:
        try:
            return literal_eval(text)
        except (ValueError, SyntaxError):
            return text

    pairs = [word.split("=", 1) for word in words]
    for values in product(*([value(text) for text in texts.split(",")] for _, texts in pairs)):
        yield dict(zip((name for name, _ in pairs), values, strict=True))


def main() -> None:
    """Print the rows of a table as they are measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["choose", "compare"])
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help=f"mnist, {', '.join(SETS)}, or NAME=VALUE,VALUE"
    )
    parser.add_argument("--images", type=whole, default=50_000, help="MNIST's training images used")
    parser.add_argument("--seeds", type=whole, default=2, help="numbers of seeds")
    args = parser.parse_intermixed_args()
    names = [word for word in args.words if "=" not in word]
    if not names or not set(names) <= {"mnist", *SETS}:
        parser.error(f"expected names of data sets, mnist, {', '.join(SETS)}, not {names}")
    chosen = [word for word in args.words if "=" in word]
    if args.what == "compare" and chosen:
        parser.error("compare uses the default parameters: use choose to try others")
    print("| | accuracy | seconds |\n| --- | --- | --- |", flush=True)
    for name in names:
        held_out = 1 if args.what == "choose" else 2

        def folds(seed: int, name: str = name, held_out: int = held_out) -> Iterator[Fold]:
            return mnist_fold(args.images, held_out) if name == "mnist" else folds_of(name, seed)

        for more in parameters(chosen):
            what = ", ".join(f"{key} {value}" for key, value in more.items())
            title = f"{name}, {what or 'NetworkClassifier'}"
            print(row(title, partial(NetworkClassifier, **more), folds, args.seeds), flush=True)
        if args.what == "compare":
            print(row(f"{name}, MLPClassifier", MLPClassifier, folds, args.seeds), flush=True)


if __name__ == "__main__":
    np.seterr(under="ignore")
    main()
