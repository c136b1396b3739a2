r"""Claims S5 to S7: the creep that equal steps end in, and rounding with refitting, which replaces it."""

from __future__ import annotations

import math
from functools import cache, partial
from itertools import combinations_with_replacement
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.claims._scalars import (
    AT,
    CONSTANTS,
    LENGTHS,
    RATES,
    SCRATCH,
    digits,
    floats,
    slope,
    slopes,
    symbols,
    task_floats,
)
from scbtheory.claims.reduction import FROM_LOSS, SMALL, descent_direction, points
from scbtheory.derivations import reduction, stages
from scbtheory.derivations.algebra import normal
from scbtheory.verification import routes
from scbtheory.verification.instances import case, exact, gap, relative_gap

# --- S5: the creep -------------------------------------------------------------------------------


def creep_statement(s, exchanged=False, power=1, slowed=True, sign=1):
    """Two terms of the slow eigenvalue, the speed of beta along αβ = 1, and the antiderivative of its inverse."""
    K_P, K_Q = (s.K_Q, s.K_P) if exchanged else (s.K_P, s.K_Q)
    K_Q = K_Q if slowed else 0 * K_Q
    first = -K_P / (K_P + K_Q) / s.T**power
    second = sign * K_P * K_Q / (K_P + K_Q) ** 3 / s.T ** (2 * power)
    alpha, b = 1 / s.beta, s.beta
    speed = (1 - b) / s.T**power * K_P * b**2 / (K_P * b**2 + K_Q * alpha**2)
    tail = s.log(b / (1 - b) * s.side) - 1 / b - 1 / (2 * b**2) - 1 / (3 * b**3)
    return first, second, speed, s.T**power * (K_Q / K_P * tail - s.log((1 - b) * s.side))


def _creep_symbolic(statement):
    b = sp.Symbol("b", positive=True)
    first, second, speed, time = statement(symbols(beta=b, side=1))
    eigenvalue, (_, found) = stages.slow_eigenvalue(), stages.creep()
    drift, equal = reduction.d, {"simultaneous": True}
    return sum(
        sp.simplify(x) != 0
        for x in (
            (eigenvalue[0] * drift).subs(reduction.EQUAL, **equal) - first,
            (eigenvalue[1] * drift**2).subs(reduction.EQUAL, **equal) - second,
            (found * drift).subs(reduction.EQUAL, **equal).subs(reduction.beta, b) - speed,
            sp.diff(time, b) * speed - 1,
        )
    )


def duration(statement, s, start, end):
    """The stated time from one beta to another; ``side`` keeps the logarithms' arguments positive."""
    side = 1 if start < 1 else -1
    times = [statement(SimpleNamespace(**{**vars(s), "beta": b, "side": side}))[3] for b in (start, end)]
    return times[1] - times[0]


@cache
def _creep_path(T, start, time):
    """beta and its velocity after ``time`` from αβ = 1, integrated in w = T(1 − αβ), in which nothing cancels."""
    K_P, K_Q = CONSTANTS["K_P"], CONSTANTS["K_Q"]

    def velocity(_, y):
        beta, w = y
        alpha = (1 - w / T) / beta
        return K_Q * alpha * w + 1 - beta, -T * (w * (K_P * beta**2 + K_Q * alpha**2) + alpha * (1 - beta))

    path = solve_ivp(velocity, (0, time / T), (start, 0.0), method="LSODA", rtol=1e-12, atol=1e-14)
    end = path.y[:, -1]
    return end[0], velocity(0, end)[0] / T


def _creep_slopes(statement):
    """Orders of the eigenvalue's two terms, and of where beta is, and how fast, after the stated time."""
    orders = {"first": [], "second": [], "place": [], "speed": []}
    with mp.workdps(50):
        for T in LENGTHS:
            s = digits(T, beta=mp.mpf(2), side=-1)
            node = mp.matrix([[-s.K_P, -s.K_P], [-s.K_Q, -s.K_Q - 1 / s.T]])
            slow = max(mp.re(x) for x in mp.eig(node, left=False, right=False))
            first, second, *_ = statement(s)
            orders["first"].append(slow - first)
            orders["second"].append(slow - first - second)
    for T in LENGTHS:
        s = floats(T=T, **CONSTANTS)
        time = min(abs(duration(statement, s, 1.2, 1.05)), 10.0 * T)
        beta, speed = _creep_path(T, 1.2, time)
        stated = statement(SimpleNamespace(**vars(s), beta=beta, side=-1 if beta > 1 else 1))[2]
        orders["place"].append(beta - 1.05)
        orders["speed"].append(speed / stated - 1)
    expected = {"first": -2, "second": -3, "place": -1, "speed": -1}
    return max(abs(slope(orders[name]) - order) for name, order in expected.items())


