/* One training step in six launches; tokens are drawn twice, or kept as bytes from the first half to the second.

   Samples with one trigger travel in packs of m, one code a position (kernels/packing.py); pack p has row p of the
   codes. Samples drawn one by one (plain) are packs of one, and pack p has the row of its own sample. Attention's
   histograms are sums of integers, |A| scaled to 62 bits: exact, so that no order of addition can change them.
   Other sums have a fixed order. Every field of Step takes eight bytes. */

template <typename Real>
struct Step {
    Law law;
    word triggers, positions, outputs, first;
    integer B, T, N, m, codes, plain, projected, sparsity;
    const double *trigger_cdf, *position_cdfs, *output_cdfs;  /* (N), (N, sparsity), (N, N) */
    const integer* support;                                   /* (N, sparsity) */
    const Real *mu, *A, *V;                                   /* A (N, T): its columns are rows here */
    integer begin, rows;                                      /* the packs of this part of the batch */
    integer slices, span, splits, tiles, pieces, parts, accumulate;
    integer *order, *members, *packs;                         /* (B), (N + 1), (N + 1) */
    double* norms;                                            /* (N, slices) */
    integer* z;                                               /* (rows m, N): integers, then float64 */
    double* residual;                                         /* (rows m, N) */
    Real* tables;                                             /* (rows, codes) */
    unsigned* stored;                                         /* (rows, words): four codes in each, or none */
    integer words;
    double* values;                                           /* (parts, N, N) */
    Real* columns;                                            /* (splits, N, T) */
    double* sums;                                             /* (splits, N, tiles) */
    Real *into_A, *into_V;
    integer *trigger, *output;                                /* (rows m): asked for where products are not made here */
};

/* 1. Blocks 0 to N - 1: the samples of a trigger in order, and where they and their packs begin.
   The others: sums of |A| over slices of a column, and z = 0. */
template <typename Real>
__global__ void __launch_bounds__(1024) prepare(Step<Real> s) {
    POOL;
    integer* space = (integer*) pool;
    unsigned lane = threadIdx.x, lanes = blockDim.x;
    integer k = blockIdx.x % s.N, slice = blockIdx.x / s.N - 1;
    if (slice >= 0) {
        double norm = 0;
        integer length = (s.T + s.slices - 1) / s.slices, stop = (slice + 1) * length;
        for (integer t = slice * length + lane; t < (stop < s.T ? stop : s.T); t += lanes)
            norm += fabs((double) s.A[k * s.T + t]);
        norm = total_of(norm, pool);
        if (lane == 0) s.norms[k * s.slices + slice] = norm;
        for (integer i = (slice * s.N + k) * lanes + lane; i < s.rows * s.m * s.N; i += s.N * s.slices * lanes) s.z[i] = 0;
        return;
    }
    unsigned* counts = (unsigned*) (space + lanes);  /* of triggers below 16: with more there are no packs of several */
    if (lane < 16) counts[lane] = 0;
    __syncthreads();
    integer share = (s.B + lanes - 1) / lanes, start = lane * share, stop = start + share < s.B ? start + share : s.B;
    integer own = 0, below = 0;
    word mine = 0;  /* which of the first 64 samples of this thread's share */
    for (integer b = start; b < stop; ++b) {
        integer trigger = invert(s.trigger_cdf, s.N, uniform(s.triggers, s.first + b));
        own += trigger == k;
        mine |= (word) (trigger == k && b - start < 64) << (b - start & 63);
        below += trigger < k;
        if (s.m > 1) atomicAdd(counts + trigger, 1u);
    }
    scan(below, space);
    integer place = space[lanes - 1], packs = place;
    if (lane == 0) s.members[k] = place;
    place += scan(own, space) - own;
    if (s.m > 1) {
        packs = 0;
        for (integer j = 0; j < k; ++j) packs += (counts[j] + s.m - 1) / s.m;
    }
    if (lane == 0) s.packs[k] = packs;
    if (lane == 0 && k == s.N - 1) {
        s.members[s.N] = s.B;
        s.packs[s.N] = packs + (space[lanes - 1] + s.m - 1) / s.m;
    }
    for (integer b = start; own > 0 && b < stop; ++b) {
        bool here = b - start < 64 ? mine >> (b - start) & 1
                                   : invert(s.trigger_cdf, s.N, uniform(s.triggers, s.first + b)) == k;
        if (here) s.order[place++] = b;
    }
}

