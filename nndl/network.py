"""The network of the book: feedforward, backpropagation and stochastic gradient descent.

Data comes in rows, mathematics runs in columns: inside, x is (n_in, m), w is (n_out, n_in) and b is
(n_out, 1) for the m examples of a mini-batch, so that every line is the book's line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nndl import validation
from nndl._typing import Array
from nndl.batches import Transform, mini_batches
from nndl.dataset import Dataset
from nndl.inference import gathered
from nndl.layers import Layer
from nndl.parallel import computing
from nndl.rng import Rng, Streams, generator
from nndl.stack import Stack
from nndl.step import Step

__all__ = ["Network"]


class Network(Stack):
    """A feedforward neural network.

    Parameters
    ----------
    layers : sequence of int, or of layers
        ``[784, 30, 10]`` as in the book, the number of inputs and then the neurons of each layer;
        or layer objects, the last of them Dense, with the shape of an input in ``input_shape``.
    cost : quadratic, cross_entropy or log_likelihood
    activation, output, init, dropout
        For sizes: activation of the hidden layers and of the last one (by default sigmoid for the
        cross-entropy, softmax for the log-likelihood, ``activation`` for the quadratic cost),
        initializer of all layers, probability of dropping a hidden neuron.
    rng, dtype
        Seed or generator of the initial parameters; float32 or float64, for all arithmetic.
    input_shape : int or tuple of int
        For layers: 784, or (maps, height, width).

    Raises
    ------
    TypeError, ValueError
        If the layers do not form a network, or the cost does not support the output activation.

    Examples
    --------
    >>> Network([784, 30, 10], rng=0).n_parameters
    23860
    """

    # Inference.

    def feedforward(self, x: ArrayLike) -> Array:
        """Return the outputs, (n_out, m), for inputs x, (n_in, m); ``net(x)`` is the same.

        uint8 is raw and divided by 256, here and in all methods.
        """
        with computing():
            return self.outputs(validation.as_columns(x, self.n_in, self.dtype))[1]

    def __call__(self, x: ArrayLike) -> Array:
        return self.feedforward(x)

    def predict(self, images: ArrayLike) -> NDArray[np.intp]:
        """Return the label, the number of the largest output, for rows of images (n, n_in).

        Integers other than uint8 are raw if the largest is above 16, and used as they are up to 1;
        between, raises ValueError: a few images do not show what they were scaled by.
        """
        labels: NDArray[np.intp] = self._infer(images)[1].argmax(axis=0)
        return labels

    def predict_proba(self, images: ArrayLike) -> Array:
        """Return the probability of each label, (n, n_out), for rows of images (n, n_in).

        Sigmoid outputs are divided by their sum. Raises ValueError unless outputs are sigmoid or
        softmax.
        """
        return self.output.activation.probabilities(self._infer(images)[0]).T

    def _infer(self, images: ArrayLike) -> tuple[Array, Array]:
        return gathered(self, validation.rows_as_columns(images, self.n_in, self.dtype).T)

    def outputs(self, x: Array) -> tuple[Array, Array]:
        """Return z and a of the last layer, (n_out, m), for columns x that are validated."""
        for layer in self.layers[:-1]:
            x = layer.feedforward(x)
        z = self.output.weighted_input(x)
        return z, self.output.activation(z)

    # Learning: backpropagation (chapter 2) and the steps that use it.

    def deltas(
        self, x: Array, y: Array, rng: np.random.Generator | None, weights: Array | None = None
    ) -> Iterator[tuple[Layer, Array]]:
        """Yield (layer, delta), from the last layer back to the lowest with weights.

        The cost of each example is multiplied by its weight, if there are ``weights``, (m,).
        A layer is yielded after its delta has passed through its weights, so that the caller may
        update it at once.
        """
        for layer in self.layers:
            x = layer.forward(x, rng)  #                                                     (25)
        out = self.output
        delta = self.cost.delta(out.z, out.a, y, out.activation)  # dC/da * sigma'(z)        BP1
        if weights is not None:
            delta *= weights
        for layer, below in self._pairs:
            nabla_a = layer.backward(delta)  #                      w.T @ delta              BP2
            yield layer, delta  #                                   gradient or update  BP3, BP4
            delta = below.delta(nabla_a)  #                         nabla_a * sigma'(z)      BP2
        yield self._lowest, delta  #                                gradient or update  BP3, BP4

    def backprop(
        self, x: ArrayLike, y: ArrayLike, rng: Rng = None
    ) -> tuple[list[Array], list[Array]]:
        """Return the gradient of the mean cost of a mini-batch, without regularization.

        Like training, this works in buffers of the layers: each thread needs a copy of the network.

        Parameters
        ----------
        x : array_like, shape (n_in, m)
        y : array_like, shape (n_out, m), or integer labels of shape (m,)
        rng : int or Generator, optional
            For dropout; without it, outputs are scaled by 1 - p, as at inference.

        Returns
        -------
        nabla_b, nabla_w : lists of ndarray, shaped like `biases` and `weights`

        Raises
        ------
        ValueError
            If a shape does not fit, a label is out of range, or a number is not finite.
        """
        x, y, m = validation.as_examples(x, y, self.n_in, self.n_out, self.dtype)
        with computing():
            deltas = self.deltas(x, y, None if rng is None else generator(rng))
            gradients = [layer.gradient(delta) for layer, delta in deltas if layer.w is not None]
        nabla_b, nabla_w = zip(*reversed(gradients), strict=True)
        return [b / m for b in nabla_b], [w / m for w in nabla_w]

    def update_mini_batch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        eta: float,
        lmbda: float = 0.0,
        n: int | None = None,
        *,
        lmbda_l1: float = 0.0,
        mu: float = 0.0,
        rng: Rng = None,
    ) -> None:
        """Take one step of gradient descent with a mini-batch of m examples.

        w <- (1 - eta lmbda/n) w - eta lmbda_l1/n sgn(w) - eta/m sum_x dC_x/dw, and the same for b
        without decay (equations 20-21, 93, 97); with momentum mu, by way of a velocity (107-108).
        n is the size of the training set, for lmbda and lmbda_l1; the rest is as in `backprop`.
        """
        x, y, m = validation.as_examples(x, y, self.n_in, self.n_out, self.dtype)
        validation.check(eta=eta, lmbda=lmbda, lmbda_l1=lmbda_l1, mu=mu)
        step = Step(m, validation.check_n(n, lmbda, lmbda_l1), eta, lmbda, lmbda_l1, mu)
        with computing():
            self.take_step(x, y, None if rng is None else generator(rng), step)

    def take_step(
        self,
        x: Array,
        y: Array,
        rng: np.random.Generator | None,
        step: Step,
        weights: Array | None = None,
    ) -> None:
        """Update each layer as soon as its delta has passed through its weights."""
        for layer, delta in self.deltas(x, y, rng, weights):
            layer.update(delta, step)

    def sgd(
        self,
        training: Dataset,
        epochs: int,
        mini_batch_size: int,
        eta: float | Callable[[float], float],
        *,
        lmbda: float = 0.0,
        lmbda_l1: float = 0.0,
        mu: float = 0.0,
        nesterov: bool = False,
        label_smoothing: float = 0.0,
        rng: Rng | Streams = None,
        order: Callable[[int], NDArray[np.integer]] | None = None,
        transform: Transform | None = None,
        stop: Callable[[int], bool] = lambda done: False,
        skip: int = 0,
        first: int = 0,
        threads: int | None = None,
    ) -> Iterator[int]:
        """Train by mini-batch SGD while iterated over: yield the number of each epoch at its end.

        Parameters
        ----------
        training : Dataset
            Of n images. The last mini-batch of an epoch may be smaller.
        eta : float, or callable epoch -> float
            Learning rate; a function is given the epochs done before each step, as 2.5.
        lmbda, lmbda_l1, mu, nesterov, label_smoothing
            Regularization and momentum, as for `update_mini_batch` and in `Settings`.
        rng : int, Generator, Streams or None
            For shuffling, dropout and augmentation.
        order : callable n -> permutation of range(n), optional
            The order of the images, called once per epoch; by default a fresh shuffle.
        transform : callable (images (k, n_in), Generator) -> images (k, n_in), optional
            Augmentation of the images before they enter the mini-batches.
        stop : callable (images done in this epoch) -> bool
            Called after each chunk of 500 images, or each larger mini-batch, but not at the end of
            an epoch, where the caller can stop iterating; true ends training.
        skip, first : int
            To resume: the images done when `stop` was called, and the number of the first epoch.
        threads : int, optional
            By default all cores; the result does not depend on their number.

        Raises
        ------
        TypeError, ValueError
            If the data does not fit the network, an argument is out of its range, or the
            parameters are not finite already.
        DivergedError
            If the parameters are no longer finite.
        """
        validation.check_dataset(training, self.n_in, self.n_out, self.cost)
        validation.check(epochs=epochs, mini_batch_size=mini_batch_size, lmbda=lmbda, first=first)
        validation.check(lmbda_l1=lmbda_l1, mu=mu, eta=1.0 if callable(eta) else eta)
        validation.check(label_smoothing=label_smoothing, threads=threads)
        validation.check_nesterov(nesterov, mu)
        validation.check_initial(self.state)
        validation.check_epoch(training, mini_batch_size, skip, transform)
        targets = training.targets(self.n_out, self.dtype, label_smoothing)
        streams, n = rng if isinstance(rng, Streams) else Streams(rng), len(training)
        ordered = order or streams.shuffle.permutation
        prepare = None if transform is None else lambda rows: transform(rows, streams.expansion)

        def train() -> Iterator[int]:  # separate, so that wrong arguments raise at the call
            for epoch in range(first, first + epochs):
                done = skip if epoch == first else 0
                rate = validation.check_rate(eta, epoch + done / n, lmbda, n, mu, self.dtype)
                chunks = mini_batches(training, targets, ordered(n), mini_batch_size, prepare, done)
                with computing(threads), np.errstate(over="ignore", invalid="ignore"):
                    for chunk in chunks:
                        m = chunk[0][0].shape[1]
                        step = Step(m, n, rate, lmbda, lmbda_l1, mu, nesterov)
                        for x, y, weights in chunk:
                            if callable(eta) and (now := eta(at := epoch + done / n)) != rate:
                                rate = validation.check_rate(now, at, lmbda, n, mu, self.dtype)
                                step = Step(m, n, rate, lmbda, lmbda_l1, mu, nesterov)
                            self.take_step(x, y, streams.dropout, step, weights)
                            done += m
                        validation.check_finite(self.state, epoch, rate)
                        if done < n and stop(done):
                            return
                yield epoch

        return train()
