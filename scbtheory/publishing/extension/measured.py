"""What claims measured, as HTML: folded below each claim, and as the directive ``{measurements}`` for all of them."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from scbtheory.verification import measurements
from scbtheory.verification.claim import Claim
from scbtheory.verification.profiles import PROFILES
from scbtheory.verification.registry import Registry

__all__ = ["MeasurementsDirective", "folded"]

RESIDUALS = ("route", "what differs", "measured", "limit", "nearest mistake", "its excess")
QUANTITIES = ("profile", "measured", "value", "interval", "claimed", "runs", "seeds")


def folded(root: Path, claim_id: str, package: str) -> nodes.Node | None:
    """Return a claim's measurements as one folded element, or nothing where no file of them exists."""
    entries = measurements.read(root)
    if not entries:
        return None
    found = entries.get(claim_id, {})
    dates = ", ".join(f"{name} {found[name]['date'] if name in found else 'not run'}" for name in PROFILES)
    tables = [_quantities(found)] if any(entry["quantities"] for entry in found.values()) else []
    tables += [_residuals(name, found[name]) for name in PROFILES if name in found]
    asked = found.get("quick", {})
    tables += [_unseen(Registry(package).find(claim_id), asked)] if asked.get("numbers") else []
    html = f'<details class="scb-measured"><summary>Measured: {dates}</summary>{"".join(tables)}</details>'
    return nodes.raw("", html, format="html")


class MeasurementsDirective(SphinxDirective):
    """A table of all quantities with intervals, and of when each claim was measured in which profile."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        self.env.note_dependency(str(root / measurements.FILE))
        entries = measurements.read(root)
        rows, known = [], Registry(self.env.config.scb_claims_package).ids()
        for claim_id in known:
            found = entries.get(claim_id, {})
            cells = [f'<a href="{_page(self.env, claim_id)}#claim-{claim_id}">{claim_id}</a>']
            for name in PROFILES:
                entry = found.get(name)
                cells.append(f"{entry['date']}, {_seconds(entry)}, {_held(entry)}" if entry else "not run")
            cells.append(_tightest(found))
            cells.append(_counted(found.get("quick", {})))
            rows.append(cells)
        head = ("claim", *PROFILES, "smallest excess of a mistake over a limit", "numbers that a route does not see")
        return [nodes.raw("", _table("When each claim was measured", head, rows, escaped=True), format="html")]


def _page(env: Any, claim_id: str) -> str:
    return Registry(env.config.scb_claims_package).find(claim_id).chapter + ".html"


def _held(entry: dict[str, Any]) -> str:
    return "holds" if entry["holds"] else "FAILS"


def _seconds(entry: dict[str, Any]) -> str:
    return f"{entry['seconds']:g} s"


def _tightest(found: dict[str, Any]) -> str:
    """The control that came nearest to passing, in words: what has no digits is infinitely far above a limit of 0."""
    finite = [
        (route["its excess"], route["nearest mistake"])
        for entry in found.values()
        for route in entry["routes"]
        if not isinstance(route["its excess"], str)
    ]
    if not finite:
        return "every limit is 0" if found else ""
    excess, mistake = min(finite)
    return f"{excess:.3g}: {escape(mistake)}"


def _quantities(found: dict[str, Any]) -> str:
    rows = [
        (name, q["name"], f"{q['value']:.4g}", f"{q['low']:.4g} to {q['high']:.4g} ({100 * q['confidence']:g} %)",
         q["stated"], str(q["runs"]), q["seeds"])
        for name in PROFILES
        for q in found.get(name, {}).get("quantities", [])
    ]  # fmt: skip
    return _table("Quantities", QUANTITIES, rows)


def _residuals(name: str, entry: dict[str, Any]) -> str:
    versions = ", ".join(f"{library} {number}" for library, number in entry["versions"].items())
    rows = []
    for route, (_, _, limits, _) in zip(entry["routes"], entry["settings"]["routes"], strict=True):
        for residual, value in route["residuals"].items():
            limit = limits[residual] if isinstance(limits, dict) else limits
            mistake, excess = route["nearest mistake"], route["its excess"]
            rows.append((route["route"], residual, f"{value:g}", f"{limit:g}", mistake, f"{excess:g}×"
                         if not isinstance(excess, str) else "limit is 0"))  # fmt: skip
    return _table(f"{name}: {entry['date']}, {_seconds(entry)}, {_held(entry)}; {versions}", RESIDUALS, rows)


def _counted(entry: dict[str, Any]) -> str:
    """Of the statement's numbers, how many each route misses."""
    if not entry.get("numbers"):
        return "not asked"
    total, missed = len(entry["numbers"]["changed"]), zip(entry["routes"], entry["numbers"]["unseen"], strict=True)
    counts = [f"{route['route']} {len(names)} of {total}" for route, names in missed if names]
    return ", ".join(counts) or ("none" if total else "it has none")


def _unseen(claim: Claim, entry: dict[str, Any]) -> str:
    """Which numbers of the statement may change without a route's notice, and why."""
    found, items = entry["numbers"], []
    for route, names in zip(claim.routes, found["unseen"], strict=True):
        if names is None:
            items.append(f"<li>The {escape(route.kind)} route was not asked: it would draw new samples each time.</li>")
        elif names:
            shown = "; ".join(f"<code>{escape(name)}</code>" for name in names)
            items.append(f"<li>The {escape(route.kind)} route ({escape(route.blind)}): {shown}</li>")
    total = len(found["changed"])
    if not items:
        what = f"Each of the statement's {total} numbers, changed by a tenth, is rejected by every route."
        return f"<p>{what}</p>" if total else ""
    what = (
        f"The statement's numbers ({total}) were changed in turn by a tenth, an exponent by one. "
        "Some routes do not notice some of them:"
    )
    return f"<p>{what}</p><ul>{''.join(items)}</ul>"


def _table(caption: str, head: tuple[str, ...], rows: list, *, escaped: bool = False) -> str:
    mark = (lambda cell: cell) if escaped else escape
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{mark(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<table class="scb-report"><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
