r"""L2: supports found by thresholding the moment statistic, and the samples that asks for."""

from __future__ import annotations

import math
import weakref

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2

from scbtheory.checks import chance, count, real
from scbtheory.errors import InvalidArgument
from scbtheory.limits._moments import chi_squared_information
from scbtheory.task import SCB

__all__ = ["detection_threshold", "miss_probability", "samples_for_support", "support_by_moments"]

CERTAIN = 1e4  # standard deviations from the mean beyond which a chance is 0 or 1 in floating point
LARGEST = 40  # tokens: the covariance of the statistic has their fourth power of entries
# Of a task, what the few weights lead to that a search asks for again and again.
KNOWN: weakref.WeakKeyDictionary[SCB, dict] = weakref.WeakKeyDictionary()


def detection_threshold(*, N: int, T: float, false_alarm: float) -> float:
    r"""L2: the :math:`\chi^2` quantile of :math:`(N-1)^2` degrees that one of T N statistics passes by chance.

    Parameters
    ----------
    N, T : vocabulary size and context length; T need not be whole.
    false_alarm : :math:`\delta`, the chance that any position off the supports passes, each with :math:`\delta/(TN)`,
        if the :math:`\chi^2` law holds in its tail: for a strong dependence and few samples more pass (see L2 and L8).

    Returns
    -------
    float
        Grows like :math:`2\log T`.

    Raises
    ------
    InvalidArgument : N is no whole number from 2 on, T is below 1, or the chance is not in (0, 1).
    """
    chance("false_alarm", false_alarm)
    N, T = count("N", N), real("T", T)
    if N < 2:
        raise InvalidArgument(f"N is {N}; with fewer than two tokens there is nothing to learn")
    if T < 1:
        raise InvalidArgument(f"T is {T:g}; expected at least one position")
    return float(chi2.isf(false_alarm / (T * N), real("(N - 1)²", (N - 1) ** 2)))


def miss_probability(task: SCB, *, n, q: float, threshold: float):
    r"""L2: the chance that a position of weight q stays below the threshold, for many samples n.

    The statistic is :math:`n\|\bar v\|^2` for the mean of n vectors v, whose mean m has :math:`\|m\|^2 = q^2\varphi^2`
    and whose covariance is S: a sum of weighted noncentral :math:`\chi^2` variables, of which four cumulants
    :math:`2^{j-1}(j-1)!\,[\operatorname{tr}S^j + j\,n\,m^\top S^{j-1}m]` are matched (Liu, Tang and Zhang 2009). Off
    the support S has :math:`(N-1)^2` eigenvalues 1. On it S = 1 as well for a weak dependence, and one noncentral
    :math:`\chi^2` variable is left; with a strong one misses are more frequent than it says.

    Parameters
    ----------
    task : a task, of at most 40 tokens: S is N² by N².
    n : one number or an array, samples with the trigger, finite and from 0 on.
    q : the position's weight, in [0, 1].
    threshold : what the statistic must exceed.

    Returns
    -------
    float or ndarray
        Of the shape of n.

    Raises
    ------
    InvalidArgument : q is not in [0, 1], n or the threshold is out of range, or the vocabulary is too large.
    """
    threshold = real("threshold", threshold)
    if not 0 <= real("q", q) <= 1:
        raise InvalidArgument(f"q is {q!r}; expected a weight between 0 and 1")
    q = float(q)
    try:
        n = np.asarray(n, dtype=float)
    except (TypeError, ValueError):
        raise InvalidArgument(f"n is {n!r}; expected samples, from 0 on") from None
    known = KNOWN.setdefault(task, {})
    traces, along = known.get(q) or known.setdefault(q, _cumulants(task, q))
    if not np.all(np.isfinite(n) & (n >= 0)):
        raise InvalidArgument(f"n has entries between {np.min(n):g} and {np.max(n):g}; expected samples, from 0 on")
    c = [traces[j] + (j + 1) * n * along[j] for j in range(4)]
    above, width = c[0] - threshold, np.sqrt(2 * np.maximum(c[1], 0.0))
    settled = np.abs(above) >= CERTAIN * width  # where the matched law has no digits left, or there is no noise at all
    c = [np.where(settled, 1.0, x) for x in c]
    s_1, s_2 = c[2] / c[1] ** 1.5, c[3] / c[1] ** 2
    wide = s_1**2 > s_2
    root = np.sqrt(np.where(wide, s_1**2 - s_2, 0.0))
    a = np.where(wide, 1 / np.where(wide, s_1 - root, 1.0), 1 / s_1)
    shift = np.where(wide, s_1 * a**3 - a**2, 0.0)
    degrees = a**2 - 2 * shift
    spread = np.sqrt(2 * c[1])
    x = (threshold - c[0]) / spread * np.sqrt(2) * a + degrees + shift
    found = np.where(shift > 0, ncx2.cdf(x, degrees, np.maximum(shift, 1e-300)), chi2.cdf(x, degrees))
    found = np.where(settled, above < 0, found)
    return found if found.ndim else float(found)


