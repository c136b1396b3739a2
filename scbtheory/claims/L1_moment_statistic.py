r"""L1. The mean of the moment statistic, on and off the support."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import product
from types import SimpleNamespace

import numpy as np

import scbtheory as scb
from scbtheory.claims._tasks import on_two
from scbtheory.derivations import limits as sym
from scbtheory.verification import routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import relative_gap, worse, z_score

SAMPLES, REPEATS = 12, 16_000  # of a task with N = 3, T = 12


def statement(s):
    """E X off the support, and on it: N, samples n, weight q, and the sums φ² and S."""
    off = (s.N - 1) ** 2
    return off, (s.n - 1) * s.q**2 * s.information + (1 - s.q) * off + s.q * s.own


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    s = SimpleNamespace(N=sym.N, n=sym.n, q=sym.q, information=sym.INFORMATION, own=sym.OWN)
    off, on = statement(s)
    left = {
        "terms off the support": sym.sp.expand(sym.statistic_mean().subs(sym.q, 0) - off),
        "terms on it": sym.sp.expand(sym.statistic_mean() - on),
    }
    return {name: 0 if x == 0 else len(x.as_ordered_terms()) for name, x in left.items()} | {
        "S is not its definition": int(not sym.own_sum_is_its_definition())
    }


def of(P, mu, n, q):
    """The bundle of a task, in its own numbers."""
    N = len(mu)
    pairs = list(product(range(N), repeat=2))
    return SimpleNamespace(
        N=N,
        n=n,
        q=q,
        information=sum((P[i, m] - mu[i]) ** 2 * mu[m] / mu[i] for i, m in pairs),
        own=sum((1 - mu[m]) * P[i, m] * (1 / mu[i] - 1) for i, m in pairs),
    )


@cache
def enumerated():
    """(bundle, E X) at every trigger and position of the small tasks, for 1 and 2 samples, by enumeration."""
    found = []
    for world in routes.worlds():
        s, mu = world.numbers, world.numbers.mu[:, 0]
        if s.N * s.T > 8:
            continue
        for k, t in product(range(s.N), range(s.T)):
            law = {}
            for x, p in world.contexts:
                for o in range(s.N):
                    law[o, x[t]] = law.get((o, x[t]), 0) + p * world.laws[x, k][o]
            for n in (1, 2):
                mean = Fraction(0)
                for draws in product(law.items(), repeat=n):
                    chance = np.prod([p for _, p in draws])
                    C = sum(moment(pair, mu) for pair, _ in draws) / n
                    mean += chance * n * (C**2 / np.outer(mu, mu)).sum()
                found.append((of(s.P, mu, n, s.Q[t, k]), mean))
    return found


def moment(pair, mu):
    """(x_o - μ)(x_t - μ)ᵀ of one sample."""
    one = [np.array([Fraction(int(i == token)) for i in range(len(mu))]) - mu for token in pair]
    return np.outer(*one)


def by_enumeration(statement):
    worst = {"mean off the support": Fraction(0), "mean on it": Fraction(0)}
    for s, mean in enumerated():
        off, on = statement(s)
        name, stated = ("mean off the support", off) if s.q == 0 else ("mean on it", on)
        worst[name] = worse(worst[name], abs(mean - stated))
    return worst


def by_package(statement):
    task = scb.SCB.random(6, 40, 3, seed=2)
    n = np.array([3, 50, 700, 20, 1, 9])
    found, P, mu = scb.limits.moment_mean(task, n), task.P, task.mu
    stated = np.empty_like(found)
    for t, k in product(range(40), range(6)):
        off, on = statement(of(P, mu, n[k], task.Q[t, k]))
        stated[t, k] = on if task.Q[t, k] > 0 else off
    return {
        "off the support, relative": relative_gap(found[task.Q == 0], stated[task.Q == 0]),
        "on it, relative": relative_gap(found[task.Q > 0], stated[task.Q > 0]),
    }


@cache
def sampled():
    """Statistics and samples of each trigger, (REPEATS, T, N) and (REPEATS, N)."""
    P = [[0.7, 0.1, 0.6], [0.2, 0.85, 0.1], [0.1, 0.05, 0.3]]  # uneven: S is 5.9 where (N - 1)² is 4
    task = scb.SCB(P, on_two(12, 3, (0.8, 0.2)))
    found = [scb.limits.moment_statistic(task, SAMPLES, seed=seed) for seed in range(REPEATS)]
    return task, *(np.array(x) for x in zip(*found, strict=True))


def by_sampling(statement):
    task, X, n = sampled()
    off, on = [], []
    for t, k in product(range(12), range(3)):
        supported = int(task.Q[t, k] > 0)
        stated = [statement(of(task.P, task.mu, m, task.Q[t, k]))[supported] for m in range(SAMPLES + 1)]
        deviation = np.where(n[:, k] > 0, X[:, t, k] - np.array(stated)[n[:, k]], 0.0)
        (on if supported else off).append(deviation)
    return {
        "|z| off the support, all positions": z_score(np.mean(off, axis=0), 0.0),
        "|z| on it, all positions": z_score(np.mean(on, axis=0), 0.0),
    }


# --- controls ------------------------------------------------------------------------------------


def every_pair(s):
    off, _ = statement(s)
    return off, s.n * s.q**2 * s.information + (1 - s.q) * off + s.q * s.own


def outer_degrees(s):
    return routes.replaced(statement, 0, lambda s: s.N**2 - 1)(s)


def weight_not_squared(s):
    off, _ = statement(s)
    return off, (s.n - 1) * s.q * s.information + (1 - s.q) * off + s.q * s.own


def noise_as_off(s):
    off, _ = statement(s)
    return off, (s.n - 1) * s.q**2 * s.information + off


CLAIM = Claim(
    id="L1",
    title="The moment statistic, on and off the support",
    text=r"""
