r"""Noise of the value gradient: claims N1 and N2, for arbitrary A and V."""

from __future__ import annotations

from scbtheory import population
from scbtheory.checks import flag, rounding
from scbtheory.model import Parameters, check
from scbtheory.noise._checks import one_tokens, power_sum, ratio
from scbtheory.task import SCB


def value_gradient_second_moment(task: SCB, theta: Parameters, *, centred: bool = True, by_trigger: bool = False):
    r"""N1: :math:`E\|\hat G_V\|_\mu^2` of one sample, exact for every T; its variance needs :func:`noise_scale`'s mean.

    With :math:`\zeta = \sum_t a_t y_t`, :math:`s = 1^\top a`, ``centred`` takes
    :math:`\hat G_V = r(z-\mu)^\top D^{-1}`, otherwise :math:`r z^\top D^{-1}`; so
    :math:`\|\hat G_V\|_\mu^2 = \|r\|^2(e^2 + \zeta^\top D^{-1}\zeta)` with :math:`e = s - 1`, or :math:`e = s`.
    On the set :math:`1^\top a = 1, 1^\top V = 1^\top, V\mu = \mu` this is N1's formula, written with
    :math:`y^\top D^{-1} y = 1/\mu_n - 1` for token n and :math:`C D^{-1} C = C`. Nothing is assumed here.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N) and ``V`` (N, N), any real numbers.
    centred : whether μ is taken off the histogram z, as G6 does.
    by_trigger : whether the triggers are kept apart.

    Returns
    -------
    float or array
        Averaged over triggers; with ``by_trigger`` (N,), the values given each trigger.

    Raises
    ------
    InvalidArgument : ``theta`` is no Parameters, or a flag neither True nor False.
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    check(task, theta)
    xp, N, mu = task.backend.xp, task.vocab_size, task.mu
    y = one_tokens(task)
    Vy, Py, Vmu = theta.V @ y, task.P @ y, theta.V @ mu
    p10, p20, p11, p30, p21, p40, p31 = (
        power_sum(task, theta.A, i, j) for i, j in ((1, 0), (2, 0), (1, 1), (3, 0), (2, 1), (4, 0), (3, 1))
    )
    constant = 1 - 2 * p10 * xp.sum(mu * Vmu) + p10**2 * xp.sum(Vmu * Vmu)

    def skew(vector, image):
        """``E[(vector' image(y)) (y' W y)]``."""
        return xp.sum((1 - mu) * xp.sum(vector[:, None] * image, axis=0))

    def quadratic(image):
        """``E[Vy' image(y)]`` and ``E[(Vy' image(y)) (y' W y)]``."""
        each = xp.sum(Vy * image, axis=0)
        return xp.sum(mu * each), xp.sum((1 - mu) * each)

    def fourth(law, p, pairs):
        """N1's F: one token four times, or two pairs of tokens."""
        spread, kurtosis = law
        return p * (kurtosis - (N + 1) * spread) + pairs * (N + 1) * spread

    vv, vp = quadratic(Vy), quadratic(Py)
    first = p10 - 1 if flag("centred", centred) else p10
    moment = (
        first**2 * (constant + p20 * vv[0] - 2 * p11 * vp[0])
        + (N - 1) * p20 * constant
        + 2 * p30 * (p10 * skew(Vmu, Vy) - skew(mu, Vy))
        - 2 * p21 * p10 * skew(Vmu, Py)
        + fourth(vv, p40, p20**2)
        - 2 * fourth(vp, p31, p20 * p11)
    )
    return moment if flag("by_trigger", by_trigger) else float(xp.sum(mu * moment))


def value_gradient_mean(task: SCB, theta: Parameters, *, centred: bool = True):
    r"""The mean of :math:`\hat G_V` at any A and V, (N, N); G5's :math:`G_V` on the constraint set, centred or not."""
    xp = task.backend.xp
    mean = population.gradient(task, theta).V / task.mu[None, :]
    if flag("centred", centred):
        mass = xp.sum(task.mu * xp.sum(theta.A, axis=0))
        mean = mean - (mass * (theta.V @ task.mu) - task.mu)[:, None]
    return mean


def noise_scale(task: SCB, theta: Parameters, *, centred: bool = True) -> float:
    r"""N2: :math:`B_{noise} = \mathrm{tr\,Cov}(\hat G_V)/\|E\hat G_V\|^2` in the μ-norm, exact for every T.

    A batch of this size has as much noise as signal. At the start it is
    :math:`(1-\|\mu\|^2)(N-1)T/K_P` to leading order, and :math:`(1-\|\mu\|^2)T^2/K_P` without centring.
    Where the mean vanishes but the noise does not, as at :math:`(Q, P)`, it is infinite; where both vanish, 0.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N) and ``V`` (N, N), any real numbers.
    centred : as in :func:`value_gradient_second_moment`.

    Returns
    -------
    float
        In samples, from 0 to infinity.

    Raises
    ------
    InvalidArgument : ``theta`` is no Parameters, or a flag neither True nor False.
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    second = value_gradient_second_moment(task, theta, centred=centred)
    mean = value_gradient_mean(task, theta, centred=centred)
    signal = task.inner(mean, mean)
    # The mean is a difference of gradients of this size, the scale of its rounding.
    scale = max(second, task.inner(theta.V, theta.V) * task.inner(theta.A, theta.A))
    return ratio(second - signal, signal, scale, rounding(task))
