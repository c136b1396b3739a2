"""T3. From a pretrained matrix the support needs a batch like log T; from scratch the sign needs one like T."""

from __future__ import annotations

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

import scbtheory as scb
from scbtheory.claims._tasks import task_on_two
from scbtheory.verification import quantities
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.profiles import sized

# From -2 to 14: where the largest of many normal variables can be.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)
LEVELS, SHARES = 6.0 + 8.0 * NODES, 8.0 * WEIGHTS
POSITIONS = (0.6, 0.4)
TASK = 23  # drawn for the first time, as the samples, after the limits below had been fixed
CHANCES = 0.6, 0.8  # at the batches that are tried: far enough from 0 and 1 for a frequency to say something


def statement(s):
    r"""Chances that one step from :math:`\hat P` finds every support, and that the sign from scratch is right.

    ``s`` is a :class:`Setting`.
    """
    return all_found(s, s.K_cross, s.T), right_sign(s, s.T)


def all_found(s, signal, competitors) -> float:
    r"""The chance that every support exceeds the largest of so many others.

    From :math:`V = \mu1^\top + \hat P'`, a step's coordinate has, times :math:`B`, off the support the variance
    :math:`\sigma_k^2 = \mathrm{tr}(\Sigma_{\hat P}C)/\mu_k` (N3 at the start); on it the mean :math:`K_\times q_t` and
    the variance :math:`\sigma_k^2 + q_t\tau/\mu_k - (K_\times q_t)^2`, as the output tells of the token there, with
    :math:`\tau = \sum_m \mu_m[\langle v_m^2, p_m\rangle - 2\langle v_m, p_m\rangle\langle v_m, \mu\rangle]` and
    :math:`v_m, p_m` the columns of :math:`\hat P'` and P'.
    """
    chance = 1.0
    for k, column in enumerate(s.weights):
        ratios = [signal * q * math.sqrt(s.B * s.mu[k] / s.noise) for q in column]
        spreads = [math.sqrt(1 + (q * s.tau - s.mu[k] * (s.K_cross * q) ** 2) / s.noise) for q in column]
        chance *= all_above(ratios, spreads, competitors)
    return chance


def all_above(means, spreads, competitors) -> float:
    """The chance that normal variables all exceed the largest of so many standard ones."""
    # The density of the largest of M is M φ(x) Φ(x)^(M - 1).
    log_density = math.log(competitors / math.sqrt(2 * math.pi)) - LEVELS**2 / 2 + (competitors - 1) * log_ndtr(LEVELS)
    above = np.prod([ndtr((m - LEVELS) / spread) for m, spread in zip(means, spreads, strict=True)], axis=0)
    return float(SHARES @ (np.exp(log_density) * above))


def right_sign(s, scale) -> float:
    """N5's chance, with ``scale`` in the place of T."""
    return float(ndtr(math.sqrt(2 * s.scratch_B / (s.growth * s.w * scale))))


# --- routes --------------------------------------------------------------------------------------


class Setting:
    """A task with a pretrained matrix, the batches that claim T3 gives for the chances above, and what it reads."""

    def __init__(self, N, T):
        self.task = task_on_two(N, T, TASK, POSITIONS)
        self.hat = scb.transfer.pretrained(self.task, 0.7 * self.task.K_P, seed=1)
        hat = scb.transfer.centred(self.task, self.hat)
        prime, C = self.task.P - self.task.mu[:, None], self.task.C
        D = np.diag(self.task.mu)
        self.K_hat, self.K_cross = scb.transfer.correlations(self.task, self.hat)
        self.mu, self.T = self.task.mu, T
        self.weights = [POSITIONS] * N
        self.noise = float(np.trace(hat @ D @ hat.T @ C))
        overlaps = (hat**2 * prime).sum(axis=0) - 2 * (hat * prime).sum(axis=0) * (self.task.mu @ hat)
        self.tau = float(overlaps @ self.task.mu)
        self.w = float(np.trace(C @ prime @ D @ prime.T)) / self.task.K_P**2
        self.growth = 0.1  # of a balanced step at η = 0.1
        self.B, self.scratch_B = (round(batch_needed(statement, self, i, CHANCES[i])) for i in range(2))

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
def frequency(which, N, T, repeats):
    """``(setting, frequency)`` with which supports were found (``which`` 0) or signs were right (1)."""
    s = Setting(N, T)
    return s, (s.found, s.right)[which](repeats)


