"""The algorithm and its baselines: nothing read that a learner cannot see, resumable."""

import math
import warnings

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import training
from scbtheory.errors import InvalidArgument
from scbtheory.training import Adam, Boost, Learner, Proximal, Refit, Round


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(3, 200, 2, seed=0)


@pytest.fixture(scope="module")
def run(task):
    return training.train(task, training.algorithm(task, tolerance=5e-4), seed=1)


def test_a_packed_run_learns_as_well_from_other_samples(task, run):
    plain = training.train(task, training.algorithm(task, tolerance=5e-4), seed=1, packed=False)
    assert run.description["packed"]  # the fast way is the default, and recorded
    assert not plain.description["packed"]
    for found in (run, plain):
        assert found.status == "finished"
        assert found.distance_A[-1] < 2e-3
        np.testing.assert_array_equal(found.theta.A > 0, task.Q > 0)
    assert plain.distance_A[-1] != run.distance_A[-1]


def test_packed_batches_of_a_learner_share_no_samples(task):
    """Each batch of the learner is the next part of the stream, also across the stream's steps."""
    learner = Learner(task, 4, scb.Parameters.random(task, seed=2), task.mu, packed=True)
    capacity = 2**40 // task.context_length
    learner.samples = capacity - 50
    for size, step, first in ((30, 0, capacity - 50), (30, 1, 0), (5, 1, 30)):
        found = learner.gradient(size, projected=True)
        where = {"seed": 4, "step": step, "first": first}
        expected = scb.streaming.gradient(task, learner.theta, size, **where, projected=True, packed=True)
        np.testing.assert_array_equal(found.A, expected.A)
    assert learner.samples == capacity + 35


def test_packed_samples_are_not_counted(task):
    with pytest.raises(InvalidArgument, match="'estimated' and packed is True"):
        training.train(task, training.sgd(0.01), mu="estimated", packed=True, max_samples=512)


# --- the whole algorithm -------------------------------------------------------------------------


def test_the_algorithm_learns_and_says_where_its_stages_ended(task, run):
    assert run.status == "finished"
    assert [b.stage for b in run.boundaries] == ["boost", "proximal", "round", "refit"]
    assert "stands out" in run.boundaries[0].reason
    assert "mass" in run.boundaries[1].reason
    assert run.distance_A[0] == pytest.approx(task.K_Q)
    assert run.distance_V[0] == pytest.approx(task.K_P)
    assert run.distance_A[-1] < 2e-3
    assert run.distance_V[-1] < 2e-3
    np.testing.assert_array_equal(run.theta.A > 0, task.Q > 0)
    np.testing.assert_allclose(run.theta.A.sum(axis=0), 1)
    assert run.alpha[-1] == pytest.approx(1, abs=0.05)
    assert run.loss[-1] - scb.population.bayes_loss(task) < 1e-3
    assert np.all(np.diff(run.samples) >= 0)
    assert run.samples_to("distance_A", 0.1) < run.samples[-1]
    assert run.samples_to("distance_A", 0.0) == np.inf


def test_no_stage_reads_what_a_learner_cannot_see(task, monkeypatch):
    """With P, Q and their norms out of reach, and only μ and the samples left, the run is the same."""
    stages = training.algorithm(task, tolerance=5e-4)
    expected = training.train(task, stages, seed=1)
    blind = scb.SCB(task.P, task.Q)
    monkeypatch.setattr("scbtheory.training._run._row", lambda history, learner, stage=0: history.rows.append((0, 0)))
    secret = {name: property(lambda self: pytest.fail("a stage read the truth")) for name in ("K_P", "K_Q", "C")}

    class Blind(scb.SCB):
        locals().update(secret)

    start = scb.Parameters.initial(blind)
    blind.__class__ = Blind
    blind.P = blind.Q = None
    found = training.train(blind, stages, seed=1, start=start)
    np.testing.assert_array_equal(found.theta.A, expected.theta.A)
    np.testing.assert_array_equal(found.theta.V, expected.theta.V)


def test_rough_guesses_of_the_constants_serve_as_well(task):
    stages = training.algorithm(task, K_P=0.6 * task.K_P, K_Q=1.5 * task.K_Q, tolerance=5e-4)
    assert training.train(task, stages, seed=2).distance_A[-1] < 3e-3


@pytest.mark.parametrize("seed", [3, 4])
def test_estimated_frequencies_do_as_well_as_known_ones(task, seed):
    known, estimated = (
        training.train(task, training.algorithm(task, tolerance=5e-4), seed=seed, mu=mu)
        for mu in ("known", "estimated")
    )
    assert estimated.distance_A[-1] < 2 * known.distance_A[-1] + 1e-4
    counts, mu = estimated.state["learner/counts"], estimated.state["learner/mu"]
    assert counts.sum() == estimated.samples[-1] * task.context_length
    np.testing.assert_allclose(mu, task.mu, atol=2e-3)
    assert np.any(mu != task.mu)


