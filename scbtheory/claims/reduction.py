r"""Claims R1 to R3: gradient descent from scratch on two numbers, and their loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.derivations import reduction as sym
from scbtheory.verification import routes
from scbtheory.verification.instances import Numbers, World, case, exact, gap, relative_gap

SMALL = ((2, 2), (2, 3), (3, 2), (2, 4))
FROM_LOSS = f"{routes.ALL_SIZES}: from the loss of one sample, word by word"
ENUMERATED = "every context, trigger and output in fractions, (N, T) = " + ", ".join(f"{N}×{T}" for N, T in SMALL)
SCRATCH = "population gradients of G5; every task with K_P, K_Q > 0"


@dataclass(frozen=True)
class Point(Numbers):
    """Numbers with coordinates of the plane, and the constants of the reduced system by their definitions."""

    alpha: Fraction | float = 0
    beta: Fraction | float = 0

    attended = property(lambda s: s.q)
    uniform = property(lambda s: s.one_T / s.T)
    mu_squared = property(lambda s: (s.mu**2).sum())
    K_P = property(lambda s: (((s.P - s.mu) ** 2).sum(axis=0) * s.mu[:, 0]).sum())
    K_Q = property(lambda s: (((s.Q - s.one_T / s.T) ** 2).sum(axis=0) * s.mu[:, 0]).sum())

    def at(self, alpha, beta) -> Point:
        return replace(self, alpha=alpha, beta=beta)


@cache
def points() -> tuple[Point, ...]:
    """Small exact tasks at a point of the plane with one negative coordinate."""
    fields = [vars(exact(N, T, seed=7 * N + T)) for N, T in SMALL]
    names = Numbers.__dataclass_fields__
    return tuple(Point(**{n: f[n] for n in names}, alpha=Fraction(2, 3), beta=Fraction(-3, 5)) for f in fields)


@cache
def floating_point() -> tuple:
    """A package task (N = 4, T = 60) and the same as a float point."""
    instance = case(4, 60, seed=9)
    return instance.task, Point(**vars(instance.numbers), alpha=0.3, beta=-0.4)


def enumerated(discrepancy) -> Route:
    return Route(
        "exact", ENUMERATED, lambda statement: max(discrepancy(s, statement) for s in points()), unit="difference"
    )


def descent_direction(s, A, V):
    """``(G_A, G_V)`` of the enumerated loss at (A, V), preconditioned and projected: (T, N) and (N, N)."""
    plain_A, plain_V = World(replace(s, A=A, V=V)).gradient
    return (plain_A - plain_A.sum(axis=0) / s.T) / s.mu[:, 0], plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T)


# --- R1: the plane -------------------------------------------------------------------------------


def plane_statement(s, background_V=True, background_a=True, direction=lambda x: x):
    """V and its direction, a and its direction."""
    flat_V = s.mu @ s.one_N.T
    dV = direction(s.P - flat_V) if background_V else s.P
    da = s.attended - s.uniform if background_a else s.attended
    return (
        (flat_V + s.beta * dV if background_V else s.beta * dV),
        dV,
        (s.uniform + s.alpha * da if background_a else s.alpha * da),
        da,
    )


def _off_line(found, direction):
    """What of an array is left after its projection on a direction."""
    factor = (found * direction).sum() / (direction * direction).sum()
    return gap(found, factor * direction)


def _plane_exact(s, statement):
    V, dV = statement(s)[:2]
    A, dA = s.columns(statement, 2), s.columns(statement, 3)
    G_A, G_V = descent_direction(s, A, V)
    return max(_off_line(G_V, dV), _off_line(G_A, dA))


def _plane_numeric(statement):
    """How far the package's matrix flow and its descent leave the stated set, from a point of it."""
    task, s = floating_point()
    V, dV = statement(s)[:2]
    A, dA = s.columns(statement, 2), s.columns(statement, 3)
    start = scb.Parameters(A, V)
    reached = scb.dynamics.matrix_flow(task, start, [1.0, 8.0])
    reached.append(scb.dynamics.matrix_descend(task, start, steps=100, step_size=0.1, balanced=True)[-1])
    return max(max(_off_line(x.A - A, dA), _off_line(x.V - V, dV)) for x in reached)


