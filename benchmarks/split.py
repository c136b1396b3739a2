"""Where a step's time goes: each of its parts run alone, on one thread; a part of ``python -m benchmarks``.

Thread-milliseconds of a packed step: drawing its codes, looking attention up for them (histograms), adding them up
by position, the dense products with V, and what remains of the compiled loops; then the interpreter, and what two
threads cost beyond one (waiting for each other, and for memory and caches that they share).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from functools import partial

import numpy as np

import scbtheory as scb
from benchmarks.peers import Problem
from scbtheory import streaming
from scbtheory.kernels import compiled, grouped, packed, threads
from scbtheory.kernels.stream import Stream
from scbtheory.training._learner import PACKED

PARTS = ("draw", "look_up", "add", "dense", "rest", "interpreter", "threads")


def split(size, seconds=0.3):
    """Return milliseconds of each of ``PARTS``, and how many packs the step has."""
    problem = Problem.of(*size)
    task, theta, (B, T), N = problem.task, scb.Parameters(problem.A, problem.V), problem.shape, size[0]
    streams = [Stream.of(0, 0, purpose) for purpose in PACKED]
    cut, source, chances = grouped.prepared(task, B, streams, streaming.MEMORY)
    m, pairs, *_ = cut
    arranged = packed.arrange(np.uint64(streams[0].origin), 0, B, task._trigger_cdf, m)
    packs = arranged[-1]
    total, A = int(packs[-1]), np.ascontiguousarray(theta.A.T)
    of = np.repeat(np.arange(N), np.diff(packs))
    model, columns, parts = packed.laid_out(cut, B, A, np.ascontiguousarray(theta.V), task.mu, False)

    def loops():
        packed.fill_columns(0, len(parts), cut, False, 0, source, arranged, chances, model, columns, parts)

    codes = np.empty((total, T), dtype=np.uint8)
    spent = {"draw": timed(lambda: compiled._draw(source, codes.reshape(-1), 0, 0, -(-codes.size // 4)), seconds)}
    if pairs:
        codes, of, _ = packed._paired(codes, of, np.zeros(total * m, dtype=np.int64), N)
    z, table = np.empty((len(codes), N ** (2 if pairs else m))), np.random.default_rng(0).random((len(codes), 1))
    table = table * np.ones(z.shape)
    start = np.searchsorted(of, np.arange(N + 1))
    spent["look_up"] = timed(lambda: compiled._add_up(codes, of, A, z, 0, len(codes)), seconds)
    rows, blocks = np.arange(len(codes)), N * -(-T // compiled.BLOCK)
    spent["add"] = timed(lambda: compiled._spread(codes, rows, start, table, columns[0], 0, blocks), seconds)
    group = np.random.default_rng(1).random((max(1, B // len(parts)), N))
    spent["dense"] = len(parts) * timed(lambda: _products(group, theta.V), seconds)
    work = timed(loops, seconds)
    spent["rest"] = work - sum(spent.values())
    one, both = (timed(partial(_step, task, theta, B, count), seconds) for count in (1, threads.THREADS))
    busy = min(threads.THREADS, max(1, total * T // threads.WORTHWHILE))
    spent["interpreter"] = one - work
    spent["threads"] = busy * (both - spent["interpreter"]) - work if busy > 1 else 0.0
    return {"size": size, "packs": total, "width": m, "busy": busy, "ms": both, **spent}


def _products(group, V):
    residual = group @ V.T
    return residual @ V, residual.T @ group


def _step(task, theta, B, count):
    """A step on so many threads."""
    usual, threads.THREADS = threads.THREADS, count
    try:
        streaming.gradient(task, theta, B, seed=0, packed=True)
    finally:
        threads.THREADS = usual


def timed(call, seconds):
    """Median milliseconds of a call; the first, which may compile, is not counted."""
    call()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    print(json.dumps(split(tuple(map(int, sys.argv[1:])))))
