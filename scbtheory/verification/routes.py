"""What the claims' routes share: instances to try a statement on, and constructors for each kind of route."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from scbtheory.verification.claim import Route
from scbtheory.verification.instances import World, case, exact, worst

__all__ = [
    "ALL_SIZES",
    "ANY",
    "ENUMERATED",
    "ON_SET",
    "SIZES",
    "enumeration",
    "medium",
    "monte_carlo",
    "named",
    "numeric",
    "replaced",
    "sampled",
    "worlds",
]

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


def enumeration(difference, admissible=False) -> Route:
    """The exact route: every difference over all enumerated worlds must be 0.

    ``difference(world, statement)`` returns one number, or several by name.
    """

    def residuals(statement):
        return worst(named(difference(world, statement), "difference") for world in worlds(admissible))

    return Route("exact", ENUMERATED, residuals)


def numeric(scope, difference, limit=1e-10) -> Route:
    """A numeric route: relative differences, one number or several by name, up to ``limit``."""
    return Route(
        "numeric", scope, lambda statement: named(difference(statement), "relative difference"), limit, margin=1e4
    )


def monte_carlo(scope, z_scores, blind="") -> Route:
    """A sampled route: |z| of one quantity, or of several by name, up to 5; ``blind`` as in Route."""
    return Route(
        "monte carlo",
        scope + ", 200 000 samples at N = 3, T = 6",
        lambda statement: named(z_scores(statement), "largest |z|"),
        5.0,
        blind=blind,
    )


def named(found, name: str) -> Mapping:
    """Residuals by name as they are; a single number under ``name``."""
    return found if isinstance(found, Mapping) else {name: found}


def replaced(statement, index, wrong):
    """The statement with one of its quantities replaced."""

    def version(s):
        parts = list(statement(s))
        parts[index] = wrong(s)
        return tuple(parts)

    return version
