"""Train the network that comes with the package: MNIST, distorted anew in every epoch.

python -m nndl.pretrained.recipe results/runs/pretrained --record results/pretrained.json

Photographed digits differ from MNIST's in slant, proportions and width of stroke, and in the way
people learn to write them. So each epoch distorts the images by affine and elastic maps and makes
strokes thicker or thinner. Digits drawn by the program and images that are not digits join them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nndl import (
    BatchNorm,
    Conv,
    Dataset,
    Dense,
    MaxPool,
    Network,
    Settings,
    fold,
    identity,
    log_likelihood,
    relu,
    softmax,
    train,
)
from nndl._typing import Array
from nndl.data import ElasticDistortion, RandomAffine, load_mnist, synthetic_digits
from nndl.files import folder_lock, make_folder, write_text
from nndl.pretrained.negatives import negatives
from nndl.storage import load, load_checkpoint, load_history, save, save_checkpoint, save_history
from nndl.training import State
from nndl.training.metrics import evaluate

SETTINGS = Settings(
    epochs=24,
    mini_batch_size=100,
    eta=0.1,
    lmbda=15.0,
    mu=0.9,
    nesterov=True,
    schedule="cosine",
    warmup=1.0,
    label_smoothing=0.02,
    average=0.002,
)
MILD_FROM = 18  # the epoch from which distortions are mild, as nearly all real digits are
CHECKED = 2_000  # of MNIST's validation images are measured after each epoch, not trained on
SYNTHETIC = 5_000  # digits drawn by the program as MNIST has them
RARE = 10_000  # digits drawn in all styles
BLANK = 6_000  # rows that stand for anything but a digit
POOL = 10_000  # negatives to choose from
STRONG = ElasticDistortion(
    sigma=4.0, alpha=28.0, affine=RandomAffine(rotation=15, skew=0.2, scale=0.15, translation=1.0)
)
MILD = ElasticDistortion(
    sigma=4.0, alpha=20.0, affine=RandomAffine(rotation=9, skew=0.1, scale=0.1, translation=0.7)
)


@dataclass(frozen=True)
class Augmentation:
    """Replace blank images by negatives, distort all, and vary the width of their strokes.

    Parameters
    ----------
    pool : ndarray of uint8, shape (n, 784)
        Negatives to choose from.
    distortion : ElasticDistortion
    thicker, thinner : float
        By which fraction, at most, of the way to the largest or smallest of the 3 x 3 pixels
        around it a pixel moves.
    """

    pool: NDArray[np.uint8]
    distortion: ElasticDistortion = STRONG
    thicker: float = 0.8
    thinner: float = 0.4

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Return new images (k, 784) of the same dtype."""
        images = images.copy()
        blank = np.flatnonzero(~images.any(axis=1))
        images[blank] = self.pool[rng.integers(len(self.pool), size=len(blank))] / np.float32(256)
        squares = self.distortion(images, rng).reshape(-1, 28, 28)
        amount = rng.uniform(-self.thinner, self.thicker, (len(squares), 1, 1)).astype("f4")
        thick = ndimage.maximum_filter(squares, (1, 3, 3))
        thin = ndimage.minimum_filter(squares, (1, 3, 3))
        squares = squares + np.where(amount > 0, amount * (thick - squares), 0)
        squares += np.where(amount < 0, -amount * (thin - squares), 0)
        squares *= (255 / 256) / np.maximum(squares.max(axis=(1, 2), keepdims=True), 0.1)
        return squares.reshape(images.shape)


def network(rng: np.random.Generator) -> Network:
    """Return the untrained network; `fold` leaves 93,764 of its parameters."""
    layers = (
        *(Conv(16, 3, identity), BatchNorm(relu)),
        *(Conv(24, 3, identity), BatchNorm(relu), MaxPool(2)),
        *(Conv(32, 3, identity), BatchNorm(relu)),
        *(Conv(40, 3, identity), BatchNorm(relu), MaxPool(2)),
        *(Dense(110, identity), BatchNorm(relu)),
        Dense(10, softmax),
    )
    return Network(layers, cost=log_likelihood, rng=rng, input_shape=(1, 28, 28))


