"""Settings: the hyper-parameters of a training run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from nndl.schedules import SCHEDULES, scheduled
from nndl.validation import check, check_choice, check_nesterov

__all__ = ["ForgottenRate", "Settings"]


@dataclass(frozen=True)
class Settings:
    """The hyper-parameters of a training run.

    Parameters
    ----------
    epochs : int
        Maximum number of passes through the training set.
    mini_batch_size : int
        Number of images per step.
    eta : float, or callable epoch -> float
        Initial learning rate, or the largest one of a schedule; or a function that returns the rate
        of each step from the epochs done so far, a float: 2.5 in the middle of the third epoch.
    lmbda, lmbda_l1 : float
        L2 and L1 regularization (chapter 3).
    mu : float
        Momentum coefficient (equations 107-108).
    patience : int, optional
        Stop when the validation accuracy (see judge_by) has not improved for this many epochs.
    halve_after : int, optional
        Halve eta when the validation accuracy has not improved for this many epochs, and stop when
        eta would fall below 1/128 of its initial value (the book's exercise on learning schedules).
    schedule : "constant", "cosine", "one-cycle" or "linear"
        How eta changes from step to step, over all epochs: see `nndl.schedules`.
    warmup : float
        The number of epochs, like 0.5, in which the rate first rises from 0 to eta.
    nesterov : bool
        Use Nesterov's momentum instead of the book's (Sutskever et al. 2013); needs mu.
    label_smoothing : float
        The part of each label that training shares among all outputs, like 0.1: see
        `Dataset.targets`. Measured costs use the true labels.
    average : float
        The weight of each new step in an exponential moving average of the weights, like 0.003.
        The average is what is measured, and what the network has at the end. Weights are sampled
        after each chunk of up to 500 images, for all of its steps. 0 for no average.
    judge_by : "accuracy" or "cost"
        What patience and halve_after go by, on the validation set: the largest accuracy, or the
        smallest cost. Real-valued outputs have only a cost, which is then used.

    Raises
    ------
    TypeError
        If a number is expected and something else is given.
    ValueError
        If a number is out of its range, a name is unknown, or two settings exclude each other.

    Examples
    --------
    >>> from nndl import Settings
    >>> Settings(epochs=3, eta=0.1).mini_batch_size
    10
    >>> rate = Settings(epochs=4, eta=0.1, schedule="linear").rate
    >>> rate(0), rate(2.0), rate(3.5)
    (0.1, 0.05, 0.0125)
    """

    epochs: int = 30
    mini_batch_size: int = 10
    eta: float | Callable[[float], float] = 0.5
    lmbda: float = 0.0
    lmbda_l1: float = 0.0
    mu: float = 0.0
    patience: int | None = None
    halve_after: int | None = None
    schedule: str = "constant"
    warmup: float = 0.0
    nesterov: bool = False
    label_smoothing: float = 0.0
    average: float = 0.0
    judge_by: str = "accuracy"

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.generic):  # only Python's own numbers can be written as JSON
                object.__setattr__(self, name, value.item())
        if isinstance(self.epochs, int) and self.epochs < 1:
            raise ValueError(f"epochs must be a whole number, 1 or more, not {self.epochs!r}")
        others = {"schedule", "nesterov", "judge_by", *(["eta"] if callable(self.eta) else [])}
        check(**{name: value for name, value in vars(self).items() if name not in others})
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("judge_by", self.judge_by, ("accuracy", "cost"))
        check_nesterov(self.nesterov, self.mu)
        self._check_rates()

    def _check_rates(self) -> None:
        """Raise ValueError for settings of the learning rate that exclude each other."""
        if callable(self.eta) and (self.schedule != "constant" or self.warmup):
            raise ValueError(
                "a function as eta is a schedule itself: leave schedule and warmup out"
            )
        if self.halve_after is not None and not self.is_constant:
            raise ValueError(
                "halve_after is for a constant eta: leave out halve_after, or leave out schedule, "
                "warmup and a function as eta"
            )
        if self.schedule == "one-cycle" and self.warmup:
            raise ValueError("the one-cycle schedule has its own warm-up: leave warmup out")
        if self.warmup >= self.epochs:
            raise ValueError(
                f"warmup must be shorter than training, {self.epochs} epochs, but is "
                f"{self.warmup:g} epochs"
            )

    def __repr__(self) -> str:
        values = [(f.name, getattr(self, f.name), f.default) for f in fields(self)]
        shown = [f"{n}={v!r}" for i, (n, v, default) in enumerate(values) if i < 8 or v != default]
        return f"Settings({', '.join(shown)})"  # the book's, and others where they are set

    @property
    def is_constant(self) -> bool:
        """Whether eta stays as it is from step to step (it may be halved between epochs)."""
        return not callable(self.eta) and self.schedule == "constant" and not self.warmup

    @property
    def rate(self) -> Callable[[float], float]:
        """The learning rate as a function of the epochs done, a float."""
        if callable(self.eta):
            return self.eta
        return scheduled(self.eta, self.schedule, self.epochs, self.warmup)

    @property
    def keeps_best(self) -> bool:
        """Whether the network gets the weights of the best epoch at the end, not of the last."""
        return self.patience is not None or self.halve_after is not None

    @property
    def may_change(self) -> tuple[str, ...]:
        """The settings that may differ when a run is resumed."""
        # A schedule is stretched over all epochs.
        epochs = () if self.schedule != "constant" else ("epochs",)
        return (*epochs, "patience", "halve_after")

    def record(self) -> dict[str, Any]:
        """Return the settings as plain JSON, of a function as eta its name."""
        return vars(self) | {"eta": _name(self.eta) if callable(self.eta) else self.eta}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Settings:
        """Return the settings of a record; of a function as eta, which it does not hold, the name.

        Training with that raises ValueError.
        """
        if isinstance(eta := record["eta"], str):
            record = record | {"eta": ForgottenRate(eta)}
        return cls(**record)


def _name(function: Callable[..., Any]) -> str:
    """Return the name of a function, of what a partial calls, or of the class of an object."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


@dataclass(frozen=True)
class ForgottenRate:
    """Stands for a function as eta in settings that come from a file."""

    __name__: str

    def __call__(self, epoch: float) -> float:
        raise ValueError(
            f"the learning rate was a function, {self.__name__}, which a file does not hold: "
            "pass it again, by dataclasses.replace(settings, eta=...)"
        )
