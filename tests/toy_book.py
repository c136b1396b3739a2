"""Books of a few lines, made for a test."""

import time
from pathlib import Path

import nbformat
from nbformat import v4

from scbtheory.publishing import notebooks


def write(path: Path, *sources: str, parameters: str | None = None) -> Path:
    """Write a notebook with these code cells, below a title and perhaps a cell of parameters."""
    cells = [v4.new_markdown_cell("# A chapter", id="title")]
    if parameters:
        tagged = {"tags": ["parameters"]}
        cells.append(v4.new_code_cell(parameters, id="parameters", metadata=tagged))
    cells += [v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(sources)]
    nbformat.write(v4.new_notebook(cells=cells), path)
    notebooks.normalise_file(path)
    return path


def printed(path: Path) -> str:
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


def make(folder: Path) -> Path:
    """A book of one page; chapters are for the tests to add."""
    (folder / "book").mkdir()
    (folder / "book" / "intro.md").write_text("# Intro\n\nText.\n")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    (folder / "_config.yml").write_text('title: Tiny\nexecute:\n  execute_notebooks: "off"\n')
    return folder


def wait_until(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
