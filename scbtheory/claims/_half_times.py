"""What S3 and S4 share: how fast the errors of a half time fall, and the half time of all matrices."""

from __future__ import annotations

from functools import cache

import mpmath as mp
import numpy as np
from scipy.interpolate import CubicSpline

from scbtheory.claims._scalars import CONSTANTS, DIGITS, LENGTHS, OTHERS, digits, half_times, matrix_path, slope


def order_distances(statement, balanced=False):
    """Distances of slopes from −1 and −2, once the half time itself, which grows like log T, is divided out.

    The larger ones of two pairs of constants.
    """
    pairs = [_distances(statement, balanced, other) for other in (False, True)]
    names = "distance of one term's slope from −1", "distance of two terms' slope from −2"
    return {name: max(pair[i] for pair in pairs) for i, name in enumerate(names)}


def _distances(statement, balanced, other):
    first, second = [], []
    with mp.workdps(DIGITS):
        for T, t in zip(LENGTHS, half_times(balanced, other), strict=True):
            leading, correction = statement(digits(T, **(OTHERS if other else CONSTANTS)))[:2]
            first.append((t - leading) / t)
            second.append((t - leading - correction) / t)
    return abs(slope(first) + 1), abs(slope(second) + 2)


@cache
def matrix_half_time(T: int, last: float, balanced: bool = False) -> float:
    """When the coordinates of all matrices first have product ½, by a spline between integrated times."""
    _, times, alpha, beta = matrix_path(T, last, balanced)
    log_odds = np.log(alpha[1:] * beta[1:] / (1 - np.minimum(alpha[1:] * beta[1:], 1 - 1e-9)))
    rising = log_odds < 3  # beyond, the product only creeps to 1
    return float(CubicSpline(times[1:][rising], log_odds[rising]).roots(extrapolate=False)[0])
