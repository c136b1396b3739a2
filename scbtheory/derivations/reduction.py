r"""R1 to R4: the plane that G5 never leaves, the two numbers on it, their loss and their fixed points.

R1 to R3 are proofs for every N and T, from the loss of one sample: matrices stay symbols and the
expectation is taken word by word (:mod:`~scbtheory.derivations.gradients`). Everything is for one
trigger; since velocities and loss are affine in :math:`\|q^{(k)}\|^2`, the average over triggers with
weights :math:`\mu_k` replaces it by :math:`\sum_k\mu_k\|q^{(k)}\|^2 = \|Q\|_\mu^2 = K_Q + 1/T`.
R4 is exact algebra in two unknowns, for all positive rates.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from scbtheory.derivations import gradients
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import Rules, T, normal

__all__ = [
    "BALANCED",
    "EQUAL",
    "FIELD",
    "K_P",
    "K_Q",
    "P_DEVIATION",
    "Q_DEVIATION",
    "RULES",
    "UNIFORM",
    "P",
    "alpha",
    "attended",
    "averaged",
    "beta",
    "characteristic",
    "d",
    "eigenvalues",
    "field_is_reduced",
    "fixed_points",
    "kind",
    "leaves_plane",
    "loss",
    "mu",
    "on",
    "one_N",
    "p",
    "q",
    "uniform",
    "velocity",
    "wrong_branch_residuals",
]

alpha, beta = sp.symbols("alpha beta", real=True)
K_P, K_Q = sp.symbols("K_P K_Q", positive=True)
p, q, d = sp.symbols("k_P k_Q d", positive=True)  # η_A K_P, η_V K_Q, η_V / T

# The names a statement asks for, as they stand in derivations.symbols.
P, mu, one_N = s.P, s.mu, s.one_N
attended = s.q  # q^(k); the letter q is a rate here
uniform = sp.MatrixSymbol("u", T, 1)  # 1/T: a letter of its own, whose products with itself and q are filled in last
mu_squared = normal(s.tr(s.mu.T * s.mu), s.ALWAYS)

RULES = Rules((s.one_T, T * uniform)) + s.ALWAYS
SQUARE_Q = normal(s.dot(s.q, s.q), s.ALWAYS)
UNIFORM = {normal(s.dot(uniform, uniform)): 1 / T, normal(s.dot(s.q, uniform)): 1 / T}
SPREAD_P = normal(s.tr(s.P * s.D * s.P.T), s.ALWAYS)  # ‖P‖²_μ

P_DEVIATION = s.P - s.mu * s.one_N.T
Q_DEVIATION = s.q - uniform
PLANE = (s.mu * s.one_N.T + beta * P_DEVIATION, uniform + alpha * Q_DEVIATION)


def on(expr, V, a):
    """Put a value matrix and an attention column into an expression."""
    return expr.xreplace({s.V: V, s.a: a}).doit()


@cache
def _gradients(V, a):
    """The expected projected gradients (in V, in a) at a point, as normal forms, from one sample's loss."""
    samples = gradients.projected_sample_V(), gradients.projected_sample_A()
    return tuple(gradients.expected(on(sample, V, a), RULES) for sample in samples)


def leaves_plane(V, dV, a, da) -> int:
    r"""R1: how many terms of :math:`G_V` and :math:`G_a` at (V, a) are no multiple of dV and of da; 0 is a proof.

    The set is affine in each parameter, so a velocity that is tangent to it also keeps every discrete
    step on it. All triggers share one alpha: the multiple of da may not depend on :math:`\|q^{(k)}\|^2`.
    """
    (_, rest_V), (factor, rest_a) = (_share(f, x) for f, x in zip(_gradients(V, a), (dV, da), strict=True))
    return len(rest_V) + len(rest_a) + factor.has(SQUARE_Q)


def _share(found, direction):
    """``(factor, rest)`` with found = factor * direction + rest; one word fixes the only possible factor."""
    along = normal(direction, RULES)
    found = {word: sp.expand(c.subs(UNIFORM)) for word, c in found.items()}
    word = min(along)
    factor = sp.expand(found.get(word, sp.Integer(0)) / along[word])
    rest = {w: sp.expand(found.get(w, 0) - factor * along.get(w, 0)) for w in {*found, *along}}
    return factor, {w: c for w, c in rest.items() if c != 0}


@cache
def velocity():
    r"""R2: :math:`(\dot\alpha, \dot\beta)`, averaged over triggers; an error if the gradients leave the plane."""
    shares = [_share(f, x) for f, x in zip(_gradients(*PLANE), (P_DEVIATION, Q_DEVIATION), strict=True)]
    if any(rest for _, rest in shares):
        raise ArithmeticError("the projected gradients are not tangent to the plane")
    return averaged(-shares[1][0]), averaged(-shares[0][0])


@cache
def loss():
    """R3: the expected loss on the plane, averaged over triggers, in alpha, beta, K_P, K_Q, T and ‖μ‖²."""
    return averaged(gradients.expected(on(gradients.SAMPLE_LOSS, *PLANE), RULES))


