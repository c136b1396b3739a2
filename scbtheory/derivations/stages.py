r"""S1 to S7: each stage in closed form, for all positive rates; the order of an asymptotic error is **measured**.

In the rates :math:`p = \eta_AK_P`, :math:`q = \eta_VK_Q`, :math:`d = \eta_V/T` every choice of step sizes is one
system, :data:`~scbtheory.derivations.reduction.FIELD`. Exact are S1's solution and its two-sided bound,
all of S2, the gap in S4, S6 and S7. Formal expansions in d, each up to the order that its docstring names, are the half
time of S3 and S4 and the creep of S5: SymPy proves their coefficients, not the size of what is left out.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from scbtheory.derivations import gradients
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import Rules, T, normal
from scbtheory.derivations.reduction import FIELD, RULES, UNIFORM, alpha, averaged, beta, d, fixed_points, p, q

__all__ = [
    "C",
    "E",
    "along",
    "bound_residuals",
    "conserved_residual",
    "creep",
    "drift_residual",
    "gap_residuals",
    "half_time",
    "half_time_correction",
    "held_velocity",
    "k",
    "least_square",
    "linear_residuals",
    "omega",
    "rounding_residuals",
    "scaled_residuals",
    "slow_eigenvalue",
    "sparsity",
    "speed_residual",
    "stage_two_end",
    "step_residuals",
    "surviving",
    "t",
    "trajectory_residuals",
    "u",
    "vanishes",
]

t, tau, y, z = sp.symbols("t tau y z", real=True)
r, delta, Y = sp.symbols("r delta Y", positive=True)  # r = (p/q)^¼, δ = d/ω, Y = √2
k, E, R, u = sp.symbols("k E R u", positive=True)  # k = 2ω; R² = c² + k²
n, eta = sp.Symbol("n", integer=True, positive=True), sp.Symbol("eta", positive=True)
C = sp.sqrt(R**2 - k**2)  # c, written so that expressions are rational in R and k
omega = sp.sqrt(p * q)
DRIFT_FREE = tuple(f.subs(d, 0) for f in FIELD)


def along(quantity, field=FIELD):
    r"""The time derivative of a function of :math:`(\alpha, \beta)` along a field."""
    return sp.diff(quantity, alpha) * field[0] + sp.diff(quantity, beta) * field[1]


def vanishes(expr) -> bool:
    """Decide whether an expression of exponentials, roots and logarithms of positive numbers is 0."""
    expr = sp.expand_log(sp.expand(sp.sympify(expr).rewrite(sp.exp)), force=True)
    return sp.simplify(sp.expand(expr)) == 0


def surviving(*residuals) -> int:
    """How many of several expressions are not 0."""
    return sum(not vanishes(x) for x in residuals)


# --- S1 ------------------------------------------------------------------------------------------


def linear_residuals(alpha_t, beta_t, p, q, d):
    r"""S1 solves :math:`\dot\alpha = p\beta,\ \dot\beta = q\alpha + d` from (0, 0): four expressions that must vanish.

    Those are FIELD's terms of first order in (alpha, beta) but for :math:`-d\beta`, which
    :func:`bound_residuals` accounts for.
    """
    return (
        sp.diff(alpha_t, t) - p * beta_t,
        sp.diff(beta_t, t) - q * alpha_t - d,
        alpha_t.subs(t, 0),
        beta_t.subs(t, 0),
    )


def step_residuals(alpha_n, beta_n, p, q, d):
    r"""S1's steps, :math:`\alpha_{n+1} = \alpha_n + \eta p\beta_n,\ \beta_{n+1} = \beta_n + \eta(q\alpha_n + d)`.

    They begin at (0, 0): four expressions that must vanish.
    """
    ahead = [sp.expand(x.subs(n, n + 1)) for x in (alpha_n, beta_n)]
    return (
        sp.expand(ahead[0] - alpha_n - eta * p * beta_n),
        sp.expand(ahead[1] - beta_n - eta * (q * alpha_n + d)),
        alpha_n.subs(n, 0),
        beta_n.subs(n, 0),
    )


def bound_residuals(alpha_t, beta_t, error, p, q, d):
    r"""S1 with a factor :math:`1-\rho(t)` is a lower bound of the flow while S1's product is below 1.

    Along the flow :math:`\dot\alpha = p\beta(1-u)`, :math:`\dot\beta = q\alpha(1-u) + d(1-\beta)` is a linear system
    with the given function u(t). As :math:`\alpha, \beta, u \ge 0`, :math:`\dot\alpha \le p\beta` and
    :math:`\dot\beta \le q\alpha + d` whatever u is, so S1, the cooperative system with equality, is an upper bound at
    every time, and u is below S1's product :math:`u_1 = \alpha_1\beta_1`. While that is below 1, the flow's own system
    is cooperative, too, and :math:`(1-\rho)(\alpha_1, \beta_1)` is a subsolution once
    :math:`\dot\rho\ge p\beta_1^2` and :math:`\dot\rho\ge q\alpha_1^2 + d`. Both follow from
    :math:`\dot\rho = p\beta_1^2 + d` and :math:`p\beta_1^2 - q\alpha_1^2 = 2d\alpha_1 \ge 0`, which
    are returned with :math:`\rho(0)` to be shown to vanish.
    """
    return (
        sp.diff(error, t) - p * beta_t**2 - d,
        p * beta_t**2 - q * alpha_t**2 - 2 * d * alpha_t,
        error.subs(t, 0),
    )


# --- S2 ------------------------------------------------------------------------------------------


def conserved_residual(quantity):
    """S2: the drift-free derivative of a stated invariant."""
    return sp.expand(along(quantity, DRIFT_FREE))


def drift_residual(quantity):
    r"""S2: what the drift adds to the rate of a stated invariant, against :math:`2pd\,\beta(1-\beta)`."""
    return sp.expand(along(quantity) - along(quantity, DRIFT_FREE) - 2 * p * d * beta * (1 - beta))


def speed_residual(speed, invariant):
    r"""S2: :math:`\dot u = (1-u)(p\beta^2+q\alpha^2)` along the drift-free field, against a stated speed(u, c).

    The square of the bracket is :math:`c^2+4pqu^2`; it is positive, so that comparing squares decides up to a
    sign, which one point with u < 1 decides.
    """
    product = alpha * beta
    found, stated = along(product, DRIFT_FREE), speed(product, invariant)
    point = {alpha: sp.Rational(1, 3), beta: sp.Rational(1, 2), p: 2, q: 3}
    if not (found * stated).subs(point).is_positive:
        return sp.Integer(1)
    return sp.expand(found**2 - stated**2)


def trajectory_residuals(product, odds, rate):
    r"""S2: u as a function of E with :math:`\dot E = RE` solves the equation, and ``odds`` gives E where u starts.

    With c written as :math:`\sqrt{R^2-k^2}`, k = 2ω, everything is rational in R, k and E. Squares are compared,
    as u rises; for the start, E(u(E)) = E with the root of :math:`c^2+k^2u^2` replaced by :math:`u'/(1-u)`, which
    the first residual allows.
    """
    found = R * E * sp.diff(product, E)
    root = found / (1 - product)
    return tuple(
        sp.expand(sp.numer(sp.together(x)))
        for x in (
            found**2 - (1 - product) ** 2 * (C**2 + k**2 * product**2),
            odds(product, root) - E,
            rate - R,
        )
    )


# --- S3 and S4: the half time --------------------------------------------------------------------


@cache
def half_time():
    r"""S3, leading order: match the rise of S1's product to the early logistic, :math:`e^{2\omega(t-t_{1/2})}`.

    As :math:`\omega t\to\infty` S1's product is :math:`\frac{d^2}{4q\omega}e^{2\omega t}`, up to factors
    :math:`1+O(e^{-\omega t})`; both forms hold where :math:`1 \ll \omega t \ll \omega t_{1/2}`.
    """
    rise = (sp.cosh(tau) - 1) * d / q * sp.sinh(tau) * d / omega
    amplitude = sp.limit(sp.expand(rise.rewrite(sp.exp)) * sp.exp(-2 * tau), tau, sp.oo)
    half = sp.Symbol("half", positive=True)
    logistic = 1 / (1 + sp.exp(-2 * (tau - half)))
    early = sp.limit(logistic * sp.exp(-2 * tau), tau, -sp.oo)  # e^{-2 half}
    return sp.solve(sp.log(amplitude) - sp.log(early).simplify(), half)[0] / omega


def scaled_residuals():
    r"""S3's variables :math:`\tau = \omega t`, :math:`y = \alpha/r + r\beta`, :math:`z = r\beta - \alpha/r`.

    With :math:`\delta = d/\omega`,
    :math:`y' = y(1-u) + \delta(r - \frac{y+z}2)`, :math:`z' = -z(1-u) + \delta(r-\frac{y+z}2)`,
    :math:`u = \frac{y^2-z^2}4`, for :math:`r = (p/q)^{1/4}`. Three expressions that vanish.
    """
    scale = (p / q) ** sp.Rational(1, 4)
    new_y, new_z = alpha / scale + scale * beta, scale * beta - alpha / scale
    source = d / omega * (scale - scale * beta)
    rest = 1 - alpha * beta
    return (
        sp.expand(along(new_y) / omega - new_y * rest - source),
        sp.expand(along(new_z) / omega + new_z * rest - source),
        sp.expand(4 * alpha * beta - new_y**2 + new_z**2),
    )


@cache
def half_time_correction():
    r"""S3, next order: what is added to the leading half time, in order :math:`\delta\log\delta` and :math:`\delta`.

    :math:`\tau_{1/2} = \int_0^{\sqrt2} dy/y'`, for which z matters only through the source, as :math:`z = O(\delta)`:

    - the linear part :math:`\int_0^Y dy/\ell`, :math:`\ell = y + \delta(r - y/2)`, gives the logarithm;
    - saturation, :math:`\int_0^Y [1/(\ell - y^3/4) - 1/\ell]dy`, is regular in :math:`\delta`;
    - the asymmetry :math:`-\delta z/2` counts where y is of order :math:`\delta`; there
      :math:`y = \delta r(e^\tau-1)` and :math:`z = \delta r\,y/(y+\delta r)`; its share is
      :math:`\int_0^\infty \frac{\delta z}{2(y+\delta r)^2}dy`.

    The leading order comes out as well, and must be :func:`half_time`: an error otherwise.
    """
    length = sp.Symbol("L", positive=True)  # log(Y/(δ r))
    linear = (length + sp.log(1 - delta / 2 + delta * r / Y)) / (1 - delta / 2)
    linear = sp.series(linear, delta, 0, 2).removeO()
    ell = y + delta * (r - y / 2)
    gap = 1 / (ell - y**3 / 4) - 1 / ell
    parts = [sp.factor(sp.diff(gap, delta, n).subs(delta, 0)) for n in (0, 1)]
    saturation = [_integral(part, sp.sqrt(2)) for part in parts]
    x = sp.Symbol("x", positive=True)  # y/(δ r)
    asymmetry = delta / 2 * sp.integrate(x / (1 + x) ** 3, (x, 0, sp.oo))
    total = (linear + saturation[0] + delta * saturation[1] + asymmetry).subs(Y, sp.sqrt(2))
    total = sp.expand(total)
    leading, correction = total.coeff(delta, 0), total.coeff(delta, 1) * delta
    scales = {r: (p / q) ** sp.Rational(1, 4), delta: d / omega}
    leading, correction = (
        x.subs(length, sp.log(sp.sqrt(2) / (delta * r))).subs(scales) / omega for x in (leading, correction)
    )
    if not vanishes(leading - half_time()):
        raise ArithmeticError("the integral's leading order is not the matched half time")
    return correction


ROOT = sp.sqrt(2)
SURDS = {sp.log(2 + sign * ROOT): sp.log(2) / 2 + sign * sp.log(1 + ROOT) for sign in (1, -1)}  # 2 ± √2 = √2 (1+√2)^±1


def _integral(rational, upper):
    """The integral of a rational function of y from 0, its antiderivative checked by differentiation."""
    antiderivative = sp.integrate(sp.apart(rational, y), y)
    if sp.simplify(sp.diff(antiderivative, y) - rational) != 0:
        raise ArithmeticError(f"wrong antiderivative of {rational}")
    value = antiderivative.subs(y, upper) - antiderivative.subs(y, 0)
    # Logarithms of negative numbers differ by the same multiple of iπ at both ends: take absolute values.
    return sp.expand(sp.simplify(value.replace(sp.log, lambda x: sp.log(sp.Abs(x)))).subs(SURDS))


def stage_two_end():
    r"""S4: the point with :math:`p\beta^2 = q\alpha^2` and :math:`\alpha\beta = 1`, both positive."""
    positive = sp.symbols("x_alpha x_beta", positive=True)
    invariant = p * positive[1] ** 2 - q * positive[0] ** 2
    (point,) = sp.solve([invariant, positive[0] * positive[1] - 1], positive, dict=True)
    return point[positive[0]], point[positive[1]]


def gap_residuals(gap, drift):
    r"""S4, balanced steps: :math:`0\le\beta-\alpha\le g` at every time, for the stated g; exact for g = drift d.

    The region :math:`0\le\beta-\alpha\le d,\ \alpha\beta\le1,\ \alpha,\beta\ge0` holds the start and cannot be left.
    On :math:`\beta-\alpha = d` the gap's speed is :math:`-d\beta(1-\alpha)`, not positive as :math:`\alpha\ge1` would
    make the product exceed 1; on :math:`\alpha = \beta` it is :math:`d(1-\beta)`, not negative as there
    :math:`\beta\le1`; on :math:`\alpha\beta = 1` the product's speed is :math:`d\alpha(1-\beta)`, not positive as there
    :math:`\beta\ge1`. On the axes both velocities point inside. The three speeds are returned less what they must be.
    """
    balanced = tuple(f.subs({p: 1, q: 1, d: drift}) for f in FIELD)
    speed = along(beta - alpha, balanced)
    product = along(alpha * beta, balanced)
    return (
        sp.expand((speed + gap * beta * (1 - alpha)).subs(beta, alpha + gap)),
        sp.expand(speed.subs(alpha, beta) - drift * (1 - beta)),
        sp.simplify((product - drift * alpha * (1 - beta)).subs(alpha, 1 / beta)),
    )


# --- S5 ------------------------------------------------------------------------------------------


def creep():
    r"""S5: ``(h, v)`` of the slow manifold :math:`\alpha = 1/\beta + d\,h(\beta)`;  :math:`\dot\beta = d\,v(\beta)`.

    A curve is invariant when :math:`\dot\alpha = \alpha'(\beta)\dot\beta`; at order d that is linear in h.
    """
    h = sp.Symbol("h")
    x = sp.Symbol("beta", positive=True)
    point = {alpha: 1 / x + d * h, beta: x}
    rates = [sp.diff(f.subs(point), d).subs(d, 0) for f in FIELD]  # at d = 0 both vanish on αβ = 1
    (solution,) = sp.solve(sp.expand(rates[0] + rates[1] / x**2), h)
    back = {x: beta}
    return sp.factor(solution).subs(back), sp.factor(rates[1].subs(h, solution)).subs(back)


def slow_eigenvalue(order=2):
    """S5: the coefficients of d, d², … of the eigenvalue at (1, 1) that vanishes with d, by implicit expansion."""
    node = next(point for point in fixed_points() if point == (1, 1))
    jacobian = sp.Matrix(FIELD).jacobian([alpha, beta]).subs({alpha: node[0], beta: node[1]})
    unknown = sp.symbols(f"x1:{order + 1}")
    guess = sum(x * d ** (n + 1) for n, x in enumerate(unknown))
    equation = sp.expand((jacobian - guess * sp.eye(2)).det())
    values = {}
    for n, x in enumerate(unknown, start=1):
        (values[x],) = sp.solve(equation.coeff(d, n).subs(values), x)
    return [sp.factor(values[x]) for x in unknown]


# --- S6 and S7 -----------------------------------------------------------------------------------

support = sp.MatrixSymbol("w", s.q.rows, 1)  # the indicator of the s positions that q may use
sparsity = sp.Symbol("s", positive=True)


def rounding_residuals(low, high, signal, total, q_min):
    r"""S6: on the plane, attention is ``low`` off the support, at least ``high`` on it, and ``signal`` = total q.

    An entry is :math:`1/T + \alpha(q_t - 1/T)`, increasing in :math:`q_t` for alpha > 0: at 0 and at the least positive
    entry it gives both ends. The last residual says that ``total`` is the sum of ``signal``: normalising divides by it.
    """
    entry = sp.Symbol("q_t", nonnegative=True)
    attention = 1 / T + alpha * (entry - 1 / T)
    signal_rest = normal(signal - total * s.q, RULES)
    sum_rest = normal(s.tr(s.one_T.T * signal), RULES).subs(UNIFORM) - total
    return (
        sp.simplify(attention.subs(entry, 0) - low),
        sp.simplify(attention.subs(entry, q_min) - high),
        sp.Integer(len(signal_rest)),
        sp.simplify(sum_rest),
    )


def held_velocity(V=s.V):
    r"""S7: minus the projected gradient in V at a = q, averaged over triggers, as a normal form; any admissible V."""
    sample = gradients.projected_sample_V().xreplace({s.a: s.q})
    found = gradients.expected(sample, s.ALWAYS + s.ADMISSIBLE)
    return {word: averaged(-x) for word, x in found.items()}


def least_square():
    r"""S7: the least :math:`\|q\|^2` at sparsity s, as :math:`\|q\|^2 - \|q - w/s\|^2`, attained where q = w/s.

    The support's indicator w has :math:`w^\top q = 1` and :math:`w^\top w = s`; the subtracted square is not negative.
    """
    rules = s.ALWAYS + Rules((support.T * s.q, 1), (support.T * support, sparsity))
    deviation = s.q - support / sparsity
    return sp.simplify(normal(s.dot(s.q, s.q) - s.dot(deviation, deviation), rules))
