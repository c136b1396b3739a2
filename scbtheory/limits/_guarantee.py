r"""L8: samples that are certainly enough, end to end and with explicit constants: no limit theorem, no unknown factor.

Fresh samples serve two phases. The **search** takes, for trigger k, the means :math:`\hat M_t` of the whitened products
:math:`D^{-1/2}(x_o-\mu)(x_t-\mu)^\top D^{-1/2}`, and keeps the positions with an entry beyond half of what the smallest
weight gives. The **estimate** takes :math:`\hat W_t`, the mean of :math:`(x_o-\mu)(x_t-\mu)^\top D^{-1}`, whose mean is
:math:`q_tP'`: their sum over a support estimates P', and their projections on it the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from scbtheory.checks import chance, count, positive, real
from scbtheory.errors import InvalidArgument, ShapeMismatch
from scbtheory.model import Parameters, check_batch
from scbtheory.noise import bernstein_samples
from scbtheory.task import SCB, Batch

__all__ = ["Guarantee", "Numbers", "estimate_by_moments", "samples", "support_by_entries"]


MOST = 1e15  # samples; from nine times as many on, floats skip whole numbers, and binomial tails with them


class Guarantee(NamedTuple):
    r"""Samples of both phases, and what the search needs to know.

    ``total`` is the sum of the two.

    Parameters
    ----------
    search, estimate : samples of all triggers together.
    level : the threshold of the search, for the size of a whitened entry.
    """

    search: int
    estimate: int
    level: float

    @property
    def total(self) -> int:
        return self.search + self.estimate


@dataclass(frozen=True)
class Numbers:
    r"""What L8 reads of a task, where only these are known: its bounds then hold for every task that has them.

    Parameters
    ----------
    N, T, s : vocabulary size, context length and sparsity; whole, N at least 2, s at most T.
    K_P : :math:`\|P'\|_\mu^2`, in (0, 1 - 1/N], as :math:`\|P\|_\mu^2\le1` and :math:`\|\mu\|^2\ge1/N`.
    q_min : the smallest weight on a support, in (0, 1/s].
    mu_min : the smallest token frequency, in (0, 1/N].

    Raises
    ------
    InvalidArgument : a number is outside its range.
    """

    N: int
    T: int
    s: int
    K_P: float
    q_min: float
    mu_min: float

    def __post_init__(self):
        for name, least in (("N", 2), ("T", 1), ("s", 1)):
            if count(name, getattr(self, name)) < least:
                raise InvalidArgument(f"{name} is {getattr(self, name)}; expected at least {least}")
        if self.s > self.T:
            raise InvalidArgument(f"s is {self.s} and T is {self.T}; expected at most T positions on a support")
        for name, most in (("K_P", 1 - 1 / self.N), ("q_min", 1 / self.s), ("mu_min", 1 / self.N)):
            if not 0 < real(name, getattr(self, name)) <= most * (1 + 1e-12):
                raise InvalidArgument(f"{name} is {getattr(self, name)!r}; expected above 0 and at most {most:g}")


class Terms(NamedTuple):
    """The numbers in L8's bounds."""

    N: int
    T: int
    s: int
    root: float  # √K_P
    level: float  # half the least entry that stands on a support
    variance: float  # of an entry, and how far it is from its mean
    reach: float
    longest: float  # ‖q‖, and ‖x_o - μ‖², at most
    size: float
    mu: np.ndarray  # frequencies, or as many times the smallest


