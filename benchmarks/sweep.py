"""What a token of a sweep costs on one core: ``NUMBA_NUM_THREADS=1 python -m benchmarks.sweep``; some minutes.

Runs from scratch at the batches that N5 asks for. The chapter on scaling makes its forecast from the longest of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numba

import scbtheory as scb
from benchmarks.__main__ import processor

RESULTS = Path(__file__).with_name("results_sweep.json")
RUNS = {100: 1000, 1000: 100, 10_000: 3, 30_000: 1}  # of each length; the last takes longest
SHARE, STEP, SEED = 0.9, 0.1, 1  # as in the chapter


def measured(T, runs):
    """Tokens and seconds of one core at a length."""
    point = scb.sweeps.SignPoint(T, 1, 1, STEP, vocab_size=3, sparsity=2, seed=SEED)
    batch = round(scb.noise.sign_batch(point.task(), SHARE, **point.speed()))
    found = scb.sweeps.SignPoint(T, batch, runs, STEP, vocab_size=3, sparsity=2, seed=SEED)()
    return {"T": T, "B": batch, "runs": runs, "tokens": found.tokens, "seconds": found.seconds}


def main():
    points = [measured(T, runs) for T, runs in RUNS.items()]
    machine = {"processor": processor(), "threads": numba.config.NUMBA_NUM_THREADS}
    RESULTS.write_text(json.dumps({"machine": machine, "points": points}, indent=1) + "\n")
    for point in points:
        print(f"T = {point['T']}: {point['tokens'] / point['seconds']:.3g} tokens a second")


if __name__ == "__main__":
    main()
