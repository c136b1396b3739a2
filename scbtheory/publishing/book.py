"""The three things people do with a book: build it, refresh what its chapters store, run one differently."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from scbtheory import files
from scbtheory.publishing.execution import Failure, execute
from scbtheory.publishing.rendering import render
from scbtheory.publishing.source import BookError, chapters

__all__ = ["build", "refresh", "run"]


def build(root: Path, run: bool = True, jobs: int = 2) -> Path:
    """Execute every chapter, unless told otherwise, and render; return the first page."""
    html_dir = root / "_build" / "html"
    if not run:
        return render(root, html_dir)
    html_dir.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="executed-", dir=html_dir.parent) as folder:
        notebooks = chapters(root)
        _raise_if_any(execute(notebooks, Path(folder), jobs=jobs), notebooks)
        return render(root, html_dir, executed=Path(folder))


def refresh(notebooks: list[Path], jobs: int = 2) -> list[Path]:
    """Execute the notebooks and store their new outputs; return those that changed.

    Each is replaced in one step, and only when all of its cells ran.
    """
    changed = []
    with tempfile.TemporaryDirectory() as folder:
        failures = execute(notebooks, Path(folder), jobs=jobs)
        failed = {failure.notebook for failure in failures}
        for notebook in notebooks:
            fresh = Path(folder, notebook.name)
            if notebook.resolve() not in failed and fresh.read_bytes() != notebook.read_bytes():
                files.write(notebook, fresh.read_bytes())
                changed.append(notebook)
    _raise_if_any(failures, notebooks)
    return changed


def run(notebook: Path, output: Path, parameters: Mapping[str, object]) -> None:
    """Execute one chapter with other parameters into another file."""
    if output.resolve() == notebook.resolve():
        raise BookError(f"{output} is the chapter itself: name another file with --output")
    if output.is_dir():
        raise BookError(f"{output} is a folder: name a file with --output")
    with tempfile.TemporaryDirectory() as folder:
        _raise_if_any(execute([notebook], Path(folder), parameters, jobs=1), [notebook])
        output.parent.mkdir(parents=True, exist_ok=True)
        files.write(output, Path(folder, notebook.name).read_bytes())


def _raise_if_any(failures: list[Failure], notebooks: list[Path]) -> None:
    if failures:
        names = ", ".join(failure.notebook.stem for failure in failures)
        raise BookError(f"{len(failures)} of {len(notebooks)} chapters failed: {names}")
