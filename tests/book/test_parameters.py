"""What surrounds a cell with parameters stays true when they change: a number of theirs is shown by ``{parameter}``."""

import json
import re
from pathlib import Path

import pytest

from scbtheory.publishing import parameters

BOOK = Path(__file__).parents[2] / "book"
SYMBOLS = {
    "vocab_size": "N", "context_length": "T", "sparsity": "s", "T": "T", "K_P": "K_P", "K_Q": "K_Q", "alpha": r"\alpha",
    "K_hat": r"K_{\hat P}", "batch_size": "B", "epsilon": r"\epsilon", "first": "q_1",
}  # fmt: skip
NUMBER = r"(\d[\d.]*(?:\\,\d+)*(?:\^\{?\d+\}?)?)"
ROLE = re.compile(r"\{parameter\}`([^`]*)`")
CHAPTERS = {path.stem: known for path in sorted(BOOK.glob("*.ipynb")) if (known := parameters.read(path))}

pytestmark = pytest.mark.parametrize("chapter", CHAPTERS)


def cells(chapter):
    return json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]


def captions(chapter):
    """The source of each captioned cell, and what stands below and behind its figure."""
    for cell in cells(chapter):
        if shown := cell["metadata"].get("mystnb"):
            yield "".join(cell["source"]), shown.get("figure", {}).get("caption", "")


def equated(text, names):
    """The numbers that a text sets a parameter's symbol equal to."""
    for symbol in {SYMBOLS[name] for name in names if name in SYMBOLS}:
        for found in re.findall(rf"(?<![\w\\]){re.escape(symbol)}\s*=\s*{NUMBER}", ROLE.sub("", text)):
            base, _, power = found.rstrip(".").replace(r"\,", "").partition("^")
            yield symbol, float(base) ** int(power.strip("{}") or 1)


def test_a_caption_states_no_number_that_its_cell_does_not_set(chapter):
    for source, caption in captions(chapter):
        literals = {float(n.replace("_", "")) for n in re.findall(r"\b\d[\d_]*(?:\.\d+)?(?:e\d+)?\b", source)}
        wrong = [
            f"{symbol} = {value:g}" for symbol, value in equated(caption, CHAPTERS[chapter]) if value not in literals
        ]
        assert not wrong, f"{wrong} in {caption[:60]!r}: write {{parameter}}`N = {{vocab_size}}`"


def test_prose_does_not_repeat_a_parameter_s_value(chapter):
    known = CHAPTERS[chapter]
    own = {(SYMBOLS[name], float(p.default)) for name, p in known.items() if name in SYMBOLS}
    for cell in cells(chapter):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and not text.startswith("## Exercises"):  # these set their own sizes
            repeated = set(equated(text, known)) & own
            assert not repeated, f"{repeated} in {text[:60]!r}: write {{parameter}}`N = {{vocab_size}}`, or no number"


def test_every_role_names_a_parameter_of_its_chapter(chapter):
    texts = ["".join(cell["source"]) for cell in cells(chapter) if cell["cell_type"] == "markdown"]
    for text in (*texts, *(caption for _, caption in captions(chapter))):
        for formula in ROLE.findall(text):
            assert set(re.findall(r"\{(\w+)\}", formula)) & set(CHAPTERS[chapter]), formula
