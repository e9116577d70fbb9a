"""Helpers of the tests of the listings."""

from __future__ import annotations

import re

import numpy as np

from nndl.book import network, network2

SIZES = (1000, 200, 300)


def seed(s: int) -> None:
    """Seed as the book's readers do."""
    np.random.seed(s)  # noqa: NPY002


def epochs_of(text: str, pattern: str) -> list[int]:
    """Return the counts in a listing all of whose lines have the pattern, numbered from 0."""
    lines = text.splitlines()
    found = [re.fullmatch(pattern, line) for line in lines]
    assert all(found), lines
    assert [int(match[1]) for match in found] == list(range(len(lines)))
    return [int(match[2]) for match in found]


X, Y = np.zeros((5, 1)), np.array([[1.0], [0.0], [0.0]])


def book_backprop(net, x, y, cost):
    """Backpropagation for one example as chapter 2 derives it, on lists of activations."""
    activations, zs = [x], []
    for w, b in zip(net.weights, net.biases, strict=True):
        zs.append(np.dot(w, activations[-1]) + b)
        activations.append(network.sigmoid(zs[-1]))
    delta = cost.delta(zs[-1], activations[-1], y)
    nabla_b, nabla_w = [delta], [np.dot(delta, activations[-2].T)]
    for l in range(2, net.num_layers):
        delta = np.dot(net.weights[-l + 1].T, delta) * network.sigmoid_prime(zs[-l])
        nabla_b.insert(0, delta)
        nabla_w.insert(0, np.dot(delta, activations[-l - 1].T))
    return nabla_b, nabla_w


NETWORKS = [
    (network.Network, network2.QuadraticCost),
    (network2.Network, network2.CrossEntropyCost),
    (lambda sizes: network2.Network(sizes, cost=network2.QuadraticCost), network2.QuadraticCost),
]


def assert_all_close(ours, theirs) -> None:
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-11, atol=1e-14)


def book_step(net, mini_batch, eta, lmbda, n, cost):
    """Return the weights and biases after a step that sums over examples one by one."""
    weights = [(1 - eta * lmbda / n) * w for w in net.weights]
    biases = [b.copy() for b in net.biases]
    for x, y in mini_batch:
        nabla_b, nabla_w = book_backprop(net, x, y, cost)
        for l in range(len(weights)):
            weights[l] -= eta / len(mini_batch) * nabla_w[l]
            biases[l] -= eta / len(mini_batch) * nabla_b[l]
    return weights, biases
