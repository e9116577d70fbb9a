"""Race nndl against other ways to train the book's network, side by side on this machine.

python scripts/benchmark.py --hidden 30 100 --rounds 9 --json benchmark.json

Every contestant trains [784, 30, 10] on 50,000 images with mini-batches of 10, sigmoid neurons, the
quadratic cost and eta 3, on one thread, from the same weights through the same order of images; JAX
also as it comes, with a thread for every core. In every round each runs one epoch, so that the
machine's moods hit all alike. The last column is what the network reads of 10,000 held-out images
after its first epoch: nobody wins by not learning.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.blas import sgemm
from threadpoolctl import threadpool_limits

from nndl.activations import relu
from nndl.cli.options import exit_with, path_of, whole
from nndl.conv import Conv
from nndl.costs import log_likelihood, quadratic
from nndl.data import Dataset, load_mnist
from nndl.files import write_text
from nndl.initializers import large
from nndl.network import Network
from nndl.stack import dense_layers
from nndl.training.environment import environment
from nndl.training.metrics import evaluate

if TYPE_CHECKING:
    import torch

ETA, BATCH = 3.0, 10
LIBRARIES = ("scikit-learn", "torch", "jax")

Parameters = list[tuple[np.ndarray, np.ndarray]]
"""(w, b) of each layer, shaped (n_out, n_in) and (n_out, 1)."""
Contestant = Iterator[Parameters | None]
"""Yields once when it is set up, and then after every epoch; None where nothing is learned."""


@dataclass(frozen=True)
class Task:
    """What all contestants are given."""

    sizes: tuple[int, ...]
    training: Dataset
    test: Dataset
    dtype: type = np.float32
    seed: int = 0

    def start(self) -> Parameters:
        """Return the first parameters, the same for all; each call makes its own copy."""
        rng = np.random.default_rng(self.seed)
        return [large.draw((n_out, n_in), rng, self.dtype) for n_in, n_out in pairwise(self.sizes)]

    def orders(self) -> Iterator[np.ndarray]:
        """Yield the order of the images in each epoch, the same for all."""
        rng = np.random.default_rng(self.seed)
        while True:
            yield rng.permutation(len(self.training))

    def one_hot(self) -> np.ndarray:
        """Return the desired outputs, (n, n_out)."""
        return np.eye(self.sizes[-1], dtype=self.dtype)[self.training.labels]


# The contestants: each a generator, so that setting up, and what it keeps, stays out of the clock.


def nndl_sgd(
    task: Task,
    eta: float = ETA,
    lmbda: float = 0.0,
    lmbda_l1: float = 0.0,
    mu: float = 0.0,
    raw: bool = False,
) -> Contestant:
    """Train by Network.sgd, as asked for; with raw pixels, which are divided batch by batch."""
    net = _network(task)
    orders = task.orders()
    images, labels = task.training
    pixels = (images * 256).astype(np.uint8) if raw else images
    yield None
    for _ in net.sgd(
        Dataset(pixels, labels),
        sys.maxsize,
        BATCH,
        eta,
        lmbda=lmbda,
        lmbda_l1=lmbda_l1,
        mu=mu,
        order=lambda n: next(orders),
    ):
        yield list(zip(net.weights, net.biases, strict=True))


def nndl_evaluation(task: Task) -> Contestant:
    """Measure cost and accuracy on the test images; nothing is learned."""
    net = _network(task)
    while True:
        yield None
        evaluate(net, task.test)


def _network(task: Task) -> Network:
    net = Network(task.sizes, cost=quadratic, rng=task.seed, dtype=task.dtype)
    for (w, b), (w0, b0) in zip(
        zip(net.weights, net.biases, strict=True), task.start(), strict=True
    ):
        w[...], b[...] = w0, b0
    return net


def floor(task: Task) -> Contestant:
    """Do only the two large products of each step, on images that lie ready; nothing is learned."""
    (w, _), *_ = task.start()
    rows = task.training.images[:500].astype(np.float32)
    z = np.empty((BATCH, len(w)), np.float32).T
    delta = np.random.default_rng(task.seed).random((BATCH, len(w)), np.float32).T
    batches = [rows[i : i + BATCH].T for i in range(0, len(rows), BATCH)]
    while True:
        yield None
        for _ in range(len(task.training) // len(rows)):
            for x in batches:
                np.matmul(w, x, out=z)
                sgemm(-1e-9, x, delta, 1.0, w.T, trans_b=1, overwrite_c=1)


def numpy_allocating(task: Task) -> Contestant:
    """Write the equations for a whole mini-batch in plain NumPy, new arrays for every result."""
    (w1, b1), (w2, b2) = task.start()
    images, labels, one_hot = task.training.images, task.training.labels, np.eye(task.sizes[-1])
    one_hot = one_hot.astype(task.dtype)
    yield None
    for order in task.orders():
        for i in range(0, len(order), BATCH):
            batch = order[i : i + BATCH]
            x, y = images[batch].T, one_hot[labels[batch]].T
            a1 = 1 / (1 + np.exp(-(w1 @ x + b1)))
            a2 = 1 / (1 + np.exp(-(w2 @ a1 + b2)))
            delta2 = (a2 - y) * a2 * (1 - a2)
            delta1 = (w2.T @ delta2) * a1 * (1 - a1)
            rate = ETA / len(batch)
            w2 -= rate * (delta2 @ a1.T)
            b2 -= rate * delta2.sum(axis=1, keepdims=True)
            w1 -= rate * (delta1 @ x.T)
            b1 -= rate * delta1.sum(axis=1, keepdims=True)
        yield [(w1, b1), (w2, b2)]


def book_loop(task: Task) -> Contestant:
    """Backpropagate example by example, in float64, as the book's chapter 1 does."""
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in task.start()]
    examples = [
        (x.reshape(-1, 1), y.reshape(-1, 1))
        for x, y in zip(task.training.images, task.one_hot().astype(np.float64), strict=True)
    ]

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-z))

    def sigmoid_prime(z: np.ndarray) -> np.ndarray:
        return sigmoid(z) * (1 - sigmoid(z))

    def backprop(x: np.ndarray, y: np.ndarray) -> Parameters:
        """Return the gradient of the cost of one example."""
        activations, zs = [x], []
        for w, b in layers:
            zs.append(np.dot(w, activations[-1]) + b)
            activations.append(sigmoid(zs[-1]))
        delta = (activations[-1] - y) * sigmoid_prime(zs[-1])
        gradient = [(np.dot(delta, activations[-2].T), delta)]
        for l in range(len(layers) - 2, -1, -1):
            delta = np.dot(layers[l + 1][0].T, delta) * sigmoid_prime(zs[l])
            gradient.insert(0, (np.dot(delta, activations[l].T), delta))
        return gradient

    yield None
    for order in task.orders():
        shuffled = [examples[i] for i in order]
        for i in range(0, len(shuffled), BATCH):
            batch = shuffled[i : i + BATCH]
            total = [(np.zeros(w.shape), np.zeros(b.shape)) for w, b in layers]
            for x, y in batch:
                gradient = backprop(x, y)
                total = [
                    (nabla_w + dw, nabla_b + db)
                    for (nabla_w, nabla_b), (dw, db) in zip(total, gradient, strict=True)
                ]
            rate = ETA / len(batch)
            layers = [
                (w - rate * nabla_w, b - rate * nabla_b)
                for (w, b), (nabla_w, nabla_b) in zip(layers, total, strict=True)
            ]
        yield layers


