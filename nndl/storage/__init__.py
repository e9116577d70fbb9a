"""Networks, checkpoints and histories on disk."""

from nndl.storage.checkpoints import Checkpoints, load_checkpoint, read_about, save_checkpoint
from nndl.storage.histories import load_history, save_history
from nndl.storage.networks import load, load_network2, save, save_network2

__all__ = [
    "Checkpoints",
    "load",
    "load_checkpoint",
    "load_history",
    "load_network2",
    "read_about",
    "save",
    "save_checkpoint",
    "save_history",
    "save_network2",
]