def training_set(
    training: Dataset, validation: Dataset, rng: np.random.Generator
) -> tuple[Dataset, Dataset]:
    """Return what is trained on, and the images of MNIST that are left to measure.

    It is MNIST with drawn digits, and blank rows for negatives.
    """
    drawn = [synthetic_digits(SYNTHETIC, rng), synthetic_digits(RARE, rng, all_styles=True)]
    blank = np.zeros((BLANK, 784), np.float32)
    labels = np.arange(BLANK) % 10  # each as often as the others: no output is right
    parts = [training, validation[:-CHECKED], *drawn, Dataset(blank, labels, "negatives")]
    mixed = Dataset(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        f"{training.name}, synthetic digits and negatives",
    )
    return mixed, validation[-CHECKED:]


def train_in(folder: Path) -> None:
    """Train in a folder, or resume there; write network.npz and history.json."""
    training, validation, _ = load_mnist()
    init_rng, training_rng, drawing_rng = np.random.default_rng(0).spawn(3)
    pixels = np.rint(256 * training.images).astype(np.uint8)
    pool = negatives(POOL, pixels, drawing_rng)
    mixed, checked = training_set(training, validation, drawing_rng)
    net, state = network(init_rng), State.start(SETTINGS, training_rng)
    path, sets = folder / "checkpoint.npz", {"training": mixed, "validation": checked}
    if path.exists():
        net, state, _ = load_checkpoint(path, sets)
    strong, mild = Augmentation(pool), Augmentation(pool, MILD, thicker=0.5, thinner=0.25)

    def augmented(images: Array, rng: np.random.Generator) -> Array:
        return (strong if len(state.history) < MILD_FROM else mild)(images, rng)

    def after_epoch(net: Network, state: State) -> None:
        save_checkpoint(path, net, state, SETTINGS, sets)
        save_history(state.history, folder / "history.json")

    train(
        net,
        mixed,
        SETTINGS,
        validation=checked,
        transform=augmented,
        progress=True,
        after_epoch=after_epoch,
        state=state,
    )
    save_history(state.history, folder / "history.json")  # which says now why training ended
    save(fold(net), folder / "network.npz", data=mixed.name, preprocessing="raw/256")


def record(folder: Path) -> dict[str, Any]:
    """Return what the trained network reads, with the settings and the History, as plain JSON."""
    net, history = load(folder / "network.npz"), load_history(folder / "history.json")
    test = load_mnist()[2]
    drawn = synthetic_digits(10_000, np.random.default_rng(1))
    rare = synthetic_digits(10_000, np.random.default_rng(2), all_styles=True)
    pixels = np.rint(256 * test.images).astype(np.uint8)
    others = negatives(2_000, pixels, np.random.default_rng(3)) / np.float32(256)
    sets = {"test": test, "synthetic": drawn, "synthetic, all styles": rare}
    return {
        "network": repr(net),
        "settings": history.settings,
        "correct of 10,000": {name: evaluate(net, data).correct for name, data in sets.items()},
        "output below 0.6, of 10,000 test images": int((net(test.images.T).max(0) < 0.6).sum()),
        "output below 0.6, of 2,000 negatives": int((net(others.T).max(0) < 0.6).sum()),
        "environment": dict(history.environment),
        "epochs": dict(history.epochs),
    }


def main() -> None:
    """Train, and print or write what the network reads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to train, or to resume")
    parser.add_argument("--record", type=Path, metavar="FILE", help="JSON file with the results")
    args = parser.parse_args()
    make_folder(args.folder)
    with folder_lock(args.folder):
        if not (args.folder / "network.npz").exists():
            train_in(args.folder)
    text = json.dumps(record(args.folder), indent=1) + "\n"
    if args.record:
        write_text(args.record, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
