"""``scbtheory verify``: run claims with a progress bar, print a table, say by the exit code whether all hold."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scbtheory.claims import find, ids, verify
from scbtheory.claims.report import as_dict
from scbtheory.errors import InvalidArgument


def run(claim_ids=(), json_path=None, *, jobs: int | None = None, console: Console | None = None) -> int:
    """Verify the named claims, or all; return 0 when every one holds and every control is rejected, else 1.

    ``json_path`` receives the full reports, measured discrepancies included; the file is replaced only
    once everything has run.
    """
    names = [find(name).id for name in dict.fromkeys(claim_ids)] or ids()
    target = Path(json_path) if json_path else None
    if target and not target.parent.is_dir():
        raise InvalidArgument(f"--json {json_path}: the folder {target.parent} does not exist")
    console = console or Console()
    reports = _verify_all(names, jobs or min(2, os.cpu_count() or 1))
    console.print(_table(reports))
    for report in reports:
        for line in _failures(report):
            console.print(f"[bold red]{report['id']}[/] {line}", highlight=False)
    if target:
        _replace(target, json.dumps(reports, indent=1, ensure_ascii=False) + "\n")
    held = sum(report["holds"] for report in reports)
    controls = [control["rejected"] for report in reports for control in report["controls"]]
    console.print(f"{held} of {len(reports)} claims hold; {sum(controls)} of {len(controls)} controls rejected.")
    return 0 if held == len(reports) else 1


def _verify_all(names, jobs):
    """Verify in ``jobs`` processes, with a progress bar on stderr; reports come back in the order of ``names``."""
    columns = (
        TextColumn("verifying {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    done = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(" ".join(names[:jobs]), total=len(names))
        with ProcessPoolExecutor(min(jobs, len(names))) as pool:
            futures = {pool.submit(_verify_one, name): name for name in names}
            for future in as_completed(futures):
                done[futures[future]] = future.result()
                waiting = [name for name in names if name not in done]
                progress.update(bar, advance=1, description=" ".join(waiting[:jobs]))
    return [done[name] for name in names]


def _verify_one(name):
    return as_dict(verify(name))


def _table(reports) -> Table:
    table = Table("claim", "", "statement", "routes that agree", "controls rejected", "seconds")
    for report in reports:
        agreeing = [f["route"] for f in report["evidence"] if f["holds"]]
        rejected = sum(control["rejected"] for control in report["controls"])
        table.add_row(
            report["id"],
            "[green]holds[/]" if report["holds"] else "[bold red]FAILS[/]",
            report["title"],
            f"{len(agreeing)}/{len(report['evidence'])}: {', '.join(agreeing)}",
            f"{rejected}/{len(report['controls'])}",
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
    return f"{finding['unit']} {finding['discrepancy']}, limit {finding['limit']:g}"


def _replace(path: Path, content: str) -> None:
    """Write beside the target, then rename: an interrupted run leaves the old file whole."""
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)
