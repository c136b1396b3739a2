r"""N5. Minibatch noise decides the sign of the correlation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np
import sympy as sp
from scipy.special import ndtr, ndtri
from scipy.stats import binom

import scbtheory as scb
from scbtheory.claims._noise import K_P_IN_FULL, Sums, Symbols, on_plane, terms
from scbtheory.claims._reduction import descent_direction
from scbtheory.derivations import noise, sums
from scbtheory.verification import quantities as sizes
from scbtheory.verification import routes
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import floating, gap, relative_gap, worse

ETA = 0.1
# T, B, runs at N = 3; and at N = 2, with another P.
TRAINED, OTHER = ((200, 4, 1000), (200, 16, 300), (200, 64, 150), (100, 2, 3000)), ((400, 8, 300), (400, 32, 150))


def statement(s):
    """One sample's noise in β at the start, T times its limit, the square of Φ's argument, the added variance."""
    return quantities(s, weight(s, s.C) / s.K_P**2, s.T)


def weight(s, covariance):
    change = s.P - s.mu @ s.one_N.T
    return s.tr(covariance @ change @ s.D @ change.T)


def quantities(s, w, length):
    """All four from w, and from how many positions average a sample's noise."""
    noise_ = w / length + (skewness(s) / s.K_P**2 - 1) / s.T**2
    return noise_, w, 2 * s.batch * length / (s.rate * w * s.T**2), added(s)


def skewness(s):
    change = s.P - s.mu @ s.one_N.T
    return s.one_token(
        lambda y: (
            s.tr(y.T @ change.T @ s.diag(s.P @ y) @ change @ y)
            - 2 * s.tr(s.mu.T @ change @ y) * s.tr(y.T @ change.T @ s.P @ y)
        )
    )


def added(s):
    return s.N * (s.N - 1) * s.tr(s.C @ s.C) * s.rate**2 * s.T / (4 * s.K_P**2 * s.K_Q**2 * s.batch**2)


# --- routes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run(Sums):
    """Numbers with the batch size and the rate λ of a training run."""

    batch: object = None
    rate: object = None

    K_Q = property(lambda self: self.Q_norm - 1 / self.T)


def symbols():
    s = Symbols()
    s.batch, s.rate, s.K_Q = noise.batch, noise.rate, noise.K_Q
    return s


def in_full(expr):
    """Rid an expression of 1/K_P² and write K_P out."""
    return sums.number(sp.expand(sp.expand(expr * noise.K_P**2).subs(noise.K_P, sp.Symbol("full")))).subs(
        sp.Symbol("full"), K_P_IN_FULL
    )


@cache
def derivation():
    """One sample's noise and its limit; N5's ratio in small steps with w = 1; κ with η_Vη_A = λ²/(K_PK_Q)."""
    one, ratio = noise.sign_noise(), noise.sign_ratio().subs(noise.w, 1)
    _, rate = noise.unstable_direction()
    (step,) = sp.solve(rate**2 - noise.rate**2, noise.step_V)
    added = noise.added_variance().subs(noise.step_V, step)
    return one, noise.leading(one, 1), sp.limit(ratio * noise.rate, noise.rate, 0) / noise.rate, added


def derived(statement):
    noise_, w, ratio, extra = statement(symbols())
    one, limit, small_steps, found = derivation()
    product = (noise.K_P * noise.K_Q) ** 2
    return {
        "terms of one sample's noise": terms(in_full(noise_) - one),
        "terms of w": terms(in_full(w) - limit),
        # What the stated ratio has in place of w must be w.
        "terms of Φ's argument": terms(in_full(sp.expand(sp.cancel(small_steps / ratio))) - limit),
        "terms of κ": terms(sums.number(sp.expand(extra * product)) - sp.expand(found * product)),
    }


@cache
def enumerated():
    """Worlds at the start: (bundle, one sample's variance of the β-gradient by trigger, w, g, push) by enumeration."""
    found = []
    for world in routes.worlds():
        plane = on_plane(world.numbers, Fraction(0), Fraction(0))
        s = Run(plane.numbers, batch=Fraction(3), rate=Fraction(1, 20))
        change = s.P - s.mu @ s.one_N.T

        def sample(X, output, s=s, change=change):
            gradient = (s.V @ X @ s.a - output) @ (X @ s.a - s.mu).T @ s.W
            along = s.tr(gradient @ s.D @ change.T) / s.K_P
            return np.array([along, along**2, s.tr(gradient @ s.C @ gradient.T @ s.C)])

        given = [type(world)(s.numbers.seen_from(k)).mean_given(k, sample) for k in range(s.N)]
        # The leading terms are what an output independent of the context has: μ for its law.
        free = 0
        for x, p in world.contexts:
            X = world.one_hot(x)
            free = free + sum(p * s.mu[n, 0] * sample(X, s.I_N[:, [n]]) for n in range(s.N))
        variances = [second - first**2 for first, second, _ in given]
        found.append((s, variances, s.T * free[1], s.T * free[2], first_step(world, s)))
    return found


