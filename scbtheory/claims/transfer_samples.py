r"""Claims T3 and T4: what finetuning needs in samples, and the correlations that give no bypass."""

from __future__ import annotations

import math
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import sympy as sp
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.claims._scalars import bundle
from scbtheory.claims.transfer import ANY_HAT, CONSTANTS, THETA, arrival_slopes, with_two_equal
from scbtheory.derivations import transfer as sym
from scbtheory.verification.profiles import sized

# --- T3: batches ---------------------------------------------------------------------------------


def batch_statement(s, signal=lambda s: s.K_cross, competitors=lambda s: s.T, sign_scale=lambda s: s.T):
    r"""Chances that one step from :math:`\hat P` finds every support, and that the sign from scratch is right.

    From :math:`V = \mu1^\top + \hat P'`, a step's coordinate has, times :math:`B`, off the support the variance
    :math:`\sigma_k^2 = \mathrm{tr}(\Sigma_{\hat P}C)/\mu_k` (N3 at the start); on it the mean :math:`K_\times q_t` and
    the variance :math:`\sigma_k^2 + q_t\tau/\mu_k - (K_\times q_t)^2`, as the output tells of the token there, with
    :math:`\tau = \sum_m \mu_m[\langle v_m^2, p_m\rangle - 2\langle v_m, p_m\rangle\langle v_m, \mu\rangle]` and
    :math:`v_m, p_m` the columns of :math:`\hat P'` and P'. A support is found if all of it exceeds the largest of T
    others.
    """
    chance = 1.0
    for k, column in enumerate(s.weights):
        ratios = [signal(s) * q * math.sqrt(s.B * s.mu[k] / s.noise) for q in column]
        spreads = [math.sqrt(1 + (q * s.tau - s.mu[k] * (s.K_cross * q) ** 2) / s.noise) for q in column]
        chance *= _all_above(ratios, spreads, competitors(s))
    return chance, float(ndtr(math.sqrt(2 * s.scratch_B / (s.growth * s.w * sign_scale(s)))))


NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)
LEVELS, SHARES = 6.0 + 8.0 * NODES, 8.0 * WEIGHTS  # from -2 to 14: where the largest of many normal variables can be


def _all_above(means, spreads, competitors) -> float:
    """The chance that normal variables all exceed the largest of so many standard ones."""
    # The density of the largest of M is M φ(x) Φ(x)^(M - 1).
    log_density = math.log(competitors / math.sqrt(2 * math.pi)) - LEVELS**2 / 2 + (competitors - 1) * log_ndtr(LEVELS)
    above = np.prod([ndtr((m - LEVELS) / spread) for m, spread in zip(means, spreads, strict=True)], axis=0)
    return float(SHARES @ (np.exp(log_density) * above))


TASK = 23  # drawn for the first time, as the samples, after the limits below had been fixed
CHANCES = 0.6, 0.8  # at the batches that are tried: far enough from 0 and 1 for a frequency to say something


class Setting:
    """A task with a pretrained matrix, the batches that claim T3 gives for the chances above, and what it reads."""

    def __init__(self, N, T):
        Q = np.zeros((T, N))
        for k in range(N):
            Q[[3 * k, 3 * k + 2], k] = 0.6, 0.4
        self.task = scb.SCB(scb.SCB.random(N, T, 2, seed=TASK).P, Q)
        self.hat = scb.transfer.pretrained(self.task, 0.7 * self.task.K_P, seed=1)
        hat = scb.transfer.centred(self.task, self.hat)
        prime, C = self.task.P - self.task.mu[:, None], self.task.C
        D = np.diag(self.task.mu)
        self.K_hat, self.K_cross = scb.transfer.correlations(self.task, self.hat)
        self.mu, self.T = self.task.mu, T
        self.weights = [(0.6, 0.4)] * N
        self.noise = float(np.trace(hat @ D @ hat.T @ C))
        overlaps = (hat**2 * prime).sum(axis=0) - 2 * (hat * prime).sum(axis=0) * (self.task.mu @ hat)
        self.tau = float(overlaps @ self.task.mu)
        self.w = float(np.trace(C @ prime @ D @ prime.T)) / self.task.K_P**2
        self.growth = 0.1  # of a balanced step at η = 0.1
        self.B, self.scratch_B = (round(batch_needed(batch_statement, self, i, CHANCES[i])) for i in range(2))

    def found(self, repeats):
        """How often one batch from the pretrained start puts every support above everything else."""
        start, count = scb.transfer.start(self.task, self.hat), 0
        on = self.task.Q > 0
        for step in range(repeats):
            move = -scb.model.minibatch_gradient(
                self.task, start, self.task.sample(self.B, seed=141, step=step), projected=True
            ).A
            count += bool(np.all(np.where(on, move, np.inf).min(axis=0) > np.where(on, -np.inf, move).max(axis=0)))
        return count / repeats

    def right(self, repeats):
        """How often training from scratch with small batches has chosen the right branch."""
        steps = math.ceil(6 / self.growth)  # noise after so long is e⁻⁶ of what has grown
        stages = scb.training.projected_sgd(self.task, self.growth, batch_size=self.scratch_B)
        return np.mean([
            scb.training.train(
                self.task, stages, seed=seed, max_samples=steps * self.scratch_B, packed=True, record=1e9
            ).beta[-1] > 0
            for seed in range(2000, 2000 + repeats)
        ])  # fmt: skip


