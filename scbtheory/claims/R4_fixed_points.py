r"""R4. The two fixed points of the reduced flow, exactly these, and their types."""

from __future__ import annotations

from types import SimpleNamespace

import mpmath as mp
import numpy as np
import sympy as sp
from scipy.optimize import root

import scbtheory as scb
from scbtheory.claims._reduction import velocity
from scbtheory.claims._scalars import AT, FITTED, LENGTHS, RATES, digits, growth, slope, symbols
from scbtheory.derivations import reduction as sym
from scbtheory.verification.bundles import Scalars
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import worse


def statement(s: Scalars):
    """Node, saddle, the saddle's eigenvalues to order 1/T, trace and determinant at the node."""
    return quantities(s, -1 / (s.T * s.K_Q), growth(s), 1 / (2 * s.T))


def quantities(s, saddle, rate, shift):
    at_node = -(s.K_P + s.K_Q + 1 / s.T), s.K_P / s.T
    return ((1, 1), (saddle, 0)), (rate - shift, -rate - shift), at_node


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    stated, eigenvalues, (trace, determinant) = statement(symbols())
    found = sym.fixed_points()
    points = {tuple(sp.simplify(sp.sympify(x).subs(sym.EQUAL)) for x in point) for point in found}
    saddle, node = (next(p for p in found if sym.kind(p) == kind) for kind in ("saddle", "stable node"))
    characteristic = [x.subs(sym.EQUAL) for x in sym.characteristic(node)]
    edge = stated[1][0].subs(1 / sym.T, sym.d).subs(sym.K_Q, sym.q) if stated[1][0] else 0

    def failing(*residuals):
        return sum(sp.simplify(x) != 0 for x in residuals)

    return {
        "fixed points that differ": len(points ^ {tuple(sp.simplify(x) for x in point) for point in stated}),
        "terms of the eigenvalues": failing(
            *(x - y for x, y in zip(sym.eigenvalues(saddle, 1), eigenvalues, strict=True))
        ),
        "terms at the node": failing(characteristic[0] - trace, characteristic[1] - determinant),
        "conditions of the wrong branch that fail": failing(*sym.wrong_branch_residuals(edge)),
        "terms of the flow": int(not sym.field_is_reduced()),
    }


def by_groebner(statement):
    """Gröbner bases list every real zero of rational systems; eigenvalues satisfy their equation up to O(1/T²)."""
    alpha, beta = sym.alpha, sym.beta
    found = {"zeros that differ": 0, "trace and determinant at the node": 0, "eigenvalue equation, times T²/100": 0}
    for K_P, K_Q, T in ((1, 2, 7), (8, 2, 5), (2, 8, 10**9)):
        s = SimpleNamespace(K_P=sp.Rational(1, K_P), K_Q=sp.Rational(1, K_Q), T=sp.Integer(T), sqrt=sp.sqrt)
        field = velocity(SimpleNamespace(alpha=alpha, beta=beta, **vars(s)))
        zeros = set(sp.solve_poly_system(sp.groebner(field, alpha, beta, order="lex").exprs, alpha, beta))
        stated, eigenvalues, at_node = statement(s)
        jacobian = sp.Matrix(field).jacobian([alpha, beta])
        node, saddle = (jacobian.subs({alpha: a, beta: b}) for a, b in stated)
        # What is left over is of order 1/T²: it counts beyond 100/T².
        left = [abs(sp.simplify(x**2 - saddle.trace() * x + saddle.det())) for x in eigenvalues] if T > 1000 else [0]
        here = (
            len(zeros ^ {tuple(sp.sympify(x) for x in point) for point in stated}),
            max(abs(node.trace() - at_node[0]), abs(node.det() - at_node[1])),
            max(x * T**2 / 100 for x in left),
        )
        found = {name: worse(old, new) for (name, old), new in zip(found.items(), here, strict=True)}
    return found


