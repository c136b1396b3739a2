/* What no step can beat: the random bits of every token, cut into codes that are joined by xor; nothing is stored. */
extern "C" __global__ void limit(word origin, word words, unsigned* result) {
    word lanes = (word) gridDim.x * blockDim.x, lane = (word) blockIdx.x * blockDim.x + threadIdx.x;
    unsigned joined = 0;
    for (word i = lane; i < words; i += lanes) {
        word codes = mix(origin + i * GOLDEN);
        joined ^= (codes & 0xFFFF) ^ (codes >> 16 & 0xFFFF) ^ (codes >> 32 & 0xFFFF) ^ (codes >> 48);
    }
    result[lane] = joined;
}

/* The same with tokens: what any step must do that draws them, the codes that do not decide included. */
struct Draw { Law law; integer words; unsigned* result; };

__global__ void draw(Draw s) {
    POOL;
    unsigned* guide = (unsigned*) pool;
    for (unsigned i = threadIdx.x; i < 4096; i += blockDim.x) guide[i] = s.law.guide[i];
    __syncthreads();
    word lanes = (word) gridDim.x * blockDim.x, lane = (word) blockIdx.x * blockDim.x + threadIdx.x;
    unsigned joined = 0;
    for (word i = lane; i < (word) s.words; i += lanes) {
        unsigned token[4];
        tokens_of(s.law, guide, four_codes(s.law.origin + i * GOLDEN, 0), 4 * i, token);
        joined ^= token[0] ^ token[1] ^ token[2] ^ token[3];
    }
    s.result[lane] = joined;
}
