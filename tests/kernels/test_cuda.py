"""The CUDA loops: through CuPy where there is a GPU; their source, compiled for the CPU, anywhere."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from scbtheory.backend import get_backend
from scbtheory.errors import BackendUnavailable
from scbtheory.kernels import compiled, cuda, loops_for
from scbtheory.kernels.stream import Stream

NUMPY = get_backend("numpy")
STREAM = Stream.of(seed=7, step=3, purpose=0)
(B, T), N, FIRST = (23, 1030), 16, 5
CDF = np.append(np.cumsum(np.random.default_rng(0).dirichlet(np.ones(N)))[:-1], 1.0)
CDF[:2] = 1e-6, 1e-3

# One thread after another. A histogram gets one lane, for then there is nobody to wait for.
ON_THE_CPU = (
    """
static struct { unsigned x, y; } blockIdx, threadIdx, blockDim, gridDim;
#define __device__
#define __global__
#define __shared__
#define __syncthreads()
#include <cmath>
#define __double2ll_rn(x) std::llrint(x)
template <typename T> static void atomicAdd(T* at, T value) { *at += value; }
""",
    """
double bins[64];
typedef unsigned char u8;
typedef unsigned short u16;
typedef const long long* integers;
#define FOR_EACH_THREAD gridDim = {X, Y}; blockDim = {W, 1}; \\
    for (blockIdx.y = 0; blockIdx.y < Y; ++blockIdx.y) for (blockIdx.x = 0; blockIdx.x < X; ++blockIdx.x) \\
        for (threadIdx.x = 0; threadIdx.x < W; ++threadIdx.x)
