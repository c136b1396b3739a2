r"""N1. The second moment of one sample's value gradient, exactly, for every T."""

from __future__ import annotations

from functools import cache, partial

import scbtheory as scb
from scbtheory.claims._noise import (
    Sums,
    Symbols,
    assembled,
    sampled_norms,
    second_moments,
    terms,
    value_norm,
    weighted,
    with_plain,
)
from scbtheory.derivations import noise, sums
from scbtheory.verification import routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import gap, relative_gap, worse, z_score


def statement(s):
    """Given the trigger: centred, then without centring. Per-trigger statements are averaged over triggers outside."""
    return second_moments(s, s.V, s.p)


# --- routes --------------------------------------------------------------------------------------


@cache
def derivation():
    """The second moment, centred and not, and how many of the facts about cumulants that it rests on fail."""
    unproven = sum(sums.cumulant_of_sums(x) != sums.stated_cumulant(x) for x in ("aa", "aq", "aaq", "aaaa", "aaaq"))
    unproven += sum(not sums.moment_of_sums(n) for n in (2, 3, 4))
    return noise.value_second_moment(), noise.value_second_moment(centred=False), unproven


def derived(statement):
    centred, plain = statement(Symbols())
    found, found_plain, unproven = derivation()
    return {
        "terms, centred": terms(sums.number(centred) - found),
        "terms, not centred": terms(sums.number(plain) - found_plain),
        "facts about cumulants that fail": unproven,
    }


@cache
def enumerated_norms():
    """For each world and trigger: the mean of the squared norm, centred and not."""
    return [
        [
            [w.mean_given(k, partial(value_norm, w.numbers.seen_from(k), centred=c)) for c in (True, False)]
            for k in range(w.numbers.N)
        ]
        for w in routes.worlds(admissible=True)
    ]


def by_enumeration(statement):
    found = {"centred": 0, "not centred": 0}
    for w, norms in zip(routes.worlds(admissible=True), enumerated_norms(), strict=True):
        for k in range(w.numbers.N):
            stated = statement(Sums(w.numbers).seen_from(k))
            for name, x, y in zip(found, norms[k], stated, strict=True):
                found[name] = worse(found[name], gap(x, y))
    return found


def by_package(statement):
    instance, found = routes.medium(admissible=True), {}
    s = Sums(instance.numbers)
    for index, name in enumerate(("centred", "not centred")):
        moment = partial(scb.noise.value_gradient_second_moment, instance.task, instance.theta, centred=index == 0)
        stated = [statement(s.seen_from(k))[index] for k in range(s.N)]
        found[f"{name}, by trigger, relative"] = relative_gap(moment(by_trigger=True), stated)
        found[f"{name}, relative"] = relative_gap(moment(), s.average(statement, index))
    return found


@cache
def samples():
    instance, batches = routes.sampled(admissible=True)
    return instance, [
        [sampled_norms(instance.task, instance.theta, b, c).mean() for c in (True, False)] for b in batches
    ]


def by_sampling(statement):
    instance, found = samples()
    s, columns = Sums(instance.numbers), list(zip(*found, strict=True))
    return {
        f"|z|, {name}": z_score(columns[index], s.average(statement, index))
        for index, name in enumerate(("centred", "not centred"))
    }


# --- controls ------------------------------------------------------------------------------------


def flat(s):
    return 1 - s.tr(s.mu.T @ s.mu)


def gaussian(s):
    return both(s, lambda M, power, pairs: pairs * (s.N + 1) * s.tr(M @ s.C), s.N - 1)


def both(s, F, rank):
    """Both second moments from other sums of fourth order and another tr(WC)."""
    return with_plain(s, s.V, s.p, assembled(s, s.V, s.p, F, rank, flat(s)))


def two_pairings(s):
    def F(M, power, pairs):
        return weighted(s, M, power, pairs, s.N * s.tr(M @ s.C))

    return both(s, F, s.N - 1)


def crossed_with_itself(s):
    def p(i, j):
        return s.p(2, 0) if (i, j) == (1, 1) else s.p(i, j)

    centred, plain = second_moments(s, s.V, p)
    return centred, plain - 2 * (s.p(1, 1) - s.p(2, 0)) * s.tr(s.V.T @ s.P @ s.C)


def not_centred_tokens(s):
    def F(M, power, pairs):
        return weighted(s, M, power, pairs, (s.N + 2) * s.tr(M @ s.C))

    return both(s, F, s.N)


CLAIM = Claim(
    id="N1",
    title="The second moment of the value gradient",
    text=r"""
With $W = D^{-1}$, $y$ one centred one-hot token and the power sums $p_{ij} = \sum_t a_t^i q_t^j$,

$$
\begin{aligned}
E\big[\lVert\hat G_V\rVert_\mu^2 \mid k\big] &= (1-\lVert\mu\rVert^2)(N-1)\, p_{20} \\
&\quad - 2p_{21}\, E_y[(\mu^\top Py)(y^\top Wy)] \\
&\quad + F(V^\top V, p_{40}, p_{20}^2) - 2F(V^\top P, p_{31}, p_{20}p_{11}), \\
F(M, p, \pi) &= p\,\big(E_y[(y^\top My)(y^\top Wy)] - g\big) + \pi g, \\
g &= (N+1)\,\mathrm{tr}(MC).
\end{aligned}
$$ (eq-second-moment)
""",
    assumptions=routes.ON_SET,
    scope="Proved for every $N$ and $T$: joint cumulants of sums over positions are power sums times cumulants of one "
    "token, and $CWC = C$, $\\mathrm{tr}(WC) = N - 1$. Averages over one token stay as they are.",
    nature="theorem",
    chapter="noise_scale",
    rests_on=("G1", "G6"),
    statement=statement,
    routes=(
        Route(
            "symbolic",
            f"{routes.ALL_SIZES}: sums over positions by their cumulants; averages over one token stay open",
            derived,
        ),
        Route("exact", routes.ENUMERATED, by_enumeration),
        routes.numeric("the package's second moment at N = 7, T = 60", by_package),
        routes.monte_carlo(
            "squared norms of single samples",
            by_sampling,
            blind="terms of which a tenth is below the noise of 200 000 samples",
        ),
    ),
    controls=(
        Control("the fourth cumulant dropped: ζ taken as Gaussian", gaussian),
        Control("one of the three pairings forgotten", two_pairings),
        Control("⟨a,a⟩ for ⟨a,q⟩ in the cross term", crossed_with_itself),
        Control("tr(WC) = N: tokens not centred", not_centred_tokens),
    ),
)