@cache
def _slow_decay():
    """(task, rate): how fast all matrices approach (Q, P) along αβ = 1, once the fast mode is gone, N = 3, T = 50."""
    task = scb.SCB.random(3, 50, 2, seed=17)
    start = scb.dynamics.lift(task, 1 / 1.0001, 1.0001)
    path = scb.dynamics.matrix_flow(task, start, [60.0, 260.0])
    rest = [scb.dynamics.reduce(task, theta).beta - 1 for theta in path]
    return task, math.log(rest[1] / rest[0]) / 200


def _creep_matrices(statement):
    task, rate = _slow_decay()
    first, second, speed, _ = statement(task_floats(task, beta=1.001, side=-1))
    package = scb.dynamics.creep_velocity(1.001, K_P=task.K_P, K_Q=task.K_Q, T=50)
    here = {"K_P": task.K_P, "K_Q": task.K_Q, "T": 50}
    durations = scb.dynamics.creep_time(1.2, 1.1, **here), duration(statement, task_floats(task), 1.2, 1.1)
    return max(
        abs((first + second) / rate - 1), abs(speed / package - 1), abs(durations[1] / durations[0] - 1),
        abs(scb.dynamics.creep_rate(**here) / first - 1),
    )  # fmt: skip


register(
    Claim(
        "S5",
        "The creep along αβ = 1",
        r"\lambda_{\text{slow}} = -\frac{1}{T}\frac{K_P}{K_P+K_Q} + \frac{1}{T^2}\frac{K_PK_Q}{(K_P+K_Q)^3} "
        r"+ O(T^{-3}),\qquad \dot\beta = \frac{1-\beta}{T}\,\frac{K_P\beta^2}{K_P\beta^2+K_Q\alpha^2}\,(1+O(\tfrac1T))",
        f"{SCRATCH}; near αβ = 1, β > 0",
        creep_statement,
        (
            Route(
                "symbolic",
                f"{RATES}: implicit series of the eigenvalue, invariance of the slow curve at order 1/T",
                _creep_symbolic,
            ),
            slopes(
                f"slopes −2 and −3 of the eigenvalue's error, −1 of place and speed, T = 10², …, 10⁸; {AT}",
                _creep_slopes,
            ),
            Route(
                "numeric",
                "decay of all matrices towards (Q, P), N = 3, T = 50; the package's creep",
                _creep_matrices,
                limit=2e-3,
                margin=3.0,
                unit="relative difference",
            ),
        ),
        (
            Control("K_P and K_Q exchanged", partial(creep_statement, exchanged=True)),
            Control("1/T² for 1/T", partial(creep_statement, power=2)),
            Control("beta relaxing at 1/T, not held back by alpha", partial(creep_statement, slowed=False)),
            Control("the second term's sign turned", partial(creep_statement, sign=-1)),
        ),
    )
)

# --- S6: rounding --------------------------------------------------------------------------------


def rounding_statement(s, mixed=True, spread=lambda s: s.alpha * s.q_min, subtracted=True, total=lambda s: s.alpha):
    """Both ends of the thresholds that keep the support; attention above the background, and its sum."""
    a = s.uniform + s.alpha * (s.attended - s.uniform)
    low = ((1 - s.alpha) if mixed else 1) / s.T
    background = (1 - s.alpha) / s.T
    return low, low + spread(s), (a - background * s.one_T if subtracted else a), total(s)


def _column(q, T, alpha, one_T):
    return SimpleNamespace(alpha=alpha, T=T, q_min=q[q > 0].min(), attended=q, one_T=one_T, uniform=one_T / T)


