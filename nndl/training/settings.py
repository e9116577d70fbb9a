"""Settings: the hyper-parameters of a training run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nndl.layers import Step

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The hyper-parameters of a training run.

    Parameters
    ----------
    epochs : int
        At most so many passes through the training set.
    mini_batch_size : int
        Images in a step.
    eta : float
        Learning rate at the start.
    lmbda, lmbda_l1 : float
        L2 and L1 regularization (chapter 3).
    mu : float
        Momentum coefficient (equations 107-108).
    patience : int, optional
        Stop when the validation accuracy has not improved in so many epochs.
    halve_after : int, optional
        Halve eta when the validation accuracy has not improved in so many epochs, and stop when
        it would fall below 1/128 of the start (the book's exercise on learning schedules).

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    epochs: int = 30
    mini_batch_size: int = 10
    eta: float = 0.5
    lmbda: float = 0.0
    lmbda_l1: float = 0.0
    mu: float = 0.0
    patience: int | None = None
    halve_after: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.generic):  # JSON knows Python's numbers only
                object.__setattr__(self, name, value.item())
        for name in ("epochs", "mini_batch_size", "patience", "halve_after"):
            value = getattr(self, name)
            optional = name in ("patience", "halve_after") and value is None
            if not optional and (type(value) is not int or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        Step(1, 1, self.eta, self.lmbda, self.lmbda_l1, self.mu)

    @property
    def keeps_best(self) -> bool:
        """Whether training ends on the weights of the best epoch, not of the last."""
        return self.patience is not None or self.halve_after is not None
