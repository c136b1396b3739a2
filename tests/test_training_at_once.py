"""Many steps in one call are the steps taken one by one, and shared samples are those that each run draws."""

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import training
from scbtheory.errors import InvalidArgument
from scbtheory.kernels import descent
from scbtheory.training import Adam, Descent, Learner

STAGES = {
    "plain": Descent(16, 0.002),
    "projected": Descent(16, 0.05, projected=True, eta_V=1.3, eta_A=2.0),
    "adam": Adam(16, 1e-3),
    "diverging": Descent(16, 1e3),
}


def run(task, stage, **options):
    return training.train(task, (stage,), seed=3, max_samples=16 * 120, **options)


def one_by_one(monkeypatch, task, stage, **options):
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "at_once", lambda *_: False)
        return run(task, stage, **options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize(("N", "T"), [(3, 50), (17, 9), (2, 1500)])
def test_steps_at_once_are_the_steps_one_by_one(monkeypatch, name, packed, dtype, N, T):
    task = scb.SCB.random(N, T, 2, seed=1, dtype=dtype)
    slow, fast = one_by_one(monkeypatch, task, STAGES[name], packed=packed), run(task, STAGES[name], packed=packed)
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    for part in "AV":
        ours, theirs = getattr(fast.theta, part), getattr(slow.theta, part)
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())
    assert (fast.status, fast.samples.tolist()) == (slow.status, slow.samples.tolist())
    assert (fast.status == "diverged") == (name == "diverging")
    if name == "diverging":
        assert (fast.divergence.step, fast.divergence.samples) == (slow.divergence.step, slow.divergence.samples)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["plain", "projected", "adam"])
def test_where_records_fall_changes_no_bit(tmp_path, name, packed):
    task = scb.SCB.random(3, 50, 2, seed=1)
    often, seldom = (run(task, STAGES[name], packed=packed, record=factor) for factor in (1.001, 5.0))
    path = tmp_path / "run.npz"
    training.train(task, (STAGES[name],), seed=3, max_samples=16 * 50 + 5, packed=packed, checkpoint=path)
    resumed = run(task, STAGES[name], packed=packed, checkpoint=path)
    for other in (seldom, resumed):
        np.testing.assert_array_equal(other.theta.A, often.theta.A)
        np.testing.assert_array_equal(other.theta.V, often.theta.V)


def test_what_is_not_few_or_not_known_goes_one_by_one():
    task = scb.SCB.random(3, 50, 2, seed=1)
    learner = Learner(task, 0, scb.Parameters.initial(task), task.mu)
    assert learner.at_once(16)
    assert not learner.at_once(10**4)
    assert not Learner(scb.SCB.random(40, 50, 2, seed=1), 0, learner.theta, task.mu).at_once(16)
    assert not Learner(task, 0, learner.theta, task.mu, counts=np.zeros(3)).at_once(16)
    assert not Learner(task.on(scb.backend.from_namespace("own", np)), 0, learner.theta, task.mu).at_once(16)
    assert descent.few(task, 10**4, packed=True)
    assert not descent.few(task, 10**5, packed=True)


def test_samples_cut_from_blocks_are_the_streams_own(monkeypatch):
    monkeypatch.setattr(training._learner, "AHEAD", 50 * 37)  # bytes: 37 samples a block
    task = scb.SCB.random(3, 50, 2, seed=1)
    learner, first = Learner(task, 5, scb.Parameters.initial(task), task.mu), 0
    for size in (10, 20, 30, 37, 1, 40, 36, 5):
        got, known = learner._take(0, first, size), task.sample(size, seed=5, first=first)
        assert got == known
        first += size


def test_runs_share_their_draws_and_end_as_they_would_alone(monkeypatch):
    task = scb.SCB.random(3, 50, 2, seed=1)
    drawn, sample = [], type(task).sample

    def counted(self, size, **where):
        drawn.append(size)
        return sample(self, size, **where)

    monkeypatch.setattr(type(task), "sample", counted)
    alone = [run(task, stage, packed=False) for stage in STAGES.values()]
    apart, drawn[:] = sum(drawn), []
    draws = training.Draws(task)
    shared = [run(task, stage, packed=False, draws=draws) for stage in STAGES.values()]
    assert 0 < sum(drawn) <= apart / 3
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one.theta.A, other.theta.A)
        assert one.rows == other.rows


def test_draws_keep_no_more_than_they_may():
    task = scb.SCB.random(3, 50, 2, seed=1)
    draws = training.Draws(task, memory=30 * task.sample_bytes)
    first, second = (draws.sample(20, seed=0, step=0, first=first) for first in (0, 20))
    assert draws.used == 20 * task.sample_bytes
    assert draws.sample(20, seed=0, step=0, first=0) is first
    assert draws.sample(20, seed=0, step=0, first=20) is not second
    assert draws.sample(20, seed=0, step=0, first=20) == second
    assert draws.sample(20, seed=1, step=0, first=0) != first
    other = scb.SCB.random(3, 50, 2, seed=1)
    with pytest.raises(InvalidArgument, match="of another task"):
        training.train(other, (Descent(4, 0.1),), max_samples=8, draws=draws)
