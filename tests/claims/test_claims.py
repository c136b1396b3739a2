"""Every claim holds by all its routes, and all its controls are rejected by every route."""

from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from scbtheory import claims
from scbtheory.verification import measurements
from scbtheory.verification.registry import FAMILIES

STORED = measurements.read(Path(__file__).parents[2])

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


@pytest.mark.parametrize("claim_id", claims.ids())
def test_a_claim_has_a_proof_unless_it_is_an_experiment(claim_id):
    claim = claims.find(claim_id)
    proofs = [route for route in claim.routes if route.kind in ("symbolic", "exact")]
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
