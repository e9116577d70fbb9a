"""Train a network on MNIST's handwritten digits, or resume a run.

nndl train                        the book's best plain network
nndl train --hidden 30 --cost quadratic --eta 3 --lmbda 0 --init large
nndl train --resume results/runs/mnist-100 --epochs 60
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nndl import DivergedError
from nndl.activations import ACTIVATIONS
from nndl.batches import Transform
from nndl.cli.config import SAMPLE, Config, add_flags, settings_given
from nndl.cli.errors import FAILED, CommandError, UsageError
from nndl.cli.options import Parser, import_plots, number, path_of, program_name, whole
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
from nndl.data.load import NAMES
from nndl.files import folder_lock, make_folder
from nndl.initializers import INITIALIZERS
from nndl.network import Network
from nndl.recipes import RECIPES
from nndl.rng import generator
from nndl.stack import dense_layers
from nndl.storage import Checkpoints, load_checkpoint, read_about, save, save_history
from nndl.storage.description import NETWORK, check_description, describe, version_of
from nndl.storage.schema import check
from nndl.storage.weights_by_epoch import keep_weights
from nndl.text import printable
from nndl.training import History, State, train
from nndl.training.environment import environment
from nndl.training.metrics import accuracy, evaluate, mistakes, wilson_interval
from nndl.validation import check_classes, check_dataset

RUNS = Path("results", "runs")  # in the current folder
Sets = tuple[Dataset, Dataset, Dataset]
SECONDS = number("a number of seconds above 0", lambda v: v > 0)
DISTORTIONS = {"shift": RandomShift, "affine": RandomAffine, "elastic": ElasticDistortion}


def main(argv: list[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    args = parse(argv)
    given = settings_given(args)
    existing = RunFolder(args.resume) if args.resume else None
    config = resumed_config(existing, given) if existing else new_config(given)
    config = replace(config, data=located(config.data))
    recorded = existing.recorded() if existing else None
    source = existing.source() if existing and "data" not in given else config.data
    data = load_data(source, np.uint8)
    name = data[0].name.removesuffix(" training")
    if recorded and recorded.data != name:
        raise CommandError(
            f"the run in {existing} began with {recorded.data}, but the data here is {name}: "
            "make the same data available, with --data if it has moved, or start another run"
        )
    try:
        for part in data:
            check_classes(part, "nndl train", "train on those in Python")
        config.settings()
        training = training_set(config, data[0])
        net = build_network(config, data)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    name = printable(name)
    if not args.quiet:
        print(
            f"{net}\ndata: {name}, {len(training):,} images to train, "
            f"{len(data[1]):,} to validate, {len(data[2]):,} to test\n{config.settings()}"
        )
    if args.dry_run:
        return 0
    parts = [name, *["conv"] * bool(config.conv), *config.conv, *config.hidden]
    if config.recipe:
        parts = [name, config.recipe]
    folder = existing or RunFolder(args.out or free_name(RUNS, "-".join(map(str, parts)).lower()))
    make_folder(folder.path)
    try:
        with folder_lock(folder.path):
            if existing:
                resume(folder, config, net, (training, *data[1:]), args)
            elif folder.taken:
                raise CommandError(
                    f"{folder} holds a run already, or files of the same names "
                    f"({', '.join(folder.taken)}): choose another --out, or resume the run with "
                    f"--resume {folder}"
                )
            else:
                state = State.start(config.settings(), _generators(config)[1])
                run(folder, config, net, state, (training, *data[1:]), args)
            net = folder.network()
    except KeyboardInterrupt:
        if not folder.checkpoint_path.exists():
            raise
        raise KeyboardInterrupt(
            f"interrupted; resume it with {program_name('train')} --resume {folder}"
        ) from None
    status = conclude(net, data[2], config.target_accuracy)
    print(f"written to {folder}")
    return status


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the flags: settings that were given, and those about this call."""
    parser = Parser(
        prog=program_name("train"),
        description="Train a network on handwritten digits, as in the book "
        "'Neural Networks and Deep Learning'.",
    )
    add_flags(parser)
    group = parser.add_argument_group("this call")
    group.add_argument(
        "--out",
        type=path_of,
        metavar="DIR",
        help="folder of the run (default: a new one in results/runs)",
    )
    group.add_argument(
        "--resume",
        type=path_of,
        metavar="RUN",
        help="resume a run from its last checkpoint; with a larger --epochs, also a finished run "
        "without a schedule",
    )
    group.add_argument(
        "--checkpoint-seconds",
        type=SECONDS,
        default=60.0,
        metavar="S",
        help="write a checkpoint every S seconds within an epoch, besides that at its end "
        "(default: 60)",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="show network, data and settings, and stop"
    )
    group.add_argument(
        "--threads",
        type=whole,
        metavar="N",
        help="threads of large mini-batches; the result does not depend on it (default: all cores)",
    )
    group.add_argument("--quiet", action="store_true", help="print only the result")
    args = parser.parse_args(argv)
    if args.resume and args.out:
        parser.error(f"the run is in {RunFolder(args.resume)}: give --resume without --out")
    return args


