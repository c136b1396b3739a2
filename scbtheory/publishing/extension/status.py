"""The directive ``{status}``: what the pages were made from, when, and with which versions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from scbtheory.publishing.rendering import ORIGIN
from scbtheory.verification import measurements
from scbtheory.verification.profiles import PROFILES
from scbtheory.verification.registry import Registry

__all__ = ["StatusDirective", "setup"]


def setup(app: Sphinx) -> None:
    app.add_directive("status", StatusDirective)


class StatusDirective(SphinxDirective):
    """How many claims hold in each profile, when and with what they were measured, and whose outputs are shown."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        for file in (measurements.FILE, ORIGIN):
            self.env.note_dependency(str(root / file))
        known = Registry(self.env.config.scb_claims_package).ids()
        origin = json.loads((root / ORIGIN).read_text(encoding="utf-8")) if (root / ORIGIN).exists() else {}
        html = _measured(measurements.read(root), known) + _outputs(origin)
        return [nodes.raw("", html, format="html")]


def _measured(entries: Mapping[str, Any], known: list[str]) -> str:
    rows = []
    for profile in PROFILES:
        found = {name: entries[name][profile] for name in known if profile in entries.get(name, {})}
        failing = [name for name, entry in found.items() if not entry["holds"]]
        hold = f"{len(found) - len(failing)} of {len(found)} that were run" + (
            f", not {', '.join(failing)}" * bool(failing)
        )
        dates = sorted(entry["date"] for entry in found.values())
        span = " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else "never"
        minutes = sum(entry["seconds"] for entry in found.values()) / 60
        versions = sorted({", ".join(f"{k} {v}" for k, v in entry["versions"].items()) for entry in found.values()})
        rows.append((profile, f"{hold}; {len(known)} in the book", span, f"{minutes:.1f} min", "; ".join(versions)))
    return _table(("profile", "claims that hold", "measured", "took", "with"), rows)


def _outputs(origin: Mapping[str, Any]) -> str:
    how = "all chapters executed for it" if origin.get("executed") else "from the outputs that are stored"
    changed = set(origin.get("changed", ()))
    rows = [
        (Path(file).stem, commit + (", changed since" if file in changed else ""), date)
        for file, (commit, date) in sorted(origin.get("commits", {}).items())
    ]
    said = f"<p>Rendered {origin.get('rendered', 'at an unknown time')} by scbtheory {version('scbtheory')}, {how}.</p>"
    return said + (
        _table(("outputs of", "commit", "date"), rows)
        if rows
        else "<p>Made outside of a Git checkout: no commit is known.</p>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    table = f'<table class="scb-report"><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table>'
    return f'<div class="scb-scroll">{table}</div>'
