"""The token loops in array-API operations only: slow, short, and the oracle of every faster version.

No array of size B x N x T is formed: each function walks over the vocabulary and keeps one B x T
temporary.
"""

from __future__ import annotations

import math

from scbtheory.kernels.stream import Stream, uniforms, words

__all__ = ["accumulate", "draw", "draw_at", "histogram"]


def draw(backend, stream: Stream, shape, cdf, dtype, first=0):
    """Draw the tokens ``first``, ``first + 1``, … of a stream, as :func:`draw_at` does."""
    size = math.prod(shape)
    index = backend.xp.arange(first, first + size, dtype=backend.xp.uint64, device=backend.device)
    return backend.xp.reshape(draw_at(backend, stream, index, cdf, dtype), tuple(shape))


def draw_at(backend, stream: Stream, index, cdf, dtype):
    """Draw i.i.d. tokens, those with numbers ``index`` (uint64, any shape), by ``cdf`` (host floats, last one 1).

    Token ``i`` owns 16 bits ``c`` of word ``i // 4``; a second stream supplies 53 more bits ``r``.
    It is the number of boundaries ``n < N - 1`` with ``2**16 cdf[n] <= c + r``, compared as
    ``2**16 cdf[n] - c <= r``: both sides are exact, so a probability is wrong by at most 2**-69
    plus the rounding of ``cdf`` itself.
    """
    xp, device = backend.xp, backend.device
    word = words(xp, device, stream, index // _uint(xp, device, 4))
    lane = index % _uint(xp, device, 4) * _uint(xp, device, 16)
    code = xp.astype(word >> lane & _uint(xp, device, 0xFFFF), xp.float64)
    rest = uniforms(xp, device, stream.refinement, index)
    token = xp.zeros(index.shape, dtype=xp.int64, device=device)
    for boundary in cdf[:-1]:
        token = token + xp.astype(65536.0 * float(boundary) - code <= rest, xp.int64)
    return xp.astype(token, dtype)


def histogram(backend, tokens, trigger, weights, n_codes=None):
    """``z[b, c] = sum_t weights[t, k_b] 1{tokens[b, t] = c}``: the token histogram that attention weighs."""
    xp = backend.xp
    own = xp.take(weights.T, xp.astype(trigger, xp.int64), axis=0)  # (B, T): each sample's own column
    zero = xp.zeros((1, 1), dtype=own.dtype, device=backend.device)
    columns = [xp.sum(xp.where(tokens == c, own, zero), axis=1) for c in range(n_codes or weights.shape[1])]
    return xp.stack(columns, axis=1)


def accumulate(backend, tokens, trigger, table, n_triggers=None):
    """``g[t, k] = sum_{b: k_b = k} table[b, tokens[b, t]]``: each sample's table, summed by position."""
    xp = backend.xp
    columns = []
    for k in range(n_triggers or table.shape[1]):
        members = xp.nonzero(trigger == k)[0]
        own, rows = xp.take(tokens, members, axis=0), xp.take(table, members, axis=0)
        column = xp.zeros((tokens.shape[1],), dtype=table.dtype, device=backend.device)
        for c in range(table.shape[1]):
            column = column + xp.astype(own == c, table.dtype).T @ rows[:, c]
        columns.append(column)
    return xp.stack(columns, axis=1)


def _uint(xp, device, value):
    return xp.full((1,), value, dtype=xp.uint64, device=device)
