"""Docstrings as pages: their one-line sections as lists, the claims that they name as links.

Sphinx's autodoc finds the docstrings; numpydoc's readers of sections expect a type on one line and a meaning on the
next, where ours say both on one: ``name : shape, meaning``.
"""

from __future__ import annotations

import re
from types import ModuleType

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from scbtheory.publishing.extension.codelinks import aliases, described, named, places
from scbtheory.verification.registry import Registry

__all__ = ["linked", "sectioned", "setup"]

NAMED = {"Parameters", "Attributes"}
TYPED = {"Returns", "Yields"}
RAISED = {"Raises", "Warns"}
# What no id is read in: prompts, literals, roles with their text, references.
KEPT = re.compile(r"^ *(?:>>>|\.\.\.).*$|``.*?``|:[\w:]+:`[^`]*`|`[^`]*`_*", re.MULTILINE | re.DOTALL)


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", other_name)


def process(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring where autodoc holds it."""
    lines[:] = linked(sectioned(lines), Registry(app.config.scb_claims_package).ids())


def sectioned(lines: list[str]) -> list[str]:
    """Turn each underlined section into a field whose body is a list, an item an entry."""
    made: list[str] = []
    title, started = "", False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.strip() and re.fullmatch(r"-{3,}", following) and len(following) == len(line):
            title, started = line, False
            made += ["", f":{title}:"]
        elif not title or (re.fullmatch(r"-{3,}", line) and not started):
            started = True
            made.append("" if title else line)
        elif line and not line.startswith(" "):
            made.append(f"    - {_entry(title, line)}")
        else:
            made.append(f"      {line.strip()}" if line.strip() else "")
    return made


def _entry(title: str, line: str) -> str:
    """An entry's first line; what follows it goes on in the same paragraph."""
    name, colon, text = line.partition(" : ")
    if title in RAISED:
        return ", ".join(f":exc:`.{part.strip()}`" for part in name.split(",")) + f": {text}"
    if title in NAMED or (title in TYPED and colon):
        return ", ".join(f"``{part.strip()}``" for part in name.split(",")) + f": {text}"
    return f"*{line}*:" if title in TYPED else line


def linked(lines: list[str], claim_ids: list[str]) -> list[str]:
    """Turn the ids of claims into links, outside of formulas, code and references."""
    known = re.compile(rf"(?<![\w.])({'|'.join(claim_ids)})(?![\w-])")
    text, made, end = "\n".join(lines), "", 0
    for kept in KEPT.finditer(text):
        made += known.sub(r":claim:`\1`", text[end : kept.start()]) + kept[0]
        end = kept.end()
    return (made + known.sub(r":claim:`\1`", text[end:])).split("\n")


def skip(app: Sphinx, what: str, name: str, thing: object, skipped: bool, options: object) -> bool | None:
    """Fields of a named tuple are described with its parameters, not by Python's own words."""
    return True if (getattr(thing, "__doc__", None) or "").startswith("Alias for field number") else None


def other_name(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.TextElement
) -> nodes.Node | None:
    """A second name, such as ``scbtheory.SCB``, leads to the thing; what no page describes stays text.

    A name of this package that nothing has, or that should have a page, is still an error.
    """
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    found = places(app, node["refdoc"])
    if place := described([target], found, aliases(found)):
        return nodes.reference("", "", contnode, refuri=place, internal=True)
    thing = named(target)
    foreign = thing is not None and not target.startswith("scbtheory")
    return contnode if foreign or isinstance(thing, ModuleType) else None
