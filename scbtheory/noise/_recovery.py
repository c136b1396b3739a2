r"""T5: the batch from which one step finds every support, by Bernstein's inequality: no normal coordinates assumed."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from scbtheory.checks import chance as checked_chance
from scbtheory.checks import positive, real
from scbtheory.errors import InvalidArgument
from scbtheory.model import Parameters, check
from scbtheory.noise._attention import attention_noise_variance
from scbtheory.task import SCB

__all__ = ["RecoveryTerms", "bernstein_samples", "recovery_batch", "recovery_terms"]


class RecoveryTerms(NamedTuple):
    r"""What T5 reads of a start.

    Parameters
    ----------
    variance : (N,), the largest variance :math:`v_k` of one sample's coordinate in column k, exactly (N3).
    reach : (N,), :math:`R_k = L/\mu_k + |K_\times|`, how far a coordinate is from its mean at most.
    gap : :math:`\tau = K_\times q_{\min}/2`, above 0.
    """

    variance: np.ndarray
    reach: np.ndarray
    gap: float


def recovery_terms(task: SCB, theta: Parameters) -> RecoveryTerms:
    r"""T5's numbers at uniform attention and a value matrix with :math:`V\mu = \mu`.

    A sample's coordinate is :math:`\mu_k^{-1}1\{k\}(v_{x_t} - \bar v)^\top(Vz - x_o)`, with columns :math:`v_n` of V,
    their mean over the context :math:`\bar v` and z in the simplex; L is the largest range of
    :math:`v_n^\top(v_m - e_o)` over n.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N), 1/T everywhere up to a relative 1e-6, and ``V`` (N, N) with :math:`V\mu = \mu`, not checked.

    Returns
    -------
    RecoveryTerms
        The variance and reach of each trigger, and the gap.

    Raises
    ------
    InvalidArgument : attention is not uniform, or the correlation :math:`K_\times = \langle V', P'\rangle_\mu` is not
        above 0.
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    check(task, theta)
    A, V = (task.backend.to_numpy(x).astype(float) for x in (theta.A, theta.V))
    if np.abs(A * task.context_length - 1).max() > 1e-6:
        raise InvalidArgument("attention is not uniform; expected 1/T everywhere, as before the first step")
    P, mu = task._host_P, task._host_mu
    K_cross = float(((V - mu[:, None]) * (P - mu[:, None])).sum(axis=0) @ mu)
    if not K_cross > 0:
        raise InvalidArgument(f"the correlation of V with P is {K_cross:g}; expected one above 0")
    values = (V.T @ V)[:, :, None] - V.T[:, None, :]  # n, m, o
    widest = float((values.max(axis=0) - values.min(axis=0)).max())
    variance = task.backend.to_numpy(attention_noise_variance(task, theta, exact=True)).max(axis=0)
    weights = task._host_Q[task._host_Q > 0]
    return RecoveryTerms(variance, widest / mu + K_cross, K_cross * float(weights.min()) / 2)


def recovery_batch(task: SCB, theta: Parameters, *, delta: float) -> int:
    r"""T5: a batch from which one step finds every support with a chance of at least :math:`1-\delta`.

    :math:`B \ge \left(\frac{2v_k}{\tau^2} + \frac{2R_k}{3\tau}\right)\log\frac{2TN}\delta` for every k. At this B no
    coordinate of the projected gradient is :math:`\tau` or more from its mean: all on the supports exceed all others.

    Parameters
    ----------
    task, theta : as for :func:`recovery_terms`.
    delta : :math:`\delta`, the chance of missing any support, in (0, 1).

    Returns
    -------
    int
        The least such B, in samples.

    Raises
    ------
    InvalidArgument : as :func:`recovery_terms`, or ``delta`` is not in (0, 1).
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    checked_chance("delta", delta)
    variance, reach, gap = recovery_terms(task, theta)
    events = 2 * task.context_length * task.vocab_size
    return max(bernstein_samples(v, R, gap, delta / events) for v, R in zip(variance, reach, strict=True))


def bernstein_samples(variance: float, reach: float, gap: float, chance: float) -> int:
    r"""The least n with :math:`\exp\!\big(-\frac{n\tau^2/2}{v + R\tau/3}\big) \le` ``chance``: Bernstein's inequality.

    For one side of a mean of n independent numbers with this variance, no further than ``reach`` from their mean.

    Parameters
    ----------
    variance, reach : v and R, of one number, not negative.
    gap : :math:`\tau`, above 0, how far the mean of n may be off.
    chance : of being off by more, in (0, 1).

    Returns
    -------
    int
        How many numbers to average, at least 1.

    Raises
    ------
    InvalidArgument : a number is out of its range, or the gap so small that no float holds n.
    """
    chance, gap = checked_chance("chance", chance), positive("gap", gap)
    variance, reach = real("variance", variance), real("reach", reach)
    if variance < 0 or reach < 0:
        raise InvalidArgument(f"variance is {variance:g} and reach is {reach:g}; expected both at least 0")
    n = (2 * variance / gap + 2 * reach / 3) / gap * -math.log(chance)
    if n == math.inf:
        raise InvalidArgument(f"gap is {gap:g}; the number of samples exceeds every float")
    return max(1, math.ceil(n))
