r"""Noise of the attention gradient, coordinate by coordinate: claim N3, for arbitrary A and V."""

from __future__ import annotations

import math

from scbtheory import population
from scbtheory.checks import flag, positive, rounding
from scbtheory.errors import InvalidArgument
from scbtheory.model import Parameters, check
from scbtheory.noise._checks import one_tokens, power_sum, ratio
from scbtheory.task import SCB


def attention_noise_variance(task: SCB, theta: Parameters, *, exact: bool = False):
    r"""N3: the variance of one sample's :math:`\hat G_{a^{(k)}}` in each coordinate; a batch divides it by B.

    By default :math:`\sigma_k^2 = \mathrm{tr}(VCV^\top R_k)/\mu_k`, shape (N,), with
    :math:`R_k = \|a\|^2 VCV^\top - \langle a,q\rangle(VCP^\top + PCV^\top) + C`: what a coordinate with
    :math:`a_t = q_t = 0` has before centring, and every coordinate off the support to leading order in 1/T.
    With ``exact`` the variance of each coordinate, on and off the support, shape (T, N), by cumulants up to
    the fourth. (N3 writes :math:`V' = \beta P'` for V: C does not see the difference.) Cost O(TN + N³).

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N) and ``V`` (N, N), any real numbers.
    exact : whether every coordinate has its own variance.

    Returns
    -------
    array
        (N,), or with ``exact`` (T, N), in units of the squared gradient.

    Raises
    ------
    InvalidArgument : ``theta`` is no Parameters, or ``exact`` neither True nor False.
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    check(task, theta)
    mu = task.mu
    moments = _Moments(task, theta)
    if not flag("exact", exact):
        return moments.background / mu
    A, Q, T = theta.A, task.Q, task.context_length
    p10, p20, p11 = (power_sum(task, A, i, j) for i, j in ((1, 0), (2, 0), (1, 1)))

    # With d = e_t - 1/T, the weights of eta = y_t - mean(y): sums over positions of d², d²a, d²q, ….
    def twice(weight, total):
        return weight * (1 - 2 / T) + total / T**2

    flat, da, dq = 1 - 1 / T, A - p10 / T, Q - 1 / T
    second = (
        flat * moments.background
        + twice(A * A, p20) * moments.cumulant_vv
        + da**2 * (moments.vv**2 + moments.vvvv)
        - 2 * twice(A * Q, p11) * moments.cumulant_vp
        - 2 * da * dq * (moments.vv * moments.vp + moments.vvvp)
        + twice(Q, 1) * (moments.output - 2 * moments.offset_vp)
        + 2 * twice(A, p10) * moments.offset_vv
    )
    return second / mu - (da * moments.vv - dq * moments.vp) ** 2


def attention_signal(task: SCB, theta: Parameters):
    r"""N3: the mean of :math:`-\hat G_A`, (T, N); on the plane :math:`\beta K_P(1-\alpha\beta)(q_t - 1/T)`.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N) and ``V`` (N, N), any real numbers.

    Returns
    -------
    array
        (T, N), in units of the gradient; every column sums to 0.

    Raises
    ------
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    gradient = population.projected_gradient(task, theta).A
    return gradient * -1.0


def attention_snr(task: SCB, theta: Parameters, *, batch_size: float = 1, exact: bool = False):
    r"""Signal over noise of each coordinate of a batch's :math:`\hat G_A`, (T, N).

    Near the start it tends to :math:`q_t\sqrt{B\mu_k/w}`, with N5's w: neither T nor β is in it.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N) and ``V`` (N, N).
    batch_size : B, above 0; need not be whole.
    exact : as in :func:`attention_noise_variance`.

    Returns
    -------
    array
        (T, N), without unit, with the sign of the signal.

    Raises
    ------
    InvalidArgument : ``batch_size`` is not above zero, or the noise vanishes (V has the constant columns of the start).
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    size = positive("batch_size", batch_size)
    variance = attention_noise_variance(task, theta, exact=exact)
    if not float(task.backend.xp.min(variance)) > rounding(task) ** 2 * task.inner(theta.V, theta.V):
        raise InvalidArgument("the attention gradient has no noise here, so no ratio; V must differ from μ1'")
    return attention_signal(task, theta) * math.sqrt(size) / variance**0.5


def attention_noise_scale(task: SCB, theta: Parameters) -> float:
    r""":math:`\mathrm{tr\,Cov}(\hat G_A)/\|E\hat G_A\|_\mu^2`, exact for every T.

    It grows like T, as T coordinates add their noise.
    Infinite where the mean vanishes but the noise does not; 0 where both do, as at the start.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N) and ``V`` (N, N), any real numbers.

    Returns
    -------
    float
        The batch whose noise is as large as the signal, in samples, from 0 to infinity.

    Raises
    ------
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    variance = attention_noise_variance(task, theta, exact=True)
    xp = task.backend.xp
    noise = float(xp.sum(xp.sum(variance, axis=0) * task.mu))
    signal = attention_signal(task, theta)
    own = theta.V - (theta.V @ task.mu)[:, None]  # all that the gradient sees of V
    size = task.inner(theta.V, theta.V)
    scale = task.context_length * (1 + size * task.inner(theta.A, theta.A))
    if noise <= rounding(task) ** 2 * size * scale:  # what rounding leaves of the rest of V
        return 0.0
    return ratio(noise, task.inner(signal, signal), task.inner(own, own) * scale, rounding(task))


class _Moments:
    r"""Averages over one token, or over two independent ones, that the variance is made of.

    Gram matrices over centred one-hots :math:`y_n`: ``S[n, m]`` = :math:`(Vy_n)^\top Vy_m` and ``M[n, m]`` =
    :math:`(Vy_n)^\top Py_m`; scalars, except ``background`` and ``offset_*``, one for each trigger.
    """

    def __init__(self, task: SCB, theta: Parameters):
        xp, mu = task.backend.xp, task.mu
        y = one_tokens(task)
        Vy, Py = theta.V @ y, task.P @ y
        S, M = Vy.T @ Vy, Vy.T @ Py
        pairs = mu[:, None] * mu[None, :]
        own_S, own_M = xp.sum(Vy * Vy, axis=0), xp.sum(Vy * Py, axis=0)
        self.vv, self.vp = xp.sum(mu * own_S), xp.sum(mu * own_M)
        self.vvvv, self.vvvp = xp.sum(pairs * S * S), xp.sum(pairs * S * M)
        self.cumulant_vv = xp.sum(mu * own_S**2) - self.vv**2 - 2 * self.vvvv
        self.cumulant_vp = xp.sum(mu * own_S * own_M) - self.vv * self.vp - 2 * self.vvvp

        centre = xp.sum(mu[:, None] * Vy, axis=0)  # mu' V y
        # The output's spread given the context, C + diag(P xi) - mu (P xi)' - (P xi) mu', is linear in xi.
        self.output = xp.sum(mu * (xp.sum(Vy * Vy * Py, axis=0) - 2 * centre * own_M))
        p10, p20, p11 = (power_sum(task, theta.A, i, j) for i, j in ((1, 0), (2, 0), (1, 1)))
        offset = (theta.V @ mu)[:, None] * p10[None, :] - mu[:, None]  # mean prediction minus mean output
        along = offset.T @ Vy  # (N, N): trigger, token
        self.offset_vv, self.offset_vp = along @ (mu * own_S), along @ (mu * own_M)
        outputs = xp.sum(pairs * (Vy - centre[None, :]) ** 2)  # tr(V C V' C)
        self.background = p20 * self.vvvv - 2 * p11 * self.vvvp + outputs + along**2 @ mu