def sklearn_mlp(task: Task) -> Contestant:
    """Fit MLPClassifier, which has its own start, shuffle and cost: softmax, log-likelihood."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        task.sizes[1:-1],
        activation="logistic",
        solver="sgd",
        alpha=0.0,
        batch_size=BATCH,
        learning_rate_init=0.5,
        momentum=0.0,
        max_iter=1,
        warm_start=True,
        random_state=task.seed,
    )
    yield None
    while True:
        with warnings.catch_warnings():
            # One epoch at a time is what we want, and not that it has not converged.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(task.training.images, task.training.labels)
        yield [(w.T, b[:, None]) for w, b in zip(model.coefs_, model.intercepts_, strict=True)]


def torch_nn(task: Task) -> Contestant:
    """Train as PyTorch's tutorials do: modules, autograd, an optimizer."""
    import torch

    torch.set_num_threads(1)
    n_in, n_hidden, n_out = task.sizes
    net = torch.nn.Sequential(
        torch.nn.Linear(n_in, n_hidden),
        torch.nn.Sigmoid(),
        torch.nn.Linear(n_hidden, n_out),
        torch.nn.Sigmoid(),
    ).to(torch.from_numpy(np.empty(0, task.dtype)).dtype)
    parameters = list(net.parameters())
    with torch.no_grad():
        for p, value in zip(
            parameters, (p for w, b in task.start() for p in (w, b[:, 0])), strict=True
        ):
            p.copy_(torch.from_numpy(value))
    images, one_hot = torch.from_numpy(task.training.images), torch.from_numpy(task.one_hot())
    optimizer = torch.optim.SGD(parameters, lr=ETA)
    yield None
    for order in task.orders():
        for batch in torch.from_numpy(order).split(BATCH):
            optimizer.zero_grad()
            cost = 0.5 * (net(images[batch]) - one_hot[batch]).square().sum(dim=1).mean()
            cost.backward()
            optimizer.step()
        w1, b1, w2, b2 = (p.detach().numpy() for p in parameters)
        yield [(w1, b1[:, None]), (w2, b2[:, None])]


