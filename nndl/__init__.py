"""The networks of Michael Nielsen's book 'Neural Networks and Deep Learning', on NumPy.

The public names are imported when they are first used: importing NumPy and SciPy takes half a
second, and the command line must be able to handle Ctrl-C before that.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # without the import of typing, which takes longer than all of this
if TYPE_CHECKING:
    from typing import Any

    from nndl.activations import (
        LeakyReLU,
        identity,
        leaky_relu,
        relu,
        scaled_tanh,
        sigmoid,
        softmax,
        tanh,
    )
    from nndl.conv import Conv, MaxPool
    from nndl.costs import cross_entropy, log_likelihood, quadratic
    from nndl.data import Dataset, load_data, load_folder, load_mnist, synthetic_digits
    from nndl.differences import gradient_check
    from nndl.ensemble import Ensemble, shifted_proba
    from nndl.estimator import NetworkClassifier as NetworkClassifier
    from nndl.layers import Dense, Dropout
    from nndl.network import Network
    from nndl.normalization import BatchNorm, fold
    from nndl.storage import load, save
    from nndl.training import History, Settings
    from nndl.training.metrics import accuracy, confusion_matrix, evaluate
    from nndl.training.train import TrainingInterrupted, train
    from nndl.validation import DivergedError

__version__ = "0.2.0.dev0"

__all__ = [
    "BatchNorm",
    "Conv",
    "Dataset",
    "Dense",
    "DivergedError",
    "Dropout",
    "Ensemble",
    "History",
    "LeakyReLU",
    "MaxPool",
    "Network",
    "Settings",
    "TrainingInterrupted",
    "accuracy",
    "confusion_matrix",
    "cross_entropy",
    "evaluate",
    "fold",
    "gradient_check",
    "identity",
    "leaky_relu",
    "load",
    "load_data",
    "load_folder",
    "load_mnist",
    "log_likelihood",
    "quadratic",
    "relu",
    "save",
    "scaled_tanh",
    "shifted_proba",
    "sigmoid",
    "softmax",
    "synthetic_digits",
    "tanh",
    "train",
]

_MODULES = {
    "nndl.activations": "LeakyReLU identity leaky_relu relu scaled_tanh sigmoid softmax tanh",
    "nndl.conv": "Conv MaxPool",
    "nndl.costs": "cross_entropy log_likelihood quadratic",
    "nndl.data": "Dataset load_data load_folder load_mnist synthetic_digits",
    "nndl.differences": "gradient_check",
    "nndl.ensemble": "Ensemble shifted_proba",
    "nndl.estimator": "NetworkClassifier",  # not in __all__: it needs scikit-learn
    "nndl.layers": "Dense Dropout",
    "nndl.network": "Network",
    "nndl.normalization": "BatchNorm fold",
    "nndl.storage": "load save",
    "nndl.training": "History Settings",
    "nndl.training.metrics": "accuracy confusion_matrix evaluate",
    "nndl.training.train": "TrainingInterrupted train",
    "nndl.validation": "DivergedError",
}

if not TYPE_CHECKING:  # a type checker reads the imports above

    def __getattr__(name: str) -> Any:
        for module, names in _MODULES.items():
            if name in names.split():
                globals()[name] = getattr(import_module(module), name)
                return globals()[name]
        try:
            return import_module(f"nndl.{name}")  # nndl.data without another import
        except ModuleNotFoundError as error:
            if error.name != f"nndl.{name}":  # a module that this one needs is missing
                raise
            raise AttributeError(f"module 'nndl' has no attribute {name!r}") from None

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
