"""nndl, as its users call it."""

from __future__ import annotations

import sys

import numpy as np

from contestants.task import Contestant, Task
from nndl import inference
from nndl.activations import relu
from nndl.conv import Conv
from nndl.costs import log_likelihood, quadratic
from nndl.dataset import Dataset
from nndl.initializers import he
from nndl.network import Network
from nndl.stack import dense_layers

__all__ = ["infer", "train"]


def train(
    task: Task,
    *,
    lmbda: float = 0.0,
    lmbda_l1: float = 0.0,
    mu: float | None = None,
    raw: bool = False,
) -> Contestant:
    """Train by `Network.sgd`; with ``raw`` pixels, which it divides by 256 batch by batch."""
    net = network(task)
    orders = task.orders()
    images, labels = task.training.images, task.training.labels
    pixels = (images * 256).astype(np.uint8) if raw else images
    mu = task.mu if mu is None else mu
    yield None
    epochs = net.sgd(
        Dataset(pixels, labels),
        sys.maxsize,
        task.batch,
        task.eta * (1 - mu),
        lmbda=lmbda,
        lmbda_l1=lmbda_l1,
        mu=mu,
        order=lambda n: next(orders),
        threads=task.threads,
    )
    for _ in epochs:
        yield net.predict


def infer(task: Task) -> Contestant:
    """Predict the labels of the test images, as `Network.predict` does, on a number of threads."""
    net = network(task)
    while True:
        yield None
        blocks = inference.infer(net, task.test.images, task.threads)
        np.concatenate([a.argmax(axis=0) for _, _, a in blocks])


def network(task: Task) -> Network:
    """Return the untrained network of a race."""
    if task.book:
        net = Network(task.sizes, cost=quadratic, rng=task.seed)
        for w, b, (w0, b0) in zip(net.weights, net.biases, task.start(), strict=True):
            w[...], b[...] = w0, b0
        return net
    layers = dense_layers(task.neurons, log_likelihood, relu, init=he)
    shape: tuple[int, ...] = (784,)
    if task.convolutions:
        shape = (1, 28, 28)
        layers = [Conv(n, k, relu, pool=p, init=he) for n, k, p in task.convolutions] + layers
    return Network(layers, cost=log_likelihood, input_shape=shape, rng=task.seed)
