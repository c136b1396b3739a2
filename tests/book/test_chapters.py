"""Each claim is stated, verified and linked in the chapter that the ledger names for it."""

import json
from pathlib import Path

import pytest

from scbtheory import claims

BOOK = Path(__file__).parents[2] / "book"


def cells(chapter, kind):
    notebook = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("claim_id", claims.ids())
def test_the_chapter_states_and_verifies_the_claim(claim_id):
    chapter = claims.chapter(claim_id)
    prose, code = "\n".join(cells(chapter, "markdown")), "\n".join(cells(chapter, "code"))
    stated = (f"{{claim}} {claim_id}\n", f":label: claim-{claim_id}\n", f"(claim-{claim_id})=")
    assert any(text in prose for text in stated), f"{chapter} does not state {claim_id}: :::{{claim}} {claim_id}"
    assert f'scb.verify("{claim_id}")' in code, f"{chapter} does not verify {claim_id}"


def test_the_stored_ledger_lists_every_claim():
    notebook = json.loads((BOOK / "ledger.ipynb").read_text(encoding="utf-8"))
    outputs = json.dumps([cell.get("outputs", []) for cell in notebook["cells"]])
    missing = [claim_id for claim_id in claims.ids() if f">{claim_id}</a>" not in outputs]
    assert not missing, f"run make refresh: the stored ledger lacks {missing}"


def test_the_title_page_answers_every_part_of_the_book():
    toc = (BOOK.parent / "_toc.yml").read_text(encoding="utf-8")
    intro = (BOOK / "intro.md").read_text(encoding="utf-8")
    for claim_id in claims.ids():
        assert f"book/{claims.chapter(claim_id)}" in toc
        assert f"{{doc}}`{claims.chapter(claim_id)}`" in intro, f"intro.md does not lead to {claims.chapter(claim_id)}"


def prose(path):
    """The Markdown of a page, whatever its kind."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n".join(cells(path.stem, "markdown"))


@pytest.mark.parametrize("path", sorted([*BOOK.glob("*.md"), *BOOK.glob("*.ipynb")]), ids=lambda p: p.stem)
def test_norms_in_tables_are_not_eaten(path):
    r"""A Markdown table reads ``\|`` as one bar: a norm there must be written ``\lVert … \rVert``."""
    rows = [line for line in prose(path).splitlines() if line.startswith("|")]
    assert not [row for row in rows if "\\|" in row]


def test_every_reference_is_cited():
    entries = [line for line in (BOOK / "references.bib").read_text(encoding="utf-8").splitlines() if line[:1] == "@"]
    pages = "\n".join(map(prose, [*BOOK.glob("*.md"), *BOOK.glob("*.ipynb")]))
    assert not [entry for entry in entries if entry.split("{")[1].rstrip(",") not in pages]
