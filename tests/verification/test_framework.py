"""What a report concludes: agreement, rejection, the undecided middle, broken routes."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from scbtheory import claims
from scbtheory.errors import InvalidArgument
from scbtheory.verification import ledger, report, routes, terminal
from scbtheory.verification.claim import KINDS, Claim, Control, Finding, Route, run, verify
from scbtheory.verification.instances import World, exact, gap, worse, z_score


def route(answers, limit=0.0, kind="numeric", margin=2.0):
    """A route that looks its one residual up by what the statement returns."""
    return Route(kind, "a scope", lambda statement: {"length": answers[statement(None)[0]]}, limit, margin)


def claim(*routes, wrong=("wrong", "wronger"), **known):
    controls = tuple(Control(f"mistake {w}", lambda s, w=w: (w,)) for w in wrong)
    known = {"text": "$$\nx = x\n$$", "assumptions": "none", "scope": "all sizes", "nature": "theorem"} | known
    return Claim(
        "G1", "A title", chapter="moments", statement=lambda s: ("right",), routes=routes, controls=controls, **known
    )


GOOD = route({"right": 0, "wrong": 1, "wronger": 2})


def test_a_claim_holds_when_all_agree_and_all_reject():
    found = verify(claim(GOOD, route({"right": 0.5, "wrong": 3, "wronger": 9}, limit=1)))
    assert found.holds
    assert "G1 holds" in str(found)
    assert "rejected by all 2 routes" in report.text(found)
    assert "2 of 2 wrong versions rejected" in found._repr_html_()


@pytest.mark.parametrize(
    ("answers", "limit"),
    [
        ({"right": 1e-30, "wrong": 1, "wronger": 2}, 0.0),  # an exact route forgives nothing
        ({"right": 2, "wrong": 5, "wronger": 5}, 1.0),  # disagreement
        ({"right": 0, "wrong": 5, "wronger": 1.5}, 1.0),  # a control within the margin decides nothing
        ({"right": 0, "wrong": 5, "wronger": 2}, 1.0),  # nor does one just on it
        ({"right": 0, "wrong": 0, "wronger": 5}, 1.0),  # a control accepted
        ({"right": math.nan, "wrong": 5, "wronger": 5}, 1.0),  # not a number holds nothing …
        ({"right": 0, "wrong": math.nan, "wronger": 5}, 1.0),  # … and rejects nothing
    ],
)
def test_one_failing_route_fails_the_claim(answers, limit):
    assert not verify(claim(GOOD, route(answers, limit=limit))).holds


def test_a_residual_at_its_limit_agrees():
    assert verify(claim(GOOD, route({"right": 1, "wrong": 2.1, "wronger": 3}, limit=1))).holds


def test_a_route_that_breaks_says_so_and_does_not_count_as_a_rejection():
    found = verify(claim(GOOD, route({"right": 0, "wrong": 1})))
    assert not found.holds
    assert "KeyError" in report.text(found)
    assert not found.controls[1].rejected


# --- residuals by name ---------------------------------------------------------------------------


def measured(residuals, limit, kind="numeric"):
    return Finding(Route(kind, "", lambda statement: residuals, limit), residuals)


def test_every_residual_must_agree_and_one_is_enough_to_reject():
    limits = {"law": 0.1, "half time": 10.0}
    assert measured({"law": 0.1, "half time": 10.0}, limits).holds
    for law, half_time in ((0.11, 0.0), (0.0, 11.0)):
        assert not measured({"law": law, "half time": half_time}, limits).holds
        assert not measured({"law": law, "half time": half_time}, limits).rejects
    assert measured({"law": 0.21, "half time": 0.0}, limits).rejects
    assert not measured({"law": 0.21, "half time": math.nan}, limits).rejects


def test_the_excess_is_the_worst_residual_over_its_own_limit():
    assert measured({"law": 0.2, "half time": 5.0}, {"law": 0.1, "half time": 10.0}).excess == 2
    assert measured({"law": 0.2}, 0.0).excess == math.inf
    assert measured({"law": 0.0}, 0.0).excess == 0


@pytest.mark.parametrize(
    ("found", "limit"),
    [
        ({}, 1.0),  # measuring nothing is no agreement
        ({"law": 0}, {"law": 1.0, "half time": 1.0}),
        ({"law": 0, "half time": 0}, {"law": 1.0}),
    ],
)
def test_a_route_measures_exactly_what_has_limits(found, limit):
    silent = Route("numeric", "", lambda statement: found, limit)
    with pytest.raises(ValueError, match="limits are for"):
        silent.measure(lambda s: ())
    assert "limits are for" in verify(claim(GOOD, silent)).evidence[1].error


def test_a_residual_with_a_sign_is_an_error_and_no_agreement():
    signed = route({"right": -2, "wrong": 1, "wronger": -9})
    with pytest.raises(ValueError, match=r"length is -2\.0; a residual is at least 0"):
        signed.measure(lambda s: ("right",))
    found = verify(claim(GOOD, signed))
    assert not found.holds
    assert "length is -2.0" in found.evidence[1].error
    assert [control.rejected for control in found.controls] == [True, False]


@pytest.mark.parametrize("bad", [-2, math.nan])
@pytest.mark.parametrize("other", [0, 1.0, Fraction(1, 2)])
def test_the_worse_residual_is_found_in_any_order(bad, other):
    for found in (worse(bad, other), worse(other, bad)):
        assert found is bad


@pytest.mark.parametrize("bad", [-2, math.nan])
def test_an_enumeration_hides_neither_a_sign_nor_what_is_no_number(bad, monkeypatch):
    monkeypatch.setattr(routes, "worlds", lambda admissible: (0, bad, 1, 0))
    finding = run(routes.enumeration(lambda world, statement: world), lambda s: ())
    assert not finding.holds
    assert not finding.rejects


@pytest.mark.parametrize(
    ("kind", "limit", "says"),
    [
        ("symbolic", 0.0, "agrees exactly"),
        ("exact", 0.0, "agrees exactly"),
        ("numeric", 0.5, "length ≤ 0.5"),
        ("monte carlo", 0.0, "no length"),  # a statistic within its range is not an exact agreement
    ],
)
def test_only_a_proof_is_said_to_agree_exactly(kind, limit, says):
    assert measured({"length": 0.0}, limit, kind).verdict() == says


def test_a_verdict_names_the_residuals_that_differ_and_only_those():
    found = measured({"law": 0.2, "half time": 5.0}, {"law": 0.1, "half time": 10.0})
    assert found.verdict() == "differs: law 0.2, limit 0.1"


# --- what a claim must have ----------------------------------------------------------------------


def test_a_claim_needs_two_routes_and_two_controls():
    with pytest.raises(ValueError, match="needs two"):
        claim(GOOD)
    with pytest.raises(ValueError, match="needs two"):
        claim(GOOD, GOOD, wrong=("wrong",))


def test_two_controls_of_a_claim_make_two_mistakes():
    with pytest.raises(ValueError, match="claim G1 has the control 'mistake wrong' more than once"):
        claim(GOOD, GOOD, wrong=("wrong", "wronger", "wrong"))


def test_a_claim_has_a_known_nature():
    with pytest.raises(ValueError, match="theorem, asymptotic, observation"):
        claim(GOOD, GOOD, nature="lemma")


def test_the_formula_is_the_displayed_equations_of_the_text():
    text = "At\n\n$$\nx\n= 1\n$$ (eq-x)\n\nand $y$,\n\n$$ z = 2. $$\n"
    assert claim(GOOD, GOOD, text=text).formula == r"x = 1\qquad z = 2."


def test_a_route_has_a_known_kind():
    with pytest.raises(ValueError, match="expected one of"):
        Route("hearsay", "", lambda statement: {"length": 0})


@pytest.mark.parametrize("limit", [-1.0, math.nan, math.inf, {"law": 1.0, "half time": math.inf}])
def test_a_limit_is_a_finite_number(limit):
    with pytest.raises(ValueError, match="expected finite limits"):
        Route("numeric", "", lambda statement: {"law": 0, "half time": 0}, limit)


@pytest.mark.parametrize("margin", [0.5, math.nan, math.inf])
def test_a_margin_lies_above_the_limit(margin):
    with pytest.raises(ValueError, match="a margin of at least 1"):
        Route("numeric", "", lambda statement: {"law": 0}, 1.0, margin)


# --- reports as data -----------------------------------------------------------------------------


def strictly(text):
    """JSON without Python's additions to it."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_what_is_no_number_is_written_as_a_word(bad):
    found = verify(claim(GOOD, route({"right": bad, "wrong": bad, "wronger": 5}, limit=1)))
    stored = strictly(json.dumps(report.as_dict(found)))
    assert stored["evidence"][1]["residuals"] == {"length": {"value": str(bad), "limit": 1}}
    assert stored["controls"][0]["by"][1]["residuals"]["length"]["value"] == str(bad)
    assert not stored["holds"]


