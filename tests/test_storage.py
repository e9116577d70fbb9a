"""Networks and checkpoints come back from disk to the last bit; hostile files are refused."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import struct
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nndl.batches
import nndl.storage.checkpoints
import nndl.storage.description
from nndl._typing import Array
from nndl.activations import (
    ACTIVATIONS,
    Activation,
    LeakyReLU,
    identity,
    relu,
    sigmoid,
    softmax,
    tanh,
)
from nndl.conv import Conv, MaxPool
from nndl.costs import COSTS, Cost, cross_entropy, log_likelihood, quadratic
from nndl.dataset import Dataset
from nndl.initializers import INITIALIZERS, Initializer, default, he
from nndl.layers import Dense, Dropout
from nndl.network import Network
from nndl.normalization import BatchNorm
from nndl.rng import Streams
from nndl.storage import (
    Checkpoints,
    load,
    load_checkpoint,
    load_history,
    read_about,
    save,
    save_checkpoint,
    save_history,
)
from nndl.training import History, Settings, State, TrainingInterrupted, train

ENDINGS = [".npz", ".safetensors"]

posix = pytest.mark.skipif(os.name != "posix", reason="needs what Windows lacks")


def same(a: Network, b: Network) -> bool:
    """Return whether two networks are the same, to the last bit of every parameter."""
    bits = [[p.tobytes() for p in net.parameters] for net in (a, b)]
    return repr(a) == repr(b) and a.input_shape == b.input_shape and bits[0] == bits[1]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, content: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, raw in content.items():
            archive.writestr(name, raw)
    return path


def npy(array: np.ndarray[Any, Any], version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version)
    return buffer.getvalue()


# Networks.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_network_comes_back_to_the_last_bit(tmp_path: Path, ending: str, dtype: str) -> None:
    for cost in COSTS.values():
        for hidden in ACTIVATIONS.values():
            for output in cost.accepts or ACTIVATIONS.values():
                layers = [Dense(7, hidden), Dropout(0.3), Dense(3, output)]
                net = Network(layers, cost=cost, input_shape=(1, 2, 3), dtype=dtype, rng=0)
                save(net, tmp_path / f"net{ending}")
                back = load(tmp_path / f"net{ending}")
                assert same(net, back)
                assert back.dtype == dtype
                x = np.random.default_rng(1).random((6, 5))
                assert np.array_equal(net(x), back(x))


def convolutional(dtype: str = "float32") -> Network:
    """Return a network with a layer of every kind, for pictures of 12 x 12."""
    layers = [Conv(3, 5, relu, pool=2, init=he), Dropout(0.2), Conv(2, 1, tanh), MaxPool(2)]
    layers += [Dense(5), Dropout(0.5), Dense(3, softmax)]
    return Network(layers, cost=log_likelihood, input_shape=(1, 12, 12), dtype=dtype, rng=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_convolutional_network_comes_back_to_the_last_bit(
    tmp_path: Path, ending: str, dtype: str
) -> None:
    net = convolutional(dtype)
    save(net, tmp_path / f"net{ending}")
    back = load(tmp_path / f"net{ending}")
    assert same(net, back)
    assert [layer.init for layer in back.layers[::2]] == [he, default, default, default]
    x = np.random.default_rng(1).random((144, 70))
    assert np.array_equal(net(x), back(x))
    assert np.array_equal(net.layers[0].filters, back.layers[0].filters)


@pytest.mark.parametrize("f", [f for f in ACTIVATIONS.values() if f is not softmax], ids=repr)
def test_every_activation_of_a_convolution_comes_back(tmp_path: Path, f: Activation) -> None:
    net = Network([Conv(2, 3, f), Dense(2)], input_shape=(2, 4, 5), rng=0)
    save(net, tmp_path / "net.npz")
    assert same(load(tmp_path / "net.npz"), net)


def test_whole_numbers_of_numpy_are_written_as_whole_numbers(tmp_path: Path) -> None:
    layers = [Conv(np.int64(2), np.int8(3), pool=np.int64(2)), MaxPool(np.int32(2)), Dense(2)]
    net = Network(layers, input_shape=(np.int64(1), 6, 6), rng=0)
    save(net, tmp_path / "net.npz")
    assert same(load(tmp_path / "net.npz"), net)


@pytest.mark.parametrize("make", [lambda: Network([6, 4, 3], dropout=0.5, rng=0), convolutional])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_loaded_network_trains_like_the_one_that_was_saved(
    tmp_path: Path, ending: str, make: Callable[[], Network]
) -> None:
    net = make()
    save(net, tmp_path / f"net{ending}")
    back = load(tmp_path / f"net{ending}")
    for n in (net, back):
        train(n, digits(40, net.n_in), Settings(epochs=2, mu=0.5, lmbda=0.1), rng=0)
    assert same(net, back)


class Softplus(Activation):
    """ln(1 + e^z), an activation of a reader's own."""

    def __call__(self, z: Array, out: Array | None = None) -> Array:
        return np.logaddexp(0, z, out=out)

    def prime(self, a: Array) -> Array:
        return -np.expm1(-a)


class Cubic(Cost):
    """|a - y|^3 / 3, a cost of a reader's own."""

    def value(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        return (np.abs(a - y) ** 3).sum(axis=0) / 3

    def delta(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        return activation.delta((a - y) * np.abs(a - y), a)


@pytest.mark.parametrize("ending", ENDINGS)
def test_activations_and_costs_of_the_readers_own_come_back_by_name(
    tmp_path: Path, ending: str
) -> None:
    softplus, cubic = Softplus(), Cubic()
    layers = [Dense(4, softplus), BatchNorm(softplus), Dense(3, LeakyReLU(0.3)), Dense(2)]
    net = Network(layers, cost=cubic, input_shape=5, rng=0)
    net.update_mini_batch(np.eye(5), np.array([0, 1, 0, 1, 0]), 0.1)
    own: dict[str, Any] = {"activations": {"softplus": softplus}, "costs": {"cubic": cubic}}
    path = tmp_path / f"net{ending}"
    save(net, path)
    again = load(path, **own)
    assert same(again, net)
    assert again.layers[2].activation.slope == 0.3
    assert (again.cost, again.layers[0].activation) == (cubic, softplus)
    save_checkpoint(path, net, State.start(Settings()), Settings())
    assert same(load_checkpoint(path, **own)[0], net)
    assert read_about(path) == {}


def test_a_missing_activation_or_cost_says_what_to_pass(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    for net, says in [
        (Network([3, 2], output=Softplus(), cost=quadratic), "activations={'softplus': ...})"),
        (Network([3, 2], cost=Cubic()), "costs={'cubic': ...})"),
    ]:
        save(net, path)
        refused(
            load,
            path,
            f"is not built into nndl: pass the object that computes it, as in load(path, {says}",
        )
        with pytest.raises(ValueError, match=re.escape(says)):
            load(path, activations={"other": Softplus()}, costs={"other": Cubic()})


def test_activations_to_load_must_be_a_mapping_of_activations(tmp_path: Path) -> None:
    save(Network([3, 2]), tmp_path / "net.npz")
    wrong: dict[str, Any]
    for wrong, says in [
        (
            {"activations": {"a": np.tanh}},
            r"activations\['a'\] must be an object of Activation, not",
        ),
        ({"activations": [Softplus()]}, "activations must be a mapping of names, not list"),
        ({"costs": {"c": Cubic}}, r"costs\['c'\] must be an object of Cost, not"),
    ]:
        for loader in (load, load_checkpoint):
            with pytest.raises(TypeError, match=says):
                loader(tmp_path / "net.npz", **wrong)


def test_only_what_version_1_cannot_express_has_a_later_version(tmp_path: Path) -> None:
    def version(path: Path) -> int:
        return int(json.loads(members(path)["description.json"])["version"])

    path = tmp_path / "net.npz"
    for activation, later in [(relu, 0), (LeakyReLU(), 1), (LeakyReLU(0.2), 1), (Softplus(), 1)]:
        net = Network([3, 2, 2], activation=activation)
        save(net, path)
        assert version(path) == 1 + later
        save_checkpoint(path, net, State.start(Settings()), Settings())
        assert version(path) == 3  # of checkpoints
    save(Network([BatchNorm(), Dense(2)], input_shape=3), path)
    assert version(path) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c.update({"layers.0.variance.npy": npy(np.full((3, 1), -1, "f4"))}), "negative"),
        (lambda c: c.update({"layers.0.mean.npy": npy(np.zeros((2, 1), "f4"))}), "shape (3, 1)"),
        (lambda c: c.pop("layers.0.mean.npy"), "missing are ['layers.0.mean']"),
        (lambda c: described(c, lambda r: r["layers"][0].update(momentum=0)), "momentum must be a"),
        (
            lambda c: described(c, lambda r: r["layers"][0].update(epsilon=-1)),
            "epsilon must be pos",
        ),
        (
            lambda c: described(c, lambda r: r["layers"][0].pop("epsilon")),
            "must have the keys kind",
        ),
    ],
)
def test_invalid_batch_norm_is_refused(tmp_path: Path, change: Any, reason: str) -> None:
    path = tmp_path / "net.npz"
    save(Network([BatchNorm(), Dense(2)], input_shape=3), path)
    content = members(path)
    change(content)
    refused(load, pack(path, content), reason)


