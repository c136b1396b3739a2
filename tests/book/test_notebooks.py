"""What every stored chapter must be before its outputs are worth comparing.

nbval passes a notebook that was never executed: it has nothing to compare. So these tests come
first.
"""

import ast
import itertools
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from scbtheory.publishing import notebooks

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
MAX_LINES = 15
MAX_LENGTH = 76  # characters: what the page's column and a printed page hold without scrolling
# What another run, or another machine, would print differently.
UNSTABLE = {
    "an absolute path": re.compile(r"(?<![\w.:/])/(?:home|root|tmp|var|usr|opt|Users|private)/\w"),
    "a time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d"),
    "an address in memory": re.compile(r"\b0x[0-9a-f]{8,}\b"),
}

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def first_lines(cells) -> list[str]:
    return [cell.source.strip().splitlines()[0] for cell in cells]


def strings(value) -> list[str]:
    """Every string inside a nested output."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_every_cell_was_executed(path):
    bare = [cell for cell in code_cells(path) if cell.execution_count is None]
    assert first_lines(bare) == [], f"run `scbtheory refresh {path.stem}`"


def test_cells_ran_from_top_to_bottom_in_one_go(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), f"run `scbtheory refresh {path.stem}`"


def test_no_output_is_an_error(path):
    wrong = [c for c in code_cells(path) if any(o.output_type == "error" for o in c.outputs)]
    assert first_lines(wrong) == []


def test_no_output_is_a_warning(path):
    """What goes to the standard error stream is for the author, not for the reader."""
    wrong = [c for c in code_cells(path) if any(o.get("name") == "stderr" for o in c.outputs)]
    assert first_lines(wrong) == []


def test_cells_are_short(path):
    long = [cell for cell in code_cells(path) if len(cell.source.splitlines()) > MAX_LINES]
    assert first_lines(long) == [], f"over {MAX_LINES} lines: move the work into the package"


def test_lines_of_code_fit_the_page(path):
    long = [line for cell in code_cells(path) for line in cell.source.splitlines() if len(line) > MAX_LENGTH]
    assert long == [], f"over {MAX_LENGTH} characters"


def has_image(cell) -> bool:
    return any(key.startswith("image/") for o in cell.outputs for key in o.get("data", {}))


def test_every_output_is_compared(path):
    """Not even a figure's is left out: nbval compares its data."""
    tagged = [c for c in code_cells(path) if any(tag.startswith("nbval-") for tag in c.metadata.get("tags", []))]
    marked = [c for c in code_cells(path) if re.search(r"^\s*#\s*(NBVAL|PYTEST_VALIDATE)", c.source, re.MULTILINE)]
    assert first_lines(tagged + marked) == []


def test_every_drawing_is_the_one_of_its_execution(path):
    wrong = notebooks.unsealed(nbformat.read(path, as_version=4))
    assert first_lines(wrong) == [], f"a stored figure or formula was changed: run `scbtheory refresh {path.stem}`"


def test_every_figure_carries_its_data(path):
    texts = [
        o.data.get("text/plain", "")
        for c in code_cells(path)
        for o in c.outputs
        if "image/svg+xml" in o.get("data", {})
    ]
    assert all(re.match(r"Picture\n.*: x = .*\n  \S.*: \S", text) for text in texts), texts


def test_imports_and_drawing_are_folded(path):
    """What a reader came for is the statement and the figure; their code is one click away."""

    def only_imports(cell):
        return all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(cell.source).body)

    open_ones = [
        cell
        for cell in code_cells(path)
        if (has_image(cell) or only_imports(cell)) and "hide-input" not in cell.metadata.get("tags", [])
    ]
    assert first_lines(open_ones) == [], 'tag the cell "hide-input"'


def test_no_output_is_a_bare_verdict(path):
    """``0`` or ``True`` alone says nothing of what it is the answer to."""
    values = [(cell.source, o.data.get("text/plain")) for cell in code_cells(path) for o in cell.outputs if "data" in o]
    assert [source for source, value in values if value in ("0", "True", "False")] == []


def test_formulas_are_led_over_to_the_text(path):
    """What SymPy shows has its own letters: prose, or a comparison, must follow before the chapter goes on."""

    def is_formula(cell):
        return cell.cell_type == "code" and any("text/latex" in o.get("data", {}) for o in cell.outputs)

    def answers(cell):
        printed = cell.cell_type == "code" and any(o.output_type == "stream" for o in cell.outputs)
        return cell.cell_type == "markdown" or printed or is_formula(cell)

    cells = nbformat.read(path, as_version=4).cells
    assert [a.id for a, b in itertools.pairwise(cells) if is_formula(a) and not answers(b)] == []


@pytest.mark.parametrize("what", UNSTABLE)
def test_nothing_stored_belongs_to_one_run_or_machine(path, what):
    cells = nbformat.read(path, as_version=4).cells
    texts = [text for cell in cells for text in (cell.source, *strings(cell.get("outputs", [])))]
    found = [hit.group() for text in texts for hit in UNSTABLE[what].finditer(text)]
    assert found == []


def test_it_is_normalised(path, tmp_path):
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    assert not notebooks.normalise_file(copy, root=ROOT), f"run `scbtheory normalise book/{path.name}`"


def test_it_starts_with_a_title(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert re.search(r"^# \S", first.source, flags=re.MULTILINE), "no line `# Title`"


def test_every_figure_has_alternative_text(path):
    def has_text(cell):
        return bool(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "").strip())

    mute = [cell for cell in code_cells(path) if has_image(cell) and not has_text(cell)]
    assert first_lines(mute) == [], "set the cell's metadata: mystnb.image.alt"


def test_it_is_in_the_table_of_contents(path):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert f"book/{path.stem}" in files
