"""Train a recipe in PyTorch: the same network, images and steps, for accuracy and seconds.

python benchmarks/ladder_torch.py conv-best --seeds 0 1 2

nndl draws the initial weights, the order of the images and their distortions, as in its own run
with the same seed; PyTorch draws only what dropout drops. Both run on one thread. Results are
written beside those of `nndl ladder run`; finished seeds are not run again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from math import ceil, expm1, log1p
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nndl._typing import Array
from nndl.batches import mini_batches
from nndl.conv import Conv, MaxPool
from nndl.costs import log_likelihood
from nndl.data import load_mnist
from nndl.dataset import Dataset
from nndl.files import make_folder, write_text
from nndl.ladder.run import as_record, result_path
from nndl.layers import Dense, Dropout, Layer
from nndl.network import Network
from nndl.normalization import BatchNorm
from nndl.parallel import computing
from nndl.recipes import RECIPES, Recipe
from nndl.rng import Streams
from nndl.training.settings import Settings
from nndl.validation import pixels_as_columns

FUNCTIONS = {"relu": functional.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


class Twin:
    """The network of a recipe in PyTorch, with the weights that it has in nndl.

    Pictures are channels_last, so that they are flattened pixel by pixel, as in nndl.
    """

    def __init__(self, net: Network, settings: Settings, n: int) -> None:
        if net.cost is not log_likelihood or net.output.activation.name != "softmax":
            raise ValueError(f"the twin has softmax outputs and the log-likelihood, not {net}")
        self.input_shape, self.settings, self.n = net.input_shape, settings, n
        modules = [_module(layer) for layer in net.layers]
        self.modules = torch.nn.Sequential(*modules).to(memory_format=torch.channels_last)
        self.parameters = list(self.modules.parameters())
        linear = torch.nn.Linear | torch.nn.Conv2d
        # The decay of nndl spares biases and batch normalization.
        self.decaying = [m.weight for m in self.modules.modules() if isinstance(m, linear)]
        self.velocities = [torch.zeros_like(p) for p in self.parameters]
        norms = torch.nn.BatchNorm1d | torch.nn.BatchNorm2d
        averages = [m for m in self.modules.modules() if isinstance(m, norms)]
        self.state = [p.data for p in self.parameters]
        self.state += [b for m in averages for b in (m.running_mean, m.running_var)]
        self.average = [p.clone() for p in self.state]
        self.steps = 0  # that the average has seen

    def outputs(self, rows: Array) -> Any:
        """Return the weighted inputs of the last layer, (m, n_out), for rows of images."""
        x = torch.from_numpy(rows)
        return self.modules(x.reshape(-1, *self.input_shape) if len(self.input_shape) > 1 else x)

    def step(self, rows: Array, desired: Array, eta: float) -> None:
        """Take a step with a mini-batch, rows (m, n_in) and (m, n_out), as `nndl.step` does.

        The velocity contains the learning rate, that of the step that it came from: it is not the
        one of torch.optim.SGD when the rate changes.
        """
        s = self.settings
        for p in self.parameters:
            p.grad = None
        functional.cross_entropy(self.outputs(rows), torch.from_numpy(desired)).backward()
        with torch.no_grad():
            if s.lmbda:
                decayed = [p.grad for p in self.decaying]
                torch._foreach_add_(decayed, self.decaying, alpha=s.lmbda / self.n)
            if s.nesterov:
                torch._foreach_add_(self.parameters, self.velocities, alpha=-s.mu)
            torch._foreach_mul_(self.velocities, s.mu)
            gradients = [p.grad for p in self.parameters]
            torch._foreach_add_(self.velocities, gradients, alpha=-eta)
            ahead = s.mu if s.nesterov else 0.0
            torch._foreach_add_(self.parameters, self.velocities, alpha=1 + ahead)

    def update_average(self, steps: int) -> None:
        """Take in the weights as they are after ``steps`` steps, as `nndl.training.averaging`."""
        decay = log1p(-self.settings.average)
        rate = expm1((steps - self.steps) * decay) / expm1(steps * decay)
        self.steps = steps
        torch._foreach_lerp_(self.average, self.state, rate)

    def use_average(self) -> None:
        """Give the network the average of its weights."""
        torch._foreach_copy_(self.state, self.average)

    def predict(self, images: NDArray[Any]) -> NDArray[np.integer]:
        """Return the labels of rows of images of a Dataset."""
        self.modules.eval()
        with torch.inference_mode():
            parts = [images[i : i + 1000] for i in range(0, len(images), 1000)]
            z = [self.outputs(pixels_as_columns(part, np.float32).T) for part in parts]
            labels: NDArray[np.integer] = torch.cat(z).argmax(dim=1).numpy()
        return labels


class _BookDropout(torch.nn.Module):  # type: ignore[misc]
    """Dropout as in the book: what is kept is not scaled up, but all is scaled down at inference.

    That is PyTorch's dropout times 1 - p.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Any) -> Any:
        return (1 - self.p) * functional.dropout(x, self.p, self.training)