def test_initializers_come_back_and_an_unknown_one_becomes_the_default(tmp_path: Path) -> None:
    mine = Initializer("default", lambda n_in, n_out: 0.5, 0.5)
    for init in [*INITIALIZERS.values(), mine]:
        save(Network([3, 2], init=init, rng=0), tmp_path / "net.npz")
        assert load(tmp_path / "net.npz").output.init is (default if init is mine else init)


def test_loading_draws_no_random_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network([Dense(2)], input_shape=np.int64(3), rng=0)
    save(net, tmp_path / "net.npz")
    monkeypatch.setattr(Initializer, "draw", None)
    assert same(load(tmp_path / "net.npz"), net)


def test_about_is_stored_with_a_network(tmp_path: Path) -> None:
    about = {"preprocessing": "raw/256", "data": "MNIST é", "accuracy": 0.9512, "runs": [1, None]}
    for ending in [*ENDINGS, ".json"]:
        save(Network([3, 2], rng=0), tmp_path / f"net{ending}", **about)
        assert read_about(tmp_path / f"net{ending}") == about


def test_numpy_opens_the_file_without_pickle(tmp_path: Path) -> None:
    net = Network([3, 2, 2], rng=0)
    save(net, tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        names = ["layers.0.w", "layers.1.w", "layers.0.b", "layers.1.b"]
        assert file.files == ["description.json", *names]
        for name, p in zip(names, net.parameters, strict=True):
            assert np.array_equal(file[name], p)
        assert json.loads(file["description.json"])["format"] == "nndl network"


def test_the_same_network_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save(Network([3, 2], rng=0), tmp_path / name, accuracy=1)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_deflated_copy_can_be_read(tmp_path: Path) -> None:
    net = Network([30, 20], rng=0)
    save(net, tmp_path / "net.npz")
    pack(tmp_path / "net.npz", members(tmp_path / "net.npz"), zipfile.ZIP_DEFLATED)
    assert same(load(tmp_path / "net.npz"), net)


class OtherDense(Dense):
    pass


def test_a_file_that_could_not_be_loaded_is_not_written(tmp_path: Path) -> None:
    net, path = Network([3, 2], rng=0), tmp_path / "net.npz"
    save(net, path)
    before = path.read_bytes()
    infinite = Network([3, 2], rng=0)
    infinite.weights[0][1, 2] = np.nan
    strange = Network([Dense(2, type(sigmoid)()), Dense(2)], input_shape=3)
    never: list[Any] = []
    never.append(never)
    for bad, about, reason in [
        (infinite, {}, "layers.0.w holds NaN or infinity"),
        (Network([OtherDense(2)], input_shape=3), {}, "can hold the layers dense, "),
        (strange, {}, "Sigmoid has the name 'sigmoid' of one of nndl's own"),
        (net, {"accuracy": float("nan")}, "only plain JSON and finite numbers"),
        (net, {"accuracy": np.float32(1)}, "only plain JSON and finite numbers"),
        (net, {"never": never}, "only plain JSON and finite numbers"),
        (net, {"seed": 10**50}, "its JSON holds the number '1000"),
        (net, {"map": {1: 0, "1": 0}}, "the same key twice"),
        (net, {"note": "x" * 2**22}, "its JSON may have at most 4,194,304 bytes"),
    ]:
        with pytest.raises(ValueError, match=re.escape(reason)):
            save(bad, path, **about)
        assert path.read_bytes() == before
    with pytest.raises(ValueError, match=r"must end in \.npz or \.safetensors"):
        save(net, tmp_path / "net.pkl")
    assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]


def test_a_missing_safetensors_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Network([3, 2]), tmp_path / "net.safetensors")
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"install nndl\[safetensors\], or use \.npz"):
        load(tmp_path / "net.safetensors")
    with pytest.raises(ImportError, match=r"install nndl\[safetensors\], or use \.npz"):
        save(Network([3, 2]), tmp_path / "net.safetensors")


# The JSON of the book's network2.


def test_network2_files_are_read_and_written(tmp_path: Path) -> None:
    book = {
        "sizes": [2, 2, 1],
        "weights": [[[0.5, -1.5], [2, 1e-3]], [[1.0, -1.0]]],
        "biases": [[[0.25], [-3.0]], [[0.0]]],
        "cost": "CrossEntropyCost",
    }
    path = tmp_path / "net.json"
    path.write_text(json.dumps(book))
    net = load(path)
    assert net.dtype == np.float64
    assert net.cost is cross_entropy
    assert [w.tolist() for w in net.weights] == book["weights"]
    assert [b.tolist() for b in net.biases] == book["biases"]
    hidden = 1 / (1 + np.exp(-np.array([[0.5 - 1.5 + 0.25], [2 + 1e-3 - 3]])))
    assert np.allclose(net([[1], [1]]), 1 / (1 + np.exp(hidden[1] - hidden[0])), rtol=1e-15)
    save(net, path)
    assert json.loads(path.read_text()) == book
    assert read_about(path) == {}


@pytest.mark.parametrize("name", ["CrossEntropyCost", "QuadraticCost"])
def test_network2_files_keep_every_bit(tmp_path: Path, name: str) -> None:
    cost = {"CrossEntropyCost": cross_entropy, "QuadraticCost": quadratic}[name]
    net = Network([5, 4, 3], cost=cost, rng=0, dtype=np.float32)
    save(net, tmp_path / "net.json")
    assert json.loads((tmp_path / "net.json").read_text())["cost"] == name
    assert same(load(tmp_path / "net.json"), net.astype(np.float64))


@pytest.mark.parametrize(
    "net",
    [
        Network([3, 2, 2], dropout=0.5),
        Network([3, 2, 2], activation=relu),
        Network([Dense(2, softmax)], input_shape=3),
        Network([3, 2], cost=COSTS["log-likelihood"], output=sigmoid),
        Network([Conv(2, 1), Dense(2)], input_shape=(1, 2, 2)),
        Network([MaxPool(2), Dense(2)], input_shape=(1, 2, 2)),
    ],
)
def test_networks_that_network2_cannot_express_are_refused(tmp_path: Path, net: Network) -> None:
    with pytest.raises(ValueError, match="network2's JSON can hold sigmoid neurons with"):
        save(net, tmp_path / "net.json")
    assert not list(tmp_path.iterdir())


