"""The directive ``{claim} S3``, which states a claim from its own file, and the role of the same name, which links it.

A page so holds no statement of its own: what it shows is what the routes have checked.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path, PurePosixPath
from typing import Any, cast

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole, SphinxTranslator

from scbtheory.errors import UnknownClaim
from scbtheory.publishing.extension.graph import carried_by
from scbtheory.publishing.extension.measured import MeasurementsDirective, folded
from scbtheory.publishing.extension.sources import FOLDER
from scbtheory.verification import measurements
from scbtheory.verification.claim import NATURES, Claim
from scbtheory.verification.registry import Registry

__all__ = ["ClaimDirective", "ClaimRole", "claim_box", "setup"]

LOG = logging.getLogger(__name__)
PAGES = ("map", "ledger")  # pages beside the chapters that hold a place of its own for every claim


def setup(app: Sphinx) -> None:
    app.add_config_value("scb_claims_package", "scbtheory.claims", "env", [str])
    app.add_node(claim_box, html=(enter_box, leave_box), latex=(nothing, nothing), text=(nothing, nothing))
    app.add_directive("claim", ClaimDirective)
    app.add_directive("measurements", MeasurementsDirective)
    app.add_role("claim", ClaimRole())


class claim_box(nodes.General, nodes.Element):
    """A stated claim; its attribute ``nature`` decides how it looks."""


class ClaimDirective(SphinxDirective):
    """State a claim: nature and id, title, assumptions, the statement, and for which sizes it is proved.

    Warns, which ends a build, when the claim is unknown, belongs to another page, or is stated twice.
    """

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        claim = find(self.env, self.arguments[0], self.get_location())
        if claim is None:
            return []
        if PurePosixPath(self.env.docname).name != claim.chapter:
            message = "claim %s belongs to the page %s, as its own file says"
            LOG.warning(message, claim.id, claim.chapter, location=self.get_location())
        self.env.note_dependency(source_file(self.env, claim.id))
        anchor = f"claim-{claim.id}"
        box = claim_box(ids=[anchor], nature=claim.nature)
        self.set_source_info(box)
        box += nodes.paragraph("", "", *self.heading(claim), ids=[f"{anchor}-title"], classes=["scb-claim-title"])
        self.parse(claim.assumptions, box, "scb-claim-assumptions", before="Assumes: ")
        self.parse(claim.text, box)
        self.parse(claim.scope, box, "scb-claim-scope")
        self.env.note_dependency(str(Path(self.env.srcdir) / measurements.FILE))
        if (measured := folded(Path(self.env.srcdir), claim.id, self.env.config.scb_claims_package)) is not None:
            box += measured
        box += self.neighbours(claim)
        self.register(claim, anchor)
        return [box]

    def neighbours(self, claim: Claim) -> nodes.paragraph:
        """One line of links: what the claim rests on, what rests on it, and the pages that show all claims."""
        registry = Registry(self.env.config.scb_claims_package)
        carries = carried_by({name: registry.find(name) for name in registry.ids()})[claim.id]
        line = nodes.paragraph(classes=["scb-claim-near"])
        for words, others in (("Rests on", claim.rests_on), ("Carries", carries)):
            shown = [name for name in others if has_page(self.env, registry.find(name))]
            if shown:
                line += nodes.Text(f"{words} " if not len(line) else f" · {words} ")
            for number, name in enumerate(shown):
                line += nodes.Text(", " if number else "")
                line += reference(self.env, f"claim-{name.lower()}", name)
        for page in PAGES:
            if has_document(self.env, page):
                line += nodes.Text(" · " if len(line) else "")
                line += nodes.reference("", page, refuri=f"{page}.html#{page}-{claim.id}", internal=True)
        up = "../" * self.env.docname.count("/")
        for part in ("source", "tests"):
            line += nodes.Text(" · " if len(line) else "")
            line += nodes.reference("", part, refuri=f"{up}{FOLDER}/{claim.id}.html#{part}", internal=True)
        return line

    def heading(self, claim: Claim) -> list[nodes.Node]:
        title, messages = self.state.inline_text(claim.title, self.lineno)
        return [
            nodes.strong("", f"{claim.nature.capitalize()} {claim.id}"),
            nodes.Text(" · "),
            *title,
            *messages,
            nodes.Text(" "),
            nodes.inline("", NATURES[claim.nature], classes=["scb-claim-nature"]),
        ]

    def parse(self, markdown: str, box: claim_box, style: str = "", before: str = "") -> None:
        """Add ``markdown`` to the box; with a ``style``, in an element of its own."""
        if not markdown.strip():
            return
        target = nodes.compound(classes=[style]) if style else box
        self.state.nested_parse(StringList((before + markdown.strip()).splitlines()), 0, target)
        if style:
            box += target

    def register(self, claim: Claim, anchor: str) -> None:
        """Let references find the box; Sphinx's standard domain keeps labels, in lower case."""
        standard, label = cast("StandardDomain", self.env.get_domain("std")), anchor.lower()
        if standard.anonlabels.get(label) == (self.env.docname, anchor):
            LOG.warning("claim %s is stated twice", claim.id, location=self.get_location())
        standard.note_hyperlink_target(label, self.env.docname, anchor, f"{claim.nature} {claim.id}")


class ClaimRole(SphinxRole):
    """A link to where a claim is stated, on whatever page; its text is the id."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        text = nodes.inline(self.rawtext, self.text)
        if find(self.env, self.text, self.get_location()) is None:
            return [text], []
        link = reference(self.env, f"claim-{self.text.lower()}", self.text)
        self.set_source_info(link)
        return [link], []


def reference(env: BuildEnvironment, label: str, words: str) -> addnodes.pending_xref:
    """A link with these words to a label, wherever it is."""
    text = nodes.inline(words, words)
    return addnodes.pending_xref(
        words, text, refdomain="std", reftype="ref", reftarget=label, refdoc=env.docname, refexplicit=True, refwarn=True
    )


def has_document(env: BuildEnvironment, name: str) -> bool:
    return any(PurePosixPath(document).name == name for document in env.found_docs)


def has_page(env: BuildEnvironment, claim: Claim) -> bool:
    """Whether this book holds the claim's chapter: a book of toys need not hold all."""
    return has_document(env, claim.chapter)


def find(env: BuildEnvironment, claim_id: str, location: Any) -> Claim | None:
    """Return the claim, or warn that there is none."""
    try:
        return Registry(env.config.scb_claims_package).find(claim_id)
    except UnknownClaim as error:
        LOG.warning("%s", error, location=location)
        return None


def source_file(env: BuildEnvironment, claim_id: str) -> str:
    """The file that holds the claim: a page is rebuilt when it changes."""
    package = env.config.scb_claims_package
    spec = importlib.util.find_spec(f"{package}.{Registry(package).modules[claim_id]}")
    return str(spec.origin if spec else "")


def enter_box(self: SphinxTranslator, node: claim_box) -> None:
    anchor = node["ids"][0]
    attributes = {"CLASS": f"scb-claim scb-{node['nature']}", "role": "group", "aria-labelledby": f"{anchor}-title"}
    self.body.append(self.starttag(node, "div", **attributes))


def leave_box(self: SphinxTranslator, node: claim_box) -> None:
    self.body.append("</div>\n")


def nothing(self: SphinxTranslator, node: claim_box) -> None:
    """Other formats show the paragraphs as they are."""
