"""Every chapter has an exercise that asks for code, and its folded solution prints what it says it prints."""

import ast
import contextlib
import io
import json
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"
WIDTH = 70  # characters: a box inside of a page is narrower than the page
PAGES = {"ledger", "performance"}  # tables, without exercises
CHAPTERS = [path for path in sorted(BOOK.glob("*.ipynb")) if path.stem not in PAGES]
SOLUTION = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def sources(path: Path, kind: str) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def imported(path: Path) -> dict:
    """The names that the chapter's cells of imports bind: what a solution may use."""
    names: dict = {}
    for source in sources(path, "code"):
        if all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(source).body):
            exec(source, names)
    return names


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_solutions_print_what_they_say(path):
    prose = "\n".join(sources(path, "markdown"))
    solutions = SOLUTION.findall(prose)
    assert len(solutions) == prose.count("```python") > 0, "each ```python needs its output after it, as ```text"
    for code, stated in solutions:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, imported(path))
        assert printed.getvalue() == stated
        assert max(map(len, code.splitlines())) <= WIDTH
