r"""From two numbers to the matrices and back: the plane, the full flow, and rounding (claims R1 and S6)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scbtheory.checks import positive, real
from scbtheory.dynamics._reduced import TOLERANCE, whole
from scbtheory.errors import InvalidArgument
from scbtheory.flows import integrate
from scbtheory.model import Parameters, check
from scbtheory.population import projected_gradient
from scbtheory.task import SCB


class Coordinates(NamedTuple):
    r"""The nearest point of the plane, and how far it is: :math:`\sqrt{\|\Delta A\|_\mu^2 + \|\Delta V\|_\mu^2}`."""

    alpha: float
    beta: float
    distance: float


def lift(task: SCB, alpha: float, beta: float) -> Parameters:
    r"""R1's plane: :math:`A = 11^\top/T + \alpha Q'`, :math:`V = \mu 1^\top + \beta P'`."""
    start = Parameters.initial(task)
    alpha, beta = real("alpha", alpha), real("beta", beta)
    return Parameters(start.A + alpha * (task.Q - start.A), start.V + beta * (task.P - start.V))


def reduce(task: SCB, theta: Parameters) -> Coordinates:
    r"""R1: the coordinates of the nearest point of the plane, by projection on :math:`Q'` and :math:`P'`.

    :math:`\alpha = \langle A - 11^\top/T, Q'\rangle_\mu/K_Q`, :math:`\beta = \langle V - \mu1^\top, P'\rangle_\mu/K_P`.

    Raises
    ------
    InvalidArgument : :math:`K_P` or :math:`K_Q` is 0, so that a coordinate has no meaning.
    """
    check(task, theta)
    start = Parameters.initial(task)
    coordinates: list[float] = []
    squares = 0.0
    for name, value, flat, truth in (("Q", theta.A, start.A, task.Q), ("P", theta.V, start.V, task.P)):
        size = task.inner(truth - flat, truth - flat)
        if size <= 1e3 * task.backend.xp.finfo(task.backend.dtype).eps ** 2:  # rounding alone
            raise InvalidArgument(f"K_{name} is 0: the plane has no direction {name}'")
        coordinates.append(task.inner(value - flat, truth - flat) / size)
        rest = value - flat - coordinates[-1] * (truth - flat)
        squares += task.inner(rest, rest)
    alpha, beta = coordinates
    return Coordinates(alpha, beta, squares**0.5)


def _weights(task, eta_V, eta_A, balanced):
    if balanced and (eta_V, eta_A) != (1.0, 1.0):
        raise InvalidArgument(f"balanced=True already chooses eta_V and eta_A; they are {(eta_V, eta_A)}")
    return (1 / task.K_Q, 1 / task.K_P) if balanced else (positive("eta_V", eta_V), positive("eta_A", eta_A))


def matrix_flow(task: SCB, theta: Parameters, t, *, eta_V=1.0, eta_A=1.0, balanced=False) -> list[Parameters]:
    r"""Integrate :math:`\dot V = -\eta_V G_V`, :math:`\dot A = -\eta_A G_A` (G5) from ``theta``: all TN + N² numbers.

    Returns the parameters at the times t, in units of :math:`1/\eta` and in any order. Nothing of the reduction
    is used. Dormand and Prince's method of order 8; its error is about 1e-12 in float64.
    """
    check(task, theta)
    backend = task.backend
    (T, N), weights = (task.context_length, task.vocab_size), _weights(task, eta_V, eta_A, balanced)

    def unpack(y):
        return Parameters(backend.asarray(y[: T * N].reshape(T, N)), backend.asarray(y[T * N :].reshape(N, N)))

    def pack(parameters):
        return np.concatenate([backend.to_numpy(x).ravel().astype(float) for x in (parameters.A, parameters.V)])

    def velocity(y):
        gradient = projected_gradient(task, unpack(y))
        return -pack(Parameters(weights[1] * gradient.A, weights[0] * gradient.V))

    path = integrate(
        velocity, pack(theta), np.ravel(t), what="the matrix flow", method="DOP853",
        rtol=TOLERANCE, atol=TOLERANCE * 0.1 / T,
    )  # fmt: skip
    return [unpack(y) for y in path.T]


def matrix_descend(
    task: SCB, theta: Parameters, *, steps, step_size, eta_V=1.0, eta_A=1.0, balanced=False
) -> list[Parameters]:
    """Gradient descent along G5 from ``theta``; the steps + 1 parameters it passes through."""
    weights, step_size = _weights(task, eta_V, eta_A, balanced), positive("step_size", step_size)
    path = [theta]
    for _ in range(whole("steps", steps)):
        gradient = projected_gradient(task, path[-1])
        move = Parameters(weights[1] * gradient.A, weights[0] * gradient.V)
        path.append(path[-1] - step_size * move)
    return path


# --- stage 3: S6 ---------------------------------------------------------------------------------


def rounding_interval(*, alpha, q_min, T) -> tuple[float, float]:
    r"""S6: thresholds in :math:`((1-\alpha)/T,\ (1-\alpha)/T + \alpha q_{\min})` keep exactly the support.

    ``q_min`` is the smallest positive entry of the column, or of all columns to serve every trigger.

    Raises
    ------
    InvalidArgument : :math:`\alpha \le 0`: attention is then lowest on the support, and no threshold keeps it.
    """
    if real("alpha", alpha) <= 0:
        raise InvalidArgument(f"alpha is {alpha:g}; rounding needs alpha > 0, attention above the background")
    if not 0 < real("q_min", q_min) <= 1:
        raise InvalidArgument(f"q_min is {q_min:g}; expected the least positive probability, in (0, 1]")
    background = (1 - alpha) / positive("T", T)
    return background, background + alpha * q_min


def support(A, threshold):
    """S6: the entries of A above the threshold, as booleans of A's shape."""
    return threshold < A


def recover(task: SCB, A, threshold: float):
    r"""S6: :math:`\hat Q`, (T, N): keep the support, subtract the background, normalise the columns.

    The background is the mean of what is not kept (0 for a column kept whole). On the plane, with a
    threshold in :func:`rounding_interval`, this is Q exactly.

    Raises
    ------
    InvalidArgument : a column has nothing above the threshold, or what is above sums to the background.
    """
    xp = task.backend.xp
    keep = xp.astype(support(A, threshold), task.backend.dtype)
    kept, dropped = xp.sum(keep, axis=0), xp.sum(1 - keep, axis=0)
    if float(xp.min(kept)) == 0:
        raise InvalidArgument(f"threshold is {threshold:g}; column {int(xp.argmin(kept))} of A has no entry above it")
    background = xp.sum(A * (1 - keep), axis=0) / xp.where(dropped > 0, dropped, xp.ones_like(dropped))
    signal = keep * (A - background[None, :])
    return signal / xp.sum(signal, axis=0, keepdims=True)
