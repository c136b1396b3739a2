/* Counter-based random numbers, exact draws, and sums over a block: what every kernel begins with. */

#define UNROLL _Pragma("unroll")

typedef unsigned long long word;
typedef long long integer;

__device__ inline word mix(word x) {
    x = (x ^ (x >> 30)) * MIX_1;
    x = (x ^ (x >> 27)) * MIX_2;
    return x ^ (x >> 31);
}

/* Uniform number i of a stream, 53 bits, in [0, 1). */
__device__ inline double uniform(word origin, word i) { return (mix(origin + i * GOLDEN) >> 11) * 0x1p-53; }

/* The first index with table[index] > u; the last entry is above every u. */
__device__ inline integer invert(const double* table, integer n, double u) {
    integer low = 0, high = n - 1;
    while (low < high) {
        integer middle = (low + high) / 2;
        if (table[middle] > u) high = middle; else low = middle + 1;
    }
    return low;
}

/* A law of tokens and where its bits come from. A guide has an entry for each 16 codes: the token of the first of them;
   how many codes there are before the one with a boundary inside (31: there is none; 30 and the highest bit: there are
   more). Where a code does not decide, 53 further bits do. */
struct Law {
    word origin, refinement;
    const unsigned* guide;
    const double* boundaries;
    integer n_boundaries;
};

__device__ inline unsigned settled(const Law& law, unsigned token, unsigned code, word number) {
    double rest = uniform(law.refinement, number);
    while (token < law.n_boundaries && law.boundaries[token] - code <= rest) ++token;
    return token;
}

/* The token of a code unless it is open. */
__device__ inline unsigned closed(unsigned entry, unsigned code, bool* open) {
    unsigned within = code & 15, place = entry >> 16 & 31;
    *open = within == place || entry >> 31;
    return (entry & 0xFFFF) + (within > place);
}

__device__ inline unsigned token_of(const Law& law, const unsigned* guide, unsigned code, word number) {
    bool open;
    unsigned token = closed(guide[code >> 4], code, &open);
    return open ? settled(law, token, code, number) : token;
}

/* Four tokens of one word of codes, with one branch for all. */
__device__ inline void tokens_of(const Law& law, const unsigned* guide, word codes, word number, unsigned* token) {
    bool open[4];
    UNROLL for (int i = 0; i < 4; ++i) {
        unsigned code = codes >> 16 * i & 0xFFFF;
        token[i] = closed(guide[code >> 4], code, open + i);
    }
    if (open[0] || open[1] || open[2] || open[3])
        UNROLL for (int i = 0; i < 4; ++i)
            if (open[i]) token[i] = settled(law, token[i], codes >> 16 * i & 0xFFFF, number + i);
}

/* The 16-bit codes of four tokens from one on: ``at`` is the hash's input for the word that has its code, ``lead`` the
   bits before that. */
__device__ inline word four_codes(word at, unsigned lead) {
    word codes = mix(at);
    return lead ? codes >> lead | mix(at + GOLDEN) << (64 - lead) : codes;
}

/* One token, by its number. */
__device__ inline unsigned token_at(const Law& law, word number) {
    unsigned code = (mix(law.origin + (number >> 2) * GOLDEN) >> 16 * (number & 3)) & 0xFFFF;
    return token_of(law, law.guide, code, number);
}

/* A block's fast memory. */
#define POOL extern __shared__ double pool[]

/* Inclusive sums over the threads of a block; space[threads - 1] is the total until the next call. */
__device__ inline integer scan(integer value, integer* space) {
    unsigned lane = threadIdx.x;
    __syncthreads();
    space[lane] = value;
    for (unsigned away = 1; away < blockDim.x; away *= 2) {
        __syncthreads();
        integer before = lane >= away ? space[lane - away] : 0;
        __syncthreads();
        space[lane] += before;
    }
    __syncthreads();
    return space[lane];
}

/* The sum over the threads of a block, a power of two of them. */
__device__ inline double total_of(double value, double* space) {
    __syncthreads();
    space[threadIdx.x] = value;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) space[threadIdx.x] += space[threadIdx.x + half];
    }
    __syncthreads();
    return space[0];
}
