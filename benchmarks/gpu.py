"""A training step on a GPU, beside PyTorch and JAX on the same GPU: ``python -m benchmarks --gpu``.

Every step ends when the device has finished it. Ours in three ways of handling codes (``device.KEEP``), each launch
timed by events, beside what ``benchmarks.predict`` says, and the bits alone (``limit.cu``). Peers run in fresh
processes, round robin, where they are installed with a GPU's libraries; ``python -m benchmarks.gpu`` alone times this
package in one process and needs nothing but CuPy.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import scbtheory as scb
from benchmarks import predict
from scbtheory import streaming
from scbtheory.kernels import device
from scbtheory.kernels.stream import Stream, mix

RESULTS = Path(__file__).with_name("results_gpu.json")
SIZES = predict.SIZES
PEERS = ("torch_gather", "torch_one_hot", "jax_segment_sum", "jax_one_hot")
WAYS = ("fits", "always", "never")
LARGEST = 2**34  # bytes of a peer's largest array: beyond, it is left out


def ours(size, dtype="float64"):
    """Return ``step(i)`` of this package, and what it needs."""
    N, T, B = size
    task = scb.SCB.random(N, T, 2, seed=0, backend="cupy", dtype=dtype)
    theta = scb.Parameters.random(task, seed=1)
    return task, lambda i: streaming.gradient(task, theta, B, seed=0, step=i, packed=True)


def limits(size):
    """Return two steps: one draws the bits of as many tokens, one the codes that a step of ours draws; neither more."""
    import cupy

    text = device.source() + Path(__file__).with_name("limit.cu").read_text()
    module = cupy.RawModule(code=text, options=("-std=c++17",), name_expressions=("limit", "draw"))
    N, T, B = size
    blocks, words = 132 * 8, T * B // 4
    result = cupy.empty(blocks * device.THREADS, dtype=cupy.uint32)
    task = scb.SCB.random(N, T, 2, seed=0, backend="cupy")
    plan, record = device.plan(task, packed=True), device.Record(text, "Draw")
    bits, draw = module.get_function("limit"), device.function(module, "draw", 4 * device.GUIDE)
    tokens = Stream.of(0, 0, streaming.CODES)
    record.law(tokens, plan.guide, plan.boundaries)
    packs = device.geometry(N, T, B, True, streaming.MEMORY, 8).packs
    record.set(words=packs * T // 4, result=result)
    return {
        "bits": lambda i: bits((blocks,), (device.THREADS,), (np.uint64(mix(i)), np.uint64(words), result)),
        "codes": lambda i: draw(blocks, device.THREADS, record, 4 * device.GUIDE),
    }


def timed(step, seconds, wait):
    """Return the median, least and largest ms of a step, each waited for."""
    for i in range(3):
        step(i)
    wait()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 2000):
        start = time.perf_counter()
        step(3 + len(times))
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    return {"ms": statistics.median(times), "ms_low": min(times), "ms_high": max(times), "ms_least": min(times)}


@contextlib.contextmanager
def events(record):
    """Within it, each launch of a step adds its name and a pair of events to ``record``."""
    import cupy

    find = device.kernel

    def kernel(expression, shared):
        launch = find(expression, shared)

        def timed_launch(*arguments):
            pair = cupy.cuda.Event(), cupy.cuda.Event()
            pair[0].record()
            launch(*arguments)
            pair[1].record()
            record.append((expression.partition("<")[0], pair))

        return timed_launch

    device.kernel = kernel
    try:
        yield
    finally:
        device.kernel = find


def breakdown(step, wait, repeats=20):
    """Return the median ms of each kind of launch in a step, and how many launches a step has."""
    import cupy

    sums = []
    for i in range(repeats):
        record = []
        with events(record):
            step(i)
        wait()
        total = {}
        for name, pair in record:
            total[name] = total.get(name, 0.0) + cupy.cuda.get_elapsed_time(*pair)
        sums.append(total)
    medians = {name: statistics.median(total[name] for total in sums) for name in sums[0]}
    return {"launches": len(record), **medians}


def here(size, seconds):
    """Everything about this package at one size, in this process."""
    import cupy

    wait = cupy.cuda.get_current_stream().synchronize
    found = {"size": list(size), "predicted": {k: 1e3 * v for k, v in predict.step(*size).items()}}
    try:
        found |= {f"limit_{name}": timed(step, seconds / 4, wait)["ms"] for name, step in limits(size).items()}
        for way in WAYS:
            device.KEEP = way
            pool = cupy.get_default_memory_pool()
            pool.free_all_blocks()
            task, step = ours(size)
            before = pool.used_bytes()
            found[way] = timed(step, seconds, wait)
            parameters = 8 * size[0] * (size[0] + size[1])
            found[way]["peak_mib"] = (pool.total_bytes() - before - parameters) / 2**20  # besides the gradients
            found[way]["breakdown"] = breakdown(step, wait)
            del task, step
    except cupy.cuda.memory.OutOfMemoryError as error:
        found["error"] = str(error)
    finally:
        device.KEEP = "fits"
    return found


def training():
    """A whole run at a small size: seconds on the GPU and on the CPU, and how far they end from each other."""
    import cupy

    runs = {}
    for name in ("numpy", "cupy"):
        task = scb.SCB.random(3, 200, 2, seed=0, backend=name)
        for _ in range(2):  # compile first
            start = time.perf_counter()
            runs[name] = scb.training.train(task, scb.training.algorithm(task), seed=1)
            runs[name, "s"] = time.perf_counter() - start
    gap = np.abs(cupy.asnumpy(runs["cupy"].theta.A) - runs["numpy"].theta.A).max()
    return {"numpy_s": runs["numpy", "s"], "cupy_s": runs["cupy", "s"], "largest_difference": float(gap)}


def machine():
    """What the numbers depend on."""
    import cupy

    runtime = cupy.cuda.runtime
    about = {
        "processor": runtime.getDeviceProperties(0)["name"].decode(),
        "cores": len(os.sched_getaffinity(0)),
        "driver": runtime.driverGetVersion(),
        "cuda": runtime.runtimeGetVersion(),
    }
    names = ("cupy-cuda12x", "cupy-cuda13x", "numpy", "numba", "torch", "jax")
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            about[name] = importlib.metadata.version(name)
    return about


def peer(name, size, seconds):
    """Time a peer in this process: PyTorch's tensors and JAX's arrays are on the GPU."""
    from benchmarks import peers
    from benchmarks.worker import check_agreement

    if name.startswith("torch"):
        import torch

        torch.set_default_device("cuda")
        wait = torch.cuda.synchronize
    else:
        import jax

        if jax.devices()[0].platform != "gpu":
            raise SystemExit("JAX sees no GPU")

        def wait():
            """A step of JAX waits by itself."""

    problem = peers.Problem.of(*size)
    step, gradients = getattr(peers, name)(problem)
    check_agreement(problem, gradients)
    return timed(step, seconds, wait)


def fresh(name, size, seconds):
    """Time a peer in a process of its own; None where it is not installed or does not fit."""
    if size[0] * size[1] * size[2] * 8 > LARGEST and name.endswith("one_hot"):
        return None
    command = [sys.executable, "-m", "benchmarks.gpu", "--peer", name, *map(str, size), "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{name} at {size}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main(rounds, seconds, output, with_peers=True):
    """Measure, store beside the CPU's results, and print a table."""
    results = {
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
        "rounds": rounds,
        "steps": [],
        "large": [],
    }
    results["gpu"] = [here(size, seconds) for size in SIZES]
    results["training"] = training()
    found = {}
    for _ in range(rounds if with_peers else 0):
        for size in SIZES:
            for name in PEERS:
                found.setdefault((name, size), []).append(fresh(name, size, seconds))
    for (name, size), runs in found.items():
        known = sorted((r for r in runs if r is not None), key=lambda r: r["ms"])
        if known:
            results["steps"].append({"peer": name, "size": list(size), **known[len(known) // 2]})
    results["steps"] += [{"peer": "scbtheory", "size": r["size"], **r["fits"]} for r in results["gpu"] if "fits" in r]
    output.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


def table(results) -> str:
    """Return a Markdown table of ms: a step in each way, the limit, the prediction, the peers; then what each takes."""
    peers = {(r["peer"], tuple(r["size"])): r["ms"] for r in results["steps"]}
    names = [name for name in PEERS if any(name == known for known, _ in peers)]
    heads = ["N, T, B", *WAYS, "bits alone", "codes alone", "predicted", *names]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for r in results["gpu"]:
        cells = [r.get(way, {}).get("ms") for way in WAYS] + [r.get("limit_bits"), r.get("limit_codes")]
        cells += [predict.total({k: 1e-3 * v for k, v in r["predicted"].items()}) * 1e3]
        cells += [peers.get((name, tuple(r["size"]))) for name in names]
        shown = ["–" if x is None else f"{x:.3f}" for x in cells]
        lines.append(f"| {', '.join(map(str, r['size']))} | " + " | ".join(shown) + " |")
    for r in results["gpu"]:
        for way in WAYS:
            if way in r:
                parts = ", ".join(f"{k} {v:.3g}" for k, v in r[way]["breakdown"].items())
                lines.append(
                    f"{r['size']} {way}: {parts}; {r[way]['peak_mib']:.0f} MiB besides parameters and gradients"
                )
    t = results["training"]
    lines.append(
        f"training at T = 200: {t['cupy_s']:.2f} s, CPU {t['numpy_s']:.2f} s, {t['largest_difference']:.1g} apart"
    )
    return "\n".join([*lines, f"{results['machine']}, {results['date']}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--peer", nargs=4, metavar=("NAME", "N", "T", "B"), help="time one peer and print its result")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each step is repeated (default 0.5)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where to store the results")
    options = parser.parse_args()
    if options.peer:
        print(json.dumps(peer(options.peer[0], tuple(map(int, options.peer[1:])), options.seconds)))
    else:
        main(1, options.seconds, options.output, with_peers=False)
