"""PyTorch: modules with autograd, as in its tutorials, and the equations by hand, in place."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contestants.task import Contestant, Floats, Predict, Task, predict_dense

__all__ = ["by_hand", "infer", "train"]


def train(task: Task, *, mu: float | None = None, channels_last: bool = False) -> Contestant:
    """Train by modules, autograd and `torch.optim.SGD`."""
    net = _network(task, channels_last)
    images = _images(task, task.training.images, channels_last)
    mu = task.mu if mu is None else mu
    optimizer = torch.optim.SGD(net.parameters(), lr=task.eta * (1 - mu), momentum=mu)
    if task.book:
        desired = torch.from_numpy(task.one_hot())

        def cost(a: Any, y: Any) -> Any:
            return 0.5 * (a - y).square().sum(dim=1).mean()
    else:
        desired = torch.from_numpy(task.training.labels.astype(np.int64))
        cost = torch.nn.functional.cross_entropy
    yield None
    for order in task.orders():
        net.train()
        for batch in torch.from_numpy(order).split(task.batch):
            optimizer.zero_grad()
            cost(net(images[batch]), desired[batch]).backward()
            optimizer.step()
        yield _predict(task, net, channels_last)


def infer(task: Task, *, channels_last: bool = False) -> Contestant:
    """Predict the labels of the test images."""
    predict = _predict(task, _network(task, channels_last), channels_last)
    while True:
        yield None
        predict(task.test.images)


def by_hand(task: Task) -> Contestant:
    """Write the equations for chapter 1's network, in place wherever possible."""
    torch.set_num_threads(task.threads)
    start = task.start()
    (w1, b1), (w2, b2) = ((torch.from_numpy(w), torch.from_numpy(b[:, 0])) for w, b in start)
    images, one_hot = torch.from_numpy(task.training.images), torch.from_numpy(task.one_hot())
    x, y = images[: task.batch].clone(), one_hot[: task.batch].clone()
    a1, a2 = x.new_empty(task.batch, len(w1)), x.new_empty(task.batch, len(w2))
    delta1, delta2 = torch.empty_like(a1), torch.empty_like(a2)
    rate = task.eta / task.batch
    yield None
    for order in task.orders():
        with torch.inference_mode():
            for batch in torch.from_numpy(order).split(task.batch):
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
        yield predict_dense(start)  # the arrays that w1, b1, w2 and b2 share


def _network(task: Task, channels_last: bool) -> Any:
    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)
    layers: list[Any] = []
    n_in, maps_in, side = 784, 1, 28
    for maps, size, pool in task.convolutions:
        layers += [torch.nn.Conv2d(maps_in, maps, size), torch.nn.ReLU()]
        layers += [torch.nn.MaxPool2d(pool)] * (pool > 1)
        maps_in, side = maps, (side - size + 1) // pool
        n_in = maps * side * side
    if task.convolutions:
        layers.append(torch.nn.Flatten())
    activation = torch.nn.Sigmoid if task.book else torch.nn.ReLU
    for below, n in pairwise((n_in, *task.neurons)):
        layers += [torch.nn.Linear(below, n), activation()]
    if not task.book:
        layers.pop()  # cross_entropy takes the weighted inputs of the softmax layer
    net = torch.nn.Sequential(*layers)
    parameters = list(net.parameters())
    with torch.no_grad():
        if task.book:
            values = [p for w, b in task.start() for p in (w, b[:, 0])]
            for p, value in zip(parameters, values, strict=True):
                p.copy_(torch.from_numpy(value))
        else:  # He et al., as the other contestants
            for w, b in zip(parameters[::2], parameters[1::2], strict=True):
                torch.nn.init.kaiming_normal_(w)
                b.zero_()
    return net.to(memory_format=torch.channels_last) if channels_last else net


def _images(task: Task, images: Floats, channels_last: bool) -> Any:
    x = torch.from_numpy(images)
    if task.convolutions:
        x = x.reshape(-1, 1, 28, 28)
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


def _predict(task: Task, net: Any, channels_last: bool) -> Predict:
    def predict(images: Floats) -> NDArray[np.integer]:
        net.eval()
        with torch.inference_mode():
            parts = _images(task, images, channels_last).split(1000)
            labels: NDArray[np.integer] = torch.cat([net(x).argmax(dim=1) for x in parts]).numpy()
        return labels

    return predict
