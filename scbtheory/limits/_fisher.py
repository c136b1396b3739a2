r"""L4: what the last stage can reach: Fisher information of a sample once the support is known, and least squares."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from scbtheory.errors import InvalidArgument
from scbtheory.task import SCB

__all__ = ["ErrorConstants", "cramer_rao", "fisher_information", "least_squares_error"]

CELLS = 2**22  # of an enumeration


class ErrorConstants(NamedTuple):
    r"""n times :math:`E\|\hat A-Q\|_\mu^2` and n times :math:`E\|\hat V-P\|_\mu^2`, for large n."""

    attention: float
    value: float


def fisher_information(task: SCB) -> np.ndarray:
    r"""L4: the information of one sample about the weights on the support and the entries of P, no constraint imposed.

    :math:`F = \sum_k\mu_k E_x\sum_o \frac{1}{p_o}\partial p_o\,\partial p_o^\top` for :math:`p_o = \sum_j a_jP_{ox_j}`.

    Parameters
    ----------
    task : a task; the cost is :math:`N^{s+2}` times the square of the parameters that a sample sees.

    Returns
    -------
    ndarray
        (d, d), d = Σ s_k + N²: trigger by trigger the weights in the order of their positions, then P's columns.

    Raises
    ------
    InvalidArgument : the enumeration is too large.
    """
    F, _, _ = _enumerated(task)
    return F


def cramer_rao(task: SCB, *, mu: str = "unknown") -> ErrorConstants:
    r"""L4: the Cramér–Rao bound for unbiased estimators that know the support.

    Columns sum to 1. With :math:`\mu` known, :math:`P\mu = \mu` is one more constraint; the triggers' and tokens'
    own frequencies, which a sample also shows, are not used.

    Parameters
    ----------
    task : a task whose weights and P have no entry 0 on the support, so that the truth is no corner.
    mu : ``"unknown"`` or ``"known"``.

    Returns
    -------
    ErrorConstants
        Divide by n samples for the bound.

    Raises
    ------
    InvalidArgument : ``mu`` is neither, or the enumeration is too large.
    """
    F, _, _ = _enumerated(task)
    U = _tangent(task, mu)
    return _errors(task, U @ np.linalg.solve(U.T @ F @ U, U.T))


def least_squares_error(task: SCB, *, mu: str = "unknown") -> ErrorConstants:
    r"""L4: what least squares on the support reaches: the sandwich :math:`H^{-1}SH^{-1}` on the constraints.

    H is the Hessian of G2's loss on the support, S the covariance of one sample's gradient at the truth. Averaged
    stochastic gradient descent with small steps has the same limit.

    Parameters
    ----------
    task, mu : as in :func:`cramer_rao`.
    """
    _, H, S = _enumerated(task)
    U = _tangent(task, mu)
    inverse = np.linalg.inv(U.T @ H @ U)
    return _errors(task, U @ inverse @ (U.T @ S @ U) @ inverse @ U.T)


def _enumerated(task):
    """Information, Hessian of least squares, and covariance of its gradient, over every copied token and output."""
    P, mu, N = task._host_P, task._host_mu, task.vocab_size
    supports = [np.flatnonzero(column) for column in task._host_Q.T]
    sizes = [len(support) for support in supports]
    if sum(N ** (s + 1) * (s + s * N) ** 2 for s in sizes) > CELLS * 256:
        raise InvalidArgument(f"supports of up to {max(sizes)} positions of {N} tokens are too many to enumerate")
    weights, d = sum(sizes), sum(sizes) + N * N
    F, H, S = (np.zeros((d, d)) for _ in range(3))
    start = np.cumsum([0, *sizes])
    for k, support in enumerate(supports):
        a = task._host_Q[support, k]
        for tokens in product(range(N), repeat=len(support)):
            chance = mu[k] * np.prod(mu[list(tokens)])
            law = P[:, tokens] @ a
            J = np.zeros((N, d))  # of the law in all parameters
            J[:, start[k] : start[k + 1]] = P[:, tokens]
            for j, x in enumerate(tokens):
                J[np.arange(N), weights + x * N + np.arange(N)] += a[j]
            own = np.flatnonzero(J.any(axis=0))
            here, J = np.ix_(own, own), J[:, own]
            positive = law > 0
            F[here] += chance * (J[positive].T / law[positive]) @ J[positive]
            H[here] += chance * J.T @ J
            S[here] += chance * J.T @ (np.diag(law) - np.outer(law, law)) @ J
    return F, H, S


def _tangent(task, mu):
    """An orthonormal basis of the directions in which the constraints are kept, (d, dim)."""
    if mu not in ("known", "unknown"):
        raise InvalidArgument(f"mu is {mu!r}; expected 'known' or 'unknown'")
    N, sizes = task.vocab_size, [int((column > 0).sum()) for column in task._host_Q.T]
    weights, d = sum(sizes), sum(sizes) + N * N
    rows, start = [], np.cumsum([0, *sizes])
    for k in range(N):
        row = np.zeros((2, d))
        row[0, start[k] : start[k + 1]] = 1
        row[1, weights + k * N : weights + (k + 1) * N] = 1
        rows += list(row)
    if mu == "known":
        for n in range(N):
            row = np.zeros(d)
            row[weights + n :: N] = task._host_mu
            rows.append(row)
    _, values, vectors = np.linalg.svd(np.array(rows))
    return vectors[int((values > 1e-10).sum()) :].T


def _errors(task, covariance) -> ErrorConstants:
    """The μ-norms of attention's and the value matrix's errors."""
    N, mu, sizes = task.vocab_size, task._host_mu, [int((column > 0).sum()) for column in task._host_Q.T]
    diagonal = np.diag(covariance)
    weights = sum(sizes)
    return ErrorConstants(
        float(diagonal[:weights] @ np.repeat(mu, sizes)), float(diagonal[weights:] @ np.repeat(mu, N))
    )
