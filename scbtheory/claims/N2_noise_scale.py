r"""N2. The noise scale of the value gradient: from T at the start to a constant in stage 2."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache, partial

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.claims._noise import (
    K_P_IN_FULL,
    ON_PLANE,
    Symbols,
    assembled,
    long_task,
    on_plane,
    sampled_norms,
    second_moment,
    terms,
    value_norm,
    weighted,
)
from scbtheory.derivations import noise, sums
from scbtheory.derivations import symbols as sym
from scbtheory.verification import routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import World, exact, gap, relative_gap, z_score


def statement(s):
    """At the start, centred and not; then in stage 2: the limit of the second moment given k, and the mean's square."""
    start = (1 - s.tr(s.mu.T @ s.mu)) / s.K_P
    limit = second_moment(s, plane_value(s), partial(power_sum, s))
    return start * (s.N - 1) * s.T, start * s.T**2, limit, signal(s) * s.K_P


def plane_value(s):
    mean = s.mu @ s.one_N.T
    return mean + s.beta * (s.P - mean)


def power_sum(s, i, j):
    r""":math:`p_{ij} \to \alpha^i h_{i+j}` as T grows."""
    return s.alpha**i * s.h(i + j)


def signal(s):
    return s.alpha**2 * (1 - s.alpha * s.beta) ** 2 * s.Q_norm**2


# --- routes --------------------------------------------------------------------------------------


@cache
def derivation():
    """Leading terms: second moments at the start, the second moment on the plane, and <mean, P'> there."""
    flat = sym.mu * sym.one_N.T
    start = [noise.on_plane(noise.value_second_moment(flat, centred=c)).subs(noise.alpha, 0) for c in (True, False)]
    moving, along = noise.value_second_moment(noise.PLANE), noise.mean_along_change(noise.PLANE)
    moving, along = (noise.leading(noise.on_plane(e), 0) for e in (moving, along))
    return noise.leading(start[0], 1), noise.leading(start[1], 0), moving, along


def derived(statement):
    centred, plain, limit, square = statement(Symbols())
    start, start_plain, moving, along = derivation()
    # At the start the mean is -P'/T, so the scale times K_P is T² times the second moment, less K_P.
    return {
        "terms at the start, centred": terms(sums.number(sp.cancel(centred * noise.K_P / sym.T)) - start),
        "terms at the start, not centred": terms(sums.number(sp.cancel(plain * noise.K_P / sym.T**2)) - start_plain),
        "terms of the second moment in stage 2": terms(sums.number(limit) - moving),
        "terms of the mean's square": terms(
            sp.expand(square.subs(noise.K_P, K_P_IN_FULL) * K_P_IN_FULL) - sp.expand(along**2)
        ),
    }


LENGTHS = (2, 3, 4, 5, 6)
STAGE_2 = Fraction(3, 4), Fraction(2, 3)


@cache
def growing(alpha, beta):
    """The same P and q at several T, on the plane: (bundle, centred and plain second moment, the mean's square)."""
    base, found = exact(2, 2, seed=2), []  # uneven frequencies: y and −y are not alike
    for T in LENGTHS:
        Q = np.concatenate([base.Q, np.full((T - 2, 2), Fraction(0))])
        s = on_plane(replace(base, Q=Q, A=Q, B=Q), alpha, beta)
        world, moments, mean = World(s.numbers), [Fraction(0)] * 2, 0
        for k in range(s.N):
            n = s.numbers.seen_from(k)
            for index, centred in enumerate((True, False)):
                moments[index] += n.mu_k * world.mean_given(k, partial(value_norm, n, centred=centred))
            residual = lambda X, output, n=n: (n.V @ X @ n.a - output) @ (X @ n.a - n.mu).T @ n.W  # noqa: E731
            mean = mean + n.mu_k * world.mean_given(k, residual)
        found.append((s, *moments, s.tr(mean @ s.D @ mean.T)))
    return found


def at_infinity(values):
    """Extrapolate values at 1/T for T in LENGTHS to 1/T = 0, exactly for polynomials of degree below five."""
    x = [Fraction(1, T) for T in LENGTHS]
    total = Fraction(0)
    for i, value in enumerate(values):
        weight = Fraction(1)
        for j, other in enumerate(x):
            weight *= other / (other - x[i]) if j != i else 1
        total += weight * value
    return total


def by_enumeration(statement):
    start, moving = growing(Fraction(0), Fraction(0)), growing(*STAGE_2)
    square = at_infinity([s.T**2 * square for s, _, _, square in start])
    s = start[-1][0]
    centred, plain = statement(s)[:2]
    later = moving[-1][0]
    return {
        "start, centred": gap(at_infinity([s.T * m for s, m, _, _ in start]) / square, centred / s.T),
        "start, not centred": gap(at_infinity([m for _, _, m, _ in start]) / square, plain / s.T**2),
        "second moment in stage 2": gap(at_infinity([m for _, m, _, _ in moving]), later.average(statement, 2)),
        "mean's square in stage 2": gap(at_infinity([square for *_, square in moving]), statement(later)[3]),
    }


