"""A page for each claim beside the package's sources: its file, its tests, and where its other parts stand."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from scbtheory.verification.registry import Registry
from scbtheory.verification.where import Place, where

__all__ = ["FOLDER", "setup", "source_pages"]

FOLDER = "_modules/claims"
OTHERS = {"derivation": "Derivations", "numerics": "Numerics"}


def setup(app: Sphinx) -> None:
    app.connect("html-collect-pages", source_pages)


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Name, contents and template of each claim's page."""
    registry = Registry(app.config.scb_claims_package)
    root = _home(registry.package)
    for name in registry.ids():
        claim = registry.find(name)
        stated = [page for page in app.env.found_docs if page in (claim.chapter, f"book/{claim.chapter}")]
        if not stated:
            continue
        places = where(name, root=root if (root / "tests").is_dir() else None, registry=registry)
        page = f"{FOLDER}/{name}"
        back = f"{app.builder.get_relative_uri(page, stated[0])}#claim-{name}"
        body = [f'<h1>{name}, source and tests</h1><p><a href="{escape(back)}">Where it is stated</a></p>']
        body += _listed(app, root, "Source", [p for p in places if p.what == "CLAIM" and p.room == "claim"], whole=True)
        body += _listed(app, root, "Tests", [p for p in places if p.room == "tests"])
        for room, words in OTHERS.items():
            own = [p for p in places if p.room == room]
            body += [f"<h2>{words}</h2><ul>", *(f"<li>{_named(root, p)}</li>" for p in own), "</ul>"] if own else []
        yield page, {"title": f"{name}, source and tests", "body": "\n".join(body)}, "page.html"


def _home(package: str) -> Path:
    """The folder that a package is imported from; of a checkout, with its tests beside it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[package.count(".") + 1]


def _listed(app, root, title, places: list[Place], *, whole=False) -> Iterator[str]:
    """A section with the text of each place: of its function, or of the whole file."""
    yield f'<section id="{title.lower()}"><h2>{title}</h2>'
    for place in places:
        text = place.path.read_text(encoding="utf-8") if whole else _function(place.path, place.line)
        yield f"<p>{_named(root, place, whole=whole)}</p>"
        yield app.builder.highlighter.highlight_block(text, "python")
    yield (
        "</section>" if places else "<p>No test names it; its routes are run by the tests of all claims.</p></section>"
    )


def _named(root, place, *, whole=False) -> str:
    path = place.path.relative_to(root) if place.path.is_relative_to(root) else place.path.name
    return (
        f"<code>{escape(str(path))}" + ("" if whole else f":{place.line}</code> <code>{escape(place.what)}") + "</code>"
    )


def _function(path: Path, line: int) -> str:
    """The function that begins there, with its decorators."""
    lines, ends = _parsed(path, path.stat().st_mtime)
    first, last = ends[line]
    return "\n".join(lines[first - 1 : last])


@lru_cache(maxsize=256)
def _parsed(path: Path, _when: float) -> tuple[list[str], dict[int, tuple[int, int]]]:
    """A file's lines, and of each function, by the line of its name, the first and the last."""
    text = path.read_text(encoding="utf-8")
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return text.splitlines(), {
        f.lineno: (min([f.lineno, *(d.lineno for d in f.decorator_list)]), f.end_lineno or f.lineno) for f in functions
    }
