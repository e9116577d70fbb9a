"""Training: monitoring, early stopping, learning-rate schedules, interruption, checkpoints.

`Network.sgd` does the mathematics and yields after every epoch; this module does the work between
epochs.
"""

from __future__ import annotations

import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nndl._typing import Array
from nndl.batches import Transform
from nndl.dataset import Dataset, warn_of_missing_classes
from nndl.network import Network
from nndl.parallel import computing
from nndl.rng import Rng, Streams
from nndl.step import Weights
from nndl.training.averaging import Average, restore
from nndl.training.diagnosis import EPOCHS, diagnose
from nndl.training.environment import environment
from nndl.training.history import History
from nndl.training.metrics import measure
from nndl.training.progress import show_progress
from nndl.training.settings import Settings
from nndl.validation import DivergedError, check_dataset

__all__ = ["State", "TrainingInterrupted", "train"]


class TrainingInterrupted(KeyboardInterrupt):
    """Raised when Ctrl-C ends training.

    `history` has the epochs that were completed. The network has consistent weights.
    """

    def __init__(self, history: History) -> None:
        super().__init__(f"training was interrupted after {len(history)} epochs")
        self.history = history


@dataclass
class State:
    """Everything except the network that changes during training and that a checkpoint stores.

    Attributes
    ----------
    eta : float
        The learning rate, if it does not change from step to step; halve_after changes it, and
        ``after_epoch`` may.
    done : int
        Images of the current epoch that are already used; 0 between epochs. The shuffle stream is
        then as it was at the start of the epoch.
    average : tuple of ndarray
        The average of the weights (and of all else that training changes), if settings ask for it.
    raw : tuple of ndarray
        The weights that training had reached, after `train` has given the network its average or
        the best weights.
    waited, waited_to_halve : int
        Epochs without improvement: in total, for patience, and since eta was last halved.
    """

    history: History
    streams: Streams
    eta: float
    best_correct: int = -1
    best_parameters: tuple[Array, ...] = ()
    waited: int = 0
    waited_to_halve: int = 0
    done: int = 0
    best_cost: float | None = None
    average: tuple[Array, ...] = ()
    raw: tuple[Array, ...] = ()

    @classmethod
    def start(cls, settings: Settings, rng: Rng = None) -> State:
        """Return the state before the first epoch."""
        history = History(settings=settings.record(), environment=dict(environment()))
        return cls(history, Streams(rng), 0.0 if callable(settings.eta) else settings.eta)


Callback = Callable[[Network, State], None]


