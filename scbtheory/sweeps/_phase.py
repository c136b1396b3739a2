r"""How often training from scratch finds the right sign, over batches B and lengths T (claims N5, N6)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest

from scbtheory import noise
from scbtheory.checks import below, chance, correlation, count, positive, several
from scbtheory.errors import InvalidArgument
from scbtheory.sweeps._running import Point, run_all
from scbtheory.task import SCB

__all__ = ["Forecast", "PhaseDiagram", "SignCount", "SignPoint", "phase_diagram"]


class SignCount(NamedTuple):
    """What came of a point's runs.

    Parameters
    ----------
    right, runs : how many had the right sign, of how many.
    tokens : all that they drew, exactly.
    seconds : of one core; the machine's, not the point's.
    """

    right: int
    runs: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class SignPoint(Point):
    r"""Runs from scratch of one batch and length, at the balanced steps :math:`\eta/K_Q` and :math:`\eta/K_P`.

    Nothing but numbers, so that a point on a cluster needs no data: its task is made where it is computed.

    Parameters
    ----------
    context_length, batch_size : T and B.
    runs : how many.
    step_size : η, above 0.
    vocab_size, sparsity, seed : of the random task.
    block : points that differ in this alone have other samples.
    """

    context_length: int
    batch_size: int
    runs: int
    step_size: float
    vocab_size: int
    sparsity: int
    seed: int
    block: int = 0

    def task(self) -> SCB:
        """The random task of this length."""
        return SCB.random(self.vocab_size, self.context_length, self.sparsity, seed=self.seed)

    def speed(self) -> dict[str, float]:
        """Both step sizes, as :mod:`scbtheory.noise` takes them."""
        task, step_size = self.task(), positive("step_size", self.step_size)
        correlation(task, "K_P")
        correlation(task, "K_Q")
        return {"step_size": step_size / task.K_Q, "attention_step_size": step_size / task.K_P}

    def __call__(self) -> SignCount:
        own = np.random.SeedSequence([self.seed, self.context_length, self.batch_size, self.block])
        seed = int(own.generate_state(1, np.uint64)[0])
        _load_loops(self.vocab_size)
        start = time.process_time()
        ended = noise.train_signs(
            self.task(), runs=self.runs, batch_size=self.batch_size, seed=seed, **self.speed()
        )  # fmt: skip
        seconds = time.process_time() - start
        tokens = int(ended.steps.sum()) * self.batch_size * self.context_length
        return SignCount(int((ended.Y > 0).sum()), self.runs, tokens, seconds)

    def load(self, path) -> SignCount:
        found = SignCount(*json.loads(path.read_text(encoding="utf-8")))
        if not 0 <= found.right <= found.runs == self.runs:
            raise ValueError(f"{path} is of another point")
        return found


@cache
def _load_loops(vocab_size: int) -> None:
    """Compile or load the token loops once in each process, so that no point is charged for it."""
    task = SCB.random(vocab_size, 50, 2, seed=0)
    noise.train_signs(task, runs=2, batch_size=2, seed=0, step_size=0.1 / task.K_Q)


class Forecast(NamedTuple):
    """What one run costs at a length that need not have been run.

    Parameters
    ----------
    context_length, batch_size : T, and the batch that N5 asks for.
    steps : until the sign is decided.
    tokens : drawn by one run.
    """

    context_length: int
    batch_size: float
    steps: float
    tokens: float


@dataclass(frozen=True, eq=False)  # whoever compares two says what: its seconds are never the same
class PhaseDiagram:
    r"""The share of right signs at each length and batch: arrays of shape (lengths, batches).

    Parameters
    ----------
    lengths, batches : T and B.
    right, runs, tokens, seconds : sums of :class:`SignCount` over the blocks of each point.
    point : one of the points, for the task and the step size.
    """

    lengths: tuple[int, ...]
    batches: tuple[int, ...]
    right: np.ndarray
    runs: np.ndarray
    tokens: np.ndarray
    seconds: np.ndarray
    point: SignPoint

    def at(self, T: int) -> SignPoint:
        """A point of this length, for its task and speed."""
        return replace(self.point, context_length=count("T", T))

    def interval(self, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Wilson's interval of each share: its lower and upper ends."""
        chance("confidence", confidence)
        found = [
            binomtest(int(k), int(n)).proportion_ci(confidence, method="wilson")
            for k, n in zip(self.right.ravel(), self.runs.ravel(), strict=True)
        ]
        low, high = np.transpose(found)
        return low.reshape(self.right.shape), high.reshape(self.right.shape)

    def verdict(self, share: float = 0.9, confidence: float = 0.95) -> np.ndarray:
        """1 where the whole interval is above ``share``, -1 where it is below, 0 where the runs do not say."""
        share, (low, high) = chance("share", share), self.interval(confidence)
        return (low > share).astype(int) - (high < share)

    def contradictions(self, line: Callable[[int], float], share: float = 0.9, confidence: float = 0.95) -> int:
        """How many points are surely below ``share`` above a line T ↦ B, or surely above it below the line."""
        above = np.array(self.batches)[None, :] > np.array([line(T) for T in self.lengths])[:, None]
        return int(np.sum(self.verdict(share, confidence) == np.where(above, -1, 1)))

    def training_batch(self, T: int, share: float = 0.9, *, corrected: bool = True) -> float:
        """N5: the batch at which ``share`` of the runs are right."""
        point = self.at(T)
        return noise.sign_batch(point.task(), share, corrected=corrected, **point.speed())

    def least_batch(self, T: int, share: float = 0.9) -> float:
        r"""N6: the batch below which no method on counts is right in ``share``, with as many steps' samples.

        It has :math:`n` batches, the steps in which the recursion's mean reaches ½.
        """
        share, point = chance("share", share), self.at(T)
        task = point.task()
        return noise.sign_samples(task, 1 - share) / noise.sign_steps(task, **point.speed())

    def forecast(self, T: int, share: float = 0.9) -> Forecast:
        r"""One run at N5's batch: its steps are the recursion's, times what those counted here took of theirs.

        At balanced steps :math:`\lambda = \eta`, the batch grows like T, and the mean reaches ½ after
        :math:`\log(1 + K_QT/2)/\log(1 + \eta)` steps. Tasks of one seed have one P, and one K_Q but for its 1/T, so
        that the task at T, of TN numbers, need not be made.

        Parameters
        ----------
        T : any length, of 2 positions or more and no fewer than a support has.
        share : of runs that are right at that batch.

        Returns
        -------
        Forecast
            Batch, steps and tokens of one run.

        Raises
        ------
        InvalidArgument : T or the share is out of range.
        """
        longest, least = max(self.lengths), max(2, self.point.sparsity)
        if count("T", T) < least:
            raise InvalidArgument(f"T is {T}; expected at least {least}: there is no attention to learn")
        batch = self.training_batch(longest, share, corrected=False) * T / longest
        K_Q = self.at(longest).task().K_Q + 1 / longest - 1 / T
        steps = self.slowness(share) * math.log1p(K_Q * T / 2) / math.log1p(self.point.step_size)
        return Forecast(T, batch, steps, batch * steps * T)

    def slowness(self, share: float = 0.9) -> float:
        """Counted steps over the recursion's, at the batch nearest to N5's of the longest length."""
        T = max(self.lengths)
        i = self.lengths.index(T)
        j = int(np.argmin(np.abs(np.log(np.array(self.batches) / self.training_batch(T, share)))))
        steps = self.tokens[i, j] / (self.runs[i, j] * self.batches[j] * T)
        point = self.at(T)
        return float(steps / noise.sign_steps(point.task(), **point.speed()))

    @property
    def tokens_per_second(self) -> float:
        """Of one core, at the point with the most tokens: the machine's, so it differs from run to run."""
        largest = np.unravel_index(np.argmax(self.tokens), self.tokens.shape)
        return float(self.tokens[largest] / self.seconds[largest])


