r"""Where finetuning starts: what matters of a pretrained :math:`\hat P`, and such matrices made to order (claim T1)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from scbtheory.checks import below, correlation, real
from scbtheory.errors import InvalidArgument, NotADistribution, ShapeMismatch
from scbtheory.model import Parameters
from scbtheory.task import SCB


class Correlations(NamedTuple):
    r""":math:`K_{\hat P} = \|\hat P'\|_\mu^2` and :math:`K_\times = \langle\hat P', P'\rangle_\mu`.

    Parameters
    ----------
    K_hat, K_cross : the two numbers, the first at least 0.
    """

    K_hat: float
    K_cross: float


def correlations(task: SCB, P_hat) -> Correlations:
    r"""Measure a pretrained :math:`\hat P`; its stationary law need not be :math:`\mu` (see :func:`centred`).

    Parameters
    ----------
    task, P_hat : as for :func:`centred`, whose errors these are too.

    Returns
    -------
    Correlations
        Its ``K_hat`` and ``K_cross``.
    """
    hat, own = centred(task, P_hat), task.P - task.mu[:, None]
    return Correlations(task.inner(hat, hat), task.inner(hat, own))


def centred(task: SCB, P_hat):
    r""":math:`\hat P' = \hat P(I - \mu1^\top) = \hat P - (\hat P\mu)1^\top`, (N, N).

    Parameters
    ----------
    task : a task; its :math:`\mu` is read.
    P_hat : (N, N) the pretrained matrix, whose columns are distributions; an array of the task's backend, or lists.

    Returns
    -------
    array
        (N, N), on the task's backend; its columns sum to 0, and it takes :math:`\mu` to 0.

    Raises
    ------
    ShapeMismatch, NotADistribution : ``P_hat`` is not (N, N), or a column of it is not a distribution.
    """
    P_hat = stochastic(task, P_hat)
    return P_hat - (P_hat @ task.mu)[:, None]


def stochastic(task: SCB, P_hat):
    """The pretrained matrix on the task's backend, from an array there or from lists; refuse what is none."""
    try:
        if isinstance(P_hat, np.ma.MaskedArray):
            raise TypeError("it is a masked array, and what its mask hides has no value; fill it first")
        host = np.asarray(P_hat) if isinstance(P_hat, (list, tuple)) else task.backend.to_numpy(P_hat)
        if host.dtype.kind not in "fiu":
            raise TypeError(f"its entries are {host.dtype}")
    except (TypeError, ValueError, BufferError, AttributeError) as error:
        raise NotADistribution(f"P_hat is not a matrix of real numbers: {error}") from error
    N = task.vocab_size
    if host.shape != (N, N):
        raise ShapeMismatch(f"P_hat has shape {host.shape}; this task expects {(N, N)}")
    if not (np.all(np.isfinite(host)) and host.min() >= -1e-9 and np.abs(host.sum(axis=0) - 1).max() < 1e-6):
        raise NotADistribution("P_hat has a column that is not a distribution; its columns must be, as those of P")
    return task.backend.asarray(host)


def start(task: SCB, P_hat, theta: float = 1.0) -> Parameters:
    r"""The start of finetuning: :math:`A = 11^\top/T`, :math:`V = \mu1^\top + \theta\hat P'`.

    V satisfies :math:`1^\top V = 1^\top` and :math:`V\mu = \mu` whatever the stationary law of :math:`\hat P`.

    Parameters
    ----------
    task, P_hat : as for :func:`centred`, whose errors these are too.
    theta : :math:`\theta`, the pretrained part's weight.

    Returns
    -------
    Parameters
        ``A`` (T, N) and ``V`` (N, N).

    Raises
    ------
    InvalidArgument : ``theta`` is not a finite number.
    """
    scratch = Parameters.initial(task)
    return Parameters(scratch.A, scratch.V + centred(task, P_hat) * real("theta", theta))


# --- constructions -------------------------------------------------------------------------------


def correlation_range(task: SCB) -> tuple[float, float]:
    r"""The least and the largest :math:`K_\times` of any column-stochastic :math:`\hat P` with :math:`\hat P\mu=\mu`.

    :math:`\hat P D` ranges over the couplings of :math:`\mu` with itself, and :math:`K_\times` is linear in it:
    two linear programs.

    Parameters
    ----------
    task : a task; its P is read.

    Returns
    -------
    tuple of float
        The least, at most 0, and the largest, at least :math:`K_P`.
    """
    least, largest = (float(_host_correlation(task, extreme)) for extreme in _extremes(task))
    return least, largest


