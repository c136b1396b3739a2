r"""E3. The least batch that succeeds, from scratch and after pretraining, over T, N and s."""

from __future__ import annotations

import math
from functools import cache, partial
from types import SimpleNamespace

import numpy as np

import scbtheory as scb
from scbtheory.claims.T3_batches import batch_needed
from scbtheory.claims.T3_batches import statement as chances
from scbtheory.sweeps import fit_exponent
from scbtheory.verification import quantities
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.profiles import sized

SUCCESS = 0.9  # the share of runs that must succeed
BLOCKS = range(3)  # searches with seeds of their own
RUNS = {"scratch": 120, "transfer": 60}  # of one batch in one search
STEP = 0.1


def statement(s):
    """The batches with which nine of ten runs succeed: sign from scratch, supports in one step after pretraining."""
    return batch_needed(chances, s, index=1, level=SUCCESS), batch_needed(chances, s, index=0, level=SUCCESS)


# --- routes --------------------------------------------------------------------------------------


@cache
def setting(seed, N, T, s):
    """A random P with equal weights on s positions of each trigger, and what the statement reads of it."""
    Q = np.zeros((T, N))
    for k in range(N):
        Q[(np.arange(s) * 7 + 3 * k) % T, k] = 1 / s
    task = scb.SCB(scb.SCB.random(N, max(N, 2), 1, seed=seed).P, Q)
    hat = scb.transfer.pretrained(task, 0.7 * task.K_P, seed=1)
    prime, away, D = task.P - task.mu[:, None], scb.transfer.centred(task, hat), np.diag(task.mu)
    overlaps = (away**2 * prime).sum(axis=0) - 2 * (away * prime).sum(axis=0) * (task.mu @ away)
    return SimpleNamespace(
        task=task, hat=hat, mu=task.mu, T=T, weights=[[1 / s] * s] * N, growth=STEP,
        K_cross=scb.transfer.correlations(task, hat).K_cross, tau=float(overlaps @ task.mu),
        noise=float(np.trace(away @ D @ away.T @ task.C)),
        w=float(np.trace(task.C @ prime @ D @ prime.T)) / task.K_P**2,
    )  # fmt: skip


def least(success, fine=4) -> int:
    """The search rule: double B from 1 until enough runs succeed, then halve the interval on a grid of 2^(1/4)."""
    power = 0
    while success(2**power) < SUCCESS:
        power += 1
    low, high = (power - 1) * fine, power * fine
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if success(max(1, round(2 ** (middle / fine)))) >= SUCCESS else (middle, high)
    return max(1, round(2 ** (high / fine)))


@cache
def least_batch(kind, seed, N, T, s, block) -> int:
    """Of one search; every batch is tried on the same seeds."""
    where = setting(seed, N, T, s)
    return least(lambda B: {"scratch": right_signs, "transfer": supports_found}[kind](where, B, block))


def right_signs(s, B, block):
    speed = {"step_size": STEP / s.task.K_Q, "attention_step_size": STEP / s.task.K_P}
    ended = scb.noise.train_signs(s.task, runs=RUNS["scratch"], batch_size=B, seed=1000 + block, **speed)
    return np.mean(ended.Y > 0)


def supports_found(s, B, block):
    """How often one step from the pretrained matrix puts every support above everything else."""
    start, on, found = scb.transfer.start(s.task, s.hat), s.task.Q > 0, 0
    for step in range(RUNS["transfer"]):
        batch = s.task.sample(B, seed=2000 + block, step=step)
        move = -scb.model.minibatch_gradient(s.task, start, batch, projected=True).A
        found += np.all(np.where(on, move, np.inf).min(axis=0) > np.where(on, -np.inf, move).max(axis=0))
    return found / RUNS["transfer"]


def families(which):
    """What route ``which`` searches: name, kind of start, and the sizes (task, N, T, s)."""
    P = (23, 29)[which]
    scratch = sized([(P, 3, T, 2) for T in (60, 180, 540)], [(P, 3 + which, T, 2) for T in (250, 1000, 4000)])
    return (
        ("from scratch, over T", "scratch", scratch),
        ("pretrained, over T", "transfer", [(P, 3, T, 2) for T in (50, 400, 3200, *sized((), (50_000,)))]),
        ("pretrained, over N", "transfer", [(P, N, 200, 2) for N in (3, 6, 12, *sized((), (24,)))]),
        ("pretrained, over s", "transfer", [(P, 3, 200, s) for s in (1, 2, 4, *sized((), (8,)))]),
    )


