"""Measure how well a network reads labeled pictures, by kind of picture.

python benchmarks/pictures.py FOLDER [--network RUN]

FOLDER holds pictures and labels.csv with the columns file, digits and kind; the lines of a picture
with several digits are separated by "/". A kind "not a digit" has no digits.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from difflib import SequenceMatcher
from pathlib import Path

from nndl.cli.run_folder import RunFolder
from nndl.data.photo import Reading, open_picture, read_digits
from nndl.pretrained import pretrained
from nndl.storage import load

COLUMNS = ("kind", "pictures", "read", "%", "digits", "read", "%", "right, unsure", "wrong, sure")


def common(a: str, b: str) -> int:
    """Return how many digits of one text appear in the other, in order."""
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)


def main() -> None:
    """Print the pictures that were misread, and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="pictures and labels.csv")
    parser.add_argument("--network", type=Path, metavar="RUN", help="a run or a network's file")
    args = parser.parse_args()
    net = pretrained()
    if args.network:
        is_run = args.network.is_dir()
        net = RunFolder(args.network).network() if is_run else load(args.network)
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * 6)
    with (args.folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        try:
            picture = open_picture(args.folder / row["file"])
            reading = read_digits(net, picture.brightness, picture.size)
        except (OSError, ValueError) as error:
            print(f"{row['file']}: {error}")
            reading = Reading(())
        right = reading.text == row["digits"]
        if not right and row["digits"]:
            print(f"{row['file']}: {row['digits']} read as {reading.text or 'nothing'}")
        true, read = row["digits"].replace("/", ""), reading.text.replace("/", "")
        several = len(true) > 1
        for kind in (row["kind"], *([] if several or not true else ["all of one digit"])):
            numbers = (1, right, len(true), common(true, read), right and reading.unsure)
            wrong = not right and not reading.unsure
            counts[kind] = [a + b for a, b in zip(counts[kind], (*numbers, wrong), strict=True)]
    print(("{:18}" + "{:>9}{:>7}{:>7}" * 2 + "{:>15}{:>13}").format(*COLUMNS))
    for kind, (n, whole, digits, found, unsure, sure) in sorted(counts.items()):
        percent = 100 * whole / n, 100 * found / max(1, digits)
        print(
            f"{kind:18}{n:9}{whole:7}{percent[0]:7.1f}{digits:9}{found:7}{percent[1]:7.1f}"
            f"{unsure:15}{sure:13}"
        )


if __name__ == "__main__":
    main()
