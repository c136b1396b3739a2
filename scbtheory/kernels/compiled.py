"""The token loops compiled for the CPU by Numba: the tokens of ``reference`` bit for bit, its sums to rounding.

Every loop runs over a range of words, samples or blocks, so that threads can share it. Each number
is computed by one thread, in one fixed order: results do not depend on how many threads there are.
Python's own threads call the loops, which release the interpreter's lock; unlike OpenMP's they sleep
while they wait, and other programs on the machine do not stall them.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from scbtheory.errors import InvalidArgument
from scbtheory.kernels.stream import GOLDEN, MIX_1, MIX_2, Stream

THREADS = numba.config.NUMBA_NUM_THREADS  # usable cores, unless the environment variable of that name is set
WORTHWHILE = 2**16  # tokens that repay waking one more thread
PIECES = 4  # for each thread: one that has to wait for a core leaves its pieces to the others

SHIFT = 2  # a cell is 2**2 codes: a table of cells takes 32 KiB, and few of them contain a boundary …
MANY = 64  # … until there are so many boundaries that a cell for each code is faster
WORDS = 1024  # words hashed at a time, which stay in the fastest cache
BLOCK = 2048  # positions whose gradient is summed at a time
ONE, TWO, THREE = np.uintp(1), np.uintp(2), np.uintp(3)  # unsigned: an index that could be negative costs a test


def loop(function):
    """Compile on first use; keep the machine code for the next process where some folder is writable."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # Numba found nowhere to write
        return numba.njit(nogil=True)(function)


