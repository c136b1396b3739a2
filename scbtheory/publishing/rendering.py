"""Render the book with Sphinx, every warning an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scbtheory.publishing.source import ANSI, BookError

__all__ = ["render"]


def render(root: Path, html_dir: Path, executed: Path | None = None) -> Path:
    """Build the book of ``root`` into ``html_dir`` and return its first page.

    Notebooks in the folder ``executed`` take the place of the committed ones. Every warning is an
    error, and after an error ``html_dir`` still holds the last good book.
    """
    html_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stage-", dir=html_dir.parent) as folder:
        stage = Path(folder).resolve()
        source = stage / "source"
        source.mkdir()
        for name in ("_config.yml", "_toc.yml"):
            shutil.copy(root / name, source)
        ignored = shutil.ignore_patterns(".ipynb_checkpoints", ".*.part")
        shutil.copytree(root / "book", source / "book", ignore=ignored)
        for notebook in sorted(executed.glob("*.ipynb")) if executed else ():
            shutil.copy(notebook, source / "book")

        start = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
        command = [sys.executable, "-c", start, "build", str(source)]  # it has no `python -m`
        command += ["--path-output", str(stage), "-W", "--keep-going", "-n", "-q"]
        environment = {**os.environ, "NO_COLOR": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        built = stage / "_build" / "html"
        if done.returncode or not (built / "index.html").is_file():
            raise BookError(f"the book was not rendered:\n{_complaints(done, source)}")
        if html_dir.exists():
            html_dir.rename(stage / "previous")
        built.rename(html_dir)
    return html_dir / "index.html"


def _complaints(done: subprocess.CompletedProcess, source: Path) -> str:
    """Sphinx's warnings and errors if there are any, its last lines otherwise."""
    lines = ANSI.sub("", done.stdout + done.stderr).replace(f"{source}{os.sep}", "").splitlines()
    marked = [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)]
    return "\n".join(marked or [line for line in lines if line.strip()][-15:])
