r"""T1, T2 and T4: finetuning from a pretrained :math:`\hat P`, for every N and T.

Matrices stay symbols and the expectation is taken word by word, as in :mod:`~scbtheory.derivations.reduction`. Of
:math:`\hat P` only :math:`1^\top\hat P = 1^\top` is used: with :math:`\hat P' = \hat P(I-\mu1^\top)` the space
:math:`V = \mu1^\top + \beta P' + \gamma\hat P'` is invariant whatever the stationary law of :math:`\hat P`.
Everything is for one trigger; velocities are affine in :math:`\|q^{(k)}\|^2`, so averages over triggers are
substitutions.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from scbtheory.derivations import gradients, reduction
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import N, Rules, T, normal

__all__ = [
    "branch_threshold",
    "field",
    "field_is_derived",
    "growing_mode",
    "growth_rate",
    "linearised_alpha",
    "residual_terms",
    "resting_product",
    "start_velocity",
    "time_growth",
]

H = sp.MatrixSymbol(r"\hat{P}", N, N)
alpha, beta, gamma = sp.symbols("alpha beta gamma", real=True)
theta, t, slow = sp.symbols("theta t r", positive=True)
fast = sp.Symbol("f", negative=True)

RULES = reduction.RULES + Rules((s.one_N.T * H, s.one_N.T))
SAME_LAW = Rules((H * s.mu, s.mu))
HAT = H - H * s.mu * s.one_N.T  # P̂'; P̂ - μ1' where P̂μ = μ

# What a statement asks for, as numbers that the matrices define.
K_P = s.tr(reduction.P_DEVIATION * s.D * reduction.P_DEVIATION.T)
K_hat = s.tr(HAT * s.D * HAT.T)
K_cross = s.tr(HAT * s.D * reduction.P_DEVIATION.T)
K_Q = s.dot(s.q, s.q) - 1 / T  # of one trigger; its average over triggers is K_Q


def residual_terms(d_alpha, d_beta, d_gamma, *, same_law=False, shift=0) -> int:
    r"""T1: terms left of :math:`G_a + \dot\alpha(q - 1/T)` and :math:`G_V + \dot\beta P' + \dot\gamma\hat P'`.

    0 proves that the space is invariant and that these are the velocities on it. ``shift`` times
    :math:`(\hat P\mu - \mu)1^\top` is added to V: V as it is after finetuning that does not centre.
    """
    rules, found_V, found_a = _mean_gradients(same_law, shift)
    stated_V = normal(d_beta * reduction.P_DEVIATION + d_gamma * HAT, rules)
    stated_a = normal(d_alpha * reduction.Q_DEVIATION, rules)
    return _left(found_V, stated_V) + _left(found_a, stated_a)


def _point(shift):
    """V and one column of attention on T1's space, V with a shift that leaves it."""
    V = s.mu * s.one_N.T + beta * reduction.P_DEVIATION + gamma * HAT + shift * (H * s.mu - s.mu) * s.one_N.T
    return V, reduction.uniform + alpha * reduction.Q_DEVIATION


@cache  # every wrong version of a statement is compared with the same
def _mean_gradients(same_law, shift):
    rules = RULES + SAME_LAW if same_law else RULES
    V, a = _point(shift)
    samples = gradients.projected_sample_V(), gradients.projected_sample_A()
    return rules, *(gradients.expected(reduction.on(sample, V, a), rules) for sample in samples)


def _left(found, stated) -> int:
    """How many words of ``found + stated`` keep a coefficient once products with the uniform vector are numbers."""
    both = {w: sp.expand((found.get(w, 0) + stated.get(w, 0)).subs(reduction.UNIFORM)) for w in {*found, *stated}}
    return sum(c != 0 for c in both.values())


# --- T2 and T4: scalars, on the averaged flow ----------------------------------------------------

k_P, k_Q, k_hat = sp.symbols("K_P K_Q K_hat", positive=True)
k_cross = sp.Symbol("K_cross", real=True)


def field(length=T):
    r"""T1's :math:`(\dot\alpha, \dot\beta, \dot\gamma)`; it is checked by :func:`residual_terms` where it is used."""
    power = beta**2 * k_P + 2 * beta * gamma * k_cross + gamma**2 * k_hat
    norm = 1 / length + alpha**2 * k_Q
    return (
        beta * k_P + gamma * k_cross - power * alpha,
        1 / length + alpha * k_Q - norm * beta,
        -norm * gamma,
    )


@cache
def field_is_derived() -> bool:
    """The field, its scalars put back as matrix expressions, leaves no terms in T1."""
    back = {k_P: K_P, k_Q: K_Q, k_hat: K_hat, k_cross: K_cross}
    return residual_terms(*(f.subs(back, simultaneous=True) for f in field())) == 0


def start_velocity():
    r"""T2: the field at the start of finetuning, :math:`(\alpha, \beta, \gamma) = (0, 0, \theta)`."""
    return tuple(sp.expand(f.subs({alpha: 0, beta: 0, gamma: theta})) for f in field())


