"""Every registered claim holds by all its routes, and all its controls are rejected by every route."""

import pytest

from scbtheory import claims


@pytest.mark.parametrize("claim_id", claims.ids())
def test_the_claim_holds_and_its_controls_are_rejected(claim_id):
    report = claims.verify(claim_id)
    assert report.holds, str(report)


# Statements about trained models or sampled frequencies: their routes are statistics.
EXPERIMENTS = {"E1", "E2", "E3", "E4", "T3", "X3"}


def test_every_claim_but_an_experiment_has_a_proof():
    proved = {
        claim_id
        for claim_id in claims.ids()
        if {route.kind for route in claims.find(claim_id).routes} & {"symbolic", "exact"}
    }
    assert set(claims.ids()) - proved == EXPERIMENTS


def test_ids_follow_the_order_of_the_theory():
    letters = [claim_id[0] for claim_id in claims.ids()]
    assert letters == sorted(letters, key="MGRSNTXE".index)
    assert len(set(claims.ids())) == len(claims.REGISTRY)
