"""What a link leads to, and what a formula's letters mean, shown while it is pointed at: also in a book on a disk.

From disk a browser reads no neighbouring page, but runs a neighbouring script: so claims, equations and the symbols
of the notation page lie in one, which ``hover.js`` loads when it is first needed.
"""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path, PurePosixPath

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["boxes", "equations", "setup", "symbols", "write_previews"]

FILE = "previews.js"
NOTATION = "notation"  # the page whose tables name the symbols
EQUATION = re.compile(r'<div class="math[^"]*" id="(equation-[^"]+)">\s*(.*?)</div>', re.DOTALL)
CLAIM = re.compile(r'<div (?=[^>]*class="scb-claim )[^>]*\bid="(claim-[^"]+)"[^>]*>')
DIV = re.compile(r"<(/?)div\b")
# What a preview leaves out: places to link to, what was measured, and the neighbours.
ASIDE = re.compile(
    r'<a class="headerlink".*?</a>|<details.*?</details>|<p class="scb-claim-near">.*?</p>| id="[^"]*"', re.DOTALL
)


def setup(app: Sphinx) -> None:
    app.add_js_file("hover.js")
    app.connect("build-finished", write_previews)


def write_previews(app: Sphinx, error: Exception | None) -> None:
    """Write the script beside the static files, from the pages as they were written."""
    if error or app.builder.name != "html":
        return
    places: dict[str, str] = {}
    for document in sorted(app.env.found_docs):
        page = app.builder.get_target_uri(document)
        path = Path(app.outdir, page)
        if path.exists():
            html = path.read_text(encoding="utf-8")
            places |= {f"{page}#{anchor}": shown for anchor, shown in (boxes(html) | equations(html)).items()}
    notation = [name for name in app.env.found_docs if PurePosixPath(name).name == NOTATION]
    found = [pair for name in notation for pair in symbols(app.env.get_doctree(name))]
    content = json.dumps({"places": places, "symbols": found}, ensure_ascii=False)
    Path(app.outdir, "_static", FILE).write_text(f"scbPreviews({content});\n", encoding="utf-8")


def boxes(html: str) -> dict[str, str]:
    """By anchor, each claim that a page states."""
    found = {}
    for start in CLAIM.finditer(html):
        depth = 1
        for tag in DIV.finditer(html, start.end()):
            depth += -1 if tag[1] else 1
            if depth == 0:
                found[start[1]] = ASIDE.sub("", html[start.end() : tag.start()])
                break
    return found


def equations(html: str) -> dict[str, str]:
    """By anchor, each numbered equation of a page, as TeX."""
    return {match[1]: f'<div class="math">{ASIDE.sub("", match[2])}</div>' for match in EQUATION.finditer(html)}


def symbols(document: nodes.document) -> list[tuple[str, str]]:
    """Pairs of TeX and meaning, from the tables with columns ``symbol`` and ``meaning``."""
    found = []
    for table in document.findall(nodes.table):
        [head] = table.findall(nodes.thead)
        titles = [entry.astext() for entry in head.findall(nodes.entry)]
        if titles[0] != "symbol" or "meaning" not in titles:
            continue
        for row in next(table.findall(nodes.tbody)).findall(nodes.row):
            entries = list(row.findall(nodes.entry))
            meaning = _inline(entries[titles.index("meaning")])
            found += [(symbol.astext(), meaning) for symbol in entries[0].findall(nodes.math)]
    return found


def _inline(entry: nodes.entry) -> str:
    """A cell's words, with its formulas in the brackets that MathJax reads."""
    parts = []
    for node in entry.findall(lambda node: isinstance(node, nodes.math | nodes.Text)):
        if isinstance(node, nodes.math):
            parts.append(rf"\({escape(node.astext())}\)")
        elif not isinstance(node.parent, nodes.math):
            parts.append(escape(node.astext()))
    return "".join(parts)
