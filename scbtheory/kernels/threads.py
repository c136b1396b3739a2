"""Work on the tokens, shared between threads.

A piece is computed by one thread, in one fixed order: results do not depend on how many threads there are. (Those of
a BLAS, in the products with V, may change the last bits; set OPENBLAS_NUM_THREADS=1, as ``make`` does.)
Python's own threads call the loops, which release the interpreter's lock; unlike OpenMP's they sleep
while they wait, and other programs on the machine do not stall them.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numba

__all__ = ["WORTHWHILE", "share"]

THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # usable cores, unless the environment variable of that name is set
WORTHWHILE = 2**16  # tokens that repay waking one more thread
PIECES = 4  # for each thread: one that has to wait for a core leaves its pieces to the others


def share(run, parts, size):
    """Call ``run(lo, hi)`` on pieces of ``range(parts)``, on as many threads as ``size`` tokens repay."""
    n = max(1, min(THREADS, parts, size // WORTHWHILE))
    if n == 1:
        return run(0, parts)
    pieces = min(parts, n * PIECES)
    todo = iter([(run, parts * i // pieces, parts * (i + 1) // pieces) for i in range(pieces)])

    def work():  # knows ``run`` and its arrays from ``todo`` alone, so that a cancelled helper keeps no memory
        for piece, lo, hi in todo:  # shared: whoever is free takes the next
            piece(lo, hi)

    helpers = [_pool(os.getpid(), n - 1).submit(work) for _ in range(n - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():  # one that has not begun is not needed any more
            helper.result()


@functools.lru_cache(maxsize=4)
def _pool(process, workers):
    """Return sleeping threads; a forked ``process`` inherits none and gets its own."""
    return ThreadPoolExecutor(workers, thread_name_prefix="scbtheory")
