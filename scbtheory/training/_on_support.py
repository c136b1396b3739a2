r"""Stages of the limits: a support found by moments from scratch (L2), and maximum likelihood on it (L5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scbtheory.errors import InvalidArgument
from scbtheory.limits import Counts, detection_threshold, estimated_error, maximum_likelihood, moment_statistic
from scbtheory.model import Parameters
from scbtheory.training._stages import Stage, squared_size

__all__ = ["Likelihood", "MomentStart"]

GROWTH = 1.1  # the maximum is looked for again when samples have grown by this factor at least
AT_ONCE = 2**18  # samples drawn in one go


@dataclass(frozen=True)
class MomentStart(Stage):
    r"""In place of stages 1 to 3: supports by thresholding L1's statistic of one batch, weights equal on each (L2).

    Positions pass at the :math:`\chi^2` quantile of level :math:`\delta/(TN)`; the largest of a column always does. V
    is left as it is: with a support known, :math:`V = \mu1^\top` is no saddle any more. With estimated frequencies,
    those of this batch's triggers and outputs serve.

    Parameters
    ----------
    batch_size : samples of the one batch, at least 1.
    false_alarm : :math:`\delta` in (0, 1), the chance that any position off the supports passes.
    name : what records call it.

    Raises
    ------
    InvalidArgument : a number is out of range; in training, frequencies are estimated and the batch lacks a token.
    """

    batch_size: int
    false_alarm: float = 0.1
    name: str = "moments"

    goal = "supports by their moments"

    def __post_init__(self):
        super().__post_init__()
        detection_threshold(N=2, T=2, false_alarm=self.false_alarm)

    def step(self, learner):
        step, first = learner._place(self.batch_size)
        where = {"seed": learner.seed, "step": step, "first": first}
        if learner.counts is not None:
            self._observe(learner, where)
        mu = learner.task.backend.to_numpy(learner.mu).astype(float)
        X, _ = moment_statistic(learner.task, self.batch_size, **where, mu=mu / mu.sum())
        learner.samples += self.batch_size
        T, N = learner.size
        passed = detection_threshold(N=N, T=T, false_alarm=self.false_alarm) < X
        learner.memory["missed"] = int(np.sum(~passed.any(axis=0)))
        on = passed | (X.max(axis=0) == X)
        A = np.asfortranarray(on / on.sum(axis=0))
        learner.theta = Parameters(learner.task.backend.asarray(A), learner.theta.V)

    def _observe(self, learner, where):
        """Estimate the frequencies from triggers and outputs, and start V at them."""
        task, N = learner.task, learner.size[1]
        seen = task.sample_at(np.zeros((1, N), dtype=np.int64), self.batch_size, **where)
        both = np.concatenate([task.backend.to_numpy(x) for x in (seen.trigger, seen.output)])
        counts = np.bincount(both.astype(np.int64), minlength=N)
        if not counts.all():
            raise InvalidArgument(
                f"token {int(np.argmin(counts))} is neither trigger nor output in {self.batch_size} samples; take more"
            )
        learner.counts = task.backend.asarray(counts, learner.xp.int64)
        learner.mu = task.backend.asarray(counts / counts.sum())
        learner.theta = Parameters(
            learner.theta.A, learner.theta.V + (learner.mu - learner.theta.V @ learner.mu)[:, None]
        )

    def verdict(self, learner, steps):
        missed = learner.memory["missed"]
        return f"{missed} columns without a position that passes: their largest" if missed else self.goal


@dataclass(frozen=True)
class Likelihood(Stage):
    r"""Stage 4, instead of Refit: count (trigger, tokens on the support, output), and maximise the likelihood (L5).

    Where the frequencies are known, V keeps :math:`V\mu = \mu`. Ends once the Cramér–Rao error at the estimate,
    :math:`\|A-Q\|_\mu^2 + \|V-P\|_\mu^2` as far as the learner can know it, is at most ``tolerance`` (0: after
    ``max_steps``). Memory holds the counts: at most :math:`N^{s+2}` numbers, whatever the number of samples.

    Parameters
    ----------
    batch_size : samples a step, at least 1.
    tolerance : at least 0.
    max_steps : steps after which it ends in any case.
    name : what records call it.

    Raises
    ------
    InvalidArgument : a number is out of range; in training, a support is empty or has :math:`N^{s+2} \ge 2^{63}`.
    """

    batch_size: int = 256
    tolerance: float = 5e-5
    max_steps: int = 4000
    name: str = "likelihood"

    def begin(self, learner):
        learner.memory["on"] = learner.theta.A != 0
        self._keep(learner, Counts.empty(learner.task.backend.to_numpy(learner.memory["on"])))
        learner.memory["steps"], learner.memory["next"], learner.memory["error"] = 0, 1, float("inf")
        learner.memory["fitted"] = 0

    def ahead(self, learner, steps):
        m = learner.memory
        return min(m["next"] - m["steps"], self.max_steps - steps)

    def step(self, learner):
        self.advance(learner, 1)

    def advance(self, learner, count):
        m, host = learner.memory, learner.task.backend.to_numpy
        counts = self._counts(learner)
        count = min(learner.steps_at_once(self.batch_size, count), max(1, AT_ONCE // self.batch_size))
        place = {"seed": learner.seed} | dict(zip(("step", "first"), learner._place(self.batch_size), strict=True))
        positions = np.stack([np.pad(p, (0, counts.width - len(p)), mode="edge") for p in counts.supports], axis=1)
        batch = learner.task.sample_at(positions, count * self.batch_size, **place)
        tokens, trigger, output = (host(x).astype(np.int64) for x in (batch.tokens, batch.trigger, batch.output))
        self._keep(learner, counts.add_at(tokens, trigger, output))
        m["steps"] += count
        learner.samples += count * self.batch_size
        if m["steps"] >= m["next"]:
            self._maximise(learner, self._counts(learner))
            expected = m["error"] / self.tolerance if self.tolerance > 0 else math.inf  # errors fall like 1/n
            m["next"] = math.ceil(m["steps"] * min(max(GROWTH, 1.05 * expected), 8.0))
        return count, squared_size(learner, learner.theta)

    def verdict(self, learner, steps):
        if learner.memory["error"] <= self.tolerance:
            return f"the Cramér–Rao error at the estimate is at most {self.tolerance:g}"
        return f"{steps} steps" if steps >= self.max_steps else None

    def end(self, learner):
        if learner.memory["fitted"] != learner.memory["steps"]:
            self._maximise(learner, self._counts(learner))
        super().end(learner)

    @staticmethod
    def _counts(learner) -> Counts:
        to_numpy, m = learner.task.backend.to_numpy, learner.memory
        return Counts.empty(to_numpy(m["on"])).merged(to_numpy(m["cells"]), to_numpy(m["count"]))

    @staticmethod
    def _keep(learner, counts):
        backend = learner.task.backend
        for name in ("cells", "count"):
            learner.memory[name] = backend.asarray(getattr(counts, name), backend.xp.int64)

    @staticmethod
    def _maximise(learner, counts):
        backend, learner.memory["fitted"] = learner.task.backend, learner.memory["steps"]
        mu = backend.to_numpy(learner.mu) if learner.counts is None else None
        here = Parameters(*map(backend.to_numpy, (learner.theta.A, learner.theta.V)))
        found = maximum_likelihood(counts, mu, here)
        learner.memory["error"] = float(sum(estimated_error(counts, found, mu)))
        learner.theta = Parameters(backend.asarray(found.A), backend.asarray(found.V))
