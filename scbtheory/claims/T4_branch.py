"""T4. Without correlation there is no bypass; which branch finetuning takes is decided at a threshold below zero."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.claims._scalars import bundle
from scbtheory.claims._tasks import task_on_two
from scbtheory.claims._transfer import ANY_HAT, CONSTANTS, THETA, arrival_slopes
from scbtheory.derivations import transfer as sym
from scbtheory.verification import routes
from scbtheory.verification.bundles import Finetuning
from scbtheory.verification.claim import Claim, Control, Route

LATE = 200.0  # by then even a start beside the threshold has come to rest
SEEDS, STEP = range(8), 0.3
BELOW_ZERO = (-0.001, -0.01)  # correlations on both sides of the threshold at T = 200, tried with samples


def statement(s: Finetuning):
    r"""The growth rate at the saddle, the :math:`K_\times` below which alpha turns negative, alpha beta at rest."""
    return rate(s), threshold(s), 1


def rate(s: Finetuning):
    power = s.theta**2 * s.K_hat
    return (s.sqrt(power**2 + 4 * s.K_P * s.K_Q) - power) / 2


def threshold(s: Finetuning):
    return -s.K_P / (rate(s) * s.theta * s.T)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    constants = {"K_P": sym.k_P, "K_Q": sym.k_Q, "K_hat": sym.k_hat}
    growth, branch, product = statement(bundle(sp, **constants, theta=sym.theta, T=sym.T))
    return {
        "wrong growth rate": sp.simplify(growth - sym.growth_rate()) != 0,
        "wrong threshold": sp.simplify(branch - sym.branch_threshold()) != 0,
        "wrong product at rest": sym.resting_product() != [product],
        "terms of T1's field": not sym.field_is_derived(),
    }


def bisected(ending, low: float, high: float, halvings: int):
    r"""The :math:`K_\times` at which alpha's last sign turns, and alpha beta next above it and next below.

    ``ending(K_cross)`` gives the last (alpha, beta); the turn is between ``low`` and ``high``.
    """
    products = {}
    for side, K_cross, sign in (("wrong", low, -1), ("right", high, 1)):
        alpha, beta = ending(K_cross)
        if np.sign(alpha) != sign:
            raise ArithmeticError(f"alpha is {alpha:.3g} at K_cross = {K_cross:.3g}; expected the {side} branch")
        products[side] = alpha * beta
    for _ in range(halvings):
        middle = (low + high) / 2
        alpha, beta = ending(middle)
        side = "right" if alpha > 0 else "wrong"
        low, high = (low, middle) if side == "right" else (middle, high)
        products[side] = alpha * beta
    return (low + high) / 2, products["right"], products["wrong"]


@cache
def flow_ends():
    """What a unit of log T adds to the time to α = ¼ at K_× = 0; the flow's threshold and products at T = 10⁴."""

    def ending(K_cross):
        alpha, beta, _ = scb.transfer.flow(t=[LATE], theta=THETA, K_cross=K_cross, T=10**4, **CONSTANTS)
        return float(alpha[0]), float(beta[0])

    return arrival_slopes(0.0)[0], *bisected(ending, -1e-3, 1e-3, halvings=17)


def flows(statement):
    slope, turn, right, wrong = flow_ends()
    growth, branch, product = statement(bundle(math, theta=THETA, T=10**4, **CONSTANTS))
    return {
        "relative difference of the growth rate": abs(slope * growth - 1),
        "relative difference of the threshold": abs(branch / turn - 1),
        "difference of αβ at rest on the right branch": abs(right - product),
        "difference of αβ at rest on the wrong branch": abs(wrong - product),
    }


@cache
def uncorrelated_growth():
    """The growth rate of alpha when all matrices descend from a start with K_× = 0, and the constants it depends on."""
    task = task_on_two(3, 20_000, seed=5)
    hat, step_size = scb.transfer.pretrained(task, 0.0, seed=1), 0.5
    path = scb.dynamics.matrix_descend(task, scb.transfer.start(task, hat), steps=100, step_size=step_size)
    alpha = np.array([scb.dynamics.reduce(task, theta).alpha for theta in path])
    rising = np.flatnonzero((alpha > 0.003) & (alpha < 0.05))
    slope = np.polyfit(rising, np.log(alpha[rising]), 1)[0]
    return constants(task, hat, 1.0), np.expm1(slope) / step_size  # a step multiplies by 1 + η λ


def constants(task, hat, theta):
    K_hat = scb.transfer.correlations(task, hat).K_hat
    return bundle(math, K_P=task.K_P, K_Q=task.K_Q, K_hat=K_hat, T=task.context_length, theta=theta)


@cache
def matrix_turn():
    """The threshold of all matrices at N = 3, T = 200, and the constants there."""
    task = short_task()

    def ending(K_cross):
        start = scb.transfer.start(task, scb.transfer.pretrained(task, K_cross, seed=1), THETA)
        *_, last = scb.dynamics.matrix_flow(task, start, np.array([0.0, LATE]))
        coordinates = scb.dynamics.reduce(task, last)
        return coordinates.alpha, coordinates.beta

    turn, *_ = bisected(ending, -0.02, 0.0, halvings=9)
    return constants(task, scb.transfer.pretrained(task, turn, seed=1), THETA), turn


@cache
def short_task():
    return task_on_two(3, 200, seed=5)