def _terms(task: SCB | Numbers) -> Terms:
    if isinstance(task, Numbers):
        # The squares of the N² whitened entries add up to K_P, and one of them is at least their mean. An entry is a
        # product of two coordinates, the first at most √(1/μ), the second of variance 1 - μ.
        level, reach = task.q_min * math.sqrt(task.K_P) / task.N / 2, 2 / task.mu_min
        mu = np.full(task.N, task.mu_min)
        return Terms(
            task.N, task.T, task.s, math.sqrt(task.K_P), level, 1 / task.mu_min, reach, 1.0, 2 - 2 * task.mu_min, mu
        )
    P, Q, mu = task._host_P, task._host_Q, task._host_mu
    if not task.K_P > 1e-12:
        raise InvalidArgument("the output does not depend on the copied token; no number of samples is enough")
    weights = Q[Q > 0]
    whitened = (P - mu[:, None]) * np.sqrt(mu)[None, :] / np.sqrt(mu)[:, None]
    return Terms(
        task.vocab_size, task.context_length, task.sparsity, math.sqrt(task.K_P),
        level=float(weights.min() * np.abs(whitened).max() / 2),
        variance=max(_largest_variance(P, mu, q) for q in (0.0, *np.unique(weights))),
        reach=2 * float((np.maximum(mu, 1 - mu) ** 2 / mu).max()),
        longest=float(np.sqrt((Q**2).sum(axis=0)).max()),
        size=1 + float((mu**2).sum()) - 2 * float(mu.min()),
        mu=mu,
    )  # fmt: skip


def samples(task: SCB | Numbers, epsilon: float, delta: float) -> Guarantee:
    r"""L8: samples for :math:`\|A-Q\|_\mu^2 + \|V-P\|_\mu^2 \le \epsilon`, with a chance of at least :math:`1-3\delta`.

    The chances of a wrong support, of too few samples with some trigger, and of too large an error are at most
    :math:`\delta` each.

    Parameters
    ----------
    task : a task, on any backend; or the :class:`Numbers` of all the tasks for which it shall hold.
    epsilon : the error that is allowed, above 0.
    delta : in (0, 1).

    Returns
    -------
    Guarantee
        For :func:`support_by_entries`, then :func:`estimate_by_moments` on fresh samples.

    Raises
    ------
    InvalidArgument : a number is out of range, the output does not depend on the copied token, or more than 1e15
        samples are needed.
    """
    epsilon = positive("epsilon", epsilon)
    chance("delta", delta)
    at = _terms(task)
    each = bernstein_samples(at.variance, at.reach, at.level, delta / (2 * at.T * at.N**3))
    search, estimate = _of_all(each, at.mu, delta / 2), _estimate(at, epsilon, delta)
    if math.inf in (search, estimate):
        raise InvalidArgument(
            f"epsilon is {epsilon:g} and the least entry on a support {2 * at.level:g}; "
            f"they take beyond {MOST:g} samples"
        )
    return Guarantee(int(search), int(estimate), at.level)


def _largest_variance(P, mu, q) -> float:
    """Of an entry of one sample's whitened product, at a position of weight q."""
    law = mu[None, :] * (q * P + (1 - q) * mu[:, None])  # of output and token
    one = (np.eye(len(mu)) - mu) / np.sqrt(mu)  # row x: the whitened one-hot of token x
    mean = one.T @ law @ one
    return float(((one**2).T @ law @ one**2 - mean**2).max())


def _estimate(at: Terms, epsilon, delta) -> float:
    r"""The least over splits of the error between A and V.

    With :math:`\|\hat P'-P'\|_\mu \le v` and :math:`\|\hat W_t - q_tP'\|_\mu \le w` the weights of a column miss by at
    most :math:`(\sqrt s\,w + \|q\|v)/(\sqrt{K_P} - v)`; norms concentrate by Pinelis and Sakhanenko's inequality.
    """
    single = math.sqrt(at.size * (1 / at.mu.min() - 1))

    def needed(v):
        """For P' and for the weights: fewer and more samples the more P' may be off."""
        w = (math.sqrt(max(epsilon - v**2, 0.0)) * (at.root - v) - at.longest * v) / math.sqrt(at.s)
        whole = bernstein_samples(at.s * at.size * (at.N - 1), 2 * at.s * single, v, delta / 4)
        if w <= 0 or v >= at.root:
            return whole, math.inf
        each = bernstein_samples(at.size * (at.N - 1), 2 * single, w, delta / (4 * at.s * at.N))
        return whole, _of_all(each, at.mu, delta / 2)

    low, high = 0.0, min(at.root, math.sqrt(epsilon))
    for _ in range(40):
        middle = (low + high) / 2
        whole, each = needed(middle)
        low, high = (middle, high) if whole > each else (low, middle)
    return max(needed(low)) if low else math.inf


