"""The one integrator of all flows: it checks times, start and velocity, and that the solver succeeded."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.integrate import solve_ivp

from scbtheory.checks import positive
from scbtheory.errors import InvalidArgument

__all__ = ["integrate", "times", "until"]

MOST = 10**6  # evaluations of a velocity: a thousand times what the flows of the book take


def times(t) -> np.ndarray:
    """Times as a float array of any shape; refuse negative and non-finite ones.

    Parameters
    ----------
    t : a number or an array of them, of any shape, in units of 1/η.

    Returns
    -------
    ndarray
        Of the shape of ``t``.

    Raises
    ------
    InvalidArgument : an entry is not a number, is negative or is not finite.
    """
    try:
        t = np.asarray(t, dtype=float)
    except (TypeError, ValueError):
        raise InvalidArgument(f"t is {t!r}; expected times, in units of 1/η") from None
    if not np.all(np.isfinite(t) & (t >= 0)):
        raise InvalidArgument(f"t has entries between {np.min(t):g} and {np.max(t):g}; times are finite and from 0 on")
    return t


def integrate(velocity, start, t, *, what: str, method: str = "LSODA", **options) -> np.ndarray:
    r"""Integrate :math:`\dot y = \mathrm{velocity}(y)` from ``start`` at time 0.

    Parameters
    ----------
    velocity : maps y, shape (n,), to its derivative, shape (n,).
    start : (n,) finite numbers.
    t : times of any shape and in any order, repeated ones too; none give an empty result.
    what : is integrated, in words, for errors.
    method, **options : of SciPy's ``solve_ivp``: ``rtol``, ``atol``, ``jac``.

    Returns
    -------
    ndarray
        (n, *t.shape).

    Raises
    ------
    InvalidArgument : a time is negative or not finite, the start or its velocity is not finite, or the solver gave up.
    """
    t = times(t)
    moments, where = np.unique(np.append(t, 0.0), return_inverse=True)
    start = _begin(velocity, start, what)
    if len(moments) == 1:
        return np.broadcast_to(start.reshape(-1, *[1] * t.ndim), (len(start), *t.shape)).copy()
    solution = _solve(velocity, start, moments[-1], what, method, t_eval=moments, **options)
    return solution.y[:, where[:-1]].reshape(len(start), *t.shape)


def until(velocity, start, events, longest: float, *, what: str, method: str = "LSODA", **options) -> list[np.ndarray]:
    """Integrate until the first of ``events`` that is terminal, or the time ``longest``; the times of each event.

    Parameters
    ----------
    velocity : maps y, shape (n,), to its derivative, shape (n,).
    start : (n,) finite numbers, at time 0.
    events : functions of y whose zeros count; SciPy's ``terminal`` and ``direction`` are read off them.
    longest : a finite time above 0, in the units of the velocity.
    what : is integrated, in words, for errors.
    method, **options : as for :func:`integrate`.

    Returns
    -------
    list of ndarray
        The times of each event, in increasing order; empty for one that never happens.

    Raises
    ------
    InvalidArgument : ``longest`` is not such a time, the start or its velocity is not finite, or the solver gave up.
    """
    longest, start = positive("longest", longest), _begin(velocity, start, what)
    return _solve(velocity, start, longest, what, method, events=[_Event(e) for e in events], **options).t_events


class _Event:
    """A function of y as SciPy wants it: of time and y, with attributes that say which zeros count.

    Of each time it has one value. SciPy sees a change of sign at the ends of a step, and then asks again there, at a y
    that it interpolates: near a flow's rest that rounds to the other side of the zero.
    """

    def __init__(self, function):
        self.function = function
        self.terminal = getattr(function, "terminal", False)
        self.direction = getattr(function, "direction", 0)
        self.values = {}

    def __call__(self, t, y):
        if t not in self.values:
            self.values[t] = self.function(y)
        return self.values[t]


def _begin(velocity, start, what):
    start = np.asarray(start, dtype=float)
    if not np.all(np.isfinite(start)):
        raise InvalidArgument(f"{what} starts at {_shown(start)}; expected finite numbers")
    if not np.all(np.isfinite(velocity(start))):
        raise InvalidArgument(f"{what} has no finite velocity at its start {_shown(start)}; check the step sizes")
    return start


def _shown(y):
    return tuple(y.tolist()) if y.size <= 4 else f"a point with {y.size} numbers"


def _solve(velocity, start, end, what, method, **options):
    calls = itertools.count(1)

    def counted(_, y):
        if next(calls) > MOST:
            raise InvalidArgument(f"{what} from {_shown(start)} takes beyond {MOST} evaluations; it may not be finite")
        return velocity(y)

    # How callers treat overflow is theirs; a trial step of the solver may overflow and is then shortened.
    with np.errstate(all="ignore"):
        solution = solve_ivp(counted, (0.0, end), start, method=method, **options)
    if not solution.success or not np.all(np.isfinite(solution.y)):
        raise InvalidArgument(f"{what} from {_shown(start)} could not be integrated: {solution.message}")
    return solution