NETWORK2: dict[str, Any] = {
    "sizes": [2, 1],
    "weights": [[[0.5, 1.0]]],
    "biases": [[[0.25]]],
    "cost": "QuadraticCost",
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sizes": []}, "its description.input_shape[0] must be a whole number"),
        ({"sizes": [2]}, "unknown are ['layers.0.b', 'layers.0.w']"),
        ({"sizes": [2, 1, 1]}, "missing are ['layers.1.b', 'layers.1.w']"),
        ({"sizes": [2, 2**24]}, "weights[0] must be 16777216 lists of 2 numbers"),
        ({"sizes": [2, 10**30]}, "must be a whole number from 1 to 16777216"),
        ({"sizes": [2, True]}, "must be a whole number"),
        ({"weights": [[[0.5], [1.0]]]}, "weights[0] must be 1 lists of 2 numbers"),
        ({"weights": [[[0.5, "1.0"]]]}, "weights[0][0][1] must be a number, not '1.0'"),
        ({"weights": [[[0.5, None]]]}, "weights[0][0][1] must be a number, not None"),
        ({"weights": [[0.5, 1.0]]}, "weights[0][0] must be a list, not 0.5"),
        ({"biases": {}}, "biases must be a list"),
        ({"biases": [[[float("nan")]]]}, "holds the number 'NaN'"),
        ({"cost": "os.system"}, "must be CrossEntropyCost or QuadraticCost, not 'os.system'"),
        ({"extra": 1}, "must have the keys sizes, weights, biases, cost, about"),
    ],
)
def test_invalid_network2_files_are_refused(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps(NETWORK2 | change))
    refused(load, path, reason)


def refused(loader: Callable[[Path], Any], path: Path, reason: str, most: float = 2e7) -> None:
    """Check that a file is refused by name, for a reason, in at most so many bytes of memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=re.escape(reason)) as caught:
            loader(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path} cannot be loaded: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(path))
    assert peak < most


# Invalid files.


def described(content: dict[str, bytes], change: Callable[[dict[str, Any]], Any]) -> None:
    record = json.loads(content["description.json"])
    change(record)
    content["description.json"] = json.dumps(record).encode()


def text(old: str, new: str) -> Callable[[dict[str, bytes]], None]:
    """Return a change of the description's text."""

    def change(content: dict[str, bytes]) -> None:
        raw = content["description.json"]
        assert raw.count(old.encode()) == 1
        content["description.json"] = raw.replace(old.encode(), new.encode())

    return change


def put(name: str, raw: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda content: content.update({name: raw})


W, B = "layers.0.w.npy", "layers.0.b.npy"
GOOD = np.arange(6, dtype="<f4").reshape(2, 3)
HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"


def header(descr: str, shape: str, *rest: bytes) -> bytes:
    line = HEADER.format(descr, shape).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + b"".join(rest)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # members
        (lambda c: c.pop(W), "missing are ['layers.0.w'], unknown are []"),
        (lambda c: c.pop("description.json"), "it must hold description.json and .npy members"),
        (put("layers.1.w.npy", npy(GOOD)), "missing are [], unknown are ['layers.1.w']"),
        (put("../../evil.py", b"print()"), "and nothing else"),
        # arrays
        (
            put(W, npy(np.array([[1, 2, 3], [4, 5, None]]))),
            "but it starts with b'NUMPY\\x01\\x00' \"{'descr': '|O', ",
        ),
        (
            put(W, npy(GOOD.astype("<f8"))),
            "must be <f4 of shape (2, 3), in C order, but it starts with",
        ),
        (
            put(W, npy(GOOD.astype(">f4"))),
            "must be <f4 of shape (2, 3), in C order, but it starts with",
        ),
        (put(W, npy(GOOD.T)), "'<f4', 'fortran_order': True, 'shape': (3, 2), }"),
        (put(W, npy(GOOD.T.copy())), "'<f4', 'fortran_order': False, 'shape': (3, 2), }"),
        (put(W, npy(np.asfortranarray(GOOD))), "'<f4', 'fortran_order': True, 'shape': (2, 3), }"),
        (put(W, npy(GOOD, (2, 0))), "but it starts with b'NUMPY\\x02\\x00'"),
        (put(W, npy(GOOD) + b"\0"), "layers.0.w.npy must have 24 bytes after its header"),
        (put(W, npy(GOOD)[:-1]), "layers.0.w.npy must have 24 bytes after its header"),
        (put(W, npy(GOOD * np.nan)), "layers.0.w.npy holds NaN or infinity"),
        (put(B, npy(np.array([[0], [np.inf]], "<f4"))), "layers.0.b.npy holds NaN or infinity"),
        (put(W, b""), "but it starts with b'' ''"),
        (put(W, b"\x93NUMPY\x01\x00\xff\xff{}"), "but it starts with b'NUMPY\\x01\\x00' '{}'"),
        (put(W, header("<f4", "(2, 3L)", bytes(24))), "cannot be loaded"),
        (put(W, header("<f4", "(" * 5000, bytes(24))), "cannot be loaded"),
        (put(W, header("<f4", "__import__('os').abort()")), "cannot be loaded"),
        (
            put(W, header("O", "(2, 3)", bytes(24))),
            "'O', 'fortran_order': False, 'shape': (2, 3), }",
        ),
        # sizes: 100 GB declared by the array, by the description, and by both
        (
            put(W, header("<f4", "(5000000, 5000)")),
            "'<f4', 'fortran_order': False, 'shape': (5000000, 5000), }",
        ),
        (text('"n_out": 2', '"n_out": 16777216'), "must be <f4 of shape (16777216, 3)"),
        (
            text('"n_out": 2', '"n_out": 16777217'),
            "n_out must be a whole number from 1 to 16777216",
        ),
        (
            lambda c: [
                text('"n_out": 2', '"n_out": 500000')(c),
                text("3\n", "50000\n")(c),
                put(W, header("<f4", "(500000, 50000)"))(c),
            ],
            "layers.0.w.npy must have 100000000000 bytes after its header",
        ),
        # the description
        (put("description.json", b""), "Expecting value"),
        (put("description.json", b"\xff\xfe"), "invalid start byte"),
        (put("description.json", b"[" * 20_000), "its JSON is nested too deeply"),
        (put("description.json", b"[" * 10**5), "at most 21,562 lists and objects, not 100,000"),
        (put("description.json", b"[" + b"0," * 10**6), "at most 500,000 values, not 1,000,000"),
        (put("description.json", b'["",' * 10**5 + b'["'), "at most 26,250 lists and objects"),
        (put("description.json", b"7"), "its description must be an object, not 7"),
        (put("description.json", b" " * (2**22 + 1)), "at most 4,194,304 bytes, not 4,194,305"),
        (text('"version": 1', '"version": 3'), "written by a later nndl (format version 3, this o"),
        (text('"version": 1', '"version": 0'), "its version must be a whole number from 1"),
        (text('"version": 1', '"version": 1.0'), "its version must be a whole number from 1"),
        (text('"version": 1', '"version": 1, "version": 1'), "the same key twice in an object"),
        (text('"version": 1,', ""), "its version must be a whole number from 1"),
        (text("nndl network", "nndl checkpoint"), "must be nndl network, not 'nndl checkpoint'"),
        (text('"nndl network"', "[]"), "its format must be nndl network, not []"),
        (text("float32", "float16"), "dtype must be float32 or float64, not 'float16'"),
        (text("float32", "float64"), "must be <f8 of shape (2, 3)"),
        (text("cross-entropy", "log-likelihood!"), "cost 'log-likelihood!' is not built into nndl"),
        (text('"sigmoid"', '"tanh"'), "the cross-entropy cost has a gradient only with"),
        (text('"sigmoid"', '"__class__"'), "activation '__class__' is not built into nndl: pass"),
        (text('"sigmoid"', '"leaky-relu(2)"'), "slope must be between 0 and 1"),
        (text('"sigmoid"', '["sigmoid"]'), "layers[0].activation must be a text"),
        (text('"dense"', '"Dense"'), "layers[0].kind must be "),
        (text('"dense"', "null"), "layers[0].kind must be "),
        (text('"n_out": 2', '"n_out": 2.0'), "layers[0].n_out must be a whole number from 1"),
        (text('"n_out": 2', '"n_out": true'), "layers[0].n_out must be a whole number from 1"),
        (text('"n_out": 2', '"n_out": -2'), "layers[0].n_out must be a whole number from 1"),
        (text('"n_out": 2', f'"n_out": {10**30}'), "layers[0].n_out must be a whole number from 1"),
        (text('"n_out": 2', f'"n_out": {"9" * 9999}'), "its JSON holds the number '999"),
        (text('"n_out": 2', '"n_out": NaN'), "its JSON holds the number 'NaN'"),
        (text('"n_out": 2', '"n_out": 1e999'), "its JSON holds the number '1e999'"),
        (text('"n_out": 2', '"n_out": 2, "more": 0'), "layers[0] must have the keys kind, n_out"),
        (text('"about": {}', '"about": []'), "its description.about must be an object, not []"),
        (text('"about": {}', '"abuot": {}'), "its description must have the keys format, "),
        (lambda c: described(c, lambda r: r.update(layers=[])), "its arrays must be those"),
        (lambda c: described(c, lambda r: r.update(layers=[[]])), "layers[0] must be an object"),
        (lambda c: described(c, lambda r: r.update(input_shape=[])), "input_shape must be like"),
        (
            lambda c: described(c, lambda r: r["layers"].append({"kind": "dropout", "p": 0.5})),
            "the last layer must be Dense",
        ),
        (
            lambda c: [
                described(c, lambda r: r["layers"].insert(0, {"kind": "dropout", "p": 7})),
                c.update({W.replace("0", "1"): c.pop(W), B.replace("0", "1"): c.pop(B)}),
            ],
            "a probability of dropping a neuron, in [0, 1), not 7",
        ),
    ],
)
def test_an_invalid_network_file_is_refused(
    tmp_path: Path, change: Callable[[dict[str, bytes]], Any], reason: str
) -> None:
    path = tmp_path / "net.npz"
    save(Network([3, 2], rng=0), path)
    content = members(path)
    change(content)
    pack(path, content)
    refused(load, path, reason)
    pack(path, content, zipfile.ZIP_DEFLATED)
    refused(load, path, "cannot be loaded: ")


