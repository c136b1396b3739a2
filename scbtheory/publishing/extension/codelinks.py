"""Names of the package in a chapter's cells lead to the page that describes them.

A page is read as Python would run it: imports name modules, so that ``scb.dynamics.half_time`` and ``plots.rise``
are found whatever the page calls them.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from html import escape, unescape
from typing import Any, cast

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain

__all__ = ["aliases", "described", "imported", "link", "named", "places", "setup"]

BLOCK = re.compile(r'(?<=<div class="highlight">)<pre>.*?</pre>', re.DOTALL)
# A name and its attributes, as Pygments marks them; what follows a dot is somebody's attribute.
NAME = re.compile(
    r'(?<!<span class="o">\.</span>)<span class="n">\w+</span>'
    r'(?:<span class="o">\.</span><span class="n">\w+</span>)*'
)
TAG = re.compile(r"<[^>]+>")


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", add_links)


def add_links(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Put links into the code of a page that came from a notebook."""
    if doctree is None or not app.env.doc2path(page).endswith(".ipynb"):
        return
    context["body"] = link(context["body"], places(app, page))


def places(app: Sphinx, page: str) -> dict[str, str]:
    """By full name, where from this page functions, classes and methods are described."""
    domain = cast("PythonDomain", app.env.get_domain("py"))
    return {
        name: f"{app.builder.get_relative_uri(page, entry.docname)}#{entry.node_id}"
        for name, entry in domain.objects.items()
        if entry.objtype != "module"
    }


def link(html: str, found: Mapping[str, str]) -> str:
    """Link each name in the code of a page to its place; what names mean is what the page imported before."""
    meanings: dict[str, str] = {}
    others = aliases(found)

    def block(match: re.Match) -> str:
        meanings.update(imported(unescape(TAG.sub("", match[0]))))
        return NAME.sub(name, match[0])

    def name(match: re.Match) -> str:
        first, *rest = TAG.sub("", match[0]).split(".")
        place = described([meanings[first], *rest], found, others) if first in meanings else None
        return f'<a class="scb-code" href="{escape(place)}">{match[0]}</a>' if place else match[0]

    return BLOCK.sub(block, html)


def imported(code: str) -> dict[str, str]:
    """By name, what a cell's imports from this package bind; any other import unbinds it."""
    try:
        tree = ast.parse("\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!"))))
    except SyntaxError:
        return {}
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def described(parts: list[str], found: Mapping[str, str], others: Mapping[int, str]) -> str | None:
    """Where a page describes the thing with this dotted name: itself, or what it is another name of."""
    dotted = ".".join(parts)
    if dotted in found:
        return found[dotted]
    if not dotted.startswith("scbtheory."):
        return None
    home, _, last = dotted.rpartition(".")
    return found.get(others.get(id(named(dotted)), "")) or found.get(f"{others.get(id(named(home)))}.{last}")


def aliases(found: Mapping[str, str]) -> dict[int, str]:
    """By identity, the name under which a page describes a function or class of the package."""
    things = ((named(name), name) for name in found)
    return {id(thing): name for thing, name in things if callable(thing)}


@cache
def named(dotted: str) -> Any:
    """What a dotted name is; None where there is no such thing."""
    with suppress(ImportError, ValueError):
        return importlib.import_module(dotted)
    home, _, last = dotted.rpartition(".")
    return getattr(named(home), last, None) if home else None