def test_the_terminal_reports_and_writes_what_was_measured(tmp_path, capsys):
    target = tmp_path / "out.json"
    assert terminal.run(["G2", "G2"], target, jobs=1) == 0
    assert "1 of 1 claims hold" in " ".join(capsys.readouterr().out.split())
    (stored,) = strictly(target.read_text())
    assert stored["id"] == "G2"
    assert stored["holds"] is True
    assert {f["route"] for f in stored["evidence"]} == set(KINDS)
    assert all(f["residuals"] for f in stored["evidence"])
    with pytest.raises(InvalidArgument, match=r"--json .* is a folder; name a file"):
        terminal.run(["G2"], tmp_path, jobs=1)


def test_the_ledger_shows_every_claim_and_control():
    table = ledger.Ledger.of(["G2", "M3"], jobs=1)
    assert table.holds
    assert table.verdict.startswith("2 of 2 claims hold")
    html = table._repr_html_()
    assert 'href="moments.html#claim-G2">G2' in html
    assert 'href="model.html#claim-M3">M3' in html
    mistakes = [c.mistake for claim_id in ("G2", "M3") for c in claims.find(claim_id).controls]
    assert all(mistake in repr(table.controls) for mistake in mistakes)


def test_the_stored_ledger_says_what_a_fresh_one_says():
    fresh, stored = ledger.Ledger.of(["M3"], jobs=1), ledger.Ledger.stored(Path(__file__).parents[2])
    [row] = [report for report in stored.reports if report["id"] == "M3"]
    alone = ledger.Ledger([row])
    assert alone._repr_html_() == fresh._repr_html_()
    assert repr(alone.controls) == repr(fresh.controls)
    assert [report["id"] for report in stored.reports] == claims.ids()