def by_search(statement):
    """Zeros found from 225 starts, the package's list, the wrong branch, and the slope of the eigenvalues' error."""
    constants = {"K_P": 0.2, "K_Q": 0.5, "T": 20.0}
    stated, _, (trace, determinant) = statement(SimpleNamespace(sqrt=np.sqrt, **constants))
    points = [np.array(p, dtype=float) for p in stated]
    zeros = 0.0
    for start in np.stack(np.meshgrid(*[np.linspace(-3, 3, 15)] * 2), axis=-1).reshape(-1, 2):
        found = root(lambda x: scb.dynamics.velocity(*x, **constants), start, tol=1e-13)
        if found.success and np.abs(found.fun).max() < 1e-12:
            zeros = max(zeros, min(np.abs(found.x - p).max() for p in points))
    package = scb.dynamics.fixed_points(**constants)
    wrong = scb.dynamics.flow(t=[50.0, 5e3, 5e4], start=(float(stated[1][0]) - 1e-3, -1e-3), **constants)
    runs_off = np.all(np.diff(wrong[0]) < 0) and np.all(np.abs(wrong[0] * wrong[1] - 1) < 0.5)
    low, high = package[0].eigenvalues
    errors = []
    with mp.workdps(40):
        for T in LENGTHS:
            s = digits(T)
            saddle = -1 / (s.T * s.K_Q)
            jacobian = mp.matrix([[0, s.K_P], [s.K_Q, -s.K_Q * saddle**2 - 1 / s.T]])  # at (saddle, 0)
            true = sorted(mp.re(x) for x in mp.eig(jacobian, left=False, right=False))
            errors.append(max(abs(x - y) for x, y in zip(true, sorted(statement(s)[1]), strict=True)))
    return {
        "distance of a zero from the list": zeros,
        "distance of the package's list": max(
            np.abs(np.array(x[:2]) - p).max() for x, p in zip(package, points, strict=True)
        ),
        "trace and determinant at the node": max(abs(low + high - trace), abs(low * high - determinant)),
        "starts beyond the saddle that come back": int(not runs_off),
        "distance of the eigenvalues' slope from −2": abs(slope(errors) + 2),
    }


# --- controls ------------------------------------------------------------------------------------


def saddle_at_the_start(s: Scalars):
    return quantities(s, 0 * s.T, growth(s), 1 / (2 * s.T))


def saddle_at_one_over_T(s: Scalars):
    return quantities(s, -1 / s.T, growth(s), 1 / (2 * s.T))


def growth_without_root(s: Scalars):
    return quantities(s, -1 / (s.T * s.K_Q), s.K_P * s.K_Q, 1 / (2 * s.T))


def shifted_twice(s: Scalars):
    return quantities(s, -1 / (s.T * s.K_Q), growth(s), 1 / s.T)


def truth_a_saddle(s: Scalars):
    points, eigenvalues, (trace, determinant) = statement(s)
    return points, eigenvalues, (trace, -determinant)


CLAIM = Claim(
    id="R4",
    title="Exactly two fixed points: the truth, and a saddle beside the start",
    text=r"""
On the plane the flow of {claim}`R2` has exactly two fixed points:

- $(1, 1)$, the truth, a stable node;
- $(-1/(T K_Q),\, 0)$, a saddle with the eigenvalues

$$
\pm\omega - \frac{1}{2T} + O(T^{-2}), \qquad \omega = \sqrt{K_P K_Q}.
$$ (eq-saddle)

The truth does not attract from everywhere: from $\beta < 0$, $\alpha < -1/(TK_Q)$, $\alpha\beta < 1$ the flow runs off
to $\alpha \to -\infty$.
""",
    assumptions="K_P, K_Q, T > 0; stable locally",
    scope="Proved for all positive $K_P$, $K_Q$ and $T$; that the error is of order $1/T^2$ is also measured. "
    "Off the plane there are more critical points ({claim}`G8`).",
    nature="theorem",
    chapter="reduction",
    rests_on=("R2",),
    statement=statement,
    routes=(
        Route("symbolic", f"{RATES}: the factors of one velocity, series in 1/T, a region never left", derived),
        Route(
            "exact",
            "Gröbner bases of three rational systems, T = 5, 7, 10⁹",
            by_groebner,
            {"zeros that differ": 0, "trace and determinant at the node": 0, "eigenvalue equation, times T²/100": 0.1},
        ),
        Route(
            "numeric",
            f"zeros from 225 starts; one beyond the saddle; slope −2 of the eigenvalues' error, {FITTED}; {AT}",
            by_search,
            {
                "distance of a zero from the list": 1e-8,
                "distance of the package's list": 1e-8,
                "trace and determinant at the node": 1e-8,
                "starts beyond the saddle that come back": 0,
                "distance of the eigenvalues' slope from −2": 0.005,
            },
            margin=3.0,
        ),
    ),
    controls=(
        Control("the saddle at the start itself", saddle_at_the_start),
        Control("the saddle at −1/T", saddle_at_one_over_T),
        Control("growth rate K_P K_Q without the root", growth_without_root),
        Control("eigenvalues shifted by 1/T, not 1/(2T)", shifted_twice),
        Control("(1, 1) a saddle", truth_a_saddle),
    ),
)
