r"""The token loops on a GPU, as CUDA kernels that CuPy compiles; whole steps are ``device``'s.

All were run on one NVIDIA H200 with CuPy 14.2 on 29 November 2026, when every test marked ``gpu`` passed.
Everywhere tests run these functions with the source compiled for a CPU, and compare them with
the other loops, tokens bit for bit. Sums have a fixed order, or are of integers, so results are reproducible.
"""

from __future__ import annotations

import functools

import numpy as np

from scbtheory.kernels.compiled import SHIFT, cells
from scbtheory.kernels.device import step_gradient
from scbtheory.kernels.device_stages import descend, moment_sums
from scbtheory.kernels.stream import GOLDEN, MIX_1, MIX_2, Stream

__all__ = ["accumulate", "descend", "draw", "draw_at", "histogram", "moment_sums", "step_gradient"]

THREADS = 128  # in a block
SPAN = 4096  # positions that one block of ``histogram`` covers
BINS = 48 * 1024 // 8  # float64 numbers that the fast memory of a block holds
LANES = 32  # threads of a block of ``histogram``, each with bins of its own

SOURCE = f"""
typedef unsigned long long word;

__device__ word mix(word x) {{
    x = (x ^ (x >> 30)) * {MIX_1:#x}ULL;
    x = (x ^ (x >> 27)) * {MIX_2:#x}ULL;
    return x ^ (x >> 31);
}}

/* A negative cell holds a boundary: 53 further bits settle it. */
__device__ int token_of(word origin, word refinement, word i, const int* cells, int shift, const double* boundaries,
                        int n_boundaries) {{
    unsigned code = (mix(origin + i / 4 * {GOLDEN:#x}ULL) >> (16 * (i % 4))) & 0xFFFF;
    int token = cells[code >> shift];
    if (token < 0) {{
        token = ~token;
        double rest = (mix(refinement + i * {GOLDEN:#x}ULL) >> 11) * 0x1p-53;
        while (token < n_boundaries && boundaries[token] - code <= rest) ++token;
    }}
    return token;
}}

/* One thread for each token: those from number ``first`` on, … */
template <typename Token>
__global__ void draw(word origin, word refinement, word first, const int* cells, int shift,
                     const double* boundaries, int n_boundaries, Token* tokens, word size) {{
    word j = blockIdx.x * (word) blockDim.x + threadIdx.x;
    if (j < size) tokens[j] = token_of(origin, refinement, first + j, cells, shift, boundaries, n_boundaries);
}}

/* … or those with given numbers. */
template <typename Token>
__global__ void draw_at(word origin, word refinement, const word* index, const int* cells, int shift,
                        const double* boundaries, int n_boundaries, Token* tokens, word size) {{
    word j = blockIdx.x * (word) blockDim.x + threadIdx.x;
    if (j < size) tokens[j] = token_of(origin, refinement, index[j], cells, shift, boundaries, n_boundaries);
}}

/* One block for each sample and span of positions; each of its threads has bins of its own. */
template <typename Token, typename Real>
__global__ void histogram(const Token* tokens, const long long* trigger, const Real* columns,
                          long long T, int N, int span, double* z) {{
    extern __shared__ double bins[];  /* [N][lanes] */
    long long b = blockIdx.x, B = gridDim.x, start = blockIdx.y * (long long) span;
    long long stop = start + span < T ? start + span : T;
    int lane = threadIdx.x, lanes = blockDim.x;
    for (int n = 0; n < N; ++n) bins[n * lanes + lane] = 0;
    for (long long t = start + lane; t < stop; t += lanes)
        bins[tokens[b * T + t] * lanes + lane] += columns[trigger[b] * T + t];
    __syncthreads();
    for (int n = lane; n < N; n += lanes) {{
        double total = 0;
        for (int l = 0; l < lanes; ++l) total += bins[n * lanes + l];
        z[(blockIdx.y * B + b) * N + n] = total;
    }}
}}

/* One thread for each token, for more tokens than fast memory has bins for: sums of integers, in whatever order. */
template <typename Token, typename Real>
__global__ void histogram_wide(const Token* tokens, const long long* trigger, const Real* columns, const double* scale,
                               long long T, long long N, word* z, word size) {{
    word j = blockIdx.x * (word) blockDim.x + threadIdx.x;
    if (j >= size) return;
    long long b = j / T, k = trigger[b];
    atomicAdd(z + b * N + tokens[j], (word) __double2ll_rn(columns[k * T + j % T] * scale[k]));
}}

/* One thread for each (trigger, position): it alone writes g[t, k]. */
template <typename Token, typename Real>
__global__ void accumulate(const Token* tokens, const long long* order, const long long* start,
                           const Real* table, long long T, int codes, int N, Real* g) {{
    long long t = blockIdx.x * (long long) blockDim.x + threadIdx.x;
    int k = blockIdx.y;
    if (t >= T) return;
    double total = 0;
    for (long long m = start[k]; m < start[k + 1]; ++m) {{
        long long b = order[m];
        total += table[b * codes + tokens[b * T + t]];
    }}
    g[t * N + k] = total;
}}
"""

