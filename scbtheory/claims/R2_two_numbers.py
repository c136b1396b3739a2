r"""R2. Gradient descent from scratch is a flow of two numbers."""

from __future__ import annotations

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

import scbtheory as scb
from scbtheory.claims._reduction import (
    ENUMERATED,
    FROM_LOSS,
    SCRATCH,
    descent_direction,
    enumerated,
    floating_point,
    plane,
    scalar_point,
    velocity,
)
from scbtheory.derivations import reduction as sym
from scbtheory.verification import routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import gap, relative_gap


def statement(s):
    """The velocities of alpha and of beta."""
    return velocity(s)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    pairs = zip(("α", "β"), sym.velocity(), statement(sym), strict=True)
    return {f"terms of {name}'s velocity": int(sp.expand(x - y) != 0) for name, x, y in pairs}


def one_step(s, statement):
    """One discrete step of size 1/3 on the matrices is the stated step of the coordinates, as fractions."""
    V, A = plane(s)[0], s.columns(plane, 2)
    G_A, G_V = descent_direction(s, A, V)
    d_alpha, d_beta = statement(s)
    after = s.at(s.alpha + d_alpha / 3, s.beta + d_beta / 3)
    return {"A after a step": gap(A - G_A / 3, after.columns(plane, 2)), "V": gap(V - G_V / 3, plane(after)[0])}


def by_flow(statement):
    """The matrix flow's coordinates and the package's flow, against the stated velocity integrated."""
    task, _ = floating_point()
    t = np.linspace(0.0, 40.0, 41)
    constants = {"K_P": task.K_P, "K_Q": task.K_Q, "T": task.context_length}
    path = scb.dynamics.matrix_flow(task, scb.Parameters.initial(task), t)
    full = np.array([scb.dynamics.reduce(task, theta) for theta in path])[:, :2].T
    stated = solve_ivp(
        lambda _, y: statement(scalar_point(task, *y)), (0, t[-1]), (0.0, 0.0), t_eval=t,
        method="DOP853", rtol=1e-13, atol=1e-15,
    ).y  # fmt: skip
    return {
        "all matrices, relative": relative_gap(full, stated),
        "the package's flow, relative": relative_gap(scb.dynamics.flow(t=t, **constants), stated),
    }


def by_descent(statement):
    """The matrices' descent and the package's reduced one, against the stated recursion, over 400 steps."""
    task, _ = floating_point()
    constants = {"K_P": task.K_P, "K_Q": task.K_Q, "T": task.context_length}
    path = scb.dynamics.matrix_descend(task, scb.Parameters.initial(task), steps=400, step_size=0.1)
    full = np.array([scb.dynamics.reduce(task, theta) for theta in path])[:, :2]
    stated = np.zeros((401, 2))
    for n in range(400):
        stated[n + 1] = stated[n] + 0.1 * np.array(statement(scalar_point(task, *stated[n])))
    reduced = np.transpose(scb.dynamics.descend(steps=400, step_size=0.1, **constants))
    return {
        "all matrices, relative": relative_gap(full, stated),
        "the package's descent, relative": relative_gap(reduced, stated),
    }


# --- controls ------------------------------------------------------------------------------------


def without_drift(s):
    d_alpha, d_beta = velocity(s)
    return d_alpha, d_beta - (1 - s.beta) / s.T


def drift_that_stays(s):
    d_alpha, d_beta = velocity(s)
    return d_alpha, d_beta + s.beta / s.T


def exchanged(s):
    rest = 1 - s.alpha * s.beta
    return s.K_Q * s.beta * rest, s.K_P * s.alpha * rest + (1 - s.beta) / s.T


def saturation_in_alpha(s):
    rest = 1 - s.alpha**2
    return s.K_P * s.beta * rest, s.K_Q * s.alpha * rest + (1 - s.beta) / s.T


CLAIM = Claim(
    id="R2",
    title="Gradient descent from scratch is a flow of two numbers",
    text=r"""
$$
\dot\alpha = K_P\,\beta\,(1 - \alpha\beta), \qquad
\dot\beta = K_Q\,\alpha\,(1 - \alpha\beta) + \tfrac1T (1 - \beta).
$$ (eq-reduced)
""",
    assumptions=SCRATCH,
    scope="Proved for every $N$ and $T$, from the loss of one sample.",
    nature="theorem",
    chapter="reduction",
    rests_on=("G5", "R1"),
    statement=statement,
    routes=(
        Route("symbolic", FROM_LOSS, derived),
        enumerated(one_step, "one discrete step of all matrices, " + ENUMERATED),
        routes.numeric("the full matrix flow from scratch to t = 40, N = 4, T = 60", by_flow),
        routes.numeric("400 discrete steps of all matrices, N = 4, T = 60", by_descent, limit=1e-12),
    ),
    controls=(
        Control("the drift 1/T dropped", without_drift),
        Control("a drift that does not fade as β grows", drift_that_stays),
        Control("K_P and K_Q exchanged", exchanged),
        Control("saturation at α² = 1", saturation_in_alpha),
    ),
)
