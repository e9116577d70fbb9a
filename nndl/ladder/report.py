"""results/LADDER.md: accuracy by core-seconds, rendered from the JSON files of the runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nndl.ladder.marks import MARKS
from nndl.ladder.records import Rung, load_ensemble, load_rung, load_tried
from nndl.recipes import RECIPES, Recipe
from nndl.training.environment import REVISIONS

__all__ = ["render"]

HEAD = """\
# Beyond the book: accuracy by core-seconds

How long must one core train to reach an accuracy on MNIST's test set? Each rung of this ladder is a
recipe, measured over seeds by `nndl ladder run NAME`; `nndl train --recipe NAME` trains it on the
50,000 training images. `nndl ladder report` generates this page and its picture from the JSON files
in `results/ladder`, one for each seed; a test fails if the page is stale. Accuracies are in percent
of the 10,000 test images.

![Test accuracy by core-seconds](figures/ladder.svg)
"""

NOTES = """\
## How it was measured

- Recipes are chosen on the validation set. The epochs of `conv-minutes` and the images of
  `fast-conv` were lowered for their budgets, the latter after two seeds had been measured.
  `conv-best` was also begun with 55 epochs, as many as its budget holds: seeds 0 and 5 reached
  99.67 and 99.62 on the test set; with 30 epochs they reach 99.71 and 99.66. The other eight were
  not run with 55, and the recipe stayed as the validation set had chosen it.
  The final runs train on as many images as the row says: 60,000 are training and validation set
  together. Each reads the test set once, at its end.
- [recipes.py](../nndl/recipes.py) has the settings of each recipe and the reason for it.
- **goal**: the mean accuracy aimed at, and the core-seconds of training that it may take.
- **images**: training images x epochs.
- **mean ± sd** is over n seeds. Seeds differ in initial weights, order of the images, distortions
  and dropout.
- **seconds**: the median over seeds of the CPU time of training, on one thread, with distortions
  and without measurements.
- **TFLOP**: of the products of all training steps, two for a multiplication and an addition. A
  layer has three products: for its outputs, for its gradient, and for the delta of the layer below,
  which the lowest layer does not need.
{pytorch}- Fifteen labels of the test set are known to be wrong: differences
  above 99.85 % are not meaningful.
"""

PYTORCH = """\
- **PyTorch**: the same recipe in PyTorch, on one thread, from the same initial weights, with the
  same images in the same order and the same distortions
  ([ladder_torch.py](../benchmarks/ladder_torch.py)). Only dropout is drawn by PyTorch.
