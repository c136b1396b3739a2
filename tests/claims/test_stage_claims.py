"""The fits behind the claims R and S: measured slopes, and the helpers that measure them."""

import math

import numpy as np
import pytest

from scbtheory.claims import S1_linear_stage as S1
from scbtheory.claims import S3_half_time as S3
from scbtheory.claims import S4_balanced_steps as S4
from scbtheory.claims import _scalars as scalars
from scbtheory.claims._half_times import matrix_half_time
from scbtheory.claims._scalars import CONSTANTS, LENGTHS, digits, slope


def test_a_slope_is_that_of_a_power_law():
    assert slope([3 * T**-2.0 for T in LENGTHS]) == pytest.approx(-2)
    assert abs(slope([1.0] * len(LENGTHS))) < 1e-12
    assert slope([0.0] * len(LENGTHS)) == 0  # agreement to every digit is suspicious, not a power law


@pytest.mark.parametrize("balanced", [False, True])
def test_S3_and_S4_errors_fall_as_stated_and_are_bounded(balanced):
    """log T / T for one term: between half and all of d t0/(2ω); log T / T² for two terms, with a bounded factor."""
    statement = (S4 if balanced else S3).statement
    K_P, K_Q = CONSTANTS.values()
    omega, drift = (1.0, 1 / K_Q) if balanced else (math.sqrt(K_P * K_Q), 1.0)
    with scalars.mp.workdps(scalars.DIGITS):
        for T, true in zip(LENGTHS, scalars.half_times(balanced), strict=True):
            leading, correction = statement(digits(T))[:2]
            assert 0.5 < (true - leading) * T / drift / (true / (2 * omega)) < 1
            assert 0.3 < (true - leading - correction) * (omega * T / drift) ** 2 / true < 1


def test_S1_the_band_is_narrow():
    """The flow uses most of the bound somewhere, and none of the controls' formulas can be inside by luck."""
    shares = []
    with scalars.mp.workdps(scalars.DIGITS):
        for T in LENGTHS:
            for t, found in S1.reference(T):
                s = digits(T, t=scalars.mp.mpf(t), rho=found[0])
                shares.append(S1.deficit(found, S1.statement, s)["deficit over its bound"])
    assert 0.5 < max(shares) < 1
    assert min(shares) > 0


def test_matrices_and_numbers_share_their_half_time():
    task, _, alpha, beta = scalars.matrix_path(1000, 60.0)
    assert np.all(alpha * beta < 1.01)
    found = matrix_half_time(1000, 60.0)
    from scbtheory.dynamics import high_precision_half_time

    true = high_precision_half_time(K_P=task.K_P, K_Q=task.K_Q, T=1000, digits=15)
    assert found == pytest.approx(float(true), rel=1e-6)
