r"""Claim X4: softmax attention finds unequal positions one after the other, the linear model at once."""

from __future__ import annotations

import math
from functools import cache, partial

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import scbtheory as scb
from scbtheory.claims._legacy import Claim, Control, Route, register
from scbtheory.claims._scalars import bundle
from scbtheory.derivations import positions as sym

WEIGHTS = (0.6, 0.4)
SEEDS, BATCH = range(200, 208), 2048


def positions_statement(s, first=None, square=None, push=None, growth=None):
    r"""Where the slow time begins, and its two velocities.

    :math:`u = 1/y` once the first position has won; :math:`\beta^2` on the way to the plateau :math:`a\beta = q_1`;
    :math:`dH/d\theta` there, and :math:`-du/d\theta`.
    """
    return (
        first(s) if first else 1 - s.q_2 / s.q_1,
        square(s) if square else 2 * (s.a / (1 - s.a) + s.log(1 - s.a)) / s.K_Q,
        push(s) if push else s.q_1 / (s.a * s.K_Q) * (s.q_2 / s.u - s.q_1 * (1 - s.a) / s.a),
        growth(s) if growth else (1 - s.a) * s.q_1 * s.q_2 / s.a**3,
    )


def _positions_symbolic(statement):
    import sympy as sp

    return sym.surviving(*statement(bundle(sp, a=sym.a, u=sym.u, q_1=sym.q_1, q_2=sym.q_2, K_Q=sym.K_Q)))


def stated_wait(statement, q_1: float, q_2: float) -> float:
    r"""The slow time at which u reaches 0 by the stated velocities, from the stated beginning."""
    K_Q = q_1**2 + q_2**2

    def at(a, u=1.0):
        return statement(bundle(math, a=a, u=u, q_1=q_1, q_2=q_2, K_Q=K_Q))

    def slow(_, y):
        a, u = y
        *_, push, growth = at(a, u)
        return -push / (q_1**2 / a**3 + a / (K_Q * (1 - a) ** 2)), -growth

    def found(_, y):
        return y[1] - 1e-9

    found.terminal = True
    plateau = brentq(lambda a: a**2 * at(a)[1] - q_1**2, 1e-3, 1 - 1e-9)
    path = solve_ivp(slow, (0.0, 50.0), (plateau, at(plateau)[0]), method="LSODA", events=found, rtol=1e-9, atol=1e-13)
    return float(path.t_events[0][0]) if len(path.t_events[0]) else math.inf


def arrival(times, a, b, q_1: float, q_2: float) -> float:
    """When b/a last rises above half of its final value, by interpolation."""
    below = np.flatnonzero(b / a < q_2 / q_1 / 2)
    n = below[-1] + 1
    return float(np.interp(q_2 / q_1 / 2, (b / a)[n - 1 : n + 1], times[n - 1 : n + 1]))


@cache
def _flow_slope(q_1, q_2):
    """How much later the second position comes for each further position, from T = 10⁴ to 10⁵."""
    arrivals = []
    for T in (1e4, 1e5):
        times = np.linspace(0, 1.2 * T, 20_001)
        a, b, _ = scb.softmax.positions_flow(t=times, first=q_1, second=q_2, T=T)
        arrivals.append(arrival(times, a, b, q_1, q_2))
    return (arrivals[1] - arrivals[0]) / 9e4


def _positions_flow(statement):
    worst = 0.0
    for q in (WEIGHTS, (0.7, 0.3)):
        stated = stated_wait(statement, *q)
        for found in (_flow_slope(*q), scb.softmax.second_position(*q)):
            worst = max(worst, abs(stated / found - 1))
    return worst