class _Activated(torch.nn.Module):  # type: ignore[misc]
    """A module, pooling if there is any, and an activation."""

    def __init__(self, module: Any, activation: str, pool: int = 1) -> None:
        super().__init__()
        self.module, self.activation, self.pool = module, activation, pool

    def forward(self, x: Any) -> Any:
        if isinstance(self.module, torch.nn.Linear) and x.ndim == 4:
            x = x.permute(0, 2, 3, 1).flatten(1)
        x = self.module(x)
        if self.pool > 1:
            x = functional.max_pool2d(x, self.pool)
        # cross_entropy takes the weighted inputs of a softmax layer.
        return x if self.activation in ("identity", "softmax") else FUNCTIONS[self.activation](x)


def _module(layer: Layer) -> Any:
    """Return the module of a layer, with its weights."""
    if isinstance(layer, Dropout):
        return _BookDropout(layer.p)
    if isinstance(layer, MaxPool):
        return torch.nn.MaxPool2d(layer.size)
    if isinstance(layer, BatchNorm):
        kind = torch.nn.BatchNorm2d if layer.is_pictures else torch.nn.BatchNorm1d
        module, w = kind(len(layer.w), layer.epsilon, layer.momentum), layer.w[:, 0]
    elif isinstance(layer, Conv):
        maps_in = layer.filters.shape[1]
        sizes = maps_in, layer.maps, layer.size, layer.stride, layer.padding
        module, w = torch.nn.Conv2d(*sizes), layer.filters
    elif isinstance(layer, Dense):
        module, w = torch.nn.Linear(layer.w.shape[1], layer.n_out), layer.w
    else:
        raise ValueError(f"the twin has no module for {layer!r}")
    with torch.no_grad():
        module.weight.copy_(torch.tensor(w))
        module.bias.copy_(torch.tensor(layer.b[:, 0]))
    return _Activated(module, layer.activation.name, getattr(layer, "pool", 1))


def train(recipe: Recipe, net: Network, training: Dataset, rng: np.random.Generator) -> Twin:
    """Return the trained twin of a network; the steps are those of `nndl.train` with this rng."""
    s, n, streams = recipe.settings, len(training), Streams(rng)
    twin = Twin(net, s, n)
    steps_of_epoch = ceil(n / s.mini_batch_size)
    with computing(1):
        for epoch, chunks in enumerate(_epochs(recipe, training, net.n_out, streams)):
            done = 0
            twin.modules.train()
            for chunk in chunks:
                for x, y, _ in chunk:
                    twin.step(x.T, y.T, s.rate(epoch + done / n))
                    done += x.shape[1]
                if s.average:  # once in a chunk, as `nndl.train` does
                    twin.update_average(epoch * steps_of_epoch + ceil(done / s.mini_batch_size))
    if s.average:
        twin.use_average()
    return twin


Chunks = Iterator[list[tuple[Array, Array, Array | None]]]


def _epochs(recipe: Recipe, training: Dataset, n_out: int, streams: Streams) -> Iterator[Chunks]:
    """Yield the mini-batches of each epoch, in chunks, as `Network.sgd` draws them."""
    s, transform = recipe.settings, recipe.transform()
    targets = training.targets(n_out, np.float32, s.label_smoothing)

    def prepare(rows: Array) -> Array:
        return rows if transform is None else transform(rows, streams.expansion)

    for epoch in range(s.epochs):
        if transform is not None:
            transform.epoch = epoch
        order = streams.shuffle.permutation(len(training))
        yield mini_batches(training, targets, order, s.mini_batch_size, prepare)


def run(results: Path, name: str, seed: int) -> None:
    """Train the twin of a recipe from a seed and write its result, unless it is there."""
    path = result_path(results, name, seed).with_name(f"torch-seed-{seed}.json")
    if path.exists():
        print(f"{path}: there already")
        return
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    recipe = RECIPES[name]
    *parts, test = load_mnist(dtype=np.uint8)
    images, labels = (np.concatenate(both) for both in zip(*parts, strict=True))
    training = Dataset(images, labels)[: recipe.images]
    for_weights, for_training = np.random.default_rng(seed).spawn(2)
    net, start = recipe.network(rng=for_weights), process_time()
    twin = train(recipe, net, training, for_training)
    seconds = process_time() - start
    correct = int((twin.predict(test.images) == test.labels).sum())
    record = as_record(name, seed, net, correct, len(test), len(training), seconds)
    record["environment"] |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    make_folder(path.parent)
    write_text(path, json.dumps(record, indent=1) + "\n")
    print(f"{path}: {correct:,} of {len(test):,} in {seconds:.0f} s", flush=True)


def main() -> None:
    """Run the seeds that have no result yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", choices=RECIPES, help="recipes")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    args = parser.parse_args()
    for name in args.names:
        for seed in args.seeds:
            run(args.results, name, seed)


if __name__ == "__main__":
    main()
