"""results/LADDER.md: accuracy by core-seconds, rendered from the JSON files of the runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import sqrt
from pathlib import Path
from statistics import mean
from typing import Any

from nndl.ladder.marks import MARKS
from nndl.ladder.records import Rung, load_ensemble, load_rung, load_tried
from nndl.recipes import RECIPES, Recipe
from nndl.training.environment import REVISIONS, in_words

__all__ = ["render"]

HEAD = """\
# Beyond the book: accuracy by core-seconds

How long must one core train to reach an accuracy on MNIST's test set? Each rung of this ladder is a
recipe, measured over seeds by `nndl ladder run NAME`. `nndl train --recipe NAME` trains its network
on the 50,000 training images, and so reaches a little less than a row that has 60,000.
`nndl ladder report` generates this page and its picture from the JSON files in `results/ladder`,
one for each seed; a test fails if the page is stale. Accuracies are in percent of the 10,000 test
images, and core-seconds are CPU time on one core.

![Test accuracy by core-seconds](figures/ladder.svg)

Bars are one standard deviation over seeds.
"""

NOTES = """\
## How it was measured

- Layers and settings were chosen on the validation set, in shorter runs. The number of epochs was
  set by the budget or by the time available; the table of what was tried names the one choice that
  the test set decided. The number of images of `fast-conv` was lowered to fit its budget after two
  seeds had been measured.
- 60,000 images are the training and validation set together. Each run reads the test set once, at
  its end.
- **goal**: the mean accuracy aimed at, and the core-seconds of training that it may take.
  **stretch**: a harder goal.
- **mean ± sd** is over n seeds, which differ in initial weights, order of the images, distortions
  and dropout; sd is the standard deviation, and left out below three seeds.
- **core-seconds**: the median over seeds of the CPU time of training on one thread, with
  distortions and without measurements; the minimum and maximum are in parentheses. Other jobs
  sometimes ran on the machine: the slowest run of a recipe took up to {slowest:.0f} % longer than
  the fastest.
- **TFLOP**: trillions of additions and multiplications in the matrix products of training. A
  layer has three products: for its outputs, for its gradient, and for the delta of the layer below,
  which the lowest layer does not need.
{pytorch}- Fifteen labels of the test set are known to be wrong: differences above 99.85 % mean
  nothing.
"""

PYTORCH = """\
- **PyTorch**: the same recipe in PyTorch, on one thread, from the same initial weights, with the
  same images in the same order and the same distortions
  ([ladder_torch.py](../benchmarks/ladder_torch.py)). Only dropout is drawn by PyTorch. Those runs
  were timed at other times than ours, so the seconds are only roughly comparable.
