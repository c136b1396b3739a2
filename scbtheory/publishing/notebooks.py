"""Keep stored notebooks free of what differs between two runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import nbformat

from scbtheory.publishing.source import BookError

__all__ = ["KERNELSPEC", "normalise", "normalise_file"]

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
# Written by papermill and by editors; no two runs agree on these.
PASSING_CELL_METADATA = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled")


def normalise(notebook: nbformat.NotebookNode, root: Path) -> nbformat.NotebookNode:
    """Remove, in place, what two runs of the same cells would not have in common.

    Outputs, execution counts and cell ids stay. Paths below ``root`` become relative to it.
    """
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    here = f"{root}{os.sep}"
    for number, cell in enumerate(notebook.cells):
        for key in PASSING_CELL_METADATA:
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if "id" not in cell:
            cell["id"] = f"cell-{number}"
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = "injected-parameters"  # papermill draws one at random
        if cell.cell_type == "code":
            cell.outputs = _join_streams(_without(here, output) for output in cell.outputs)
    return notebook


def _without(prefix: str, value):
    """Make absolute paths below ``prefix`` relative, in every string of a nested output."""
    if isinstance(value, str):
        return value.replace(prefix, "")
    if isinstance(value, list):
        return [_without(prefix, item) for item in value]
    if isinstance(value, dict):
        return nbformat.from_dict({key: _without(prefix, item) for key, item in value.items()})
    return value


def _join_streams(outputs: Iterable[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join what was printed in a row: where the kernel cuts it is a matter of timing."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def normalise_file(path: Path, root: Path | None = None) -> bool:
    """Normalise the notebook in ``path``; return whether that changed it.

    ``root`` is by default the folder above the notebook's: chapters lie in ``ROOT/book``.
    """
    before = path.read_text(encoding="utf-8")
    try:
        notebook = nbformat.reads(before, as_version=4)
    except ValueError as error:
        raise BookError(f"{path} is not a notebook: {error}") from error
    normalise(notebook, root or path.resolve().parent.parent)
    after = nbformat.writes(notebook) + "\n"
    if after == before:
        return False
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(after, encoding="utf-8")
    draft.replace(path)
    return True
