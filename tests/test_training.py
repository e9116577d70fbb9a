"""Training: early stopping, schedule, History, monitoring, resuming, interrupting, divergence."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import json
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nndl.batches
import nndl.training
from nndl._typing import Array
from nndl.activations import identity
from nndl.costs import quadratic
from nndl.data import Dataset
from nndl.network import Network
from nndl.rng import Streams
from nndl.storage import load_checkpoint, load_history, save_checkpoint, save_history
from nndl.training import Settings, State, TrainingInterrupted, train
from nndl.training.metrics import Score, evaluate
from nndl.validation import DivergedError

train_module = importlib.import_module("nndl.training.train")  # not the function of that name

# Labels are random here, and cannot be learned.
pytestmark = pytest.mark.filterwarnings("ignore:.* which is chance:UserWarning")

FAST = Settings(epochs=4, mini_batch_size=7, eta=0.5, mu=0.5)


def draw(seed: int, n: int = 40) -> Dataset:
    rng = np.random.default_rng(seed)
    return Dataset(rng.normal(size=(n, 5)).astype(np.float32), rng.integers(0, 3, n))


TRAINING, VALIDATION = draw(1), draw(2)


def fresh(**more: Any) -> Network:
    return Network([5, 6, 3], rng=1, **more)


def values(net: Network) -> bytes:
    return b"".join(p.tobytes() for p in net.parameters)


class Epochs:
    """Remembers the parameters, and copies of network and state, after every epoch."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.nets: list[Network] = []
        self.states: list[State] = []

    def __call__(self, net: Network, state: State) -> None:
        self.values.append(values(net))
        self.nets.append(copy.deepcopy(net))
        self.states.append(copy.deepcopy(state))


def script(monkeypatch: pytest.MonkeyPatch, correct: Iterable[int]) -> None:
    """Replace the validation accuracy by these percentages, whatever the network predicts."""
    counts = iter(correct)
    scripted = lambda net, data, *penalties: Score(0.5, next(counts), 100)  # noqa: E731
    monkeypatch.setattr(import_module("nndl.training.train"), "measure", scripted)


@pytest.mark.parametrize(
    ("patience", "correct", "ran", "best"),
    [
        (1, [50, 40], 2, 0),
        (1, [50, 60, 60], 3, 1),  # equal is not better
        (2, [50, 40, 60, 55, 60], 5, 2),
        (3, [10, 20, 15, 15, 30, 25, 25, 25], 8, 4),
    ],
)
def test_training_ends_after_patience_with_the_best_weights(
    patience: int,
    correct: list[int],
    ran: int,
    best: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script(monkeypatch, correct)
    net, epochs = fresh(), Epochs()
    settings = dataclasses.replace(FAST, epochs=30, patience=patience)
    history = train(net, TRAINING, settings, validation=VALIDATION, rng=2, after_epoch=epochs)
    assert len(history) == ran
    assert history["validation_correct"] == correct
    assert history.best_epoch == best
    assert history.ended == f"no improvement in {patience} epochs"
    assert values(net) == epochs.values[best]
    assert values(net) != epochs.values[-1]


def test_divergence_with_patience_restores_the_last_epoch_and_not_the_best() -> None:
    rng = np.random.default_rng(0)
    data = Dataset(rng.random((60, 4)), rng.integers(0, 3, 60))
    net = Network([4, 3], cost=quadratic, output=identity, rng=0)
    kept: list[list[Array]] = []

    def keep(net: Network, state: State) -> None:
        kept.append([p.copy() for p in net.parameters])

    settings = Settings(200, 7, 1.5, mu=0.5, patience=200)
    with pytest.raises(DivergedError):
        train(net, data, settings, validation=data, after_epoch=keep, rng=0)
    assert len(kept) > 1
    for found, last, before in zip(net.parameters, kept[-1], kept[-2], strict=True):
        np.testing.assert_array_equal(found, last)
        assert not np.array_equal(last, before)
    assert net.layers[0].v_w is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("judge_by", "cost"), ("mini_batch_size", 11), ("label_smoothing", 0.1)),
        *(("average", 0.1), ("mu", 0.5), ("lmbda_l1", 1.0), ("schedule", "cosine")),
    ],
)
def test_a_run_is_not_resumed_with_another_setting(name: str, value: Any) -> None:
    data = Dataset(np.eye(4, dtype=np.float32), np.arange(4) % 2)
    net, state = Network([4, 2], rng=0), State.start(Settings(1), 0)
    train(net, data, Settings(1), state=state)
    with pytest.raises(ValueError, match=f"the state began with .*{name}"):
        train(net, data, dataclasses.replace(Settings(1), **{name: value}), state=state)