def _rounding_symbolic(statement):
    q_min = sp.Symbol("q_min", positive=True)
    s = SimpleNamespace(
        alpha=reduction.alpha, T=reduction.T, q_min=q_min, attended=reduction.attended,
        one_T=stages.s.one_T, uniform=reduction.uniform,
    )  # fmt: skip
    return sum(x != 0 for x in stages.rounding_residuals(*statement(s), q_min))


def _rounding_exact(statement):
    """The ends as the largest attention off the support and the least on it, for alpha below, at and above 1."""
    worst = 0
    for s in points():
        for k in range(s.N):
            q = s.seen_from(k).q
            for alpha in (s.alpha, s.alpha / s.alpha, 2 * s.alpha):
                column = _column(q, s.T, alpha, s.one_T)
                a = s.uniform + alpha * (q - s.uniform)
                low, high, signal, total = statement(column)
                if (q == 0).any():
                    worst = max(worst, gap(a[q == 0].max(), low))
                worst = max(worst, gap(a[q > 0].min(), high), gap(signal, total * q))
    return worst


def _rounding_numeric(statement):
    """The package's rounding on all columns: thresholds inside keep the support, those outside do not; Q comes back."""
    task, worst = case(5, 400, seed=13, sparsity=3).task, 0.0
    for alpha in (0.05, 0.7, 1.3):
        A = scb.dynamics.lift(task, alpha, 0.5).A
        for k in range(task.vocab_size):
            q = task.Q[:, [k]]
            low, high, signal, total = statement(_column(q, 400, alpha, np.ones((400, 1))))
            package = scb.dynamics.rounding_interval(alpha=alpha, q_min=q[q > 0].min(), T=400)
            worst = max(worst, gap(package, (low, high)), gap(signal / total, q))
            for share, keeps in ((-0.01, False), (0.01, True), (0.5, True), (0.99, True), (1.01, False)):
                threshold = low + share * (high - low)
                kept = scb.dynamics.support(A[:, [k]], threshold)
                worst = max(worst, float(np.array_equal(kept, q > 0) != keeps))
        smallest = scb.dynamics.rounding_interval(alpha=alpha, q_min=task.Q[task.Q > 0].min(), T=400)
        worst = max(worst, gap(scb.dynamics.recover(task, A, sum(smallest) / 2), task.Q))
    return worst


register(
    Claim(
        "S6",
        "Rounding: a threshold keeps the support, and the background's removal gives back Q",
        r"\alpha > 0:\quad a^{(k)}_t > \theta \Leftrightarrow q^{(k)}_t > 0 \ \text{ for }\ "
        r"\tfrac{1-\alpha}{T} < \theta < \tfrac{1-\alpha}{T} + \alpha q_{\min};\qquad "
        r"\frac{a - \frac{1-\alpha}{T}1}{1^\top(a - \frac{1-\alpha}{T}1)} = q",
        "on the plane; alpha > 0, above 1 as well",
        rounding_statement,
        (
            Route("symbolic", routes.ALL_SIZES, _rounding_symbolic),
            Route(
                "exact",
                "every column of small tasks in fractions, (N, T) = "
                + ", ".join(f"{N}×{T}" for N, T in SMALL)
                + ", α = 2/3, 1, 4/3",
                _rounding_exact,
                unit="difference",
            ),
            routes.numeric(
                "the package at thresholds inside and outside, N = 5, T = 400, α = 0.05, 0.7, 1.3", _rounding_numeric
            ),
        ),
        (
            Control("the background 1/T, as at the start", partial(rounding_statement, mixed=False)),
            Control("width q_min without alpha", partial(rounding_statement, spread=lambda s: s.q_min)),
            Control("normalising with the background left in", partial(rounding_statement, subtracted=False)),
            Control("background removed, but not normalised", partial(rounding_statement, total=lambda s: 1)),
        ),
    )
)

# --- S7: refitting -------------------------------------------------------------------------------


def held_statement(s, rate=lambda s: s.K_Q + s.one / s.T, target=lambda s: s.P, least=lambda s: s.one / s.sparsity):
    """V's rate towards its target with attention held at Q, the target, and the least rate at sparsity s."""
    return rate(s), target(s), least(s)


