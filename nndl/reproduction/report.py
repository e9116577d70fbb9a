"""results/README.md: the book's numbers beside ours, rendered from the JSON files of the runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median, stdev

from scipy.special import stdtrit

from nndl.reproduction.chapter4 import average_deviation, best_heights, bumps, saturation
from nndl.reproduction.experiments import EXPERIMENTS, Experiment
from nndl.reproduction.jobs import load_results
from nndl.reproduction.notes import Footnotes
from nndl.reproduction.reading import Reading, Result, vote
from nndl.reproduction.replay import REPLAYS, agreement, load_replay
from nndl.training.environment import REVISIONS, in_words

__all__ = ["render"]

PLUS_MINUS = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"
HEAD = """\
# The book's results and ours

All experiments of Michael Nielsen's *Neural Networks and Deep Learning* that train a network, run
again. `nndl reproduce report` generates this page from the JSON files in [book](book), one for each
seed, and in [replay](replay); a test fails if the page is stale. Accuracies are in percent of the
images of the set: 10,000 images unless it is the training set or a note says otherwise. Pixels are
raw/256, as in the book.

- **ours**: mean and standard deviation over n seeds, in float32.
- **best**: the best seed. If the book gives the best of three runs, the best of our first three.
- **inside**: whether the book's number lies in the interval that holds 95 % of single runs, as
  estimated from our n runs (mean ± t sd sqrt(1 + 1/n)). If the book's number is the best of three
  runs, chosen by the number that is compared, the interval is that of the best of three normal
  draws: its mean is 0.85 sd higher and its sd 0.75 times that of a single draw. One number in
  twenty is outside by chance.
- **seconds**: median time of a run with all its measurements, on one core of a machine that ran
  other jobs at the same time.
