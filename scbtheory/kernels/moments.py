r"""How often token m stands at a position when the output is n: the counts behind the moment statistic (claim L1).

All samples for one block of positions, then the next: memory is a block's, N² counts a position, whatever T is. Counts
are integers, so that sums do not depend on the number of threads. A token follows from its number (see ``stream``),
so no block draws what another needs.
"""

from __future__ import annotations

import numpy as np

from scbtheory.kernels.compiled import _draw, loop, token_source
from scbtheory.kernels.threads import share

__all__ = ["statistic"]

CACHE = 2**17  # bytes of counts that stay near the core


def statistic(stream, cdf, first, trigger, output, T, mu):
    r"""Return :math:`\sum_{nm} c_{nm}^2/(\mu_n\mu_m)` and :math:`\sum_m c_m^2/\mu_m`, (N, T) each, at every position.

    Parameters
    ----------
    stream, cdf : of the tokens; token t of sample b has number ``(first + b) * T + t``.
    trigger, output : (B,) host integers.
    T : positions.
    mu : (N,) host frequencies, float64.

    Returns
    -------
    tuple of ndarray
        For trigger k: c[n, m] counts its samples with output n and token m there; c[m] its samples with token m.
    """
    N = len(mu)
    order = np.argsort(trigger, kind="stable")
    start = np.searchsorted(trigger[order], np.arange(N + 1))
    block = max(64, CACHE // (4 * N**2) // 4 * 4)
    joint, alone = np.empty((N, T)), np.empty((N, T))
    source, out, inverse = token_source(stream, cdf), output.astype(np.int64), 1 / mu
    kind = next(t for t in (np.uint8, np.uint16, np.uint32) if np.iinfo(t).max + 1 >= N)

    def run(lo, hi):
        buffer = np.empty(block, dtype=kind)
        _statistic(source, first, order, start, out, T, block, lo, hi, inverse, buffer, joint, alone)

    share(run, -(-T // block), len(trigger) * T)
    return joint, alone


@loop
def _statistic(source, first, order, start, output, T, block, lo, hi, inverse, buffer, joint, alone):
    """Blocks ``lo`` to ``hi`` of the positions, for every trigger."""
    N = inverse.size
    counts = np.empty((block, N * N), dtype=np.int32)
    for part in range(lo, hi):
        begin = part * block
        size = min(block, T - begin)
        tokens = buffer[:size]
        for k in range(N):
            counts[:] = 0
            for member in range(start[k], start[k + 1]):
                b = order[member]
                number = (first + b) * T + begin
                _draw(source, tokens, number, number // 4, (number + size + 3) // 4)
                row = output[b] * N
                for t in range(size):
                    counts[t, row + tokens[t]] += 1
            for t in range(size):
                total, marginal = 0.0, 0.0
                for m in range(N):
                    column, seen = 0.0, 0
                    for n in range(N):
                        c = counts[t, n * N + m]
                        column += np.float64(c) * np.float64(c) * inverse[n]
                        seen += c
                    total += column * inverse[m]
                    marginal += np.float64(seen) * np.float64(seen) * inverse[m]
                joint[k, begin + t], alone[k, begin + t] = total, marginal
