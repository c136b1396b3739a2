r"""Claims E1 and E4: runs whose course the two-number flows predicted before they ran."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial
from types import SimpleNamespace

import numpy as np

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.claims._scalars import bundle
from scbtheory.claims._tasks import on_two as with_two_equal
from scbtheory.verification.profiles import sized

STEP = 0.1  # η, with balanced steps
SEEDS, TASK = range(100, 108), 23  # drawn for the first time after all limits below had been fixed


def crossing(steps, values, level) -> float:
    """The step, between recorded ones, at which a column first exceeds a level; infinity if it never does."""
    above = np.flatnonzero(values > level)
    if not len(above) or above[0] == 0:
        return math.inf
    n = above[0]
    return float(np.interp(level, values[n - 1 : n + 1], steps[n - 1 : n + 1]))


# --- E1: one run from scratch, predicted ---------------------------------------------------------


def course_statement(
    s, inside=lambda s: 2 * s.T * s.K_Q, growth=lambda s: s.log(1 + s.eta), rise=lambda s: s.T * s.K_Q
):
    r"""Steps at which :math:`\alpha` reaches 0.1 (the end of stage 1) and :math:`\alpha\beta` reaches ½."""
    return s.acosh(1 + rise(s) / 10) / growth(s), s.log(inside(s)) / growth(s)


def _course_reduced(statement):
    """Steps of descent on the plane against the statement, at T = 10³ … 10⁶."""
    worst = 0.0
    for T in (10**3, 10**4, 10**5, 10**6):
        alpha, beta = scb.dynamics.descend(steps=300, step_size=STEP, K_P=0.25, K_Q=0.5, T=T, balanced=True)
        steps = np.arange(301)
        found = crossing(steps, alpha, 0.1), crossing(steps, alpha * beta, 0.5)
        stated = statement(bundle(math, T=T, K_Q=0.5, eta=STEP))
        worst = max(worst, *(abs(x - y) for x, y in zip(found, stated, strict=True)))
    return worst


@cache
def courses(N: int, T: int, *batches: int | tuple[int, int]):
    """A task and its minibatch runs from scratch, every step recorded, one a seed.

    ``batches``: one batch size for all steps, or several pairs ``(steps, size)``, one after another.
    """
    task = scb.SCB.random(N, T, 2, seed=TASK)
    if len(batches) == 1:
        batches = ((math.ceil(1.25 * math.log(2 * T * task.K_Q) / math.log(1 + STEP)), *batches),)
    [descent] = scb.training.projected_sgd(task, STEP)
    stages = [replace(descent, batch_size=size, max_steps=steps) for steps, size in batches]
    options = {"packed": True, "record": 1 + 1e-9}
    return task, [scb.training.train(task, stages, seed=seed, **options) for seed in SEEDS]


# At T = 10⁵: N5's batch (4.6 standard deviations) for the first steps, whose noise the growth carries along; then a
# fifth of T, as the noise is small while V is; then T, where V grows up and the noise of all T positions enters V.
LONG = (3, 100_000, (20, 140_000), (10, 40_000), (67, 20_000), (33, 100_000))


def _course_sampled(statement, *settings):
    """The largest distance of mean steps over seeds from the statement, in steps."""
    worst = 0.0
    for setting in settings:
        task, runs = courses(*setting)
        found = np.array([(crossing(h.step, h.alpha, 0.1), crossing(h.step, h.alpha * h.beta, 0.5)) for h in runs])
        stated = statement(bundle(math, T=task.context_length, K_Q=task.K_Q, eta=STEP))
        worst = max(worst, float(np.max(np.abs(found.mean(axis=0) - stated))))
    return worst


register(
    Claim(
        "E1",
        "A run from scratch, its stage boundaries predicted before it ran",
        r"n_{\alpha = 0.1} = \frac{\mathrm{arccosh}(1 + 0.1\,T K_Q)}{\log(1+\eta)},\qquad "
        r"n_{\alpha\beta = 1/2} = \frac{\log(2 T K_Q)}{\log(1+\eta)}",
        "balanced steps, η = 0.1, batches far above the noise scale; means over 8 seeds, to two steps",
        course_statement,
        (
            Route(
                "numeric", "descent on the plane at T = 10³ … 10⁶", _course_reduced,
                limit=0.75, margin=2.0, unit="steps",
            ),
            Route(
                "monte carlo", "8 minibatch runs, N = 3, T = 300 (full: T = 5000 and 100 000)",
                lambda statement: _course_sampled(statement, *sized([(3, 300, 2048)], [(3, 5000, 10_000), LONG])),
                limit=2.0, margin=1.4, unit="steps",
            ),
            Route(
                "monte carlo", "8 minibatch runs, N = 4, T = 150 (full: N = 16, T = 5000)",
                lambda statement: _course_sampled(statement, sized((4, 150, 2048), (16, 5000, 5000))),
                limit=2.0, margin=1.4, unit="steps",
            ),
        ),
        (
            Control("T² for T, as with equal steps", partial(course_statement, inside=lambda s: 2 * s.T**2 * s.K_Q)),
            Control("steps taken for time: η for log(1 + η)", partial(course_statement, growth=lambda s: 1.1 * s.eta)),
            Control("K_Q forgotten", partial(course_statement, inside=lambda s: 2 * s.T, rise=lambda s: s.T)),
            Control("half the logarithm: 1 for 2", partial(course_statement, inside=lambda s: s.T * s.K_Q / 2)),
        ),
    )
)  # fmt: skip

# --- E4: softmax beside linear, predicted --------------------------------------------------------


def race_statement(s, scale=lambda s: (1 / s.T + s.alpha * s.K_Q) ** -2, slow=True, V=True):
    """Balanced velocities of (alpha, beta): the linear model's, and the softmax model's with its speed scaled."""
    rest = 1 - s.alpha * s.beta
    d_beta = s.alpha * rest + (1 - s.beta) / (s.T * s.K_Q) if V else s.alpha * rest
    kappa = ((1 - s.alpha) * (1 / s.T + s.alpha * s.K_Q)) ** 2 * scale(s) if slow else 1.0
    return (s.beta * rest, d_beta), (kappa * s.beta * rest, d_beta)


def predicted_half(statement, which: int, K_Q: float, T: float, steps: int = 4000) -> float:
    r"""Steps to :math:`\alpha\beta = \frac12` on two numbers, by the stated velocities; infinity after ``steps``."""
    s = SimpleNamespace(alpha=0.0, beta=0.0, K_Q=K_Q, T=T)
    before = 0.0
    for n in range(1, steps + 1):
        d_alpha, d_beta = statement(s)[which]
        s.alpha, s.beta = s.alpha + STEP * d_alpha, s.beta + STEP * d_beta
        now = s.alpha * s.beta
        if now > 0.5:
            return n - 1 + (0.5 - before) / (now - before)
        before = now
    return math.inf


@cache
def races(N: int, T: int, batch_size: int):
    """A task with uniform q, and the steps at which each run of either model passes ½, (8, 2)."""
    task = scb.SCB(scb.SCB.random(N, T, 2, seed=TASK).P, with_two_equal(T, N))
    methods = [make(task, STEP, batch_size=batch_size) for make in (scb.training.projected_sgd, scb.softmax.descent)]
    steps = [math.ceil(f * math.log(2 * T * task.K_Q) / STEP) for f in (1.3, 2.0)]
    options = {"packed": True, "record": 1 + 1e-9}
    found = [
        [
            crossing(h.step, h.alpha * h.beta, 0.5)
            for seed in SEEDS
            for h in [scb.training.train(task, stages, seed=seed, max_samples=n * batch_size, **options)]
        ]
        for stages, n in zip(methods, steps, strict=True)
    ]
    return task, np.array(found).T


def _race_sampled(statement, sizes):
    task, found = races(*sizes)
    stated = [predicted_half(statement, i, task.K_Q, task.context_length) for i in range(2)]
    return float(np.max(np.abs(found.mean(axis=0) / stated - 1)))


@cache
def _plane_races(N: int, T: int):
    """Half times of the population's own descent of all parameters: (K_Q, linear, softmax)."""
    task = scb.SCB(scb.SCB.random(N, T, 2, seed=TASK + 1).P, with_two_equal(T, N))
    found, V_speed, A_speed = [], STEP / task.K_Q, STEP / task.K_P
    linear, soft = scb.Parameters.initial(task), scb.softmax.SoftmaxParameters.initial(task)
    for model in (linear, soft):
        path = []
        for _ in range(400):
            as_linear = model if model is linear or isinstance(model, scb.Parameters) else model.linear(task)
            place = scb.dynamics.reduce(task, as_linear)
            path.append(place.alpha * place.beta)
            if isinstance(model, scb.Parameters):
                g = scb.population.projected_gradient(task, model)
                model = scb.Parameters(model.A - A_speed * g.A, model.V - V_speed * g.V)
            else:
                g = scb.softmax.projected_gradient(task, model)
                factor = scb.softmax.speed_factor(np, as_linear.A, "peak")
                model = scb.softmax.SoftmaxParameters(model.W - A_speed * factor * g.W, model.V - V_speed * g.V)
        found.append(crossing(np.arange(400), np.array(path), 0.5))
    return task.K_Q, np.array(found)


