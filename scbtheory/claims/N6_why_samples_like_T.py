r"""N6. Why stage 1 needs samples like T: the sign of the correlation is a test that uniform attention makes hard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from scipy.special import ndtr

import scbtheory as scb
from scbtheory.derivations import symbols as sym
from scbtheory.derivations import testing
from scbtheory.noise import _testing as numerics
from scbtheory.verification import routes
from scbtheory.verification.bundles import Matrices
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import Numbers, World, exact, gap, worse


@dataclass(frozen=True)
class SignTest:
    """Matrices, with the samples B and the affinity ρ of one; T is a number beside them."""

    matrices: Any
    T: Any
    B: Any
    rho: Any
    sqrt: Any

    def __getattr__(self, name):
        return getattr(self.matrices, name)


def statement(s):
    """J; one sample's 1 − ρ; the least error of B samples; the square of Φ's argument; the floor under N5's w."""
    return information(s), information(s) / (2 * s.T), least_error(s), s.B * information(s) / s.T, 1 / information(s)


def information(s: Matrices):
    change = s.P - s.mu @ s.one_N.T
    return s.tr(s.W @ change @ s.C @ change.T)


def least_error(s):
    return (1 - s.sqrt(1 - s.rho ** (2 * s.B))) / 2


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    """Word algebra for every N and T; the bound where it is attained: two outcomes with chances p and 1 − p."""
    p, B = sp.Rational(1, 3), sp.Symbol("B", positive=True)
    J, closeness, _, argument, floor = statement(SignTest(sym, testing.T, B, sp.Symbol("rho"), sp.sqrt))
    spread = testing.squared_fluctuation()

    def number(expr):
        return testing.scaled(sp.expand(expr))

    # Two outcomes: ρ² = 4p(1 − p) makes the bound the error p itself; and B samples of ρ are one of ρ^B.
    attained, *shared = (
        statement(SignTest(sym, testing.T, n, rho, sp.sqrt))[2]
        for n, rho in ((1, 2 * sp.sqrt(p * (1 - p))), (3, sp.Rational(4, 5)), (1, sp.Rational(4, 5) ** 3))
    )
    return {
        "terms of J": int(number(J) - sp.expand(testing.T * spread) != 0),
        "terms of 1 − ρ": int(sp.expand(number(closeness) - testing.affinity_coefficient() * spread) != 0),
        "bound where it is attained": int(sp.simplify(attained - p) != 0 or sp.simplify(shared[0] - shared[1]) != 0),
        "terms of Φ's argument": int(sp.expand(number(argument) - testing.separation_coefficient() * B * spread) != 0),
        "terms of w ≥ 1/J": int(sp.simplify(1 / floor - J) != 0) + int(testing.information_residual() != 0),
    }


@cache
def enumerated():
    """Tasks whose P₋ is a law too: (bundle, T E Σ x²/μ, both laws of every sample), in fractions."""
    found = []
    for N, T in ((2, 3), (2, 5), (3, 3)):
        worlds = (exact(N, T, seed=seed) for seed in range(37 * N + T, 10**6))
        world = next(w for w in worlds if gap(w.P, w.mu @ w.one_N.T))  # P' = 0 tells nothing
        mean = world.mu @ world.one_N.T
        lowest = ((mean - world.P) / mean).min()  # P₋ = 2μ1' − P must not be negative: shrink P' until it is not
        share = min(Fraction(1), Fraction(9, 10) / max(-lowest, ((world.P - mean) / mean).max()))
        P = mean + share * (world.P - mean)
        numbers = Numbers(P, world.Q, world.mu, world.A, world.V, world.B, world.M)
        spread, laws = Fraction(0), []
        for x, p in World(numbers).contexts:
            deviation = (P @ World(numbers).one_hot(x)).sum(axis=1) / T - numbers.mu[:, 0]
            spread += p * (deviation**2 / numbers.mu[:, 0]).sum()
            for m, d in zip(numbers.mu[:, 0], deviation, strict=True):
                laws.append((p * (m + d), p * (m - d)))
        found.append((SignTest(numbers, Fraction(T), None, None, math.sqrt), T * spread, laws))
    return found


