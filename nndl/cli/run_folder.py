"""A run's folder: the files that `nndl train` writes and the other commands read.

config.json      every setting of the run, its data and its environment
history.json     the History, epoch by epoch
network.npz      the trained network
curves.png       accuracy and cost by epoch
mistakes.png     the most confident mistakes
checkpoint.npz   all that is needed to resume the run or to extend it
weights_by_epoch.npz  with --keep-weights: the weights of the first layer, for `nndl page`
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nndl.cli.config import Config
from nndl.cli.errors import UsageError
from nndl.cli.options import program_name
from nndl.data.load import NAMES
from nndl.files import LONGEST_PATH, read_regular, write_text
from nndl.network import Network
from nndl.storage import load, load_history
from nndl.storage.schema import check, loads
from nndl.text import printable
from nndl.training import History

__all__ = ["WRITTEN", "Recorded", "RunFolder", "file_name", "free_name", "refuse_to_replace"]

WRITTEN = (
    "config.json",
    "history.json",
    "network.npz",
    "curves.png",
    "mistakes.png",
    "checkpoint.npz",
    "weights_by_epoch.npz",
)
EVALUATED = ("confusion.png", "weights.png")  # by `nndl evaluate`
LARGEST_CONFIG = 2**20  # bytes
FIVEFOLD = ", shifted fivefold"  # in the names of expanded sets


@dataclass(frozen=True)
class Recorded:
    """What config.json says about a run: its settings, and the name of its training set."""

    config: Config
    training: str

    @property
    def data(self) -> str:
        """The name of the data: "MNIST" for a run on "MNIST training, shifted fivefold"."""
        return self.training.removesuffix(FIVEFOLD).removesuffix(" training")

    @property
    def source(self) -> str:
        """What `load_data` takes for this data, with "mnist" or "synthetic" for "auto"."""
        if self.config.data != "auto":
            return self.config.data
        return {"MNIST": "mnist", "synthetic digits": "synthetic"}.get(self.data, "auto")


@dataclass(frozen=True)
class RunFolder:
    """The paths in a run's folder, and how to read them.

    Raises
    ------
    ValueError
        From the readers: the folder holds no run, or a file in it has the wrong content.
    """

    path: Path

    def __str__(self) -> str:
        return printable(self.path, LONGEST_PATH)

    @property
    def config_path(self) -> Path:
        """The file with every setting."""
        return self.path / "config.json"

    @property
    def history_path(self) -> Path:
        """The file with the History."""
        return self.path / "history.json"

    @property
    def network_path(self) -> Path:
        """The file with the trained network."""
        return self.path / "network.npz"

    @property
    def checkpoint_path(self) -> Path:
        """The file with the checkpoint."""
        return self.path / "checkpoint.npz"

    @property
    def weights_path(self) -> Path:
        """The file with the first layer's weights by epoch, if the run keeps them."""
        return self.path / "weights_by_epoch.npz"

    @property
    def curves_path(self) -> Path:
        """The picture of the learning curves."""
        return self.path / "curves.png"

    @property
    def mistakes_path(self) -> Path:
        """The picture of the most confident mistakes."""
        return self.path / "mistakes.png"

    @property
    def taken(self) -> list[str]:
        """The names in the folder that a run would write to."""
        return [name for name in WRITTEN if (self.path / name).exists()]

    def write_config(self, config: Config, training: str, **about: Any) -> None:
        """Write the settings of the run, the name of its training set, and more about it."""
        record = {"settings": config.record(), "data": training, **about}
        write_text(self.config_path, json.dumps(record, indent=1) + "\n")

    def recorded(self) -> Recorded:
        """Return what config.json says."""
        self._need(self.config_path)
        try:
            record = loads(read_regular(self.config_path, LARGEST_CONFIG))
            check(record, dict, "the content")
            check(record.get("data"), str, "data")
            check(record.get("settings"), dict, "settings")
            return Recorded(Config.from_record(record["settings"]), record["data"])
        except ValueError as error:  # also of the encoding and of the JSON
            raise ValueError(
                f"{self.config_path} is not a valid config.json of a run: {error}; put the "
                "original back, or train again"
            ) from None

    def source(self) -> str:
        """Return what `load_data` takes for the data; FileNotFoundError if it has moved."""
        source = self.recorded().source
        if source not in NAMES and not Path(source).exists():
            raise FileNotFoundError(
                f"the data of the run in {self} is no longer at {printable(source, LONGEST_PATH)}: "
                "give it by --data"
            )
        return source

    def history(self) -> History:
        """Return the History of the run."""
        self._need(self.history_path)
        return load_history(self.history_path)

    def network(self) -> Network:
        """Return the trained network."""
        self._need(self.network_path)
        return load(self.network_path)

    def finished(self, config: Config) -> bool:
        """Return whether the run was trained to its end with these settings."""
        if not (self.network_path.is_file() and self.history_path.is_file()):
            return False
        history = self.history()
        wanted = config.settings().record()
        return (
            history.ended not in ("", "interrupted")
            and "diverged" not in history.ended
            and all(wanted.get(name, value) == value for name, value in history.settings.items())
        )

    def _need(self, path: Path) -> None:
        if path.exists():
            return
        train = program_name("train")
        if self.checkpoint_path.exists() and path == self.config_path:
            raise ValueError(
                f"the run in {self} has lost its {path.name}: put it back, or train again"
            )
        if self.checkpoint_path.exists():
            raise ValueError(
                f"the run in {self} is unfinished and has no {path.name} yet: resume it "
                f"with {train} --resume {self}"
            )
        found = "is not a folder"
        if self.path.is_dir():
            names = sorted(entry.name for entry in self.path.iterdir())
            found = f"holds {', '.join(names[:9])}" if names else "is empty"
        raise ValueError(
            f"{self} must be the folder of a run, with a {path.name}, but {found}; {train} "
            "prints the folder of each run"
        )


def refuse_to_replace(out: Path) -> None:
    """Raise UsageError if ``out`` is a file of a run."""
    if out.name in (*WRITTEN, *EVALUATED) and RunFolder(out.parent).config_path.exists():
        raise UsageError(f"{out} belongs to the run in that folder: give another --out")


def free_name(folder: Path, name: str) -> Path:
    """Return folder/name, or folder/name-2, -3, ... if that exists; see `file_name`."""
    name = file_name(name)
    path, i = folder / name, 1
    while path.exists():
        i += 1
        path = folder / f"{name}-{i}"
    return path


def file_name(name: str) -> str:
    """Return a name as the name of a file: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.-]+", "-", name)[:80]