/* The trigger of a pack. */
template <typename Real>
__device__ integer trigger_of(const Step<Real>& s, integer pack) {
    integer low = 0, high = s.N - 1;
    while (low < high) {
        integer middle = (low + high) / 2;
        if (s.packs[middle + 1] > pack) high = middle; else low = middle + 1;
    }
    return low;
}

/* The number of a pack's first code. */
template <typename Real>
__device__ word number_of(const Step<Real>& s, integer pack) {
    return (s.first + (s.plain ? s.order[pack] : pack)) * s.T;
}

/* What one unit of z stands for in a column: a power of two, with room for the column's whole sum in 62 bits. */
template <typename Real>
__device__ double unit_of(const Step<Real>& s, integer k) {
    double norm = 0;
    for (integer i = 0; i < s.slices; ++i) norm += s.norms[k * s.slices + i];
    if (!(norm < 1e300)) return nan("");  /* a run that has left every bound stays there */
    int exponent;
    frexp(norm * 1.0000001, &exponent);
    return ldexp(1.0, (exponent < -900 ? -900 : exponent) - 62);
}

template <typename Real>
__device__ void load_guide(const Step<Real>& s, unsigned* guide) {
    for (unsigned i = threadIdx.x; i < 4096; i += blockDim.x) guide[i] = s.law.guide[i];
}

/* Keep four tokens below 256, at position t, for ``backward``. */
template <typename Real>
__device__ void keep(const Step<Real>& s, integer row, int t, const unsigned* token) {
    if (s.words) s.stored[row * s.words + t / 4] = token[0] | token[1] << 8 | token[2] << 16 | token[3] << 24;
}

template <typename Real>
struct alignas(2 * sizeof(Real)) Two { Real first, second; };

/* Four weights; 0 beyond those that are left. Two at a time where columns are aligned to that. They are loaded before
   the tokens are drawn, and wanted after: most of what a load takes then passes unnoticed. */
template <typename Real>
__device__ void four_weights(const Step<Real>& s, const Real* from, int left, Two<Real>* pair) {
    UNROLL for (int i = 0; i < 2; ++i) {
        if (left >= 4 && s.T % 2 == 0) pair[i] = *(const Two<Real>*) (from + 2 * i);
        else pair[i] = {2 * i < left ? from[2 * i] : 0, 2 * i + 1 < left ? from[2 * i + 1] : 0};
    }
}

template <typename Real>
__device__ integer whole(const Two<Real>* pair, int i, double scale) {
    return __double2ll_rn((i % 2 ? pair[i / 2].second : pair[i / 2].first) * scale);
}

/* 2. Histograms of packs of M tokens, one a warp, over a span of positions; lanes have bins of their own. */
template <typename Real, int M>
__global__ void forward(Step<Real> s) {
    POOL;
    unsigned* guide = (unsigned*) pool;
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    int N = s.N, bins = M * N;
    integer* own = (integer*) (pool + 2048) + warp * bins * 32 + lane;
    integer groups = (s.rows + warps - 1) / warps, row = blockIdx.x % groups * warps + warp, pack = s.begin + row;
    int start = blockIdx.x / groups * s.span, stop = start + s.span < s.T ? start + s.span : s.T;
    load_guide(s, guide);
    for (int i = 0; i < bins; ++i) own[i * 32] = 0;
    __syncthreads();
    if (row >= s.rows || pack >= s.packs[s.N]) return;
    integer k = trigger_of(s, pack);
    double scale = 1 / unit_of(s, k);
    unsigned inverse = 65536 / N + 1;  /* c / N = c inverse >> 16 for c < 256 */
    const Real* weights = s.A + k * s.T;
    word number = number_of(s, pack), at = s.law.origin + (number + start + 4 * lane >> 2) * GOLDEN;
    for (int t = start + 4 * lane; t < stop; t += 128, at += 32 * GOLDEN) {
        unsigned code[4];
        Two<Real> pair[2];
        four_weights(s, weights + t, stop - t, pair);
        tokens_of(s.law, guide, four_codes(at, 16 * (number & 3)), number + t, code);
        keep(s, row, t, code);
        UNROLL for (int i = 0; i < 4; ++i) {
            integer weight = whole(pair, i, scale);
            UNROLL for (int j = 0; j < M - 1; ++j) {
                unsigned rest = code[i] * inverse >> 16;
                own[(j * N + code[i] - rest * N) * 32] += weight;
                code[i] = rest;
            }
            own[((M - 1) * N + code[i]) * 32] += weight;
        }
    }
    __syncwarp();
    own -= lane;
    for (int i = lane; i < bins; i += 32) {
        integer total = 0;
        for (int l = 0; l < 32; ++l) total += own[i * 32 + (l + lane) % 32];
        atomicAdd((word*) s.z + row * bins + i, (word) total);
    }
}

