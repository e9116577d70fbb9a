"""Let a trained network read photographs or drawings of digits, one digit in each.

nndl predict results/runs/mnist-100 seven.jpg three.png
"""

from __future__ import annotations

import argparse

import numpy as np

from nndl.cli.errors import FAILED, CommandError, UsageError, say
from nndl.cli.options import Parser, import_plots, path_of, program_name
from nndl.cli.run_folder import RunFolder
from nndl.data import mnist_like, read_picture
from nndl.storage import load
from nndl.text import printable


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the flags."""
    parser = Parser(
        prog=program_name("predict"),
        description="Let a trained network read photographs or drawings of digits.",
    )
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
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    args = parse(argv)
    folder = args.run if args.run.is_dir() else args.run.parent
    out = args.out or folder / "answers.png"
    net = load(args.run) if args.run.is_file() else RunFolder(args.run).network()
    if net.n_in != 784 or net.n_out < 2:
        raise CommandError(
            f"pictures become 784 pixels of one of several digits, but {args.run} takes "
            f"{net.n_in} numbers and has {net.n_out} outputs: give a network of digits"
        )
    if out.resolve() in {path.resolve() for path in args.pictures}:
        raise UsageError(f"{out} is a picture to read: give another --out to draw to")
    pictures, images, status = [], [], 0
    for path in args.pictures:
        try:
            picture = read_picture(path)
            images.append(mnist_like(picture))
        except (OSError, ValueError) as error:
            reason = error if str(path) in str(error) else f"{path}: {error}"
            say(f"{program_name('predict')}: error: {reason}")
            status = FAILED
            continue
        every = 1 + max(picture.shape) // 400  # drawn small: no need to keep all of it
        pictures.append(picture[::every, ::every])
        outputs = net(images[-1][:, None])[:, 0]
        second, first = np.argsort(outputs)[-2:]
        print(
            f"{printable(path)}: {first}  (output {outputs[first]:.2f}; next {second}, "
            f"{outputs[second]:.2f})"
        )
    if images:
        import_plots()
        from nndl import plots

        fig = plots.plot_outputs(pictures, np.stack(images), net(np.stack(images, axis=1)).T)
        plots.save(fig, out)
        print(f"what the network saw is in {printable(out)}")
    return status
