r"""L1: the moment statistic, which finds the support from scratch, and its exact mean."""

from __future__ import annotations

import numpy as np

from scbtheory.checks import count
from scbtheory.errors import InvalidArgument, ShapeMismatch
from scbtheory.kernels.stream import Stream
from scbtheory.task import SCB, TOKENS

__all__ = ["chi_squared_information", "moment_mean", "moment_statistic"]


def moment_statistic(task: SCB, samples: int, *, seed: int, step: int = 0, first: int = 0, mu=None):
    r"""L1's statistic of fresh samples, :math:`X_t^{(k)} = n_k \|D^{-1/2}\hat C_t D^{-1/2}\|_F^2`.

    :math:`\hat C_t` is the mean of :math:`(x_o-\mu)(x_t-\mu)^\top` over the :math:`n_k` samples with trigger k. With
    frequencies c of (output, token) among them, :math:`X = n\,[\sum c_{nm}^2/(\mu_n\mu_m) - \sum r_n^2/\mu_n -
    \sum s_m^2/\mu_m + 1]`, r and s the two margins: sums of squares of integers, whatever the order of samples.
    On the CPU tokens are counted as they are drawn, a block of positions at a time; memory does not grow with samples.

    Parameters
    ----------
    task : a task; on another backend than NumPy's the tokens are drawn there and counted on the host.
    samples : how many, of all triggers together.
    seed, step, first : which samples, as in :meth:`scbtheory.SCB.sample`.
    mu : (N,) frequencies in place of the task's own.

    Returns
    -------
    tuple of ndarray
        X, (T, N), 0 where a trigger was never seen; and n, (N,) integers.

    Raises
    ------
    InvalidArgument : a number is out of range, or ``mu`` is no positive distribution.
    """
    B, N, T = count("samples", samples), task.vocab_size, task.context_length
    mu = task._host_mu if mu is None else frequencies_of(mu, N)
    seed, step, first = task._place(B, seed, step, first)
    seen = task.sample_at(np.zeros((1, N), dtype=np.int64), B, seed=seed, step=step, first=first)
    trigger, output = (task.backend.to_numpy(x).astype(np.int64) for x in (seen.trigger, seen.output))
    sums = getattr(task.backend.kernels, "moment_sums", None)
    if sums is not None:
        joint, alone = sums(Stream.of(seed, step, TOKENS), task._trigger_cdf, first, trigger, output, T, mu)
    else:
        joint, alone = _counted(task, B, seed, step, first, mu)
    n = np.bincount(trigger, minlength=N)
    outputs = np.zeros((N, N))
    np.add.at(outputs, (trigger, output), 1.0)
    margin = (outputs**2 / mu).sum(axis=1)
    size = np.maximum(n, 1)[:, None]
    return (np.where(n[:, None] > 0, (joint - margin[:, None] - alone) / size + size, 0.0)).T, n


def _counted(task, samples, seed, step, first, mu):
    """The same sums of squares from whole batches, on the host."""
    N, T = task.vocab_size, task.context_length
    counts = np.zeros((N, N, N, T))  # trigger, output, token, position
    rows = max(1, 2**26 // task.sample_bytes)
    for done in range(0, samples, rows):
        batch = task.sample(min(rows, samples - done), seed=seed, step=step, first=first + done)
        trigger, output, tokens = (task.backend.to_numpy(x) for x in (batch.trigger, batch.output, batch.tokens))
        for b in range(len(trigger)):
            counts[trigger[b], output[b], tokens[b], np.arange(T)] += 1
    joint = np.einsum("knmt,n,m->kt", counts**2, 1 / mu, 1 / mu)
    return joint, np.einsum("kmt,m->kt", counts.sum(axis=1) ** 2, 1 / mu)


def frequencies_of(mu, N):
    """Frequencies as an array (N,) in float64, or refuse what cannot be some; single precision may miss 1 by more."""
    try:
        given = np.asarray(mu)
        mu, single = given.astype(np.float64), given.dtype == np.float32
    except (TypeError, ValueError):
        raise InvalidArgument(f"mu is {mu!r}; expected {N} positive numbers that sum to 1") from None
    if mu.shape != (N,) or not np.all(mu > 0) or abs(mu.sum() - 1) > (1e-5 if single else 1e-9):
        raise InvalidArgument(f"mu is {mu.tolist()}; expected {N} positive numbers that sum to 1")
    return mu


def chi_squared_information(task: SCB) -> float:
    r""":math:`\varphi^2 = \sum_{nm}(P_{nm}-\mu_n)^2\mu_m/\mu_n`: the χ² information between copied token and output.

    Parameters
    ----------
    task : the task; its P and :math:`\mu` are read.

    Returns
    -------
    float
        From 0, where the output does not depend on the copied token, to N - 1, where it tells that token.
    """
    P, mu = task._host_P, task._host_mu
    return float(((P - mu[:, None]) ** 2 * mu[None, :] / mu[:, None]).sum())


def moment_mean(task: SCB, n):
    r"""L1: the exact mean of :func:`moment_statistic` at :math:`n_k` samples, for every T and N.

    :math:`E X_t = (n_k-1)q_t^2\varphi^2 + (1-q_t)(N-1)^2 + q_t\sum_m(1-\mu_m)\sum_n P_{nm}(1/\mu_n - 1)`; off the
    support :math:`(N-1)^2`.

    Parameters
    ----------
    task : a task.
    n : (N,) or one number, samples with each trigger, at least 1.

    Returns
    -------
    ndarray
        (T, N).

    Raises
    ------
    InvalidArgument : a trigger has fewer than one sample, or no finite number of them.
    ShapeMismatch : n is an array of another shape.
    """
    try:
        n = np.asarray(n, dtype=float)
    except (TypeError, ValueError):
        raise InvalidArgument(f"n is {n!r}; expected samples with each trigger") from None
    if n.shape not in ((), (task.vocab_size,)):
        raise ShapeMismatch(f"n has shape {n.shape}; expected one number or {(task.vocab_size,)}")
    if not np.all(np.isfinite(n) & (n >= 1)):
        raise InvalidArgument(f"n is {n.tolist()}; expected at least one sample of each trigger")
    n = np.broadcast_to(n, (task.vocab_size,))
    P, mu, q, N = task._host_P, task._host_mu, task._host_Q, task.vocab_size
    own = float(((1 - mu) * (P * (1 / mu - 1)[:, None]).sum(axis=0)).sum())
    return (n - 1) * q**2 * chi_squared_information(task) + (1 - q) * (N - 1) ** 2 + q * own
