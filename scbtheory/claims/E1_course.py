r"""E1. A run from scratch, its stage boundaries predicted before it ran."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

import scbtheory as scb
from scbtheory.claims._experiments import SEEDS, STEP, TASK, crossing
from scbtheory.claims._scalars import bundle
from scbtheory.verification import quantities
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.profiles import sized

NAMES = "steps from α = 0.1", "steps from αβ = ½"


def statement(s):
    r"""Steps at which :math:`\alpha` reaches 0.1 (the end of stage 1) and :math:`\alpha\beta` reaches ½."""
    return arrivals(s, s.T * s.K_Q / 10, 2 * s.T * s.K_Q, s.log(1 + s.eta))


def arrivals(s, rise, inside, growth):
    return s.acosh(1 + rise) / growth, s.log(inside) / growth


# --- routes --------------------------------------------------------------------------------------


def on_the_plane(statement):
    """Steps of descent on the plane against the statement, at T = 10³ … 10⁶."""
    worst = dict.fromkeys(NAMES, 0.0)
    for T in (10**3, 10**4, 10**5, 10**6):
        alpha, beta = scb.dynamics.descend(steps=300, step_size=STEP, K_P=0.25, K_Q=0.5, T=T, balanced=True)
        steps = np.arange(301)
        found = crossing(steps, alpha, 0.1), crossing(steps, alpha * beta, 0.5)
        stated = statement(bundle(math, T=T, K_Q=0.5, eta=STEP))
        worst = {n: max(worst[n], abs(x - y)) for n, x, y in zip(NAMES, found, stated, strict=True)}
    return worst


@cache
def courses(N: int, T: int, *batches: Any):
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


def by_training(statement, *settings):
    """Distances of mean steps over seeds from the statement, in steps."""
    worst = dict.fromkeys(NAMES, 0.0)
    for setting in settings:
        task, runs = courses(*setting)
        found = np.array([(crossing(h.step, h.alpha, 0.1), crossing(h.step, h.alpha * h.beta, 0.5)) for h in runs])
        stated = statement(bundle(math, T=task.context_length, K_Q=task.K_Q, eta=STEP))
        worst = {n: max(worst[n], abs(x - y)) for n, x, y in zip(NAMES, found.mean(axis=0), stated, strict=True)}
    return worst


SHORT, LARGER = (3, 300, 2048), (4, 150, 2048)
FULL, FULL_LARGER = ((3, 5000, 10_000), LONG), (16, 5000, 5000)


def measured():
    """Steps by which mean runs are later than stated, with intervals over seeds."""
    for setting in (*sized((SHORT,), FULL), sized(LARGER, FULL_LARGER)):
        task, runs = courses(*setting)
        found = np.array([(crossing(h.step, h.alpha, 0.1), crossing(h.step, h.alpha * h.beta, 0.5)) for h in runs])
        stated = statement(bundle(math, T=task.context_length, K_Q=task.K_Q, eta=STEP))
        for name, late, n in zip(NAMES, (found - np.array(stated)).T, stated, strict=True):
            what = f"N = {task.vocab_size}, T = {task.context_length}: {name} that runs are later"
            yield quantities.mean(what, late, seeds="100 to 107", stated=f"0, of {n:.1f} steps; limit 2")


# --- controls ------------------------------------------------------------------------------------


def as_with_equal_steps(s):
    return arrivals(s, s.T * s.K_Q / 10, 2 * s.T**2 * s.K_Q, s.log(1 + s.eta))


def steps_for_time(s):
    return arrivals(s, s.T * s.K_Q / 10, 2 * s.T * s.K_Q, 1.1 * s.eta)


def without_K_Q(s):
    return arrivals(s, s.T / 10, 2 * s.T, s.log(1 + s.eta))


def half_the_logarithm(s):
    return arrivals(s, s.T * s.K_Q / 10, s.T * s.K_Q / 2, s.log(1 + s.eta))


a_step = "a tenth of these moves an arrival by a step, and two are allowed"

CLAIM = Claim(
    id="E1",
    title="A run from scratch, its stage boundaries predicted before it ran",
    text=r"""
With balanced steps of size $\eta$, stage one ends ($\alpha = 0.1$) and half is learned ($\alpha\beta = \tfrac12$) after

$$
n_{\alpha = 0.1} = \frac{\operatorname{arccosh}(1 + 0.1\,T K_Q)}{\log(1+\eta)}, \qquad
n_{\alpha\beta = 1/2} = \frac{\log(2 T K_Q)}{\log(1+\eta)}
$$ (eq-course)

steps, to within two steps.
""",
    assumptions="balanced steps, η = 0.1, batches far above the noise scale; means over 8 seeds, to two steps",
    scope="An experiment: {claim}`S1` and {claim}`S4` with the $\\log(1+\\eta)$ that {claim}`S1` derives for a step.",
    nature="observation",
    chapter="from_scratch",
    rests_on=("S1", "S4"),
    experiment=True,
    statement=statement,
    quantities=measured,
    routes=(
        Route(
            "numeric",
            "descent on the plane at T = 10³ … 10⁶",
            on_the_plane,
            limit=0.75,
            margin=2.0,
            blind="beside T K_Q / 10, a tenth of 1 is a fiftieth of a step",
        ),
        Route(
            "monte carlo",
            "8 minibatch runs, N = 3, T = 300 (full: T = 5000 and 100 000)",
            lambda statement: by_training(statement, *sized((SHORT,), FULL)),
            limit=2.0,
            margin=1.4,
            blind=a_step,
        ),
        Route(
            "monte carlo",
            "8 minibatch runs, N = 4, T = 150 (full: N = 16, T = 5000)",
            lambda statement: by_training(statement, sized(LARGER, FULL_LARGER)),
            limit=2.0,
            margin=1.4,
            blind=a_step,
        ),
    ),
    controls=(
        Control("T² for T, as with equal steps", as_with_equal_steps),
        Control("steps taken for time: η for log(1 + η)", steps_for_time),
        Control("K_Q forgotten", without_K_Q),
        Control("half the logarithm: 1 for 2", half_the_logarithm),
    ),
)
