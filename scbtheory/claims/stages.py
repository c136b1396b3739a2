r"""Claims S1 and S2: the first two stages in closed form."""

from __future__ import annotations

import math
from functools import cache, partial

import mpmath as mp
import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.claims._scalars import (
    AT,
    CONSTANTS,
    DIGITS,
    FITTED,
    LENGTHS,
    RATES,
    SCRATCH,
    bundle,
    changed,
    digits,
    floats,
    growth,
    matrix_path,
    slope,
    symbols,
    task_floats,
)
from scbtheory.derivations import reduction, stages
from scbtheory.verification import routes
from scbtheory.verification.instances import relative_gap

# --- S1: the linear stage ------------------------------------------------------------------------


def linear_statement(s, exchanged=False, growth=growth, rise=lambda s, x: s.cosh(x) - 1, drift=True, saturates=True):
    """alpha(t), beta(t), the bound on their relative error, and the time at which alpha arrives at rho."""
    omega, K_Q = growth(s), s.K_P if exchanged else s.K_Q
    x = omega * s.t
    error = s.t / s.T if drift else 0
    if saturates:
        error = error + (s.sinh(2 * x) - 2 * x) / (4 * s.T**2 * K_Q * omega)
    arrival = s.acosh(1 + s.rho * s.T * K_Q) / omega
    return rise(s, x) / (s.T * K_Q), s.sinh(x) / (s.T * omega), error, arrival


def _linear_symbolic(statement):
    s = symbols(t=stages.t, rho=sp.Symbol("rho", positive=True))
    alpha, beta, error, arrival = statement(s)
    rates = {"p": s.K_P, "q": s.K_Q, "d": 1 / s.T}
    return stages.surviving(
        *stages.linear_residuals(alpha, beta, **rates),
        *stages.bound_residuals(alpha, beta, error, **rates),
        sp.expand(alpha.subs(stages.t, arrival)) - s.rho,
    )


def _deficit(found, statement, s):
    """How the flow's (alpha, beta) at ``s.t`` sits in the stated band: between 0 and 1, or beyond it."""
    alpha, beta, error, arrival = statement(s)
    deficits = [1 - x / y for x, y in zip(found, (alpha, beta), strict=True)]
    early = min(*deficits, s.t / arrival - 1)  # the flow is below S1, and arrives later than S1 predicts
    return float(max(*deficits, -1e9 * early) / error) if error > 0 else math.inf


@cache
def _reference(T):
    """(t, (alpha, beta)) of the flow at a fixed time first, then through S1's trust region."""
    last = scb.dynamics.linearised_until(T=T, **CONSTANTS)
    return [
        (t, scb.dynamics.high_precision_flow(t=t, T=T, digits=DIGITS, **CONSTANTS))
        for t in (3.0, 0.1 * last, 0.6 * last, last)
    ]


def _linear_slopes(statement):
    worst, errors = 0.0, []
    with mp.workdps(DIGITS):
        for T in LENGTHS:
            for t, found in _reference(T):
                worst = max(worst, _deficit(found, statement, digits(T, t=mp.mpf(t), rho=found[0])))
            t, (_, beta) = _reference(T)[0]
            errors.append(1 - beta / statement(digits(T, t=mp.mpf(t), rho=mp.mpf(1)))[1])
    here = {"T": 1e6, "t": 20.0, **CONSTANTS}
    package = (*scb.dynamics.linearised(**here), scb.dynamics.linearised_error(**here))
    worst = max(worst, relative_gap(package, statement(floats(rho=0.1, **here))[:3]) / 1e-10)
    return max(worst, abs(slope(errors) + 1) / 0.05)


def _linear_matrices(statement):
    """The band around the coordinates of all matrices at T = 2000, until the bound is 10 %."""
    task, times, alpha, beta = matrix_path(2000, 30.0)
    s = {"K_P": task.K_P, "K_Q": task.K_Q, "T": 2000}
    trusted = (times > 1) & (times < scb.dynamics.linearised_until(**s))
    return max(
        _deficit((a, b), statement, task_floats(task, t=t, rho=a))
        for t, a, b in zip(times[trusted], alpha[trusted], beta[trusted], strict=True)
    )


