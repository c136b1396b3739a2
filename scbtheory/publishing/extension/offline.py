"""MathJax as a local file, and the folder of static files.

Sphinx would load MathJax from a server, and a book that is read from disk, on a train or in
an archive would show raw TeX. One file of MathJax's distribution is enough: it holds the whole
of TeX and draws SVG, so it needs no fonts.
"""

import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

__all__ = ["copy_mathjax", "mathjax_file", "setup", "use_local_files"]

MATHJAX = "tex-svg-full.js"
STATIC = Path(__file__).parent / "static"


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinx.ext.mathjax")
    app.connect("config-inited", use_local_files)
    app.connect("build-finished", copy_mathjax)


def use_local_files(app: Sphinx, config: Config) -> None:
    config.html_static_path.append(str(STATIC))
    config.mathjax_path = f"mathjax/{MATHJAX}"


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy the one file. As a static path, it would bring its whole distribution along."""
    if error or app.builder.format != "html":
        return
    target = Path(app.outdir, "_static", "mathjax", MATHJAX)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(mathjax_file(), target)


def mathjax_file() -> Path:
    """Where the package sphinx-mathjax-offline, which has no importable name, keeps it."""
    try:
        files = distribution("sphinx-mathjax-offline").files or []
    except PackageNotFoundError as error:
        message = "sphinx-mathjax-offline is missing: pip install 'scbtheory[book]'"
        raise ExtensionError(message) from error
    for file in files:
        if file.name == MATHJAX:
            return Path(file.locate())
    raise ExtensionError(f"sphinx-mathjax-offline holds no {MATHJAX}: reinstall it")
