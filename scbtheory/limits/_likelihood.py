r"""L5: maximum likelihood on the support's counts, which reaches the bound of L4."""

from __future__ import annotations

import numpy as np

from scbtheory.checks import count
from scbtheory.errors import InvalidArgument

__all__ = ["maximum_likelihood"]


def maximum_likelihood(tokens, trigger, output, times, A, V, *, rounds: int = 10_000, tolerance: float = 1e-11):
    r"""Maximise :math:`\sum_i c_i\log\sum_j a_j^{(k_i)}P_{o_ix_{ij}}` over columns that are distributions, by EM.

    A sample's output was copied from position j with chance :math:`r_j \propto a_jP_{ox_j}`; the weights become the
    mean chances of their trigger's samples, and column m of P the outputs of samples copied from a token m, weighed so.
    The likelihood never falls; an entry that is 0 stays 0.

    Parameters
    ----------
    tokens : (rows, m) integers, the tokens on the support of each row's trigger.
    trigger, output, times : (rows,) integers; how often a row was seen.
    A : (m, N) where to begin, columns sum to 1; 0 where a column has no such position.
    V : (N, N) where to begin, columns sum to 1.
    rounds : at most so many.
    tolerance : ends when no entry moves by more.

    Returns
    -------
    tuple of ndarray
        The new A and V; columns without a sample are left as they were.

    Raises
    ------
    InvalidArgument : an entry of A or V is negative or not finite, or a row has no chance at all under them.
    """
    A, V, rounds = np.array(A, dtype=float), np.array(V, dtype=float), count("rounds", rounds)
    if not (np.all(A >= 0) and np.all(V >= 0) and np.all(np.isfinite(A)) and np.all(np.isfinite(V))):
        raise InvalidArgument("A or V has an entry that is negative or not finite; EM begins with distributions")
    tokens, trigger, output = (np.asarray(x, dtype=np.int64) for x in (tokens, trigger, output))
    times, (m, N) = np.asarray(times, dtype=float), A.shape
    cell = (output[:, None] * N + tokens).ravel()
    for _ in range(rounds):
        chances = A.T[trigger] * V[output[:, None], tokens]
        law = chances.sum(axis=1, keepdims=True)
        if not np.all(law > 0):
            raise InvalidArgument("a sample has no chance under the parameters that EM begins with")
        copied = chances * (times[:, None] / law)
        new_A = np.zeros_like(A)
        for j in range(m):
            new_A[j] = np.bincount(trigger, weights=copied[:, j], minlength=N)
        new_V = np.bincount(cell, weights=copied.ravel(), minlength=N * N).reshape(N, N)
        new_A, new_V = _normalised(new_A, A), _normalised(new_V, V)
        moved = max(np.abs(new_A - A).max(), np.abs(new_V - V).max())
        A, V = new_A, new_V
        if moved <= tolerance:
            break
    return A, V


def _normalised(sums, before):
    total = sums.sum(axis=0, keepdims=True)
    return np.where(total > 0, sums / np.where(total > 0, total, 1.0), before)
