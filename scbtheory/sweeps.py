r"""Many runs: methods, step sizes and seeds on one machine, compared fairly (claims E2, E3).

Fair means: every method reads the same stream of samples for a seed; a baseline is run at every step size
and batch size that it is given and shown at its best, chosen **with the truth**, which no learner could do; the axis is
samples; and a run that diverges counts as one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from scbtheory.errors import InvalidArgument
from scbtheory.model import Parameters
from scbtheory.task import SCB
from scbtheory.training import History, train


@dataclass(frozen=True)
class Run:
    """One run as plain data that a process can be given; the task and the start are host matrices."""

    P: np.ndarray
    Q: np.ndarray
    stages: tuple
    seed: int
    max_samples: int | None = None
    start: tuple[np.ndarray, np.ndarray] | None = None
    mu: str = "known"
    record: float = 1.05

    @classmethod
    def of(cls, task: SCB, stages, seed: int, *, start: Parameters | None = None, **options) -> Run:
        to = task.backend.to_numpy
        pair = None if start is None else (to(start.A), to(start.V))
        return cls(task._host_P, task._host_Q, tuple(stages), seed, start=pair, **options)

    def __call__(self) -> History:
        task = SCB(self.P, self.Q)
        start = None if self.start is None else Parameters(*self.start)
        return train(
            task, self.stages, seed=self.seed, start=start, max_samples=self.max_samples, mu=self.mu, record=self.record
        )


def run_all(runs: Sequence[Run], *, jobs: int | None = None) -> list[History]:
    """Run everything in ``jobs`` processes (as many as cores by default; 1: in this one), in the order given.

    The histories do not depend on ``jobs``.
    """
    jobs = min(jobs or os.cpu_count() or 1, len(runs))
    if jobs <= 1:
        return [run() for run in runs]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(_call, runs))


def _call(run):
    return run()


class Factor(NamedTuple):
    """A ratio of geometric means with its confidence interval, paired by seed."""

    ratio: float
    low: float
    high: float


class Exponent(NamedTuple):
    """A slope of log y against log x with its confidence interval."""

    slope: float
    low: float
    high: float


def paired_factor(better, worse, confidence: float = 0.95) -> Factor:
    r"""``worse / better``, seed by seed: Student's interval for the mean of the log-ratio.

    An infinite ``worse`` (a run that diverged) is set to the largest finite one: against the claim.
    """
    better, worse = np.asarray(better, dtype=float), np.asarray(worse, dtype=float)
    if better.shape != worse.shape or better.ndim != 1 or len(better) < 2:
        raise InvalidArgument(
            f"better and worse have shapes {better.shape} and {worse.shape}; expected one number a seed, two or more"
        )
    if not np.all(np.isfinite(better)):
        return Factor(0.0, 0.0, 0.0)
    finite = worse[np.isfinite(worse)]
    worse = np.where(np.isfinite(worse), worse, finite.max() if len(finite) else np.inf)
    if not len(finite):
        return Factor(np.inf, np.inf, np.inf)
    ratios = np.log(worse / better)
    reach = stats.t.ppf(0.5 + confidence / 2, len(ratios) - 1) * stats.sem(ratios)
    return Factor(*(float(np.exp(ratios.mean() + x)) for x in (0.0, -reach, reach)))


def fit_exponent(x, y, confidence: float = 0.95) -> Exponent:
    """Least squares of log y, (len(x), seeds), on log x; Student's interval over all points."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if y.ndim != 2 or len(x) != len(y) or y.size < 3 or len(np.unique(x)) < 2:
        raise InvalidArgument(f"x has shape {x.shape} and y {y.shape}; expected (points,) and (points, seeds)")
    fit = stats.linregress(np.repeat(np.log(x), y.shape[1]), np.log(y).ravel())
    reach = stats.t.ppf(0.5 + confidence / 2, y.size - 2) * fit.stderr
    return Exponent(float(fit.slope), float(fit.slope - reach), float(fit.slope + reach))


