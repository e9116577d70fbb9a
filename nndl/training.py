"""Training as a service: monitoring, History, early stopping, schedules, progress, interruption.

`Network.sgd` does the mathematics and yields after every epoch; everything that happens then
happens here.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from nndl.blas import one_thread
from nndl.containers import check
from nndl.data.batches import Transform
from nndl.data.dataset import Dataset
from nndl.door import check_dataset
from nndl.environment import environment
from nndl.files import write_text
from nndl.functions import Array
from nndl.layers import Learning, Step
from nndl.metrics import evaluate
from nndl.network import DivergedError, Network
from nndl.streams import Rng, Streams

__all__ = ["History", "Settings", "State", "train"]


@dataclass(frozen=True)
class Settings:
    """The hyper-parameters of a training run.

    Parameters
    ----------
    epochs : int
        At most so many passes through the training set.
    mini_batch_size : int
        Images in a step.
    eta : float
        Learning rate at the start.
    lmbda, lmbda_l1 : float
        L2 and L1 regularisation (chapter 3).
    mu : float
        Momentum coefficient (equations 107-108).
    patience : int, optional
        Stop when the validation accuracy has not improved in so many epochs.
    halve_after : int, optional
        Halve eta when the validation accuracy has not improved in so many epochs, and stop when
        it would fall below 1/128 of the start (the book's exercise on learning schedules).

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    epochs: int = 30
    mini_batch_size: int = 10
    eta: float = 0.5
    lmbda: float = 0.0
    lmbda_l1: float = 0.0
    mu: float = 0.0
    patience: int | None = None
    halve_after: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.generic):  # JSON knows Python's numbers only
                object.__setattr__(self, name, value.item())
        for name in ("epochs", "mini_batch_size", "patience", "halve_after"):
            value = getattr(self, name)
            optional = name in ("patience", "halve_after") and value is None
            if not optional and (type(value) is not int or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        Step(1, 1, self.eta, self.lmbda, self.lmbda_l1, self.mu)

    @property
    def keeps_best(self) -> bool:
        """Whether training ends on the weights of the best epoch, not of the last."""
        return self.patience is not None or self.halve_after is not None


@dataclass
class History:
    """What happened in training, epoch by epoch; plain JSON.

    Attributes
    ----------
    epochs : dict of lists
        An entry for each epoch: "eta", "seconds" (of training only), and for each monitored set
        "<set>_cost", "<set>_correct" (count) and "<set>_accuracy" (fraction in [0, 1]).
    settings, environment : dict
        The hyper-parameters, and what the run ran on.
    ended : str
        Why training ended; empty while it has not.
    best_epoch : int or None
        The first epoch with the highest validation accuracy.
    """

    epochs: dict[str, list[float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    ended: str = ""
    best_epoch: int | None = None

    def __len__(self) -> int:
        return len(self.epochs.get("eta", ()))

    def __getitem__(self, key: str) -> list[float]:
        return self.epochs[key]

    def __contains__(self, key: str) -> bool:
        return key in self.epochs

    def append(self, row: Mapping[str, float]) -> None:
        """Add an epoch."""
        for key, value in row.items():
            self.epochs.setdefault(key, []).append(value)

    def save(self, path: str | Path) -> None:
        """Write the History as JSON, atomically."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what `save` wrote; ValueError if the file holds something else."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            check(content, HISTORY, "it")
            lengths = {key: len(series) for key, series in content["epochs"].items()}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"its series should be of one length, but have {lengths}")
            return cls(**content)
        except ValueError as error:  # of the encoding and of the JSON too
            raise ValueError(f"{path} is not a History written by nndl: {error}") from None

    def __repr__(self) -> str:
        last = {k: round(v[-1], 4) for k, v in self.epochs.items() if k.endswith("accuracy")}
        return f"History({len(self)} epochs, last {last}, {self.ended or 'running'})"


HISTORY: dict[str, Any] = {  # as `nndl.containers.check` has it
    "epochs": {str: [float]},
    "settings": dict,
    "environment": dict,
    "ended": str,
    "best_epoch": (range(2**31),),
}


@dataclass
class State:
    """Everything that changes in training besides the network: to go on from where it stands."""

    history: History
    streams: Streams
    eta: float
    best_correct: int = -1
    best_parameters: tuple[Array, ...] = ()
    waited: int = 0  # epochs without improvement, for patience
    waited_to_halve: int = 0  # the same since eta was halved, for the schedule

    @classmethod
    def start(cls, settings: Settings, rng: Rng = None) -> State:
        """Return the state before the first epoch."""
        history = History(settings=asdict(settings), environment=dict(environment()))
        return cls(history, Streams(rng), settings.eta)


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
    progress: bool = False,
    after_epoch: Callable[[Network, State], None] | None = None,
    state: State | None = None,
) -> History:
    """Train a network in place and return what happened.

    Ctrl-C ends training within 500 images, or a mini-batch of more: the network stands as it is
    then, the History holds the epochs that ended, and its ``ended`` says "interrupted"; a second
    Ctrl-C interrupts as usual. Where something else than Python's own handler waits for SIGINT, it
    is left alone. Where `Settings.keeps_best`, the network always ends on the weights of the best
    epoch.

    Parameters
    ----------
    net : Network
    training : Dataset
    settings : Settings
        By default ``Settings()``.
    validation : Dataset, optional
        Measured after every epoch, and what patience and schedule go by.
    monitor : mapping of names to Datasets, optional
        Other sets to measure after every epoch: ``{"training": training, "test": test}``.
    rng : int, Generator or None
        Seed of shuffling, dropout and expansion.
    order, transform
        As for `Network.sgd`.
    progress : bool
        Print a line after every epoch, and a bar while a terminal is watching.
    after_epoch : callable (net, state), optional
        Called after every epoch, to save or to draw. Setting ``state.history.ended`` ends training.
    state : State, optional
        Where to go on from, as given to `after_epoch`, with the network as it stood there: keep
        both by `save_checkpoint`, or by ``copy.deepcopy((net, state))``. Its streams replace
        ``rng``. Without it velocities start from 0.

    Raises
    ------
    ValueError
        If the data does not fit, or patience or schedule have no validation set to go by; if a
        state has other settings, but for those of when to end (epochs, patience and halve_after),
        or measured other sets.
    DivergedError
        If outputs are no longer finite; the network is back at the end of the last whole epoch.
    """
    settings = Settings() if settings is None else settings
    if not isinstance(settings, Settings):
        raise TypeError(f"expected Settings(...), not {type(settings).__name__}")
    if not isinstance(monitor, Mapping | None):
        raise TypeError(
            'monitor must be a mapping like {"test": test_set}, not ' + type(monitor).__name__
        )
    if settings.keeps_best and validation is None:
        raise ValueError("patience and halve_after go by the validation accuracy: give validation")
    if state is None:
        state = State.start(settings, rng)
        _rest(net)
    history, first = state.history, len(state.history)
    history.ended = _reason_to_end(state, settings)  # none at the start, nor in most that go on
    sets = dict(monitor or {})
    if validation is not None:
        if "validation" in sets:
            raise ValueError('monitor holds "validation" too: give it another name')
        sets["validation"] = validation
    for data in (training, *sets.values()):
        check_dataset(data, net.n_in, net.n_out)
    _check_goes_on(history, settings, list(sets))
    history.settings |= {key: getattr(settings, key) for key in _MAY_CHANGE}
    with _progress(progress, settings, len(training)) as bar, _interruptible() as interrupted:

        def stop() -> bool:
            bar.advance()
            return interrupted.is_set()

        epochs = net.sgd(
            training,
            0 if history.ended else max(0, settings.epochs - first),
            settings.mini_batch_size,
            lambda epoch: state.eta,
            lmbda=settings.lmbda,
            lmbda_l1=settings.lmbda_l1,
            mu=settings.mu,
            rng=state.streams,
            order=order,
            transform=transform,
            stop=stop,
        )
        start, last = perf_counter(), [p.copy() for p in net.parameters]
        try:
            for _ in epochs:
                row: dict[str, float] = {"eta": state.eta, "seconds": perf_counter() - start}
                with one_thread(), np.errstate(over="ignore", invalid="ignore"):
                    for name, data in sets.items():
                        score = evaluate(net, data, settings.lmbda, settings.lmbda_l1)
                        row |= {
                            f"{name}_cost": score.cost,
                            f"{name}_correct": score.correct,
                            f"{name}_accuracy": score.accuracy,
                        }
                _check_finite(row, len(history))
                history.append(row)
                if validation is not None:
                    _judge(net, state, settings)
                bar.report(history)
                if after_epoch is not None:
                    after_epoch(net, state)
                if history.ended:
                    break
                start, last = perf_counter(), [p.copy() for p in net.parameters]
            else:
                early = interrupted.is_set() and len(history) < settings.epochs
                history.ended = history.ended or ("interrupted" if early else "all epochs done")
        except DivergedError as error:
            _restore(net, last)
            _rest(net)  # velocities that are not finite would spoil every later step
            history.ended = str(error)
            raise
    if settings.keeps_best and state.best_parameters:
        _restore(net, state.best_parameters)
    return history


_MAY_CHANGE = ("epochs", "patience", "halve_after")


def _check_goes_on(history: History, settings: Settings, sets: list[str]) -> None:
    """Raise ValueError if a History was begun with other settings, or measures other sets."""
    began = history.settings
    differ = [
        f"{key} {began[key]!r}, not {value!r}"
        for key, value in asdict(settings).items()
        if key in began and key not in _MAY_CHANGE and began[key] != value
    ]
    measured = [key.removesuffix("_cost") for key in history.epochs if key.endswith("_cost")]
    if len(history) and set(measured) != set(sets):
        differ.append(f"measured sets {sorted(measured)}, not {sorted(sets)}")
    if differ:
        raise ValueError(
            f"the state began with {'; '.join(differ)}: go on with the same, or start without a "
            "state"
        )


def _rest(net: Network) -> None:
    for layer in net.layers:
        if isinstance(layer, Learning):
            layer.rest()


def _judge(net: Network, state: State, settings: Settings) -> None:
    """Compare an epoch with the best so far; lower eta or end training where it is time."""
    history = state.history
    correct = int(history["validation_correct"][-1])
    if correct > state.best_correct:
        state.best_correct, history.best_epoch = correct, len(history) - 1
        state.best_parameters = tuple(p.copy() for p in net.parameters)
        state.waited = state.waited_to_halve = 0
        return
    state.waited += 1
    state.waited_to_halve += 1
    history.ended = _reason_to_end(state, settings)
    waited_enough = settings.halve_after and state.waited_to_halve >= settings.halve_after
    if waited_enough and not history.ended:
        state.eta /= 2
        state.waited_to_halve = 0


def _reason_to_end(state: State, settings: Settings) -> str:
    """Return why patience or schedule end training where it stands; empty if they do not."""
    if settings.patience is not None and state.waited >= settings.patience:
        return f"no improvement in {state.waited} epochs"
    waited_enough = settings.halve_after and state.waited_to_halve >= settings.halve_after
    if waited_enough and state.eta / 2 < settings.eta / 128:
        return "eta has reached 1/128 of its start"
    return ""


def _restore(net: Network, parameters: tuple[Array, ...] | list[Array]) -> None:
    for p, saved in zip(net.parameters, parameters, strict=True):
        p[...] = saved


def _check_finite(row: Mapping[str, float], epoch: int) -> None:
    for key, value in row.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"training diverged: the {key.replace('_', ' ')} after epoch {epoch} is {value}; "
                f"try a smaller eta than {row['eta']:g}"
            )


class _Silent:
    def advance(self) -> None:
        pass

    def report(self, history: History) -> None:
        pass


class _Lines(_Silent):
    """A line an epoch on standard output; on a terminal, a bar below it on standard error."""

    def __init__(self, settings: Settings, n: int) -> None:
        batch = settings.mini_batch_size
        self.n, self.chunk = n, max(1, 500 // batch) * batch
        self.bar = tqdm(
            total=n, unit=" images", unit_scale=True, leave=False, disable=not sys.stderr.isatty()
        )

    def advance(self) -> None:
        self.bar.update(min(self.chunk, self.n - self.bar.n))

    def report(self, history: History) -> None:
        epoch, row = len(history) - 1, {k: v[-1] for k, v in history.epochs.items()}
        parts = [f"epoch {epoch:2d}"]
        for key, value in row.items():
            if key.endswith("_accuracy"):
                name = key.removesuffix("_accuracy")
                parts.append(f"{name} {100 * value:.2f} %  cost {row[name + '_cost']:.4f}")
        parts += [f"eta {row['eta']:g}", f"{row['seconds']:.2f} s"]
        tqdm.write("  ".join(parts), file=sys.stdout)
        sys.stdout.flush()
        self.bar.reset()
        self.bar.set_postfix_str(parts[1] if len(parts) > 3 else "")


@contextmanager
def _progress(show: bool, settings: Settings, n: int) -> Iterator[_Silent]:
    if not show:
        yield _Silent()
        return
    lines = _Lines(settings, n)
    with lines.bar:
        yield lines


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Let the first Ctrl-C set an event, in the main thread, where Python handles it."""
    interrupted = threading.Event()
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not in_main or before is not signal.default_int_handler:  # ignored, or the caller's own
        yield interrupted
        return

    def note(signum: int, frame: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
