r"""S4. Balanced steps rise together and end at the truth; equal steps end beside it."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

import scbtheory as scb
from scbtheory.claims._half_times import matrix_half_time, order_distances
from scbtheory.claims._scalars import (
    AT,
    CONSTANTS,
    FITTED,
    LENGTHS,
    RATES,
    SCRATCH,
    floats,
    half_times,
    matrix_path,
    slope,
    symbols,
    task_floats,
)
from scbtheory.derivations import reduction, stages
from scbtheory.verification.bundles import Scalars
from scbtheory.verification.claim import Claim, Control, Route


def statement(s: Scalars):
    """Balanced: both terms of the half time, and the bound on β − α. Equal: where stage 2 ends."""
    return quantities(s, 2 * s.T * s.K_Q, 1 / (s.T * s.K_Q), s.sqrt(s.sqrt(s.K_P / s.K_Q)))


def quantities(s, inside, gap, end):
    leading = s.log(inside)
    nu = 3 * s.log(1 + s.sqrt(2)) / 4 - s.sqrt(2) / 4
    return leading, (leading / 2 - nu) / (s.T * s.K_Q), gap, end, 1 / end


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    s = symbols()
    leading, correction, gap, *end = statement(s)
    found = stages.half_time(), stages.half_time_correction()
    halves = [x.subs(reduction.BALANCED, simultaneous=True) for x in found]
    ends = [x.subs(reduction.EQUAL, simultaneous=True) for x in stages.stage_two_end()]
    return {
        "terms of the half time": stages.surviving(halves[0] - leading),
        "terms of its next order": stages.surviving(halves[1] - correction),
        "terms of the gap's bound": stages.surviving(*stages.gap_residuals(gap, 1 / (s.T * s.K_Q))),
        "terms of the end": stages.surviving(*(x - y for x, y in zip(ends, end, strict=True))),
    }


@cache
def ends():
    """The flow with equal steps when 1 − u has fallen to about 1/T, at each length."""
    omega = math.sqrt(CONSTANTS["K_P"] * CONSTANTS["K_Q"])
    return [
        np.array(scb.dynamics.flow(t=float(t) + math.log(T) / (2 * omega), T=T, **CONSTANTS))
        for T, t in zip(LENGTHS, half_times(), strict=True)
    ]


@cache
def largest_gap(T):
    alpha, beta = scb.dynamics.flow(t=np.linspace(0, 40, 400), T=T, balanced=True, **CONSTANTS)
    return float((beta - alpha).max())


def orders(statement):
    stated = [statement(floats(T=T, **CONSTANTS)) for T in LENGTHS]
    errors = [np.abs(x - y[3:]).max() / math.log(T) for x, y, T in zip(ends(), stated, LENGTHS, strict=True)]
    gaps = [largest_gap(T) / y[2] for T, y in zip(LENGTHS, stated, strict=True)]  # ≤ 1, and reached as T grows
    return order_distances(statement, balanced=True) | {
        "distance of the end's slope from −1": abs(slope(errors) + 1),
        "gap above its bound": max(0.0, max(gaps) - 1),
        "gap below its bound at T = 10⁸": max(0.0, 1 - gaps[-1]),
    }


def all_matrices(statement):
    """Balanced half time and gap, and the end with equal steps up to a few log T / T, on all matrices."""
    task, _, alpha, beta = matrix_path(1000, 14.0, True)
    leading, correction, gap, *end = statement(task_floats(task))
    reach = (beta - alpha).max() / gap  # at most 1, and 1 up to O(log T/T)
    equal, times, *path = matrix_path(1000, 60.0)
    arrived = matrix_half_time(1000, 60.0) + math.log(1000) / (2 * math.sqrt(equal.K_P * equal.K_Q))
    reached = [float(CubicSpline(times, x)(arrived)) for x in path]
    return {
        "half time, relative": abs((leading + correction) / matrix_half_time(1000, 14.0, True) - 1),
        "gap above its bound": max(0.0, reach - 1),
        "gap below its bound": max(0.0, 1 - reach),
        "end, relative": max(abs(x / y - 1) for x, y in zip(reached, end, strict=True)),
    }


# --- controls ------------------------------------------------------------------------------------


def half_for_quarter(s: Scalars):
    return quantities(s, 2 * s.T * s.K_Q, 1 / (s.T * s.K_Q), s.sqrt(s.K_P / s.K_Q))


def end_exchanged(s: Scalars):
    return quantities(s, 2 * s.T * s.K_Q, 1 / (s.T * s.K_Q), s.sqrt(s.sqrt(s.K_Q / s.K_P)))


def log_T_squared(s: Scalars):
    return quantities(s, 2 * s.T**2 * s.K_Q, 1 / (s.T * s.K_Q), s.sqrt(s.sqrt(s.K_P / s.K_Q)))


def half_time_exchanged(s: Scalars):
    return quantities(s, 2 * s.T * s.K_P, 1 / (s.T * s.K_Q), s.sqrt(s.sqrt(s.K_P / s.K_Q)))


def gap_of_one_over_T(s: Scalars):
    return quantities(s, 2 * s.T * s.K_Q, 1 / s.T, s.sqrt(s.sqrt(s.K_P / s.K_Q)))


ORDERS = "distance of one term's slope from −1", "distance of two terms' slope from −2"

CLAIM = Claim(
    id="S4",
    title="Balanced steps rise together and end at (1, 1); equal steps end beside it",
    text=r"""
