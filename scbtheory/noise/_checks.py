"""What the noise formulas refuse, what they warn about, and what they share."""

from __future__ import annotations

import math

from scbtheory.checks import correlation


class BatchTooSmall(UserWarning):
    """The batch is below what a large-sample formula assumes; the number returned is the formula's all the same."""


def correlated(task) -> None:
    """Refuse a task whose output does not depend on the copied token, or whose attention is uniform."""
    correlation(task, "K_P")
    correlation(task, "K_Q")


def ratio(noise: float, signal: float, scale: float, precision: float) -> float:
    """Return ``noise / signal``; infinite where only the signal vanishes, 0 where both do.

    A difference of terms of size ``scale`` below ``precision * scale`` is rounding, not a number.
    """
    noise = 0.0 if noise <= precision * scale else noise
    if noise == 0:
        return 0.0
    return math.inf if signal <= precision**2 * scale else noise / signal


def one_tokens(task):
    """The centred one-hots :math:`e_n - \\mu` as columns, (N, N)."""
    xp = task.backend.xp
    return xp.eye(task.vocab_size, dtype=task.backend.dtype, device=task.backend.device) - task.mu[:, None]


def power_sum(task, A, i: int, j: int):
    r""":math:`p_{ij} = \sum_t a_t^i q_t^j` for each trigger, (N,)."""
    return task.backend.xp.sum(A**i * task.Q**j, axis=0)
