"""Time BatchNorm(relu) on one thread: against a copy of its inputs, and against PyTorch.

python benchmarks/batch_norm.py

Times are CPU time of one thread, the shortest of many, so that other work counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nndl.activations import relu
from nndl.normalization import BatchNorm
from nndl.threads import one_thread

SIZES = [(32, 26, 100), (64, 12, 100), (20, 12, 10)]  # maps, height and width, images


def milliseconds(f: Callable[[], Any], times: int = 30) -> float:
    """Return the shortest time that a call takes."""
    seconds = []
    for _ in range(times):
        start = time.thread_time()
        f()
        seconds.append(time.thread_time() - start)
    return 1000 * min(seconds)


def with_nndl(maps: int, side: int, m: int) -> tuple[float, float, float]:
    """Return the milliseconds of a copy, of the forward and of the backward pass."""
    rng, layer = np.random.default_rng(0), BatchNorm(relu)
    layer.build((maps, side, side), rng, np.float32)
    x, nabla_a = (rng.standard_normal((m, maps * side**2), np.float32).T for _ in range(2))
    copied = np.empty_like(x)
    with one_thread():
        forward = milliseconds(lambda: layer.forward(x, None))
        backward = milliseconds(lambda: layer.backward(layer.delta(nabla_a)))
        return milliseconds(lambda: np.copyto(copied, x)), forward, backward


def with_torch(maps: int, side: int, m: int, layout: str) -> tuple[float, float]:
    """Return the milliseconds of the forward and of the backward pass of PyTorch."""
    import torch

    torch.set_num_threads(1)
    options = {"memory_format": getattr(torch, layout)}
    x, nabla_a = (torch.randn(m, maps, side, side).contiguous(**options) for _ in range(2))
    layer = torch.nn.Sequential(torch.nn.BatchNorm2d(maps), torch.nn.ReLU())
    x.requires_grad_()

    def both() -> None:
        x.grad = None  # otherwise each pass adds to the gradient of the last
        layer(x).backward(nabla_a)

    forward = milliseconds(lambda: layer(x))
    return forward, milliseconds(both) - forward


def main() -> None:
    """Print a line for each size."""
    for maps, side, m in SIZES:
        copy, *passes = with_nndl(maps, side, m)
        size = 4 * maps * side**2 * m
        # Forward reads x twice and writes a; backward reads nabla_a and a, writes delta, reads x
        # and delta, and x again, and writes nabla_x.
        rates = [n * size / t / 1e6 for n, t in zip((2, 3, 7), (copy, *passes), strict=True)]
        print(f"{maps} maps of {side} x {side}, {m} images, float32, {size / 1e6:.1f} MB")
        for name, t, rate in zip(
            ("copy", "forward", "backward"), (copy, *passes), rates, strict=True
        ):
            print(f"  {name:28} {t:8.3f} ms  {rate:5.1f} GB/s  {t / copy:5.1f} copies")
        try:
            for layout in ("contiguous_format", "channels_last"):
                forward, backward = with_torch(maps, side, m, layout)
                print(f"  PyTorch, {layout:19} {forward:8.3f} ms forward, {backward:.3f} backward")
        except ImportError:
            print("  PyTorch is not installed")


if __name__ == "__main__":
    main()