def test_an_epoch_of_equal_cost_is_no_improvement() -> None:
    settings, state = Settings(judge_by="cost", patience=3), State.start(Settings())
    net = Network([3, 2], rng=0)
    for cost, best in ((0.5, 0), (0.5, 0), (0.4, 2), (0.4, 2)):
        state.history.append({"eta": 0.5, "validation_cost": cost})
        train_module._judge(net, state, settings)
        assert state.history.best_epoch == best
    assert state.waited == 1


def test_checkpoints_within_an_epoch_are_taken_when_they_are_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(train_module, "perf_counter", lambda: clock[0])
    taken: list[tuple[int, int]] = []

    def later(images: Any, rng: np.random.Generator) -> Any:
        clock[0] += 10  # seconds for each chunk of 500 images
        return images

    train(
        Network([4, 3], rng=0),
        Dataset(np.zeros((3000, 4), np.float32), np.arange(3000) % 3),
        Settings(epochs=2, mini_batch_size=100),
        transform=later,
        checkpoint=lambda net, state: taken.append((len(state.history), state.done)),
        checkpoint_seconds=25,
        rng=0,
    )
    assert taken == [(0, 1500), (1, 1500)]


def test_the_seconds_of_an_epoch_are_those_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(train_module, "perf_counter", lambda: clock[0])

    def slow(*arguments: Any) -> Any:
        clock[0] += 100
        return measured(*arguments)

    def one_second(images: Any, rng: np.random.Generator) -> Any:
        clock[0] += 1
        return images

    measured = train_module._measure
    monkeypatch.setattr(train_module, "_measure", slow)
    data = Dataset(np.zeros((30, 4), np.float32), np.arange(30) % 3)
    history = train(
        Network([4, 3], rng=0),
        data,
        Settings(epochs=3),
        transform=one_second,
        monitor={"training": data},
        rng=0,
    )
    assert history["seconds"] == [1, 1, 1]


def test_patience_and_halving_go_by_the_cost_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = iter([0.9, 0.8, 0.8, 0.7, 0.75, 0.71, 0.72])
    scripted = lambda *_: Score(next(costs), 50, 100)  # noqa: E731
    monkeypatch.setattr(import_module("nndl.training.train"), "measure", scripted)
    net, epochs = fresh(), Epochs()
    settings = Settings(30, 7, 1.0, patience=3, halve_after=2, judge_by="cost")
    history = train(net, TRAINING, settings, validation=VALIDATION, rng=2, after_epoch=epochs)
    assert (len(history), history.best_epoch) == (7, 3)
    assert history["eta"] == [1, 1, 1, 1, 1, 1, 0.5]
    assert epochs.states[-1].best_cost == 0.7
    assert values(net) == epochs.values[3]


def test_unused_patience_still_returns_the_best_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script(monkeypatch, [10, 30, 20, 20])
    net, epochs = fresh(), Epochs()
    settings = dataclasses.replace(FAST, patience=10)
    history = train(net, TRAINING, settings, validation=VALIDATION, after_epoch=epochs)
    assert history.ended == "all epochs done"
    assert values(net) == epochs.values[1]


def test_without_patience_the_last_weights_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, [10, 30, 20, 20])
    net, epochs = fresh(), Epochs()
    history = train(net, TRAINING, FAST, validation=VALIDATION, after_epoch=epochs)
    assert values(net) == epochs.values[3]
    assert history.best_epoch == 1


