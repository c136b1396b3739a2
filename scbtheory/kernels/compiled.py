"""The token loops compiled for the CPU by Numba: the tokens of ``reference`` bit for bit, its sums to rounding.

Every loop runs over a range of words, samples, blocks or triggers, so that threads can share it (see ``threads``).
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from pathlib import Path

import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile

from scbtheory.errors import InvalidArgument
from scbtheory.kernels.stream import GOLDEN, MIX_1, MIX_2, Stream
from scbtheory.kernels.threads import share

__all__ = [
    "BLOCK",
    "CROWDED",
    "MANY",
    "SHIFT",
    "Cache",
    "accumulate",
    "cells",
    "choose",
    "draw",
    "draw_at",
    "histogram",
    "invert",
    "loop",
    "token",
    "token_source",
    "uniform",
]

SHIFT = 2  # a cell is 2**2 codes: a table of cells takes 32 KiB, and few of them contain a boundary …
MANY = 64  # … until there are so many boundaries that a cell for each code is faster
WORDS = 1024  # words hashed at a time, which stay in the fastest cache
CROWDED = 64  # below, equal tokens in a row would wait for each other: four sets of bins keep them apart
BLOCK = 2048  # positions whose gradient is summed at a time
ONE, TWO, THREE = np.uintp(1), np.uintp(2), np.uintp(3)  # unsigned: an index that could be negative costs a test


class Cache(FunctionCache):
    """Machine code on disk that is worth no failure: where it is damaged or cannot be written, compile afresh.

    Once any file of this folder has changed it is compiled again: Numba itself looks at a function's own file, and
    would keep what the function calls as it was.
    """

    complained = False

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, _written())

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # whatever unpickling a damaged file raises
            self.complain(error)
            with contextlib.suppress(OSError):
                self.flush()  # or it would be read again next time
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except Exception as error:
            self.complain(error)

    @staticmethod
    def complain(error):
        if not Cache.complained:
            Cache.complained = True
            problem = f"{type(error).__name__}: {error}"
            warnings.warn(f"Numba's cache cannot be used ({problem}); loops are compiled afresh", stacklevel=3)


@functools.cache
def _written():
    """When each file of compiled loops was written, and how long it is."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((path.name, (about := path.stat()).st_mtime, about.st_size) for path in files)


def loop(function):
    """Compile on first use; keep the machine code for the next process where some folder is writable."""
    compiled = numba.njit(nogil=True)(function)
    with contextlib.suppress(RuntimeError):  # Numba found nowhere to write
        compiled._cache = Cache(function)
    return compiled


def draw(backend, stream: Stream, shape, cdf, dtype, first=0):
    """Draw i.i.d. tokens: those of :func:`scbtheory.kernels.reference.draw`."""
    tokens = np.empty(shape, dtype=dtype)
    source, flat = token_source(stream, cdf), tokens.reshape(-1)
    start, stop = first // 4, -(-(first + tokens.size) // 4)
    share(lambda lo, hi: _draw(source, flat, first, start + lo, start + hi), stop - start, tokens.size)
    return tokens


def draw_at(backend, stream: Stream, index, cdf, dtype):
    """Draw the tokens with numbers ``index``: those of :func:`scbtheory.kernels.reference.draw_at`."""
    tokens = np.empty(index.shape, dtype=dtype)
    _draw_at(token_source(stream, cdf), np.ascontiguousarray(index).reshape(-1), tokens.reshape(-1))
    return tokens


@loop
def _draw_at(source, index, tokens):
    for i in range(index.size):
        tokens[i] = token(source, index[i])


@loop
def token(source, index):
    """One token of a stream, by its number."""
    origin, _, cells, shift, _ = source
    word = _mix(origin + (np.uint64(index) >> np.uint64(2)) * np.uint64(GOLDEN))
    code = word >> np.uint64(16) * (np.uint64(index) & np.uint64(3)) & np.uint64(0xFFFF)
    found = np.int64(cells[code >> shift])
    return found if found >= 0 else _settled(source, found, code, index)