"""


def render(folder: Path) -> str:
    """Return the page for the results in a folder that holds book/ and replay/.

    Experiments without results have a row that says so.
    """
    footnotes = Footnotes()
    chapters = []
    for chapter in (1, 3, 5, 6):
        rows = [
            row
            for name, e in EXPERIMENTS.items()
            if e.chapter == chapter
            for row in _rows(name, e, load_results(folder / "book", name), footnotes)
        ]
        if chapter == 6:
            rows.append(_ensemble(load_results(folder / "book", "c6-dropout"), footnotes))
        chapters.append(_table(f"Chapter {chapter}", rows))
    return "\n".join(
        [
            HEAD,
            _replays(folder / "replay"),
            _computed(),
            *chapters,
            f"## Notes\n\n{footnotes.render()}\n",
            _environment(folder),
        ]
    )


def _table(title: str, rows: list[str]) -> str:
    head = "| experiment | what | metric | book | ours | best | inside | n | seconds | notes |"
    return "\n".join(
        [f"## {title}\n", head, "|---|---|---|---|---|---|---|---|---|---|", *rows, ""]
    )


def _rows(name: str, e: Experiment, results: list[Result], footnotes: Footnotes) -> Iterator[str]:
    sizes = "-".join(map(str, e.sizes))
    notes = footnotes.links(e.notes)
    for i, reading in enumerate(e.readings):
        what = f"{sizes}, {e.title}".removeprefix(", ") if i == 0 else ""
        cells = [f"`{name}`" if i == 0 else "", what, _reading(reading), _book(reading)]
        cells += _ours(results, reading) if results else ["not run yet", "", ""]
        seconds = f"{median(r['seconds'] for r in results):.0f}" if results else ""
        cells += [str(len(results)), seconds, notes if i == 0 else ""]
        yield f"| {' | '.join(cells)} |"


def _ensemble(networks: list[Result], footnotes: Footnotes) -> str:
    """Return the row of the vote of the dropout networks, as they are after their last epoch."""
    ours = f"{100 - len(vote(networks)) / 100:.2f}" if networks else "not run yet"
    what = f"plurality vote of the {len(networks) or 5} networks with dropout"
    notes = footnotes.links(("after-last-epoch", "ties"))
    return (
        f"| `c6-ensemble` | {what} | test accuracy, last | 99.67 | {ours} |  |  | "
        f"{1 if networks else 0} |  | {notes} |"
    )


def _reading(reading: Reading) -> str:
    return f"{reading.quantity.replace('_', ' ')}, {reading.statistic}"


def _book(reading: Reading) -> str:
    if reading.book is None:
        return "-"
    extra = f"best of {reading.best_of}" if reading.best_of else reading.source
    return _number(reading, reading.book) + (f" ({extra})" if extra != "text" else "")


def _number(reading: Reading, value: float) -> str:
    if reading.quantity.endswith("accuracy"):
        return f"{value:.2f}"
    return f"{value:.0f}" if reading.quantity == "epochs" else f"{value:.3g}"


def _ours(results: list[Result], reading: Reading) -> list[str]:
    """Return the cells ours, best and inside."""
    values = [reading.of(result) for result in results]
    n, center = len(values), mean(values)
    sd = stdev(values) if n > 1 else 0.0
    better = min if reading.quantity.endswith("cost") else max
    if reading.best_of and reading.statistic == "at best validation":
        best = reading.of(max(results[: reading.best_of], key=Reading("validation_accuracy").of))
    else:
        best = better(values[: reading.best_of])
    ours = _number(reading, center) + (f"{PLUS_MINUS}{_number(reading, sd)}" if n > 1 else "")
    if reading.book is None or n < 2:
        inside = ""
    else:
        # Mean and sd of the largest of three standard normal draws. A run that was selected by its
        # validation accuracy has a test accuracy like any other run.
        selected = reading.best_of == 3 and reading.statistic != "at best validation"
        shift, scale = (0.8463, 0.7480) if selected else (0.0, 1.0)
        half = float(stdtrit(n - 1, 0.975)) * sd * (scale**2 + 1 / n) ** 0.5
        rounding = 0.005 if reading.quantity.endswith("accuracy") else 0.0
        distance = abs(center + shift * sd - reading.book)
        inside = "yes" if distance <= half + rounding else "no"
    no_best = reading.quantity == "epochs" or reading.quantity.startswith("norm")
    return [ours, "" if no_best else _number(reading, best), inside]


def _replays(folder: Path) -> str:
    """Return the table of the replays of the author's own runs."""
    rows = []
    for name in ("c1-darkness", *REPLAYS):
        path = folder / f"{name}.json"
        if not path.exists():
            rows.append(f"| `{name}` | not run yet | | |")
            continue
        found = agreement(name, load_replay(path))
        remarks = [
            f"{f'curve {curve}' if curve else 'the curve'} differs from epoch {epoch} on"
            for curve, epoch in found.first_difference.items()
        ]
        if found.differ and name in REPLAYS:
            remarks.append(REPLAYS[name].note)
        rows.append(f"| `{name}` | {found.values} | {found.differ} | {'. '.join(remarks)} |")
    return "\n".join(
        [
            "## Replays of the author's runs\n",
            "With the author's seeds, the order of his random draws and Python 2's shuffle,",
            "`nndl.Network` in float64 gives the numbers that he published (`fig/*.json` of his",
            "repository): counts exactly, except in the two chaotic records below, and costs to",
            "1e-9 (`c3-reg-full` and `c3-eta-compare` to 5e-6). In `c3-reg-full` rounding errors",
            "grow until they change the class of single images, and with it the counts. For this",
            "replay the order of every sum is fixed",
            "([rounding.py](../nndl/reproduction/rounding.py)) to one that gives all his counts.",
            "In four other orders one to five of the 60 counts are off by one image. With the sums",
            "of BLAS one count (SkylakeX kernels) or two (Haswell) are off, and in 80-bit",
            "arithmetic two ([tests/rounding.py](../tests/rounding.py)).\n",
            "| record | values compared | differ | |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _computed() -> str:
    """Return the table of results that are computed when the page is rendered: it takes no time."""
    easy, hard = saturation(0.6, 0.9)[0], saturation(2.0, 2.0)[0]
    heights = bumps([(i / 5, (i + 1) / 5) for i in range(5)], list(best_heights()), w=10_000)
    rows = [
        (
            "c3-toy-quad-easy",
            "neuron, w 0.6, b 0.9: output before and after 300 epochs",
            "0.82, about 0.09",
            f"{easy[0]:.2f}, {easy[-1]:.2f}",
        ),
        (
            "c3-toy-quad-hard",
            "neuron, w 2, b 2: output before, after 150 and after 300 epochs",
            "0.98, little change in about 150",
            f"{hard[0]:.2f}, {hard[150]:.2f}, {hard[-1]:.2f}",
        ),
        (
            "c4-design",
            "five bumps: average deviation from the goal",
            "0.40 or less",
            f"{average_deviation(heights):.3f}, the smallest possible",
        ),
    ]
    table = [f"| `{name}` | {what} | {book} | {ours} |" for name, what, book, ours in rows]
    return "\n".join(
        [
            "## Computed results\n",
            "Chapter 3's neuron that learns to turn 1 into 0 with the quadratic cost, and chapter",
            "4's function approximated by bumps. The author's support vector machines are not run,",
            "since they are scikit-learn's, not networks.\n",
            "| record | what | book | ours |",
            "|---|---|---|---|",
            *table,
            "",
        ]
    )


def _environment(folder: Path) -> str:
    """Return the environments of the runs, each distinct one once, and the time they took."""
    runs: dict[str, int] = {}  # by environment
    hours: dict[int, float] = {}  # by chapter
    for name, experiment in EXPERIMENTS.items():
        for result in load_results(folder / "book", name):
            chapter = experiment.chapter
            hours[chapter] = hours.get(chapter, 0.0) + result["seconds"] / 3600
            line = in_words(result["environment"])
            runs[line] = runs.get(line, 0) + 1
    lines = [f"- {n} run{'s' * (n > 1)}: {line}" for line, n in runs.items()]
    each = ", ".join(f"chapter {chapter} {h:.1f}" for chapter, h in sorted(hours.items()))
    total = f"- core hours: {each}; total {sum(hours.values()):.1f}"
    return "\n".join(["## Environments\n", *lines, total, "", f"{REVISIONS}\n"])
