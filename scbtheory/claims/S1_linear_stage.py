r"""S1. The linear stage: exponential growth from the saddle, with a bound on both sides."""

from __future__ import annotations

import math
from functools import cache

import mpmath as mp
import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.claims._scalars import (
    AT,
    CONSTANTS,
    DIGITS,
    FITTED,
    LENGTHS,
    RATES,
    SCRATCH,
    changed,
    digits,
    floats,
    growth,
    matrix_path,
    slope,
    symbols,
    task_floats,
)
from scbtheory.derivations import stages
from scbtheory.verification.bundles import Timed
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import relative_gap, worst


def statement(s: Timed):
    """alpha(t), beta(t), the bound on their relative error, when alpha arrives at rho; both after n steps of eta."""
    flow = solution(s, growth(s), s.K_Q, s.cosh(growth(s) * s.t) - 1, s.t / s.T + saturation(s, growth(s), s.K_Q))
    return *flow, *after_steps(s, (1 + s.eta * growth(s)) ** s.n, (1 - s.eta * growth(s)) ** s.n)


def solution(s, omega, K_Q, rise, error):
    arrival = s.acosh(1 + s.rho * s.T * K_Q) / omega
    return rise / (s.T * K_Q), s.sinh(omega * s.t) / (s.T * omega), error, arrival


def after_steps(s, up, down):
    """alpha and beta from what n steps make of a mode that grows and of one that fades."""
    return ((up + down) / 2 - 1) / (s.T * s.K_Q), (up - down) / (2 * s.T * growth(s))


def saturation(s, omega, K_Q):
    return (s.sinh(2 * omega * s.t) - 2 * omega * s.t) / (4 * s.T**2 * K_Q * omega)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    s = symbols(t=stages.t, rho=sp.Symbol("rho", positive=True), n=stages.n, eta=stages.eta)
    alpha, beta, error, arrival, *steps = statement(s)
    rates = {"p": s.K_P, "q": s.K_Q, "d": 1 / s.T}
    # Balanced steps of η are those of K_P = K_Q = 1 with the drift 1/(T K_Q).
    balanced = statement(changed(s, K_P=sp.Integer(1), K_Q=sp.Integer(1), T=s.T * s.K_Q))[4:]
    even = {"p": 1, "q": 1, "d": 1 / (s.T * s.K_Q)}
    return {
        "terms of the recursion of steps": stages.surviving(*stages.step_residuals(*steps, **rates)),
        "terms of balanced steps": stages.surviving(*stages.step_residuals(*balanced, **even)),
        "terms of the linear equation": stages.surviving(*stages.linear_residuals(alpha, beta, **rates)),
        "terms of the two inequalities": stages.surviving(*stages.bound_residuals(alpha, beta, error, **rates)),
        "terms of the arrival": stages.surviving(sp.expand(alpha.subs(stages.t, arrival)) - s.rho),
    }


def deficit(found, statement, s):
    """How the flow's (alpha, beta) at ``s.t`` sits in the stated band: between 0 and 1, or beyond it."""
    alpha, beta, error, arrival, *_ = statement(changed(s, n=0, eta=0))
    deficits = [1 - x / y for x, y in zip(found, (alpha, beta), strict=True)]
    early = np.min([*deficits, s.t / arrival - 1])  # the flow is below S1, and arrives later than S1 predicts
    return {
        "deficit over its bound": float(np.max([0.0, *deficits]) / error) if error > 0 else math.inf,
        "flow above the upper bound, or early": float(np.maximum(0.0, -early)),
    }


@cache
def reference(T):
    """(t, (alpha, beta)) of the flow at a fixed time first, then through S1's trust region."""
    last = scb.dynamics.linearised_until(T=T, **CONSTANTS)
    return [
        (t, scb.dynamics.high_precision_flow(t=t, T=T, digits=DIGITS, **CONSTANTS))
        for t in (3.0, 0.1 * last, 0.6 * last, last)
    ]


STEPS, ETA = 60, 0.1


@cache
def descent(T):
    """(alpha, beta) of descent on the plane after so many steps."""
    return tuple(float(x[-1]) for x in scb.dynamics.descend(steps=STEPS, step_size=ETA, T=T, **CONSTANTS))


@cache
def matrix_descent():
    """The same of all matrices, N = 3, T = 2000."""
    task = matrix_path(2000, 30.0)[0]
    *_, last = scb.dynamics.matrix_descend(task, scb.Parameters.initial(task), steps=STEPS, step_size=ETA)
    return task, scb.dynamics.reduce(task, last)[:2]


def stepped(statement, s):
    """The stated (alpha, beta) after the steps."""
    return np.array(statement(changed(s, t=1.0, rho=0.1, n=STEPS, eta=ETA))[4:], dtype=float)


def on_the_plane(statement):
    found, errors = [], []
    with mp.workdps(DIGITS):
        for T in LENGTHS:
            found += [deficit(here, statement, digits(T, t=mp.mpf(t), rho=here[0])) for t, here in reference(T)]
            t, (_, beta) = reference(T)[0]
            errors.append(1 - beta / statement(digits(T, t=mp.mpf(t), rho=mp.mpf(1), n=0, eta=0))[1])
    shares = [np.array(descent(T)) / stepped(statement, floats(T=T, **CONSTANTS)) for T in LENGTHS]
    here = {"T": 1e6, "t": 20.0, **CONSTANTS}
    package = (*scb.dynamics.linearised(**here), scb.dynamics.linearised_error(**here))
    return worst(found) | {
        "distance of the error's slope from −1": abs(slope(errors) + 1),
        STEPS_SLOPE: max(abs(slope(1 - x) + 1) for x in np.transpose(shares)),
        "relative difference of the package": relative_gap(package, statement(floats(rho=0.1, n=0, eta=0, **here))[:3]),
    }