register(
    Claim(
        "S1",
        "Stage 1: exponential growth from the saddle, with a two-sided bound",
        r"\beta_1 = \frac{\sinh\omega t}{T\omega},\ \alpha_1 = \frac{\cosh\omega t - 1}{TK_Q};\quad "
        r"1-\rho(t) \le \frac{\alpha}{\alpha_1}, \frac{\beta}{\beta_1} \le 1,\quad "
        r"\rho = \frac tT + \frac{\sinh2\omega t-2\omega t}{4T^2K_Q\omega};\quad "
        r"\alpha_1 = a \text{ at } t = \omega^{-1}\mathrm{arccosh}(1 + aTK_Q)",
        f"{SCRATCH}; the upper bound at every time, the lower one while α₁β₁ ≤ 1",
        linear_statement,
        (
            Route("symbolic", f"{RATES}: the linear equation, and the two differential inequalities", _linear_symbolic),
            Route(
                "numeric",
                f"the flow inside the band, and slope −1 of its error at a fixed time, {FITTED}; {AT}",
                _linear_slopes,
                limit=1.0,
                unit="deficit over its bound, or slope error over 0.05",
            ),
            Route(
                "numeric",
                "all matrices, N = 3, T = 2000, inside the band",
                _linear_matrices,
                limit=1.0,
                unit="deficit over its bound",
            ),
        ),
        (
            Control("K_P for K_Q in alpha and its arrival", partial(linear_statement, exchanged=True)),
            Control("α starting at 1/(T K_Q): cosh without −1", partial(linear_statement, rise=lambda s, x: s.cosh(x))),
            Control("growth at K_P K_Q without the root", partial(linear_statement, growth=lambda s: s.K_P * s.K_Q)),
            Control("a bound that forgets the drift's decay t/T", partial(linear_statement, drift=False)),
            Control("a bound that forgets saturation", partial(linear_statement, saturates=False)),
        ),
    )
)

# --- S2: the rise --------------------------------------------------------------------------------


def rise_statement(s, factor=2, exchanged=False, saddle=True, end=1, c=lambda s: s.c):
    """The invariant, the speed of u, and u(t) by way of E: E where u starts, E's rate, u where E is."""
    K_P, K_Q = (s.K_Q, s.K_P) if exchanged else (s.K_P, s.K_Q)
    invariant = K_P * s.beta**2 - K_Q * s.alpha**2
    c2, k = c(s) ** 2, factor * s.omega
    root, R = s.sqrt(c2 + k**2 * s.u**2), s.sqrt(c2 + k**2)
    odds = (c2 + k**2 * s.u + R * root) / (1 - s.u)
    shift = c2 * k**2 if saddle else 0
    return invariant, (end - s.u) * root, odds, R, (s.E**2 - 2 * c2 * s.E - shift) / (s.E**2 + 2 * k**2 * s.E - shift)


def _rise_symbolic(statement):
    r = reduction
    s = bundle(sp, K_P=r.p, K_Q=r.q, alpha=r.alpha, beta=r.beta, omega=stages.omega, u=stages.u, c=stages.C, E=1)
    invariant = statement(s)[0]

    def speed(product, c):
        return statement(changed(s, u=product, c=c))[1]

    apart = changed(s, omega=stages.k / 2, E=stages.E)

    def odds(u, root):
        """E where u starts; its root, the one that holds u, is given so that all stays rational."""
        return statement(changed(apart, u=u, sqrt=lambda x: root if x.has(stages.E) else sp.sqrt(x)))[2]

    *_, rate, product = statement(apart)
    return sum(
        sp.expand(x) != 0
        for x in (
            stages.conserved_residual(invariant),
            stages.speed_residual(speed, r.p * r.beta**2 - r.q * r.alpha**2),
            *stages.trajectory_residuals(product, odds, rate),
        )
    )


