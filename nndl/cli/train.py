"""Train a network on MNIST's handwritten digits.

python scripts/train_mnist.py                        the book's best plain network
python scripts/train_mnist.py --hidden 30 --cost quadratic --eta 3 --lmbda 0 --init large
python scripts/train_mnist.py --resume results/runs/mnist-100
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from math import isqrt, prod
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nndl import plots
from nndl.activations import ACTIVATIONS
from nndl.cli.options import exit_with, path_of, percent, seed, whole, whole_or_none
from nndl.cli.run_folder import RunFolder, free_name
from nndl.conv import Conv
from nndl.costs import COSTS
from nndl.data import (
    Dataset,
    ElasticDistortion,
    RandomAffine,
    RandomShift,
    load_data,
    shifted_fivefold,
)
from nndl.files import folder_lock, make_folder
from nndl.initializers import INITIALIZERS
from nndl.network import Network
from nndl.rng import generator
from nndl.stack import dense_layers
from nndl.storage import load_checkpoint, read_about, save, save_checkpoint, save_history
from nndl.storage.schema import check
from nndl.training import History, Settings, State, TrainingInterrupted, train
from nndl.training.environment import environment
from nndl.training.metrics import accuracy, evaluate, mistakes, wilson_interval
from nndl.validation import DivergedError, check_dataset

RUNS = Path("results", "runs")  # in the current folder
EXPANSIONS = {
    "none": None,
    "fivefold": None,  # made once, before training
    "shift": RandomShift(),
    "affine": RandomAffine(),
    "elastic": ElasticDistortion(),
}
DEFAULTS: dict[str, Any] = {
    "data": "auto",
    "train_size": None,
    "conv": [],
    "hidden": [100],
    "cost": "cross-entropy",
    "activation": "sigmoid",
    "output": None,
    "init": "default",
    "dtype": "float32",
    "epochs": 30,
    "mini_batch_size": 10,
    "eta": 0.5,
    "lmbda": 5.0,
    "l1": 0.0,
    "momentum": 0.0,
    "dropout": 0.0,
    "expand": "none",
    "halve_after": 3,
    "patience": None,
    "monitor_training": False,
    "monitor_test": False,
    "seed": 0,
    "target_accuracy": None,
}


def parse(argv: list[str] | None = None) -> tuple[dict[str, Any], argparse.Namespace]:
    """Return the run's configuration, and the flags that are about the call."""
    parser = argparse.ArgumentParser(
        description="Train a network on handwritten digits, as in the book "
        "'Neural Networks and Deep Learning'.",
        argument_default=argparse.SUPPRESS,
    )

    def flag(*names: str, help: str, unset: str = "none", **more: Any) -> None:
        default = DEFAULTS[more.get("dest") or names[0].lstrip("-").replace("-", "_")]
        shown = " ".join(map(str, default)) if isinstance(default, list) else default
        shown = unset if shown is None or shown is False or shown == "" else shown
        group.add_argument(*names, help=f"{help} (default: {shown})", **more)

    group = parser.add_argument_group("data")
    flag(
        "--data",
        "--data-dir",
        metavar="WHICH",
        help="auto, mnist, synthetic, or a folder with four files named as MNIST's",
    )
    flag(
        "--train-size",
        type=whole,
        metavar="N",
        help="use the first N training images",
        unset="all of them",
    )
    flag(
        "--expand",
        choices=EXPANSIONS,
        help="the book's fivefold set, of shifts by a pixel; or distort the training images anew "
        "in every epoch",
    )

    group = parser.add_argument_group("network")
    flag("--hidden", type=whole, nargs="*", metavar="N", help="neurons of each hidden layer")
    flag(
        "--conv",
        type=whole,
        nargs="*",
        metavar="N",
        help="maps of each convolution below them, of 5 x 5 with 2 x 2 pooling, as in chapter 6",
    )
    flag("--cost", choices=COSTS, help="cost function")
    flag("--activation", choices=ACTIVATIONS, help="of the hidden neurons")
    flag(
        "--output",
        choices=ACTIVATIONS,
        help="activation of the output neurons",
        unset="what goes with the cost",
    )
    flag("--init", choices=INITIALIZERS, help="initial weights")
    flag("--dropout", type=float, metavar="P", help="probability of dropping a hidden neuron")
    flag("--dtype", choices=("float32", "float64"), help="precision")

    group = parser.add_argument_group("training")
    flag("--epochs", type=whole, help="at most so many passes through the training set")
    flag(
        "--mini-batch-size",
        "--batch-size",
        type=whole,
        dest="mini_batch_size",
        metavar="M",
        help="images in a step",
    )
    flag("--eta", "--lr", type=float, dest="eta", metavar="ETA", help="learning rate")
    flag("--lmbda", "--l2", type=float, dest="lmbda", metavar="LMBDA", help="L2 regularization")
    flag("--l1", type=float, metavar="LMBDA", help="L1 regularization")
    flag(
        "--momentum", "--mu", type=float, dest="momentum", metavar="MU", help="momentum coefficient"
    )
    flag(
        "--halve-after",
        type=whole_or_none,
        metavar="N",
        help="halve eta after N epochs without improvement on the validation set, "
        "end at 1/128; none keeps eta",
    )
    flag(
        "--patience",
        type=whole_or_none,
        metavar="N",
        help="end after N epochs without improvement, on the best weights",
    )
    flag("--seed", type=seed, metavar="SEED", help="fixes everything that is drawn")
    flag(
        "--monitor-training",
        action="store_true",
        help="measure the training set every epoch",
        unset="no",
    )
    flag(
        "--monitor-test",
        action="store_true",
        help="measure the test set every epoch, not only once at the end",
        unset="no",
    )
    flag(
        "--target-accuracy",
        type=percent,
        metavar="PERCENT",
        help="exit with status 1 if the test accuracy stays below",
    )

    group = parser.add_argument_group("this call")
    group.add_argument(
        "--out",
        type=path_of,
        metavar="DIR",
        default=None,
        help="folder of the run (default: a new one in results/runs)",
    )
    group.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        default=None,
        help="go on with an unfinished run, where its last epoch ended",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        default=False,
        help="show network, data and settings, and stop",
    )
    group.add_argument("--quiet", action="store_true", default=False, help="only the result")
    given = vars(parser.parse_args(argv))
    call = argparse.Namespace(**{k: given.pop(k) for k in ("out", "resume", "dry_run", "quiet")})
    config = DEFAULTS | given
    if call.resume:
        try:
            config = DEFAULTS | RunFolder(call.resume).config()["settings"]
            check(config["data"], str, "data")
            check(config["target_accuracy"], (float,), "target_accuracy")
        except (OSError, ValueError) as error:
            sys.exit(fail(error, 2))
        config["data"] = given.pop("data", config["data"])  # may have moved: see _check_data
        differ = [f"{k} is {config[k]!r}, not {v!r}" for k, v in given.items() if v != config[k]]
        if call.out:
            differ.append(f"it is in {call.resume}, not in {call.out}")
        if differ:
            sys.exit(fail(f"the run {call.resume} has other settings: {'; '.join(differ)}", 2))
    if config["data"] not in ("auto", "mnist", "synthetic"):  # a folder, also seen from others
        config["data"] = str(Path(config["data"]).expanduser().resolve())
    return config, call


