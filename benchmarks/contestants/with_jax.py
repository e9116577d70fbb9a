"""JAX: a whole epoch compiled as one scan over the mini-batches, with gradients by jax.grad."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contestants.task import Contestant, Floats, Task

__all__ = ["train"]


def train(task: Task, *, mu: float | None = None) -> Contestant:
    """Train dense layers; with 1 thread, XLA is limited to one, otherwise it uses all cores."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    if task.threads == 1:  # both are read when the library is loaded
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        os.environ["NPROC"] = "1"
    import jax
    import jax.numpy as jnp

    mu = task.mu if mu is None else mu
    eta = task.eta * (1 - mu)
    hidden = jax.nn.sigmoid if task.book else jax.nn.relu

    def outputs(parameters: Any, x: Any) -> Any:
        for w, b in parameters[:-1]:
            x = hidden(x @ w.T + b.T)
        w, b = parameters[-1]
        z = x @ w.T + b.T
        return hidden(z) if task.book else z

    def cost(parameters: Any, x: Any, y: Any) -> Any:
        a = outputs(parameters, x)
        if task.book:
            return 0.5 * jnp.square(a - y).sum(axis=1).mean()
        return -(y * jax.nn.log_softmax(a)).sum(axis=1).mean()

    def epoch(state: Any, images: Any, one_hot: Any, order: Any) -> Any:
        def step(state: Any, batch: Any) -> tuple[Any, None]:
            parameters, velocity = state
            gradient = jax.grad(cost)(parameters, images[batch], one_hot[batch])
            if mu:
                velocity = jax.tree.map(lambda v, g: mu * v - eta * g, velocity, gradient)
                parameters = jax.tree.map(jnp.add, parameters, velocity)
            else:
                parameters = jax.tree.map(lambda p, g: p - eta * g, parameters, gradient)
            return (parameters, velocity), None

        return jax.lax.scan(step, state, order.reshape(-1, task.batch))[0]

    parameters = jax.tree.map(jnp.array, task.start())
    if not task.book:  # He et al.: N(0, 2/n_in), as the others start
        parameters = [(w * (2 / w.shape[1]) ** 0.5, 0 * b) for w, b in parameters]
    state = parameters, jax.tree.map(jnp.zeros_like, parameters) if mu else ()
    images, one_hot = jnp.array(task.training.images), jnp.array(task.one_hot())
    compiled = jax.jit(epoch, donate_argnums=0)
    yield None
    for order in task.orders():
        state = jax.block_until_ready(compiled(state, images, one_hot, order))

        def predict(images: Floats, state: Any = state) -> NDArray[np.integer]:
            return np.asarray(outputs(state[0], images).argmax(axis=1))

        yield predict
