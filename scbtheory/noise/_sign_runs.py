"""Training from scratch, many times over, until the sign of the correlation is decided (claim N5)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from scbtheory.checks import count, positive
from scbtheory.model import Parameters, centred, contributions
from scbtheory.noise._sign import rates, sign_steps
from scbtheory.task import SCB

__all__ = ["SignRuns", "train_signs"]

TOGETHER = 512  # samples that repay a call of the token loops
PIECE = 2**28  # tokens that are in memory at a time …
AT_LEAST = 64  # … or samples, that repay the passes over A which a piece costs


class SignRuns(NamedTuple):
    """How runs from scratch ended.

    Parameters
    ----------
    Y : (runs,), each run's last coordinate, without unit; within ``reach`` of 0 only where the steps ran out.
    steps : (runs,), the steps of each; every one draws a batch.
    """

    Y: np.ndarray
    steps: np.ndarray


def train_signs(
    task: SCB,
    *,
    runs: int,
    batch_size: int,
    step_size: float,
    seed: int,
    attention_step_size: float | None = None,
    reach: float = 0.5,
) -> SignRuns:
    r"""Train ``runs`` times from scratch with G6's minibatch gradients until the sign of Y is decided.

    Every step of every run draws fresh samples. A run stops once :math:`|Y|` is at least ``reach``, where its
    sign is decided (on the right branch Y ends near 2), or after four times the steps that the recursion's
    mean needs. The fraction of positive Y estimates the probability of the right sign.
    Small batches go through one call of the token loops together: R runs as one task of R * N triggers. Of large ones
    a piece at a time is in memory.

    Parameters
    ----------
    task : the task that samples are drawn from.
    runs : how many, at least 1.
    batch_size : B, samples a step of each run, whole and at least 1.
    step_size : :math:`\eta_V`, above 0; it serves the attention too unless that has its own.
    seed : names the stream of samples, from 0 to below 2**64; the same arguments give the same Y.
    attention_step_size : :math:`\eta_A`, above 0, or None.
    reach : :math:`|Y|` at which a run stops, above 0.

    Returns
    -------
    SignRuns
        Each run's last Y, and the steps that it took.

    Raises
    ------
    InvalidArgument : an argument is out of its range, K_P or K_Q vanishes, or A does not fit the memory.
    """
    runs, size = count("runs", runs), count("batch_size", batch_size)
    value, attention, _ = rates(task, step_size, attention_step_size)
    reach = positive("reach", reach)
    steps = 4 * math.ceil(sign_steps(task, step_size=value, attention_step_size=attention, reach=reach))
    # The loops' tables grow like the square of a group.
    group = min(64, max(1, min(TOGETHER // size, PIECE // (size * task.context_length))))
    firsts = range(0, runs, group)
    Y, taken = np.zeros(runs), np.zeros(runs, dtype=np.int64)
    for g, first in enumerate(firsts):
        live = np.arange(first, min(first + group, runs))
        state = _Runs(task, len(live), value, attention)
        for step in range(steps):
            state.step(size, seed=seed, step=step * len(firsts) + g)
            Y[live] = state.coordinate()
            taken[live] += 1
            undecided = np.flatnonzero(np.abs(Y[live]) < reach)
            if len(undecided) < len(live):
                state.keep(undecided)
                live = live[undecided]
            if not len(live):
                break
    return SignRuns(Y, taken)


class _Runs:
    """Several runs of one task, as columns of one attention matrix (T, runs * N) and a stack of values (runs, N, N)."""

    def __init__(self, task, runs, value, attention):
        self.task, self.value, self.attention = task, value, attention
        start, xp = Parameters.initial(task), task.backend.xp
        self.A, self.V = xp.tile(start.A, (1, runs)), xp.tile(start.V, (runs, 1, 1))

    def keep(self, which):
        """Go on with some of the runs."""
        xp, N = self.task.backend.xp, self.task.vocab_size
        columns = (which[:, None] * N + np.arange(N)).ravel()
        self.A = xp.take(self.A, self.task.backend.asarray(columns, xp.int64), axis=1)
        self.V = xp.take(self.V, self.task.backend.asarray(which, xp.int64), axis=0)

    def step(self, size, **stream):
        """One step of projected descent (G6) in every run, each with its own part of the samples."""
        R = self.V.shape[0]
        piece = R * size if R > 1 else max(AT_LEAST, PIECE // self.task.context_length)
        firsts = range(0, R * size, piece)
        into_A, into_V = self.gradient(self.task.sample(min(piece, R * size), **stream), size)
        for first in firsts[1:]:
            batch = self.task.sample(min(piece, size - first), first=first, **stream)
            into_A, into_V = (x + y for x, y in zip((into_A, into_V), self.gradient(batch, size), strict=True))
        self.A, self.V = self.A - centred(self.task, into_A) * self.attention, self.V - into_V * self.value

    def gradient(self, batch, size):
        """What equally many samples of every run add to the gradients of ``size`` of each."""
        task, xp = self.task, self.task.backend.xp
        run = xp.arange(len(batch), dtype=xp.int64, device=task.backend.device) // (len(batch) // self.V.shape[0])
        column = xp.astype(batch.trigger, xp.int64) + run * task.vocab_size
        return contributions(task, Parameters(self.A, self.V), batch, size, projected=True, column=column)

    def coordinate(self):
        """Each run's Y, by projection on P' and Q'."""
        task, xp = self.task, self.task.backend.xp
        change = task.P - task.mu[:, None]
        beta = xp.sum(xp.sum(self.V * change, axis=1) * task.mu, axis=1) / task.K_P
        flat = xp.tile(task.Q - 1 / task.context_length, (1, self.V.shape[0]))
        each = xp.reshape(xp.sum(self.A * flat, axis=0), (self.V.shape[0], task.vocab_size))
        weight = math.sqrt(self.value * task.K_Q / (self.attention * task.K_P))
        return task.backend.to_numpy(beta + (each @ task.mu) * (weight / task.K_Q))
