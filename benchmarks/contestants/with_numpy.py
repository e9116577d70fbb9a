"""NumPy and SciPy: the products alone, the matrix form, and the book's loop over examples."""

from __future__ import annotations

import numpy as np
from scipy.linalg.blas import sgemm

from contestants.task import Contestant, Floats, Parameters, Task, predict_dense

__all__ = ["book_loop", "matrix_form", "products_only"]


def products_only(task: Task) -> Contestant:
    """Do only the two large products of each step, on mini-batches that are ready: a lower bound.

    They are z = w x of the first layer, and w -= delta x.T.
    """
    (w, _), *_ = task.start()
    rows = task.training.images[:500].astype(np.float32)
    z = np.empty((task.batch, len(w)), np.float32).T
    delta = np.random.default_rng(task.seed).random((task.batch, len(w)), np.float32).T
    batches = [rows[i : i + task.batch].T for i in range(0, len(rows), task.batch)]
    while True:
        yield None
        for _ in range(len(task.training) // len(rows)):
            for x in batches:
                np.matmul(w, x, out=z)
                sgemm(-1e-9, x, delta, 1.0, w.T, trans_b=1, overwrite_c=1)


def matrix_form(task: Task) -> Contestant:
    """Write the equations for a mini-batch in plain NumPy, with a new array for every result."""
    (w1, b1), (w2, b2) = task.start()
    images, one_hot = task.training.images, task.one_hot()
    yield None
    for order in task.orders():
        for i in range(0, len(order), task.batch):
            batch = order[i : i + task.batch]
            x, y = images[batch].T, one_hot[batch].T
            a1 = 1 / (1 + np.exp(-(w1 @ x + b1)))
            a2 = 1 / (1 + np.exp(-(w2 @ a1 + b2)))
            delta2 = (a2 - y) * a2 * (1 - a2)
            delta1 = (w2.T @ delta2) * a1 * (1 - a1)
            rate = task.eta / len(batch)
            w2 -= rate * (delta2 @ a1.T)
            b2 -= rate * delta2.sum(axis=1, keepdims=True)
            w1 -= rate * (delta1 @ x.T)
            b1 -= rate * delta1.sum(axis=1, keepdims=True)
        yield predict_dense([(w1, b1), (w2, b2)])


def book_loop(task: Task) -> Contestant:
    """Backpropagate example by example in float64, as the book's chapter 1 does."""
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in task.start()]
    examples = [
        (x.reshape(-1, 1), y.reshape(-1, 1))
        for x, y in zip(task.training.images, task.one_hot().astype(np.float64), strict=True)
    ]

    def sigmoid(z: Floats) -> Floats:
        result: Floats = 1.0 / (1.0 + np.exp(-z))
        return result

    def sigmoid_prime(z: Floats) -> Floats:
        result: Floats = sigmoid(z) * (1 - sigmoid(z))
        return result

    def backprop(x: Floats, y: Floats) -> Parameters:
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
        for i in range(0, len(shuffled), task.batch):
            batch = shuffled[i : i + task.batch]
            total: Parameters = [(np.zeros(w.shape), np.zeros(b.shape)) for w, b in layers]
            for x, y in batch:
                total = [
                    (nabla_w + dw, nabla_b + db)
                    for (nabla_w, nabla_b), (dw, db) in zip(total, backprop(x, y), strict=True)
                ]
            rate = task.eta / len(batch)
            layers = [
                (w - rate * nabla_w, b - rate * nabla_b)
                for (w, b), (nabla_w, nabla_b) in zip(layers, total, strict=True)
            ]
        yield predict_dense(list(layers))
