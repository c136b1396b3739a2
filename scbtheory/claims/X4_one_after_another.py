"""X4. Softmax attention finds unequal positions one after the other, the linear model at once."""

from __future__ import annotations

import math
from functools import cache, partial

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.stats import sem

import scbtheory as scb
from scbtheory.claims._scalars import bundle
from scbtheory.claims._tasks import task_on_two
from scbtheory.derivations import positions as sym
from scbtheory.verification import quantities, routes
from scbtheory.verification.bundles import Positions
from scbtheory.verification.claim import Claim, Control, Route

WEIGHTS = (0.6, 0.4)
SEEDS, BATCH = range(200, 208), 2048


def statement(s: Positions):
    r"""Where the slow time begins, its two velocities, and the way to it.

    :math:`u = 1/y` once the first position has won; :math:`du/d\theta` and :math:`dH/d\theta` on the plateau
    :math:`a\beta = q_1`; :math:`\beta^2` on the way there, where H is 0.
    """
    return (
        1 - s.q_2 / s.q_1,
        -(1 - s.a) * s.q_1 * s.q_2 / s.a**3,
        s.q_1 / (s.a * s.K_Q) * (s.q_2 / s.u - s.q_1 * (1 - s.a) / s.a),
        2 * (s.a / (1 - s.a) + s.log(1 - s.a)) / s.K_Q,
    )


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    stated = statement(bundle(sp, a=sym.a, u=sym.u, q_1=sym.q_1, q_2=sym.q_2, K_Q=sym.K_Q))
    names = "wrong start of u", "wrong velocity of u", "wrong velocity of H", "wrong way to the plateau"
    wrong = {n: sp.simplify(x - y) != 0 for n, x, y in zip(names, sym.derived(), stated, strict=True)}
    return wrong | {"H is not conserved": not sym.is_conserved()}


def stated_wait(statement, q_1: float, q_2: float) -> float:
    r"""The slow time at which u reaches 0 by the stated velocities, from the stated beginning."""
    K_Q = q_1**2 + q_2**2

    def at(a, u=1.0):
        return statement(bundle(math, a=a, u=u, q_1=q_1, q_2=q_2, K_Q=K_Q))

    def slow(_, y):
        a, u = y
        _, d_u, d_H, _ = at(a, u)
        return -d_H / (q_1**2 / a**3 + a / (K_Q * (1 - a) ** 2)), d_u  # dH/da on the plateau

    def found(_, y):
        return y[1] - 1e-9

    found.terminal = True  # type: ignore[attr-defined]  # SciPy reads it off the function
    plateau = brentq(lambda a: a**2 * at(a)[3] - q_1**2, 1e-3, 1 - 1e-9)
    path = solve_ivp(slow, (0.0, 50.0), (plateau, at(plateau)[0]), method="LSODA", events=found, rtol=1e-9, atol=1e-13)
    return float(path.t_events[0][0]) if len(path.t_events[0]) else math.inf


def arrival(times, a, b, q_1: float, q_2: float) -> float:
    """When b/a last rises above half of its final value, by interpolation."""
    below = np.flatnonzero(b / a < q_2 / q_1 / 2)
    n = below[-1] + 1
    return float(np.interp(q_2 / q_1 / 2, (b / a)[n - 1 : n + 1], times[n - 1 : n + 1]))


@cache
def flow_slope(q_1, q_2):
    """How much later the second position comes for each further position, from T = 10⁴ to 10⁵."""
    arrivals = []
    for T in (1e4, 1e5):
        times = np.linspace(0, 1.2 * T, 20_001)
        a, b, _ = scb.softmax.positions_flow(t=times, first=q_1, second=q_2, T=T)
        arrivals.append(arrival(times, a, b, q_1, q_2))
    return (arrivals[1] - arrivals[0]) / 9e4


def flows(statement):
    found = {}
    for q in (WEIGHTS, (0.7, 0.3)):
        stated = stated_wait(statement, *q)
        found[f"relative difference at q₁ = {q[0]}"] = abs(stated / flow_slope(*q) - 1)
        found[f"relative difference of the package's c at q₁ = {q[0]}"] = abs(
            stated / scb.softmax.second_position(*q) - 1
        )
    return found


def slope(lengths, step, gradient):
    """The same from a descent of all logits and V along ``gradient(task, theta, n)``, times the step size; N = 3."""
    arrivals = []
    for T in lengths:
        task = task_on_two(3, T, seed=6, weights=WEIGHTS)
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
def population_slope():
    return slope((300, 600), 0.05, lambda task, theta, n: scb.population.projected_gradient(task, theta))