@cache
def _frequency(which, N, T, repeats):
    """``(setting, frequency)`` with which supports were found (``which`` 0) or signs were right (1)."""
    s = Setting(N, T)
    return s, (s.found, s.right)[which](repeats)


def _batches_sampled(statement, repeats, support, sign):
    """The largest |z| of observed frequencies against stated chances, with a tolerance for the leading order.

    ``support`` and ``sign`` list the sizes (N, T) at which either frequency is observed.
    """
    worst = 0.0
    for which, sizes in enumerate((support, sign)):
        for N, T in sizes:
            s, seen = _frequency(which, N, T, repeats)
            chance = statement(s)[which]
            spread = math.sqrt(max(chance * (1 - chance), 0.25 / repeats) / repeats + 0.03**2)
            worst = max(worst, abs(seen - chance) / spread)
    return worst


def batch_needed(statement, setting, index, level):
    """Return the batch at which a stated chance is ``level``: of all supports (index 0), of the sign (1)."""
    s = SimpleNamespace(**vars(setting))

    def excess(log_B):
        s.B = s.scratch_B = math.exp(log_B)
        return statement(s)[index] - level

    return math.exp(brentq(excess, math.log(1e-3), math.log(1e25), xtol=1e-6))


@cache
def _reference():
    return Setting(3, 50)


def _batches_growth(statement):
    """How far the batches' growth from T = 10⁵ to 10¹⁰ is from log T's factor 2, and from T's 10⁵, in logarithms."""

    def growth(index, level):
        ends = (SimpleNamespace(**vars(_reference()) | {"T": T}) for T in (1e5, 1e10))
        small, large = (batch_needed(statement, s, index, level) for s in ends)
        return math.log(large / small)

    return max(abs(growth(0, 0.5) - math.log(2)), abs(growth(1, 0.98) - math.log(1e5)))


register(
    Claim(
        "T3",
        "Finding the support needs a batch that grows like log T after pretraining, like T from scratch",
        r"B_{1/2} \propto \frac{\sigma_k^2\,2\log T}{(K_\times q_{\min})^2}\quad\text{against}\quad "
        r"\Pr(\text{right sign from scratch}) = \Phi\!\left(\sqrt{2B/(\eta\omega w T)}\right)",
        "one step from V = μ1' + P̂'; Gaussian noise, leading order in 1/T; for the sign, N5's κ below a tenth",
        batch_statement,
        (
            Route(
                "numeric", "batches needed at T = 10⁵ and 10¹⁰: factors 2 and 10⁵", _batches_growth,
                limit=0.35, margin=1.9, unit="difference of logarithms",
            ),
            Route(
                "monte carlo", "frequencies over 200 runs, N = 3, T = 200 and 1000 (full: 240 runs, to T = 100 000)",
                lambda statement: _batches_sampled(
                    statement,
                    *sized(
                        (200, ((3, 200), (3, 1000)), ((3, 1000),)),
                        (240, ((3, 200), (3, 5000), (3, 100_000)), ((3, 1000), (3, 5000))),
                    ),
                ),
                limit=3.5, margin=1.3, unit="largest |z|",
            ),
            Route(
                "monte carlo", "frequencies over 200 runs, N = 4, T = 400 and 3000 (full: 240 runs, to T = 8000)",
                lambda statement: _batches_sampled(
                    statement,
                    *sized((200, ((4, 400),), ((4, 3000),)), (240, ((4, 400), (4, 5000)), ((4, 4000), (4, 8000)))),
                ),
                limit=3.5, margin=1.3, unit="largest |z|",
            ),
        ),
        (
            Control("one competitor, not T", partial(batch_statement, competitors=lambda s: 1)),
            Control(
                "the batch after pretraining grows like T",
                partial(batch_statement, signal=lambda s: s.K_cross / math.sqrt(s.T)),
            ),
            Control("the sign from scratch does not depend on T", partial(batch_statement, sign_scale=lambda s: 1)),
            Control("T² for T in the sign from scratch", partial(batch_statement, sign_scale=lambda s: s.T**2)),
        ),
    )
)  # fmt: skip

# --- T4: no correlation, and a negative one ------------------------------------------------------


