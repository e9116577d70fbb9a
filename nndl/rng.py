"""Random numbers: from one seed, a separate stream for each purpose in training."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

__all__ = ["Rng", "Streams", "generator"]

Rng = int | np.random.Generator | None
"""The type of every ``rng`` argument; None takes a seed from the operating system."""


def generator(rng: Rng) -> np.random.Generator:
    """Return rng itself if it is a Generator, else a new Generator with rng as its seed.

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
    """The random streams of a training run: shuffling, dropout and augmentation.

    They are spawned from one generator, so that drawing more from one does not change the others.
    They are always PCG64, the bit generator of numpy.random.default_rng and the only one that
    checkpoints can store.

    Parameters
    ----------
    rng : int, Generator or None
        Seed, or the generator to spawn from.

    Examples
    --------
    >>> from nndl.rng import Streams
    >>> streams = Streams(0)
    >>> state = streams.state
    >>> first = streams.shuffle.permutation(5)
    >>> streams.state = state
    >>> bool((streams.shuffle.permutation(5) == first).all())
    True
    """

    names = ("shuffle", "dropout", "expansion")

    def __init__(self, rng: Rng = None) -> None:
        self.shuffle, self.dropout, self.expansion = (
            np.random.Generator(np.random.PCG64(cast("Any", one.bit_generator.seed_seq)))
            for one in generator(rng).spawn(len(self.names))
        )

    @property
    def state(self) -> dict[str, Any]:
        """The states of all streams as plain JSON; assign it to continue from there."""
        return {name: getattr(self, name).bit_generator.state for name in self.names}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        for name in self.names:
            getattr(self, name).bit_generator.state = state[name]
