"""Comparisons: the same samples for all, divergence counted, bands and factors that say what they say."""

import os
import sys

import numpy as np
import pytest
from points import Where
from scipy import stats

import scbtheory as scb
from scbtheory import sweeps, training
from scbtheory.errors import InvalidArgument
from scbtheory.training import Divergence, History


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(3, 60, 2, seed=0)


@pytest.fixture(scope="module")
def comparison(task):
    methods = {
        "sgd": [training.sgd(5.0, batch_size=32), training.sgd(0.05, batch_size=32), training.sgd(1e-5, batch_size=32)],
        "projected": [training.projected_sgd(task, batch_size=256)],
    }
    return sweeps.compare(task, methods, seeds=(0, 1, 2), max_samples=15_000, jobs=1)


def history(samples, values, divergence=None):
    rows = [(s, i, 0, 0.0, 0.0, 0.0, v, v, v) for i, (s, v) in enumerate(zip(samples, values, strict=True))]
    return History(("x",), rows=rows, divergence=divergence, status="diverged" if divergence else "finished")


def test_processes_change_nothing(task):
    runs = [sweeps.Run.of(task, training.sgd(0.05, batch_size=32), seed, max_samples=600) for seed in (0, 1, 2)]
    for one, two in zip(sweeps.run_all(runs, jobs=1), sweeps.run_all(runs, jobs=2), strict=True):
        assert one.rows == two.rows
        np.testing.assert_array_equal(one.theta.A, two.theta.A)


def test_a_run_as_data_is_the_run(task):
    start = scb.dynamics.lift(task, 0.1, 0.2)
    run = sweeps.Run.of(task, training.sgd(0.05, batch_size=32), 4, start=start, max_samples=600, mu="estimated")
    expected = training.train(
        task, training.sgd(0.05, batch_size=32), seed=4, start=start, max_samples=600, mu="estimated"
    )
    assert run().rows == expected.rows


def test_the_best_variant_is_shown_and_divergence_counts(comparison):
    assert comparison.best("sgd") == 1
    assert comparison.diverged("sgd") == {0: 3, 1: 0, 2: 0}
    assert np.all(np.isinf(comparison.final("sgd", variant=0)))
    assert np.all(comparison.final("sgd") < comparison.final("sgd", variant=2))
    factor = comparison.factor("projected", "sgd")
    ratios = np.log(comparison.final("sgd") / comparison.final("projected"))
    assert factor.ratio == pytest.approx(np.exp(ratios.mean()))
    interval = stats.t.interval(0.95, 2, ratios.mean(), stats.sem(ratios))
    np.testing.assert_allclose((factor.low, factor.high), np.exp(interval))


def test_every_method_was_given_the_same_samples(comparison, task):
    for name in ("sgd", "projected"):
        for i, seed in enumerate(comparison.seeds):
            assert comparison.histories[name][-1][i].description["seed"] == seed
            assert comparison.histories[name][-1][i].samples[-1] <= comparison.budget


def test_bands_hold_the_last_value_and_send_divergence_to_infinity():
    runs = [history([0, 10, 20], [1.0, 0.5, 0.1]), history([0, 5], [2.0, 0.2])]
    runs.append(history([0, 8], [3.0, 4.0], Divergence("x", 9, 3, 1e5)))
    c = sweeps.Comparison({"m": [runs]}, {"m": [()]}, (0, 1, 2), 30)
    found = c.band("m", "distance_A", [0, 7, 8, 9, 15, 30], quantiles=(0.0, 0.5, 1.0))
    np.testing.assert_allclose(
        found, [[1, 0.2, 0.2, 0.2, 0.2, 0.1], [2, 1, 1, 1, 0.5, 0.2], [3, 3, 4, np.inf, np.inf, np.inf]]
    )


def test_where_a_baseline_is_ahead_is_said():
    early, late = [history([0, 10], [1.0, 0.3])] * 2, [history([0, 50], [1.0, 0.01])] * 2
    c = sweeps.Comparison({"sgd": [early], "ours": [late]}, {"sgd": [()], "ours": [()]}, (0, 1), 100)
    ahead = c.where_ahead("sgd", "ours", "distance_A", points=200)
    assert ahead.min() == 10
    assert ahead.max() == 49
    assert c.where_ahead("ours", "sgd", "distance_A", points=200).min() in (50, 51)