def along(sizes):
    """The size that varies."""
    return next(column for column in zip(*sizes, strict=True) if len(set(column)) > 1)


@cache
def searched(kind, sizes):
    return np.array([[least_batch(kind, *size, block) for block in BLOCKS] for size in sizes])


def by_search(statement, which):
    """How far measured batches may be from stated ones, family by family: in their exponent, and by a factor."""
    found = {}
    for name, kind, sizes in families(which):
        stated = np.array([statement(setting(*size))[kind == "transfer"] for size in sizes])
        ratios = searched(kind, tuple(sizes)) / stated[:, None]
        _, low, high = fit_exponent(along(sizes), ratios)
        found[f"exponent's distance, 95 %, {name}"] = max(-low, high)
        found[f"factor from the stated batch, {name}"] = math.exp(np.abs(np.log(ratios).mean(axis=1)).max())
    return found


def measured():
    """Exponents of the least batch, and those of the statement on the same sizes."""
    for which in range(2):
        for name, kind, sizes in families(which):
            batches = searched(kind, tuple(sizes))
            fit = fit_exponent(along(sizes), batches)
            stated = [statement(setting(*size))[kind == "transfer"] for size in sizes]
            predicted = np.polyfit(np.log(along(sizes)), np.log(stated), 1)[0]
            yield quantities.Quantity(
                f"task {sizes[0][0]}: exponent of the least batch {name} = {', '.join(map(str, along(sizes)))}",
                fit.slope, fit.low, fit.high, batches.size,
                f"{len(BLOCKS)} searches a size, {RUNS[kind]} runs a batch", stated=f"{predicted:.2f}",
            )  # fmt: skip


# --- controls ------------------------------------------------------------------------------------


def scratch_like_transfer(s):
    return 20 * math.log(s.T), statement(s)[1]


def transfer_like_scratch(s):
    scratch, transfer = statement(s)
    return scratch, transfer * s.T / 200


def square_root(s):
    scratch, transfer = statement(s)
    return scratch * (s.T / 180) ** -0.5, transfer


def weight_not_squared(s):
    scratch, transfer = statement(s)
    return scratch, transfer / len(s.weights[0])


CLAIM = Claim(
    id="E3",
    title="The least batch that succeeds grows like T from scratch, like log T and powers of N and s after pretraining",
    text=r"""
Let $B^*$ be the least batch with which nine of ten runs succeed: from scratch, choose the right branch; after
pretraining, find every support in one step. Over $T$, $N$ and $s$ it follows the laws of {claim}`T3`,

$$
\begin{aligned}
B^*_{\text{scratch}} &= \tfrac12\,z_{0.9}^2\,\lambda\,w\,T, \\
B^*_{\text{transfer}} &\simeq \frac{\sigma_k^2}{K_\times^2q_{\min}^2}\,2\log T .
\end{aligned}
$$ (eq-least-batch)
""",
    assumptions="balanced steps with η = 0.1, so that N5's λ = η; weights equal on each support; $K_\\times = 0.7K_P$",
    scope="An experiment at the sizes named. Each batch is found by doubling from 1 and halving the interval, with "
    "three sets of seeds; the stated law for transfer is that of normal coordinates, not its leading order.",
    nature="observation",
    chapter="transfer",
    rests_on=("N5", "T2", "T3"),
    experiment=True,
    statement=statement,
    quantities=measured,
    routes=tuple(
        Route(
            "monte carlo",
            scope,
            partial(by_search, which=which),
            {
                f"{what} {family}": limit
                for family, *_ in families(which)
                for what, limit in (
                    ("exponent's distance, 95 %,", 0.06 if family == "pretrained, over T" else 0.3),
                    ("factor from the stated batch,", 1.5),
                )
            },
            margin=1.5,
            blind="a tenth of these moves batches by at most a fifth, and searches tell factors of 1.5 apart",
        )
        for which, scope in enumerate(
            (
                "N = 3: scratch T = 60 to 540, transfer T = 50 to 3200, N = 3 to 12 and s = 1 to 4 at T = 200 "
                "(full: to 4000 and 50 000, 24, 8)",
                "another P: the same sizes (full: N = 4 from scratch)",
            )
        )
    ),
    controls=(
        Control("scratch as sample-efficient as transfer", scratch_like_transfer),
        Control("√T for T from scratch", square_root),
        Control("transfer as hungry as scratch", transfer_like_scratch),
        Control("q for q² in transfer", weight_not_squared),
    ),
)