@dataclass(frozen=True)
class Comparison:
    """Histories of several methods: ``histories[name][variant][i]`` belongs to ``seeds[i]``.

    ``variants[name]`` are the stages that were tried; ``budget`` the samples that each run could use.
    """

    histories: dict[str, list[list[History]]]
    variants: dict[str, list[tuple]]
    seeds: tuple[int, ...]
    budget: int

    def final(self, name: str, column: str = "distance_A", variant: int | None = None) -> np.ndarray:
        """The column's last value for each seed; infinite for a run that diverged."""
        runs = self.histories[name][self.best(name, column) if variant is None else variant]
        return np.array([np.inf if h.status == "diverged" else getattr(h, column)[-1] for h in runs])

    def best(self, name: str, column: str = "distance_A") -> int:
        """The variant with the least geometric mean of the column's last values over seeds."""
        with np.errstate(divide="ignore"):
            means = [np.mean(np.log(self.final(name, column, v))) for v in range(len(self.variants[name]))]
        return int(np.argmin(means))

    def factor(self, name: str, over: str, column: str = "distance_A", confidence: float = 0.95) -> Factor:
        """How many times smaller ``name``'s final value is than that of ``over`` at its best."""
        return paired_factor(self.final(name, column), self.final(over, column), confidence)

    def band(self, name: str, column: str, samples, quantiles=(0.1, 0.5, 0.9), variant: int | None = None):
        """Quantiles over seeds at each number of samples, (len(quantiles), len(samples)).

        A run holds its last value once it has ended, and counts as infinite once it has diverged.
        """
        runs = self.histories[name][self.best(name) if variant is None else variant]
        values = np.array([at(h, column, samples) for h in runs])
        return np.quantile(values, quantiles, axis=0, method="nearest")

    def diverged(self, name: str) -> dict[int, int]:
        """How many seeds of each variant diverged."""
        return {v: sum(h.status == "diverged" for h in runs) for v, runs in enumerate(self.histories[name])}

    def where_ahead(self, name: str, over: str, column: str, points: int = 60) -> np.ndarray:
        """Numbers of samples at which the median of ``name`` is below that of ``over``, both at their best."""
        grid = np.unique(np.geomspace(max(1, self.budget // 1000), self.budget, points).astype(int))
        medians = [self.band(m, column, grid, (0.5,))[0] for m in (name, over)]
        return grid[medians[0] < medians[1]]


def at(history: History, column: str, samples) -> np.ndarray:
    """A column's value after so many samples: that of the latest record."""
    index = np.searchsorted(history.samples, samples, side="right") - 1
    values = getattr(history, column)[np.maximum(index, 0)]
    if history.divergence is None:
        return values
    return np.where(np.asarray(samples) >= history.divergence.samples, np.inf, values)


def compare(
    task: SCB, methods: Mapping[str, Sequence[tuple]], *, seeds: Sequence[int], max_samples: int,
    jobs: int | None = None,
    starts: Mapping[str, Any] | None = None,
) -> Comparison:  # fmt: skip
    """Run every variant of every method on every seed with the same samples.

    ``methods`` maps a name to its variants, each a sequence of stages; ``starts`` maps names to parameters.
    """
    if len(seeds) < 2:
        raise InvalidArgument(f"seeds is {tuple(seeds)}; a comparison needs at least two")
    variants = {name: [tuple(v) for v in tried] for name, tried in methods.items()}
    runs = [
        Run.of(task, stages, seed, start=(starts or {}).get(name), max_samples=max_samples)
        for name, tried in variants.items() for stages in tried for seed in seeds
    ]  # fmt: skip
    done = iter(run_all(runs, jobs=jobs))
    histories = {name: [[next(done) for _ in seeds] for _ in tried] for name, tried in variants.items()}
    return Comparison(histories, variants, tuple(seeds), max_samples)
