"""The scripts, typed as a user would, well and badly."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nndl.cli.options import exit_with
from nndl.cli.run_folder import RunFolder
from nndl.data import Dataset, synthetic_digits, write_idx
from nndl.storage import load_history

SCRIPTS = Path(__file__).parent.parent / "scripts"
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")


def command(line: str) -> list[str]:
    name, *flags = shlex.split(line)
    return [sys.executable, str(SCRIPTS / name), *flags]


def script(line: str, **env: object) -> subprocess.CompletedProcess[str]:
    """Run a script as typed; ``env`` is added to the environment."""
    added = os.environ | {name: str(value) for name, value in env.items()}
    return subprocess.run(command(line), capture_output=True, text=True, env=added, timeout=300)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small files in MNIST's format."""
    folder = tmp_path_factory.mktemp("digits")
    for part, n, seed in (("train", 1200, 0), ("t10k", 300, 1)):
        data = synthetic_digits(n, np.random.default_rng(seed))
        raw = (data.images * 256).astype(np.uint8).reshape(-1, 28, 28)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", raw)
        write_idx(folder / f"{part}-labels-idx1-ubyte", data.labels.astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def run(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    done = script(f"train_mnist.py --data {digits} --hidden 20 --epochs 3 --out {folder}")
    assert done.returncode == 0, done.stderr
    assert f"written to {folder}" in done.stdout
    assert done.stdout.count("epoch  ") == 3
    return folder


def test_a_run_leaves_what_it_says(run: Path) -> None:
    found = {path.name for path in run.iterdir() if not path.name.startswith(".")}
    assert found == {"config.json", "history.json", "network.npz", "curves.png", "mistakes.png"}
    config = RunFolder(run).config()
    assert config["settings"]["hidden"] == [20]
    assert config["environment"]["numpy"] == np.__version__
    assert len(RunFolder(run).history()) == 3
    assert RunFolder(run).network().n_parameters == 784 * 20 + 20 + 210


@pytest.mark.parametrize(("seed", "same"), [(0, True), (1, False)])
def test_the_same_seed_gives_the_same_run(
    run: Path, digits: Path, tmp_path: Path, seed: int, same: bool
) -> None:
    done = script(
        f"train_mnist.py --data {digits} --hidden 20 --epochs 3 --seed {seed} --quiet "
        f"--out {tmp_path / 'run'}"
    )
    assert done.returncode == 0
    w = RunFolder(tmp_path / "run").network().weights[0]
    assert np.array_equal(w, RunFolder(run).network().weights[0]) is same


def test_evaluate_says_how_good_and_draws(run: Path, tmp_path: Path) -> None:
    done = script(f"evaluate_mnist.py {run} --out {tmp_path}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line[:1].isdigit()]) == 10
    assert any(line.startswith("all") and "%" in line for line in lines)
    assert {p.name for p in tmp_path.iterdir()} == {"confusion.png", "mistakes.png", "weights.png"}


def test_pictures_of_other_data_do_not_replace_those_of_the_test_set(
    run: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    kept = (copied / "mistakes.png").read_bytes()
    done = script(f"evaluate_mnist.py {copied} --set validation")
    assert done.returncode == 0, done.stderr
    [folder] = [path for path in copied.iterdir() if path.is_dir()]
    assert f"drawn in {folder}: " in done.stdout
    assert "validation" in folder.name
    assert len(list(folder.iterdir())) == 3
    assert (copied / "mistakes.png").read_bytes() == kept


def test_photographs_are_read_and_what_was_seen_is_drawn(run: Path, tmp_path: Path) -> None:
    digits = synthetic_digits(2, 5)
    for i, image in enumerate(digits.images.reshape(-1, 28, 28)):
        picture = np.pad(1 - np.kron(image, np.ones((5, 5))), 40, constant_values=1)
        Image.fromarray((200 * picture).astype(np.uint8)).save(tmp_path / f"{i}.jpg")
    (tmp_path / "letter.txt").write_text("no picture")
    out = tmp_path / "seen.svg"
    given = " ".join(str(tmp_path / name) for name in ("0.jpg", "letter.txt", "1.jpg"))
    for network in (run, run / "network.npz"):
        done = script(f"predict_digits.py {network} {given} --out {out}")
        assert done.returncode == 1  # of the letter, but the others are read
        assert len(done.stderr.splitlines()) == 1
        assert "letter.txt should be a picture" in done.stderr
        answers = done.stdout.splitlines()
        assert [line.split(": ")[0] for line in answers[:2]] == given.split()[::2]
        assert all(re.search(r": \d  \(output -?\d\.\d\d; next \d, ", a) for a in answers[:2])
        assert out.stat().st_size > 5000
        out.unlink()


@pytest.mark.parametrize("name", ["curves.png", "curves.svg"])
def test_curves_of_two_runs(run: Path, tmp_path: Path, name: str) -> None:
    done = script(f"plot_curves.py {run} {run} --out {tmp_path / name}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / name).stat().st_size > 5000


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        ("--eta 0", 2, "eta must be positive"),
        ("--eta fast", 2, "invalid float value"),
        ("--epochs 0", 2, "at least 1"),
        ("--epochs -3", 2, "at least 1"),
        ("--hidden 0", 2, "at least 1"),
        ("--hidden thirty", 2, "at least 1"),
        ("--batch-size 0", 2, "at least 1"),
        ("--train-size 0", 2, "at least 1"),
        ("--train-size 1300", 2, "only 1,000 training images"),
        ("--patience soon", 2, "at least 1, not 'soon'; or none"),
        ("--hidden --dropout 0.5", 2, "is for hidden layers"),
        ("--out ''", 2, "not an empty text"),
        ("--dropout 1", 2, "in [0, 1)"),
        ("--momentum 1.5", 2, "in [0, 1)"),
        ("--lmbda -1", 2, "0 or more"),
        ("--lmbda nan", 2, "0 or more"),
        ("--l1 -1", 2, "0 or more"),
        ("--seed -1", 2, "--seed: expected a whole number of at least 0, not '-1'"),
        ("--seed now", 2, "whole number"),
        ("--target-accuracy high", 2, "from 1 to 100"),
        ("--target-accuracy 0.98", 2, "from 1 to 100"),
        ("--conv 0", 2, "at least 1"),
        ("--conv 4 4 4", 2, "is larger than its pictures of 4 x 4"),
        ("--halve-after 0", 2, "at least 1"),
        ("--activation step", 2, "invalid choice"),
        ("--init ones", 2, "invalid choice"),
        ("--dtype float16", 2, "invalid choice"),
        ("--cost cross-entropy --output tanh", 2, "cross-entropy cost"),
        ("--cost mse", 2, "invalid choice"),
        ("--expand twice", 2, "invalid choice"),
        ("--epoch 3 --learning-rate 1", 2, "unrecognized arguments"),
        ("--data no/such/folder", 1, "mnist, synthetic, or a folder"),
        ("--resume no/such/run", 2, "no/such/run"),
        ("stray", 2, "unrecognized arguments: stray"),
    ],
)
def test_what_a_newcomer_mistypes_is_one_line(
    digits: Path, flags: str, status: int, message: str
) -> None:
    data = "" if "--data" in flags else f"--data {digits}"
    done = script(f"train_mnist.py {data} {flags} --dry-run")
    assert done.returncode == status
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("evaluate_mnist.py", 2, "required: RUN"),
        ("plot_curves.py", 2, "required: RUN"),
        ("predict_digits.py", 2, "required: RUN"),
        ("predict_digits.py some/run", 2, "required: PICTURE"),
        ("reproduce_book.py", 2, "required: COMMAND"),
        ("reproduce_book.py run c9-magic", 2, "no experiment is called 'c9-magic': see list"),
        ("reproduce_book.py run --chapter 2", 2, "invalid choice"),
        ("reproduce_book.py run --jobs 0", 2, "at least 1"),
        ("reproduce_book.py replay c9-magic", 2, "invalid choice"),
        ("reproduce_book.py run c3-hp-a --chapter 3", 1, "names or --chapter, not both"),
    ],
)
def test_the_other_scripts_answer_in_one_line_too(line: str, status: int, message: str) -> None:
    done = script(line)
    assert done.returncode == status
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_file_is_no_folder_to_write_into(run: Path, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for line in (
        f"train_mnist.py --data {digits} --epochs 1 --out {tmp_path / 'file'}",
        f"evaluate_mnist.py {run} --out {tmp_path / 'file' / 'folder'}",
        f"reproduce_book.py replay c3-reg-1000 --out {tmp_path / 'file'}",
    ):
        done = script(line)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert f"{tmp_path / 'file'}" in done.stderr
        assert "should be a folder" in done.stderr


def test_a_history_that_is_none_is_named(run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    for text in ("null", '["a"]', '{"epochs": {"validation_accuracy": 5}}', '{"a": 1}', "{"):
        (copied / "history.json").write_text(text)
        done = script(f"plot_curves.py {copied} --out {tmp_path / 'x.png'}")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "history.json is not a History" in done.stderr


def test_pictures_have_two_formats_and_a_place(run: Path, tmp_path: Path) -> None:
    for out, message in (("x.gif", "saved as .png or .svg"), ("no/x.png", "cannot write")):
        done = script(f"plot_curves.py {run} --out {tmp_path / out}")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert message in done.stderr


@pytest.mark.parametrize(
    "line", ["evaluate_mnist.py {}", "plot_curves.py {}", "predict_digits.py {} digit.png"]
)
def test_an_unfinished_run_is_told_from_none(tmp_path: Path, line: str) -> None:
    (tmp_path / "checkpoint.npz").touch()
    (tmp_path / "config.json").write_text('{"settings": {}, "data": "digits training"}')
    done = script(line.format(tmp_path))
    assert done.returncode == 1
    assert f"go on with train_mnist.py --resume {tmp_path}" in done.stderr


@pytest.mark.parametrize(
    "line", ["evaluate_mnist.py {}", "plot_curves.py {}", "predict_digits.py {} digit.png"]
)
def test_a_folder_without_a_run_is_named(tmp_path: Path, line: str) -> None:
    done = script(line.format(tmp_path))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path) in done.stderr


def test_data_that_is_damaged_is_named(digits: Path, tmp_path: Path) -> None:
    for path in digits.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (tmp_path / "train-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(whole[: len(whole) // 2])
    done = script(f"train_mnist.py --data {tmp_path} --dry-run")
    assert done.returncode == 1
    assert "train-images-idx3-ubyte.gz is not a whole IDX file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_other_sets_bring_their_own_classes_and_sizes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, n in (("train", 60), ("test", 20)):
        pixels = rng.integers(0, 256, (n, 6, 5), np.uint8)
        write_idx(tmp_path / f"emnist-letters-{part}-images-idx3-ubyte.gz", pixels)
        letters = (np.arange(n) % 26 + 1).astype(np.uint8)
        write_idx(tmp_path / f"emnist-letters-{part}-labels-idx1-ubyte.gz", letters)
    folder = tmp_path / "run"
    done = script(f"train_mnist.py --data-dir {tmp_path} --hidden 7 --epochs 1 --out {folder}")
    assert done.returncode == 0, done.stderr
    assert "Network(30 - Dense(7, sigmoid) - Dense(27, sigmoid)" in done.stdout
    assert "50 images to train, 10 to validate, 20 to test" in done.stdout
    assert not (folder / "mistakes.png").exists()  # the images are not square
    done = script(f"evaluate_mnist.py {folder}")
    assert done.returncode == 0, done.stderr
    assert f"drawn in {folder}: confusion.png\n" in done.stdout


def test_the_fivefold_set_is_what_is_trained_on(digits: Path, tmp_path: Path) -> None:
    line = f"train_mnist.py --data {digits} --hidden 5 --epochs 1 --expand fivefold"
    done = script(f"{line} --out {tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "5,000 images to train, 200 to validate" in done.stdout


def test_a_run_is_never_written_over(run: Path, digits: Path) -> None:
    before = RunFolder(run).network_path.read_bytes()
    done = script(f"train_mnist.py --data {digits} --epochs 1 --out {run}")
    assert done.returncode == 1
    assert "holds a run already" in done.stderr
    assert RunFolder(run).network_path.read_bytes() == before


@pytest.mark.parametrize("name", ["network.npz", "checkpoint.npz", "curves.png", "history.json"])
def test_files_of_the_same_names_are_the_users(digits: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    done = script(f"train_mnist.py --data {digits} --epochs 1 --out {tmp_path}")
    assert done.returncode == 1
    assert f"files of the same names ({name})" in done.stderr
    assert (tmp_path / name).read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} <= {name, ".lock"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "MNIST training"}, "began with MNIST training, and the data here is digits"),
        ({"settings": {"epochs": 7}}, "was changed: the run began with epochs 100000;"),
        ({"settings": {"hidden": [6], "seed": 3}}, "began with hidden [5], seed 0;"),
        ({"settings": {"expand": "fivefold"}}, "began with expand 'none';"),
        ({"settings": {"cost": "mse"}}, "began with cost 'cross-entropy';"),
        ({"settings": {"train_size": "500"}}, "began with train_size None;"),
        ({"settings": {"data": 7}}, "data must be a text, not 7"),
        ({"settings": {"target_accuracy": "97"}}, "target_accuracy must be a number, not '97'"),
        ({"settings": [1]}, "settings must be an object, not [1]"),
    ],
)
def test_a_run_does_not_go_on_with_other_data_or_settings(
    digits: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    line = f"train_mnist.py --data {digits} --hidden 5 --epochs 100000 --halve-after none"
    process = subprocess.Popen(command(f"{line} --out {tmp_path}"), stdout=subprocess.DEVNULL)
    folder = RunFolder(tmp_path)
    while not folder.checkpoint_path.exists():
        time.sleep(0.05)
    process.kill()
    process.wait()
    config = folder.config()
    if isinstance(change.get("settings"), dict):
        change = {"settings": config["settings"] | change["settings"]}
    folder.write_config(config | change)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*")}
    done = script(f"train_mnist.py --resume {tmp_path}")
    assert done.returncode in (1, 2)
    assert message in done.stderr.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.*")} | before == before


def test_a_second_run_in_one_folder_is_refused(digits: Path, tmp_path: Path) -> None:
    line = f"train_mnist.py --data {digits} --epochs 1000 --halve-after none --out {tmp_path}"
    first = subprocess.Popen(command(line), stdout=subprocess.DEVNULL)
    try:
        wait_for(tmp_path / "checkpoint.npz", first)
        second = script(line.replace("--out", "--resume"))
    finally:
        first.kill()
        first.wait()
    assert second.returncode == 1
    assert f"another process is writing to {tmp_path}" in second.stderr


@pytest.mark.parametrize(
    "line",
    [
        "reproduce_book.py list",
        "evaluate_mnist.py {run} --out {out}",
        "train_mnist.py {small} {out}",
    ],
)
def test_a_reader_that_stops_reading_is_no_error(
    line: str, run: Path, digits: Path, tmp_path: Path
) -> None:
    small = f"--data {digits} --hidden 5 --epochs 1 --out"
    typed = command(line.format(run=run, small=small, out=tmp_path / "out"))
    with subprocess.Popen(
        typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 128 + signal.SIGPIPE


def test_the_broken_pipe_of_something_else_is_an_error() -> None:
    def main() -> int:
        raise BrokenPipeError("of a process that died")

    with pytest.raises(BrokenPipeError, match="that died"):
        exit_with(main)


def test_a_warning_is_a_line(digits: Path, tmp_path: Path) -> None:
    done = script(
        f"train_mnist.py --data {digits} --hidden 5 --epochs 1 --lmbda 1e-6 "
        f"--out {tmp_path / 'run'}"
    )
    assert done.returncode == 0
    assert re.search(r"^warning: lmbda of 1e-06 has no effect in float32.*$", done.stderr, re.M)
    assert "UserWarning" not in done.stderr


def test_a_missed_target_is_status_1(digits: Path, tmp_path: Path) -> None:
    done = script(
        f"train_mnist.py --data {digits} --hidden 5 --epochs 1 --target-accuracy 100 "
        f"--out {tmp_path / 'run'}"
    )
    assert done.returncode == 1
    assert "the target of 100 % was missed" in done.stderr
    again = script(f"train_mnist.py --resume {tmp_path / 'run'}")  # is finished
    assert again.returncode == 1
    assert "the target of 100 % was missed" in again.stderr


def test_diverging_training_keeps_the_last_finite_state(digits: Path, tmp_path: Path) -> None:
    done = script(
        f"train_mnist.py --data {digits} --activation relu --output identity --cost quadratic "
        f"--eta 100 --out {tmp_path}"
    )
    assert done.returncode == 1
    assert "try a smaller eta than 100" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert all(np.isfinite(p).all() for p in RunFolder(tmp_path).network().parameters)
    assert "diverged" in RunFolder(tmp_path).history().ended


def without_seconds(folder: Path) -> dict[str, list[float]]:
    epochs = dict(load_history(folder / "history.json").epochs)
    epochs.pop("seconds")
    return epochs


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.005)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_ends_in_its_first_epoch_is_not_finished(
    digits: Path, tmp_path: Path, signum: signal.Signals
) -> None:
    line = f"train_mnist.py --data {digits} --conv 20 --hidden 300 --epochs 1 --expand elastic"
    process = subprocess.Popen(
        command(f"{line} --out {tmp_path}"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(tmp_path / "checkpoint.npz", process)
    process.send_signal(signum)
    process.wait()
    assert script(f"train_mnist.py --resume {tmp_path} --quiet").returncode == 0
    assert len(RunFolder(tmp_path).history()) == 1


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL", "SIGKILL again and again"])
def test_a_run_goes_on_bit_for_bit(digits: Path, tmp_path: Path, how: str) -> None:
    line = (
        f"train_mnist.py --data {digits} --hidden 30 --epochs 12 --momentum 0.5 --dropout 0.2 "
        "--expand affine --halve-after 2 --patience 6 --quiet"
    )
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert script(f"{line} --out {whole}").returncode == 0
    process = subprocess.Popen(command(f"{line} --out {part}"), stderr=subprocess.DEVNULL)
    wait_for(part / "checkpoint.npz", process)
    for pause in (0.0, *(random.uniform(0, 0.3) for _ in range(3 * ("again" in how)))):
        time.sleep(pause)
        signum = getattr(signal, how.split()[0])
        process.send_signal(signum)
        status = process.wait()
        if status == 0 and "again" in how:
            break  # it was done before it could be killed once more
        assert status == (130 if signum == signal.SIGINT else -signum)
        process = subprocess.Popen(
            command(f"train_mnist.py --resume {part}"), stdout=subprocess.DEVNULL
        )
        time.sleep(1.0 if "again" in how else 0)
    assert process.wait() == 0
    assert without_seconds(part) == without_seconds(whole)
    ours, theirs = RunFolder(part).network(), RunFolder(whole).network()
    for p, q in zip(ours.parameters, theirs.parameters, strict=True):
        assert np.array_equal(p, q)
    assert {p.name for p in part.iterdir()} == {p.name for p in whole.iterdir()}


def test_resuming_with_other_settings_says_which(digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    script(f"train_mnist.py --data {digits} --epochs 1 --out {folder} --hidden 5")
    done = script(f"train_mnist.py --resume {folder} --eta 0.25 --hidden 5")
    assert done.returncode == 2
    assert "eta is 0.5, not 0.25" in done.stderr
    assert "hidden" not in done.stderr.splitlines()[-1]


def test_a_run_goes_on_and_is_evaluated_from_everywhere_and_its_data_may_move(
    digits: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(digits, tmp_path / "here" / "digits")
    folder, there = tmp_path / "run", tmp_path / "there"
    line = command(f"train_mnist.py --data digits --hidden 5 --epochs 2 --out {folder} --quiet")
    assert subprocess.run(line, cwd=moved.parent, stdout=subprocess.DEVNULL).returncode == 0
    assert script(f"evaluate_mnist.py {folder}").returncode == 0
    moved.parent.rename(there)
    lost = script(f"train_mnist.py --resume {folder}")
    assert lost.returncode == 1
    assert f"{moved} is not there" in lost.stderr
    done = script(f"train_mnist.py --resume {folder} --data {there / 'digits'}")
    assert (done.returncode, done.stderr) == (0, "")


def test_pictures_of_one_run_are_not_drawn_over_those_of_another(
    run: Path, digits: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    before = (other / "mistakes.png").read_bytes()
    for line in (f"{run} --out {other}", f"{other} --set training --out {other}"):
        done = script(f"evaluate_mnist.py {line}")
        assert done.returncode == 1
        assert f"{other} has the pictures of a run: give another --out" in done.stderr
    assert (other / "mistakes.png").read_bytes() == before


def test_expansion_of_images_that_are_not_square_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", np.zeros((40, 4, 6), np.uint8))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", np.arange(40, dtype=np.uint8) % 9)
    for expand in ("fivefold", "shift"):
        line = f"train_mnist.py --data {tmp_path} --expand {expand} --out {tmp_path / 'run'}"
        done = script(line)
        assert done.returncode == 2
        message = f"--expand {expand} needs square images, not rows of 24 pixels"
        assert message in done.stderr.splitlines()[-1]
        assert not (tmp_path / "run").exists()


def test_a_folder_with_too_few_images_says_how_many_it_needs(tmp_path: Path) -> None:
    for part, n in (("train", 5), ("t10k", 2)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", np.zeros((n, 6, 6), np.uint8))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", np.zeros(n, np.uint8))
    done = script(f"train_mnist.py --data {tmp_path} --dry-run")
    assert done.returncode == 1
    assert "should have 6 training images or more" in done.stderr


def test_data_that_fit_together_badly_are_refused_before_training(tmp_path: Path) -> None:
    for part, n, sides in (("train", 40, (6, 6)), ("t10k", 10, (6, 5))):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", np.zeros((n, *sides), np.uint8))
        labels = np.arange(n, dtype=np.uint8) % 5
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    done = script(f"train_mnist.py --data {tmp_path} --epochs 1 --out {tmp_path / 'run'}")
    assert done.returncode == 2
    assert "epoch" not in done.stdout
    assert "the network takes 36 pixels" in done.stderr.splitlines()[-1]


def test_labels_that_only_the_test_set_has_get_a_neuron(tmp_path: Path) -> None:
    for part, n, classes in (("train", 40, 9), ("t10k", 12, 12)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", np.zeros((n, 6, 6), np.uint8))
        labels = np.arange(n, dtype=np.uint8) % classes
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    done = script(f"train_mnist.py --data {tmp_path} --epochs 1 --out {tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert RunFolder(tmp_path / "run").network().n_out == 12


def test_pictures_are_not_drawn_over_what_is_read(run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    picture = folder / "answers.png"
    shutil.copy(folder / "mistakes.png", picture)
    before = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    done = script(f"predict_digits.py {folder} {picture}")
    assert done.returncode == 1
    assert "is a picture to read: give another --out" in done.stderr
    line = command("plot_curves.py .")
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "curves.png belongs to the run in that folder" in done.stderr
    assert {path.name: path.read_bytes() for path in folder.glob("*.png")} == before


def test_without_mnist_the_warning_cannot_be_overlooked(tmp_path: Path) -> None:
    done = script("train_mnist.py --dry-run", NNDL_DATA_DIR=tmp_path, **OFFLINE)
    assert done.returncode == 0
    assert "SYNTHETIC DIGITS" in done.stderr
    assert "data: synthetic digits" in done.stdout
    asked = script("train_mnist.py --data mnist --dry-run", NNDL_DATA_DIR=tmp_path, **OFFLINE)
    assert asked.returncode == 1
    assert len(asked.stderr.splitlines()) == 1


def test_the_book_s_names_and_the_usual_names_are_one_flag(digits: Path) -> None:
    book = script(
        f"train_mnist.py --data {digits} --eta 3 --lmbda 1 --mini-batch-size 20 --mu 0.5 --dry-run"
    )
    usual = script(
        f"train_mnist.py --data-dir {digits} --lr 3 --l2 1 --batch-size 20 --momentum 0.5 --dry-run"
    )
    assert book.returncode == 0
    assert book.stdout == usual.stdout


def test_the_real_mnist_is_learned(mnist: tuple[Dataset, Dataset, Dataset], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = script(
        f"train_mnist.py --data mnist --hidden 30 --epochs 3 --out {folder} --target-accuracy 93"
    )
    assert done.returncode == 0, done.stderr
    assert "MNIST test accuracy" in done.stdout
    assert RunFolder(folder).config()["data"] == "MNIST training"
