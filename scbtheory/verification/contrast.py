"""One wrong version of a claim beside the right one, as every route measures the two."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from scbtheory.errors import InvalidArgument, nearest
from scbtheory.verification.claim import Claim, Control, Finding, run
from scbtheory.verification.registry import CLAIMS, Registry

__all__ = ["Contrast", "contrast"]

HEAD = ("route", "measured", "limit", "the statement", "the mistake", "")


@dataclass(frozen=True)
class Contrast:
    """What each route measured of a statement and of a control; shows itself as a table."""

    claim: Claim
    control: Control
    findings: tuple[tuple[Finding, Finding], ...]

    @property
    def rejected(self) -> bool:
        """Whether every route held the statement and rejected the control."""
        return all(right.holds and wrong.rejects for right, wrong in self.findings)

    def rows(self) -> list[tuple[str, ...]]:
        """A row a route: the residual that tells the two apart most, its limit, and both values of it."""
        rows: list[tuple[str, ...]] = []
        for right, wrong in self.findings:
            name = _telling(wrong)
            limit = right.route.limit_of(name)
            verdict = "rejected" if wrong.rejects else "NOT rejected"
            rows.append((right.route.kind, name, f"{limit:g}", _seen(right, name), _seen(wrong, name), verdict))
        return rows

    def __repr__(self) -> str:
        lines = [f"{self.claim.id}, with the mistake: {self.control.mistake}"]
        for kind, name, limit, right, wrong, verdict in self.rows():
            lines.append(f"  {kind:<12} {name}: {right}, with the mistake {wrong} (limit {limit}): {verdict}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in HEAD)
        body = "".join(
            f'<tr class="{"good" if row[-1] == "rejected" else "bad"}">'
            + "".join(f"<td>{escape(cell)}</td>" for cell in row)
            + "</tr>"
            for row in self.rows()
        )
        return (
            f'<table class="scb-report"><caption><strong>{escape(self.claim.id)} with a mistake:</strong> '
            f"{escape(self.control.mistake)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def contrast(claim_id: str, mistake: str, *, registry: Registry = CLAIMS) -> Contrast:
    """Run every route of a claim on its statement and on one of its controls.

    Parameters
    ----------
    claim_id : such as ``"S3"``.
    mistake : the control, in the words of its claim.
    registry : where claims are looked up.

    Raises
    ------
    UnknownClaim : no such id; the message names the nearest.
    InvalidArgument : the claim has no such control; the message lists those that it has.
    """
    claim = registry.find(claim_id)
    controls = {control.mistake: control for control in claim.controls}
    if mistake not in controls:
        raise InvalidArgument(
            f"{claim_id} has no control {mistake!r}{nearest(mistake, controls)}; it has: {'; '.join(controls)}"
        )
    control = controls[mistake]
    pairs = tuple((run(route, claim.statement), run(route, control.statement)) for route in claim.routes)
    return Contrast(claim, control, pairs)


def _telling(wrong: Finding) -> str:
    """The residual that is furthest above its limit."""

    def excess(name: str) -> float:
        limit, value = wrong.route.limit_of(name), wrong.residuals[name]
        return value / limit if limit else value * 1e300

    return max(wrong.residuals, key=excess) if wrong.residuals else ""


def _seen(finding: Finding, name: str) -> str:
    """A residual in two digits; only that it agrees where it does, as its digits are then the processor's."""
    if finding.error or name not in finding.residuals:
        return f"broke: {finding.error}"
    value, limit = finding.residuals[name], finding.route.limit_of(name)
    if value <= limit:
        return f"≤ {limit:g}" if limit else "0"
    return f"{value:.2g}"
