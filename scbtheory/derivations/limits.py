r"""L1 to L3: the moment statistic's mean for every N, T and n; the law under no dependence; Fano's inequality.

Sums over tokens are taken by their rules alone: :math:`\sum_n \mu_n = 1`, :math:`\sum_n 1 = N`,
:math:`\sum_n P_{nm} = 1` and, as :math:`P\mu = \mu`, :math:`\sum_m P_{nm}\mu_m = \mu_n`.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

__all__ = [
    "degrees",
    "fano_slack",
    "joint_law",
    "mean_entry",
    "mean_square",
    "noncentrality",
    "own_sum_is_its_definition",
    "squared_mean",
    "statistic_mean",
    "tail_exponent",
    "total",
]

N, n, q = sp.symbols("N n q", positive=True)
INFORMATION, OWN = sp.symbols("varphi^2 S", positive=True)
mu_n, mu_m, P_nm = sp.symbols("mu_n mu_m P_nm", positive=True)


def joint_law():
    """The chance of output n and token m at a position of weight q, given the trigger."""
    return mu_m * (q * P_nm + (1 - q) * mu_n)


def mean_entry():
    r"""Entry (n, m) of :math:`E(x_o-\mu)(x_t-\mu)^\top`: both margins of the law are :math:`\mu`."""
    return sp.expand(joint_law() - mu_n * mu_m - mu_n * mu_m + mu_n * mu_m)


def squared_mean():
    r""":math:`\|Ev\|^2`, :math:`v = D^{-1/2}(x_o-\mu)(x_t-\mu)^\top D^{-1/2}`, by the definition of :math:`\varphi`."""
    summand = mean_entry() ** 2 / (mu_n * mu_m)
    information = (P_nm - mu_n) ** 2 * mu_m / mu_n
    factor = sp.simplify(summand / information)
    if factor.free_symbols & {mu_n, mu_m, P_nm}:
        raise ArithmeticError("the squared mean is no multiple of the information")
    return factor * INFORMATION


def mean_square():
    r""":math:`E\|v\|^2 = E(1/\mu_o - 1)(1/\mu_x - 1)`: over both tokens apart, and S where one is copied."""
    apart = total(mu_n * (1 / mu_n - 1)) ** 2
    return (1 - q) * apart + q * OWN


def own_sum_is_its_definition() -> bool:
    r"""S as the claim writes it, :math:`\sum_m(1-\mu_m)\sum_n P_{nm}(1/\mu_n-1)`, is the mean over copied pairs."""
    pair = mu_m * P_nm * (1 / mu_n - 1) * (1 / mu_m - 1)
    return sp.expand(pair - (1 - mu_m) * P_nm * (1 / mu_n - 1)) == 0


def total(summand):
    r"""Sum over n a polynomial in :math:`\mu_n` of degree at most one, by the rules."""
    coefficients = sp.Poly(sp.expand(summand), mu_n).all_coeffs()[::-1]
    if len(coefficients) > 2:
        raise ArithmeticError(f"{summand} has a power of mu that no rule sums")
    return sp.expand(coefficients[0] * N + (coefficients[1] if len(coefficients) > 1 else 0))


@cache
def statistic_mean():
    r"""L1: :math:`E\,n\|\bar v\|^2`: of n² pairs of samples n are one sample with itself."""
    return sp.expand((n * mean_square() + n * (n - 1) * squared_mean()) / n)


def degrees():
    r"""L2: the trace of :math:`v`'s covariance off the support, a Kronecker product of two projections of one trace."""
    root = sp.Symbol("r", positive=True)  # √μ_n; a whitened one-hot has covariance 1 - √μ√μᵀ
    trace = total((1 - root**2).subs(root, sp.sqrt(mu_n)))
    return sp.expand(trace**2)


def noncentrality():
    """L2: n times the squared mean."""
    return sp.expand(n * squared_mean())


def tail_exponent(half_degrees: int):
    r"""L2: the limit of :math:`-\log\Pr(\chi^2 > x)/(x/2)` for an even number of degrees of freedom: 1."""
    x = sp.Symbol("x", positive=True)
    tail = sp.exp(-x / 2) * sum((x / 2) ** j / sp.factorial(j) for j in range(half_degrees))
    return sp.limit(-sp.log(tail) / (x / 2), x, sp.oo)


e, M, nats = sp.symbols("e M I", positive=True)


def fano_slack():
    r"""L3: :math:`nI - (1-e)\log M + \log 2`, at least what Fano's inequality leaves.

    It says :math:`h(e) + e\log(M-1) \ge \log M - nI`; :math:`h(e) \le \log 2`, with equality at ½, where h' = 0 > h'',
    and :math:`\log(M-1) \le \log M`.
    """
    h = -e * sp.log(e) - (1 - e) * sp.log(1 - e)
    peak = sp.solve(sp.diff(h, e), e)
    if peak != [sp.Rational(1, 2)] or sp.simplify(sp.diff(h, e, 2) + 1 / (e * (1 - e))) != 0:
        raise ArithmeticError("the entropy of two outcomes has another peak")
    return sp.expand(n * nats - sp.log(M) + sp.simplify(h.subs(e, peak[0])) + e * sp.log(M))
