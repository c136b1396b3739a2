"""How one claim's report shows itself: HTML in a notebook, text in a terminal, plain data in a file."""

from __future__ import annotations

import math
from html import escape

from scbtheory.verification.claim import ClaimReport

__all__ = ["as_dict", "html", "text"]


def text(report: ClaimReport) -> str:
    """Return the report as a few lines of plain text, without digits that another machine would change."""
    lines = [f"{report.claim.id} {'holds' if report.holds else 'FAILS'}: {report.claim.title}"]
    lines += [f"  {f.route.kind:<12} {f.verdict()} ({f.route.scope})" for f in report.evidence]
    lines += [f"  control      {_control_verdict(c)}: {c.control.mistake}" for c in report.controls]
    return "\n".join(lines)


def html(report: ClaimReport) -> str:
    """Return the report as a table, one row a route, with the controls folded under one line."""
    verdict = "holds" if report.holds else "FAILS"
    rows = [_row(f.holds, f.route.kind, f.verdict(), f.route.scope) for f in report.evidence]
    return (
        f'<table class="scb-report"><caption><strong>{escape(report.claim.id)} {verdict}.</strong> '
        f"{escape(report.claim.title)}</caption><thead><tr><th>agrees</th><th>route</th><th>verdict</th>"
        f"<th>what was compared</th></tr></thead><tbody>{''.join(rows)}</tbody></table>{_folded(report.controls)}"
    )


def _folded(controls) -> str:
    """How many wrong versions were rejected, and, unfolded, which; open from the start where one was not."""
    rejected = sum(c.rejected for c in controls)
    items = "".join(
        f'<li class="{"good" if c.rejected else "bad"}">{escape(c.control.mistake)}'
        + ("" if c.rejected else f": {escape(_control_verdict(c))}")
        + "</li>"
        for c in controls
    )
    return (
        f'<details class="scb-controls"{"" if rejected == len(controls) else " open"}><summary>{rejected} of '
        f"{len(controls)} wrong versions rejected, each by every route</summary><ul>{items}</ul></details>"
    )


def as_dict(report: ClaimReport) -> dict:
    """Return the report as plain data, measured residuals included.

    JSON knows no infinity: a residual that is no finite number is a string, ``"inf"`` or ``"nan"``.
    """

    def finding(f):
        return {
            "route": f.route.kind,
            "scope": f.route.scope,
            "residuals": {
                name: {"value": x if math.isfinite(x) else str(x), "limit": f.route.limit_of(name)}
                for name, x in f.residuals.items()
            },
            "error": f.error,
        }

    return {
        "id": report.claim.id,
        "title": report.claim.title,
        "formula": report.claim.formula,
        "assumptions": report.claim.assumptions,
        "scope": report.claim.scope,
        "nature": report.claim.nature,
        "chapter": report.claim.chapter,
        "rests_on": list(report.claim.rests_on),
        "experiment": report.claim.experiment,
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
    missed = ", ".join(f"{f.route.kind} ({f.error or f.measured()})" for f in control.findings if not f.rejects)
    return f"NOT REJECTED by {missed}"


def _row(good, kind, verdict, compared) -> str:
    return (
        f'<tr class="{"good" if good else "bad"}"><td class="short">{"✓" if good else "✗"}</td>'
        f'<td class="short">{escape(kind)}</td><td class="verdict">{escape(verdict)}</td>'
        f"<td>{escape(compared)}</td></tr>"
    )