def _race_population(statement, *settings):
    worst = 0.0
    for N, T in settings:
        K_Q, found = _plane_races(N, T)
        stated = [predicted_half(statement, i, K_Q, T) for i in range(2)]
        worst = max(worst, float(np.max(np.abs(found / stated - 1))))
    return worst


register(
    Claim(
        "E4",
        "Linear and softmax runs, both half times predicted by flows on two numbers",
        r"\dot\alpha_{lin} = \beta(1-\alpha\beta),\quad \dot\alpha_{soft} = (1-\alpha)^2\beta(1-\alpha\beta)\ "
        r"\text{(logits sped up by } (\max_t a_t)^{-2}\text{)},\quad "
        r"\dot\beta = \alpha(1-\alpha\beta) + \tfrac{1-\beta}{TK_Q}",
        "q uniform on two positions, balanced steps, η = 0.1; means over 8 seeds, to 8 %",
        race_statement,
        (
            Route(
                "numeric", "population descent of all parameters, N = 3, T = 500 (full: 100 000, and N = 16, T = 5000)",
                lambda statement: _race_population(statement, *sized([(3, 500)], [(3, 100_000), (16, 5000)])),
                limit=0.025, margin=2.0, unit="relative difference",
            ),
            Route(
                "monte carlo", "8 runs of each model, N = 3, T = 80 (full: 1000)",
                lambda statement: _race_sampled(statement, sized((3, 80, 4096), (3, 1000, 160_000))),
                limit=0.08, margin=1.5, unit="relative difference",
            ),
            Route(
                "monte carlo", "8 runs of each model, N = 4, T = 60 (full: N = 16, T = 1000)",
                lambda statement: _race_sampled(statement, sized((4, 60, 4096), (16, 1000, 225_000))),
                limit=0.08, margin=1.5, unit="relative difference",
            ),
        ),
        (
            Control("no time change: logits at the speed of attention", partial(race_statement, scale=lambda s: 1.0)),
            Control("the start's time change throughout: T²", partial(race_statement, scale=lambda s: s.T**2)),
            Control("softmax taken for linear", partial(race_statement, slow=False)),
            Control("no drift: V waits for A", partial(race_statement, V=False)),
        ),
    )
)  # fmt: skip
