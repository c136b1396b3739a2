r"""L7: tokens that are not independent but a sticky chain.

Its transition matrix is :math:`\varsigma I + (1-\varsigma)\mu1^\top`, the tokens' correlation
:math:`\Lambda_{tu} = \varsigma^{|t-u|}`, and the inverse of that has three diagonals.
"""

from __future__ import annotations

import numpy as np

from scbtheory.checks import count, real, reals
from scbtheory.errors import InvalidArgument
from scbtheory.task import SCB, Batch

__all__ = ["chain_batch", "correlate", "decorrelate"]


def correlate(columns, stickiness: float) -> np.ndarray:
    r"""L7: :math:`\Lambda M`, columns seen through tokens that are correlated like :math:`\varsigma^{|t-u|}`.

    Parameters
    ----------
    columns : (T, …), on the host.
    stickiness : :math:`\varsigma`, at least 0 and below 1.

    Returns
    -------
    ndarray
        Of the shape of ``columns``; two passes over it.

    Raises
    ------
    InvalidArgument : the stickiness is out of range, or the columns are not finite real numbers.
    """
    rate, M = _stickiness(stickiness), _by_position(columns)
    forward, backward = M.copy(), M.copy()
    for t in range(1, len(M)):
        forward[t] += rate * forward[t - 1]
        backward[-1 - t] += rate * backward[-t]
    return forward + backward - M


def decorrelate(columns, stickiness: float) -> np.ndarray:
    r"""L7: :math:`\Lambda^{-1}M`: each position less its two neighbours.

    :math:`(\Lambda^{-1}M)_t = \frac{(1+\varsigma^2)M_t - \varsigma(M_{t-1}+M_{t+1})}{1-\varsigma^2}`, with 1 for
    :math:`1+\varsigma^2` at both ends.

    Parameters
    ----------
    columns : (T, …), on the host.
    stickiness : :math:`\varsigma`, at least 0 and below 1.

    Returns
    -------
    ndarray
        Of the shape of ``columns``; :func:`correlate` undoes it.

    Raises
    ------
    InvalidArgument : the stickiness is out of range, or the columns are not finite real numbers.
    """
    rate, M = _stickiness(stickiness), _by_position(columns)
    if len(M) < 2:
        return M.copy()
    out = (1 + rate**2) * M
    out[[0, -1]] = M[[0, -1]]
    out[1:] -= rate * M[:-1]
    out[:-1] -= rate * M[1:]
    return out / (1 - rate**2)


def chain_batch(task: SCB, samples: int, stickiness: float, *, seed: int, step: int = 0) -> Batch:
    r"""Samples whose contexts are sticky chains: a token repeats the one before with chance :math:`\varsigma`.

    Parameters
    ----------
    task : a task on NumPy; triggers and positions are those of :meth:`scbtheory.SCB.sample`.
    samples : how many.
    stickiness : :math:`\varsigma`, at least 0 and below 1; at 0 the tokens are the task's own.
    seed, step : as for :meth:`scbtheory.SCB.sample`.

    Returns
    -------
    Batch
        B samples on NumPy, with tokens (B, T).

    Raises
    ------
    InvalidArgument : a number is out of range, the task is not on NumPy, or the tokens do not fit the available memory.
    """
    rate, B, T = _stickiness(stickiness), count("samples", samples), task.context_length
    if not isinstance(task.mu, np.ndarray):
        raise InvalidArgument(f"the task is on {task.backend.name}; chains are drawn on NumPy: task.on('numpy')")
    fresh = task.sample(B, seed=seed, step=step)
    generator = np.random.default_rng([seed, step])
    renewed = generator.random((B, T)) >= rate
    renewed[:, 0] = True
    drawn_at = np.maximum.accumulate(np.where(renewed, np.arange(T), 0), axis=1)
    tokens = np.take_along_axis(fresh.tokens, drawn_at, axis=1)
    cdf = np.cumsum(task.P, axis=0)[:, tokens[np.arange(B), fresh.position]]
    output = np.minimum((generator.random(B) >= cdf).sum(axis=0), task.vocab_size - 1)
    return Batch(tokens, fresh.trigger, output.astype(fresh.output.dtype), fresh.position)


def _by_position(columns) -> np.ndarray:
    found = np.asarray(reals("columns", columns))
    if not found.ndim:
        raise InvalidArgument(f"columns is {columns!r}; expected an array, (T, …)")
    return found


def _stickiness(value) -> float:
    if not 0 <= real("stickiness", value) < 1:
        raise InvalidArgument(f"stickiness is {value}; expected at least 0 and below 1")
    return float(value)
