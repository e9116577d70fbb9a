"""The file of the first layer's weights, epoch by epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli import nndl

from nndl import Conv, Dense, Network
from nndl.cli.run_folder import RunFolder
from nndl.storage import save
from nndl.storage.weights_by_epoch import keep_weights, load_weights_by_epoch


@pytest.mark.parametrize(
    "net",
    [
        Network([784, 30, 10], rng=0),
        Network([Conv(4, 5), Dense(10)], input_shape=(1, 28, 28), rng=0),
    ],
    ids=["dense", "conv"],
)
def test_weights_come_back_to_1_in_254_of_the_largest(net: Network, tmp_path: Path) -> None:
    path, expected = tmp_path / "weights.npz", []
    for epochs in range(3):
        net.weights[0][...] *= epochs + 0.5
        keep_weights(path, net, epochs)
        expected.append(net.weights[0].copy())
    found = load_weights_by_epoch(path)
    assert found.shape == (3, *net.weights[0].shape)
    for w, kept in zip(expected, found, strict=True):
        np.testing.assert_allclose(kept, w, rtol=0, atol=1.001 * np.abs(w).max() / 254)


def test_a_resumed_run_replaces_later_entries(tmp_path: Path) -> None:
    path, net = tmp_path / "weights.npz", Network([9, 2], rng=0)
    for epochs in range(4):
        keep_weights(path, net, epochs)
    net.weights[0][...] = 1
    keep_weights(path, net, 2)
    found = load_weights_by_epoch(path)
    assert len(found) == 3
    np.testing.assert_array_equal(found[2], np.ones((2, 9)))
    assert (found[1] != 1).any()


def test_weights_that_are_all_zero_are_kept(tmp_path: Path) -> None:
    path, net = tmp_path / "weights.npz", Network([9, 2], rng=0)
    net.weights[0][...] = 0
    keep_weights(path, net, 0)
    np.testing.assert_array_equal(load_weights_by_epoch(path), np.zeros((1, 2, 9)))


def test_files_of_other_runs_and_formats_are_refused(tmp_path: Path) -> None:
    path, net = tmp_path / "weights.npz", Network([9, 2], rng=0)
    keep_weights(path, net, 0)
    with pytest.raises(ValueError, match="entry 2 of 2 x 9 cannot follow"):
        keep_weights(path, net, 2)
    with pytest.raises(ValueError, match="1 entries of 2 x 9 weights, and entry 1 of 3 x 9"):
        keep_weights(path, Network([9, 3], rng=0), 1)
    save(net, tmp_path / "network.npz")
    with pytest.raises(ValueError, match=r"network\.npz cannot be loaded: .*must"):
        load_weights_by_epoch(tmp_path / "network.npz")


def test_training_keeps_the_weights_of_every_epoch_also_when_resumed(
    digits: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "kept")
    flags = "--hidden 5 --keep-weights --quiet --batch-size 20"
    assert nndl(f"train --data {digits} {flags} --epochs 2 --out {folder.path}").status == 0
    kept = load_weights_by_epoch(folder.weights_path)
    assert kept.shape == (3, 5, 784)
    np.testing.assert_allclose(kept[2], folder.network().weights[0], atol=np.abs(kept).max() / 200)
    assert nndl(f"train --resume {folder.path} --epochs 3 --quiet").status == 0
    longer = load_weights_by_epoch(folder.weights_path)
    assert len(longer) == 4
    np.testing.assert_array_equal(longer[:3], kept)
    assert (longer[3] != longer[2]).any()


def test_training_keeps_no_weights_unless_asked(digits: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert nndl(f"train --data {digits} --hidden 5 --epochs 1 --out {folder.path}").status == 0
    assert not folder.weights_path.exists()