def test_factors_are_paired_and_set_divergence_against_the_claim():
    better = np.array([1.0, 2.0, 4.0])
    exact = sweeps.paired_factor(better, 3 * better)
    np.testing.assert_allclose(exact, (3, 3, 3))
    one_lost = sweeps.paired_factor(better, [3.0, np.inf, 12.0])
    assert one_lost.ratio == pytest.approx(np.cbrt(3 * 6 * 3))
    assert sweeps.paired_factor(better, [np.inf] * 3).low == np.inf
    assert sweeps.paired_factor([1.0, np.inf], [2.0, 2.0]) == (0, 0, 0)
    wide, narrow = (sweeps.paired_factor([1, 1, 1], [2, 3, 4], c) for c in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high
    with pytest.raises(InvalidArgument, match="one number a seed"):
        sweeps.paired_factor([1.0], [2.0])


def test_exponents_of_power_laws():
    x = np.array([10, 100, 1000])
    y = 3 * x[:, None] ** 1.5 * np.exp([[0.1, -0.1]])
    found = sweeps.fit_exponent(x, y)
    assert found.slope == pytest.approx(1.5)
    assert found.low < 1.5 < found.high
    fit = stats.linregress(np.repeat(np.log(x), 2), np.log(y).ravel())
    assert found.high - found.slope == pytest.approx(stats.t.ppf(0.975, 4) * fit.stderr)
    with pytest.raises(InvalidArgument, match="x has shape"):
        sweeps.fit_exponent(x, y[:, 0])


def test_a_comparison_needs_two_seeds(task):
    for seeds in ([0], [1, 1], [0, 1, 0]):
        with pytest.raises(InvalidArgument, match="two or more, all different"):
            sweeps.compare(task, {"sgd": [training.sgd(0.1)]}, seeds=seeds, max_samples=100)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seeds": 3}, "seeds is 3; expected a sequence"),
        ({"seeds": (0, "1")}, "seeds is '1'; expected a whole number"),
        ({"seeds": (0, -1)}, "seeds is -1; expected a whole number, at least 0"),
        ({"methods": {"a": []}}, r"methods\['a'\] is empty; expected at least one"),
        ({"methods": [training.sgd(0.1)]}, "methods is of type list; expected a mapping of names to variants"),
    ],
)
def test_what_cannot_be_compared_is_refused(task, changed, message):
    with pytest.raises(InvalidArgument, match=message):
        sweeps.compare(task, **{"methods": {"a": [training.sgd(0.1)]}, "seeds": (0, 1), "max_samples": 9} | changed)


def test_seeds_may_be_any_sequence(task):
    tried = {"a": [training.sgd(0.1, batch_size=4)]}
    assert sweeps.compare(task, tried, seeds=(i for i in range(2)), max_samples=8, jobs=1).seeds == (0, 1)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda c: c.final("sdg"), "'sdg' is no method of this comparison; did you mean 'sgd'?"),
        (lambda c: c.best("sdg"), "'sdg' is no method"),
        (lambda c: c.diverged("sdg"), "'sdg' is no method"),
        (lambda c: c.band("sdg", "loss", [1]), "'sdg' is no method"),
        (lambda c: c.factor("sgd", over="project"), "'project' is no method of this comparison; did you mean 'projec"),
        (lambda c: c.where_ahead("sgd", "zzz", "loss"), "'zzz' is no method of this comparison$"),
        (lambda c: c.final("sgd", variant=3), "variant is 3; expected a whole number, at least 0 and below 3"),
        (lambda c: c.band("sgd", "loss", [1], variant=-1), "variant is -1; expected a whole number"),
    ],
)
def test_a_method_or_variant_that_was_not_tried_is_refused(comparison, ask, message):
    with pytest.raises(InvalidArgument, match=message):
        ask(comparison)


def test_a_start_of_no_method_is_refused(task):
    starts = {"sdg": scb.Parameters.initial(task)}
    with pytest.raises(InvalidArgument, match="'sdg', which is no method; did you mean 'sgd'"):
        sweeps.compare(task, {"sgd": [training.sgd(0.1)]}, seeds=(0, 1), max_samples=100, starts=starts)


def test_a_run_keeps_the_tasks_precision_and_its_options():
    task = scb.SCB.random(3, 40, 2, seed=0, dtype="float32")
    start = scb.dynamics.lift(task, 0.1, 0.2)
    runs = [
        sweeps.Run.of(task, training.sgd(0.01, batch_size=16), 0, start=start, packed=p, max_samples=64)
        for p in (True, False)
    ]
    packed, plain = sweeps.run_all(runs, jobs=2)
    assert packed.theta.A.dtype == plain.theta.A.dtype == np.float32
    assert (packed.description["packed"], plain.description["packed"]) == (True, False)
    assert not np.array_equal(packed.theta.A, plain.theta.A)


