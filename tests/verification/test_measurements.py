"""What is stored of measurements, and that a limit cannot be moved without a word."""

import datetime
import json
import math
from pathlib import Path

import numpy as np
import pytest

from scbtheory import claims
from scbtheory.errors import InvalidArgument, UnknownClaim
from scbtheory.verification import measurements, quantities
from scbtheory.verification.registry import CLAIMS, Registry

ROOT = Path(__file__).parents[2]
CLAIM = """
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.quantities import mean

SEEDS = {seeds}
LIMIT = {limit}


def statement(s):
    return 1 / 4


def gap(statement):
    return {{"gap": abs(statement(None))}}


CLAIM = Claim(
    id="S1", title="Toy", text="$$ 0 $$", assumptions="", scope="", nature="theorem", chapter="page",
    statement=statement, quantities=lambda: [mean("gap", [0.2, 0.3], seeds="none", stated="0.25")],
    routes=(Route("numeric", "at once", gap, LIMIT), Route("exact", "exactly", lambda f: {{"gap": f(None) != 0.25}})),
    controls=(Control("two", lambda s: 2), Control("infinite", lambda s: float("inf"))),
)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """``project(**settings)``: a registry with one claim, S1, of a package of its own, and a book beside it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "book").mkdir()
    number = iter(range(100))

    def make(seeds="(1, 2)", limit="0.5"):
        package = f"{tmp_path.name.replace('-', '_')}_{next(number)}"
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "S1_toy.py").write_text(CLAIM.format(seeds=seeds, limit=limit))
        return Registry(package)

    make.root = tmp_path
    return make


def entry_of(root, **more):
    return json.loads((root / measurements.FILE).read_text(), parse_constant=pytest.fail, **more)["S1"]["quick"]


def test_a_measurement_says_value_interval_limit_and_nearest_mistake(project):
    registry = project()
    assert measurements.store(project.root, registry=registry, jobs=1)
    entry = entry_of(project.root)
    assert entry["holds"]
    assert entry["date"] == str(datetime.date.today())
    assert entry["routes"][0] | {"scope": ""} == {
        "route": "numeric", "scope": "", "holds": True, "residuals": {"gap": 0.25}, "nearest mistake": "two",
        "its residuals": {"gap": 2.0}, "its excess": 4.0,
    }  # fmt: skip
    assert entry["numbers"] | {"seconds": 0} == {
        "changed": ["1 in 1 / 4", "4 in 1 / 4"], "unseen": [["1 in 1 / 4", "4 in 1 / 4"], []], "seconds": 0,
    }  # fmt: skip
    [quantity] = entry["quantities"]
    assert quantity["value"] == pytest.approx(0.25)
    assert quantity["high"] - quantity["low"] == pytest.approx(2 * 12.706 * 0.05, rel=1e-3)
    assert entry["settings"]["constants"] == {"SEEDS": "(1, 2)", "LIMIT": "0.5"}


@pytest.mark.parametrize("change", [{"seeds": "(3, 4)"}, {"limit": "0.6"}])
def test_a_changed_limit_or_seed_needs_an_entry(project, change):
    measurements.store(project.root, registry=project(), jobs=1)
    changed = project(**change)
    assert measurements.unrecorded(project.root, registry=changed) == ["S1"]
    before = (project.root / measurements.FILE).read_bytes()
    with pytest.raises(InvalidArgument, match=r"limits, sizes or seeds of S1.*changes_of_limits.md"):
        measurements.store(project.root, registry=changed, jobs=1)
    assert (project.root / measurements.FILE).read_bytes() == before

    log = project.root / measurements.CHANGES
    log.write_text("- 2001-01-01 S1: too old to count.\n- 2999-01-01 S11: another claim.\n")
    assert measurements.unrecorded(project.root, registry=changed) == ["S1"]
    log.write_text(f"# Changes\n\n- {datetime.date.today()} S1: the limit was for another size.\n")
    assert measurements.unrecorded(project.root, registry=changed) == []
    assert measurements.store(project.root, registry=changed, jobs=1)


def test_a_limit_may_be_moved_without_a_word_until_the_claim_has_held(project):
    draft, finished, failing = project(limit="0.2"), project(), project(limit="0.1")
    assert not measurements.store(project.root, registry=draft, jobs=1)
    assert not entry_of(project.root)["holds"]
    assert measurements.store(project.root, registry=finished, jobs=1)

    log = project.root / measurements.CHANGES
    log.write_text(f"- {datetime.date.today()} S1: a limit that is too strict.\n")
    assert not measurements.store(project.root, registry=failing, jobs=1)
    log.unlink()
    assert not measurements.store(project.root, registry=failing, jobs=1)
    with pytest.raises(InvalidArgument, match="limits, sizes or seeds of S1"):
        measurements.store(project.root, registry=finished, jobs=1)


def test_one_claim_is_stored_beside_the_others(project):
    registry = project()
    full = {"date": "2020-01-01", "settings": measurements.settings("S1", registry=registry)}
    (project.root / measurements.FILE).write_text(json.dumps({"S1": {"full": full}}))
    measurements.store(project.root, ["S1"], registry=registry, jobs=1)
    assert list(measurements.read(project.root)["S1"]) == ["full", "quick"]
    with pytest.raises(UnknownClaim):
        measurements.store(project.root, ["S2"], registry=registry)


def test_the_books_measurements_are_those_of_its_claims():
    entries = measurements.read(ROOT)
    assert list(entries) == CLAIMS.ids(), "run `make measure`"
    assert measurements.unrecorded(ROOT) == [], f"say why in {measurements.CHANGES}"
    for claim_id in claims.ids():
        assert entries[claim_id]["quick"]["holds"]


def test_every_experiment_stores_quantities():
    for claim_id in claims.ids():
        if claims.find(claim_id).experiment:
            assert claims.find(claim_id).quantities, f"{claim_id} shows verdicts, but no sizes"


def test_means_and_frequencies_have_their_textbook_intervals():
    values = np.random.default_rng(0).normal(3.0, 2.0, 50)
    found = quantities.mean("x", values, seeds="0")
    assert found.high - found.value == pytest.approx(2.00958 * values.std(ddof=1) / math.sqrt(50), rel=1e-5)
    none = quantities.frequency("x", 0, 10, seeds="0")
    assert (none.low, none.high) == (0.0, pytest.approx(1 - 0.025**0.1))
    every = quantities.frequency("x", 10, 10, seeds="0")
    assert (every.low, every.high) == (pytest.approx(0.025**0.1), 1.0)


@pytest.mark.parametrize("values", [[1.0], [1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]]])
def test_a_mean_of_what_is_no_sample_is_refused(values):
    with pytest.raises(InvalidArgument, match="expected at least two finite numbers"):
        quantities.mean("x", values, seeds="0")


@pytest.mark.parametrize(("successes", "runs"), [(3, 2), (-1, 2), (0, 0)])
def test_a_frequency_above_its_runs_is_refused(successes, runs):
    with pytest.raises(InvalidArgument, match="expected 0 ≤ successes"):
        quantities.frequency("x", successes, runs, seeds="0")
