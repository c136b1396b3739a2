"""Methods, step sizes and seeds compared fairly (claims E2, E3).

Fair means: every method reads the same stream of samples for a seed; a baseline is run at every step size
and batch size that it is given and shown at its best, chosen **with the truth**, which no learner could do; the axis is
samples; and a run that diverges counts as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from scbtheory.checks import below, chance, several, some
from scbtheory.errors import InvalidArgument, nearest
from scbtheory.sweeps._running import Run, run_all
from scbtheory.task import SCB
from scbtheory.training import History


class Factor(NamedTuple):
    """A ratio of geometric means with its confidence interval, paired by seed.

    Parameters
    ----------
    ratio : the factor; 0 where a better run diverged, infinite where every worse one did.
    low, high : the interval's ends.
    """

    ratio: float
    low: float
    high: float


class Exponent(NamedTuple):
    """A slope of log y against log x with its confidence interval.

    Parameters
    ----------
    slope : the exponent in y ∝ x^slope.
    low, high : the interval's ends.
    """

    slope: float
    low: float
    high: float


def paired_factor(better, worse, confidence: float = 0.95) -> Factor:
    r"""``worse / better``, seed by seed: Student's interval for the mean of the log-ratio.

    A ``worse`` that is not finite (a run that diverged) is set to the largest finite one: against the claim; where
    a ``better`` is not finite the factor is 0.

    Parameters
    ----------
    better, worse : (seeds,) positive numbers, at least two seeds.
    confidence : of the interval, in (0, 1).

    Returns
    -------
    Factor
        Ratio of geometric means, and its interval.

    Raises
    ------
    InvalidArgument : shapes differ, a number is not above 0, or the confidence is not in (0, 1).
    """
    confidence = chance("confidence", confidence)
    better, worse = np.asarray(better, dtype=float), np.asarray(worse, dtype=float)
    if better.shape != worse.shape or better.ndim != 1 or len(better) < 2:
        raise InvalidArgument(
            f"better and worse have shapes {better.shape} and {worse.shape}; expected one number a seed, two or more"
        )
    for name, values in (("better", better), ("worse", worse)):
        if np.any(values <= 0):
            raise InvalidArgument(f"{name} is {values.tolist()}; a factor needs numbers above 0")
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
    """Fit log y on log x by least squares; Student's interval over all points.

    Parameters
    ----------
    x, y : (points,) and (points, seeds), positive and finite; at least two different x.
    confidence : of the interval, in (0, 1).

    Returns
    -------
    Exponent
        The slope, and its interval.

    Raises
    ------
    InvalidArgument : shapes do not fit, a number is not positive and finite, or the confidence is not in (0, 1).
    """
    confidence = chance("confidence", confidence)
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or y.ndim != 2 or len(x) != len(y) or y.size < 3 or len(np.unique(x)) < 2:
        raise InvalidArgument(f"x has shape {x.shape} and y {y.shape}; expected (points,) and (points, seeds)")
    if not (np.all((x > 0) & np.isfinite(x)) and np.all((y > 0) & np.isfinite(y))):
        raise InvalidArgument("x or y has an entry that is not positive and finite; logarithms are fitted")
    fit = stats.linregress(np.repeat(np.log(x), y.shape[1]), np.log(y).ravel())
    reach = stats.t.ppf(0.5 + confidence / 2, y.size - 2) * fit.stderr
    return Exponent(float(fit.slope), float(fit.slope - reach), float(fit.slope + reach))


@dataclass(frozen=True)
class Comparison:
    """Histories of several methods: ``histories[name][variant][i]`` belongs to ``seeds[i]``.

    Whatever asks for a method or a variant that was not tried raises ``InvalidArgument``.

    Parameters
    ----------
    histories : of each method, variant and seed.
    variants : ``variants[name]`` are the stages that were tried.
    seeds : those of all runs, the same for every method.
    budget : the samples that each run could use.
    """

    histories: dict[str, list[list[History]]]
    variants: dict[str, list[tuple]]
    seeds: tuple[int, ...]
    budget: int

    def _tried(self, name: str) -> list[list[History]]:
        """The runs of each variant of a method; refuse a name that is none."""
        if name not in self.histories:
            raise InvalidArgument(f"{name!r} is no method of this comparison{nearest(name, self.histories)}")
        return self.histories[name]

    def _runs(self, name: str, column: str, variant: int | None) -> list[History]:
        """The runs of one variant, of the best where none is named."""
        tried = self._tried(name)
        return tried[self.best(name, column) if variant is None else below("variant", variant, len(tried))]

    def final(self, name: str, column: str = "distance_A", variant: int | None = None) -> np.ndarray:
        """The column's last value for each seed; infinite for a run that diverged or ended without a number."""
        runs = self._runs(name, column, variant)
        last = np.array([np.inf if h.status == "diverged" else getattr(h, column)[-1] for h in runs])
        return np.where(np.isnan(last), np.inf, last)

    def best(self, name: str, column: str = "distance_A") -> int:
        """The variant with the least geometric mean of the column's last values over seeds."""
        with np.errstate(divide="ignore"):
            means = [np.mean(np.log(self.final(name, column, v))) for v in range(len(self._tried(name)))]
        return int(np.argmin(means))

    def factor(self, name: str, over: str, column: str = "distance_A", confidence: float = 0.95) -> Factor:
        """How many times smaller ``name``'s final value is than that of ``over`` at its best."""
        return paired_factor(self.final(name, column), self.final(over, column), confidence)

    def band(self, name: str, column: str, samples, quantiles=(0.1, 0.5, 0.9), variant: int | None = None):
        """Quantiles over seeds at each number of samples, (len(quantiles), len(samples)).

        A run holds its last value once it has ended, and counts as infinite once it has diverged.
        """
        runs = self._runs(name, column, variant)
        values = np.array([at(h, column, samples) for h in runs])
        return np.quantile(values, quantiles, axis=0, method="nearest")

    def diverged(self, name: str) -> dict[int, int]:
        """How many seeds of each variant diverged."""
        return {v: sum(h.status == "diverged" for h in runs) for v, runs in enumerate(self._tried(name))}

    def where_ahead(self, name: str, over: str, column: str, points: int = 60) -> np.ndarray:
        """Numbers of samples at which the median of ``name`` is below that of ``over``, both at their best."""
        grid = np.unique(np.geomspace(max(1, self.budget // 1000), self.budget, points).astype(int))
        medians = [self.band(m, column, grid, (0.5,))[0] for m in (name, over)]
        return grid[medians[0] < medians[1]]


def at(history: History, column: str, samples) -> np.ndarray:
    """A column's value after so many samples: that of the latest record.

    Parameters
    ----------
    history : a run.
    column : one of its columns, such as ``"loss"``.
    samples : a number or an array.

    Returns
    -------
    float or ndarray
        Of the shape of ``samples``; infinite from the sample on at which the run diverged.

    Raises
    ------
    AttributeError : the history has no such column.
    """
    index = np.searchsorted(history.samples, samples, side="right") - 1
    values = getattr(history, column)[np.maximum(index, 0)]
    if history.divergence is None:
        return values
    return np.where(np.asarray(samples) >= history.divergence.samples, np.inf, values)


def compare(
    task: SCB, methods: Mapping[str, Sequence[tuple]], *, seeds: Sequence[int], max_samples: int,
    starts: Mapping[str, Any] | None = None,
    **where,
) -> Comparison:  # fmt: skip
    """Run every variant of every method on every seed with the same samples.

    Parameters
    ----------
    task : the task that all train on.
    methods : maps a name to its variants, each a sequence of stages.
    seeds : two or more, all different.
    max_samples : of each run, at least 1.
    starts : maps names to parameters to begin with, where these are not the usual ones.
    **where : ``jobs``, ``scheduler``, ``cache`` and ``progress``, as in :func:`run_all`.

    Returns
    -------
    Comparison
        With the histories of all runs, in the order of ``seeds``.

    Raises
    ------
    InvalidArgument : seeds are fewer than two, repeat or are no whole numbers from 0; ``methods`` is no mapping, or one
        has no variant; ``starts`` names no method; or as in :func:`run_all`.
    TypeError : as in :func:`run_all`.
    """
    seeds = tuple(below("seeds", seed, 2**64) for seed in several("seeds", seeds))
    if len(set(seeds)) < max(2, len(seeds)):
        raise InvalidArgument(f"seeds is {seeds}; a comparison needs two or more, all different")
    if not isinstance(methods, Mapping):
        raise InvalidArgument(f"methods is of type {type(methods).__name__}; expected a mapping of names to variants")
    for name in starts or {}:
        if name not in methods:
            raise InvalidArgument(f"starts has {name!r}, which is no method{nearest(name, methods)}")
    variants = {
        name: [several(f"a variant of {name!r}, in a list of them,", v) for v in some(f"methods[{name!r}]", tried)]
        for name, tried in methods.items()
    }
    runs = [
        Run.of(task, stages, seed, start=(starts or {}).get(name), max_samples=max_samples)
        for seed in seeds for name, tried in variants.items() for stages in tried  # so that a seed's share their draws
    ]  # fmt: skip
    done = iter(run_all(runs, **where))
    by_seed = [{name: [next(done) for _ in tried] for name, tried in variants.items()} for _ in seeds]
    histories = {
        name: [[of_seed[name][v] for of_seed in by_seed] for v in range(len(tried))] for name, tried in variants.items()
    }
    return Comparison(histories, variants, seeds, max_samples)
