r"""N6: what one sample with uniform attention tells of the sign of P', to second order in its fluctuation.

Given the counts n of a context, :math:`Pn/T = \mu + x` with :math:`x = P'(n/T) = PXu - \mu` and
:math:`u = 1/T`, and under the other hypothesis :math:`\mu - x`. All that the leading order needs is
:math:`E\,\mathrm{tr}(D^{-1}xx^\top)`, which G1 gives for every N and T.
"""

from __future__ import annotations

import sympy as sp

from scbtheory.derivations import gradients, reduction
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import T, normal

PRIME = s.P - s.mu * s.one_N.T
SPREAD = PRIME * s.D * PRIME.T  # Σ_P


def squared_fluctuation():
    r""":math:`E\sum_o x_o^2/\mu_o` over contexts, as a normal form: exact for every N and T."""
    x = s.P * s.X * reduction.uniform - s.mu
    found = gradients.expected(s.tr(s.W * x * x.T), reduction.RULES)
    return sp.expand(found.subs(reduction.UNIFORM))


def affinity_coefficient():
    r"""The c with :math:`\sqrt{(m + x)(m - x)} = m - c\,x^2/m + O(x^4)`."""
    m, x = sp.symbols("m x", positive=True)
    series = sp.series(sp.sqrt((m + x) * (m - x)), x, 0, 4).removeO()
    if series.coeff(x, 0) != m or series.coeff(x, 1) != 0:
        raise ArithmeticError(f"the affinity's series is {series}")
    return sp.simplify(-series.coeff(x, 2) * m)


def separation_coefficient():
    r"""The c with squared mean over variance of the log-likelihood ratio :math:`= c\sum_o x_o^2/\mu_o`, leading order.

    Of one sample under :math:`\mu + x`: both moments of :math:`\log\frac{m+x}{m-x}` at weight :math:`m + x`.
    """
    m, x = sp.symbols("m x", positive=True)
    ratio = sp.log((m + x) / (m - x))
    mean = sp.series((m + x) * ratio, x, 0, 3).removeO()
    square = sp.series((m + x) * ratio**2, x, 0, 3).removeO()
    # Linear terms vanish in the sum over o, as x sums to 0.
    along, spread = mean.coeff(x, 2) * m, square.coeff(x, 2) * m
    return sp.simplify(along**2 / spread)


def information_residual():
    r"""0: :math:`\mathrm{tr}\,\Sigma_P(zC - I)D^{-1}(Cz - I) = z^2\,\mathrm{tr}(C\Sigma_P) - 2zK_P + J` for every z.

    The left side is never negative, so the right side's discriminant is not positive: :math:`K_P^2 \le wK_P^2\,J`.
    """
    z = sp.Symbol("z", real=True)
    middle = z * s.C - s.I_N
    left = s.tr(SPREAD * middle * s.W * middle.T)
    K_P, J = s.tr(SPREAD), s.tr(s.W * SPREAD)
    return normal(left - (z**2 * s.tr(s.C * SPREAD) - 2 * z * K_P + J), s.ALWAYS)


def scaled(expr):
    """An expression in the normal form of :func:`squared_fluctuation`."""
    return sp.expand(normal(expr, s.ALWAYS))


__all__ = [
    "PRIME",
    "SPREAD",
    "T",
    "affinity_coefficient",
    "information_residual",
    "scaled",
    "separation_coefficient",
    "squared_fluctuation",
]