def torch_by_hand(task: Task) -> Contestant:
    """Write the equations in PyTorch, in place wherever it can."""
    import torch

    torch.set_num_threads(1)
    start = task.start()
    (w1, b1), (w2, b2) = ((torch.from_numpy(w), torch.from_numpy(b[:, 0])) for w, b in start)
    images, one_hot = torch.from_numpy(task.training.images), torch.from_numpy(task.one_hot())
    x, y = images[:BATCH].clone(), one_hot[:BATCH].clone()
    a1, a2 = x.new_empty(BATCH, len(w1)), x.new_empty(BATCH, len(w2))
    delta1, delta2 = torch.empty_like(a1), torch.empty_like(a2)
    rate = ETA / BATCH
    yield None
    for order in task.orders():
        with torch.inference_mode():
            for batch in torch.from_numpy(order).split(BATCH):
                torch.index_select(images, 0, batch, out=x)
                torch.index_select(one_hot, 0, batch, out=y)
                torch.addmm(b1, x, w1.T, out=a1).sigmoid_()
                torch.addmm(b2, a1, w2.T, out=a2).sigmoid_()
                torch.sub(a2, y, out=delta2).mul_(a2).mul_(1 - a2)
                torch.mm(delta2, w2, out=delta1).mul_(a1).mul_(1 - a1)
                w2.addmm_(delta2.T, a1, alpha=-rate)
                b2.sub_(delta2.sum(0), alpha=rate)
                w1.addmm_(delta1.T, x, alpha=-rate)
                b1.sub_(delta1.sum(0), alpha=rate)
        yield start