def layer(i: int, **change: Any) -> Callable[[dict[str, bytes]], None]:
    """Return a change of a layer in the description."""
    return lambda content: described(content, lambda record: record["layers"][i].update(change))


def shape(*sides: int) -> Callable[[dict[str, bytes]], None]:
    return lambda content: described(content, lambda record: record.update(input_shape=sides))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # arrays: 3 maps of 5 x 5, then 2 of 1 x 1, pooled to 4 numbers each
        (put(W, npy(np.zeros((3, 26), "<f4"))), "layers.0.w.npy must be <f4 of shape (3, 25), in"),
        (put(W, npy(np.zeros((3, 1, 5, 5), "<f4"))), "layers.0.w.npy must be <f4 of shape (3, 25)"),
        (put(W, npy(np.zeros((25, 3), "<f4").T)), "layers.0.w.npy must be <f4 of shape (3, 25)"),
        (put(B, npy(np.zeros(3, "<f4"))), "layers.0.b.npy must be <f4 of shape (3, 1)"),
        (put(W, npy(np.full((3, 25), np.inf, "<f4"))), "layers.0.w.npy holds NaN or infinity"),
        (lambda c: c.pop(W.replace("0", "2")), "missing are ['layers.2.w'], unknown are []"),
        (put("layers.3.w.npy", npy(GOOD)), "missing are [], unknown are ['layers.3.w']"),
        # the description against the arrays
        (layer(0, maps=4), "layers.0.w.npy must be <f4 of shape (4, 25)"),
        (layer(0, maps=116_508), "must be <f4 of shape (116508, 25)"),
        (layer(0, maps=2**31), "layers[0].maps must be a whole number from 1 to 16777216"),
        (layer(0, size=3), "layers.0.w.npy must be <f4 of shape (3, 9)"),
        (layer(0, pool=1), "layers.4.w.npy must be <f4 of shape (5, 32)"),
        (layer(3, size=1), "layers.4.w.npy must be <f4 of shape (5, 32)"),
        (shape(2, 12, 12), "layers.0.w.npy must be <f4 of shape (3, 50)"),
        (shape(1, 12, 16), "layers.4.w.npy must be <f4 of shape (5, 12)"),
        (shape(1, 2304, 2304), "layers.4.w.npy must be <f4 of shape (5, 661250)"),
        (shape(1, 4096, 4100), "its input_shape has 16,793,600 numbers, more than the 16,777,216"),
        (shape(*[2] * 25), "input_shape must be a list of at most 8, but has 25"),
        (shape(2**24 + 1), "input_shape[0] must be a whole number from 1 to 16777216"),
        # the description against itself
        (shape(144), "needs pictures (maps, height, width)"),
        (shape(1, 4, 12), "Conv(3, 5x5, relu, pool 2) is larger than its pictures of 4 x 12"),
        (layer(0, size=2**24), "is larger than its pictures of 12 x 12"),
        (layer(0, pool=3), "layers.4.w.npy must be <f4 of shape (5, 2)"),
        (layer(3, size=2**24), "MaxPool(16777216) cannot pool maps of 4 x 4"),
        (layer(0, activation="softmax"), "softmax is for the last layer"),
        (layer(0, maps=0), "layers[0].maps must be a whole number from 1"),
        (layer(0, size=5.0), "layers[0].size must be a whole number from 1"),
        (layer(0, pool=True), "layers[0].pool must be a whole number from 1"),
        (layer(3, size="2"), "layers[3].size must be a whole number from 1"),
        (layer(0, init="os"), "layers[0].init must be "),
        (layer(0, strides=1), "layers[0] must have the keys kind, maps, size, activation, pool"),
        (layer(0, stride=0), "layers[0].stride must be a whole number from 1"),
        (layer(3, init=None), "layers[3] must have the keys kind, size"),
        (layer(0, kind="max-pool"), "layers[0] must have the keys kind, size"),
    ],
)
def test_an_invalid_convolutional_network_is_refused(
    tmp_path: Path, change: Callable[[dict[str, bytes]], Any], reason: str
) -> None:
    path = tmp_path / "net.npz"
    save(convolutional(), path)
    content = members(path)
    change(content)
    refused(load, pack(path, content), reason)


def test_a_small_file_cannot_make_a_convolution_work_on_gigabytes(tmp_path: Path) -> None:
    layers = [Conv(1000, 1), Conv(1, 5), Dense(1)]
    path, net = tmp_path / "net.npz", Network(layers, input_shape=(1, 28, 28), rng=0)
    with pytest.raises(ValueError, match="needs 14,400,000 numbers for each image"):
        save(net, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nndl.storage.description, "LARGEST_WORK", 10**8)
        save(net, path)
        assert same(load(path), net)
    assert path.stat().st_size < 150_000
    refused(load, path, "needs 14,400,000 numbers for each image")


def archive(path: Path, name: str = W, **attributes: int) -> bytes:
    """Return the bytes of a network's file whose directory lies about one member."""
    save(Network([3, 2], rng=0), path)
    content = members(path)
    last = content.pop(name)
    pack(path, content)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, last)
        for attribute, value in attributes.items():
            setattr(file.infolist()[-1], attribute, value)
    return path.read_bytes()


