"""Schedules: the learning rate as a function of how far training has come.

A schedule is a function of progress, from 0 at the start of training to 1 at its end, that returns
the factor by which eta is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi

__all__ = ["SCHEDULES", "constant", "cosine", "linear", "one_cycle", "scheduled"]


def constant(progress: float) -> float:
    """Return 1."""
    return 1.0


def linear(progress: float) -> float:
    """Fall linearly from 1 to 0."""
    return 1 - progress


def cosine(progress: float) -> float:
    """Fall from 1 to 0 along half a period of the cosine (Loshchilov and Hutter 2017)."""
    return (1 + cos(pi * progress)) / 2


def one_cycle(progress: float) -> float:
    """Rise linearly from 1/25 to 1 in the first 30 % of training, then fall to 0 (Smith 2018)."""
    if progress < 0.3:
        return 1 / 25 + (1 - 1 / 25) * progress / 0.3
    return (1 - progress) / 0.7


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "cosine": cosine,
    "one-cycle": one_cycle,
    "linear": linear,
}


def scheduled(eta: float, schedule: str, epochs: int, warmup: float) -> Callable[[float], float]:
    """Return the learning rate as a function of the epochs done, a float.

    In the first ``warmup`` epochs it rises linearly from 0 to eta (Goyal et al. 2017); the
    schedule covers the others.
    """
    factor = SCHEDULES[schedule]

    def rate(epoch: float) -> float:
        if epoch < warmup:
            return eta * epoch / warmup
        return eta * factor((epoch - warmup) / (epochs - warmup))

    return rate
