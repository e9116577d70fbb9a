"""A run's folder: what `train_mnist.py` writes, and the other scripts read.

config.json      every setting of the run, its data and where it ran
history.json     the History, epoch by epoch
network.npz      the trained network
curves.png       accuracy and cost by epoch
mistakes.png     the most confident mistakes
checkpoint.npz   while the run is unfinished: all it needs to go on
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nndl.files import write_text
from nndl.network import Network
from nndl.storage import load, load_history
from nndl.storage.schema import check
from nndl.training import History

__all__ = ["WRITTEN", "RunFolder", "free_name"]

WRITTEN = (
    "config.json",
    "history.json",
    "network.npz",
    "curves.png",
    "mistakes.png",
    "checkpoint.npz",
)


@dataclass(frozen=True)
class RunFolder:
    """The paths in a run's folder, and how to read them.

    Raises
    ------
    ValueError
        From the readers: the folder holds no run, or a file in it is not what it should be.
    """

    path: Path

    @property
    def config_path(self) -> Path:
        """Where every setting is written."""
        return self.path / "config.json"

    @property
    def history_path(self) -> Path:
        """Where the History is written."""
        return self.path / "history.json"

    @property
    def network_path(self) -> Path:
        """Where the trained network is written."""
        return self.path / "network.npz"

    @property
    def taken(self) -> list[str]:
        """What is there of the files that a run writes."""
        return [name for name in WRITTEN if (self.path / name).exists()]

    @property
    def checkpoint_path(self) -> Path:
        """Where an unfinished run has its checkpoint."""
        return self.path / "checkpoint.npz"

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the settings of the run as JSON."""
        write_text(self.config_path, json.dumps(config, indent=1) + "\n")

    def config(self) -> dict[str, Any]:
        """Return the settings of the run."""
        self._need(self.config_path)
        try:
            config = json.loads(self.config_path.read_text(encoding="utf-8"))
            check(config, dict, "it")
            check(config.get("data"), str, "data")
            check(config.get("settings"), dict, "settings")
        except ValueError as error:  # of the encoding and of the JSON too
            raise ValueError(
                f"{self.config_path} is not the config.json of a run: {error}; train again"
            ) from None
        return cast("dict[str, Any]", config)

    def history(self) -> History:
        """Return the History of the run."""
        self._need(self.history_path)
        return load_history(self.history_path)

    def network(self) -> Network:
        """Return the trained network."""
        self._need(self.network_path)
        return load(self.network_path)

    def _need(self, path: Path) -> None:
        if not path.is_file():
            found = sorted(p.name for p in self.path.iterdir()) if self.path.is_dir() else None
            raise ValueError(
                f"{self.path} should be the folder of a run with {path.name} in it, but "
                + (f"holds {found or 'nothing'}" if found is not None else "is no folder")
                + (
                    f"; it is unfinished: go on with train_mnist.py --resume {self.path}"
                    if self.checkpoint_path.exists()
                    else "; train_mnist.py prints the folder of each run"
                )
            )


def free_name(folder: Path, name: str) -> Path:
    """Return folder/name, or folder/name-2, -3, ... if a run of that name is there."""
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}"
    return path
