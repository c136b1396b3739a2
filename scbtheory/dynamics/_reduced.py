r"""The two numbers: velocity, flow, discrete steps, fixed points and loss on the plane (claims R2 to R4).

Every function takes the system as keywords: ``K_P``, ``K_Q``, ``T`` and, where step sizes differ,
``eta_V`` and ``eta_A`` or ``balanced=True`` (see :class:`~scbtheory.dynamics.System`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scbtheory.checks import pair, positive, real, reals, whole
from scbtheory.dynamics._system import System
from scbtheory.errors import InvalidArgument
from scbtheory.flows import integrate

TOLERANCE = 1e-12  # relative, of the integrators


class FixedPoint(NamedTuple):
    """A zero of the velocity; ``eigenvalues`` of its Jacobian in ascending order, in units of η.

    Parameters
    ----------
    alpha, beta : where it is.
    eigenvalues : both, real.
    kind : ``"stable node"`` or ``"saddle"``.
    """

    alpha: float
    beta: float
    eigenvalues: tuple[float, float]
    kind: str


def velocity(alpha, beta, **system):
    r"""R2: :math:`(\dot\alpha, \dot\beta) = (p\beta(1-\alpha\beta),\; q\alpha(1-\alpha\beta) + d(1-\beta))`.

    Parameters
    ----------
    alpha, beta : numbers, or arrays that broadcast.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple of float or ndarray
        Both derivatives, of the coordinates' common shape, in units of η.

    Raises
    ------
    InvalidArgument : a coordinate is not a finite number, or a number of the system is out of its range.
    """
    return _velocity(System(**system), reals("alpha", alpha), reals("beta", beta))


def _velocity(s, alpha, beta):
    rest = 1 - alpha * beta
    return s.p * beta * rest, s.q * alpha * rest + s.d * (1 - beta)


def flow(*, t, start=(0.0, 0.0), **system):
    r"""Integrate R2 from ``start`` = (alpha, beta); return ``(alpha, beta)`` at the times t, each of t's shape.

    The integrator switches between stiff and non-stiff steps, so that the creep (times of order T) costs no more
    than the rise. Its error is about 1e-11 of the values' size.

    Parameters
    ----------
    t : times, a number or an array, in units of :math:`1/\eta` and in any order.
    start : (alpha, beta) at time 0, finite.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple of float or ndarray
        alpha and beta, each of t's shape.

    Raises
    ------
    InvalidArgument : a time, the start or a number of the system is out of its range, or the solver gave up.
    """
    s, start = System(**system), pair("start", start)

    def jacobian(_, y):
        alpha, beta = y
        return [
            [-s.p * beta**2, s.p * (1 - 2 * alpha * beta)],
            [s.q * (1 - 2 * alpha * beta), -s.q * alpha**2 - s.d],
        ]

    return tuple(
        integrate(
            lambda y: _velocity(s, *y), start, t, what="the flow", jac=jacobian,
            rtol=TOLERANCE, atol=TOLERANCE * min(s.d, s.d / s.q),
        )
    )  # fmt: skip


def step(alpha, beta, *, step_size, **system):
    r"""One step of gradient descent on the plane: :math:`(\alpha, \beta) + \eta(\dot\alpha, \dot\beta)`.

    Parameters
    ----------
    alpha, beta : numbers, or arrays that broadcast.
    step_size : :math:`\eta`, above 0; a number or an array that broadcasts.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple of float or ndarray
        The next alpha and beta.

    Raises
    ------
    InvalidArgument : a coordinate is not a finite number, a step size is not one above 0, or a number of the system is
        out of its range.
    """
    s, alpha, beta, step_size = (
        System(**system), reals("alpha", alpha), reals("beta", beta), reals("step_size", step_size)
    )  # fmt: skip
    if not np.all(step_size > 0):
        raise InvalidArgument(f"step_size is {step_size}; expected numbers above 0")
    d_alpha, d_beta = _velocity(s, alpha, beta)
    return alpha + step_size * d_alpha, beta + step_size * d_beta


def descend(*, steps, step_size, start=(0.0, 0.0), **system):
    """Return ``(alpha, beta)``, each (steps + 1,): gradient descent on the plane from ``start``.

    Parameters
    ----------
    steps : how many, from 0 on.
    step_size : η, above 0.
    start : (alpha, beta) to begin with, finite.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple of ndarray
        alpha and beta, each (steps + 1,), ``start`` first.

    Raises
    ------
    InvalidArgument : steps, the step size, the start or a number of the system is out of its range.
    """
    s, step_size, steps = System(**system), positive("step_size", step_size), whole("steps", steps)
    path = np.empty((steps + 1, 2))
    path[0] = pair("start", start)
    for n in range(steps):
        path[n + 1] = path[n] + step_size * np.array(_velocity(s, *path[n]))
    return path[:, 0], path[:, 1]


def fixed_points(**system) -> tuple[FixedPoint, FixedPoint]:
    r"""R4: the stable node (1, 1) and the saddle :math:`(-d/q, 0)`, the only two.

    Eigenvalues solve :math:`\lambda^2 + (p+q+d)\lambda + pd = 0` at the node, whose smaller one is S5's
    creep, and :math:`\lambda^2 + d(1 + d/q)\lambda - pq = 0` at the saddle.

    Parameters
    ----------
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple of FixedPoint
        The node, then the saddle.

    Raises
    ------
    InvalidArgument : a number of the system is out of its range.
    """
    s = System(**system)
    return (
        FixedPoint(1.0, 1.0, _eigenvalues(s.p + s.q + s.d, s.p * s.d), "stable node"),
        FixedPoint(-s.d / s.q, 0.0, _eigenvalues(s.d * (1 + s.d / s.q), -s.p * s.q), "saddle"),
    )


def _eigenvalues(minus_trace, determinant):
    """Roots of ``x² + minus_trace x + determinant``; the smaller one as a quotient, which nothing cancels in."""
    low = -(minus_trace + np.sqrt(minus_trace**2 - 4 * determinant)) / 2
    return float(low), float(determinant / low)


def plane_loss(alpha, beta, *, mu_squared, K_P, K_Q, T):
    r"""R3: :math:`\ell = \frac12[1 - \|\mu\|^2 - 2(1/T + \alpha K_Q)\beta K_P + (1/T + \alpha^2K_Q)\beta^2K_P]`.

    Parameters
    ----------
    alpha, beta : numbers, or arrays that broadcast.
    mu_squared : :math:`\|\mu\|^2`, from 0 to 1; it only shifts the loss.
    K_P, K_Q : in (0, 1) and in (0, 1 - 1/T].
    T : context length, at least 2.

    Returns
    -------
    float or ndarray
        The population loss, of the coordinates' common shape.

    Raises
    ------
    InvalidArgument : a coordinate is not a finite number, or another number is out of its range.
    """
    s, alpha, beta = System(K_P=K_P, K_Q=K_Q, T=T), reals("alpha", alpha), reals("beta", beta)
    if not 0 <= real("mu_squared", mu_squared) <= 1:
        raise InvalidArgument(f"mu_squared is {mu_squared!r}; expected a sum of squared chances, from 0 to 1")
    K_P, K_Q, T = s.K_P, s.K_Q, s.T
    return 0.5 * (1 - mu_squared - 2 * (1 / T + alpha * K_Q) * beta * K_P + (1 / T + alpha**2 * K_Q) * beta**2 * K_P)
