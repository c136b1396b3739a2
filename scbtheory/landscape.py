r"""The loss landscape on the admissible set (claim G8).

The set is :math:`\{1^\top a^{(k)} = 1, 1^\top V = 1^\top, V\mu = \mu\}`, which projected steps never leave (G5).
"""

from __future__ import annotations

from typing import Any

from scbtheory.errors import InvalidArgument
from scbtheory.model import Parameters, check, check_array
from scbtheory.task import SCB

__all__ = ["excess_loss", "saddle_growth"]


def __dir__():
    return sorted(__all__)  # what Tab shows


def excess_loss(task: SCB, theta: Parameters) -> float:
    r""":math:`\ell - \ell^* = \frac12\sum_k\mu_k\sum_t\|a_t^{(k)}V' - q_t^{(k)}P'\|_\mu^2`, on the admissible set (G8).

    Parameters
    ----------
    task : the task; its P, Q and :math:`\mu` are read.
    theta : A (T, N) and V (N, N), with columns of A that sum to 1, :math:`1^\top V = 1^\top`, :math:`V\mu=\mu`.

    Returns
    -------
    float
        The population loss above that of the Bayes predictor, as a sum of squares: never negative, but for rounding.

    Raises
    ------
    InvalidArgument : theta is not admissible, so that the formula is not its loss.
    MixedBackends : theta is of another array library, device or precision than the task.
    ShapeMismatch : A or V has another shape.
    """
    check(task, theta)
    xp = task.backend.xp
    tolerance = 1e-4 if task.backend.dtype == xp.float32 else 1e-9
    leaks = {
        "columns of A sum to 1 up to": xp.max(xp.abs(xp.sum(theta.A, axis=0) - 1)),
        "columns of V sum to 1 up to": xp.max(xp.abs(xp.sum(theta.V, axis=0) - 1)),
        "V mu is mu up to": xp.max(xp.abs(theta.V @ task.mu - task.mu)),
    }
    for name, leak in leaks.items():
        if not float(leak) <= tolerance:
            raise InvalidArgument(f"{name} {float(leak):.3g}; admissible parameters up to {tolerance:g}")
    V, P = theta.V - task.mu[:, None], task.P - task.mu[:, None]
    spread = task.inner(V, V), task.inner(V, P), task.inner(P, P)
    sums = (xp.sum(x * y, axis=0) for x, y in ((theta.A, theta.A), (theta.A, task.Q), (task.Q, task.Q)))
    p20, p11, p02 = (float(xp.sum(task.mu * p)) for p in sums)
    return 0.5 * (p20 * spread[0] - 2 * p11 * spread[1] + p02 * spread[2])


def saddle_growth(task: SCB, A: Any) -> float:
    r"""How fast the flow leaves the saddle at :math:`(A, \mu1^\top)`, :math:`\langle Q, A\rangle_\mu = 0` (G8).

    .. math:: \tfrac12\left(\sqrt{\|A\|_\mu^4 + 4K_PK_Q} - \|A\|_\mu^2\right)

    Parameters
    ----------
    task : the task; its :math:`K_P`, :math:`K_Q` and :math:`\mu` are read.
    A : (T, N), columns sum to 1 and have no overlap with Q; neither is checked.

    Returns
    -------
    float
        In units of 1/time, for equal steps; at least 0.

    Raises
    ------
    MixedBackends : A is of another array library, device or precision than the task.
    ShapeMismatch : A has another shape.
    """
    check_array(task, "A", A, (task.context_length, task.vocab_size))
    norm = task.inner(A, A)
    # The form without a difference of near numbers: 2 K_P K_Q / (‖A‖² + √…).
    return 2 * task.K_P * task.K_Q / (norm + (norm**2 + 4 * task.K_P * task.K_Q) ** 0.5)
