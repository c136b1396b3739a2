"""How one claim's report shows itself: HTML in a notebook, text in a terminal, plain data in a file."""

from __future__ import annotations

import math
from html import escape

from scbtheory.claims.framework import ClaimReport


def text(report: ClaimReport) -> str:
    """Return the report as a few lines of plain text, without digits that another machine would change."""
    lines = [f"{report.claim.id} {'holds' if report.holds else 'FAILS'}: {report.claim.title}"]
    lines += [f"  {f.route.kind:<12} {f.verdict()} ({f.route.scope})" for f in report.evidence]
    lines += [f"  control      {_control_verdict(c)}: {c.control.mistake}" for c in report.controls]
    return "\n".join(lines)


def html(report: ClaimReport) -> str:
    """Return the report as a table: one row a route, then one row a control."""
    verdict = "holds" if report.holds else "FAILS"
    rows = [_row(f.holds, f.route.kind, f.verdict(), f.route.scope) for f in report.evidence]
    rows += [_row(c.rejected, "control", _control_verdict(c), c.control.mistake) for c in report.controls]
    return (
        f'<table class="scb-report"><caption><strong>{escape(report.claim.id)} {verdict}.</strong> '
        f"{escape(report.claim.title)}</caption><thead><tr><th></th><th>route</th><th>verdict</th>"
        f"<th>what was compared</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def as_dict(report: ClaimReport) -> dict:
    """Return the report as plain data, measured discrepancies included."""

    def finding(f):
        measured = None if math.isnan(f.discrepancy) else f.discrepancy
        return {
            "route": f.route.kind, "scope": f.route.scope, "discrepancy": measured,
            "limit": f.route.limit, "unit": f.route.unit, "error": f.error,
        }  # fmt: skip

    return {
        "id": report.claim.id,
        "title": report.claim.title,
        "formula": report.claim.formula,
        "assumptions": report.claim.assumptions,
        "holds": report.holds,
        "seconds": round(report.seconds, 3),
        "evidence": [finding(f) | {"holds": f.holds} for f in report.evidence],
        "controls": [
            {
                "mistake": c.control.mistake,
                "rejected": c.rejected,
                "by": [finding(f) | {"rejects": f.rejects} for f in c.findings],
            }
            for c in report.controls
        ],
    }


def _control_verdict(control) -> str:
    if control.rejected:
        return f"rejected by all {len(control.findings)} routes"
    missed = ", ".join(
        f"{f.route.kind} ({f.error or f'{f.route.unit} {f.discrepancy:.3g}'})"
        for f in control.findings
        if not f.rejects
    )
    return f"NOT REJECTED by {missed}"


def _row(good, kind, verdict, compared) -> str:
    return (
        f'<tr class="{"good" if good else "bad"}"><td class="short">{"✓" if good else "✗"}</td>'
        f'<td class="short">{escape(kind)}</td><td class="verdict">{escape(verdict)}</td>'
        f"<td>{escape(compared)}</td></tr>"
    )