@cache
def sampled_ends():
    """Signs of alpha, and products of both coordinates, late in minibatch runs from two K_× < 0: (2, 8) each."""
    task, ends = short_task(), []
    stages = (scb.training.Descent(2048, STEP, projected=True, max_steps=160),)
    for K_cross in BELOW_ZERO:
        start = scb.transfer.start(task, scb.transfer.pretrained(task, K_cross, seed=1))
        runs = [scb.training.train(task, stages, seed=seed, start=start, record=1e9) for seed in SEEDS]
        ends.append([(np.sign(run.alpha[-1]), run.alpha[-1] * run.beta[-1]) for run in runs])
    return tuple(np.moveaxis(np.array(ends), 2, 0))


def matrices(statement):
    at_zero, growth = uncorrelated_growth()
    at_turn, turn = matrix_turn()
    signs, products = sampled_ends()
    task = short_task()
    wrong_sides = []
    for K_cross, found in zip(BELOW_ZERO, signs, strict=True):
        stated = statement(constants(task, scb.transfer.pretrained(task, K_cross, seed=1), 1.0))[1]
        wrong_sides.append(np.mean(found != (1 if K_cross > stated else -1)))
    return {
        "relative difference of the growth rate": abs(growth / statement(at_zero)[0] - 1),
        "relative difference of the threshold": abs(statement(at_turn)[1] / turn - 1),
        "share of runs on the wrong side": max(wrong_sides),
        "difference of αβ at rest": np.max(np.abs(products.mean(axis=1) - statement(at_zero)[2])),
    }


# --- controls ------------------------------------------------------------------------------------


def harmless(s: Finetuning):
    growth = s.sqrt(s.K_P * s.K_Q)
    return growth, -s.K_P / (growth * s.theta * s.T), 1


def no_threshold(s: Finetuning):
    return routes.replaced(statement, 1, lambda s: 0 * s.theta)(s)


def turned(s: Finetuning):
    return routes.replaced(statement, 1, lambda s: -threshold(s))(s)


def T_squared(s: Finetuning):
    return routes.replaced(statement, 1, lambda s: threshold(s) / s.T)(s)


def without_theta(s: Finetuning):
    return routes.replaced(statement, 1, lambda s: threshold(s) * s.theta)(s)


def right_eigenvector(s: Finetuning):
    return routes.replaced(statement, 1, lambda s: threshold(s) * s.K_Q / s.K_P)(s)


def one_sign_kept(s: Finetuning):
    return routes.replaced(statement, 2, lambda s: -1)(s)


CLAIM = Claim(
    id="T4",
    title="No correlation is no bypass, and one below a threshold of order -1/T is the wrong branch",
    text=r"""
For $K_\times = 0$, $\alpha$ grows from $1/T$ at the rate

$$
\lambda = \tfrac12\left(\sqrt{\theta^4K_{\hat P}^2 + 4K_PK_Q} - \theta^2K_{\hat P}\right) < \omega,
$$ (eq-no-bypass)

slower than from scratch. The branch, the sign of $\alpha$, is to leading order in $1/T$ the sign of
$\theta K_\times + K_P/(\lambda T)$: for $\theta > 0$ training takes the wrong one, $\alpha < 0$, if and only if

$$
K_\times < -\frac{K_P}{\lambda\,\theta\,T},
$$ (eq-branch-threshold)

and not for every $K_\times < 0$. On either branch $\alpha\beta \to 1$.
""",
    assumptions=f"{ANY_HAT}; K_P̂ > 0 and θ > 0; T large",
    scope="Derived for all positive constants: the rate at infinite $T$, and the threshold at leading order in $1/T$, "
    r"by the left eigenvector $(1, K_P/\lambda)$ of the saddle beside the start, with $\gamma$ held at $\theta$. That "
    r"once $\gamma = 0$ the only rest is at $\alpha\beta = 1$ is proved; that training arrives there is measured.",
    nature="asymptotic",
    chapter="transfer",
    rests_on=("T1",),
    statement=statement,
    routes=(
        Route("symbolic", "proof for all positive constants, leading order in 1/T, from T1's field", derived),
        Route(
            "numeric",
            "flows: slope of the time to α = ¼ over T = 10³ … 10⁶; at T = 10⁴ the K_× at which the branch turns, and "
            "αβ at t = 200 on both sides of it",
            flows,
            {
                "relative difference of the growth rate": 0.03,
                "relative difference of the threshold": 0.001,
                "difference of αβ at rest on the right branch": 0.03,
                "difference of αβ at rest on the wrong branch": 0.03,
            },
            margin=3.0,
        ),
        Route(
            "monte carlo",
            "all matrices, N = 3: growth at T = 20 000, at T = 200 the K_× at which the branch turns, and 8 minibatch "
            "runs on either side of it: signs and products",
            matrices,
            {
                "relative difference of the growth rate": 0.12,
                "relative difference of the threshold": 0.02,
                "share of runs on the wrong side": 0.12,
                "difference of αβ at rest": 0.12,
            },
        ),
    ),
    controls=(
        Control("growth at ω, as if P̂ did no harm", harmless),
        Control("the wrong branch from every K_× < 0", no_threshold),
        Control("the drift 1/T pushes to the wrong branch", turned),
        Control("1/T² for 1/T in the threshold", T_squared),
        Control("θ left out of the threshold", without_theta),
        Control("the right eigenvector for the left: K_Q for K_P", right_eigenvector),
        Control("αβ to -1: one of the two keeps its sign", one_sign_kept),
    ),
)
