r"""G8. The landscape: an excess loss of squares, one minimum, and saddles that are all left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.derivations import landscape, reduction
from scbtheory.derivations import symbols as sym
from scbtheory.derivations.algebra import normal
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import Numbers, World, case, exact, gap, relative_gap


@dataclass(frozen=True)
class Landscape:
    """Matrices seen from one trigger, with the numbers that an average over triggers leaves.

    ``norm_A`` and ``overlap`` are ‖A‖²_μ and ⟨Q, A⟩_μ; ``alpha`` and ``beta`` name a point of R1's plane.
    """

    matrices: Any
    K_P: Any
    K_Q: Any
    T: Any
    norm_A: Any
    overlap: Any
    alpha: Any
    beta: Any
    sqrt: Any

    def __getattr__(self, name):
        return getattr(self.matrices, name)

    def seen_from(self, k: int) -> Landscape:
        return replace(self, matrices=self.matrices.seen_from(k))


def statement(s):
    """The excess loss given the trigger, and on the plane; b = V'/P' where G_V = 0; all critical b ≠ 0; the growth."""
    return excess(s), plane(s), s.overlap / s.norm_A, {1}, growth(s)


def excess(s: Matrices):
    V, P = s.V - s.mu @ s.one_N.T, s.P - s.mu @ s.one_N.T
    squares = s.dot(s.a, s.a) * s.tr(V @ s.D @ V.T) + s.dot(s.q, s.q) * s.tr(P @ s.D @ P.T)
    return (squares - 2 * s.dot(s.q, s.a) * s.tr(V @ s.D @ P.T)) / 2


def plane(s):
    return s.K_P * ((1 - s.beta) ** 2 / s.T + s.K_Q * (1 - s.alpha * s.beta) ** 2) / 2


def growth(s):
    return (s.sqrt(s.norm_A**2 + 4 * s.K_P * s.K_Q) - s.norm_A) / 2


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    r = reduction
    s = Landscape(sym, r.K_P, r.K_Q, r.T, landscape.norm_A, landscape.overlap, r.alpha, r.beta, sp.sqrt)
    stated, on_plane, factor, critical, rate = statement(s)
    left = sp.expand(normal(stated, landscape.RULES) - landscape.excess())
    return {
        "terms of the excess": 0 if left == 0 else len(sp.Add.make_args(left)),
        "terms on the plane": int(sp.expand(on_plane - landscape.plane_excess()) != 0),
        "terms of G_V = 0": int(sp.simplify(factor - landscape.value_factor()) != 0),
        "critical factors that differ": len(critical ^ landscape.critical_factors()),
        "terms of the growth": int(sp.simplify(rate - landscape.saddle_growth()) != 0),
    }


def numbers(world: Numbers, sqrt=sp.sqrt, alpha=Fraction(2, 3), beta=Fraction(-1, 4)) -> Landscape:
    """An admissible instance with its constants by their definitions."""
    P, flat = world.P - world.mu, world.one_T / world.T
    K_P = ((P**2).sum(axis=0) * world.mu[:, 0]).sum()
    K_Q = (((world.Q - flat) ** 2).sum(axis=0) * world.mu[:, 0]).sum()
    norm, overlap = (((world.A * x).sum(axis=0) * world.mu[:, 0]).sum() for x in (world.A, world.Q))
    return Landscape(world, K_P, K_Q, world.T, norm, overlap, alpha, beta, sqrt)


def at_saddle(world: Numbers) -> Numbers:
    r"""The same task at :math:`V = \mu1^\top` and columns of A moved along Q' until ⟨Q, A⟩_μ = 0."""
    s = numbers(world)
    A = world.A - s.overlap / s.K_Q * (world.Q - world.one_T @ world.one_N.T / world.T)
    return replace(world, A=A, V=world.mu @ world.one_N.T)


@cache
def enumerated():
    """For each small task: a point, the enumerated excess there and on the plane; a saddle, and the flow beside it."""
    found = []
    for N, T in ((2, 2), (2, 3), (3, 2), (2, 4)):
        world = exact(N, T, seed=3 * N + T, admissible=True)
        s = numbers(world)
        flat, P = world.one_T @ world.one_N.T / world.T, world.P - world.mu @ world.one_N.T
        least = World(world).loss(world.Q, world.P)
        high = World(world).loss(world.A, world.V) - least
        on_plane = World(world).loss(flat + s.alpha * (world.Q - flat), world.mu @ world.one_N.T + s.beta * P) - least
        saddle = at_saddle(world)
        found.append((s, high, on_plane, numbers(saddle), flow_beside(saddle)))
    return found


def projected(world: Numbers):
    """``(G_A, G_V)`` of the enumerated loss."""
    plain_A, plain_V = World(world).gradient
    G_A = (plain_A - plain_A.sum(axis=0) / world.T) / world.mu[:, 0]
    return G_A, plain_V @ world.W @ (world.I_N - world.mu @ world.one_N.T)