def test_default_batches_grow_like_T_and_like_log_T():
    sizes = [training.boost_batch(K_P=0.25, T=T, largest=0.4) for T in (1000, 100_000)]
    assert sizes[1] == pytest.approx(100 * sizes[0], rel=1e-3)
    # z² η w T / 2 with w = largest / K_P
    assert sizes[0] == pytest.approx(0.5 * 36 * 0.1 * 1000 * 0.4 / 0.25, abs=1)
    told = {"K_P": 0.25, "K_Q": 0.5, "largest": 0.4, "smallest": 0.2}
    small = [training.proximal_batch(T=T, N=3, **told) for T in (1000, 1_000_000)]
    # log(TN) w / (μ_min q²) with q = K_Q / 2
    assert small[0] == pytest.approx(np.log(3000) * 1.6 / (0.2 * 0.25**2), abs=1)
    assert small[1] - small[0] == pytest.approx(np.log(1000) * 128, abs=1.01)


@pytest.mark.parametrize("name", ["K_P", "T", "largest", "step_size", "sign", "K_Q", "smallest", "share"])
@pytest.mark.parametrize("value", [0.0, -1, float("nan")])
def test_default_batches_refuse_numbers_that_no_task_has(name, value):
    told = {"K_P": 0.25, "T": 100, "largest": 0.4}
    batch = training.boost_batch
    if name in ("K_Q", "smallest", "share"):
        told, batch = told | {"K_Q": 0.5, "N": 3, "smallest": 0.2}, training.proximal_batch
    assert batch(**told) > 1
    with pytest.raises(scb.SCBError, match=name):
        batch(**(told | {name: value}))


def test_the_algorithm_finds_supports_in_single_precision():
    task = scb.SCB.random(3, 300, 2, seed=0, dtype="float32")
    run = training.train(task, training.algorithm(task), seed=1)
    assert [end.reason[:11] for end in run.boundaries][:2] == ["the support", "every colum"]
    assert run.distance_A[-1] < 1e-3


def test_a_threshold_batch_takes_two_entries_of_attention():
    told = {"K_P": 0.25, "K_Q": 0.5, "largest": 1.0, "smallest": 0.2}
    assert training.proximal_batch(T=1, N=2, **told) == math.ceil(math.log(2) * 4 / (0.2 * 0.25**2))
    with pytest.raises(scb.SCBError, match="T N is 1; expected at least 2"):
        training.proximal_batch(T=1, N=1, **told)


def test_the_first_batch_falls_to_the_second_and_serves_both_claims(task):
    boost, proximal, *_ = training.algorithm(task)
    told = {"K_P": task.K_P, "T": 200, "largest": float(task.mu.max())}
    assert proximal.batch_size == boost.last_batch
    assert boost.batch_size == max(proximal.batch_size, training.boost_batch(sign=4.5, **told))
    falling = training.Boost(1000, 0.1, last_batch=300)
    sizes = [falling.size(n) for n in range(20)]
    assert sizes[:3] == [1000, 910, 827]  # 1000 / 1.1^n, rounded up
    assert sizes[12] == 319
    assert sizes[13:] == [300] * 7
    assert training.Boost(1000).size(50) == 1000


def test_boost_does_not_end_before_its_batch_has_fallen(task):
    stage = training.Boost(64, last_batch=16)
    learner = training.Learner(task, 0, scb.dynamics.lift(task, 0.5, 0.5), task.mu)
    noise = 1e-9 * np.random.default_rng(0).standard_normal(task.Q.shape)
    learner.theta = scb.Parameters(learner.theta.A + noise, learner.theta.V)  # the support stands out at once
    assert stage.verdict(learner, 10) is None
    assert stage.verdict(learner, 15).startswith("the support stands out")