def _rise_exact(statement):
    """Rational points whose rates are perfect squares by their construction; differences of quadratics are exact."""
    worst = 0
    third, half = sp.Rational(1, 3), sp.Rational(1, 2)
    for K_P, K_Q, alpha, beta in ((third, half, third, half), (half, third, half / 5, 1), (third / 4, third, 1, -half)):
        omega = sp.sqrt(K_P * K_Q)

        def at(a, b, u=0, K_P=K_P, K_Q=K_Q, omega=omega):
            c = K_P * b**2 - K_Q * a**2
            return statement(bundle(sp, K_P=K_P, K_Q=K_Q, alpha=a, beta=b, omega=omega, u=u, c=c, E=sp.Integer(2)))

        rest = 1 - alpha * beta
        velocity = K_P * beta * rest, K_Q * alpha * rest
        slopes = [(at(alpha + a, beta + b)[0] - at(alpha - a, beta - b)[0]) / 2 for a, b in ((1, 0), (0, 1))]
        drift = slopes[0] * velocity[0] + slopes[1] * velocity[1]
        speed = beta * velocity[0] + alpha * velocity[1]
        worst = max(worst, abs(drift), abs(float(sp.simplify(at(alpha, beta, alpha * beta)[1] - speed))))
    return worst


def _rise_numeric(statement):
    """Both sides of c = 0: the drift-free flow integrated, against the stated u(t) and the package's."""
    worst = 0.0
    for alpha, beta in ((0.1, 0.2), (0.3, 0.02), (0.05, 0.05 * (0.5 / 0.2) ** 0.5)):
        K_P, K_Q = CONSTANTS.values()
        c, omega, t = K_P * beta**2 - K_Q * alpha**2, (K_P * K_Q) ** 0.5, np.linspace(0, 25, 26)
        path = solve_ivp(
            lambda _, y: np.array([0.2 * y[1], 0.5 * y[0]]) * (1 - y[0] * y[1]), (0, 25), (alpha, beta),
            t_eval=t, method="DOP853", rtol=1e-13, atol=1e-15,
        ).y  # fmt: skip
        values = {"K_P": K_P, "K_Q": K_Q, "omega": omega, "u": alpha * beta, "c": c}
        stated = []
        for time in t:
            s = bundle(math, alpha=alpha, beta=beta, E=1.0, **values)
            _, _, odds, R, _ = statement(s)
            s.E = odds * math.exp(R * time)
            stated.append(statement(s)[4])
        invariant = [statement(bundle(math, alpha=a, beta=b, E=1.0, **values))[0] for a, b in path.T]
        found = path[0] * path[1]
        speeds = [statement(bundle(math, alpha=a, beta=b, E=1.0, **{**values, "u": a * b}))[1] for a, b in path.T]
        true = [(1 - a * b) * (K_P * b**2 + K_Q * a**2) for a, b in path.T]
        package = scb.dynamics.product(t=t, u=alpha * beta, c=c, T=1e4, K_P=K_P, K_Q=K_Q)
        worst = max(
            worst,
            *(relative_gap(x, y) for x, y in ((found, stated), (package, stated), (true, speeds))),
            np.ptp(invariant) / alpha**2,
        )
    return float(worst)


register(
    Claim(
        "S2",
        "Stage 2: a conserved quantity, and the rise of u = αβ",
        r"c = K_P\beta^2 - K_Q\alpha^2,\quad \dot u = (1-u)\sqrt{c^2+4\omega^2u^2},\quad "
        r"u = \frac{E^2-2c^2E-4c^2\omega^2}{E^2+8\omega^2E-4c^2\omega^2},\ E = E_0e^{t\sqrt{c^2+4\omega^2}};\quad "
        r"c = 0:\ \text{logistic with rate } 2\omega",
        "the reduced flow without the drift 1/T, which moves c by at most K_P t/(2T); 0 ≤ u < 1",
        rise_statement,
        (
            Route("symbolic", RATES, _rise_symbolic),
            Route("exact", "invariant and speed at three rational points", _rise_exact, unit="difference"),
            routes.numeric(f"the drift-free flow integrated from c > 0, c < 0 and c = 0; {AT}", _rise_numeric),
        ),
        (
            Control("rate ω for 2ω", partial(rise_statement, factor=1)),
            Control("K_P and K_Q exchanged in c", partial(rise_statement, exchanged=True)),
            Control("logistic whatever c is", partial(rise_statement, c=lambda s: 0 * s.c)),
            Control("saturation at αβ = 2", partial(rise_statement, end=2)),
        ),
    )
)
