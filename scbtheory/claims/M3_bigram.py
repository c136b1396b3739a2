r"""M3. A bigram is the case in which every trigger chooses the same single position."""

from __future__ import annotations

import numpy as np

from scbtheory.claims._sampler import observed, sampler_route
from scbtheory.derivations import model
from scbtheory.derivations import symbols as sym
from scbtheory.derivations.algebra import normal
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import World, exact, gap, z_score


def statement(s: Matrices):
    """The squared distance of the output's law from copying position e, given the trigger."""
    return (s.dot(s.q - s.e, s.q - s.e) * K_P(s),)


def K_P(s):
    return s.tr(s.P @ s.D @ s.P.T) - s.tr(s.mu.T @ s.mu)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    left = normal(model.distance_to_bigram() - statement(sym)[0], sym.ALWAYS + sym.POSITION)
    return {"terms that do not cancel": int(left != 0)}


def by_enumeration(world, statement):
    s, worst = world.numbers, 0
    for k in range(s.N):
        distance = 0
        for x, p in world.contexts:
            error = world.laws[x, k] - s.P[:, x[0]]
            distance += p * (error @ error)
        worst = max(worst, gap(distance, statement(s.seen_from(k))[0]))
    return worst


def where_it_vanishes(statement):
    """Enumerate tasks whose triggers all choose the first position: the law is the bigram's there, and only there."""
    worst = 0
    for N, T in routes.SIZES:
        s = exact(N, T, seed=N + 10 * T)
        bigram = World(type(s)(s.P, s.e @ s.one_N.T, s.mu, s.A, s.V, s.B, s.M))
        worst = max(
            worst,
            by_enumeration(bigram, statement),
            *(gap(bigram.laws[x, k], s.P[:, x[0]]) for x, k in bigram.laws),
        )
        other = World(type(s)(s.P, s.I_T[:, [1] + [0] * (N - 1)], s.mu, s.A, s.V, s.B, s.M))
        worst = max(worst, by_enumeration(other, statement))
    return {"difference": worst}


def by_sampling(statement):
    s, contexts, codes, _ = observed()
    worst = 0.0
    for k in range(s.N):
        errors = np.array([((s.P @ X @ (s.seen_from(k).q - s.e)) ** 2).sum() for X in contexts])
        worst = max(worst, z_score(errors[codes], statement(s.seen_from(k))[0]))
    return {"largest |z|": worst}


# --- controls ------------------------------------------------------------------------------------


def not_centred(s):
    return (s.dot(s.q - s.e, s.q - s.e) * s.tr(s.P @ s.D @ s.P.T),)


def never_the_same(s):
    return ((s.dot(s.q, s.q) + 1) * K_P(s),)


def any_position(s):
    return ((1 - s.dot(s.q, s.q)) * K_P(s),)


CLAIM = Claim(
    id="M3",
    title="A bigram is the case in which every trigger chooses the same single position e",
    text=r"""
For a unit vector $e$ (one position), the laws of the SCB and of the bigram that copies position $e$ differ by

$$
E\lVert PXq^{(k)} - PXe\rVert^2 = \lVert q^{(k)} - e\rVert^2\, K_P .
$$ (eq-bigram)

So, for $K_P > 0$, the SCB is that bigram exactly when every $q^{(k)}$ equals $e$.
""",
    assumptions="every task; e a unit vector",
    scope="Proved for every $N$ and $T$.",
    nature="theorem",
    chapter="model",
    rests_on=("M1", "G1"),
    statement=statement,
    routes=(
        Route("symbolic", routes.ALL_SIZES, derived),
        routes.enumeration(by_enumeration),
        Route("exact", "the same for tasks whose every q is e, or all but one: zero exactly there", where_it_vanishes),
        sampler_route("squared distances between laws", by_sampling),
    ),
    controls=(
        Control("K_P without the −‖μ‖²", not_centred),
        Control("‖q‖² + ‖e‖², as if the two never chose the same position", never_the_same),
        Control("1 − ‖q‖², zero for any single position", any_position),
    ),
)
