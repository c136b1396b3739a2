"""Measure one training step against its peers: ``python -m benchmarks``, from the top of the repository.

Each measurement runs in a fresh process. Rounds go through all peers in turn, so that a slow minute
of the machine hits everyone; the result of a peer is the median of its rounds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import gpu, report
from benchmarks.peers import PEERS
from benchmarks.split import PARTS

SIZES = [(3, 5000, 64), (32, 4096, 256), (16, 100_000, 64), (64, 512, 1024)]  # (N, T, B)
BASE = {"N": 16, "T": 4096, "B": 256}
SCALING = {"N": [2, 4, 16, 64, 256], "T": [2**k for k in range(6, 19, 2)], "B": [2**k for k in range(2, 15, 2)]}
LARGE = (3, 1_000_000, 256)
OURS = ("scbtheory", "scbtheory_samples")
LIBRARIES = ("numpy", "numba", "torch", "jax")


def every_core():
    """The environment of a fresh process, with every core for it and one thread for NumPy's matrix products."""
    # Nor is NumPy's BLAS told to take this processor for an older one.
    environment = {k: v for k, v in os.environ.items() if not k.endswith(("_NUM_THREADS", "_CORETYPE"))}
    environment["OPENBLAS_NUM_THREADS"] = "1"  # its idle threads spin, and steal the cores from the loops
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # PyTorch's spin too: on a busy machine it would be 20 times slower
    return environment


def run(name, size, seconds):
    """Time one peer in a fresh process."""
    return fresh("benchmarks.worker", name, *size, seconds)


def fresh(module, *arguments):
    """What a module prints, as JSON, in a process of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, env=every_core(), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[2:])} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def steps(rounds, seconds):
    """All peers at all sizes, round robin."""
    results = {}
    for r in range(rounds):
        for size in SIZES:
            for peer in PEERS:
                results.setdefault((peer.__name__, size), []).append(run(peer.__name__, size, seconds))
        print(f"round {r + 1} of {rounds} done", file=sys.stderr, flush=True)
    return [{"peer": peer, "size": size, **summary(runs)} for (peer, size), runs in results.items()]


def scaling(rounds, seconds):
    """This package's tokens a second, with one of N, T, B varied at a time."""
    points = [(axis, BASE | {axis: value}) for axis, values in SCALING.items() for value in values]
    results = [[] for _ in points]
    for _ in range(rounds):
        for (_, at), runs in zip(points, results, strict=True):
            runs.append(run("scbtheory", tuple(at.values()), seconds))
    pairs = zip(points, results, strict=True)
    return [{"axis": axis, "size": list(at.values()), **summary(runs)} for (axis, at), runs in pairs]


def large(rounds):
    """A batch that is drawn in parts, where its tokens do not fit the memory that streaming may use."""
    runs = {peer: [run(peer, LARGE, 1.0) for _ in range(rounds)] for peer in OURS}
    return [{"peer": peer, "size": LARGE, **summary(own)} for peer, own in runs.items()]


def splits(rounds):
    """Where a step's time goes at each size: medians over fresh processes, part by part."""
    found = []
    for size in SIZES:
        runs = [fresh("benchmarks.split", *size) for _ in range(rounds)]
        found.append(runs[0] | {part: statistics.median(run[part] for run in runs) for part in ("ms", *PARTS)})
    return found


def summary(runs):
    times, memory = sorted(r["ms"] for r in runs), [r["peak_mib"] for r in runs]
    known = [m for m in memory if m is not None]
    return {
        "ms": statistics.median(times),
        "ms_low": times[0],
        "ms_high": times[-1],
        "ms_least": min(r["ms_least"] for r in runs),
        "peak_mib": statistics.median(known) if known else None,
    }


def machine():
    """What the numbers depend on."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name).partition("+")[0] for name in LIBRARIES},
    }


def processor():
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in cpuinfo)}
    name, flags = facts.get("model name", platform.machine()), facts.get("flags", "").split()
    return name + (", AVX-512" if "avx512dq" in flags else ", AVX2" if "avx2" in flags else "")


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes for each peer and size (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each of them repeats the step (default 1)")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where to store the results")
    parser.add_argument("--gpu", action="store_true", help="on a GPU, this package through CuPy (see benchmarks.gpu)")
    options = parser.parse_args()
    if options.gpu:
        gpu.main(options.rounds, options.seconds, gpu.RESULTS if options.output == report.RESULTS else options.output)
        return
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    results = {
        "machine": machine(),
        "load_before": load,  # processes that were busy on these cores with something else
        "rounds": options.rounds,
        "steps": steps(options.rounds, options.seconds),
        "scaling": scaling(max(1, options.rounds // 2), options.seconds / 2),
        "large": large(options.rounds),
        "split": splits(options.rounds),
    }
    options.output.write_text(json.dumps(results, indent=1) + "\n")
    print(report.table(report.Results(options.output)))


if __name__ == "__main__":
    main()
