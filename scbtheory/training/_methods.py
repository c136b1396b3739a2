r"""Whole methods as sequences of stages, with the numbers that the theory gives (claims S4, N4, N5)."""

from __future__ import annotations

import math
from typing import Any

from scbtheory.dynamics import System
from scbtheory.errors import InvalidArgument, nearest
from scbtheory.limits import samples_for_support
from scbtheory.task import SCB
from scbtheory.training._baselines import Adam, Descent
from scbtheory.training._on_support import Likelihood, MomentStart
from scbtheory.training._stages import Boost, Proximal, Refit, Round, Stage

CHANCE = 1e-3  # that the search of supports accepts a wrong position, and that it misses one
SIGN = 6.0  # standard deviations that the sign of the correlation is kept from zero by


def boost_batch(*, K_P: float, T: float, largest: float, step_size: float = 0.1, sign: float = SIGN) -> int:
    r"""N5 solved for B: :math:`B = \frac12 z^2\,\eta\,w\,T`, growing like T, so that the sign is right by z deviations.

    :math:`w = \mathrm{tr}(C\Sigma_P)/K_P^2 \le \mu_{\max}/K_P`, since :math:`C \preceq D \preceq \mu_{\max} I`:
    the bound needs only K_P and the largest frequency. The growth a step is :math:`\eta` with balanced steps.
    """
    return math.ceil(0.5 * sign**2 * step_size * T * largest / K_P)


def proximal_batch(*, T: float, N: int) -> int:
    r"""N4: :math:`32 \cdot 2\log(TN)`, growing like log T."""
    return math.ceil(64 * math.log(T * N))


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

    K_P and K_Q, by default the task's, enter as step sizes do: rough guesses serve as well. ``batch_sizes``
    of the three stages that sample are by default :func:`boost_batch`, :func:`proximal_batch` and 256.

    ``first="moments"`` replaces the first three stages by L2's search, with the samples that it asks for to fail
    in one of 500 runs;
    ``last="likelihood"`` the last by maximum likelihood (L5).
    """
    for name, value, known in (("first", first, ("boost", "moments")), ("last", last, ("refit", "likelihood"))):
        if value not in known:
            raise InvalidArgument(f"{name} is {value!r}; expected one of {', '.join(known)}{nearest(value, known)}")
    K_P, K_Q = task.K_P if K_P is None else K_P, task.K_Q if K_Q is None else K_Q
    System(K_P=K_P, K_Q=K_Q, T=task.context_length)
    T, N, largest = task.context_length, task.vocab_size, float(task.backend.xp.max(task.mu))
    boost, proximal, refit = batch_sizes or (
        boost_batch(K_P=K_P, T=T, largest=largest, step_size=step_size), proximal_batch(T=T, N=N), 256
    )  # fmt: skip
    speed: dict[str, Any] = {"step_size": step_size, "eta_V": 1 / K_Q, "eta_A": 1 / K_P}
    begin: tuple[Stage, ...] = (Boost(boost, **speed), Proximal(proximal, c=c, **speed), Round())
    if first == "moments":
        needed = samples_for_support(task, false_alarm=CHANCE, miss=CHANCE)
        begin = (MomentStart(needed, false_alarm=CHANCE),)
    end: Stage = Refit(refit, tolerance=tolerance, **speed)
    if last == "likelihood":
        end = Likelihood(refit, tolerance=tolerance)
    return (*begin, end)


def sgd(step_size: float, *, batch_size: int = 256) -> tuple:
    """Plain stochastic gradient descent with one step size."""
    return (Descent(batch_size, step_size),)


def projected_sgd(task: SCB, step_size: float = 0.1, *, batch_size: int = 256) -> tuple:
    """G6's estimator and balanced steps, as the algorithm's, but no threshold, no rounding, no averaging."""
    if task.K_P == 0 or task.K_Q == 0:
        raise InvalidArgument("K_P or K_Q is 0: no steps are balanced")
    return (
        Descent(batch_size, step_size, projected=True, eta_V=1 / task.K_Q, eta_A=1 / task.K_P, name="projected sgd"),
    )


def adam(step_size: float, *, batch_size: int = 256) -> tuple:
    """Adam on the plain gradients."""
    return (Adam(batch_size, step_size),)