def build(config: dict[str, Any], data: Sequence[Dataset]) -> tuple[Network, Settings, State]:
    """Return the untrained network for data sets, the hyper-parameters, and where to start."""
    init_rng, training_rng = generator(config["seed"]).spawn(2)
    settings = Settings(
        epochs=config["epochs"],
        mini_batch_size=config["mini_batch_size"],
        eta=config["eta"],
        lmbda=config["lmbda"],
        lmbda_l1=config["l1"],
        mu=config["momentum"],
        patience=config["patience"],
        halve_after=config["halve_after"],
    )
    net = _network(config, data, init_rng)
    for part in data:
        check_dataset(part, net.n_in, net.n_out)
    return net, settings, State.start(settings, training_rng)


def _network(config: dict[str, Any], data: Sequence[Dataset], rng: np.random.Generator) -> Network:
    n_in = data[0].images.shape[1]
    n_out = max([10, *(int(part.labels.max()) + 1 for part in data if len(part))])
    cost, activation = COSTS[config["cost"]], ACTIVATIONS[config["activation"]]
    init, output = INITIALIZERS[config["init"]], ACTIVATIONS.get(config["output"] or "")
    neurons = [*config["hidden"], n_out]
    layers = dense_layers(neurons, cost, activation, output, init, config["dropout"])
    shape: tuple[int, ...] = (n_in,)
    if config["conv"]:
        layers = [Conv(n, 5, activation, pool=2, init=init) for n in config["conv"]] + layers
        shape = (1, isqrt(n_in), isqrt(n_in))
    if n_in != prod(shape):
        raise ValueError(f"--conv needs square images, not rows of {n_in} pixels")
    if config["expand"] != "none" and not plots.are_square(data[0].images):
        raise ValueError(
            f"--expand {config['expand']} needs square images, not rows of {n_in} pixels"
        )
    return Network(layers, cost=cost, rng=rng, dtype=config["dtype"], input_shape=shape)


