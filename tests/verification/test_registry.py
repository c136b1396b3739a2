"""How claims are found: by the names of their files, and by nothing else."""

import itertools
import json

import pytest
from rich.console import Console

from scbtheory import claims
from scbtheory.errors import InvalidArgument, UnknownClaim
from scbtheory.verification import terminal
from scbtheory.verification.registry import InvalidClaim, Registry

NUMBER = itertools.count()
USUAL = {"title": "A toy", "chapter": "page", "stated": "right", "limit": 0.0}
TOY = """
from scbtheory.verification.claim import Claim, Control, Route

STATED = {{"right": 0, "wrong": 1, "wronger": 2}}


def looked_up(statement):
    return {{"length": STATED[statement(None)]}}


CLAIM = Claim(
    id="{id}", title={title!r}, text="$$ x = x $$", assumptions="none", scope="all sizes", nature="theorem",
    chapter="{chapter}", statement=lambda s: {stated!r},
    routes=(Route("numeric", "a table", looked_up, {limit}), Route("exact", "the same table", looked_up)),
    controls=(Control("mistake one", lambda s: "wrong"), Control("mistake two", lambda s: "wronger")),
)
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """``toys(S1_start={}, …)``: a registry over a package of such files; values change what the file says."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(**files):
        package = f"toy_claims_{next(NUMBER)}"  # Python imports a name only once
        folder = tmp_path / package
        folder.mkdir()
        (folder / "__init__.py").touch()
        for name, said in files.items():
            values = {"id": name.partition("_")[0]} | USUAL | said
            (folder / f"{name}.py").write_text(TOY.format(**values))
        return Registry(package)

    return make


def test_claims_are_the_files_in_the_order_of_the_theory(toys):
    registry = toys(S10_late={}, S2_early={}, G1_first={}, E1_last={}, _shared={"id": "none"})
    assert registry.ids() == ["G1", "S2", "S10", "E1"]
    assert registry.find("S2").id == "S2"


def test_an_id_matches_exactly(toys):
    registry = toys(S1_one={"chapter": "stage_one"}, S10_ten={"chapter": "another"})
    assert registry.find("S10").chapter == "another"
    for asked in ("S", "S100", "s1", "S01", " S1"):
        with pytest.raises(UnknownClaim):
            registry.find(asked)
    with pytest.raises(UnknownClaim, match="did you mean 'S1'"):
        toys(S1_one={}).find("S10")


def test_a_claim_is_imported_when_it_is_asked_for(toys):
    registry = toys(S1_one={}, S2_two={"limit": "1 / 0"})
    assert registry.verify("S1").holds
    with pytest.raises(InvalidClaim, match=r"S2_two.py:\d+: ZeroDivisionError: division by zero"):
        registry.find("S2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nCLAIM = (", r"S1_one\.py: SyntaxError: '\(' was never closed \(S1_one\.py, line 2\)"),
        ("\nraise OSError('two\\nlines')", r"S1_one\.py:2: OSError: two lines"),
        ("def claim():\n    return 1 / 0\n\nCLAIM = claim()", r"S1_one\.py:2: ZeroDivisionError: division by zero"),
        ("import nothing_of_this_name", r"S1_one\.py:1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("", r"S1_one\.py: AttributeError: .* has no attribute 'CLAIM'"),
    ],
)
def test_a_file_that_breaks_is_an_error_in_one_line_with_its_place(toys, tmp_path, text, message):
    registry = toys(S1_one={})
    (tmp_path / registry.package / "S1_one.py").write_text(text)
    with pytest.raises(InvalidClaim, match=rf"^{message}$"):
        registry.find("S1")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"S1_one": {}, "S1_two": {}}, "two files: S1_one and S1_two"),
        ({"Z1_one": {}}, "no family"),
        ({"S1": {}}, "S1.py is no claim"),
        ({"s1_one": {}}, "s1_one.py is no claim"),
        ({"S01_one": {}}, "S01_one.py is no claim"),
    ],
)
def test_a_file_with_a_wrong_name_is_refused(toys, files, message):
    with pytest.raises(InvalidClaim, match=message):
        toys(**files).ids()


def test_a_file_holds_the_claim_that_its_name_says(toys):
    with pytest.raises(InvalidClaim, match=r"S1_one.py holds claim S2; expected S1"):
        toys(S1_one={"id": "S2"}).find("S1")


@pytest.mark.parametrize(("asked", "meant"), [("g3", "G3"), ("GG1", "G1"), ("m1", "M1")])
def test_an_unknown_id_suggests_the_nearest(asked, meant):
    with pytest.raises(UnknownClaim, match=f"{asked}.*did you mean '{meant}'"):
        claims.verify(asked)


def test_a_failing_claim_ends_with_code_1_and_names_the_route(toys, capsys):
    registry = toys(S1_one={"stated": "wrong"}, S2_two={}, S3_three={"limit": 0.5})
    assert terminal.run([], jobs=1, registry=registry) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 of 3 claims hold" not in printed
    assert "1 of 3 claims hold, by 6 routes; 5 of 6 controls are rejected" in printed
    assert "S1 numeric (a table): length 1.0, limit 0" in printed
    assert "S3 control not rejected by numeric: mistake one (length 1.0, limit 0.5)" in printed
    assert terminal.run(["S2"], jobs=1, registry=registry) == 0


def test_square_brackets_are_printed_as_they_are(toys, capsys):
    registry = toys(S1_one={"title": "The trace [n, m] of V", "stated": "[/tmp/x] or [bold]"})
    assert terminal.run([], jobs=1, registry=registry, console=Console(width=200)) == 1
    printed = capsys.readouterr().out
    assert "The trace [n, m] of V" in printed
    assert "S1 numeric (a table): KeyError: '[/tmp/x] or [bold]'" in printed


def test_what_was_measured_is_written_before_anything_is_printed(toys, tmp_path):
    full = Console(file=(tmp_path / "full").open("w"))
    full.file.close()
    with pytest.raises(ValueError, match="closed file"):
        terminal.run([], tmp_path / "out.json", jobs=1, registry=toys(S1_one={}), console=full)
    assert json.loads((tmp_path / "out.json").read_text())[0]["holds"]


def test_a_missing_folder_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(InvalidArgument, match="does not exist"):
        terminal.run(["G2"], tmp_path / "nowhere" / "out.json")
