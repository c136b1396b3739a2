r"""X1 and X2: the softmax Jacobian entry by entry, for every T, and the flow that closes in two numbers."""

from __future__ import annotations

from functools import cache

import sympy as sp

from scbtheory.derivations import moments, reduction
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import T, difference

__all__ = [
    "K_P",
    "K_Q",
    "W",
    "alpha",
    "alpha_of_mass",
    "beta",
    "jacobian_at_zero",
    "jacobian_entry",
    "jacobian_has_that_form",
    "mass",
    "size",
    "stated_entry",
    "surviving",
    "t",
    "u",
    "unexplained",
    "velocity",
]

W = sp.IndexedBase("w", real=True)
t, u, v = moments.t, moments.u, moments.v

# --- X1: the Jacobian ----------------------------------------------------------------------------


@cache
def jacobian_entry():
    r""":math:`\partial a_t/\partial w_u` of :math:`a_t = e^{w_t}/\sum_v e^{w_v}`, by SymPy, with T a symbol."""
    total = sp.Sum(sp.exp(W[v]), (v, 0, T - 1))
    weight = sp.exp(W[t])
    # The quotient rule, with the derivative of the sum taken term by term: it meets w_u once.
    inner = moments.sum_over(sp.diff(sp.exp(W[v]), W[u]).replace(*_bounded()), v, T)
    return (sp.diff(weight, W[u]).replace(*_bounded()) * total - weight * inner) / total**2


def _bounded():
    """SymPy's delta of two indices, with the range that both have."""
    return (lambda e: isinstance(e, sp.KroneckerDelta), lambda e: moments.delta(*e.args[:2], T))


def jacobian_at_zero():
    r"""The entry at :math:`w = 0`, where every exponential is 1 and their sum T."""
    at_zero = jacobian_entry().replace(lambda e: isinstance(e, sp.exp), lambda e: sp.Integer(1))
    return sp.expand(at_zero.replace(lambda e: isinstance(e, sp.Sum), lambda e: e.doit()))


def stated_entry(matrix):
    """Entry (t, u) of a stated matrix."""
    return moments.entries(matrix, t, u)


def unexplained(jacobian, gradient, velocity) -> int:
    r"""X1: whether J is the Jacobian at 0, and :math:`J g`, :math:`-J^2 g` are the stated gradient and velocity, g = b.

    :math:`\dot a = J\dot w` and :math:`\dot w = -\nabla_w = -J g`.
    """
    wrong = not moments.same(stated_entry(jacobian), jacobian_at_zero())
    return (
        wrong
        + difference(jacobian * s.b, gradient, s.ALWAYS)
        + difference(-(jacobian * jacobian * s.b), velocity, s.ALWAYS)
    )


# --- X2: two numbers -----------------------------------------------------------------------------

size = sp.Symbol("s", positive=True)  # of every support
mass = sp.Symbol("m", positive=True)  # attention on the support
alpha, beta = reduction.alpha, reduction.beta
K_P, K_Q = reduction.K_P, reduction.K_Q


def alpha_of_mass():
    r""":math:`\alpha = (m - s/T)/(1 - s/T)`: attention m/s on the support and (1-m)/(T-s) off it is on R1's plane."""
    on, off = mass / size, (1 - mass) / (T - size)
    value = sp.solve(1 / T + alpha * (1 / size - 1 / T) - on, alpha)[0]
    if sp.simplify(1 / T - value / T - off) != 0:
        raise ArithmeticError("attention on two levels that sums to 1 is not on the plane")
    return sp.simplify(value)


@cache
def velocity():
    r"""X2: :math:`(\dot\alpha, \dot\beta)` for q uniform on s positions, with :math:`K_Q = 1/s - 1/T` put back.

    The linear model's :math:`-G_a = \dot\alpha_{lin}(q - 1/T)` has two levels; J maps vectors with two levels (support,
    rest) to such vectors, so the logits keep two levels: :math:`\dot w = -JG_a`, :math:`\dot a = J\dot w`.
    """
    linear, d_beta = reduction.velocity()
    a = (mass / size, (1 - mass) / (T - size))
    pull = (linear * (1 / size - 1 / T), -linear / T)
    d_mass = size * _times_jacobian(a, _times_jacobian(a, pull))[0]
    d_alpha = sp.diff(alpha_of_mass(), mass) * d_mass
    d_alpha = d_alpha.subs(mass, sp.solve(alpha_of_mass() - alpha, mass)[0])
    back = {size: 1 / (K_Q + 1 / T)}
    return sp.factor(sp.simplify(d_alpha.subs(back))), sp.expand(d_beta)


def _times_jacobian(a, g):
    r""":math:`a\odot(g - \langle a,g\rangle)` on two levels: (value on the support, value off it)."""
    mean = size * a[0] * g[0] + (T - size) * a[1] * g[1]
    return a[0] * (g[0] - mean), a[1] * (g[1] - mean)


def jacobian_has_that_form() -> bool:
    r"""The derived Jacobian is :math:`\mathrm{diag}(a) - aa^\top`, entry by entry, as :func:`velocity` uses it."""
    total = sp.Sum(sp.exp(W[v]), (v, 0, T - 1))
    a_t, a_u = sp.exp(W[t]) / total, sp.exp(W[u]) / total
    return moments.same(sp.expand(jacobian_entry()), sp.expand(a_t * moments.delta(t, u, T) - a_t * a_u))


def surviving(d_alpha, d_beta) -> int:
    """X2: how many of the two stated velocities differ from the derived ones."""
    found = velocity()
    return sum(sp.simplify(x - y) != 0 for x, y in zip(found, (d_alpha, d_beta), strict=True)) + (
        not jacobian_has_that_form()
    )
