"""The book's ``network3`` (chapter 6), over `nndl.Network` in float32.

Seeds are as in `nndl.book.network`. The peculiarities of chapter 6 are kept: its initial weights,
lambda divided by the number of mini-batches, mini-batches in the same order in every epoch, dropout
on the inputs of a layer, and leaving out the images that do not fill a mini-batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nndl._typing import Array
from nndl.activations import Activation, sigmoid, softmax, tanh
from nndl.activations import identity as linear
from nndl.activations import relu as ReLU
from nndl.book.adapter import seeded_generator
from nndl.book.mnist_loader import Arrays, load_data
from nndl.conv import Conv
from nndl.costs import log_likelihood
from nndl.data import Dataset, load_mnist, shifted_fivefold
from nndl.initializers import network3, zeros
from nndl.layers import Dense, Dropout, Layer
from nndl.network import Network as Core
from nndl.training.metrics import accuracy
from nndl.validation import DivergedError, check

__all__ = [
    "ConvPoolLayer",
    "FullyConnectedLayer",
    "Network",
    "ReLU",
    "SoftmaxLayer",
    "expand_mnist",
    "linear",
    "load_data_shared",
    "sigmoid",
    "tanh",
]

MNIST, EXPANDED = "mnist.pkl.gz", "mnist_expanded.pkl.gz"
SEED = 0  # of the order of the expanded set, which is the same in every call


def load_data_shared(filename: str | Path = f"../data/{MNIST}") -> list[Arrays]:
    """Return training, validation and test data, each a pair (x, y).

    Parameters
    ----------
    filename : str or Path
        Ending in one of the book's two file names. The file itself is not read: the data come from
        `nndl.load_mnist`, and for ``mnist_expanded.pkl.gz`` the training data from `expand_mnist`.

    Returns
    -------
    list of three pairs of ndarray
        x, (n, 784) float32 in [0, 1), and y, (n,) int64.

    Raises
    ------
    ValueError
        If the file has another name.
    OSError
        As `nndl.load_mnist`.
    """
    name = Path(filename).name
    if name not in (MNIST, EXPANDED):
        raise ValueError(
            f"filename must end in {MNIST} or {EXPANDED}, not {str(filename)!r}; give other data "
            "to SGD directly, as pairs (x, y) of images in rows and labels"
        )
    training, validation, test = load_data()
    return [expand_mnist() if name == EXPANDED else training, validation, test]


def expand_mnist() -> Arrays:
    """Return the training data and their shifts by a pixel, shuffled: 250,000 images in 0.8 GB.

    The book's program of this name writes them to a file; here every call of `load_data_shared`
    makes them again, in the same order.
    """
    expanded = shifted_fivefold(load_mnist(dtype=np.uint8)[0])
    images, labels = expanded[np.random.default_rng(SEED).permutation(len(expanded))]
    return np.multiply(images, 1 / 256, dtype=np.float32), labels.astype(np.int64)


class BookLayer:
    """A layer of `nndl`, the shapes of its input and output, and dropout on its inputs.

    `w` and `b` are drawn when a Network is made of the layer. They are live: change them in place.
    """

    def __init__(
        self,
        core: Conv | Dense,
        shape_in: tuple[int, ...],
        shape_out: tuple[int, ...],
        p_dropout: float = 0.0,
    ) -> None:
        self.core, self.shape_in, self.shape_out = core, shape_in, shape_out
        self.p_dropout = p_dropout

    @property
    def w(self) -> Array:
        """Weights, (n_in, n_out) as in the book; filters, (maps, input maps, height, width).

        Raises AttributeError, as `b` does, before a Network is made of the layer.
        """
        w = self.core.w
        return self.core.filters if isinstance(self.core, Conv) else w.T

    @property
    def b(self) -> Array:
        """Biases, (n_out,) or (maps,)."""
        b: Array = self.core.b[:, 0]
        return b


class ConvPoolLayer(BookLayer):
    """A convolution, max-pooling, and then the bias and the activation.

    Parameters
    ----------
    filter_shape : (maps, input maps, height, width)
        Filters are square.
    image_shape : (mini-batch, input maps, height, width)
    poolsize : (height, width)
        Pools are square, and their size divides the sides of the convolution's output.
    activation_fn : Activation
        sigmoid, tanh, ReLU or linear.
    """

    def __init__(
        self,
        filter_shape: tuple[int, int, int, int],
        image_shape: tuple[int, int, int, int],
        poolsize: tuple[int, int] = (2, 2),
        activation_fn: Activation = sigmoid,
    ) -> None:
        (maps, maps_in, size, width), pool = filter_shape, poolsize[0]
        if size != width or pool != poolsize[1] or maps_in != image_shape[1]:
            raise ValueError(
                "filters and pools must be square, and filters must have as many input maps as the "
                f"images, but filter_shape is {filter_shape}, poolsize {poolsize} and image_shape "
                f"{image_shape}"
            )
        self.filter_shape, self.image_shape, self.poolsize = filter_shape, image_shape, poolsize
        self.activation_fn = activation_fn
        core = Conv(maps, size, activation_fn, pool, network3)
        pooled = ((side - size + 1) // pool for side in image_shape[2:])
        super().__init__(core, tuple(image_shape[1:]), (maps, *pooled))


class FullyConnectedLayer(BookLayer):
    """n_out neurons; in training each input is set to 0 with probability p_dropout."""

    def __init__(
        self, n_in: int, n_out: int, activation_fn: Activation = sigmoid, p_dropout: float = 0.0
    ) -> None:
        self.n_in, self.n_out, self.activation_fn = n_in, n_out, activation_fn
        super().__init__(Dense(n_out, activation_fn, network3), (n_in,), (n_out,), p_dropout)


class SoftmaxLayer(BookLayer):
    """The last layer: softmax neurons whose weights and biases start at 0."""

    def __init__(self, n_in: int, n_out: int, p_dropout: float = 0.0) -> None:
        self.n_in, self.n_out = n_in, n_out
        super().__init__(Dense(n_out, softmax, zeros), (n_in,), (n_out,), p_dropout)


class Network:
    """A network with the log-likelihood cost, whose last layer is a SoftmaxLayer.

    Its attribute ``core`` is the `nndl.Network` that does the work, for everything that the book's
    network3 cannot do: ``nndl.accuracy(net.core, data)``. Raises ValueError if the input shape of
    a layer is not the output shape of the layer before it.
    """

    def __init__(self, layers: Sequence[BookLayer], mini_batch_size: int) -> None:
        check(mini_batch_size=mini_batch_size)
        self.layers, self.mini_batch_size = layers, mini_batch_size
        if not layers or not isinstance(layers[-1], SoftmaxLayer):
            raise ValueError(f"the last layer must be a SoftmaxLayer, not one of {layers!r}")
        core, shape = list[Layer](), layers[0].shape_in
        for i, layer in enumerate(layers):
            if layer.shape_in not in (shape, (prod(shape),)):
                raise ValueError(
                    f"layers[{i}] must have the input shape {shape} of the layer before it, but "
                    f"has {layer.shape_in}: change one of them"
                )
            core += [Dropout(layer.p_dropout), layer.core] if layer.p_dropout else [layer.core]
            shape = layer.shape_out
        self.core = Core(
            core, cost=log_likelihood, rng=seeded_generator(), input_shape=layers[0].shape_in
        )

    def SGD(
        self,
        training_data: Arrays,
        epochs: int,
        mini_batch_size: int,
        eta: float,
        validation_data: Arrays,
        test_data: Arrays | None,
        lmbda: float = 0.0,
    ) -> None:
        """Train, and print accuracies; the test data are measured at each best validation accuracy.

        Raises ValueError if mini_batch_size is not the network's, or as `nndl.Network.sgd`.
        """
        if mini_batch_size != self.mini_batch_size:
            raise ValueError(
                f"mini_batch_size must be that of the network, {self.mini_batch_size}, not "
                f"{mini_batch_size!r}: make a new Network for another size"
            )
        training, validation = self._dataset(training_data), self._dataset(validation_data)
        test = self._dataset(test_data) if test_data else None
        seen = 0

        def count(rows: Array, rng: np.random.Generator) -> Array:
            nonlocal seen
            for i in range(seen, seen + len(rows), mini_batch_size):
                if i % (1000 * mini_batch_size) == 0:
                    print(f"Training mini-batch number {i // mini_batch_size}")
            seen += len(rows)
            return rows

        lmbda *= mini_batch_size  # the core divides it by the number of images
        more: dict[str, Any] = {"order": np.arange, "transform": count, "rng": seeded_generator()}
        steps = self.core.sgd(training, epochs, mini_batch_size, eta, lmbda=lmbda, **more)
        best = test_accuracy = 0.0
        best_iteration = 0
        for epoch in range(epochs):
            try:
                next(steps, None)
            except DivergedError as error:  # like the book's, go on to the last epoch
                warnings.warn(
                    f"{error}; the parameters stay as they are", RuntimeWarning, stacklevel=2
                )
            validation_accuracy = self._accuracy(validation)
            print(f"Epoch {epoch}: validation accuracy {validation_accuracy:.2%}")
            if validation_accuracy >= best:
                print("This is the best validation accuracy to date.")
                best = validation_accuracy
                best_iteration = len(training) // mini_batch_size * (epoch + 1) - 1
                if test:
                    test_accuracy = self._accuracy(test)
                    print(f"The corresponding test accuracy is {test_accuracy:.2%}")
        print("Finished training network.")
        print(f"Best validation accuracy of {best:.2%} obtained at iteration {best_iteration}")
        if test:
            print(f"Corresponding test accuracy of {test_accuracy:.2%}")

    def _dataset(self, data: Arrays) -> Dataset:
        x, y = data
        whole = len(y) // self.mini_batch_size * self.mini_batch_size
        if not whole:
            raise ValueError(
                f"{len(y)} images do not fill a mini-batch of {self.mini_batch_size}, and "
                "incomplete ones are left out: give more images, or make a Network for smaller "
                "mini-batches"
            )
        return Dataset(x, y, "the reader's data")[:whole]

    def _accuracy(self, data: Dataset) -> float:
        with np.errstate(over="ignore", invalid="ignore"):  # after training diverged
            return accuracy(self.core, data)
