r"""L5. Maximum likelihood on the support reaches the bound; the refit does not."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.derivations import limits_information as derivation
from scbtheory.training import Likelihood, Refit, rounded, train
from scbtheory.verification import quantities
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import worse
from scbtheory.verification.profiles import sized

# Runs and samples of each: the likelihood is to be told from least squares, a sixth above it.
FITS, SAMPLES = range(300, 1100), 50_000
RUNS, REFIT_SAMPLES, BATCH = range(300, 430), 200_000, 100
QUICK = ((3, 60, 2, 0.05),)  # N, T, s and the refit's step, which must vanish faster for a larger s
FULL = ((3, 60, 2, 0.05), (5, 60, 2, 0.05), (4, 60, 3, 0.0125))


def statement(s):
    """n times the error of maximum likelihood, and of the refit's average over the last two thirds, A's and V's."""
    bound, squares = s.bound, s.squares
    return bound, tuple(s.rational(3, 2) * x for x in squares)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    r"""The score's mean is 0 and its covariance the information, so that the likelihood's maximum has the bound.

    The refit's average: noise of an average of n' of n samples is n/n' times that of all, by two thirds 3/2.
    """
    bound, squares = derivation.bounds(True), derivation.least_squares(True)
    likelihood, refit = statement(SimpleNamespace(bound=bound, squares=squares, rational=sp.Rational))
    share, n = sp.symbols("share n", positive=True)
    factor = (n / (share * n)).subs(share, sp.Rational(2, 3))
    return {
        "entries of the score's mean": sum(x != 0 for x in derivation.score_mean()),
        "errors of the likelihood that differ": sum(
            sp.nsimplify(a - b) != 0 for a, b in zip(likelihood, bound, strict=True)
        ),
        "errors of the refit that differ": sum(
            sp.nsimplify(a - factor * b) != 0 for a, b in zip(refit, squares, strict=True)
        ),
    }


def settings():
    return sized(QUICK, FULL)


@cache
def errors(N, T, s, step):
    """n times the error of each last stage, A's and V's together: likelihood, refit with a small step, with a large."""
    task = scb.SCB.random(N, T, s, seed=0)
    start = rounded(np, scb.dynamics.lift(task, 0.9, 0.9))
    speed = {"eta_V": 1 / task.K_Q, "eta_A": 1 / task.K_P, "tolerance": 0.0}
    steps = round(REFIT_SAMPLES // BATCH * 0.05 / step)
    stages = (
        (Likelihood(SAMPLES, tolerance=0.0, max_steps=1), FITS),
        (Refit(BATCH, step_size=step, max_steps=steps, **speed), RUNS),
        (Refit(BATCH // 4, step_size=0.1, max_steps=4 * REFIT_SAMPLES // BATCH, **speed), RUNS[:40]),
    )
    return task, [np.array([_error(task, stage, start, seed) for seed in seeds]) for stage, seeds in stages]


def _error(task, stage, start, seed):
    history = train(task, (stage,), start=start, seed=seed, record=1e9)
    away = history.theta - scb.Parameters.truth(task)
    return history.samples[-1] * (task.inner(away.A, away.A) + task.inner(away.V, away.V))


def by_training(statement):
    """How many standard errors the mean error is from the stated one."""
    worst = {"likelihood, |z|": 0.0, "refit, |z|": 0.0}
    for setting in settings():
        task, (likelihood, small, _) = errors(*setting)
        bundle = SimpleNamespace(
            bound=scb.limits.cramer_rao(task, "known"),
            squares=scb.limits.least_squares_error(task, "known"),
            rational=lambda a, b: a / b,
        )
        for name, found, stated in zip(worst, (likelihood, small), statement(bundle), strict=True):
            spread = found.std(ddof=1) / len(found) ** 0.5
            worst[name] = worse(worst[name], abs(found.mean() - sum(stated)) / spread)
    return worst


def measured():
    """n times the sum of both errors over the bound."""
    for setting in settings():
        task, found = errors(*setting)
        bound = sum(scb.limits.cramer_rao(task, "known"))
        squares = sum(scb.limits.least_squares_error(task, "known")) / bound
        names = (
            ("maximum likelihood", "1", FITS), (f"refit, step {setting[3]:g}", f"{1.5 * squares:.2f}", RUNS),
            ("refit, step 0.1, a quarter of the batch", f"{1.5 * squares:.2f} as the step vanishes", RUNS[:40]),
        )  # fmt: skip
        for (name, stated, seeds), values in zip(names, found, strict=True):
            yield quantities.mean(
                f"N = {setting[0]}, s = {setting[2]}: n times the error over the Cramér–Rao bound, {name}",
                values / bound, seeds=f"{seeds[0]} to {seeds[-1]}", stated=stated,
            )  # fmt: skip


# --- controls ------------------------------------------------------------------------------------


def likelihood_as_squares(s):
    return tuple(s.squares), statement(s)[1]


def refit_at_the_bound(s):
    return s.bound, tuple(s.bound)


def whole_average(s):
    return s.bound, tuple(s.squares)


CLAIM = Claim(
    id="L5",
    title="Maximum likelihood reaches the limit of the last stage, the refit misses it by a known factor",
    text=r"""
With $\mu$ known and $\Sigma = U(U^\top\mathcal I\,U)^{-1}U^\top$ of {eq}`eq-cramer-rao`, as $n \to \infty$ for maximum
likelihood on the counts of (trigger, copied tokens, output), and for the refit's average over the last two thirds as
its step vanishes,

$$
\begin{aligned}
n\,E\big[\lVert\hat A-Q\rVert_\mu^2 + \lVert\hat V-P\rVert_\mu^2\big]_{\text{likelihood}}
&\to \operatorname{tr}\Xi\Sigma, \\
n\,E\big[\lVert\hat A-Q\rVert_\mu^2 + \lVert\hat V-P\rVert_\mu^2\big]_{\text{refit}}
&\to \tfrac32 \operatorname{tr}\Xi\,U\mathcal H^{-1}\mathcal M\mathcal H^{-1}U^\top .
\end{aligned}
$$ (eq-efficiency)
""",
    assumptions="the support is right; all entries of P positive; n large",
    scope="The likelihood's score has mean 0 and covariance $\\mathcal I$ for all laws of two tokens on two "
    "positions; that its maximum then reaches the bound, and averages their sandwich, are the classical limit "
    "theorems. Both are measured.",
    nature="asymptotic",
    chapter="limits",
    rests_on=("L4",),
    statement=statement,
    quantities=measured,
    routes=(
        Route("symbolic", "score and factor, N = 2, s = 2; errors at a rational point", derived),
        Route(
            "monte carlo",
            "800 fits of 50 000 samples, 130 refits of 200 000, N = 3, s = 2 (full: N = 5; s = 3)",
            by_training,
            3.0,
            blind="a tenth of the factor is two standard errors of 130 refits",
        ),
    ),
    controls=(
        Control("the likelihood no better than least squares", likelihood_as_squares),
        Control("the refit reaches the bound", refit_at_the_bound),
        Control("the refit averages everything", whole_average),
    ),
)