@cache
def time_growth(correlated: bool):
    r"""T2: the limit of :math:`T\,\partial t_\rho/\partial T`: what a unit of log T adds to the time to :math:`\rho`.

    :math:`-T\,\partial_T\alpha/\dot\alpha` at the time t at which :math:`\alpha = \rho`, by the implicit function's
    derivative, on the field linearised about the start. Correlated: its limit in T at any fixed t, as
    :math:`\alpha` gets to a given height in a bounded time. From scratch :math:`\alpha` is a multiple of 1/T, so that
    no fixed t will do: the ratio does not hold T, and t grows without bound.
    """
    alpha_t = linearised_alpha()
    ratio = -T * sp.diff(alpha_t, T) / sp.diff(alpha_t, t)
    if correlated:
        return sp.limit(sp.simplify(ratio), T, sp.oo)
    scratch = sp.simplify(ratio.subs(k_cross, 0).subs({fast: -slow}))
    return sp.limit(scratch.subs(slow, growth_rate(0)), t, sp.oo)


def linearised_alpha():
    r"""T2: :math:`\alpha(t)` of the field linearised about the start, T kept in its drift, :math:`\gamma = \theta`.

    Its eigenvalues are kept as symbols r > 0 > f: :math:`K_PK_Q = -rf`, :math:`\theta^2K_{\hat P} = -(r + f)`.
    """
    push = sp.Matrix(start_velocity()[:2])
    jacobian = _start_jacobian(theta)
    known = {k_Q: -slow * fast / k_P, k_hat: -(slow + fast) / theta**2}
    jacobian = jacobian.subs(known)
    if any(sp.expand((jacobian - value * sp.eye(2)).det()) != 0 for value in (slow, fast)):
        raise ArithmeticError("the symbols are no eigenvalues of the linearised field")
    back = jacobian.inv() * push
    rise = [
        ((jacobian - other * sp.eye(2)) * (back * sp.exp(own * t)))[0] / (own - other)
        for own, other in ((slow, fast), (fast, slow))
    ]
    return sp.simplify(sum(rise) - back[0])


@cache
def growth_rate(gamma_value=theta):
    r"""T4: the growing eigenvalue of (alpha, beta) about the start at :math:`K_\times = 0` and infinite T.

    :math:`\gamma` is constant to this order, as its velocity is :math:`-\gamma(1/T + \alpha^2K_Q)`.
    """
    jacobian = _start_jacobian(gamma_value)
    trace, determinant = jacobian.trace(), jacobian.det()
    return sp.simplify((trace + sp.sqrt(trace**2 - 4 * determinant)) / 2)


def _start_jacobian(gamma_value):
    r"""The Jacobian of (alpha, beta)'s field at the start, :math:`K_\times = 0` and infinite T."""
    limits = [sp.limit(f.subs({k_cross: 0, gamma: gamma_value}), T, sp.oo) for f in field()[:2]]
    return sp.Matrix(limits).jacobian([alpha, beta]).subs({alpha: 0, beta: 0})


def growing_mode():
    r"""T4: the left eigenvector (1, ·) of the growing eigenvalue, and minus the saddle's place in it, times T.

    With :math:`K_\times = x/T` the field at the start is :math:`f/T` to leading order, so the saddle lies at
    :math:`-J^{-1}f/T`. Its component along the left eigenvector is what grows: its sign is the branch.
    """
    x = sp.Symbol("x", real=True)
    jacobian, rate = _start_jacobian(theta), growth_rate()
    at_start = {alpha: 0, beta: 0, gamma: theta, k_cross: x / T}
    push = sp.Matrix([sp.limit(T * f.subs(at_start), T, sp.oo) for f in field()[:2]])
    weight = sp.Symbol("weight")
    left = sp.Matrix([[1, weight]])
    left = left.subs(weight, sp.solve((left * (jacobian - rate * sp.eye(2)))[1], weight)[0])
    if any(sp.simplify(entry) != 0 for entry in left * (jacobian - rate * sp.eye(2))):
        raise ArithmeticError("the row is no left eigenvector")
    return left, (left * jacobian.inv() * push)[0].subs(x, k_cross * T)


@cache
def branch_threshold():
    r"""T4: the :math:`K_\times` at which the start is on the saddle's stable manifold, to leading order in 1/T."""
    _, amplitude = growing_mode()
    [found] = sp.solve(amplitude, k_cross)
    return sp.simplify(found)


def resting_product():
    r"""T4: what :math:`\alpha\beta` must be for alpha to rest where :math:`\gamma = 0` and :math:`\beta\ne0`."""
    u = sp.Symbol("u")
    velocity = sp.expand(field()[0].subs(gamma, 0) / (beta * k_P)).subs(alpha, u / beta)
    return sp.solve(velocity, u)