def flow_beside(saddle: Numbers):
    """The 2 × 2 matrix of the enumerated flow along (P', Q') at a saddle, and how large the gradients are there.

    The gradient in V is linear in V, and odd differences of that in A, at most quadratic in V, are exact.
    """
    P, Q = saddle.P - saddle.mu @ saddle.one_N.T, saddle.Q - saddle.one_T @ saddle.one_N.T / saddle.T

    def share(x, y):
        return (x * y).sum() / (y * y).sum()

    rows = []
    for dV, dA in ((P, 0 * Q), (0 * P, Q)):
        ahead, behind = (projected(replace(saddle, A=saddle.A + h * dA, V=saddle.V + h * dV)) for h in (1, -1))
        (up_A, up_V), (down_A, down_V) = ahead, behind
        rows.append((-share(up_V - down_V, P) / 2, -share(up_A - down_A, Q) / 2))
    return np.array(rows).T, max(gap(x, 0) for x in projected(saddle))


def by_enumeration(statement):
    worst = dict.fromkeys(("excess", "excess on the plane", "G at the saddle", "trace and determinant", "G_V"), 0)
    for s, high, on_plane, saddle, (matrix, leak) in enumerated():
        found_excess = sum(s.mu[k, 0] * statement(s.seen_from(k))[0] for k in range(s.N))
        _, stated_plane, factor, critical, _ = statement(s)
        P = s.P - s.mu @ s.one_N.T
        G_V = projected(replace(s.matrices, V=s.mu @ s.one_N.T + factor * P))[1]
        for b in critical:  # a critical point has a - 1/T = (q - 1/T)/b
            A = s.one_T @ s.one_N.T / s.T + (s.Q - s.one_T @ s.one_N.T / s.T) / b
            there = projected(replace(s.matrices, A=A, V=s.mu @ s.one_N.T + b * P))
            worst["G_V"] = max(worst["G_V"], *(gap(x, 0) for x in there))
        rate = statement(saddle)[4]
        polynomial = (
            rate**2
            - sp.Rational(str(matrix.trace())) * rate
            + sp.Rational(str(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]))
        )
        worst["excess"] = max(worst["excess"], gap(high, found_excess))
        worst["excess on the plane"] = max(worst["excess on the plane"], gap(on_plane, stated_plane))
        worst["G at the saddle"] = max(worst["G at the saddle"], leak)
        worst["trace and determinant"] = max(worst["trace and determinant"], abs(float(sp.simplify(polynomial))))
        worst["G_V"] = max(worst["G_V"], gap(G_V, 0))
    return worst


@cache
def at_size():
    """A task of the package (N = 4, T = 12): a point of the set; a saddle, and the flow's growth there."""
    instance = case(4, 12, seed=61, admissible=True)
    task, s = instance.task, numbers(instance.numbers, sqrt=np.sqrt, alpha=0.4, beta=-0.3)
    saddle = at_saddle(instance.numbers)
    start = scb.Parameters(saddle.A, saddle.V)
    h, size = 1e-6, saddle.A.size

    def velocity(flat):
        theta = scb.Parameters(start.A + flat[:size].reshape(start.A.shape), start.V + flat[size:].reshape(4, 4))
        g = scb.population.projected_gradient(task, theta)
        return -np.concatenate([g.A.ravel(), g.V.ravel()])

    steps = np.eye(size + 16) * h
    jacobian = np.array([(velocity(e) - velocity(-e)) / (2 * h) for e in steps]).T
    least = scb.population.bayes_loss(task)
    high = scb.population.loss(task, instance.theta) - least
    plane = scb.population.loss(task, scb.dynamics.lift(task, 0.4, -0.3)) - least
    growth = float(np.linalg.eigvals(jacobian).real.max())
    return task, instance.theta, s, saddle, (high, plane, growth)


def by_jacobian(statement):
    task, theta, s, saddle, (high, plane, growth) = at_size()
    stated = sum(s.mu[k, 0] * statement(s.seen_from(k))[0] for k in range(s.N))
    _, stated_plane, factor, critical, _ = statement(s)
    rate = statement(numbers(saddle, sqrt=np.sqrt))[4]
    P = s.P - s.mu @ s.one_N.T
    at_factor = scb.population.projected_gradient(task, scb.Parameters(theta.A, s.mu @ s.one_N.T + factor * P)).V
    spurious = 0.0
    for b in critical:
        A = 1 / s.T + (s.Q - 1 / s.T) / b
        g = scb.population.projected_gradient(task, scb.Parameters(A, s.mu @ s.one_N.T + b * P))
        spurious = max(spurious, float(np.abs(g.A).max()), float(np.abs(g.V).max()))
    return {
        "excess, relative": relative_gap(high, stated),
        "the package's excess, relative": relative_gap(scb.landscape.excess_loss(task, theta), stated),
        "excess on the plane, relative": relative_gap(plane, stated_plane),
        "G_V where it must vanish": float(np.abs(at_factor).max()),
        "gradient at the critical points": spurious,
        "growth by all eigenvalues, relative": relative_gap(growth, rate),
        "the package's growth, relative": relative_gap(scb.landscape.saddle_growth(task, saddle.A), rate),
    }


