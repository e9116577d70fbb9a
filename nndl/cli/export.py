"""Write a trained network in the format of another library.

nndl export results/runs/mnist-100 --to onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nndl.cli.errors import CommandError, UsageError
from nndl.cli.options import Parser, path_of, program_name
from nndl.cli.run_folder import RunFolder, refuse_to_replace
from nndl.storage import load, read_about
from nndl.text import printable


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the flags."""
    parser = Parser(
        prog=program_name("export"),
        description="Write a trained network in the format of another library.",
    )
    parser.add_argument(
        "run", type=path_of, metavar="RUN", help="folder of a run, or the file of a network"
    )
    parser.add_argument(
        "--to",
        choices=["onnx"],
        default="onnx",
        help="the format: onnx needs the library of that name (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=path_of,
        metavar="FILE",
        help="the file to write (default: network.onnx in the folder of the run, or beside the "
        "file)",
    )
    parser.add_argument(
        "--raw-pixels",
        action="store_true",
        help="let the exported network take pixels of uint8, 0 to 255, and scale them itself",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    args = parse(argv)
    path = args.run if args.run.is_file() else RunFolder(args.run).network_path
    net = load(path) if args.run.is_file() else RunFolder(args.run).network()
    scale = read_about(path).get("preprocessing", "raw/256") if args.raw_pixels else "raw/256"
    if scale != "raw/256":
        raise CommandError(
            f"--raw-pixels: {printable(path)} was trained on pixels {printable(scale)}, not on raw "
            "ones divided by 256: leave --raw-pixels out"
        )
    folder: Path = args.run.parent if args.run.is_file() else args.run
    name = args.run.stem if args.run.is_file() else "network"
    out: Path = args.out or folder / f"{name}.{args.to}"
    refuse_to_replace(out)
    if args.run.is_file() and out.resolve() == args.run.resolve():
        raise UsageError(f"{out} is the network to export: give another --out")
    from nndl.export.onnx import export_onnx  # raises ImportError with advice

    export_onnx(net, out, raw_pixels=args.raw_pixels)
    takes = "uint8 pixels, 0 to 255" if args.raw_pixels else "float32 pixels, scaled as in training"
    print(
        f"{printable(out)}: input images (n, {net.n_in}), {takes}; output outputs (n, {net.n_out})"
    )
    return 0
