"""The listings of chapter 6, with fewer epochs and mostly on synthetic digits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from listings import seed

from nndl.activations import softmax
from nndl.book import mnist_loader, network3
from nndl.book.network3 import (
    ConvPoolLayer,
    FullyConnectedLayer,
    ReLU,
    SoftmaxLayer,
    linear,
    tanh,
)
from nndl.conv import Conv
from nndl.costs import log_likelihood
from nndl.data import Dataset, shift
from nndl.initializers import zeros
from nndl.layers import Dense, Dropout
from nndl.network import Network as Core
from nndl.storage import load, save
from nndl.training.metrics import evaluate


def convolutional(mb: int, *maps: int, f=network3.sigmoid, poolsize=(2, 2)):
    """The convolutional part of a listing, and the number of its outputs."""
    layers, maps_in, side = [], 1, 28
    for n in maps:
        layers.append(
            ConvPoolLayer(
                image_shape=(mb, maps_in, side, side),
                filter_shape=(n, maps_in, 5, 5),
                poolsize=poolsize,
                activation_fn=f,
            )
        )
        maps_in, side = n, (side - 4) // poolsize[0]
    return layers, maps_in * side * side


def shallow(mb: int):
    return network3.Network(
        [FullyConnectedLayer(n_in=784, n_out=100), SoftmaxLayer(n_in=100, n_out=10)], mb
    )


def basic_conv(mb: int):
    layers, n = convolutional(mb, 20)
    layers += [FullyConnectedLayer(n_in=n, n_out=100), SoftmaxLayer(n_in=100, n_out=10)]
    return network3.Network(layers, mb)


def omit_fc(mb: int):
    layers, n = convolutional(mb, 20)
    return network3.Network([*layers, SoftmaxLayer(n_in=n, n_out=10)], mb)


def dbl_conv(mb: int, f=network3.sigmoid):
    layers, n = convolutional(mb, 20, 40, f=f)
    assert n == 40 * 4 * 4
    fully = FullyConnectedLayer(n_in=n, n_out=100, activation_fn=f)
    return network3.Network([*layers, fully, SoftmaxLayer(n_in=100, n_out=10)], mb)


def with_dropout(mb: int):
    layers, n = convolutional(mb, 20, 40, f=ReLU)
    layers += [
        FullyConnectedLayer(n_in=n, n_out=100, activation_fn=ReLU, p_dropout=0.5),
        FullyConnectedLayer(n_in=100, n_out=100, activation_fn=ReLU, p_dropout=0.5),
        SoftmaxLayer(n_in=100, n_out=10, p_dropout=0.5),
    ]
    return network3.Network(layers, mb)


@pytest.mark.parametrize(
    ("make", "eta", "lmbda"),
    [
        (shallow, 0.1, 0.0),
        (basic_conv, 0.1, 0.0),
        (omit_fc, 0.1, 0.0),
        (dbl_conv, 0.1, 0.0),
        (lambda mb: dbl_conv(mb, tanh), 0.1, 0.0),
        (lambda mb: dbl_conv(mb, ReLU), 0.03, 0.1),
        (lambda mb: dbl_conv(mb, linear), 0.01, 0.1),
        (with_dropout, 0.03, 0.0),
    ],
    ids=["shallow", "basic", "omit", "double", "tanh", "relu", "linear", "dropout"],
)
def test_listings_of_chapter_6(shared, capsys, make, eta, lmbda) -> None:
    training_data, validation_data, test_data = shared
    mini_batch_size = 10
    net = make(mini_batch_size)
    before = [p.copy() for p in net.core.parameters]
    assert (
        net.SGD(training_data, 1, mini_batch_size, eta, validation_data, test_data, lmbda=lmbda)
        is None
    )
    text = capsys.readouterr().out
    percent = r"(\d+\.\d\d%)"
    match = re.fullmatch(
        "Training mini-batch number 0\n"
        f"Epoch 0: validation accuracy {percent}\n"
        r"This is the best validation accuracy to date\.\n"
        f"The corresponding test accuracy is {percent}\n"
        r"Finished training network\.\n"
        f"Best validation accuracy of {percent} obtained at iteration 99\n"
        f"Corresponding test accuracy of {percent}\n",
        text,
    )
    assert match, text
    for name, data, shown in (
        ("validation", validation_data, match[1]),
        ("test", test_data, match[2]),
    ):
        assert shown == f"{evaluate(net.core, Dataset(*data)).accuracy:.2%}", name
    assert (match[1], match[2]) == (match[3], match[4])
    assert not any(np.array_equal(p, q) for p, q in zip(net.core.parameters, before, strict=True))


def test_a_network_of_chapter_6_learns(shared, capsys) -> None:
    net = dbl_conv(10, ReLU)
    net.SGD(shared[0], 4, 10, 0.03, shared[1], shared[2], lmbda=0.1)
    lines = capsys.readouterr().out.splitlines()
    assert float(re.findall(r"[\d.]+(?=%)", lines[-1])[0]) > 60  # 72 to 79 with other seeds


def test_the_real_mnist_in_the_terms_of_chapter_6(mnist, monkeypatch, capsys) -> None:
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: mnist)
    training_data, validation_data, test_data = network3.load_data_shared()
    seed(1)
    net = shallow(10)
    net.SGD(training_data, 1, 10, 0.1, validation_data, test_data)
    numbers = re.findall(r"[\d.]+(?=%)", capsys.readouterr().out)
    assert float(numbers[0]) > 91  # the book: a little under 94 after an epoch


def test_every_thousandth_mini_batch_is_counted_through_all_epochs(shared, capsys) -> None:
    x, y = (np.concatenate([a, a, a]) for a in shared[0])
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 2)
    net.SGD((x[:2501], y[:2501]), 2, 2, 0.01, shared[1], shared[2])  # 1,250 steps an epoch
    lines = capsys.readouterr().out.splitlines()
    steps = [line for line in lines if line.startswith(("Training", "Epoch"))]
    assert [re.sub(r"[\d.]+%", "p", line) for line in steps] == [
        "Training mini-batch number 0",
        "Training mini-batch number 1000",
        "Epoch 0: validation accuracy p",
        "Training mini-batch number 2000",
        "Epoch 1: validation accuracy p",
    ]


# Its data


def test_shared_data_are_pairs_of_arrays(digits, shared) -> None:
    assert isinstance(shared, list)
    for (x, y), source in zip(shared, digits, strict=True):
        assert (x.dtype, y.dtype.kind) == (np.float32, "i")
        assert np.array_equal(x, source.images)
        assert np.array_equal(y, source.labels)


@pytest.mark.parametrize("filename", ["../data/mnist_expanded.pkl.gz", "mnist_expanded.pkl.gz"])
def test_expanded_data_are_asked_for_by_file_name(digits, monkeypatch, filename) -> None:
    training = Dataset(
        np.round(255 * digits[0].images[:40]).astype(np.uint8), digits[0].labels[:40]
    )
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: digits)
    monkeypatch.setattr(network3, "load_mnist", lambda dtype: (training, *digits[1:]))
    (x, y), validation, test = network3.load_data_shared(filename)
    assert (x.dtype, x.shape, y.shape) == (np.float32, (200, 784), (200,))
    moves = [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)]
    rows = np.concatenate([shift(training.images, dx, dy) for dx, dy in moves]).astype(np.float32)
    labels = np.tile(training.labels, 5)
    expected = {(row.tobytes(), label) for row, label in zip(rows, labels, strict=True)}
    found = [((256 * row).tobytes(), label) for row, label in zip(x, y, strict=True)]
    assert set(found) == expected
    assert not np.array_equal(y[:40], training.labels)  # shuffled
    again = network3.expand_mnist()
    assert np.array_equal(again[0], x)  # once and for all
    assert np.array_equal(again[1], y)
    assert np.array_equal(validation[0], digits[1].images)
    assert np.array_equal(test[1], digits[2].labels)


def test_another_file_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must end in mnist\.pkl\.gz or .* not '\.\./mine\.gz'"):
        network3.load_data_shared("../mine.gz")


# What sets chapter 6 apart


def test_initial_weights_scale_with_the_number_of_outputs() -> None:
    seed(1)
    layers, n = convolutional(10, 20, 40)
    layers += [FullyConnectedLayer(n_in=n, n_out=100), SoftmaxLayer(n_in=100, n_out=10)]
    network3.Network(layers, 10)
    spreads = [float(layer.w.std()) for layer in layers]
    assert spreads[0] == pytest.approx((20 * 25 / 4) ** -0.5, rel=0.1)  # 0.0894
    assert spreads[1] == pytest.approx((40 * 25 / 4) ** -0.5, rel=0.03)  # 0.0632
    assert spreads[2] == pytest.approx(100**-0.5, rel=0.01)
    assert spreads[3] == 0
    biases = np.concatenate([layer.b for layer in layers[:3]])
    assert biases.std() == pytest.approx(1, abs=0.2)
    assert not layers[3].b.any()


def test_fewer_images_than_a_mini_batch_are_refused(shared) -> None:
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 10)
    few = (shared[0][0][:7], shared[0][1][:7])
    with pytest.raises(ValueError, match="7 images do not fill a mini-batch of 10"):
        net.SGD(few, 1, 10, 0.1, shared[1], shared[2])


def test_layer_weights_are_live_and_have_the_book_s_shapes() -> None:
    layers, n = convolutional(10, 20, 40)
    layers += [FullyConnectedLayer(n_in=n, n_out=30), SoftmaxLayer(n_in=30, n_out=10)]
    net = network3.Network(layers, 10)
    assert (net.layers, net.mini_batch_size) == (layers, 10)
    shapes = [(20, 1, 5, 5), (40, 20, 5, 5), (640, 30), (30, 10)]
    assert [layer.w.shape for layer in layers] == shapes
    assert [layer.b.shape for layer in layers] == [(20,), (40,), (30,), (10,)]
    for layer in layers:
        layer.w[...], layer.b[...] = 0, 0
    assert not any(p.any() for p in net.core.parameters)
    layers[-1].b[3] = 1
    assert net.core.predict(np.zeros((1, 784))).tolist() == [3]


def steps_of_the_book(core: Core, x, y, mb: int, eta: float, lmbda: float) -> None:
    """An epoch in order: the mean cost, and lambda/2 sum w^2 over the number of mini-batches."""
    n_batches = len(y) // mb
    for i in range(n_batches):
        part = slice(i * mb, (i + 1) * mb)
        nabla_b, nabla_w = core.backprop(x[part].T, y[part])
        for b, g in zip(core.biases, nabla_b, strict=True):
            b -= eta * g
        for w, g in zip(core.weights, nabla_w, strict=True):
            w -= eta * (g + lmbda / n_batches * w)


def test_mini_batches_keep_their_order_and_lambda_is_divided_by_their_number(
    shared, capsys
) -> None:
    layers, n = convolutional(10, 3)
    net = network3.Network([*layers, SoftmaxLayer(n_in=n, n_out=10)], 10)
    twin = net.core.astype(np.float32)
    (x, y), validation_data, test_data = shared
    net.SGD((x[:208], y[:208]), 2, 10, 0.1, validation_data, test_data, lmbda=0.5)
    for _ in range(2):
        steps_of_the_book(twin, x[:208], y[:208], 10, 0.1, 0.5)  # the last 8 are left out
    for p, q in zip(net.core.parameters, twin.parameters, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-3, atol=1e-5)


def test_dropout_acts_on_the_inputs_of_a_layer() -> None:
    layers, n = convolutional(10, 3)
    first = FullyConnectedLayer(n_in=n, n_out=8, p_dropout=0.25)
    net = network3.Network([*layers, first, SoftmaxLayer(n_in=8, n_out=10, p_dropout=0.5)], 10)
    kinds = [(Conv, None), (Dropout, 0.25), (Dense, None), (Dropout, 0.5), (Dense, None)]
    assert [(type(l), getattr(l, "p", None)) for l in net.core.layers] == kinds
    # An answer is that of the weights times 1 - p.
    seed(5)
    net.layers[-1].w[...] = np.random.standard_normal((8, 10))  # noqa: NPY002
    plain = Core(
        [Conv(3, 5, pool=2), Dense(8), Dense(10, softmax)],
        cost=log_likelihood,
        input_shape=(1, 28, 28),
    )
    for p, q in zip(plain.parameters, net.core.parameters, strict=True):
        p[...] = q
    plain.weights[1][...] *= 0.75
    plain.weights[2][...] *= 0.5
    x = np.random.random((784, 5))  # noqa: NPY002
    np.testing.assert_allclose(net.core(x), plain(x), rtol=1e-4)


def test_a_tie_moves_to_the_later_epoch(shared, capsys, monkeypatch) -> None:
    series = iter([0.5, 0.1, 0.7, 0.2, 0.6, 0.7, 0.3, 0.69])
    monkeypatch.setattr(network3, "accuracy", lambda core, data: next(series))
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 10)
    net.SGD((shared[0][0][:50], shared[0][1][:50]), 5, 10, 0.1, shared[1], shared[2])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Epoch 0: validation accuracy 50.00%",
        "This is the best validation accuracy to date.",
        "The corresponding test accuracy is 10.00%",
        "Epoch 1: validation accuracy 70.00%",
        "This is the best validation accuracy to date.",
        "The corresponding test accuracy is 20.00%",
        "Epoch 2: validation accuracy 60.00%",
        "Epoch 3: validation accuracy 70.00%",
        "This is the best validation accuracy to date.",
        "The corresponding test accuracy is 30.00%",
        "Epoch 4: validation accuracy 69.00%",
        "Finished training network.",
        "Best validation accuracy of 70.00% obtained at iteration 19",
        "Corresponding test accuracy of 30.00%",
    ]


def test_test_data_may_be_none(shared, capsys) -> None:
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 10)
    net.SGD(shared[0], 1, 10, 0.1, shared[1], None)
    assert "test" not in capsys.readouterr().out


def test_validation_leaves_out_an_incomplete_mini_batch(shared, capsys) -> None:
    x, y = shared[1]
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 60)
    net.SGD(shared[0], 1, 60, 0.1, (x, y), None)  # 180 of 200
    whole = evaluate(net.core, Dataset(x[:180], y[:180])).accuracy
    assert f"Epoch 0: validation accuracy {whole:.2%}\n" in capsys.readouterr().out
    assert f"{whole:.2%}" != f"{evaluate(net.core, Dataset(x, y)).accuracy:.2%}"


def test_numpy_s_seed_repeats_a_program_of_chapter_6(shared, capsys) -> None:
    def program(s: int) -> str:
        seed(s)
        net = with_dropout(10)
        net.SGD((shared[0][0][:100], shared[0][1][:100]), 1, 10, 0.03, shared[1], shared[2])
        return capsys.readouterr().out, [p.tobytes() for p in net.core.parameters]

    assert program(4) == program(4) != program(5)


def test_a_listing_of_chapter_6_that_diverges_warns_and_runs_to_its_end(shared, capsys) -> None:
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 10)
    with pytest.warns(RuntimeWarning, match=r"diverged in epoch \d.*stay as they are"):
        net.SGD(shared[0], 3, 10, 10.0, shared[1], shared[2], lmbda=1000.0)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("Epoch") for line in lines) == 3
    zeros_read = f"{(shared[1][1] == 0).mean():.2%}"
    assert f"Epoch 2: validation accuracy {zeros_read}" in lines


def test_a_network_of_chapter_6_is_saved_by_its_core(shared, tmp_path: Path, capsys) -> None:
    net = dbl_conv(10, ReLU)
    save(net.core, tmp_path / "net.npz")
    assert np.array_equal(load(tmp_path / "net.npz")(shared[0][0].T), net.core(shared[0][0].T))
    assert net.core.output.init is zeros
    assert net.core.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (list, "last layer must be a SoftmaxLayer"),
        (lambda: [FullyConnectedLayer(784, 10)], "last layer must be a SoftmaxLayer"),
        (
            lambda: [FullyConnectedLayer(784, 30), SoftmaxLayer(100, 10)],
            r"layers\[1\] must have the input shape \(30,\) .* has \(100,\)",
        ),
        (
            lambda: [*convolutional(10, 20)[0], SoftmaxLayer(20 * 24 * 24, 10)],
            r"layers\[1\] must have the input shape \(20, 12, 12\) .* \(11520,\)",
        ),
        (
            lambda: [
                FullyConnectedLayer(784, 784),
                *convolutional(10, 2)[0],
                SoftmaxLayer(288, 10),
            ],
            r"layers\[1\] must have the input shape \(784,\) .* \(1, 28, 28\)",
        ),
        (
            lambda: [ConvPoolLayer((2, 1, 5, 4), (10, 1, 28, 28))],
            "filters and pools must be square",
        ),
        (
            lambda: [ConvPoolLayer((2, 1, 5, 5), (10, 1, 28, 28), (2, 1))],
            "filters and pools must be square",
        ),
        (
            lambda: [ConvPoolLayer((2, 3, 5, 5), (10, 1, 28, 28))],
            "filters must have as many input maps as",
        ),
        (lambda: [SoftmaxLayer(784, 10, p_dropout=1.0)], r"dropping a neuron, in \[0, 1\)"),
    ],
)
def test_layers_that_do_not_fit_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        network3.Network(make(), 10)


def test_another_mini_batch_size_than_the_network_s_is_refused(shared) -> None:
    net = network3.Network([SoftmaxLayer(n_in=784, n_out=10)], 10)
    with pytest.raises(ValueError, match="must be that of the network, 10, not 20"):
        net.SGD(shared[0], 1, 20, 0.1, shared[1], shared[2])


def test_activation_functions_are_functions() -> None:
    z = np.array([-1.0, 0.0, 2.0])
    assert ReLU(z).tolist() == [0, 0, 2]
    assert linear(z).tolist() == [-1, 0, 2]
    np.testing.assert_allclose(tanh(z), np.tanh(z))
    np.testing.assert_allclose(network3.sigmoid(z), 1 / (1 + np.exp(-z)))


@pytest.mark.parametrize("size", [0, 2.5])
def test_a_mini_batch_size_that_is_none_is_refused(size) -> None:
    with pytest.raises(ValueError, match="mini_batch_size must be a whole number"):
        network3.Network([network3.SoftmaxLayer(n_in=4, n_out=2)], size)
