r"""G1. Second moments of one-hot contexts."""

from __future__ import annotations

from functools import partial

import scbtheory as scb
from scbtheory.derivations import moments
from scbtheory.derivations import symbols as sym
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import gap, relative_gap, z_score

ATTENDED, SANDWICHED = "E[Xa(Xb)ᵀ]", "E[XᵀMX]"


def statement(s: Matrices):
    """E[Xa(Xb)ᵀ] and E[XᵀMX]."""
    return attended(s, s.C), sandwiched(s, s.C)


def attended(s, covariance):
    return s.dot(s.a, s.b) * covariance + s.dot(s.one_T, s.a) * s.dot(s.one_T, s.b) * (s.mu @ s.mu.T)


def sandwiched(s, covariance):
    return s.tr(s.M @ covariance) * s.I_T + s.tr(s.mu.T @ s.M @ s.mu) * (s.one_T @ s.one_T.T)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    first, second = statement(sym)
    return {
        f"entries of {ATTENDED} that differ": int(
            not moments.same(moments.entries(first, moments.i, moments.j), moments.attended())
        ),
        f"entries of {SANDWICHED} that differ": int(
            not moments.same(moments.entries(second, moments.t, moments.u), moments.sandwiched())
        ),
    }


def by_enumeration(world, statement):
    s = world.numbers
    first, second = statement(s)
    return {
        ATTENDED: gap(world.mean_over_contexts(lambda X: X @ s.a @ (X @ s.b).T), first),
        SANDWICHED: gap(world.mean_over_contexts(lambda X: X.T @ s.M @ X), second),
    }


def by_package(statement):
    """E[Xa(Xb)ᵀ] itself, and aᵀE[XᵀMX]b, which is the trace of M E[Xb(Xa)ᵀ]."""
    instance = routes.medium()
    s, moment = instance.numbers, scb.population.second_moment
    a, b = s.a[:, 0], s.b[:, 0]
    first, second = statement(s)
    return max(
        relative_gap(moment(instance.task, a, b), first),
        relative_gap(s.tr(s.M @ moment(instance.task, b, a)), a @ second @ b),
    )


def by_sampling(statement):
    instance, batches = routes.sampled()
    task, s = instance.task, instance.numbers
    weigh = partial(task.backend.kernels.histogram, task.backend)
    za = [weigh(b.tokens, b.trigger * 0, s.A) for b in batches]
    zb = [weigh(b.tokens, b.trigger * 0, s.B) for b in batches]
    products = [x.T @ y / len(x) for x, y in zip(za, zb, strict=True)]
    pairs = [
        s.M[batch.tokens[:, :, None].astype(int), batch.tokens[:, None, :].astype(int)].mean(axis=0)
        for batch in batches
    ]
    first, second = statement(s)
    return {f"|z| of {ATTENDED}": z_score(products, first), f"|z| of {SANDWICHED}": z_score(pairs, second)}


# --- controls ------------------------------------------------------------------------------------


def not_centred(s):
    return attended(s, s.D), sandwiched(s, s.D)


def one_position(s):
    spread = s.C + s.mu @ s.mu.T
    return s.dot(s.a, s.b) * spread, (s.tr(s.M @ s.C) + s.tr(s.mu.T @ s.M @ s.mu)) * s.I_T


def mean_zero(s):
    return s.dot(s.a, s.b) * s.C


CLAIM = Claim(
    id="G1",
    title="Second moments of one-hot contexts",
    text=r"""
With $C = \operatorname{diag}(\mu) - \mu\mu^\top$, for every $a, b \in \mathbb{R}^T$ and
$M \in \mathbb{R}^{N\times N}$,

$$
E[Xa\,(Xb)^\top] = \langle a, b\rangle\, C + (1^\top a)(1^\top b)\,\mu\mu^\top,
$$ (eq-attended)

$$
E[X^\top M X] = \operatorname{tr}(MC)\, I_T + (\mu^\top M \mu)\, 11^\top .
$$ (eq-sandwiched)
""",
    assumptions="tokens i.i.d. from μ; every a, b, M",
    scope="Proved for every $N$ and $T$, entry by entry; $a$, $b$ and $M$ are arbitrary.",
    nature="theorem",
    chapter="moments",
    rests_on=("M1",),
    statement=statement,
    routes=(
        Route("symbolic", f"{routes.ALL_SIZES}: sums over Kronecker deltas, entry by entry", derived),
        routes.enumeration(by_enumeration),
        routes.numeric("the package's second_moment at N = 7, T = 60", by_package),
        routes.monte_carlo("the package's sampler", by_sampling),
    ),
    controls=(
        Control("diag(μ) for C (tokens not centred)", not_centred),
        Control("C + μμᵀ as if one position held all the weight", one_position),
        Control("independent tokens taken as uncorrelated with mean zero", routes.replaced(statement, 0, mean_zero)),
    ),
)