def stage_2_scale(s, statement):
    return s.average(statement, 2) / statement(s)[3] - 1


def by_package(statement):
    start, moving = long_task(10**5, 0.0, 0.0), long_task(10**5, 0.75, 2 / 3)
    found = [scb.noise.noise_scale(start.task, start.theta, centred=c) for c in (True, False)]
    stated = statement(start.numbers)[:2]
    later = scb.noise.noise_scale(moving.task, moving.theta)
    return {
        "start, centred, relative": relative_gap(found[:1], stated[:1]),
        "start, not centred, relative": relative_gap(found[1:], stated[1:]),
        "stage 2, relative": relative_gap(later, stage_2_scale(moving.numbers, statement)),
    }


@cache
def samples():
    """Batch means of the noise scale at T = 4000: at the start, centred and not, and in stage 2."""
    found = []
    for alpha, beta, centred in ((0.0, 0.0, True), (0.0, 0.0, False), (0.75, 2 / 3, True)):
        instance = long_task(4000, alpha, beta)
        mean = scb.population.projected_gradient(instance.task, instance.theta).V
        signal = instance.task.inner(mean, mean)
        batches = (instance.task.sample(250, seed=41, step=i) for i in range(40))
        norms = [sampled_norms(instance.task, instance.theta, b, centred).mean() for b in batches]
        found.append((instance.numbers, [x / signal - 1 for x in norms]))
    return found


def by_sampling(statement):
    (s, centred), (_, plain), (later, moving) = samples()
    stated = statement(s)
    return {
        "|z| at the start, centred": z_score(centred, stated[0]),
        "|z| at the start, not centred": z_score(plain, stated[1]),
        "|z| in stage 2": z_score(moving, stage_2_scale(later, statement)),
    }


# --- controls ------------------------------------------------------------------------------------


def rank_N(s):
    def F(M, power, pairs):
        return weighted(s, M, power, pairs, (s.N + 2) * s.tr(M @ s.C))

    flat = 1 - s.tr(s.mu.T @ s.mu)
    limit = assembled(s, plane_value(s), partial(power_sum, s), F, s.N, flat)
    return flat / s.K_P * s.N * s.T, flat / s.K_P * s.T**2, limit, signal(s) * s.K_P


def T_without_centring(s):
    return (1 - s.tr(s.mu.T @ s.mu)) / s.K_P * s.T


def without_K_P(s):
    centred, plain, limit, _ = statement(s)
    return centred * s.K_P, plain * s.K_P, limit, signal(s)


def output_of_length_one(s):
    centred, plain, limit, square = statement(s)
    share = 1 - s.tr(s.mu.T @ s.mu)
    return centred / share, plain / share, limit, square


CLAIM = Claim(
    id="N2",
    title="The noise scale: from T at the start to a constant in stage 2",
    text=r"""
At the start, centred by $\mu$ and not centred,

$$
\begin{aligned}
B_{\text{noise}} &= \frac{(1-\lVert\mu\rVert^2)(N-1)}{K_P}\,T\,\big(1 + O(1/T)\big), \\
B_{\text{noise}} &= \frac{1-\lVert\mu\rVert^2}{K_P}\,T^2\,\big(1 + O(1/T)\big).
\end{aligned}
$$ (eq-noise-scale)

In stage 2, at fixed $\alpha \ne 0$ with $\alpha\beta \ne 1$, it tends to a finite limit as $T$ grows.
""",
    assumptions=f"start V = μ1', A = 11'/T; stage 2 {ON_PLANE} with α, β and the entries of Q fixed as T grows, "
    "α(1 − αβ) ≠ 0",
    scope="Proved for every $N$, to leading order in $1/T$, from {claim}`N1`'s exact expression.",
    nature="asymptotic",
    chapter="noise_scale",
    rests_on=("N1", "R1"),
    statement=statement,
    routes=(
        Route("symbolic", f"{routes.ALL_SIZES}: leading term in 1/T of N1's exact expression", derived),
        Route(
            "exact",
            "enumerated at N = 2, T = 2 to 6; extrapolated in fractions, as polynomials in 1/T of degree 3",
            by_enumeration,
        ),
        Route("numeric", "the package's noise scale at N = 3, T = 10⁵", by_package, limit=1e-4, margin=100.0),
        Route(
            "monte carlo",
            "squared norms of 10 000 single samples at N = 3, T = 4000",
            by_sampling,
            limit=4.0,
            blind="what a tenth of one term moves is below the noise of 10 000 samples",
        ),
    ),
    controls=(
        Control("N for N − 1", rank_N),
        Control("T for T² without centring", routes.replaced(statement, 1, T_without_centring)),
        Control("K_P dropped", without_K_P),
        Control("‖μ‖² dropped: an output of length one", output_of_length_one),
    ),
)
