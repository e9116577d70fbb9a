"""Write a page on which a trained network reads the digits that you draw.

nndl page results/runs/mnist-100 --out digits.html
nndl page                                            the network that comes with the package
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nndl.cli.errors import CommandError, say
from nndl.cli.options import Parser, path_of, program_name, text
from nndl.cli.run_folder import RunFolder, refuse_to_replace
from nndl.data import Dataset, load_data, load_mnist
from nndl.export import make_page
from nndl.export.page import MOST_EPOCHS
from nndl.files import write_text
from nndl.network import Network
from nndl.storage import load, read_about
from nndl.storage.weights_by_epoch import load_weights_by_epoch
from nndl.text import printable
from nndl.training import History

SHOWN = 20  # labels that rounding changes, printed at most


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the flags."""
    parser = Parser(
        prog=program_name("page"),
        description="Write a page on which a trained network reads the digits that you draw.",
    )
    parser.add_argument(
        "run",
        type=path_of,
        nargs="?",
        metavar="RUN",
        help="folder of a run, or the file of a network (default: the network that comes with "
        "the package)",
    )
    parser.add_argument(
        "--data",
        "--data-dir",
        type=text,
        metavar="WHICH",
        help="the data whose test set gives the accuracy and the mistakes: auto, mnist, synthetic, "
        "a folder, or none (default: the data of the run, and MNIST for a network of MNIST)",
    )
    parser.add_argument(
        "--out",
        type=path_of,
        default=Path("digits.html"),
        metavar="FILE",
        help="the page (default: %(default)s)",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    args = parse(argv)
    refuse_to_replace(args.out)
    name, net, history = _network(args.run)
    test = _test_set(args.run, net, args.data)
    page = make_page(
        net, name, test=test, history=history, weights_by_epoch=_weights_by_epoch(args.run)
    )
    write_text(args.out, page.html)
    size = len(page.html.encode())
    print(f"written to {args.out}: {size:,} bytes, weights as {page.number}")
    if page.number == "float16" and page.differ is not None and test is not None:
        n = f"{len(page.differ):,} of {len(test):,} images of {printable(test.name)}"
        print(f"rounding the weights to {page.number} changes the label of {n}")
        for index, label, read in page.differ[:SHOWN]:
            print(f"  image {index}: net.predict reads {label}, the page reads {read}")
    return 0


def default_network() -> Network:
    """Return the network that comes with the package.

    Raises
    ------
    CommandError
        If this copy of the package has none.
    """
    try:
        net: Network = import_module("nndl.pretrained").pretrained()
    except (ImportError, FileNotFoundError):
        raise CommandError(
            "this copy of nndl comes without a network: give the folder of a run, as "
            f"{program_name('train')} prints it"
        ) from None
    return net


def _network(run: Path | None) -> tuple[str, Network, History | None]:
    """Return the name of a run, its network and its history, where it has one."""
    if run is None:
        return "the network that comes with nndl", default_network(), None
    if run.is_file():
        return run.stem, load(run), None
    folder = RunFolder(run)
    net = folder.network()
    history = folder.history() if folder.history_path.is_file() else None
    if history is not None and len(history) > MOST_EPOCHS:
        say(f"the page shows no curves: {len(history):,} epochs are more than {MOST_EPOCHS:,}")
        history = None
    return run.resolve().name, net, history


def _weights_by_epoch(run: Path | None) -> NDArray[np.float32] | None:
    """Return the first layer's weights by epoch, if the run has kept them."""
    path = None if run is None else RunFolder(run).weights_path
    return load_weights_by_epoch(path) if path and path.is_file() else None


def _test_set(run: Path | None, net: Network, choice: str | None) -> Dataset | None:
    """Return the test set that is asked for; without a choice that of the run or network."""
    if choice == "none":
        return None
    if choice is not None:
        return load_data(choice, np.uint8)[2]
    try:
        if run is not None and not run.is_file():
            return load_data(RunFolder(run).source(), np.uint8)[2]
        data = "MNIST" if run is None else str(read_about(run).get("data", "MNIST"))
        if data.startswith("MNIST") and (net.n_in, net.n_out) == (784, 10):
            return load_mnist(dtype=np.uint8, download=False)[2]
        say(
            f"the page has no accuracy or mistakes: {printable(run)} is not a network of MNIST; "
            "give its data by --data"
        )
        return None
    except OSError as error:
        say(f"the page has no accuracy or mistakes, because its test set is unavailable: {error}")
        return None
