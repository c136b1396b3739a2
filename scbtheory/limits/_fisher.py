r"""The information of one sample about (Q, P) once the supports are known, and what it lets an estimator reach (L4).

Given the support :math:`t_1, \dots, t_s` of trigger k, a sample matters only through the copied tokens
:math:`c_j = x_{t_j}` and the output: :math:`\Pr(x_o = n \mid c, k) = p_n = \sum_j q_j P_{n c_j}`, bilinear in
(q, P). So every matrix below is a mean over :math:`N^s` rows (k, c), whatever T is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scbtheory.errors import InvalidArgument
from scbtheory.task import SCB

CELLS = 2**24  # triggers, copied tokens and outputs that are enumerated at most
LAWS = ("known", "unknown")


class Errors(NamedTuple):
    r""":math:`n\,E\|\hat A - Q\|_\mu^2` and :math:`n\,E\|\hat V - P\|_\mu^2`, n the number of samples.

    Parameters
    ----------
    attention, value : the error of A and that of V, at least 0.
    """

    attention: float
    value: float


class Row(NamedTuple):
    """Copied tokens of one trigger: ``copied`` (M, s), and the weight of each row, (M,)."""

    trigger: int
    copied: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Model:
    r"""What the law of a sample on the supports is made of; host arrays only.

    Attributes
    ----------
    P : (N, N) the transition matrix. mu : (N,) the law of triggers and tokens.
    weights : a tuple with q on its support for each trigger, (s_k,) each.
    """

    P: np.ndarray
    mu: np.ndarray
    weights: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, task: SCB) -> Model:
        """Read a task; its supports are those of Q."""
        Q = task._host_Q
        return cls(task._host_P, task._host_mu, tuple(Q[Q[:, k] > 0, k] for k in range(task.vocab_size)))

    @property
    def size(self) -> int:
        """The number of parameters: support entries, trigger after trigger, then P row after row."""
        return sum(map(len, self.weights)) + len(self.mu) ** 2

    @property
    def offsets(self) -> np.ndarray:
        """Where each trigger's entries begin, (N + 1,); P's begin at the last."""
        return np.cumsum([0, *map(len, self.weights)])

    def rows(self) -> list[Row]:
        """Enumerate the copied tokens of every trigger with their probabilities.

        Raises
        ------
        InvalidArgument : there are more than ``CELLS`` cells (trigger, copied tokens, output).
        """
        N = len(self.mu)
        cells = sum(N ** (len(q) + 1) for q in self.weights)
        if cells > CELLS:
            raise InvalidArgument(
                f"with N = {N} and supports of up to {max(map(len, self.weights))} positions there are {cells} cells "
                f"(trigger, copied tokens, output) to enumerate; expected at most {CELLS}"
            )
        found = []
        for k, q in enumerate(self.weights):
            copied = np.indices((N,) * len(q)).reshape(len(q), -1).T
            found.append(Row(k, copied, self.mu[k] * self.mu[copied].prod(axis=1)))
        return found

    def law(self, trigger, copied):
        """The output's law for each row of copied tokens, (M, N)."""
        return np.einsum("j,nmj->mn", self.weights[trigger], self.P[:, copied])

    def information(self, rows=None):
        r""":math:`\sum w\,\sum_n \nabla p_n \nabla p_n^\top / p_n`, over the law's own rows by default."""
        return self._products(rows, lambda p: 1 / p)

    def curvature(self):
        r""":math:`E\sum_n \nabla p_n\nabla p_n^\top`: the Hessian of the squared loss at the truth."""
        return self._products(None, np.ones_like)

    def gradient_noise(self):
        r""":math:`E[\nabla p\,(\mathrm{diag}\,p - pp^\top)\,\nabla p^\top]`: the covariance of the loss's gradient."""
        total = self._products(None, lambda p: p)
        for row in self.rows():
            p = self.law(row.trigger, row.copied)
            mean = np.zeros((len(p), self.size))
            mean[:, self._own(row.trigger)] = np.einsum("nmj,mn->mj", self.P[:, row.copied], p)
            mean[:, self.offsets[-1] :] = np.einsum("mn,mz->mnz", p, self._copies(row)).reshape(len(p), -1)
            total -= mean.T @ (row.weight[:, None] * mean)
        return total

    def _own(self, trigger):
        return slice(self.offsets[trigger], self.offsets[trigger + 1])

    def _copies(self, row):
        """The weight that each token has in a row's law, (M, N)."""
        z = np.zeros((len(row.copied), len(self.mu)))
        for weight, tokens in zip(self.weights[row.trigger], row.copied.T, strict=True):
            z[np.arange(len(z)), tokens] += weight
        return z

    def _products(self, rows, scale):
        """Weighted sums of ``scale(p)_n ∇p_n ∇p_nᵀ``; the value block couples entries of one row of P only."""
        N, start = len(self.mu), self.offsets[-1]
        total = np.zeros((self.size, self.size))
        value = np.zeros((N, N, N))
        for row in self.rows() if rows is None else rows:
            p, own, z = self.law(row.trigger, row.copied), self._own(row.trigger), self._copies(row)
            w = row.weight[:, None] * scale(p)
            seen = self.P[:, row.copied]  # (N, M, s)
            total[own, own] += np.einsum("mn,nmi,nmj->ij", w, seen, seen)
            mixed = np.einsum("mn,nmi,mz->inz", w, seen, z).reshape(seen.shape[2], N * N)
            total[own, start:] += mixed
            total[start:, own] += mixed.T
            value += np.einsum("mn,mz,my->nzy", w, z, z)
        for n in range(N):
            block = slice(start + n * N, start + (n + 1) * N)
            total[block, block] += value[n]
        return total

    def tangent(self, law: str):
        r"""The directions that constraints leave: columns sum to 0 and, if μ is known, :math:`\Delta V\mu = 0`."""
        N, start = len(self.mu), self.offsets[-1]
        columns = []
        for k, q in enumerate(self.weights):
            for j in range(1, len(q)):
                direction = np.zeros(self.size)
                direction[self.offsets[k] + j], direction[self.offsets[k]] = 1, -1
                columns.append(direction)
        rows = np.eye(N)[1:] - np.eye(N)[0]
        own = rows / self.mu if law == "known" else np.eye(N)
        for up in rows:
            for right in own:
                direction = np.zeros(self.size)
                direction[start:] = np.outer(up, right).ravel()
                columns.append(direction)
        return np.stack(columns, axis=1)

    def errors(self, covariance) -> Errors:
        """Read both errors off a covariance of all parameters, weighed by μ."""
        variance = np.diag(covariance)
        own = np.repeat(self.mu, [len(q) for q in self.weights])
        start = self.offsets[-1]
        return Errors(float(own @ variance[:start]), float(np.tile(self.mu, len(self.mu)) @ variance[start:]))

    def covariance(self, law: str):
        r""":math:`U(U^\top I U)^{-1}U^\top`, U the :meth:`tangent`: the least covariance, times n."""
        U = self.tangent(law)
        return U @ _inverse(U.T @ self.information() @ U) @ U.T


