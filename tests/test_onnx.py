"""Networks as ONNX: onnx's checker accepts them, and onnxruntime computes the same."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from nndl.activations import (
    ACTIVATIONS,
    Activation,
    LeakyReLU,
    identity,
    relu,
    scaled_tanh,
    sigmoid,
    softmax,
    tanh,
)
from nndl.cli import export
from nndl.cli.main import main
from nndl.conv import Conv, MaxPool
from nndl.costs import log_likelihood, quadratic
from nndl.initializers import he
from nndl.layers import Dense, Dropout, Layer
from nndl.network import Network
from nndl.normalization import BatchNorm
from nndl.storage import save
from nndl.training import Settings, train

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from nndl.export.onnx import as_onnx, export_onnx  # noqa: E402

PIXELS = np.random.default_rng(0).integers(0, 256, (50, 144), np.uint8)


def run(model, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (outputs,) = session.run(["outputs"], {"images": images})
    return outputs


def convolutional(activation: Activation = relu) -> list[Layer]:
    """Two convolutions, pooled in both ways, dropout, and dense layers: on 1x12x12."""
    return [
        Conv(3, 3, activation, pool=2, init=he),
        Conv(4, 2, activation),
        MaxPool(2),
        Dropout(0.25),
        Dense(8, activation),
        Dropout(0.5),
        Dense(10, softmax),
    ]


def normalized(layers: list[Layer], shape: tuple[int, ...]) -> Network:
    """Return a network whose running averages have followed a few mini-batches."""
    net = Network(layers, cost=quadratic, input_shape=shape, rng=0)
    for start in range(0, 50, 10):
        images = PIXELS[start : start + 10]
        net.update_mini_batch(images.T, np.arange(10) % net.n_out, 0.5)
    return net


NETWORKS = {
    "dense": lambda: Network([144, 30, 10], rng=0),
    "float64": lambda: Network([144, 30, 10], rng=0, dtype=np.float64),
    "dropout": lambda: Network([144, 30, 20, 10], dropout=0.5, rng=0),
    "convolution": lambda: Network(
        convolutional(), cost=log_likelihood, input_shape=(1, 12, 12), rng=0
    ),
    "stride": lambda: Network(
        [Conv(3, 4, stride=2, padding=1, init=he), Conv(5, 3, pool=2, padding="same"), Dense(10)],
        input_shape=(1, 12, 12),
        rng=0,
    ),
    "batch norm": lambda: normalized(
        [
            *(Conv(3, 3, identity, pool=2), BatchNorm(relu), Conv(4, 2, identity)),
            *(BatchNorm(LeakyReLU(0.2)), MaxPool(2), Dropout(0.25), Dense(8, identity)),
            *(BatchNorm(tanh), Dense(10, softmax)),
        ],
        (1, 12, 12),
    ),
    "batch norm of inputs": lambda: normalized([BatchNorm(), Dense(5)], (1, 12, 12)),
    "batch norm of input maps": lambda: normalized([BatchNorm(tanh), Dense(5)], (4, 6, 6)),
    "pools of 3": lambda: Network(
        [Conv(3, 3, relu, pool=3, init=he), MaxPool(3), Dense(5)], input_shape=(1, 12, 12), rng=0
    ),
    "epsilon": lambda: normalized(
        [Dense(8, identity), BatchNorm(tanh, epsilon=0.5), Dense(5)], (144,)
    ),
    "maps": lambda: Network(
        [Conv(5, 3, tanh), Dense(3, sigmoid)], cost=quadratic, input_shape=(4, 6, 6), rng=0
    ),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=list(NETWORKS))
def test_onnxruntime_gives_the_same_outputs(make) -> None:
    net = make()
    images = (PIXELS / 256).astype(np.float32)
    expected = net.feedforward(images.T).T
    np.testing.assert_allclose(run(as_onnx(net), images), expected, atol=1e-5)
    np.testing.assert_allclose(run(as_onnx(net, raw_pixels=True), PIXELS), expected, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=list(ACTIVATIONS))
def test_every_activation_of_the_library_is_the_same(activation) -> None:
    hidden = relu if activation is softmax else activation
    net = Network([Dense(7, hidden), Dense(5, activation)], cost=quadratic, input_shape=144, rng=3)
    images = (PIXELS / 256).astype(np.float32)
    np.testing.assert_allclose(
        run(as_onnx(net), images), net.feedforward(images.T).T, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_a_network_of_mnist_gives_the_same_10_000_labels(mnist, kind, tmp_path) -> None:
    if kind == "dense":
        net = Network([784, 30, 10], rng=0)
    else:
        layers = [Conv(4, 5, relu, pool=2, init=he), Dropout(0.5), Dense(10, softmax)]
        net = Network(layers, cost=log_likelihood, input_shape=(1, 28, 28), rng=0)
    train(net, mnist[0][:5000], Settings(epochs=2, eta=0.1), rng=0)
    export_onnx(net, tmp_path / "net.onnx", raw_pixels=False, data="MNIST")
    model = onnx.load(tmp_path / "net.onnx")
    outputs = run(model, mnist[2].images)
    np.testing.assert_array_equal(outputs.argmax(axis=1), net.predict(mnist[2].images))
    np.testing.assert_allclose(outputs, net.feedforward(mnist[2].images.T).T, atol=1e-5)
    assert {p.key: p.value for p in model.metadata_props} == {"data": "MNIST"}
    assert model.producer_name == "nndl"


def test_a_batch_may_have_any_size() -> None:
    model = as_onnx(NETWORKS["convolution"]())
    images = (PIXELS / 256).astype(np.float32)
    outputs = run(model, images)
    for n in (1, 7):
        np.testing.assert_allclose(run(model, images[:n]), outputs[:n], atol=1e-6)


class Square(Activation):
    """An activation of a reader's own."""

    def __call__(self, z, out=None):
        return np.square(z, out=out)


