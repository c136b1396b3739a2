r"""X4: softmax attention with two unequal positions a column finds one after the other; leading order in 1/T.

Every column of Q has :math:`q_1 > q_2` on two positions. Attention is :math:`a` on the first; the logits' ratios
to the other T - 2 are :math:`y_1 = e^{w_1-w_0}`, :math:`y = e^{w_2-w_0}`. Steps are balanced, logits sped up by a
factor s. The orders are formal: :math:`T \to \infty` with what is held fixed named at each function.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from scbtheory.derivations import reduction

__all__ = ["conserved", "derived", "fast", "first_wins", "is_conserved", "race", "slow", "velocity"]

a, y, u, beta = sp.symbols("a y u beta", positive=True)  # u = 1/y
q_1, q_2, eps, speed, sigma = sp.symbols("q_1 q_2 epsilon s sigma", positive=True)  # eps = 1/T
K_Q = reduction.K_Q


@cache
def velocity(first, second):
    r"""``(d log y_1, d log y, da, dbeta)`` at :math:`y_1` and y, for every T.

    On :math:`V = \mu1^\top + \beta P'`, G5 gives :math:`-G_a = K_P[\beta(q - 1/T) - \beta^2(a - 1/T)]` and
    :math:`\dot\beta = \langle Q,A\rangle_\mu - \beta\|A\|_\mu^2` for any attention that sums to 1. J removes constants.
    Balanced steps divide the first by K_P and the second by K_Q. Columns stay equal, so three levels suffice.
    """
    rest = 1 / eps - 2
    total = first + second + rest
    levels, sizes = (first / total, second / total, 1 / total), (1, 1, rest)
    pull = [beta * q - beta**2 * x for q, x in zip((q_1, q_2, 0), levels, strict=True)]
    logits = [speed * x for x in _times_jacobian(levels, sizes, pull)]
    attention = _times_jacobian(levels, sizes, logits)
    power = sum(n * x**2 for n, x in zip(sizes, levels, strict=True))
    d_beta = (q_1 * levels[0] + q_2 * levels[1] - beta * power) / K_Q
    return logits[0] - logits[2], logits[1] - logits[2], attention[0], d_beta


def _times_jacobian(levels, sizes, g):
    mean = sum(n * x * h for n, x, h in zip(sizes, levels, g, strict=True))
    return [x * (h - mean) for x, h in zip(levels, g, strict=True)]


def race():
    r"""The limit of :math:`\dot y_i/(s\epsilon\beta)` at fixed :math:`y_1, y` and :math:`\beta = O(\epsilon)`."""
    y_1, z = sp.symbols("y_1 z", positive=True)
    rates = [rate.subs(beta, z * eps) for rate in velocity(y_1, y)[:2]]
    return [
        sp.limit(sp.cancel(n * rate / (speed * z * eps**2)), eps, 0) for n, rate in zip((y_1, y), rates, strict=True)
    ]


def first_wins():
    r"""1/y when :math:`y_1` diverges: both solve :math:`dy/d\sigma = qy^2` from 1, so :math:`1/y = 1 - q\sigma`."""
    x = sp.Function("x")
    ends = []
    for rate, q in zip(race(), (q_1, q_2), strict=True):
        [n] = rate.free_symbols - {q}
        equation = sp.Eq(x(sigma).diff(sigma), rate.subs(n, x(sigma)))
        ends.append(1 / sp.dsolve(equation, x(sigma), ics={x(0): 1}).rhs)
    [end] = sp.solve(ends[0], sigma)
    return sp.simplify(ends[1].subs(sigma, end))


def _expanded(part, order):
    r"""A coefficient in :math:`\epsilon` of a velocity at fixed a, y, with :math:`s = a^{-2}`."""
    rest = 1 / eps - 2
    first = a * (y + rest) / (1 - a)  # the ratio that puts a on the first position
    found = sp.cancel(sp.together(velocity(first, y)[part].subs(speed, a**-2)))
    return sp.simplify(sp.diff(found, eps, order).subs(eps, 0) if order else sp.limit(found, eps, 0))


def fast():
    r"""``(da, dbeta)`` at :math:`T = \infty`: at rest where :math:`a\beta = q_1`."""
    return _expanded(2, 0), _expanded(3, 0)


def conserved():
    r""":math:`H = \beta^2/2 - [a/(1-a) + \log(1-a)]/K_Q`, which is 0 at the start."""
    return beta**2 / 2 - (a / (1 - a) + sp.log(1 - a)) / K_Q


@cache
def is_conserved() -> bool:
    """Whether the fast flow keeps H, starts where H is 0, and rests on the plateau and nowhere else inside."""
    d_a, d_beta = fast()
    H = conserved()
    change = sp.simplify(sp.diff(H, a) * d_a + sp.diff(H, beta) * d_beta)
    zero = sp.limit(H.subs(beta, 0), a, 0)
    rests = {sp.factor(sp.solve(sp.cancel(v / factor), beta)[0]) for v, factor in ((d_a, beta), (d_beta, 1))}
    return change == 0 and zero == 0 and rests == {q_1 / a}


def slow():
    r""":math:`du/d\theta` and :math:`dH/d\theta` on the plateau, at :math:`\theta = t/T`: terms of order 1/T."""
    H = conserved()
    plateau = {beta: q_1 / a}
    push = sp.diff(H, a) * _expanded(2, 1) + sp.diff(H, beta) * _expanded(3, 1)
    decay = -_expanded(1, 1) / y  # of u = 1/y: du = -u d log y
    return [sp.simplify(x.subs(plateau).subs(y, 1 / u)) for x in (decay, push)]


@cache
def derived():
    r"""X4 as derived: u where the first position has won, :math:`du/d\theta`, :math:`dH/d\theta`, and :math:`\beta^2`
    on the way to the plateau, where H is 0.
    """
    return first_wins(), *slow(), sp.solve(conserved(), beta**2)[0]
