"""The book's Sphinx extension: its stylesheet, MathJax as a local file, claims as they state themselves, the map of
them, the page with sliders, the reference made of docstrings, figures on narrow
screens, previews, downloads, what a page was run with, each claim's source, and the status."""

from sphinx.application import Sphinx

from scbtheory.publishing.extension import (
    claims,
    codelinks,
    docstrings,
    download,
    explore,
    figures,
    front,
    graph,
    hover,
    offline,
    parameters,
    sources,
    status,
)

__all__ = ["setup"]


def setup(app: Sphinx) -> dict:
    parts = (
        offline, claims, front, graph, explore, docstrings, codelinks, figures, hover, download, parameters, sources,
        status,
    )  # fmt: skip
    for part in parts:
        part.setup(app)
    app.add_css_file("scb.css")
    app.add_js_file("print.js")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
