"""The packed gradient in one go, trigger by trigger: a trigger's tokens stay in the cache from first to last use.

Column k of the gradient for A needs the samples with trigger k and no others. So a thread draws their tokens, sums
them to histograms, multiplies by V, sums over the samples by position, and forgets the tokens. The samples are
those of :func:`scbtheory.streaming.draw_packs`, bit for bit.
"""

from __future__ import annotations

import numpy as np

from scbtheory.kernels import packing
from scbtheory.kernels.compiled import arrange, fill_columns, token_source
from scbtheory.kernels.threads import share

GROUP = 2**20  # bytes of one trigger's tokens: about what a core has for itself
PAIRED = 1024  # codes of two tokens where one fills a byte: so many bins stay in the fastest cache …
REPAID = 4  # … and repay being added up if a context has this many times their number of positions


def gradient(task, theta, size, streams, first, memory, *, projected):
    r"""Return what ``tables`` and ``accumulate`` make of samples ``first`` to ``first + size``: (T, N) and (N, N).

    ``streams``: those of triggers, positions, outputs and codes. None if some trigger's tokens need more than a
    64th of ``memory`` or do not fit a core's cache.
    """
    triggers, positions, outputs, codes = streams
    N, T = task.vocab_size, task.context_length
    m = packing.width(N)
    arranged = arrange(np.uint64(triggers.origin), first, size, task._trigger_cdf, m)
    *_, packs = arranged
    most = int(np.diff(packs).max())
    if most * T > min(GROUP, memory // 64):
        return None
    pairs = m == 1 and N**2 <= PAIRED and REPAID * N**2 <= T
    source = token_source(codes, task._code_cdf)
    chances = np.uint64(positions.origin), np.uint64(outputs.origin), task._position_cdfs, task._output_cdfs
    A, V = np.ascontiguousarray(theta.A.T), np.ascontiguousarray(theta.V)
    factors = 1 / task.mu if projected else np.ones_like(task.mu)
    model = A, V, V.dtype.type(1 / size), factors
    z, residual = np.empty((2, size, N), dtype=V.dtype)
    columns = np.empty((N, T), dtype=V.dtype)

    def run(lo, hi):
        fill_columns(lo, hi, m, pairs, most, first, source, arranged, chances, model, z, residual, columns)

    share(run, N, int(packs[-1]) * T)
    return columns.T, z, residual