register(
    Claim(
        "R1",
        "A plane that gradient descent never leaves",
        r"V = \mu 1^\top + \beta P',\quad A = \tfrac1T 11^\top + \alpha Q' \quad\text{is invariant under } "
        r"\dot V = -\eta_V G_V,\ \dot A = -\eta_A G_A \text{ and under every discrete step}",
        SCRATCH,
        plane_statement,
        (
            Route("symbolic", FROM_LOSS, lambda statement: sym.leaves_plane(*statement(sym))),
            enumerated(_plane_exact),
            routes.numeric("matrix flow to t = 8 and 100 balanced discrete steps, N = 4, T = 60", _plane_numeric),
        ),
        (
            Control("V = βP: the background μ1' forgotten", partial(plane_statement, background_V=False)),
            Control("A = αQ: the uniform background forgotten", partial(plane_statement, background_a=False)),
            Control("V along P'P'", partial(plane_statement, direction=lambda x: x @ x)),
        ),
    )
)

# --- R2: two numbers -----------------------------------------------------------------------------


def velocity_statement(s, drift=True, fades=True, exchanged=False, saturation=lambda s: s.alpha * s.beta):
    """The velocities of alpha and of beta."""
    K_P, K_Q = (s.K_Q, s.K_P) if exchanged else (s.K_P, s.K_Q)
    rest = 1 - saturation(s)
    inflow = ((1 - s.beta) if fades else 1) / s.T if drift else 0
    return K_P * s.beta * rest, K_Q * s.alpha * rest + inflow


def _velocity_symbolic(statement):
    return sum(sp.expand(x - y) != 0 for x, y in zip(sym.velocity(), statement(sym), strict=True))


def _velocity_exact(s, statement):
    """One discrete step of size 1/3 on the matrices is the stated step of the coordinates, as fractions."""
    V, _, A = *plane_statement(s)[:2], s.columns(plane_statement, 2)
    G_A, G_V = descent_direction(s, A, V)
    d_alpha, d_beta = statement(s)
    after = s.at(s.alpha + d_alpha / 3, s.beta + d_beta / 3)
    return max(gap(A - G_A / 3, after.columns(plane_statement, 2)), gap(V - G_V / 3, plane_statement(after)[0]))


def scalar_point(task, alpha, beta):
    return SimpleNamespace(alpha=alpha, beta=beta, K_P=task.K_P, K_Q=task.K_Q, T=task.context_length)


def _flow_numeric(statement):
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
    return max(relative_gap(full, stated), relative_gap(scb.dynamics.flow(t=t, **constants), stated))


def _descent_numeric(statement):
    """The matrices' descent and the package's reduced one, against the stated recursion, over 400 steps."""
    task, _ = floating_point()
    constants = {"K_P": task.K_P, "K_Q": task.K_Q, "T": task.context_length}
    path = scb.dynamics.matrix_descend(task, scb.Parameters.initial(task), steps=400, step_size=0.1)
    full = np.array([scb.dynamics.reduce(task, theta) for theta in path])[:, :2]
    stated = np.zeros((401, 2))
    for n in range(400):
        stated[n + 1] = stated[n] + 0.1 * np.array(statement(scalar_point(task, *stated[n])))
    reduced = np.transpose(scb.dynamics.descend(steps=400, step_size=0.1, **constants))
    return max(relative_gap(full, stated), relative_gap(reduced, stated))


register(
    Claim(
        "R2",
        "Gradient descent from scratch is a flow of two numbers",
        r"\dot\alpha = K_P\,\beta(1-\alpha\beta),\qquad \dot\beta = K_Q\,\alpha(1-\alpha\beta) + \tfrac1T(1-\beta)",
        SCRATCH,
        velocity_statement,
        (
            Route("symbolic", FROM_LOSS, _velocity_symbolic),
            Route(
                "exact",
                "one discrete step of all matrices, " + ENUMERATED,
                lambda statement: max(_velocity_exact(s, statement) for s in points()),
                unit="difference",
            ),
            routes.numeric("the full matrix flow from scratch to t = 40, N = 4, T = 60", _flow_numeric),
            routes.numeric("400 discrete steps of all matrices, N = 4, T = 60", _descent_numeric, limit=1e-12),
        ),
        (
            Control("the drift 1/T dropped", partial(velocity_statement, drift=False)),
            Control("a drift that does not fade as β grows", partial(velocity_statement, fades=False)),
            Control("K_P and K_Q exchanged", partial(velocity_statement, exchanged=True)),
            Control("saturation at α² = 1", partial(velocity_statement, saturation=lambda s: s.alpha**2)),
        ),
    )
)