def frequencies(statement, repeats, support, sign):
    """The largest |z| of observed frequencies against stated chances.

    ``support`` and ``sign`` list the sizes (N, T) at which either frequency is observed.
    """
    found = {}
    for which, (name, sizes) in enumerate((("supports found", support), ("right signs", sign))):
        scores = []
        for N, T in sizes:
            s, seen = frequency(which, N, T, repeats)
            chance = statement(s)[which]
            spread = math.sqrt(max(chance * (1 - chance), 0.25 / repeats) / repeats)
            scores.append(abs(seen - chance) / spread)
        found[f"largest |z| of {name}"] = max(scores)
    return found


def batch_needed(statement, setting, index, level):
    """Return the batch at which a stated chance is ``level``: of all supports (index 0), of the sign (1)."""
    s = SimpleNamespace(**vars(setting))

    def excess(log_B):
        s.B = s.scratch_B = math.exp(log_B)
        return statement(s)[index] - level

    return math.exp(brentq(excess, math.log(1e-3), math.log(1e25), xtol=1e-6))


@cache
def gaussian_frequency(T, repeats=40_000):
    """``(setting, frequency)`` of one step's supports if its coordinates were normal: drawn, their largest too."""
    s, random = Setting(3, T), np.random.default_rng(7)
    found = np.ones(repeats, dtype=bool)
    for k, mu_k in enumerate(s.mu):
        off = np.sqrt(s.noise / (mu_k * s.B)) * ndtri(random.random(repeats) ** (1 / (T - 2)))
        for q in s.weights[k]:
            variance = (s.noise + q * s.tau) / mu_k - (s.K_cross * q) ** 2
            found &= s.K_cross * q + np.sqrt(variance / s.B) * random.standard_normal(repeats) > off
    return s, found.mean(), repeats


def recursion(T, rate=1e-3):
    """``(setting, probability)`` of the right sign by summing drift and noise of the linear recursion, step by step."""
    s = SimpleNamespace(**vars(Setting(3, T)) | {"growth": rate})
    s.scratch_B *= rate / 0.1  # the same chance at the smaller step
    discount = (1 + rate) ** -np.arange(1.0, 20 / rate)
    mean = discount.sum() / T
    variance = (discount**2).sum() * s.w / (T * s.scratch_B)
    return s, float(ndtr(mean / math.sqrt(variance)))


def idealised(statement):
    """Against normal coordinates, drawn, at T = 10³ and 10⁶; and against the recursion of N5, summed."""
    scores, signs = [], []
    for T in (10**3, 10**6):
        s, seen, repeats = gaussian_frequency(T)
        chance = statement(s)[0]
        scores.append(abs(seen - chance) / math.sqrt(max(chance * (1 - chance), 0.25 / repeats) / repeats))
        s, right = recursion(T)
        signs.append(abs(statement(s)[1] - right))
    return {"largest |z| of supports found": max(scores), "probability of the sign": max(signs)}


QUICK, FULL = (
    (200, ((3, 200), (3, 1000)), ((3, 1000),)),
    (240, ((3, 200), (3, 5000), (3, 100_000)), ((3, 1000), (3, 5000))),
)
QUICK_LARGER, FULL_LARGER = (
    (200, ((4, 400),), ((4, 3000),)),
    (240, ((4, 400), (4, 5000)), ((4, 4000), (4, 8000))),
)


def short_contexts(statement):
    return frequencies(statement, *sized(QUICK, FULL))


def larger_vocabulary(statement):
    return frequencies(statement, *sized(QUICK_LARGER, FULL_LARGER))


