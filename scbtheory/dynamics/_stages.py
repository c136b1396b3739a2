r"""The stages in closed form, each with its error (claims S1 to S5 and S7). Times are in units of :math:`1/\eta`.

Formulas are in the rates :math:`p = \eta_A K_P`, :math:`q = \eta_V K_Q`, :math:`d = \eta_V/T` and
:math:`\omega = \sqrt{pq}`; with equal steps :math:`p = K_P`, :math:`q = K_Q`, :math:`d = 1/T`.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq

from scbtheory.checks import real, reals
from scbtheory.dynamics._system import System, warn
from scbtheory.errors import InvalidArgument
from scbtheory.flows import times

SMALL = 0.1  # a relative error up to which a formula is trusted
LARGEST_EXPONENT = 700.0  # exp overflows beyond
LARGEST_C = 1e100  # its square times those of rates must not overflow
SHIFT = 0.75 * math.log(1 + math.sqrt(2)) - math.sqrt(2) / 4  # S3: what the rise itself takes off the half time


# --- stage 1: S1 ---------------------------------------------------------------------------------


def linearised(*, t, **system):
    r"""S1: :math:`\alpha = (\cosh\omega t - 1)\,d/q`, :math:`\beta = \sinh(\omega t)\,d/\omega`, at the times t.

    Both are upper bounds of the flow at every time, and their relative error is at most
    :func:`linearised_error`.

    Parameters
    ----------
    t : times, a number or an array, in units of :math:`1/\eta`.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple of float or ndarray
        alpha and beta, each of t's shape, from 0 on.

    Raises
    ------
    InvalidArgument : a time or a number of the system is out of its range, or the result overflows: from
        :math:`\omega t = 700` on, and earlier where d is above q.

    Warns
    -----
    OutsideTrustRegion : :func:`linearised_error` exceeds 0.1 at the latest time.
    """
    s, t = System(**system), times(t)
    _representable(s, t, 1, max(s.d / s.q, s.d / s.omega))
    if t.size and _error(s, t.max()) > SMALL:
        warn(f"t reaches {t.max():g}; S1 is trusted to {SMALL:.0%} until t = {_until(s, SMALL):g}")
    half = np.sinh(s.omega * t / 2)  # cosh x - 1 = 2 sinh²(x/2), without cancellation at small x
    return 2 * half**2 * s.d / s.q, np.sinh(s.omega * t) * s.d / s.omega


def linearised_error(*, t, **system):
    r"""S1: :math:`r(t) = d\,t + \frac{d^2}{4q\omega}(\sinh 2\omega t - 2\omega t)`, an exact bound.

    The flow from the start lies between :math:`(1 - r)` times S1 and S1 while S1's :math:`\alpha\beta < 1`.
    At :math:`\alpha\beta = u` it is about :math:`u/2 + d\,t`.

    Parameters
    ----------
    t : times, a number or an array, in units of :math:`1/\eta`.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float or ndarray
        A relative error, of t's shape, from 0 on.

    Raises
    ------
    InvalidArgument : a time or a number of the system is out of its range, or the result overflows: from
        :math:`\omega t = 350` on, and earlier where d is above q.
    """
    s, t = System(**system), times(t)
    _representable(s, t, 2, s.d / s.q * (s.d / s.omega))
    return _error(s, t)


def _error(s, t):
    """Infinite where its sinh is beyond every float."""
    with np.errstate(over="ignore"):
        return s.d * t + s.d / (4 * s.q) * (s.d / s.omega * _beyond(2 * s.omega * t))


def _beyond(x):
    """``sinh x - x``, by its series where that cancels."""
    small, series = np.minimum(x, 0.5), 1.0
    for n in (156, 110, 72, 42, 20):
        series = 1 + small**2 / n * series
    return np.where(x < 0.5, small**3 / 6 * series, np.sinh(x) - x)


def linearised_until(*, error=SMALL, **system) -> float:
    """S1's trust region: the time at which :func:`linearised_error` reaches ``error`` (below 1).

    Parameters
    ----------
    error : relative, in (0, 1).
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float
        In units of 1/η, above 0.

    Raises
    ------
    InvalidArgument : the error or a number of the system is out of its range.
    """
    if not 0 < real("error", error) < 1:
        raise InvalidArgument(f"error is {error:g}; expected a relative error between 0 and 1")
    return _until(System(**system), error)


def _until(s, error):
    latest = min(error / s.d, LARGEST_EXPONENT / 2 / s.omega)  # r(t) > d t
    return float(brentq(lambda t: _error(s, t) - error, 0.0, latest)) if _error(s, latest) > error else latest


def arrival(*, alpha, **system) -> float:
    r"""S1: the time :math:`\omega^{-1}\,\mathrm{arccosh}(1 + \alpha q/d)` of reaching alpha, early by about r/ω.

    Parameters
    ----------
    alpha : from 0 on.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float
        In units of :math:`1/\eta`, from 0 on.

    Raises
    ------
    InvalidArgument : alpha is negative or not finite, or a number of the system is out of its range.

    Warns
    -----
    OutsideTrustRegion : :func:`linearised_error` exceeds 0.1 there.
    """
    s, alpha = System(**system), real("alpha", alpha)
    if alpha < 0:
        raise InvalidArgument(f"alpha is {alpha:g}; the flow from the start only takes values from 0 on")
    t = 2 * math.asinh(math.sqrt(alpha) * math.sqrt(s.q / (2 * s.d))) / s.omega  # arccosh(1 + x) = 2 arsinh √(x/2)
    if _error(s, t) > SMALL:
        warn(f"alpha is {alpha:g}; there S1 is wrong by up to {_error(s, t):.0%}")
    return t


def _representable(s, t, factor, size):
    """Refuse times at which hyperbolic functions of ``factor`` times ωt overflow, alone or times ``size``."""
    if t.size and factor * s.omega * t.max() + max(0.0, math.log(size)) > LARGEST_EXPONENT:
        raise InvalidArgument(
            f"t reaches {t.max():g}, where S1's hyperbolic functions overflow; S1 is trusted until {_until(s, SMALL):g}"
        )


# --- stage 2: S2 to S4 ---------------------------------------------------------------------------


def conserved(alpha, beta, **system):
    r"""S2: :math:`c = p\beta^2 - q\alpha^2`, constant without the drift; with it :math:`\dot c = 2pd\beta(1-\beta)`.

    Parameters
    ----------
    alpha, beta : numbers, or arrays that broadcast.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float or ndarray
        c, of the coordinates' common shape, in units of η.

    Raises
    ------
    InvalidArgument : a coordinate is not a finite number, or a number of the system is out of its range.
    """
    s, alpha, beta = System(**system), reals("alpha", alpha), reals("beta", beta)
    return s.p * beta**2 - s.q * alpha**2


def product(*, t, u, c=0.0, **system):
    r"""S2: :math:`\alpha\beta` at times t after it was ``u`` < 1, by :math:`\dot u = (1-u)\sqrt{c^2+4\omega^2u^2}`.

    With :math:`k = 2\omega`, :math:`R = \sqrt{c^2+k^2}`, :math:`E = e^{Rt}(c^2+k^2u+R\sqrt{c^2+k^2u^2})/(1-u)`:
    :math:`u(t) = (E^2 - 2c^2E - c^2k^2)/(E^2 + 2k^2E - c^2k^2)`; logistic with rate k where c = 0. The drift
    is left out: it moves c by at most :math:`pd\,t/2` while :math:`0\le\beta\le1`.

    Parameters
    ----------
    t : times, a number or an array, in units of :math:`1/\eta`.
    u : :math:`\alpha\beta` at time 0, below 1.
    c : as :func:`conserved` returns it, in units of η; at most 1e100 in size, and 0 if it is below 1e-150 of :math:`k`.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float or ndarray
        :math:`\alpha\beta`, of t's shape, never falling, from u to at most 1.

    Raises
    ------
    InvalidArgument : a time, u, c or a number of the system is out of its range.
    """
    s, t, u, c = System(**system), times(t), real("u", u), real("c", c)
    if u >= 1:
        raise InvalidArgument(f"u is {u:g}; expected αβ below 1, which stage 2 approaches")
    if abs(c) > LARGEST_C:
        raise InvalidArgument(f"c is {c:g}; expected at most {LARGEST_C:g} in size")
    k = 2 * s.omega
    if abs(c) < 1e-150 * k:  # its square would vanish against k²
        fall = np.exp(-k * t)
        return u / (u + (1 - u) * fall) if u > 0 else u * fall / (1 + u * np.expm1(-k * t))
    R, root = math.hypot(c, k), math.hypot(c, k * u)
    middle = c**2 + k**2 * u
    if middle >= 0:
        E = (middle + R * root) / (1 - u)
    else:  # the same number, by the conjugate: the sum above cancels
        E = (c * k) ** 2 * (1 - u) / (R * root - middle)
    E = E * np.exp(np.minimum(R * t, LARGEST_EXPONENT - max(0.0, math.log(E))))
    ratio = (c * k) ** 2 / E
    return (E - 2 * c**2 - ratio) / (E + 2 * k**2 - ratio)


def half_time(*, order=1, **system) -> float:
    r"""S3: the time at which :math:`\alpha\beta = \frac12`, from the start.

    ``order=1``: :math:`t_0 = (2\omega)^{-1}\log(4q\omega/d^2)`, which is :math:`(2\omega)^{-1}\log(4T^2K_Q\omega)`
    with equal and :math:`\log(2TK_Q)` with balanced steps; its error is :math:`O(d\,t_0)`. ``order=2`` adds
    :math:`\frac d\omega\left(\frac{t_0}2 - \frac{\nu r}\omega\right)`, with :math:`r = (p/q)^{1/4}` and
    :math:`\nu = \frac34\log(1+\sqrt2) - \frac{\sqrt2}4`; what remains is :math:`O(d^2t_0)` (measured).

    The expansion is trusted while :math:`\epsilon = \frac d\omega\left(\frac12 + \frac{\nu r}{\omega t_0}\right)`,
    about the relative error of order 1, is below 0.1.

    Parameters
    ----------
    order : 1 or 2.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float
        In units of :math:`1/\eta`.

    Raises
    ------
    InvalidArgument : :math:`t_0 \le 0` or :math:`\epsilon \ge 1`: the drift is as fast as the growth, no stage 1; or
        ``order`` or a number of the system is out of its range.

    Warns
    -----
    OutsideTrustRegion : :math:`\epsilon` is above 0.1.
    """
    if order not in (1, 2):
        raise InvalidArgument(f"order is {order!r}; expected 1 or 2")
    s = System(**system)
    t_0 = math.log(2 * s.omega / (s.skew * s.d)) / s.omega
    share = s.d / s.omega * (0.5 + SHIFT * s.skew / (s.omega * t_0)) if t_0 > 0 else math.inf
    if share >= 1:
        raise InvalidArgument(
            f"no first stage at K_P={s.K_P:g}, K_Q={s.K_Q:g}, T={s.T:g}: the drift {s.d:.3g} is not small against "
            f"the growth rate {s.omega:.3g}; T is too small, or K_Q or K_P too near 0"
        )
    if share > SMALL:
        warn(
            f"at K_P={s.K_P:g}, K_Q={s.K_Q:g}, T={s.T:g} the half time {t_0:.3g} is wrong by about {share:.0%}; "
            f"its expansion is trusted up to {SMALL:.0%}"
        )
    return t_0 + (s.d / s.omega * (t_0 / 2 - SHIFT * s.skew / s.omega) if order == 2 else 0.0)


def stage_two_end(**system) -> tuple[float, float]:
    r"""S4: :math:`(\alpha, \beta) = ((p/q)^{1/4}, (q/p)^{1/4})`, where c = 0 meets :math:`\alpha\beta = 1`.

    It is (1, 1) with balanced steps. The flow passes it at a distance of order :math:`d\,\log T`, then creeps (S5).

    Parameters
    ----------
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple of float
        alpha and beta, above 0.

    Raises
    ------
    InvalidArgument : a number of the system is out of its range.
    """
    s = System(**system)
    return s.skew, 1 / s.skew
