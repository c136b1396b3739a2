"""Every claim holds by all its routes, and all its controls are rejected by every route."""

from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from scbtheory import claims
from scbtheory.verification import measurements, sensitivity
from scbtheory.verification.registry import FAMILIES

STORED = measurements.read(Path(__file__).parents[2])

PROOFS = "symbolic", "exact"
PROVED = [claim_id for claim_id in claims.ids() if not claims.find(claim_id).experiment]


# An experiment is verified once, in its chapter, whose stored verdict is compared (tests/book/test_chapters.py).
@pytest.mark.parametrize("claim_id", PROVED)
def test_the_claim_holds_and_its_controls_are_rejected(claim_id):
    report = claims.verify(claim_id)
    assert report.holds, str(report)
    stored = STORED.get(claim_id, {}).get("quick", {})
    assert stored, f"the ledger shows what is stored, and nothing is: scbtheory measure {claim_id}"
    assert [route["holds"] for route in stored["routes"]] == [finding.holds for finding in report.evidence]
    assert stored["controls"] == measurements.rejections(report)


# Claims of which all changed statements were asked in less than two seconds are asked again, the others are measured,
# as are experiments, whose runs are trained in their chapters only.
@pytest.mark.parametrize("claim_id", claims.ids())
def test_every_number_of_a_statement_is_seen_by_a_proof_and_by_every_route_that_does_not_say_why_not(claim_id):
    claim, stored = claims.find(claim_id), STORED[claim_id]["quick"]["numbers"]
    changed = [variation.name for variation in sensitivity.variations(claim.statement)]
    assert stored["changed"] == changed, f"the statement was changed since: scbtheory measure {claim_id}"
    if stored["seconds"] < 2 and not claim.experiment:
        assert stored["unseen"] == sensitivity.unseen(claim)
    for route, names in zip(claim.routes, stored["unseen"], strict=True):
        assert (names is None) == route.anew
        assert bool(names) == bool(route.blind), f"{route.kind} does not see {names} and says: {route.blind}"
    proofs = [set(n or ()) for route, n in zip(claim.routes, stored["unseen"], strict=True) if route.kind in PROOFS]
    assert claim.experiment or set.intersection(*proofs) == set(), "no proof sees these numbers"


@pytest.mark.parametrize("claim_id", claims.ids())
def test_a_claim_has_a_proof_unless_it_is_an_experiment(claim_id):
    claim = claims.find(claim_id)
    proofs = [route for route in claim.routes if route.kind in PROOFS]
    assert bool(proofs) != claim.experiment
    assert not (claim.experiment and claim.nature == "theorem")


def test_ids_follow_the_order_of_the_theory():
    letters = [claim_id[0] for claim_id in claims.ids()]
    assert letters == sorted(letters, key=list(FAMILIES).index)


def test_no_claim_rests_on_itself():
    graph = {claim_id: claims.find(claim_id).rests_on for claim_id in claims.ids()}
    assert {rest for rests in graph.values() for rest in rests} <= set(graph)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_a_theorem_rests_on_theorems_alone():
    known = {claim_id: claims.find(claim_id) for claim_id in claims.ids()}
    weak = [
        (claim.id, below)
        for claim in known.values()
        for below in claim.rests_on
        if claim.nature == "theorem" and known[below].nature != "theorem"
    ]
    assert weak == []


@pytest.mark.parametrize("claim_id", claims.ids())
def test_a_claim_says_all_that_a_reader_needs(claim_id):
    claim = claims.find(claim_id)
    for name in ("title", "text", "assumptions", "scope", "chapter"):
        assert getattr(claim, name).strip(), f"{claim_id} has no {name}"
    mistakes = [control.mistake for control in claim.controls]
    assert len(set(mistakes)) == len(mistakes)
