"""On a narrow page a figure's panels stand below each other: a second drawing of the same file, rearranged.

:mod:`scbtheory.plots` writes into each SVG where its pieces lie (``data-panels``). Here they become a file of their
own, which a browser takes on a narrow screen; what it is drawn from, alternative text included, stays one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

__all__ = ["setup", "stacked"]

NARROW = 600  # pixels, below which two panels side by side are too small to read
ROOM = 290.0  # points: how wide a row of pieces may be on such a page
IMAGE = re.compile(r'<img [^>]*src="(?P<source>[^"]*_images/(?P<name>[^"/]+)\.svg)"[^>]*>')
PANELS = re.compile(r'<svg data-panels="([^"]*)"')
VIEW = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", add_stacked)


def add_stacked(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Offer each figure's stacked drawing to narrow screens, where it has one."""
    if doctree is None or app.builder.name != "html":
        return
    folder = Path(app.outdir, "_images")
    sources = {name: source for source, name in app.builder.images.items()}

    def offer(match: re.Match) -> str:
        drawn = stacked(Path(app.srcdir, sources[f"{match['name']}.svg"]).read_text(encoding="utf-8"))
        if drawn is None:
            return match[0]
        folder.mkdir(exist_ok=True)
        (folder / f"{match['name']}-stacked.svg").write_text(drawn, encoding="utf-8")
        source = match["source"].removesuffix(".svg") + "-stacked.svg"
        return f'<picture><source media="(max-width: {NARROW}px)" srcset="{source}">{match[0]}</picture>'

    context["body"] = IMAGE.sub(offer, context["body"])


def stacked(svg: str) -> str | None:
    """The same drawing with its pieces in rows as narrow as they fit; None where that would not be narrower."""
    marked, view = PANELS.search(svg), VIEW.search(svg)
    if not marked or not view or not marked[1]:
        return None
    width, height = map(float, view.groups())
    shares = [tuple(map(float, panel.split(","))) for panel in marked[1].split()]
    boxes = [(x * width, y * height, w * width, h * height) for x, y, w, h in shares]
    room = max(ROOM, *(box[2] for box in boxes))
    if room > 0.75 * width:
        return None
    rows: list[list[tuple]] = [[]]
    for box in boxes:
        if rows[-1] and sum(other[2] for other in rows[-1]) + box[2] > room:
            rows.append([])
        rows[-1].append(box)
    start, end = svg.index(">", view.end()) + 1, svg.rindex("</svg>")
    inner, placed, top = svg[start:end], "", 0.0
    for row in rows:
        left = (room - sum(box[2] for box in row)) / 2
        for x, y, w, h in row:
            content = '<use xlink:href="#figure_1"/>' if placed else inner
            placed += f'<svg x="{left:.1f}" y="{top:.1f}" width="{w:.1f}" height="{h:.1f}" '
            placed += f'viewBox="{x:.1f} {y:.1f} {w:.1f} {h:.1f}">{content}</svg>\n'
            left += w
        top += max(box[3] for box in row)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1" '
        f'width="{room:.1f}pt" height="{top:.1f}pt" viewBox="0 0 {room:.1f} {top:.1f}">\n{placed}</svg>\n'
    )
