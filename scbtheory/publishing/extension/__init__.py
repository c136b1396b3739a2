"""The book's Sphinx extension: its stylesheet, MathJax as a local file, and claims as they state themselves."""

from sphinx.application import Sphinx

from scbtheory.publishing.extension import claims, offline

__all__ = ["setup"]


def setup(app: Sphinx) -> dict:
    offline.setup(app)
    claims.setup(app)
    app.add_css_file("scb.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
