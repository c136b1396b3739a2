"""What the claims about two numbers on matrices share: points of the plane, and the enumerated descent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from types import SimpleNamespace

from scbtheory.verification import routes
from scbtheory.verification.claim import Route
from scbtheory.verification.instances import Numbers, World, case, exact, worst

SMALL = ((2, 2), (2, 3), (3, 2), (2, 4))
FROM_LOSS = f"{routes.ALL_SIZES}: from the loss of one sample, word by word"
ENUMERATED = "every context, trigger and output in fractions, (N, T) = " + ", ".join(f"{N}×{T}" for N, T in SMALL)
SCRATCH = "population gradients of G5; every task with K_P, K_Q > 0"


@dataclass(frozen=True)
class Point(Numbers):
    """Numbers with coordinates of the plane, and the constants of the reduced system by their definitions."""

    alpha: Fraction | float = 0
    beta: Fraction | float = 0

    attended = property(lambda s: s.q)
    uniform = property(lambda s: s.one_T / s.T)
    mu_squared = property(lambda s: (s.mu**2).sum())
    K_P = property(lambda s: (((s.P - s.mu) ** 2).sum(axis=0) * s.mu[:, 0]).sum())
    K_Q = property(lambda s: (((s.Q - s.one_T / s.T) ** 2).sum(axis=0) * s.mu[:, 0]).sum())

    def at(self, alpha, beta) -> Point:
        return replace(self, alpha=alpha, beta=beta)


@cache
def points() -> tuple[Point, ...]:
    """Small exact tasks at a point of the plane with one negative coordinate."""
    fields = [vars(exact(N, T, seed=7 * N + T)) for N, T in SMALL]
    names = Numbers.__dataclass_fields__
    return tuple(Point(**{n: f[n] for n in names}, alpha=Fraction(2, 3), beta=Fraction(-3, 5)) for f in fields)


@cache
def floating_point() -> tuple:
    """A package task (N = 4, T = 60) and the same as a float point."""
    instance = case(4, 60, seed=9)
    return instance.task, Point(**vars(instance.numbers), alpha=0.3, beta=-0.4)


def enumerated(differences, scope=ENUMERATED) -> Route:
    """The exact route: each named difference, over all points, must be 0."""

    return Route("exact", scope, lambda statement: worst(differences(s, statement) for s in points()))


def descent_direction(s, A, V):
    """``(G_A, G_V)`` of the enumerated loss at (A, V), preconditioned and projected: (T, N) and (N, N)."""
    plain_A, plain_V = World(replace(s, A=A, V=V)).gradient
    return (plain_A - plain_A.sum(axis=0) / s.T) / s.mu[:, 0], plain_V @ s.W @ (s.I_N - s.mu @ s.one_N.T)


def plane(s):
    """R1: V and its direction, a and its direction."""
    flat = s.mu @ s.one_N.T
    dV, da = s.P - flat, s.attended - s.uniform
    return flat + s.beta * dV, dV, s.uniform + s.alpha * da, da


def velocity(s):
    """R2: the velocities of alpha and of beta."""
    rest = 1 - s.alpha * s.beta
    return s.K_P * s.beta * rest, s.K_Q * s.alpha * rest + (1 - s.beta) / s.T


def scalar_point(task, alpha, beta):
    return SimpleNamespace(alpha=alpha, beta=beta, K_P=task.K_P, K_Q=task.K_Q, T=task.context_length)