def run(
    folder: RunFolder,
    config: dict[str, Any],
    call: argparse.Namespace,
    net: Network,
    settings: Settings,
    state: State,
    data: tuple[Dataset, Dataset, Dataset],
) -> tuple[Network, History]:
    """Train, or go on with training, and save all but the pictures."""
    training, validation, test = data

    def checkpoint(net: Network, state: State) -> None:
        save_checkpoint(folder.checkpoint_path, net, state, settings, config=config)

    if folder.checkpoint_path.exists():
        net, state, settings = load_checkpoint(folder.checkpoint_path)
    else:
        checkpoint(net, state)  # to go on from if it is interrupted in the first epoch
    monitor = {"training": training} if config["monitor_training"] else {}
    monitor |= {"test": test} if config["monitor_test"] else {}
    try:
        train(
            net,
            training,
            settings,
            validation=validation,
            monitor=monitor,
            transform=EXPANSIONS[config["expand"]],
            progress=not call.quiet,
            after_epoch=checkpoint,
            state=state,
        )
    finally:  # of a run that diverged: its last finite state
        save_history(state.history, folder.history_path)
        about = {"data": training.name, "preprocessing": "raw/256"}
        save(net, folder.network_path, **about, validation_accuracy=accuracy(net, validation))
    return net, state.history


def draw(folder: RunFolder, net: Network, history: History, test: Dataset) -> None:
    """Draw the curves, and the most confident mistakes on the test set."""
    fig = Figure(figsize=(10, 4), layout="constrained")
    kind = test.name.removesuffix(" test")
    plots.plot_learning_curves(fig, {folder.path.name: history.epochs}, kind)
    plots.save(fig, folder.path / "curves.png")
    if plots.are_square(test.images):
        worst = mistakes(net, test, 40)
        fig = Figure(figsize=(10, 5), layout="constrained")
        notes = (worst.true, worst.given, worst.confidence)
        plots.plot_mistakes(fig, test.images[worst.index], *notes, title=test.name)
        plots.save(fig, folder.path / "mistakes.png")