@loop
def _settled(source, cell, code, index):
    """The token of a code whose cell has a boundary inside, by 53 more bits; ``cell`` is ``~token`` of its left end."""
    _, refinement, _, _, boundaries = source
    token, rest = ~np.int64(cell), uniform(refinement, index)
    while token < boundaries.size and boundaries[token] - np.float64(code) <= rest:
        token += 1
    return token


def token_source(stream: Stream, cdf):
    """Return what the loops draw tokens from: where two streams start, the cells and the boundaries of a law."""
    table, shift, boundaries = _law(np.asarray(cdf, dtype=np.float64).tobytes())
    return np.uint64(stream.origin), np.uint64(stream.refinement.origin), table, shift, boundaries


@functools.lru_cache(maxsize=16)
def _law(cdf):
    """Cells, the shift that finds them, and boundaries: a run draws from one law at every step."""
    boundaries = 65536.0 * np.frombuffer(cdf)[:-1]
    shift = SHIFT if len(boundaries) < MANY else 0
    return cells(boundaries, shift), np.uint64(shift), boundaries


def histogram(backend, tokens, trigger, weights, n_codes=None):
    """``z[b, c] = sum_t weights[t, k_b] 1{tokens[b, t] = c}``, shape (B, C); sums are in float64."""
    n_triggers = weights.shape[1]
    z = np.empty((len(tokens), n_codes or n_triggers), dtype=weights.dtype)
    tokens, trigger = _checked(tokens, z.shape[1], trigger, n_triggers)
    columns = np.ascontiguousarray(weights.T)  # no copy if the columns of ``weights`` are contiguous
    share(lambda lo, hi: _add_up(tokens, trigger, columns, z, lo, hi), len(tokens), tokens.size)
    return z


