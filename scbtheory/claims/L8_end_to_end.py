r"""L8. A stated number of samples is enough, end to end, whatever the task's law."""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from types import SimpleNamespace

import numpy as np
import sympy as sp
from scipy.optimize import minimize_scalar
from scipy.stats import binom

import scbtheory as scb
from scbtheory import limits
from scbtheory.claims._tasks import task_on_two
from scbtheory.derivations import concentration as derivation
from scbtheory.verification import quantities
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import worse
from scbtheory.verification.profiles import sized

EPSILON, DELTA, RUNS, LOOSE = 0.05, 0.1, 100, 100
POSITIONS = (0.6, 0.4)


def statement(s):
    """The level of the search, its samples of a trigger, and of the estimate: of a trigger, and of all together.

    ``v`` is how far the estimate of P' may be off; what is left of ε is for the weights.
    """
    level = s.q_min * s.m / 2
    w = (s.sqrt(s.epsilon - s.v**2) * (s.root - s.v) - s.length * s.v) / s.sqrt(s.s)
    return (
        level,
        bernstein(s.variance, s.reach, level) * s.log(2 * s.T * s.N**3 / s.delta),
        bernstein(s.size * (s.N - 1), 2 * s.single, w) * s.log(4 * s.s * s.N / s.delta),
        bernstein(s.s * s.size * (s.N - 1), 2 * s.s * s.single, s.v) * s.log(4 / s.delta),
    )


def bernstein(variance, reach, gap):
    return 2 * variance / gap**2 + 2 * reach / (3 * gap)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    """Bernstein's inequality solved for n; the weights' errors at their worst, solved for the moments'."""
    d, positive = derivation, {"positive": True}
    names = "q_min m epsilon v root s variance reach T N delta size single"
    s = SimpleNamespace(**{name: sp.Symbol(name, **positive) for name in names.split()}, sqrt=sp.sqrt, log=sp.log)
    q = sp.Symbol("q", **positive)
    s.length = sp.sqrt(s.s) * q
    level, smallest = d.safest_level()
    level = level.subs(smallest, s.q_min * s.m)
    worst = d.worst_weights().subs({d.root: s.root, d.v: s.v, d.s: s.s, d.weight: q})
    [w] = sp.solve(sp.Eq(worst, sp.sqrt(s.epsilon - s.v**2)), d.w)
    needed = [
        d.needed().subs(zip((d.variance, d.reach, d.gap, d.events, d.delta), of, strict=True), simultaneous=True)
        for of in (
            (s.variance, s.reach, level, 2 * s.T * s.N * s.N**2, s.delta),  # entries of T N positions, two sides
            # Norms have Bernstein's tail twice (Pinelis and Sakhanenko), and two kinds share half of δ each.
            (s.size * (s.N - 1), 2 * s.single, w, 2 * s.s * s.N, s.delta / 2),
            (s.s * s.size * (s.N - 1), 2 * s.s * s.single, s.v, 2, s.delta / 2),
        )
    ]
    point = {
        s.q_min: 0.3, s.m: 0.4, s.epsilon: 0.05, s.v: 0.1, s.root: 0.5, s.s: 3, s.variance: 1.5, s.reach: 7, s.T: 90,
        s.N: 4, s.delta: 0.02, s.size: 1.2, s.single: 2.5, q: 0.25,
    }  # fmt: skip
    names = "level", "search", "estimate of a trigger", "estimate of all"
    ratios = [float((x / y).subs(point)) for x, y in zip(statement(s), (level, *needed), strict=True)]
    return {f"{name}: stated over derived, from 1": abs(r - 1) for name, r in zip(names, ratios, strict=True)} | {
        "parts of a weight's error that the identity leaves": int(d.weight_identity() != 0)
    }


@cache
def place(which):
    N, T, seed = sized(((3, 200, 41), (4, 100, 43)), ((3, 1000, 41), (6, 200, 43)))[which]
    return task_on_two(N, T, seed, POSITIONS)