With equal step sizes stage two ends, up to $O(\log T/T)$, at

$$
(\alpha, \beta) = \left((K_P/K_Q)^{1/4},\ (K_Q/K_P)^{1/4}\right),
$$ (eq-equal-end)

beside the truth. With $\eta_V = \eta/K_Q$ and $\eta_A = \eta/K_P$ it ends at $(1, 1)$, at every time
$0 \le \beta - \alpha \le 1/(TK_Q)$, and, in units of $1/\eta$,

$$
t_{1/2} = t_0 + \frac{1}{TK_Q}\left(\frac{t_0}{2} - \nu\right) + O\!\left(\frac{\log T}{T^2}\right), \qquad
t_0 = \log(2TK_Q),
$$ (eq-balanced)

with the $\nu$ of {claim}`S3`.
""",
    assumptions=f"{SCRATCH}; balanced: η_V = η/K_Q, η_A = η/K_P; the bound on β − α holds at every time",
    scope="The bound on the gap is proved for all positive $K_P$, $K_Q$ and $T$; the terms of the half time are "
    "derived. The end is where $c = 0$ meets $\\alpha\\beta = 1$; that the flow with its drift comes so near is "
    "measured, at one pair of constants, as are the orders of the errors.",
    nature="asymptotic",
    chapter="stage_two",
    rests_on=("S2", "S3"),
    statement=statement,
    routes=(
        Route("symbolic", f"{RATES}: S3's terms, an invariant region; where c = 0 meets αβ = 1", derived),
        Route(
            "numeric",
            f"half times, end of stage 2, and the gap's bound reached, {FITTED}; {AT}",
            orders,
            dict.fromkeys((*ORDERS, "distance of the end's slope from −1"), 0.05)
            | {"gap above its bound": 1e-9, "gap below its bound at T = 10⁸": 0.001},
            margin=3.0,
        ),
        Route(
            "numeric",
            "all matrices, N = 3, T = 1000",
            all_matrices,
            {
                "half time, relative": 5e-6,
                "gap above its bound": 1e-6,
                "gap below its bound": 0.1,
                "end, relative": 0.005,
            },
            margin=3.0,
            blind="at T = 1000 what a tenth of ν's √2 moves is as large as the terms left out",
        ),
    ),
    controls=(
        Control("exponent ½ for ¼", half_for_quarter),
        Control("K_P and K_Q exchanged at the end", end_exchanged),
        Control("log T² for log T", log_T_squared),
        Control("K_P for K_Q in the half time", half_time_exchanged),
        Control("a gap of at most 1/T", gap_of_one_over_T),
    ),
)