def train(
    net: Network,
    training: Dataset,
    settings: Settings | None = None,
    *,
    validation: Dataset | None = None,
    monitor: Mapping[str, Dataset] | None = None,
    rng: Rng = None,
    order: Callable[[int], NDArray[np.integer]] | None = None,
    transform: Transform | None = None,
    regularized_cost: bool = False,
    threads: int | None = None,
    progress: bool = False,
    after_epoch: Callback | None = None,
    checkpoint: Callback | None = None,
    checkpoint_seconds: float = 60.0,
    state: State | None = None,
) -> History:
    """Train a network in place and return its `History`.

    Parameters
    ----------
    net : Network
    training : Dataset
    settings : Settings
        By default ``Settings()``. With patience or halve_after, the network gets the weights of
        the best epoch at the end. With average, it has its own weights during training, also in
        callbacks, but is measured with the average, and gets the average at the end.
    validation : Dataset, optional
        Evaluated after every epoch. patience and halve_after depend on its accuracy or cost.
    monitor : mapping of names to Datasets, optional
        Other sets to evaluate after every epoch: ``{"training": training, "test": test}``.
    rng : int, Generator or None
        Seed of shuffling, dropout and augmentation.
    order, transform
        As for `Network.sgd`. If a transform has an attribute ``epoch``, as those of recipes have,
        it is set to the number of epochs done.
    regularized_cost : bool
        Add the L2 and L1 terms to the evaluated costs, as the book's network2 does. Without them,
        the costs of training and validation can be compared, and fall while the network learns.
    threads : int, optional
        By default all cores. Mini-batches of 32 examples or more use several; the result does not
        depend on their number.
    progress : bool
        Print a line after every epoch, and show a progress bar on a terminal or in a notebook.
    after_epoch : callable (net, state), optional
        Called after every epoch, for instance to save. Setting ``state.history.ended`` to a text
        ends training.
    checkpoint : callable (net, state), optional
        Called within an epoch, every ``checkpoint_seconds`` and when Ctrl-C ends the epoch, to save
        both arguments.
    state : State, optional
        Resume from this state, which `after_epoch` or `checkpoint` received together with the
        network; keep both with `save_checkpoint` or ``copy.deepcopy((net, state))``, or use them
        after training. The random streams of the state replace ``rng``. Without a state, velocities
        start from 0.

    Raises
    ------
    ValueError
        If the data does not fit; if patience or halve_after is set without a validation set; if
        a state was made with other settings (except patience, halve_after and, without a schedule,
        epochs) or other evaluated sets.
    DivergedError
        If the parameters or a measured cost are no longer finite. The weights of the last complete
        epoch are restored.
    TrainingInterrupted
        A KeyboardInterrupt. It is raised after Ctrl-C, at the end of the current chunk of 500
        images (or of a larger mini-batch). A second Ctrl-C interrupts at once. If SIGINT has a
        handler other than Python's default, that handler stays in place.

    Warns
    -----
    UserWarning
        If the training set lacks classes that the validation set has; if accuracy stays at chance
        for 3 epochs on 500 training images or more: the message names the cause.

    Examples
    --------
    >>> import numpy as np
    >>> from nndl import Dataset, Network, Settings, train
    >>> corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    >>> xor = Dataset(corners, np.array([0, 1, 1, 0]), "xor")
    >>> net = Network([2, 4, 2], rng=0)
    >>> settings = Settings(epochs=300, mini_batch_size=4, eta=5.0)
    >>> history = train(net, xor, settings, monitor={"training": xor}, rng=0)
    >>> history.ended, history["training_accuracy"][-1]
    ('all epochs done', 1.0)
    >>> net.predict(corners)
    array([0, 1, 1, 0])
    """
    settings = Settings() if settings is None else settings
    if not isinstance(settings, Settings):
        raise TypeError(f"expected Settings(...), not {type(settings).__name__}")
    sets = _sets(validation, monitor, settings)
    for data in (training, *sets.values()):
        check_dataset(data, net.n_in, net.n_out, net.cost)
    if validation is not None:
        warn_of_missing_classes(training, validation, "the validation set", stacklevel=3)
    if state is None:
        state = State.start(settings, rng)
        _reset(net)
    history, first, skip = state.history, len(state.history), state.done
    _check_resumes(history, settings, list(sets))
    if skip >= len(training):
        raise ValueError(
            f"the state has {skip:,} images of an epoch done, but the training set has "
            f"{len(training):,} in all: resume with the data that the run began with"
        )
    history.settings |= {key: getattr(settings, key) for key in settings.may_change}
    penalty = (settings.lmbda, settings.lmbda_l1) if regularized_cost else (0.0, 0.0)
    history.ended = _reason_to_end(state, settings)  # usually empty
    if state.raw:  # undo `_end_with`
        restore(net, state.raw)
        state.raw = ()
    average = _average(net, state, settings, len(training))
    with show_progress(progress, len(training)) as bar, _interruptible() as interrupted:
        pause = _Checkpoints(net, state, checkpoint, checkpoint_seconds)

        def stop(done: int) -> bool:
            bar.advance(done)
            if average is not None:
                average.update(len(history), done)
            end = interrupted.is_set()
            pause(done, at_once=end)
            return end

        rate = (lambda epoch: state.eta) if settings.is_constant else settings.rate
        epochs = net.sgd(
            training,
            0 if history.ended else max(0, settings.epochs - first),
            settings.mini_batch_size,
            rate,
            lmbda=settings.lmbda,
            lmbda_l1=settings.lmbda_l1,
            mu=settings.mu,
            nesterov=settings.nesterov,
            label_smoothing=settings.label_smoothing,
            rng=state.streams,
            order=order,
            transform=transform,
            stop=stop,
            skip=skip,
            first=first,
            threads=threads,
        )
        start, last = perf_counter(), _kept(net, state)
        _tell(transform, len(history))
        try:
            for epoch in epochs:
                row: dict[str, float] = {
                    "eta": float(rate(epoch + 0.5)),
                    "seconds": perf_counter() - start - pause.spent,
                }
                pause.epoch_ended()
                if average is not None:
                    average.update(len(history) + 1, 0)
                with average.in_use() if average is not None else nullcontext():
                    row |= _measure(net, sets, *penalty, threads)
                    _check_finite(row, len(history))
                    history.append(row)
                    enough = len(history) == EPOCHS and len(training) >= ENOUGH
                    if enough and (cause := diagnose(net, training, history)):
                        warnings.warn(cause, stacklevel=2)
                    if validation is not None:
                        _judge(net, state, settings)
                bar.report(history)
                if after_epoch is not None:
                    after_epoch(net, state)
                if history.ended or interrupted.is_set():
                    break
                _tell(transform, len(history))
                start, last = perf_counter(), _kept(net, state)
        except DivergedError as error:
            for array, saved in zip(net.state + state.average, last, strict=True):
                array[...] = saved
            _reset(net)  # infinite velocities would make every later step fail
            history.ended = str(error)
            _end_with(net, state, state.average)
            raise
        early = interrupted.is_set() and len(history) < settings.epochs
        history.ended = history.ended or ("interrupted" if early else "all epochs done")
    best = state.best_parameters if settings.keeps_best else ()
    _end_with(net, state, best or state.average)
    if interrupted.is_set():
        raise TrainingInterrupted(history)
    return history


