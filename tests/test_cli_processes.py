"""Commands in processes of their own: interrupts, kills, closed streams, foreign encodings."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli import ROOT, nndl, process, started, wait_for, words

from nndl.cli.run_folder import RunFolder
from nndl.storage import load_checkpoint, load_history

SLOW = "--hidden 5 --epochs 100000 --halve-after none --monitor-training none"


def same_run(a: Path, b: Path) -> bool:
    """Return whether two runs ended with the same bits and the same History."""
    nets = RunFolder(a).network(), RunFolder(b).network()
    equal = [np.array_equal(p, q) for p, q in zip(*(n.parameters for n in nets), strict=True)]
    epochs = [dict(load_history(folder / "history.json").epochs) for folder in (a, b)]
    for one in epochs:
        one.pop("seconds")
    return all(equal) and epochs[0] == epochs[1]


# The command in its forms.


def test_the_scripts_and_the_module_are_the_command(digits: Path) -> None:
    outs = []
    for line in ("train_mnist.py", "train"):
        done = process(f"{line} --data {digits} --hidden 7 --dry-run")
        assert done.status == 0, done.err
        outs.append(done.out)
    assert outs[0] == outs[1]
    done = process("train_mnist.py --eta no")
    assert done.last.startswith("train_mnist.py: error: argument --eta/--lr: ")


def test_a_command_imports_only_what_it_needs(digits: Path) -> None:
    program = (
        "import sys; from nndl.cli.main import main; status = main(sys.argv[1:]); "
        "print(status, *sorted(sys.modules))"
    )

    def loaded(line: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", program, *line.split()], capture_output=True, text=True
        )
        status, *modules = done.stdout.splitlines()[-1].split()
        assert status == "0", done.stderr
        return set(modules)

    assert not loaded("--version") & {"numpy", "scipy", "tqdm", "matplotlib"}
    trained = loaded(f"train --data {digits} --dry-run")
    assert "numpy" in trained
    assert not trained & {"matplotlib", "PIL", "pooch", "requests", "scipy.ndimage"}


# Interrupts and kills.


def test_ctrl_c_during_imports_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text(
        "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        words("train"),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        wait_for(tmp_path / "importing", running)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (130, "\ninterrupted\n")


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL", "SIGKILL again and again"])
def test_a_run_that_is_resumed_ends_with_the_same_bits(
    digits: Path, whole: Path, tmp_path: Path, how: str
) -> None:
    part = tmp_path / "part"
    running = started(f"train --data {digits} {RUN} --out {part}", stderr=subprocess.PIPE)
    wait_for(part / "checkpoint.npz", running)
    again = "again" in how
    for pause in (0.0, *(random.uniform(0, 0.3) for _ in range(2 * again))):
        time.sleep(pause)
        signum = getattr(signal, how.split()[0])
        running.send_signal(signum)
        _, err = running.communicate(timeout=60)
        if running.returncode == 0 and again:
            break  # it ended before it could be killed once more
        assert running.returncode == (130 if signum == signal.SIGINT else -signum)
        if signum == signal.SIGINT:
            expected = f"interrupted; resume it with python -m nndl train --resume {part}"
            assert err.splitlines() == [expected]
        running = started(f"train --resume {part}", stderr=subprocess.PIPE)
        time.sleep(0.5 * again)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert same_run(part, whole)
    assert {p.name for p in part.iterdir()} == {p.name for p in whole.iterdir()}


RUN = (
    "--hidden 30 --epochs 8 --momentum 0.5 --dropout 0.2 --expand affine --halve-after 2 "
    "--patience 6 --nesterov --label-smoothing 0.1 --average 0.01 --quiet"
)


@pytest.fixture(scope="module")
def whole(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = nndl(f"train --data {digits} {RUN} --out {folder}")
    assert done.status == 0, done.err
    return folder


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_in_its_first_epoch_is_resumed_within_it(
    digits: Path, tmp_path: Path, signum: signal.Signals
) -> None:
    line = (
        f"--data {digits} --conv 20 --hidden 100 --epochs 1 --expand elastic --quiet "
        "--schedule one-cycle --average 0.01"
    )
    part, whole = tmp_path / "part", tmp_path / "whole"
    running = started(f"train {line} --checkpoint-seconds 0.01 --out {part}")
    wait_for(part / "checkpoint.npz", running)
    first = (part / "checkpoint.npz").read_bytes()
    while (part / "checkpoint.npz").read_bytes() == first:
        assert running.poll() is None
        time.sleep(0.005)
    running.send_signal(signum)
    running.wait()
    _, state, _ = load_checkpoint(part / "checkpoint.npz")
    assert state.done == 500 or len(state.history) == 1
    for flags in (f"--resume {part} --quiet", f"{line} --out {whole}"):
        done = nndl(f"train {flags}")
        assert done.status == 0, done.err
    assert same_run(part, whole)


def test_a_killed_extension_is_continued_and_not_taken_for_finished(
    digits: Path, tmp_path: Path
) -> None:
    line = f"train --data {digits} {SLOW.replace('100000', '2')} --quiet --out {tmp_path}"
    assert nndl(line).status == 0
    before = (tmp_path / "checkpoint.npz").read_bytes()
    running = started(f"train --resume {tmp_path} --epochs 100000")
    while (tmp_path / "checkpoint.npz").read_bytes() == before:
        assert running.poll() is None
        time.sleep(0.005)
    running.kill()
    running.wait()
    assert len(RunFolder(tmp_path).history()) == 2  # as the first part left it
    _, state, _ = load_checkpoint(tmp_path / "checkpoint.npz")
    epochs = len(state.history)
    assert epochs > 2
    done = nndl(f"train --resume {tmp_path} --epochs {epochs + 1}")
    assert done.status == 0, done.err
    assert len(RunFolder(tmp_path).history()) == epochs + 1


def test_a_second_process_in_one_folder_is_refused(digits: Path, tmp_path: Path) -> None:
    running = started(f"train --data {digits} {SLOW} --out {tmp_path}")
    try:
        wait_for(tmp_path / "checkpoint.npz", running)
        line = words(f"train --resume {tmp_path}")
        second = subprocess.run(line, capture_output=True, text=True, timeout=60)
    finally:
        running.kill()
        running.wait()
    assert second.returncode == 1
    assert f"another process is writing to {tmp_path}" in second.stderr


# Output that cannot be written.

SMALL = "--hidden 5 --epochs 2"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_training_does_not_need_output(digits: Path, tmp_path: Path, closed: str) -> None:
    line = " ".join(words(f"train --data {digits} {SMALL} --out {tmp_path}"))
    assert subprocess.run(["bash", "-c", f"{line} {closed}"]).returncode == 0
    assert len(RunFolder(tmp_path).history()) == 2
    assert RunFolder(tmp_path).curves_path.stat().st_size > 5000


@pytest.mark.parametrize("line", ["reproduce list", "train {small} {out}"])
def test_a_reader_that_stops_reading_gets_a_finished_command_and_no_message(
    line: str, digits: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    line = line.format(small=f"--data {digits} {SMALL} --out", out=out)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(line, cwd=tmp_path, **pipes) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait() == 128 + signal.SIGPIPE
    if "train" in line:
        assert len(RunFolder(out).history()) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_to_a_full_disk_is_one_line_after_the_training(digits: Path, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        running = started(
            f"train --data {digits} {SMALL} --out {tmp_path}", stdout=full, stderr=subprocess.PIPE
        )
        _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert err == "error: cannot write to standard output: No space left on device\n"
    assert len(RunFolder(tmp_path).history()) == 2


def test_a_folder_whose_name_is_not_utf_8_is_used_and_its_name_escaped(
    digits: Path, tmp_path: Path
) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff" + "\u00e9".encode()
    for encoding, flags in (("utf-8", f"--data {digits} {SMALL} --out"), ("ascii", "--resume")):
        typed = [*map(os.fsencode, words(f"train {flags}")), folder]
        done = subprocess.run(
            typed, capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding}
        )
        assert done.returncode == 0, done.stderr
        escaped = rb"/\udcff" + "\u00e9".encode(encoding, "backslashreplace")
        assert done.stdout.splitlines()[-1].endswith(escaped)
    assert len(RunFolder(Path(os.fsdecode(folder))).history()) == 2


def test_a_warning_is_one_line(digits: Path, tmp_path: Path) -> None:
    done = process(
        f"train --data {digits} --hidden 5 --epochs 1 --lmbda 1e-6 --out {tmp_path / 'run'}"
    )
    assert done.status == 0
    assert re.search(r"^warning: lmbda of 1e-06 has no effect in float32.*$", done.err, re.M)
    assert "UserWarning" not in done.err
