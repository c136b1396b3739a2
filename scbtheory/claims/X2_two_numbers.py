"""X2. For q uniform on its support, the softmax flow closes in two numbers as well."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
from scipy.integrate import solve_ivp

import scbtheory as scb
from scbtheory.claims._tasks import task_on_two
from scbtheory.derivations import reduction, softmax
from scbtheory.verification import routes
from scbtheory.verification.bundles import Plane
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.instances import gap, z_score


def statement(s: Plane):
    """The velocities of alpha and beta."""
    return slowed(s, ((1 - s.alpha) * peak(s)) ** 2)


def peak(s: Plane):
    """Attention on the support."""
    return 1 / s.T + s.alpha * s.K_Q


def slowed(s: Plane, factor):
    """The linear model's velocities, alpha's times a factor."""
    rest = 1 - s.alpha * s.beta
    return factor * s.K_P * s.beta * rest, s.K_Q * s.alpha * rest + (1 - s.beta) / s.T


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    s = SimpleNamespace(alpha=softmax.alpha, beta=softmax.beta, K_P=softmax.K_P, K_Q=softmax.K_Q, T=reduction.T)
    return {"velocities that differ, and the Jacobian's form": softmax.surviving(*statement(s))}


@cache
def softmax_path():
    """The flow of all logits and V through its rise: (task, times, coordinates)."""
    task = task_on_two(3, 30, seed=8)
    times = np.linspace(0.0, 900.0, 31)
    path = scb.softmax.matrix_flow(task, scb.softmax.SoftmaxParameters.initial(task), times)
    return task, times, np.array([scb.dynamics.reduce(task, theta.linear(task)) for theta in path])


def integrated(statement):
    task, times, found = softmax_path()
    constants = {"K_P": task.K_P, "K_Q": task.K_Q, "T": task.context_length}

    def field(_, y):
        return statement(SimpleNamespace(alpha=y[0], beta=y[1], **constants))

    stated = solve_ivp(field, (0.0, times[-1]), (0.0, 0.0), method="LSODA", t_eval=times, rtol=1e-11, atol=1e-13)
    package = np.stack(scb.softmax.flow(t=times, **constants), axis=1)
    return {
        "difference from the flow of all parameters": gap(found[:, :2], stated.y.T),
        "difference of the package's flow from it": gap(found[:, :2], package),
        "its distance from the plane": found[:, 2].max(),
    }


@cache
def sampled_velocities():
    """Minibatch velocities of (alpha, beta) at a point of the plane: (numbers, (batches, 2))."""
    task = task_on_two(4, 14, seed=8)
    at = SimpleNamespace(alpha=0.3, beta=0.6, K_P=task.K_P, K_Q=task.K_Q, T=task.context_length)
    linear = scb.dynamics.lift(task, at.alpha, at.beta)
    theta, rows = scb.softmax.SoftmaxParameters(np.log(linear.A), linear.V), []
    for step in range(100):
        found = scb.model.minibatch_gradient(task, theta, task.sample(4000, seed=32, step=step), projected=True)
        d_A = -scb.softmax.jacobian_times(np, linear.A, found.W)
        d_alpha = task.inner(d_A, task.Q - 1 / at.T) / task.K_Q
        rows.append((d_alpha, -task.inner(found.V, task.P - task.mu[:, None]) / task.K_P))
    return at, np.array(rows)


def sampled(statement):
    at, rows = sampled_velocities()
    stated = statement(at)
    return {
        f"|z| of the velocity of {name}": z_score(rows[:, i], stated[i]) for i, name in enumerate(("alpha", "beta"))
    }


# --- controls ------------------------------------------------------------------------------------


def start_throughout(s: Plane):
    return slowed(s, 1 / s.T**2)


def without_saturation(s: Plane):
    return slowed(s, peak(s) ** 2)


def one_jacobian(s: Plane):
    return slowed(s, (1 - s.alpha) * peak(s))


def without_time_change(s: Plane):
    return slowed(s, 1)


def exchanged(s: Plane):
    return statement(SimpleNamespace(**{**vars(s), "K_P": s.K_Q, "K_Q": s.K_P}))


CLAIM = Claim(
    id="X2",
    title="The softmax flow on two numbers",
    text=r"""
For $q^{(k)}$ uniform on a support of one size, softmax attention from scratch stays on the plane of {claim}`R1`, with

$$
\begin{aligned}
\dot\alpha &= \left[(1 - \alpha)\left(\tfrac1T + \alpha K_Q\right)\right]^2 K_P\,\beta\,(1 - \alpha\beta), \\
\dot\beta &= K_Q\,\alpha\,(1 - \alpha\beta) + \tfrac1T(1 - \beta).
\end{aligned}
$$ (eq-softmax-flow)
""",
    assumptions="q^(k) uniform on a support of one size s, so that K_Q = 1/s - 1/T; start w = 0, V = μ1'",
    scope="Proved for every support size and every $T$.",
    nature="theorem",
    chapter="softmax",
    rests_on=("R2",),
    statement=statement,
    routes=(
        Route("symbolic", "proof for every s and T, from the Jacobian and R2", derived),
        routes.numeric("the flow of all logits and V to t = 900, N = 3, T = 30, and the package's", integrated, 1e-8),
        Route("monte carlo", "softmax minibatch gradients, 400 000 samples at N = 4, T = 14", sampled, limit=5.0),
    ),
    controls=(
        Control("1/T² throughout, not only at the start", start_throughout),
        Control("no saturation: (1-α)² dropped", without_saturation),
        Control("one Jacobian for two", one_jacobian),
        Control("no time change: the linear model's flow", without_time_change),
        Control("K_P and K_Q exchanged", exchanged),
    ),
)
