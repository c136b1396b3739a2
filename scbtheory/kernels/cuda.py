r"""The token loops on a GPU, as three CUDA kernels that CuPy compiles.

Not yet run on a GPU. Tests run these functions with the source compiled for a CPU, and compare them
with the other loops, tokens bit for bit; tests marked ``gpu`` do so through CuPy, wherever it finds a
device. Sums have a fixed order and need no atomic operations, so results are reproducible.
"""

from __future__ import annotations

import functools

import numpy as np

from scbtheory.errors import InvalidArgument
from scbtheory.kernels.compiled import SHIFT, cells
from scbtheory.kernels.device import step_gradient
from scbtheory.kernels.reference import draw_at
from scbtheory.kernels.stream import GOLDEN, MIX_1, MIX_2, Stream

__all__ = ["accumulate", "draw", "draw_at", "histogram", "step_gradient"]

THREADS = 128  # in a block
SPAN = 4096  # positions that one block of ``histogram`` covers
BINS = 48 * 1024 // 8  # float64 numbers that the fast memory of a block holds

SOURCE = f"""
typedef unsigned long long word;

__device__ word mix(word x) {{
    x = (x ^ (x >> 30)) * {MIX_1:#x}ULL;
    x = (x ^ (x >> 27)) * {MIX_2:#x}ULL;
    return x ^ (x >> 31);
}}

/* One thread for each token. A negative cell holds a boundary: 53 further bits settle it. */
template <typename Token>
__global__ void draw(word origin, word refinement, word first, const int* cells, int shift,
                     const double* boundaries, int n_boundaries, Token* tokens, word size) {{
    word j = blockIdx.x * (word) blockDim.x + threadIdx.x;
    if (j >= size) return;
    word i = first + j;
    unsigned code = (mix(origin + i / 4 * {GOLDEN:#x}ULL) >> (16 * (i % 4))) & 0xFFFF;
    int token = cells[code >> shift];
    if (token < 0) {{
        token = ~token;
        double rest = (mix(refinement + i * {GOLDEN:#x}ULL) >> 11) * 0x1p-53;
        while (token < n_boundaries && boundaries[token] - code <= rest) ++token;
    }}
    tokens[j] = token;
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
    xp = backend.xp
    tokens = xp.empty(shape, dtype=dtype)
    boundaries = 65536.0 * np.asarray(cdf, dtype=np.float64)[:-1]
    words = (np.uint64(x) for x in (stream.origin, stream.refinement.origin, first))
    table = xp.asarray(cells(boundaries).astype(np.int32))
    rest = np.int32(SHIFT), xp.asarray(boundaries), np.int32(len(boundaries)), tokens, np.uint64(tokens.size)
    _kernel("draw", tokens.dtype)((_blocks(tokens.size),), (THREADS,), (*words, table, *rest))
    return tokens


def histogram(backend, tokens, trigger, weights, n_codes=None):
    """``z[b, c] = sum_t weights[t, k_b] 1{tokens[b, t] = c}``, shape (B, C); sums are in float64."""
    xp, (B, T), N = backend.xp, tokens.shape, n_codes or weights.shape[1]
    lanes = min(32, BINS // N)
    if lanes == 0:
        raise InvalidArgument(f"vocabulary size {N} is too large for the GPU's histogram; expected at most {BINS}")
    spans = -(-T // SPAN)
    z = xp.empty((spans, B, N), dtype=xp.float64)
    tokens, columns, which = xp.ascontiguousarray(tokens), xp.ascontiguousarray(weights.T), trigger.astype(xp.int64)
    arguments = tokens, which, columns, np.int64(T), np.int32(N), np.int32(SPAN), z
    _kernel("histogram", tokens.dtype, weights.dtype)((B, spans), (lanes,), arguments, shared_mem=8 * lanes * N)
    return z.sum(axis=0).astype(weights.dtype)


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
