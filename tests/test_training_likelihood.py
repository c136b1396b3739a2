"""The last stage by maximum likelihood: what it reads, when it ends, and that a resumed run has the same bits."""

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import training
from scbtheory.errors import InvalidArgument
from scbtheory.training import _on_support

TASK = scb.SCB.random(3, 50, 2, seed=0)


def near_truth():
    """Rounded attention, as the stage before would leave it: right supports, wrong weights."""
    on = (TASK.Q > 0) / (TASK.Q > 0).sum(axis=0)
    return scb.Parameters(np.asfortranarray(on), scb.Parameters.initial(TASK).V)


def last(size, **options):
    return training.train(TASK, (training.Likelihood(size, **options),), seed=3, start=near_truth())


def test_it_is_the_maximum_over_all_its_samples():
    history = last(100, tolerance=0, max_steps=7)
    batch = TASK.sample(700, seed=3)
    counts = scb.limits.Counts.empty(TASK.Q > 0).add(batch.tokens, batch.trigger, batch.output)
    theta = scb.limits.maximum_likelihood(counts, TASK.mu)
    assert history.samples[-1] == 700
    np.testing.assert_allclose(history.theta.V, theta.V, atol=2e-5)
    np.testing.assert_allclose(history.theta.A, theta.A, atol=2e-5)


def test_it_ends_when_its_own_error_bar_is_small_enough():
    history = last(200, tolerance=1e-3)
    needed = sum(scb.limits.cramer_rao(TASK, "known")) / 1e-3
    assert needed * 0.8 < history.samples[-1] < needed * 1.6
    assert "Cramér–Rao" in history.boundaries[-1].reason


def test_a_resumed_run_ends_with_the_same_bits(tmp_path):
    stages = (training.Likelihood(64, tolerance=0, max_steps=30),)
    whole = training.train(TASK, stages, seed=5, start=near_truth())
    options = {"seed": 5, "start": near_truth(), "checkpoint": tmp_path / "run.npz"}
    training.train(TASK, stages, max_samples=64 * 11, **options)
    resumed = training.train(TASK, stages, **options)
    np.testing.assert_array_equal(whole.theta.A, resumed.theta.A)
    np.testing.assert_array_equal(whole.theta.V, resumed.theta.V)
    assert whole.rows == resumed.rows


def test_it_reads_nothing_off_the_support(monkeypatch):
    """Scrambling every token outside the supports changes no bit."""
    plain = last(100, tolerance=0, max_steps=3)
    take = training.Learner._take

    def scrambled(self, step, first, size):
        batch = take(self, step, first, size)
        tokens = np.array(batch.tokens)
        tokens[:, ~(TASK.Q > 0).any(axis=1)] = 0
        return scb.Batch(tokens, batch.trigger, batch.output, batch.position)

    monkeypatch.setattr(training.Learner, "_take", scrambled)
    again = last(100, tolerance=0, max_steps=3)
    np.testing.assert_array_equal(plain.theta.A, again.theta.A)
    np.testing.assert_array_equal(plain.theta.V, again.theta.V)


def test_the_algorithm_with_either_last_stage():
    task = scb.SCB.random(3, 100, 2, seed=0)
    ends = {
        name: training.train(task, training.algorithm(task, last=name, tolerance=1e-3), seed=1)
        for name in ("refit", "likelihood")
    }
    for history in ends.values():
        assert history.status == "finished"
        assert history.distance_A[-1] + history.distance_V[-1] < 5e-3
    before = {name: h.boundaries[-2].samples for name, h in ends.items()}
    assert before["refit"] == before["likelihood"]
    used = {name: h.samples[-1] - before[name] for name, h in ends.items()}
    assert used["likelihood"] < used["refit"]
    with pytest.raises(InvalidArgument, match=r"last is 'likelyhood'.*did you mean 'likelihood'"):
        training.algorithm(task, last="likelyhood")


def test_estimated_frequencies_need_none():
    history = training.train(
        TASK, (training.Likelihood(500, tolerance=0, max_steps=4),), seed=3, start=near_truth(), mu="estimated"
    )
    assert history.status == "finished"
    assert history.distance_V[-1] < 0.05


def test_the_maximum_is_looked_for_again_when_it_may_be_near_enough():
    """After growth by 5 % more than errors like 1/n ask for, at least by a tenth and at most eightfold."""

    def after(tolerance):
        stage = training.Likelihood(20, tolerance=tolerance)
        learner = training.Learner(TASK, 3, near_truth(), TASK.mu)
        stage.begin(learner)
        learner.memory["steps"] = 990
        stage.advance(learner, 10)
        return learner.memory

    error = after(1.0)["error"]
    for times, growth in ((0.5, 1.1), (1.04, 1.1), (1.1, 1.155), (3, 3.15), (7.7, 8), (20, 8)):
        assert after(error / times)["next"] == pytest.approx(1000 * growth, abs=1)


def test_samples_are_drawn_in_parts_that_fit(monkeypatch):
    monkeypatch.setattr(_on_support, "AT_ONCE", 500)
    drawn, sample_at = [], scb.SCB.sample_at
    monkeypatch.setattr(
        scb.SCB, "sample_at", lambda task, p, n, **where: drawn.append(n) or sample_at(task, p, n, **where)
    )
    stage = training.Likelihood(200, tolerance=0, max_steps=20)
    training.train(TASK, (stage,), seed=3, start=near_truth(), record=1e9)
    assert sum(drawn) == 4000
    assert max(drawn) == 400
