r"""Transfer from a pretrained :math:`\hat P`: constructions, the three-number flow, another stationary law (T1 to T4).

Finetuning starts at :math:`V = \mu1^\top + \theta\hat P'`, :math:`A = 11^\top/T`, with
:math:`\hat P' = \hat P(I - \mu1^\top)`.
What matters of :math:`\hat P` are two numbers: :math:`K_{\hat P} = \|\hat P'\|_\mu^2` and the correlation
:math:`K_\times = \langle\hat P', P'\rangle_\mu`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, linprog

from scbtheory.checks import below, positive, real
from scbtheory.dynamics import System, matrix_flow, reduce
from scbtheory.errors import InvalidArgument, NotADistribution, ShapeMismatch
from scbtheory.flows import integrate, until
from scbtheory.model import Parameters, minibatch_gradient
from scbtheory.population import projected_gradient
from scbtheory.task import SCB

__all__ = [
    "Correlations",
    "OtherLaw",
    "TransferSystem",
    "centred",
    "correlation_range",
    "correlations",
    "flow",
    "lift",
    "noise_factor",
    "other_law",
    "pretrained",
    "shifted",
    "start",
    "time_to",
    "uncentred_start",
    "velocity",
]


def __dir__():
    return sorted(__all__)  # what Tab shows


TOLERANCE = 1e-12
PARTS = 50  # batches that a measured variance is averaged over


class Correlations(NamedTuple):
    r""":math:`K_{\hat P} = \|\hat P'\|_\mu^2` and :math:`K_\times = \langle\hat P', P'\rangle_\mu`.

    Parameters
    ----------
    K_hat, K_cross : the two numbers, the first at least 0.
    """

    K_hat: float
    K_cross: float


def correlations(task: SCB, P_hat) -> Correlations:
    r"""Measure a pretrained :math:`\hat P`; its stationary law need not be :math:`\mu` (see :func:`centred`).

    Parameters
    ----------
    task, P_hat : as for :func:`centred`, whose errors these are too.

    Returns
    -------
    Correlations
        Its ``K_hat`` and ``K_cross``.
    """
    hat, own = centred(task, P_hat), task.P - task.mu[:, None]
    return Correlations(task.inner(hat, hat), task.inner(hat, own))


def centred(task: SCB, P_hat):
    r""":math:`\hat P' = \hat P(I - \mu1^\top) = \hat P - (\hat P\mu)1^\top`, (N, N).

    Parameters
    ----------
    task : a task; its :math:`\mu` is read.
    P_hat : (N, N) the pretrained matrix, whose columns are distributions.

    Returns
    -------
    array
        (N, N), on the task's backend; its columns sum to 0, and it takes :math:`\mu` to 0.

    Raises
    ------
    ShapeMismatch, NotADistribution : ``P_hat`` is not (N, N), or a column of it is not a distribution.
    """
    host = task.backend.to_numpy(P_hat) if not isinstance(P_hat, list) else np.asarray(P_hat)
    N = task.vocab_size
    if host.shape != (N, N):
        raise ShapeMismatch(f"P_hat has shape {host.shape}; this task expects {(N, N)}")
    if not (np.all(np.isfinite(host)) and host.min() >= -1e-9 and np.abs(host.sum(axis=0) - 1).max() < 1e-6):
        raise NotADistribution("P_hat has a column that is not a distribution; its columns must be, as those of P")
    P_hat = task.backend.asarray(host)
    return P_hat - (P_hat @ task.mu)[:, None]


def start(task: SCB, P_hat, theta: float = 1.0) -> Parameters:
    r"""The start of finetuning: :math:`A = 11^\top/T`, :math:`V = \mu1^\top + \theta\hat P'`.

    V satisfies :math:`1^\top V = 1^\top` and :math:`V\mu = \mu` whatever the stationary law of :math:`\hat P`.

    Parameters
    ----------
    task, P_hat : as for :func:`centred`, whose errors these are too.
    theta : :math:`\theta`, the pretrained part's weight.

    Returns
    -------
    Parameters
        ``A`` (T, N) and ``V`` (N, N).
    """
    scratch = Parameters.initial(task)
    return Parameters(scratch.A, scratch.V + centred(task, P_hat) * float(theta))


# --- constructions -------------------------------------------------------------------------------


def correlation_range(task: SCB) -> tuple[float, float]:
    r"""The least and the largest :math:`K_\times` of any column-stochastic :math:`\hat P` with :math:`\hat P\mu=\mu`.

    :math:`\hat P D` ranges over the couplings of :math:`\mu` with itself, and :math:`K_\times` is linear in it:
    two linear programs.

    Parameters
    ----------
    task : a task; its P is read.

    Returns
    -------
    tuple of float
        The least, at most 0, and the largest, at least :math:`K_P`.
    """
    least, largest = (float(_host_correlation(task, extreme)) for extreme in _extremes(task))
    return least, largest


def _host_correlation(task, P_hat):
    prime = task._host_P - task._host_mu[:, None]
    return ((P_hat - task._host_mu[:, None]) * prime).sum(axis=0) @ task._host_mu


def _extremes(task):
    """The couplings with the least and the largest correlation, as transition matrices (host)."""
    N, mu = task.vocab_size, task._host_mu
    rows = np.vstack([np.kron(np.eye(N), np.ones(N)), np.kron(np.ones(N), np.eye(N))])  # sums over each margin
    objective = (task._host_P - mu[:, None]).ravel()
    found = []
    for sign in (1, -1):
        solution = linprog(sign * objective, A_eq=rows, b_eq=np.concatenate([mu, mu]), bounds=(0, None))
        found.append(np.clip(solution.x.reshape(N, N), 0, None) / mu[None, :])
    return found


def pretrained(task: SCB, K_cross: float, *, spread: float = 0.9, seed: int = 0):
    r"""A :math:`\hat P` with :math:`\hat P\mu=\mu` and exactly the correlation :math:`K_\times` with the task, (N, N).

    :math:`\hat P = \mu1^\top + B + \rho R`. B lies along P' where that stays non-negative, else on the segment
    to the extreme coupling of :func:`correlation_range`; R is a random direction with :math:`R\mu = 0`,
    :math:`1^\top R = 0`, :math:`\langle R, P'\rangle_\mu = 0`; :math:`\rho` is ``spread`` times the largest that keeps
    :math:`\hat P\ge0`.

    Parameters
    ----------
    task : a task with :math:`K_P > 0`; its P is read.
    K_cross : the correlation, within :func:`correlation_range`.
    spread : from 0, no random part, to 1.
    seed : of R, a whole number from 0 to below :math:`2^{64}`.

    Returns
    -------
    array
        (N, N), on the task's backend; columns are distributions.

    Raises
    ------
    InvalidArgument : no :math:`\hat P` has this correlation; the message gives the range of those that exist.
        Or ``spread`` or ``seed`` is out of range. Or N = 2 and K_cross = 0: then only :math:`\mu1^\top` is left.
    """
    if not 0 <= spread <= 1:
        raise InvalidArgument(f"spread is {spread!r}; expected a number from 0 to 1")
    seed = below("seed", seed, 2**64)  # without one, the matrix could not be made again
    N, mu, K_P = task.vocab_size, task._host_mu, task.K_P
    low, high = correlation_range(task)
    if not low * (1 + 1e-9) <= K_cross <= high * (1 + 1e-9):
        raise InvalidArgument(
            f"K_cross is {K_cross!r}; for this task a P_hat with the same stationary distribution has K_cross "
            f"from {low:.6g} to {high:.6g} (K_P is {K_P:.6g})"
        )
    flat, prime = np.outer(mu, np.ones(N)), task._host_P - mu[:, None]
    base = flat + K_cross / K_P * prime
    if base.min() < 0:
        extreme = _extremes(task)[int(K_cross > 0)]
        base = flat + K_cross / _host_correlation(task, extreme) * (extreme - flat)
    base = np.clip(base, 0, None)
    direction = _orthogonal(task, seed) if N > 2 else np.zeros((N, N))
    if N == 2 and K_cross == 0:
        raise InvalidArgument("K_cross is 0 and N is 2: every P_hat with this stationary law is a multiple of P's")
    P_hat = base + spread * _room(base, direction) * direction
    P_hat = np.clip(P_hat, 0, None)
    return task.backend.asarray(P_hat / P_hat.sum(axis=0))


def _orthogonal(task, seed):
    """A random direction R with ``1'R = 0``, ``R mu = 0`` and no correlation with P' (host)."""
    N, mu = task.vocab_size, task._host_mu
    prime = task._host_P - mu[:, None]
    R = np.random.Generator(np.random.Philox(seed)).standard_normal((N, N))
    R = R - R.mean(axis=0)
    R = R - np.outer(R @ mu, np.ones(N))
    return R - prime * (((R * prime).sum(axis=0) @ mu) / task.K_P)


def _room(base, direction):
    """The largest multiple of ``direction`` that leaves ``base`` non-negative."""
    down = direction < -1e-15
    return float(np.min(base[down] / -direction[down])) if down.any() else 0.0


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
    s = System(**system)
    if not K_hat >= 0 or K_cross**2 > K_hat * s.K_P * (1 + 1e-9):
        raise InvalidArgument(
            f"K_hat is {K_hat!r} and K_cross {K_cross!r} at K_P {s.K_P:g}; "
            "expected K_cross² ≤ K_hat K_P, by Cauchy-Schwarz"
        )
    return TransferSystem(s, float(K_hat), float(K_cross))


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
    InvalidArgument : a constant is outside its range, or :math:`K_\times^2 > K_{\hat P}K_P`.
    """
    return _velocity(_system(K_hat, K_cross, system), alpha, beta, gamma)


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
    for peak in peaks[peaks < latest]:
        alpha = abs(flow(t=[peak], K_hat=K_hat, K_cross=K_cross, theta=theta, **system)[0][0])
        if alpha >= level:  # passed over: up to the peak alpha rises, and the level is on the way
            return _between(level, peak, K_hat=K_hat, K_cross=K_cross, theta=theta, **system)
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
    """
    scratch = Parameters.initial(task)
    V = scratch.V + beta * (task.P - scratch.V) + gamma * centred(task, P_hat)
    return Parameters(scratch.A + alpha * (task.Q - scratch.A), V)


# --- another stationary law ----------------------------------------------------------------------


def shifted(task: SCB, P_hat, amount: float, *, seed: int = 0):
    r"""Another stationary law: :math:`(1-\epsilon)\hat P + \epsilon\,\nu1^\top`, with :math:`\nu` random.

    :math:`\hat P'` and with it :math:`K_\times` are only multiplied by :math:`1-\epsilon`: the effect of the law can
    be seen alone.

    Parameters
    ----------
    task : a task; its N and its backend are read.
    P_hat : (N, N) array on the task's backend.
    amount : :math:`\epsilon`, from 0 to below 1.
    seed : of :math:`\nu`, Dirichlet(1); a whole number from 0 to below :math:`2^{64}`.

    Returns
    -------
    array
        (N, N).

    Raises
    ------
    InvalidArgument : ``amount`` or ``seed`` is out of range.
    """
    if not 0 <= amount < 1:
        raise InvalidArgument(f"amount is {amount!r}; expected a number from 0 to below 1")
    seed = below("seed", seed, 2**64)
    nu = np.random.Generator(np.random.Philox(seed)).dirichlet(np.ones(task.vocab_size))
    return (1 - amount) * P_hat + amount * task.backend.asarray(np.outer(nu, np.ones(task.vocab_size)))


def uncentred_start(task: SCB, P_hat) -> Parameters:
    r"""Finetuning that takes :math:`\hat P` as it is: :math:`V = \hat P`, with :math:`V\mu \ne \mu` for another law.

    Parameters
    ----------
    task, P_hat : as for :func:`centred`, whose errors these are too.

    Returns
    -------
    Parameters
        ``A`` (T, N) uniform and ``V`` (N, N).
    """
    centred(task, P_hat)  # the checks
    return Parameters(Parameters.initial(task).A, task.backend.asarray(task.backend.to_numpy(P_hat)))


class OtherLaw(NamedTuple):
    r"""One row of :func:`other_law`: what a shift of the stationary law costs.

    Parameters
    ----------
    amount, offset, K_cross : :math:`\epsilon`, :math:`\|\hat P\mu-\mu\|` and the correlation after the shift.
    predicted, measured : the factor on the variance, by :func:`noise_factor` and on samples.
    time_centred, time_uncentred : of :math:`\alpha` reaching the level, in :math:`1/\eta`; infinite beyond 60.
    """

    amount: float
    offset: float
    K_cross: float
    predicted: float
    measured: float
    time_centred: float
    time_uncentred: float


def noise_factor(task: SCB, V) -> float:
    r"""By how much :math:`V\mu\ne\mu` multiplies the variance of :math:`\hat G_a` at uniform attention, for large T.

    :math:`1 + \delta^\top V'CV'^\top\delta/\mathrm{tr}(V'CV'^\top C)` with :math:`\delta = V\mu - \mu` and
    :math:`V' = V(I - \mu1^\top)`: the residual has second moment :math:`C + \delta\delta^\top` instead of C.

    Parameters
    ----------
    task : a task; its :math:`\mu` is read.
    V : (N, N) array on the task's backend, with :math:`V' \ne 0`.

    Returns
    -------
    float
        At least 1; 1 where :math:`V\mu = \mu`.
    """
    xp, delta = task.backend.xp, V @ task.mu - task.mu
    prime = V - (V @ task.mu)[:, None]
    spread = prime @ task.C @ prime.T
    return 1 + float(xp.sum(delta * (spread @ delta)) / xp.sum(spread * task.C))


def other_law(task: SCB, P_hat, amounts, *, samples: int = 50_000, level: float = 0.5, seed: int = 0):
    r"""A numerical study of finetuning from another stationary law, which the paper's abstract leaves open.

    For each amount of :func:`shifted`: the offset :math:`\|\hat P\mu-\mu\|`, :math:`K_\times`, the factor by which
    taking :math:`\hat P` uncentred multiplies the variance of the first attention gradient (:func:`noise_factor`, and
    measured), and the times at which the **full matrix flow** reaches :math:`\alpha` = ``level`` from either start. G_V
    and G_a only see :math:`V(I-\mu1^\top)`, so the two times are the same: the law costs variance, not time.

    Parameters
    ----------
    task, P_hat, amounts : as for :func:`shifted`; one row for each amount.
    samples : in all, in 50 batches, for each measured variance.
    level : of :math:`\alpha`, on the flow with balanced steps.
    seed : of the shifts and of the samples.

    Returns
    -------
    list of OtherLaw
        In the order of ``amounts``.

    Raises
    ------
    InvalidArgument : an amount or ``seed`` is out of range, or ``samples`` is not a whole number.
    NotADistribution : a shifted matrix has a column that is not a distribution.
    """
    rows = []
    batches = [task.sample(max(1, samples // PARTS), seed=seed, step=step) for step in range(PARTS)]
    for amount in amounts:
        hat = shifted(task, P_hat, amount, seed=seed)
        starts = start(task, hat), uncentred_start(task, hat)
        variances = [_variance(task, s, batches) for s in starts]
        offset = hat @ task.mu - task.mu
        rows.append(
            OtherLaw(
                float(amount),
                float(task.backend.xp.sum(offset * offset)) ** 0.5,
                correlations(task, hat).K_cross,
                noise_factor(task, hat),
                variances[1] / variances[0],
                *(_matrix_time(task, s, level) for s in starts),
            )
        )
    return rows


def _variance(task, theta, batches) -> float:
    """The sum over batches of the squared distance of the attention gradient from the exact one."""
    exact = projected_gradient(task, theta).A
    errors = [minibatch_gradient(task, theta, batch, projected=True).A - exact for batch in batches]
    return float(sum(task.backend.xp.sum(error * error) for error in errors))


def _matrix_time(task, theta, level, longest=60.0, points=601):
    moments = np.linspace(0.0, longest, points)
    path = [reduce(task, p).alpha for p in matrix_flow(task, theta, moments, balanced=True)]
    reached = np.flatnonzero(np.array(path) >= level)
    if not len(reached):
        return np.inf
    n = int(reached[0])
    return float(np.interp(level, path[n - 1 : n + 1], moments[n - 1 : n + 1])) if n else 0.0
