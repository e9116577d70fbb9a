"""The races: for each network, its contestants and what one round is.

Left out: TensorFlow (600 MB to install, and compiled by XLA as JAX is), tinygrad (its CPU backend
generates loops instead of calling a BLAS), numba (an epoch of the book's network compiled as loops
ran at 0.94 and 0.66 of nndl's speed with 30 and 100 hidden neurons), and mlpack, dlib, FANN and
OpenCV (their Python packages have no gradient descent by mini-batches).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

from contestants.task import Contestant, Convolution, Task

__all__ = ["RACES", "Entry", "Race"]


@dataclass(frozen=True)
class Entry:
    """A contestant: a function of a module of `contestants`.

    Parameters
    ----------
    name : str
        As in the tables. The entry named "nndl" is the one that others are compared with.
    function : str
        "module.function", imported only in the process that runs it.
    options : dict, optional
        Keyword arguments of the function.
    library : str
        The distribution that must be installed, if any.
    many_threads : bool
        Whether the contestant can use more than one thread.
    """

    name: str
    function: str
    options: dict[str, Any] | None = None
    library: str = ""
    many_threads: bool = False

    def load(self) -> Callable[[Task], Contestant]:
        """Import the module and return the function."""
        module, _, name = self.function.partition(".")
        function: Callable[..., Contestant] = getattr(import_module(f"contestants.{module}"), name)
        return partial(function, **(self.options or {}))


@dataclass(frozen=True)
class Race:
    """A network, and the contestants that train it or run it."""

    title: str
    task: Task
    entries: tuple[Entry, ...]
    inference: bool = False  # a round is the 10,000 test images instead of the training images


NNDL = Entry("nndl", "with_nndl.train")
TORCH = Entry("PyTorch, nn and autograd", "with_torch.train", library="torch", many_threads=True)
JAX = Entry("JAX, jitted scan", "with_jax.train", library="jax", many_threads=True)
HALF = {"mu": 0.5}

CHAPTER_1 = (
    Entry("the two large products alone", "with_numpy.products_only"),
    NNDL,
    Entry("nndl, uint8 pixels", "with_nndl.train", {"raw": True}),
    Entry("nndl, L2", "with_nndl.train", {"lmbda": 5.0}),
    Entry("nndl, L1", "with_nndl.train", {"lmbda_l1": 5.0}),
    Entry("nndl, momentum", "with_nndl.train", HALF),
    JAX,
    Entry("JAX, jitted scan, momentum", "with_jax.train", HALF, "jax", many_threads=True),
    Entry("NumPy, matrix form", "with_numpy.matrix_form"),
    Entry("PyTorch, by hand, in place", "with_torch.by_hand", library="torch", many_threads=True),
    TORCH,
    Entry("PyTorch, nn, momentum", "with_torch.train", HALF, "torch", many_threads=True),
    Entry("scikit-learn, MLPClassifier", "with_sklearn.train", library="scikit-learn"),
    Entry("the book's loop over examples", "with_numpy.book_loop"),
)
SHARED = Entry("nndl", "with_nndl.train", many_threads=True)
WIDE = (SHARED, TORCH, JAX)
LAST = {"channels_last": True}
CONV = (
    SHARED,
    Entry("PyTorch, channels_last", "with_torch.train", LAST, "torch", many_threads=True),
    Entry("PyTorch", "with_torch.train", library="torch", many_threads=True),
)
INFER = (
    Entry("nndl", "with_nndl.infer", many_threads=True),
    Entry("PyTorch, channels_last", "with_torch.infer", LAST, "torch", many_threads=True),
    Entry("PyTorch", "with_torch.infer", library="torch", many_threads=True),
)

CHAPTER_6 = Task(
    convolutions=(Convolution(20, 5, 2), Convolution(40, 5, 2)), neurons=(100, 10), images=3000
)
DEEP = Task(
    convolutions=(
        Convolution(32, 3, 1),
        Convolution(32, 3, 2),
        Convolution(64, 3, 1),
        Convolution(64, 3, 2),
    ),
    neurons=(256, 10),
    images=1000,
)


def _at(task: Task, batch: int) -> Task:
    """Return the task with another mini-batch size; eta grows by the square root of the ratio."""
    return replace(task, batch=batch, eta=task.eta * (batch / task.batch) ** 0.5)


def _book(hidden: int) -> Race:
    task = Task(neurons=(hidden, 10), book=True, eta=3.0)
    return Race(f"[784, {hidden}, 10], sigmoid, mini-batch 10", task, CHAPTER_1)


WIDE_TASK = Task(neurons=(1000, 1000, 10), mu=0.9, images=5000)

RACES: dict[str, Race] = {
    "dense-30": _book(30),
    "dense-100": _book(100),
    "wide-10": Race("[784, 1000, 1000, 10], momentum, mini-batch 10", WIDE_TASK, WIDE),
    "wide-100": Race("[784, 1000, 1000, 10], momentum, mini-batch 100", _at(WIDE_TASK, 100), WIDE),
    "conv-10": Race("conv 20 and 40 (5x5), 100, 10; mini-batch 10", CHAPTER_6, CONV),
    "conv-100": Race("conv 20 and 40 (5x5), 100, 10; mini-batch 100", _at(CHAPTER_6, 100), CONV),
    "conv-inference": Race("conv 20 and 40: 10,000 images", CHAPTER_6, INFER, inference=True),
    "deep-10": Race("conv 32, 32, 64, 64 (3x3), 256, 10; mini-batch 10", DEEP, CONV),
    "deep-100": Race("conv 32, 32, 64, 64 (3x3), 256, 10; mini-batch 100", _at(DEEP, 100), CONV),
    "deep-inference": Race("conv 32, 32, 64, 64: 10,000 images", DEEP, INFER, inference=True),
}