def jax_scan(task: Task, one_thread: bool = False) -> Contestant:
    """Compile a whole epoch: a jitted scan over the mini-batches, gradients by jax.grad."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if one_thread:  # read when the library is loaded: none inside an operation, a pool of one
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
        os.environ.setdefault("NPROC", "1")
    import jax
    import jax.numpy as jnp

    def cost(parameters: list, x: jax.Array, y: jax.Array) -> jax.Array:
        for w, b in parameters:
            x = jax.nn.sigmoid(x @ w.T + b.T)
        return 0.5 * jnp.square(x - y).sum(axis=1).mean()

    @partial(jax.jit, donate_argnums=0)
    def epoch(parameters: list, images: jax.Array, one_hot: jax.Array, order: jax.Array) -> list:
        def step(parameters: list, batch: jax.Array) -> tuple[list, None]:
            gradient = jax.grad(cost)(parameters, images[batch], one_hot[batch])
            return jax.tree.map(lambda p, g: p - ETA * g, parameters, gradient), None

        return jax.lax.scan(step, parameters, order.reshape(-1, BATCH))[0]

    parameters = jax.tree.map(jnp.array, task.start())
    images, one_hot = jnp.array(task.training.images), jnp.array(task.one_hot())
    yield None
    for order in task.orders():
        parameters = jax.block_until_ready(epoch(parameters, images, one_hot, order))
        yield [(np.asarray(w), np.asarray(b)) for w, b in parameters]


# Chapter 6's networks: what `sizes` gives are the dense layers above two convolutions.

STEPS = 300


def nndl_conv(task: Task, dropout: float = 0.0) -> Contestant:
    """Train a convolutional network for some mini-batches."""
    net = _conv_network(task, dropout)
    yield None
    while True:
        list(net.sgd(task.training[: STEPS * BATCH], 1, BATCH, 0.03))
        yield None


def nndl_conv_answers(task: Task) -> Contestant:
    """Let a convolutional network answer 10,000 images; nothing is learned."""
    net = _conv_network(task, 0.0)
    while True:
        yield None
        net.predict(task.test.images)


def _conv_network(task: Task, dropout: float) -> Network:
    convolutions = [Conv(n, 5, relu, pool=2) for n in (20, 40)]
    dense = dense_layers([*task.sizes, 10], log_likelihood, relu, dropout=dropout)
    shape = (1, 28, 28)
    return Network([*convolutions, *dense], cost=log_likelihood, input_shape=shape, rng=task.seed)


def torch_conv(task: Task, dropout: float = 0.0) -> Contestant:
    """Train the same network in PyTorch, as its tutorials do."""
    import torch

    net = _torch_conv_network(task, dropout)
    pictures = torch.from_numpy(task.training.images[: STEPS * BATCH]).reshape(-1, 1, 28, 28)
    labels = torch.from_numpy(task.training.labels[: STEPS * BATCH])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.03)
    cost = torch.nn.CrossEntropyLoss()
    yield None
    while True:
        for batch in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            cost(net(pictures[batch]), labels[batch]).backward()
            optimizer.step()
        yield None


def torch_conv_answers(task: Task) -> Contestant:
    """Let the network in PyTorch answer 10,000 images, a thousand at a time."""
    import torch

    net = _torch_conv_network(task, 0.0).eval()
    pictures = torch.from_numpy(task.test.images).reshape(-1, 1, 28, 28)
    while True:
        yield None
        with torch.inference_mode():
            for part in pictures.split(1000):
                net(part).argmax(dim=1)


def _torch_conv_network(task: Task, dropout: float) -> torch.nn.Module:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(task.seed)
    layers = []
    for c, maps in ((1, 20), (20, 40)):
        layers += [torch.nn.Conv2d(c, maps, 5), torch.nn.MaxPool2d(2), torch.nn.ReLU()]
    layers.append(torch.nn.Flatten())
    for n_in, n in pairwise((640, *task.sizes)):
        layers += [torch.nn.Linear(n_in, n), torch.nn.ReLU()]
        if dropout:
            layers.append(torch.nn.Dropout(dropout))
    return torch.nn.Sequential(*layers, torch.nn.Linear(task.sizes[-1], 10))


CONTESTANTS: dict[str, tuple[Callable[[Task], Contestant], str]] = {  # name: (how, library)
    "floor: the two large products alone": (floor, ""),
    "nndl": (nndl_sgd, ""),
    "nndl, raw pixels": (partial(nndl_sgd, raw=True), ""),
    "nndl, L2": (partial(nndl_sgd, lmbda=5.0), ""),
    "nndl, L1": (partial(nndl_sgd, lmbda_l1=5.0), ""),
    "nndl, momentum": (partial(nndl_sgd, eta=ETA / 2, mu=0.5), ""),
    "nndl, answering 10,000 images": (nndl_evaluation, ""),
    "NumPy, matrix form": (numpy_allocating, ""),
    "JAX, jitted scan, held to one thread": (partial(jax_scan, one_thread=True), "jax"),
    "JAX, jitted scan, as it comes": (jax_scan, "jax"),
    "PyTorch, by hand, in place": (torch_by_hand, "torch"),
    "scikit-learn, MLPClassifier": (sklearn_mlp, "scikit-learn"),
    "PyTorch, nn and autograd": (torch_nn, "torch"),
    "the book's loop over examples": (book_loop, ""),
}
CONV: dict[str, tuple[Callable[[Task], Contestant], str]] = {
    "nndl": (nndl_conv, ""),
    "PyTorch": (torch_conv, "torch"),
    "nndl, answering 10,000 images": (nndl_conv_answers, ""),
    "PyTorch, answering 10,000 images": (torch_conv_answers, "torch"),
}
CONV_DROPOUT: dict[str, tuple[Callable[[Task], Contestant], str]] = {
    "nndl": (partial(nndl_conv, dropout=0.5), ""),
    "PyTorch": (partial(torch_conv, dropout=0.5), "torch"),
}
RACES = {"dense": CONTESTANTS, "conv": CONV, "dropout": CONV_DROPOUT}


@dataclass
class Row:
    """What was measured of a contestant."""

    name: str
    seconds: list[float] = field(default_factory=list)
    accuracy: float | None = None


def installed(library: str) -> str | None:
    """Return the version of a library, or None where it is not there."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def work(
    pipe: multiprocessing.connection.Connection, race: str, name: str, sizes: tuple[int, ...]
) -> None:
    """Be a contestant in a process of its own: an epoch for every message, its time in return."""
    training, _, test = load_mnist()
    task = Task(sizes, training, test)
    with threadpool_limits(1):
        contestant = RACES[race][name][0](task)
        next(contestant)
        pipe.send(None)
        while pipe.recv():
            start = perf_counter()
            parameters = next(contestant)
            seconds = perf_counter() - start
            accuracy = None
            if parameters is not None:
                net = _network(task)
                for (w, b), (w0, b0) in zip(
                    zip(net.weights, net.biases, strict=True), parameters, strict=True
                ):
                    w[...], b[...] = w0, b0
                accuracy = evaluate(net, test).accuracy
            pipe.send((seconds, accuracy))