With $n_k$ samples of trigger $k$, $\hat C_t$ their mean of $(x_o-\mu)(x_t-\mu)^\top$ and
$X_t = n_k\lVert D^{-1/2}\hat C_tD^{-1/2}\rVert_F^2$,

$$
E X_t = \begin{cases}
(N-1)^2, & q_t = 0, \\
(n_k-1)\,q_t^2\varphi^2 + (1-q_t)(N-1)^2 + q_t\Psi, & q_t > 0,
\end{cases}
$$ (eq-moment-mean)

with $\varphi^2 = \sum_{nm}(P_{nm}-\mu_n)^2\mu_m/\mu_n$ and $\Psi = \sum_m(1-\mu_m)\sum_nP_{nm}(1/\mu_n-1)$.
""",
    assumptions="every task; $\\mu$ known",
    scope="Proved for every $N$, $T$ and $n_k$; enumerated in fractions for one and two samples.",
    nature="theorem",
    chapter="limits",
    rests_on=("M1",),
    statement=statement,
    routes=(
        Route("symbolic", "proof for every N, T and n, by the sums' rules", derived),
        Route("exact", "one and two samples, every outcome in fractions, (N, T) = 2×2, 2×3, 3×2, 2×4", by_enumeration),
        Route("numeric", "the package's mean, N = 6, T = 40, 1 to 700 samples", by_package, 1e-12, margin=1e4),
        Route(
            "monte carlo",
            f"{REPEATS} draws of {SAMPLES} samples, N = 3, T = 12",
            by_sampling,
            3.0,
            blind="a tenth of a term, weighed by q or its square, is below the noise of so many draws",
        ),
    ),
    controls=(
        Control("n for n − 1: a sample paired with itself", every_pair),
        Control("N² − 1 degrees for (N − 1)²", outer_degrees),
        Control("q for q²", weight_not_squared),
        Control("the noise on the support taken as off it", noise_as_off),
    ),
)
