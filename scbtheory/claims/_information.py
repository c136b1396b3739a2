"""What the claims on the last stage share: matrices of any numbers, and the law of cells to draw counts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import Any

import numpy as np

import scbtheory as scb
from scbtheory.limits._fisher import Model


@dataclass(frozen=True)
class Mixture:
    """A task on its supports, in numbers of any kind: fractions, floats or SymPy's.

    Attributes
    ----------
    P : (N, N). mu : N numbers. weights : q on its support for each trigger.
    """

    P: Any
    mu: Any
    weights: Any

    @property
    def N(self):
        return len(self.mu)

    @property
    def size(self):
        return sum(map(len, self.weights)) + self.N**2

    def zeros(self, *shape):
        """An array of zeros that these numbers can be added to."""
        return np.zeros(shape, dtype=self.P.dtype) * self.P[0, 0]

    def cells(self):
        """Yield ``(probability of trigger and copied tokens, p, ∇p)``, ∇p of shape (N, size), for every row."""
        start = sum(map(len, self.weights))
        begin = 0
        for k, q in enumerate(self.weights):
            for copied in product(range(self.N), repeat=len(q)):
                chance = self.mu[k]
                p, gradient = self.zeros(self.N), self.zeros(self.N, self.size)
                for j, (weight, token) in enumerate(zip(q, copied, strict=True)):
                    chance = chance * self.mu[token]
                    p = p + weight * self.P[:, token]
                    gradient[:, begin + j] = self.P[:, token]
                    for n in range(self.N):
                        gradient[n, start + n * self.N + token] += weight
                yield chance, p, gradient
            begin += len(q)

    def basis(self, *, known: bool, sums: bool = True):
        """Directions that leave the columns' sums (``sums``: of the weights too) and, if ``known``, Vμ in place."""
        columns, begin = [], 0
        start = sum(map(len, self.weights))
        for q in self.weights:
            for j in range(int(sums), len(q)):
                move = self.zeros(self.size)
                move[begin + j] += 1
                if sums:
                    move[begin] -= 1
                columns.append(move)
            begin += len(q)
        for n in range(1, self.N):
            for m in range(int(known), self.N):
                move = self.zeros(self.N, self.N)
                own, first = (1 / self.mu[m], 1 / self.mu[0]) if known else (1, 0)
                move[n, m] += own
                move[0, m] -= own
                move[n, 0] -= first
                move[0, 0] += first
                columns.append(np.concatenate([self.zeros(start), move.ravel()]))
        return np.stack(columns, axis=1)

    def errors(self, covariance):
        """Both errors of a covariance of all entries, weighed by the frequencies."""
        own = [self.mu[k] for k, q in enumerate(self.weights) for _ in q]
        weights = own + [self.mu[m] for _ in range(self.N) for m in range(self.N)]
        terms = [f * covariance[i, i] for i, f in enumerate(weights)]
        return sum(terms[: len(own)]), sum(terms[len(own) :])


def inverse(matrix):
    """Invert a square array of numbers of any kind by elimination."""
    size = len(matrix)
    if matrix.dtype != object:
        return np.linalg.inv(matrix)
    rows = np.concatenate([matrix, np.eye(size, dtype=int) + (matrix - matrix)], axis=1)
    for i in range(size):
        pivot = next(r for r in range(i, size) if rows[r, i] != 0)
        rows[[i, pivot]] = rows[[pivot, i]]
        rows[i] = rows[i] / rows[i, i]
        for r in range(size):
            if r != i:
                rows[r] = rows[r] - rows[r, i] * rows[i]
    return rows[:, size:]


@dataclass(frozen=True)
class Drawn:
    """Counts on the supports without contexts: cells of the exact law, drawn by multinomials."""

    task: scb.SCB

    @cached_property
    def law(self):
        """``(codes, probabilities)`` of all cells."""
        model, empty = Model.of(self.task), self.empty
        codes, chances = [], []
        for row in model.rows():
            p = model.law(row.trigger, row.copied) * row.weight[:, None]
            copied = np.pad(row.copied, ((0, 0), (0, empty.width - row.copied.shape[1])))
            for n in range(len(model.mu)):
                full = np.full(len(copied), n)
                codes.append(empty.code(np.full(len(copied), row.trigger), copied, full))
                chances.append(p[:, n])
        codes, chances = np.concatenate(codes), np.concatenate(chances)
        return codes, chances / chances.sum()

    @cached_property
    def empty(self):
        return scb.limits.Counts.empty(self.task._host_Q > 0)

    def counts(self, samples, rng):
        codes, chances = self.law
        drawn = rng.multinomial(samples, chances)
        return self.empty.merged(codes[drawn > 0], drawn[drawn > 0])

    def expected(self, samples):
        """The counts that are the law itself, times ``samples`` and rounded."""
        codes, chances = self.law
        return self.empty.merged(codes, np.rint(samples * chances).astype(np.int64))


@cache
def drawn(N, s, seed=0):
    """A random task for which counts are drawn; contexts are as short as its supports allow."""
    return Drawn(scb.SCB.random(N, 6 * s, s, seed=seed))
