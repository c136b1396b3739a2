r"""R1. A plane that gradient descent never leaves."""

from __future__ import annotations

import scbtheory as scb
from scbtheory.claims._reduction import (
    FROM_LOSS,
    SCRATCH,
    descent_direction,
    enumerated,
    floating_point,
    plane,
)
from scbtheory.derivations import reduction as sym
from scbtheory.verification import routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import gap


def statement(s):
    """V and its direction, a and its direction."""
    return plane(s)


# --- routes --------------------------------------------------------------------------------------


def off_line(found, direction):
    """What of an array is left after its projection on a direction."""
    factor = (found * direction).sum() / (direction * direction).sum()
    return gap(found, factor * direction)


def by_enumeration(s, statement):
    V, dV = statement(s)[:2]
    A, dA = s.columns(statement, 2), s.columns(statement, 3)
    G_A, G_V = descent_direction(s, A, V)
    return {"G_V off P'": off_line(G_V, dV), "G_A off Q'": off_line(G_A, dA)}


def by_flow(statement):
    """How far the package's matrix flow and its descent leave the stated set, from a point of it."""
    task, s = floating_point()
    V, dV = statement(s)[:2]
    A, dA = s.columns(statement, 2), s.columns(statement, 3)
    start = scb.Parameters(A, V)
    flow = scb.dynamics.matrix_flow(task, start, [1.0, 8.0])
    descent = scb.dynamics.matrix_descend(task, start, steps=100, step_size=0.1, balanced=True)[-1:]
    return {
        f"distance from the plane after {name}": max(max(off_line(x.A - A, dA), off_line(x.V - V, dV)) for x in path)
        for name, path in (("the flow", flow), ("100 steps", descent))
    }


# --- controls ------------------------------------------------------------------------------------


def without_background_V(s):
    *_, a, da = plane(s)
    return s.beta * s.P, s.P, a, da


def without_background_a(s):
    V, dV, *_ = plane(s)
    return V, dV, s.alpha * s.attended, s.attended


def along_the_square(s):
    V, dV, a, da = plane(s)
    return V - s.beta * dV + s.beta * dV @ dV, dV @ dV, a, da


CLAIM = Claim(
    id="R1",
    title="A plane that gradient descent never leaves",
    text=r"""
The plane

$$
V = \mu 1^\top + \beta P', \qquad A = \tfrac1T 11^\top + \alpha Q'
$$ (eq-plane)

is invariant under the flow $\dot V = -\eta_V G_V$, $\dot A = -\eta_A G_A$ of {claim}`G5`, for all positive $\eta_V$ and
$\eta_A$, and under every discrete step of it.
""",
    assumptions=SCRATCH,
    scope="Proved for every $N$ and $T$, from the loss of one sample.",
    nature="theorem",
    chapter="reduction",
    rests_on=("G5",),
    statement=statement,
    routes=(
        Route("symbolic", FROM_LOSS, lambda statement: {"terms off the plane": sym.leaves_plane(*statement(sym))}),
        enumerated(by_enumeration),
        routes.numeric("matrix flow to t = 8 and 100 balanced discrete steps, N = 4, T = 60", by_flow),
    ),
    controls=(
        Control("V = βP: the background μ1' forgotten", without_background_V),
        Control("A = αQ: the uniform background forgotten", without_background_a),
        Control("V along P'P'", along_the_square),
    ),
)
