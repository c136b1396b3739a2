r"""A pretrained matrix with another stationary law: what centring and noise make of it (claims T1 and T3)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scbtheory.checks import below, correlation, count, positive, real, rounding, several
from scbtheory.dynamics import matrix_flow, reduce
from scbtheory.errors import InvalidArgument
from scbtheory.model import Parameters, check_array, minibatch_gradient
from scbtheory.population import projected_gradient
from scbtheory.task import SCB
from scbtheory.transfer._start import correlations, start, stochastic

PARTS = 50  # batches that a measured variance is averaged over


# --- another stationary law ----------------------------------------------------------------------


def shifted(task: SCB, P_hat, amount: float, *, seed: int = 0):
    r"""Another stationary law: :math:`(1-\epsilon)\hat P + \epsilon\,\nu1^\top`, with :math:`\nu` random.

    :math:`\hat P'` and with it :math:`K_\times` are only multiplied by :math:`1-\epsilon`: the effect of the law can
    be seen alone.

    Parameters
    ----------
    task : a task; its N and its backend are read.
    P_hat : as for :func:`centred`.
    amount : :math:`\epsilon`, from 0 to below 1.
    seed : of :math:`\nu`, Dirichlet(1); a whole number from 0 to below :math:`2^{64}`.

    Returns
    -------
    array
        (N, N).

    Raises
    ------
    InvalidArgument : ``amount`` or ``seed`` is out of range.
    ShapeMismatch, NotADistribution : as for :func:`centred`.
    """
    P_hat = stochastic(task, P_hat)
    if not 0 <= real("amount", amount) < 1:
        raise InvalidArgument(f"amount is {amount!r}; expected a number from 0 to below 1")
    seed = below("seed", seed, 2**64)
    nu = np.random.Generator(np.random.Philox(seed)).dirichlet(np.ones(task.vocab_size))
    return (1 - amount) * P_hat + amount * task.backend.asarray(np.outer(nu, np.ones(task.vocab_size)))


def uncentred_start(task: SCB, P_hat) -> Parameters:
    r"""Finetuning that takes :math:`\hat P` as it is: :math:`V = \hat P`, with :math:`V\mu \ne \mu` for another law.

    Parameters
    ----------
    task, P_hat : as for :func:`centred`, whose errors these are too.

    Returns
    -------
    Parameters
        ``A`` (T, N) uniform and ``V`` (N, N).
    """
    return Parameters(Parameters.initial(task).A, stochastic(task, P_hat))


class OtherLaw(NamedTuple):
    r"""One row of :func:`other_law`: what a shift of the stationary law costs.

    Parameters
    ----------
    amount, offset, K_cross : :math:`\epsilon`, :math:`\|\hat P\mu-\mu\|` and the correlation after the shift.
    predicted, measured : the factor on the variance, by :func:`noise_factor` and on samples.
    time_centred, time_uncentred : of :math:`\alpha` reaching the level, in :math:`1/\eta`; infinite beyond 60.
    """

    amount: float
    offset: float
    K_cross: float
    predicted: float
    measured: float
    time_centred: float
    time_uncentred: float


def noise_factor(task: SCB, V) -> float:
    r"""By how much :math:`V\mu\ne\mu` multiplies the variance of :math:`\hat G_a` at uniform attention, for large T.

    :math:`1 + \delta^\top V'CV'^\top\delta/\mathrm{tr}(V'CV'^\top C)` with :math:`\delta = V\mu - \mu` and
    :math:`V' = V(I - \mu1^\top)`: the residual has second moment :math:`C + \delta\delta^\top` instead of C.

    Parameters
    ----------
    task : a task; its :math:`\mu` is read.
    V : (N, N) array on the task's backend, with :math:`V' \ne 0`.

    Returns
    -------
    float
        At least 1; 1 where :math:`V\mu = \mu`.

    Raises
    ------
    InvalidArgument : :math:`V' = 0`, up to rounding.
    ShapeMismatch : V is not (N, N).
    MixedBackends : V is of another array library, device or precision than the task.
    """
    check_array(task, "V", V, (task.vocab_size, task.vocab_size))
    xp, delta = task.backend.xp, V @ task.mu - task.mu
    prime = V - (V @ task.mu)[:, None]
    if task.inner(prime, prime) <= rounding(task) ** 2 * task.inner(V, V):
        raise InvalidArgument("V is the same in every column, up to rounding; there is no noise for a factor")
    spread = prime @ task.C @ prime.T
    return 1 + float(xp.sum(delta * (spread @ delta)) / xp.sum(spread * task.C))


def other_law(task: SCB, P_hat, amounts, *, samples: int = 50_000, level: float = 0.5, seed: int = 0):
    r"""A numerical study of finetuning from another stationary law, which the paper's abstract leaves open.

    For each amount of :func:`shifted`: the offset :math:`\|\hat P\mu-\mu\|`, :math:`K_\times`, the factor by which
    taking :math:`\hat P` uncentred multiplies the variance of the first attention gradient (:func:`noise_factor`, and
    measured), and the times at which the **full matrix flow** reaches :math:`\alpha` = ``level`` from either start. G_V
    and G_a only see :math:`V(I-\mu1^\top)`, so the two times are the same: the law costs variance, not time.

    Parameters
    ----------
    task : a task with :math:`K_P, K_Q > 0`.
    P_hat, amounts : as for :func:`shifted`; one row for each amount.
    samples : in all, at least 1, in 50 batches, for each measured variance.
    level : of :math:`\alpha`, above 0, on the flow with balanced steps.
    seed : of the shifts and of the samples.

    Returns
    -------
    list of OtherLaw
        In the order of ``amounts``.

    Raises
    ------
    InvalidArgument : an amount, ``seed``, ``samples`` or ``level`` is out of range, a column is as every other, or K_P
        or K_Q is 0.
    NotADistribution : a shifted matrix has a column that is not a distribution.
    """
    for name in ("K_P", "K_Q"):
        correlation(task, name)
    rows, samples, level = [], count("samples", samples), positive("level", level)
    batches = [task.sample(max(1, samples // PARTS), seed=seed, step=step) for step in range(PARTS)]
    for amount in several("amounts", amounts):
        hat = shifted(task, P_hat, amount, seed=seed)
        starts = start(task, hat), uncentred_start(task, hat)
        variances = [_variance(task, s, batches) for s in starts]
        offset = hat @ task.mu - task.mu
        rows.append(
            OtherLaw(
                float(amount),
                float(task.backend.xp.sum(offset * offset)) ** 0.5,
                correlations(task, hat).K_cross,
                noise_factor(task, hat),
                variances[1] / variances[0],
                *(_matrix_time(task, s, level) for s in starts),
            )
        )
    return rows


def _variance(task, theta, batches) -> float:
    """The sum over batches of the squared distance of the attention gradient from the exact one."""
    exact = projected_gradient(task, theta).A
    errors = [minibatch_gradient(task, theta, batch, projected=True).A - exact for batch in batches]
    return float(sum(task.backend.xp.sum(error * error) for error in errors))


def _matrix_time(task, theta, level, longest=60.0, points=601):
    moments = np.linspace(0.0, longest, points)
    path = [reduce(task, p).alpha for p in matrix_flow(task, theta, moments, balanced=True)]
    reached = np.flatnonzero(np.array(path) >= level)
    if not len(reached):
        return np.inf
    n = int(reached[0])
    return float(np.interp(level, path[n - 1 : n + 1], moments[n - 1 : n + 1])) if n else 0.0
