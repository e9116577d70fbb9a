"""Let a trained network read photographs or drawings of digits, one digit in each.

python scripts/predict_digits.py results/runs/mnist-100 seven.jpg three.png
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from matplotlib.figure import Figure

from nndl import plots
from nndl.cli.options import exit_with, path_of
from nndl.cli.run_folder import RunFolder
from nndl.data import mnist_like, read_picture
from nndl.storage import load


def parse() -> argparse.Namespace:
    """Return the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "run", type=path_of, metavar="RUN", help="folder of a run, or the file of a network"
    )
    parser.add_argument(
        "pictures",
        type=path_of,
        nargs="+",
        metavar="PICTURE",
        help="dark on light or light on dark, the digit alone on its paper",
    )
    parser.add_argument(
        "--out",
        type=path_of,
        metavar="FILE",
        help="where to draw what the network saw, .png or .svg (default: answers.png beside the "
        "network)",
    )
    return parser.parse_args()


def main() -> int:
    """Run the command line; return the exit status."""
    args = parse()
    folder = args.run if args.run.is_dir() else args.run.parent
    out = args.out or folder / "answers.png"
    try:
        net = load(args.run) if args.run.is_file() else RunFolder(args.run).network()
        if net.n_in != 784 or net.n_out < 2:
            raise ValueError(
                f"pictures become 784 pixels, of one of several digits, but {args.run} reads "
                f"{net.n_in} numbers and has {net.n_out} outputs: give a network of digits"
            )
        if out.resolve() in {path.resolve() for path in args.pictures}:
            raise ValueError(f"{out} is a picture to read: give another --out to draw to")
    except (OSError, ValueError) as error:
        return fail(error)
    pictures, images, status = [], [], 0
    for path in args.pictures:
        try:
            picture = read_picture(path)
            images.append(mnist_like(picture))
            every = 1 + max(picture.shape) // 400  # drawn small: no need to keep all of it
            pictures.append(picture[::every, ::every])
        except (OSError, ValueError) as error:
            status = fail(error if str(path) in str(error) else f"{path}: {error}")
            continue
        answer = net(images[-1][:, None])[:, 0]
        second, first = np.argsort(answer)[-2:]
        print(f"{path}: {first}  (output {answer[first]:.2f}; next {second}, {answer[second]:.2f})")
    if images:
        fig = Figure(figsize=(7, 2), layout="constrained")
        plots.plot_answers(fig, pictures, np.stack(images), net(np.stack(images, axis=1)).T)
        try:
            plots.save(fig, out)
        except (OSError, ValueError) as error:
            return fail(error)
        print(f"what the network saw is in {out}")
    return status


def fail(error: object) -> int:
    """Say in one line what went wrong; return the exit status."""
    print(f"predict_digits.py: error: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    exit_with(main)
