"""Gradients compared with PyTorch's automatic differentiation, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from nndl._typing import Array
from nndl.activations import ACTIVATIONS, Activation, identity, relu, tanh
from nndl.conv import Conv, MaxPool
from nndl.costs import COSTS, Cost, log_likelihood
from nndl.dataset import Dataset
from nndl.initializers import large
from nndl.layers import Dense, Dropout, Layer
from nndl.network import Network
from nndl.normalization import BatchNorm
from nndl.step import Step
from nndl.validation import one_hot

torch = pytest.importorskip("torch")

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "scaled-tanh": lambda z: 1.7159 * torch.tanh(z * (2 / 3)),
    "relu": torch.relu,
    "leaky-relu": torch.nn.functional.leaky_relu,
    "identity": lambda z: z,
    "softmax": lambda z: torch.softmax(z, dim=0),
}
DEFINITIONS: dict[str, Callable[[Any, Any], Any]] = {
    "quadratic": lambda a, y: 0.5 * (a - y).square(),
    "cross-entropy": lambda a, y: -(y * a.log() + (1 - y) * (1 - a).log()),
    "log-likelihood": lambda a, y: -y * a.log(),
}
PAIRS = [(c, f) for c in COSTS.values() for f in c.accepts or ACTIVATIONS.values()]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def autograd(net: Network, hidden: str, x: Array, y: Array) -> tuple[float, Array, list[Array]]:
    """Return cost, outputs and the gradients of all weights, then of all biases."""
    parameters = [torch.tensor(p, requires_grad=True) for p in net.parameters]
    depth = len(net.weights)
    names = [hidden] * (depth - 1) + [net.output.activation.name]
    a = torch.tensor(x)
    for w, b, name in zip(parameters[:depth], parameters[depth:], names, strict=True):
        a = FUNCTIONS[name](w @ a + b)
    cost = DEFINITIONS[net.cost.name](a, torch.tensor(y)).sum() / x.shape[1]
    cost.backward()
    return cost.item(), a.detach().numpy(), [p.grad.numpy() for p in parameters]


@pytest.mark.parametrize("sizes", [[5, 3], [5, 7, 3], [5, 7, 6, 3], [5, 7, 6, 4, 3]], ids=len)
@pytest.mark.parametrize("hidden", ACTIVATIONS.values(), ids=repr)
@pytest.mark.parametrize(("cost", "output"), PAIRS, ids=str)
def test_gradients_match_pytorch(
    cost: Cost,
    output: Activation,
    hidden: Activation,
    sizes: list[int],
    rng: np.random.Generator,
) -> None:
    net = Network(
        sizes, cost=cost, activation=hidden, output=output, init=large, rng=rng, dtype=np.float64
    )
    for p in net.parameters:
        p *= 0.5  # far from linear, but not saturated
    x, labels = rng.normal(size=(5, 8)), rng.integers(0, 3, 8)
    y = np.eye(3)[labels].T
    value, a, expected = autograd(net, hidden.name, x, y)
    nabla_b, nabla_w = net.backprop(x, labels)
    np.testing.assert_allclose(net(x), a, rtol=1e-10, atol=1e-14)
    z = net.outputs(x)[0]
    assert cost.value(z, a, y, output).mean() == pytest.approx(value, rel=1e-10)
    for g, e in zip([*nabla_w, *nabla_b], expected, strict=True):
        assert np.linalg.norm(g - e) <= 1e-6 * np.linalg.norm(e)


def test_ten_steps_with_momentum_and_decay_match_pytorch(
    rng: np.random.Generator,
) -> None:
    net = Network([5, 7, 3], rng=rng, dtype=np.float64)
    weights, biases = (
        [torch.tensor(p, requires_grad=True) for p in ps] for ps in (net.weights, net.biases)
    )
    eta, lmbda, mu, n = 0.3, 2.0, 0.8, 50
    groups = [{"params": weights, "weight_decay": lmbda / n}, {"params": biases}]
    optimizer = torch.optim.SGD(groups, lr=eta, momentum=mu)
    for _ in range(10):
        x, labels = rng.normal(size=(5, 8)), rng.integers(0, 3, 8)
        net.update_mini_batch(x, labels, eta, lmbda, n, mu=mu)
        optimizer.zero_grad()
        a = torch.tensor(x)
        for w, b in zip(weights, biases, strict=True):
            a = torch.sigmoid(w @ a + b)
        y = torch.tensor(np.eye(3)[labels].T)
        (DEFINITIONS["cross-entropy"](a, y).sum() / 8).backward()
        optimizer.step()
    for p, expected in zip(net.parameters, [*weights, *biases], strict=True):
        np.testing.assert_allclose(p, expected.detach().numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("nesterov", [False, True])
def test_steps_with_momentum_decay_and_smoothing_match_pytorch(
    nesterov: bool, rng: np.random.Generator
) -> None:
    sizes, smoothing, n, m = [5, 7, 3], 0.1, 40, 8
    net = Network(sizes, cost=log_likelihood, rng=rng, dtype=np.float64)
    data = Dataset(rng.normal(size=(n, 5)), rng.integers(0, 3, n))
    twin = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Sigmoid(), torch.nn.Linear(7, 3))
    twin.double()
    parameters = [p for pair in zip(net.weights, net.biases, strict=True) for p in pair]
    with torch.no_grad():
        for p, q in zip(twin.parameters(), parameters, strict=True):
            p.copy_(torch.tensor(q).reshape(p.shape))
    decayed = [{"params": [l.weight], "weight_decay": 0.01} for l in (twin[0], twin[2])]
    biases = {"params": [l.bias for l in (twin[0], twin[2])]}
    steps = torch.optim.SGD([*decayed, biases], lr=0.1, momentum=0.9, nesterov=nesterov)
    cost = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
    for _ in net.sgd(
        data,
        3,
        m,
        0.1,
        lmbda=0.01 * n,
        mu=0.9,
        nesterov=nesterov,
        label_smoothing=smoothing,
        order=np.arange,
    ):
        for i in range(0, n, m):
            steps.zero_grad()
            x, labels = (torch.tensor(part[i : i + m]) for part in data)
            cost(twin(x), labels).backward()
            steps.step()
        for p, q in zip(twin.parameters(), parameters, strict=True):
            np.testing.assert_allclose(q.ravel(), p.detach().numpy().ravel(), rtol=1e-10)


# Batch normalization. A picture is (maps, height, width) in PyTorch; here, the maps of a pixel are
# side by side.

NORMALIZED: dict[str, Callable[[], list[Layer]]] = {
    "dense": lambda: [
        *(Dense(6, identity), BatchNorm(tanh), Dropout(0.3)),
        *(Dense(5, identity), BatchNorm(relu, momentum=0.3, epsilon=1e-3), Dense(3)),
    ],
    "conv with pool": lambda: [
        *(Conv(3, 3, identity, pool=2), BatchNorm(relu), Dropout(0.3)),
        *(Dense(6, identity), BatchNorm(tanh), Dense(3)),
    ],
    "conv, then pool": lambda: [
        *(Conv(4, 3, identity, padding=1), BatchNorm(tanh), MaxPool(2)),
        *(Conv(3, 2, identity, stride=2), BatchNorm(relu), Dense(3)),
    ],
}


def torch_outputs(layers: tuple[Layer, ...], state: list[Any], a: Any, training: bool) -> Any:
    """Return what the layers give for images a, (m, maps, height, width), with masks of dropout."""
    functions = torch.nn.functional
    for layer, arrays in zip(layers, state, strict=True):
        if isinstance(layer, Conv):
            w = arrays[0].reshape(layer.maps, layer.size, layer.size, -1).permute(0, 3, 1, 2)
            a = functions.conv2d(a, w, arrays[1][:, 0], layer.stride, layer.padding)
            a = FUNCTIONS[layer.activation.name](functions.max_pool2d(a, layer.pool))
        elif isinstance(layer, MaxPool):
            a = functions.max_pool2d(a, layer.size)
        elif isinstance(layer, BatchNorm):
            gamma, beta, mean, variance = (array[:, 0] for array in arrays)
            options = training, layer.momentum, layer.epsilon
            a = functions.batch_norm(a, mean, variance, gamma, beta, *options)
            a = FUNCTIONS[layer.activation.name](a)
        else:
            if a.ndim == 4:
                a = a.permute(0, 2, 3, 1).reshape(len(a), -1)
            if isinstance(layer, Dropout):
                a = a * (torch.tensor(layer.mask.T.copy()) if training else 1 - layer.p)
            else:
                a = FUNCTIONS[layer.activation.name](a @ arrays[0].T + arrays[1][:, 0])
    return a


def as_tensors(net: Network) -> list[Any]:
    """Return the tensors of each layer: w and b with a gradient, and the running averages."""
    state: list[Any] = []
    for layer in net.layers:
        names = ("w", "b") if layer.w is not None else ()
        state.append([torch.tensor(getattr(layer, n)) for n in (*names, *layer.statistics)])
        for tensor in state[-1][:2]:
            tensor.requires_grad_()
    return state


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weights of examples"])
@pytest.mark.parametrize("layers", NORMALIZED.values(), ids=list(NORMALIZED))
def test_steps_and_running_averages_with_batch_norm_match_pytorch(
    layers: Callable[[], list[Layer]], weighted: bool, rng: np.random.Generator
) -> None:
    net = Network(layers(), input_shape=(1, 8, 8), rng=rng, dtype=np.float64)
    state = as_tensors(net)
    eta, mu, m = 0.1, 0.5, 7
    optimizer = torch.optim.SGD([p for arrays in state for p in arrays[:2]], lr=eta, momentum=mu)
    for _ in range(4):
        x, labels = rng.normal(0.5, 2, size=(64, m)), rng.integers(0, 3, m)
        weights = rng.uniform(0, 2, m) if weighted else None
        y = one_hot(labels, 3, np.float64)
        net.take_step(x, y, np.random.default_rng(1), Step(m, 1, eta, mu=mu), weights)
        optimizer.zero_grad()
        a = torch_outputs(net.layers, state, torch.tensor(x.T.reshape(m, 1, 8, 8)), True).T
        costs = DEFINITIONS["cross-entropy"](a, torch.tensor(y)).sum(dim=0)
        (costs * (1.0 if weights is None else torch.tensor(weights))).mean().backward()
        optimizer.step()
    for layer, arrays in zip(net.layers, state, strict=True):
        names = [n for n in ("w", "b", *layer.statistics) if getattr(layer, n) is not None]
        for name, expected in zip(names, arrays, strict=True):
            found, wanted = getattr(layer, name), expected.detach().numpy()
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12, err_msg=name)
    x = rng.normal(size=(64, 5))
    a = torch_outputs(net.layers, state, torch.tensor(x.T.reshape(5, 1, 8, 8)), False)
    np.testing.assert_allclose(net(x).T, a.detach().numpy(), rtol=1e-9, atol=1e-12)
