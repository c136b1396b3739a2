r"""Claim N5: minibatch noise decides the sign of the correlation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial

import numpy as np
import sympy as sp
from scipy.special import ndtr, ndtri
from scipy.stats import binom

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.claims.noise import K_P_IN_FULL, Sums, Symbols, on_plane, terms
from scbtheory.derivations import noise, sums
from scbtheory.verification import routes
from scbtheory.verification.instances import floating, gap, relative_gap

ETA = 0.1
TRAINED = ((200, 4, 1000), (200, 16, 300), (200, 64, 150), (100, 2, 3000))  # T, B, runs


@dataclass(frozen=True)
class Training(Sums):
    """Numbers with the batch size and the rate λ of a training run."""

    batch: object = None
    rate: object = None

    K_Q = property(lambda self: self.Q_norm - 1 / self.T)


def symbols():
    s = Symbols()
    s.batch, s.rate, s.K_Q = noise.batch, noise.rate, noise.K_Q
    return s


def sign_statement(s, weight=True, token="C", sums_to=2, averaged=True, added=True):
    """One sample's noise in β at the start, T times its limit, the square of Φ's argument, the added variance."""
    change = s.P - s.mu @ s.one_N.T
    w = s.tr((getattr(s, token) if token else s.I_N) @ change @ s.D @ change.T) / (s.K_P**2 if weight else 1)
    skew = s.one_token(
        lambda y: (
            s.tr(y.T @ change.T @ s.diag(s.P @ y) @ change @ y)
            - 2 * s.tr(s.mu.T @ change @ y) * s.tr(y.T @ change.T @ s.P @ y)
        )
    )
    length = s.T if averaged else 1
    noise_ = w / length + (skew / s.K_P**2 - 1) / s.T**2
    ratio = sums_to * s.batch * length / (s.rate * w * s.T**2)
    extra = s.N * (s.N - 1) * s.tr(s.C @ s.C) * s.rate**2 * s.T / (4 * s.K_P**2 * s.K_Q**2 * s.batch**2)
    return noise_, w, ratio, extra * (1 if added else 0)


def _in_full(expr):
    """Rid an expression of 1/K_P² and write K_P out."""
    return sums.number(sp.expand(sp.expand(expr * noise.K_P**2).subs(noise.K_P, sp.Symbol("full")))).subs(
        sp.Symbol("full"), K_P_IN_FULL
    )


@cache
def _derived():
    """One sample's noise and its limit; N5's ratio in small steps with w = 1; κ with η_Vη_A = λ²/(K_PK_Q)."""
    one, ratio = noise.sign_noise(), noise.sign_ratio().subs(noise.w, 1)
    _, rate = noise.unstable_direction()
    (step,) = sp.solve(rate**2 - noise.rate**2, noise.step_V)
    added = noise.added_variance().subs(noise.step_V, step)
    return one, noise.leading(one, 1), sp.limit(ratio * noise.rate, noise.rate, 0) / noise.rate, added


def _sign_symbolic(statement):
    noise_, w, ratio, extra = statement(symbols())
    one, limit, small_steps, added = _derived()
    left = terms(_in_full(noise_) - one) + terms(_in_full(w) - limit)
    # What the stated ratio has in place of w must be w.
    left += terms(_in_full(sp.expand(sp.cancel(small_steps / ratio))) - limit)
    product = (noise.K_P * noise.K_Q) ** 2
    return left + terms(sums.number(sp.expand(extra * product)) - sp.expand(added * product))


@cache
def _enumerated():
    """Worlds at the start: (bundle, one sample's variance of the β-gradient by trigger, w, g) by enumeration."""
    found = []
    for world in routes.worlds():
        plane = on_plane(world.numbers, Fraction(0), Fraction(0))
        s = Training(plane.numbers, batch=Fraction(3), rate=Fraction(1, 20))
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
        found.append((s, [second - first**2 for first, second, _ in given], s.T * free[1], s.T * free[2]))
    return found


def _limit(values):
    """The limit of a geometric approach from three of its values, exactly (Aitken)."""
    a, b, c = values
    return a - (b - a) ** 2 / (c - 2 * b + a)


def _signal_to_noise(s, rate, w):
    """The recursion's squared mean over variance as n grows, by iterating it in fractions."""
    mean, variance, means, variances = Fraction(0), Fraction(0), [], []
    for n in range(1, 4):
        mean = (1 + rate) * mean + 1 / s.T
        variance = (1 + rate) ** 2 * variance + w / (s.T * s.batch)
        means.append(mean / (1 + rate) ** n)
        variances.append(variance / (1 + rate) ** (2 * n))
    return _limit(means) ** 2 / _limit(variances)


def _sign_exact(statement):
    worst = 0
    for s, variances, w, g in _enumerated():
        noise_, stated_w, ratio, extra = statement(s)
        worst = max(worst, *(gap(v, noise_) for v in variances), gap(w, stated_w))
        rates = Fraction(1, 10), Fraction(1, 20)
        first, second = (rate * _signal_to_noise(s, rate, w) for rate in rates)
        worst = max(worst, gap(2 * second - first, ratio * s.rate))  # linear in the rate: its value at 0
        truth = s.N * s.T * g * s.rate**2 / (4 * (s.K_P * s.K_Q * s.batch) ** 2)
        worst = max(worst, gap(truth, extra))
    return worst


def _sign_numeric(statement):
    """The package's functions, and the recursions of means and variances iterated at a small rate."""
    task, options = routes.medium().task, {"batch_size": 4.0, "step_size": 0.1}
    *_, rate = scb.noise.rates(task, 0.1)
    theta = scb.Parameters.initial(task)
    s = Training(floating(task, theta), batch=4.0, rate=rate)
    noise_, w, ratio, extra = statement(s)
    found = [scb.noise.sign_noise(task, exact=True) / s.T, scb.noise.sign_noise(task)]
    found += [ndtri(scb.noise.sign_probability(task, **options)) ** 2, scb.noise.added_variance(task, **options)]
    worst = max(relative_gap([x], [y]) for x, y in zip(found, (noise_, w, ratio, extra), strict=True))

    rate = 1e-4
    noise_, w, ratio, extra = statement(replace(s, rate=rate))
    step = rate / np.sqrt(task.K_P * task.K_Q)
    n = np.arange(1, 200_001)
    discount = (1 + rate) ** -n.astype(float)
    truth = scb.noise.sign_noise(task)
    spread = float((task.C**2).sum())
    walk = (n - 1) * step**2 * (s.N - 1) * spread / (s.T * 4.0)  # tr(V'CV'ᵀC) before step n
    norm = 1 / s.T + np.concatenate([[0.0], np.cumsum(step**2 * s.N * s.T / 4.0 * walk)[:-1]])
    mean = (step / s.T * discount).sum()
    flat, full = ((step**2 * truth * a / 4.0 * discount**2).sum() for a in (1 / s.T, norm))
    worst = max(worst, relative_gap([mean**2 / flat], [ratio]))
    return max(worst, relative_gap([full / flat - 1], [extra]))


@cache
def trained(settings=TRAINED, eta=ETA, seed=1):
    """Repeated training from scratch: for each (T, B, runs) the bundle and how many runs found the right sign."""
    found = []
    for T, B, runs in settings:
        task = scb.SCB.random(3, T, 2, seed=0)
        Y = scb.noise.train_signs(task, runs=runs, batch_size=B, step_size=eta, seed=seed)
        numbers = floating(task, scb.Parameters.initial(task))
        found.append((Training(numbers, batch=B, rate=scb.noise.rates(task, eta)[2]), int((Y > 0).sum()), runs))
    return found


def surprise(right, runs, probability) -> float:
    """The normal deviate of the smaller binomial tail: how surprising ``right`` of ``runs`` is; 0 if not at all."""
    if not 0 <= probability <= 1:
        return np.inf
    tail = min(binom.cdf(right, runs, probability), binom.sf(right - 1, runs, probability))
    return max(0.0, -float(ndtri(max(tail, 1e-300))))


def _sign_sampled(statement, settings=TRAINED):
    worst = 0.0
    for s, right, runs in trained(settings):
        _, _, ratio, extra = statement(s)
        worst = max(worst, surprise(right, runs, float(ndtr((ratio / (1 + extra)) ** 0.5))))
    return worst


register(
    Claim(
        "N5",
        "Minibatch noise decides the sign of the correlation",
        r"\Pr(\text{right sign}) \to \Phi\left(\sqrt{\frac{2B}{\lambda w T}}\right),"
        r"\quad w = \frac{\mathrm{tr}(C\Sigma_P)}{K_P^2},\quad"
        r"\lambda = \omega\sqrt{\eta_V\eta_A} = \eta\omega \text{ for equal steps};\qquad"
        r"\text{noise in the attention divides the argument by } \sqrt{1+\kappa},\ "
        r"\kappa = \frac{N(N-1)\,\mathrm{tr}(C^2)\,\eta_V\eta_A T}{4K_PK_QB^2}",
        "from scratch, G6; λ ≪ 1, T ≫ 1, Y small while its sign is decided, κ < 1, that is B ≫ η√T",
        sign_statement,
        (
            Route(
                "symbolic",
                f"{routes.ALL_SIZES}: one sample's noise, its limit, the recursion solved, κ to leading order",
                _sign_symbolic,
            ),
            Route(
                "exact",
                routes.ENUMERATED + "; the recursion iterated in fractions",
                _sign_exact,
                unit="difference",
            ),
            Route(
                "numeric",
                "the package at N = 7, T = 60, and the recursions iterated at λ = 10⁻⁴",
                _sign_numeric,
                limit=1e-3,
                margin=50.0,
                unit="relative difference",
            ),
            Route(
                "monte carlo",
                "training from scratch, N = 3, η = 0.1, (T, B, runs) = " + ", ".join(map(str, TRAINED)),
                _sign_sampled,
                limit=3.0,
                unit="largest binomial |z|",
            ),
        ),
        (
            Control("w without K_P²", partial(sign_statement, weight=False)),
            Control("w without the covariance of the output", partial(sign_statement, token=None)),
            Control("noise summed as the drift is, to 1/λ for 1/(2λ)", partial(sign_statement, sums_to=1)),
            Control("noise not averaged over T positions: T² for T", partial(sign_statement, averaged=False)),
            Control("noise in the attention ignored", partial(sign_statement, added=False)),
        ),
    )
)
