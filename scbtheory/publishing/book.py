"""What people do with a book: build it, refresh what its chapters store, run some differently and render those."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from scbtheory import files
from scbtheory.publishing import record
from scbtheory.publishing.execution import Failure, execute
from scbtheory.publishing.parameters import check
from scbtheory.publishing.rendering import render
from scbtheory.publishing.source import BookError, chapters
from scbtheory.publishing.workplace import workplace

__all__ = ["build", "refresh", "render_run", "run"]


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


def run(
    notebooks: list[Path],
    folder: Path,
    parameters: Mapping[str, object],
    *,
    jobs: int = 2,
    profile: str | None = None,
) -> list[Path]:
    """Execute chapters with other parameters into a folder; return what was written there.

    Each file says in its metadata what it was run with (see :mod:`scbtheory.publishing.record`). A chapter that fails
    leaves what the folder had of it.

    Raises
    ------
    BookError : the folder is the chapters' own or a file, a parameter is refused, or a chapter failed.
    """
    if (folder.exists() and not folder.is_dir()) or folder.suffix == ".ipynb":
        raise BookError(f"{folder} is a file's name: name a folder with --output, which gets a file for each chapter")
    if any(folder.resolve() == notebook.resolve().parent for notebook in notebooks):
        raise BookError(f"{folder} holds the chapters themselves: name another folder with --output")
    values = {notebook: check(notebook, parameters) for notebook in notebooks}
    written = []
    folder.mkdir(parents=True, exist_ok=True)  # fails before the work, not after it
    one_at_a_time = "run-" + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    with workplace(_root(notebooks[0]), one_at_a_time, fallback=True) as drafts:
        failures = execute(notebooks, drafts, parameters, jobs=jobs, profile=profile)
        failed = {failure.notebook for failure in failures}
        for notebook in notebooks:
            if notebook.resolve() not in failed:
                fresh = drafts / notebook.name
                record.write(fresh, parameters=values[notebook], profile=profile)
                files.write(folder / notebook.name, fresh.read_bytes())
                written.append(folder / notebook.name)
    _raise_if_any(failures, notebooks)
    return written


def render_run(root: Path, folder: Path, html_dir: Path | None = None) -> list[Path]:
    """Render the book with the chapters that :func:`run` wrote to ``folder`` in place of its own; return their pages.

    Each of them states what it was run with. The book goes to ``html_dir``, or to ``folder/html``.

    Raises
    ------
    BookError : the folder holds no such chapter, or a notebook that is none; or the book does not render.
    """
    found = sorted(folder.glob("*.ipynb"))
    if not found:
        raise BookError(f"{folder} holds no notebook: scbtheory run CHAPTER --output {folder} writes some")
    chapters(root, [notebook.name for notebook in found])
    for notebook in found:
        if not record.read(notebook):
            raise BookError(f"{notebook} does not say what it was run with: scbtheory run {notebook.stem} writes one")
    html_dir = html_dir or folder / "html"
    render(root, html_dir, executed=folder)
    return [html_dir / "book" / f"{notebook.stem}.html" for notebook in found]


def _root(notebook: Path) -> Path:
    return notebook.resolve().parent.parent


def _raise_if_any(failures: list[Failure], notebooks: list[Path]) -> None:
    if failures:
        names = ", ".join(failure.notebook.stem for failure in failures)
        raise BookError(f"{len(failures)} of {len(notebooks)} chapters failed: {names}")