def _held_symbolic(statement):
    s = SimpleNamespace(
        K_Q=reduction.K_Q, T=reduction.T, one=sp.Integer(1), sparsity=stages.sparsity, sqrt=sp.sqrt,
        P=reduction.P, mu=reduction.mu, one_N=reduction.one_N,
    )  # fmt: skip
    rate, target, least = statement(s)
    stated, found = normal(rate * (target - stages.s.V), stages.s.ALWAYS), stages.held_velocity()
    unequal = [sp.simplify(stated.get(w, 0) - found.get(w, 0)) != 0 for w in {*stated, *found}]
    return sum(unequal) + (sp.simplify(least - stages.least_square()) != 0)


@cache
def _held_gradients():
    """Exact points with an admissible V, and the enumerated gradient in V at A = Q."""
    found = []
    for s, (N, T) in zip(points(), SMALL, strict=True):
        V = exact(N, T, seed=7 * N + T, admissible=True).V
        found.append((s, V, descent_direction(s, s.Q, V)[1]))
    return found


def _held_exact(statement):
    worst = 0
    for s, V, G_V in _held_gradients():
        for sparsity in (1, 2, 3, 4):
            one = s.alpha / s.alpha
            names = {"K_Q": s.K_Q, "T": s.T, "P": s.P, "mu": s.mu, "one_N": s.one_N}
            rate, target, least = statement(
                SimpleNamespace(one=one, sparsity=sparsity, sqrt=lambda x: float(x) ** 0.5, **names)
            )
            squares = (
                sum(one * cuts.count(n) ** 2 / 144 for n in range(sparsity))
                for cuts in combinations_with_replacement(range(sparsity), 12)
            )
            worst = max(worst, gap(-G_V, rate * (target - V)), gap(min(squares), least))
    return worst


def _held_numeric(statement):
    """300 steps of the package's descent with A = Q held, its formula, and the least square found by SLSQP."""
    instance = case(4, 60, seed=9, sparsity=3)
    task, V = instance.task, instance.numbers.mu @ np.ones((1, 4))
    s = SimpleNamespace(
        K_Q=task.K_Q, T=60, one=1.0, sparsity=3, sqrt=math.sqrt,
        P=instance.numbers.P, mu=instance.numbers.mu, one_N=np.ones((4, 1)),
    )  # fmt: skip
    rate, target, least = statement(s)
    stated = V
    for _ in range(300):
        V = V - 0.01 * scb.population.projected_gradient(task, scb.Parameters(task.Q, V)).V
        stated = stated + 0.01 * rate * (target - stated)
    sum_to_one = {"type": "eq", "fun": lambda x: x.sum() - 1}
    found = minimize(
        lambda x: x @ x, [0.7, 0.2, 0.1], jac=lambda x: 2 * x, bounds=[(0, 1)] * 3, constraints=sum_to_one, tol=1e-14
    ).fun
    package = scb.dynamics.attention_held(t=2.0, K_Q=task.K_Q, T=60)
    return max(relative_gap(V, stated), abs(found / least - 1), abs(package / (1 - math.exp(-2 * rate)) - 1))


register(
    Claim(
        "S7",
        "Refitting: with A = Q held, V converges at a rate of at least 1/s",
        r"\dot V = -\|Q\|_\mu^2 (V - P),\quad \dot\beta = \|Q\|_\mu^2(1-\beta),\quad "
        r"\|Q\|_\mu^2 = K_Q + \tfrac1T \ge \tfrac1s,\ \text{attained by uniform } q^{(k)}",
        "every task of sparsity s; V with 1'V = 1', Vμ = μ",
        held_statement,
        (
            Route("symbolic", f"{FROM_LOSS}; completing a square for the bound", _held_symbolic),
            Route(
                "exact",
                "every context, trigger and output; all q with twelfths as entries, s = 1, …, 4",
                _held_exact,
                unit="difference",
            ),
            routes.numeric("300 steps with A = Q held, N = 4, T = 60; least rate at s = 3", _held_numeric, limit=1e-8),
        ),
        (
            Control("a rate of at least 1/s²", partial(held_statement, least=lambda s: s.one / s.sparsity**2)),
            Control("K_Q without the 1/T", partial(held_statement, rate=lambda s: s.K_Q)),
            Control("‖Q‖ for its square", partial(held_statement, rate=lambda s: s.sqrt(s.K_Q + s.one / s.T))),
            Control("V driven to independence, μ1'", partial(held_statement, target=lambda s: s.mu @ s.one_N.T)),
        ),
    )
)
