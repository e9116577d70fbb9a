"""Random streams: one seed, a stream of its own for each thing that is drawn in training."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

__all__ = ["Rng", "Streams", "generator"]

Rng = int | np.random.Generator | None
"""What every ``rng`` argument takes; None draws fresh entropy from the operating system."""


def generator(rng: Rng) -> np.random.Generator:
    """Return rng itself if it is a Generator, else a new one with rng as its seed.

    Raises
    ------
    TypeError
        If rng is neither a Generator, nor a whole number of at least 0, nor None.
    """
    try:
        if isinstance(rng, np.random.RandomState):
            raise TypeError
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise TypeError(
            f"rng must be a whole number of at least 0 or a numpy.random.Generator, not {rng!r}"
        ) from None


class Streams:
    """The streams of a training run: shuffling, dropout, and expansion of the data.

    Each is spawned from one generator, so that drawing more from one leaves the others alone. Of
    whatever kind it is, they are PCG64, as of numpy.random.default_rng: checkpoints hold no others.

    Parameters
    ----------
    rng : int, Generator or None
        Where they come from.
    """

    names = ("shuffle", "dropout", "expansion")

    def __init__(self, rng: Rng = None) -> None:
        self.shuffle, self.dropout, self.expansion = (
            np.random.Generator(np.random.PCG64(cast("Any", one.bit_generator.seed_seq)))
            for one in generator(rng).spawn(len(self.names))
        )

    @property
    def state(self) -> dict[str, Any]:
        """The states of all streams, as plain JSON; assign it to go on from there."""
        return {name: getattr(self, name).bit_generator.state for name in self.names}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        for name in self.names:
            getattr(self, name).bit_generator.state = state[name]
