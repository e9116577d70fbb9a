"""One step of gradient descent: L2, L1 and momentum. Weights are updated only here.

Biases are the weights of a constant input of 1, so that BP3 is BP4 with a row of ones for x.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from nndl._typing import Array
from nndl.arrays import aligned, aligned_copy
from nndl.blas import Adder, add_scaled
from nndl.initializers import Initializer
from nndl.large import LARGE, run_by_rows
from nndl.validation import Parameter, check_drawn

__all__ = ["Step", "Weights", "take_step"]

# w clipped at a tiny power of 2 is sgn(w) times that, in a third of the time of numpy.sign: 0 stays
# 0, and a product with a power of 2 is exact. As arrays, which are faster to pass.
_TINY = 2.0**-80
_NEAR_0 = {np.dtype(t).itemsize: (np.array(-_TINY, t), np.array(_TINY, t)) for t in "fd"}


class Step:
    """The numbers of one step with m of n examples.

    `alpha` is -eta/m, `beta` is 1 - decay with `decay` = eta lmbda/n, `l1` is eta lmbda_l1/n
    (equations 93, 97), `mu` the momentum coefficient (107), `ahead` the same for Nesterov's
    momentum, else 0. A step is `plain` without momentum and L1: it is then one gemm for each array.
    `unregularized` is the same step without L2 and L1, for biases.
    """

    __slots__ = ("ahead", "alpha", "beta", "decay", "l1", "mu", "plain", "unregularized")

    def __init__(
        self,
        m: int,
        n: int,
        eta: float,
        lmbda: float = 0,
        lmbda_l1: float = 0,
        mu: float = 0,
        nesterov: bool = False,
    ) -> None:
        self.alpha, self.mu, self.ahead = -float(eta) / m, float(mu), float(mu) * nesterov
        self.decay, self.l1 = float(eta) * float(lmbda) / n, float(eta) * float(lmbda_l1) / n
        self.beta = 1 - self.decay
        self.plain, self.unregularized = not (mu or lmbda_l1), self
        if lmbda or lmbda_l1:
            self.unregularized = Step(m, n, eta, mu=mu, nesterov=nesterov)


class Weights:
    """The weights and biases of a layer, (n_out, n_in) and (n_out, 1), and their update."""

    w, b = Parameter(), Parameter()
    m: int  # examples of a mini-batch
    v_w: Array | None  # velocities, from the first step with momentum on
    v_b: Array | None
    buffers: ClassVar[tuple[str, ...]] = ("add_w", "add_b", "add_v", "sign")  # of the steps

    def allocate(self, m: int) -> None:
        """Make the buffers for mini-batches of m examples."""
        raise NotImplementedError

    def draw(
        self,
        init: Initializer,
        shape: tuple[int, int],
        rng: np.random.Generator,
        dtype: DTypeLike,
        fan: tuple[int, int] | None = None,
    ) -> None:
        """Draw weights of the given shape, and biases; see `Initializer.draw`."""
        w, b = check_drawn(init, shape, *init.draw(shape, rng, dtype, fan))
        vars(self).update(w=aligned_copy(w, dtype), b=aligned_copy(b, dtype))
        self.reset()

    def reset(self) -> None:
        """Set the velocities to 0."""
        self.v_w = self.v_b = None

    def adder(self, w: Array) -> Adder:
        """Return the function (delta, x, alpha, beta) that adds a gradient to w, or to b.

        Here delta is the gradient itself. A layer that can add the product of delta and x to w as
        it forms, as `Dense` does, saves an array of the size of w.
        """

        def add(nabla: Array, _: Array, alpha: float, beta: float) -> None:
            w[...] *= beta
            add_scaled(w, alpha, nabla)

        return add

    def prepare_steps(self) -> None:
        """Prepare what the steps of one mini-batch size have in common."""
        self.add_w, self.add_b = self.adder(self.w), self.adder(self.b)
        self.add_v: tuple[Array, Adder, Adder] | None = None
        self.sign: Array | None = None  # a buffer for L1

    def move(self, delta: Any, x: Any, delta_b: Any, ones: Any, step: Step) -> None:
        """Take a step of any kind: w by BP4 for delta and inputs x, b by BP3 for delta_b."""
        if step.mu and self.v_w is None:
            self.v_w, self.v_b = (aligned_copy(np.zeros_like(p), p.dtype) for p in (self.w, self.b))
        add_w, add_b = self.add_w, self.add_b
        if self.v_w is not None and self.v_b is not None:
            if self.add_v is None or self.add_v[0] is not self.v_w:
                self.add_v = self.v_w, self.adder(self.v_w), self.adder(self.v_b)
            _, add_w, add_b = self.add_v
        take_step(self.b, self.v_b, add_b, delta_b, ones, step.unregularized)
        if step.l1 and self.sign is None:
            self.sign = aligned(self.w.shape, self.w.dtype)
        if self.w.size < LARGE:
            take_step(self.w, self.v_w, add_w, delta, x, step, self.sign)
            return

        def part(rows: slice) -> None:
            w, v = self.w[rows], None if self.v_w is None else self.v_w[rows]
            sign = None if self.sign is None else self.sign[rows]
            add = self.adder(w if v is None else v)
            take_step(w, v, add, delta[rows], x, step, sign)

        run_by_rows(self.w, self.m, part)

    @property
    def shapes(self) -> str:
        """The shapes of inputs and outputs in words: "784 -> 30"."""
        return f"{self.w.shape[1]} -> {len(self.w)}"

    def __repr__(self) -> str:
        built = "w" in vars(self)
        size = f": {self.shapes}, {self.w.size + self.b.size:,} parameters" if built else ""
        return f"{self}{size}"

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if "w" in state:
            vars(self).update({k: aligned_copy(state[k], state[k].dtype) for k in "wb"})
            self.allocate(0)


def take_step(
    w: Array, v: Array | None, add: Adder, delta: Any, x: Any, step: Step, sign: Any = None
) -> None:
    """Move w, shape (n_out, n_in), in place, by delta (n_out, m) and inputs x (n_in, m).

    Without velocity, w <- (1 - decay) w - l1 sgn(w) + alpha delta @ x.T (equations 93, 97); with
    it, v <- mu v - decay w - l1 sgn(w) + alpha delta @ x.T and w <- w + v (equations 107, 108).
    Nesterov's momentum (Sutskever et al. 2013), with ``ahead`` = mu, is w <- w - mu v before and
    w <- w + (1 + mu) v after. ``add`` adds alpha delta @ x.T to w or v; ``sign`` is a buffer.
    """
    if step.l1:
        sign = w.clip(*_NEAR_0[w.itemsize], out=sign)  # sgn(w) * _TINY, before w moves
    if v is None:
        add(delta, x, step.alpha, step.beta)
    elif not step.ahead:
        add(delta, x, step.alpha, step.mu)
    else:
        add_scaled(w, -step.mu, v)
        # decay w, of w before it moved, is decay (w - mu v), subtracted below, plus decay mu v.
        add(delta, x, step.alpha, step.mu * step.beta)
    if step.l1:
        add_scaled(w if v is None else v, -step.l1 / _TINY, sign)
    if v is not None:
        if step.decay:
            add_scaled(v, -step.decay, w)
        if step.ahead:
            add_scaled(w, 1 + step.ahead, v)
        else:
            w += v
