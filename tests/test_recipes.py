"""The recipes of CONTRIBUTING.md, carried out as they stand there."""

import re
import sys

import numpy as np
import pytest
from recipes import ROOT, recipe

from scbtheory import cli
from scbtheory.errors import InvalidArgument, UnknownClaim
from scbtheory.verification import new, terminal
from scbtheory.verification.registry import Registry
from scbtheory.verification.where import where


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A package of claims, empty as yet, with a chapter and a test beside it."""
    for folder in ("recipe_claims", "book", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "recipe_claims" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry("recipe_claims")
    for name in [name for name in sys.modules if name.startswith("recipe_claims")]:
        del sys.modules[name]


def test_a_claim_is_laid_out_filled_in_and_verified(registry, tmp_path, capsys):
    path = new.lay_out("M9_trace", title="The trace", chapter="moments", registry=registry)
    laid_out = Registry(registry.package)
    assert path == tmp_path / "recipe_claims" / "M9_trace.py"
    assert not laid_out.verify("M9").holds  # nothing passes before it is filled in

    del sys.modules["recipe_claims.M9_trace"]
    path.write_text(recipe("Find a claim, add a claim"), encoding="utf-8")
    filled = Registry(registry.package)
    report = filled.verify("M9")
    assert report.holds, str(report)
    assert len(report.controls) == 2
    assert terminal.run(["M9"], jobs=1, registry=filled) == 0


def test_an_array_backend_learns_what_the_others_learn_as_the_recipe_says():
    written = {}
    exec(recipe("Add an array backend"), written)
    ours, standard, own = written["runs"]
    assert own.model.A.shape == (20, 3)
    for run, task in ((standard, written["tasks"][1]), (own, written["tasks"][2])):
        np.testing.assert_allclose(task.backend.to_numpy(run.model.A), ours.model.A, rtol=0, atol=1e-15)
        np.testing.assert_allclose(task.backend.to_numpy(run.model.V), ours.model.V, rtol=0, atol=1e-15)
    assert written["tasks"][2].backend.kernels.histogram is written["histogram"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Z1_x"}, "Z1_x.*M the model, G loss"),
        ({"name": "S8"}, "expected <id>_<subject>"),
        ({"name": "../S8_x"}, "expected <id>_<subject>"),
        ({"title": " "}, "expected words"),
        ({"title": 'a "quoted" word'}, "expected words"),
        ({"title": "two\rlines"}, "expected words"),
    ],
)
def test_what_cannot_be_a_claim_is_refused_before_a_file_is_written(registry, tmp_path, changes, message):
    arguments = {"name": "S8_x", "title": "A title", "chapter": "model"} | changes
    with pytest.raises(InvalidArgument, match=message):
        new.lay_out(**arguments, registry=registry)
    assert [p.name for p in (tmp_path / "recipe_claims").glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("title", ["ends with a backslash \\", r"a\b{N} \mu", "Größe of {title}, it's"])
def test_a_title_stands_in_the_file_as_it_was_given(registry, title):
    new.lay_out("S8_x", title=title, chapter="model", registry=registry)
    assert Registry(registry.package).find("S8").title == title


def test_a_taken_id_is_refused(registry):
    new.lay_out("S8_x", title="A title", chapter="model", registry=registry)
    with pytest.raises(InvalidArgument, match="claim S8 exists: S8_x"):
        new.lay_out("S8_y", title="A title", chapter="model", registry=Registry(registry.package))


def test_where_finds_each_room_of_a_claim_by_line(registry, tmp_path):
    (tmp_path / "recipe_claims" / "M9_trace.py").write_text(recipe("Find a claim, add a claim"), encoding="utf-8")
    (tmp_path / "book" / "moments.ipynb").write_text('\n    ":::{claim} M9\\n",\n    "{claim}`M9`"\n')
    (tmp_path / "book" / "other.ipynb").write_text('    ":::{claim} M99\\n"\n')
    (tmp_path / "tests" / "test_trace.py").write_text("import x\n\n\ndef test_M9_holds():\n    assert x\n")
    found = where("M9", root=tmp_path, registry=registry)
    assert [(p.path.name, p.line, p.what) for p in found if p.room == "page"] == [
        ("moments.ipynb", 2, "states it"),
        ("moments.ipynb", 3, "refers to it"),
    ]
    lines = (tmp_path / "recipe_claims" / "M9_trace.py").read_text().splitlines()
    own = {p.what: lines[p.line - 1] for p in found if p.room == "claim"}
    assert own.keys() == {"statement", "derived", "sampled", "CLAIM"}
    assert own["sampled"] == "def sampled(statement):"
    assert [p.path.name for p in found if p.room == "numerics"] == ["task.py"]
    assert [(p.path.name, p.line) for p in found if p.room == "tests"] == [("test_trace.py", 4)]


@pytest.mark.parametrize(
    ("claim_id", "numerics"), [("S3", "half_time"), ("N4", "support_batch"), ("X4", "positions_flow")]
)
def test_where_names_the_lines_of_the_books_claims(claim_id, numerics):
    found = where(claim_id, root=ROOT)
    assert {p.room for p in found} >= {"page", "claim", "numerics", "tests"}
    assert len({(p.path, p.line, p.what) for p in found}) == len(found)
    [place] = [p for p in found if p.room == "numerics" and p.what == numerics]
    assert place.path.read_text(encoding="utf-8").splitlines()[place.line - 1].startswith(f"def {numerics}(")


def test_where_prints_paths_and_refuses_an_unknown_id(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert cli.main(["where", "S3"]) == 0
    printed = capsys.readouterr().out
    assert "S3 page\n" in printed
    assert re.search(r"^  scbtheory/claims/S3_half_time\.py:\d+  statement$", printed, re.MULTILINE)
    assert cli.main(["where", "S33"]) == 2
    with pytest.raises(UnknownClaim):
        where("s3")