#define GRID unsigned X, unsigned Y, unsigned W
extern "C" void run_draw(GRID, word o, word r, word first, const int* cells, int shift, const double* b, int n,
                         u8* x, word size) {
    FOR_EACH_THREAD draw<u8>(o, r, first, cells, shift, b, n, x, size);
}
extern "C" void run_draw_at(GRID, word o, word r, const word* index, const int* cells, int shift, const double* b,
                            int n, u8* x, word size) {
    FOR_EACH_THREAD draw_at<u8>(o, r, index, cells, shift, b, n, x, size);
}
extern "C" void run_histogram_wide(GRID, const u16* x, integers k, const double* w, const double* scale, long long T,
                                   long long N, word* z, word size) {
    FOR_EACH_THREAD histogram_wide<u16, double>(x, k, w, scale, T, N, z, size);
}
extern "C" void run_histogram(GRID, const u8* x, integers k, const double* w, long long T, int N, int span,
                              double* z) {
    FOR_EACH_THREAD histogram<u8, double>(x, k, w, T, N, span, z);
}
extern "C" void run_accumulate(GRID, const u8* x, integers order, integers start, const double* table,
                               long long T, int codes, int N, double* g) {
    FOR_EACH_THREAD accumulate<u8, double>(x, order, start, table, T, codes, N, g);
}
""",
)
C_TYPES = {"uint64": ctypes.c_uint64, "int64": ctypes.c_int64, "int32": ctypes.c_int32}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The CUDA source, compiled as C++."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler to read the CUDA source with")
    folder = tmp_path_factory.mktemp("cuda")
    (folder / "loops.cpp").write_text(cuda.SOURCE.join(ON_THE_CPU))
    command = [compiler, "-std=c++17", "-O1", "-shared", "-fPIC", "loops.cpp", "-o", "loops.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "loops.so"))


@pytest.fixture
def on_the_cpu(library, monkeypatch):
    """Launch the compiled source where CuPy would launch its kernels."""

    def c(argument):
        if isinstance(argument, np.ndarray):
            return argument.ctypes.data_as(ctypes.c_void_p)
        return C_TYPES[argument.dtype.name](argument)

    def kernel(name, *dtypes):
        def launch(grid, block, arguments, shared_mem=0):
            width = 1 if name == "histogram" else block[0]
            getattr(library, f"run_{name}")(*(*grid, 1)[:2], width, *map(c, arguments))

        return launch

    monkeypatch.setattr(cuda, "_kernel", kernel)


def problem(dtype=np.float64):
    rng = np.random.default_rng(1)
    tokens, trigger = (rng.integers(N, size=size).astype(np.uint8) for size in ((B, T), B))
    return tokens, trigger, rng.standard_normal((T, N)).astype(dtype), rng.standard_normal((B, N)).astype(dtype)


def test_the_loops_load_without_cupy():
    assert loops_for("cupy") is cuda


def test_the_same_tokens(on_the_cpu):
    drawn = cuda.draw(NUMPY, STREAM, (200, 1000), CDF, np.uint8, first=FIRST)
    np.testing.assert_array_equal(drawn, compiled.draw(NUMPY, STREAM, (200, 1000), CDF, np.uint8, first=FIRST))


def test_the_same_sums(on_the_cpu, monkeypatch):
    monkeypatch.setattr(cuda, "SPAN", 300)
    tokens, trigger, weights, table = problem()
    for name, factor in (("histogram", weights), ("accumulate", table)):
        computed = getattr(cuda, name)(NUMPY, tokens, trigger, factor)
        np.testing.assert_allclose(computed, getattr(compiled, name)(NUMPY, tokens, trigger, factor), atol=1e-12)


def test_the_same_sums_of_codes(on_the_cpu):
    tokens, trigger, weights, table = problem()
    trigger = trigger % 3
    for name, factor, size in (("histogram", weights[:, :3], {"n_codes": N}), ("accumulate", table, {"n_triggers": 3})):
        ours, theirs = (getattr(loops, name)(NUMPY, tokens, trigger, factor, **size) for loops in (cuda, compiled))
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_the_same_tokens_by_their_numbers(on_the_cpu):
    index = np.random.default_rng(2).integers(0, 2**40, (300, 20)).astype(np.uint64)
    drawn = cuda.draw_at(NUMPY, STREAM, index, CDF, np.uint8)
    np.testing.assert_array_equal(drawn, compiled.draw_at(NUMPY, STREAM, index, CDF, np.uint8))


@pytest.mark.parametrize("vocabulary", [193, 6145, 65536])
def test_a_vocabulary_beyond_the_fast_memory(on_the_cpu, vocabulary):
    rng = np.random.default_rng(3)
    tokens = rng.integers(vocabulary, size=(5, 400)).astype(np.uint16)
    trigger = rng.integers(3, size=5).astype(np.uint16)
    weights = rng.standard_normal((400, 3)) * [1, 1e-20, 1e20]
    computed = cuda.histogram(NUMPY, tokens, trigger, weights, n_codes=vocabulary)
    expected = compiled.histogram(NUMPY, tokens, trigger, weights, n_codes=vocabulary)
    for b, k in enumerate(trigger):
        np.testing.assert_allclose(computed[b], expected[b], rtol=0, atol=1e-15 * np.abs(weights[:, k]).sum())


def test_many_tokens_of_no_number(on_the_cpu):
    weights = np.ones((4, 2))
    weights[1, 0] = np.nan
    computed = cuda.histogram(NUMPY, np.zeros((2, 4), np.uint16), np.array([0, 1]), weights, n_codes=200)
    assert np.isnan(computed[0]).all()
    assert computed[1, 0] == 4


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_gpu_agrees(dtype):
    try:
        gpu = get_backend("cupy", dtype)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    drawn = cuda.draw(gpu, STREAM, (B, T), CDF, gpu.xp.uint8, first=FIRST)
    np.testing.assert_array_equal(gpu.to_numpy(drawn), compiled.draw(NUMPY, STREAM, (B, T), CDF, np.uint8, first=FIRST))
    index = np.random.default_rng(2).integers(0, 2**40, 300).astype(np.uint64)
    drawn = cuda.draw_at(gpu, STREAM, gpu.xp.asarray(index), CDF, gpu.xp.uint8)
    np.testing.assert_array_equal(gpu.to_numpy(drawn), compiled.draw_at(NUMPY, STREAM, index, CDF, np.uint8))
    tokens, trigger, weights, table = problem(dtype)
    there = [gpu.xp.asarray(x) for x in (tokens, trigger, weights, table)]
    for name, here, factor in (("histogram", weights, there[2]), ("accumulate", table, there[3])):
        computed = getattr(cuda, name)(gpu, there[0], there[1], factor)
        assert computed.dtype == gpu.dtype
        expected = getattr(compiled, name)(NUMPY, tokens, trigger, here)
        np.testing.assert_allclose(gpu.to_numpy(computed), expected, atol=1000 * np.finfo(dtype).eps)