def test_eta_halves_without_improvement_and_training_ends_below_1_128(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script(monkeypatch, [50] * 30)
    settings = dataclasses.replace(FAST, epochs=30, eta=1.0, halve_after=2)
    history = train(fresh(), TRAINING, settings, validation=VALIDATION, rng=2)
    halves = [2.0**-k for k in range(1, 8) for _ in (1, 2)]
    assert history["eta"] == [1.0, 1.0, 1.0, *halves]
    assert history.ended == "eta has reached 1/128 of its initial value"


def test_an_improvement_resets_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, [50, 40, 60, 55, 55, 70, 65, 65])
    settings = dataclasses.replace(FAST, epochs=8, eta=1.0, halve_after=2)
    history = train(fresh(), TRAINING, settings, validation=VALIDATION, rng=2)
    assert history["eta"] == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5]


def test_the_network_trains_with_the_halved_eta(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, [50, 40, 40, 40])
    epochs, book = Epochs(), fresh()
    settings = dataclasses.replace(FAST, eta=1.0, halve_after=1)
    train(fresh(), TRAINING, settings, validation=VALIDATION, rng=2, after_epoch=epochs)
    rates = [1.0, 1.0, 0.5, 0.25]
    for k in book.sgd(TRAINING, 4, 7, lambda epoch: rates[int(epoch)], mu=0.5, rng=2):
        assert values(book) == epochs.values[k]


@pytest.mark.parametrize("regularized", [False, True])
def test_history_records_unregularized_costs_unless_asked(
    regularized: bool,
) -> None:
    net, found = fresh(), []
    settings = dataclasses.replace(FAST, lmbda=2.0, lmbda_l1=1.0)
    penalty = (2.0, 1.0) if regularized else (0.0, 0.0)

    def measure(net: Network, state: State) -> None:
        found.append([evaluate(net, data, *penalty) for data in (TRAINING, VALIDATION)])

    history = train(
        net,
        TRAINING,
        settings,
        validation=VALIDATION,
        monitor={"training": TRAINING},
        regularized_cost=regularized,
        after_epoch=measure,
    )
    for k, name in enumerate(("training", "validation")):
        scores = [epoch[k] for epoch in found]
        assert history[f"{name}_cost"] == [s.cost for s in scores]
        assert history[f"{name}_correct"] == [s.correct for s in scores]
        assert history[f"{name}_accuracy"] == [s.correct / 40 for s in scores]
    assert history["eta"] == [0.5] * 4
    assert all(seconds > 0 for seconds in history["seconds"])
    assert history.settings == dataclasses.asdict(settings)


def test_measured_costs_are_those_of_the_true_labels() -> None:
    net = fresh()
    settings = dataclasses.replace(FAST, epochs=1, label_smoothing=0.3)
    history = train(net, TRAINING, settings, monitor={"training": TRAINING}, rng=2)
    assert history["training_cost"] == [evaluate(net, TRAINING).cost]
    plain = fresh()
    train(plain, TRAINING, dataclasses.replace(settings, label_smoothing=0.0), rng=2)
    assert values(plain) != values(net)


def test_history_can_be_saved_and_loaded(tmp_path: Path) -> None:
    settings = dataclasses.replace(FAST, patience=2)
    history = train(fresh(), TRAINING, settings, validation=VALIDATION, rng=2)
    save_history(history, tmp_path / "history.json")
    json.loads((tmp_path / "history.json").read_text(), parse_constant=pytest.fail)  # no NaN
    assert load_history(tmp_path / "history.json") == history
    assert "validation_cost" in history
    assert "test_cost" not in history
    assert repr(history).startswith(f"History({len(history)} epochs, last {{'validation_accuracy'")


def test_progress_needs_no_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    assert len(train(fresh(), TRAINING, FAST, rng=2, progress=True)) == 4


def test_monitoring_does_not_change_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    silent, watched = fresh(dropout=0.5), fresh(dropout=0.5)
    train(silent, TRAINING, FAST, rng=2)
    assert capsys.readouterr().out == ""
    sets = {"training": TRAINING, "test": draw(3, 1500)}
    train(watched, TRAINING, FAST, validation=VALIDATION, monitor=sets, rng=2, progress=True)
    assert values(silent) == values(watched)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:8] for line in lines] == [f"epoch {k:2d}" for k in range(4)]
    assert all("validation" in line and "%" in line for line in lines)