@cache
def read(which):
    """What the statement reads of a task, each law's variance and reach from all outputs and tokens."""
    task = place(which)
    N, mu, P = task.vocab_size, task.mu, task.P
    white = [(np.eye(N)[x] - mu) / np.sqrt(mu) for x in range(N)]
    variance = reach = m = 0.0
    for q in (0.0, *POSITIONS):
        chances = [mu[x] * (q * P[o, x] + (1 - q) * mu[o]) for o, x in product(range(N), repeat=2)]
        values = np.array([np.outer(white[o], white[x]) for o, x in product(range(N), repeat=2)])
        mean = np.tensordot(chances, values, axes=1)
        variance = max(variance, np.tensordot(chances, (values - mean) ** 2, axes=1).max())
        reach, m = max(reach, 2 * np.abs(values).max()), max(m, np.abs(mean).max() / max(q, 1e-9) if q else 0.0)
    lengths = [float(np.sum((np.eye(N)[x] - mu) ** 2)) for x in range(N)]
    single = max(math.sqrt(max(lengths) * (1 / mu[x] - 1)) for x in range(N))
    return SimpleNamespace(
        N=N, T=task.context_length, s=2, q_min=min(POSITIONS), m=m, epsilon=EPSILON, delta=DELTA, variance=variance,
        reach=reach, root=math.sqrt(task.K_P), length=math.hypot(*POSITIONS), size=max(lengths), single=single,
        sqrt=lambda x: math.sqrt(max(x, 0.0)), log=math.log,
    )  # fmt: skip


def enough(statement, which):
    """The level and the samples of both phases, for the best v; infinite where a control leaves no room."""
    s, mu = read(which), place(which).mu

    def estimate(v):
        _, _, each, whole = statement(SimpleNamespace(**vars(s), v=v))
        return max(whole, of_all(each, mu))

    # The search's numbers do not depend on v; the weights' share of ε ends where w does.
    grid = np.linspace(0.02, 0.98, 300) * math.sqrt(EPSILON)
    room = [v for v in grid if s.sqrt(EPSILON - v * v) * (s.root - v) > s.length * v]
    best = min(room, key=estimate)
    step = grid[1] - grid[0]
    refined = minimize_scalar(estimate, bounds=(best - step, best + step), method="bounded", options={"xatol": 1e-6})
    level, search, *_ = statement(SimpleNamespace(**vars(s), v=best))
    return level, of_all(search, mu), min(refined.fun, estimate(best))


def of_all(each, mu):
    """The fewest samples of which, but for a chance of δ/2, so many are of every trigger: the tails added up."""
    if not each < 1e7:
        return math.inf

    def lacking(total):
        return sum(binom.cdf(math.ceil(each) - 1, total, mu)) > DELTA / 2

    few, total = 0, math.ceil(each / mu.min())
    while lacking(total):
        few, total = total, math.ceil(total * 1.0005)
    while total - few > 1:
        middle = (few + total) // 2
        few, total = (middle, total) if lacking(middle) else (few, middle)
    return total


def by_package(statement):
    """The package's numbers for a task; and those for all tasks with its constants, which must not be fewer."""
    found = {"level, relative": 0.0, "search, relative": 0.0, "estimate, relative": 0.0, "fewer for all tasks": 0.0}
    for which in range(2):
        task, stated = place(which), enough(statement, which)
        given = limits.samples(task, EPSILON, DELTA)
        for name, x, y in zip(found, (given.level, given.search, given.estimate), stated, strict=False):
            found[name] = worse(found[name], abs(x / y - 1))
        numbers = limits.Numbers(
            task.vocab_size, task.context_length, 2, task.K_P, min(POSITIONS), float(task.mu.min())
        )
        for_all = limits.samples(numbers, EPSILON, DELTA)
        found["fewer for all tasks"] = max(0.0, stated[1] / for_all.search - 1, stated[2] / for_all.estimate - 1)
    return found


@cache
def runs(which, level, search, estimate):
    """Errors of the runs, infinite where a support was wrong."""
    task, errors = place(which), []
    for seed in range(RUNS):
        on = limits.support_by_entries(task, task.sample(search, seed=seed, step=0), level)
        if not np.array_equal(on, task.Q > 0):
            errors.append(math.inf)
            continue
        away = limits.estimate_by_moments(task, task.sample(estimate, seed=seed, step=1), on)
        away = away - scb.Parameters.truth(task)
        errors.append(task.inner(away.A, away.A) + task.inner(away.V, away.V))
    return np.array(errors)


def by_running(statement):
    lost = slack = 0.0
    for which in range(2):
        level, search, estimate = enough(statement, which)
        if not search + estimate < 1e6:  # no run is needed to see that it is too loose
            return {"share of runs beyond ε": lost, "share within ε at a hundredth": 1.0}
        lost = max(lost, float(np.mean(runs(which, level, search, math.ceil(estimate)) > EPSILON)))
        short = runs(which, level, math.ceil(search / LOOSE), math.ceil(estimate / LOOSE))
        slack = max(slack, float(np.mean(short <= EPSILON)))
    return {"share of runs beyond ε": lost, "share within ε at a hundredth": slack}


