/* CUDA's threads on one CPU thread: each is a fibre that runs until it waits for others. ORDER says in which order they
   get their turns; results that depend on it are races. */
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

using std::nan;

struct Place { unsigned x, y, z; };
static Place blockIdx, threadIdx, blockDim, gridDim;
alignas(16) double pool[1 << 15];

#define __device__
#define __global__
#define __launch_bounds__(threads)
#define __shared__
#define __syncthreads() emulator::wait(2)
#define __syncwarp() emulator::wait(1)
#define __double2ll_rn(x) std::llrint(x)

template <typename T> static T atomicAdd(T* at, T value) { T before = *at; *at += value; return before; }

namespace emulator {
enum State { RUNNING, AT_WARP, AT_BLOCK, DONE };
struct Fibre { ucontext_t context; jmp_buf place; bool begun; State state; };
static std::vector<Fibre> fibres(1024);
static std::vector<char> stacks(1024 << 16);
static jmp_buf scheduler;  /* jumps, for a change of context asks the system each time */
static unsigned current;
static int order = 0;  /* 0 forwards, 1 backwards, else from the middle */
static void (*body)();

static void wait(int what) {
    fibres[current].state = what == 1 ? AT_WARP : AT_BLOCK;
    if (!_setjmp(fibres[current].place)) _longjmp(scheduler, 1);
}

static void start() {
    body();
    fibres[current].state = DONE;
    _longjmp(scheduler, 1);
}

static void resume(Fibre& fibre) {
    if (_setjmp(scheduler)) return;
    if (fibre.begun) _longjmp(fibre.place, 1);
    fibre.begun = true;
    setcontext(&fibre.context);
}

static bool release(unsigned from, unsigned to, State at) {
    bool any = false;
    for (unsigned i = from; i < to; ++i) {
        if (fibres[i].state == RUNNING || (fibres[i].state != at && fibres[i].state != DONE)) return false;
        any = any || fibres[i].state == at;
    }
    for (unsigned i = from; i < to; ++i) if (fibres[i].state == at) fibres[i].state = RUNNING;
    return any;
}

static void block(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) {
        getcontext(&fibres[i].context);
        fibres[i].context.uc_stack.ss_sp = stacks.data() + (i << 16);
        fibres[i].context.uc_stack.ss_size = 1 << 16;
        fibres[i].context.uc_link = nullptr;
        fibres[i].state = RUNNING;
        fibres[i].begun = false;
        makecontext(&fibres[i].context, start, 0);
    }
    for (bool going = true; going;) {
        going = false;
        for (unsigned n = 0; n < threads; ++n) {
            unsigned i = order == 0 ? n : order == 1 ? threads - 1 - n : (n * 97 + threads / 2) % threads;
            if (fibres[i].state != RUNNING) continue;
            current = i;
            threadIdx = {i, 0, 0};
            resume(fibres[i]);
            going = true;
        }
        for (unsigned w = 0; w < threads; w += 32)
            going = release(w, w + 32 < threads ? w + 32 : threads, AT_WARP) || going;
        going = release(0, threads, AT_BLOCK) || going;
    }
    for (unsigned i = 0; i < threads; ++i)
        if (fibres[i].state != DONE) { std::fprintf(stderr, "thread %u of %u waits for ever\n", i, threads); std::abort(); }
}
}  // namespace emulator

#define LAUNCH(NAME, TYPE, ...) \
    static TYPE argument_of_##NAME; \
    extern "C" void run_##NAME(unsigned grid, unsigned threads, int order, const void* argument, long bytes) { \
        if (bytes != sizeof(TYPE)) { std::fprintf(stderr, "%ld bytes for a record of %zu\n", bytes, sizeof(TYPE)); std::abort(); } \
        argument_of_##NAME = *(const TYPE*) argument; \
        emulator::order = order; \
        emulator::body = [] { __VA_ARGS__(argument_of_##NAME); }; \
        gridDim = {grid, 1, 1}; \
        blockDim = {threads, 1, 1}; \
        for (unsigned n = 0; n < grid; ++n) { \
            blockIdx = {order == 0 ? n : grid - 1 - n, 0, 0}; \
            for (auto& word : pool) word = NAN; \
            emulator::block(threads); \
        } \
    }
