"""Every chapter runs at five other sets of parameters: two tokens, twelve, and some between; ``make slow``.

Cells that verify claims or show a control depend on no parameter, which is checked; they are left out for their time.
"""

import ast
import json
import re
from pathlib import Path

import pytest

from scbtheory.publishing import book, parameters

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = {path.stem: known for path in sorted(BOOK.glob("*.ipynb")) if (known := parameters.read(path))}
# Contexts, batches and budgets are given as multiples of the chapter's own.
SETS = {
    "N = 2": {"vocab_size": 2, "sparsity": 1, "seed": 11, "K_P": 0.5, "K_Q": 0.3, "alpha": 0.3, "first": 0.7},
    "N = 12": {
        "vocab_size": 12, "seed": 5, "K_P": 0.3, "K_Q": 0.45, "budget": 20, "batch_size": 8, "samples": 8, "steps": 2,
    },
    "dense": {
        "vocab_size": 5, "sparsity": 4, "seed": 7, "K_P": 0.9, "K_Q": 0.15, "budget": 8, "batch_size": 4, "samples": 4,
    },
    "long": {"context_length": 1.6, "T": 2, "seed": 123, "dtype": "float32", "K_P": 0.15, "K_Q": 0.9, "epsilon": 0.1},
    "short": {
        "vocab_size": 4, "context_length": 0.6, "sparsity": 3, "seed": 10**8, "K_P": 0.4, "K_hat": 0.6, "budget": 3,
        "alpha": 0.95,
    },
}  # fmt: skip
MULTIPLES = {"context_length", "T", "budget", "batch_size", "samples", "steps"}
FIXED = re.compile(r"\bscb\.(verify|contrast)\(")

pytestmark = pytest.mark.slow


def chosen(chapter, name):
    """The values of a set that the chapter has parameters for."""
    known = CHAPTERS[chapter]
    given = {n: v for n, v in SETS[name].items() if n in known}
    return {n: round(v * known[n].default) if n in MULTIPLES else v for n, v in given.items()}


def without_claims(chapter, folder):
    """A copy of the chapter whose cells all depend, or may depend, on its parameters."""
    content = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    fixed = [c for c in content["cells"] if c["cell_type"] == "code" and FIXED.search("".join(c["source"]))]
    for cell in fixed:
        used = {node.id for node in ast.walk(ast.parse("".join(cell["source"]))) if isinstance(node, ast.Name)}
        assert not used & set(CHAPTERS[chapter]), "a cell that verifies a claim must not depend on parameters"
    content["cells"] = [c for c in content["cells"] if c not in fixed]
    path = folder / f"{chapter}.ipynb"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_runs_at_other_sizes(chapter, name, tmp_path):
    (tmp_path / "book").mkdir()
    path = without_claims(chapter, tmp_path / "book")
    given = chosen(chapter, name)
    assert given
    book.run([path], tmp_path / "run", given, jobs=1)
