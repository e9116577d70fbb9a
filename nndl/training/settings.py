"""Settings: the hyper-parameters of a training run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nndl.validation import check

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The hyper-parameters of a training run.

    Parameters
    ----------
    epochs : int
        Maximum number of passes through the training set.
    mini_batch_size : int
        Number of images per step.
    eta : float
        Initial learning rate.
    lmbda, lmbda_l1 : float
        L2 and L1 regularization (chapter 3).
    mu : float
        Momentum coefficient (equations 107-108).
    patience : int, optional
        Stop when the validation accuracy has not improved for this many epochs.
    halve_after : int, optional
        Halve eta when the validation accuracy has not improved for this many epochs, and stop when
        eta would fall below 1/128 of its initial value (the book's exercise on learning schedules).

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> from nndl import Settings
    >>> Settings(epochs=3, eta=0.1).mini_batch_size
    10
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
            if isinstance(value, np.generic):  # only Python's own numbers can be written as JSON
                object.__setattr__(self, name, value.item())
        check(**vars(self))
        if self.epochs < 1:
            raise ValueError(f"epochs must be a whole number, 1 or more, not {self.epochs!r}")

    @property
    def keeps_best(self) -> bool:
        """Whether the network gets the weights of the best epoch at the end, not of the last."""
        return self.patience is not None or self.halve_after is not None