def measured():
    """Frequencies beside stated chances."""
    for repeats, support, sign in (sized(QUICK, FULL), sized(QUICK_LARGER, FULL_LARGER)):
        for which, (name, seeds, lengths) in enumerate((
            ("all supports found", "steps 0 to {} of seed 141", support),
            ("right signs", "2000 to {}", sign),
        )):  # fmt: skip
            for N, T in lengths:
                s, seen = frequency(which, N, T, repeats)
                last = repeats - 1 + (2000 if which else 0)
                what = f"N = {N}, T = {T}, B = {(s.B, s.scratch_B)[which]}: {name}"
                yield quantities.frequency(
                    what, round(seen * repeats), repeats, seeds=seeds.format(last), stated=f"{statement(s)[which]:.3f}"
                )


too_few = "a tenth of these moves a chance of 0.8 by less than 200 runs tell"

# --- controls ------------------------------------------------------------------------------------


def one_competitor(s):
    return all_found(s, s.K_cross, 1), right_sign(s, s.T)


def batch_like_T(s):
    return all_found(s, s.K_cross / math.sqrt(s.T), s.T), right_sign(s, s.T)


def sign_without_T(s):
    return all_found(s, s.K_cross, s.T), right_sign(s, 1)


def sign_with_T_squared(s):
    return all_found(s, s.K_cross, s.T), right_sign(s, s.T**2)


CLAIM = Claim(
    id="T3",
    title="Finding the support needs a batch that grows like log T after pretraining, like T from scratch",
    text=r"""
From $V = \mu 1^\top + \hat P'$, the batch from which one step finds the support grows like $\log T$,

$$
B \propto \frac{\sigma_k^2\; 2\log T}{(K_\times\,q_{\min})^2}, \qquad
\sigma_k^2 = \operatorname{tr}(\Sigma_{\hat P}C)/\mu_k,
$$ (eq-transfer-batch)

with $\Sigma_{\hat P} = \hat P'D\hat P'^\top$; from scratch, that at which the sign is right grows like $T$,

$$
\Pr(\text{right sign}) = \Phi\!\left(\sqrt{\frac{2B}{\lambda w T}}\right),
$$ (eq-transfer-sign)

with {claim}`N5`'s growth a step $\lambda$, which is $\eta\omega$ for equal steps and $\eta$ for balanced ones.
""",
    assumptions="one step from V = μ1' + P̂'; Gaussian noise, leading order in 1/T; for the sign, N5's κ below a tenth",
    scope="For Gaussian noise, leading order in $1/T$; frequencies over many runs are compared with it, those of the "
    r"sign where {claim}`N5`'s $\kappa$ is below a tenth.",
    nature="asymptotic",
    chapter="transfer",
    rests_on=("N3", "N4", "N5"),
    experiment=True,
    statement=statement,
    quantities=measured,
    routes=(
        Route(
            "numeric",
            "normal coordinates, drawn 40 000 times at N = 3, T = 10³ and 10⁶; N5's recursion, summed",
            idealised,
            {"largest |z| of supports found": 3.0, "probability of the sign": 1e-3},
            blind="beside a thousand competitors a tenth of one is nothing",
        ),
        Route(
            "monte carlo",
            "frequencies over 200 runs, N = 3, T = 200 and 1000 (full: 240 runs, to T = 100 000)",
            short_contexts,
            limit=3.0,
            blind=too_few,
        ),
        Route(
            "monte carlo",
            "frequencies over 200 runs, N = 4, T = 400 and 3000 (full: 240 runs, to T = 8000)",
            larger_vocabulary,
            limit=3.0,
            blind=too_few,
        ),
    ),
    controls=(
        Control("one competitor, not T", one_competitor),
        Control("the batch after pretraining grows like T", batch_like_T),
        Control("the sign from scratch does not depend on T", sign_without_T),
        Control("T² for T in the sign from scratch", sign_with_T_squared),
    ),
)