def draw(backend, stream: Stream, shape, cdf, dtype, first=0, out=None):
    """Draw i.i.d. tokens: those of :func:`scbtheory.kernels.reference.draw`; into ``out`` if there is one."""
    tokens = np.empty(shape, dtype=dtype) if out is None else out
    boundaries = 65536.0 * np.asarray(cdf, dtype=np.float64)[:-1]
    shift = SHIFT if len(boundaries) < MANY else 0
    table = _remembered_cells(boundaries.tobytes(), shift)
    law = np.uint64(stream.origin), np.uint64(stream.refinement.origin), table, np.uint64(shift), boundaries
    flat, last = tokens.reshape(-1), first + tokens.size
    for word in (first // 4, (last - 1) // 4):  # the range may cut these two
        _draw_carefully(*law, flat, first, word)
    start, stop = -(-first // 4), last // 4
    _share(lambda lo, hi: _draw(*law, flat, first, start + lo, start + hi), stop - start, tokens.size)
    return tokens


def histogram(backend, tokens, trigger, weights, n_codes=None):
    """``z[b, c] = sum_t weights[t, k_b] 1{tokens[b, t] = c}``, shape (B, C); sums are in float64."""
    n_triggers = weights.shape[1]
    z = np.empty((len(tokens), n_codes or n_triggers), dtype=weights.dtype)
    tokens, trigger = _checked(tokens, z.shape[1], trigger, n_triggers)
    columns = np.ascontiguousarray(weights.T)  # no copy if the columns of ``weights`` are contiguous
    _share(lambda lo, hi: _histogram(tokens, trigger, columns, z, lo, hi), len(tokens), tokens.size)
    return z


def accumulate(backend, tokens, trigger, table, n_triggers=None):
    """``g[t, k] = sum_{b: k_b = k} table[b, tokens[b, t]]``, shape (T, N); its columns are contiguous."""
    T, N = tokens.shape[1], n_triggers or table.shape[1]
    columns = np.empty((N, T), dtype=table.dtype)
    tokens, trigger = _checked(tokens, table.shape[1], trigger, N)
    order = np.argsort(trigger, kind="stable")
    start = np.searchsorted(trigger[order], np.arange(N + 1))  # order[start[k]:start[k + 1]] have trigger k
    table = np.ascontiguousarray(table)
    blocks = -(-T // BLOCK)
    _share(lambda lo, hi: _accumulate(tokens, order, start, table, columns, lo, hi), N * blocks, tokens.size)
    return columns.T


@loop
def _mix(word):
    """SplitMix64's finaliser, as in :func:`scbtheory.kernels.stream.mix`."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(MIX_1)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(MIX_2)
    return word ^ (word >> np.uint64(31))


@loop
def invert(tables, which, u):
    """Return the first index with ``tables[which[b], index] > u[b]``; ``tables`` (rows, n) are cumulative."""
    chosen = np.empty(u.size, dtype=np.int64)
    for b in range(u.size):
        chosen[b] = np.searchsorted(tables[which[b]], u[b], side="right")
    return chosen


def choose(stream: Stream, index, tables, which):
    """Return :func:`invert` at the uniform numbers ``index`` of a stream, one for each of ``which``."""
    return _choose(np.uint64(stream.origin), index, tables, which)


@loop
def _choose(origin, index, tables, which):
    u = np.empty(which.size)
    for b in range(u.size):
        u[b] = np.float64(_mix(origin + np.uint64(index[b]) * np.uint64(GOLDEN)) >> np.uint64(11)) * 2.0**-53
    return invert(tables, which, u)


def cells(boundaries, shift=SHIFT):
    """Token of each cell of ``2**shift`` codes; where a boundary lies inside, ``~token`` of the cell's left end.

    Where the table is not negative no further bits are needed: they cannot change the token.
    """
    place = boundaries / 2**shift
    count = np.bincount(np.ceil(place).astype(np.int64), minlength=(65536 >> shift) + 1)
    small = next(t for t in (np.int8, np.int16, np.int32) if len(boundaries) <= np.iinfo(t).max)
    token = np.cumsum(count)[:-1].astype(small)
    inside = np.unique(place[place % 1 > 0].astype(np.int64))
    token[inside] = ~token[inside]
    return token


@functools.lru_cache(maxsize=16)
def _remembered_cells(boundaries, shift):
    """A run draws from one law at every step: make its cells once."""
    return cells(np.frombuffer(boundaries), shift)


@loop
def _draw(origin, refinement, cells, shift, boundaries, tokens, first, start, stop):
    """Turn words ``start`` to ``stop`` of the stream into four tokens each; ``tokens[0]`` is token ``first``."""
    words = np.empty(WORDS, dtype=np.uint64)
    codes = words.view(np.uint16)  # the four lanes of each word, in order on a little-endian machine
    lanes = np.uint64(0x0001000100010001) * (np.uint64(0xFFFF) >> shift)
    for block in range(start, stop, WORDS):
        count = min(WORDS, stop - block)
        for i in range(count):
            words[i] = _mix(origin + np.uint64(block + i) * np.uint64(GOLDEN)) >> shift & lanes
        out = tokens[4 * block - first : 4 * (block + count) - first]
        for i in range(count):
            t = np.uintp(4 * i)
            a, b = cells[codes[t]], cells[codes[t + ONE]]
            c, d = cells[codes[t + TWO]], cells[codes[t + THREE]]
            out[t] = a
            out[t + ONE] = b
            out[t + TWO] = c
            out[t + THREE] = d
            if (a | b | c | d) < 0:
                _draw_carefully(origin, refinement, cells, shift, boundaries, tokens, first, block + i)


@loop
def _draw_carefully(origin, refinement, cells, shift, boundaries, tokens, first, index):
    """Turn one word into tokens: only those inside the range, with 53 further bits where 16 do not decide."""
    word = _mix(origin + np.uint64(index) * np.uint64(GOLDEN))
    for i in range(max(4 * index, first), min(4 * index + 4, first + tokens.size)):
        code = word >> np.uint64(16 * (i % 4)) & np.uint64(0xFFFF)
        token = np.int64(cells[code >> shift])
        if token < 0:
            token = ~token
            further = _mix(refinement + np.uint64(i) * np.uint64(GOLDEN)) >> np.uint64(11)
            rest = np.float64(further) * 2.0**-53
            while token < boundaries.size and boundaries[token] - np.float64(code) <= rest:
                token += 1
        tokens[i - first] = token


@loop
def _histogram(tokens, trigger, columns, z, start, stop):
    """Fill rows ``start`` to ``stop`` of ``z``; four sets of bins, for equal tokens in a row not to wait."""
    T, N = tokens.shape[1], z.shape[1]
    bins, fours = np.empty((4, N)), T // 4 * 4
    for b in range(start, stop):
        row, weight = tokens[b], columns[trigger[b]]
        bins[:] = 0
        for i in range(0, fours, 4):
            t = np.uintp(i)
            bins[0, row[t]] += weight[t]
            bins[1, row[t + ONE]] += weight[t + ONE]
            bins[2, row[t + TWO]] += weight[t + TWO]
            bins[3, row[t + THREE]] += weight[t + THREE]
        for t in range(fours, T):
            bins[0, row[t]] += weight[t]
        for n in range(N):
            z[b, n] = (bins[0, n] + bins[1, n]) + (bins[2, n] + bins[3, n])


@loop
def _accumulate(tokens, order, start, table, columns, first, last):
    """Fill parts ``first`` to ``last`` of the gradient's columns: block ``p // N`` of column ``p % N``."""
    N, T = columns.shape
    for part in range(first, last):
        k, lo = part % N, part // N * BLOCK
        hi = min(lo + BLOCK, T)
        total = columns[k, lo:hi]
        total[:] = 0
        members = order[start[k] : start[k + 1]]
        m = 0
        while m + 4 <= len(members):  # four samples at a time, then two: fewer visits to ``total``
            b0, b1, b2, b3 = members[m], members[m + 1], members[m + 2], members[m + 3]
            x0, x1, x2, x3 = tokens[b0, lo:hi], tokens[b1, lo:hi], tokens[b2, lo:hi], tokens[b3, lo:hi]
            r0, r1, r2, r3 = table[b0], table[b1], table[b2], table[b3]
            for t in range(hi - lo):
                total[t] += (r0[x0[t]] + r1[x1[t]]) + (r2[x2[t]] + r3[x3[t]])
            m += 4
        if m + 2 <= len(members):
            b0, b1 = members[m], members[m + 1]
            x0, x1, r0, r1 = tokens[b0, lo:hi], tokens[b1, lo:hi], table[b0], table[b1]
            for t in range(hi - lo):
                total[t] += r0[x0[t]] + r1[x1[t]]
            m += 2
        if m < len(members):
            x0, r0 = tokens[members[m], lo:hi], table[members[m]]
            for t in range(hi - lo):
                total[t] += r0[x0[t]]


def _checked(tokens, n_codes, trigger, n_triggers):
    """Refuse what the loops would read or write outside their arrays."""
    for name, array, limit in (("tokens", tokens, n_codes), ("trigger", trigger, n_triggers)):
        if (array.dtype.kind != "u" and array.min() < 0) or array.max() >= limit:
            raise InvalidArgument(f"{name} holds values from {array.min()} to {array.max()}; expected 0 to {limit - 1}")
    return np.ascontiguousarray(tokens), trigger.astype(np.int64)


def _share(run, parts, size):
    """Call ``run(lo, hi)`` on pieces of ``range(parts)``, on as many threads as ``size`` tokens repay."""
    n = max(1, min(THREADS, parts, size // WORTHWHILE))
    if n == 1:
        return run(0, parts)
    pieces = min(parts, n * PIECES)
    todo = iter([(run, parts * i // pieces, parts * (i + 1) // pieces) for i in range(pieces)])

    def work():  # knows ``run`` and its arrays from ``todo`` alone, so that a cancelled helper keeps no memory
        for piece, lo, hi in todo:  # shared: whoever is free takes the next
            piece(lo, hi)

    helpers = [_pool(os.getpid(), n).submit(work) for _ in range(n - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():  # one that has not begun is not needed any more
            helper.result()


@functools.lru_cache(maxsize=4)
def _pool(process, workers):
    """Return sleeping threads; a forked ``process`` inherits none and gets its own."""
    return ThreadPoolExecutor(workers, thread_name_prefix="scbtheory")