def first_step(world, s):
    """What the enumerated loss moves β by at the start, in units of the step; A must stay, and V on the plane."""
    change, flat = s.P - s.mu @ s.one_N.T, s.one_T @ s.one_N.T / s.T
    G_A, G_V = descent_direction(replace(world.numbers, A=flat, V=s.mu @ s.one_N.T), flat, s.mu @ s.one_N.T)
    push = -(G_V * change).sum() / (change * change).sum()
    if gap(G_A, 0) or gap(G_V, -push * change):
        raise ArithmeticError("the first step leaves the plane, or moves attention")
    return push


def geometric_limit(values):
    """The limit of a geometric approach from three of its values, exactly (Aitken)."""
    a, b, c = values
    return a - (b - a) ** 2 / (c - 2 * b + a)


def signal_to_noise(s, rate, w, push):
    """The recursion's squared mean over variance as n grows, by iterating it in fractions."""
    mean, variance, means, variances = Fraction(0), Fraction(0), [], []
    for n in range(1, 4):
        mean = (1 + rate) * mean + push
        variance = (1 + rate) ** 2 * variance + w / (s.T * s.batch)
        means.append(mean / (1 + rate) ** n)
        variances.append(variance / (1 + rate) ** (2 * n))
    return geometric_limit(means) ** 2 / geometric_limit(variances)


def by_enumeration(statement):
    found = {"one sample's noise": 0, "w": 0, "Φ's argument": 0, "κ": 0}
    for s, variances, w, g, push in enumerated():
        noise_, stated_w, ratio, extra = statement(s)
        first, second = (rate * signal_to_noise(s, rate, w, push) for rate in (Fraction(1, 10), Fraction(1, 20)))
        truth = s.N * s.T * g * s.rate**2 / (4 * (s.K_P * s.K_Q * s.batch) ** 2)
        here = (
            max(gap(v, noise_) for v in variances),
            gap(w, stated_w),
            gap(2 * second - first, ratio * s.rate),  # linear in the rate: its value at 0
            gap(truth, extra),
        )
        found = {name: worse(old, new) for (name, old), new in zip(found.items(), here, strict=True)}
    return found


def by_recursion(statement):
    """The package's functions, and the recursions of means and variances iterated at a small rate."""
    task, options = routes.medium().task, {"batch_size": 4.0, "step_size": 0.1}
    *_, rate = scb.noise.rates(task, 0.1)
    s = Run(floating(task, scb.Parameters.initial(task)), batch=4.0, rate=rate)
    found = [scb.noise.sign_noise(task, exact=True) / s.T, scb.noise.sign_noise(task)]
    found += [ndtri(scb.noise.sign_probability(task, **options)) ** 2, scb.noise.added_variance(task, **options)]
    names = ("the package's noise", "the package's w", "the package's Φ", "the package's κ")
    residuals = {
        f"{name}, relative": relative_gap([x], [y]) for name, x, y in zip(names, found, statement(s), strict=True)
    }

    rate = 1e-4
    _, _, ratio, extra = statement(replace(s, rate=rate))
    step = rate / np.sqrt(task.K_P * task.K_Q)
    n = np.arange(1, 200_001)
    discount = (1 + rate) ** -n.astype(float)
    truth = scb.noise.sign_noise(task)
    spread = float((task.C**2).sum())
    walk = (n - 1) * step**2 * (s.N - 1) * spread / (s.T * 4.0)  # tr(V'CV'ᵀC) before step n
    norm = 1 / s.T + np.concatenate([[0.0], np.cumsum(step**2 * s.N * s.T / 4.0 * walk)[:-1]])
    mean = (step / s.T * discount).sum()
    flat, full = ((step**2 * truth * a / 4.0 * discount**2).sum() for a in (1 / s.T, norm))
    return residuals | {
        "Φ's argument, iterated, relative": relative_gap([mean**2 / flat], [ratio]),
        "κ, iterated, relative": relative_gap([full / flat - 1], [extra]),
    }


@cache
def trained(settings=TRAINED, eta=ETA, seed=1, N=3, task_seed=0):
    """Repeated training from scratch: for each (T, B, runs) the bundle and how many runs found the right sign."""
    found = []
    for T, B, runs in settings:
        task = scb.SCB.random(N, T, 2, seed=task_seed)
        Y = scb.noise.train_signs(task, runs=runs, batch_size=B, step_size=eta, seed=seed).Y
        numbers = floating(task, scb.Parameters.initial(task))
        found.append((Run(numbers, batch=B, rate=scb.noise.rates(task, eta)[2]), int((Y > 0).sum()), runs))
    return found