def _of_all(each: int, mu, chance: float) -> float:
    """Samples of all triggers with at least ``each`` of every one, but for a chance: exact binomial tails."""
    if each / mu.min() > MOST:
        return math.inf
    low, high = each, math.ceil(each / mu.min())
    while sum(binom.cdf(each - 1, high, mu)) > chance:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sum(binom.cdf(each - 1, middle, mu)) > chance else (low, middle)
    return high


def support_by_entries(task: SCB, batch: Batch, level: float) -> np.ndarray:
    r"""L8's search: positions where a whitened entry exceeds ``level``, (T, N) booleans; :math:`\mu` is known.

    Parameters
    ----------
    task : on NumPy; only its sizes and :math:`\mu` are read.
    batch : B samples of it.
    level : as :func:`samples` gives it.

    Returns
    -------
    ndarray
        (T, N) booleans; the column of a trigger without a sample is False throughout.

    Raises
    ------
    InvalidArgument : ``level`` is not a finite number, or the batch none or of other tokens than the task's.
    ShapeMismatch, MixedBackends : the batch does not belong to the task.
    """
    check_batch(task, batch)
    level = real("level", level)
    N, mu = task.vocab_size, task._host_mu
    found = np.zeros((task.context_length, N), dtype=bool)
    white = (np.eye(N) - mu) / np.sqrt(mu)
    for k in range(N):
        here = np.flatnonzero(batch.trigger == k)
        if len(here):
            outputs = white[batch.output[here]]
            for m in range(N):
                entries = outputs.T @ white[:, m][batch.tokens[here]] / len(here)
                found[:, k] |= np.abs(entries).max(axis=0) > level
    return found


def estimate_by_moments(task: SCB, batch: Batch, on) -> Parameters:
    r"""L8's estimate of (Q, P) from samples, given the supports: weights by projection of moments on their sum.

    Parameters
    ----------
    task : on NumPy; only its sizes and :math:`\mu` are read.
    batch : B samples.
    on : (T, N) booleans, the supports.

    Returns
    -------
    Parameters
        Float64, A (T, N), 0 off the supports, and V (N, N); columns of A need not sum to 1, entries may be negative.

    Raises
    ------
    InvalidArgument : a trigger has no sample or no position, or the batch is none or of other tokens than the task's.
    ShapeMismatch, MixedBackends : the batch does not belong to the task, or ``on`` is not (T, N).
    """
    check_batch(task, batch)
    if np.shape(on) != (task.context_length, task.vocab_size):
        raise ShapeMismatch(f"on has shape {np.shape(on)}; expected {(task.context_length, task.vocab_size)}")
    on = np.asarray(on)
    N, mu = task.vocab_size, task._host_mu
    one = np.eye(N) - mu
    whole, moments = np.zeros((N, N)), {}
    for k in range(N):
        here, support = np.flatnonzero(batch.trigger == k), np.flatnonzero(on[:, k])
        if not len(here) or not len(support):
            raise InvalidArgument(f"trigger {k} has {len(here)} samples and {len(support)} positions; expected some")
        outputs = one[batch.output[here]]
        for t in support:
            moments[k, t] = outputs.T @ one[batch.tokens[here, t]] / mu
            whole += moments[k, t]
            moments[k, t] /= len(here)
    whole /= len(batch)
    A = np.zeros((task.context_length, N))
    for (k, t), moment in moments.items():
        A[t, k] = np.sum(moment * whole * mu) / np.sum(whole**2 * mu)
    return Parameters(np.asfortranarray(A), mu[:, None] + whole)
