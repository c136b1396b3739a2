r"""N1 to N3 and N5 from the gradients of one sample, for every N and T.

Means are taken by ``sums``, on the set :math:`1^\top a = 1`, :math:`1^\top V = 1^\top`, :math:`V\mu = \mu`. N2's orders
and N5's leading terms are limits of exact expressions in T. N5's recursion is linear: what it leaves
out is written at :func:`unstable_direction`, :func:`sign_ratio` and :func:`added_variance`.
"""

from __future__ import annotations

import sympy as sp

from scbtheory.derivations import gradients, reduction
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import N, T
from scbtheory.derivations.sums import a_t, mean, number, p, q_t, reduced

__all__ = [
    "K_P",
    "K_Q",
    "PLANE",
    "added_variance",
    "alpha",
    "attention_variance",
    "batch",
    "beta",
    "beta_gradient",
    "coordinate",
    "drift",
    "leading",
    "linear_step",
    "mean_along_change",
    "mean_push",
    "n",
    "noise",
    "on_plane",
    "rate",
    "recursion",
    "sign_noise",
    "sign_ratio",
    "start_gradient",
    "step_A",
    "step_V",
    "trap",
    "unstable_direction",
    "value_second_moment",
    "w",
]

alpha, beta = sp.symbols(r"\alpha \beta", real=True)
PLANE = s.mu * s.one_N.T + beta * (s.P - s.mu * s.one_N.T)
r"""The value matrix :math:`V = \mu 1^\top + \beta P'` of R."""


def on_plane(expr):
    r"""Put :math:`a = \frac{1-\alpha}{T} 1 + \alpha q` into power sums; what is left are :math:`h_j = \sum_t q_t^j`."""

    def h(j):
        return {0: T, 1: sp.Integer(1)}.get(j, sp.Symbol(f"h_{j}", positive=True))

    def binomial(i, j):
        return sum(sp.binomial(i, m) * ((1 - alpha) / T) ** (i - m) * alpha**m * h(m + j) for m in range(i + 1))

    return sp.expand(expr.subs({p(i, j): binomial(i, j) for i in range(5) for j in range(5) if i + j > 1}))


# --- gradients -------------------------------------------------------------------------------------


def value_second_moment(V=s.V, *, centred=True):
    r"""N1: :math:`E[\|\hat G_V\|_\mu^2 \mid k]` of one sample; without centring, of :math:`\nabla_V D^{-1}`."""
    gradient = gradients.projected_sample_V() if centred else gradients.SAMPLE_GRADIENT_V * s.W
    gradient = gradient.subs(s.V, V)
    return mean(s.tr(gradient * s.D * gradient.T))


def mean_along_change(V=s.V):
    r"""The mean of one sample's :math:`\langle \hat G_V, P'\rangle_\mu` given the trigger."""
    change = s.P - s.mu * s.one_N.T
    return mean(s.tr(gradients.projected_sample_V().subs(s.V, V) * s.D * change.T))


def coordinate(V=s.V):
    r"""Coordinate t of one sample's :math:`(I - 11^\top/T)\nabla_a`, given that its trigger is k."""
    return reduced(s.tr(s.e.T * gradients.projected_sample_A().subs(s.V, V)))


def attention_variance(V=s.V):
    r"""N3: the variance of coordinate t of one sample's :math:`\hat G_{a^{(k)}}`, exact on and off the support.

    The trigger is k with probability :math:`\mu_k` and then counts :math:`\mu_k^{-1}` times: the second
    moment given k is divided by :math:`\mu_k`, the mean is not.
    """
    sample = coordinate(V)
    return sp.expand(mean(sample**2) / s.mu_k - mean(sample) ** 2)


def beta_gradient():
    r"""One sample's :math:`\langle \hat G_V, P'\rangle_\mu` at :math:`V = \mu 1^\top`, :math:`-K_P` times β's."""
    change = s.P - s.mu * s.one_N.T
    return reduced(s.tr(start_gradient() * s.D * change.T))


def start_gradient():
    r"""One sample's :math:`\hat G_V` at :math:`V = \mu 1^\top`, for any a that sums to 1."""
    return gradients.projected_sample_V().subs(s.V, s.mu * s.one_N.T)


def sign_noise():
    r"""N5: the variance of :func:`beta_gradient` at the start, a = 1/T, exact in T."""
    return on_plane(mean(beta_gradient() ** 2) - mean(beta_gradient()) ** 2).subs(alpha, 0)


def leading(expr, order: int):
    r"""The coefficient of :math:`T^{-order}` in a polynomial in 1/T that starts there."""
    return sp.expand(sp.limit(sp.expand(expr.subs(T, 1 / small)) / small**order, small, 0))


small = sp.Symbol("x", positive=True)  # 1/T


# --- the sign of the correlation -------------------------------------------------------------------

K_P, K_Q, step_V, step_A, drift, noise, batch, w = sp.symbols(
    r"K_P K_Q \eta_V \eta_A d v B w", positive=True
)  # fmt: skip
rate = sp.Symbol(r"\lambda", positive=True)
n = sp.Symbol("n", integer=True, positive=True)


def unstable_direction():
    r"""Return (left eigenvector, rate) of one step of training linearised at :math:`\alpha = \beta = 0`.

    The mean step is R2's derived field, linearised, at infinite T: only :math:`\beta/T` and products of two small
    numbers are left out.
    """
    step = linear_step()
    growth = sp.sqrt(step_V * step_A * K_P * K_Q)
    direction = sp.Matrix([[1, sp.sqrt(step_V * K_Q / (step_A * K_P))]])
    assert sp.simplify(direction * step - (1 + growth) * direction) == sp.zeros(1, 2)
    return direction, growth


