"""Training a network: `train`, its `Settings` and `History`, and the metrics."""

from nndl.training.history import History
from nndl.training.metrics import accuracy, confusion_matrix, evaluate
from nndl.training.settings import Settings
from nndl.training.train import State, TrainingInterrupted, train

__all__ = [
    "History",
    "Settings",
    "State",
    "TrainingInterrupted",
    "accuracy",
    "confusion_matrix",
    "evaluate",
    "train",
]