# Resuming.


@pytest.mark.parametrize("done", [1, 3])
def test_a_resumed_run_equals_the_uninterrupted_one(done: int) -> None:
    net, epochs = fresh(dropout=0.5), Epochs()
    settings = dataclasses.replace(FAST, epochs=6, halve_after=1)
    noise = lambda images, rng: images + rng.normal(size=images.shape).astype("f")  # noqa: E731
    whole = {"validation": VALIDATION, "transform": noise}
    history = train(net, TRAINING, settings, **whole, rng=2, after_epoch=epochs)

    resumed, state = epochs.nets[done - 1], epochs.states[done - 1]
    again = train(resumed, TRAINING, settings, **whole, state=state)
    assert values(resumed) == values(net)
    for key in history.epochs:
        assert key == "seconds" or again[key] == history[key]
    assert (again.best_epoch, again.ended) == (history.best_epoch, history.ended)
    assert len(again) == 6


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("average", [0.0, 0.5])
def test_what_training_leaves_is_resumed_as_if_it_had_not_ended(
    saved: bool, average: float, tmp_path: Path
) -> None:
    states: list[State] = []
    settings = dataclasses.replace(FAST, epochs=6, patience=50, average=average)
    short = dataclasses.replace(settings, epochs=4)
    whole, net = fresh(), fresh()
    history = train(whole, TRAINING, settings, validation=VALIDATION, rng=2)
    keep = lambda net, state: states.append(state)  # noqa: E731
    train(net, TRAINING, short, validation=VALIDATION, rng=2, after_epoch=keep)
    state = states[-1]
    assert values(net) == b"".join(p.tobytes() for p in state.best_parameters)
    if saved:
        save_checkpoint(tmp_path / "c.npz", net, state, short)
        net, state, _ = load_checkpoint(tmp_path / "c.npz")
    again = train(net, TRAINING, settings, validation=VALIDATION, state=state)
    assert again["validation_cost"] == history["validation_cost"]
    assert values(net) == values(whole)


@pytest.mark.parametrize("name", Streams.names)
def test_a_resumed_run_differs_when_a_stream_is_replaced(name: str) -> None:
    net, epochs = fresh(dropout=0.5), Epochs()
    noise = lambda images, rng: images + rng.normal(size=images.shape).astype("f")  # noqa: E731
    train(net, TRAINING, FAST, transform=noise, rng=2, after_epoch=epochs)
    resumed, state = epochs.nets[0], epochs.states[0]
    setattr(state.streams, name, getattr(Streams(2), name))  # as at the start of training
    train(resumed, TRAINING, FAST, transform=noise, state=state)
    assert values(resumed) != values(net)


def test_streams_continue_from_a_state_written_as_json() -> None:
    streams = Streams(3)
    streams.shuffle.permutation(9)
    text = json.dumps(streams.state)
    expected = [getattr(streams, name).random() for name in Streams.names]
    other = Streams(4)
    other.state = json.loads(text)
    assert [getattr(other, name).random() for name in Streams.names] == expected
    assert len(set(expected)) == 3


def test_drawing_from_one_stream_does_not_change_the_others() -> None:
    plain, drawn = Streams(3), Streams(3)
    drawn.dropout.random(1000)
    drawn.expansion.random(1000)
    np.testing.assert_array_equal(drawn.shuffle.permutation(99), plain.shuffle.permutation(99))


# Ending early.


