"""Time one peer at one size in this fresh process; print the result as JSON."""

from __future__ import annotations

import ctypes
import gc
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

import scbtheory as scb
from benchmarks import peers

STATUS = Path("/proc/self/status")


def check_agreement(problem, gradients):
    """Compare with this package on the same tokens, before anything is timed."""
    batch = problem.task.sample(8, seed=9)
    expected = scb.model.minibatch_gradient(problem.task, scb.Parameters(problem.A, problem.V), batch)
    computed = gradients(batch.tokens, batch.trigger, batch.output)
    for ours, theirs in zip((expected.A, expected.V), computed, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-12 * np.abs(ours).max())


def measure(name, size, seconds):
    """Return the median time of a step in ms and the memory in MiB that a step takes at its peak."""
    problem = peers.Problem.of(*size)
    step, gradients = getattr(peers, name)(problem)
    if gradients is not None:
        check_agreement(problem, gradients)
    for i in range(3):  # compile, and let allocators settle
        step(i)
    memory = peak_memory(lambda: step(3))
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        step(4 + len(times))
        times.append(time.perf_counter() - start)
    return {"ms": 1e3 * statistics.median(times), "ms_least": 1e3 * min(times), "peak_mib": memory}


def peak_memory(call):
    """Return how far ``call`` raises this process's resident memory, in MiB; None where Linux does not tell."""
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what earlier calls freed does not count
        Path("/proc/self/clear_refs").write_text("5")  # restart the record of the peak
        before = status("VmRSS")
        call()
        return (status("VmHWM") - before) / 1024
    except (OSError, AttributeError):
        return None


def status(key):
    return int(next(line for line in STATUS.read_text().splitlines() if line.startswith(key)).split()[1])


if __name__ == "__main__":
    name, *size, seconds = sys.argv[1:]
    print(json.dumps(measure(name, tuple(map(int, size)), float(seconds))))
