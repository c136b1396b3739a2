"""The gradient of a small batch in one call: at a few thousand tokens the interpreter costs more than the work.

The sums are those of ``scbtheory.model.contributions``, which stays the definition; tests compare the two.
"""

from __future__ import annotations

import numpy as np

from scbtheory.kernels.compiled import BLOCK, _add_up, _spread, loop

__all__ = ["FEW", "small_gradient"]

FEW = 2**16  # tokens up to which one thread and one call are faster
SMALL = 32  # vocabulary up to which plain loops over its square are


def small_gradient(tokens, trigger, output, theta, size, mu, projected):
    r"""Return ``(A, V)`` as ``contributions`` does, A's columns not centred; ``None`` where the batch is not small.

    Parameters
    ----------
    tokens : (B, T), a batch that this package drew, so that its numbers are in range.
    trigger, output : (B,) its triggers and outputs.
    theta : ``A`` (T, N), ``V`` (N, N).
    size : samples of the whole batch, of which these are some.
    mu : (N,) frequencies; what has none adds nothing.
    projected : whether for G6's estimator.
    """
    N = theta.V.shape[0]
    if tokens.size > FEW or N > SMALL or theta.V.ndim != 2:
        return None
    columns = np.ascontiguousarray(theta.A.T)
    into_A, into_V = np.empty_like(columns), np.empty_like(theta.V)
    one = theta.V.dtype.type(1)
    _small(
        np.ascontiguousarray(tokens), trigger, output, columns, np.ascontiguousarray(theta.V), mu, projected,
        one / theta.V.dtype.type(size), into_A, into_V,
    )  # fmt: skip
    return into_A.T, into_V


@loop
def _small(tokens, trigger, output, columns, V, mu, projected, share, into_A, into_V):
    B, N = len(tokens), len(V)
    start = np.zeros(N + 1, dtype=np.int64)
    for b in range(B):
        start[trigger[b] + 1] += 1
    for k in range(N):
        start[k + 1] += start[k]
    order, place = np.empty(B, dtype=np.int64), start[:-1].copy()
    for b in range(B):
        order[place[trigger[b]]] = b
        place[trigger[b]] += 1
    z, table, residual = np.empty((B, N), dtype=V.dtype), np.empty((B, N), dtype=V.dtype), np.empty(N, dtype=V.dtype)
    _add_up(tokens, trigger, columns, z, 0, B)
    into_A[:], into_V[:] = 0, 0
    for b in range(B):
        for n in range(N):
            residual[n] = 0
            for m in range(N):
                residual[n] += V[n, m] * z[b, m]
        residual[output[b]] -= 1
        seen = mu[trigger[b]]
        scale = (share / seen if seen > 0 else 0 * share) if projected else share
        for m in range(N):
            table[b, m] = 0
            for n in range(N):
                table[b, m] += residual[n] * V[n, m]
            table[b, m] *= scale
            away = z[b, m] - mu[m] if projected else z[b, m]
            for n in range(N):
                into_V[n, m] += residual[n] * away * share
    if projected:
        for m in range(N):
            for n in range(N):
                into_V[n, m] = into_V[n, m] / mu[m] if mu[m] > 0 else 0
    _spread(tokens, order, start, table, into_A, 0, N * -(-columns.shape[1] // BLOCK))