def phase_diagram(
    lengths: Sequence[int],
    batches: Sequence[int],
    *,
    runs: int = 100,
    blocks: int = 1,
    step_size: float = 0.1,
    vocab_size: int = 3,
    sparsity: int = 2,
    seed: int = 0,
    **where: Any,
) -> PhaseDiagram:
    r"""Train from scratch at every length and batch, and count right signs (N5).

    Every point has its own samples, named by the seed and the point alone: a larger diagram, or one with more blocks,
    has the points of a smaller one, and takes them from the cache.

    Parameters
    ----------
    lengths, batches : T and B, whole and all different.
    runs : of each block.
    blocks : of each point; they are computed apart, on a cluster at the same time.
    step_size : η of the balanced steps, above 0.
    vocab_size, sparsity, seed : of the random tasks.
    **where : ``jobs``, ``scheduler``, ``cache`` and ``progress``, as in :func:`run_all`.

    Returns
    -------
    PhaseDiagram
        Counts of all points.

    Raises
    ------
    InvalidArgument : a number is out of range, there is no length or no batch, or as in :func:`run_all`.
    """
    lengths, batches = (
        tuple(count(name, v) for v in several(name, values))
        for name, values in (("lengths", lengths), ("batches", batches))
    )  # fmt: skip
    for name, values in (("lengths", lengths), ("batches", batches)):
        if not values or len(set(values)) < len(values):
            raise InvalidArgument(f"{name} is {values}; expected one or more, all different")
    runs, blocks = count("runs", runs), count("blocks", blocks)
    vocab_size, sparsity = count("vocab_size", vocab_size), count("sparsity", sparsity)
    step_size, seed = positive("step_size", step_size), below("seed", seed, 2**64)
    points = [
        SignPoint(T, B, runs, step_size, vocab_size, sparsity, seed, block)
        for T in lengths for B in batches for block in range(blocks)
    ]  # fmt: skip
    for point in points[:: len(batches) * blocks]:
        point.speed()  # refuses what no point could be computed with, before any is
    longest_first = sorted(points, key=lambda p: -p.context_length * p.batch_size)
    found = dict(zip(longest_first, run_all(longest_first, **where), strict=True))
    sums = np.array([found[point] for point in points]).reshape(len(lengths), len(batches), blocks, 4).sum(axis=2)
    right, total, tokens = np.moveaxis(sums[..., :3].astype(np.int64), -1, 0)
    return PhaseDiagram(lengths, batches, right, total, tokens, sums[..., 3], points[0])
