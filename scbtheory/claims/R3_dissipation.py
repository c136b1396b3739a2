r"""R3. The loss on the plane, and how fast it falls."""

from __future__ import annotations

from functools import cache

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.claims._reduction import ENUMERATED, FROM_LOSS, SCRATCH, floating_point, plane, points, velocity
from scbtheory.derivations import reduction as sym
from scbtheory.verification import routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import World, gap, relative_gap, worse

NAMES = "loss", "slope in β", "slope in α", "rate"


def statement(s):
    """The loss on the plane, its derivatives in beta and alpha, and its rate along the flow."""
    return loss(s), *falling(s, s.K_P, s.K_Q)


def loss(s):
    cross = 2 * (s.beta / s.T + s.alpha * s.beta * s.K_Q) * s.K_P
    return (1 - s.mu_squared - cross + (s.beta**2 / s.T + (s.alpha * s.beta) ** 2 * s.K_Q) * s.K_P) / 2


def falling(s, K_P, K_Q):
    d_alpha, d_beta = velocity(s)
    return -K_P * d_beta, -K_Q * d_alpha, -(K_P * d_beta**2 + K_Q * d_alpha**2)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    found, (d_alpha, d_beta) = sym.loss(), sym.velocity()
    in_alpha, in_beta = sp.diff(found, sym.alpha), sp.diff(found, sym.beta)
    truth = found, in_beta, in_alpha, in_alpha * d_alpha + in_beta * d_beta
    pairs = zip(NAMES, truth, statement(sym), strict=True)
    return {f"terms of the {name}": int(sp.expand(x - y) != 0) for name, x, y in pairs}


@cache
def enumerated_losses(index):
    """The enumerated loss at a point of the plane and one unit to each side: centre, beta ± 1, alpha ± 1."""
    s = points()[index]
    around = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
    moved = [s.at(s.alpha + a, s.beta + b) for a, b in around]
    return [World(x).loss(x.columns(plane, 2), plane(x)[0]) for x in moved]


def by_enumeration(statement):
    """The loss is quadratic in each coordinate, so central differences are its derivatives."""
    worst = dict.fromkeys(NAMES, 0)
    for index, s in enumerate(points()):
        centre, up, down, right, left = enumerated_losses(index)
        in_beta, in_alpha = (up - down) / 2, (right - left) / 2
        d_alpha, d_beta = velocity(s)
        found = (centre, in_beta, in_alpha, in_beta * d_beta + in_alpha * d_alpha)
        for name, x, y in zip(NAMES, found, statement(s), strict=True):
            worst[name] = worse(worst[name], gap(x, y))
    return worst


def by_flow(statement):
    """The package's loss on the plane, and what the matrix flow loses against the stated rate integrated."""
    task, s = floating_point()
    constants = {"K_P": task.K_P, "K_Q": task.K_Q, "T": task.context_length}
    nodes, weights = np.polynomial.legendre.leggauss(60)
    t = 15 * (nodes + 1)
    alpha, beta = scb.dynamics.flow(t=t, **constants)
    integral = 15 * weights @ [statement(s.at(*x))[3] for x in zip(alpha, beta, strict=True)]
    start = scb.Parameters.initial(task)
    (end,) = scb.dynamics.matrix_flow(task, start, [30.0])
    lost = scb.population.loss(task, end) - scb.population.loss(task, start)
    here, h = statement(s), 0.5
    on_plane = {
        (a, b): scb.population.loss(task, scb.dynamics.lift(task, s.alpha + a, s.beta + b))
        for a, b in ((0, 0), (0, h), (0, -h), (h, 0), (-h, 0))
    }
    found = (
        on_plane[0, 0],
        (on_plane[0, h] - on_plane[0, -h]) / (2 * h),
        (on_plane[h, 0] - on_plane[-h, 0]) / (2 * h),
    )
    package = scb.dynamics.plane_loss(s.alpha, s.beta, mu_squared=s.mu_squared, **constants)
    return {
        "loss and slopes, relative": relative_gap(found, here[:3]),
        "the package's plane loss, relative": relative_gap(package, here[0]),
        "loss along the flow, relative": relative_gap(lost, integral),
    }


# --- controls ------------------------------------------------------------------------------------


def cross_counted_once(s):
    return loss(s) + (s.beta / s.T + s.alpha * s.beta * s.K_Q) * s.K_P, *falling(s, s.K_P, s.K_Q)


def without_background(s):
    return loss(s) - s.beta**2 * s.K_P / (2 * s.T), *falling(s, s.K_P, s.K_Q)


def weighed_alike(s):
    d_alpha, d_beta = velocity(s)
    in_beta, in_alpha, _ = falling(s, s.K_P, s.K_Q)
    return loss(s), in_beta, in_alpha, -(d_beta**2 + d_alpha**2)


def exchanged(s):
    K_P, K_Q = s.K_Q, s.K_P
    cross = 2 * (s.beta / s.T + s.alpha * s.beta * K_Q) * K_P
    wrong = (1 - s.mu_squared - cross + (s.beta**2 / s.T + (s.alpha * s.beta) ** 2 * K_Q) * K_P) / 2
    return wrong, *falling(s, K_P, K_Q)


CLAIM = Claim(
    id="R3",
    title="The loss on the plane, and how fast it falls",
    text=r"""
On the plane,

$$
\ell = \tfrac12\left[1 - \lVert\mu\rVert^2 - 2\left(\tfrac1T + \alpha K_Q\right)\beta K_P
+ \left(\tfrac1T + \alpha^2 K_Q\right)\beta^2 K_P\right],
$$ (eq-plane-loss)

with $\partial_\beta\ell = -K_P\dot\beta$ and $\partial_\alpha\ell = -K_Q\dot\alpha$, so that along {claim}`R2`'s flow

$$
\dot\ell = -K_P\dot\beta^2 - K_Q\dot\alpha^2 \le 0 .
$$ (eq-dissipation)
""",
    assumptions=SCRATCH,
    scope="Proved for every $N$ and $T$, from the loss of one sample.",
    nature="theorem",
    chapter="reduction",
    rests_on=("G2", "R1", "R2"),
    statement=statement,
    routes=(
        Route("symbolic", FROM_LOSS, derived),
        Route("exact", ENUMERATED, by_enumeration),
        routes.numeric("the package's loss on the plane, and along the matrix flow to t = 30, N = 4, T = 60", by_flow),
    ),
    controls=(
        Control("the cross term counted once", cross_counted_once),
        Control("‖A‖² without the 1/T of uniform attention", without_background),
        Control("both velocities weighed alike in the rate", weighed_alike),
        Control("K_P and K_Q exchanged", exchanged),
    ),
)
