"""Numbers to put in a statement's symbols: exact fractions for enumeration, floats for everything else.

``Numbers`` has the names of ``derivations.symbols``, so a statement reads the same on both.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import product

import numpy as np
import sympy as sp

import scbtheory as scb

__all__ = ["Case", "Numbers", "World", "case", "exact", "floating", "gap", "relative_gap", "worse", "worst", "z_score"]


@dataclass(frozen=True)
class Numbers:
    """A task and parameters as matrices of numbers (fractions or floats), seen from trigger ``k``."""

    P: np.ndarray  # (N, N)
    Q: np.ndarray  # (T, N)
    mu: np.ndarray  # (N, 1)
    A: np.ndarray  # (T, N)
    V: np.ndarray  # (N, N)
    B: np.ndarray  # (T, N), a second attention; b is its column k
    M: np.ndarray  # (N, N), an arbitrary matrix
    k: int = 0
    X: np.ndarray | None = None  # (N, T), one sampled context
    output: np.ndarray | None = None  # (N, 1), one sampled output

    N = property(lambda s: s.P.shape[0])
    T = property(lambda s: s.Q.shape[0])
    a = property(lambda s: s.A[:, [s.k]])
    b = property(lambda s: s.B[:, [s.k]])
    q = property(lambda s: s.Q[:, [s.k]])
    mu_k = property(lambda s: s.mu[s.k, 0])
    e = property(lambda s: s.I_T[:, [0]])  # one position, the first
    one_N = property(lambda s: _ones(s.N, s.P.dtype))
    one_T = property(lambda s: _ones(s.T, s.P.dtype))

    @cached_property
    def I_N(self):
        return _identity(self.N, self.P.dtype)

    @cached_property
    def I_T(self):
        return _identity(self.T, self.P.dtype)

    @cached_property
    def D(self):
        return self.I_N * self.mu

    @cached_property
    def W(self):
        return self.I_N * (1 / self.mu)

    @cached_property
    def C(self):
        return self.D - self.mu @ self.mu.T

    @staticmethod
    def tr(matrix):
        return matrix.trace()

    @staticmethod
    def dot(u, v):
        return (u.T @ v)[0, 0]

    def seen_from(self, k: int, **sample) -> Numbers:
        """The same numbers from another trigger, with a sampled context and output if given."""
        return replace(self, k=k, **sample)

    def average(self, statement, index: int = 0):
        """Average a statement's quantity over triggers: ``sum_k mu_k statement(k)[index]``."""
        return sum(self.mu[k, 0] * statement(self.seen_from(k))[index] for k in range(self.N))

    def columns(self, statement, index: int = 0):
        """Put a statement's T-vector of each trigger side by side, (T, N)."""
        return np.concatenate([statement(self.seen_from(k))[index] for k in range(self.N)], axis=1)


@dataclass(frozen=True)
class World:
    """Every context, trigger and output of a small exact task, with its probability."""

    numbers: Numbers

    @cached_property
    def contexts(self):
        """Pairs (tokens, probability), probability the product of the tokens' own."""
        mu = self.numbers.mu[:, 0]
        return [(x, _product(mu[n] for n in x)) for x in product(range(self.numbers.N), repeat=self.numbers.T)]

    def law(self, x, k):
        """The output's law given context and trigger, by the definition: draw a position, copy, transit."""
        law = np.array([Fraction(0)] * self.numbers.N)
        for t, token in enumerate(x):
            for n in range(self.numbers.N):
                law[n] += self.numbers.Q[t, k] * self.numbers.P[n, token]
        return law

    @cached_property
    def laws(self):
        """The output's law for each (tokens, trigger)."""
        return {(x, k): self.law(x, k) for x, _ in self.contexts for k in range(self.numbers.N)}

    def one_hot(self, x):
        """The context as a matrix, (N, T)."""
        return np.array([[Fraction(int(token == n)) for token in x] for n in range(self.numbers.N)])

    def mean_over_contexts(self, function):
        """``E[function(X)]``."""
        return sum(p * function(self.one_hot(x)) for x, p in self.contexts)

    def mean_given(self, k, function):
        """``E[function(X, x_o) | trigger k]``, both one-hot."""
        total = 0
        for x, p in self.contexts:
            X = self.one_hot(x)
            for n, chance in enumerate(self.laws[x, k]):
                total = total + p * chance * function(X, self.numbers.I_N[:, [n]])
        return total

    def loss(self, A, V):
        """``½ E‖x_o - V X a‖²`` summed over every context, trigger and output."""
        total, N = Fraction(0), self.numbers.N
        for x, p in self.contexts:
            for k in range(N):
                z = [sum((A[t, k] for t, token in enumerate(x) if token == n), Fraction(0)) for n in range(N)]
                f = V @ np.array(z)
                squares = f @ f
                error = sum(chance * (squares - 2 * f[n] + 1) for n, chance in enumerate(self.laws[x, k]))
                total += p * self.numbers.mu[k, 0] * error
        return total / 2

    @cached_property
    def gradient(self):
        """Gradients of the enumerated loss; central differences are exact, the loss being quadratic in each."""
        s = self.numbers
        return (
            _differences(lambda A: self.loss(A, s.V), s.A),
            _differences(lambda V: self.loss(s.A, V), s.V),
        )

    @cached_property
    def hessians(self):
        """Second derivatives of the enumerated loss in each ``a^(k)``, (T, T); differences are exact."""
        return [self._hessian(k) for k in range(self.numbers.N)]

    def _hessian(self, k):
        s = self.numbers

        def shifted(*positions):
            A = s.A.copy()
            for t in positions:
                A[t, k] += 1
            return self.loss(A, s.V)

        base, single = shifted(), [shifted(t) for t in range(s.T)]
        return np.array([[shifted(t, u) - single[t] - single[u] + base for u in range(s.T)] for t in range(s.T)])