def conclude(net: Network, test: Dataset, target: float | None) -> int:
    """Print what the network reads of the test set; return the exit status."""
    score = evaluate(net, test)
    low, high = wilson_interval(score.correct, score.n)
    print(
        f"{test.name} accuracy: {100 * score.accuracy:.2f} % ({score.correct:,} of {score.n:,}; "
        f"95 % interval {100 * low:.2f} to {100 * high:.2f})"
    )
    if target is not None and 100 * score.accuracy < target:
        print(f"the target of {target:g} % was missed", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Run the command line; return the exit status."""
    config, call = parse()
    try:
        if call.resume:
            _check_settings(RunFolder(call.resume), config)
        data = load_data(config["data"], np.uint8)
        if call.resume:
            _check_data(RunFolder(call.resume), data[0])
    except (OSError, ValueError) as error:
        return fail(error, 1)
    size = config["train_size"]
    try:
        if size and size > len(data[0]):
            raise ValueError(
                f"--train-size {size:,}: there are only {len(data[0]):,} training images"
            )
        training = data[0][:size]
        net, settings, state = build(config, data)
        if config["expand"] == "fivefold":
            training = shifted_fivefold(training)
    except KeyError as error:  # from a configuration at --resume: the flags know their choices
        where = RunFolder(call.resume).config_path
        return fail(f"{where} was changed: there is no choice {error}; put it back", 2)
    except (TypeError, ValueError) as error:
        return fail(error, 2)
    kind = data[0].name.removesuffix(" training")
    if not call.quiet:
        print(
            f"{net}\ndata: {kind}, {len(training):,} images to train, "
            f"{len(data[1]):,} to validate, {len(data[2]):,} to test\n{settings}"
        )
    if call.dry_run:
        return 0
    parts = [kind, *["conv"] * bool(config["conv"]), *config["conv"], *config["hidden"]]
    name = "-".join(map(str, parts)).lower().replace(" ", "-")
    folder = RunFolder(call.resume or call.out or free_name(RUNS, name))
    try:
        make_folder(folder.path)
        with folder_lock(folder.path):
            if call.resume:
                if folder.network_path.exists() and not folder.checkpoint_path.exists():
                    print(f"the run in {folder.path} is finished: there is nothing to do")
                    return conclude(folder.network(), data[2], config["target_accuracy"])
            elif folder.taken:
                raise ValueError(
                    f"{folder.path} holds a run already, or files of the same names "
                    f"({', '.join(folder.taken)}): choose another --out, or go on with the run "
                    f"by --resume {folder.path}"
                )
            folder.write_config(
                {
                    "settings": config,
                    "data": data[0].name,
                    "network": repr(net),
                    "environment": environment(),
                }
            )
            sets = (training, *data[1:])
            try:
                net, history = run(folder, config, call, net, settings, state, sets)
            except TrainingInterrupted:
                print(f"\ninterrupted; resume with --resume {folder.path}", file=sys.stderr)
                return 130
            draw(folder, net, history, data[2])
            folder.checkpoint_path.unlink(missing_ok=True)
    except DivergedError as error:
        return fail(f"{error}; the last finite state is in {folder.path}", 1)
    except BrokenPipeError:  # is an OSError, but for exit_with
        raise
    except (OSError, ValueError) as error:
        return fail(error, 1)
    status = conclude(net, data[2], config["target_accuracy"])
    print(f"written to {folder.path}")
    return status


def _check_settings(folder: RunFolder, config: dict[str, Any]) -> None:
    """Refuse to go on with other settings than a run began with; its data may have moved."""
    if not folder.checkpoint_path.exists():
        return
    began = read_about(folder.checkpoint_path).get("config", config)
    differ = [f"{k} {began.get(k)!r}" for k in config if k != "data" and began.get(k) != config[k]]
    if differ:
        raise ValueError(
            f"{folder.config_path} was changed: the run began with {', '.join(differ)}; put it "
            "back, or begin another run"
        )


def _check_data(folder: RunFolder, training: Dataset) -> None:
    """Refuse to go on with other data than a run began with, as where MNIST cannot be had."""
    if (began := folder.config()["data"]) != training.name:
        raise ValueError(
            f"the run in {folder.path} began with {began}, and the data here is {training.name}: "
            "make the first available again, or begin another run"
        )


def fail(error: object, status: int) -> int:
    """Say in one line what went wrong; return the exit status."""
    print(f"train_mnist.py: error: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    exit_with(main, "interrupted; a run that has begun goes on with --resume")
