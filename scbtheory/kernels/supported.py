r"""Descent on a support, many steps at a time: of each sample only the tokens that the model can see are drawn.

Once attention vanishes outside m positions of each column, loss and gradient depend on the tokens there alone. A
token follows from its number (see ``stream``), so a step costs B m tokens whatever the context's length; at
such sizes the interpreter would cost more than the work, so that the loop over steps is compiled as well.
"""

from __future__ import annotations

import numpy as np

from scbtheory.kernels.compiled import loop, token, token_source, uniform
from scbtheory.kernels.stream import Stream

__all__ = ["descend"]


def descend(task, purposes, place, size, steps, positions, on, iterate, speeds, sums, filled, length, bound):
    r"""Take up to ``steps`` steps on a support (claim S7's stage), in place; return how many, and the last size.

    A step moves :math:`a^{(k)}` on its support along G6's estimator, centred over the support, and V along G6's; the
    iterate after it, over ``length``, is added to the sum of its third.

    Parameters
    ----------
    task : on NumPy.
    purposes : the numbers of the streams of tokens, triggers, positions and outputs.
    place : ``(seed, step, first)`` of the first sample in the stream.
    size : samples a step.
    steps : how many steps at most.
    positions, on : (N, m) the positions of each column, and 1 where one is on the support, 0 where it fills up a row.
    iterate : ``(A, V)``, (N, m) and (N, N): attention at ``positions`` and the value matrix's columns, as rows.
    speeds : ``(eta_A, eta_V)`` times the step size.
    sums : ``(A, V)``, (3, N, m) and (3, N, N), of the iterates of each third.
    filled, length : steps that the thirds hold, and how many each can.
    bound : a step that brings :math:`\|A\|_\mu^2 + \|V\|_\mu^2` above is undone, and the last.

    Returns
    -------
    tuple of int and float
        Steps taken, and :math:`\|A\|_\mu^2 + \|V\|_\mu^2` after the last one, undone or not.
    """
    seed, step, first = place
    tokens, *others = (Stream.of(seed, step, purpose) for purpose in purposes)
    source = token_source(tokens, task._trigger_cdf)
    chances = task._trigger_cdf, task._position_cdfs, task._output_cdfs
    origins = tuple(np.uint64(stream.origin) for stream in others)
    rates = tuple(iterate[0].dtype.type(speed) for speed in speeds)
    done, last = _descend(
        first, size, steps, task.context_length, source, origins, chances, positions, on, *iterate, task.mu, rates,
        *sums, filled, length, bound,
    )  # fmt: skip
    return int(done), float(last)


@loop
def _descend(
    first, size, steps, T, source, origins, chances, positions, on, A, V, mu, rates, sums_A, sums_V, filled, length,
    bound,
):  # fmt: skip
    N, m = positions.shape
    of_trigger, of_position, of_output = origins
    trigger_law, position_laws, output_laws = chances
    into_A, into_V = np.empty_like(A), np.empty_like(V)
    residual, total, seen = np.empty(N, dtype=V.dtype), np.empty(N, dtype=V.dtype), np.empty(m, dtype=np.int64)
    before_A, before_V, length_ = A.copy(), V.copy(), A.dtype.type(length)
    norm = 0.0
    for step in range(steps):
        into_A[:], into_V[:], total[:] = 0, 0, 0
        for b in range(size):
            i = first + step * size + b
            k = np.searchsorted(trigger_law, uniform(of_trigger, i), side="right")
            t = np.searchsorted(position_laws[k], uniform(of_position, i), side="right")
            x = token(source, i * T + t)
            o = np.searchsorted(output_laws[x], uniform(of_output, i), side="right")
            residual[:] = 0
            for j in range(m):
                if on[k, j] != 0:
                    seen[j] = token(source, i * T + positions[k, j])
                    for n in range(N):
                        residual[n] += A[k, j] * V[seen[j], n]
            residual[o] -= 1
            for j in range(m):
                if on[k, j] != 0:
                    along = A.dtype.type(0)
                    for n in range(N):
                        along += residual[n] * V[seen[j], n]
                        into_V[seen[j], n] += A[k, j] * residual[n]
                    into_A[k, j] += along
            for n in range(N):
                total[n] += residual[n]
        before_A[:], before_V[:] = A, V
        norm = _move(A, V, into_A, into_V, total, on, mu, rates, size)
        if not norm <= bound:
            A[:], V[:] = before_A, before_V
            return step + 1, norm
        third = (filled + step) // length
        for k in range(N):
            for j in range(m):
                sums_A[third, k, j] += A[k, j] / length_
            for n in range(N):
                sums_V[third, k, n] += V[k, n] / length_
    return steps, norm


@loop
def _move(A, V, into_A, into_V, total, on, mu, rates, size):
    """One step along the sums of a batch; return the parameters' squared size."""
    N, m = A.shape
    norm, B = 0.0, A.dtype.type(size)
    for k in range(N):
        mean, entries = A.dtype.type(0), A.dtype.type(0)
        for j in range(m):
            mean += on[k, j] * into_A[k, j]
            entries += on[k, j]
        mean /= entries
        square = 0.0
        for j in range(m):
            A[k, j] -= rates[0] * on[k, j] * (into_A[k, j] - mean) / (B * mu[k])
            square += A[k, j] ** 2
        for n in range(N):
            V[k, n] -= rates[1] * (into_V[k, n] - total[n] * mu[k]) / (B * mu[k])
            square += V[k, n] ** 2
        norm += mu[k] * square
    return norm
