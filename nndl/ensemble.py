"""Ensembles: networks that predict together, and test-time augmentation by shifts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nndl import validation
from nndl._typing import Array
from nndl.activations import Activation, softmax
from nndl.costs import log_likelihood
from nndl.data.augment import POSITIONS, shift
from nndl.inference import gathered, infer
from nndl.layers import Layer
from nndl.network import Network

__all__ = ["Ensemble", "plurality", "shifted_proba"]


class Ensemble:
    """Networks that predict together, by the mean of their probabilities or by vote.

    `nndl.accuracy`, `nndl.evaluate`, `nndl.confusion_matrix` and `nndl.training.metrics.mistakes`
    measure it as they measure a network: its outputs are the mean probabilities, and its cost is
    their log-likelihood.

    Parameters
    ----------
    nets : sequence of Network
        One or more, with equal numbers of inputs and of outputs.

    Raises
    ------
    TypeError
        If nets is a Network instead of a list, or one of them is not a Network.
    ValueError
        If there is none, or their inputs or outputs differ in number.

    Examples
    --------
    >>> from nndl import Ensemble, Network, synthetic_digits
    >>> images = synthetic_digits(20, 0).images
    >>> ensemble = Ensemble([Network([784, 10], rng=seed) for seed in range(3)])
    >>> ensemble.predict_proba(images).shape, ensemble.vote(images).shape
    ((20, 10), (20,))
    """

    cost = log_likelihood
    decaying: tuple[Array, ...] = ()  # an ensemble is not trained

    def __init__(self, nets: Sequence[Network]) -> None:
        if isinstance(nets, Network):
            raise TypeError(f"nets is {nets!r}; pass a list of networks: Ensemble([net])")
        self.nets = tuple(nets)
        if not self.nets:
            raise ValueError(
                "an ensemble needs one network or more, but the list is empty: pass "
                "Ensemble([net]), or more networks"
            )
        if strange := [net for net in self.nets if not isinstance(net, Network)]:
            raise TypeError(
                f"an ensemble is made of networks, not of {strange[0]!r}: load those of files first"
            )
        sizes = sorted({(net.n_in, net.n_out) for net in self.nets})
        if len(sizes) != 1:
            found = " and ".join(f"{n_in} -> {n_out}" for n_in, n_out in sizes)
            raise ValueError(
                "an ensemble needs networks of equal numbers of inputs and outputs, "
                f"but there are {found}: leave out those that differ"
            )
        self.n_in, self.n_out = sizes[0]
        self.dtype = np.result_type(*(net.dtype for net in self.nets))

    def predict_proba(self, images: ArrayLike) -> Array:
        """Return the mean probability of each label, (n, n_out), for rows of images (n, n_in).

        Raises ValueError unless the outputs of all networks are sigmoid or softmax.
        """
        return gathered(self, _columns(self, images).T)[1].T

    def predict(self, images: ArrayLike) -> NDArray[np.intp]:
        """Return the label of the largest mean probability for rows of images (n, n_in).

        Raises ValueError as `predict_proba`.
        """
        labels: NDArray[np.intp] = gathered(self, _columns(self, images).T)[1].argmax(axis=0)
        return labels

    def vote(self, images: ArrayLike) -> NDArray[np.intp]:
        """Return the label that most networks predict for rows (n, n_in): see `plurality`."""
        x = _columns(self, images)
        return plurality(np.stack([gathered(net, x.T)[1].argmax(axis=0) for net in self.nets]))

    # The interface of `nndl.inference.Classifier`.

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of all networks."""
        return tuple(layer for net in self.nets for layer in net.layers)

    @property
    def biases(self) -> tuple[Array, ...]:
        """The biases of all networks."""
        return tuple(b for net in self.nets for b in net.biases)

    @property
    def output(self) -> type[_Softmax]:
        """Stands for a last layer of softmax neurons, whose outputs are the mean probabilities."""
        return _Softmax

    def outputs(self, x: Array) -> tuple[Array, Array]:
        """Return z and a = softmax(z), the mean probabilities, (n_out, m), for columns x."""
        a = np.zeros((self.n_out, x.shape[1]), self.dtype)
        for net in self.nets:
            z, _ = net.outputs(x.astype(net.dtype, copy=False))
            activation = net.output.activation
            if type(activation).probabilities is Activation.probabilities:
                raise ValueError(
                    f"{activation} outputs are not probabilities: use vote, which needs none"
                )
            a += activation.probabilities(z)
        a /= len(self.nets)
        return np.log(np.maximum(a, np.finfo(self.dtype).tiny)), a

    def __len__(self) -> int:
        return len(self.nets)

    def __repr__(self) -> str:
        return f"Ensemble({len(self)} networks, {self.n_in} -> {self.n_out})"


class _Softmax:
    activation = softmax


def _columns(net: Network | Ensemble, images: ArrayLike) -> Array:
    """Return rows of images as columns; to be called by a public function.

    A warning about raw pixels then points to the line that called that function.
    """
    return validation.rows_as_columns(images, net.n_in, net.dtype)


def plurality(labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the most frequent label of each column, (n,), for the labels of k voters, (k, n).

    Of labels that are equally frequent, the one that an earlier voter chose wins.

    Examples
    --------
    >>> import numpy as np
    >>> from nndl.ensemble import plurality
    >>> plurality(np.array([[7, 7, 1], [9, 9, 2], [9, 7, 3]]))
    array([9, 7, 1])
    """
    votes = np.stack([(labels == voter).sum(axis=0) for voter in labels])
    winners: NDArray[np.intp] = labels[votes.argmax(axis=0), np.arange(labels.shape[1])]
    return winners


def shifted_proba(
    net: Network | Ensemble,
    images: ArrayLike,
    pixels: int = 1,
    shape: tuple[int, ...] | None = None,
) -> Array:
    """Return the mean probability of each label, (n, n_out), over five positions of each image.

    The positions are those of the book's expanded training set (chapter 3): the image as it is,
    and shifted up, down, left and right. Zeros come in from outside.

    Parameters
    ----------
    net : Network or Ensemble
    images : array_like, shape (n, n_in)
        As for `Network.predict_proba`.
    pixels : int
        The length of a shift.
    shape : tuple of int, optional
        (height, width) or (maps, height, width) of an image; by default the network's input_shape,
        and square images for a network of a number of inputs.

    Raises
    ------
    ValueError
        If the images do not fit the network, are not square and shape is missing, if pixels is
        below 1, or the outputs are not probabilities.

    Examples
    --------
    >>> from nndl import Network, shifted_proba, synthetic_digits
    >>> images = synthetic_digits(20, 0).images
    >>> shifted_proba(Network([784, 10], rng=0), images).shape
    (20, 10)
    """
    validation.check(pixels=pixels)
    rows = _columns(net, images).T
    inputs = (net.nets[0] if isinstance(net, Ensemble) else net).input_shape
    shape = inputs if shape is None and len(inputs) > 1 else shape
    total = np.zeros((len(rows), net.n_out), net.dtype)
    for dx, dy in POSITIONS:
        for some, z, a in infer(net, shift(rows, pixels * dx, pixels * dy, shape)):
            mean = isinstance(net, Ensemble)  # its outputs are probabilities
            total[some] += (a if mean else net.output.activation.probabilities(z)).T
    return total / len(POSITIONS)