def accumulate(backend, tokens, trigger, table, n_triggers=None):
    """``g[t, k] = sum_{b: k_b = k} table[b, tokens[b, t]]``, shape (T, N); its columns are contiguous."""
    T, N = tokens.shape[1], n_triggers or table.shape[1]
    columns = np.zeros((N, T), dtype=table.dtype)
    tokens, trigger = _checked(tokens, table.shape[1], trigger, N)
    order = np.argsort(trigger, kind="stable")
    start = np.searchsorted(trigger[order], np.arange(N + 1))  # order[start[k]:start[k + 1]] have trigger k
    table = np.ascontiguousarray(table)
    blocks = -(-T // BLOCK)
    share(lambda lo, hi: _spread(tokens, order, start, table, columns, lo, hi), N * blocks, tokens.size)
    return columns.T


def _checked(tokens, n_codes, trigger, n_triggers):
    """Refuse what the loops would read or write outside their arrays."""
    for name, array, limit in (("tokens", tokens, n_codes), ("trigger", trigger, n_triggers)):
        if (array.dtype.kind != "u" and array.min() < 0) or array.max() >= limit:
            raise InvalidArgument(f"{name} holds values from {array.min()} to {array.max()}; expected 0 to {limit - 1}")
    return np.ascontiguousarray(tokens), trigger.astype(np.int64)


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
        u[b] = uniform(origin, index[b])
    return invert(tables, which, u)


@loop
def uniform(origin, index):
    """One 53-bit uniform number in [0, 1): number ``index`` of a stream."""
    return np.float64(_mix(origin + np.uint64(index) * np.uint64(GOLDEN)) >> np.uint64(11)) * 2.0**-53


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


@loop
def _draw(source, tokens, first, start, stop):
    """Turn words ``start`` to ``stop`` of the stream into four tokens each; ``tokens[0]`` is token ``first``."""
    origin, _, cells, shift, _ = source
    if start < stop and 4 * start < first:  # the first and the last word may belong to the range in part
        _draw_carefully(source, tokens, first, start)
        start += 1
    if start < stop and 4 * stop > first + tokens.size:
        stop -= 1
        _draw_carefully(source, tokens, first, stop)
    words = np.empty(WORDS, dtype=np.uint64)
    codes = words.view(np.uint16)  # the four lanes of each word, in order on a little-endian machine
    at = origin + np.uint64(start) * np.uint64(GOLDEN)  # of the next word; to add is cheaper than to multiply
    for block in range(start, stop, WORDS):
        count = min(WORDS, stop - block)
        for i in range(count):
            words[i] = _mix(at)
            at += np.uint64(GOLDEN)
        out = tokens[4 * block - first : 4 * (block + count) - first]
        for i in range(count):
            t = np.uintp(4 * i)
            a, b = cells[codes[t] >> shift], cells[codes[t + ONE] >> shift]
            c, d = cells[codes[t + TWO] >> shift], cells[codes[t + THREE] >> shift]
            out[t] = a
            out[t + ONE] = b
            out[t + TWO] = c
            out[t + THREE] = d
            if (a | b | c | d) < 0:
                for j in range(4):
                    x = np.uintp(4 * i + j)
                    cell = cells[codes[x] >> shift]
                    if cell < 0:
                        out[x] = _settled(source, cell, codes[x], 4 * (block + i) + j)


@loop
def _draw_carefully(source, tokens, first, index):
    """Turn one word into tokens: only those inside the range."""
    origin, _, cells, shift, _ = source
    word = _mix(origin + np.uint64(index) * np.uint64(GOLDEN))
    for i in range(max(4 * index, first), min(4 * index + 4, first + tokens.size)):
        code = word >> np.uint64(16 * (i % 4)) & np.uint64(0xFFFF)
        token = np.int64(cells[code >> shift])
        tokens[i - first] = token if token >= 0 else _settled(source, token, code, i)


@loop
def _add_up(tokens, trigger, columns, z, start, stop):
    """Fill rows ``start`` to ``stop`` of ``z``; two rows of one trigger together, which read their weights once."""
    T, N = tokens.shape[1], z.shape[1]
    sets, fours = 4 if N < CROWDED else 1, T // 4 * 4
    bins = np.empty((2, sets, N))
    p, q, r, s = bins[0, 0], bins[0, 1 % sets], bins[0, 2 % sets], bins[0, 3 % sets]
    p2, q2, r2, s2 = bins[1, 0], bins[1, 1 % sets], bins[1, 2 % sets], bins[1, 3 % sets]
    b = start
    while b < stop:
        rows = 2 if b + 1 < stop and trigger[b] == trigger[b + 1] else 1
        weight, x, y = columns[trigger[b]], tokens[b], tokens[b + rows - 1]
        bins[:rows] = 0
        if rows == 2:
            for i in range(0, fours, 4):
                t = np.uintp(i)
                w0, w1, w2, w3 = weight[t], weight[t + ONE], weight[t + TWO], weight[t + THREE]
                p[x[t]] += w0
                p2[y[t]] += w0
                q[x[t + ONE]] += w1
                q2[y[t + ONE]] += w1
                r[x[t + TWO]] += w2
                r2[y[t + TWO]] += w2
                s[x[t + THREE]] += w3
                s2[y[t + THREE]] += w3
        else:
            for i in range(0, fours, 4):
                t = np.uintp(i)
                p[x[t]] += weight[t]
                q[x[t + ONE]] += weight[t + ONE]
                r[x[t + TWO]] += weight[t + TWO]
                s[x[t + THREE]] += weight[t + THREE]
        for row in range(rows):
            own, codes = bins[row], tokens[b + row]
            for t in range(fours, T):
                own[0, codes[t]] += weight[t]
            for n in range(N):
                z[b + row, n] = (own[0, n] + own[1, n]) + (own[2, n] + own[3, n]) if sets == 4 else own[0, n]
        b += rows


@loop
def _spread(tokens, order, start, table, columns, first, last):
    """Add to parts ``first`` to ``last`` of the gradient's columns: block ``p // N`` of column ``p % N``."""
    N, T = columns.shape
    for part in range(first, last):
        k, lo = part % N, part // N * BLOCK
        hi = min(lo + BLOCK, T)
        total = columns[k, lo:hi]
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