# --- R3: the loss falls --------------------------------------------------------------------------


def loss_statement(s, cross=2, flat=True, weighted=True, exchanged=False):
    """The loss on the plane, its derivatives in beta and alpha, and its rate along the flow."""
    K_P, K_Q = (s.K_Q, s.K_P) if exchanged else (s.K_P, s.K_Q)
    quadratic = s.alpha**2 * s.beta**2 * K_Q + (s.beta**2 / s.T if flat else 0)
    twice = 1 - s.mu_squared - cross * (s.beta / s.T + s.alpha * s.beta * K_Q) * K_P + quadratic * K_P
    d_alpha, d_beta = velocity_statement(s)
    rate = K_P * d_beta**2 + K_Q * d_alpha**2 if weighted else d_beta**2 + d_alpha**2
    return twice / 2, -K_P * d_beta, -K_Q * d_alpha, -rate


def _loss_symbolic(statement):
    loss, in_beta, in_alpha, rate = statement(sym)
    found, velocity = sym.loss(), sym.velocity()
    slopes = sp.diff(found, sym.alpha), sp.diff(found, sym.beta)
    residuals = (
        found - loss,
        slopes[1] - in_beta,
        slopes[0] - in_alpha,
        slopes[0] * velocity[0] + slopes[1] * velocity[1] - rate,
    )
    return sum(sp.expand(x) != 0 for x in residuals)


@cache
def _enumerated_losses(index):
    """The enumerated loss at a point of the plane and one unit to each side: centre, beta ± 1, alpha ± 1."""
    s = points()[index]
    around = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
    moved = [s.at(s.alpha + a, s.beta + b) for a, b in around]
    return [World(x).loss(x.columns(plane_statement, 2), plane_statement(x)[0]) for x in moved]


def _loss_exact(statement):
    """The loss is quadratic in each coordinate, so central differences are its derivatives."""
    worst = 0
    for index, s in enumerate(points()):
        centre, up, down, right, left = _enumerated_losses(index)
        in_beta, in_alpha = (up - down) / 2, (right - left) / 2
        d_alpha, d_beta = velocity_statement(s)
        found = (centre, in_beta, in_alpha, in_beta * d_beta + in_alpha * d_alpha)
        worst = max(worst, *(gap(x, y) for x, y in zip(found, statement(s), strict=True)))
    return worst


def _loss_numeric(statement):
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
        scb.dynamics.plane_loss(s.alpha, s.beta, mu_squared=s.mu_squared, **constants),
    )
    return max(relative_gap(found, (*here[:3], here[0])), relative_gap(lost, integral))


register(
    Claim(
        "R3",
        "The loss on the plane, and how fast it falls",
        r"\ell = \tfrac12\left[1 - \|\mu\|^2 - 2(\tfrac1T + \alpha K_Q)\beta K_P "
        r"+ (\tfrac1T + \alpha^2K_Q)\beta^2K_P\right],\quad "
        r"\partial_\beta\ell = -K_P\dot\beta,\ \partial_\alpha\ell = -K_Q\dot\alpha,\quad "
        r"\dot\ell = -K_P\dot\beta^2 - K_Q\dot\alpha^2 \le 0",
        SCRATCH,
        loss_statement,
        (
            Route("symbolic", FROM_LOSS, _loss_symbolic),
            Route("exact", ENUMERATED, _loss_exact, unit="difference"),
            routes.numeric(
                "the package's loss on the plane, and along the matrix flow to t = 30, N = 4, T = 60", _loss_numeric
            ),
        ),
        (
            Control("the cross term counted once", partial(loss_statement, cross=1)),
            Control("‖A‖² without the 1/T of uniform attention", partial(loss_statement, flat=False)),
            Control("both velocities weighed alike in the rate", partial(loss_statement, weighted=False)),
            Control("K_P and K_Q exchanged", partial(loss_statement, exchanged=True)),
        ),
    )
)
