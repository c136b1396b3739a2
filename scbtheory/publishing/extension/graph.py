"""The directive ``{claim-map}``: which claim rests on which, as a clickable drawing and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from scbtheory.verification.claim import Claim
from scbtheory.verification.registry import Registry

__all__ = ["MapDirective", "carried_by", "layers", "setup"]

WIDTH, HEIGHT, COLUMN, ROW, MARGIN = 46, 28, 74, 50, 8
SWEEPS = 12  # of the ordering within columns
KEY = {  # what holds a claim up, with the class that colours and borders it
    "proved by SymPy, for the sizes that stay symbols": "scb-by-symbolic",
    "proved at instances, enumerated in fractions": "scb-by-exact",
    "derived formally, or to leading order": "scb-by-order",
    "measured over many runs": "scb-by-runs",
}


def setup(app: Sphinx) -> None:
    app.add_directive("claim-map", MapDirective)
    app.add_js_file("map.js")


class MapDirective(SphinxDirective):
    """All claims of the book: each a link to its box, coloured by what proves it, bordered by its nature."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        registry = Registry(self.env.config.scb_claims_package)
        claims = {claim_id: registry.find(claim_id) for claim_id in registry.ids()}
        return [nodes.raw("", _drawing(claims) + _key(claims) + _table(claims), format="html")]


def carried_by(claims: Mapping[str, Claim]) -> dict[str, list[str]]:
    """For each claim, those that rest on it."""
    return {known: [k for k, claim in claims.items() if known in claim.rests_on] for known in claims}


def layers(claims: Mapping[str, Claim]) -> list[list[str]]:
    """Claims in columns: each right of all that it rests on; within a column, near what they rest on and carry."""
    depth: dict[str, int] = {}

    def deep(claim_id: str) -> int:
        if claim_id not in depth:
            depth[claim_id] = 1 + max((deep(k) for k in claims[claim_id].rests_on), default=-1)
        return depth[claim_id]

    for claim_id in claims:
        deep(claim_id)
    columns = [[k for k in claims if depth[k] == level] for level in range(max(depth.values(), default=-1) + 1)]
    carried = carried_by(claims)
    for _ in range(SWEEPS):
        place = {k: row - len(column) / 2 for column in columns for row, k in enumerate(column)}
        for column in columns:
            near = {k: [place[o] for o in (*claims[k].rests_on, *carried[k])] or [place[k]] for k in column}
            column.sort(key=lambda k: sum(near[k]) / len(near[k]))
    return columns


def held_up_by(claim: Claim) -> str:
    """What holds the claim up, in the words of the key."""
    proof, instances, order, runs = KEY
    if claim.nature == "theorem":
        return proof if any(route.kind == "symbolic" for route in claim.routes) else instances
    return order if claim.nature == "asymptotic" else runs


def _drawing(claims: Mapping[str, Claim]) -> str:
    columns = layers(claims)
    tallest = max(map(len, columns), default=0)
    where = {
        claim_id: (MARGIN + COLUMN * n, MARGIN + ROW * (row + (tallest - len(column)) / 2))
        for n, column in enumerate(columns)
        for row, claim_id in enumerate(column)
    }
    edges = "".join(
        _edge(where[below], where[claim_id], below, claim_id)
        for claim_id, claim in claims.items()
        for below in claim.rests_on
    )
    boxes = "".join(_box(claim, *where[claim_id]) for claim_id, claim in claims.items())
    width, height = 2 * MARGIN + COLUMN * (len(columns) - 1) + WIDTH, 2 * MARGIN + ROW * (tallest - 1) + HEIGHT
    return (
        f'<div class="scb-map" tabindex="0" role="region" aria-label="Map of the claims"><svg '
        f'viewBox="0 0 {width} {height:g}">{edges}{boxes}</svg></div>'
    )


def _edge(start: tuple[float, float], end: tuple[float, float], below: str, above: str) -> str:
    x, y, to_x, to_y = start[0] + WIDTH, start[1] + HEIGHT / 2, end[0], end[1] + HEIGHT / 2
    bend = 0.5 * (to_x - x)
    path = f"M{x:g} {y:g}C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"
    return f'<path class="scb-edge" data-below="{below}" data-above="{above}" d="{path}"/>'


def _box(claim: Claim, x: float, y: float) -> str:
    words = held_up_by(claim)
    title = escape(f"{claim.id}: {claim.title} ({words})")
    return (
        f'<a id="map-{claim.id}" class="{KEY[words]}" data-claim="{claim.id}" '
        f'href="{claim.chapter}.html#claim-{claim.id}">'
        f'<title>{title}</title><rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>'
        f'<text x="{x + WIDTH / 2:g}" y="{y + HEIGHT / 2 + 5:g}">{claim.id}</text></a>'
    )


def _key(claims: Mapping[str, Claim]) -> str:
    used = {held_up_by(claim) for claim in claims.values()}
    items = "".join(
        f'<li><span class="scb-key {style}"></span>{words}</li>' for words, style in KEY.items() if words in used
    )
    return f'<ul class="scb-keys" aria-label="Colours and borders">{items}</ul>'


def _table(claims: Mapping[str, Claim]) -> str:
    carried = carried_by(claims)

    def links(ids) -> str:
        return ", ".join(f'<a href="{claims[k].chapter}.html#claim-{k}">{k}</a>' for k in ids)

    rows = "".join(
        f"<tr><td>{links([k])}</td><td>{escape(claim.title)}</td><td>{links(claim.rests_on)}</td>"
        f"<td>{links(carried[k])}</td></tr>"
        for k, claim in claims.items()
    )
    head = "".join(f"<th>{word}</th>" for word in ("claim", "what it says", "rests on", "carries"))
    table = f'<table class="scb-report"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="scb-scroll">{table}</div>'