def located(data: str) -> str:
    """Return a folder of data as an absolute path, which stays valid in any working directory."""
    return data if data in NAMES else os.path.abspath(os.path.expanduser(data))


# The network and its data.


def training_set(config: Config, training: Dataset) -> Dataset:
    """Return what the network is trained on."""
    n = config.train_size
    if n and n > len(training):
        raise ValueError(f"--train-size {n:,}: there are only {len(training):,} training images")
    if config.expand != "none":
        _shape(training, f"--expand {config.expand}")
    return shifted_fivefold(training[:n]) if config.expand == "fivefold" else training[:n]


def build_network(config: Config, data: Sequence[Dataset]) -> Network:
    """Return the untrained network for these data sets."""
    n_in = data[0].images.shape[1]
    n_out = max([10, *(int(part.labels.max()) + 1 for part in data if len(part))])
    cost, activation = COSTS[config.cost], ACTIVATIONS[config.activation]
    init, output = INITIALIZERS[config.init], ACTIVATIONS.get(config.output or "")
    rng, _ = _generators(config)
    if config.recipe:
        *maps, height, width = _shape(data[0], "--recipe")
        shape = (*(maps or [1]), height, width)
        net = RECIPES[config.recipe].network(shape, rng, n_out, config.dtype)
        return _checked(net, data)
    neurons = [*config.hidden, n_out]
    layers = dense_layers(neurons, cost, activation, output, init, config.dropout)
    shape = (n_in,)
    if config.conv:
        layers = [Conv(n, 5, activation, pool=2, init=init) for n in config.conv] + layers
        *maps, height, width = _shape(data[0], "--conv")
        shape = (*(maps or [1]), height, width)
    net = Network(layers, cost=cost, rng=rng, dtype=config.dtype, input_shape=shape)
    return _checked(net, data)


def _checked(net: Network, data: Sequence[Dataset]) -> Network:
    """Return the network, if the data fits it and a file can hold it."""
    for part in data:
        check_dataset(part, net.n_in, net.n_out)
    try:
        record = {"format": NETWORK, **describe(net), "about": {}}
        check_description({"version": version_of(NETWORK, record), **record}, NETWORK)
    except ValueError as error:
        raise ValueError(f"a file cannot hold this network: {error}") from None
    return net


def _shape(data: Dataset, flag: str) -> tuple[int, ...]:
    """Return the shape of an image, which a flag needs."""
    if data.shape is None:
        raise ValueError(
            f"{flag} needs images with a height and a width, but {printable(data.name)} has rows "
            f"of {data.images.shape[1]} pixels: leave it out"
        )
    return data.shape


def _generators(config: Config) -> list[np.random.Generator]:
    """Return the generators for the initial weights and for training."""
    return generator(config.seed).spawn(2)


# Resuming.


def new_config(given: dict[str, Any]) -> Config:
    """Return the settings of a new run."""
    try:
        return Config.from_flags(given)
    except ValueError as error:
        raise UsageError(str(error)) from None


def resumed_config(folder: RunFolder, given: dict[str, Any]) -> Config:
    """Return the settings of a run that is resumed with the given changes."""
    recorded = folder.recorded().config
    try:
        config = recorded.with_changes(given)
    except ValueError as error:
        raise UsageError(f"--resume {folder}: {error}") from None
    if folder.checkpoint_path.exists():
        began = read_about(folder.checkpoint_path).get("config", {})
        try:
            check(began, dict, "config")
            differ = config.unlike(Config.from_record(began))
        except ValueError as error:
            raise ValueError(f"{folder.checkpoint_path} cannot be resumed: {error}") from None
        if differ:
            raise CommandError(
                f"{folder.config_path} was changed: the run began with {', '.join(differ)}; put "
                "the original back, or start another run"
            )
    return config