# --- controls ------------------------------------------------------------------------------------


def with_part(index, part):
    """The statement with one quantity replaced."""
    return routes.replaced(statement, index, part)


def uncentred(s):
    squares = s.dot(s.a, s.a) * s.tr(s.V @ s.D @ s.V.T) + s.dot(s.q, s.q) * s.tr(s.P @ s.D @ s.P.T)
    return (squares - 2 * s.dot(s.q, s.a) * s.tr(s.V @ s.D @ s.P.T)) / 2


def valley_without_drift(s):
    return s.K_P * s.K_Q * (1 - s.alpha * s.beta) ** 2 / 2


def growth_of_the_plane(s):
    return s.sqrt(s.K_P * s.K_Q)


CLAIM = Claim(
    id="G8",
    title="The landscape has no spurious minima, and a valley that costs little",
    text=r"""
For admissible $A$ and $V$, with $V' = V - \mu 1^\top$ and $\ell^*$ the least loss,

$$
\ell - \ell^* = \tfrac12\sum_k \mu_k \sum_t \left\lVert a_t^{(k)} V' - q_t^{(k)} P' \right\rVert_\mu^2 ,
$$ (eq-excess)

on {claim}`R1`'s plane, $A = 11^\top/T + \alpha(Q - 11^\top/T)$ and $V = \mu 1^\top + \beta P'$,

$$
\ell - \ell^* = \frac{K_P}{2}\left[\frac{(1-\beta)^2}{T} + K_Q(1-\alpha\beta)^2\right].
$$ (eq-valley)

For $K_P, K_Q > 0$ the projected gradients vanish together just at $(Q, P)$ and where $V = \mu 1^\top$ and
$\langle Q, A\rangle_\mu = 0$. The latter are strict saddles; the flow leaves each at the rate

$$
\tfrac12\left(\sqrt{\lVert A\rVert_\mu^4 + 4K_PK_Q} - \lVert A\rVert_\mu^2\right).
$$ (eq-saddle-growth)
""",
    assumptions="A and V with 1'a = 1, 1'V = 1', Vμ = μ; for the critical points K_P, K_Q > 0",
    scope="Proved for every $N$ and $T$: both forms of the loss word by word; the list of critical points from "
    r"$G_V = 0$, which forces $V' = \beta P'$ with $\beta = \langle Q,A\rangle_\mu/\lVert A\rVert_\mu^2$, and "
    r"$G_a = 0$, which for $\beta \ne 0$ forces $a - 1/T = (q - 1/T)/\beta$ and then $\beta = 1$; the growth on "
    "the two directions $P'$ and $Q'$.",
    nature="theorem",
    chapter="population_gradient",
    rests_on=("M2", "G5", "R1"),
    statement=statement,
    routes=(
        Route("symbolic", f"{routes.ALL_SIZES}, from the loss of one sample", derived),
        Route(
            "exact",
            "every context, trigger and output in fractions, (N, T) = 2×2, 2×3, 3×2, 2×4; exact differences at saddles",
            by_enumeration,
            {"excess": 0, "excess on the plane": 0, "G at the saddle": 0, "trace and determinant": 1e-12, "G_V": 0},
        ),
        Route(
            "numeric",
            "the package's loss and gradients, N = 4, T = 12; all eigenvalues of the flow at a saddle",
            by_jacobian,
            {
                "excess, relative": 1e-10,
                "the package's excess, relative": 1e-10,
                "excess on the plane, relative": 1e-10,
                "G_V where it must vanish": 1e-12,
                "gradient at the critical points": 1e-12,
                "growth by all eigenvalues, relative": 1e-7,
                "the package's growth, relative": 1e-12,
            },
            margin=1e4,
        ),
    ),
    controls=(
        Control("V and P not centred by μ1'", with_part(0, uncentred)),
        Control("the valley without its floor (1 − β)²/T", with_part(1, valley_without_drift)),
        Control("V' = P' whatever the attention", with_part(2, lambda s: 1)),
        Control("a second minimum at αβ = 1, β = −1", with_part(3, lambda s: {1, -1})),
        Control("ω at every saddle, as if ‖A‖² were 0", with_part(4, growth_of_the_plane)),
    ),
)