ENOUGH = 500  # training images: with fewer, three epochs are too few steps to judge


def _tell(transform: Any, epoch: int) -> None:
    """Tell a transform that changes with the epochs how many are done."""
    if hasattr(transform, "epoch"):
        transform.epoch = epoch


def _sets(
    validation: Dataset | None, monitor: Mapping[str, Dataset] | None, settings: Settings
) -> dict[str, Dataset]:
    """Return the sets to evaluate after every epoch, by name."""
    if not isinstance(monitor, Mapping | None):
        raise TypeError(
            'monitor must be a mapping like {"test": test_set}, not ' + type(monitor).__name__
        )
    if settings.keeps_best and validation is None:
        raise ValueError("patience and halve_after need a validation set: pass validation")
    sets = dict(monitor or {})
    if validation is not None:
        if "validation" in sets:
            raise ValueError('monitor has a set named "validation" too: give it another name')
        sets["validation"] = validation
    return sets


def _measure(
    net: Network,
    sets: Mapping[str, Dataset],
    lmbda: float,
    lmbda_l1: float,
    threads: int | None,
) -> dict[str, float]:
    """Return cost, count and accuracy of each set, if it has one, with the keys of History."""
    row: dict[str, float] = {}
    with computing(threads), np.errstate(over="ignore", invalid="ignore"):
        for name, data in sets.items():
            score = measure(net, data, lmbda, lmbda_l1)
            row[f"{name}_cost"] = score.cost
            if score.measured is not None:
                row[f"{name}_correct"] = score.correct
                row[f"{name}_accuracy"] = score.accuracy
    return row


class _Checkpoints:
    """Calls back within an epoch, every ``seconds`` seconds, and when Ctrl-C ends it.

    During the call, and after Ctrl-C, the state has the shuffle stream as it was at the start of
    the epoch, so that a resumed run draws the same order again. `done` is the number of images
    already used. `spent` is the number of seconds that the callbacks of an epoch took.
    """

    def __init__(
        self, net: Network, state: State, callback: Callback | None, seconds: float
    ) -> None:
        self.net, self.state, self.callback, self.seconds = net, state, callback, seconds
        self.epoch_ended()

    def epoch_ended(self) -> None:
        self.shuffle, self.last = self.state.streams.shuffle.bit_generator.state, perf_counter()
        self.state.done, self.spent = 0, 0.0

    def __call__(self, done: int, at_once: bool) -> None:
        due = self.callback is not None and perf_counter() - self.last >= self.seconds
        if not due and not at_once:
            return
        generator = self.state.streams.shuffle.bit_generator
        now, generator.state, self.state.done = generator.state, self.shuffle, done
        if self.callback is not None:
            start = perf_counter()
            self.callback(self.net, self.state)
            self.spent += perf_counter() - start
        if not at_once:
            generator.state, self.state.done, self.last = now, 0, perf_counter()


