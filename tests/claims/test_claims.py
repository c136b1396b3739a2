"""Every registered claim holds by all its routes, and all its controls are rejected by every route."""

import pytest

from scbtheory import claims


@pytest.mark.parametrize("claim_id", claims.ids())
def test_the_claim_holds_and_its_controls_are_rejected(claim_id):
    report = claims.verify(claim_id)
    assert report.holds, str(report)


def test_every_claim_has_a_proof_or_says_why_not():
    """A claim of the theory rests on a symbolic or exact route; experiments are statistical."""
    for claim_id in claims.ids():
        kinds = {route.kind for route in claims.find(claim_id).routes}
        assert kinds & {"symbolic", "exact"} or claim_id.startswith("E"), claim_id


def test_ids_follow_the_order_of_the_theory():
    letters = [claim_id[0] for claim_id in claims.ids()]
    assert letters == sorted(letters, key="MGRSNTXE".index)
    assert len(set(claims.ids())) == len(claims.REGISTRY)