def _differences(function, point):
    gradient = np.empty_like(point)
    for index in np.ndindex(point.shape):
        up, down = point.copy(), point.copy()
        up[index] += 1
        down[index] -= 1
        gradient[index] = (function(up) - function(down)) / 2
    return gradient


def exact(N: int, T: int, seed: int, *, admissible: bool = False) -> Numbers:
    """Return small random fractions; ``admissible`` puts A and V on G5's constraint set."""
    rng = random.Random(seed)

    def arbitrary(rows, cols):
        return np.array([[Fraction(rng.randint(-6, 6), rng.randint(1, 4)) for _ in range(cols)] for _ in range(rows)])

    def stochastic(rows, cols, allow_zero):
        weights = np.array(
            [[Fraction(rng.randint(0 if allow_zero else 1, 5)) for _ in range(cols)] for _ in range(rows)]
        )
        weights[0] += (weights.sum(axis=0) == 0) * Fraction(1)
        return weights / weights.sum(axis=0)

    P, Q = stochastic(N, N, allow_zero=False), stochastic(T, N, allow_zero=True)
    system = sp.Matrix(N, N, lambda i, j: sp.Rational(P[i, j].numerator, P[i, j].denominator)) - sp.eye(N)
    null = system.nullspace()[0]
    mu = np.array([[Fraction(int(x.p), int(x.q))] for x in null / sum(null)])
    A, V = arbitrary(T, N), arbitrary(N, N)
    if admissible:
        A, V = _admissible(A, V, mu)
    return Numbers(P, Q, mu, A, V, arbitrary(T, N), arbitrary(N, N))


def _admissible(A, V, mu):
    """Move A and V onto ``{1'a = 1, 1'V = 1', V mu = mu}``."""
    T, N = A.shape
    A = A + (1 - A.sum(axis=0)) / T
    V = V - V.sum(axis=0) / N
    return A, V - V @ mu + mu


def floating(task, theta, *, seed: int = 0) -> Numbers:
    """Return a package task and parameters as float numbers, with a random b and M beside them."""
    rng, to = np.random.default_rng(seed), task.backend.to_numpy
    T, N = task.context_length, task.vocab_size
    return Numbers(
        to(task.P), to(task.Q), to(task.mu)[:, None], to(theta.A), to(theta.V),
        rng.standard_normal((T, N)), rng.standard_normal((N, N)),
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A package task with parameters, and the same as float numbers."""

    task: scb.SCB
    theta: scb.Parameters
    numbers: Numbers


def case(N: int, T: int, *, seed: int, admissible: bool = False, sparsity: int = 2) -> Case:
    """Return a random task of the package with random parameters of order one."""
    task = scb.SCB.random(N, T, sparsity, seed=seed)
    theta = scb.Parameters.random(task, seed=seed + 1, admissible=admissible)
    return Case(task, theta, floating(task, theta))


def gap(found, stated) -> Fraction | float:
    """Return the largest absolute difference of two arrays or numbers."""
    return np.max(np.abs(np.asarray(found) - np.asarray(stated)))


def relative_gap(found, stated) -> float:
    """Return the largest difference relative to the largest entry of ``found``."""
    scale = float(np.max(np.abs(np.asarray(found, dtype=float))))
    return float(np.max(np.abs(np.asarray(found, dtype=float) - np.asarray(stated, dtype=float)))) / scale


def worse(*residuals):
    """Return the largest by size, so that one below 0 is refused and not lost; what is no number is worst of all."""
    return max(residuals, key=lambda x: (x != x, abs(x)))


def worst(rounds) -> dict:
    """Return the worst residual of each name, of rounds that measure the same."""
    first, *others = rounds
    return {name: worse(value, *(found[name] for found in others)) for name, value in first.items()}


def z_score(samples, stated) -> float:
    """Return the largest |z| of the mean of ``samples`` (first axis) against ``stated``.

    An entry that does not vary at all must be met to rounding, or scores infinity.
    """
    samples = np.asarray(samples, dtype=float)
    error = np.abs(samples.mean(axis=0) - np.asarray(stated, dtype=float))
    spread = samples.std(axis=0, ddof=1) / len(samples) ** 0.5
    constant = spread <= 1e-13 * (1 + np.abs(samples).max())
    scores = np.where(constant, np.where(error < 1e-9, 0.0, np.inf), error / np.where(constant, 1.0, spread))
    return float(scores.max())


def _ones(size, dtype):
    return np.array([[Fraction(1)]] * size) if dtype.kind == "O" else np.ones((size, 1))


def _identity(size, dtype):
    if dtype.kind == "O":
        return np.array([[Fraction(int(i == j)) for j in range(size)] for i in range(size)])
    return np.eye(size)


def _product(factors):
    result = Fraction(1)
    for factor in factors:
        result *= factor
    return result
