"""The three things people do with a book: build it, refresh what its chapters store, run one differently."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from scbtheory import files
from scbtheory.publishing.execution import Failure, execute
from scbtheory.publishing.rendering import render
from scbtheory.publishing.source import BookError, chapters
from scbtheory.publishing.workplace import workplace

__all__ = ["build", "refresh", "run"]


def build(root: Path, run: bool = True, jobs: int = 2) -> Path:
    """Execute every chapter, unless told otherwise, and render; return the first page."""
    html_dir = root / "_build" / "html"
    with workplace(root, "book") as folder:
        if not run:
            return render(root, html_dir, stage_in=folder)
        notebooks, executed = chapters(root), folder / "executed"
        _raise_if_any(execute(notebooks, executed, jobs=jobs), notebooks)
        return render(root, html_dir, executed, stage_in=folder)


def refresh(notebooks: list[Path], jobs: int = 2) -> list[Path]:
    """Execute the notebooks and store their new outputs; return those that changed.

    Each is replaced in one step, and only when all of its cells ran.
    """
    if not notebooks:
        return []
    changed = []
    with workplace(_root(notebooks[0]), "refresh") as folder:
        failures = execute(notebooks, folder, jobs=jobs)
        failed = {failure.notebook for failure in failures}
        for notebook in notebooks:
            fresh = folder / notebook.name
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
    one_at_a_time = "run-" + hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:12]
    with workplace(_root(notebook), one_at_a_time, fallback=True) as folder:
        _raise_if_any(execute([notebook], folder, parameters, jobs=1), [notebook])
        output.parent.mkdir(parents=True, exist_ok=True)
        files.write(output, (folder / notebook.name).read_bytes())


def _root(notebook: Path) -> Path:
    return notebook.resolve().parent.parent


def _raise_if_any(failures: list[Failure], notebooks: list[Path]) -> None:
    if failures:
        names = ", ".join(failure.notebook.stem for failure in failures)
        raise BookError(f"{len(failures)} of {len(notebooks)} chapters failed: {names}")