def matrices(statement):
    return {"relative difference": abs(stated_wait(statement, *WEIGHTS) / population_slope() - 1)}


@cache
def sampled_slopes():
    """The same on fresh samples at every step, for each of 8 seeds."""

    def gradient(task, theta, n, seed):
        linear = theta.linear(task)
        g = scb.streaming.gradient(task, linear, BATCH, seed=seed, step=n, projected=True, packed=True)
        return scb.softmax.SoftmaxParameters(scb.softmax.jacobian_times(np, linear.A, g.A), g.V)

    return np.array([slope((100, 200), 0.1, partial(gradient, seed=seed)) for seed in SEEDS])


def sampled(statement):
    found = sampled_slopes()
    return {"|z| of the mean": abs(stated_wait(statement, *WEIGHTS) - found.mean()) / sem(found)}


def measured():
    yield quantities.mean(
        f"later arrival of the second position for each further position, T = 100 to 200, B = {BATCH}",
        sampled_slopes(),
        seeds="100 to 107",
        stated=f"c = {stated_wait(statement, *WEIGHTS):.4f}",
    )


# --- controls ------------------------------------------------------------------------------------


def without_race(s: Positions):
    return routes.replaced(statement, 0, lambda s: s.q_1 / s.q_1)(s)


def plateau_at_once(s: Positions):
    return routes.replaced(statement, 3, lambda s: s.q_1 / s.q_1)(s)


def plateau_at_rest(s: Positions):
    return routes.replaced(statement, 2, lambda s: 0 * s.a)(s)


def all_attention_left(s: Positions):
    return routes.replaced(statement, 1, lambda s: -s.q_1 * s.q_2 / s.a**3)(s)


CLAIM = Claim(
    id="X4",
    title="Softmax attention finds unequal positions one after the other, the second after a time like T",
    text=r"""
With balanced steps and logits sped up by $(\max_t a_t)^{-2}$, softmax attention finds the second position after
$n_2 \simeq c\,T/\eta$ steps, where $c$ is the $\vartheta$ at which $u$ reaches 0:

$$
\begin{aligned}
u(0) &= 1 - \frac{q_2}{q_1}, \qquad \frac{du}{d\vartheta} = -\frac{(1-a)\,q_1q_2}{a^3}, \\
\frac{dH}{d\vartheta} &= \frac{q_1}{aK_Q}\left[\frac{q_2}{u} - \frac{q_1(1-a)}{a}\right], \\
H &= \frac{q_1^2}{2a^2} - \frac{1}{K_Q}\left[\frac{a}{1-a} + \log(1-a)\right], \qquad H(0) = 0 .
\end{aligned}
$$ (eq-softmax-wait)

The linear model finds both positions at once, after $\log(2TK_Q)/\eta$.
""",
    assumptions="q₁ > q₂ on two positions of every column, population gradients, balanced steps, logits sped up by "
    "(max_t a_t)^-2; leading order in T",
    scope="Derived at leading order in $1/T$, formally: each expansion by SymPy, their matching by comparison with "
    "flows. For population gradients and columns with equal weights; descent on 2048 fresh samples a step gives the "
    "same slope. "
    "The linear model's time is that of {claim}`S4`.",
    nature="asymptotic",
    chapter="softmax",
    rests_on=("G5", "S4"),
    statement=statement,
    quantities=measured,
    routes=(
        Route(
            "symbolic", "leading and next order in 1/T of three levels, formal: race, plateau and slow flow", derived
        ),
        Route(
            "numeric",
            "the flow on three numbers, T = 10⁴ to 10⁵, and the package's c; q₁ = 0.6 and 0.7",
            flows,
            {
                f"relative difference{of} at q₁ = {q}": limit
                for of, limit in (("", 1e-3), (" of the package's c", 1e-6))
                for q in (0.6, 0.7)
            },
            margin=4.0,
        ),
        Route(
            "numeric",
            "population descent of all logits and V, N = 3, T = 300 and 600",
            matrices,
            limit=0.02,
        ),
        Route(
            "monte carlo",
            "descent on 2048 fresh samples a step, 8 seeds, N = 3, T = 100 and 200",
            sampled,
            limit=3.5,
            blind="what c changes by is below the standard error over 8 seeds",
        ),
    ),
    controls=(
        Control("no race: the second starts level", without_race),
        Control("the first takes q₁ at once: β = 1", plateau_at_once),
        Control("a plateau that stands still", plateau_at_rest),
        Control("all attention left to the second", all_attention_left),
    ),
)
