"""Estimate how well pictures of a new source are read, though numbers were chosen on those at hand.

python benchmarks/left_out.py FOLDER [--most N] [--jobs N]

FOLDER is as for pictures.py, with a column source: one writer, camera or collection. For each
source, every number in NUMBERS is chosen anew on the other sources, from its value and 2/3 and 3/2
of it: the one with which most pictures are read right, and of several the one with the largest mean
logarithm of the probability. Then the source is read with all that was chosen.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import Pool
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nndl.data.photo import ink, normalize, open_picture, read_digits, reading, segment
from nndl.pretrained import pretrained

FACTORS = (1.0, 2 / 3, 3 / 2)
WRONG = math.log(0.01)  # stands for the logarithm of the probability where a reading is wrong
NUMBERS: tuple[tuple[ModuleType, str], ...] = (
    *((ink, name) for name in ("CONTRAST", "NOISE", "NEARBY", "CLOSE", "LOW", "PRESSED")),
    *((segment, name) for name in ("SPECK", "SHORT")),
    (normalize, "PEN"),
    *((reading, name) for name in ("DIGIT", "GAP", "WIDE", "SMALL", "DIRT", "COLUMN", "WHOLE")),
    *((reading, name) for name in ("ACROSS_ALL", "LOCAL", "INK", "CLEAR", "UNEVEN", "DROPPED")),
    *((reading, name) for name in ("INSIDE", "LARGE")),
)
Row = dict[str, str]
Choice = Mapping[int, float]  # from an index of NUMBERS to a factor; the others are 1
Score = tuple[int, float]  # pictures that are read right, and the sum of logarithms


@contextmanager
def chosen(choice: Choice) -> Iterator[None]:
    """Multiply numbers by factors for a while."""
    before = {i: getattr(*NUMBERS[i]) for i in choice}
    try:
        for i, factor in choice.items():
            value = before[i]
            if isinstance(value, tuple):
                setattr(*NUMBERS[i], tuple(factor * v for v in value))
            else:
                setattr(*NUMBERS[i], type(value)(factor * value))
        yield
    finally:
        for i, value in before.items():
            setattr(*NUMBERS[i], value)


@contextmanager
def remembered(*names: tuple[ModuleType, str, Callable[..., Hashable]]) -> Iterator[None]:
    """Let functions of a module remember their results for a while, by a key of their arguments."""
    plain = [getattr(module, name) for module, name, _ in names]

    def remembering(function: Callable[..., Any], key: Callable[..., Hashable]) -> Any:
        known: dict[Hashable, Any] = {}

        def call(*args: Any, **kwargs: Any) -> Any:
            k = key(*args, **kwargs)
            if k not in known:
                known[k] = function(*args, **kwargs)
            return known[k]

        return call

    for (module, name, key), function in zip(names, plain, strict=True):
        setattr(module, name, remembering(function, key))
    try:
        yield
    finally:
        for (module, name, _), function in zip(names, plain, strict=True):
            setattr(module, name, function)


def values(module: ModuleType) -> tuple[Any, ...]:
    """Return the numbers of a module as they are."""
    return tuple(getattr(*number) for number in NUMBERS if number[0] is module)


MEMORY = (
    (ink, "_smooth_paper", lambda value: (value[::7, ::3].tobytes(), ink.CLOSE)),
    (ink, "_local_paper", lambda value: value[::7, ::3].tobytes()),
    (reading, "resized", lambda brightness: ()),
    (reading, "find_ink", lambda small, light, local: (light, local, values(ink))),
    (reading, "image_of", lambda depth, _, piece: (id(depth), piece, normalize.PEN, piece.area)),
)


def scores(folder: Path, row: Row, choices: list[Choice]) -> list[Score]:
    """Return how the picture of a row is read with each choice."""
    net = pretrained()
    known: dict[bytes, NDArray[Any]] = {}

    def outputs(images: NDArray[Any]) -> NDArray[Any]:
        columns = [image.tobytes() for image in images.T]
        new = [i for i, column in enumerate(columns) if column not in known]
        if new:
            known.update(zip([columns[i] for i in new], net(images[:, new]).T, strict=True))
        return np.stack([known[column] for column in columns], axis=1)

    picture = open_picture(folder / row["file"])
    found = []
    with remembered(*MEMORY):
        for choice in choices:
            with chosen(choice):
                try:
                    read = read_digits(outputs, picture.brightness, picture.size)
                except ValueError:
                    read = reading.Reading(())
            right = read.text == row["digits"]
            logs = [math.log(max(d.probability, 0.01)) for d in read.digits]
            found.append((int(right), sum(logs) / len(logs) if right else WRONG))
    return found


def added(some: list[list[Score]]) -> list[Score]:
    """Return the scores of several pictures as one, for each choice."""
    return [(sum(s[0] for s in each), sum(s[1] for s in each)) for each in zip(*some, strict=True)]


def main() -> None:
    """Print, by kind, how many pictures are read as they are, and with the numbers of others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="pictures and labels.csv")
    parser.add_argument("--most", type=int, default=10**6, metavar="N", help="of each source")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    args = parser.parse_args()
    with (args.folder / "labels.csv").open(newline="") as file:
        every = [row for row in csv.DictReader(file) if row["digits"]]
    seen: Counter[str] = Counter()
    rows = []
    for row in every:
        seen[row["source"]] += 1
        if seen[row["source"]] <= args.most:
            rows.append(row)
    choices: list[Choice] = [{}]
    choices += [{i: factor} for i in range(len(NUMBERS)) for factor in FACTORS[1:]]
    with Pool(args.jobs) as pool:
        tasks = [(args.folder, row, choices) for row in rows]
        tables = pool.starmap(scores, tasks, chunksize=1)
        by_source = defaultdict(list)
        for row, table in zip(rows, tables, strict=True):
            by_source[row["source"]].append(table)
        best: dict[str, Choice] = {}
        for source in by_source:
            others = [added(tables) for name, tables in by_source.items() if name != source]
            total = added(others)
            best[source] = {}
            for i in range(len(NUMBERS)):
                options = [total[0], *total[1 + 2 * i : 3 + 2 * i]]
                factor = FACTORS[max(range(len(FACTORS)), key=lambda k: options[k])]
                if factor != 1:
                    best[source] = {**best[source], i: factor}
        tasks = [(args.folder, row, [best[row["source"]]]) for row in rows]
        left_out = pool.starmap(scores, tasks, chunksize=1)
    kinds: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row, table, other in zip(rows, tables, left_out, strict=True):
        for kind in (row["kind"], "all"):
            kinds[kind].append((table[0][0], other[0][0]))
    print(f"{'kind':12}{'pictures':>9}{'as they are, %':>16}{'source left out, %':>20}")
    for kind, pairs in sorted(kinds.items()):
        as_is, without = (100 * sum(column) / len(pairs) for column in zip(*pairs, strict=True))
        print(f"{kind:12}{len(pairs):9}{as_is:16.1f}{without:20.1f}")
    times = Counter(NUMBERS[i][1] for choice in best.values() for i in choice)
    print("another value chosen, of", len(best), "sources:", dict(times.most_common()))


if __name__ == "__main__":
    main()
