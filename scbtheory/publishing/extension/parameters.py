r"""The role ``{parameter}``, a formula with a chapter's parameters in it, and the box on a page that was run with more.

In `` {parameter}`T = {context_length}` `` the braces hold a parameter's name; the page shows its value there, so that
a caption says what its figure was drawn with whatever the chapter was run with.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from scbtheory.publishing import parameters, record
from scbtheory.publishing.source import BookError

__all__ = ["ParameterRole", "formatted", "setup", "state_run"]

LOG = logging.getLogger(__name__)


def setup(app: Sphinx) -> None:
    app.add_role("parameter", ParameterRole())
    app.connect("doctree-read", state_run)


class ParameterRole(SphinxRole):
    """A formula in which ``{name}`` stands for the value of the chapter's parameter; warns where none is named."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        values = in_force(self.env, self.env.docname)
        names = [name for name in re.findall(r"\{(\w+)\}", self.text) if name in values]
        if not names:
            listed = ", ".join(values) or "none"
            LOG.warning("no parameter in %s (its parameters: %s)", self.text, listed, location=self.get_location())
        shown = re.sub(r"\{(\w+)\}", lambda m: formatted(values[m[1]]) if m[1] in values else m[0], self.text)
        return [nodes.math(self.rawtext, shown)], []


def in_force(env: BuildEnvironment, docname: str) -> dict[str, Any]:
    """The parameters that a page's notebook was run with, or its own; none for a page of another kind."""
    path = Path(env.doc2path(docname))
    if path.suffix != ".ipynb":
        return {}
    own = {name: parameter.default for name, parameter in parameters.read(path).items()}
    return own | record.read(path).get("parameters", {})


def formatted(value: Any) -> str:
    """A value as it stands in a formula: powers of ten as such, other numbers with thousands set apart."""
    if isinstance(value, str):
        return rf"\text{{{value}}}"
    if isinstance(value, int):
        digits = str(value)
        if len(digits) > 4 and set(digits[1:]) == {"0"}:
            return rf"{digits[0]}\cdot 10^{{{len(digits) - 1}}}".removeprefix(r"1\cdot ")
        return f"{value:,}".replace(",", r"\,") if len(digits) > 4 else digits
    mantissa, _, power = f"{value:g}".partition("e")
    return rf"{mantissa}\cdot 10^{{{int(power)}}}" if power else mantissa


def state_run(app: Sphinx, doctree: nodes.document) -> None:
    """Put a box under the title of a page whose chapter was run with parameters of someone's own."""
    path = Path(app.env.doc2path(app.env.docname))
    try:
        found = record.read(path) if path.suffix == ".ipynb" else {}
    except BookError as error:
        LOG.warning("%s", error)
        return
    title = next(iter(doctree.findall(nodes.title)), None)
    if not found or title is None or title.parent is None:
        return
    chosen = ", ".join(f"{name} = {value}" for name, value in in_force(app.env, app.env.docname).items()) or "none"
    rows = [
        ("parameters", chosen),
        ("backend", found["parameters"].get("backend", "numpy")),
        ("profile of the claims", found["profile"]),
        ("versions", ", ".join(f"{name} {number}" for name, number in found["versions"].items())),
    ]
    items = "".join(f"<dt>{escape(head)}</dt><dd>{escape(text)}</dd>" for head, text in rows)
    html = f'<aside class="scb-run"><p>This page was run with parameters of its own.</p><dl>{items}</dl></aside>'
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", html, format="html"))
