"""What the claims' routes share: instances to try a statement on, and constructors for each kind of route."""

from __future__ import annotations

from functools import cache

from scbtheory.claims.framework import Route
from scbtheory.claims.instances import World, case, exact

SIZES = ((2, 2), (2, 3), (3, 2), (2, 4), (3, 4))
ANY = "every task; every A and V"
ON_SET = "every task; A and V with 1'a = 1, 1'V = 1', Vμ = μ"
ALL_SIZES = "proof for every N and T"
ENUMERATED = "every context, trigger and output in fractions, (N, T) = " + ", ".join(f"{N}×{T}" for N, T in SIZES)


@cache
def worlds(admissible: bool = False) -> tuple[World, ...]:
    """Enumerated instances with arbitrary fractions for A and V, or ones on the constraint set."""
    return tuple(World(exact(N, T, seed=10 * N + T, admissible=admissible)) for N, T in SIZES)


@cache
def medium(admissible: bool = False):
    """A task too large to enumerate."""
    return case(7, 60, seed=5, admissible=admissible)


@cache
def sampled(admissible: bool = False, batches: int = 100, size: int = 2000):
    """A small task with ``batches`` independent batches of it."""
    instance = case(3, 6, seed=7, admissible=admissible)
    return instance, [instance.task.sample(size, seed=11, step=i) for i in range(batches)]


def enumeration(discrepancy, admissible=False) -> Route:
    """The exact route: the largest discrepancy over all enumerated worlds must be 0."""
    return Route(
        "exact",
        ENUMERATED,
        lambda statement: max(discrepancy(w, statement) for w in worlds(admissible)),
        unit="difference",
    )


def numeric(scope, discrepancy, limit=1e-10) -> Route:
    return Route("numeric", scope, discrepancy, limit=limit, margin=1e4, unit="relative difference")


def monte_carlo(scope, discrepancy) -> Route:
    return Route(
        "monte carlo",
        scope + ", 200 000 samples at N = 3, T = 6",
        discrepancy,
        limit=5.0,
        unit="largest |z|",
    )


def replaced(statement, index, wrong):
    """The statement with one of its quantities replaced."""

    def version(s):
        parts = list(statement(s))
        parts[index] = wrong(s)
        return tuple(parts)

    return version
