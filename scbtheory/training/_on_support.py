r"""Stages of the limits: a support found by moments from scratch (L2), and maximum likelihood on it (L5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scbtheory.errors import InvalidArgument
from scbtheory.limits import detection_threshold, maximum_likelihood, moment_statistic
from scbtheory.model import Parameters
from scbtheory.training._stages import Stage, squared_size

__all__ = ["Likelihood", "MomentStart"]

CELLS = 2**22  # of the table of counts
AT_ONCE = 2**18  # samples drawn in one go


@dataclass(frozen=True)
class MomentStart(Stage):
    r"""In place of stages 1 to 3: supports by thresholding L1's statistic of one batch, weights equal on each (L2).

    Positions pass at the :math:`\chi^2` quantile of level :math:`\delta/(TN)`; the largest of a column always does. V
    is left as it is: with a support known, :math:`V = \mu1^\top` is no saddle any more. With estimated frequencies,
    those of this batch's triggers and outputs serve.
    """

    batch_size: int
    false_alarm: float = 0.1
    name: str = "moments"

    def check(self):
        super().check()
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
        on = (detection_threshold(N=N, T=T, false_alarm=self.false_alarm) < X) | (X.max(axis=0) == X)
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
        return "supports by their moments"


@dataclass(frozen=True)
class Likelihood(Stage):
    r"""In place of stage 4: maximum likelihood on the support, from counts of (trigger, output, tokens there) (L5).

    The counts are sufficient. Estimates from every other batch, two independent halves, differ by about four times the
    squared error of the estimate from all. Ends once a quarter of their squared distance, in the μ-norms of A and V
    together, is at most ``tolerance`` (0: after ``max_steps``); looked at whenever the steps have doubled.
    """

    batch_size: int = 256
    tolerance: float = 5e-5
    max_steps: int = 4000
    name: str = "likelihood"

    def check(self):
        super().check()
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise InvalidArgument(f"Likelihood.tolerance is {self.tolerance!r}; expected 0 or more")

    def begin(self, learner):
        host, m, N = learner.task.backend.to_numpy, learner.memory, learner.size[1]
        A = host(learner.theta.A)
        on = A > 0
        if not on.any(axis=0).all():
            raise InvalidArgument(f"A[:, {int(np.argmin(on.any(axis=0)))}] has no positive entry; expected a support")
        positions = np.argsort(~on, axis=0, kind="stable")[: on.sum(axis=0).max()]
        if N ** (len(positions) + 2) > CELLS:
            raise InvalidArgument(
                f"counts of {len(positions)} tokens of {N} take {N}^{len(positions) + 2} cells; use Refit"
            )
        asarray, xp = learner.task.backend.asarray, learner.xp
        m["positions"] = asarray(positions, xp.int64)
        m["on"] = asarray(np.take_along_axis(on, positions, axis=0), xp.bool)
        m["counts"] = xp.zeros((2, N ** (len(positions) + 2)), dtype=xp.int64, device=learner.task.backend.device)
        m["steps"], m["next"] = 0, 8

    def ahead(self, learner, steps):
        m = learner.memory
        return min(m["next"] - m["steps"], self.max_steps - steps)

    def step(self, learner):
        self.advance(learner, 1)

    def advance(self, learner, count):
        m, host, N = learner.memory, learner.task.backend.to_numpy, learner.size[1]
        positions, counts = host(m["positions"]), host(m["counts"]).copy()
        count = min(learner.steps_at_once(self.batch_size, count), max(1, AT_ONCE // self.batch_size))
        place = {"seed": learner.seed} | dict(zip(("step", "first"), learner._place(self.batch_size), strict=True))
        batch = learner.task.sample_at(positions, count * self.batch_size, **place)
        columns = [host(x).astype(np.int64) for x in (batch.trigger, batch.output)]
        columns += list(host(batch.tokens).astype(np.int64).T)
        code = np.ravel_multi_index(tuple(columns), (N,) * len(columns))
        half = (m["steps"] + np.arange(count * self.batch_size) // self.batch_size) % 2
        for i in range(2):
            counts[i] += np.bincount(code[half == i], minlength=counts.shape[1])
        m["counts"] = learner.task.backend.asarray(counts, learner.xp.int64)
        m["steps"] += count
        learner.samples += count * self.batch_size
        return count, squared_size(learner, learner.theta)

    def verdict(self, learner, steps):
        m = learner.memory
        if m["steps"] >= m["next"]:
            m["next"] = 2 * m["steps"]
            if self.tolerance > 0:
                counts = learner.task.backend.to_numpy(m["counts"])
                one, two = (self._estimate(learner, part, 1e-6) for part in counts)
                xp = learner.task.backend.asarray
                gap = Parameters(xp(one[0] - two[0]), xp(one[1] - two[1]))
                if squared_size(learner, gap) / 4 <= self.tolerance:
                    return f"two halves agree to {self.tolerance:g}"
        return f"{steps} steps" if steps >= self.max_steps else None

    def end(self, learner):
        backend, m = learner.task.backend, learner.memory
        A, V = self._estimate(learner, backend.to_numpy(m["counts"]).sum(axis=0), 1e-9)
        everywhere = np.zeros(learner.size[::-1]).T
        on = backend.to_numpy(m["on"])
        columns = np.broadcast_to(np.arange(on.shape[1]), on.shape)
        everywhere[backend.to_numpy(m["positions"])[on], columns[on]] = A[on]
        learner.theta = Parameters(backend.asarray(everywhere), backend.asarray(V))
        super().end(learner)

    def _estimate(self, learner, counts, tolerance):
        """Maximum likelihood from a table of counts, begun at the learner's parameters, made distributions."""
        host, m, N = learner.task.backend.to_numpy, learner.memory, learner.size[1]
        positions, on = host(m["positions"]), host(m["on"])
        seen = np.flatnonzero(counts)
        trigger, output, *tokens = np.unravel_index(seen, (N,) * (len(positions) + 2))
        A = np.where(on, np.take_along_axis(host(learner.theta.A), positions, axis=0), 0.0)
        V = np.maximum(host(learner.theta.V).astype(float), 0.1 / N)  # EM cannot leave an entry that is 0
        return maximum_likelihood(
            np.stack(tokens, axis=1), trigger, output, counts[seen], A / A.sum(axis=0), V / V.sum(axis=0),
            tolerance=tolerance,
        )  # fmt: skip
