"""Whole runs, from the start to the truth: ``python -m benchmarks.runs``; a part of ``make bench``.

Each run has a process of its own and ``LIMIT`` seconds. SGD and Adam get the algorithm's last stages, and are rounded
after twice the steps to half the correlation, which no learner could know. What a run should cost is predicted first,
from its tokens and the time of a token: ``TOKEN`` on two cores, and ``SEEN`` for a sample of the last stage.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import scbtheory as scb
from scbtheory import training

RESULTS = Path(__file__).with_name("results_runs.json")
LENGTHS = (10**3, 10**4, 10**5, 10**6)
LEVEL = 5e-5  # of the squared error at which the last stage ends, as it estimates it
LIMIT = 600.0
TOKEN, SEEN = 2.5e-10, 1e-7  # seconds
SHARES = {"sgd": 0.5, "adam": 1e-3}  # the step: of the largest stable one, and Adam's own


def task_of(T):
    """The task of every run: three tokens, two positions a trigger."""
    return scb.SCB.random(3, T, 2, seed=0)


def boosting(T):
    """The algorithm with its defaults."""
    return timed(task_of(T), lambda task: training.algorithm(task, tolerance=LEVEL))


def moments(T):
    """Supports by their moments, then maximum likelihood (L2 and L5)."""
    return timed(task_of(T), lambda task: training.algorithm(task, first="moments", last="likelihood", tolerance=LEVEL))


def sgd(T):
    """Plain SGD at the largest stable step, rounded after twice the steps to αβ = ½, then the algorithm's refit."""
    task = task_of(T)
    largest = 2 / float(scb.population.attention_curvature(task, scb.Parameters.initial(task).V)[1].max())
    return rounded(task, training.Descent(64, SHARES["sgd"] * largest))


def adam(T):
    """Adam, rounded after twice the steps to αβ = ½, then the algorithm's refit."""
    return rounded(task_of(T), training.Adam(64, SHARES["adam"]))


def timed(task, stages):
    """Seconds, samples and the final error of a run; compiling and loading are paid before, at T = 50."""
    small = scb.SCB.random(3, 50, 2, seed=0)
    training.train(small, stages(small), seed=0, max_samples=10**5, record=1e9)
    start = time.perf_counter()
    history = training.train(task, stages(task), seed=1, record=1.5)
    return {
        "seconds": time.perf_counter() - start,
        "samples": [int(end.samples) for end in history.boundaries],
        "error": float(history.distance_A[-1] + history.distance_V[-1]),
    }


def rounded(task, descent):
    """The same of a baseline: a first run only to see when its correlation is half learned."""
    half, budget = (), 50_000
    while not len(half):
        budget *= 2
        history = training.train(task, (descent,), seed=1, max_samples=budget, record=1.02)
        half = np.flatnonzero(history.alpha * history.beta > 0.5)
    *_, refit = training.algorithm(task, tolerance=LEVEL)
    first = training.Descent if isinstance(descent, training.Descent) else training.Adam
    stage = first(descent.batch_size, descent.step_size, max_steps=2 * int(history.step[half[0]]))
    return timed(task, lambda _: (stage, training.Round(), refit))


