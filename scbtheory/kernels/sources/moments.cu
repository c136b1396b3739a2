/* How often token m stands at a position when the output is n (kernels/moments.py): a thread a position, one trigger's
   samples in order; counts in the fast memory, or where they do not fit in a piece of the device's. */

struct Moments {
    Law law;
    word first;
    integer T, N, tiles, near;
    const integer *order, *start, *output;  /* samples sorted by trigger, where each trigger begins, outputs in order */
    const double* inverse;                  /* (N): one over the frequencies */
    unsigned* counts;
    double *joint, *alone;                  /* (N, T) each */
};

__global__ void moments(Moments s) {
    POOL;
    integer N = s.N, lanes = blockDim.x;
    unsigned* counts = (s.near ? (unsigned*) pool : s.counts + blockIdx.x * N * N * lanes) + threadIdx.x;
    for (integer part = blockIdx.x; part < s.tiles * N; part += gridDim.x) {
        integer k = part / s.tiles, t = part % s.tiles * lanes + threadIdx.x;
        if (t >= s.T) continue;
        for (integer i = 0; i < N * N; ++i) counts[i * lanes] = 0;
        for (integer member = s.start[k]; member < s.start[k + 1]; ++member) {
            unsigned token = token_at(s.law, (s.first + s.order[member]) * s.T + t);
            ++counts[(s.output[member] * N + token) * lanes];
        }
        double total = 0, marginal = 0;
        for (integer m = 0; m < N; ++m) {
            double column = 0, seen = 0;
            for (integer n = 0; n < N; ++n) {
                double c = counts[(n * N + m) * lanes];
                column += c * c * s.inverse[n];
                seen += c;
            }
            total += column * s.inverse[m];
            marginal += seen * seen * s.inverse[m];
        }
        s.joint[k * s.T + t] = total;
        s.alone[k * s.T + t] = marginal;
    }
}
