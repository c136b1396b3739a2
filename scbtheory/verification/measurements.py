"""What claims measured, with sizes: a file in the repository, written by ``scbtheory measure``, read by the pages.

Verdicts are what the tests compare; this file says by how much. It also holds each claim's limits, sizes and seeds
as they were when it was measured. Whoever changes one of them afterwards writes down why, in ``CHANGES``; without
such an entry a claim is not measured again, unless it is a draft that has never held.
"""

from __future__ import annotations

import datetime
import importlib
import json
import math
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scbtheory import files
from scbtheory.errors import InvalidArgument
from scbtheory.verification import profiles, sensitivity
from scbtheory.verification.claim import Claim, ClaimReport
from scbtheory.verification.registry import CLAIMS, Registry

__all__ = ["FILE", "changes", "measure", "numbers", "read", "rejections", "settings", "store", "unrecorded"]

FILE = Path("book") / "measurements.json"
CHANGES = Path("book") / "changes_of_limits.md"
LIBRARIES = ("numpy", "scipy", "sympy", "numba")
_ENTRY = re.compile(r"^- (\d{4}-\d\d-\d\d) ([A-Z][1-9][0-9]*): .+", re.MULTILINE)


def measure(claim_id: str, *, registry: Registry = CLAIMS, today: datetime.date | None = None) -> dict[str, Any]:
    """Verify a claim in the profile in force and return its entry for the file.

    Raises
    ------
    UnknownClaim : no such id; the message names the nearest.
    """
    report = registry.verify(claim_id)
    quantities = [asdict(q) for q in report.claim.quantities()] if report.claim.quantities else []
    return {
        "date": str(today or datetime.date.today()),
        "seconds": round(report.seconds, 1),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "holds": report.holds,
        "routes": _routes(report),
        "controls": rejections(report),
        "numbers": numbers(report.claim),
        "quantities": quantities,
        "settings": settings(claim_id, registry=registry),
    }


def _routes(report: ClaimReport) -> list[dict[str, Any]]:
    """For each route its largest residual as a share of the limit, and the control that comes nearest to passing."""
    rows = []
    for i, finding in enumerate(report.evidence):
        controls = {c.control.mistake: c.findings[i] for c in report.controls}
        nearest = min(controls, key=lambda mistake: controls[mistake].excess)
        rows.append({
            "route": finding.route.kind,
            "scope": finding.route.scope,
            "holds": finding.holds,
            "residuals": {name: _number(x) for name, x in finding.residuals.items()},
            "nearest mistake": nearest,
            "its residuals": {name: _number(x) for name, x in controls[nearest].residuals.items()},
            "its excess": _number(controls[nearest].excess),
        })  # fmt: skip
    return rows


def rejections(report: ClaimReport) -> dict[str, list[bool]]:
    """By control, whether each route rejects it."""
    return {c.control.mistake: [finding.rejects for finding in c.findings] for c in report.controls}


def numbers(claim: Claim) -> dict[str, Any]:
    """Every number of a claim's statement, and route by route those that the route does not see."""
    start = time.perf_counter()
    missed = sensitivity.unseen(claim)
    return {
        "changed": [variation.name for variation in sensitivity.variations(claim.statement)],
        "unseen": missed,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _number(x: float) -> float | str:
    """Four digits; JSON knows no infinity, so what is no finite number is a word."""
    return float(f"{x:.4g}") if math.isfinite(x) else str(x)


def settings(claim_id: str, *, registry: Registry = CLAIMS) -> dict[str, Any]:
    """Return a claim's limits, margins and scopes route by route, and the constants (sizes, seeds) of its module."""
    claim = registry.find(claim_id)
    module = importlib.import_module(f"{registry.package}.{registry.modules[claim_id]}")
    plain = (int, float, str, tuple, range)
    # A function's address is another one in each process.
    constants = {
        k: re.sub(r" at 0x[0-9a-f]+", "", repr(v))
        for k, v in vars(module).items()
        if k.isupper() and isinstance(v, plain)
    }
    return {
        "routes": [
            [r.kind, r.scope, dict(r.limit) if isinstance(r.limit, Mapping) else r.limit, r.margin]
            for r in claim.routes
        ],
        "constants": constants,
    }


def read(root: Path) -> dict[str, dict[str, Any]]:
    """Return the stored entries: by claim id, then by profile; empty where nothing was measured yet."""
    path = root / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def store(
    root: Path,
    claim_ids: Iterable[str] = (),
    *,
    jobs: int = 2,
    done: Callable[[str, bool], None] = lambda name, holds: None,
    registry: Registry = CLAIMS,
) -> bool:
    """Measure claims, all by default, in the profile in force; store each as it ends; return whether all hold.

    Parameters
    ----------
    root : the folder with ``book/``.
    claim_ids : which claims.
    jobs : how many processes.
    done : called with each finished id and whether it holds.
    registry : where claims are looked up.

    Raises
    ------
    UnknownClaim : no such id; the message names the nearest.
    InvalidArgument : limits, sizes or seeds were changed since the last measurement and no entry says why.
    """
    names = [registry.find(name).id for name in dict.fromkeys(claim_ids)] or registry.ids()
    if silent := [name for name in unrecorded(root, registry=registry) if name in names]:
        raise InvalidArgument(
            f"limits, sizes or seeds of {', '.join(silent)} are not those of the last measurement; "
            f"say what was changed and why in {CHANGES}, in a line '- YYYY-MM-DD {silent[0]}: …'"
        )
    held = True
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {pool.submit(measure, name, registry=registry): name for name in names}
        for future in as_completed(waiting):
            name, entry = waiting[future], future.result()
            entries = read(root)
            earlier = entries.setdefault(name, {})
            if not entry["holds"] and all(old.get("draft") for old in earlier.values()):
                entry["draft"] = True  # it has never held, so that its limits may still be found
            earlier[profiles.name()] = entry
            _write(root, {k: entries[k] for k in registry.ids() if k in entries})
            held = held and entry["holds"]
            done(name, entry["holds"])
    return held


def _write(root: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Store entries; an interrupted writing leaves the old file whole."""
    files.write(root / FILE, json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def changes(root: Path) -> dict[str, str]:
    """Return the last date on which a change of a claim's limits, sizes or seeds was written down, by claim id."""
    path = root / CHANGES
    found: dict[str, str] = {}
    for date, claim_id in _ENTRY.findall(path.read_text(encoding="utf-8") if path.exists() else ""):
        found[claim_id] = max(date, found.get(claim_id, ""))
    return found


def unrecorded(root: Path, *, registry: Registry = CLAIMS) -> list[str]:
    """Return the claims whose settings are not those they were measured with, without an entry that says why."""
    entries, dates, found = read(root), changes(root), []
    for claim_id in registry.ids():
        for entry in entries.get(claim_id, {}).values():
            if entry.get("draft"):
                continue
            now = json.loads(json.dumps(settings(claim_id, registry=registry)))
            if _comparable(now) != _comparable(entry["settings"]) and dates.get(claim_id, "") < entry["date"]:
                found.append(claim_id)
    return list(dict.fromkeys(found))


def _comparable(found: Mapping[str, Any]) -> Any:
    return sorted(map(str, found["routes"])), found["constants"]
