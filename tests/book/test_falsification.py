"""Each chapter shows a wrong version being rejected, by computing it."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from scbtheory import claims
from scbtheory.verification.claim import Control
from scbtheory.verification.contrast import contrast

BOOK = Path(__file__).parents[2] / "book"
HEADING = "## What would falsify it"


def falsifications(path):
    """The code of a chapter's section on falsification."""
    found, inside = [], False
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            if HEADING in source:
                inside = True
                source = source.partition(HEADING)[2]
            inside = inside and not re.search(r"^## ", source, re.MULTILINE)
        elif inside:
            found.append(source)
    return found


CHAPTERS = {path.stem: found for path in sorted(BOOK.glob("*.ipynb")) if (found := falsifications(path))}
CONTRASTS = sorted({
    tuple(argument.value for argument in node.args)
    for found in CHAPTERS.values()
    for source in found
    for node in ast.walk(ast.parse(source))
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "scb.contrast"
})  # fmt: skip


def test_every_chapter_has_one_but_ledger_and_performance():
    chapters = {path.stem for path in BOOK.glob("*.ipynb")}
    assert chapters - set(CHAPTERS) == {"ledger", "performance"}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_section_prints_fates_that_it_has_not_computed(chapter):
    for source in CHAPTERS[chapter]:
        names = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
        assert not names & {"controls", "mistake"}, "names of controls, printed, show nothing; use scb.contrast"
        assert any(isinstance(node, ast.Call) for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize(("claim_id", "mistake"), CONTRASTS)
def test_a_contrast_notices_a_control_that_is_no_mistake(claim_id, mistake):
    class Patched:
        """The registry, with the statement in the control's place."""

        @staticmethod
        def find(claim_id):
            claim = claims.find(claim_id)
            assert mistake in {control.mistake for control in claim.controls}
            controls = Control(mistake, claim.statement), Control("another", claim.statement)
            return replace(claim, controls=controls, routes=claim.routes[:2])  # the others take their time

    if claims.find(claim_id).experiment:
        pytest.skip("an experiment runs where its chapter is executed")
    patched = contrast(claim_id, mistake, registry=Patched)
    assert not patched.rejected
    assert all(row[-1] == "NOT rejected" for row in patched.rows())