def corrupt(raw: bytes) -> bytes:
    """Return a file in which the deflated bytes of a member cannot be inflated."""
    start = raw.index(W.encode()) + len(W)
    return raw[:start] + b"\xff" * 20 + raw[start + 20 :]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (lambda path: b"", "File is not a zip file"),
        (lambda path: b"\x89PNG\r\n\x1a\n" + bytes(1000), "File is not a zip file"),
        (lambda path: npy(GOOD), "File is not a zip file"),
        (lambda path: archive(path)[:-30], "File is not a zip file"),
        (lambda path: archive(path)[40:], "cannot be loaded"),
        (lambda path: archive(path, flag_bits=1), "is encrypted"),
        (lambda path: archive(path, flag_bits=32), "compressed patched data"),
        (lambda path: archive(path, compress_type=12), "its members must be stored or deflated"),
        (lambda path: archive(path, compress_type=0), "Bad CRC-32 for file 'layers.0.w.npy'"),
        (
            lambda path: archive(
                path, "description.json", compress_type=0, compress_size=3000, file_size=3000
            ),
            "cannot be loaded",  # for a reason that differs between versions of Python
        ),
        (lambda path: archive(path, file_size=10**11), "bytes claim to unpack to 100,000,0"),
        (lambda path: archive(path, CRC=0), "Bad CRC-32 for file 'layers.0.w.npy'"),
        (lambda path: archive(path, header_offset=0), "File name in directory"),
        (lambda path: archive(path, header_offset=2**62), "cannot be loaded"),
        (lambda path: archive(path, header_offset=2**63 + 1), "cannot be loaded"),
        (lambda path: corrupt(archive(path)), "while decompressing data"),
    ],
)
def test_other_kinds_of_files_are_refused(
    tmp_path: Path, raw: Callable[[Path], bytes], reason: str
) -> None:
    path = tmp_path / "net.npz"
    path.write_bytes(raw(path))
    refused(load, path, reason)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    for ending in [*ENDINGS, ".json"]:
        path = tmp_path / f"net{ending}"
        save(Network([3, 2], rng=0), path)
        whole = path.read_bytes()
        for size in range(0, len(whole), 7):
            path.write_bytes(whole[:size])
            with pytest.raises(ValueError, match="cannot be loaded"):
                load(path)


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    save(Network([3, 2], rng=0), path)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr(W, npy(GOOD))
    refused(load, path, "two of its members have the same name")


