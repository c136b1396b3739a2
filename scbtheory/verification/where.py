"""Where a claim lives: its page, its file, the derivations and numerics that its routes use, and its tests.

Everything is read off the sources: a route's functions are followed by the names in them, a page by its
directive, tests and docstrings by the claim's id.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from scbtheory.verification.registry import CLAIMS, Registry

__all__ = ["Place", "where"]

ROOMS = ("page", "claim", "derivation", "numerics", "tests")


@dataclass(frozen=True, order=True)
class Place:
    """One place of a claim: which room it belongs to, file, line, and what stands there."""

    room: str
    path: Path
    line: int
    what: str


def where(claim_id: str, *, root: Path | None = None, registry: Registry = CLAIMS) -> list[Place]:
    """Return every place of a claim, room by room (``ROOMS``), with line numbers.

    Parameters
    ----------
    claim_id : such as ``"S3"``.
    root : the folder with ``book/`` and ``tests/``; without one, pages and tests are left out.
    registry : where claims are looked up.

    Raises
    ------
    UnknownClaim : no such id; the message names the nearest.
    """
    claim = registry.find(claim_id)
    module = importlib.import_module(f"{registry.package}.{registry.modules[claim.id]}")
    named = re.compile(rf"\b{claim.id}\b")
    used = _used(module)
    places = set(_definitions(module)) | {_place(thing) for thing in used}
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        room = path.relative_to(Path(__file__).parents[1]).parts[0]
        if room not in ("claims", "verification", "publishing", "cli.py"):
            places |= {
                Place(_room(room), path, line, f"{what} (names {claim.id})")
                for line, what in _documented(path, named)
                if (path, line) not in {(p.path, p.line) for p in places}
            }
    if root is not None:
        places |= set(_pages(root / "book", claim.id)) | set(_tests(root / "tests", claim.id, used))
    return sorted(places, key=lambda p: (ROOMS.index(p.room), p.path, p.line))


def _room(folder: str) -> str:
    return "derivation" if folder == "derivations" else "numerics"


def _used(module: ModuleType) -> set:
    """The package's functions and classes that a claim's module uses, helpers of other claims followed."""
    own = module.__name__.rpartition(".")[0]
    found, seen, waiting = set(), set(), [(module, inspect.getsource(module))]
    while waiting:
        home, source = waiting.pop()
        for thing in _things(home, ast.parse(textwrap.dedent(source))):
            name = thing.__module__
            if thing in seen or not name.startswith(("scbtheory.", own)) or name.startswith("scbtheory.verification"):
                continue
            seen.add(thing)
            if name.startswith(own):
                if name != module.__name__:
                    waiting.append((sys.modules[name], inspect.getsource(thing)))
            else:
                found.add(thing)
    return found


def _things(home: ModuleType, tree: ast.AST) -> Iterator:
    """What the names in a piece of source mean in its module, where that is a function or a class."""
    for node in ast.walk(tree):
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or not hasattr(home, node.id):
            continue
        thing = getattr(home, node.id)
        while names and isinstance(thing, ModuleType):
            thing = getattr(thing, names.pop(), None)
        thing = inspect.unwrap(thing) if callable(thing) else thing
        if inspect.isfunction(thing) or inspect.isclass(thing):
            yield thing


def _place(thing) -> Place:
    path = Path(inspect.getfile(thing))
    lines, first = inspect.getsourcelines(thing)
    decorators = next(i for i, line in enumerate(lines) if line.lstrip().startswith(("def ", "class ")))
    return Place(_room(thing.__module__.split(".")[1]), path, first + decorators, thing.__qualname__)


def _definitions(module: ModuleType) -> Iterator[Place]:
    """The functions of a claim's own file, and the claim itself."""
    path = Path(inspect.getfile(module))
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            yield Place("claim", path, node.lineno, node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "CLAIM":
            yield Place("claim", path, node.lineno, "CLAIM")


def _documented(path: Path, named: re.Pattern) -> Iterator[tuple[int, str]]:
    """Lines of a file's modules, classes and functions whose docstring names the claim."""
    yield from ((line, what) for line, what, text in _docstrings(path, path.stat().st_mtime) if named.search(text))


@functools.lru_cache(maxsize=512)  # a book asks for every claim
def _docstrings(path: Path, _when: float) -> list[tuple[int, str, str]]:
    return [
        (getattr(node, "lineno", 1), getattr(node, "name", path.stem), ast.get_docstring(node) or "")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    ]


def _pages(book: Path, claim_id: str) -> Iterator[Place]:
    """Where a page states the claim, verifies it or refers to it."""
    marks = {
        rf"{{claim}} {claim_id}\b": "states it",
        rf"verify\(\\\"{claim_id}\\\"": "verifies it",
        rf"{{claim}}`{claim_id}`": "refers to it",
    }
    for path in sorted((*book.glob("*.ipynb"), *book.glob("*.md"))):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if claim_id not in line:  # most lines are a figure's
                continue
            for mark, what in marks.items():
                if re.search(mark, line):
                    yield Place("page", path, number, what)


def _tests(tests: Path, claim_id: str, used: set) -> Iterator[Place]:
    """Tests that name the claim, or use a function whose docstring does."""
    own = {thing.__name__ for thing in used if re.search(rf"\b{claim_id}\b", inspect.getdoc(thing) or "")}
    asked = re.compile(rf"(?<![A-Za-z0-9]){claim_id}(?![0-9A-Za-z])" + "".join(rf"|\b{name}\(" for name in sorted(own)))
    for path in sorted(tests.rglob("test_*.py")):
        for line, name, text in _test_functions(path, path.stat().st_mtime):
            if asked.search(text):
                yield Place("tests", path, line, name)


@functools.lru_cache(maxsize=512)
def _test_functions(path: Path, _when: float) -> list[tuple[int, str, str]]:
    source = path.read_text(encoding="utf-8")
    return [
        (node.lineno, node.name, ast.get_source_segment(source, node) or "")
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    ]
