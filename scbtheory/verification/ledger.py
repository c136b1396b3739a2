"""Many claims together: verified in parallel or read from what is stored, shown as the ledger, in one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from html import escape
from pathlib import Path
from typing import Any

from scbtheory.errors import InvalidArgument
from scbtheory.verification import measurements
from scbtheory.verification.claim import KINDS, Claim
from scbtheory.verification.registry import CLAIMS, Registry
from scbtheory.verification.report import as_dict

__all__ = ["Controls", "Ledger"]


class Ledger:
    """Reports of many claims as plain data (see ``report.as_dict``), in the order of the theory."""

    def __init__(self, reports: list[dict]):
        self.reports = reports

    @classmethod
    def of(
        cls,
        claim_ids: Iterable[str],
        *,
        jobs: int | None = None,
        done: Callable[[str], None] = lambda name: None,
        registry: Registry = CLAIMS,
    ) -> Ledger:
        """Verify claims in ``jobs`` processes (two by default); ``done`` is called with each finished id."""
        names = [registry.find(name).id for name in dict.fromkeys(claim_ids)]
        reports = {}
        with ProcessPoolExecutor(jobs or min(2, os.cpu_count() or 1)) as pool:
            futures = {pool.submit(_verify, registry, name): name for name in names}
            for future in as_completed(futures):
                reports[futures[future]] = future.result()
                done(futures[future])
        return cls([reports[name] for name in names])

    @classmethod
    def stored(cls, root: Path, *, registry: Registry = CLAIMS) -> Ledger:
        """Read the verdicts that ``make measure`` stored in the book under ``root``, of quick runs.

        Raises
        ------
        InvalidArgument : a claim was never measured.
        """
        entries = measurements.read(root)
        if missing := [name for name in registry.ids() if "quick" not in entries.get(name, {})]:
            raise InvalidArgument(
                f"no verdicts are stored of {', '.join(missing)}; run: scbtheory measure {missing[0]}"
            )
        return cls([_from_entry(registry.find(name), entries[name]["quick"]) for name in registry.ids()])

    @property
    def holds(self) -> bool:
        return all(report["holds"] for report in self.reports)

    @property
    def verdict(self) -> str:
        """One sentence: how many claims hold, and how many controls were rejected."""
        held = sum(report["holds"] for report in self.reports)
        routes = sum(len(report["evidence"]) for report in self.reports)
        rejected = [control["rejected"] for report in self.reports for control in report["controls"]]
        return (
            f"{held} of {len(self.reports)} claims hold, by {routes} routes; "
            f"{sum(rejected)} of {len(rejected)} controls are rejected, each by every route."
        )

    @property
    def controls(self) -> Controls:
        """The wrong versions, claim by claim, with their fates."""
        return Controls(self.reports)

    def __repr__(self) -> str:
        return self.verdict

    def _repr_html_(self) -> str:
        head = ["claim", "statement", *KINDS, "controls rejected"]
        return _table(head, map(_row, self.reports))


class Controls:
    """Every control of the given reports with its fate."""

    def __init__(self, reports: list[dict]):
        self.reports = reports

    def _rows(self):
        for report in self.reports:
            for control in report["controls"]:
                missed = [f["route"] for f in control["by"] if not f["rejects"]]
                fate = f"NOT rejected by: {', '.join(missed)}" if missed else f"rejected by {len(control['by'])} routes"
                yield report["id"], control["mistake"], fate

    def __repr__(self) -> str:
        return "\n".join(": ".join(row) for row in self._rows())

    def _repr_html_(self) -> str:
        rows = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self._rows()]
        return _table(["claim", "the mistake", "verdict"], rows)


def _verify(registry: Registry, name: str) -> dict:
    return as_dict(registry.verify(name))


def _from_entry(claim: Claim, entry: Mapping[str, Any]) -> dict[str, Any]:
    """A report, as ``report.as_dict`` makes it but for residuals, from what is stored."""
    kinds = [route["route"] for route in entry["routes"]]
    controls = [
        {
            "mistake": mistake,
            "rejected": all(rejects),
            "by": [{"route": k, "rejects": r} for k, r in zip(kinds, rejects, strict=True)],
        }
        for mistake, rejects in entry["controls"].items()
    ]
    evidence = [{"route": route["route"], "holds": route["holds"]} for route in entry["routes"]]
    return {
        "id": claim.id, "title": claim.title, "chapter": claim.chapter, "holds": entry["holds"],
        "evidence": evidence, "controls": controls,
    }  # fmt: skip


def _row(report) -> str:
    link = f'<a href="{report["chapter"]}.html#claim-{report["id"]}">{report["id"]}</a>'
    cells = [f"{_mark(report['holds'])} {link}", escape(report["title"])]
    for kind in KINDS:
        found = [f["holds"] for f in report["evidence"] if f["route"] == kind]
        cells.append(_mark(all(found)) if found else "·")
    cells.append(f"{sum(c['rejected'] for c in report['controls'])} of {len(report['controls'])}")
    start = f'<tr id="ledger-{report["id"]}" class="{"good" if report["holds"] else "bad"}">'
    return start + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"


def _mark(good: bool) -> str:
    return "✓" if good else "✗"


def _table(head, rows) -> str:
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    return f'<table class="scb-report"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
