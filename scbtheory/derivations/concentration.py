r"""T5, L8: Bernstein's inequality from a bound of the moment generating function, and the samples it asks for."""

from __future__ import annotations

import sympy as sp

__all__ = ["exponent", "needed", "safest_level", "weight_identity", "worst_weights"]

variance, reach, gap, n, events, delta, x = sp.symbols("v R tau n M delta x", positive=True)
s, w, v, root, weight = sp.symbols("s w v' rho q", positive=True)


def exponent():
    r"""The least of :math:`n\big[\frac{x^2v/2}{1-xR/3} - x\tau\big]` over x in :math:`(0, 3/R)`.

    :math:`E e^{x(Z-EZ)} \le \exp\frac{x^2v/2}{1-xR/3}` for :math:`|Z-EZ| \le R` of variance v: the m-th moment is at
    most :math:`vR^{m-2}`, and :math:`m! \ge 2\cdot3^{m-2}` makes the series geometric. Bernstein's x is
    :math:`\tau/(v + R\tau/3)`.
    """
    if any(sp.factorial(m) < 2 * 3 ** (m - 2) for m in range(2, 30)):
        raise ArithmeticError("the series is not bounded by the geometric one")
    bound = x**2 * variance / 2 / (1 - x * reach / 3) - x * gap
    return sp.simplify(n * bound.subs(x, gap / (variance + reach * gap / 3)))


def needed():
    r"""The n at which M events of this chance add up to :math:`\delta`."""
    [found] = sp.solve(sp.Eq(exponent(), sp.log(delta / events)), n)
    return sp.simplify(found)


def weight_identity(size: int = 4):
    r"""L8: what the estimated weight misses, minus its stated parts, for any moments of this many entries.

    :math:`\hat q - q = (\langle\Delta, \hat P'\rangle + q\langle P' - \hat P', \hat P'\rangle)/\|\hat P'\|^2` for
    :math:`\hat q = \langle\hat W, \hat P'\rangle/\|\hat P'\|^2` and :math:`\hat W = qP' + \Delta`.
    """
    truth, found, error = (sp.Matrix(sp.symbols(f"{name}_:{size}", real=True)) for name in ("p", "h", "d"))
    estimate = (weight * truth + error).dot(found) / found.dot(found)
    parts = (error.dot(found) + weight * (truth - found).dot(found)) / found.dot(found)
    return sp.simplify(estimate - weight - parts)


def worst_weights():
    r"""L8: how far the s equal weights of a column are off where all errors point along P'.

    :math:`\hat P'` too short by v', each :math:`\Delta_t` of length w: Cauchy's inequality in the two products above
    and :math:`\|\hat P'\| \ge \rho - v'`, with :math:`\rho = \sqrt{K_P}`, are equalities there, so no bound is smaller.
    """
    found = root - v
    each = ((weight * root + w) * found) / found**2 - weight
    return sp.sqrt(s) * each


def safest_level():
    """L8: the threshold that is as far from 0 as from the smallest entry on a support."""
    level, smallest = sp.symbols("level m", positive=True)
    [found] = sp.solve(sp.Eq(level - 0, smallest - level), level)
    return found, smallest
