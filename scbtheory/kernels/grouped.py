"""The gradient of a batch in one go: tokens stay in the cache from their first use to the last.

Column k of the gradient for A needs the samples with trigger k and no others. So a thread takes some samples, sorted
by trigger, draws their tokens, sums to histograms, multiplies by V, sums over the samples by position, and
forgets the tokens. The samples are those of :func:`scbtheory.streaming.draw_packs`, bit for bit, or of ``task.sample``.
"""

from __future__ import annotations

import numpy as np

from scbtheory.kernels import packing, threads
from scbtheory.kernels.compiled import token_source
from scbtheory.kernels.packed import PARTS, arrange, fill_columns, finish_columns, laid_out, summed, whole_gradient

__all__ = ["CACHE", "gradient", "one_thread", "prepared"]

CACHE = 2**20  # bytes: about what a core has for itself
PAIRED = 1024  # codes of two tokens where one fills a byte: so many bins stay in the fastest cache …
REPAID = 4  # … and repay being added up if a context has this many times their number of positions
SHORT = 4  # times N**2: in such contexts products with V cost something, the less the more samples a part has …
FEWEST = 4  # … but four threads find work
QUICK = 4  # entries of a column are added up in the time that one token takes


def prepared(task, size, streams, memory, packed=True):
    """How the packs of a step are cut, whatever their triggers; the source of their codes; and the laws of the rest."""
    _, positions, outputs, codes = streams
    N, T = task.vocab_size, task.context_length
    m = packing.width(N) if packed else 1
    pairs = m == 1 and N**2 <= PAIRED and REPAID * N**2 <= T
    row = 2 * T + 8 * N**2 if pairs else T + 16 * N**m  # bytes: codes, joined ones, a histogram, a table
    room = min(max(CACHE, 4 * row), memory // PARTS)  # fewer than four rows would visit the column too often
    at_once = max(1, int(room // row))
    lanes = parts = 1
    if not one_thread(size, T, N, m):
        lanes = max(1, int(min(PARTS // N, size // (8 * m * N), memory // (8 * N * T))))  # of packs with one trigger
        few = max(FEWEST, size // (4 * N)) if lanes == 1 and T <= SHORT * N**2 else PARTS
        parts = min(N * lanes, few, PARTS)
    chances = np.uint64(positions.origin), np.uint64(outputs.origin), task._position_cdfs, task._output_cdfs
    law = task._code_cdf if packed else task._trigger_cdf
    return (m, pairs, at_once, lanes, parts), token_source(codes, law), chances


def one_thread(size, T, N, m) -> bool:
    """Whether a step is too small for two: it has at most ``size / m + N`` packs, of T codes each."""
    return (size // m + N) * T < 2 * threads.WORTHWHILE


def gradient(task, theta, size, streams, first, memory, *, projected, packed):
    r"""Return the gradients of samples ``first`` to ``first + size``, A's columns centred if ``projected``.

    ``streams``: those of triggers, positions, outputs, and codes or, if not ``packed``, tokens. Each of at most
    ``PARTS`` threads holds what fits a core's cache or four rows of codes, but only its share of ``memory``; at least
    one row.
    """
    N, T = task.vocab_size, task.context_length
    cut, source, chances = prepared(task, size, streams, memory, packed)
    A, V, origin = np.ascontiguousarray(theta.A.T), np.ascontiguousarray(theta.V), np.uint64(streams[0].origin)
    if one_thread(size, T, N, cut[0]):  # then the interpreter would cost as much as the work: one call does it all
        into_A, into_V = whole_gradient(
            origin, first, size, task._trigger_cdf, cut, not packed, source, chances, A, V, task.mu, projected
        )
        return into_A.T, into_V
    arranged = arrange(origin, first, size, task._trigger_cdf, cut[0])
    model, columns, parts = laid_out(cut, size, A, V, task.mu, projected)

    def run(lo, hi):
        fill_columns(lo, hi, cut, not packed, first, source, arranged, chances, model, columns, parts)

    threads.share(run, len(parts), int(arranged[-1][-1]) * T)
    threads.share(lambda lo, hi: finish_columns(lo, hi, columns, projected), N, columns.size // QUICK)
    return columns[0].T, summed(parts, task.mu, projected)