def test_a_ledger_of_what_was_never_measured_is_refused(tmp_path):
    with pytest.raises(InvalidArgument, match=r"no verdicts are stored of M1.*run: scbtheory measure M1"):
        ledger.Ledger.stored(tmp_path)


# --- instances -----------------------------------------------------------------------------------


def test_enumerated_probabilities_sum_to_one():
    world = World(exact(3, 2, seed=1))
    assert sum(p for _, p in world.contexts) == 1
    assert all(law.sum() == 1 for law in world.laws.values())
    assert gap(world.numbers.P @ world.numbers.mu, world.numbers.mu) == 0


def test_admissible_fractions_are_exactly_on_the_set():
    s = exact(3, 4, seed=2, admissible=True)
    assert gap(s.A.sum(axis=0), 1) == gap(s.V.sum(axis=0), 1) == gap(s.V @ s.mu, s.mu) == 0


def test_z_scores_accept_the_mean_and_refuse_a_shifted_one():
    import numpy as np

    samples = np.random.default_rng(0).standard_normal((4000, 2))
    assert z_score(samples, [0, 0]) < 5
    assert z_score(samples, [0, 0.2]) > 10
    assert z_score(np.ones((10, 1)), [1]) == 0
    assert z_score(np.ones((10, 1)), [1.1]) == math.inf


def test_a_route_does_not_see_the_callers_error_state():
    def underflows(statement):
        return {"difference": float(np.exp(np.array(-1000.0)))}

    route = Route("numeric", "", underflows, 0.0)
    with np.errstate(all="raise"):
        assert run(route, lambda s: ()).holds
