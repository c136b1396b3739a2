r"""G8: the excess loss as a sum of squares, its critical points, and how fast the saddles are left.

Everything follows from the loss of one sample, word by word, for every N and T, for one trigger; the average over
triggers with weights :math:`\mu_k` is linear and turns :math:`\|a\|^2` and :math:`\langle q, a\rangle` into
:math:`\|A\|_\mu^2` and :math:`\langle Q, A\rangle_\mu`, for V does not depend on the trigger.
"""

from __future__ import annotations

import sympy as sp

from scbtheory.derivations import gradients, model, reduction
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import T, coefficient, normal

__all__ = ["RULES", "critical_factors", "excess", "norm_A", "overlap", "plane_excess", "saddle_growth", "value_factor"]

RULES = s.ALWAYS + s.ADMISSIBLE
norm_A = sp.Symbol("norm_A", positive=True)  # ‖A‖²_μ
overlap = sp.Symbol("overlap", real=True)  # ⟨Q, A⟩_μ
OVER_TRIGGERS = {normal(s.dot(s.a, s.a)): norm_A, normal(s.dot(s.q, s.a)): overlap}


def excess():
    r"""The expected loss above the Bayes predictor's, given the trigger, on the admissible set."""
    return sp.expand(gradients.expected(gradients.SAMPLE_LOSS, RULES) - model.least_loss())


def plane_excess():
    r"""The same on R1's plane, averaged over triggers, in alpha, beta, K_P, K_Q and T."""
    return sp.expand(reduction.loss() - reduction.averaged(model.least_loss()))


def _value_gradient():
    r"""``(on V, on P)``: :math:`G_V` is the first times :math:`V - \mu1^\top` plus the second times :math:`P'`."""
    form = gradients.expected(gradients.projected_sample_V(), RULES)
    on_V, on_P = coefficient(form, s.V), coefficient(form, s.P)
    stated = on_V * (s.V - s.mu * s.one_N.T) + on_P * (s.P - s.mu * s.one_N.T)
    if {w: c for w, c in normal(stated, RULES).items() if c != 0} != form:
        raise ArithmeticError("the value gradient is no combination of V' and P'")
    return on_V.subs(OVER_TRIGGERS), on_P.subs(OVER_TRIGGERS)


def _attention_gradient(b):
    r"""``(on a, on q)`` of :math:`G_a` where :math:`V = \mu1^\top + bP'`; each multiplies a deviation from 1/T."""
    V = s.mu * s.one_N.T + b * (s.P - s.mu * s.one_N.T)
    form = gradients.expected(reduction.on(gradients.projected_sample_A(), V, s.a), RULES)
    on_a, on_q = (
        reduction.averaged(sp.expand(coefficient(form, x))) for x in (s.a, s.q)
    )  # neither has a square of q: averaging writes ‖P‖²_μ as K_P + ‖μ‖²
    if sp.expand(form.get(next(iter(normal(s.one_T))), 0) * T + coefficient(form, s.a) + coefficient(form, s.q)) != 0:
        raise ArithmeticError("the attention gradient is no combination of deviations from 1/T")
    return on_a, on_q


def value_factor():
    r"""The b with :math:`V' = bP'` where :math:`G_V = 0`."""
    on_V, on_P = _value_gradient()
    return sp.simplify(-on_P / on_V)


def critical_factors():
    r"""Every :math:`b \ne 0` with which :math:`V' = bP'` can be critical.

    :math:`G_a = 0` then fixes every column, :math:`a - 1/T = x(q - 1/T)`, so that
    :math:`\langle Q, A\rangle_\mu = 1/T + xK_Q` and :math:`\|A\|_\mu^2 = 1/T + x^2K_Q`, and :math:`G_V = 0` decides b.
    """
    b = sp.Symbol("b", real=True, nonzero=True)
    on_a, on_q = _attention_gradient(b)
    x = sp.simplify(-on_q / on_a)
    K_Q = reduction.K_Q
    equation = value_factor().subs({overlap: 1 / T + x * K_Q, norm_A: 1 / T + x**2 * K_Q}) - b
    return set(sp.solve(sp.numer(sp.together(equation)), b))


def saddle_growth():
    r"""The positive eigenvalue of the flow where :math:`V = \mu1^\top` and :math:`\langle Q, A\rangle_\mu = 0`.

    :math:`V' = bP'` and :math:`A + cQ'` obey, to first order in b and c, a closed system of two equations, as
    :math:`\langle Q, A + cQ'\rangle_\mu = cK_Q`.
    """
    b, c = sp.symbols("b c", real=True)
    on_V, on_P = _value_gradient()
    _, on_q = _attention_gradient(b)
    velocities = -(on_V * b + on_P.subs(overlap, c * reduction.K_Q)), -on_q
    matrix = sp.Matrix(velocities).jacobian([b, c]).subs({b: 0, c: 0})
    # The determinant is -K_P K_Q < 0, so that one eigenvalue is positive at all constants if it is at some.
    ones = {norm_A: 1, reduction.K_P: 1, reduction.K_Q: 1}
    if not matrix.det().is_negative:
        raise ArithmeticError(f"the determinant {matrix.det()} is not negative: the point need not be a saddle")
    (positive,) = (x for x in matrix.eigenvals() if x.subs(ones) > 0)
    return sp.simplify(positive)
