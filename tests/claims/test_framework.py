"""What a report concludes: agreement, rejection, the undecided middle, broken routes."""

import json
import math

import pytest
from scbtheory.claims.framework import Claim, Control, Route

from scbtheory import claims
from scbtheory.claims import framework, report
from scbtheory.errors import InvalidArgument, UnknownClaim
from scbtheory.verification.instances import World, exact, gap, z_score
from scbtheory.verification.terminal import run


def route(answers, limit=0.0, kind="numeric", margin=2.0):
    """A route that looks its discrepancy up by what the statement returns."""
    return Route(kind, "a scope", lambda statement: answers[statement(None)[0]], limit=limit, margin=margin)


@pytest.fixture
def registered(monkeypatch):
    """Put claims into an empty registry for the length of a test."""
    monkeypatch.setattr(framework, "REGISTRY", {})

    def add(*routes, wrong=("wrong", "wronger")):
        controls = tuple(Control(f"mistake {w}", lambda s, w=w: (w,)) for w in wrong)
        return framework.register(Claim("G1", "A title", "x = x", "none", lambda s: ("right",), routes, controls))

    return add


def test_a_claim_holds_when_all_agree_and_all_reject(registered):
    registered(route({"right": 0, "wrong": 1, "wronger": 2}), route({"right": 0.5, "wrong": 3, "wronger": 9}, limit=1))
    found = framework.verify("G1")
    assert found.holds
    assert "G1 holds" in str(found)
    assert "rejected by all 2 routes" in found._repr_html_()


@pytest.mark.parametrize(
    ("answers", "limit"),
    [
        ({"right": 1e-30, "wrong": 1, "wronger": 2}, 0.0),  # an exact route forgives nothing
        ({"right": 2, "wrong": 5, "wronger": 5}, 1.0),  # disagreement
        ({"right": 0, "wrong": 5, "wronger": 1.5}, 1.0),  # a control within the margin decides nothing
        ({"right": 0, "wrong": 0, "wronger": 5}, 1.0),  # a control accepted
        ({"right": math.nan, "wrong": 5, "wronger": 5}, 1.0),  # not a number holds nothing …
        ({"right": 0, "wrong": math.nan, "wronger": 5}, 1.0),  # … and rejects nothing
    ],
)
def test_one_failing_route_fails_the_claim(registered, answers, limit):
    registered(route({"right": 0, "wrong": 1, "wronger": 2}), route(answers, limit=limit))
    assert not framework.verify("G1").holds


def test_a_route_that_breaks_says_so_and_does_not_count_as_a_rejection(registered):
    registered(route({"right": 0, "wrong": 1, "wronger": 2}), route({"right": 0, "wrong": 1}))
    found = framework.verify("G1")
    assert not found.holds
    assert "KeyError" in report.text(found)
    assert not found.controls[1].rejected


@pytest.mark.parametrize(
    ("kind", "limit", "says"),
    [
        ("symbolic", 0.0, "agrees exactly"),
        ("exact", 0.0, "agrees exactly"),
        ("numeric", 0.5, "metres ≤ 0.5"),
        ("monte carlo", 0.0, "no metres"),  # a statistic within its range is not an exact agreement
    ],
)
def test_only_a_proof_is_said_to_agree_exactly(kind, limit, says):
    found = framework.Finding(Route(kind, "", lambda statement: 0, limit=limit, unit="metres"), 0.0)
    assert found.verdict() == says


def test_a_claim_needs_two_routes_and_two_controls(registered):
    one = route({"right": 0, "wrong": 1, "wronger": 2})
    with pytest.raises(ValueError, match="needs two"):
        registered(one)
    with pytest.raises(ValueError, match="needs two"):
        registered(one, one, wrong=("wrong",))


def test_an_id_is_registered_once(registered):
    one = route({"right": 0, "wrong": 1, "wronger": 2})
    registered(one, one)
    with pytest.raises(ValueError, match="twice"):
        registered(one, one)


def test_a_route_has_a_known_kind():
    with pytest.raises(ValueError, match="expected one of"):
        Route("hearsay", "", lambda statement: 0)


@pytest.mark.parametrize(("asked", "meant"), [("g3", "G3"), ("GG1", "G1"), ("m1", "M1")])
def test_an_unknown_id_suggests_the_nearest(asked, meant):
    with pytest.raises(UnknownClaim, match=f"{asked}.*did you mean '{meant}'"):
        claims.verify(asked)


def test_the_terminal_reports_and_writes_what_was_measured(tmp_path, capsys):
    target = tmp_path / "out.json"
    assert run(["G2", "G2"], target, jobs=1) == 0
    assert "1 of 1 claims hold" in " ".join(capsys.readouterr().out.split())
    (stored,) = json.loads(target.read_text())
    assert stored["id"] == "G2"
    assert stored["holds"] is True
    assert {f["route"] for f in stored["evidence"]} == set(framework.KINDS)
    assert all(f["discrepancy"] is not None for f in stored["evidence"])


def test_a_failing_claim_ends_with_code_1_and_names_the_route(registered, capsys, monkeypatch):
    registered(route({"right": 0, "wrong": 1, "wronger": 2}), route({"right": 3, "wrong": 0, "wronger": 9}, limit=1))
    serial = type("Serial", (), {})
    monkeypatch.setattr("scbtheory.verification.ledger.ProcessPoolExecutor", lambda jobs: _Inline(serial))
    assert run(["G1"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "FAILS" in printed
    assert "limit 1" in printed
    assert "control not rejected by numeric: mistake wrong" in printed


class _Inline:
    """Runs jobs at once in this process, where the test's registry is."""

    def __init__(self, _):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(*arguments))
        return future


def test_a_missing_folder_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(InvalidArgument, match="does not exist"):
        run(["G2"], tmp_path / "nowhere" / "out.json")


def test_the_ledger_shows_every_claim_and_control():
    ledger = claims.Ledger.of(["G2", "M3"], jobs=1)
    assert ledger.holds
    assert ledger.verdict.startswith("2 of 2 claims hold")
    html = ledger._repr_html_()
    assert 'href="moments.html">G2' in html
    assert 'href="model.html">M3' in html
    mistakes = [c.mistake for claim_id in ("G2", "M3") for c in claims.find(claim_id).controls]
    assert all(mistake in repr(ledger.controls) for mistake in mistakes)


def test_enumerated_probabilities_sum_to_one():
    world = World(exact(3, 2, seed=1))
    assert sum(p for _, p in world.contexts) == 1
    assert all(law.sum() == 1 for law in world.laws.values())
    assert gap(world.numbers.P @ world.numbers.mu, world.numbers.mu) == 0


def test_admissible_fractions_are_exactly_on_the_set():
    s = exact(3, 4, seed=2, admissible=True)
    assert gap(s.A.sum(axis=0), 1) == gap(s.V.sum(axis=0), 1) == gap(s.V @ s.mu, s.mu) == 0


def test_z_scores_accept_the_mean_and_refuse_a_shifted_one(tmp_path):
    import numpy as np

    samples = np.random.default_rng(0).standard_normal((4000, 2))
    assert z_score(samples, [0, 0]) < 5
    assert z_score(samples, [0, 0.2]) > 10
    assert z_score(np.ones((10, 1)), [1]) == 0
    assert z_score(np.ones((10, 1)), [1.1]) == math.inf