def _check_resumes(history: History, settings: Settings, sets: list[str]) -> None:
    """Raise ValueError if a History has other settings or other evaluated sets."""
    began = history.settings
    differ = [
        f"{key} {began[key]!r}, not {value!r}"
        for key, value in settings.record().items()
        if key in began and key not in settings.may_change and began[key] != value
    ]
    measured = [key.removesuffix("_cost") for key in history.epochs if key.endswith("_cost")]
    if len(history) and set(measured) != set(sets):
        differ.append(f"measured sets {sorted(measured)}, not {sorted(sets)}")
    if differ:
        raise ValueError(
            f"the state began with {'; '.join(differ)}: resume with the same, or train without a "
            "state"
        )


def _reset(net: Network) -> None:
    for layer in net.layers:
        if isinstance(layer, Weights):
            layer.reset()


def _judge(net: Network, state: State, settings: Settings) -> None:
    """Compare an epoch with the best so far; halve eta or end training if settings say so."""
    history = state.history
    if _is_best(state, settings):
        history.best_epoch = len(history) - 1
        state.best_parameters = tuple(p.copy() for p in net.state)
        state.waited = state.waited_to_halve = 0
        return
    state.waited += 1
    state.waited_to_halve += 1
    history.ended = _reason_to_end(state, settings)
    waited_enough = settings.halve_after and state.waited_to_halve >= settings.halve_after
    if waited_enough and not history.ended:
        state.eta /= 2
        state.waited_to_halve = 0


def _is_best(state: State, settings: Settings) -> bool:
    """Return whether the last epoch is the best so far, and remember its result if so."""
    history = state.history
    if settings.judge_by == "cost" or "validation_correct" not in history:
        cost = history["validation_cost"][-1]
        best = state.best_cost is None or cost < state.best_cost
        state.best_cost = cost if best else state.best_cost
    else:
        correct = int(history["validation_correct"][-1])
        best = correct > state.best_correct
        state.best_correct = max(correct, state.best_correct)
    return best


def _reason_to_end(state: State, settings: Settings) -> str:
    """Return why patience or halve_after end training now; empty if they do not."""
    if settings.patience is not None and state.waited >= settings.patience:
        return f"no improvement in {state.waited} epochs"
    waited_enough = settings.halve_after and state.waited_to_halve >= settings.halve_after
    if waited_enough and state.eta / 2 < settings.rate(0.0) / 128:
        return "eta has reached 1/128 of its initial value"
    return ""


def _average(net: Network, state: State, settings: Settings, n: int) -> Average | None:
    """Return the average of the weights, if settings ask for it."""
    if not settings.average:
        return None
    if not state.average:
        state.average = tuple(p.copy() for p in net.state)
    return Average(
        net,
        state.average,
        settings.average,
        settings.mini_batch_size,
        n,
        epoch=len(state.history),
        done=state.done,
    )


def _end_with(net: Network, state: State, parameters: tuple[Array, ...]) -> None:
    """Give the network these parameters, if there are any; the state keeps its own."""
    if parameters:
        state.raw = tuple(p.copy() for p in net.state)
        restore(net, parameters)


def _kept(net: Network, state: State) -> list[Array]:
    """Return copies of what is restored after divergence."""
    return [array.copy() for array in net.state + state.average]


def _check_finite(row: Mapping[str, float], epoch: int) -> None:
    for key, value in row.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"training diverged: the {key.replace('_', ' ')} after epoch {epoch} is {value}; "
                f"try a smaller eta than {row['eta']:g}"
            )


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Let the first Ctrl-C set an event, if Python's default handler is in place."""
    interrupted = threading.Event()
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not in_main or before is not signal.default_int_handler:  # handled otherwise
        yield interrupted
        return

    def note(signum: int, frame: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        if signal.getsignal(signal.SIGINT) is note:  # otherwise a callback installed its own
            signal.signal(signal.SIGINT, before)