def linear_step():
    r"""The matrix of a mean step in :math:`(\beta, \alpha)` about the start, from R2's derived field, as T grows."""
    d_alpha, d_beta = reduction.velocity()
    field = sp.Matrix([step_V * d_beta, step_A * d_alpha])
    jacobian = field.jacobian([reduction.beta, reduction.alpha]).subs({reduction.alpha: 0, reduction.beta: 0})
    back = {reduction.K_P: K_P, reduction.K_Q: K_Q}
    return sp.eye(2) + jacobian.applyfunc(lambda x: sp.limit(x, T, sp.oo)).subs(back)


def mean_push():
    r"""What the mean step of :math:`\beta` is at the start, over :math:`\eta_V`: the recursion's drift."""
    d_alpha, d_beta = (f.subs({reduction.alpha: 0, reduction.beta: 0}) for f in reduction.velocity())
    if d_alpha != 0:
        raise ArithmeticError("attention is pushed at the start, too")
    return d_beta


def recursion():
    r"""Mean and variance of :math:`Y_{n+1} = (1+\lambda)Y_n + d + e_n`, :math:`Y_0 = 0`, e independent with variance v.

    Checked by substitution: both satisfy their own recursions, and vanish at n = 0.
    """
    average = drift / rate * ((1 + rate) ** n - 1)
    variance = noise * ((1 + rate) ** (2 * n) - 1) / ((1 + rate) ** 2 - 1)
    for value, step in (
        (average, lambda x: (1 + rate) * x + drift),
        (variance, lambda x: (1 + rate) ** 2 * x + noise),
    ):
        assert value.subs(n, 0) == 0
        assert sp.simplify(value.subs(n, n + 1) - step(value)) == 0
    return average, variance


def sign_ratio():
    r"""N5: the limit over n of :math:`(EY_n)^2/\mathrm{Var}\,Y_n`: d from R2's field, :math:`v = \eta_V^2 w/(TB)`.

    Y is Gaussian for many small steps; its sign is then right with probability :math:`\Phi` of the root.
    """
    average, variance = recursion()
    growth = sp.Symbol("g", positive=True)  # (1 + rate)**n, which grows without bound
    squared = (average**2 / variance).subs((1 + rate) ** (2 * n), growth**2).subs((1 + rate) ** n, growth)
    limit = sp.limit(sp.simplify(squared), growth, sp.oo)
    return sp.simplify(limit.subs({drift: step_V * mean_push(), noise: step_V**2 * w / (T * batch)}))


def added_variance():
    r"""N5's correction: what noise in A adds to the variance of Y, relative to the rest.

    To leading order in 1/T and :math:`\lambda`, in three steps, each from the sample gradients.
    (i) In j steps :math:`E\,\mathrm{tr}(V'CV'^\top C)` grows to
    :math:`j\eta_V^2 g/(TB)`, g/T its value for one sample's :math:`\hat G_V` at the start. (ii) A coordinate of
    :math:`\hat G_{a^{(k)}}` then has the variance :math:`E\,\mathrm{tr}(V'CV'^\top C)/\mu_k`, N3 with a flat;
    all T of them, averaged over the N triggers with :math:`\mu_k`, add :math:`\eta_A^2NT/B` times that to
    :math:`\|A\|_\mu^2` each step.
    (iii) :func:`beta_gradient` has a variance proportional to :math:`\|a\|^2`. The recursion weighs step j by
    :math:`e^{-2\lambda j}`. Assumed: the steps are small, V' is a random walk, and the result is small.
    """
    j, i = sp.symbols("j i", positive=True)
    walk = leading(on_plane(mean(s.tr(start_gradient() * s.C * start_gradient().T * s.C))).subs(alpha, 0), 1)
    flat = mean(coordinate() ** 2)  # given k, without the weight
    per_coordinate = leading(flat.subs({a_t: 1 / T, q_t: 0, p(2, 0): 1 / T, p(1, 1): 1 / T}), 0)
    assert per_coordinate == number(s.tr(s.V * s.C * s.V.T * s.C))
    grown = sp.integrate(step_A**2 * N * T / batch * i * step_V**2 * walk / (T * batch), (i, 0, j))
    spread = mean(beta_gradient() ** 2).coeff(p(2, 0))
    assert spread == number(s.tr(s.C * (s.P - s.mu * s.one_N.T) * s.D * (s.P - s.mu * s.one_N.T).T))
    weight = sp.exp(-2 * rate * j)
    kept = sp.integrate(weight * spread / T, (j, 0, sp.oo))
    return sp.simplify(sp.integrate(weight * spread * sp.expand(grown), (j, 0, sp.oo)) / kept)


def trap():
    r"""The wrong branch is invariant: R2's field on the three sides of :math:`\{-TK_Q<\beta<0,\ \alpha<-1/(TK_Q)\}`.

    Returns the outward components, each a negative number: no trajectory leaves, and R4's two fixed points lie
    outside. There :math:`\alpha\to-\infty` with :math:`\alpha\beta\to 1`: a valley without a minimum.
    """
    x, z = sp.symbols("x z", positive=True)  # how far along a side
    left = -1 / (T * K_Q)

    def field(a, b):
        return K_P * b * (1 - a * b), K_Q * a * (1 - a * b) + (1 - b) / T

    inner = -T * K_Q * x / (1 + x)  # -T K_Q < β < 0
    return (
        sp.factor(sp.simplify(field(left - z, sp.Integer(0))[1])),  # β = 0: outward is up
        sp.factor(sp.simplify(field(left, inner)[0])),  # α = -1/(T K_Q): outward is up
        sp.factor(sp.expand(-field(left - z, -T * K_Q)[1])),  # β = -T K_Q: outward is down
    )
