"""Averaging: the moving average of a network's weights over the steps of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil, expm1, log1p

from nndl._typing import Array
from nndl.network import Network

__all__ = ["Average", "restore"]


def restore(net: Network, saved: Sequence[Array]) -> None:
    """Copy saved arrays into a network."""
    for p, q in zip(net.state, saved, strict=True):
        p[...] = q


class Average:
    """The exponential moving average of a network's arrays over steps of training.

    After k steps, step i has the weight (1 - rate)^(k - i), divided by the sum of these, so that
    the initial weights have no part in it. Unlike the average of Polyak and Juditsky (1992), it
    forgets. The network is sampled once in a chunk of mini-batches, for all steps of the chunk.

    Parameters
    ----------
    net : Network
    arrays : sequence of ndarray
        Where the average is kept, shaped like the state of the network.
    rate : float
        The part of each new step, like 0.003, for an average over some 1/rate steps.
    size, n : int
        Images of a mini-batch and of an epoch.
    done, epoch : int
        Images of the epoch, and epochs, that the average has seen.
    """

    def __init__(
        self,
        net: Network,
        arrays: Sequence[Array],
        rate: float,
        size: int,
        n: int,
        *,
        epoch: int,
        done: int,
    ) -> None:
        self.net, self.arrays, self.decay = net, arrays, log1p(-rate)
        self.size, self.n = size, n
        self.steps = self._steps(epoch, done)

    def _steps(self, epoch: int, done: int) -> int:
        return epoch * ceil(self.n / self.size) + ceil(done / self.size)

    def update(self, epoch: int, done: int) -> None:
        """Add the network to the average, after ``epoch`` epochs and ``done`` images."""
        steps = self._steps(epoch, done)
        rate = expm1((steps - self.steps) * self.decay) / expm1(steps * self.decay)
        self.steps = steps
        for average, p in zip(self.arrays, self.net.state, strict=True):
            average *= 1 - rate
            average += rate * p

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Replace the arrays of the network by the average, until the block ends."""
        raw = [p.copy() for p in self.net.state]
        restore(self.net, self.arrays)
        try:
            yield
        finally:
            restore(self.net, raw)
