"""A network as an ONNX file, for onnxruntime and everything else that reads the format.

The graph is what `Network.feedforward` computes, on rows: images (n, n_in) become outputs
(n, n_out), in float32. Inside, pictures are (n, maps, height, width), as ONNX has them, while the
layers of `nndl.conv` keep the maps of a pixel side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nndl
from nndl._typing import Array
from nndl.activations import ACTIVATIONS, Activation, LeakyReLU, ScaledTanh
from nndl.conv import Conv, MaxPool, Planes
from nndl.files import atomic_write
from nndl.layers import Dense, Dropout
from nndl.network import Network
from nndl.normalization import BatchNorm

try:
    import onnx
except ImportError as error:
    raise ImportError(
        "exporting to ONNX needs the library onnx: install it by pip install 'nndl[onnx]'"
    ) from error

__all__ = ["as_onnx", "export_onnx"]

OPSET, IR_VERSION = 17, 8  # of 2022: old enough for most runtimes

OPERATORS: dict[str, str] = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "identity": "Identity",
    "softmax": "Softmax",
}


def export_onnx(net: Network, path: str | Path, *, raw_pixels: bool = False, **about: str) -> None:
    """Write a network to an ONNX file, atomically.

    Parameters
    ----------
    net : Network
    path : str or Path
    raw_pixels, **about
        As for `as_onnx`.

    Raises
    ------
    ValueError
        As `as_onnx`.
    OSError
        If the file cannot be written; what was there before stays.
    """
    model = as_onnx(net, raw_pixels=raw_pixels, **about)
    with atomic_write(path) as file:
        file.write(model.SerializeToString())


def as_onnx(net: Network, *, raw_pixels: bool = False, **about: str) -> Any:
    """Return a network as an onnx.ModelProto that onnx.checker has checked.

    Parameters
    ----------
    net : Network
        In float64, too; the graph computes in float32.
    raw_pixels : bool
        Whether the input is uint8, 0 to 255, which the graph multiplies by 1/256. Otherwise it is
        float32, scaled as the network's training data.
    **about : str
        Kept as metadata of the model: ``data="MNIST"``.

    Returns
    -------
    onnx.ModelProto
        With the input ``images``, (n, n_in), and the output ``outputs``, (n, n_out).

    Raises
    ------
    ValueError
        If a layer or an activation has no counterpart.
    """
    graph = _Graph(Planes(net.input_shape))  # as in Network
    if raw_pixels:
        graph.add("Cast", to=onnx.TensorProto.FLOAT)
        graph.add("Mul", np.float32(1 / 256))
    for layer in net.layers:
        try:
            write = _WRITERS[type(layer)]
        except KeyError:
            known = ", ".join(kind.__name__ for kind in _WRITERS)
            raise ValueError(
                f"only layers of the kinds {known} can be exported, not {layer!r}"
            ) from None
        write(graph, layer)
    graph.flatten()
    graph.add("Identity", output="outputs")
    kind = onnx.TensorProto.UINT8 if raw_pixels else onnx.TensorProto.FLOAT
    info = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "network",
            [info("images", kind, ["n", net.n_in])],
            [info("outputs", onnx.TensorProto.FLOAT, ["n", net.n_out])],
            graph.constants,
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="nndl",
        producer_version=nndl.__version__,
        doc_string=repr(net),
    )
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Nodes one after the other, from ``images`` on, and the shape of a row of what comes out."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.last = "images"
        self.shape, self.is_flat = input_shape, True

    def add(
        self,
        operator: str,
        *constants: NDArray[Any] | np.generic,
        output: str = "",
        **attributes: Any,
    ) -> None:
        inputs = [self.last]
        for constant in constants:
            inputs.append(f"constant{len(self.constants)}")
            self.constants.append(onnx.numpy_helper.from_array(np.asarray(constant), inputs[-1]))
        self.last = output or f"{operator}{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, inputs, [self.last], **attributes))

    def unflatten(self) -> None:
        """Turn rows into pictures."""
        if not self.is_flat:
            return
        maps, height, width = self.shape
        if isinstance(self.shape, Planes):  # one map after the other
            self.add("Reshape", np.array([-1, maps, height, width]))
        else:  # the maps of a pixel side by side
            self.add("Reshape", np.array([-1, height, width, maps]))
            self.add("Transpose", perm=[0, 3, 1, 2])
        self.is_flat = False

    def flatten(self) -> None:
        """Turn pictures into rows."""
        if not self.is_flat:
            self.add("Transpose", perm=[0, 2, 3, 1])
            self.add("Reshape", np.array([-1, prod(self.shape)]))
            self.is_flat = True

    def activate(self, activation: Activation) -> None:
        if isinstance(activation, ScaledTanh):
            self.add("Mul", np.float32(activation.slope))
            self.add("Tanh")
            self.add("Mul", np.float32(activation.height))
        elif isinstance(activation, LeakyReLU):
            self.add("LeakyRelu", alpha=activation.slope)
        elif activation in ACTIVATIONS.values():
            axis: dict[str, Any] = {"axis": 1} if activation.name == "softmax" else {}
            self.add(OPERATORS[activation.name], **axis)
        else:
            raise ValueError(
                f"only the activations {', '.join(ACTIVATIONS)} can be exported, not {activation}"
            )


def _dense(graph: _Graph, layer: Dense) -> None:
    graph.flatten()
    graph.add("Gemm", _float32(layer.w.T), _float32(layer.b[:, 0]))  # z = x @ w.T + b
    graph.activate(layer.activation)
    graph.shape = (layer.n_out,)


def _conv(graph: _Graph, layer: Conv) -> None:
    graph.unflatten()
    stride, padding = [layer.stride] * 2, [layer.padding] * 4
    filters, biases = _float32(layer.filters), _float32(layer.b[:, 0])
    graph.add("Conv", filters, biases, strides=stride, pads=padding)
    if layer.pool > 1:  # adding b first gives the same: it does not change which is the largest
        graph.add("MaxPool", kernel_shape=[layer.pool] * 2, strides=[layer.pool] * 2)
    graph.activate(layer.activation)
    height, width, maps = layer.shape_out
    graph.shape = (maps, height, width)


def _max_pool(graph: _Graph, layer: MaxPool) -> None:
    graph.unflatten()
    graph.add("MaxPool", kernel_shape=[layer.size] * 2, strides=[layer.size] * 2)
    height, width, maps = layer.shape_out
    graph.shape = (maps, height, width)


def _dropout(graph: _Graph, layer: Dropout) -> None:
    graph.add("Mul", np.float32(1 - layer.p))  # as at inference


def _batch_norm(graph: _Graph, layer: BatchNorm) -> None:
    if layer.is_pictures:
        graph.unflatten()
        graph.shape = tuple(graph.shape)  # one pixel after the other from here on
    else:
        graph.flatten()
        graph.shape = (prod(graph.shape),)
    vectors = [_float32(v[:, 0]) for v in (layer.w, layer.b, layer.mean, layer.variance)]
    graph.add("BatchNormalization", *vectors, epsilon=layer.epsilon)
    graph.activate(layer.activation)


_WRITERS: dict[type, Callable[[_Graph, Any], None]] = {
    Dense: _dense,
    Conv: _conv,
    MaxPool: _max_pool,
    Dropout: _dropout,
    BatchNorm: _batch_norm,
}


def _float32(array: Array) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(rounded).all():
        raise ValueError("the network has weights too large for float32: train with regularization")
    return rounded
