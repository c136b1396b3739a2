r"""The softmax model: logits in place of attention, and what its Jacobian does to gradients (claims X1 and X3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scbtheory.errors import InvalidArgument
from scbtheory.model import Model, Parameters
from scbtheory.task import SCB

SCALES = ("none", "start", "peak")


@dataclass(frozen=True, eq=False)
class SoftmaxParameters(Model):
    """Logits ``W`` (T, N), one column a trigger, and value ``V`` (N, N); gradients have this type too.

    Parameters
    ----------
    W : (T, N) array of the task's backend; a constant added to a column changes nothing.
    V : (N, N) array of the task's backend.
    """

    W: Any
    V: Any

    @classmethod
    def initial(cls, task: SCB) -> SoftmaxParameters:
        r"""The start from scratch: :math:`w = 0`, that is :math:`A = 11^\top/T`, and :math:`V = \mu 1^\top`."""
        start = Parameters.initial(task)
        return cls(0 * start.A, start.V)

    def forward(self, task: SCB):
        r""":math:`A = \mathrm{softmax}(W)`; gradients are pulled back by the Jacobian J, column by column."""
        xp = task.backend.xp
        A = softmax(xp, self.W)
        return Parameters(A, self.V), lambda g: SoftmaxParameters(jacobian_times(xp, A, g.A), g.V)


def softmax(xp, W):
    r""":math:`a_t = e^{w_t}/\sum_u e^{w_u}` in each column; the largest logit is subtracted first.

    Parameters
    ----------
    xp : the array-API namespace of W, such as ``task.backend.xp``.
    W : (T, N) logits.

    Returns
    -------
    array
        (T, N), from 0 to 1; columns sum to 1.
    """
    with np.errstate(under="ignore"):  # a weight too small for a float is 0
        weights = xp.exp(W - xp.max(W, axis=0, keepdims=True))
    return weights / xp.sum(weights, axis=0, keepdims=True)


def jacobian_times(xp, A, G):
    r""":math:`J g = a \odot (g - \langle a, g\rangle)` in each column: a gradient in attention, seen by the logits.

    Parameters
    ----------
    xp : the array-API namespace of A and G, such as ``task.backend.xp``.
    A : (T, N) attention, as :func:`softmax` returns it.
    G : (T, N) the gradient in attention.

    Returns
    -------
    array
        (T, N); columns sum to 0.
    """
    return A * (G - xp.sum(A * G, axis=0, keepdims=True))


def speed_factor(xp, A, scale: str):
    """What ``scale`` multiplies the logits' steps by, one number a column, (1, N).

    Parameters
    ----------
    xp : the array-API namespace of A, such as ``task.backend.xp``.
    A : (T, N) attention.
    scale : ``"none"`` for 1, ``"start"`` for T², ``"peak"`` for one over the square of the column's largest entry.

    Returns
    -------
    array
        (1, N), at least 1 where attention is a softmax.

    Raises
    ------
    InvalidArgument : ``scale`` is not one of ``SCALES``.
    """
    one = xp.ones_like(A[:1, :])
    if checked_scale(scale) == "none":
        return one
    return one * A.shape[0] ** 2 if scale == "start" else xp.max(A, axis=0, keepdims=True) ** -2


def checked_scale(scale):
    if scale not in SCALES:
        raise InvalidArgument(f"scale is {scale!r}; expected one of {', '.join(SCALES)}")
    return scale
