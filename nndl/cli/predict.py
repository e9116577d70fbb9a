"""Read handwritten digits in photographs, scans and drawings.

nndl predict seven.jpg sheet.png
nndl predict --network results/runs/mnist-100 seven.jpg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from nndl.cli.errors import FAILED, CommandError, UsageError, say
from nndl.cli.options import Parser, figure_path, import_plots, path_of, program_name
from nndl.cli.run_folder import RunFolder, refuse_to_replace
from nndl.data.photo import Picture, Reading, open_picture, read_digits
from nndl.network import Network
from nndl.pretrained import pretrained
from nndl.storage import load
from nndl.text import printable

SUFFIXES = {".npz", ".safetensors", ".json"}  # of a network's file
DRAWN, DIGITS = 100, 500  # pictures and digits that are drawn, at most


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the flags."""
    parser = Parser(
        prog=program_name("predict"), description="Read handwritten digits in pictures."
    )
    parser.add_argument(
        "pictures",
        type=path_of,
        nargs="+",
        metavar="PICTURE",
        help="one digit or several, in lines; dark on light or light on dark",
    )
    parser.add_argument(
        "--network",
        type=path_of,
        metavar="RUN",
        help="folder of a run, or the file of a network (default: the one that comes with nndl; a "
        "folder or a network as the first PICTURE is taken for it too)",
    )
    parser.add_argument(
        "--out",
        type=figure_path,
        metavar="FILE",
        help="where to draw the pictures and what the network saw, .png or .svg (default: "
        "readings.png; with --json, nothing is drawn)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    args = parser.parse_args(argv)
    first = args.pictures[0]
    if first.is_dir() and not RunFolder(first).taken and len(args.pictures) == 1:
        parser.error(f"expected pictures, such as {first}/*.png, not a folder")
    if not args.network and (first.is_dir() or first.suffix in SUFFIXES):
        args.network = args.pictures.pop(0)
        if not args.pictures:
            parser.error(f"{first} is a network; expected at least one picture after it")
    if not args.json:
        args.out = args.out or Path("readings.png")
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status: 0 if a picture was read."""
    args = parse(argv)
    net = _network(args.network)
    if args.out and args.out.resolve() in {path.resolve() for path in args.pictures}:
        raise UsageError(f"{args.out} is a picture to read: give another --out to draw to")
    if args.out:
        refuse_to_replace(args.out)
    drawn: list[tuple[Picture, Reading]] = []
    some, opened, digits = False, 0, 0
    for path in args.pictures:
        try:
            picture = open_picture(path)
        except (OSError, ValueError) as error:
            message = _report(path, getattr(error, "strerror", None) or str(error))
            if args.json:
                print(json.dumps({"file": str(path), "error": message}), flush=True)
            continue
        if picture.frames > 1:
            say(f"{path} holds {picture.frames} pictures: the first is read")
        more = {}
        try:
            reading = read_digits(net, picture.brightness, picture.size)
        except ValueError as error:
            reading = Reading(())
            more = {"error": _report(path, str(error))}
        some = some or bool(reading.lines)
        if args.json:
            print(json.dumps(_record(path, reading) | more), flush=True)
        elif reading.lines:
            print(f"{printable(path)}: {_summary(reading)}", flush=True)
        opened += 1
        if args.out and len(drawn) < DRAWN and digits < DIGITS:
            drawn.append((picture, reading))
            digits += len(reading.digits)
    if drawn:
        _draw(args.out, drawn)
        if not args.json:
            first = f" of the first {len(drawn)} of {opened} pictures" * (len(drawn) < opened)
            print(f"what the network saw{first} is in {printable(args.out)}")
    return 0 if some else FAILED


def _report(path: Path, reason: str) -> str:
    """Print why a picture was not read; return the message."""
    message = reason if str(path) in reason else f"{path}: {reason}"
    say(f"{program_name('predict')}: error: {message}")
    return message


def _network(path: Path | None) -> Network:
    if path is None:
        return pretrained()
    net = load(path) if path.is_file() else RunFolder(path).network()
    if net.n_in != 784 or net.n_out < 2:
        raise CommandError(
            "expected a network of digits, which takes 784 pixels and has an output for each "
            f"digit, but {path} takes {net.n_in} numbers and has {net.n_out} outputs"
        )
    return net


def _record(path: Path, reading: Reading) -> dict[str, Any]:
    """Return what --json prints for a picture."""
    digits = [
        {"digit": d.digit, "probability": round(d.probability, 4), "box": list(d.box)}
        for d in reading.digits
    ]
    return {"file": str(path), "text": reading.text, "digits": digits, "unsure": reading.unsure}


def _summary(reading: Reading) -> str:
    """Return a line about a reading."""
    digits = reading.digits
    if len(digits) == 1:
        outputs = digits[0].outputs
        first, second = np.argsort(-outputs, kind="stable")[:2]  # of equal ones, the lowest digit
        numbers = f"{outputs[first]:.2f}; next {second}, {outputs[second]:.2f}"
        unsure = "unsure: perhaps another digit, or none; " if reading.unsure else ""
        return f"{first}  ({unsure}probability {numbers})"
    least = min(digits, key=lambda d: d.probability)
    unsure = "unsure; " if reading.unsure else ""
    numbers = f"the least sure a {least.digit}, probability {least.probability:.2f}"
    return f"{reading.text}  ({unsure}{len(digits)} digits, {numbers})"


def _draw(out: Path, drawn: list[tuple[Picture, Reading]]) -> None:
    import_plots()
    from nndl import plots
    from nndl.data.photo.plot import plot_readings

    plots.save(plot_readings(*zip(*drawn, strict=True)), out)
