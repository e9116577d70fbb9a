"""The weights of a network's first layer, epoch by epoch, in 8 bits.

The page of `nndl page` shows with them how the weights took shape. The file has a byte for each
weight and epoch, and is written anew after every epoch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nndl.network import Network
from nndl.storage.archive import opened, write
from nndl.storage.schema import check

__all__ = ["keep_weights", "load_weights_by_epoch"]

FORMAT = "nndl weights by epoch"
MOST = 2**20  # of epochs, neurons and inputs
KEYS: dict[str, Any] = {
    "format": frozenset({FORMAT}),
    "version": range(1, 2),
    "neurons": range(1, MOST),
    "inputs": range(1, MOST),
    "largest": [float, MOST],  # of the absolute weights of each entry, which is stored as 127
}

Levels = NDArray[np.int8]


def keep_weights(path: str | Path, net: Network, epochs: int) -> None:
    """Add the first layer's weights after ``epochs`` epochs to a file; 0 starts a new one.

    Entries of later epochs, as of a run that was interrupted and resumed, are replaced.

    Parameters
    ----------
    path : str or Path
        Ending in .npz.
    net : Network
    epochs : int
        The number of epochs that the network has been trained for.

    Raises
    ------
    ValueError
        If the file has no entry for each earlier epoch, or belongs to another network.
    OSError
        If the file cannot be read or written.
    """
    w = net.decaying[0]  # not those of a BatchNorm below
    neurons, inputs = w.shape
    levels: Levels
    levels, largest = np.zeros((0, neurons, inputs), np.int8), list[float]()
    if epochs:
        levels, largest = _read(path)
        if len(largest) < epochs or levels.shape[1:] != w.shape:
            raise ValueError(
                f"{path} has {len(largest)} entries of {levels.shape[1]} x {levels.shape[2]} "
                f"weights, and entry {epochs} of {neurons} x {inputs} cannot follow: put the file "
                "of this run back, or start another run"
            )
    most = float(np.abs(w).max())
    entry = np.rint(w * (127 / most if most else 0)).astype(np.int8)
    levels = np.concatenate([levels[:epochs], entry[None]])
    description = {
        "format": FORMAT,
        "version": 1,
        "neurons": neurons,
        "inputs": inputs,
        "largest": [*largest[:epochs], most],
    }
    arrays: dict[str, Any] = {"levels": levels.reshape(-1, inputs)}
    write(path, description, arrays)


def load_weights_by_epoch(path: str | Path) -> NDArray[np.float32]:
    """Return the weights before training and after each epoch, (epochs + 1, n_out, n_in).

    Each is exact to 1/254 of the largest weight of its epoch.

    Raises
    ------
    ValueError
        If the file holds something else.
    OSError
        If the file cannot be read.
    """
    levels, largest = _read(path)
    scales = np.array(largest, np.float32) / 127
    return np.multiply(levels, scales[:, None, None], dtype=np.float32)


def _read(path: str | Path) -> tuple[Levels, list[float]]:
    with opened(path) as (content, stored):
        check(content, KEYS, "its description")
        if stored.keys() != {"levels"}:
            raise ValueError(f"it must hold the array levels, not {sorted(stored)}")
        largest, neurons, inputs = (content[key] for key in ("largest", "neurons", "inputs"))
        levels = stored["levels"]((len(largest) * neurons, inputs), np.dtype(np.int8))
    return levels.reshape(len(largest), neurons, inputs).astype(np.int8), largest
