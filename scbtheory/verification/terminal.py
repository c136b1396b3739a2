"""``scbtheory verify``: run claims with a progress bar, print a table, say by the exit code whether all hold."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from scbtheory import files
from scbtheory.errors import InvalidArgument
from scbtheory.verification.ledger import Ledger
from scbtheory.verification.registry import CLAIMS, Registry

__all__ = ["run"]


def run(
    claim_ids: Iterable[str] = (),
    json_path: str | Path | None = None,
    *,
    jobs: int | None = None,
    console: Console | None = None,
    registry: Registry = CLAIMS,
) -> int:
    """Verify the named claims, or all; return 0 when every one holds and every control is rejected, else 1.

    ``json_path`` receives the full reports, measured residuals included; the file is replaced only
    once everything has run.
    """
    names = [registry.find(name).id for name in dict.fromkeys(claim_ids)] or registry.ids()
    target = Path(json_path) if json_path else None
    if target and not target.parent.is_dir():
        raise InvalidArgument(f"--json {json_path}: the folder {target.parent} does not exist")
    if target and target.is_dir():
        raise InvalidArgument(f"--json {json_path} is a folder; name a file")
    console = console or Console()
    columns = (TextColumn("verifying {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("claims", total=len(names))
        ledger = Ledger.of(
            names, jobs=jobs, registry=registry, done=lambda name: progress.update(bar, advance=1, description=name)
        )
    if target:
        files.write(target, json.dumps(ledger.reports, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    console.print(_table(ledger.reports))
    for report in ledger.reports:
        for line in _failures(report):
            console.print(Text.assemble((report["id"], "bold red"), f" {line}"))
    console.print(ledger.verdict, highlight=False)
    return 0 if ledger.holds else 1


def _table(reports) -> Table:
    table = Table("claim", "", "statement", "routes that agree", "controls", "seconds", box=box.SIMPLE_HEAD)
    for report in reports:
        agreeing = [f["route"] for f in report["evidence"] if f["holds"]]
        rejected = sum(control["rejected"] for control in report["controls"])
        table.add_row(
            report["id"],
            "[green]holds[/]" if report["holds"] else "[bold red]FAILS[/]",
            Text(report["title"]),
            f"{len(agreeing)} of {len(report['evidence'])}: {', '.join(dict.fromkeys(agreeing))}",
            f"{rejected} of {len(report['controls'])} rejected",
            f"{report['seconds']:.1f}",
        )
    return table


def _failures(report):
    """Say in full which route disagreed and which control got past which route."""
    for f in report["evidence"]:
        if not f["holds"]:
            yield f"{f['route']} ({f['scope']}): {f['error'] or _measured(f)}"
    for control in report["controls"]:
        for f in control["by"]:
            if not f["rejects"]:
                yield f"control not rejected by {f['route']}: {control['mistake']} ({f['error'] or _measured(f)})"


def _measured(finding) -> str:
    return ", ".join(f"{name} {x['value']}, limit {x['limit']:g}" for name, x in finding["residuals"].items())
