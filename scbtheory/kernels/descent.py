"""Many steps of descent or of Adam in one call, where a step has few tokens and the interpreter would cost more.

A step is what ``small_gradient`` or ``gradient`` of ``grouped`` computes, and then the move; tests compare the two.
"""

from __future__ import annotations

import numpy as np

from scbtheory.kernels import grouped, packing
from scbtheory.kernels.compiled import loop
from scbtheory.kernels.packed import finish_columns, whole_gradient
from scbtheory.kernels.small import FEW, SMALL, _small

__all__ = ["descend_drawn", "descend_packed", "few"]


def few(task, size, packed) -> bool:
    """Whether a step of ``size`` samples is one thread's work, so that many are taken in one call."""
    N, T = task.vocab_size, task.context_length
    if not packed:
        return size * T <= FEW and N <= SMALL
    return N <= SMALL and grouped.one_thread(size, T, N, packing.width(N))


def descend_drawn(task, theta, batch, size, *, projected, rates, bound, adam=None):
    r"""Take a step on each ``size`` samples of a batch; stop where one leaves the bound, and undo that one.

    Parameters
    ----------
    task, theta : the task; ``A`` (T, N), ``V`` (N, N), which stay as they are.
    batch : a whole number of steps' samples that this package drew.
    size : samples a step.
    projected : whether to follow G6's estimator, and not the plain gradient.
    rates : of A and of V.
    adam : for Adam's rule, its two rates of decay and epsilon, the steps before, and its means and mean squares as
        :func:`descend_drawn` returned them: for A (N, T) twice, for V (N, N) twice, which are overwritten.
    bound : of :math:`\|A\|_\mu^2 + \|V\|_\mu^2`.

    Returns
    -------
    tuple
        ``A`` (T, N), ``V``, the number of steps that used samples, and the size after the last of them.
    """
    A, V, rates, adam = _own(theta, rates, adam)
    done, last = _on_drawn(
        np.ascontiguousarray(batch.tokens), batch.trigger, batch.output, A, V, task.mu, projected, size,
        V.dtype.type(1) / V.dtype.type(size), rates, bound, adam,
    )  # fmt: skip
    return A.T, V, done, last


def descend_packed(task, theta, size, steps, streams, first, *, projected, rates, bound, adam=None):
    """The same with packed samples, of which each step draws its own: those of ``grouped.gradient``."""
    A, V, rates, adam = _own(theta, rates, adam)
    cut, source, chances = grouped.prepared(task, size, streams, np.inf)
    done, last = _on_packed(
        steps, size, np.uint64(streams[0].origin), first, task._trigger_cdf, cut, source, chances,
        A, V, task.mu, projected, rates, bound, adam,
    )  # fmt: skip
    return A.T, V, done, last


def _own(theta, rates, adam):
    """Copies that the loops may change; without Adam's moments empty ones, so that one compiled loop serves both."""
    kind = theta.V.dtype.type
    numbers, *moments = adam or ((1, 1, 1, 0), *[np.empty((0, 1), dtype=kind)] * 4)
    adam = tuple(map(kind, numbers[:3])), numbers[3], *moments
    return np.array(theta.A.T, order="C"), np.array(theta.V, order="C"), tuple(map(kind, rates)), adam


@loop
def _on_drawn(tokens, trigger, output, A, V, mu, projected, size, share, rates, bound, adam):
    into_A, into_V, last = np.empty_like(A), np.empty_like(V), 0.0
    steps = len(tokens) // size
    for i in range(steps):
        rows = slice(i * size, (i + 1) * size)
        _small(tokens[rows], trigger[rows], output[rows], A, V, mu, projected, share, into_A, into_V)
        finish_columns(0, len(A), into_A.reshape(1, *A.shape), projected)
        _adapt(into_A, into_V, i + 1, adam)
        last = _move(A, V, into_A, into_V, mu, rates, bound)
        if not last <= bound:
            return i + 1, last
    return steps, last


@loop
def _on_packed(steps, size, triggers, first, cdf, cut, source, chances, A, V, mu, projected, rates, bound, adam):
    last = 0.0
    for i in range(steps):
        into_A, into_V = whole_gradient(triggers, first, size, cdf, cut, False, source, chances, A, V, mu, projected)
        _adapt(into_A, into_V, i + 1, adam)
        last = _move(A, V, into_A, into_V, mu, rates, bound)
        if not last <= bound:
            return i + 1, last
        first += size
    return steps, last


@loop
def _move(A, V, into_A, into_V, mu, rates, bound):
    """Step along gradients, unless that leaves the bound; return the squared size there."""
    N, T = A.shape
    rate_A, rate_V = rates
    total = 0.0
    for k in range(N):
        squares = 0.0
        for t in range(T):
            moved = A[k, t] - rate_A * into_A[k, t]
            into_A[k, t] = moved
            squares += moved * moved
        for n in range(N):
            moved = V[n, k] - rate_V * into_V[n, k]
            into_V[n, k] = moved
            squares += moved * moved
        total += mu[k] * squares
    if total <= bound:
        A[:], V[:] = into_A, into_V
    return total


@loop
def _adapt(into_A, into_V, step, adam):
    """Put Adam's directions in place of the gradients, if there are moments."""
    (beta_1, beta_2, epsilon), before, mean_A, square_A, mean_V, square_V = adam
    rest_1, rest_2 = 1 - beta_1 ** (before + step), 1 - beta_2 ** (before + step)
    for g, mean, square in ((into_A, mean_A, square_A), (into_V, mean_V, square_V)):
        for i in range(len(mean)):
            for j in range(g.shape[1]):
                mean[i, j] = beta_1 * mean[i, j] + (1 - beta_1) * g[i, j]
                square[i, j] = beta_2 * square[i, j] + (1 - beta_2) * g[i, j] * g[i, j]
                g[i, j] = mean[i, j] / rest_1 / (np.sqrt(square[i, j] / rest_2) + epsilon)