def _cumulants(task, q):
    r""":math:`\operatorname{tr}S^j` and :math:`m^\top S^{j-1}m` for j = 1 to 4."""
    P, mu, N = task._host_P, task._host_mu, task.vocab_size
    if N > LARGEST:
        raise InvalidArgument(f"the task has {N} tokens; the law of misses is computed for at most {LARGEST}")
    chance = (mu[None, :] * (q * P + (1 - q) * mu[:, None])).ravel()  # of (output, token)
    one = np.eye(N) / np.sqrt(mu) - np.sqrt(mu)  # row o: the whitened one-hot of token o
    v = np.einsum("on,xm->oxnm", one, one).reshape(N * N, N * N)
    mean = q * (one.T @ ((P - mu[:, None]) * mu[None, :]) @ one).ravel()  # to the last digit of a small q
    S = v.T @ (chance[:, None] * v) - np.outer(mean, mean)
    values, vectors = np.linalg.eigh(S)
    weights = (mean @ vectors) ** 2
    return [float((values**j).sum()) for j in range(1, 5)], [float(values ** (j - 1) @ weights) for j in range(1, 5)]


def samples_for_support(task: SCB, *, false_alarm: float = 0.1, miss: float = 0.1) -> int:
    r"""L2: samples, of all triggers together, with which every support is found: like :math:`\log T`.

    With :math:`n\mu_k` samples of trigger k, the chances of misses at the threshold of ``false_alarm`` sum to ``miss``.

    Parameters
    ----------
    task : a task; its weights and its :math:`\varphi^2` enter, which a learner must assume.
    false_alarm, miss : chances that any position off the supports passes, and that any on them does not.

    Returns
    -------
    int
        The least number of samples.

    Raises
    ------
    InvalidArgument : a chance is not in (0, 1), the outputs do not depend on the copied token, a weight is so small
        that 1e300 samples miss it, or there are more than 40 tokens.
    """
    chance("miss", miss)
    N, T, phi = task.vocab_size, task.context_length, chi_squared_information(task)
    if phi <= 1e-12:
        raise InvalidArgument("the output does not depend on the copied token; no number of samples finds the support")
    threshold = detection_threshold(N=N, T=T, false_alarm=false_alarm)
    entries = [(k, float(q)) for k, column in enumerate(task._host_Q.T) for q in column[column > 0]]

    def excess(log_n):
        n = math.exp(log_n) * task._host_mu
        return sum(miss_probability(task, n=n[k], q=q, threshold=threshold) for k, q in entries) - miss

    if excess(0.0) <= 0:
        return 1
    high = next((h for h in (math.log(1e15), math.log(1e300)) if excess(h) < 0), None)
    if high is None:
        raise InvalidArgument(
            f"the least weight is {min(q for _, q in entries):g} and φ² is {phi:g}; "
            "1e300 samples do not find every support"
        )
    return math.ceil(math.exp(brentq(excess, 0.0, high, xtol=1e-12)))


def support_by_moments(X, *, false_alarm: float = 0.1):
    r"""L2: the positions at which the statistic passes its threshold, (T, N) booleans.

    Parameters
    ----------
    X : (T, N), as :func:`moment_statistic` returns it.
    false_alarm : see :func:`detection_threshold`.

    Returns
    -------
    ndarray
        (T, N) booleans; a column without a position that passes is False throughout.

    Raises
    ------
    InvalidArgument : X is not a matrix with at least one row and two columns, or the chance is not in (0, 1).
    """
    X = np.asarray(X)
    if X.ndim != 2:
        raise InvalidArgument(f"X has shape {X.shape}; expected (T, N)")
    return detection_threshold(N=X.shape[1], T=X.shape[0], false_alarm=false_alarm) < X
