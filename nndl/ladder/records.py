"""The records of the ladder in results/ladder: JSON files, validated when they are read.

A record says which recipe it is of, as `described`: one of another recipe than today's is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from nndl.files import read_regular
from nndl.recipes import RECIPES
from nndl.storage.schema import check, loads
from nndl.training.environment import ENVIRONMENT

__all__ = ["Rung", "described", "load_ensemble", "load_rung", "load_tried"]

LARGEST = 2**20  # bytes of a file
FEW = 3  # fewer seeds have no spread

_DESCRIBED = {
    "recipe": str,
    "network": str,
    "settings": dict,
    "distortion": (str,),
    "plain": range(10**6),
    "images": range(1, 10**9),
}
_RUN = {
    **_DESCRIBED,
    "seed": range(2**31),
    "correct": range(10**9),
    "of": range(1, 10**9),
    "seconds": float,
    "epochs": range(1, 10**6),
    "flop": float,
    "environment": dict,
}
_ENSEMBLE = {
    **_DESCRIBED,
    "members": [range(2**31), 1000],
    "correct": range(10**9),
    "vote_correct": range(10**9),
    "shifted_correct": range(10**9),
    "of": range(1, 10**9),
    "member_correct": [range(10**9), 1000],
    "seconds": float,
    "environment": dict,
}
_TRIED = [{"what": str, "instead_of": str, "accuracy": float | str, "note": str}, 1000]


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
        """The standard deviation of the accuracy over seeds; None for fewer than three."""
        return stdev(self.accuracies) if len(self.runs) >= FEW else None

    @property
    def times(self) -> list[float]:
        """The core-seconds that training took, by seed."""
        return [run["seconds"] for run in self.runs]

    @property
    def seconds(self) -> float:
        """The median of the core-seconds."""
        return float(median(self.times))

    def __len__(self) -> int:
        return len(self.runs)


def described(name: str) -> dict[str, Any]:
    """Return what makes a recipe, as plain JSON."""
    recipe = RECIPES[name]
    return {
        "recipe": name,
        "network": repr(recipe.network(rng=0)),
        "settings": recipe.settings.record(),
        "distortion": None if recipe.distortion is None else repr(recipe.distortion),
        "plain": recipe.plain,
        "images": recipe.images,
    }


def load_rung(folder: Path, name: str, twin: bool = False) -> Rung | None:
    """Return the runs of a recipe in results/ladder, by seed, or of its twin; None without any.

    Raises
    ------
    ValueError
        If a file is not the record of a run, or of one with the recipe as it is now.
    """
    begin, runs = "torch-seed-" if twin else "seed-", []
    command = "python benchmarks/ladder_torch.py" if twin else "nndl ladder run"
    for path in (folder / name).glob(f"{begin}*.json"):
        run = _read(path, _RUN, name, f"run `{command} {name}` again")
        if path.name != f"{begin}{run['seed']}.json":
            raise ValueError(f"{path} is of seed {run['seed']}: rename it, or delete it")
        runs.append(run)
    return Rung(sorted(runs, key=lambda run: int(run["seed"]))) if runs else None


def load_ensemble(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the record of the ensemble of a recipe; None if there is none.

    Raises ValueError if the file is not such a record, or not of the recipe as it is now.
    """
    path = folder / f"ensemble-{name}.json"
    if not path.exists():
        return None
    advice = f"run `nndl ladder ensemble {name}` again"
    record: dict[str, Any] = _read(path, _ENSEMBLE, name, advice)
    members = record["members"]
    if not 0 < len(set(members)) == len(members) == len(record["member_correct"]):
        raise ValueError(f"{path} needs a result of each member: delete it and {advice}")
    return record


def load_tried(folder: Path) -> list[dict[str, Any]]:
    """Return what was tried and not used, as tried.json lists it; [] without that file.

    Raises ValueError if the file is not such a list.
    """
    path = folder / "tried.json"
    try:
        tried: list[dict[str, Any]] = _load(path, _TRIED) if path.exists() else []
    except ValueError as error:
        raise ValueError(f"{path} is not a list of what was tried ({error}): correct it") from None
    return tried


def _read(path: Path, schema: Any, name: str, advice: str) -> Any:
    """Return a record of a recipe as it is now."""
    try:
        record = _load(path, schema)
        known = {k: v for k, v in record["environment"].items() if k in ENVIRONMENT}
        check(known, ENVIRONMENT, "its environment")
        counts = [record["correct"], *record.get("member_correct", ())]
        if max(counts) > record["of"]:
            raise ValueError(f"{max(counts):,} of {record['of']:,} images are correct")
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError included
        raise ValueError(
            f"{path} is not a record of the ladder ({error}): delete it and {advice}"
        ) from None
    now, then = (r | r["settings"] for r in (described(name), record))
    del now["settings"]
    if changed := [f"{k} {then.get(k)}, not {v}" for k, v in now.items() if then.get(k) != v]:
        raise ValueError(
            f"{path} is not of the recipe as it is now ({'; '.join(changed)}): delete it and "
            f"{advice}"
        )
    return record


def _load(path: Path, schema: Any) -> Any:
    value = loads(read_regular(path, LARGEST), LARGEST)
    check(value, schema, "it")
    return value
