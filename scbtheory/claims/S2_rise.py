r"""S2. The rise of u = αβ: a conserved quantity, and a speed that it fixes."""

from __future__ import annotations

import math

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

import scbtheory as scb
from scbtheory.claims._scalars import AT, CONSTANTS, RATES, bundle, changed
from scbtheory.derivations import reduction, stages
from scbtheory.verification import routes
from scbtheory.verification.bundles import Rising
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import relative_gap, worse


def statement(s: Rising):
    """The invariant, the speed of u, and u(t) by way of E: E where u starts, E's rate, u where E is."""
    return rise(s, invariant(s), s.c**2, 2 * s.omega)


def invariant(s):
    return s.K_P * s.beta**2 - s.K_Q * s.alpha**2


def rise(s, conserved, c2, k, end=1):
    """With speed (end − u)√(c² + k²u²); E solves Ė = R E."""
    root, R = s.sqrt(c2 + k**2 * s.u**2), s.sqrt(c2 + k**2)
    odds = (c2 + k**2 * s.u + R * root) / (1 - s.u)
    shift = c2 * k**2
    return conserved, (end - s.u) * root, odds, R, (s.E**2 - 2 * c2 * s.E - shift) / (s.E**2 + 2 * k**2 * s.E - shift)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    r = reduction
    s = bundle(sp, K_P=r.p, K_Q=r.q, alpha=r.alpha, beta=r.beta, omega=stages.omega, u=stages.u, c=stages.C, E=1)
    conserved = statement(s)[0]

    def speed(product, c):
        return statement(changed(s, u=product, c=c))[1]

    apart = changed(s, omega=stages.k / 2, E=stages.E)

    def odds(u, root):
        """E where u starts; its root, the one that holds u, is given so that all stays rational."""
        return statement(changed(apart, u=u, sqrt=lambda x: root if x.has(stages.E) else sp.sqrt(x)))[2]

    *_, rate, product = statement(apart)
    c = r.p * r.beta**2 - r.q * r.alpha**2
    return {
        "terms of the invariant's rate": int(sp.expand(stages.conserved_residual(conserved)) != 0),
        "terms of its rate under the drift": int(sp.expand(stages.drift_residual(conserved)) != 0),
        "terms of the speed": int(sp.expand(stages.speed_residual(speed, c)) != 0),
        "terms of u(t)": sum(sp.expand(x) != 0 for x in stages.trajectory_residuals(product, odds, rate)),
    }


def at_rational_points(statement):
    """Differences of quadratics are exact; u(t) is asked where it starts: E's place gives u, its rate u's speed."""
    drifts, speeds, places = [], [], []
    E = sp.Symbol("E", positive=True)
    third, half = sp.Rational(1, 3), sp.Rational(1, 2)
    for K_P, K_Q, alpha, beta in ((third, half, third, half), (half, third, half / 5, 1), (third / 4, third, 1, -half)):
        omega = sp.sqrt(K_P * K_Q)

        def at(a, b, u=0, E=E, K_P=K_P, K_Q=K_Q, omega=omega):
            c = K_P * b**2 - K_Q * a**2
            return statement(bundle(sp, K_P=K_P, K_Q=K_Q, alpha=a, beta=b, omega=omega, u=u, c=c, E=E))

        rest = 1 - alpha * beta
        velocity = K_P * beta * rest, K_Q * alpha * rest
        slopes = [(at(alpha + a, beta + b)[0] - at(alpha - a, beta - b)[0]) / 2 for a, b in ((1, 0), (0, 1))]
        drifts.append(abs(slopes[0] * velocity[0] + slopes[1] * velocity[1]))
        speed = beta * velocity[0] + alpha * velocity[1]
        _, stated, odds, rate, product = at(alpha, beta, alpha * beta)
        speeds.append(size(stated - speed))
        places += [
            size(product.subs(E, odds) - alpha * beta),
            size((sp.diff(product, E) * rate * E).subs(E, odds) - speed),
        ]
    return {"drift of the invariant": max(drifts), "difference of the speed": max(speeds), "of u(t)": max(places)}


def size(number) -> float:
    """The modulus of a number of fractions and roots, 0 only where it is 0."""
    return 0.0 if sp.expand(sp.numer(sp.together(number))) == 0 else abs(complex(number.n()))


