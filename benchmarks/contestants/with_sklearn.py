"""scikit-learn's MLPClassifier."""

from __future__ import annotations

import warnings

from contestants.task import Contestant, Task

__all__ = ["train"]


def train(task: Task) -> Contestant:
    """Fit MLPClassifier to chapter 1, with its own start, shuffle and cost (log-likelihood)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        task.neurons[:-1],
        activation="logistic",
        solver="sgd",
        alpha=0.0,
        batch_size=task.batch,
        learning_rate_init=0.5,
        momentum=task.mu,
        max_iter=1,
        warm_start=True,
        random_state=task.seed,
    )
    yield None
    while True:
        with warnings.catch_warnings():
            # max_iter=1 makes it train one epoch per call, and warn that it has not converged.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(task.training.images, task.training.labels)
        yield model.predict
