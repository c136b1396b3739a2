r"""S5. The creep: what equal steps end in, along αβ = 1."""

from __future__ import annotations

import math
from functools import cache
from types import SimpleNamespace

import mpmath as mp
import sympy as sp
from scipy.integrate import solve_ivp

import scbtheory as scb
from scbtheory.claims._scalars import (
    AT_BOTH,
    CONSTANTS,
    LENGTHS,
    OTHERS,
    RATES,
    SCRATCH,
    changed,
    digits,
    floats,
    slope,
    slopes,
    symbols,
    task_floats,
)
from scbtheory.derivations import reduction, stages
from scbtheory.verification.bundles import Scalars
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import worst


def statement(s: Scalars):
    """Two terms of the slow eigenvalue, the speed of beta along αβ = 1, and the antiderivative of its inverse."""
    return quantities(s, s.K_P, s.K_Q, s.T)


def quantities(s, K_P, K_Q, T):
    first = -K_P / (K_P + K_Q) / T
    second = K_P * K_Q / (K_P + K_Q) ** 3 / T**2
    alpha, b = 1 / s.beta, s.beta
    speed = (1 - b) / T * K_P * b**2 / (K_P * b**2 + K_Q * alpha**2)
    tail = s.log(b / (1 - b) * s.side) - 1 / b - 1 / (2 * b**2) - 1 / (3 * b**3)
    return first, second, speed, T * (K_Q / K_P * tail - s.log((1 - b) * s.side))


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    b = sp.Symbol("b", positive=True)
    first, second, speed, time = statement(symbols(beta=b, side=1))
    eigenvalue, (_, found) = stages.slow_eigenvalue(), stages.creep()
    drift, equal = reduction.d, {"simultaneous": True}
    return {
        "terms of the eigenvalue": int(
            sp.simplify((eigenvalue[0] * drift).subs(reduction.EQUAL, **equal) - first) != 0
        ),
        "terms of its next order": int(
            sp.simplify((eigenvalue[1] * drift**2).subs(reduction.EQUAL, **equal) - second) != 0
        ),
        "terms of the speed": int(
            sp.simplify((found * drift).subs(reduction.EQUAL, **equal).subs(reduction.beta, b) - speed) != 0
        ),
        "terms of the duration": int(sp.simplify(sp.diff(time, b) * speed - 1) != 0),
    }


def duration(statement, s, start, end):
    """The stated time from one beta to another; ``side`` keeps the logarithms' arguments positive."""
    side = 1 if start < 1 else -1
    times = [statement(changed(s, beta=b, side=side))[3] for b in (start, end)]
    return times[1] - times[0]


@cache
def path(T, start, time, K_P, K_Q):
    """beta and its velocity after ``time`` from αβ = 1, integrated in w = T(1 − αβ), in which nothing cancels."""

    def velocity(_, y):
        beta, w = y
        alpha = (1 - w / T) / beta
        return K_Q * alpha * w + 1 - beta, -T * (w * (K_P * beta**2 + K_Q * alpha**2) + alpha * (1 - beta))

    solution = solve_ivp(velocity, (0, time / T), (start, 0.0), method="LSODA", rtol=1e-12, atol=1e-14)
    end = solution.y[:, -1]
    return end[0], velocity(0, end)[0] / T


def order_distances(statement):
    """Orders of the eigenvalue's two terms, and of where beta is, and how fast, after the stated time.

    The largest distances of two pairs of constants.
    """
    return worst(_distances(statement, constants) for constants in (CONSTANTS, OTHERS))


def _distances(statement, constants):
    errors = {"eigenvalue, one term": [], "eigenvalue, two terms": [], "place": [], "speed": []}
    with mp.workdps(50):
        for T in LENGTHS:
            s = digits(T, beta=mp.mpf(2), side=-1, **constants)
            node = mp.matrix([[-s.K_P, -s.K_P], [-s.K_Q, -s.K_Q - 1 / s.T]])
            slow = max(mp.re(x) for x in mp.eig(node, left=False, right=False))
            first, second, *_ = statement(s)
            errors["eigenvalue, one term"].append(slow - first)
            errors["eigenvalue, two terms"].append(slow - first - second)
    for T in LENGTHS:
        s = floats(T=T, **constants)
        time = min(abs(duration(statement, s, 1.2, 1.05)), 10.0 * T)
        beta, speed = path(T, 1.2, time, **constants)
        stated = statement(SimpleNamespace(**vars(s), beta=beta, side=-1 if beta > 1 else 1))[2]
        errors["place"].append(beta - 1.05)
        errors["speed"].append(speed / stated - 1)
    expected = {"eigenvalue, one term": -2, "eigenvalue, two terms": -3, "place": -1, "speed": -1}
    return {f"{name}: distance of a slope": abs(slope(errors[name]) - order) for name, order in expected.items()}