def control_statement(s, rate=None, sign=-1, product=1):
    r"""Growth rate at :math:`K_\times = 0`; sign of alpha and resting product at :math:`K_\times < 0`."""
    power = s.theta**2 * s.K_hat
    rate = rate or (lambda s: (s.sqrt(power**2 + 4 * s.K_P * s.K_Q) - power) / 2)
    return rate(s), sign, product


def _control_symbolic(statement):
    constants = {"K_P": sym.k_P, "K_Q": sym.k_Q, "K_hat": sym.k_hat}
    rate, sign, product = statement(bundle(sp, **constants, theta=sym.theta))
    pull = sym.start_velocity()[0].subs(sym.k_cross, -sp.Symbol("x", positive=True))
    return (
        (sp.simplify(rate - sym.growth_rate()) != 0)
        + (sp.sign(pull) != sign)
        + (sym.resting_product() != [product])
        + (not sym.field_is_derived())
    )


@cache
def _control_flows():
    """The slope of the time to α = ¼ at K_× = 0, and (alpha, αβ) late in a flow from K_× < 0."""
    slope, _ = arrival_slopes(0.0)
    alpha, beta, _ = scb.transfer.flow(t=[60.0], theta=THETA, K_cross=-0.1, T=10**4, **CONSTANTS)
    return slope, float(alpha[0]), float(alpha[0] * beta[0])


def _control_numeric(statement):
    slope, alpha, product = _control_flows()
    rate, sign, stated = statement(bundle(math, theta=THETA, **CONSTANTS))
    return max(abs(slope * rate - 1), abs(np.sign(alpha) - sign), abs(product - stated))


@cache
def _uncorrelated_growth():
    """The growth rate of alpha when all matrices descend from a start with K_× = 0, and the constants it depends on."""
    task = scb.SCB(scb.SCB.random(3, 20_000, 2, seed=5).P, with_two_equal(20_000))
    hat, step_size = scb.transfer.pretrained(task, 0.0, seed=1), 0.5
    path = scb.dynamics.matrix_descend(task, scb.transfer.start(task, hat), steps=100, step_size=step_size)
    alpha = np.array([scb.dynamics.reduce(task, theta).alpha for theta in path])
    rising = np.flatnonzero((alpha > 0.003) & (alpha < 0.05))
    slope = np.polyfit(rising, np.log(alpha[rising]), 1)[0]
    c = {"K_P": task.K_P, "K_Q": task.K_Q, "K_hat": scb.transfer.correlations(task, hat).K_hat}
    return c, np.expm1(slope) / step_size  # a step multiplies by 1 + η λ


@cache
def _negative_runs():
    """Sign of alpha and product of both coordinates, (8, 2), late in minibatch runs from K_× < 0."""
    task = scb.SCB(scb.SCB.random(3, 200, 2, seed=5).P, with_two_equal(200))
    stages = (scb.training.Descent(2048, 0.3, projected=True, max_steps=120),)
    start = scb.transfer.start(task, scb.transfer.pretrained(task, -0.3 * task.K_P, seed=1))
    ends = [scb.training.train(task, stages, seed=seed, start=start, record=1e9) for seed in range(8)]
    return np.array([(np.sign(run.alpha[-1]), run.alpha[-1] * run.beta[-1]) for run in ends])


def _control_sampled(statement):
    constants, growth = _uncorrelated_growth()
    rate, sign, product = statement(bundle(math, theta=1.0, **constants))
    signs, products = _negative_runs().T
    return max(abs(growth / rate - 1), float(np.mean(signs != sign)), abs(np.mean(products) - product))


register(
    Claim(
        "T4",
        "No correlation is no bypass, and a negative one is the wrong branch",
        r"K_\times = 0:\ \alpha \sim \tfrac1T e^{\lambda t},\ "
        r"\lambda = \tfrac12\left(\sqrt{\theta^4K_{\hat P}^2 + 4K_PK_Q} - \theta^2K_{\hat P}\right) < \omega;"
        r"\qquad K_\times < 0:\ \alpha < 0,\ \alpha\beta \to 1",
        ANY_HAT,
        control_statement,
        (
            Route("symbolic", "proof for all positive constants, from T1's field", _control_symbolic),
            Route(
                "numeric", "flows at T = 10³ … 10⁶: slope of the time to α = ¼, sign and product at t = 60",
                _control_numeric, limit=0.03, margin=3.0, unit="difference",
            ),
            Route(
                "monte carlo",
                "8 minibatch runs at N = 3, T = 200: signs, products; growth of all matrices at T = 20 000",
                _control_sampled, limit=0.12, margin=2.0, unit="difference",
            ),
        ),
        (
            Control(
                "growth at ω, as if P̂ did no harm", partial(control_statement, rate=lambda s: s.sqrt(s.K_P * s.K_Q))
            ),
            Control("the right branch from K_× < 0", partial(control_statement, sign=1)),
            Control("αβ to -1: one of the two keeps its sign", partial(control_statement, product=-1)),
        ),
    )
)  # fmt: skip
