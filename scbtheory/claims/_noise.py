"""What the claims about noise share: sums over positions on numbers and symbols, the plane, and N1's second moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import sympy as sp

import scbtheory as scb
from scbtheory.derivations import noise, sums
from scbtheory.derivations import symbols as sym
from scbtheory.verification.instances import Case, Numbers, floating

ON_PLANE = "V = μ1' + βP', A = 11'/T + αQ'"


@dataclass(frozen=True)
class Sums:
    """Numbers seen from one trigger and one position, with the sums and averages that the noise is made of."""

    numbers: Numbers
    alpha: object = None
    beta: object = None
    t: int = 0

    def __getattr__(self, name):
        return getattr(self.numbers, name)

    def seen_from(self, k, t=0):
        return replace(self, numbers=self.numbers.seen_from(k), t=t)

    def p(self, i, j):
        return (self.a**i * self.q**j).sum()

    def h(self, j):
        return (self.q**j).sum()

    T = property(lambda self: type(self.mu[0, 0])(self.numbers.T))  # a fraction among fractions
    a_t = property(lambda self: self.a[self.t, 0])
    q_t = property(lambda self: self.q[self.t, 0])
    K_P = property(lambda self: self.tr(self.P @ self.D @ self.P.T) - self.dot(self.mu, self.mu))
    Q_norm = property(lambda self: ((self.Q**2) @ self.mu).sum())

    def one_token(self, function):
        return sum(self.mu[n, 0] * function(self.I_N[:, [n]] - self.mu) for n in range(self.N))

    def diag(self, vector):
        return self.I_N * vector

    def average(self, statement, index=0):
        return sum(self.mu[k, 0] * statement(self.seen_from(k))[index] for k in range(self.N))


class Symbols:
    """The same names as symbols; K_P stays one symbol until an equation is rid of fractions."""

    def __init__(self, V=sym.V):
        self.V, self.alpha, self.beta = V, noise.alpha, noise.beta
        self.a_t, self.q_t, self.p, self.K_P = sums.a_t, sums.q_t, sums.p, noise.K_P
        self.Q_norm = sp.Symbol("h_2", positive=True)  # as if it were the same for every trigger

    def __getattr__(self, name):
        return getattr(sym, name)

    def h(self, j):
        return sums.p(0, j) if j < 2 else sp.Symbol(f"h_{j}", positive=True)

    def one_token(self, function):
        return sums.one_token(function(sums.y))

    def diag(self, vector):
        if vector != sym.P * sums.y:
            raise ValueError(f"only diag(Py) has a symbol, not diag({vector})")
        return sums.SPREAD


K_P_IN_FULL = sums.number(sym.tr(sym.P * sym.D * sym.P.T) - sym.tr(sym.mu.T * sym.mu))


def terms(expr) -> int:
    """How many terms of a normal form are left."""
    rest = sp.expand(expr)
    return 0 if rest == 0 else len(sp.Add.make_args(rest))


def on_plane(numbers: Numbers, alpha, beta) -> Sums:
    """Put A and V on the plane of R."""
    mean = numbers.mu @ numbers.one_N.T
    A = alpha * (numbers.Q - numbers.one_T @ numbers.one_N.T / numbers.T) + numbers.one_T @ numbers.one_N.T / numbers.T
    return Sums(replace(numbers, A=A, V=mean + beta * (numbers.P - mean)), alpha, beta)


# --- the value gradient --------------------------------------------------------------------------


def value_norm(s, X, output, centred=True):
    r"""One sample's :math:`\|\hat G_V\|_\mu^2`, by its definition."""
    z = X @ s.a
    r = s.V @ z - output
    gradient = r @ (z - s.mu if centred else z).T @ s.W
    return s.tr(gradient @ s.D @ gradient.T)


def second_moments(s, V, p):
    r"""N1 given the trigger, at any V and power sums p: centred, then without centring."""
    return with_plain(s, V, p, second_moment(s, V, p))


def second_moment(s, V, p):
    r"""N1's centred second moment given the trigger."""
    flat = 1 - s.tr(s.mu.T @ s.mu)
    return assembled(
        s, V, p, lambda M, power, pairs: weighted(s, M, power, pairs, (s.N + 1) * s.tr(M @ s.C)), s.N - 1, flat
    )


def weighted(s, M, power, pairs, g):
    r""":math:`p\,(E_y[(y^\top My)(y^\top Wy)] - g) + \pi g`."""
    return power * (s.one_token(lambda y: s.tr(y.T @ M @ y) * s.tr(y.T @ s.W @ y)) - g) + pairs * g


def assembled(s, V, p, F, rank, flat):
    """The centred second moment from the sums F of fourth order, tr(WC) and the output's own variance."""
    skew = s.one_token(lambda y: s.tr(s.mu.T @ s.P @ y) * s.tr(y.T @ s.W @ y))
    S, M = V.T @ V, V.T @ s.P
    centred = flat * p(2, 0) * rank - 2 * p(2, 1) * skew
    return centred + F(S, p(4, 0), p(2, 0) ** 2) - 2 * F(M, p(3, 1), p(2, 0) * p(1, 1))


def with_plain(s, V, p, centred):
    """The centred second moment and the one without centring, which has the residual's square beside it."""
    own, crossed = s.tr(V.T @ V @ s.C), s.tr(V.T @ s.P @ s.C)
    return centred, centred + 1 - s.tr(s.mu.T @ s.mu) + p(2, 0) * own - 2 * p(1, 1) * crossed


def sampled_norms(task, theta, batch, centred=True):
    r"""Each sample's :math:`\|\hat G_V\|_\mu^2` by index, (B,): no array larger than the tokens."""
    z = task.backend.kernels.histogram(task.backend, batch.tokens, batch.trigger, theta.A)
    r = z @ theta.V.T - np.eye(task.vocab_size)[batch.output]
    return (r**2).sum(axis=1) * ((z - task.mu if centred else z) ** 2 / task.mu).sum(axis=1)


@cache
def long_task(T, alpha, beta):
    """A task of the package on the plane."""
    task = scb.SCB.random(3, T, 2, seed=4)
    theta = scb.dynamics.lift(task, alpha, beta)
    return Case(task, theta, Sums(floating(task, theta), alpha, beta))
