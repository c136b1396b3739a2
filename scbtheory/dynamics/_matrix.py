r"""From two numbers to the matrices and back: the plane, the full flow, and rounding (claims R1 and S6)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scbtheory.checks import correlation, flag, positive, real, reals, whole
from scbtheory.dynamics._reduced import TOLERANCE
from scbtheory.errors import InvalidArgument
from scbtheory.flows import integrate
from scbtheory.model import Parameters, check, check_array
from scbtheory.population import projected_gradient
from scbtheory.task import SCB


class Coordinates(NamedTuple):
    r"""The nearest point of the plane, and how far it is: :math:`\sqrt{\|\Delta A\|_\mu^2 + \|\Delta V\|_\mu^2}`.

    Parameters
    ----------
    alpha, beta : coordinates of the point; (0, 0) is the start and (1, 1) the truth.
    distance : from there, at least 0.
    """

    alpha: float
    beta: float
    distance: float


def lift(task: SCB, alpha: float, beta: float) -> Parameters:
    r"""R1's plane: :math:`A = 11^\top/T + \alpha Q'`, :math:`V = \mu 1^\top + \beta P'`.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    alpha, beta : the coordinates; (0, 0) is the start and (1, 1) the truth.

    Returns
    -------
    Parameters
        ``A`` (T, N) and ``V`` (N, N).

    Raises
    ------
    InvalidArgument : a coordinate is not a finite number.
    """
    start = Parameters.initial(task)
    alpha, beta = real("alpha", alpha), real("beta", beta)
    return Parameters(start.A + alpha * (task.Q - start.A), start.V + beta * (task.P - start.V))


def reduce(task: SCB, theta: Parameters) -> Coordinates:
    r"""R1: the coordinates of the nearest point of the plane, by projection on :math:`Q'` and :math:`P'`.

    :math:`\alpha = \langle A - 11^\top/T, Q'\rangle_\mu/K_Q`, :math:`\beta = \langle V - \mu1^\top, P'\rangle_\mu/K_P`.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N) and ``V`` (N, N), on the plane or off it.

    Returns
    -------
    Coordinates
        Both coordinates, and the distance from the plane in the μ-norm.

    Raises
    ------
    InvalidArgument : :math:`K_P` or :math:`K_Q` is 0, so that a coordinate has no meaning.
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
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
    if flag("balanced", balanced) and (eta_V, eta_A) != (1.0, 1.0):
        raise InvalidArgument(f"balanced=True already chooses eta_V and eta_A; they are {(eta_V, eta_A)}")
    if balanced:
        return 1 / correlation(task, "K_Q"), 1 / correlation(task, "K_P")
    return positive("eta_V", eta_V), positive("eta_A", eta_A)


def matrix_flow(task: SCB, theta: Parameters, t, *, eta_V=1.0, eta_A=1.0, balanced=False) -> list[Parameters]:
    r"""Integrate :math:`\dot V = -\eta_V G_V`, :math:`\dot A = -\eta_A G_A` (G5) from ``theta``: all TN + N² numbers.

    Nothing of the reduction is used. Dormand and Prince's method of order 8; its error is about 1e-12 in float64.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N) and ``V`` (N, N) at time 0.
    t : times, a number or an array, in units of :math:`1/\eta` and in any order.
    eta_V, eta_A : positive weights of the two step sizes.
    balanced : S4's weights, 1/K_Q for V and 1/K_P for A, in their place.

    Returns
    -------
    list of Parameters
        The parameters at each of the times, in the order given (an array's row by row).

    Raises
    ------
    InvalidArgument : a time, a weight or ``theta`` is out of its range, weights are given twice, steps are balanced and
        :math:`K_P` or :math:`K_Q` is 0, or the solver gave up.
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
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
    """Gradient descent along G5 from ``theta``; the steps + 1 parameters it passes through.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N) and ``V`` (N, N) to begin with.
    steps : how many, from 0 on.
    step_size : η, above 0.
    eta_V, eta_A : positive weights of the two step sizes.
    balanced : S4's weights, 1/K_Q for V and 1/K_P for A, in their place.

    Returns
    -------
    list of Parameters
        ``theta``, then the parameters after each step.

    Raises
    ------
    InvalidArgument : steps, the step size or a weight is out of its range, weights are given twice, or they are
        balanced and :math:`K_P` or :math:`K_Q` is 0.
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    weights, step_size = _weights(task, eta_V, eta_A, balanced), positive("step_size", step_size)
    check(task, theta)
    path = [theta]
    for _ in range(whole("steps", steps)):
        gradient = projected_gradient(task, path[-1])
        move = Parameters(weights[1] * gradient.A, weights[0] * gradient.V)
        path.append(path[-1] - step_size * move)
    return path


