"""What a page says without holding it: a figure of the package, the ledger's sentence, a measured number.

``{drawn} story`` draws :func:`scbtheory.plots.story`; ``{verdict}`` says how many claims hold; the role
``measured``, on *E2: of sgd over*, gives the values that were stored under names with these words.
"""

from __future__ import annotations

import os
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from scbtheory.errors import InvalidArgument, nearest
from scbtheory.verification import measurements
from scbtheory.verification.ledger import Ledger
from scbtheory.verification.registry import Registry

__all__ = ["DrawnDirective", "MeasuredRole", "VerdictDirective", "setup"]

LOG = logging.getLogger(__name__)


def setup(app: Sphinx) -> None:
    app.add_directive("drawn", DrawnDirective)
    app.add_directive("verdict", VerdictDirective)
    app.add_role("measured", MeasuredRole())


class DrawnDirective(SphinxDirective):
    """A figure of :mod:`scbtheory.plots` at its defaults, with the content as its caption; ``alt`` is required."""

    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required, "name": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        from scbtheory import plots

        name = self.arguments[0]
        if name not in plots.__all__ or "alt" not in self.options:
            raise self.error(f"drawn {name}: expected a figure of scbtheory.plots and its alt text")
        file = Path(self.env.app.doctreedir, "drawn", f"{name}.svg")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(getattr(plots, name)()._repr_svg_(), encoding="utf-8")
        here = Path(self.env.doc2path(self.env.docname)).parent
        uri = Path(os.path.relpath(file, here)).as_posix()
        figure = nodes.figure("", nodes.image(uri=uri, alt=self.options["alt"]))
        if self.content:
            held = nodes.Element()
            self.state.nested_parse(StringList(self.content), self.content_offset, held)
            figure += nodes.caption("", "", *held[0].children)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure]


class VerdictDirective(SphinxDirective):
    """How many claims hold and how many controls were rejected, by what ``scbtheory measure`` stored."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        self.env.note_dependency(str(root / measurements.FILE))
        try:
            ledger = Ledger.stored(root, registry=Registry(self.env.config.scb_claims_package))
        except InvalidArgument as error:
            raise self.error(str(error)) from error
        return [nodes.paragraph("", ledger.verdict, classes=["scb-verdict"])]


class MeasuredRole(SphinxRole):
    """The values stored for a claim under names that contain the words after the colon; warns where there are none."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        root = Path(self.env.srcdir)
        self.env.note_dependency(str(root / measurements.FILE))
        claim_id, _, words = (part.strip() for part in self.text.partition(":"))
        stored = measurements.read(root).get(claim_id, {}).get("quick", {}).get("quantities", [])
        found = [quantity for quantity in stored if words in quantity["name"]]
        if not found:
            hint = nearest(words, [quantity["name"] for quantity in stored])
            LOG.warning("nothing measured is called %r%s", self.text, hint, location=self.get_location())
        shown = [
            nodes.abbreviation("", _rounded(q["value"]), explanation=f"{_rounded(q['low'])} to {_rounded(q['high'])}")
            for q in found
        ]
        joined: list[nodes.Node] = []
        for number, node in enumerate(shown):
            if number:
                joined.append(nodes.Text(" and " if number == len(shown) - 1 else ", "))
            joined.append(node)
        return joined, []


def _rounded(value: float) -> str:
    """Two figures, or all of a whole part."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:#.2g}"
