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

/* A law of tokens and where its bits come from. A guide has an entry for each 16 codes: in its lower half the token of the
   first of them; above that 31 less the number of codes before the one with a boundary inside (0: there is none); the
   highest bit, and 0, if there are more boundaries. Where a code does not decide, 53 further bits do. */
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

/* An entry and a code's place among its 16: one addition carries into bit 21 where the code is beyond the boundary, and
   leaves ones below it where it has the boundary inside. */
#define EXACT 0x1F0000u
#define FIELD 0x3F0000u
__device__ inline unsigned joined(const unsigned* guide, unsigned code) { return guide[code >> 4] + ((code & 15) << 16); }
__device__ inline unsigned closed(unsigned sum) { return (sum & 0xFFFF) + (sum >> 21 & 1); }
__device__ inline bool open(unsigned sum) { return (sum & FIELD) == EXACT || sum >> 31; }

__device__ inline unsigned token_of(const Law& law, const unsigned* guide, unsigned code, word number) {
    unsigned sum = joined(guide, code);
    return open(sum) ? settled(law, closed(sum), code, number) : closed(sum);
}

/* Four tokens of one word of codes, with one branch for all. */
__device__ inline void tokens_of(const Law& law, const unsigned* guide, word codes, word number, unsigned* token) {
    unsigned sum[4], nearest = FIELD, flags = 0;
    UNROLL for (int i = 0; i < 4; ++i) {
        sum[i] = joined(guide, codes >> 16 * i & 0xFFFF);
        token[i] = closed(sum[i]);
        unsigned away = (sum[i] ^ EXACT) & FIELD;
        nearest = away < nearest ? away : nearest;
        flags |= sum[i];
    }
    if (nearest == 0 || flags >> 31)
        UNROLL for (int i = 0; i < 4; ++i)
            if (open(sum[i])) token[i] = settled(law, token[i], codes >> 16 * i & 0xFFFF, number + i);
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
