"""The networks of Michael Nielsen's book 'Neural Networks and Deep Learning', on NumPy."""

from nndl.activations import identity, relu, scaled_tanh, sigmoid, softmax, tanh
from nndl.conv import Conv, MaxPool
from nndl.costs import cross_entropy, log_likelihood, quadratic
from nndl.data import Dataset, load_data, load_folder, load_mnist, synthetic_digits
from nndl.gradient_check import gradient_check
from nndl.layers import Dense, Dropout
from nndl.network import Network
from nndl.training import History, Settings, train
from nndl.training.metrics import accuracy, confusion_matrix, evaluate
from nndl.validation import DivergedError

__version__ = "0.1.0"

__all__ = [
    "Conv",
    "Dataset",
    "Dense",
    "DivergedError",
    "Dropout",
    "History",
    "MaxPool",
    "Network",
    "Settings",
    "accuracy",
    "confusion_matrix",
    "cross_entropy",
    "evaluate",
    "gradient_check",
    "identity",
    "load_data",
    "load_folder",
    "load_mnist",
    "log_likelihood",
    "quadratic",
    "relu",
    "scaled_tanh",
    "sigmoid",
    "softmax",
    "synthetic_digits",
    "tanh",
    "train",
]
