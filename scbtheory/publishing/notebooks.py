"""Keep stored notebooks free of what differs between two runs."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import nbformat

from scbtheory import files
from scbtheory.publishing import record
from scbtheory.publishing.source import BookError

__all__ = ["KERNELSPEC", "normalise", "normalise_file", "seal", "unsealed"]

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
SEAL = "drawn"  # of a cell's metadata
DRAWN = ("image/svg+xml", "text/latex")
# Written by papermill and by editors; no two runs agree on these.
PASSING_CELL_METADATA = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled")


def normalise(notebook: nbformat.NotebookNode, root: Path) -> nbformat.NotebookNode:
    """Remove, in place, what two runs of the same cells would not have in common.

    Outputs, execution counts, cell ids and a run's record stay. Paths below ``root`` become relative to it.
    """
    kept = {record.KEY: notebook.metadata[record.KEY]} if record.KEY in notebook.metadata else {}
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}, **kept})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    # Where a longer path, an address or a word ends in the root's, that is not the root.
    here = re.compile(r"(?<![\w./~+%@-])" + re.escape(f"{root}{os.sep}"))
    for cell in notebook.cells:
        for key in PASSING_CELL_METADATA:
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = "injected-parameters"  # papermill draws one at random
        if cell.cell_type == "code":
            cell.outputs = _join_streams(_without(here, output) for output in cell.outputs)
    return notebook


def _without(root: re.Pattern[str], value):
    """Make absolute paths below the root relative, in every string of a nested output."""
    if isinstance(value, str):
        return root.sub("", value)
    if isinstance(value, list):
        return [_without(root, item) for item in value]
    if isinstance(value, dict):
        return nbformat.from_dict({key: _without(root, item) for key, item in value.items()})
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
    try:
        before = path.read_text(encoding="utf-8")
        content = json.loads(before)
        _give_ids(content["cells"])
        notebook = nbformat.reads(json.dumps(content), as_version=4)
    except OSError as error:
        raise BookError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # nbformat's own are ValueErrors
        raise BookError(f"{path} is not a notebook: {type(error).__name__}: {error}") from error
    normalise(notebook, root or path.resolve().parent.parent)
    after = nbformat.writes(notebook) + "\n"
    if after == before:
        return False
    files.write(path, after)
    return True


def seal(path: Path) -> None:
    """Note beside each cell what it has drawn, by a digest: figures and typeset formulas, which no test compares.

    Another release of Matplotlib or SymPy draws the same data in another way. What the tests compare is the data, as
    text, and with :func:`unsealed` that the stored drawing is the one that was made with it.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop(SEAL, None)
        if drawn := _drawn(cell):
            cell.metadata[SEAL] = drawn
    files.write(path, nbformat.writes(notebook) + "\n")


def unsealed(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the cells whose drawing is not the one that they were executed with."""
    return [cell for cell in notebook.cells if cell.metadata.get(SEAL) != _drawn(cell)]


def _drawn(cell: nbformat.NotebookNode) -> str | None:
    """A digest of what a cell has drawn, or nothing where it has drawn nothing."""
    found = [o["data"][kind] for o in cell.get("outputs", ()) for kind in DRAWN if kind in o.get("data", {})]
    return hashlib.sha256("\0".join(found).encode()).hexdigest()[:16] if found else None


def _give_ids(cells: list[dict]) -> None:
    """Give an id to each cell without one, the same each time: nbformat would draw one at random."""
    taken = {cell.get("id") for cell in cells}
    for number, cell in enumerate(cells):
        if "id" not in cell:
            named = f"{number} {cell.get('source', '')}".encode()
            fresh = (hashlib.sha256(named + bytes(n)).hexdigest()[:8] for n in itertools.count())
            cell["id"] = next(name for name in fresh if name not in taken)
            taken.add(cell["id"])