@pytest.fixture(autouse=True)
def sigint() -> Iterator[None]:
    """Handle Ctrl-C as in the foreground; shells ignore SIGINT for background processes."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("from_a_thread", [False, True])
def test_ctrl_c_ends_training_after_a_chunk_and_is_recorded_in_the_history(
    from_a_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nndl.batches, "CHUNK", 500)
    data, calls, epochs = draw(4, 1200), [], Epochs()
    settings = Settings(epochs=9, mini_batch_size=10, eta=0.5, mu=0.5)

    def press(images: Array, rng: np.random.Generator) -> Array:
        calls.append(len(images))
        if len(calls) == 5:  # chunks of 500, 500, 200; then of 500, 500
            if from_a_thread:
                thread = threading.Thread(target=signal.raise_signal, args=(signal.SIGINT,))
                thread.start()
                thread.join()
            else:
                signal.raise_signal(signal.SIGINT)
        return images

    before = signal.getsignal(signal.SIGINT)
    net = fresh()
    more = {"validation": data, "rng": 2, "transform": press, "after_epoch": epochs}
    with pytest.raises(TrainingInterrupted) as caught:
        train(net, data, settings, **more)
    history = caught.value.history
    assert isinstance(caught.value, KeyboardInterrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert history.ended == "interrupted"
    assert calls == [500, 500, 200, 500, 500]
    assert len(history) == len(epochs.values) == 1
    assert {len(column) for column in history.epochs.values()} == {1}

    # The fifth chunk was still used.
    book, asked = fresh(), iter([False] * 3 + [True])
    stop = lambda done: next(asked)  # noqa: E731
    assert list(book.sgd(data, 9, 10, 0.5, mu=0.5, rng=2, stop=stop)) == [0]
    assert values(net) == values(book)


def test_a_second_ctrl_c_interrupts_as_usual() -> None:
    def press(images: Array, rng: np.random.Generator) -> Array:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return images

    with pytest.raises(KeyboardInterrupt) as caught:
        train(fresh(), TRAINING, FAST, transform=press)
    assert not isinstance(caught.value, TrainingInterrupted)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_a_callback_sets_is_kept() -> None:
    def handler(signum: int, frame: Any) -> None:
        pass

    train(
        fresh(),
        TRAINING,
        FAST,
        after_epoch=lambda *_: signal.signal(signal.SIGINT, handler) and None,
    )
    assert signal.getsignal(signal.SIGINT) is handler


def test_one_ctrl_c_ends_a_loop_of_trainings() -> None:
    begun = []

    def press(images: Array, rng: np.random.Generator) -> Array:
        if len(begun) == 2:
            signal.raise_signal(signal.SIGINT)
        return images

    def sweep() -> None:
        for seed in range(40):
            begun.append(seed)
            train(fresh(), TRAINING, FAST, rng=seed, transform=press)

    with pytest.raises(KeyboardInterrupt):
        sweep()
    assert begun == [0, 1]


@pytest.mark.parametrize("at", [500, 1000])
def test_training_resumes_within_an_epoch_to_the_same_bits(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nndl.batches, "CHUNK", 500)
    data, kept = draw(4, 1200), []
    settings = Settings(epochs=3, mini_batch_size=10, eta=0.5, mu=0.5, lmbda=0.1)

    def noise(images: Array, rng: np.random.Generator) -> Array:
        return images + rng.normal(size=images.shape).astype(images.dtype)

    def keep(net: Network, state: State) -> None:
        if len(state.history) == 1 and state.done == at:
            kept.append(copy.deepcopy((net, state)))

    more = {"validation": data, "transform": noise, "checkpoint_seconds": 0.0}
    whole = fresh()
    history = train(whole, data, settings, rng=2, checkpoint=keep, **more)
    [(net, state)] = kept
    resumed = train(net, data, settings, state=state, **more)
    assert values(net) == values(whole)
    assert resumed["validation_cost"] == history["validation_cost"]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda signum, frame: None])
def test_another_sigint_handler_is_kept(handler: Any) -> None:
    def press(net: Network, state: State) -> None:
        assert signal.getsignal(signal.SIGINT) is handler
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, handler)
    try:
        history = train(fresh(), TRAINING, FAST, rng=2, after_epoch=press)
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.ended == "all epochs done"


@pytest.mark.parametrize(
    "settings",
    [
        Settings(epochs=60, mini_batch_size=7, patience=2),
        Settings(epochs=200, mini_batch_size=7, halve_after=1),
    ],
)
def test_a_run_ended_by_patience_or_schedule_does_not_continue(settings: Settings) -> None:
    kept = Epochs()
    net = fresh()
    history = train(net, TRAINING, settings, validation=VALIDATION, rng=2, after_epoch=kept)
    assert len(history) < settings.epochs
    # As if it was killed before the checkpoint of its last epoch was deleted.
    again = train(kept.nets[-1], TRAINING, settings, validation=VALIDATION, state=kept.states[-1])
    assert again.epochs == history.epochs
    assert (again.ended, again.best_epoch) == (history.ended, history.best_epoch)
    assert values(kept.nets[-1]) == values(net)
    patient = dataclasses.replace(settings, patience=100, halve_after=None)
    more = train(kept.nets[-1], TRAINING, patient, validation=VALIDATION, state=kept.states[-1])
    assert len(more) > len(history)


def test_an_interrupted_run_can_be_resumed_to_its_last_epoch() -> None:
    states: list[State] = []

    def press(net: Network, state: State) -> None:
        states.append(state)
        if len(states) == 1:
            signal.raise_signal(signal.SIGINT)

    net = fresh()
    with pytest.raises(TrainingInterrupted) as caught:
        train(net, TRAINING, FAST, rng=2, after_epoch=press)
    assert caught.value.history.ended == "interrupted"
    history = train(net, TRAINING, FAST, state=states[0])
    assert (len(history), history.ended) == (4, "all epochs done")


def test_a_run_interrupted_within_an_epoch_is_resumed_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nndl.batches, "CHUNK", 7)
    states: list[State] = []
    calls: list[int] = []

    def press(images: Array, rng: np.random.Generator) -> Array:
        calls.append(len(images))
        if len(calls) == 9:  # chunks of 7, 7, 7, 7, 7, 5 in an epoch
            signal.raise_signal(signal.SIGINT)
        return images

    more: dict[str, Any] = {"rng": 2, "after_epoch": lambda net, state: states.append(state)}
    whole, net = fresh(), fresh()
    train(whole, TRAINING, FAST, rng=2)
    with pytest.raises(TrainingInterrupted):
        train(net, TRAINING, FAST, transform=press, **more)
    assert states[0].done == 21
    train(net, TRAINING, FAST, state=states[0])
    assert values(net) == values(whole)


def test_training_in_a_thread_works_without_signals() -> None:
    net, twin = fresh(), fresh()
    thread = threading.Thread(target=train, args=(net, TRAINING, FAST), kwargs={"rng": 2})
    thread.start()
    thread.join()
    train(twin, TRAINING, FAST, rng=2)
    assert values(net) == values(twin)


def test_after_epoch_may_end_training() -> None:
    def end(net: Network, state: State) -> None:
        if len(state.history) == 2:
            state.history.ended = "good enough"

    history = train(fresh(), TRAINING, FAST, after_epoch=end)
    assert (len(history), history.ended) == (2, "good enough")


def linear(eta: float, epochs: int = 50, mu: float = 0.0) -> tuple[Network, Settings]:
    net = Network([5, 3], cost=quadratic, activation=identity, rng=1)
    return net, Settings(epochs=epochs, mini_batch_size=7, eta=eta, mu=mu)


def test_divergence_restores_the_weights_of_the_last_complete_epoch() -> None:
    net, settings = linear(8.0)
    epochs = Epochs()
    with pytest.raises(DivergedError, match="smaller eta than 8"):
        train(net, TRAINING, settings, rng=2, after_epoch=epochs)
    assert len(epochs.values) > 1
    assert values(net) == epochs.values[-1]
    assert all(np.isfinite(p).all() for p in net.parameters)


@pytest.mark.filterwarnings("ignore:float pixels")
@pytest.mark.parametrize("sets", [{}, {"validation": VALIDATION}], ids=["unwatched", "watched"])
def test_infinite_weights_after_the_last_step_raise_diverged_error(
    sets: dict[str, Dataset],
) -> None:
    net, settings = linear(1e38, epochs=1)
    data = Dataset(
        TRAINING.images[:7] * 100, TRAINING.labels[:7]
    )  # a single step, starting from a finite z
    start = values(net)
    with pytest.raises(DivergedError, match=r"smaller eta than 1e\+38"):
        train(net, data, settings, **sets)
    assert values(net) == start


def test_an_infinite_cost_raises_diverged_error_without_a_warning() -> None:
    net, settings = linear(1e25, epochs=1)  # finite outputs, but their squares are not
    start = values(net)
    with pytest.raises(DivergedError, match=r"validation cost after epoch 0 is inf.*than 1e\+25"):
        train(net, TRAINING[:7], settings, validation=VALIDATION)
    assert values(net) == start


def test_a_diverged_network_can_be_trained_again_with_a_smaller_eta() -> None:
    net, settings = linear(8.0, mu=0.5)
    with pytest.raises(DivergedError):
        train(net, TRAINING, settings, rng=2)
    history = train(net, TRAINING, dataclasses.replace(settings, eta=0.01), rng=2)
    assert history.ended == "all epochs done"


def test_equal_initial_weights_and_seeds_give_equal_histories_also_with_momentum() -> None:
    net = Network([5, 4, 3], rng=1)
    start, costs = [p.copy() for p in net.parameters], []
    for _ in range(2):
        for p, p0 in zip(net.parameters, start, strict=True):
            p[...] = p0
        settings = Settings(epochs=2, eta=0.1, mu=0.9)
        history = train(net, TRAINING, settings, monitor={"training": TRAINING}, rng=0)
        costs.append(history["training_cost"])
    assert costs[0] == costs[1]


def test_training_continues_from_a_copied_state() -> None:
    settings = Settings(epochs=6, eta=3.0, mu=0.5, patience=50)
    taken = []

    def keep(net: Network, state: State) -> None:
        taken.append(copy.deepcopy((net, state)))

    whole = Network([5, 4, 3], rng=1)
    train(whole, TRAINING, settings, validation=TRAINING, rng=0, after_epoch=keep)
    net, state = taken[2]
    history = train(net, TRAINING, settings, validation=TRAINING, state=state)
    assert history["validation_cost"] == taken[-1][1].history["validation_cost"]
    for p, q in zip(net.parameters, whole.parameters, strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize(
    ("changed", "sets", "says"),
    [
        ({"eta": 0.01, "lmbda": 1.0}, {}, r"eta 0.5, not 0.01; lmbda 0.0, not 1.0: resume"),
        ({}, {"test": VALIDATION}, r"measured sets \['validation'\], not \['test', 'validation'\]"),
    ],
)
def test_resuming_with_other_settings_or_sets_raises_value_error(
    changed: dict[str, float], sets: dict[str, Dataset], says: str
) -> None:
    net, states = fresh(), []
    settings = Settings(epochs=2, eta=0.5)
    keep = lambda net, state: states.append(state)  # noqa: E731
    train(net, TRAINING, settings, validation=VALIDATION, after_epoch=keep)
    other = dataclasses.replace(settings, epochs=3, **changed)
    with pytest.raises(ValueError, match=says):
        train(net, TRAINING, other, validation=VALIDATION, monitor=sets, state=states[-1])
    longer = dataclasses.replace(settings, epochs=3)
    history = train(net, TRAINING, longer, validation=VALIDATION, state=states[-1])
    assert (len(history), history.settings["epochs"]) == (3, 3)


def test_seconds_of_training_are_without_checkpoints() -> None:
    def save(net: Network, state: State) -> None:
        time.sleep(0.05)

    data = draw(1, 2100)
    settings = dataclasses.replace(FAST, epochs=1)
    history = train(fresh(), data, settings, rng=2, checkpoint=save, checkpoint_seconds=0)
    assert history["seconds"][0] < 0.15  # four checkpoints take 0.2 s


def test_epochs_of_settings_have_one_message() -> None:
    for epochs in (0, -1):
        with pytest.raises(ValueError, match=f"a whole number, 1 or more, not {epochs}$"):
            Settings(epochs=epochs)
    for name in ("epochs", "mini_batch_size", "eta"):
        with pytest.raises(TypeError, match=f"{name} must be .*, not '3'$"):
            Settings(**{name: "3"})