def all_matrices(statement):
    """The band around the coordinates of all matrices at T = 2000, until the bound is 10 %."""
    task, times, alpha, beta = matrix_path(2000, 30.0)
    s = {"K_P": task.K_P, "K_Q": task.K_Q, "T": 2000}
    trusted = (times > 1) & (times < scb.dynamics.linearised_until(**s))
    band = worst(
        deficit((a, b), statement, task_floats(task, t=t, rho=a))
        for t, a, b in zip(times[trusted], alpha[trusted], beta[trusted], strict=True)
    )
    task, found = matrix_descent()
    return band | {"steps of all matrices, relative": relative_gap(found / stepped(statement, task_floats(task)), 1)}


# --- controls ------------------------------------------------------------------------------------


def exchanged(s: Timed):
    omega = growth(s)
    return *solution(s, omega, s.K_P, s.cosh(omega * s.t) - 1, s.t / s.T + saturation(s, omega, s.K_P)), *statement(s)[
        4:
    ]


def start_beside_zero(s: Timed):
    omega = growth(s)
    return *solution(s, omega, s.K_Q, s.cosh(omega * s.t), s.t / s.T + saturation(s, omega, s.K_Q)), *statement(s)[4:]


def growth_without_root(s: Timed):
    omega = s.K_P * s.K_Q
    return *solution(s, omega, s.K_Q, s.cosh(omega * s.t) - 1, s.t / s.T + saturation(s, omega, s.K_Q)), *statement(s)[
        4:
    ]


def bound_without_decay(s: Timed):
    omega = growth(s)
    return *solution(s, omega, s.K_Q, s.cosh(omega * s.t) - 1, saturation(s, omega, s.K_Q)), *statement(s)[4:]


def bound_without_saturation(s: Timed):
    return *solution(s, growth(s), s.K_Q, s.cosh(growth(s) * s.t) - 1, s.t / s.T), *statement(s)[4:]


def steps_for_time(s: Timed):
    return *statement(s)[:4], *after_steps(s, s.exp(s.n * s.eta * growth(s)), s.exp(-s.n * s.eta * growth(s)))


STEPS_SLOPE = "distance from −1 of the slope of the steps' error"
BAND = {"deficit over its bound": 1.0, "flow above the upper bound, or early": 1e-9}

CLAIM = Claim(
    id="S1",
    title="Stage 1: exponential growth from the saddle, with a two-sided bound",
    text=r"""
With $\omega = \sqrt{K_PK_Q}$, let

$$
\beta_1 = \frac{\sinh \omega t}{T\omega}, \qquad \alpha_1 = \frac{\cosh\omega t - 1}{T K_Q}.
$$ (eq-linear)

The reduced flow from scratch satisfies $\alpha \le \alpha_1$ and $\beta \le \beta_1$ at every time and, while
$\alpha_1\beta_1 \le 1$,

$$
\begin{aligned}
\alpha \ge (1 - \rho)\,\alpha_1, \quad \beta &\ge (1 - \rho)\,\beta_1, \\
\rho(t) &= \frac tT + \frac{\sinh 2\omega t - 2\omega t}{4T^2K_Q\,\omega}.
\end{aligned}
$$ (eq-linear-error)

$\alpha_1$ reaches the level $\alpha_*$ at $t = \omega^{-1}\operatorname{arccosh}(1 + \alpha_*T K_Q)$. After $n$ steps
of $\eta$ instead, without the products and $\beta/T$,

$$
\begin{aligned}
\alpha_n &= \frac{(1 + \eta\omega)^n + (1 - \eta\omega)^n - 2}{2TK_Q}, \\
\beta_n &= \frac{(1 + \eta\omega)^n - (1 - \eta\omega)^n}{2T\omega} :
\end{aligned}
$$ (eq-linear-steps)

a step grows by $\log(1 + \eta\omega)$, and a balanced one, which has 1 for $K_P$ and $K_Q$ and $TK_Q$ for $T$, by
$\log(1+\eta)$.
""",
    assumptions=f"{SCRATCH}; the upper bound at every time, the lower one while α₁β₁ ≤ 1",
    scope="Proved for all positive $K_P$, $K_Q$, $T$; the inequalities by a comparison argument, "
    "whose steps SymPy checks.",
    nature="theorem",
    chapter="stage_one",
    rests_on=("R2",),
    statement=statement,
    routes=(
        Route("symbolic", f"{RATES}: the linear equation, its steps, and the two differential inequalities", derived),
        Route(
            "numeric",
            f"the flow inside the band, slope −1 of its error at a fixed time, of 60 steps' error, {FITTED}; {AT}",
            on_the_plane,
            BAND
            | dict.fromkeys(("distance of the error's slope from −1", STEPS_SLOPE), 0.05)
            | {"relative difference of the package": 1e-10},
        ),
        Route(
            "numeric",
            "all matrices, N = 3, T = 2000, inside the band; 60 steps of theirs",
            all_matrices,
            BAND | {"steps of all matrices, relative": 0.01},
            blind="an inequality: the deficit is within a bound that is a little smaller, too",
        ),
    ),
    controls=(
        Control("K_P for K_Q in alpha and its arrival", exchanged),
        Control("α starting at 1/(T K_Q): cosh without −1", start_beside_zero),
        Control("growth at K_P K_Q without the root", growth_without_root),
        Control("a bound that forgets the drift's decay t/T", bound_without_decay),
        Control("a bound that forgets saturation", bound_without_saturation),
        Control("steps taken for time: e^(nηω) for (1 + ηω)^n", steps_for_time),
    ),
)
