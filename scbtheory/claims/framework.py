"""Claims, the independent routes to them, and the controls that every route must reject.

A **statement** is a function of a bundle of symbols ``s`` that returns a tuple of quantities. Written
once, it is evaluated on SymPy matrices of symbolic size, on exact fractions and on floats; a route
compares it with a truth that was found without it, and answers with a **discrepancy**. A route holds
the statement when the discrepancy is at most its limit, and rejects one when it is clearly above:
what lies between decides nothing and counts as a failure either way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from scbtheory.errors import UnknownClaim, nearest

Statement = Callable[..., tuple]
KINDS = ("symbolic", "exact", "numeric", "monte carlo")


@dataclass(frozen=True)
class Route:
    """One way to a claim.

    Attributes
    ----------
    kind : one of ``KINDS``; says what holding is worth (a proof, a proof at instances, a bound, a z-score).
    scope : what exactly is compared, at which sizes, under which assumptions.
    discrepancy : maps a statement to a number, 0 for perfect agreement.
    limit : the largest discrepancy that agrees.
    margin : a control is rejected from ``margin * limit`` on (any discrepancy at all where limit is 0).
    unit : what the discrepancy counts.
    """

    kind: str
    scope: str
    discrepancy: Callable[[Statement], float]
    limit: float = 0.0
    margin: float = 2.0
    unit: str = "terms that do not cancel"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"route kind is {self.kind!r}; expected one of {KINDS}")

    def holds(self, discrepancy: float) -> bool:
        return discrepancy <= self.limit

    def rejects(self, discrepancy: float) -> bool:
        return discrepancy > self.limit * self.margin


@dataclass(frozen=True)
class Control:
    """A plausible wrong version of a statement, and the mistake it makes."""

    mistake: str
    statement: Statement


@dataclass(frozen=True)
class Claim:
    """A statement of the theory with its routes and controls; ``formula`` is its LaTeX."""

    id: str
    title: str
    formula: str
    assumptions: str
    statement: Statement
    routes: tuple[Route, ...]
    controls: tuple[Control, ...]


@dataclass(frozen=True)
class Finding:
    """What one route said about one statement; ``error`` is set when the route broke instead."""

    route: Route
    discrepancy: float
    error: str = ""

    @property
    def holds(self) -> bool:
        return not self.error and self.route.holds(self.discrepancy)

    @property
    def rejects(self) -> bool:
        return not self.error and self.route.rejects(self.discrepancy)

    def verdict(self) -> str:
        """Say what agreed, in words that do not depend on the last digits."""
        if self.error:
            return f"broke: {self.error}"
        if self.holds:
            if self.route.limit:
                return f"{self.route.unit} ≤ {self.route.limit:g}"
            return "agrees exactly" if self.route.kind in ("symbolic", "exact") else f"no {self.route.unit}"
        return f"differs: {self.route.unit} {self.discrepancy:.3g}, limit {self.route.limit:g}"


@dataclass(frozen=True)
class ControlReport:
    """What every route said about one control."""

    control: Control
    findings: tuple[Finding, ...]

    @property
    def rejected(self) -> bool:
        return all(finding.rejects for finding in self.findings)


@dataclass(frozen=True)
class ClaimReport:
    """A claim's evidence: holds when every route agrees and rejects every control."""

    claim: Claim
    evidence: tuple[Finding, ...]
    controls: tuple[ControlReport, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        return all(f.holds for f in self.evidence) and all(c.rejected for c in self.controls)

    def __str__(self) -> str:
        from scbtheory.claims import report

        return report.text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from scbtheory.claims import report

        return report.html(self)


REGISTRY: dict[str, Claim] = {}


def register(claim: Claim) -> Claim:
    """Add a claim to the registry; ids are unique, routes and controls at least two each."""
    if claim.id in REGISTRY:
        raise ValueError(f"claim {claim.id} is registered twice")
    if len(claim.routes) < 2 or len(claim.controls) < 2:
        raise ValueError(
            f"claim {claim.id} has {len(claim.routes)} routes and {len(claim.controls)} controls; it needs two of each"
        )
    REGISTRY[claim.id] = claim
    return claim


def find(claim_id: str) -> Claim:
    """Return the claim called ``claim_id``.

    Raises
    ------
    UnknownClaim : no such id; the message names the nearest.
    """
    key = str(claim_id)
    if key not in REGISTRY:
        raise UnknownClaim(f"claim {claim_id!r} is not known{nearest(key, REGISTRY)}; known: {', '.join(REGISTRY)}")
    return REGISTRY[key]


def verify(claim_id: str) -> ClaimReport:
    """Run every route of a claim on its statement and on every control."""
    claim, start = find(claim_id), time.perf_counter()
    evidence = tuple(_run(route, claim.statement) for route in claim.routes)
    controls = tuple(
        ControlReport(control, tuple(_run(route, control.statement) for route in claim.routes))
        for control in claim.controls
    )
    return ClaimReport(claim, evidence, controls, time.perf_counter() - start)


def _run(route: Route, statement: Statement) -> Finding:
    """Ask a route; one that breaks neither holds a statement nor rejects a control."""
    try:
        discrepancy = float(route.discrepancy(statement))
    except Exception as error:  # whatever broke, the report must say so rather than stop the others
        return Finding(route, math.nan, f"{type(error).__name__}: {error}")
    return Finding(route, discrepancy)