def _slope(lengths, step, gradient):
    """The same from a descent of all logits and V along ``gradient(task, theta, n)``, times the step size; N = 3."""
    arrivals = []
    for T in lengths:
        Q = np.zeros((T, 3))
        for k in range(3):
            Q[[3 * k, 3 * k + 2], k] = WEIGHTS
        task = scb.SCB(scb.SCB.random(3, T, 2, seed=6).P, Q)
        theta, path = scb.softmax.SoftmaxParameters.initial(task), []
        for n in range(round((0.3 * T + 40) / step)):
            A = theta.linear(task).A
            path.append([(A[3 * k, k], A[3 * k + 2, k]) for k in range(3)])
            g, speed = gradient(task, theta, n), scb.softmax.speed_factor(np, A, "peak")
            theta = scb.softmax.SoftmaxParameters(
                theta.W - step / task.K_P * speed * g.W, theta.V - step / task.K_Q * g.V
            )
        columns, times = np.array(path).transpose(1, 2, 0), np.arange(len(path)) * step
        arrivals.append(np.mean([arrival(times, a, b, *WEIGHTS) for a, b in columns]))
    return float(np.polyfit(lengths, arrivals, 1)[0])


@cache
def _population_slope():
    return _slope((300, 600), 0.05, lambda task, theta, n: scb.softmax.projected_gradient(task, theta))


def _positions_matrices(statement):
    return abs(stated_wait(statement, *WEIGHTS) / _population_slope() - 1)


@cache
def sampled_slopes():
    """The same on fresh samples at every step, for each of 8 seeds."""

    def gradient(task, theta, n, seed):
        linear = theta.linear(task)
        g = scb.streaming.gradient(task, linear, BATCH, seed=seed, step=n, projected=True, packed=True)
        return scb.softmax.SoftmaxParameters(scb.softmax.jacobian_times(np, linear.A, g.A), g.V)

    return np.array([_slope((100, 200), 0.1, partial(gradient, seed=seed)) for seed in SEEDS])


def _positions_sampled(statement):
    return abs(stated_wait(statement, *WEIGHTS) / sampled_slopes().mean() - 1)


register(
    Claim(
        "X4",
        "Softmax attention finds unequal positions one after the other, the second after a time like T",
        r"n_2 \simeq \frac{c\,T}{\eta}:\quad c = \theta\big|_{u=0},\quad u(0) = 1 - \frac{q_2}{q_1},\quad "
        r"\frac{du}{d\theta} = -\frac{(1-a)q_1q_2}{a^3},\quad "
        r"\frac{dH}{d\theta} = \frac{q_1}{aK_Q}\left[\frac{q_2}{u} - \frac{q_1(1-a)}{a}\right],\quad "
        r"H = \frac{q_1^2}{2a^2} - \frac{1}{K_Q}\left[\frac{a}{1-a} + \log(1-a)\right],\quad H(0) = 0",
        "q₁ > q₂ on two positions of every column, population gradients, balanced steps, logits sped up by "
        "(max_t a_t)^-2; leading order in T",
        positions_statement,
        (
            Route(
                "symbolic", "leading and next order in 1/T of three levels, formal: race, plateau and slow flow",
                _positions_symbolic,
            ),
            Route(
                "numeric", "the flow on three numbers, T = 10⁴ to 10⁵, and the package's c; q₁ = 0.6 and 0.7",
                _positions_flow, limit=0.005, margin=4.0, unit="relative difference",
            ),
            Route(
                "numeric", "population descent of all logits and V, N = 3, T = 300 and 600", _positions_matrices,
                limit=0.05, margin=2.0, unit="relative difference",
            ),
            Route(
                "monte carlo", "descent on 2048 fresh samples a step, 8 seeds, N = 3, T = 100 and 200",
                _positions_sampled, limit=0.1, margin=2.0, unit="relative difference",
            ),
        ),
        (
            Control("no race: the second starts level", partial(positions_statement, first=lambda s: s.q_1 / s.q_1)),
            Control(
                "the first takes q₁ at once: β = 1", partial(positions_statement, square=lambda s: s.q_1 / s.q_1)
            ),
            Control("a plateau that stands still", partial(positions_statement, push=lambda s: 0 * s.a)),
            Control(
                "all attention left to the second",
                partial(positions_statement, growth=lambda s: s.q_1 * s.q_2 / s.a**3),
            ),
        ),
    )
)  # fmt: skip