# --- stage 3: S6 ---------------------------------------------------------------------------------


def rounding_interval(*, alpha, q_min, T) -> tuple[float, float]:
    r"""S6: thresholds in :math:`((1-\alpha)/T,\ (1-\alpha)/T + \alpha q_{\min})` keep exactly the support.

    Parameters
    ----------
    alpha : where attention is on the plane, above 0.
    q_min : the smallest positive entry of the column, or of all columns to serve every trigger; in (0, 1].
    T : context length, above 0.

    Returns
    -------
    tuple of float
        Both ends, in units of attention: the background and the least attention on the support.

    Raises
    ------
    InvalidArgument : :math:`\alpha \le 0`: attention is then lowest on the support, and no threshold keeps it; or
        ``q_min`` or ``T`` is out of its range.
    """
    if real("alpha", alpha) <= 0:
        raise InvalidArgument(f"alpha is {alpha:g}; rounding needs alpha > 0, attention above the background")
    if not 0 < real("q_min", q_min) <= 1:
        raise InvalidArgument(f"q_min is {q_min:g}; expected the least positive probability, in (0, 1]")
    background = (1 - alpha) / positive("T", T)
    return background, background + alpha * q_min


def support(A, threshold):
    """S6: the entries of A above the threshold, as booleans of A's shape.

    Parameters
    ----------
    A : attention, an array of any shape.
    threshold : a number in units of attention, or an array that broadcasts with A.

    Returns
    -------
    array
        Booleans; an entry that equals the threshold is not kept.

    Raises
    ------
    InvalidArgument : A or the threshold is not finite or no real numbers, unless it is an array of another library.
    """
    A, threshold = (_comparable(name, x) for name, x in (("A", A), ("threshold", threshold)))
    return threshold < A


def _comparable(name, x):
    """An array as it is, in its own library and precision; NumPy's for a list."""
    if hasattr(x, "__array_namespace__") and not isinstance(x, (np.ndarray, np.generic)):
        return x
    found = reals(name, x)
    return x if isinstance(x, np.ndarray) else found


def recover(task: SCB, A, threshold: float):
    r"""S6: :math:`\hat Q`, (T, N): keep the support, subtract the background, normalise the columns.

    The background is the mean of what is not kept (0 for a column kept whole). On the plane, with a
    threshold in :func:`rounding_interval`, this is Q exactly.

    Parameters
    ----------
    task : the task; only its array library and precision are read.
    A : (T, N), attention on the task's backend.
    threshold : a number, in units of attention.

    Returns
    -------
    array
        (T, N), 0 off the support; every column sums to 1.

    Raises
    ------
    InvalidArgument : a column has nothing above the threshold, or one kept whole has no sum above 0 to divide by; or A
        is not finite, on NumPy.
    ShapeMismatch, MixedBackends : ``A`` does not belong to the task.
    """
    check_array(task, "A", A, (task.context_length, task.vocab_size))
    xp, threshold = task.backend.xp, real("threshold", threshold)
    keep = xp.astype(support(A, threshold), task.backend.dtype)
    kept, dropped = xp.sum(keep, axis=0), xp.sum(1 - keep, axis=0)
    if float(xp.min(kept)) == 0:
        raise InvalidArgument(f"threshold is {threshold:g}; column {int(xp.argmin(kept))} of A has no entry above it")
    background = xp.sum(A * (1 - keep), axis=0) / xp.where(dropped > 0, dropped, xp.ones_like(dropped))
    signal = keep * (A - background[None, :])
    total, size = xp.sum(signal, axis=0), xp.sum(xp.abs(signal), axis=0)
    spare = total - task.context_length * float(xp.finfo(task.backend.dtype).eps) * size
    if not float(xp.min(spare)) > 0:
        k = int(xp.argmin(spare))
        raise InvalidArgument(f"A[:, {k}] is kept whole and sums to {float(total[k]):g}; expected a sum above 0")
    return signal / total[None, :]
