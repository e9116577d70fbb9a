"""Cost functions: the value of each example, and its derivative delta = dC/dz at the output, BP1.

Arrays are columns: z, a and y have shape (n_out, m). Where outputs can saturate, the value is
computed from z, so that it stays finite when a rounds to 0 or 1.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy.special import logsumexp

from nndl._typing import Array
from nndl.activations import Activation, sigmoid, softmax
from nndl.named import Named

__all__ = ["COSTS", "Cost", "cross_entropy", "log_likelihood", "quadratic"]


class Cost(Named):
    """What a network minimizes: the mean of `value` over the training examples."""

    accepts: ClassVar[tuple[Activation, ...]] = ()  # allowed output activations; empty: all

    def check(self, activation: Activation) -> None:
        """Raise ValueError for an output activation that this cost cannot be used with."""
        if self.accepts and activation not in self.accepts:
            raise ValueError(
                f"the {self.name} cost has a gradient only with "
                f"{' or '.join(f.name for f in self.accepts)} outputs, not {activation.name}; "
                "use the quadratic cost, or another output activation"
            )

    def value(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        """Return the cost of each example, shape (m,)."""
        raise NotImplementedError

    def delta(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        """Return delta = dC/dz of each example, shape (n_out, m)."""
        raise NotImplementedError


class Quadratic(Cost):
    """``|a - y|^2 / 2``, equation (6); works with every output activation."""

    name = "quadratic"

    def value(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        value: Array = 0.5 * np.square(a - y).sum(axis=0)
        return value

    def delta(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        return activation.delta(a - y, a)  # BP1: nabla_a * sigma'(z)


class CrossEntropy(Cost):
    """-sum_j [y_j ln a_j + (1 - y_j) ln(1 - a_j)], equation (63)."""

    name = "cross-entropy"
    accepts = (sigmoid, softmax)  # outputs between 0 and 1, for the logarithms

    def value(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        value: Array
        if activation is sigmoid:
            # ln sigma(z) = -ln(1 + e^-z) and ln(1 - sigma(z)) = -z - ln(1 + e^-z).
            value = (np.logaddexp(0, z) - y * z).sum(axis=0)
        else:
            value = (logsumexp(z, axis=0) - y * z - (1 - y) * _log_others(z)).sum(axis=0)
        return value

    def delta(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        if activation is sigmoid:
            return a - y  # BP1, equation (66): sigma'(z) cancels
        # 1 - a_j is the sum of the other outputs. With L_j = ln sum_{k != j} exp(z_k),
        # C = sum_j [ln sum_k exp(z_k) - y_j z_j - (1 - y_j) L_j], and dL_j/dz_k = exp(z_k - L_j).
        shares = np.exp(np.minimum(z - _log_others(z)[:, None], 0))  # [j, k]: dL_j/dz_k
        shares[np.diag_indices(len(z))] = 0
        delta: Array = len(z) * a - y - np.einsum("jm,jkm->km", 1 - y, shares)  # BP1
        return delta


class LogLikelihood(Cost):
    """-sum_j y_j ln a_j: for a label j, -ln a_j, equation (80)."""

    name = "log-likelihood"
    accepts = (sigmoid, softmax)

    def value(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        log_a = -np.logaddexp(0, -z) if activation is sigmoid else z - logsumexp(z, axis=0)
        value: Array = -(y * log_a).sum(axis=0)
        return value

    def delta(self, z: Array, a: Array, y: Array, activation: Activation) -> Array:
        if activation is sigmoid:
            return y * (a - 1)  # BP1
        delta: Array = a * y.sum(axis=0) - y  # BP1, equation (84): a - y if y sums to 1
        return delta


def _log_others(z: Array) -> Array:
    """Return L_j = ln sum_{k != j} exp(z_k), shape (n_out, m), in O(n_out m) time and memory."""
    largest = z.max(axis=0)
    top = z.argmax(axis=0), np.arange(z.shape[1])
    # Unless z_j is the largest, exp(z_j) is at most half of the sum, so that subtracting it loses
    # no accuracy. The largest z_j is handled below.
    scaled = np.exp(z - largest)
    result: Array = largest + np.log(np.maximum(scaled.sum(axis=0) - scaled, 1))
    others = z.copy()
    others[top] = -np.inf
    result[top] = logsumexp(others, axis=0)
    return result


quadratic = Quadratic()
cross_entropy = CrossEntropy()
log_likelihood = LogLikelihood()

COSTS: dict[str, Cost] = {c.name: c for c in (quadratic, cross_entropy, log_likelihood)}
Cost.table = COSTS
