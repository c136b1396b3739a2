r"""The flow of three numbers, and when it arrives (claims T1, T2 and T4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from scbtheory.checks import positive, real, reals
from scbtheory.dynamics import System
from scbtheory.errors import InvalidArgument
from scbtheory.flows import integrate, until
from scbtheory.model import Parameters
from scbtheory.task import SCB
from scbtheory.transfer._start import centred

TOLERANCE = 1e-12


# --- three numbers: T1 ---------------------------------------------------------------------------


class TransferSystem(NamedTuple):
    """The constants of T1; ``system`` holds K_P, K_Q, T and the step sizes.

    Parameters
    ----------
    system : a :class:`scbtheory.dynamics.System`.
    K_hat, K_cross : see :class:`Correlations`.
    """

    system: System
    K_hat: float
    K_cross: float


def _system(K_hat, K_cross, system) -> TransferSystem:
    s, K_hat, K_cross = System(**system), real("K_hat", K_hat), real("K_cross", K_cross)
    if K_hat < 0 or K_cross**2 > K_hat * s.K_P * (1 + 1e-9):
        raise InvalidArgument(
            f"K_hat is {K_hat!r} and K_cross {K_cross!r} at K_P {s.K_P:g}; "
            "expected K_cross² ≤ K_hat K_P, by Cauchy-Schwarz"
        )
    return TransferSystem(s, K_hat, K_cross)


def velocity(alpha, beta, gamma, *, K_hat, K_cross, **system):
    r"""T1: the velocities of :math:`V = \mu1^\top + \beta P' + \gamma\hat P'`, :math:`A = 11^\top/T + \alpha Q'`.

    :math:`\dot\alpha = \eta_A[(\beta K_P + \gamma K_\times) - (\beta^2K_P + 2\beta\gamma K_\times
    + \gamma^2K_{\hat P})\alpha]`, :math:`\dot\beta = \eta_V[(1/T + \alpha K_Q) - (1/T + \alpha^2K_Q)\beta]`,
    :math:`\dot\gamma = -\eta_V(1/T + \alpha^2K_Q)\gamma`.

    Parameters
    ----------
    alpha, beta, gamma : numbers or arrays of one shape.
    K_hat, K_cross : see :class:`Correlations`.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple
        The velocities of the three, each of their shape, in units of η.

    Raises
    ------
    InvalidArgument : a coordinate or constant is not finite or outside its range, or
        :math:`K_\times^2 > K_{\hat P}K_P`.
    """
    c, coordinates = _system(K_hat, K_cross, system), {"alpha": alpha, "beta": beta, "gamma": gamma}
    return _velocity(c, *(reals(name, x) for name, x in coordinates.items()))


def _velocity(c, alpha, beta, gamma):
    s = c.system
    eta_A, eta_V = s.p / s.K_P, s.q / s.K_Q
    overlap = beta * s.K_P + gamma * c.K_cross
    power = beta**2 * s.K_P + 2 * beta * gamma * c.K_cross + gamma**2 * c.K_hat
    norm = 1 / s.T + alpha**2 * s.K_Q
    return eta_A * (overlap - power * alpha), eta_V * (1 / s.T + alpha * s.K_Q - norm * beta), -eta_V * norm * gamma


def flow(*, t, K_hat, K_cross, theta: float = 1.0, **system):
    r"""Integrate T1 from :math:`(\alpha,\beta,\gamma) = (0, 0, \theta)`; the three at times t, in :math:`1/\eta`.

    Parameters
    ----------
    t : times, a number or an array in any order.
    K_hat, K_cross, theta : see :class:`Correlations` and :func:`start`.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple of ndarray
        :math:`\alpha`, :math:`\beta` and :math:`\gamma`, each of t's shape.

    Raises
    ------
    InvalidArgument : as for :func:`velocity`; a time or theta is not finite, or a time negative; or the solver gave up.
    """
    c = _system(K_hat, K_cross, system)
    s = c.system
    return tuple(
        integrate(
            lambda y: _velocity(c, *y), (0.0, 0.0, real("theta", theta)), t, what="the transfer flow",
            rtol=TOLERANCE, atol=TOLERANCE * min(s.d, s.d / s.q),
        )
    )  # fmt: skip


def time_to(level: float, *, K_hat, K_cross, theta: float = 1.0, longest: float = 1e6, **system) -> float:
    r"""The first time, in :math:`1/\eta`, at which :math:`|\alpha|` reaches ``level``.

    Infinite where it does not within ``longest``. On the wrong branch it is attention's distance that counts.

    Parameters
    ----------
    level : above 0.
    K_hat, K_cross, theta : see :class:`Correlations` and :func:`start`.
    longest : the last time looked at, above 0.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float
        At most ``longest``, or infinity.

    Raises
    ------
    InvalidArgument : the level or ``longest`` is not above 0, or another number is not finite; or as for :func:`flow`.
    """
    c, level, longest = _system(K_hat, K_cross, system), positive("level", level), positive("longest", longest)
    s = c.system

    def arrived(y):
        return abs(y[0]) - level

    def turned(y):  # the velocity of alpha: its zeros are the peaks, which a step of the solver may pass over
        return _velocity(c, *y)[0]

    arrived.terminal = True  # type: ignore[attr-defined]  # SciPy reads it off the function
    tolerances = {"rtol": TOLERANCE, "atol": TOLERANCE * min(s.d, s.d / s.q)}
    begin = (0.0, 0.0, real("theta", theta))

    def first(longest):
        found = until(
            lambda y: _velocity(c, *y), begin, (arrived, turned), longest, what="the transfer flow", **tolerances
        )
        return found[0], found[1]

    hits, peaks = first(longest)
    latest = hits[0] if len(hits) else longest
    peaks = peaks[peaks < latest]
    alpha = np.abs(flow(t=peaks, K_hat=K_hat, K_cross=K_cross, theta=theta, **system)[0])
    for peak in peaks[alpha >= level][:1]:  # passed over: up to the peak alpha rises, and the level is on the way
        return _between(level, float(peak), K_hat=K_hat, K_cross=K_cross, theta=theta, **system)
    return float(hits[0]) if len(hits) else np.inf


def _between(level, peak, **where):
    """The time before a peak at which :math:`|\alpha|` has the level."""

    def excess(t):
        return abs(flow(t=[t], **where)[0][0]) - level

    begin = 0.5 * peak
    while excess(begin) > 0:
        begin *= 0.5
    return float(peak if excess(peak) == 0 else brentq(excess, begin, peak, xtol=1e-10 * peak))


def lift(task: SCB, P_hat, alpha: float, beta: float, gamma: float) -> Parameters:
    r"""T1's space: :math:`V = \mu1^\top + \beta P' + \gamma\hat P'`, :math:`A = 11^\top/T + \alpha Q'`.

    Parameters
    ----------
    task, P_hat : as for :func:`centred`, whose errors these are too.
    alpha, beta, gamma : the coordinates.

    Returns
    -------
    Parameters
        ``A`` (T, N) and ``V`` (N, N).

    Raises
    ------
    InvalidArgument : a coordinate is not a finite number.
    """
    alpha, beta, gamma = real("alpha", alpha), real("beta", beta), real("gamma", gamma)
    scratch = Parameters.initial(task)
    V = scratch.V + beta * (task.P - scratch.V) + gamma * centred(task, P_hat)
    return Parameters(scratch.A + alpha * (task.Q - scratch.A), V)
