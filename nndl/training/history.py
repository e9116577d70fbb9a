"""History: what happened in training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nndl.notebook import history_html

__all__ = ["History"]


@dataclass
class History:
    """What happened in training, epoch by epoch; plain JSON.

    Attributes
    ----------
    epochs : dict of lists
        An entry for each epoch: "eta" (in the middle of the epoch, where it changes from step to
        step), "seconds" (of training only; of an epoch that was resumed, those since then), and for
        each monitored set
        "<set>_cost" (without the L2 and L1 terms, unless `train` was asked for them),
        "<set>_correct" (count) and "<set>_accuracy" (fraction in [0, 1]); see `nndl.evaluate`.
    settings, environment : dict
        The hyper-parameters, and the software and hardware of the run.
    ended : str
        Why training ended; empty while it is running.
    best_epoch : int or None
        The first epoch with the highest validation accuracy, or the lowest validation cost.

    Examples
    --------
    >>> from nndl import History
    >>> history = History()
    >>> history.append({"eta": 0.5, "seconds": 0.1, "test_accuracy": 0.94})
    >>> history["test_accuracy"]
    [0.94]
    """

    epochs: dict[str, list[float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    ended: str = ""
    best_epoch: int | None = None

    def __len__(self) -> int:
        return len(self.epochs.get("eta", ()))

    def __getitem__(self, key: str) -> list[float]:
        return self.epochs[key]

    def __contains__(self, key: str) -> bool:
        return key in self.epochs

    def append(self, row: Mapping[str, float]) -> None:
        """Add the results of an epoch."""
        for key, value in row.items():
            self.epochs.setdefault(key, []).append(value)

    def __repr__(self) -> str:
        last = {k: round(v[-1], 4) for k, v in self.epochs.items() if k.endswith("accuracy")}
        return f"History({len(self)} epochs, last {last}, {self.ended or 'running'})"

    _repr_html_ = history_html
