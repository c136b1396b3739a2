"""T2. A nontrivial correlation gives attention a pull of order one at once: stage 1 is bypassed."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.claims._scalars import bundle
from scbtheory.claims._tasks import task_on_two
from scbtheory.claims._transfer import ANY_HAT, CONSTANTS, LEVEL, THETA, arrival_slopes, per_log
from scbtheory.derivations import transfer as sym
from scbtheory.verification import routes
from scbtheory.verification.bundles import Finetuning
from scbtheory.verification.claim import Claim, Control, Route

VELOCITIES = ("alpha", "beta", "gamma")
SHORT = (50, 200, 800)


def statement(s: Finetuning):
    """The initial velocities; what a unit of log T adds to the time to a given alpha, finetuned and from scratch."""
    return s.theta * s.K_cross, 1 / s.T, -s.theta / s.T, 0, 1 / s.sqrt(s.K_P * s.K_Q)


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    constants = {"K_P": sym.k_P, "K_Q": sym.k_Q, "K_hat": sym.k_hat, "K_cross": sym.k_cross}
    stated = statement(bundle(sp, **constants, T=sym.T, theta=sym.theta))
    found = (*sym.start_velocity(), sym.time_growth(True), sym.time_growth(False))
    names = (*(f"wrong velocity of {name}" for name in VELOCITIES), "wrong time finetuned", "wrong time from scratch")
    wrong = {name: sp.simplify(x - y) != 0 for name, x, y in zip(names, found, stated, strict=True)}
    return wrong | {"terms of T1's field": not sym.field_is_derived()}


def compared(found, found_times, stated, T):
    """Residuals of the five quantities; times are shares of what a unit of log T adds from scratch."""
    scales = abs(found[0]), 1 / T, 1 / T
    velocities = [abs(x - y) / scale for x, y, scale in zip(found, stated[:3], scales, strict=True)]
    times = [abs(x - y) / found_times[1] for x, y in zip(found_times, stated[3:], strict=True)]
    names = [f"relative difference of the velocity of {name}" for name in VELOCITIES]
    names += ["time per log T finetuned, as a share of scratch's", "relative difference of scratch's time per log T"]
    return dict(zip(names, velocities + times, strict=True))


def flows(statement):
    K_cross, T = 0.15, 10**4
    stated = statement(bundle(math, **CONSTANTS, K_cross=K_cross, T=T, theta=THETA))
    found = scb.transfer.velocity(0.0, 0.0, THETA, K_cross=K_cross, T=T, **CONSTANTS)
    return compared(found, arrival_slopes(K_cross), stated, T)


@cache
def matrix_arrivals():
    """Velocities at T = 200 with their constants, and both slopes, from the flow of all matrices."""
    times, start = {True: [], False: []}, None
    for T in SHORT:
        task = task_on_two(3, T, seed=25)
        hat = scb.transfer.pretrained(task, 0.6 * task.K_P, seed=1)
        for finetuned in (True, False):
            theta = scb.transfer.start(task, hat, THETA) if finetuned else scb.Parameters.initial(task)
            moments = np.linspace(0.0, 60.0, 601)
            alpha = [scb.dynamics.reduce(task, x).alpha for x in scb.dynamics.matrix_flow(task, theta, moments)]
            n = int(np.argmax(np.array(alpha) >= LEVEL))
            times[finetuned].append(float(np.interp(LEVEL, alpha[n - 1 : n + 1], moments[n - 1 : n + 1])))
            if finetuned and T == 200:
                start = start_velocity(task, hat, theta)
    return *start, [per_log(SHORT, times[finetuned]) for finetuned in (True, False)]


def start_velocity(task, hat, theta):
    """Coordinates of the package's projected gradient at the start, with the constants they depend on."""
    gradient, c = scb.population.projected_gradient(task, theta), scb.transfer.correlations(task, hat)
    prime, own = task.P - task.mu[:, None], scb.transfer.centred(task, hat)
    along = np.linalg.solve(
        [[task.K_P, c.K_cross], [c.K_cross, c.K_hat]], [task.inner(gradient.V, prime), task.inner(gradient.V, own)]
    )
    alpha = -task.inner(gradient.A, task.Q - 1 / task.context_length) / task.K_Q
    return task, c, (alpha, *-along)


def matrices(statement):
    task, c, found, times = matrix_arrivals()
    # K_Q at infinite length: the slopes run over lengths, and K_Q = ½ - 1/T.
    s = bundle(math, K_P=task.K_P, K_Q=0.5, K_hat=c.K_hat, K_cross=c.K_cross, T=200, theta=THETA)
    return compared(found, times, statement(s), 200)


def limits(velocities, finetuned, scratch):
    """Limits of what :func:`compared` returns."""
    names = list(compared((1, 1, 1), (1, 1), (1,) * 5, 1))
    return dict(zip(names, (velocities,) * 3 + (finetuned, scratch), strict=True))


# --- controls ------------------------------------------------------------------------------------


def pull_like_scratch(s: Finetuning):
    return routes.replaced(statement, 0, lambda s: s.theta * s.K_cross / s.T)(s)


def power_for_correlation(s: Finetuning):
    return routes.replaced(statement, 0, lambda s: s.theta * s.K_hat)(s)


def log_T_kept(s: Finetuning):
    return routes.replaced(statement, 3, lambda s: statement(s)[4])(s)


def scratch_bypassed(s: Finetuning):
    return routes.replaced(statement, 4, lambda s: 0)(s)


CLAIM = Claim(
    id="T2",
    title="A nontrivial correlation bypasses stage 1",
    text=r"""
At the start of finetuning

$$
\dot\alpha = \theta K_\times, \qquad \dot\beta = \frac1T, \qquad \dot\gamma = -\frac\theta T :
$$ (eq-bypass)

the pull on attention is of order one, not $1/T$. The time $t_\rho$ to a given small $\alpha = \rho$ loses its $\log T$,

$$
\begin{aligned}
\frac{\partial t_\rho}{\partial\log T} &\to 0 && \text{finetuned}, \\
\frac{\partial t_\rho}{\partial\log T} &\to \frac1\omega && \text{from scratch}.
\end{aligned}
$$ (eq-bypass-time)
""",
    assumptions=f"{ANY_HAT}; K_× > 0; t_ρ is the time to α = ρ",
    scope="The velocities are proved for all constants, from T1; the times for positive constants and small "
    r"$\rho$, on T1's field linearised about the start, with $T$ in its drift; to $\rho = \tfrac14$ they are measured.",
    nature="asymptotic",
    chapter="transfer",
    rests_on=("T1",),
    statement=statement,
    routes=(
        Route(
            "symbolic", "proof for all positive constants, from T1's field; t_ρ on it linearised, for small ρ", derived
        ),
        Route(
            "numeric",
            "slopes of the flows' times to α = ¼ over T = 10³ … 10⁶",
            flows,
            limits(velocities=1e-12, finetuned=0.02, scratch=0.02),
            margin=3.0,
        ),
        Route(
            "numeric",
            "slopes of the times of all matrices over T = 50, 200, 800; N = 3",
            matrices,
            limits(velocities=1e-9, finetuned=0.02, scratch=0.1),
            margin=2.5,
        ),
    ),
    controls=(
        Control("the start's pull of order 1/T, as from scratch", pull_like_scratch),
        Control("K_P̂ for K_×: power taken for correlation", power_for_correlation),
        Control("log T kept", log_T_kept),
        Control("scratch taken to lose its log T as well", scratch_bypassed),
    ),
)