def fisher_information(task: SCB):
    r"""L4: the information of one sample about the entries of Q on its supports and those of P.

    .. math:: I = \sum_k\mu_k\,E_c\sum_n \frac{\nabla p_n\nabla p_n^\top}{p_n}, \qquad
       \frac{\partial p_n}{\partial q_j} = P_{nc_j},\quad
       \frac{\partial p_n}{\partial P_{nm}} = \sum_{j:\,c_j = m} q_j

    No constraint is applied; :func:`cramer_rao` applies them.

    Parameters
    ----------
    task : an :class:`~scbtheory.SCB` whose P has no entry 0.

    Returns
    -------
    ndarray
        (d, d), :math:`d = \sum_k s_k + N^2`: support entries trigger after trigger, then P row after row.

    Raises
    ------
    InvalidArgument : P has an entry 0, or there are too many copied tokens to enumerate (:math:`N^s`).
    """
    return _interior(task).information()


def cramer_rao(task: SCB, mu: str = "unknown") -> Errors:
    r"""L4: the least n times :math:`E\|\hat A-Q\|_\mu^2` and :math:`E\|\hat V-P\|_\mu^2` of unbiased estimators.

    :math:`\mathrm{tr}\,W U(U^\top I U)^{-1}U^\top` with U spanning what the constraints leave: columns of A and V sum
    to 1 and, where :math:`\mu` is known, :math:`V\mu=\mu`. Supports are known; the estimator is unbiased given
    triggers and contexts. (What the tokens themselves tell about an unknown :math:`\mu` does not count: for long
    contexts it makes :math:`\mu` known.)

    Parameters
    ----------
    task : the truth; its P has no entry 0.
    mu : ``"known"`` or ``"unknown"``.

    Returns
    -------
    Errors
        Named ``attention`` and ``value``; divide by the number of samples.

    Raises
    ------
    InvalidArgument : P has an entry 0, samples do not determine all parameters (as where all columns of P are equal and
        a support has several positions), the enumeration is too large, or another ``mu``.
    """
    model = _interior(task)
    return model.errors(model.covariance(_law(mu)))


def least_squares_error(task: SCB, mu: str = "known") -> Errors:
    r"""L4: the same for least squares on the supports, its asymptotic (sandwich) covariance.

    :math:`U H^{-1} M H^{-1} U^\top` with :math:`H = U^\top E[\nabla f\nabla f^\top]U` and M the covariance of the
    loss's gradient. Descent that averages its iterates reaches it at best; steps centred by :math:`\mu` (G5) keep
    :math:`V\mu = \mu`, so for them :math:`\mu` is known.

    Parameters
    ----------
    task : the truth; its P has no entry 0.
    mu : ``"known"`` or ``"unknown"``.

    Returns
    -------
    Errors
        Named ``attention`` and ``value``, no less than those of :func:`cramer_rao` at the same ``mu``; divide by the
        number of samples.

    Raises
    ------
    InvalidArgument : as for :func:`cramer_rao`.
    """
    model = _interior(task)
    U = model.tangent(_law(mu))
    back = U @ _inverse(U.T @ model.curvature() @ U) @ U.T
    return model.errors(back @ model.gradient_noise() @ back)


def _interior(task) -> Model:
    model = Model.of(task)
    if not model.P.min() > 0:
        n, m = (int(x) for x in np.unravel_index(model.P.argmin(), model.P.shape))
        raise InvalidArgument(
            f"P[{n}, {m}] is 0: the law lies on the edge of what is possible, where information bounds nothing; "
            "expected a P with positive entries"
        )
    return model


def _law(mu) -> str:
    if mu not in LAWS:
        raise InvalidArgument(f"mu is {mu!r}; expected 'known' or 'unknown'")
    return mu


def _inverse(matrix):
    """Invert an information matrix, or say that the samples do not tell all its parameters."""
    scale = np.sqrt(np.diag(matrix))
    if not (scale.min() > 0 and np.linalg.cond(matrix / np.outer(scale, scale)) < 1 / math.sqrt(np.finfo(float).eps)):
        raise InvalidArgument(
            "the information is singular: samples do not determine all parameters (are all columns of P equal?)"
        )
    return np.linalg.inv(matrix)