def run_race(race: str, sizes: tuple[int, ...], rounds: int) -> list[Row]:
    """Let every contestant that can run an epoch in every round, one after the other."""
    context = multiprocessing.get_context("spawn")
    rows, pipes = [], []
    for name, (_, library) in RACES[race].items():
        if library and not installed(library):
            print(f"{name}: {library} is not installed", file=sys.stderr)
            continue
        ours, theirs = context.Pipe()
        context.Process(target=work, args=(theirs, race, name, sizes), daemon=True).start()
        theirs.close()
        rows.append(Row(name))
        pipes.append(ours)
        ours.recv()
    for done in range(rounds + 1):
        for row, pipe in zip(rows, pipes, strict=True):
            pipe.send(True)
            seconds, accuracy = pipe.recv()
            if done == 0:  # to warm up, and to compile
                row.accuracy = accuracy
            else:
                row.seconds.append(seconds)
        print(f"\r{race} {list(sizes)}: round {done} of {rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    for pipe in pipes:
        pipe.send(False)
    return rows


def table(sizes: tuple[int, ...], rows: list[Row]) -> str:
    """Return a table in Markdown."""
    [plain] = [row for row in rows if row.name == "nndl"]
    lines = [
        f"| {list(sizes)} | seconds an epoch | times nndl | read after one epoch |",
        "|---|---|---|---|",
    ]
    for row in rows:
        ratio = median(t / p for t, p in zip(row.seconds, plain.seconds, strict=True))
        read = "" if row.accuracy is None else f"{100 * row.accuracy:.1f} %"
        lines.append(f"| {row.name} | {median(row.seconds):.3f} | {ratio:.2f} | {read} |")
    return "\n".join(lines)


def conv_table(sizes: tuple[int, ...], rows: list[Row]) -> str:
    """Return a table in Markdown: milliseconds a step, or seconds for all the answers."""
    layers = " - ".join(["conv 20", "conv 40", *map(str, sizes), "10"])
    dropout = ", dropout" if len(sizes) > 1 else ""
    lines = [f"| {layers}{dropout} | | times nndl |", "|---|---|---|"]
    seconds = {row.name: row.seconds for row in rows}
    for name, times in seconds.items():
        answers = name.removeprefix("nndl").removeprefix("PyTorch")
        ours = seconds[f"nndl{answers}"]
        ratio = median(t / o for t, o in zip(times, ours, strict=True))
        value = f"{median(times):.2f} s" if answers else f"{1000 * median(times) / STEPS:.2f} ms"
        lines.append(f"| {name}{'' if answers else ', a step'} | {value} | {ratio:.2f} |")
    return "\n".join(lines)


def whole_process() -> dict[str, float]:
    """Time train_mnist.py as a user starts it: 30 epochs of [784, 30, 10], with all it does."""
    script = Path(__file__).with_name("train_mnist.py")
    flags = "--data mnist --hidden 30 --epochs 30 --halve-after none --quiet"
    with TemporaryDirectory() as folder:
        start = perf_counter()
        subprocess.run(
            [sys.executable, str(script), *flags.split(), "--out", f"{folder}/run"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = perf_counter() - start
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return {"seconds": seconds, "peak_memory_bytes": peak}


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--hidden", type=whole, nargs="+", default=[30, 100], metavar="N", help="(default: 30 100)"
    )
    parser.add_argument(
        "--rounds", type=whole, default=9, help="epochs of each (default: %(default)s)"
    )
    parser.add_argument("--json", type=path_of, metavar="FILE", help="write every time measured")
    args = parser.parse_args()
    try:
        load_mnist()
    except OSError as error:
        print(f"benchmark.py: error: {error}", file=sys.stderr)
        return 1
    record: dict[str, object] = {
        "environment": environment(),
        "versions": {library: installed(library) for library in LIBRARIES},
        "rounds": args.rounds,
    }
    record["train_mnist.py"] = once = whole_process()
    print(
        f"{environment()['cpu']}, one thread; medians of {args.rounds} epochs each, interleaved\n\n"
        f"train_mnist.py --hidden 30, 30 epochs, the whole process: {once['seconds']:.1f} s, "
        f"{once['peak_memory_bytes'] / 1e6:.0f} MB at its peak\n"
    )
    for n in args.hidden:
        sizes = (784, n, 10)
        rows = run_race("dense", sizes, args.rounds)
        print(table(sizes, rows) + "\n")
        record[str(list(sizes))] = [asdict(row) for row in rows]
    for name, sizes in (("conv", (100,)), ("dropout", (1000, 1000))):
        rows = run_race(name, sizes, args.rounds)
        print(conv_table(sizes, rows) + "\n")
        record[name] = [asdict(row) for row in rows]
    if args.json:
        write_text(args.json, json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    exit_with(main)