HARD = {
    "many tokens": scb.SCB.random(40, 300, 2, seed=1),
    "many positions": scb.SCB.random(12, 300, 6, seed=1),
    "a rare token": scb.SCB(
        [[0.002, 0.001, 0.004], [0.798, 0.199, 0.396], [0.2, 0.8, 0.6]], scb.SCB.random(3, 100, 2, seed=3).Q
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_the_default_batches_find_every_support_of_a_hard_task(name):
    task = HARD[name]
    history = training.train(task, training.algorithm(task)[:3], seed=5, record=1e9)
    np.testing.assert_array_equal(history.theta.A > 0, task.Q > 0)


def test_a_stage_that_ends_without_a_support_says_so(task):
    few = (training.Boost(8, max_steps=5), training.Round())
    with pytest.warns(training.NoSupport, match="stage boost ended without a support after 40 samples: 5 steps"):
        training.train(task, few, seed=1)
    with pytest.warns(training.NoSupport, match="stage proximal"):
        training.train(task, (training.Proximal(8, max_steps=3), training.Round()), seed=1)
    with pytest.warns(training.NoSupport, match="stage moments .* 3 columns without a position that passes"):
        training.train(task, (training.MomentStart(10, false_alarm=1e-6),), seed=1)


def test_a_task_without_a_background_is_refused():
    full = scb.SCB.random(3, 5, 5, seed=0)
    with pytest.raises(scb.SCBError, match="copies from every position"):
        training.algorithm(full)
    assert len(training.algorithm(full, first="moments")) == 2


def test_three_batch_sizes_are_asked_for(task):
    with pytest.raises(scb.SCBError, match="expected three"):
        training.algorithm(task, batch_sizes=(100, 10))


# --- samples -------------------------------------------------------------------------------------


def test_all_methods_read_the_same_samples_whatever_their_batches(task):
    whole = task.sample(700, seed=6)
    for sizes in ((700,), (1, 299, 400), (64,) * 10):
        learner, parts = Learner(task, 6, scb.Parameters.initial(task), task.mu), []
        for size in sizes:
            parts += list(learner._draw(size))
        for name in ("tokens", "trigger", "output"):
            joined = np.concatenate([getattr(b, name) for b in parts])
            np.testing.assert_array_equal(joined, getattr(whole, name)[: len(joined)])


def test_a_batch_larger_than_the_memory_is_drawn_in_parts(task, monkeypatch):
    learner = [Learner(task, 6, scb.dynamics.lift(task, 0.3, 0.5), task.mu) for _ in range(2)]
    expected = learner[0].gradient(500, projected=True)
    monkeypatch.setattr("scbtheory.training._learner.MEMORY", 200 * 60)
    found = learner[1].gradient(500, projected=True)
    np.testing.assert_allclose(found.A, expected.A, atol=1e-13)
    np.testing.assert_allclose(found.V, expected.V, atol=1e-13)


def test_the_estimator_is_that_of_the_model(backend, agree):
    task = scb.SCB.random(3, 12, 2, seed=1, backend=backend)
    theta, batch = scb.Parameters.random(task, seed=2), task.sample(20, seed=3)
    for projected in (True, False):
        found = Learner(task, 3, theta, task.mu).gradient(20, projected=projected)
        expected = scb.model.minibatch_gradient(task, theta, batch, projected=projected)
        for x, y in ((found.A, expected.A), (found.V, expected.V)):
            agree(backend, x, backend.to_numpy(y))


@pytest.mark.filterwarnings("ignore::scbtheory.training.NoSupport")  # a few steps find none
def test_the_algorithm_runs_on_every_backend(backend):
    task = scb.SCB.random(3, 40, 2, seed=0, backend=backend)
    stages = (Boost(400, max_steps=3), Proximal(50, max_steps=3), Round(), Refit(20, max_steps=8))
    history = training.train(task, stages, seed=0, mu="estimated")
    assert history.status == "finished"
    assert history.theta.A.dtype == task.backend.dtype
    adam = training.train(task, (Adam(20, 0.01, max_steps=3),), seed=0)
    assert adam.theta.A.dtype == task.backend.dtype


# --- divergence ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [training.sgd(1.0, batch_size=16), training.sgd(50.0), training.adam(30.0)])
def test_divergence_is_a_typed_result_without_warnings_or_nan(task, stages):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = training.train(task, stages, seed=0, max_samples=50_000)
    assert history.status == "diverged"
    assert history.divergence.size > 1e4
    assert history.divergence.samples <= 50_000
    assert np.all(np.isfinite(history.theta.A))
    assert np.all(np.isfinite(np.array(history.rows, dtype=float)))


def test_sgd_diverges_above_the_curvature_limit_and_not_below():
    task = scb.SCB.random(3, 1000, 2, seed=0)
    limit = 2 / scb.population.attention_curvature(task, scb.Parameters.initial(task).V)[1].max()
    assert 0.005 < limit < 0.03
    above, below = (
        training.train(task, training.sgd(f * limit, batch_size=64), seed=0, max_samples=20_000) for f in (3.0, 0.3)
    )
    assert above.status == "diverged"
    assert below.status == "paused"
    assert below.distance_A[-1] < 1


def test_projected_sgd_needs_something_to_balance():
    P, Q = scb.SCB.random(2, 4, 1, seed=0).P, np.full((4, 2), 0.25)
    for task in (scb.SCB(P, Q), scb.SCB(np.full((2, 2), 0.5), np.eye(4)[:, :2])):
        assert 0 in (task.K_P, task.K_Q)
        with pytest.raises(InvalidArgument, match=r"K_[PQ] is 0"):
            training.projected_sgd(task)