def resume(
    folder: RunFolder, config: Config, net: Network, data: Sets, args: argparse.Namespace
) -> None:
    """Continue a run to its end, if it is not there already; `net` has the initial weights."""
    if folder.finished(config):
        print(f"the run in {folder} is finished ({folder.history().ended}): there is nothing to do")
        # The process may have ended before the pictures were drawn, or drawn again.
        trained = folder.history_path.stat().st_mtime_ns
        pictures = (folder.curves_path, folder.mistakes_path)
        if not all(path.exists() and path.stat().st_mtime_ns >= trained for path in pictures):
            draw(folder, folder.network(), folder.history(), data[2])
        return
    if folder.checkpoint_path.exists():
        net, state, _ = load_checkpoint(folder.checkpoint_path, _used(data))
    elif folder.network_path.exists():
        raise CommandError(
            f"{folder} has no checkpoint.npz, without which a run cannot be resumed "
            "(version 0.1.0 removed it at the end of a run): start another run"
        )
    else:  # the first checkpoint could not be written
        state = State.start(config.settings(), _generators(config)[1])
    if config.keep_weights and len(state.history) and not folder.weights_path.is_file():
        raise CommandError(
            f"{folder} has no {folder.weights_path.name}, in which the run keeps its weights by "
            "epoch: put it back, or start another run"
        )
    epochs = len(state.history)
    if config.epochs < epochs:
        raise UsageError(
            f"--epochs {config.epochs}: the run in {folder} has trained {epochs} epochs "
            "already: give more"
        )
    history = run(folder, config, net, state, data, args)
    if len(history) == epochs:
        print(f"no epoch was added: {history.ended}")


def _used(data: Sets) -> dict[str, Dataset]:
    """Return the sets that must be unchanged when a run is resumed."""
    return {"training": data[0], "validation": data[1]}


# Training.


def run(
    folder: RunFolder,
    config: Config,
    net: Network,
    state: State,
    data: Sets,
    args: argparse.Namespace,
) -> History:
    """Train the network, and write the files of the run."""
    training, validation, test = data
    settings, history = config.settings(), state.history

    checkpoints = Checkpoints(folder.checkpoint_path, settings, _used(data), config=config.record())

    transform: Transform | None = None
    if config.recipe:
        transform = RECIPES[config.recipe].transform(config.epochs, training.shape)
    if config.expand in DISTORTIONS:
        transform = DISTORTIONS[config.expand](shape=training.shape)

    def after_epoch(net: Network, state: State) -> None:
        if config.keep_weights:  # before the checkpoint, which must not be ahead of it
            keep_weights(folder.weights_path, net, len(state.history))
        checkpoints.after_epoch(net, state)

    folder.write_config(config, training.name, network=repr(net), environment=environment())
    if not folder.checkpoint_path.exists():
        if config.keep_weights:
            keep_weights(folder.weights_path, net, 0)
        checkpoints.save(net, state)  # to resume from, if the first epoch is interrupted
    monitor = {} if config.monitor_training == "none" else {"training": training}
    if config.monitor_training == "sample":
        monitor["training"] = training[:SAMPLE]
    if config.monitor_test:
        monitor["test"] = test
    try:
        train(
            net,
            training,
            settings,
            validation=validation,
            monitor=monitor,
            transform=transform,
            regularized_cost=config.regularized_cost,
            threads=args.threads,
            progress=not args.quiet,
            after_epoch=after_epoch,
            checkpoint=checkpoints.save,
            checkpoint_seconds=args.checkpoint_seconds,
            state=state,
        )
    except DivergedError as error:
        raise CommandError(f"{error}; the last finite state is in {folder}") from error
    finally:
        raw = training.images.dtype == np.uint8
        about = {"data": training.name, "preprocessing": "raw/256" if raw else "as given"}
        save(net, folder.network_path, **about, validation_accuracy=accuracy(net, validation))
        save_history(history, folder.history_path)
    draw(folder, net, history, test)
    return history


def draw(folder: RunFolder, net: Network, history: History, test: Dataset) -> None:
    """Draw the curves, and the most confident mistakes on the test set."""
    import_plots()
    from nndl import plots

    kind, label = test.name.removesuffix(" test"), folder.path.resolve().name
    fig = plots.plot_learning_curves({printable(label): history}, printable(kind))
    plots.save(fig, folder.curves_path)
    if shape := plots.picture_shape(test.images.shape[1], test.shape):
        worst = mistakes(net, test, 40)
        notes = (worst.true, worst.predicted, worst.confidence)
        images = test.images[worst.index]
        fig = plots.plot_mistakes(images, *notes, title=printable(test.name), shape=shape)
        plots.save(fig, folder.mistakes_path)


def conclude(net: Network, test: Dataset, target: float | None) -> int:
    """Print the accuracy on the test set; return the exit status."""
    score = evaluate(net, test)
    low, high = wilson_interval(score.correct, score.n)
    print(
        f"{printable(test.name)} accuracy: {100 * score.accuracy:.2f} % ({score.correct:,} of "
        f"{score.n:,}; 95 % interval {100 * low:.2f} to {100 * high:.2f})"
    )
    if target is not None and 100 * score.correct / score.n < target:  # rounded once
        print(f"the target of {target:g} % was missed", file=sys.stderr)
        return FAILED
    return 0
