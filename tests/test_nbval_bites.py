"""The comparison of stored chapters fails where a verdict, a number, a formula or a figure's data is altered."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from scbtheory.publishing import execution, notebooks

BOOK = Path(__file__).parents[1] / "book"
FIGURE = """\
from scbtheory.plots._style import canvas

with canvas() as (picture, ax):
    ax.plot([1, 2, 3], [0.5, 0.25, 0.125], label="curve")
picture"""
# What each cell shows, and an alteration of what is stored of it.
CELLS = {
    "verdict": ("print('M1 holds')", '"M1 holds', '"M1 fails'),
    "measurement": ("print('half time', 9.211)", "9.211", "9.212"),
    "formula": ("import sympy as sp\n\nsp.Symbol('x') ** 2", '"x**2"', '"x**3"'),
    "figure": (FIGURE, "1 0.5, 2 0.25, 3 0.125", "1 0.5, 2 0.251, 3 0.125"),
    "table": ("from IPython.display import HTML\n\nHTML('<b>3</b>')", "<b>3</b>", "<b>4</b>"),
    "emptied": ("print('shown')", None, None),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A notebook with two cells of each kind, executed and sealed as the chapters are."""
    folder = tmp_path_factory.mktemp("stored")
    named = [(f"{name}-{fate}", source) for name, (source, _, _) in CELLS.items() for fate in ("whole", "altered")]
    path = folder / "book" / "toy.ipynb"
    path.parent.mkdir()
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(source, id=name) for name, source in named]), path)
    notebooks.normalise_file(path)
    assert execution.execute([path], folder, jobs=1) == []
    return folder / "toy.ipynb"


def alter(cell):
    """Change what a cell has stored: a character of it, or all."""
    _, old, new = CELLS[cell["id"].removesuffix("-altered")]
    before = json.dumps(cell["outputs"])
    assert (old or "shown") in before
    cell["outputs"] = json.loads(before.replace(old, new)) if old else []


def test_what_is_altered_fails_and_nothing_else(stored, tmp_path):
    content = json.loads(stored.read_text(encoding="utf-8"))
    altered = [cell for cell in content["cells"] if cell["id"].endswith("-altered")]
    for cell in altered:
        alter(cell)
    (tmp_path / "toy.ipynb").write_text(json.dumps(content), encoding="utf-8")
    shutil.copy(BOOK / "conftest.py", tmp_path)
    plain = ["-v", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", *plain, "toy.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    fates = {int(n): fate for n, fate in re.findall(r"::Cell (\d+) (PASSED|FAILED)", done.stdout)}
    assert len(altered) == len(CELLS)
    for n, cell in enumerate(content["cells"]):
        assert fates[n] == ("FAILED" if cell in altered else "PASSED"), (cell["id"], done.stdout)


@pytest.mark.parametrize(("name", "kind"), [("figure", "image/svg+xml"), ("formula", "text/latex")])
def test_a_drawing_that_was_not_made_with_its_data_is_found(stored, name, kind):
    notebook = nbformat.read(stored, as_version=4)
    assert notebooks.unsealed(notebook) == []
    [cell] = [cell for cell in notebook.cells if cell.id == f"{name}-whole"]
    cell.outputs[0].data[kind] = cell.outputs[0].data[kind].replace("2", "3", 1)
    assert notebooks.unsealed(notebook) == [cell]
    del cell.outputs[0].data[kind]
    assert notebooks.unsealed(notebook) == [cell]
    del cell.metadata[notebooks.SEAL]
    assert notebooks.unsealed(notebook) == []  # a cell that draws nothing has no digest
