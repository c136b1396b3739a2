r"""L6. What the stages after the first cost: powers of N and s, and a logarithm of T."""

from __future__ import annotations

import math
from functools import cache, partial

import numpy as np

import scbtheory as scb
from scbtheory import limits
from scbtheory.claims.E3_transfer_against_scratch import along, least
from scbtheory.sweeps import fit_exponent
from scbtheory.training import Likelihood, train
from scbtheory.verification import quantities
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.profiles import sized

BLOCKS, RUNS, FITS, SAMPLES = range(3), 60, 40, 20_000
STAGES = "search", "last stage"
CHANCE = {"false_alarm": 0.02, "miss": 0.08}  # together the tenth of the runs that may fail


def statement(task):
    """Samples of the search by moments in nine of ten runs, and n times the last stage's error."""
    return limits.samples_for_support(task, **CHANCE), sum(limits.cramer_rao(task, "known"))


# --- routes --------------------------------------------------------------------------------------


@cache
def place(seed, N, T, s):
    Q = np.zeros((T, N))
    for k in range(N):
        Q[(np.arange(s) * 7 + 3 * k) % T, k] = 1 / s
    return scb.SCB(scb.SCB.random(N, N, 1, seed=seed).P, Q)


@cache
def searched(seed, N, T, s, block) -> float:
    """The least number of samples, found as in E3."""
    task = place(seed, N, T, s)
    on = task.Q > 0

    def success(samples):
        found = 0
        for step in range(RUNS):
            X, _ = limits.moment_statistic(task, samples, seed=3000 + block, step=step)
            found += np.array_equal(limits.support_by_moments(X, false_alarm=CHANCE["false_alarm"]), on)
        return found / RUNS

    return least(success)


@cache
def fitted(seed, N, T, s, block) -> float:
    """n times the mean error of maximum likelihood over many fits, given the supports."""
    task = place(seed, N, T, s)
    start = scb.Parameters(np.asfortranarray((task.Q > 0) / s), scb.Parameters.initial(task).V)
    stage, total = (Likelihood(SAMPLES, tolerance=0.0, max_steps=1),), 0.0
    for fit in range(FITS):
        end = train(task, stage, start=start, seed=4000 + 1000 * block + fit, record=1e9).theta
        away = end - scb.Parameters.truth(task)
        total += task.inner(away.A, away.A) + task.inner(away.V, away.V)
    return SAMPLES * total / FITS


def families(which):
    """What route ``which`` measures, each with a P of its own: name and sizes (task, N, T, s)."""
    P = (51, 53)[which]
    return (
        (f"{STAGES[which]}, over T", [(P, 3, T, 2) for T in (50, 400, 3200, *sized((), (50_000,)))]),
        (f"{STAGES[which]}, over N", [(P, N, 100, 2) for N in ((3, 6, 12), sized((3, 4, 6), (3, 5, 8)))[which]]),
        (f"{STAGES[which]}, over s", [(P, 3, 100, s) for s in (1, 2, 4)]),
    )


@cache
def costs(quantity, sizes):
    return np.array([[(searched, fitted)[quantity](*size, block) for block in BLOCKS] for size in sizes])


def by_measuring(statement, which):
    """How far measured costs may be from stated ones, family by family: in their exponent, and by a factor."""
    found = {}
    for name, sizes in families(which):
        stated = np.array([statement(place(*size))[which] for size in sizes])
        ratios = costs(which, tuple(sizes)) / stated[:, None]
        _, low, high = fit_exponent(along(sizes), ratios)
        found[f"exponent's distance, 95 %, {name}"] = max(-low, high)
        found[f"factor from the stated cost, {name}"] = math.exp(np.abs(np.log(ratios).mean(axis=1)).max())
    return found


def measured():
    """Exponents of the costs, and those of the statement on the same sizes."""
    for which in range(2):
        for name, sizes in families(which):
            cost = costs(which, tuple(sizes))
            fit = fit_exponent(along(sizes), cost)
            stated = [statement(place(*size))[which] for size in sizes]
            predicted = np.polyfit(np.log(along(sizes)), np.log(stated), 1)[0]
            yield quantities.Quantity(
                f"exponent of the samples for the {name} = {', '.join(map(str, along(sizes)))}",
                fit.slope, fit.low, fit.high, cost.size, f"{len(BLOCKS)} measurements a size",
                stated=f"{predicted:.2f}",
            )  # fmt: skip


# --- controls ------------------------------------------------------------------------------------


def like_T(task):
    search, last = statement(task)
    return search * task.context_length / 400, last * task.context_length / 400


def like_root_T(task):
    search, last = statement(task)
    return search * math.sqrt(task.context_length / 400), last * math.sqrt(task.context_length / 400)


def without_N(task):
    search, last = statement(task)
    return search * 6 / task.vocab_size, last * 4 / task.vocab_size


def without_s(task):
    search, last = statement(task)
    return search * 2 / task.sparsity, last * 2 / task.sparsity


CLAIM = Claim(
    id="L6",
    title="After the first stage, samples are powers of N and s and a logarithm of T",
    text=r"""
To an error $\epsilon$, up to factors that the task's law gives,

$$
\begin{array}{ll}
\text{boosting (N5, S4)} & \tfrac12 z^2\,w\,T\,\log(2TK_Q) \\
\text{search by moments (L2)} & \dfrac{2\log T}{\mu_k\,q_{\min}^2\,\varphi^2} \\
\text{one step after transfer (T3)} & \dfrac{2\sigma_k^2\log T}{K_\times^2\,q_{\min}^2} \\
\text{last stage, by likelihood (L5)} & \operatorname{tr}\Xi\Sigma\,/\,\epsilon
\end{array}
$$ (eq-budget)

Only the first line has a power of $T$, and the last has no $T$ at all.
""",
    assumptions="equal weights on each support; the search may fail in one of ten runs",
    scope="An experiment at the sizes named, for the second and the last line; {claim}`E3` measures the third and the "
    "first one's batch, {claim}`E1` its steps. The search's stated samples are L2's, not their leading order.",
    nature="observation",
    chapter="budget",
    rests_on=("E1", "E3", "L2", "L5", "N5", "S4", "T3"),
    experiment=True,
    statement=statement,
    quantities=measured,
    routes=tuple(
        Route(
            "monte carlo",
            scope,
            partial(by_measuring, which=which),
            {
                f"{what} {family}": limit
                for family, _ in families(which)
                for what, limit in (("exponent's distance, 95 %,", 0.3), ("factor from the stated cost,", 1.5))
            },
            margin=1.5,
        )
        for which, scope in enumerate(
            (
                "search: T = 50 to 3200 at N = 3; N = 3 to 12, s = 1 to 4 at T = 100 (full: T to 50 000)",
                "last stage: T = 50 to 3200 at N = 3; N = 3 to 6, s = 1 to 4 at T = 100 (full: T to 50 000, N to 8)",
            )
        )
    ),
    controls=(
        Control("samples like T", like_T),
        Control("samples like √T", like_root_T),
        Control("a factor of N less", without_N),
        Control("a factor of s less", without_s),
    ),
)
