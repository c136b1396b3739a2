"""Minibatch gradients of batches too large to hold: drawn, used and dropped in parts."""

from __future__ import annotations

from scbtheory.model import Parameters, minibatch_gradient
from scbtheory.task import SCB, _count

MEMORY = 2**26


def gradient(
    task: SCB,
    theta: Parameters,
    batch_size: int,
    *,
    seed: int,
    step: int = 0,
    projected: bool = False,
    memory: int = MEMORY,
) -> Parameters:
    """Return ``minibatch_gradient(task, theta, task.sample(batch_size, seed=seed, step=step))``.

    The same samples, the same gradient to rounding, but never more than ``memory`` bytes of tokens
    at once (or one sample, if that is more). A gradient is a mean over samples, so that of a
    batch is the mean of its parts', each weighted by its size.
    """
    batch_size, memory = _count("batch_size", batch_size), _count("memory", memory)
    rows = min(batch_size, max(1, memory // task.sample_bytes))
    total = None
    for first in range(0, batch_size, rows):
        batch = task.sample(min(rows, batch_size - first), seed=seed, step=step, first=first)
        part = minibatch_gradient(task, theta, batch, projected=projected)
        if rows == batch_size:
            return part
        share = part * (len(batch) / batch_size)
        total = share if total is None else total + share
    return total
