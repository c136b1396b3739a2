r"""L4 for two tokens and two positions, from the log-likelihood of one sample by differentiation.

Parameters are free: of trigger k the weights are :math:`(x_k, 1 - x_k)`, of :math:`P` the columns
:math:`(1 - u, u)` and :math:`(w, 1 - w)`; tokens have the law :math:`(1 - m, m)`, a symbol of its own.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import sympy as sp

__all__ = ["bounds", "cells", "directions", "errors", "information", "least_squares", "score_mean"]

x_0, x_1, u, w, m = sp.symbols("x_0 x_1 u w m", positive=True)
PARAMETERS = (x_0, x_1, u, w)
P = sp.Matrix([[1 - u, w], [u, 1 - w]])
MU = (1 - m, m)
WEIGHTS = ((x_0, 1 - x_0), (x_1, 1 - x_1))
VALUES = {
    x_0: sp.Rational(1, 3),
    x_1: sp.Rational(3, 5),
    u: sp.Rational(1, 4),
    w: sp.Rational(1, 8),
    m: sp.Rational(2, 3),
}
"""A point with :math:`P\\mu = \\mu`."""


def cells():
    """Yield (probability of the trigger and the copied tokens, law of the output) by the definition of a sample."""
    for k, first, second in product(range(2), repeat=3):
        law = [WEIGHTS[k][0] * P[n, first] + WEIGHTS[k][1] * P[n, second] for n in range(2)]
        yield MU[k] * MU[first] * MU[second], law


@cache
def information():
    """Minus the mean of the log-likelihood's second derivatives."""
    total = sp.zeros(4, 4)
    for weight, law in cells():
        for p in law:
            total -= weight * p * sp.hessian(sp.log(p), PARAMETERS)
    return total.applyfunc(sp.together)


def score_mean():
    """The mean of the log-likelihood's first derivatives: 0."""
    total = sp.zeros(4, 1)
    for weight, law in cells():
        for p in law:
            total += weight * p * sp.Matrix([sp.diff(sp.log(p), z) for z in PARAMETERS])
    return total.applyfunc(sp.simplify)


def directions(known: bool):
    r"""How all entries (weights of trigger 0 and 1, P row by row) move with the free parameters.

    With :math:`\mu` known, u and w move together, :math:`(1 - m)\,u = m\,w`: one parameter for both.
    """
    entries = sp.Matrix([*WEIGHTS[0], *WEIGHTS[1], *P])
    moves = entries.jacobian(PARAMETERS)
    return moves * sp.Matrix([[1, 0, 0], [0, 1, 0], [0, 0, m], [0, 0, 1 - m]]) if known else moves


def errors(covariance):
    """Both errors, weighed by the frequencies."""
    frequencies = [MU[0], MU[0], MU[1], MU[1]], [MU[0], MU[1], MU[0], MU[1]]
    diagonal = [covariance[i, i] for i in range(8)]
    return tuple(
        sp.nsimplify(sum(f * d for f, d in zip(weight, part, strict=True)).subs(VALUES))
        for weight, part in zip(frequencies, (diagonal[:4], diagonal[4:]), strict=True)
    )


@cache
def bounds(known: bool):
    """The bound at ``VALUES``: the inverse of the information of the parameters that are free."""
    inner = (sp.Matrix([[1, 0, 0], [0, 1, 0], [0, 0, m], [0, 0, 1 - m]]) if known else sp.eye(4)).subs(VALUES)
    moves = directions(known).subs(VALUES)
    return errors(moves * (inner.T * information().subs(VALUES) * inner).inv() * moves.T)


@cache
def least_squares(known: bool):
    """The sandwich at ``VALUES`` from the first and second derivatives of one sample's squared loss."""
    curvature, noise = sp.zeros(4, 4), sp.zeros(4, 4)
    for weight, law in cells():
        for n, p in enumerate(law):
            loss = sum((int(i == n) - q) ** 2 for i, q in enumerate(law)) / 2
            slope = sp.Matrix([sp.diff(loss, z) for z in PARAMETERS])
            chance = (weight * p).subs(VALUES)
            curvature += chance * sp.hessian(loss, PARAMETERS).subs(VALUES)
            noise += chance * (slope * slope.T).subs(VALUES)
    inner = (sp.Matrix([[1, 0, 0], [0, 1, 0], [0, 0, m], [0, 0, 1 - m]]) if known else sp.eye(4)).subs(VALUES)
    moves = directions(known).subs(VALUES)
    back = (inner.T * curvature * inner).inv()
    return errors(moves * back * (inner.T * noise * inner) * back * moves.T)