def integrated(statement):
    """Both sides of c = 0: the drift-free flow, against the stated u(t) and the package's."""
    found = {"u(t), relative": 0.0, "the package's u(t), relative": 0.0, "speed, relative": 0.0, "invariant": 0.0}
    K_P, K_Q = CONSTANTS.values()
    for alpha, beta in ((0.1, 0.2), (0.3, 0.02), (0.05, 0.05 * (0.5 / 0.2) ** 0.5)):
        c, omega, t = K_P * beta**2 - K_Q * alpha**2, (K_P * K_Q) ** 0.5, np.linspace(0, 25, 26)
        path = solve_ivp(
            lambda _, y: np.array([K_P * y[1], K_Q * y[0]]) * (1 - y[0] * y[1]), (0, 25), (alpha, beta),
            t_eval=t, method="DOP853", rtol=1e-13, atol=1e-15,
        ).y  # fmt: skip
        values = {"K_P": K_P, "K_Q": K_Q, "omega": omega, "u": alpha * beta, "c": c}
        stated = []
        for time in t:
            s = bundle(math, alpha=alpha, beta=beta, E=1.0, **values)
            _, _, odds, R, _ = statement(s)
            s.E = odds * math.exp(R * time)
            stated.append(statement(s)[4])
        conserved = [statement(bundle(math, alpha=a, beta=b, E=1.0, **values))[0] for a, b in path.T]
        speeds = [statement(bundle(math, alpha=a, beta=b, E=1.0, **{**values, "u": a * b}))[1] for a, b in path.T]
        true = [(1 - a * b) * (K_P * b**2 + K_Q * a**2) for a, b in path.T]
        package = scb.dynamics.product(t=t, u=alpha * beta, c=c, T=1e4, K_P=K_P, K_Q=K_Q)
        here = (
            relative_gap(path[0] * path[1], stated),
            relative_gap(package, stated),
            relative_gap(true, speeds),
            float(np.ptp(conserved) / alpha**2),
        )
        found = {name: worse(old, new) for (name, old), new in zip(found.items(), here, strict=True)}
    return found


# --- controls ------------------------------------------------------------------------------------


def rate_omega(s: Rising):
    return rise(s, invariant(s), s.c**2, s.omega)


def exchanged(s: Rising):
    return rise(s, s.K_Q * s.beta**2 - s.K_P * s.alpha**2, s.c**2, 2 * s.omega)


def always_logistic(s: Rising):
    return rise(s, invariant(s), 0 * s.c, 2 * s.omega)


def saturation_at_two(s: Rising):
    return rise(s, invariant(s), s.c**2, 2 * s.omega, end=2)


CLAIM = Claim(
    id="S2",
    title="Stage 2: a conserved quantity, and the rise of u = αβ",
    text=r"""
Without the drift, $c = K_P\beta^2 - K_Q\alpha^2$ is constant, and $u = \alpha\beta$ obeys

$$
\dot u = (1 - u)\sqrt{c^2 + 4\omega^2u^2},
$$ (eq-rise)

so that, with $\Gamma = \big(c^2 + 4\omega^2u + \sqrt{(c^2 + 4\omega^2)(c^2 + 4\omega^2u^2)}\big)/(1 - u)$, which grows
at the rate $\sqrt{c^2 + 4\omega^2}$ from where $u$ starts,

$$
u = \frac{\Gamma^2 - 2c^2\Gamma - 4c^2\omega^2}{\Gamma^2 + 8\omega^2\Gamma - 4c^2\omega^2} .
$$ (eq-rise-solved)

For $c = 0$ it is logistic with rate $2\omega$.
""",
    assumptions="the reduced flow without the drift 1/T, which moves c at the rate 2K_Pβ(1 − β)/T; 0 ≤ u < 1",
    scope="Proved for all positive rates; with the drift, $c$ moves at the rate $2K_P\\beta(1-\\beta)/T$: it rises by "
    "at most $K_P\\,t/(2T)$, and falls where $\\beta > 1$.",
    nature="theorem",
    chapter="stage_two",
    rests_on=("R2",),
    statement=statement,
    routes=(
        Route("symbolic", RATES, derived),
        Route("exact", "invariant, speed and u(t) with its slope at three rational points", at_rational_points),
        routes.numeric(f"the drift-free flow integrated from c > 0, c < 0 and c = 0; {AT}", integrated),
    ),
    controls=(
        Control("rate ω for 2ω", rate_omega),
        Control("K_P and K_Q exchanged in c", exchanged),
        Control("logistic whatever c is", always_logistic),
        Control("saturation at αβ = 2", saturation_at_two),
    ),
)
