r"""L3. Nobody finds the support with fewer samples than log T."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.derivations import limits as sym
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import relative_gap

TINY = ((2, 4, 1, 1), (2, 4, 2, 2), (2, 5, 1, 2), (3, 3, 1, 1), (2, 8, 1, 1))  # N, T, s, n


def statement(s):
    """What one sample says at most about the support; what the samples' sum must exceed, for a chance e of error."""
    return information(s, s.mu), (1 - s.e) * s.supports - s.log(2)


def information(s, reference):
    """E_X KL(P X q ‖ reference), over the tokens on the support."""
    total = 0
    for tokens in product(range(s.N), repeat=len(s.weights)):
        chance = s.mu[0] / s.mu[0]
        for x in tokens:
            chance = chance * s.mu[x]
        law = [sum(w * s.P[o][x] for w, x in zip(s.weights, tokens, strict=True)) for o in range(s.N)]
        total = total + chance * sum(p * s.log(p / r) for p, r in zip(law, reference, strict=True) if p != 0)
    return total


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    """Fano's bound symbolically; the information at N = 2, T = 3, s = 2 from whole contexts, for every P and q."""
    a, b, w = sp.symbols("a b w", positive=True)
    P = [[1 - a, b], [a, 1 - b]]
    mu = [b / (a + b), a / (a + b)]
    s = SimpleNamespace(N=2, P=P, mu=mu, weights=[w, 1 - w], e=sym.e, supports=sp.log(sym.M), log=sp.log)
    stated, bound = statement(s)
    whole = 0
    for x in product(range(2), repeat=3):
        for o in range(2):
            law = w * P[o][x[0]] + (1 - w) * P[o][x[1]]
            whole += sp.prod([mu[token] for token in x]) * law * sp.log(law / mu[o])
    points = [
        {a: sp.Rational(*x), b: sp.Rational(*y), w: sp.Rational(*z)}
        for x, y, z in (((1, 3), (1, 5), (2, 7)), ((3, 4), (1, 9), (3, 5)))
    ]
    return {
        "terms of Fano's bound": int(sp.simplify(sym.n * sym.nats - bound - sym.fano_slack()) != 0),
        "points at which the information differs": sum(
            bool(abs(sp.N((whole - stated).subs(point), 30)) > 1e-25) for point in points
        ),
    }


@cache
def decoded(N, T, s, n):
    """A task's column, its whole-context information, and the least error of any decoder, by enumeration."""
    base = scb.SCB.random(N, T, s, seed=4)
    P = 0.98 * np.roll(np.eye(N), 1, axis=0) + 0.02 * base.P  # nearly free of noise: samples say as much as they can
    task = scb.SCB(P / P.sum(axis=0), base.Q)
    P, mu = task.P, task.mu
    weights = np.full(s, 1 / s)
    choices = list(combinations(range(T), s))
    contexts = list(product(range(N), repeat=T))
    # Likelihood of (context, output) under each support, (choices, contexts * N).
    likelihood = np.array([
        [
            np.prod(mu[list(x)]) * sum(w * P[o, x[t]] for w, t in zip(weights, support, strict=True))
            for x in contexts for o in range(N)
        ]
        for support in choices
    ])  # fmt: skip
    joint = likelihood
    for _ in range(n - 1):
        joint = np.einsum("ca,cb->cab", joint, likelihood).reshape(len(choices), -1)
    error = 1 - joint.max(axis=0).sum() / len(choices)
    average = likelihood[0]
    apart = np.array([np.prod(mu[list(x)]) * mu[o] for x in contexts for o in range(N)])
    whole = float((average * np.log(average / apart)).sum())
    bundle = SimpleNamespace(
        N=N, P=P, mu=mu, weights=weights, e=error, T=T, supports=math.log(len(choices)), log=math.log
    )
    return task, bundle, n, whole


def by_decoding(statement):
    """The information against whole contexts; how far the best decoder's error would break the bound."""
    gaps, broken = [], []
    for setting in TINY:
        _, s, n, whole = decoded(*setting)
        stated, bound = statement(s)
        gaps.append(abs(stated / whole - 1))
        broken.append(max(0.0, bound - n * whole))
    return {"information, relative": max(gaps), "nats by which a decoder beats the bound": max(broken)}


def by_package(statement):
    """The package's information and its samples, N = 4, T = 10³, s = 3."""
    task = scb.SCB.random(4, 1000, 3, seed=2)
    found, samples = scb.limits.token_information(task), scb.limits.fano_samples(task, error=0.2)
    stated, needed = [], []
    for k, column in enumerate(task.Q.T):
        s = SimpleNamespace(
            N=4, T=1000, P=task.P, mu=task.mu, weights=column[column > 0], e=0.2, log=math.log,
            supports=math.log(math.comb(1000, 3)),
        )  # fmt: skip
        nats, bound = statement(s)
        stated.append(nats)
        needed.append(bound / nats / task.mu[k])
    return {
        "information, relative": relative_gap(found, stated),
        "samples that differ": abs(math.ceil(max(needed)) - samples),
    }


# --- controls ------------------------------------------------------------------------------------


def uniform_reference(s):
    return information(s, [s.mu[0] / s.mu[0] / s.N] * s.N), statement(s)[1]


def one_position(s):
    first = SimpleNamespace(**vars(s) | {"weights": [s.weights[0] / s.weights[0]]})
    return information(first, s.mu), statement(s)[1]


def like_T(s):
    T = getattr(s, "T", sym.n)
    return statement(s)[0], (1 - s.e) * T - s.log(2)


CLAIM = Claim(
    id="L3",
    title="Nobody finds the support with fewer samples than log T",
    text=r"""
Let the support of trigger $k$ be drawn uniformly from all $\binom Ts$. Whoever finds it with an error of at most
$\delta$, by whatever method, knowing $P$ and the weights, has

$$
n_k\,\mathcal I_k \ge (1-\delta)\log\binom Ts - \log 2, \qquad
\mathcal I_k = E_X\,\mathrm{KL}\!\left(PXq^{(k)}\,\middle\|\,\mu\right) .
$$ (eq-fano)
""",
    assumptions="samples with trigger $k$ are independent given the support, which is uniform",
    scope="Fano's inequality for every $N$, $T$, $s$ and every method; $\\mathcal I_k$ is the mean over the $N^s$ "
    "tokens on the support. The best decoder is enumerated at five tiny sizes.",
    nature="theorem",
    chapter="limits",
    rests_on=("M1",),
    statement=statement,
    routes=(
        Route("symbolic", "Fano's bound for every M; the information at N = 2, T = 3, s = 2 at two points", derived),
        Route(
            "exact",
            "the best decoder's error by enumeration, N = 2 and 3, T = 3 to 8, one or two samples",
            by_decoding,
            {"information, relative": 1e-12, "nats by which a decoder beats the bound": 0.0},
            blind="an inequality that no decoder of a tiny task comes near: a bound a little larger is kept, too",
        ),
        Route("numeric", "the package's information and samples, N = 4, T = 1000, s = 3", by_package, 1e-10),
    ),
    controls=(
        Control("the uniform law for μ", uniform_reference),
        Control("a single position taken for the support", one_position),
        Control("T for log C(T, s): samples like T for everybody", like_T),
    ),
)
