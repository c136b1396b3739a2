"""A statement and a mistake side by side."""

import pytest

from scbtheory.errors import InvalidArgument
from scbtheory.verification.claim import Claim, Control, Route
from scbtheory.verification.contrast import contrast


def claim(controls=("off by one", "off by ten"), limit=0.5, residuals=None):
    measured = residuals or (lambda statement: {"gap": abs(statement(None)), "always": 0.25})
    return Claim(
        id="S1", title="Nothing", text="$$ 0 $$", assumptions="", scope="", nature="theorem", chapter="page",
        statement=lambda s: 0,
        routes=(Route("numeric", "", measured, limit), Route("exact", "", lambda f: {"gap": abs(f(None))})),
        controls=tuple(Control(name, lambda s, n=10**i: n) for i, name in enumerate(controls)),
    )  # fmt: skip


class Only:
    def __init__(self, claim):
        self.claim = claim

    def find(self, claim_id):
        return self.claim


def test_both_values_stand_beside_their_limit():
    found = contrast("S1", "off by ten", registry=Only(claim()))
    assert found.rejected
    assert found.rows() == [
        ("numeric", "gap", "0.5", "≤ 0.5", "10", "rejected"),
        ("exact", "gap", "0", "0", "10", "rejected"),
    ]
    assert str(found).splitlines()[1] == "  numeric      gap: ≤ 0.5, with the mistake 10 (limit 0.5): rejected"
    assert "<td>10</td><td>rejected</td>" in found._repr_html_()


def test_a_mistake_that_passes_is_named():
    found = contrast("S1", "off by one", registry=Only(claim(limit=20.0)))
    assert not found.rejected
    assert [row[-1] for row in found.rows()] == ["NOT rejected", "rejected"]
    assert 'class="bad"' in found._repr_html_()


def test_a_route_that_breaks_rejects_nothing():
    found = contrast("S1", "off by one", registry=Only(claim(residuals=lambda statement: {"gap": 1 / 0})))
    assert not found.rejected
    assert "broke: ZeroDivisionError" in str(found)


def test_an_unknown_mistake_is_refused_with_those_that_exist():
    with pytest.raises(InvalidArgument, match=r"did you mean 'off by one'.*off by one; off by ten"):
        contrast("S1", "off by on", registry=Only(claim()))
