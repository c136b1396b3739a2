"""Every chapter runs at five other sets of parameters: two tokens, twelve, and some between; ``make slow``.

Cells that verify claims or show a control depend on no parameter, which is checked; they are left out for their time.
"""

import ast
import json
import re
from pathlib import Path

import pytest

from scbtheory.publishing import parameters

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = {path.stem: known for path in sorted(BOOK.glob("*.ipynb")) if (known := parameters.read(path))}
# Contexts, batches and budgets are given as multiples of the chapter's own.
SETS = {
    "N = 2": {
        "vocab_size": 2, "sparsity": 1, "seed": 11, "K_P": 0.5, "K_Q": 0.3, "alpha": 0.3, "first": 0.7, "runs": 0.5,
    },
    "N = 12": {
        "vocab_size": 12, "seed": 5, "K_P": 0.3, "K_Q": 0.45, "budget": 20, "batch_size": 8, "samples": 8, "steps": 2,
        "runs": 0.1, "seeds": 0.5,
    },
    "dense": {
        "vocab_size": 5, "sparsity": 4, "seed": 7, "K_P": 0.9, "K_Q": 0.15, "budget": 8, "batch_size": 4, "samples": 4,
        "runs": 0.2, "seeds": 0.5,
    },
    "long": {
        "context_length": 1.6, "T": 2, "seed": 123, "dtype": "float32", "K_P": 0.15, "K_Q": 0.9, "epsilon": 0.1,
        "runs": 0.2, "seeds": 0.5,
    },
    "short": {
        "vocab_size": 4, "context_length": 0.6, "sparsity": 3, "seed": 10**8, "K_P": 0.4, "K_hat": 0.6, "budget": 3,
        "alpha": 0.95, "runs": 0.2, "seeds": 0.75,
    },
}  # fmt: skip
MULTIPLES = {"context_length", "T", "budget", "batch_size", "samples", "steps", "runs", "seeds"}
FIXED = re.compile(r"\bscb\.(verify|contrast)\(")

pytestmark = pytest.mark.slow


def chosen(chapter, name):
    """The values of a set that the chapter has parameters for."""
    known = CHAPTERS[chapter]
    given = {n: v for n, v in SETS[name].items() if n in known}
    return {n: round(v * known[n].default) if n in MULTIPLES else v for n, v in given.items()}


def code(chapter):
    """The cells that depend, or may depend, on the chapter's parameters, and whether each is the one that sets them."""
    for cell in json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not FIXED.search(source):
            yield source, "parameters" in cell["metadata"].get("tags", ())


def execute(source, names):
    """Run a cell as a kernel would, and make every representation of its last value."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
        for way in ("__repr__", "_repr_svg_", "_repr_html_", "_repr_latex_"):
            if hasattr(value, way) and not isinstance(value, type):
                getattr(value, way)()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_is_left_out_depends_on_no_parameter(chapter):
    for cell in json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code" and FIXED.search(source := "".join(cell["source"])):
            used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
            assert not used & set(CHAPTERS[chapter])


@pytest.mark.filterwarnings("default")  # a kernel prints them and goes on
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_runs_at_other_sizes(chapter, name, monkeypatch):
    monkeypatch.chdir(BOOK)
    values = parameters.check(BOOK / f"{chapter}.ipynb", chosen(chapter, name))
    names = {}
    for source, sets_them in code(chapter):
        execute(source, names)
        if sets_them:
            names.update(values)