def by_enumeration(statement):
    """J in fractions; the best test's error on one sample and on two, which the bound must not exceed."""
    worst = dict.fromkeys(("J", "1 − ρ, times 2T/J", "excess of the bound", "Φ's argument", "w's floor"), 0.0)
    for s, truth, laws in enumerated():
        rho = sum(math.sqrt(p * q) for p, q in laws)
        errors = float(sum(map(min, laws))) / 2, sum(min(p * r, q * t) for p, q in laws for r, t in laws) / 2
        for B, error in enumerate(errors, start=1):
            J, closeness, bound, argument, floor = statement(SignTest(s.matrices, s.T, B, rho, math.sqrt))
            worst["J"] = max(worst["J"], float(gap(J, truth)))
            worst["1 − ρ, times 2T/J"] = max(worst["1 − ρ, times 2T/J"], abs(float(closeness * 2 * s.T / truth) - 1))
            worst["excess of the bound"] = max(worst["excess of the bound"], bound - float(error))
            worst["Φ's argument"] = max(worst["Φ's argument"], abs(float(argument * s.T / (truth * B)) - 1))
            worst["w's floor"] = max(worst["w's floor"], abs(float(floor * truth) - 1))
    p, q = 0.3, 0.7  # two laws of two outcomes, each the other turned round: the best test errs as the bound says
    attained = statement(SignTest(s.matrices, s.T, 1, 2 * math.sqrt(p * q), math.sqrt))[2]
    return worst | {"bound where it is attained": abs(attained - p)}


PAIR = [[0.7, 0.2], [0.3, 0.8]]


@cache
def affinities():
    """T(1 − ρ) of exact enumeration extrapolated in 1/T, and tasks to compare with: N = 2 and N = 3."""
    found = []
    for P, lengths in ((np.array(PAIR), (400, 800, 1600)), (small_change(), (60, 120, 240))):
        values = []
        for T in lengths:
            task = scb.SCB(P, np.eye(T, len(P)))
            values.append(T * (1 - numerics.bhattacharyya(task)))
        a, b, c = values
        first, second = 2 * b - a, 2 * c - b
        found.append((task, (4 * second - first) / 3))  # errors are a series in 1/T
    return found


def small_change():
    P = scb.SCB.random(3, 5, 2, seed=3).P
    task = scb.SCB(P, np.eye(5, 3))
    return task.mu[:, None] + 0.4 * (P - task.mu[:, None])


def bundle(task, B=1.0, rho=0.5):
    theta = scb.Parameters.initial(task)
    zeros = np.zeros_like(theta.A)
    return SignTest(
        Numbers(task.P, task.Q, task.mu[:, None], theta.A, theta.V, zeros, theta.V),
        task.context_length, B, rho, math.sqrt,
    )  # fmt: skip


def by_affinity(statement):
    worst: dict[str, float] = {}

    def keep(name, value):
        worst[name] = worse(worst.get(name, 0.0), float(value))

    for task, limit in affinities():
        T = task.context_length
        rho = numerics.bhattacharyya(task)
        J, closeness, bound, argument, floor = statement(bundle(task, B=50.0, rho=rho))
        keep("T(1 − ρ) extrapolated, relative", abs(closeness * T / limit - 1))
        keep("the package's J, relative", abs(J / numerics.sign_information(task) - 1))
        keep("the package's bound, relative", abs(bound / numerics.sign_error_bound(rho, 50.0) - 1))
        keep("the package's Φ, relative", abs(ndtr(-math.sqrt(argument)) / numerics.sign_test_error(task, 50.0) - 1))
        keep("w's floor above w, relative", np.maximum(0.0, floor / scb.noise.sign_noise(task) - 1))
        keep("floor where N = 2 attains it, relative", abs(floor * limit * 2 - 1))
    return worst


RUNS, T_SAMPLED, B_SAMPLED = 40_000, 400, 400


