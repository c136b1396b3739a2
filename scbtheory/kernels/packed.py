"""The loops of samples sorted by trigger, packed or not, from the first bit to the last sum."""

from __future__ import annotations

import numpy as np

from scbtheory.kernels.compiled import BLOCK, _add_up, _draw, _spread, loop, uniform

__all__ = ["PARTS", "arrange", "fill_columns", "finish_columns", "laid_out", "summed", "whole_gradient"]

PARTS = 16  # for threads to share, if batch and memory allow; one number for all machines, so that all sum alike


@loop
def arrange(origin, first, size, cdf, m):
    """Draw triggers; return samples sorted by them, and where each one's samples and packs of m samples begin."""
    N = len(cdf)
    trigger = np.empty(size, dtype=np.int64)
    members, packs = np.zeros(N + 1, dtype=np.int64), np.zeros(N + 1, dtype=np.int64)
    for b in range(size):
        trigger[b] = np.searchsorted(cdf, uniform(origin, first + b), side="right")
        members[trigger[b] + 1] += 1
    for k in range(N):
        packs[k + 1] = packs[k] - (-members[k + 1] // m)
        members[k + 1] += members[k]
    order, place = np.empty(size, dtype=np.int64), members[:-1].copy()
    for b in range(size):
        order[place[trigger[b]]] = b
        place[trigger[b]] += 1
    return order, members, packs


@loop
def fill_columns(lo, hi, cut, apart, first, source, arranged, chances, model, columns, parts):
    """Sum the gradient for A into ``columns`` (lanes, N, T), and that for V into ``parts`` (parts, N, N).

    A part has the packs of some triggers or, if there are lanes, a share of the packs of one: a lane of its column.
    Parts ``lo`` to ``hi`` are done here, ``at_once`` packs of ``m`` tokens a position at a time. With ``pairs``,
    two packs of one token each are joined. With ``apart``, a pack is one sample, and has that sample's own tokens.
    """
    m, pairs, at_once, _, _ = cut
    order, _, packs = arranged
    lanes, N, T = columns.shape
    buffer = np.empty(min(at_once, packs[N]) * T, dtype=np.uint8)
    for part in range(lo, hi):
        k, lane = N * part // len(parts), part % lanes
        last = max(k + 1, N * (part + 1) // len(parts))
        columns[lane, k:last] = 0
        parts[part] = 0
        count = packs[last] - packs[k]
        begin, end = packs[k] + count * lane // lanes, packs[k] + count * (lane + 1) // lanes
        for pack in range(begin, end, at_once):
            rows = min(at_once, end - pack)
            codes = buffer[: rows * T].reshape(rows, T)
            for row in range(rows if apart else 1):
                flat, number = (codes[row], order[pack + row]) if apart else (buffer[: rows * T], pack)
                start = (first + number) * T
                _draw(source, flat, start, start // 4, -(-(start + flat.size) // 4))
            trigger, output = _seated(codes, pack, m, first, arranged, chances)
            if pairs:
                _add_samples(*_paired(codes, trigger, output, N), 2, model, columns[lane], parts[part])
            else:
                _add_samples(codes, trigger, output, m, model, columns[lane], parts[part])


@loop
def whole_gradient(origin, first, size, cdf, cut, apart, source, chances, A, V, mu, projected):
    """Draw a batch and return its gradient, (N, T) and (N, N), on this thread alone."""
    arranged = arrange(origin, first, size, cdf, cut[0])
    model, columns, parts = laid_out(cut, size, A, V, mu, projected)
    fill_columns(0, len(parts), cut, apart, first, source, arranged, chances, model, columns, parts)
    finish_columns(0, len(mu), columns, projected)
    return columns[0], summed(parts, mu, projected)


@loop
def laid_out(cut, size, A, V, mu, projected):
    """What ``fill_columns`` reads of a model for the plain or the projected gradient, and room for its sums."""
    N, T = A.shape
    one = np.ones_like(mu)[0]
    centre, factors = (mu, one / mu) if projected else (np.zeros_like(mu), np.ones_like(mu))
    _, _, _, lanes, parts = cut
    columns, values = np.empty((lanes, N, T), dtype=V.dtype), np.empty((parts, N, N), dtype=V.dtype)
    return (A, V, centre, factors, one / size), columns, values


@loop
def finish_columns(lo, hi, columns, projected):
    """Add up the lanes of columns ``lo`` to ``hi``, in the first lane; subtract a column's mean there if projected."""
    lanes, _, T = columns.shape
    ones = np.ones(min(T, BLOCK), dtype=columns.dtype)
    for k in range(lo, hi):
        total = 0.0
        for start in range(0, T, BLOCK):
            own = columns[0, k, start : start + BLOCK]
            for lane in range(1, lanes):
                other = columns[lane, k, start : start + BLOCK]
                for t in range(len(own)):
                    own[t] += other[t]
            if projected:
                total += np.dot(own, ones[: len(own)])
        if projected:
            own = columns[0, k]
            for t in range(T):
                own[t] -= total / T


@loop
def summed(parts, mu, projected):
    """V's gradient (N, N) from the sums of the parts, which are overwritten."""
    for part in range(1, len(parts)):
        parts[0] += parts[part]
    if projected:
        parts[0] /= mu
    return parts[0]


@loop
def _seated(codes, pack, m, first, arranged, chances):
    """Return the trigger of each pack from number ``pack`` on, and the output in each of its m seats; -1 if empty."""
    order, members, packs = arranged
    position_origin, output_origin, position_cdfs, output_cdfs = chances
    rows, N = len(codes), len(output_cdfs)
    trigger, output = np.empty(rows, dtype=np.int64), np.full(rows * m, -1)
    k = 0
    for r in range(rows):
        while packs[k + 1] <= pack + r:
            k += 1
        trigger[r] = k
        place = members[k] + m * (pack + r - packs[k])
        for j in range(min(m, members[k + 1] - place)):
            number = first + order[place + j]
            t = np.searchsorted(position_cdfs[k], uniform(position_origin, number), side="right")
            copied = codes[r, t] // N**j % N
            output[m * r + j] = np.searchsorted(output_cdfs[copied], uniform(output_origin, number), side="right")
    return trigger, output


@loop
def _paired(tokens, trigger, output, N):
    """Join two rows of one trigger to codes ``x + N y``; a row without a partner joins itself, in an empty seat."""
    rows, T = tokens.shape
    left = np.empty(rows, dtype=np.int64)  # the first row of each pair
    n = r = 0
    while r < rows:
        left[n] = r
        n, r = n + 1, r + (2 if r + 1 < rows and trigger[r + 1] == trigger[r] else 1)
    codes, seats = np.empty((n, T), dtype=np.uint16), np.full(2 * n, -1)
    for i in range(n):
        r = left[i]
        partner = (left[i + 1] if i + 1 < n else rows) - 1  # r + 1, or r itself
        seats[2 * i] = output[r]
        if partner > r:
            seats[2 * i + 1] = output[partner]
        own, x, y = codes[i], tokens[r], tokens[partner]
        for t in range(T):
            own[t] = x[t] + np.uint16(N) * y[t]
    return codes, trigger[left[:n]], seats


@loop
def _add_samples(codes, trigger, output, m, model, columns, part):
    """Add the gradient of some packs' samples, sorted by trigger, to ``columns`` (N, T) of A's and ``part`` of V's."""
    A, V, centre, factors, scale = model
    rows, T = codes.shape
    N = len(V)
    counts = np.empty((rows, N**m), dtype=V.dtype)
    _add_up(codes, trigger, A, counts, 0, rows)
    z = _of_tokens(counts, m, N)
    residual = np.dot(z, V.T)
    for seat in range(rows * m):
        if output[seat] >= 0:
            residual[seat, output[seat]] -= 1
        own = scale if output[seat] >= 0 else 0 * scale
        for n in range(N):
            residual[seat, n] *= own
            z[seat, n] -= centre[n]
    part += np.dot(residual.T, z)
    table = np.dot(residual, V)
    for seat in range(rows * m):
        for n in range(N):
            table[seat, n] *= factors[trigger[seat // m]]
    k, last = trigger[0], trigger[-1] + 1
    start = np.searchsorted(trigger, np.arange(k, last + 1))
    blocks = -(-T // BLOCK)
    _spread(codes, np.arange(rows), start, _of_codes(table, m, N), columns[k:last], 0, (last - k) * blocks)


@loop
def _of_tokens(counts, m, N):
    """From histograms of codes (rows, N**m) to those of the m tokens in them, (m rows, N)."""
    if m == 1:
        return counts
    rows, left = len(counts), counts
    z = np.empty((rows * m, N), dtype=counts.dtype)
    for j in range(m - 1, -1, -1):  # the last token is the leading digit: add up its codes, then forget it
        below = N**j
        sums = np.dot(left.reshape(rows * N, below), np.ones(below, dtype=z.dtype))
        rest = np.zeros((rows, below), dtype=z.dtype)
        for r in range(rows):
            for n in range(N):
                z[r * m + j, n] = sums[r * N + n]
                codes, total = left[r, n * below : (n + 1) * below], rest[r]
                for c in range(below):
                    total[c] += codes[c]
        left = rest
    return z


@loop
def _of_codes(table, m, N):
    """From tables of tokens (m rows, N) to those of the codes of m tokens, (rows, N**m): sums over the tokens."""
    if m == 1:
        return table
    sums = np.zeros((len(table) // m, N**m), dtype=table.dtype)
    for r in range(len(sums)):
        for j in range(m):
            below = N**j
            for n in range(N - 1, -1, -1):  # one more token is a new leading digit; 0 comes last, over what was there
                codes, without, more = sums[r, n * below : (n + 1) * below], sums[r, :below], table[r * m + j, n]
                for c in range(below):
                    codes[c] = without[c] + more
    return sums
