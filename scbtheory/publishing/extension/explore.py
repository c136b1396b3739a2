"""The directive ``{explore}``: sliders for the constants of the reduced flow; its pictures move with them.

The page holds the sliders, and ``explore.js`` everything that moves: nothing is asked of a server.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

__all__ = ["ExploreDirective", "setup"]

# name, label, least, largest, step, start, what a reader's screen reader says
SLIDERS = (
    ("T", "context length <i>T</i>", 2, 6, 0.1, 4, "power of ten of the context length"),
    ("K_P", "<i>K</i><sub>P</sub>", 0.05, 0.9, 0.01, 0.2, "K P, the size of the transition matrix"),
    ("K_Q", "<i>K</i><sub>Q</sub>", 0.05, 0.95, 0.01, 0.5, "K Q, the size of the attention"),
    ("share", "<i>θK</i><sub>×</sub> / <i>K</i><sub>P</sub>", -1, 1, 0.01, 0.6, "correlation of pretraining, over K P"),
    ("ratio", "steps <i>η<sub>A</sub></i> / <i>η<sub>V</sub></i>", -3, 3, 0.1, 0, "power of two of the steps' ratio"),
)  # fmt: skip


def setup(app: Sphinx) -> None:
    app.add_directive("explore", ExploreDirective)
    app.add_js_file("explore.js")


class ExploreDirective(SphinxDirective):
    """Sliders, the two numbers against time, the phase portrait, and what the closed forms predict."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", markup(), format="html")]


def markup() -> str:
    """The sliders, and empty places for what the script draws."""
    rows = "".join(
        f'<label for="scb-{name}"><span>{label}</span><output id="scb-{name}-shown"></output></label>'
        f'<input type="range" id="scb-{name}" min="{low}" max="{high}" step="{step}" value="{start}" '
        f'aria-label="{spoken}">'
        for name, label, low, high, step, start, spoken in SLIDERS
    )
    balanced = (
        '<label class="scb-check"><input type="checkbox" id="scb-balanced"><span>balanced steps, '
        "<i>η</i>/<i>K</i><sub>Q</sub> for <i>V</i> and <i>η</i>/<i>K</i><sub>P</sub> for <i>A</i></span></label>"
    )
    pictures = (
        '<svg id="scb-course" viewBox="0 0 440 300" role="img" aria-label="Alpha and beta against time"></svg>'
        '<svg id="scb-portrait" viewBox="0 0 440 300" role="img" aria-label="Phase portrait"></svg>'
    )
    return (
        f'<div class="scb-explore"><div class="scb-sliders">{rows}{balanced}</div>'
        f'<div class="scb-pictures">{pictures}</div>'
        '<dl id="scb-readout" aria-live="polite"></dl><noscript>The sliders need JavaScript.</noscript></div>'
    )
