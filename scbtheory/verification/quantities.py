"""Numbers that claims measured, with confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from scbtheory.errors import InvalidArgument

__all__ = ["Quantity", "frequency", "mean"]


@dataclass(frozen=True)
class Quantity:
    """A number that a claim measured, with its interval.

    Attributes
    ----------
    name : what was measured, with its unit.
    value, low, high : the estimate and its confidence interval (equal where the number is exact).
    confidence : of the interval, in (0, 1].
    runs : how many independent runs it rests on.
    seeds : of these runs, in words.
    stated : what the claim says of it, in words.
    """

    name: str
    value: float
    low: float
    high: float
    runs: int
    seeds: str
    stated: str = ""
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise InvalidArgument(f"{self.name}: {self.value} is outside its interval [{self.low}, {self.high}]")


def mean(name: str, values, *, seeds: str, stated: str = "", confidence: float = 0.95) -> Quantity:
    """Return the mean of independent values with Student's interval.

    Parameters
    ----------
    name : what was measured, with its unit.
    values : shape (runs,), at least two finite numbers.
    seeds : of the runs, in words.
    stated : what the claim says of it, in words.
    confidence : of the interval, in (0, 1).

    Raises
    ------
    InvalidArgument : fewer than two values, or one that is not finite.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.all(np.isfinite(values)):
        raise InvalidArgument(f"{name}: the values are {values.tolist()}; expected at least two finite numbers")
    reach = float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1) * stats.sem(values))
    centre = float(values.mean())
    return Quantity(name, centre, centre - reach, centre + reach, len(values), seeds, stated, confidence)


def frequency(
    name: str, successes: int, runs: int, *, seeds: str, stated: str = "", confidence: float = 0.95
) -> Quantity:
    """Return a frequency with Clopper and Pearson's exact binomial interval.

    Parameters
    ----------
    name : what was counted.
    successes, runs : how often, out of how many independent runs.
    seeds : of the runs, in words.
    stated : what the claim says of it, in words.
    confidence : of the interval, in (0, 1).

    Raises
    ------
    InvalidArgument : the counts are not 0 ≤ successes ≤ runs with runs > 0.
    """
    if not 0 <= successes <= runs or runs < 1:
        raise InvalidArgument(f"{name}: {successes} of {runs} runs; expected 0 ≤ successes ≤ runs, runs > 0")
    interval = stats.binomtest(int(successes), int(runs)).proportion_ci(confidence, "exact")
    return Quantity(
        name, successes / runs, float(interval.low), float(interval.high), int(runs), seeds, stated, confidence
    )
