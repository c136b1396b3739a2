/* The step's second half: from histograms to residuals, and the gradients for A and V. */

/* Products of a tile of 32 rows with V or its transpose, for each of 16 x ACROSS threads: out[a][c] is row
   y + 16 a with column x + ACROSS c. V passes through ``stage``, eight lines at a time. */
template <typename Real, int COLUMNS, int ACROSS>
__device__ void multiply(const Step<Real>& s, const double* rows, double* stage, bool transposed, double out[2][COLUMNS]) {
    const int width = ACROSS * COLUMNS, pitch = width + 1, x = threadIdx.x % ACROSS, y = threadIdx.x / ACROSS;
    int N = s.N;
    UNROLL for (int c = 0; c < COLUMNS; ++c) out[0][c] = out[1][c] = 0;
    for (int first = 0; first < N; first += 8) {
        __syncthreads();
        for (int i = threadIdx.x; i < 8 * width; i += 16 * ACROSS) {
            int j = transposed ? i % 8 : i / width, n = transposed ? i / 8 : i % width;
            bool inside = first + j < N && n < N;
            stage[j * pitch + n] = !inside ? 0 : transposed ? s.V[n * N + first + j] : s.V[(first + j) * N + n];
        }
        __syncthreads();
        for (int j = 0; j < 8 && first + j < N; ++j) {
            double one = rows[y * pitch + first + j], two = rows[(y + 16) * pitch + first + j];
            UNROLL for (int c = 0; c < COLUMNS; ++c) {
                double entry = stage[j * pitch + x + ACROSS * c];
                out[0][c] = fma(one, entry, out[0][c]);
                out[1][c] = fma(two, entry, out[1][c]);
            }
        }
    }
    __syncthreads();
}

/* 3. A tile of up to 32 seats: outputs, residuals V z - x_o, and what each code adds to the gradient for A. */
template <typename Real, int COLUMNS, int ACROSS>
__global__ void residuals(Step<Real> s) {
    POOL;
    const int pitch = ACROSS * COLUMNS + 1, lanes = 16 * ACROSS, x = threadIdx.x % ACROSS, y = threadIdx.x / ACROSS;
    double *rows = pool, *stage = rows + 32 * pitch, *unit = stage + 8 * pitch, *factor = unit + 32;
    integer* output = (integer*) (factor + 32);
    int m = s.m, N = s.N, packs = 32 / m, tile = packs * m;
    integer first = (integer) blockIdx.x * tile, lane = threadIdx.x;
    if (lane < 32) {
        output[lane] = -1;
        unit[lane] = factor[lane] = 0;
        if (lane < tile) {
            integer k = seated(s, first + lane, output + lane);
            unit[lane] = unit_of(s, k);
            factor[lane] = s.projected ? 1 / (double) s.mu[k] : 1;
        }
    }
    __syncthreads();
    for (int i = lane; i < 32 * N; i += lanes) {
        int row = i / N, n = i % N;
        bool here = row < tile && first + row < s.rows * m && output[row] >= 0;
        integer at = (first + row) * N + n;
        double z = here ? s.z[at] * unit[row] : 0;
        rows[row * pitch + n] = z;
        if (row < tile && first + row < s.rows * m) ((double*) s.z)[at] = here ? z - (s.projected ? (double) s.mu[n] : 0) : 0;
    }
    double out[2][COLUMNS];
    multiply<Real, COLUMNS, ACROSS>(s, rows, stage, true, out);
    UNROLL for (int a = 0; a < 2; ++a)
        UNROLL for (int c = 0; c < COLUMNS; ++c) {
            int row = y + 16 * a, n = x + ACROSS * c;
            double r = row >= tile || output[row] < 0 ? 0 : (out[a][c] - (n == output[row])) / s.B;
            if (n >= N) continue;
            rows[row * pitch + n] = r;
            if (row < tile && first + row < s.rows * m) s.residual[(first + row) * N + n] = r;
        }
    multiply<Real, COLUMNS, ACROSS>(s, rows, stage, false, out);
    UNROLL for (int a = 0; a < 2; ++a)
        UNROLL for (int c = 0; c < COLUMNS; ++c) rows[(y + 16 * a) * pitch + x + ACROSS * c] = out[a][c] * factor[y + 16 * a];
    __syncthreads();
    for (integer i = lane; i < packs * s.codes; i += lanes) {
        int pack = i / s.codes, code = i % s.codes;
        double sum = 0;
        for (int j = 0; j < m; ++j, code /= N) sum += rows[(pack * m + j) * pitch + code % N];
        if (first / m + pack < s.rows) s.tables[first / m * s.codes + i] = sum;
    }
}

/* 4. Sums over a part of the seats of residual times z: a tile of V, EACH x EACH entries a thread. */
template <typename Real, int EACH>
__global__ void values(Step<Real> s) {
    POOL;
    const int width = 16 * EACH, x = threadIdx.x % 16, y = threadIdx.x / 16;
    double *left = pool, *right = pool + 16 * width;
    integer N = s.N, tiles = (N + width - 1) / width, part = blockIdx.x / (tiles * tiles);
    integer n0 = blockIdx.x / tiles % tiles * width, c0 = blockIdx.x % tiles * width;
    integer seats = s.rows * s.m, length = (seats + s.parts - 1) / s.parts;
    integer stop = (part + 1) * length < seats ? (part + 1) * length : seats;
    double sums[EACH][EACH] = {};
    const double* z = (const double*) s.z;
    for (integer first = part * length; first < stop; first += 16) {
        __syncthreads();
        for (int i = threadIdx.x; i < 16 * width; i += 256) {
            integer seat = first + i / width, n = i % width;
            left[i] = seat < stop && n0 + n < N ? s.residual[seat * N + n0 + n] : 0;
            right[i] = seat < stop && c0 + n < N ? z[seat * N + c0 + n] : 0;
        }
        __syncthreads();
        for (int i = 0; i < 16; ++i)
            UNROLL for (int a = 0; a < EACH; ++a)
                UNROLL for (int c = 0; c < EACH; ++c)
                    sums[a][c] = fma(left[i * width + y + 16 * a], right[i * width + x + 16 * c], sums[a][c]);
    }
    UNROLL for (int a = 0; a < EACH; ++a)
        UNROLL for (int c = 0; c < EACH; ++c) {
            integer n = n0 + y + 16 * a, column = c0 + x + 16 * c;
            if (n >= N || column >= N) continue;
            double* to = s.values + (part * N + n) * N + column;
            *to = s.accumulate ? *to + sums[a][c] : sums[a][c];
        }
}

