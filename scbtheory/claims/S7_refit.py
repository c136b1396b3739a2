r"""S7. Refitting: with attention held at the truth, the value matrix converges at a rate that no longer knows T."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations_with_replacement
from types import SimpleNamespace

import numpy as np
import sympy as sp
from scipy.optimize import minimize

import scbtheory as scb
from scbtheory.claims._reduction import FROM_LOSS, SMALL, descent_direction, points
from scbtheory.derivations import reduction, stages
from scbtheory.derivations.algebra import normal
from scbtheory.verification import routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import case, exact, gap, relative_gap


def statement(s):
    """V's rate towards its target with attention held at Q, the target, and the least rate at sparsity s."""
    return s.K_Q + s.one / s.T, s.P, s.one / s.sparsity


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    s = SimpleNamespace(
        K_Q=reduction.K_Q, T=reduction.T, one=sp.Integer(1), sparsity=stages.sparsity, sqrt=sp.sqrt,
        P=reduction.P, mu=reduction.mu, one_N=reduction.one_N,
    )  # fmt: skip
    rate, target, least = statement(s)
    stated, found = normal(rate * (target - stages.s.V), stages.s.ALWAYS), stages.held_velocity()
    return {
        "terms of the velocity": sum(sp.simplify(stated.get(w, 0) - found.get(w, 0)) != 0 for w in {*stated, *found}),
        "terms of the least rate": int(sp.simplify(least - stages.least_square()) != 0),
    }


@cache
def held_gradients():
    """Exact points with an admissible V, and the enumerated gradient in V at A = Q."""
    found = []
    for s, (N, T) in zip(points(), SMALL, strict=True):
        V = exact(N, T, seed=7 * N + T, admissible=True).V
        found.append((s, V, descent_direction(s, s.Q, V)[1]))
    return found


def by_enumeration(statement):
    velocity = bound = 0
    for s, V, G_V in held_gradients():
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
            velocity, bound = max(velocity, gap(-G_V, rate * (target - V))), max(bound, gap(min(squares), least))
    return {"velocity": velocity, "least rate": bound}


def by_descent(statement):
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
    package = [scb.dynamics.attention_held(t=2.0, K_Q=task.K_Q, T=60, eta_V=eta) for eta in (1.0, 1.5)]
    return {
        "300 steps, relative": relative_gap(V, stated),
        "least rate, relative": abs(found / least - 1),
        "the package's formula, relative": max(
            abs(beta / (1 - math.exp(-2 * eta * rate)) - 1) for beta, eta in zip(package, (1.0, 1.5), strict=True)
        ),
    }


CLAIM = Claim(
    id="S7",
    title="Refitting: with A = Q held, V converges at a rate of at least 1/s",
    text=r"""
With $A = Q$ held, for every admissible $V$,

$$
\dot V = -\lVert Q\rVert_\mu^2\,(V - P), \qquad\text{so}\quad \dot\beta = \lVert Q\rVert_\mu^2\,(1 - \beta),
$$ (eq-held)

a linear rate of $\lVert Q\rVert_\mu^2 = K_Q + 1/T \ge 1/s$, attained by $q^{(k)}$ uniform on $s$ positions.
""",
    assumptions="every task of sparsity s; V with 1'V = 1', Vμ = μ",
    scope="Proved for every $N$, $T$ and $s$.",
    nature="theorem",
    chapter="rounding",
    rests_on=("G5",),
    statement=statement,
    routes=(
        Route("symbolic", f"{FROM_LOSS}; completing a square for the bound", derived),
        Route(
            "exact",
            "every context, trigger and output; all q with twelfths as entries, s = 1, …, 4",
            by_enumeration,
        ),
        routes.numeric("300 steps with A = Q held, N = 4, T = 60; least rate at s = 3", by_descent, limit=1e-8),
    ),
    controls=(
        Control("a rate of at least 1/s²", routes.replaced(statement, 2, lambda s: s.one / s.sparsity**2)),
        Control("K_Q without the 1/T", routes.replaced(statement, 0, lambda s: s.K_Q)),
        Control("‖Q‖ for its square", routes.replaced(statement, 0, lambda s: s.sqrt(s.K_Q + s.one / s.T))),
        Control("V driven to independence, μ1'", routes.replaced(statement, 1, lambda s: s.mu @ s.one_N.T)),
    ),
)
