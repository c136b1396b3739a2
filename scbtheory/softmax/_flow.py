r"""Flows of softmax attention: two numbers, all logits, and positions of unequal weight (claims X2 and X4)."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq

from scbtheory.checks import pair, positive, real, reals
from scbtheory.dynamics import System
from scbtheory.errors import InvalidArgument
from scbtheory.flows import integrate
from scbtheory.model import forward
from scbtheory.population import projected_gradient
from scbtheory.softmax._model import SoftmaxParameters, checked_scale, softmax, speed_factor
from scbtheory.task import SCB

TOLERANCE = 1e-11


# --- two numbers: X2 -----------------------------------------------------------------------------


def slowdown(alpha, *, K_Q, T):
    r"""X2: :math:`\kappa(\alpha) = [(1-\alpha)(1/T + \alpha K_Q)]^2`: :math:`1/T^2` at the start (X1), 0 at the truth.

    Parameters
    ----------
    alpha : a number or an array; 0 at the start, 1 at the truth.
    K_Q : in (0, 1 - 1/T].
    T : context length, at least 2.

    Returns
    -------
    float or ndarray
        Of alpha's shape, at least 0; in between it rises to :math:`[(K_Q + 1/T)^2/(4K_Q)]^2`, if :math:`K_Q > 1/T`.

    Raises
    ------
    InvalidArgument : alpha is not finite, or K_Q or T is out of its range.
    """
    s = System(K_P=0.5, K_Q=K_Q, T=T)  # any K_P: the factor does not depend on it
    return _slowdown(reals("alpha", alpha), s.K_Q, s.T)


def _slowdown(alpha, K_Q, T):
    return ((1 - alpha) * (1 / T + alpha * K_Q)) ** 2


def velocity(alpha, beta, *, scale: str = "none", **system):
    r"""X2: :math:`\dot\alpha = \kappa(\alpha)\,p\beta(1-\alpha\beta)`; :math:`\dot\beta` is R2's.

    For :math:`q^{(k)}` uniform on a support of one size s, :math:`K_Q = 1/s - 1/T`. ``scale`` multiplies the speed of
    the logits: ``"none"`` by 1; ``"start"`` by :math:`T^2`, which undoes X1's factor at the start; ``"peak"`` by
    :math:`(\max_t a_t)^{-2} = (1/T + \alpha K_Q)^{-2}`, for :math:`\alpha\ge 0`, which leaves :math:`(1-\alpha)^2`.
    Step sizes and the rates p, q, d are those of :class:`scbtheory.dynamics.System`.

    Parameters
    ----------
    alpha, beta : numbers or arrays of one shape.
    scale : one of ``SCALES``, see above.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple
        The velocities of alpha and beta, each of their shape, in units of η.

    Raises
    ------
    InvalidArgument : ``scale`` is not one of ``SCALES``, a coordinate is not a finite number, or a constant is outside
        its range.
    """
    return _velocity(System(**system), checked_scale(scale), reals("alpha", alpha), reals("beta", beta))


def _velocity(s, scale, alpha, beta):
    factor = {"none": 1.0, "start": s.T**2, "peak": (1 / s.T + alpha * s.K_Q) ** -2}[scale]
    rest = 1 - alpha * beta
    return factor * _slowdown(alpha, s.K_Q, s.T) * s.p * beta * rest, s.q * alpha * rest + s.d * (1 - beta)


def flow(*, t, start=(0.0, 0.0), scale: str = "none", **system):
    r"""Integrate :func:`velocity` from ``start``: ``(alpha, beta)`` at the times t, in units of :math:`1/\eta`.

    Parameters
    ----------
    t : times, a number or an array in any order.
    start : two finite numbers, (alpha, beta) at time 0.
    scale : one of ``SCALES``, as for :func:`velocity`.
    **system : the numbers of a System, such as K_P, K_Q, T.

    Returns
    -------
    tuple of ndarray
        alpha and beta, each of t's shape.

    Raises
    ------
    InvalidArgument : as for :func:`velocity`; the start or a time is not finite, a time below 0, or the solver gave up.
    """
    s, scale = System(**system), checked_scale(scale)
    return tuple(
        integrate(
            lambda y: _velocity(s, scale, *y), pair("start", start), t, what="the softmax flow",
            rtol=TOLERANCE, atol=TOLERANCE * min(s.d, s.d / s.q),
        )
    )  # fmt: skip


def matrix_flow(
    task: SCB, theta: SoftmaxParameters, t, *, scale: str = "none", eta_V=1.0, eta_A=1.0
) -> list[SoftmaxParameters]:
    r"""Integrate :math:`\dot w = -\eta_A\,\mathrm{scale}\, J G_a`, :math:`\dot V = -\eta_V G_V`: all T N + N² numbers.

    Nothing of X2 is used.

    Parameters
    ----------
    task : a task.
    theta : where the flow begins, with ``W`` (T, N) and ``V`` (N, N).
    t : times in units of :math:`1/\eta`, a number or an array in any order.
    scale : one of ``SCALES``, see :func:`speed_factor`.
    eta_V, eta_A : positive weights of the two step sizes.

    Returns
    -------
    list of SoftmaxParameters
        The parameters at the times t, in their order, of an array row by row.

    Raises
    ------
    InvalidArgument : theta is not of softmax attention, or a step size is not above 0; or ``scale`` is not one of
        ``SCALES``, a time is negative or not finite, or the solver gave up.
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.
    """
    if not isinstance(theta, SoftmaxParameters):
        raise InvalidArgument(f"theta is {type(theta).__name__}; expected SoftmaxParameters, whose W are logits")
    forward(task, theta)  # the checks
    eta_V, eta_A = positive("eta_V", eta_V), positive("eta_A", eta_A)
    backend, (T, N), scale = task.backend, (task.context_length, task.vocab_size), checked_scale(scale)

    def unpack(y):
        W, V = y[: T * N].reshape(T, N), y[T * N :].reshape(N, N)
        return SoftmaxParameters(backend.asarray(W), backend.asarray(V))

    def pack(p):
        return np.concatenate([backend.to_numpy(x).ravel().astype(float) for x in (p.W, p.V)])

    def right(y):
        here = unpack(y)
        found = projected_gradient(task, here)
        factor = speed_factor(backend.xp, softmax(backend.xp, here.W), scale)
        return -pack(SoftmaxParameters(eta_A * factor * found.W, eta_V * found.V))

    path = integrate(
        right, pack(theta), np.ravel(t), what="the softmax flow of all matrices", method="DOP853",
        rtol=TOLERANCE, atol=TOLERANCE * 0.1 / T,
    )  # fmt: skip
    return [unpack(y) for y in path.T]


# --- unequal positions: X4 -----------------------------------------------------------------------


def second_position(first: float, second: float) -> float:
    r"""X4: the c with which attention finds the second position after :math:`cT/\eta` steps, to leading order.

    Every column of Q is ``first`` and ``second`` on two positions; steps are balanced, logits sped up by
    :math:`(\max_t a_t)^{-2}`. The first position takes the attention a for itself, where
    :math:`a^2\,\tfrac{2}{K_Q}[\tfrac{a}{1-a} + \log(1-a)] = q_1^2`. From there, with :math:`\theta = t/T`,

    .. math::

       \frac{du}{d\theta} &= -\frac{(1-a)q_1q_2}{a^3}, \\
       \frac{da}{d\theta} &= -\frac{q_1}{aK_Q}
       \Big[\frac{q_2}{u} - \frac{q_1(1-a)}{a}\Big]\Big/\Big[\frac{q_1^2}{a^3} + \frac{a}{K_Q(1-a)^2}\Big],

    and c is when u, which starts at :math:`1 - q_2/q_1`, reaches 0.

    Parameters
    ----------
    first, second : the two weights :math:`q_1 > q_2`, which sum to 1.

    Returns
    -------
    float
        c, above 0: small for nearly equal weights, growing without bound as the second one vanishes.

    Raises
    ------
    InvalidArgument : the weights are not above 0, do not sum to 1, or the first is not the larger one.
    """
    q_1, q_2 = _weights(first, second)
    K_Q = q_1**2 + q_2**2

    def taken(a):
        return a**2 * 2 / K_Q * (a / (1 - a) + np.log1p(-a)) - q_1**2

    def slow(y):  # along log(u_0/u), where nothing is singular: a, log(u_0/u) itself, and time over u_0
        a, fallen, _ = y
        u = u_0 * np.exp(-fallen)
        speed = (1 - a) * q_1 * q_2 / a**3  # of u
        push = q_1 / (a * K_Q) * (q_2 - u * q_1 * (1 - a) / a)  # times u, which goes to 0
        return np.array([
            -push / (q_1**2 / a**3 + a / (K_Q * (1 - a) ** 2)) / speed, 1.0, np.exp(-fallen) / speed
        ])  # fmt: skip

    u_0 = (q_1 - q_2) / q_1
    start = brentq(taken, 1e-3, 1 - 1e-9), 0.0, 0.0
    path = integrate(slow, start, math.log(1 / END), what="the slow flow", rtol=1e-10, atol=1e-13)
    return u_0 * float(path[2])


END = 1e-9  # of u over its start, where so little is left to wait that c does not change in its first eight digits


def positions_flow(*, t, first: float, second: float, T: float):
    r"""X4: attention on both positions and :math:`\beta`, from scratch, at times t in units of 1/η.

    Columns of Q are all ``first`` and ``second`` on two positions, so that three numbers stay closed at every T.

    Parameters
    ----------
    t : times, a number or an array in any order.
    first, second : the two weights, the larger one first; they sum to 1.
    T : context length, at least 3; need not be whole.

    Returns
    -------
    tuple of ndarray
        Attention on the first and on the second position, and beta; each of t's shape.

    Raises
    ------
    InvalidArgument : as for :func:`second_position`; T is below 3, a time below 0 or not finite, or the solver gave up.
    """
    q_1, q_2 = _weights(first, second)
    if real("T", T) < 3:
        raise InvalidArgument(f"T is {T:g}; expected 3 or more, two positions and a background")
    K_Q = q_1**2 + q_2**2 - 1 / T

    def right(y):
        a, b, beta = y
        rest = (1 - a - b) / (T - 2)
        levels, sizes = np.array([a, b, rest]), np.array([1, 1, T - 2])
        pull = beta * np.array([q_1, q_2, 0.0]) - beta**2 * levels
        for _ in range(2):  # the Jacobian, from attention to logits and back
            pull = levels * (pull - sizes @ (levels * pull))
        moved = pull / max(a, b) ** 2
        return moved[0], moved[1], (q_1 * a + q_2 * b - beta * (sizes @ levels**2)) / K_Q

    start = (1 / T, 1 / T, 0.0)
    return tuple(integrate(right, start, t, what="the flow on two positions", rtol=1e-10, atol=1e-10 / T))


def _weights(first, second):
    q_1, q_2 = positive("first", first), positive("second", second)
    if not (q_1 > q_2 and abs(q_1 + q_2 - 1) < 1e-9):
        raise InvalidArgument(f"the weights are {q_1:g} and {q_2:g}; expected a larger and a smaller one that sum to 1")
    return q_1, q_2
