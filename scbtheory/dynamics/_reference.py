r"""The reduced flow to many digits, by Taylor series: what the orders of the errors are measured against.

The velocity is a polynomial, so the coefficients of the solution's Taylor series follow from convolutions;
a step goes to where the last coefficients stop mattering, which follows the distance of the nearest
complex singularity and so takes long steps through stage 1.
"""

from __future__ import annotations

import mpmath as mp

from scbtheory.checks import count, real
from scbtheory.dynamics._system import System
from scbtheory.errors import InvalidArgument


def high_precision_half_time(*, level=0.5, digits=30, **system) -> mp.mpf:
    r"""The time at which the flow from the start reaches :math:`\alpha\beta` = ``level``, to about ``digits`` digits.

    Levels near 1 may be passed only during the creep, and are refused.

    Parameters
    ----------
    level : of :math:`\alpha\beta`, above 0 and at most 0.9.
    digits : decimal, a whole number above 0.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    mpmath.mpf
        In units of :math:`1/\eta`, above 0.

    Raises
    ------
    InvalidArgument : the level, digits or a number of the system is out of its range.
    """
    level = _exact("level", level)
    if not 0 < level <= 0.9:
        raise InvalidArgument(f"level is {mp.nstr(level, 5)}; expected a value of αβ above 0 and at most 0.9")
    with mp.workdps(count("digits", digits) + 5):
        t = mp.mpf(0)
        for alpha, beta, h in _steps(System(**system), digits):
            a, b = _at(alpha, h), _at(beta, h)
            if a * b >= level:
                return t + _root(alpha, beta, h, level)
            t += h
    raise AssertionError("the flow's steps never end")


def high_precision_flow(*, t, digits=30, **system) -> tuple[mp.mpf, mp.mpf]:
    """``(alpha, beta)`` of the flow from the start at one time t, to about ``digits`` digits.

    Parameters
    ----------
    t : one time, a float or an mpf, in units of 1/η; finite and from 0 on.
    digits : decimal, a whole number above 0.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple of mpmath.mpf
        alpha and beta.

    Raises
    ------
    InvalidArgument : the time is negative or not finite, or digits or a number of the system is out of its range.
    """
    t = _exact("t", t)
    if not (mp.isfinite(t) and t >= 0):
        raise InvalidArgument(f"t is {mp.nstr(t, 5)}; expected a time, finite and from 0 on")
    with mp.workdps(count("digits", digits) + 5):
        target = +t
        for alpha, beta, h in _steps(System(**system), digits):
            if h >= target:
                return _at(alpha, target), _at(beta, target)
            target -= h
    raise AssertionError("the flow's steps never end")


def _exact(name, value):
    """A number as an mpf, with the digits that it has."""
    return value if isinstance(value, mp.mpf) else mp.mpf(real(name, value))


def _steps(system, digits):
    """Yield the Taylor coefficients of alpha and beta about each point, and the step that follows."""
    p, q, d = system.rates(mp.mpf)
    order, tolerance = digits + 2, mp.mpf(10) ** -(digits + 2)
    a0 = b0 = mp.mpf(0)
    while True:
        alpha, beta, u = [a0], [b0], []
        for n in range(order):
            u.append(_convolve(alpha, beta, n))
            alpha.append(p * (beta[n] - _convolve(beta, u, n)) / (n + 1))
            beta.append((q * (alpha[n] - _convolve(alpha, u, n)) + d * ((n == 0) - beta[n])) / (n + 1))
        # Two coefficients, as every second one may vanish; relative to the values, tiny throughout stage 1.
        size = max(abs(alpha[0]), abs(beta[0]), d / mp.sqrt(p * q))
        last = [abs(c) for x in (alpha, beta) for c in x[-2:]]
        h = min((tolerance * size / c) ** (mp.mpf(1) / order) for c in last if c)
        yield alpha, beta, h
        a0, b0 = _at(alpha, h), _at(beta, h)


def _convolve(x, y, n):
    return mp.fdot(x[: n + 1], y[n::-1])


def _at(coefficients, h):
    return mp.polyval(coefficients[::-1], h)


def _root(alpha, beta, h, level):
    """Where the product of the two polynomials reaches ``level`` in (0, h), by Newton's method from h."""
    for _ in range(60):
        (a, da), (b, db) = (mp.polyval(x[::-1], h, derivative=1) for x in (alpha, beta))
        move = (a * b - level) / (a * db + da * b)
        h -= move
        if abs(move) < mp.mpf(10) ** (3 - mp.mp.dps):
            break
    return h
