"""What others reached on MNIST's test set: marks beside the ladder, most without a time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MARKS", "Mark"]


@dataclass(frozen=True)
class Mark:
    """A published accuracy in percent, with its standard deviation over n runs if it has one."""

    label: str
    accuracy: float
    source: str
    sd: float | None = None
    n: int | None = None
    book: bool = False


_BOOK = "[Nielsen, chapter 6](http://neuralnetworksanddeeplearning.com/chap6.html)"
_DEOTTE = "[Deotte](https://github.com/cdeotte/MNIST-CNN-99.75)"
_DOUCET = "[Doucet](https://github.com/ttdoucet/mnist)"
_ONE_EPOCH = "[tuomaso](https://github.com/tuomaso/train_mnist_fast)"
_MATUZAS = "[Matuzas](https://github.com/Matuzas77/MNIST-0.17)"

MARKS = (
    Mark("book: one network", 99.60, _BOOK, book=True),
    Mark("book: vote of five networks", 99.67, _BOOK, book=True),
    Mark("book: the record of its day", 99.79, f"Wan et al. 2013, named in {_BOOK}", book=True),
    Mark("dense, 3x1024, dropout, max-norm", 98.94, "Srivastava et al. 2014"),
    Mark("conv, one epoch", 99.04, _ONE_EPOCH, 0.07, 30),
    Mark("dense, 2x8192, dropout, max-norm", 99.05, "Srivastava et al. 2014"),
    Mark("dense, elastic distortions", 99.30, "Simard, Steinkraus and Platt 2003"),
    Mark("conv, distortions", 99.64, _DEOTTE, 0.05, 1500),
    Mark("dense, elastic, 12 million weights", 99.65, "Ciresan et al. 2010"),
    Mark("residual blocks, mild distortions", 99.74, _DOUCET, 0.03, 10),
    Mark("ensemble of 15", 99.745, _DEOTTE, 0.02, 100),
    Mark("conv, distortions, annealing", 99.75, _MATUZAS, 0.03, 20),
    Mark("ensemble", 99.82, _DOUCET),
)
