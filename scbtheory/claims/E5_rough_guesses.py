r"""E5. The algorithm with wrong values of K_P and K_Q, and with frequencies that it counts itself."""

from __future__ import annotations

from functools import cache, partial

import numpy as np

import scbtheory as scb
from scbtheory.verification import quantities
from scbtheory.verification.claim import Claim, Control, Route

SEEDS = range(400, 408)  # drawn for the first time after the limits had been set
TOO_LARGE = 3.0  # a factor of K_P at which it fails
TASKS = ((3, 200, 2, 20), (4, 120, 2, 21))  # N, T, s, seed of the task


def statement():
    """The least factor of K_P and K_Q, the largest of K_P, the share of runs that find all, and what a guess costs."""
    return 0.25, 2.0, 0.9, lambda P, Q: 2 * max(1.0, 1 / (P * Q**2))


# --- routes --------------------------------------------------------------------------------------


@cache
def runs(which: int, P: float, Q: float, mu: str = "known") -> tuple[int, float]:
    """How many runs find every support when K_P and K_Q are P and Q times the task's, and their mean samples."""
    N, T, s, seed = TASKS[which]
    task = scb.SCB.random(N, T, s, seed=seed)
    stages = scb.training.algorithm(task, K_P=P * task.K_P, K_Q=Q * task.K_Q)[:3]
    options = {"mu": mu, "packed": mu == "known", "record": 1e9}
    histories = scb.sweeps.run_all([scb.sweeps.Run.of(task, stages, seed, **options) for seed in SEEDS], jobs=1)
    found = sum(np.array_equal(h.theta.A > 0, task.Q > 0) for h in histories)
    return found, float(np.mean([h.samples[-1] for h in histories]))


def guesses(low, high):
    """Pairs of factors of K_P and K_Q: the corners, and those with one of them true."""
    return [(P, Q) for P in (low, 1.0, high) for Q in (low, 1.0)]


def by_training(statement, which):
    low, high, share, cost = statement()
    tried = guesses(low, high)
    counts = [runs(which, *guess)[0] for guess in tried] + [runs(which, 1.0, 1.0, "estimated")[0]]
    told = runs(which, 1.0, 1.0)[1]
    found = quantities.frequency("found", sum(counts), len(counts) * len(SEEDS), seeds="")
    return {
        "guesses with which most runs fail": sum(count < len(SEEDS) / 2 for count in counts),
        "claimed share over its lower bound": share / found.low if found.low else np.inf,
        "samples over the bound on them": max(runs(which, *guess)[1] / told / cost(*guess) for guess in tried),
    }


def measured():
    """The share of runs that find every support, and the samples that each guess takes."""
    for which, (N, T, *_) in enumerate(TASKS):
        told = runs(which, 1.0, 1.0)[1]
        low, high, *_ = statement()
        beyond = [(TOO_LARGE, Q) for Q in (low, 1.0)]
        tried = [(*guess, "known") for guess in guesses(low, high) + beyond] + [(1.0, 1.0, "estimated")]
        for P, Q, mu in tried:
            found, samples = runs(which, P, Q, mu)
            yield quantities.frequency(
                f"N = {N}, T = {T}: all supports found, K_P × {P:g}, K_Q × {Q:g}, μ {mu}, at "
                f"{samples / told:.2g} times the samples",
                found, len(SEEDS), seeds=f"{SEEDS[0]} to {SEEDS[-1]}",
                stated="none stated" if TOO_LARGE == P else "0.9 over all guesses together",
            )  # fmt: skip


# --- controls ------------------------------------------------------------------------------------


def three_times_too_large():
    low, _, share, cost = statement()
    return low, TOO_LARGE, share, cost


def free_of_charge():
    low, high, share, _ = statement()
    return low, high, share, lambda P, Q: 1.0


CLAIM = Claim(
    id="E5",
    title="Rough guesses of K_P and K_Q serve, if they are not too large",
    text=r"""
Let the algorithm be told $f_PK_P$ and $f_QK_Q$ for $K_P$ and $K_Q$. With

$$
\tfrac14 \le f_P \le 2, \qquad \tfrac14 \le f_Q \le 1,
$$ (eq-guesses)

nine of ten runs find every support, with at most $2\max\big(1, 1/(f_Pf_Q^2)\big)$ times the samples; and so do runs
that are told the truth but count the frequencies themselves.
""",
    assumptions="default batches and step size; the frequencies known, unless estimated from the same samples",
    scope="An experiment at the sizes named, at the corners of the region and at the truth. A $K_P$ three times too "
    "large is outside if $f_Q = 1$: attention is then too slow for its threshold.",
    nature="observation",
    chapter="from_scratch",
    rests_on=("N4", "N5", "S4"),
    experiment=True,
    statement=statement,
    quantities=measured,
    routes=tuple(
        Route(
            "monte carlo",
            f"{len(SEEDS)} runs a guess, N = {N}, T = {T}",
            partial(by_training, which=which),
            {
                "guesses with which most runs fail": 0.0,
                "claimed share over its lower bound": 1.0,
                "samples over the bound on them": 1.0,
            },
            blind="they are bounds: a smaller region holds as well, and a bound that is a tenth weaker",
        )
        for which, (N, T, *_) in enumerate(TASKS)
    ),
    controls=(
        Control("three times too large serves as well", three_times_too_large),
        Control("a wrong guess costs no samples", free_of_charge),
    ),
)