def surprise(right, runs, probability) -> float:
    """The normal deviate of the smaller binomial tail: how surprising ``right`` of ``runs`` is; 0 if not at all."""
    if not 0 <= probability <= 1:
        return np.inf
    tail = min(binom.cdf(right, runs, probability), binom.sf(right - 1, runs, probability))
    return max(0.0, -float(ndtri(max(tail, 1e-300))))


@cache
def observed():
    """Every setting that was trained: N, T, B, and what :func:`trained` found."""
    first = [(3, T, B, run) for (T, B, _), run in zip(TRAINED, trained(), strict=True)]
    return first + [(2, T, B, run) for (T, B, _), run in zip(OTHER, trained(OTHER, N=2, task_seed=5), strict=True)]


def by_training(statement):
    found = {}
    for N, T, B, (s, right, runs) in observed():
        _, _, ratio, extra = statement(s)
        found[f"|z| at N = {N}, T = {T}, B = {B}"] = surprise(right, runs, float(ndtr((ratio / (1 + extra)) ** 0.5)))
    return found


def measured():
    """How often training found the right sign, beside the corrected probability."""
    for N, T, B, (s, right, runs) in observed():
        _, _, ratio, extra = statement(s)
        chance = float(ndtr((ratio / (1 + extra)) ** 0.5))
        yield sizes.frequency(
            f"right signs, N = {N}, T = {T}, B = {B}", right, runs, seeds="the stream of seed 1", stated=f"{chance:.4f}"
        )


# --- controls ------------------------------------------------------------------------------------


def w_unweighted(s):
    return quantities(s, weight(s, s.C), s.T)


def output_ignored(s):
    return quantities(s, weight(s, s.I_N) / s.K_P**2, s.T)


def summed_like_drift(s):
    noise_, w, ratio, extra = statement(s)
    return noise_, w, ratio / 2, extra


def not_averaged(s):
    return quantities(s, weight(s, s.C) / s.K_P**2, 1)


def attention_silent(s):
    noise_, w, ratio, extra = statement(s)
    return noise_, w, ratio, 0 * extra


CLAIM = Claim(
    id="N5",
    title="Minibatch noise decides the sign of the correlation",
    text=r"""
From scratch, with the growth a step $\lambda = \omega\sqrt{\eta_V\eta_A}$ (that is $\eta\omega$ for equal steps, and
$\eta$ for balanced ones), training ends with the right sign with probability

$$
\Pr(\text{right sign}) \to \Phi\left(\sqrt{\frac{2B}{\lambda w T}}\right), \qquad
w = \frac{\mathrm{tr}(C\Sigma_P)}{K_P^2}.
$$ (eq-sign)

Noise in the attention divides the argument by $\sqrt{1 + \kappa}$,

$$
\kappa = \frac{N(N-1)\,\mathrm{tr}(C^2)\,\eta_V\eta_A\,T}{4K_PK_Q\,B^2}.
$$ (eq-kappa)
""",
    assumptions="from scratch, G6; λ ≪ 1, T ≫ 1, Y small while its sign is decided, κ < 1, that is B ≫ η√T",
    scope="One sample's noise is proved for every $N$ and $T$; the probability is the limit of small steps and long "
    "contexts, $\\kappa$ its leading correction. Observed in training at $N = 3$, $T \\le 200$ and $N = 2$, $T = 400$.",
    nature="asymptotic",
    chapter="sign_of_the_correlation",
    rests_on=("G6", "R2", "N1"),
    statement=statement,
    quantities=measured,
    routes=(
        Route(
            "symbolic",
            f"{routes.ALL_SIZES}: one sample's noise, its limit, R2's field linearised and solved, κ to leading order",
            derived,
        ),
        Route(
            "exact",
            routes.ENUMERATED + "; the recursion, fed with the enumerated first step, in fractions",
            by_enumeration,
        ),
        Route(
            "numeric",
            "the package at N = 7, T = 60, and the recursions iterated at λ = 10⁻⁴",
            by_recursion,
            dict.fromkeys((f"the package's {name}, relative" for name in ("noise", "w", "Φ", "κ")), 1e-10)
            | dict.fromkeys(("Φ's argument, iterated, relative", "κ, iterated, relative"), 1e-3),
            margin=50.0,
        ),
        Route(
            "monte carlo",
            "training from scratch, η = 0.1, N = 3, (T, B, runs) = "
            + ", ".join(map(str, TRAINED))
            + "; N = 2 and another P, "
            + ", ".join(map(str, OTHER)),
            by_training,
            limit=3.0,
            blind="a tenth of Φ's argument squared, or of κ, moves the chances by less than the noise of so many runs",
        ),
    ),
    controls=(
        Control("w without K_P²", w_unweighted),
        Control("w without the covariance of the output", output_ignored),
        Control("noise summed as the drift is, to 1/λ for 1/(2λ)", summed_like_drift),
        Control("noise not averaged over T positions: T² for T", not_averaged),
        Control("noise in the attention ignored", attention_silent),
    ),
)