@cache
def repeated():
    """Likelihood-ratio tests on B samples of P₊: how often each errs, and moments of √(p₋/p₊)."""
    task = scb.SCB(np.array(PAIR), np.eye(T_SAMPLED, 2))
    rng = np.random.Generator(np.random.Philox(71))
    mirrored = 2 * task.mu[:, None] - task.P
    wrong, roots, ratios = 0, [], []
    for _ in range(RUNS // 1000):
        ones = rng.binomial(T_SAMPLED, task.mu[1], size=(1000, B_SAMPLED)) / T_SAMPLED
        n = np.stack([1 - ones, ones])
        plus, minus = (np.tensordot(P, n, 1) for P in (task.P, mirrored))
        output = (rng.random(ones.shape) < plus[1]).astype(int)
        ratio = np.log(np.where(output, plus[1] / minus[1], plus[0] / minus[0]))
        total = ratio.sum(axis=1)
        wrong += int((total < 0).sum())
        roots.append(np.exp(-ratio / 2).mean())
        ratios.append(ratio.mean())
    return task, wrong, np.array(roots), np.array(ratios)


def by_sampling(statement):
    task, wrong, roots, ratios = repeated()
    error, blocks = wrong / RUNS, len(roots)
    spread = math.sqrt(error * (1 - error) / RUNS)
    J, closeness, bound, argument, floor = statement(bundle(task, B=float(B_SAMPLED), rho=numerics.bhattacharyya(task)))
    z = lambda values, stated: abs(values.mean() - stated) / (values.std(ddof=1) / math.sqrt(blocks))  # noqa: E731
    # The mean of the log-likelihood ratio is 2J/T to leading order: an estimate of J, and of the floor.
    return {
        "|z| of the test's error": abs(error - float(ndtr(-math.sqrt(argument)))) / spread,
        "|z| by which the bound exceeds it": max(0.0, (bound - error) / spread),
        "|z| of 1 − ρ": z(1 - roots, closeness),
        "|z| of J": z(ratios * T_SAMPLED / 2, J),
        "|z| of the floor": z(ratios * T_SAMPLED / 2, 1 / floor),
    }


# --- controls ------------------------------------------------------------------------------------


def unweighted(s):
    change = s.P - s.mu @ s.one_N.T
    return s.tr(change @ s.C @ change.T)


def without_inverse(s):
    J = unweighted(s)
    return J, J / (2 * s.T), least_error(s), s.B * J / s.T, 1 / J


CLAIM = Claim(
    id="N6",
    title="While attention is uniform, the sign of the correlation costs samples like T",
    text=r"""
With $A = \tfrac1T 11^\top$ a sample says to the value matrix only its trigger, the counts $n$ of its context and its
output, and $\Pr(x_o \mid n, k) = Pn/T$ for every $Q$. Telling $P = \mu1^\top + P'$ from $\mu1^\top - P'$ by $B$ such
samples errs with probability at least

$$
\tfrac12\left(1 - \sqrt{1 - \rho^{2B}}\right), \qquad 1 - \rho = \frac{J}{2T} + O(T^{-2}),
$$ (eq-sign-bound)

with $J = \mathrm{tr}(D^{-1}P'CP'^\top)$,

so that an error of at most $\delta$ needs $B \ge \tfrac TJ\log\tfrac1{4\delta(1-\delta)}$ to leading order. The
likelihood-ratio test errs with $\Phi(-\sqrt{BJ/T})$, and {claim}`N5`'s $w$ is at least $1/J$: their ratio $wJ$ is the
price of the gradient as a statistic.
""",
    assumptions="P₋ = μ1' − P' has no negative entry; attention is uniform until the sign is known: no "
    "statement about methods that look at positions (L2 does)",
    scope="The bound is proved for every $N$, $T$ and $B$ (Le Cam, through the affinity $\\rho$ of one sample), and "
    "so are $J$ and $w \\ge 1/J$; $1 - \\rho$ and the test's error are leading orders in $1/T$.",
    nature="asymptotic",
    chapter="sign_of_the_correlation",
    rests_on=("M1", "G1", "N5"),
    statement=statement,
    routes=(
        Route("symbolic", f"{routes.ALL_SIZES}: fluctuation by G1, series of affinity and log-likelihood", derived),
        Route(
            "exact",
            "every context in fractions, (N, T) = 2×3, 2×5, 3×3; the best test's error on one and two samples",
            by_enumeration,
            {
                "J": 0,
                "1 − ρ, times 2T/J": 1e-12,
                "excess of the bound": 1e-12,
                "bound where it is attained": 1e-12,
                "Φ's argument": 1e-12,
                "w's floor": 1e-12,
            },
        ),
        Route(
            "numeric",
            "every histogram at N = 2, T = 400 to 1600 and N = 3, T = 60 to 240, extrapolated; the package",
            by_affinity,
            {
                "T(1 − ρ) extrapolated, relative": 2e-4,
                "the package's J, relative": 1e-12,
                "the package's bound, relative": 1e-12,
                "the package's Φ, relative": 1e-12,
                "w's floor above w, relative": 1e-12,
                "floor where N = 2 attains it, relative": 2e-4,
            },
            margin=10.0,
        ),
        Route(
            "monte carlo",
            f"{RUNS:,} likelihood-ratio tests at T = B = 400, P = [[.7, .2], [.3, .8]]".replace(",", " ", 1),
            by_sampling,
            4.0,
            blind="an inequality: the test's error is above a bound that is a little larger, too",
        ),
    ),
    controls=(
        Control("J without D⁻¹", without_inverse),
        Control("1 − ρ of J/T, the half forgotten", routes.replaced(statement, 1, lambda s: information(s) / s.T)),
        Control("ρ^B for ρ^(2B)", routes.replaced(statement, 2, lambda s: (1 - s.sqrt(1 - s.rho**s.B)) / 2)),
        Control("Φ's argument with T²", routes.replaced(statement, 3, lambda s: s.B * information(s) / s.T**2)),
        Control("w at least 2/J", routes.replaced(statement, 4, lambda s: 2 / information(s))),
    ),
)