def test_the_best_is_chosen_by_the_column_that_is_asked_for():
    good_A, good_V = history([1, 2], [1.0, 0.1]), history([1, 2], [1.0, 0.2])
    for h, (A, V) in ((good_A, (0.1, 0.9)), (good_V, (0.2, 0.3))):
        h.rows[-1] = (*h.rows[-1][:6], A, V, 1.0)
    found = sweeps.Comparison({"m": [[good_A] * 2, [good_V] * 2]}, {"m": [(), ()]}, (0, 1), 2)
    assert (found.best("m"), found.best("m", "distance_V")) == (0, 1)
    assert found.band("m", "distance_V", [2], (0.5,))[0, 0] == 0.3
    assert found.band("m", "distance_A", [2], (0.5,))[0, 0] == 0.1


def test_a_run_without_a_number_is_never_the_best():
    lost, fine = history([1], [np.nan]), history([1], [5.0])
    found = sweeps.Comparison({"m": [[lost] * 2, [fine] * 2]}, {"m": [(), ()]}, (0, 1), 1)
    assert found.best("m") == 1
    assert np.all(np.isinf(found.final("m", variant=0)))


@pytest.mark.parametrize("confidence", [95, -0.5, 0.0, 1.0, np.nan])
def test_a_confidence_is_between_0_and_1(confidence):
    with pytest.raises(InvalidArgument, match="confidence is"):
        sweeps.paired_factor([1.0, 2.0], [2.0, 3.0], confidence)
    with pytest.raises(InvalidArgument, match="confidence is"):
        sweeps.fit_exponent([1, 2], [[1.0, 2.0], [2.0, 3.0]], confidence)


@pytest.mark.parametrize(("better", "worse"), [([0.0, 1.0], [1.0, 1.0]), ([1.0, 1.0], [-1.0, 1.0])])
def test_a_factor_needs_positive_numbers(better, worse):
    with pytest.raises(InvalidArgument, match="numbers above 0"):
        sweeps.paired_factor(better, worse)


def test_a_factor_counts_what_is_no_number_against_the_claim():
    assert sweeps.paired_factor([np.nan, 1.0], [5.0, 5.0]) == (0, 0, 0)
    assert sweeps.paired_factor([1.0, 1.0], [np.nan, 5.0]) == sweeps.paired_factor([1.0, 1.0], [5.0, 5.0])


def test_jobs_are_counted(task):
    with pytest.raises(InvalidArgument, match="jobs"):
        sweeps.run_all([sweeps.Run.of(task, training.sgd(0.1), 0, max_samples=1)], jobs=0)


@pytest.fixture
def session(monkeypatch):
    """Put a class where one of a notebook is."""

    def define(kind):
        kind.__module__, kind.__qualname__ = "__main__", kind.__name__
        monkeypatch.setattr(sys.modules["__main__"], kind.__name__, kind, raising=False)

    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    return define


def test_points_that_a_session_defines_are_computed_here(session):
    class There(Where):
        """As a reader would write one."""

    session(There)
    with pytest.warns(UserWarning, match="interactive session"):
        found = sweeps.run_all([There(1), There(2)], jobs=2)
    assert {process for process, *_ in found} == {os.getpid()}


def test_and_so_are_runs_of_a_stage_that_it_defines(session, task):
    class Own(training.Descent):
        """Another of the kind."""

    session(Own)
    runs = [sweeps.Run.of(task, (Own(4, 0.01),), seed, max_samples=40) for seed in range(2)]
    with pytest.warns(UserWarning, match="interactive session"):
        found = sweeps.run_all(runs, jobs=2)
    assert [history.samples[-1] for history in found] == [40, 40]


def test_a_seeds_variants_share_their_draws_and_end_as_they_would_apart(task, monkeypatch):
    from scbtheory.sweeps import _running

    drawn, sample = [], type(task).sample

    def counted(self, size, **where):
        drawn.append(size)
        return sample(self, size, **where)

    monkeypatch.setattr(type(task), "sample", counted)
    methods = {"sgd": [training.sgd(step, batch_size=8) for step in (0.01, 0.02, 0.03)]}
    options = {"seeds": (0, 1), "max_samples": 800, "jobs": 1}
    together = sweeps.compare(task, methods, **options)
    shared, drawn[:] = sum(drawn), []
    assert not _running._latest  # nothing is kept beyond the sweep
    monkeypatch.setattr(_running, "_shared", lambda task, seed: training.Draws(task))
    apart = sweeps.compare(task, methods, **options)
    assert sum(drawn) == 3 * shared
    for v in range(3):
        np.testing.assert_array_equal(together.final("sgd", variant=v), apart.final("sgd", variant=v))
        for one, other in zip(together.histories["sgd"][v], apart.histories["sgd"][v], strict=True):
            assert one.rows == other.rows