TOKENS = {"uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned int"}
REALS = {"float32": "float", "float64": "double"}


def draw(backend, stream: Stream, shape, cdf, dtype, first=0):
    """Draw i.i.d. tokens: those of :func:`scbtheory.kernels.reference.draw`."""
    return _drawn("draw", backend, stream, shape, cdf, dtype, np.uint64(first))


def draw_at(backend, stream: Stream, index, cdf, dtype):
    """Draw the tokens with numbers ``index``: those of :func:`scbtheory.kernels.reference.draw_at`."""
    return _drawn("draw_at", backend, stream, index.shape, cdf, dtype, backend.xp.ascontiguousarray(index))


def _drawn(name, backend, stream, shape, cdf, dtype, which):
    xp = backend.xp
    tokens = xp.empty(shape, dtype=dtype)
    boundaries = 65536.0 * np.asarray(cdf, dtype=np.float64)[:-1]
    origins = np.uint64(stream.origin), np.uint64(stream.refinement.origin)
    table = xp.asarray(cells(boundaries).astype(np.int32))
    rest = np.int32(SHIFT), xp.asarray(boundaries), np.int32(len(boundaries)), tokens, np.uint64(tokens.size)
    _kernel(name, tokens.dtype)((_blocks(tokens.size),), (THREADS,), (*origins, which, table, *rest))
    return tokens


def histogram(backend, tokens, trigger, weights, n_codes=None):
    """``z[b, c] = sum_t weights[t, k_b] 1{tokens[b, t] = c}``, shape (B, C); sums are in float64."""
    xp, (B, T), N = backend.xp, tokens.shape, n_codes or weights.shape[1]
    tokens, columns, which = xp.ascontiguousarray(tokens), xp.ascontiguousarray(weights.T), trigger.astype(xp.int64)
    if N * LANES > BINS:
        return _histogram_wide(xp, tokens, columns, which, N)
    spans = -(-T // SPAN)
    z = xp.empty((spans, B, N), dtype=xp.float64)
    arguments = tokens, which, columns, np.int64(T), np.int32(N), np.int32(SPAN), z
    _kernel("histogram", tokens.dtype, weights.dtype)((B, spans), (LANES,), arguments, shared_mem=8 * LANES * N)
    return z.sum(axis=0).astype(weights.dtype)


def _histogram_wide(xp, tokens, columns, which, N):
    """For many tokens: weights become integers, 62 bits for the sum of their sizes; each sum is then exact."""
    B, T = tokens.shape
    size = xp.abs(columns.astype(xp.float64)).sum(axis=1)
    exponent = xp.maximum(xp.frexp(size * 1.0000001)[1], -900)
    unit = xp.where(xp.isfinite(size), xp.ldexp(xp.ones_like(size), exponent - 62), xp.nan)
    z = xp.zeros((B, N), dtype=xp.int64)
    arguments = tokens, which, columns, 1 / unit, np.int64(T), np.int64(N), z, np.uint64(tokens.size)
    _kernel("histogram_wide", tokens.dtype, columns.dtype)((_blocks(tokens.size),), (THREADS,), arguments)
    return (z * unit[which][:, None]).astype(columns.dtype)


def accumulate(backend, tokens, trigger, table, n_triggers=None):
    """``g[t, k] = sum_{b: k_b = k} table[b, tokens[b, t]]``, shape (T, N); sums are in float64."""
    xp, T, (_, n_codes), N = backend.xp, tokens.shape[1], table.shape, n_triggers or table.shape[1]
    g = xp.empty((T, N), dtype=table.dtype)
    order = xp.argsort(trigger, stable=True).astype(xp.int64)
    start = xp.searchsorted(trigger[order].astype(xp.int64), xp.arange(N + 1)).astype(xp.int64)
    tokens, table = xp.ascontiguousarray(tokens), xp.ascontiguousarray(table)
    arguments = tokens, order, start, table, np.int64(T), np.int32(n_codes), np.int32(N), g
    _kernel("accumulate", tokens.dtype, table.dtype)((_blocks(T), N), (THREADS,), arguments)
    return g


@functools.lru_cache
def _kernel(name, *dtypes):
    """Compile one template for these token and float types."""
    import cupy

    types = ", ".join((TOKENS | REALS)[np.dtype(dtype).name] for dtype in dtypes)
    expression = f"{name}<{types}>"
    module = cupy.RawModule(code=SOURCE, options=("-std=c++17",), name_expressions=[expression])
    return module.get_function(expression)


def _blocks(threads):
    return -(-threads // THREADS)
