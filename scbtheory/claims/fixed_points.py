r"""Claim R4: the two fixed points of the reduced flow, exactly these, and their types."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import sympy as sp
from scipy.optimize import root

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.claims._scalars import AT, FITTED, LENGTHS, RATES, digits, slope, symbols
from scbtheory.claims.reduction import velocity_statement
from scbtheory.derivations import reduction as sym


def fixed_statement(s, saddle=lambda s: -1 / (s.T * s.K_Q), split=2, growth=lambda s: s.sqrt(s.K_P * s.K_Q), node=None):
    """Node, saddle, the saddle's eigenvalues to order 1/T, trace and determinant at the node."""
    trace, determinant = -(s.K_P + s.K_Q + 1 / s.T), s.K_P / s.T
    if node == "saddle":
        determinant = -determinant
    eigenvalues = tuple(sign * growth(s) - 1 / (split * s.T) for sign in (1, -1))
    return ((1, 1), (saddle(s), 0)), eigenvalues, (trace, determinant)


def _fixed_symbolic(statement):
    stated, eigenvalues, (trace, determinant) = statement(symbols())
    found = sym.fixed_points()
    points = {tuple(sp.simplify(sp.sympify(x).subs(sym.EQUAL)) for x in point) for point in found}
    saddle, node = (next(p for p in found if sym.kind(p) == kind) for kind in ("saddle", "stable node"))
    characteristic = [x.subs(sym.EQUAL) for x in sym.characteristic(node)]
    residuals = [x - y for x, y in zip(sym.eigenvalues(saddle, 1), eigenvalues, strict=True)]
    residuals += [characteristic[0] - trace, characteristic[1] - determinant]
    edge = stated[1][0].subs(1 / sym.T, sym.d).subs(sym.K_Q, sym.q) if stated[1][0] else 0
    residuals += sym.wrong_branch_residuals(edge)
    unexpected = points ^ {tuple(sp.simplify(x) for x in point) for point in stated}
    return len(unexpected) + sum(sp.simplify(x) != 0 for x in residuals) + (not sym.field_is_reduced())


def _fixed_exact(statement):
    """Gröbner bases list every real zero of rational systems; eigenvalues satisfy their equation up to O(1/T²)."""
    alpha, beta, worst = sym.alpha, sym.beta, 0
    for K_P, K_Q, T in ((1, 2, 7), (8, 2, 5), (2, 8, 10**9)):
        s = SimpleNamespace(K_P=sp.Rational(1, K_P), K_Q=sp.Rational(1, K_Q), T=sp.Integer(T), sqrt=sp.sqrt)
        field = velocity_statement(SimpleNamespace(alpha=alpha, beta=beta, **vars(s)))
        zeros = set(sp.solve_poly_system(sp.groebner(field, alpha, beta, order="lex").exprs, alpha, beta))
        stated, eigenvalues, at_node = statement(s)
        worst = max(worst, len(zeros ^ {tuple(sp.sympify(x) for x in point) for point in stated}))
        jacobian = sp.Matrix(field).jacobian([alpha, beta])
        node, saddle = (jacobian.subs({alpha: a, beta: b}) for a, b in stated)
        worst = max(worst, abs(node.trace() - at_node[0]), abs(node.det() - at_node[1]))
        for x in eigenvalues if T > 1000 else ():
            left_over = abs(sp.simplify(x**2 - saddle.trace() * x + saddle.det()))
            worst = max(worst, left_over if left_over > sp.Rational(100, T**2) else 0)
    return worst


def _fixed_numeric(statement):
    """Zeros found from 225 starts, the package's list, the wrong branch, and the slope of the eigenvalues' error."""
    constants = {"K_P": 0.2, "K_Q": 0.5, "T": 20.0}
    stated, _, (trace, determinant) = statement(SimpleNamespace(sqrt=np.sqrt, **constants))
    worst = 0.0
    for start in np.stack(np.meshgrid(*[np.linspace(-3, 3, 15)] * 2), axis=-1).reshape(-1, 2):
        found = root(lambda x: scb.dynamics.velocity(*x, **constants), start, tol=1e-13)
        if found.success and np.abs(found.fun).max() < 1e-12:
            worst = max(worst, min(np.abs(found.x - np.array(p, dtype=float)).max() for p in stated))
    for package, point in zip(scb.dynamics.fixed_points(**constants), stated, strict=True):
        worst = max(worst, np.abs(np.array(package[:2]) - np.array(point, dtype=float)).max())
    wrong = scb.dynamics.flow(t=[50.0, 5e3, 5e4], start=(float(stated[1][0]) - 1e-3, -1e-3), **constants)
    if not (np.all(np.diff(wrong[0]) < 0) and np.all(np.abs(wrong[0] * wrong[1] - 1) < 0.5)):
        worst = math.inf
    low, high = scb.dynamics.fixed_points(**constants)[0].eigenvalues
    worst = max(worst, abs(low + high - trace), abs(low * high - determinant))
    errors = []
    with mp.workdps(40):
        for T in LENGTHS:
            s = digits(T)
            saddle = -1 / (s.T * s.K_Q)
            jacobian = mp.matrix([[0, s.K_P], [s.K_Q, -s.K_Q * saddle**2 - 1 / s.T]])  # at (saddle, 0)
            true = sorted(mp.re(x) for x in mp.eig(jacobian, left=False, right=False))
            errors.append(max(abs(x - y) for x, y in zip(true, sorted(statement(s)[1]), strict=True)))
    return max(worst / 1e-8, abs(slope(errors) + 2) / 0.05)


register(
    Claim(
        "R4",
        "Exactly two fixed points: the truth, and a saddle beside the start",
        r"(1, 1)\ \text{stable};\quad \left(-\tfrac{1}{TK_Q}, 0\right)\ \text{a saddle with eigenvalues } "
        r"\pm\sqrt{K_PK_Q} - \tfrac{1}{2T} + O(T^{-2});\quad \text{no other}",
        "K_P, K_Q, T > 0; locally stable: from β < 0, α < −1/(T K_Q), αβ < 1 the flow runs off to α → −∞ instead",
        fixed_statement,
        (
            Route(
                "symbolic", f"{RATES}: the factors of one velocity, series in 1/T, a region never left", _fixed_symbolic
            ),
            Route(
                "exact",
                "Gröbner bases of three rational systems, T = 5, 7, 10⁹",
                _fixed_exact,
                unit="difference",
            ),
            Route(
                "numeric",
                f"zeros from 225 starts; one beyond the saddle; slope −2 of the eigenvalues' error, {FITTED}; {AT}",
                _fixed_numeric,
                limit=1.0,
                margin=3.0,
                unit="error over its tolerance (1e-8 for zeros, 0.05 for the slope)",
            ),
        ),
        (
            Control("the saddle at the start itself", partial(fixed_statement, saddle=lambda s: 0 * s.T)),
            Control("the saddle at −1/T", partial(fixed_statement, saddle=lambda s: -1 / s.T)),
            Control("growth rate K_P K_Q without the root", partial(fixed_statement, growth=lambda s: s.K_P * s.K_Q)),
            Control("eigenvalues shifted by 1/T, not 1/(2T)", partial(fixed_statement, split=1)),
            Control("(1, 1) a saddle", partial(fixed_statement, node="saddle")),
        ),
    )
)