"""

PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"
ENSEMBLE_GOAL, ENSEMBLE_SECONDS, TOGETHER = 99.79, 5 * 3600, 10


def render(results: Path) -> str:
    """Return the page for the results in a folder that holds ladder/.

    Recipes without results are listed as not yet run.
    """
    folder = results / "ladder"
    rungs = {name: rung for name in RECIPES if (rung := load_rung(folder, name))}
    twins = {name: twin for name in RECIPES if (twin := load_rung(folder, name, twin=True))}
    ensembles = {name: found for name in RECIPES if (found := load_ensemble(folder, name))}
    missing = [_missing(RECIPES[name]) for name in RECIPES if name not in rungs]
    if not any(len(record["members"]) >= TOGETHER for record in ensembles.values()):
        hours = ENSEMBLE_SECONDS // 3600
        missing.append(f"- ensemble of ten: {ENSEMBLE_GOAL:.2f} in {hours} core-hours")
    sections = [
        HEAD,
        _rungs(rungs, twins) if rungs else "",
        _ensembles(ensembles) if ensembles else "",
        _section("Not yet run", missing),
        _tried(load_tried(folder)),
        _others(),
        NOTES.format(pytorch=PYTORCH if twins else ""),
        _environments(rungs, twins) if rungs else "",
    ]
    return "\n".join(section for section in sections if section)


def _rungs(rungs: dict[str, Rung], twins: dict[str, Rung]) -> str:
    head = ["rung", "network", "goal", "reached", f"mean{PLUS_MINUS}sd", "n", "seconds"]
    head += ["TFLOP", "images", "hardware"]
    rows = [_rung(RECIPES[name], rung) for name, rung in rungs.items()]
    if twins:
        head += ["PyTorch", "n", "seconds"]
        for name, row in zip(rungs, rows, strict=True):
            row += _twin(twins.get(name))
    return _table("Rungs", head, rows)


def _twin(twin: Rung | None) -> list[str]:
    return [_spread(twin), str(len(twin)), _time(twin.seconds)] if twin else ["", "", ""]


def _rung(recipe: Recipe, rung: Rung) -> list[str]:
    run = rung.runs[0]
    return [
        f"{recipe.title} (`{recipe.name}`)",
        _layers(run["network"]),
        f"{_percent(recipe.goal)} in {_time(recipe.seconds)}",
        _reached(rung.mean, recipe.goal, rung.seconds, recipe.seconds),
        _spread(rung),
        str(len(rung)) + (f" of {recipe.n} planned" if len(rung) < recipe.n else ""),
        _time(rung.seconds),
        f"{run['flop'] / 1e12:.3g}",
        f"{run['images']:,} x {run['epochs']}",
        _hardware(rung),
    ]


def _layers(network: str) -> str:
    """Return the layers and the number of parameters of a printed Network."""
    found = re.fullmatch(r"Network\([\dx]+ - (.*), [\w-]+, ([\d,]+) parameters, \w+\)", network)
    return f"{found[1]}: {found[2]} parameters" if found else network


def _ensembles(ensembles: dict[str, dict[str, Any]]) -> str:
    head = "members|mean of the members|mean of probabilities|vote|with shifts|core-seconds|reached"
    rows = []
    for name, record in ensembles.items():
        of, members = record["of"], record["member_correct"]
        correct = [record[key] for key in ("correct", "vote_correct", "shifted_correct")]
        accuracy = 100 * record["correct"] / of
        rows.append(
            [
                f"{len(members)} of `{name}`",
                _percent(100 * sum(members) / len(members) / of, 3),
                *(_percent(100 * count / of) for count in correct),
                f"{record['seconds']:,.0f}",
                _reached(accuracy, ENSEMBLE_GOAL, record["seconds"], ENSEMBLE_SECONDS),
            ]
        )
    about = (
        f"The goal is {ENSEMBLE_GOAL} by the mean of probabilities, in "
        f"{ENSEMBLE_SECONDS // 3600} core-hours. The vote is the book's. With shifts, "
        "probabilities are averaged over five positions of each image as well.\n\n"
    )
    return _table("Ensembles", head.split("|"), rows, about)


def _missing(recipe: Recipe) -> str:
    goal = f"{_percent(recipe.goal)} in {_time(recipe.seconds)}, n {recipe.n}"
    return f"- {recipe.title} (`{recipe.name}`): {goal}"


def _tried(tried: list[dict[str, Any]]) -> str:
    if not tried:
        return ""
    about = "Accuracies are of the validation set.\n\n"
    rows = []
    for row in tried:
        value = row["validation"]
        shown = value if isinstance(value, str) else f"{_percent(value)} %"
        rows.append([row["what"], row["instead_of"], shown, row["note"]])
    head = ["what", "instead of", "validation", "note"]
    return _table("What was tried and not used", head, rows, about)


def _others() -> str:
    rows = [
        [
            m.label,
            f"{m.accuracy:g}" + (f"{PLUS_MINUS}{m.sd}" if m.sd else ""),
            str(m.n or ""),
            m.source,
        ]
        for m in MARKS
    ]
    about = "The marks of the picture; where n is empty, the source gives one number.\n\n"
    return _table("What others reached", ["what", "accuracy", "n", "source"], rows, about)


def _environments(rungs: dict[str, Rung], twins: dict[str, Rung]) -> str:
    counts: dict[str, int] = {}
    for rung in (*rungs.values(), *twins.values()):
        for e in (run["environment"] for run in rung.runs):
            torch = f", PyTorch {e['torch']}" if "torch" in e else ""
            line = (
                f"{e['cpu']}, {e['system']}, Python {e['python']}, NumPy {e['numpy']}, SciPy "
                f"{e['scipy']}, {', '.join(e['blas'])}{torch}, one thread; nndl {e['nndl']} at "
                f"revision {e['revision']}"
            )
            counts[line] = counts.get(line, 0) + 1
    lines = [f"- {n} run{'s' * (n > 1)}: {line}" for line, n in counts.items()]
    return _section("Environments", [*lines, "", REVISIONS] if lines else [])


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}\n", *lines, ""]) if lines else ""


def _table(title: str, head: list[str], rows: Iterable[list[str]], about: str = "") -> str:
    lines = [head, ["---"] * len(head), *rows]
    return f"## {title}\n\n{about}" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _reached(accuracy: float, goal: float, seconds: float, budget: float) -> str:
    """Return yes, or by how much a goal was missed."""
    missed = []
    if accuracy < goal - 1e-9:
        missed.append(f"{goal - accuracy:.3f} short")
    if seconds > budget:
        missed.append(f"{_time(seconds - budget)} over")
    return ", ".join(missed) or "yes"


def _percent(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}"


def _spread(rung: Rung) -> str:
    return _percent(rung.mean) + ("" if rung.sd is None else f"{PLUS_MINUS}{rung.sd:.2f}")


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _hardware(rung: Rung) -> str:
    return "; ".join(sorted({f"one core of {run['environment']['cpu']}" for run in rung.runs}))
