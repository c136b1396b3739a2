r"""Claims S3 and S4: the half time that matches the first two stages, for equal and for balanced steps.

Its leading order holds up to :math:`O(\log T/T)`; the term of that order is stated too, so that what is
left falls almost like :math:`T^{-2}`: slopes are fitted for both.
"""

from __future__ import annotations

import math
from functools import cache, partial

import numpy as np
from scipy.interpolate import CubicSpline

import scbtheory as scb
from scbtheory.claims._half_times import matrix_half_time, order_distances
from scbtheory.claims._legacy import Claim, Control, Route, register
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
    slopes,
    symbols,
    task_floats,
)
from scbtheory.derivations import reduction, stages

# --- S4: balanced and equal steps ----------------------------------------------------------------


def balance_statement(s, inside=lambda s: 2 * s.T * s.K_Q, kappa=True, gap=lambda s: 1 / (s.T * s.K_Q), root=2, swap=1):
    """Balanced: both terms of the half time, and the bound on β − α. Equal: where stage 2 ends."""
    leading = s.log(inside(s))
    shift = 3 * s.log(1 + s.sqrt(2)) / 4 - s.sqrt(2) / 4 if kappa else 0
    end = s.sqrt(s.K_P / s.K_Q) ** swap
    end = s.sqrt(end) if root == 2 else end
    return leading, (leading / 2 - shift) / (s.T * s.K_Q), gap(s), end, 1 / end


def _balance_symbolic(statement):
    s = symbols()
    leading, correction, gap, *end = statement(s)
    found = stages.half_time(), stages.half_time_correction()
    halves = [x.subs(reduction.BALANCED, simultaneous=True) for x in found]
    ends = [x.subs(reduction.EQUAL, simultaneous=True) for x in stages.stage_two_end()]
    return stages.surviving(
        halves[0] - leading,
        halves[1] - correction,
        *stages.gap_residuals(gap, 1 / (s.T * s.K_Q)),
        *(x - y for x, y in zip(ends, end, strict=True)),
    )


@cache
def _ends():
    """The flow with equal steps when 1 − u has fallen to about 1/T, at each length."""
    omega = math.sqrt(CONSTANTS["K_P"] * CONSTANTS["K_Q"])
    return [
        np.array(scb.dynamics.flow(t=float(t) + math.log(T) / (2 * omega), T=T, **CONSTANTS))
        for T, t in zip(LENGTHS, half_times(), strict=True)
    ]


@cache
def _largest_gap(T):
    alpha, beta = scb.dynamics.flow(t=np.linspace(0, 40, 400), T=T, balanced=True, **CONSTANTS)
    return float((beta - alpha).max())


def _balance_slopes(statement):
    stated = [statement(floats(T=T, **CONSTANTS)) for T in LENGTHS]
    ends = [np.abs(x - y[3:]).max() / math.log(T) for x, y, T in zip(_ends(), stated, LENGTHS, strict=True)]
    gaps = [_largest_gap(T) / y[2] for T, y in zip(LENGTHS, stated, strict=True)]  # ≤ 1, and reached as T grows
    tight = max(max(gaps) - 1 - 1e-9, 0.99 - gaps[-1], 0) * 10
    return max(max(order_distances(statement, balanced=True).values()), abs(slope(ends) + 1), tight)


def _balance_matrices(statement):
    """Balanced half time and gap, and the end with equal steps up to a few log T / T, on all matrices."""
    task, _, alpha, beta = matrix_path(1000, 14.0, True)
    leading, correction, gap, *end = statement(task_floats(task))
    half = abs((leading + correction) / matrix_half_time(1000, 14.0, True) - 1)
    reach = (beta - alpha).max() / gap  # at most 1, and 1 up to O(log T/T)
    equal, times, *path = matrix_path(1000, 60.0)
    arrived = matrix_half_time(1000, 60.0) + math.log(1000) / (2 * math.sqrt(equal.K_P * equal.K_Q))
    reached = [float(CubicSpline(times, x)(arrived)) for x in path]
    ends = max(abs(x / y - 1) for x, y in zip(reached, end, strict=True))
    return max(half / 1e-4, (reach - 1) / 1e-6, (0.9 - reach) / 1e-6, ends / 0.02)


register(
    Claim(
        "S4",
        "Balanced steps rise together and end at (1, 1); equal steps end beside it",
        r"\text{balanced: } t_{1/2} = \ell + \tfrac{1}{TK_Q}\left(\tfrac{\ell}{2} - \kappa\right) + "
        r"O\!\left(\tfrac{\log T}{T^2}\right),\ \ell = \log(2TK_Q),\quad "
        r"0 \le \beta - \alpha \le \tfrac{1}{TK_Q};\qquad "
        r"\text{equal: } \left((K_P/K_Q)^{1/4}, (K_Q/K_P)^{1/4}\right) + O\!\left(\tfrac{\log T}{T}\right)",
        f"{SCRATCH}; balanced: η_V = η/K_Q, η_A = η/K_P; the bound on β − α holds at every time",
        balance_statement,
        (
            Route("symbolic", f"{RATES}: S3's terms, an invariant region, c = 0 with αβ = 1", _balance_symbolic),
            slopes(f"half times, end of stage 2, and the gap's bound reached, {FITTED}; {AT}", _balance_slopes),
            Route(
                "numeric",
                "all matrices, N = 3, T = 1000",
                _balance_matrices,
                limit=1.0,
                margin=3.0,
                unit="error over its tolerance (half time 1e-4, gap 1e-6, end 0.02)",
            ),
        ),
        (
            Control("exponent ½ for ¼", partial(balance_statement, root=1)),
            Control("K_P and K_Q exchanged at the end", partial(balance_statement, swap=-1)),
            Control("log T² for log T", partial(balance_statement, inside=lambda s: 2 * s.T**2 * s.K_Q)),
            Control("K_P for K_Q in the half time", partial(balance_statement, inside=lambda s: 2 * s.T * s.K_P)),
            Control("a gap of at most 1/T", partial(balance_statement, gap=lambda s: 1 / s.T)),
        ),
    )
)