def torch_table(T):
    """The algorithm in PyTorch: table sampler, gather, scatter and index_add; every context drawn whole."""
    import torch

    torch.set_default_dtype(torch.float64)
    task = task_of(T)
    N, P, mu = task.vocab_size, *(torch.tensor(x) for x in (task.P, task.mu))
    where = np.argsort(-task.Q.T, axis=1, kind="stable")[:, :2]
    weight = torch.tensor(np.take_along_axis(task.Q.T, where, axis=1))
    where, table = torch.tensor(where), torch.tensor(np.searchsorted(np.cumsum(task.mu)[:-1] * 2**16, np.arange(2**16)))
    boost, proximal, _, refit = training.algorithm(task, tolerance=LEVEL)
    A, V = torch.full((N, T), 1 / T), mu[:, None].repeat(1, N)
    samples, rng = 0, torch.manual_seed(1)

    def gradient(size):
        nonlocal samples
        samples += size
        into_A, into_V = torch.zeros(N, T), torch.zeros(N, N)
        for lo in range(0, size, rows := max(1, 2**24 // T)):
            B = min(rows, size - lo)
            tokens = table[torch.randint(2**16, (B, T), generator=rng)]
            k = torch.multinomial(mu, B, replacement=True, generator=rng)
            at = where[k].gather(1, torch.multinomial(weight[k], 1, generator=rng))
            output = torch.multinomial(P.T[tokens.gather(1, at)[:, 0]], 1, generator=rng)[:, 0]
            z = torch.zeros(B, N).scatter_add_(1, tokens, A[k])
            residual = (z @ V.T - torch.nn.functional.one_hot(output, N)) / size
            into_A.index_add_(0, k, (residual @ V / mu[k, None]).gather(1, tokens))
            into_V += residual.T @ (z - mu) / mu
        return into_A - into_A.mean(1, keepdim=True), into_V

    def reach(values, axis=1):
        middle = values.median(axis, keepdim=True).values
        return 1.4826 * (values - middle).abs().median(axis, keepdim=True).values * math.sqrt(2 * math.log(T * N))

    start, n, support, unchanged = time.perf_counter(), 0, None, 0
    rate_A, rate_V = boost.step_size * boost.eta_A, boost.step_size * boost.eta_V
    while True:
        into_A, into_V = gradient(boost.size(n))
        A, V, n = A - rate_A * into_A, V - rate_V * into_V, n + 1
        high = ((A - 1 / T).max(1, keepdim=True).values / (reach(A) + 1e-12 / T)).min()
        if (high > boost.standing_out and boost.size(n) <= boost.last_batch) or n >= boost.max_steps:
            break
    for _ in range(proximal.max_steps):
        into_A, into_V = gradient(proximal.batch_size)
        move = rate_A * into_A
        kept = A - move - 1 / T
        kept = kept.sign() * (kept.abs() - proximal.c * reach(move)).clamp(min=0)
        A, V = kept - kept.mean(1, keepdim=True) + 1 / T, V - rate_V * into_V
        away = A - A.mean(1, keepdim=True)
        found = away > 0.1 * away.max(1, keepdim=True).values
        unchanged = unchanged + 1 if support is not None and torch.equal(found, support) else 0
        support = found
        if unchanged >= proximal.patience and (away * found).sum(1).min() >= proximal.mass:
            break
    A = away * support / (away * support).sum(1, keepdim=True)
    length, done = 20, 0
    while True:  # as Refit: thirds, doubled, with steps that shrink by √2
        sums = [[torch.zeros_like(A), torch.zeros_like(V)] for _ in range(3)]
        for third in sums:
            for _ in range(length):
                into_A, into_V = gradient(refit.batch_size)
                into_A = (into_A - (into_A * support).sum(1, keepdim=True) / support.sum(1, keepdim=True)) * support
                shrink = math.sqrt(20 / length)
                A, V, done = A - shrink * rate_A * into_A, V - shrink * rate_V * into_V, done + 1
                third[0] += A / length
                third[1] += V / length
        gap = sum(
            float((((x - y) ** 2) * w).sum()) for x, y, w in zip(sums[1], sums[2], (mu[:, None], mu), strict=True)
        )
        if gap / 4 <= LEVEL or done >= refit.max_steps:
            break
        length *= 2
    A, V = ((x + y) / 2 for x, y in zip(sums[1], sums[2], strict=True))
    seconds = time.perf_counter() - start
    truth = scb.Parameters.truth(task)
    away_A, away_V = A.T.numpy() - truth.A, V.numpy() - truth.V
    error = task.inner(away_A, away_A) + task.inner(away_V, away_V)
    return {"seconds": seconds, "samples": [samples], "error": float(error)}


METHODS = {run.__name__: run for run in (boosting, moments, sgd, adam, torch_table)}
WHOLE = ("boosting", "torch_table")  # whose time is that of the tokens that boosting draws


def predicted(T):
    """Seconds of :func:`boosting` at T: its tokens until the support is found, and the samples of its refit."""
    boost, proximal, _, refit = training.algorithm(task_of(T), tolerance=LEVEL)
    growing = math.ceil(math.log(boost.batch_size / boost.last_batch) / math.log1p(boost.step_size))
    first = sum(boost.size(n) for n in range(growing)) + 20 * boost.last_batch
    second = 70 * proximal.batch_size
    return TOKEN * T * (first + second) + SEEN * refit.batch_size * refit.max_steps / 4


def forecast(name, seconds, T) -> float:
    """What a run at length T should take after those at shorter ones: 10 times the last, or as its tokens grow."""
    if not seconds:
        return 0.0
    grows = predicted(T) / predicted(T // 10) if name in WHOLE else 0.0
    again = seconds[-1] / seconds[-2] if len(seconds) > 1 else 0.0
    return seconds[-1] * max(10.0, grows, again)


def fresh(name, T, limit):
    """The same in a process of its own; ``None`` if it does not end in time or does not arrive."""
    from benchmarks.__main__ import every_core

    command = [sys.executable, "-m", "benchmarks.runs", "--one", name, str(T)]
    try:
        done = subprocess.run(command, env=every_core(), capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main(limit, output):
    """Measure every method at every length, as long as it ends, and is expected to end, in time."""
    from benchmarks.__main__ import machine

    found = {"machine": machine(), "limit_s": limit, "level": LEVEL, "predicted": {}, "runs": []}
    found["predicted"] = {str(T): predicted(T) for T in LENGTHS}
    for name in METHODS:
        seconds = []
        for T in LENGTHS:
            expected = forecast(name, seconds, T)
            result = fresh(name, T, limit) if expected < limit else None
            print(name, T, result or f"not within {limit:g} s, {expected:.3g} expected", file=sys.stderr, flush=True)
            found["runs"].append({"method": name, "T": T, **(result or {"seconds": None, "expected": expected})})
            if result is None:
                break
            seconds.append(result["seconds"])
    output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runs", description=__doc__.partition("\n")[0])
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "T"), help="run one of them here and print its result")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds that a run may take (default 600)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where to store the results")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(METHODS[options.one[0]](int(options.one[1]))))
    else:
        main(options.limit, options.output)
