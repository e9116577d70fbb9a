"""What is read off the results of an experiment: one number per run, or a vote of several runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nndl.ensemble import plurality

__all__ = ["Reading", "Result", "best_epoch", "vote"]

Result = dict[str, Any]
"""The result of one run: the JSON object that `nndl.reproduction.run.run_seed` returns."""


@dataclass(frozen=True)
class Reading:
    """A number that is read off each run of an experiment, with the book's number beside it.

    Parameters
    ----------
    quantity : str
        Which series: "test_accuracy", "validation_accuracy", "training_cost", "norm_1", ...
    statistic : str
        "peak" (the highest of all epochs), "last", "epoch k", or "at best validation" (the value
        at the first epoch with the best validation accuracy). A quantity that was measured only
        once, after training, has one value: call it "at best validation" if training ends on the
        best weights, and "last" otherwise.
    book : float, optional
        The published number, in percent for an accuracy.
    best_of : int, optional
        The published number is the best of this many runs.
    source : str
        Where the number was published: "text" (the book's text), "author's file" (``fig/*.json``
        of the author's repository), or a paper.
    """

    quantity: str
    statistic: str = "peak"
    book: float | None = None
    best_of: int | None = None
    source: str = "text"

    def of(self, result: Result) -> float:
        """Return the value for one run; accuracies in percent."""
        series = result["epochs"].get(self.quantity, [])
        if not series and self.statistic in ("last", "at best validation"):
            series = [result["final"][self.quantity]]
        if not series:
            raise ValueError(
                f"the result of {result['experiment']}, seed {result['seed']}, has no series "
                f"{self.quantity}: delete it and run the experiment again"
            )
        if self.statistic == "peak":
            value = max(series)
        elif self.statistic == "last":
            value = series[-1]
        elif self.statistic == "at best validation":
            value = series[best_epoch(result)] if len(series) > 1 else series[0]
        else:
            value = series[int(self.statistic.removeprefix("epoch "))]
        return 100 * value if self.quantity.endswith("accuracy") else float(value)


def best_epoch(result: Result) -> int:
    """Return the first epoch with the best validation accuracy."""
    validation: list[float] = result["epochs"]["validation_accuracy"]
    return validation.index(max(validation))


def vote(results: list[Result]) -> list[tuple[int, int]]:
    """Return the mistakes of a plurality vote among networks, as (image index, predicted digit).

    Each result lists its own mistakes as [index, predicted]; every other image was classified
    correctly. `plurality` breaks ties.
    """
    mistakes = [dict(map(tuple, result["final"]["mistakes"])) for result in results]
    correct = -1
    images = sorted(set().union(*mistakes))
    labels = [[predicted.get(index, correct) for index in images] for predicted in mistakes]
    winners = plurality(np.array(labels, int)).tolist()
    return [pair for pair in zip(images, winners, strict=True) if pair[1] != correct]
