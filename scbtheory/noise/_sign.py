r"""The sign of the correlation: which way training from scratch leaves the saddle (claim N5).

**The recursion.** Near the start, R2 without products of small numbers and without :math:`\beta/T` reads
:math:`\beta \mathrel{+}= \eta_V(K_Q\alpha + 1/T)`, :math:`\alpha \mathrel{+}= \eta_A K_P\beta`;
along its unstable direction

.. math:: Y = \beta + \sqrt{\eta_V K_Q/(\eta_A K_P)}\;\alpha,\qquad
   Y_{n+1} = (1+\lambda) Y_n + \eta_V/T + \eta_V e_n,\qquad \lambda = \omega\sqrt{\eta_V\eta_A},

with :math:`\mathrm{Var}\,e_n = w/(TB)`, :math:`w = \mathrm{tr}(C\Sigma_P)/K_P^2`, :math:`\Sigma_P = P'DP'^\top`.
The drift pushes Y up, the noise either way; the sign it ends with is right with probability
:math:`\Phi(\sqrt{2B/(\lambda w T)})`. With equal steps :math:`\lambda = \eta\omega`; with the balanced steps
:math:`\eta/K_Q` and :math:`\eta/K_P` of S4, :math:`\lambda = \eta`.

**Assumptions.** (1) Large T: terms O(1/T) beside 1 are dropped. (2) Small steps, :math:`\lambda \ll 1`: many
independent steps add up, so Y is Gaussian. (3) Y is small while its sign is decided:
:math:`\eta_V^2 w/(2\lambda TB) \ll 1`.
(4) Attention stays near uniform: :math:`\|A\|_\mu^2 \approx 1/T`. But the noise of V makes the gradient of A
noisy in all T coordinates, and a larger :math:`\|A\|_\mu^2` makes the gradient of V noisier in turn.
:func:`added_variance` is what that adds to Var Y, relatively: proportional to :math:`\eta^2T/B^2`. So the limit needs
:math:`B \gg \eta\sqrt T`. Where B grows like T that is so for large T; a very small batch is where it fails first.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from scbtheory.checks import count, positive
from scbtheory.errors import InvalidArgument
from scbtheory.model import Parameters, centred, contributions
from scbtheory.noise._checks import BatchTooSmall, correlated, one_tokens
from scbtheory.task import SCB

ADDED = 0.5  # relative variance that the limit may leave out: it moves a probability by at most 0.05
SMALL = 0.25  # variance of Y above which the sign is not decided near the saddle
TOGETHER = 512  # samples that repay a call of the token loops


def rates(task: SCB, step_size: float, attention_step_size: float | None = None) -> tuple[float, float, float]:
    r"""Return :math:`(\eta_V, \eta_A, \lambda)`: Y grows by :math:`\lambda = \sqrt{\eta_V\eta_A K_PK_Q}` a step.

    One step size is used for both matrices; for balanced steps pass ``eta / K_Q`` and ``eta / K_P``.

    Parameters
    ----------
    task : the task; its K_P and K_Q are read.
    step_size : :math:`\eta_V`, above 0; it serves the attention too unless that has its own.
    attention_step_size : :math:`\eta_A`, above 0, or None.

    Returns
    -------
    tuple of float
        Both step sizes and the growth a step, all above 0.

    Raises
    ------
    InvalidArgument : a step size is not a finite number above 0, or K_P or K_Q vanishes.
    """
    value = positive("step_size", step_size)
    attention = value if attention_step_size is None else positive("attention_step_size", attention_step_size)
    correlated(task)
    return value, attention, math.sqrt(value * attention * task.K_P * task.K_Q)


def sign_noise(task: SCB, *, exact: bool = False) -> float:
    r"""N5: :math:`w = \mathrm{tr}(C\Sigma_P)/K_P^2`; w/T is the variance of one sample's β-gradient at the start.

    With ``exact`` it is T times that variance at this T, :math:`w + (\kappa_3/K_P^2 - 1)/T` with
    :math:`\kappa_3 = E_y[(P'y)^\top\mathrm{diag}(Py)P'y - 2(\mu^\top P'y)(y^\top P'^\top Py)]`.

    Parameters
    ----------
    task : the task; its P and μ are read, and T with ``exact``.
    exact : whether the term of order 1/T is included.

    Returns
    -------
    float
        w, without unit.

    Raises
    ------
    InvalidArgument : K_P or K_Q vanishes, so that there is no correlation to learn.
    """
    correlated(task)
    xp, mu = task.backend.xp, task.mu
    Py = task.P @ one_tokens(task)
    centre = xp.sum(mu[:, None] * Py, axis=0)
    w = _cross(task, Py) / task.K_P**2
    if not exact:
        return w
    skew = float(xp.sum(mu * (xp.sum(Py**3, axis=0) - 2 * centre * xp.sum(Py * Py, axis=0))))
    return w + (skew / task.K_P**2 - 1) / task.context_length


def added_variance(
    task: SCB, *, batch_size: float, step_size: float, attention_step_size: float | None = None
) -> float:
    r"""What assumption (4) leaves out of Var Y, relative to the rest.

    .. math:: \kappa = \frac{N(N-1)\,\mathrm{tr}(C^2)\,\eta_V\eta_A\,T}{4K_PK_QB^2}

    After j steps :math:`E\,\mathrm{tr}(V'CV'^\top C) = j\,\eta_V^2(N-1)\mathrm{tr}(C^2)/(TB)`, a random walk;
    each step adds :math:`\eta_A^2 NT/B` times that to :math:`\|A\|_\mu^2`, and the noise of V is proportional to
    :math:`\|A\|_\mu^2`. Weighed by :math:`e^{-2\lambda j}`, as the recursion weighs its noise, that gives the formula,
    to leading order in small steps and as long as it is itself small.

    Parameters
    ----------
    task : the task; its K_P, K_Q and μ are read.
    batch_size : B, above 0; need not be whole.
    step_size : :math:`\eta_V`, above 0; it serves the attention too unless that has its own.
    attention_step_size : :math:`\eta_A`, above 0, or None.

    Returns
    -------
    float
        :math:`\kappa`, above 0, without unit.

    Raises
    ------
    InvalidArgument : the batch or a step size is not a finite number above 0, or K_P or K_Q vanishes.
    """
    value, attention, _ = rates(task, step_size, attention_step_size)
    size, N = positive("batch_size", batch_size), task.vocab_size
    spread = float(task.backend.xp.sum(task.C**2))
    return N * (N - 1) * spread * value * attention * task.context_length / (4 * task.K_P * task.K_Q * size**2)


def sign_probability(
    task: SCB,
    *,
    batch_size: float,
    step_size: float,
    attention_step_size: float | None = None,
    corrected: bool = False,
) -> float:
    r"""N5: :math:`\Pr(Y > 0) \to \Phi(\sqrt{2B/(\lambda wT)})`, :math:`\lambda = \eta\omega` for equal steps.

    ``corrected`` divides the argument by :math:`\sqrt{1+\kappa}`, :math:`\kappa` from :func:`added_variance`.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    batch_size : B, above 0; need not be whole.
    step_size : :math:`\eta_V`, above 0; it serves the attention too unless that has its own.
    attention_step_size : :math:`\eta_A`, above 0, or None.
    corrected : whether the noise in the attention is counted.

    Returns
    -------
    float
        The probability of the right sign, from ½ to 1.

    Raises
    ------
    InvalidArgument : a batch or step size is not above zero, or K_P or K_Q vanishes.

    Warns
    -----
    BatchTooSmall : :math:`\kappa` is above ½, or the noise alone carries Y out of the linear region.
    """
    size = positive("batch_size", batch_size)
    value, _, rate = rates(task, step_size, attention_step_size)
    w, T = sign_noise(task), task.context_length
    added = added_variance(task, batch_size=size, step_size=step_size, attention_step_size=attention_step_size)
    wander = value**2 * w / (2 * rate * T * size)
    if added > ADDED or wander > SMALL:
        warnings.warn(
            f"a batch of {size:g} is too small for the limit at T = {T}: noise in the attention adds {added:.2g} of "
            f"the variance, and noise alone gives Y a variance of {wander:.2g} where its whole way is 2; the true "
            "probability is lower",
            BatchTooSmall,
            stacklevel=2,
        )
    return float(ndtr(math.sqrt(2 * size / (rate * w * T * (1 + added * corrected)))))


@dataclass(frozen=True)
class SignRecursion:
    r""":math:`Y_{n+1} = (1+\lambda)Y_n + d + e_n`, :math:`Y_0 = 0`, independent :math:`e_n` with mean 0 and variance v.

    Parameters
    ----------
    rate, drift, variance : :math:`\lambda`, d and v of one step; rate and variance above 0.
    """

    rate: float
    drift: float
    variance: float

    def mean(self, n):
        r""":math:`EY_n = d((1+\lambda)^n - 1)/\lambda`."""
        return self.drift / self.rate * np.expm1(n * np.log1p(self.rate))

    def spread(self, n):
        r""":math:`\mathrm{Var}\,Y_n = v((1+\lambda)^{2n} - 1)/((1+\lambda)^2 - 1)`."""
        return self.variance * np.expm1(2 * n * np.log1p(self.rate)) / (self.rate * (2 + self.rate))

    def probability(self, n=None):
        r""":math:`\Phi(EY_n/\sqrt{\mathrm{Var}\,Y_n})`, for n → ∞ :math:`\Phi(d\sqrt{(2+\lambda)/(\lambda v)})`.

        The growth cancels: :math:`(EY_n)^2/\mathrm{Var}\,Y_n = d^2\frac{2+\lambda}{\lambda v}
        \tanh(\tfrac n2\log(1+\lambda))`.
        """
        limit = self.drift * math.sqrt((2 + self.rate) / (self.rate * self.variance))
        if n is None:
            return float(ndtr(limit))
        if not np.min(n) >= 1:
            raise InvalidArgument(f"n is {n}; expected at least one step")
        return ndtr(limit * np.sqrt(np.tanh(0.5 * np.log1p(self.rate) * np.asarray(n, dtype=float))))


def sign_recursion(
    task: SCB, *, batch_size: float, step_size: float, attention_step_size: float | None = None
) -> SignRecursion:
    r"""N5's recursion at finite T: :math:`d = \eta_V/T` and :math:`v = \eta_V^2 w_T/(TB)`, exact :math:`w_T`.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    batch_size : B, above 0; need not be whole.
    step_size : :math:`\eta_V`, above 0; it serves the attention too unless that has its own.
    attention_step_size : :math:`\eta_A`, above 0, or None.

    Returns
    -------
    SignRecursion
        With mean, variance and probability of the right sign after any number of steps.

    Raises
    ------
    InvalidArgument : the batch or a step size is not a finite number above 0, or K_P or K_Q vanishes.
    """
    size = positive("batch_size", batch_size)
    value, _, rate = rates(task, step_size, attention_step_size)
    T = task.context_length
    return SignRecursion(rate, value / T, value**2 * sign_noise(task, exact=True) / (T * size))


def train_signs(
    task: SCB,
    *,
    runs: int,
    batch_size: int,
    step_size: float,
    seed: int,
    attention_step_size: float | None = None,
    reach: float = 0.5,
):
    r"""Train ``runs`` times from scratch with G6's minibatch gradients; return each run's last Y, (runs,) in NumPy.

    Every step of every run draws fresh samples. A run stops once :math:`|Y|` is at least ``reach``, where its
    sign is decided (on the right branch Y ends near 2), or after four times the steps that the recursion's
    mean needs. The fraction of positive Y estimates the probability of the right sign.
    Small batches go through one call of the token loops together: R runs as one task of R * N triggers.

    Parameters
    ----------
    task : the task that samples are drawn from.
    runs : how many, at least 1.
    batch_size : B, samples a step of each run, whole and at least 1.
    step_size : :math:`\eta_V`, above 0; it serves the attention too unless that has its own.
    seed : names the stream of samples, from 0 to below 2**64; the same arguments give the same Y.
    attention_step_size : :math:`\eta_A`, above 0, or None.
    reach : :math:`|Y|` at which a run stops, above 0.

    Returns
    -------
    ndarray
        (runs,), without unit; within ``reach`` of 0 only where the steps ran out.

    Raises
    ------
    InvalidArgument : an argument is out of its range, K_P or K_Q vanishes, or a batch does not fit the memory.
    """
    runs, size = count("runs", runs), count("batch_size", batch_size)
    value, attention, rate = rates(task, step_size, attention_step_size)
    reach = positive("reach", reach)
    steps = 4 * math.ceil(math.log1p(reach * rate * task.context_length / value) / math.log1p(rate))
    group = min(64, max(1, TOGETHER // size))  # the loops' tables grow like its square
    firsts = range(0, runs, group)
    Y = np.zeros(runs)
    for g, first in enumerate(firsts):
        live = np.arange(first, min(first + group, runs))
        state = _Runs(task, len(live), value, attention)
        for step in range(steps):
            state.step(task.sample(len(live) * size, seed=seed, step=step * len(firsts) + g))
            Y[live] = state.coordinate()
            undecided = np.flatnonzero(np.abs(Y[live]) < reach)
            if len(undecided) < len(live):
                state.keep(undecided)
                live = live[undecided]
            if not len(live):
                break
    return Y


class _Runs:
    """Several runs of one task, as columns of one attention matrix (T, runs * N) and a stack of values (runs, N, N)."""

    def __init__(self, task, runs, value, attention):
        self.task, self.value, self.attention = task, value, attention
        start, xp = Parameters.initial(task), task.backend.xp
        self.A, self.V = xp.tile(start.A, (1, runs)), xp.tile(start.V, (runs, 1, 1))

    def keep(self, which):
        """Go on with some of the runs."""
        xp, N = self.task.backend.xp, self.task.vocab_size
        columns = (which[:, None] * N + np.arange(N)).ravel()
        self.A = xp.take(self.A, self.task.backend.asarray(columns, xp.int64), axis=1)
        self.V = xp.take(self.V, self.task.backend.asarray(which, xp.int64), axis=0)

    def step(self, batch):
        """One step of projected descent (G6) in every run, each with its own part of the batch."""
        task, xp, R = self.task, self.task.backend.xp, self.V.shape[0]
        B = len(batch) // R
        run = xp.arange(R * B, dtype=xp.int64, device=task.backend.device) // B
        column = xp.astype(batch.trigger, xp.int64) + run * task.vocab_size
        models = Parameters(self.A, self.V)
        into_A, into_V = contributions(task, models, batch, B, projected=True, column=column)
        self.A, self.V = self.A - centred(task, into_A) * self.attention, self.V - into_V * self.value

    def coordinate(self):
        """Each run's Y, by projection on P' and Q'."""
        task, xp = self.task, self.task.backend.xp
        change = task.P - task.mu[:, None]
        beta = xp.sum(xp.sum(self.V * change, axis=1) * task.mu, axis=1) / task.K_P
        flat = xp.tile(task.Q - 1 / task.context_length, (1, self.V.shape[0]))
        each = xp.reshape(xp.sum(self.A * flat, axis=0), (self.V.shape[0], task.vocab_size))
        weight = math.sqrt(self.value * task.K_Q / (self.attention * task.K_P))
        return task.backend.to_numpy(beta + (each @ task.mu) * (weight / task.K_Q))


def _cross(task, Py) -> float:
    r""":math:`\mathrm{tr}(C\Sigma_P) = \sum_{n,m}\mu_n\mu_m(y_m^\top P y_n)^2`."""
    xp, mu = task.backend.xp, task.mu
    return float(xp.sum(mu[:, None] * mu[None, :] * (Py - xp.sum(mu[:, None] * Py, axis=0)[None, :]) ** 2))
