r"""L7: second moments of a sticky chain, :math:`R = \varsigma I + (1-\varsigma)\mu1^\top`, for every N and T."""

from __future__ import annotations

import sympy as sp

__all__ = ["correlation", "gradients", "power", "three_diagonals"]

rate, distance = sp.symbols("varsigma d", positive=True)


def power(d):
    r"""R to the power d as coefficients of I and of :math:`\mu1^\top`, by induction.

    :math:`\mu1^\top` is idempotent (:math:`1^\top\mu = 1`): with :math:`R^d = x_dI + y_d\mu1^\top`, one more step is
    :math:`x_{d+1} = \varsigma x_d`, :math:`y_{d+1} = \varsigma y_d + (1-\varsigma)(x_d + y_d)`.
    """
    x, y = rate**d, 1 - rate**d
    after = (rate * x, rate * y + (1 - rate) * (x + y))
    if sp.simplify(x.subs(d, 0) - 1) != 0 or sp.simplify(y.subs(d, 0)) != 0:
        raise ArithmeticError("the induction does not start")
    if any(sp.simplify(a - b) != 0 for a, b in zip(after, (rate ** (d + 1), 1 - rate ** (d + 1)), strict=True)):
        raise ArithmeticError("the induction does not go on")
    return x, y


def correlation():
    r"""The factor of C in :math:`\mathrm{cov}(x_{t+d}, x_t) = R^dD - \mu\mu^\top`: with :math:`1^\top D = \mu^\top`."""
    x, y = power(distance)
    # x D + y μμᵀ - μμᵀ = x C + (x + y - 1) μμᵀ
    if sp.simplify(x + y - 1) != 0:
        raise ArithmeticError("the covariance is no multiple of C")
    return x


def three_diagonals(own, neighbour, end):
    r"""Entries of three diagonals times :math:`\Lambda`: inside at distance 0 and d ≥ 1, at an end at 0 and d."""
    at = correlation()
    inside = own * at + neighbour * (at.subs(distance, distance - 1) + at.subs(distance, distance + 1))
    return tuple(
        sp.simplify(entry)
        for entry in (
            own + 2 * neighbour * at.subs(distance, 1),
            inside,
            end + neighbour * at.subs(distance, 1),
            end * at + neighbour * at.subs(distance, distance - 1),
        )
    )


def gradients(a, q, squared, crossed):
    r"""Attention's gradient less its mean, and the factors of VC and PC in the value's; a and q (T, 1) matrices.

    :math:`E X^\top MX` has the entries :math:`\operatorname{tr}(M\,\mathrm{cov}(x_t, x_u)) + \mu^\top M\mu`, and
    :math:`\mu^\top V^\top V\mu`, :math:`\mu^\top V^\top P\mu` drop out with the mean, as a and q sum to 1.
    ``squared`` and ``crossed`` name :math:`\operatorname{tr}V^\top VC` and :math:`\operatorname{tr}V^\top PC`.
    """
    T, at = len(a), correlation()
    chained = sp.Matrix(T, T, lambda t, u: at.subs(distance, abs(t - u)))
    level = sp.Symbol("m")  # of both means' squares, as V mu = P mu = mu
    plain = (squared * chained + level * sp.ones(T, T)) * a - (crossed * chained + level * sp.ones(T, T)) * q
    return plain - sp.ones(T, 1) * (sum(plain) / T), ((a.T * chained * a)[0, 0], -(a.T * chained * q)[0, 0])
