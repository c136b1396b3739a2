r"""The sign of the correlation as a test between two hypotheses: what uniform attention can tell at all (claim N6).

While attention is uniform, a sample says to the value matrix only its trigger, its counts n and its output, and
:math:`\Pr(x_o \mid n, k) = Pn/T` whatever Q is: positions are exchangeable given the counts. So whoever wants the sign
of :math:`\langle V, P\rangle` from such samples tests :math:`P_\pm = \mu1^\top \pm P'`.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from scbtheory.checks import positive, real
from scbtheory.errors import InvalidArgument
from scbtheory.task import SCB

__all__ = ["bhattacharyya", "sign_error_bound", "sign_information", "sign_samples", "sign_test_error"]

COUNTS = 10**6  # histograms that are enumerated at most


def sign_information(task: SCB) -> float:
    r""":math:`J = \mathrm{tr}(D^{-1}P'CP'^\top)`: T times what one sample tells of the sign, to leading order (N6).

    Parameters
    ----------
    task : the task; its P and μ are read.

    Returns
    -------
    float
        At least :math:`1/w` with N5's w; their ratio is the efficiency of the gradient as a statistic.
    """
    prime = task._host_P - task._host_mu[:, None]
    return float(((prime**2 @ task._host_mu) / task._host_mu).sum())


def bhattacharyya(task: SCB) -> float:
    r""":math:`\rho = E_n\sum_o\sqrt{(P_+n/T)_o(P_-n/T)_o}` of one sample, by enumeration of every histogram n (N6).

    Parameters
    ----------
    task : the task; :math:`P_- = 2\mu1^\top - P` must have no negative entry.

    Returns
    -------
    float
        Between 0 and 1; :math:`T(1 - \rho) \to J/2` as T grows.

    Raises
    ------
    InvalidArgument : :math:`P_-` has a negative entry, or there are more than a million histograms.
    """
    N, T, mu, P = task.vocab_size, task.context_length, task._host_mu, task._host_P
    mirrored = 2 * mu[:, None] - P
    if mirrored.min() < 0:
        raise InvalidArgument(f"2 mu 1' - P has the entry {mirrored.min():.3g}; expected none below 0")
    number = math.comb(T + N - 1, N - 1)
    if number > COUNTS:
        raise InvalidArgument(f"N = {N}, T = {T} has {number} histograms; expected at most {COUNTS}")
    bars = np.array(list(combinations(range(T + N - 1), N - 1))).reshape(number, N - 1)
    edges = np.column_stack([np.full(number, -1), bars, np.full(number, T + N - 1)])
    n = np.diff(edges, axis=1) - 1
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, T + 1)))])
    weight = np.exp(log_factorials[T] - log_factorials[n].sum(axis=1) + n @ np.log(mu))
    overlap = np.sqrt((n @ P.T / T) * (n @ mirrored.T / T)).sum(axis=1)
    return float(weight @ overlap)


def sign_error_bound(rho: float, samples: float) -> float:
    r"""No test errs less than :math:`\tfrac12(1 - \sqrt{1 - \rho^{2B}})` on B samples (Le Cam; N6).

    Parameters
    ----------
    rho : the Bhattacharyya coefficient of one sample, in [0, 1].
    samples : B, above 0.

    Returns
    -------
    float
        Mean of both errors, in [0, ½].

    Raises
    ------
    InvalidArgument : an argument is out of its range.
    """
    rho, samples = real("rho", rho), positive("samples", samples)
    if not 0 <= rho <= 1:
        raise InvalidArgument(f"rho is {rho!r}; expected a number from 0 to 1")
    if rho == 0:
        return 0.0
    power = 2 * samples * math.log(rho)
    return 0.5 * math.exp(power) / (1 + math.sqrt(-math.expm1(power)))  # ½(1 - √(1 - x)), where nothing cancels


def sign_test_error(task: SCB, samples: float) -> float:
    r"""The likelihood-ratio test's error on B samples, :math:`\Phi(-\sqrt{BJ/T})`, to leading order in 1/T (N6).

    Parameters
    ----------
    task : the task; its P and μ are read.
    samples : B, above 0.

    Returns
    -------
    float
        A probability, in [0, ½].

    Raises
    ------
    InvalidArgument : ``samples`` is not a finite number above 0.
    """
    z = math.sqrt(positive("samples", samples) * sign_information(task) / task.context_length)
    return 0.5 * math.erfc(z / math.sqrt(2))


def sign_samples(task: SCB, delta: float) -> float:
    r"""Below :math:`\frac TJ\log\frac1{4\delta(1-\delta)}` samples every test errs more than δ, to leading order (N6).

    That is a bound if :math:`P_- = 2\mu1^\top - P` has no negative entry; otherwise it is a number of the same formula.

    Parameters
    ----------
    task : the task; its P and μ are read.
    delta : the error asked for, in (0, ½).

    Returns
    -------
    float
        A number of samples, above 0 and not rounded.

    Raises
    ------
    InvalidArgument : ``delta`` is not between 0 and ½, or P does not depend on the token, so that J is 0.
    """
    if not 0 < real("delta", delta) < 0.5:
        raise InvalidArgument(f"delta is {delta!r}; expected a number between 0 and 0.5")
    information = sign_information(task)
    if not information > 0:
        raise InvalidArgument("P' is 0: no number of samples tells the sign")
    return -math.log(4 * delta * (1 - delta)) * task.context_length / information