def measured():
    """Coverage at the stated samples, and at parts of either phase's."""
    for which in range(2):
        task = place(which)
        level, search, estimate = enough(statement, which)
        for parts in ((1, 1), (4, 1), (16, 1), (1, 16), (1, 64), (LOOSE, LOOSE)):
            sizes = math.ceil(search / parts[0]), math.ceil(estimate / parts[1])
            yield quantities.frequency(
                f"N = {task.vocab_size}, T = {task.context_length}, ε = {EPSILON:g}: error at most ε with "
                f"{sizes[0]} + {sizes[1]} samples, those stated over {parts[0]} and {parts[1]}",
                int(np.sum(runs(which, level, *sizes) <= EPSILON)), RUNS, seeds=f"0 to {RUNS - 1}",
                stated=f"at least {1 - 3 * DELTA:g}" if parts == (1, 1) else "",
            )  # fmt: skip


# --- controls ------------------------------------------------------------------------------------


def weight_forgotten(s):
    """The search takes every position to have the whole weight."""
    level = s.m / 2
    return level, bernstein(s.variance, s.reach, level) * s.log(2 * s.T * s.N**3 / s.delta), *statement(s)[2:]


def events_for_logarithm(s):
    level, *rest = statement(s)
    return level, bernstein(s.variance, s.reach, level) * 2 * s.T * s.N**3 / s.delta, *rest[1:]


def error_not_squared(s):
    """The distance is allowed to be ε, not its square."""
    rest = statement(s)
    return *rest[:2], rest[2] / s.epsilon * 10, rest[3] / s.epsilon * 10


CLAIM = Claim(
    id="L8",
    title="So many samples are enough, end to end, with explicit constants",
    text=r"""
Let $m$ be the largest entry of $|D^{-1/2}P'D^{1/2}|$. Keep the positions where a mean of $n_k$ whitened products
$D^{-1/2}(x_o-\mu)(x_t-\mu)^\top D^{-1/2}$ has an entry beyond $\tau = \tfrac12q_{\min}m$; then, from fresh samples,
let $\hat W_t$ be the mean of $(x_o-\mu)(x_t-\mu)^\top D^{-1}$ over one trigger's samples, take
$\tilde P' = \sum_k\frac{n_k}{n}\sum_t\hat W_t$ over all triggers' supports and
$\hat q_t = \langle\hat W_t,\tilde P'\rangle_\mu/\lVert\tilde P'\rVert_\mu^2$.
With $\lVert\tilde P'-P'\rVert_\mu \le \bar v$ and $\lVert\hat W_t-q_tP'\rVert_\mu \le \bar w$,

$$
\begin{aligned}
n_k &\ge \left(\frac{2\bar\sigma^2}{\tau^2} + \frac{2\bar r}{3\tau}\right)\log\frac{2TN^3}{\delta}, \\
\lVert\hat q^{(k)} - q^{(k)}\rVert &\le \frac{\sqrt s\,\bar w + \lVert q^{(k)}\rVert\,\bar v}{\sqrt{K_P} - \bar v},
\end{aligned}
$$ (eq-enough)

with $\bar\sigma^2$ and $\bar r$ the largest variance of an entry and the farthest one from its mean; the samples for
$\bar v$ and $\bar w$ follow from Pinelis and Sakhanenko's inequality for norms. The end is within
$\lVert A-Q\rVert_\mu^2 + \lVert V-P\rVert_\mu^2 \le \epsilon$ with a chance of at least $1 - 3\delta$. The function
`limits.samples` gives the numbers.
""",
    assumptions=r"$K_P > 0$; $\mu$, $q_{\min}$ and $m$ known to the search; fresh samples for each phase",
    scope="For every task, $N$, $T$, $s$, $\\epsilon$ and $\\delta$. Bernstein's inequality is "
    "derived from a bound of the moments; Pinelis and Sakhanenko's is quoted. Coverage is measured at two sizes.",
    nature="theorem",
    chapter="budget",
    rests_on=("L1", "T5"),
    statement=statement,
    quantities=measured,
    routes=(
        Route("symbolic", "Bernstein's n, the weights' error at its worst and the level", derived, 1e-12, margin=1e4),
        Route(
            "numeric",
            "the package, N = 3, T = 200 and N = 4, T = 100 (full: T = 1000; N = 6), laws enumerated",
            by_package,
            {
                "level, relative": 1e-12, "search, relative": 1e-6, "estimate, relative": 0.0002,
                "fewer for all tasks": 1e-12,
            },
        ),
        Route(
            "monte carlo",
            f"{RUNS} runs, ε = 0.05, δ = 0.1, at the same sizes",
            by_running,
            {"share of runs beyond ε": 3 * DELTA, "share within ε at a hundredth": 0.4},
            anew=True,
        ),
    ),
    controls=(
        Control("q_min forgotten in the search's level", weight_forgotten),
        Control("T N³ for its logarithm", events_for_logarithm),
        Control("ε for its root in the estimate", error_not_squared),
    ),
)  # fmt: skip
