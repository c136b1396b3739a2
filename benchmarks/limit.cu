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
