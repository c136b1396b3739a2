r"""After the rise: the creep along the slow manifold, and attention held at the truth (claims S5 and S7).

Rates and times are those of :mod:`scbtheory.dynamics._stages`.
"""

from __future__ import annotations

import math

import numpy as np

from scbtheory.checks import positive, real, reals
from scbtheory.dynamics._system import System
from scbtheory.errors import InvalidArgument
from scbtheory.flows import times

# --- the creep: S5 -------------------------------------------------------------------------------


def creep_rate(**system) -> float:
    r"""S5: the slow eigenvalue at (1, 1) to leading order, :math:`-d\,p/(p+q)`, in units of η; error :math:`O(d^2)`.

    Parameters
    ----------
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float
        In units of η, below 0.

    Raises
    ------
    InvalidArgument : a number of the system is out of its range.
    """
    return rate_of(System(**system))


def rate_of(s: System) -> float:
    """:func:`creep_rate` of a system that is there already."""
    return -s.d * s.p / (s.p + s.q)


def creep_velocity(beta, **system):
    r"""S5: :math:`\dot\beta = d(1-\beta)\,p\beta^4/(p\beta^4+q)` along :math:`\alpha\beta = 1`; relative error O(d).

    Parameters
    ----------
    beta : a number or an array.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float or ndarray
        Of beta's shape, in units of η.

    Raises
    ------
    InvalidArgument : a coordinate is not a finite number, or a number of the system is out of its range.
    """
    s, beta = System(**system), reals("beta", beta)
    return s.d * (1 - beta) * s.p * beta**4 / (s.p * beta**4 + s.q)


def slow_manifold(beta, **system):
    r"""S5: alpha on the slow manifold, :math:`\frac1\beta + d\,\frac{1-\beta}{p\beta^4+q}`, up to :math:`O(d^2)`.

    For beta > 0; below 0 the manifold is the wrong branch, on which alpha runs off to :math:`-\infty`.

    Parameters
    ----------
    beta : a number or an array, nowhere 0.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float or ndarray
        alpha, of beta's shape.

    Raises
    ------
    InvalidArgument : beta is 0 or not finite somewhere, or a number of the system is out of its range.
    """
    s, beta = System(**system), reals("beta", beta)
    if np.any(beta == 0):
        raise InvalidArgument("beta is 0 somewhere, where αβ = 1 has no solution")
    return 1 / beta + s.d * (1 - beta) / (s.p * beta**4 + s.q)


def creep_time(beta_from, beta_to, **system) -> float:
    r"""S5: the time between two betas along :math:`\alpha\beta = 1`, the change of F over d; relative error O(d).

    :math:`F = -\log|1-\beta| + \frac qp\left(\log\left|\frac\beta{1-\beta}\right| - \frac1\beta - \frac1{2\beta^2}
    - \frac1{3\beta^3}\right)`.

    Parameters
    ----------
    beta_from, beta_to : above 0, on the same side of 1, the second nearer to it.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    float
        In units of :math:`1/\eta`, from 0 on.

    Raises
    ------
    InvalidArgument : beta does not creep from the first to the second, or a number is out of its range.
    """
    s, start, end = System(**system), positive("beta_from", beta_from), positive("beta_to", beta_to)
    if not (start <= end < 1 or 1 < end <= start):
        raise InvalidArgument(f"beta does not creep from {start:g} to {end:g}: it moves towards 1 and never reaches it")

    # The change of each of F's terms by itself: no digit is lost between two betas that are close.
    a, b, near = 1 / start, 1 / end, math.log1p((end - start) / (1 - end))
    powers = (end - start) * a * b * (1 + (a + b) / 2 + (a * a + a * b + b * b) / 3)
    return (near + s.q / s.p * (math.log1p((end - start) / start) + near + powers)) / s.d


# --- attention held at the truth: S7 -------------------------------------------------------------


def attention_held_rate(*, K_Q, T, eta_V=1.0) -> float:
    r"""S7: with A = Q held, :math:`\dot V = -\eta_V\|Q\|_\mu^2(V - P)`; the rate :math:`\eta_V\|Q\|_\mu^2`.

    :math:`\|Q\|_\mu^2 = K_Q + 1/T \ge 1/s`.

    Parameters
    ----------
    K_Q : in (0, 1 - 1/T].
    T : context length, at least 2.
    eta_V : positive weight of V's step size.

    Returns
    -------
    float
        In units of η, above 0.

    Raises
    ------
    InvalidArgument : K_Q, T or eta_V is out of its range.
    """
    s = System(K_P=0.5, K_Q=K_Q, T=T, eta_V=eta_V)  # any K_P: this stage does not depend on it
    return s.eta_V * (s.K_Q + 1 / s.T)


def attention_held(*, t, K_Q, T, beta=0.0, eta_V=1.0):
    r"""S7: :math:`\beta(t) = 1 - (1-\beta_0)e^{-\eta_V\|Q\|_\mu^2t}` with :math:`\|Q\|_\mu^2 = K_Q + 1/T`, exactly.

    Parameters
    ----------
    t : times, a number or an array, in units of :math:`1/\eta`.
    K_Q : in (0, 1 - 1/T].
    T : context length, at least 2.
    beta : :math:`\beta_0`, at time 0.
    eta_V : positive weight of V's step size.

    Returns
    -------
    float or ndarray
        beta, of t's shape.

    Raises
    ------
    InvalidArgument : a time, K_Q, T, beta or eta_V is out of its range.
    """
    return 1 - (1 - real("beta", beta)) * np.exp(-attention_held_rate(K_Q=K_Q, T=T, eta_V=eta_V) * times(t))