def _host_correlation(task, P_hat):
    prime = task._host_P - task._host_mu[:, None]
    return ((P_hat - task._host_mu[:, None]) * prime).sum(axis=0) @ task._host_mu


def _extremes(task):
    """The couplings with the least and the largest correlation, as transition matrices (host)."""
    N, mu = task.vocab_size, task._host_mu
    rows = np.vstack([np.kron(np.eye(N), np.ones(N)), np.kron(np.ones(N), np.eye(N))])  # sums over each margin
    objective = (task._host_P - mu[:, None]).ravel()
    found = []
    for sign in (1, -1):
        solution = linprog(sign * objective, A_eq=rows, b_eq=np.concatenate([mu, mu]), bounds=(0, None))
        found.append(np.clip(solution.x.reshape(N, N), 0, None) / mu[None, :])
    return found


def pretrained(task: SCB, K_cross: float, *, spread: float = 0.9, seed: int = 0):
    r"""A :math:`\hat P` with :math:`\hat P\mu=\mu` and exactly the correlation :math:`K_\times` with the task, (N, N).

    :math:`\hat P = \mu1^\top + B + \rho R`. B lies along P' where that stays non-negative, else on the segment
    to the extreme coupling of :func:`correlation_range`; R is a random direction with :math:`R\mu = 0`,
    :math:`1^\top R = 0`, :math:`\langle R, P'\rangle_\mu = 0`; :math:`\rho` is ``spread`` times the largest that keeps
    :math:`\hat P\ge0`.

    Parameters
    ----------
    task : a task with :math:`K_P > 0`; its P is read.
    K_cross : the correlation, within :func:`correlation_range`.
    spread : from 0, no random part, to 1.
    seed : of R, a whole number from 0 to below :math:`2^{64}`.

    Returns
    -------
    array
        (N, N), on the task's backend; columns are distributions.

    Raises
    ------
    InvalidArgument : no :math:`\hat P` has this correlation; the message gives the range of those that exist.
        Or ``spread`` or ``seed`` is out of range, or :math:`K_P` is 0. Or N = 2 and K_cross = 0: then only
        :math:`\mu1^\top` is left.
    """
    K_cross, K_P = real("K_cross", K_cross), correlation(task, "K_P")
    if not 0 <= real("spread", spread) <= 1:
        raise InvalidArgument(f"spread is {spread!r}; expected a number from 0 to 1")
    seed = below("seed", seed, 2**64)  # without one, the matrix could not be made again
    N, mu = task.vocab_size, task._host_mu
    low, high = correlation_range(task)
    if not low * (1 + 1e-9) <= K_cross <= high * (1 + 1e-9):
        raise InvalidArgument(
            f"K_cross is {K_cross!r}; for this task a P_hat with the same stationary distribution has K_cross "
            f"from {low:.6g} to {high:.6g} (K_P is {K_P:.6g})"
        )
    flat, prime = np.outer(mu, np.ones(N)), task._host_P - mu[:, None]
    base = flat + K_cross / K_P * prime
    if base.min() < 0:
        extreme = _extremes(task)[int(K_cross > 0)]
        base = flat + K_cross / _host_correlation(task, extreme) * (extreme - flat)
    base = np.clip(base, 0, None)
    direction = _orthogonal(task, seed) if N > 2 else np.zeros((N, N))
    if N == 2 and K_cross == 0:
        raise InvalidArgument("K_cross is 0 and N is 2: every P_hat with this stationary law is a multiple of P's")
    P_hat = base + spread * _room(base, direction) * direction
    P_hat = np.clip(P_hat, 0, None)
    return task.backend.asarray(P_hat / P_hat.sum(axis=0))


def _orthogonal(task, seed):
    """A random direction R with ``1'R = 0``, ``R mu = 0`` and no correlation with P' (host)."""
    N, mu = task.vocab_size, task._host_mu
    prime = task._host_P - mu[:, None]
    R = np.random.Generator(np.random.Philox(seed)).standard_normal((N, N))
    R = R - R.mean(axis=0)
    R = R - np.outer(R @ mu, np.ones(N))
    return R - prime * (((R * prime).sum(axis=0) @ mu) / task.K_P)


def _room(base, direction):
    """The largest multiple of ``direction`` that leaves ``base`` non-negative."""
    down = direction < -1e-15
    return float(np.min(base[down] / -direction[down])) if down.any() else 0.0
