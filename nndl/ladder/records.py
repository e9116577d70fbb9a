"""The records of the ladder in results/ladder: JSON files, validated when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from nndl.files import read_regular
from nndl.recipes import RECIPES
from nndl.storage.schema import check, loads

__all__ = ["Rung", "load_ensemble", "load_rung", "load_tried"]

LARGEST = 2**20  # bytes of a file

_RUN = {
    "recipe": str,
    "seed": range(2**31),
    "correct": range(10**9),
    "of": range(1, 10**9),
    "seconds": float,
    "images": range(1, 10**9),
    "epochs": range(1, 10**6),
    "flop": float,
    "network": str,
    "settings": dict,
    "environment": dict,
}
_ENSEMBLE = {
    "recipe": str,
    "members": [range(2**31), 1000],
    "correct": range(10**9),
    "vote_correct": range(10**9),
    "shifted_correct": range(10**9),
    "of": range(1, 10**9),
    "member_correct": [range(10**9), 1000],
    "seconds": float,
    "environment": dict,
}
_TRIED = [{"what": str, "instead_of": str, "validation": float | str, "note": str}, 1000]


@dataclass(frozen=True)
class Rung:
    """The runs of a recipe, or of its PyTorch twin, one or more.

    Attributes
    ----------
    accuracies : list of float
        In percent of the test images, by seed.
    """

    runs: list[dict[str, Any]]

    @property
    def accuracies(self) -> list[float]:
        return [100 * run["correct"] / run["of"] for run in self.runs]

    @property
    def mean(self) -> float:
        """The mean accuracy, in percent."""
        return mean(self.accuracies)

    @property
    def sd(self) -> float | None:
        """The standard deviation of the accuracy over seeds; None for one seed."""
        return stdev(self.accuracies) if len(self.runs) > 1 else None

    @property
    def seconds(self) -> float:
        """The median of the core-seconds that training took."""
        return float(median(run["seconds"] for run in self.runs))

    def __len__(self) -> int:
        return len(self.runs)


def load_rung(folder: Path, name: str, twin: bool = False) -> Rung | None:
    """Return the runs of a recipe in results/ladder, by seed, or of its twin; None without any.

    Raises
    ------
    ValueError
        If a file is not the record of a run, or of one with the recipe as it is now.
    """
    begin = "torch-seed-" if twin else "seed-"
    paths = sorted((folder / name).glob(f"{begin}*.json"))
    runs = [_read(path, _RUN, "run the recipe again") for path in paths]
    recipe = RECIPES[name]
    now = {"recipe": name, "images": recipe.images, "network": repr(recipe.network(rng=0))}
    now |= recipe.settings.record()
    for path, run in zip(paths, runs, strict=True):
        then = run["settings"] | {key: run[key] for key in ("recipe", "images", "network")}
        changed = [f"{k} {then[k]}, not {v}" for k, v in now.items() if k in then and then[k] != v]
        if changed:
            raise ValueError(
                f"{path} is not of the recipe as it is now ({'; '.join(changed)}): delete it, and "
                f"run nndl ladder run {name} again"
            )
    return Rung(sorted(runs, key=lambda run: int(run["seed"]))) if runs else None


def load_ensemble(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the record of the ensemble of a recipe; None if there is none.

    Raises ValueError if the file is not such a record.
    """
    path = folder / f"ensemble-{name}.json"
    if not path.exists():
        return None
    record: dict[str, Any] = _read(path, _ENSEMBLE, "measure it again")
    return record


def load_tried(folder: Path) -> list[dict[str, Any]]:
    """Return what was tried and not used, as tried.json lists it; [] without that file.

    Raises ValueError if the file is not such a list.
    """
    path = folder / "tried.json"
    tried: list[dict[str, Any]] = _read(path, _TRIED, "correct it") if path.exists() else []
    return tried


def _read(path: Path, schema: Any, advice: str) -> Any:
    try:
        record = loads(read_regular(path, LARGEST), LARGEST)
        check(record, schema, "it")
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError included
        advice = advice if advice == "correct it" else f"delete it and {advice}"
        raise ValueError(f"{path} is not a record of the ladder ({error}): {advice}") from None
    return record
