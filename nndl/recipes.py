"""Recipes: networks beyond the book, each with the settings that train it.

Each is a rung of the ladder in results/LADDER.md, with a budget of seconds on one core. Layers and
settings were chosen on the validation set; that page names the exceptions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nndl._typing import Array
from nndl.activations import identity, relu, softmax
from nndl.batches import Transform
from nndl.conv import Conv
from nndl.costs import log_likelihood
from nndl.data.augment import ElasticDistortion, RandomAffine, RandomShift
from nndl.initializers import he
from nndl.layers import Dense, Dropout, Layer
from nndl.network import Network
from nndl.normalization import BatchNorm
from nndl.rng import Rng
from nndl.training.settings import Settings

__all__ = ["RECIPES", "Fading", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """A network and how to train it.

    Parameters
    ----------
    name : str
        As `nndl train --recipe` takes it.
    title : str
        The rung of the ladder.
    layers : callable -> list of Layer
        Returns new layers, all but the output layer.
    settings : Settings
    distortion : RandomShift, RandomAffine or ElasticDistortion, optional
        Distorts the training images, with new random numbers in every epoch.
    images : int
        The number to train on: all 60,000 (training and validation), or the first of them.
    plain : int
        The number of epochs at the end without distortion.
    goal, seconds, n : float, float, int
        The goal for the mean accuracy of n seeds on the test set, in percent, and the budget in
        seconds of one core.
    why : str
        The reasons for its choices, with accuracies on the validation set.
    stretch : (float, float), optional
        A harder goal, like ``goal`` and ``seconds``.
    """

    name: str
    title: str
    layers: Callable[[], list[Layer]]
    settings: Settings
    goal: float
    seconds: float
    n: int
    why: str
    distortion: RandomShift | RandomAffine | ElasticDistortion | None = None
    images: int = 60_000
    plain: int = 0
    stretch: tuple[float, float] | None = None

    def network(
        self,
        input_shape: tuple[int, ...] = (1, 28, 28),
        rng: Rng = None,
        n_out: int = 10,
        dtype: DTypeLike = np.float32,
    ) -> Network:
        """Return the network with initial weights."""
        layers = [*self.layers(), Dense(n_out, softmax, he)]
        return Network(layers, cost=log_likelihood, input_shape=input_shape, rng=rng, dtype=dtype)

    def transform(
        self, epochs: int | None = None, shape: tuple[int, ...] | None = None
    ) -> Fading | None:
        """Return the distortion of training images, for `train`.

        Of all epochs, by default the recipe's, the last `plain` are without it. Images have the
        given shape; without one they are square.
        """
        if self.distortion is None:
            return None
        distortion = replace(self.distortion, shape=shape)
        return Fading(distortion, (epochs or self.settings.epochs) - self.plain)


@dataclass
class Fading:
    """A distortion that stops before the last epochs; `train` updates `epoch`."""

    distortion: Transform
    until: int
    epoch: int = field(default=0)

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Return new images (k, n_in) of the same dtype."""
        return self.distortion(images, rng) if self.epoch < self.until else images


def _dense(n: int) -> list[Layer]:
    return [Dense(n, identity, he), BatchNorm(relu)]


def _conv(maps: int, size: int, pool: int = 1) -> list[Layer]:
    return [Conv(maps, size, identity, pool=pool, init=he), BatchNorm(relu)]


SHORT: dict[str, Any] = {"mu": 0.9, "nesterov": True, "schedule": "one-cycle"}
LONG: dict[str, Any] = {
    **SHORT,
    "schedule": "cosine",
    "warmup": 1.0,
    "label_smoothing": 0.05,
    "average": 0.003,
}
MILD = RandomAffine(rotation=10, skew=0.1, scale=0.1, translation=2)
ELASTIC = ElasticDistortion(alpha=20, affine=MILD)

RECIPES: dict[str, Recipe] = {
    r.name: r
    for r in (
        Recipe(
            "first-second",
            "first second",
            lambda: [Dense(64, relu, he)],
            Settings(2, 100, 0.3, **SHORT),
            goal=97.0,
            seconds=0.6,
            n=30,
            why="With a one-cycle schedule, a large learning rate and Nesterov's momentum, two "
            "epochs are enough. Mini-batches of 100 make large products.",
        ),
        Recipe(
            "five-seconds",
            "five seconds",
            lambda: _dense(256),
            Settings(4, 100, 0.2, **SHORT),
            distortion=RandomShift(1),
            plain=1,
            goal=98.3,
            seconds=5,
            n=10,
            why="Batch normalization allows a large learning rate. Shifts by a pixel gained 0.28 "
            "points (n 3).",
        ),
        Recipe(
            "fast-conv",
            "fast conv",
            lambda: [*_conv(8, 5, pool=2), *_conv(24, 3, pool=2), *_dense(128)],
            Settings(2, 128, 0.25, **SHORT, label_smoothing=0.05),
            images=45_000,
            goal=99.0,
            seconds=10,
            n=30,
            stretch=(99.0, 6),
            why="Few maps in the first convolution, whose outputs are the largest arrays, leave "
            "time for a second epoch. That gained 0.13 points over one epoch with more maps (n 3).",
        ),
        Recipe(
            "conv-minutes",
            "conv, minutes",
            lambda: [*_conv(20, 5, pool=2), *_conv(40, 5, pool=2), *_dense(150), Dropout(0.3)],
            Settings(18, 100, 0.1, 25.0, **LONG),
            distortion=ELASTIC,
            plain=1,
            goal=99.6,
            seconds=300,
            n=10,
            why="The two convolutions of chapter 6, with batch normalization, distortions and an "
            "average of the weights.",
        ),
        Recipe(
            "conv-best",
            "conv, best single",
            lambda: [
                *(*_conv(32, 5, pool=2), *_conv(64, 3), *_conv(64, 3, pool=2)),
                *(*_dense(256), Dropout(0.4)),
            ],
            Settings(30, 100, 0.1, 25.0, **LONG),
            distortion=ELASTIC,
            plain=1,
            goal=99.7,
            seconds=1800,
            n=10,
            stretch=(99.74, 1800),
            why="Pooling after the first convolution halves the work of an epoch. In runs of four "
            "minutes this gave 99.59 %, against 99.48 with another convolution and 99.50 with more "
            "maps (n 1).",
        ),
        Recipe(
            "dense",
            "dense, no distortion",
            lambda: [
                *(Dropout(0.2), *_dense(1200), Dropout(0.5)),
                *(*_dense(1200), Dropout(0.5)),
            ],
            Settings(50, 100, 0.1, 25.0, **LONG),
            goal=98.9,
            seconds=900,
            n=10,
            stretch=(98.95, 900),
            why="Batch normalization gained about 0.2 points. Other choices differed by 0.05 "
            "or less (n 1).",
        ),
        Recipe(
            "dense-distorted",
            "dense, distortions",
            lambda: [*_dense(1000), *_dense(1000), *_dense(500)],
            Settings(90, 100, 0.1, 25.0, **LONG),
            distortion=ELASTIC,
            plain=2,
            goal=99.5,
            seconds=1800,
            n=5,
            stretch=(99.6, 1800),
            why="Distortions teach a dense network what a convolution has built in. In runs of "
            "four minutes, 25 epochs of this network gave 99.39 %, and 20 epochs of one with 1,500 "
            "neurons in its first layer 99.29 (n 1).",
        ),
    )
}
