r"""Whole methods as sequences of stages, with the numbers that the theory gives (claims S4, N4, N5)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scbtheory.checks import correlation, count, positive, several
from scbtheory.dynamics import System
from scbtheory.errors import InvalidArgument, nearest
from scbtheory.limits import samples_for_support
from scbtheory.task import SCB
from scbtheory.training._baselines import Adam, Descent
from scbtheory.training._on_support import Likelihood, MomentStart
from scbtheory.training._refit import Refit
from scbtheory.training._stages import Boost, Proximal, Round, Stage

CHANCE = 1e-3  # that the search of supports accepts a wrong position, and that it misses one
SIGN = 6.0  # standard deviations that the sign of the correlation is kept from zero by, at a constant batch
DECAYING = 4.5  # the same where batches fall as the signal grows: √2 less are left, 3.2, for one run in 1400
SHARE = 0.5  # of an equal weight: no weight of a support is assumed to be below


def boost_batch(*, K_P: float, T: float, largest: float, step_size: float = 0.1, sign: float = SIGN) -> int:
    r"""N5 solved for B: :math:`B = \frac12 z^2\,\eta\,w\,T`, growing like T, so that the sign is right by z deviations.

    :math:`w = \mathrm{tr}(C\Sigma_P)/K_P^2 \le \mu_{\max}/K_P`, since :math:`C \preceq D \preceq \mu_{\max} I`:
    the bound needs only K_P and the largest frequency. The growth a step is :math:`\eta` with balanced steps.

    Parameters
    ----------
    K_P : above 0; a guess serves.
    T : context length.
    largest : :math:`\mu_{\max}`, the largest frequency of a token.
    step_size : :math:`\eta`, for balanced steps.
    sign : z, standard deviations between the correlation and 0.

    Returns
    -------
    int
        Samples a step, rounded up.

    Raises
    ------
    InvalidArgument : a number is not above 0, or the samples are beyond every float.
    """
    numbers = {"K_P": K_P, "T": T, "largest": largest, "step_size": step_size, "sign": sign}
    K_P, T, largest, step_size, sign = (positive(name, value) for name, value in numbers.items())
    return _rounded_up(lambda: 0.5 * sign**2 * step_size * T * largest / K_P, numbers)


def proximal_batch(
    *, K_P: float, K_Q: float, T: float, N: int, largest: float, smallest: float, share: float = SHARE
) -> int:
    r"""N4: :math:`B = \log(TN)\,w/(\mu_{\min}q^2)` for weights from :math:`q = \tfrac12 K_Q`, growing like log T.

    On a step's coordinate of weight q the signal is then :math:`\sqrt{1/2}` of what the noise of all T N reaches: no
    single step finds the support, but signal accumulates and noise is thresholded away. :math:`w` is bounded as in
    :func:`boost_batch`. :math:`K_Q + 1/T` is the weight where all are equal; smaller ones than its half are assumed
    away.

    Parameters
    ----------
    K_P, K_Q : above 0; guesses serve.
    T, N : context length and vocabulary size.
    largest, smallest : :math:`\mu_{\max}` and :math:`\mu_{\min}`, frequencies of tokens.
    share : of an equal weight that the least weight is assumed to be, above 0.

    Returns
    -------
    int
        Samples a step, rounded up.

    Raises
    ------
    InvalidArgument : a number is not above 0, T N is below 2, or the samples are beyond every float.
    """
    numbers = {
        "K_P": K_P, "K_Q": K_Q, "T": T, "N": N, "largest": largest, "smallest": smallest, "share": share
    }  # fmt: skip
    for name, value in numbers.items():
        positive(name, value)
    if T * N < 2:
        raise InvalidArgument(f"T N is {T * N:g}; expected at least 2 entries of attention")
    w, q = largest / K_P, share * K_Q
    return _rounded_up(lambda: math.log(T * N) * w / (smallest * q**2), numbers)


def _rounded_up(samples, numbers) -> int:
    """The samples that a formula gives, or refuse numbers for which they are beyond every float."""
    try:
        return math.ceil(samples())
    except (OverflowError, ZeroDivisionError):
        given = ", ".join(f"{name} = {float(value):g}" for name, value in numbers.items())
        raise InvalidArgument(f"{given} take more samples than every float") from None


def algorithm(
    task: SCB,
    *,
    step_size: float = 0.1,
    K_P: float | None = None,
    K_Q: float | None = None,
    batch_sizes: tuple[int, int, int] | None = None,
    c: float = 0.3,
    tolerance: float = 5e-5,
    first: str = "boost",
    last: str = "refit",
) -> tuple:
    r"""Boost, proximal, round, refit, with balanced steps :math:`\eta_V = \eta/K_Q`, :math:`\eta_A = \eta/K_P` (S4).

    Parameters
    ----------
    task : gives T, N, the extreme frequencies and what is not passed; L2's search reads P and Q for its samples.
    step_size : positive, :math:`\eta`.
    K_P, K_Q : by default the task's; they enter as step sizes do: rough guesses in (0, 1) and (0, 1 - 1/T] serve.
    batch_sizes : of the three stages that sample; the first falls to the second. By default :func:`boost_batch` for 4.5
        deviations (no less than the second), :func:`proximal_batch` and 256.
    c : of :class:`Proximal`, at least 0.
    tolerance : of the last stage, at least 0.
    first : ``"boost"``; ``"moments"`` replaces the first three stages by L2's search, with the samples that it asks
        for to fail in one of 500 runs.
    last : ``"refit"``; ``"likelihood"`` replaces the last stage by maximum likelihood (L5).

    Returns
    -------
    tuple of Stage
        What :func:`train` takes.

    Raises
    ------
    InvalidArgument : a name is unknown, T is below 2, a number is out of range, such as a K_P or K_Q of 0,
        ``batch_sizes`` are not three, L2's search is asked for with more than 40 tokens, or a trigger copies from
        every position (not for L2's search).
    """
    for name, value, known in (("first", first, ("boost", "moments")), ("last", last, ("refit", "likelihood"))):
        if value not in known:
            raise InvalidArgument(f"{name} is {value!r}; expected one of {', '.join(known)}{nearest(value, known)}")
    K_P, K_Q = task.K_P if K_P is None else K_P, task.K_Q if K_Q is None else K_Q
    System(K_P=K_P, K_Q=K_Q, T=task.context_length)
    full = np.flatnonzero(np.all(task.backend.to_numpy(task.Q) > 0, axis=0))
    if first == "boost" and len(full):
        raise InvalidArgument(
            f"trigger {full[0]} copies from every position: no support stands out, and none is to be rounded to; "
            "use projected_sgd"
        )
    T, N, xp = task.context_length, task.vocab_size, task.backend.xp
    told: dict[str, Any] = {"K_P": K_P, "T": T, "largest": float(xp.max(task.mu))}
    if batch_sizes is None:
        proximal = proximal_batch(K_Q=K_Q, N=N, smallest=float(xp.min(task.mu)), **told)
        boost = max(proximal, boost_batch(step_size=step_size, sign=DECAYING, **told))
        batch_sizes = boost, proximal, 256
    sizes = [count("batch_sizes", size) for size in several("batch_sizes", batch_sizes)]
    if len(sizes) != 3:
        raise InvalidArgument(f"batch_sizes is {batch_sizes!r}; expected three: of boost, proximal and refit")
    boost, proximal, refit = sizes
    speed: dict[str, Any] = {"step_size": step_size, "eta_V": 1 / K_Q, "eta_A": 1 / K_P}
    begin: tuple[Stage, ...] = (
        Boost(boost, last_batch=min(boost, proximal), **speed),
        Proximal(proximal, c=c, **speed),
        Round(),
    )
    if first == "moments":
        needed = samples_for_support(task, false_alarm=CHANCE, miss=CHANCE)
        begin = (MomentStart(needed, false_alarm=CHANCE),)
    end: Stage = Refit(refit, tolerance=tolerance, **speed)
    if last == "likelihood":
        end = Likelihood(refit, tolerance=tolerance)
    return (*begin, end)


def sgd(step_size: float, *, batch_size: int = 256) -> tuple:
    """Plain stochastic gradient descent with one step size.

    Parameters
    ----------
    step_size : positive.
    batch_size : samples a step, at least 1.

    Returns
    -------
    tuple of Stage
        One :class:`Descent`, which ends when the samples are used up.

    Raises
    ------
    InvalidArgument : a number is out of range.
    """
    return (Descent(batch_size, step_size),)


def projected_sgd(task: SCB, step_size: float = 0.1, *, batch_size: int = 256) -> tuple:
    r"""G6's estimator and balanced steps, as the algorithm's, but no threshold, no rounding, no averaging.

    Parameters
    ----------
    task : its K_P and K_Q are read.
    step_size : positive, :math:`\eta`.
    batch_size : samples a step, at least 1.

    Returns
    -------
    tuple of Stage
        One :class:`Descent`, which ends when the samples are used up.

    Raises
    ------
    InvalidArgument : K_P or K_Q is 0, or a number is out of range.
    """
    eta_V, eta_A = 1 / correlation(task, "K_Q"), 1 / correlation(task, "K_P")
    return (Descent(batch_size, step_size, projected=True, eta_V=eta_V, eta_A=eta_A, name="projected sgd"),)


def adam(step_size: float, *, batch_size: int = 256) -> tuple:
    """Adam on the plain gradients.

    Parameters
    ----------
    step_size : positive.
    batch_size : samples a step, at least 1.

    Returns
    -------
    tuple of Stage
        One :class:`Adam`, which ends when the samples are used up.

    Raises
    ------
    InvalidArgument : a number is out of range.
    """
    return (Adam(batch_size, step_size),)
