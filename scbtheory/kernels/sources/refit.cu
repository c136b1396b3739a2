/* Descent on a support, many steps in one launch of one block (kernels/supported.py): a thread draws a sample's tokens at
   its support and its residual; then a thread adds up one entry of the gradients, over one group of samples. */

template <typename Real>
struct Refit {
    Law law;
    word triggers, positions, outputs, first;
    integer size, steps, T, N, m, sparsity, filled, length, near, chunk, groups;
    double bound, rate_A, rate_V;
    const double *trigger_cdf, *position_cdfs, *output_cdfs;
    const integer *support, *places;          /* (N, sparsity), (N, m) */
    const Real *on, *mu;                      /* (N, m), (N) */
    Real *A, *V, *sums_A, *sums_V;            /* (N, m), (N, N), (3, N, m), (3, N, N) */
    double *workspace, *result;               /* what does not fit the fast memory; steps taken and the last size */
};

struct Samples {
    double *residual, *along, *weight;  /* (N, chunk), (m, chunk), (m, chunk) */
    int *seen, *trigger;                /* (m, chunk), (chunk) */
};

template <typename Real>
__device__ void draw_sample(const Refit<Real>& s, const Samples& to, const double* A, const double* V, word i, int b) {
    int N = s.N, m = s.m, chunk = s.chunk;
    integer k = invert(s.trigger_cdf, N, uniform(s.triggers, i));
    integer chosen = invert(s.position_cdfs + k * s.sparsity, s.sparsity, uniform(s.positions, i));
    unsigned copied = token_at(s.law, i * s.T + s.support[k * s.sparsity + chosen]);
    integer output = invert(s.output_cdfs + (integer) copied * N, N, uniform(s.outputs, i));
    to.trigger[b] = k;
    for (int n = 0; n < N; ++n) to.residual[n * chunk + b] = n == output ? -1 : 0;
    for (int j = 0; j < m; ++j) {
        bool here = s.on[k * m + j] != 0;
        unsigned token = here ? token_at(s.law, i * s.T + s.places[k * m + j]) : 0;
        double weight = here ? A[k * m + j] : 0;
        to.seen[j * chunk + b] = here ? (int) token : -1;
        to.weight[j * chunk + b] = weight;
        for (int n = 0; here && n < N; ++n) to.residual[n * chunk + b] += weight * V[token * N + n];
    }
    for (int j = 0; j < m; ++j) {
        int token = to.seen[j * chunk + b];
        double along = 0;
        for (int n = 0; token >= 0 && n < N; ++n) along += to.residual[n * chunk + b] * V[token * N + n];
        to.along[j * chunk + b] = along;
    }
}

/* Add samples ``low`` to ``high`` to one entry: of A's gradient, of V's, of the sum of residuals. */
__device__ inline double added(const Samples& of, int entry, int low, int high, int N, int m, int chunk) {
    double sum = 0;
    if (entry < N * m) {
        int k = entry / m, j = entry % m;
        for (int b = low; b < high; ++b)
            if (of.trigger[b] == k) sum += of.along[j * chunk + b];
    } else if (entry < N * m + N * N) {
        int token = (entry - N * m) / N, n = (entry - N * m) % N;
        for (int b = low; b < high; ++b)
            for (int j = 0; j < m; ++j)
                if (of.seen[j * chunk + b] == token) sum += of.weight[j * chunk + b] * of.residual[n * chunk + b];
    } else {
        for (int b = low; b < high; ++b) sum += of.residual[(entry - N * m - N * N) * chunk + b];
    }
    return sum;
}

template <typename Real>
__global__ void descend(Refit<Real> s) {
    POOL;
    int lane = threadIdx.x, lanes = blockDim.x, N = s.N, m = s.m, a = N * m, state = a + N * N, entries = state + N;
    double *A = s.near ? pool + lanes : s.workspace, *V = A + a, *old = A + state, *sum = old + state;
    double *into = sum + state, *residual = into + entries * s.groups, *along = residual + N * s.chunk;
    int* seen = (int*) (along + 2 * m * s.chunk);
    Samples samples = {residual, along, along + m * s.chunk, seen, seen + m * s.chunk};
    integer third = s.filled / s.length, step = 0;
    double norm = 0;
    for (int i = lane; i < state; i += lanes) {
        A[i] = i < a ? s.A[i] : s.V[i - a];
        sum[i] = i < a ? s.sums_A[third * a + i] : s.sums_V[third * N * N + i - a];
    }
    while (step < s.steps) {
        for (int i = lane; i < entries * s.groups; i += lanes) into[i] = 0;
        for (integer from = 0; from < s.size; from += s.chunk) {
            int count = s.size - from < s.chunk ? s.size - from : s.chunk;
            __syncthreads();
            for (int b = lane; b < count; b += lanes)
                draw_sample(s, samples, A, V, s.first + step * s.size + from + b, b);
            __syncthreads();
            for (int i = lane; i < entries * s.groups; i += lanes) {
                int group = i / entries;
                into[i] += added(samples, i % entries, count * group / s.groups, count * (group + 1) / s.groups, N, m, s.chunk);
            }
        }
        __syncthreads();
        for (int i = lane; i < entries; i += lanes)
            for (int group = 1; group < s.groups; ++group) into[i] += into[group * entries + i];
        __syncthreads();
        double own = 0;
        for (int k = lane; k < N; k += lanes) {
            double mean = 0, held = 0, mu = s.mu[k];
            for (int j = 0; j < m; ++j) mean += s.on[k * m + j] * into[k * m + j], held += s.on[k * m + j];
            for (int j = 0, i = k * m; j < m; ++j, ++i) {
                old[i] = A[i];
                A[i] = (Real) (A[i] - s.rate_A * s.on[i] * (into[i] - mean / held) / (s.size * mu));
                own += mu * A[i] * A[i];
            }
        }
        for (int i = a + lane; i < state; i += lanes) {
            double mu = s.mu[(i - a) / N];
            old[i] = A[i];
            A[i] = (Real) (A[i] - s.rate_V * (into[i] - into[state + (i - a) % N] * mu) / (s.size * mu));
            own += mu * A[i] * A[i];
        }
        norm = total_of(own, pool);
        integer now = (s.filled + step) / s.length;
        ++step;
        bool good = norm <= s.bound;
        for (int i = lane; i < state; i += lanes) {
            if (!good) A[i] = old[i];
            Real* sums = i < a ? s.sums_A + i : s.sums_V + i - a;
            int stride = i < a ? a : N * N;
            if (now != third) {
                sums[third * stride] = sum[i];
                sum[i] = sums[now * stride];
            }
            if (good) sum[i] += A[i] / s.length;
        }
        third = now;
        __syncthreads();
        if (!good) break;
    }
    for (int i = lane; i < state; i += lanes) {
        if (i < a) s.A[i] = A[i], s.sums_A[third * a + i] = sum[i];
        else s.V[i - a] = A[i], s.sums_V[third * N * N + i - a] = sum[i];
    }
    if (lane == 0) s.result[0] = step, s.result[1] = norm;
}