def test_a_compressed_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    save(Network([3, 2], rng=0), path)
    content = members(path)
    text('"n_out": 2', '"n_out": 20000000')(content)
    content[W] = header("<f4", "(20000000, 3)", bytes(24 * 10**6))
    pack(path, content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 30_000
    refused(load, path, "bytes claim to unpack to 24,")
    content = members(path)
    content["description.json"] = b"[" + b"[]," * 10**6 + b"[]]"
    content[W] = npy(GOOD)
    pack(path, content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000
    refused(load, path, "its JSON may hold at most 66,875 lists and objects")


def test_a_bomb_that_lies_about_its_size_is_not_unpacked_further(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    save(Network([3, 2], rng=0), path)
    content = members(path)
    pack(path, content | {"description.json": b" " * 10**8}, zipfile.ZIP_DEFLATED)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(struct.pack("<I", 10**8), struct.pack("<I", 600)))
    refused(load, path, "Bad CRC-32 for file 'description.json'")


def many_members(path: Path, raw: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for i in range(30_000):
            file.writestr(zipfile.ZipInfo(f"{i}.npy"), b"")


def many_tensors(path: Path, raw: bytes) -> None:
    one = '"%d":{"dtype":"F32","shape":[],"data_offsets":[%d,%d]}'
    header = ("{" + ",".join(one % (i, 4 * i, 4 * i + 4) for i in range(20_000)) + "}").encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(80_000))


def many_tensors_with_escaped_keys(path: Path, raw: bytes) -> None:
    many_tensors(path, raw)
    path.write_bytes(path.read_bytes().replace(b"data_offsets", rb"data\u005foffsets"))
    content = path.read_bytes()[8:-80_000]
    path.write_bytes(struct.pack("<Q", len(content)) + content + bytes(80_000))


def a_number_of_two_million_digits(path: Path, raw: bytes) -> None:
    path.write_bytes(raw.replace(b"0.5", b"9" * 2 * 10**6))


def a_product_of_millions_of_digits(path: Path, raw: bytes) -> None:
    path.write_bytes(raw.replace(b'"sizes": [2', b'"sizes": [2' + b", 99999999" * 10**5))


def a_million_lists(path: Path, raw: bytes) -> None:
    path.write_bytes(raw.replace(b"0.5", b"[" + b"[]," * 10**6 + b"[]]"))


def a_million_keys(path: Path, raw: bytes) -> None:
    keys = b",".join(b'"%d":0' % i for i in range(10**6))
    path.write_bytes(raw.replace(b"{", b"{" + keys + b",", 1))


def many_numbers(path: Path, raw: bytes) -> None:
    path.write_bytes(raw.replace(b"0.5", b"0.1, " * (3 * 10**5) + b"0.5"))


def forty_megabytes(path: Path, raw: bytes) -> None:
    with path.open("wb") as file:
        file.truncate(40 * 10**6)


@pytest.mark.parametrize(
    ("ending", "make", "reason"),
    [
        (".npz", many_members, "its directory of members may have at most 1,048,576 bytes"),
        (".npz", forty_megabytes, "File is not a zip file"),
        (".safetensors", many_tensors, "lists and objects, not 60,001"),
        (".safetensors", many_tensors_with_escaped_keys, "lists and objects, not 60,001"),
        (".safetensors", forty_megabytes, "Expecting value: line 1 column 1"),
        (".json", a_number_of_two_million_digits, "its JSON holds the number '9999"),
        (".json", a_product_of_millions_of_digits, "sizes must be a list of at most 1,001, but"),
        (".json", a_million_lists, "lists and objects, not 1,00"),
        (".json", a_million_keys, "its JSON may hold at most 100,000 texts"),
        (".json", many_numbers, "weights[0] must be 1 lists of 2 numbers"),
        (".json", forty_megabytes, "JSON may have at most 16,777,216 bytes, not 40,000,000"),
    ],
)
def test_more_than_a_real_file_needs_is_refused_in_bounded_time_and_memory(
    tmp_path: Path, ending: str, make: Callable[[Path, bytes], None], reason: str
) -> None:
    path = tmp_path / f"net{ending}"
    make(path, json.dumps(NETWORK2).encode())
    start = time.process_time()
    with pytest.raises(ValueError, match=re.escape(reason)):
        load(path)
    assert time.process_time() - start < 5
    refused(load, path, reason, most=2e8)


@posix
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    for ending in [*ENDINGS, ".json"]:
        os.mkfifo(tmp_path / f"pipe{ending}")
        (tmp_path / f"zero{ending}").symlink_to("/dev/zero")
        (tmp_path / f"loop{ending}").symlink_to(f"loop{ending}")
        for name, reason in [("pipe", "a named pipe"), ("zero", "a device"), ("loop", "Too many")]:
            for loader in (load, load_checkpoint, read_about, load_history):
                with pytest.raises(OSError, match=reason):
                    loader(tmp_path / f"{name}{ending}")


def test_foreign_text_is_escaped_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    save(Network([3, 2], rng=0), path)
    content = members(path)
    content["a\n\x1b[31m" + "x" * 60_000 + ".npy"] = b""
    text('"sigmoid"', json.dumps("a\n\u202e" + "y" * 10**6))(content)
    refused(load, pack(path, content), "layers[0].activation must be ")
    strange = tmp_path / "two\nlines.npz"
    strange.write_bytes(b"")
    with pytest.raises(ValueError, match=r"two\\nlines.npz cannot be loaded: File is not a zip"):
        load(strange)


def tensors(description: str, **arrays: np.ndarray[Any, Any]) -> bytes:
    from safetensors.numpy import save as pack_tensors

    named = {name.replace("_", "."): array for name, array in arrays.items()}
    raw: bytes = pack_tensors(named, {"description.json": description})
    return raw


def test_invalid_safetensors_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save(Network([3, 2], rng=0), tmp_path / "net.npz")
    text = members(tmp_path / "net.npz")["description.json"].decode()
    w, b = GOOD, np.zeros((2, 1), "<f4")
    path.write_bytes(tensors(text, layers_0_w=w, layers_0_b=b))
    assert np.array_equal(load(path).weights[0], GOOD)
    huge = text.replace('"n_out": 2', '"n_out": 16000000')
    for raw, reason in [
        (tensors(text, layers_0_w=w), "missing are ['layers.0.b']"),
        (tensors(text, layers_0_w=w, layers_0_b=b, layers_1_w=w), "unknown are ['layers.1.w']"),
        (tensors(text, layers_0_w=w.T.copy(), layers_0_b=b), "must be F32 of shape (2, 3), but is"),
        (tensors(text, layers_0_w=w.astype("f2"), layers_0_b=b), "but is F16 of shape [2, 3]"),
        (tensors(text, layers_0_w=w * np.nan, layers_0_b=b), "layers.0.w holds NaN or infinity"),
        (tensors(huge, layers_0_w=w, layers_0_b=b), "must be F32 of shape (16000000, 3)"),
        (tensors("{}", layers_0_w=w, layers_0_b=b), "its format must be nndl network, not None"),
        (tensors(text, layers_0_w=w, layers_0_b=b) + b"\0", "Error while deserializing header"),
        (tensors("[" * 10**5), "cannot be loaded: "),  # by the library, or by us
        (struct.pack("<Q", 10**11), "eader"),  # header too large, HeaderTooLarge
        (struct.pack("<Q", 2) + b"{}", "its metadata must hold description.json"),
    ]:
        path.write_bytes(raw)
        refused(load, path, reason)


def test_files_that_cannot_be_opened_raise_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")
    (tmp_path / "net.npz").mkdir()
    with pytest.raises(IsADirectoryError):
        load(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"net\.pkl must end in \.npz, \.safetensors, \.json"):
        load(tmp_path / "net.pkl")


# Checkpoints.


def digits(n: int, n_in: int = 12) -> Dataset:
    rng = np.random.default_rng(n)
    labels = rng.integers(0, 3, n)
    images = rng.random((n, n_in)) + 0.5 * np.eye(3).repeat(n_in // 3, axis=1)[labels]
    return Dataset(images.astype(np.float32), labels)


HARD = Settings(
    epochs=25,
    mini_batch_size=7,
    eta=1.0,
    lmbda=0.1,
    lmbda_l1=0.01,
    mu=0.5,
    patience=6,
    halve_after=2,
)


def noise(images: Any, rng: np.random.Generator) -> Any:
    return images + rng.normal(0, 0.1, images.shape).astype(images.dtype)


def go(net: Network, hard: Settings, **options: Any) -> History:
    return train(net, digits(90), hard, validation=digits(60), transform=noise, **options)


def outcome(net: Network, history: History) -> tuple[Any, ...]:
    """Return everything that a run produces, except the seconds."""
    record = asdict(history)
    del record["epochs"]["seconds"]
    return record, [p.tobytes() for p in net.parameters]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "options",
    [HARD, replace(HARD, epochs=6, patience=None, halve_after=None, mu=0.0)],
    ids=["momentum, schedule, patience", "plain"],
)
def test_a_resumed_run_ends_as_if_it_had_never_stopped(
    tmp_path: Path, ending: str, options: Settings
) -> None:
    def keep(net: Network, state: State) -> None:
        save_checkpoint(tmp_path / f"{len(state.history)}{ending}", net, state, options)

    net = Network([12, 8, 3], dropout=0.3, rng=1)
    history = go(net, options, rng=5, after_epoch=keep)
    if options is HARD:
        assert len(set(history["eta"])) > 2  # the schedule changed it
        assert history.ended == "no improvement in 6 epochs"
    for k in range(1, len(history)):
        back, state, found = load_checkpoint(tmp_path / f"{k}{ending}")
        assert found == options
        assert len(state.history) == k
        assert outcome(back, go(back, found, state=state)) == outcome(net, history)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_resumed_convolutional_run_ends_as_if_it_had_never_stopped(
    tmp_path: Path, ending: str
) -> None:
    path, options = (
        tmp_path / f"checkpoint{ending}",
        Settings(epochs=3, eta=0.1, mu=0.5, patience=3),
    )

    def keep(net: Network, state: State) -> None:
        if len(state.history) == 1:
            save_checkpoint(path, net, state, options)

    data, net = digits(50, 144), convolutional()
    history = train(net, data, options, validation=data, rng=5, after_epoch=keep)
    back, state, found = load_checkpoint(path)
    for layer in (back.layers[0], back.layers[2]):
        assert layer.v_w.any()
        assert layer.v_w.shape == layer.w.shape
    again = train(back, data, found, validation=data, state=state)
    assert outcome(back, again) == outcome(net, history)


def test_velocities_of_another_shape_are_refused(tmp_path: Path) -> None:
    path, options = tmp_path / "checkpoint.npz", Settings(epochs=1, eta=0.1, mu=0.5)
    data, net = digits(50, 144), convolutional()
    train(
        net,
        data,
        options,
        after_epoch=lambda net, state: save_checkpoint(path, net, state, options),
    )
    content = members(path)
    put("velocity.layers.2.w.npy", npy(np.zeros((2, 4), "<f4")))(content)
    pack(path, content)
    refused(load_checkpoint, path, "velocity.layers.2.w.npy must be <f4 of shape (2, 3)")


@pytest.mark.parametrize("stream", Streams.names)
def test_a_run_differs_without_the_state_of_a_stream(tmp_path: Path, stream: str) -> None:
    path, options = tmp_path / "checkpoint.npz", replace(HARD, epochs=4)

    def keep(net: Network, state: State) -> None:
        if len(state.history) == 2:
            save_checkpoint(path, net, state, options)

    net = Network([12, 8, 3], dropout=0.3, rng=1)
    history = go(net, options, rng=5, after_epoch=keep)
    content = members(path)
    start = Streams(5).state[stream]
    described(content, lambda record: record["streams"].update({stream: start}))
    pack(path, content)
    back, state, _ = load_checkpoint(path)
    assert outcome(back, go(back, options, state=state)) != outcome(net, history)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("make", [lambda: Network([12, 8, 3], dropout=0.3, rng=1), convolutional])
def test_a_run_resumes_within_an_epoch(
    tmp_path: Path, ending: str, make: Callable[[], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nndl.batches, "CHUNK", 35)  # images; checkpoints are between chunks
    net, options, kept = make(), replace(HARD, epochs=3, eta=0.2), []
    data = digits(90, net.n_in)

    def keep(net: Network, state: State) -> None:
        kept.append(tmp_path / f"{len(state.history)}-{state.done}{ending}")
        save_checkpoint(kept[-1], net, state, options)

    more: dict[str, Any] = {"validation": data, "transform": noise, "checkpoint_seconds": 0.0}
    history = train(net, data, options, rng=5, checkpoint=keep, **more)
    places = [f"{epoch}-{done}" for epoch in range(3) for done in (35, 70, 84)]
    assert [path.stem for path in kept] == places
    for path in kept:
        back, state, found = load_checkpoint(path)
        assert outcome(back, train(back, data, found, state=state, **more)) == outcome(net, history)
    back, state, found = load_checkpoint(kept[-1])
    with pytest.raises(
        ValueError, match="84 images of an epoch done, but the training set has 84 in"
    ):
        train(back, data[:84], found, state=state, **more)


def test_ctrl_c_saves_a_checkpoint_within_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nndl.batches, "CHUNK", 35)
    data, options = digits(90), replace(HARD, epochs=3)
    checkpoints = Checkpoints(tmp_path / "checkpoint.npz", options, {"training": data})
    whole = Network([12, 8, 3], dropout=0.3, rng=1)
    history = train(whole, data, options, validation=data, transform=noise, rng=5)
    chunks = []

    def press(images: Any, rng: np.random.Generator) -> Any:
        chunks.append(len(images))
        if len(chunks) == 5:  # the first of the second epoch; each has four
            signal.raise_signal(signal.SIGINT)
        return noise(images, rng)

    with pytest.raises(TrainingInterrupted):
        train(
            Network([12, 8, 3], dropout=0.3, rng=1),
            data,
            options,
            validation=data,
            transform=press,
            rng=5,
            after_epoch=checkpoints.after_epoch,
            checkpoint=checkpoints.save,
        )
    net, state, _ = load_checkpoint(checkpoints.path, {"training": data})
    assert (len(state.history), state.done) == (1, 35)
    again = train(net, data, options, validation=data, transform=noise, state=state)
    assert outcome(net, again) == outcome(whole, history)


def test_a_checkpoint_of_version_1_is_resumed_as_by_0_1_0() -> None:
    folder = Path(__file__).parent / "data" / "storage-0.1.0"
    history = load_history(folder / "history.json")
    end = load(folder / "network.npz")
    for ending in ENDINGS:
        net, state, options = load_checkpoint(folder / f"checkpoint{ending}")
        assert len(state.history) == 2
        assert read_about(folder / f"checkpoint{ending}") == {"run": "a"}
        again = go(net, options, state=state)
        assert again["validation_correct"] == history["validation_correct"]
        assert (again.ended, again.best_epoch) == (history.ended, history.best_epoch)
        # To the last bit only with the same BLAS and processor.
        for p, q in zip(net.parameters, end.parameters, strict=True):
            assert np.allclose(p, q, rtol=1e-4, atol=1e-5)
    assert load(folder / "network2.json").layers[0].w.shape == (2, 3)


def test_a_hundred_thousand_epochs_fit_into_a_checkpoint(tmp_path: Path) -> None:
    """A History that outgrew the description ended every run after 52,000 epochs."""
    n, path, options = 100_000, tmp_path / "checkpoint.npz", Settings(epochs=100_002, eta=0.01)
    data = digits(4)
    state = State.start(options, 0)
    for epoch in range(n):
        row = {"eta": 0.01, "seconds": epoch / 7, "validation_cost": 1 / (epoch + 1)}
        state.history.append(row | {"validation_correct": epoch, "validation_accuracy": 0.25})
    net, calls = Network([12, 3], rng=0), []

    def keep(net: Network, state: State) -> None:
        start = time.process_time()
        save_checkpoint(path, net, state, options)
        calls.append(time.process_time() - start)

    train(net, data, options, validation=data, state=state, after_epoch=keep)
    back, again, _ = load_checkpoint(path)
    assert again.history == replace(state.history, ended="")
    assert type(again.history["validation_correct"][-1]) is int
    assert same(net, back)
    assert path.stat().st_size < 45 * n
    assert min(calls) < 1  # 0.1 s on a busy machine
    save_history(state.history, tmp_path / "history.json")
    assert load_history(tmp_path / "history.json") == state.history


def test_checkpoints_take_a_twentieth_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, saved = [0.0], []

    def save(path: Path, net: Network, state: State, *rest: Any, **about: Any) -> None:
        assert (path, rest, about) == (tmp_path, (HARD, None), {"run": "a"})
        now[0] += 1.0
        saved.append(now[0])

    monkeypatch.setattr(nndl.storage.checkpoints, "perf_counter", lambda: now[0])
    monkeypatch.setattr(nndl.storage.checkpoints, "save_checkpoint", save)
    checkpoints = Checkpoints(tmp_path, HARD, run="a")
    net, state = Network([3, 2]), State.start(HARD)
    checkpoints.after_epoch(net, state)
    assert len(saved) == 1  # the first at once
    for _ in range(2000):
        now[0] += 0.1  # an epoch
        checkpoints.after_epoch(net, state)
    assert len(saved) == 1 + 2000 // 191
    checkpoints.save(net, state)
    assert len(saved) == 2 + 2000 // 191
    state.history.ended = "no improvement in 2 epochs"
    checkpoints.after_epoch(net, state)
    assert len(saved) == 3 + 2000 // 191
    state.history = History({"eta": [0.5] * HARD.epochs})
    checkpoints.after_epoch(net, state)
    assert len(saved) == 4 + 2000 // 191


def test_json_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    net, path = Network([3, 2], rng=0), tmp_path / "net.json"
    save(net, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="its JSON holds the number '1000"):
        save(net, path, seed=10**50)
    with pytest.raises(ValueError, match="the same key twice"):
        save(net, path, map={1: 0, "1": 0})
    assert path.read_bytes() == before
    for history, reason in (
        (History({"eta": [np.float32(1)]}), "only plain JSON"),  # type: ignore[list-item]
        (History({}, settings={"a": 10**50}), "the History cannot be saved: its JSON holds"),
        (History({}, ended="x" * 2000), "the History cannot be saved: "),
    ):
        with pytest.raises(ValueError, match=reason):
            save_history(history, tmp_path / "history.json")
    assert [p.name for p in tmp_path.iterdir()] == ["net.json"]


def test_a_history_of_unequal_lengths_is_refused_everywhere(tmp_path: Path) -> None:
    net, state = checkpoint(tmp_path / "checkpoint.npz")
    state.history["seconds"].append(1.0)
    unequal = "must have an entry for each epoch, but have .'eta': 1, 'seconds': 2"
    with pytest.raises(ValueError, match=unequal):
        save_checkpoint(tmp_path / "checkpoint.npz", net, state, Settings())
    with pytest.raises(ValueError, match=unequal):
        save_history(state.history, tmp_path / "history.json")
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.npz"]
    (tmp_path / "history.json").write_text(json.dumps(asdict(state.history)))
    with pytest.raises(ValueError, match=unequal):
        load_history(tmp_path / "history.json")
    content = members(tmp_path / "checkpoint.npz")
    put("history.1.npy", npy(np.zeros(2)))(content)
    refused(
        load_checkpoint, pack(tmp_path / "checkpoint.npz", content), "of shape (1,), in C order"
    )
    old = Path(__file__).parent / "data" / "storage-0.1.0" / "checkpoint.npz"
    content = members(old)
    described(content, lambda r: r["history"]["epochs"]["eta"].append(1.0))
    refused(load_checkpoint, pack(tmp_path / "old.npz", content), "must have an entry for each ep")


def test_a_history_too_long_to_be_loaded_is_written_in_full(tmp_path: Path) -> None:
    path, rate = tmp_path / "history.json", 0.12345678901234567
    history = History({name: [rate] * 110_000 for name in map(str, range(8))})
    save_history(history, path)
    assert path.stat().st_size > 2**24
    assert json.loads(path.read_text())["epochs"] == history.epochs
    with pytest.raises(ValueError, match="may have at most 16,777,216"):
        load_history(path)


def test_a_best_epoch_that_is_not_in_the_history_is_refused_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    net, state = checkpoint(path)
    state.history.best_epoch = 1
    none = "its best epoch, 1, is not one of its epochs"
    for save_it in (
        lambda: save_checkpoint(path, net, state, Settings()),
        lambda: save_history(state.history, tmp_path / "history.json"),
    ):
        with pytest.raises(ValueError, match=none):
            save_it()
    (tmp_path / "history.json").write_text(json.dumps(asdict(state.history)))
    with pytest.raises(ValueError, match=rf"history\.json is not a History .*{none}"):
        load_history(tmp_path / "history.json")
    content = members(path)
    described(content, lambda r: r["history"].update(best_epoch=1))
    refused(load_checkpoint, pack(path, content), none)


def test_what_batch_norm_was_given_is_kept(tmp_path: Path) -> None:
    layer = BatchNorm(relu, momentum=0.3, epsilon=0.5)
    net = Network([Dense(4, identity), layer, Dense(2)], input_shape=3, rng=0)
    save(net, tmp_path / "net.npz")
    found = load(tmp_path / "net.npz").layers[1]
    assert (found.momentum, found.epsilon, str(found)) == (0.3, 0.5, str(layer))


def test_a_run_judged_by_cost_resumes_with_its_best_cost(tmp_path: Path) -> None:
    path, data = tmp_path / "checkpoint.npz", digits(90)
    options = replace(HARD, epochs=4, patience=None, halve_after=2, judge_by="cost")
    net, state = Network([12, 3], rng=0), State.start(options, 0)
    train(net, data, replace(options, epochs=2), validation=data, state=state)
    assert state.best_cost is not None
    save_checkpoint(path, net, state, options)
    assert load_checkpoint(path)[1].best_cost == state.best_cost


def test_a_run_is_not_resumed_with_other_data(tmp_path: Path) -> None:
    path, data = tmp_path / "checkpoint.npz", digits(20, 3)
    other = Dataset(data.images, (data.labels + 1) % 3)
    net, state = checkpoint(path)
    load_checkpoint(path, {"training": other})  # it was saved without sets
    save_checkpoint(path, net, state, Settings(), {"training": data, "test": data})
    load_checkpoint(path)
    load_checkpoint(path, {"training": Dataset(data.images.copy(), data.labels.copy(), "moved")})
    load_checkpoint(path, {"training": data, "validation": other})
    refused(
        lambda path: load_checkpoint(path, {"training": other}),
        path,
        "began with other data (training): rest",
    )
    both = {"training": other, "test": other}
    refused(
        lambda path: load_checkpoint(path, both), path, "other data (training and test): restore"
    )


def test_a_checkpoint_holds_everything_that_changes_in_training() -> None:
    known = {"history", "streams", "best_parameters"}
    known |= {"eta", "best_correct", "best_cost", "waited", "waited_to_halve", "done"}
    known |= {"average", "raw"}
    assert {f.name for f in fields(State)} == known


def checkpoint(path: Path) -> tuple[Network, State]:
    """Write a checkpoint with everything in it."""
    net, kept = Network([3, 2], rng=0), []
    small = Settings(epochs=1, mu=0.5, patience=3)
    data = digits(20, 3)
    two = Dataset(data.images, data.labels % 2)
    train(net, two, small, validation=two, rng=0, after_epoch=lambda net, state: kept.append(state))
    save_checkpoint(path, net, kept[0], small, run="a")
    return net, kept[0]


def velocities(net: Network) -> list[Any]:
    return [net.output.v_w, net.output.v_b]


def test_stride_and_padding_come_back_and_are_left_out_where_there_are_none(
    tmp_path: Path,
) -> None:
    for more, found in (({}, False), ({"stride": 2, "padding": 1}, True)):
        layers = [Conv(3, 3, **more), Dense(2)]
        net = Network(layers, input_shape=(1, 9, 9), rng=0)
        save(net, tmp_path / "net.npz")
        assert repr(load(tmp_path / "net.npz")) == repr(net)
        with zipfile.ZipFile(tmp_path / "net.npz") as archive:
            text = archive.read("description.json").decode()
        assert [name in text for name in ("stride", "padding")] == [found] * 2


def test_velocities_and_best_parameters_come_back(tmp_path: Path) -> None:
    net, state = checkpoint(tmp_path / "checkpoint.npz")
    back, found, _ = load_checkpoint(tmp_path / "checkpoint.npz")
    assert same(net, back)
    for a, b in zip(velocities(net), velocities(back), strict=True):
        assert a.any()
        assert a.tobytes() == b.tobytes()
    assert state.best_parameters
    for a, b in zip(state.best_parameters, found.best_parameters, strict=True):
        assert a.tobytes() == b.tobytes()
    assert asdict(state.history) == asdict(found.history)
    assert state.streams.state == found.streams.state
    assert read_about(tmp_path / "checkpoint.npz") == {"run": "a"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.update(format="nndl network"), "must be nndl checkpoint, not 'nndl network'"),
        (lambda r: r.update(velocities=False), "unknown are ['velocity.layers.0.b', 'velocity.la"),
        (lambda r: r.update(best=1), "its description.best must be true or false, not 1"),
        (lambda r: r["settings"].update(eta=None), "settings.eta must be a number, not None"),
        (lambda r: r["settings"].update(eta=-1), "eta must be positive and finite, not -1"),
        (lambda r: r["settings"].update(epochs=2.5), "epochs must be a whole number"),
        (lambda r: r["settings"].pop("mu"), "its description.settings must have the keys"),
        (
            lambda r: r["history"].update(ended=None),
            "history.ended must be a text of at most 1,000 char",
        ),
        (lambda r: r["history"].update(epochs=2), "history.0.npy must be <f8 of shape (2,), in C"),
        (lambda r: r["history"].update(epochs=-1), "history.epochs must be a whole number"),
        (lambda r: r["history"]["series"].pop(), "unknown are ['history.4']"),
        (lambda r: r["history"]["series"].append(r["history"]["series"][0]), "['history.5']"),
        (lambda r: r["history"]["series"][0].update(name="seconds"), "series of its history have"),
        (
            lambda r: r["history"]["series"][0].update(dtype="O"),
            "must be float64 or int64, not 'O'",
        ),
        (lambda r: r["history"].update(best_epoch=-1), "history.best_epoch must be a whole number"),
        (lambda r: r["counters"].update(waited=0.5), "counters.waited must be a whole number"),
        (lambda r: r["counters"].update(done=-1), "counters.done must be a whole number from 0"),
        (lambda r: r["counters"].pop("done"), "its description.counters must have the keys"),
        (lambda r: r.update(digests={"training": 1}), "digests.training must be a text of at mo"),
        (lambda r: r["streams"].pop("shuffle"), "its description.streams must have the keys"),
        (lambda r: r["streams"]["shuffle"].update(bit_generator="os"), "must be PCG64, not 'os'"),
        (lambda r: r["streams"]["dropout"]["state"].update(inc=-1), "state.inc must be a whole"),
    ],
)
def test_an_invalid_checkpoint_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    path = tmp_path / "checkpoint.npz"
    checkpoint(path)
    content = members(path)
    described(content, change)
    pack(path, content)
    refused(load_checkpoint, path, reason)