/* Add what the tokens of some packs at four positions, drawn again, have in the packs' tables, to be read one on the other. */
template <typename Real>
__device__ inline void add_again(const Step<Real>& s, const unsigned* guide, const Real* tables, integer pack, int packs,
                                 integer t, double* sums) {
    for (int p = 0; p < packs; ++p, tables += s.codes) {
        unsigned token[4];
        word number = number_of(s, pack + p) + t;
        tokens_of(s.law, guide, four_codes(s.law.origin + (number >> 2) * GOLDEN, 16 * (number & 3)), number, token);
        UNROLL for (int i = 0; i < 4; ++i) sums[i] += tables[token[i]];
    }
}

/* 5. A tile of 1024 positions of a column: what the same tokens, kept or drawn again, add to its gradient. */
template <typename Real>
__global__ void backward(Step<Real> s) {
    POOL;
    unsigned* guide = (unsigned*) (pool + blockDim.x);
    Real* tables = (Real*) (guide + 4096);
    integer tile = blockIdx.x % s.tiles, k = blockIdx.x / s.tiles % s.N, split = blockIdx.x / s.tiles / s.N;
    integer t = tile * 1024 + 4 * threadIdx.x, codes = s.codes, at_once = TABLE_BYTES / (codes * sizeof(Real));
    integer low = s.packs[k] > s.begin ? s.packs[k] : s.begin;
    integer high = s.packs[k + 1] < s.begin + s.rows ? s.packs[k + 1] : s.begin + s.rows, count = high > low ? high - low : 0;
    integer stop = low + count * (split + 1) / s.splits;
    low += count * split / s.splits;
    if (!s.words) load_guide(s, guide);
    double sums[4] = {};
    for (integer pack = low; pack < stop; pack += at_once > 0 ? at_once : 1) {
        integer packs = at_once == 0 ? 1 : stop - pack < at_once ? stop - pack : at_once;
        const Real* from = s.tables + (pack - s.begin) * codes;
        __syncthreads();
        if (at_once > 0)
            for (integer i = threadIdx.x; i < packs * codes; i += blockDim.x) tables[i] = from[i];
        __syncthreads();
        if (t >= s.T) continue;
        const unsigned* kept = s.stored + (pack - s.begin) * s.words + t / 4;
        if (s.words && at_once > 0) {
            _Pragma("unroll 4") for (integer p = 0; p < packs; ++p) {
                unsigned four = kept[p * s.words];
                const Real* table = tables + p * codes;
                UNROLL for (int i = 0; i < 4; ++i) sums[i] += table[four >> 8 * i & 0xFF];
            }
            continue;
        }
        if (at_once > 0) add_again(s, guide, tables, pack, packs, t, sums);  /* apart: a compiler then knows which memory */
        else add_again(s, guide, from, pack, packs, t, sums);
    }
    double total = 0;
    Real* to = s.columns + (split * s.N + k) * s.T + t;
    UNROLL for (int i = 0; i < 4; ++i) {
        if (t + i >= s.T) break;
        to[i] = s.accumulate ? to[i] + sums[i] : sums[i];
        total += sums[i];
    }
    total = total_of(total, pool);
    double* sum = s.sums + (split * s.N + k) * s.tiles + tile;
    if (threadIdx.x == 0) *sum = s.accumulate ? *sum + total : total;
}

/* 6. A's gradient from its splits, less the column's mean if projected, where there is either; V's from its parts. */
template <typename Real>
__global__ void finish(Step<Real> s) {
    POOL;
    integer lane = threadIdx.x, N = s.N;
    if (blockIdx.x >= N * s.pieces) {
        integer i = (blockIdx.x - N * s.pieces) * 256 + lane;
        if (i >= N * N) return;
        double sum = 0;
        _Pragma("unroll 8") for (integer part = 0; part < s.parts; ++part) sum += s.values[part * N * N + i];
        s.into_V[i] = s.projected ? sum / s.mu[i % N] : sum;
        return;
    }
    integer k = blockIdx.x / s.pieces, piece = blockIdx.x % s.pieces;
    double mean = 0;
    for (integer i = lane; s.projected && i < s.splits * s.tiles; i += 256)
        mean += s.sums[(i / s.tiles * N + k) * s.tiles + i % s.tiles];
    mean = total_of(mean, pool) / s.T;
    const Real* from = s.columns + k * s.T;
    integer stop = s.T * (piece + 1) / s.pieces;
    for (integer t = s.T * piece / s.pieces + lane; t < stop; t += 1024) {  /* four loads in flight, then four stores */
        double sums[4] = {};
        for (integer split = 0; split < s.splits; ++split)
            UNROLL for (int i = 0; i < 4; ++i)
                if (t + 256 * i < stop) sums[i] += from[split * N * s.T + t + 256 * i];
        UNROLL for (int i = 0; i < 4; ++i)
            if (t + 256 * i < stop) s.into_A[k * s.T + t + 256 * i] = sums[i] - mean;
    }
}