@cache
def slow_decay():
    """(task, rate): how fast all matrices approach (Q, P) along αβ = 1, once the fast mode is gone, N = 3, T = 50."""
    task = scb.SCB.random(3, 50, 2, seed=17)
    start = scb.dynamics.lift(task, 1 / 1.0001, 1.0001)
    reached = scb.dynamics.matrix_flow(task, start, [60.0, 260.0])
    rest = [scb.dynamics.reduce(task, theta).beta - 1 for theta in reached]
    return task, math.log(rest[1] / rest[0]) / 200


def all_matrices(statement):
    task, rate = slow_decay()
    first, second, speed, _ = statement(task_floats(task, beta=1.2, side=-1))
    here = {"K_P": task.K_P, "K_Q": task.K_Q, "T": 50}
    stated = duration(statement, task_floats(task), 1.2, 1.1)
    return {
        "rate of all matrices, relative": abs((first + second) / rate - 1),
        "the package's speed, relative": abs(speed / scb.dynamics.creep_velocity(1.2, **here) - 1),
        "the package's duration, relative": abs(stated / scb.dynamics.creep_time(1.2, 1.1, **here) - 1),
        "the package's rate, relative": abs(scb.dynamics.creep_rate(**here) / first - 1),
    }


# --- controls ------------------------------------------------------------------------------------


def exchanged(s: Scalars):
    return quantities(s, s.K_Q, s.K_P, s.T)


def one_over_T_squared(s: Scalars):
    return quantities(s, s.K_P, s.K_Q, s.T**2)


def not_held_back(s: Scalars):
    return quantities(s, s.K_P, 0 * s.K_Q, s.T)


def turned(s: Scalars):
    first, second, speed, time = statement(s)
    return first, -second, speed, time


CLAIM = Claim(
    id="S5",
    title="The creep along αβ = 1",
    text=r"""
On the slow manifold near $\alpha\beta = 1$,

$$
\dot\beta = \frac{1 - \beta}{T}\cdot\frac{K_P\,\beta^2}{K_P\,\beta^2 + K_Q\,\alpha^2}\,\big(1 + O(1/T)\big),
$$ (eq-creep)

and the slow eigenvalue at $(1, 1)$ is

$$
\lambda_{\text{slow}} = -\frac1T\,\frac{K_P}{K_P + K_Q} + \frac{1}{T^2}\,\frac{K_PK_Q}{(K_P + K_Q)^3} + O(T^{-3}).
$$ (eq-slow-eigenvalue)
""",
    assumptions=f"{SCRATCH}; near αβ = 1, β > 0",
    scope="Derived as series in $1/T$ for all positive $K_P$ and $K_Q$; the orders of the errors are measured.",
    nature="asymptotic",
    chapter="stage_two",
    rests_on=("R2", "R4"),
    statement=statement,
    routes=(
        Route(
            "symbolic",
            f"{RATES}: implicit series of the eigenvalue, invariance of the slow curve at order 1/T",
            derived,
        ),
        slopes(
            f"slopes −2 and −3 of the eigenvalue's error, −1 of place and speed, T = 10², …, 10⁸; {AT_BOTH}",
            order_distances,
            {
                f"{name}: distance of a slope": 2e-3
                for name in ("eigenvalue, one term", "eigenvalue, two terms", "speed")
            }
            | {"place: distance of a slope": 0.05},
        ),
        Route(
            "numeric",
            "decay of all matrices towards (Q, P), N = 3, T = 50; the package's creep",
            all_matrices,
            {
                "rate of all matrices, relative": 2e-3,
                "the package's speed, relative": 1e-12,
                "the package's duration, relative": 1e-12,
                "the package's rate, relative": 1e-12,
            },
            margin=3.0,
        ),
    ),
    controls=(
        Control("K_P and K_Q exchanged", exchanged),
        Control("1/T² for 1/T", one_over_T_squared),
        Control("beta relaxing at 1/T, not held back by alpha", not_held_back),
        Control("the second term's sign turned", turned),
    ),
)