def test_streams_of_another_kind_cannot_be_saved(tmp_path: Path) -> None:
    net, state = checkpoint(tmp_path / "checkpoint.npz")
    with pytest.raises(ValueError, match=r"must end in \.npz or \.safetensors"):
        save_checkpoint(tmp_path / "checkpoint.json", net, state, Settings())
    state.streams.shuffle = np.random.Generator(np.random.PCG64DXSM(0))
    with pytest.raises(ValueError, match="bit_generator must be PCG64, not 'PCG64DXSM'"):
        save_checkpoint(tmp_path / "checkpoint.npz", net, state, Settings())


def test_streams_come_from_generators_of_every_kind(tmp_path: Path) -> None:
    net, state = checkpoint(tmp_path / "checkpoint.npz")
    for kind in (np.random.MT19937, np.random.Philox, np.random.SFC64):
        state.streams = Streams(np.random.Generator(kind(5)))
        save_checkpoint(tmp_path / "checkpoint.npz", net, state, Settings())
        _, again, _ = load_checkpoint(tmp_path / "checkpoint.npz")
        for name in Streams.names:
            one, other = getattr(again.streams, name), getattr(state.streams, name)
            assert one.random() == other.random()


def test_a_network_and_a_checkpoint_are_told_apart(tmp_path: Path) -> None:
    checkpoint(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="must be nndl network, not 'nndl checkpoint'"):
        load(tmp_path / "a.npz")
    for ending in [*ENDINGS, ".json"]:
        save(Network([3, 2]), tmp_path / f"b{ending}")
        with pytest.raises(ValueError, match="must be nndl checkpoint, not 'nndl network'"):
            load_checkpoint(tmp_path / f"b{ending}")


# docs/formats.md.


def test_the_examples_in_the_documentation_are_right(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")
    network, network2, history = map(json.loads, re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    save(Network([784, 30, 10], dropout=0.5), tmp_path / "net.npz", **network["about"])
    assert json.loads(members(tmp_path / "net.npz")["description.json"]) == network
    (tmp_path / "net.json").write_text(json.dumps(network2))
    assert repr(*load(tmp_path / "net.json").layers) == "Dense(1, sigmoid): 2 -> 1, 3 parameters"
    assert history.keys() == asdict(History()).keys()
    for names in (ACTIVATIONS, COSTS, INITIALIZERS):
        assert ", ".join(f"`{name}`" for name in names) in page
    save(convolutional(), tmp_path / "net.npz")
    for layer in json.loads(members(tmp_path / "net.npz")["description.json"])["layers"]:
        keys = ", ".join(f"`{key}`" for key in layer if key != "kind")
        assert f"| `{layer['kind']}` | {keys} |" in page
