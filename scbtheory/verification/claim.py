"""Claims, the independent routes to them, and the controls that every route must reject.

A **statement** is a function of a bundle of symbols ``s`` (see :mod:`scbtheory.verification.bundles`) that returns
a tuple of quantities. Written once, it is evaluated on SymPy matrices of symbolic size, on exact fractions and on
floats; a route compares it with a truth that was found without it, and answers with named **residuals**. A route
holds the statement when every residual is at most its limit, and rejects one when some residual is clearly above:
what lies between decides nothing and counts as a failure either way.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "KINDS",
    "NATURES",
    "Claim",
    "ClaimReport",
    "Control",
    "ControlReport",
    "Finding",
    "Route",
    "run",
    "verify",
]

Statement = Callable[..., tuple]
KINDS = ("symbolic", "exact", "numeric", "monte carlo")
NATURES = {
    "theorem": "proved for the sizes it names",
    "asymptotic": "formal, or to leading order",
    "observation": "statistical",
}
_DISPLAYED = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)


@dataclass(frozen=True)
class Route:
    """One way to a claim.

    Attributes
    ----------
    kind : one of ``KINDS``; says what holding is worth (a proof, a proof at instances, a bound, a z-score).
    scope : what exactly is compared, at which sizes, under which assumptions.
    residuals : maps a statement to numbers by name, 0 for perfect agreement, never below; a name says what is measured.
    limit : the largest residual that agrees: one number for all, or one for each name.
    margin : a residual rejects a statement from ``margin * limit`` on (any residual at all where the limit is 0).
    blind : why the route does not see every number of the statement (:mod:`scbtheory.verification.sensitivity`).
    anew : whether the route draws new samples for another statement: too dear to be asked about every number.
    """

    kind: str
    scope: str
    residuals: Callable[[Statement], Mapping[str, Any]]
    limit: float | Mapping[str, float] = 0.0
    margin: float = 2.0
    blind: str = ""
    anew: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"route kind is {self.kind!r}; expected one of {KINDS}")
        limits = self.limit.values() if isinstance(self.limit, Mapping) else [self.limit]
        if not all(0 <= limit < math.inf for limit in limits) or not 1 <= self.margin < math.inf:
            raise ValueError(
                f"a route's limits are {list(limits)} and its margin is {self.margin}; "
                "expected finite limits of at least 0 and a margin of at least 1"
            )

    def limit_of(self, name: str) -> float:
        """Return the largest residual called ``name`` that agrees."""
        return self.limit[name] if isinstance(self.limit, Mapping) else self.limit

    def measure(self, statement: Statement) -> dict[str, float]:
        """Return the residuals of a statement.

        Raises
        ------
        ValueError : there are none, their names are not those that have limits, or one is below 0.
        """
        found = {name: float(value) for name, value in self.residuals(statement).items()}
        if not found or (isinstance(self.limit, Mapping) and set(found) != set(self.limit)):
            expected = ", ".join(self.limit) if isinstance(self.limit, Mapping) else "at least one"
            raise ValueError(f"the route measures {', '.join(found) or 'nothing'}; its limits are for {expected}")
        for name, x in found.items():
            if x < 0:  # would be within any limit
                raise ValueError(f"{name} is {x}; a residual is at least 0: take its absolute value")
        return found


@dataclass(frozen=True)
class Control:
    """A plausible wrong version of a statement, and the mistake it makes."""

    mistake: str
    statement: Statement


@dataclass(frozen=True)
class Claim:
    """A statement of the theory, and all that is known of it.

    Attributes
    ----------
    id : the family's letter and a number; the file is named ``<id>_<subject>.py``.
    title : what it says, in words.
    text : the statement as the book prints it, in MyST Markdown; displayed equations may carry labels.
    assumptions : under which it holds.
    scope : what the derivation proves: for which sizes, and what is only measured.
    nature : one of ``NATURES``.
    chapter : the page that treats it.
    rests_on : ids of the claims that its statement or its derivation uses.
    experiment : whether its routes are statistics of trained models, so that no route can be a proof.
    statement, routes, controls : see the module; at least two routes and two controls.
    quantities : what ``scbtheory measure`` stores with intervals (see :mod:`scbtheory.verification.measurements`).
    """

    id: str
    title: str
    text: str
    assumptions: str
    scope: str
    nature: str
    chapter: str
    statement: Statement
    routes: tuple[Route, ...]
    controls: tuple[Control, ...]
    rests_on: tuple[str, ...] = ()
    experiment: bool = False
    quantities: Callable[[], Iterable[Any]] | None = None

    def __post_init__(self) -> None:
        if len(self.routes) < 2 or len(self.controls) < 2:
            raise ValueError(
                f"claim {self.id} has {len(self.routes)} routes and {len(self.controls)} controls; it needs two of each"
            )
        mistakes = [control.mistake for control in self.controls]
        for mistake in mistakes:
            if mistakes.count(mistake) > 1:  # what is stored of controls is kept by these words
                raise ValueError(
                    f"claim {self.id} has the control {mistake!r} more than once; each needs its own words"
                )
        if self.nature not in NATURES:
            raise ValueError(f"claim {self.id} is of nature {self.nature!r}; expected one of {', '.join(NATURES)}")

    @property
    def formula(self) -> str:
        """The displayed equations of ``text``, in LaTeX."""
        return r"\qquad ".join(" ".join(found.split()) for found in _DISPLAYED.findall(self.text))


@dataclass(frozen=True)
class Finding:
    """What one route said about one statement; ``error`` is set when the route broke instead."""

    route: Route
    residuals: Mapping[str, float]
    error: str = ""

    @property
    def holds(self) -> bool:
        return not self.error and all(x <= self.route.limit_of(name) for name, x in self.residuals.items())

    @property
    def rejects(self) -> bool:
        if self.error or any(math.isnan(x) for x in self.residuals.values()):
            return False
        return any(x > self.route.margin * self.route.limit_of(name) for name, x in self.residuals.items())

    @property
    def excess(self) -> float:
        """The largest residual over its limit (infinite where one above 0 has the limit 0)."""
        ratios = []
        for name, x in self.residuals.items():
            limit = self.route.limit_of(name)
            ratios.append(x / limit if limit else (0.0 if x == 0 else math.inf))
        return max(ratios, default=math.nan)

    def verdict(self) -> str:
        """Say what agreed, in words that do not depend on the last digits."""
        if self.error:
            return f"broke: {self.error}"
        if not self.holds:
            return f"differs: {self.measured()}"
        limited = [f"{name} ≤ {limit:g}" for name in self.residuals if (limit := self.route.limit_of(name))]
        if limited:
            return ", ".join(limited)
        return "agrees exactly" if self.route.kind in ("symbolic", "exact") else f"no {', no '.join(self.residuals)}"

    def measured(self) -> str:
        """Say which residuals are above their limits, with digits."""
        return ", ".join(
            f"{name} {x:.3g}, limit {self.route.limit_of(name):g}"
            for name, x in self.residuals.items()
            if not x <= self.route.limit_of(name)
        ) or ", ".join(f"{name} {x:.3g} (limit {self.route.limit_of(name):g})" for name, x in self.residuals.items())


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
        from scbtheory.verification import report

        return report.text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from scbtheory.verification import report

        return report.html(self)


def verify(claim: Claim) -> ClaimReport:
    """Run every route of a claim on its statement and on every control."""
    start = time.perf_counter()
    evidence = tuple(run(route, claim.statement) for route in claim.routes)
    controls = tuple(
        ControlReport(control, tuple(run(route, control.statement) for route in claim.routes))
        for control in claim.controls
    )
    return ClaimReport(claim, evidence, controls, time.perf_counter() - start)


def run(route: Route, statement: Statement) -> Finding:
    """Ask a route; one that breaks neither holds a statement nor rejects a control."""
    try:
        with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):  # whatever the caller's
            return Finding(route, route.measure(statement))
    except Exception as error:  # whatever broke, the report must say so rather than stop the others
        return Finding(route, {}, f"{type(error).__name__}: {error}")
