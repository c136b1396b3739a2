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
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from scbtheory.checks import chance, flag, positive
from scbtheory.errors import InvalidArgument
from scbtheory.noise._checks import BatchTooSmall, correlated, one_tokens
from scbtheory.task import SCB

ADDED = 0.5  # relative variance that the limit may leave out: it moves a probability by at most 0.05
SMALL = 0.25  # variance of Y above which the sign is not decided near the saddle


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
    if not flag("exact", exact):
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
    return float(ndtr(math.sqrt(2 * size / (rate * w * T * (1 + added * flag("corrected", corrected))))))


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


def sign_batch(
    task: SCB,
    probability: float,
    *,
    step_size: float,
    attention_step_size: float | None = None,
    corrected: bool = False,
) -> float:
    r"""N5 solved for the batch: :math:`B = \tfrac12\lambda wTx^2` at :math:`x = \Phi^{-1}(\text{probability})`.

    ``corrected`` counts the noise in the attention: :math:`B = \tfrac12\lambda wTx^2(1 + \kappa)`, a cubic equation as
    :math:`\kappa \propto B^{-2}`.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    probability : of the right sign, above ½ and below 1.
    step_size : :math:`\eta_V`, above 0; it serves the attention too unless that has its own.
    attention_step_size : :math:`\eta_A`, above 0, or None.
    corrected : whether the noise in the attention is counted.

    Returns
    -------
    float
        B in samples, above 0 and not rounded.

    Raises
    ------
    InvalidArgument : the probability or a step size is out of range, or K_P or K_Q vanishes.
    """
    if not chance("probability", probability) > 0.5:
        raise InvalidArgument(f"probability is {probability!r}; expected a number above 0.5 and below 1")
    *_, rate = rates(task, step_size, attention_step_size)
    limit = 0.5 * rate * sign_noise(task) * task.context_length * float(ndtri(probability)) ** 2
    if not flag("corrected", corrected):
        return limit
    one = added_variance(task, batch_size=1.0, step_size=step_size, attention_step_size=attention_step_size)
    return float(brentq(lambda B: B**3 - limit * (B**2 + one), limit, limit + (limit * one) ** (1 / 3)))


def sign_steps(task: SCB, *, step_size: float, attention_step_size: float | None = None, reach: float = 0.5) -> float:
    r"""Steps until the recursion's mean is :math:`r`: :math:`n = \log(1 + \lambda Tr/\eta_V)/\log(1 + \lambda)`.

    Parameters
    ----------
    task : the task; its K_P, K_Q and T are read.
    step_size : :math:`\eta_V`, above 0; it serves the attention too unless that has its own.
    attention_step_size : :math:`\eta_A`, above 0, or None.
    reach : r, above 0; at ½ the sign is decided, as on the right branch Y ends near 2.

    Returns
    -------
    float
        n, above 0 and not rounded.

    Raises
    ------
    InvalidArgument : a number is not a finite one above 0, or K_P or K_Q vanishes.
    """
    value, _, rate = rates(task, step_size, attention_step_size)
    return math.log1p(positive("reach", reach) * rate * task.context_length / value) / math.log1p(rate)


def _cross(task, Py) -> float:
    r""":math:`\mathrm{tr}(C\Sigma_P) = \sum_{n,m}\mu_n\mu_m(y_m^\top P y_n)^2`."""
    xp, mu = task.backend.xp, task.mu
    return float(xp.sum(mu[:, None] * mu[None, :] * (Py - xp.sum(mu[:, None] * Py, axis=0)[None, :]) ** 2))
