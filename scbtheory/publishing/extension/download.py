"""The source of each page, a chapter's notebook with its outputs, saved by a click: also from a book on a disk."""

import json
from pathlib import Path

from sphinx.application import Sphinx

__all__ = ["setup", "write_scripts"]


def setup(app: Sphinx) -> None:
    app.add_js_file("download.js")
    app.connect("build-finished", write_scripts)


def write_scripts(app: Sphinx, error: Exception | None) -> None:
    """Lay beside each source the script that hands its text to ``download.js``."""
    if error or app.builder.name != "html":
        return
    sources = [path for path in Path(app.outdir, "_sources").rglob("*") if path.suffix in app.config.source_suffix]
    for path in sources:
        name, text = json.dumps(path.name), json.dumps(path.read_text(encoding="utf-8"))
        path.with_name(f"{path.name}.js").write_text(f"scbSave({name}, {text});\n", encoding="utf-8")