def averaged(expr):
    r"""Average over triggers: :math:`\|q^{(k)}\|^2 \to K_Q + 1/T`; and write :math:`\|P\|_\mu^2 = K_P + \|\mu\|^2`."""
    expr = sp.expand(expr.subs(UNIFORM))
    if sp.degree(expr, SQUARE_Q) > 1:
        raise ArithmeticError("not affine in the square of q: the average over triggers is not a substitution")
    return sp.expand(expr.subs({SQUARE_Q: K_Q + 1 / T, SPREAD_P: K_P + mu_squared}))


# --- R4: fixed points, for every positive p, q, d ------------------------------------------------

FIELD = (p * beta * (1 - alpha * beta), q * alpha * (1 - alpha * beta) + d * (1 - beta))
EQUAL = {p: K_P, q: K_Q, d: 1 / T}
BALANCED = {p: 1, q: 1, d: 1 / (T * K_Q)}


def field_is_reduced() -> bool:
    """FIELD with equal steps is R2, and with weights η_V, η_A it is R2 with each velocity scaled by its own."""
    weights = sp.symbols("eta_A eta_V", positive=True)
    scaled = {p: weights[0] * K_P, q: weights[1] * K_Q, d: weights[1] / T}
    return all(
        sp.expand(f.subs(EQUAL) - v) == 0 and sp.expand(f.subs(scaled) - w * v) == 0
        for f, v, w in zip(FIELD, velocity(), weights, strict=True)
    )


def fixed_points(field=FIELD) -> list[tuple]:
    r"""R4: every zero of a field; complete, because :math:`\dot\alpha` vanishes just where one of its factors does.

    On :math:`\beta = 0` and on :math:`\alpha\beta = 1` the other velocity becomes linear in one unknown.
    """
    found = []
    for factor, _ in sp.factor_list(field[0], alpha, beta)[1]:
        unknown = alpha if factor == beta else beta
        other = beta if unknown == alpha else alpha
        for value in sp.solve(factor, other):
            rest = sp.numer(sp.together(field[1].subs(other, value)))
            if sp.degree(rest, unknown) != 1:
                raise ArithmeticError(f"{rest} is not linear in {unknown}; its zeros are not decided here")
            zero = sp.solve(rest, unknown)[0]
            point = {unknown: zero, other: sp.simplify(value.subs(unknown, zero))}
            found.append((point[alpha], point[beta]))
    return found


def characteristic(point, field=FIELD):
    """``(trace, determinant)`` of the Jacobian in (alpha, beta) at a point."""
    jacobian = sp.Matrix(field).jacobian([alpha, beta]).subs({alpha: point[0], beta: point[1]})
    return sp.factor(jacobian.trace()), sp.factor(jacobian.det())


def kind(point, field=FIELD) -> str:
    """The type of a fixed point, decided from signs that hold for every positive p, q, d."""
    trace, determinant = characteristic(point, field)
    # p + q + d bounds the discriminant from below only by a square: (q + d - p)² + 4 p q.
    discriminant = sp.expand(trace**2 - 4 * determinant)
    if determinant.is_negative:
        return "saddle"
    if determinant.is_positive and trace.is_negative:
        oscillates = sp.expand(discriminant - (q + d - p) ** 2 - 4 * p * q) != 0
        return "undecided" if oscillates else "stable node"
    return "undecided"


def wrong_branch_residuals(edge):
    r"""R4: the region :math:`\beta\le0,\ \alpha\le` ``edge`` :math:`,\ \alpha\beta\le1` is never left.

    On :math:`\beta = 0` beta's speed is :math:`q(\alpha - edge) \le 0`; on :math:`\alpha = edge` alpha's is
    :math:`p\beta(1-\alpha\beta)\le0`, its definition; on :math:`\alpha\beta = 1` the product's is
    :math:`d\alpha(1-\beta) < 0`. It holds no fixed point but the saddle, so that a start inside runs off to
    :math:`\alpha\to-\infty`. The two speeds are returned less what they must be,
    which vanishes just for edge = :math:`-d/q`.
    """
    product = beta * FIELD[0] + alpha * FIELD[1]
    return (
        sp.expand(FIELD[1].subs(beta, 0) - q * (alpha - edge)),
        sp.simplify((product - d * alpha * (1 - beta)).subs(beta, 1 / alpha)),
    )


def eigenvalues(point, order: int, field=FIELD):
    r"""Eigenvalues at a point as series in the drift :math:`d = 1/T` (equal steps), to :math:`d^{order}` included."""
    trace, determinant = (x.subs({p: K_P, q: K_Q}) for x in characteristic(point, field))
    root = sp.sqrt(trace**2 - 4 * determinant)
    series = [sp.series((trace + sign * root) / 2, d, 0, order + 1).removeO() for sign in (1, -1)]
    return [sum(sp.factor(found.coeff(d, n)) / T**n for n in range(order + 1)) for found in series]