"""

ROUNDING = 1e-9
PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"
ENSEMBLE_GOAL, ENSEMBLE_STRETCH, ENSEMBLE_SECONDS, TOGETHER = 99.79, 99.82, 5 * 3600, 10


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
        _ensembles(ensembles, rungs) if ensembles else "",
        _section("What was missed", _missed(rungs, ensembles)),
        _section("Not yet run", missing),
        _recipes(rungs) if rungs else "",
        _tried(load_tried(folder)),
        _others(),
        NOTES.format(pytorch=PYTORCH if twins else "", slowest=_slowest(rungs)),
        _environments(rungs, twins, ensembles) if rungs else "",
    ]
    return "\n".join(section for section in sections if section)


def _rungs(rungs: dict[str, Rung], twins: dict[str, Rung]) -> str:
    head = ["rung", "goal", "reached", "stretch", f"mean{PLUS_MINUS}sd", "n", "core-seconds"]
    head += ["TFLOP", "images x epochs", "hardware"]
    rows = [_rung(RECIPES[name], rung) for name, rung in rungs.items()]
    if twins:
        head += ["PyTorch", "PyTorch n", "PyTorch core-seconds"]
        for name, row in zip(rungs, rows, strict=True):
            row += _twin(twins.get(name))
    return _table("Rungs", head, rows)


def _twin(twin: Rung | None) -> list[str]:
    return [_spread(twin), str(len(twin)), _time(twin.seconds)] if twin else ["", "", ""]


def _rung(recipe: Recipe, rung: Rung) -> list[str]:
    run, stretch = rung.runs[0], recipe.stretch
    return [
        f"{recipe.title} (`{recipe.name}`)",
        _goal(recipe.goal, recipe.seconds),
        _reached(rung.mean, recipe.goal, rung.seconds, recipe.seconds),
        f"{_goal(*stretch)}: {_reached(rung.mean, stretch[0], rung.seconds, stretch[1])}"
        if stretch
        else "",
        _spread(rung),
        str(len(rung)) + (f" of {recipe.n} planned" if len(rung) < recipe.n else ""),
        f"{_time(rung.seconds)} ({_number(min(rung.times))} to {_number(max(rung.times))})",
        f"{run['flop'] / 1e12:.3g}",
        f"{run['images']:,} x {run['epochs']}",
        _hardware(rung.runs),
    ]


def _recipes(rungs: dict[str, Rung]) -> str:
    rows = []
    for name, rung in rungs.items():
        run, recipe = rung.runs[0], RECIPES[name]
        distortion = (run["distortion"] or "").replace(", shape=None", "")
        if distortion and run["plain"]:
            distortion += f", without it for {_count(run['plain'], 'epoch')} at the end"
        network = _layers(run["network"])
        rows.append([f"`{name}`", network, _settings(run["settings"]), distortion, recipe.why])
    about = (
        "`Conv(8, 5x5, identity, pool 2)` is a convolution with 8 feature maps, filters of 5x5 "
        "and 2x2 max-pooling; `BatchNorm(relu)` normalizes its outputs and applies the "
        "activation. All end with the log-likelihood cost. Accuracies are of the validation "
        "set. [recipes.py](../nndl/recipes.py) is the table of recipes.\n\n"
    )
    return _table("Recipes", ["recipe", "network", "training", "distortion", "why"], rows, about)


def _settings(settings: dict[str, Any]) -> str:
    """Return the settings that a recipe changes, in words."""
    momentum = f"{'Nesterov momentum' if settings['nesterov'] else 'momentum'} {settings['mu']:g}"
    words = [
        f"mini-batches of {settings['mini_batch_size']}",
        f"eta {settings['eta']:g}, {settings['schedule']}",
    ]
    if settings["warmup"]:
        words.append(f"warm-up of {_count(settings['warmup'], 'epoch')}")
    words.append(momentum)
    for key, name in (
        ("lmbda", "lmbda"),
        ("label_smoothing", "label smoothing"),
        ("average", "average"),
    ):
        if settings[key]:
            words.append(f"{name} {settings[key]:g}")
    return ", ".join(words)


def _count(n: float, noun: str) -> str:
    return f"{n:g} {noun}{'s' * (n > 1)}"


def _layers(network: str) -> str:
    """Return the layers and the number of parameters of a printed Network."""
    found = re.fullmatch(r"Network\([\dx]+ - (.*), [\w-]+, ([\d,]+) parameters, \w+\)", network)
    return f"{found[1]}: {found[2]} parameters" if found else network


def _ensembles(ensembles: dict[str, dict[str, Any]], rungs: dict[str, Rung]) -> str:
    head = ["members", "mean of the members", "mean of probabilities", "vote", "with shifts"]
    head += ["core-seconds", "TFLOP", "reached", "stretch", "hardware"]
    rows = []
    for name, record in ensembles.items():
        of, members = record["of"], record["member_correct"]
        correct = [record[key] for key in ("correct", "vote_correct", "shifted_correct")]
        flop = rungs[name].runs[0]["flop"] * len(members) if name in rungs else None
        goals = (ENSEMBLE_GOAL, ENSEMBLE_STRETCH)
        reached = [
            _reached(100 * record["correct"] / of, goal, record["seconds"], ENSEMBLE_SECONDS)
            for goal in goals
        ]
        rows.append(
            [
                f"{len(members)} of `{name}`",
                _percent(_mean_of_members(record), 3),
                *(_percent(100 * count / of) for count in correct),
                f"{record['seconds']:,.0f}",
                f"{flop / 1e12:.3g}" if flop else "",
                reached[0],
                f"{ENSEMBLE_STRETCH}: {reached[1]}",
                _hardware([record]),
            ]
        )
    about = (
        f"The goal is {ENSEMBLE_GOAL} by the mean of probabilities, in "
        f"{ENSEMBLE_SECONDS // 3600} core-hours. The vote is the book's. With shifts, "
        "probabilities are averaged over five positions of each image as well. A row is one "
        "ensemble.\n\n"
    )
    return _table("Ensembles", head, rows, about)


def _mean_of_members(record: dict[str, Any]) -> float:
    accuracy: float = 100 * mean(record["member_correct"]) / record["of"]
    return accuracy


def _missed(rungs: dict[str, Rung], ensembles: dict[str, dict[str, Any]]) -> list[str]:
    """Return a line for each goal that was missed: by how much, and what was left to spend."""
    lines = []
    for name, rung in rungs.items():
        recipe = RECIPES[name]
        if rung.mean < recipe.goal - ROUNDING:
            short = recipe.goal - rung.mean
            errors = ""
            if rung.sd:
                errors = f", or {short / (rung.sd / sqrt(len(rung))):.1f} standard errors"
            lines.append(
                f"- `{name}`: {short:.3f} points below {_percent(recipe.goal)}{errors}, in "
                f"{100 * rung.seconds / recipe.seconds:.0f} % of the time that it may take"
            )
    for name, record in ensembles.items():
        accuracy = 100 * record["correct"] / record["of"]
        if accuracy < ENSEMBLE_GOAL - ROUNDING:
            lines.append(
                f"- ensemble of {len(record['members'])} `{name}`: {ENSEMBLE_GOAL - accuracy:.3f} "
                f"points below {ENSEMBLE_GOAL}, in "
                f"{100 * record['seconds'] / ENSEMBLE_SECONDS:.0f} % of the time; it is "
                f"{accuracy - _mean_of_members(record):.3f} above the mean of its members, where "
                "published ensembles are 0.08 to 0.10 above theirs"
            )
    return lines


def _missing(recipe: Recipe) -> str:
    goal = f"{_goal(recipe.goal, recipe.seconds)}, n {recipe.n}"
    return f"- {recipe.title} (`{recipe.name}`): {goal}"


def _tried(tried: list[dict[str, Any]]) -> str:
    if not tried:
        return ""
    about = (
        "Accuracies are of the validation set, except where a row names the test set. Of single "
        "seeds, differences below 0.1 points can be chance.\n\n"
    )
    rows = []
    for row in tried:
        value = row["accuracy"]
        shown = value if isinstance(value, str) else f"{_percent(value)} %"
        rows.append([row["what"], row["instead_of"], shown, row["note"]])
    head = ["what", "instead of", "accuracy", "note"]
    return _table("What was tried and not used", head, rows, about)


def _others() -> str:
    rows = [
        [
            m.label,
            f"{m.accuracy:.3f}".removesuffix("0") + (f"{PLUS_MINUS}{m.sd}" if m.sd else ""),
            str(m.n or ""),
            m.source,
        ]
        for m in MARKS
    ]
    about = "The marks of the picture; where n is empty, the source gives one number.\n\n"
    return _table("What others reached", ["what", "accuracy", "n", "source"], rows, about)


def _environments(
    rungs: dict[str, Rung], twins: dict[str, Rung], ensembles: dict[str, dict[str, Any]]
) -> str:
    runs = [run for rung in (*rungs.values(), *twins.values()) for run in rung.runs]
    counts: dict[str, int] = {}
    for run in (*runs, *ensembles.values()):
        line = in_words(run["environment"])
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
    if accuracy < goal - ROUNDING:
        missed.append(f"{goal - accuracy:.3f} points short")
    if seconds > budget:
        missed.append(f"{_time(seconds - budget)} over")
    return f"no, {' and '.join(missed)}" if missed else "yes"


def _goal(accuracy: float, seconds: float) -> str:
    return f"{_percent(accuracy)} in {_time(seconds)}"


def _slowest(rungs: dict[str, Rung]) -> float:
    """Return by how many percent the slowest run of a recipe took longer than the fastest."""
    return max((100 * (max(r.times) / min(r.times) - 1) for r in rungs.values()), default=0.0)


def _percent(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}"


def _spread(rung: Rung) -> str:
    return _percent(rung.mean) + ("" if rung.sd is None else f"{PLUS_MINUS}{rung.sd:.2f}")


def _time(seconds: float) -> str:
    return f"{_number(seconds)} s"


def _number(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.2g}"


def _hardware(runs: list[dict[str, Any]]) -> str:
    return "; ".join(sorted({f"one core of {run['environment']['cpu']}" for run in runs}))
