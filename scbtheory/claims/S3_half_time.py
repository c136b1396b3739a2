r"""S3. The half time matches the first two stages.

Its leading order holds up to :math:`O(\log T/T)`; the term of that order is stated too, so that what is
left falls almost like :math:`T^{-2}`: slopes are fitted for both.
"""

from __future__ import annotations

import scbtheory as scb
from scbtheory.claims._half_times import matrix_half_time, order_distances
from scbtheory.claims._scalars import AT_BOTH, FITTED, SCRATCH, growth, matrix_path, slopes, symbols, task_floats
from scbtheory.derivations import reduction, stages
from scbtheory.verification.bundles import Scalars
from scbtheory.verification.claim import Claim, Control, Route


def statement(s: Scalars):
    """The leading half time, and the term of order log T / T that follows it."""
    t_0 = s.log(4 * s.T**2 * s.K_Q * growth(s)) / (2 * growth(s))
    return t_0, next_term(s, t_0)


def next_term(s: Scalars, t_0):
    omega = growth(s)
    return (t_0 / 2 - nu(s) * s.sqrt(s.sqrt(s.K_P / s.K_Q)) / omega) / (omega * s.T)


def nu(s: Scalars):
    return 3 * s.log(1 + s.sqrt(2)) / 4 - s.sqrt(2) / 4


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    leading, correction = statement(symbols())
    found, found_next = (
        x.subs(reduction.EQUAL, simultaneous=True) for x in (stages.half_time(), stages.half_time_correction())
    )
    return {
        "terms of t₀": stages.surviving(found - leading),
        "terms of the next order": stages.surviving(found_next - correction),
        "terms of the scaled equations": stages.surviving(*stages.scaled_residuals()),
    }


def all_matrices(statement):
    task = matrix_path(1000, 60.0)[0]
    stated = sum(statement(task_floats(task)))
    package = scb.dynamics.half_time(order=2, K_P=task.K_P, K_Q=task.K_Q, T=1000)
    return {
        "relative difference": abs(stated / matrix_half_time(1000, 60.0) - 1),
        "relative difference of the package's formula": abs(stated / package - 1),
    }


# --- controls ------------------------------------------------------------------------------------


def log_T(s: Scalars):
    t_0 = s.log(4 * s.T * s.K_Q * growth(s)) / (2 * growth(s))
    return t_0, next_term(s, t_0)


def exchanged(s: Scalars):
    t_0 = s.log(4 * s.T**2 * s.K_P * growth(s)) / (2 * growth(s))
    return t_0, next_term(s, t_0)


def rate_omega(s: Scalars):
    t_0 = s.log(4 * s.T**2 * s.K_Q * growth(s)) / growth(s)
    return t_0, next_term(s, t_0)


def two_for_four(s: Scalars):
    t_0 = s.log(2 * s.T**2 * s.K_Q * growth(s)) / (2 * growth(s))
    return t_0, next_term(s, t_0)


def turned(s: Scalars):
    t_0, correction = statement(s)
    return t_0, -correction


def without_nu(s: Scalars):
    t_0, _ = statement(s)
    return t_0, t_0 / 2 / (growth(s) * s.T)


def ratio_inverted(s: Scalars):
    t_0, _ = statement(s)
    omega = growth(s)
    return t_0, (t_0 / 2 - nu(s) * s.sqrt(s.sqrt(s.K_Q / s.K_P)) / omega) / (omega * s.T)


CLAIM = Claim(
    id="S3",
    title="The half time of the rise, to second order",
    text=r"""
From scratch, $\alpha\beta = \tfrac12$ at

$$
\begin{aligned}
t_{1/2} &= t_0 + \frac{1}{T\omega}\left(\frac{t_0}{2} - \frac{\nu}{\omega}\left(\tfrac{K_P}{K_Q}\right)^{1/4}\right)
+ O\!\left(\frac{\log T}{T^2}\right), \\
t_0 &= \frac{\log\left(4T^2K_Q\,\omega\right)}{2\omega},
\end{aligned}
$$ (eq-half-time)

with $\nu = \tfrac34\log(1+\sqrt2) - \tfrac{\sqrt2}{4}$.
""",
    assumptions=f"{SCRATCH}; a formal expansion in 1/T, whose orders are measured",
    scope="Both terms are derived for all positive $K_P$ and $K_Q$: $t_0$ by matching, and again, with the next term, "
    r"by integrating $dy/\dot y$ along the flow. The orders of the errors are measured.",
    nature="asymptotic",
    chapter="stage_two",
    rests_on=("S1", "S2"),
    statement=statement,
    routes=(
        Route("symbolic", "both terms for all positive K_P, K_Q: matching, time integral", derived),
        slopes(f"slopes −1 and −2 of the relative errors of one and two terms, {FITTED}; {AT_BOTH}", order_distances),
        Route(
            "numeric",
            "all matrices, N = 3, T = 1000, and the package",
            all_matrices,
            {"relative difference": 2e-5, "relative difference of the package's formula": 2e-10},
            margin=3.0,
        ),
    ),
    controls=(
        Control("log T for log T²", log_T),
        Control("K_P for K_Q", exchanged),
        Control("rate ω for 2ω", rate_omega),
        Control("2 for 4", two_for_four),
        Control("the correction's sign turned", turned),
        Control("ν left out", without_nu),
        Control("K_P and K_Q exchanged beside ν", ratio_inverted),
    ),
)
