"""Files of version 0.1.0 still load, and its runs can be resumed.

tests/data/v0.1.0 holds files that version 0.1.0 wrote: networks, the folder of a finished run, and
the folder of the same run killed after three of its six epochs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli import nndl, write_digits

from nndl.cli.run_folder import RunFolder
from nndl.storage import load

OLD = Path(__file__).parent / "data" / "v0.1.0"
OUTPUTS: dict[str, list[float]] = json.loads((OLD / "outputs.json").read_text())


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """The data of the old runs."""
    folder = tmp_path / "digits"
    folder.mkdir()
    return write_digits(folder, (6, 6), 60)


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_old_network_gives_the_same_outputs(name: str) -> None:
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors")
    net = load(OLD / name)
    outputs = net(np.linspace(0, 1, net.n_in)[:, None])[:, 0]
    np.testing.assert_allclose(outputs, OUTPUTS[name], rtol=1e-5)


def test_an_old_run_is_resumed_to_the_same_network_and_history(
    digits: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(OLD / "unfinished", tmp_path / "run")
    done = nndl(f"train --resume {folder} --data {digits}")
    assert done.status == 0, done.err
    assert done.out.count("epoch  ") == 3
    run, old = RunFolder(folder), RunFolder(OLD / "finished")
    for p, q in zip(run.network().parameters, old.network().parameters, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-6)
    ours, theirs = run.history(), old.history()
    assert ours.best_epoch == theirs.best_epoch
    for key in theirs.epochs.keys() - {"seconds"}:  # also the costs, which include the L2 term
        np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-4, err_msg=key)


def test_an_old_finished_run_is_evaluated_plotted_and_has_nothing_to_do(
    digits: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(OLD / "finished", tmp_path / "run")
    done = nndl(f"evaluate {folder} --data {digits}")
    assert done.status == 0, done.err
    done = nndl(f"plot {folder} --out {tmp_path / 'curves.svg'}")
    assert done.status == 0, done.err
    done = nndl(f"train --resume {folder} --data {digits}")
    assert done.status == 0, done.err
    assert "is finished (all epochs done): there is nothing to do" in done.out


def test_an_old_finished_run_cannot_be_extended_and_says_why(digits: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(OLD / "finished", tmp_path / "run")
    done = nndl(f"train --resume {folder} --data {digits} --epochs 9")
    assert done.status == 1
    assert "version 0.1.0 removed it at the end of a run" in done.last
    assert nndl(f"train --resume {folder} --data {digits}").status == 0