/* 2, for many tokens: one pack and span a block. Its bins are two halves of 32 bits, or z itself. */
template <typename Real>
__global__ void forward_wide(Step<Real> s) {
    POOL;
    unsigned *guide = (unsigned*) pool, *low = guide + 4096, *high = low + s.N;
    bool near = s.N <= WIDE_BINS;
    integer row = blockIdx.x % s.rows, pack = s.begin + row;
    int start = blockIdx.x / s.rows * s.span, stop = start + s.span < s.T ? start + s.span : s.T;
    load_guide(s, guide);
    for (integer i = threadIdx.x; near && i < s.N; i += blockDim.x) low[i] = high[i] = 0;
    __syncthreads();
    integer k = trigger_of(s, pack);
    double scale = 1 / unit_of(s, k);
    const Real* weights = s.A + k * s.T;
    word number = number_of(s, pack), *far = (word*) s.z + row * s.N;
    word at = s.law.origin + (number + start + 4 * threadIdx.x >> 2) * GOLDEN;
    for (int t = start + 4 * threadIdx.x; t < stop; t += 4 * blockDim.x, at += blockDim.x * GOLDEN) {
        unsigned token[4];
        Two<Real> pair[2];
        four_weights(s, weights + t, stop - t, pair);
        tokens_of(s.law, guide, four_codes(at, 16 * (number & 3)), number + t, token);
        keep(s, row, t, token);
        UNROLL for (int i = 0; i < 4; ++i) {
            integer weight = whole(pair, i, scale);
            if (near) {
                unsigned part = weight, before = atomicAdd(low + token[i], part);
                atomicAdd(high + token[i], (unsigned) (weight >> 32) + (before + part < before));
            } else {
                atomicAdd(far + token[i], (word) weight);
            }
        }
    }
    __syncthreads();
    for (integer i = threadIdx.x; near && i < s.N; i += blockDim.x)
        if (low[i] || high[i]) atomicAdd(far + i, (word) high[i] << 32 | low[i]);
}

/* The trigger of a seat, and its output; -1 if nobody sits there. Seats are numbered from this part's first. */
template <typename Real>
__device__ integer seated(const Step<Real>& s, integer seat, integer* output) {
    integer pack = s.begin + seat / s.m, j = seat % s.m;
    *output = -1;
    if (seat >= s.rows * s.m || pack >= s.packs[s.N]) return 0;
    integer k = trigger_of(s, pack), place = s.members[k] + s.m * (pack - s.packs[k]) + j;
    if (place >= s.members[k + 1]) return k;
    word sample = s.first + s.order[place];
    integer chosen = invert(s.position_cdfs + k * s.sparsity, s.sparsity, uniform(s.positions, sample));
    integer copied = token_at(s.law, number_of(s, pack) + s.support[k * s.sparsity + chosen]);
    for (integer i = 0; i < j; ++i) copied /= s.N;
    *output = invert(s.output_cdfs + copied % s.N * s.N, s.N, uniform(s.outputs, sample));
    return k;
}

/* Triggers, outputs and float64 histograms, where the products that follow are not made here. */
template <typename Real>
__global__ void seats(Step<Real> s) {
    for (integer seat = blockIdx.x; seat < s.rows * s.m; seat += gridDim.x) {
        integer output, k = seated(s, seat, &output);
        double unit = unit_of(s, k);
        for (integer n = threadIdx.x; n < s.N; n += blockDim.x)
            ((double*) s.z)[seat * s.N + n] = s.z[seat * s.N + n] * unit;
        if (threadIdx.x == 0) s.trigger[seat] = k, s.output[seat] = output;
    }
}
