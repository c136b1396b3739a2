r"""L3: what a sample can say about the support, and Fano's bound on how many are needed."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from scbtheory.checks import chance, real
from scbtheory.errors import InvalidArgument
from scbtheory.limits._moments import chi_squared_information
from scbtheory.task import SCB

__all__ = ["fano_error", "fano_samples", "supports", "token_information"]

CELLS = 2**24  # of an enumeration


def token_information(task: SCB) -> np.ndarray:
    r"""L3: :math:`I_k = E_X\,\mathrm{KL}(PXq^{(k)}\,\|\,\mu)`, in nats, by enumeration of the s tokens on the support.

    No sample with trigger k says more about which positions the support is.

    Parameters
    ----------
    task : a task; the cost is :math:`N^{s+1}` for each trigger.

    Returns
    -------
    ndarray
        (N,), in nats, at least 0.

    Raises
    ------
    InvalidArgument : the enumeration has more than 2²⁴ cells.
    """
    P, mu, N = task._host_P, task._host_mu, task.vocab_size
    found = np.empty(N)
    for k in range(N):
        weights = task._host_Q[:, k][task._host_Q[:, k] > 0]
        if N ** (len(weights) + 1) > CELLS:
            raise InvalidArgument(
                f"trigger {k} has {len(weights)} positions: {N}^{len(weights) + 1} cells are too many to enumerate "
                f"(at most 2^{CELLS.bit_length() - 1})"
            )
        tokens = np.array(list(product(range(N), repeat=len(weights))))
        excess = np.einsum("nxj,j->xn", (P - mu[:, None])[:, tokens], weights) / mu
        excess = np.maximum(excess, -1.0)
        found[k] = np.prod(mu[tokens], axis=1) @ ((xlog1py(1 + excess, excess) - excess) @ mu)  # nothing cancels
    return found


def supports(T: float, s: int) -> float:
    r""":math:`\log\binom{T}{s}`: how many supports there are, in nats.

    Parameters
    ----------
    T : context length; need not be whole.
    s : positions on a support, above 0 and at most T.

    Returns
    -------
    float
        At least 0.

    Raises
    ------
    InvalidArgument : s is out of range, or T is not finite.
    """
    if not (0 < real("s", s) <= real("T", T)):
        raise InvalidArgument(f"s is {s} and T is {T}; expected 0 < s ≤ T")
    return max(0.0, -math.log(T + 1) - float(betaln(T - s + 1, s + 1)))  # log T! itself would lose the digits


def fano_samples(task: SCB, *, error: float = 0.1) -> int:
    r"""L3: samples, of all triggers together, below which nobody finds some trigger's support: like :math:`\log T`.

    Whatever the method, even one that knows P and the weights, a support drawn uniformly from all
    :math:`\binom Ts` is missed with a chance above ``error`` unless :math:`n_k I_k \ge
    (1-\mathrm{error})\log\binom Ts - \log 2`; and :math:`n_k = n\mu_k` on average.

    Parameters
    ----------
    task : one whose output depends on the copied token; T, s of each column, and :math:`I_k` enter.
    error : the chance of error that is allowed, in (0, 1).

    Returns
    -------
    int
        The largest :math:`n_k/\mu_k` over triggers.

    Raises
    ------
    InvalidArgument : the chance is not in (0, 1), the output does not depend on the copied token, or the enumeration
        has more than 2²⁴ cells.
    """
    chance("error", error)
    if chi_squared_information(task) <= 1e-12:
        raise InvalidArgument("the output does not depend on the copied token; no number of samples finds the support")
    sizes = (task._host_Q > 0).sum(axis=0)
    needed = np.array([(1 - error) * supports(task.context_length, int(s)) - math.log(2) for s in sizes])
    return math.ceil(max(0.0, float((needed / token_information(task) / task._host_mu).max())))


def fano_error(*, information: float, n: float, choices: float) -> float:
    r"""L3: the least chance of error e with :math:`h(e) + e\log(M-1) \ge \log M - nI`: Fano's bound, unweakened.

    Parameters
    ----------
    information, n : nats a sample, and samples; at least 0.
    choices : M, how many equally likely supports there are, at least 1.

    Returns
    -------
    float
        From 0, where the samples can tell all supports apart, to 1 - 1/M, without any.

    Raises
    ------
    InvalidArgument : the information or n is negative or not finite, or there is less than one choice.
    """
    information, n = real("information", information), real("n", n)
    if information < 0 or n < 0:
        raise InvalidArgument(f"information is {information:g} and n is {n:g}; expected both at least 0")
    choices = choices if type(choices) is int else real("choices", choices)  # a binomial may exceed every float
    if choices < 1:
        raise InvalidArgument(f"choices is {choices}; expected at least one support")
    missing, most = math.log(choices) - n * information, 1 - 1 / choices

    def entropy(e):
        return -xlogy(e, e) - xlog1py(1 - e, -e) + e * math.log(choices - 1)

    if missing <= 0 or most == 0:
        return 0.0
    if entropy(most) <= missing:  # by rounding
        return most
    return float(brentq(lambda e: entropy(e) - missing, 0.0, most, xtol=1e-300, maxiter=5000))