class Doubling(Layer):
    """A layer of a reader's own."""


def test_what_onnx_cannot_express_is_named() -> None:
    net = Network([144, 3], cost=quadratic, output=Square())
    with pytest.raises(ValueError, match=r"only the activations sigmoid, .* not square"):
        as_onnx(net)
    net = Network([Doubling(), Dense(3)], input_shape=144)
    with pytest.raises(ValueError, match=r"layers of the kinds Dense, .* not <.*Doubling"):
        as_onnx(net)


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "net.onnx"
    path.write_text("before")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="space"):
        export_onnx(NETWORKS["dense"](), path)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


def test_weights_too_large_for_float32_are_refused() -> None:
    net = Network([144, 3], dtype=np.float64, rng=0)
    net.weights[0][0, 0] = 1e60
    with pytest.raises(ValueError, match="weights too large for float32"):
        as_onnx(net)


def test_a_file_that_cannot_be_written_is_left_as_it_was(tmp_path) -> None:
    with pytest.raises(OSError, match="cannot write"):
        export_onnx(NETWORKS["dense"](), tmp_path / "missing" / "net.onnx")
    (tmp_path / "net.onnx").write_text("before")
    with pytest.raises(ValueError, match="only the activations"):
        export_onnx(Network([4, 3], cost=quadratic, output=Square()), tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_text() == "before"


def test_without_onnx_the_message_says_what_to_install(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "nndl.export.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'nndl\[onnx\]'"):
        import nndl.export.onnx  # noqa: F401


# The recipes of docs/export.md


def recipe(words: str) -> str:
    """Return the program of the page in which these words are."""
    page = (Path(__file__).parent.parent / "docs" / "export.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```py\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (program,) = [program for program in programs if words in program]
    return program


def function(name: str):
    """Return a function that the page defines."""
    namespace: dict[str, object] = {}
    exec(recipe(f"def {name}("), namespace)
    return namespace[name]


def for_recipes() -> list[Network]:
    layers = [Conv(3, 3, relu, pool=2, init=he), Conv(4, 2, tanh), Dropout(0.25), Dense(8)]
    others = [Conv(3, 3, stride=2, padding=1), BatchNorm(relu), MaxPool(2), Dense(10, softmax)]
    return [
        Network([144, 30, 10], dropout=0.5, rng=0),
        Network([*layers, Dropout(0.5), Dense(10, softmax)], input_shape=(1, 12, 12), rng=0),
        Network(others, input_shape=(1, 12, 12), rng=0),
        Network([Conv(3, 3), Dense(10, softmax)], input_shape=(4, 6, 6), rng=0),
        Network([Dense(10, softmax)], input_shape=(4, 6, 6), rng=0),
    ]


@pytest.mark.parametrize(("name", "library"), [("to_torch", "torch"), ("to_keras", "keras")])
def test_a_recipe_says_which_activation_it_does_not_know(name, library, monkeypatch) -> None:
    if find_spec("tensorflow") is None:
        monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("torch")
    pytest.importorskip(library)
    net = Network([144, 30, 10], activation=scaled_tanh, rng=0)
    with pytest.raises(ValueError, match="no recipe for scaled-tanh: add it to functions"):
        function(name)(net)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_recipe_for_pytorch_gives_the_same_outputs() -> None:
    torch = pytest.importorskip("torch")
    images = (PIXELS / 256).astype(np.float32)
    leaky = Network([144, 30, 10], activation=LeakyReLU(0.2), rng=0)
    for net in [*for_recipes(), leaky]:
        with torch.no_grad():
            outputs = function("to_torch")(net)(torch.tensor(images)).numpy()
        np.testing.assert_allclose(outputs, net.feedforward(images.T).T, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_recipe_for_keras_gives_the_same_outputs(monkeypatch) -> None:
    if find_spec("tensorflow") is None:
        pytest.importorskip("torch")
        monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    images = (PIXELS / 256).astype(np.float32)
    for net in for_recipes():
        outputs = function("to_keras")(net).predict(images, verbose=0)
        np.testing.assert_allclose(outputs, net.feedforward(images.T).T, atol=1e-5)


def test_the_program_for_onnxruntime_on_the_page_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = NETWORKS["dense"]()
    export_onnx(net, "digits.onnx")
    namespace: dict[str, object] = {"images": PIXELS / 256, "np": np}
    exec(recipe("InferenceSession"), namespace)
    np.testing.assert_array_equal(namespace["labels"], net.predict(PIXELS))


# The command


def test_the_command_exports_the_network_of_a_file(tmp_path, capsys) -> None:
    net = NETWORKS["dropout"]()
    save(net, tmp_path / "digits.npz")
    assert export.main([str(tmp_path / "digits.npz"), "--to", "onnx"]) == 0
    assert "digits.onnx: input images (n, 144), float32 pixels" in capsys.readouterr().out
    images = (PIXELS / 256).astype(np.float32)
    expected = net.feedforward(images.T).T
    outputs = run(onnx.load(tmp_path / "digits.onnx"), images)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    out = tmp_path / "raw.onnx"
    assert export.main([str(tmp_path / "digits.npz"), "--raw-pixels", "--out", str(out)]) == 0
    np.testing.assert_allclose(run(onnx.load(out), PIXELS), expected, atol=1e-5)


def test_the_command_exports_the_network_of_a_run(tmp_path) -> None:
    save(NETWORKS["dense"](), tmp_path / "network.npz")
    assert export.main([str(tmp_path)]) == 0
    assert len(onnx.load(tmp_path / "network.onnx").graph.node) == 5


def test_the_command_refuses_other_formats(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        export.main([str(tmp_path), "--to", "tflite"])
    assert "invalid choice: 'tflite'" in capsys.readouterr().err


def test_nndl_export_is_a_command_whose_errors_are_one_line(tmp_path, capsys) -> None:
    save(NETWORKS["dense"](), tmp_path / "net.npz")
    assert main(["export", str(tmp_path / "net.npz")]) == 0
    assert (tmp_path / "net.onnx").is_file()
    assert main(["export", str(tmp_path / "missing")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "missing" in error


def test_nndl_export_does_not_overwrite_the_network_or_files_of_a_run(tmp_path, capsys) -> None:
    path = tmp_path / "network.npz"
    save(NETWORKS["dense"](), path)
    before = path.read_bytes()
    assert main(["export", str(path), "--out", str(path)]) == 2
    (tmp_path / "config.json").write_text("{}")
    other = tmp_path / "other.npz"
    save(NETWORKS["dense"](), other)
    assert main(["export", str(other), "--out", str(path)]) == 2
    assert path.read_bytes() == before
    assert capsys.readouterr().err.count("give another --out") == 2
