"""Samples seen at some positions alone: the same ones, bit for bit, whatever the context's length."""

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import training
from scbtheory.errors import InvalidArgument
from scbtheory.training import Learner, Refit

SHAPES = [(3, 200, 2), (2, 50, 1), (16, 300, 3), (257, 90, 2)]


def positions_of(task):
    """Each column's support, the rows filled up with position 0."""
    on = task.backend.to_numpy(task.Q) > 0
    found = np.zeros((on.sum(axis=0).max(), task.vocab_size), dtype=int)
    for k in range(task.vocab_size):
        here = np.flatnonzero(on[:, k])
        found[: len(here), k] = here
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "first"), [(1, 0), (40, 0), (33, 17)])
def test_the_tokens_seen_are_those_of_a_full_draw(backend, shape, size, first):
    task = scb.SCB.random(*shape, seed=1, backend=backend)
    positions = positions_of(task)
    full = task.sample(size, seed=3, step=2, first=first)
    seen = task.sample_at(positions, size, seed=3, step=2, first=first)
    to = task.backend.to_numpy
    trigger = to(full.trigger).astype(int)
    np.testing.assert_array_equal(to(seen.tokens), np.take_along_axis(to(full.tokens), positions.T[trigger], axis=1))
    for name in ("trigger", "output", "position"):
        np.testing.assert_array_equal(to(getattr(seen, name)), to(getattr(full, name)))
    assert seen.tokens.dtype == full.tokens.dtype


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (np.zeros((0, 3), dtype=int), r"shape \(0, 3\)"),
        (np.zeros((2, 4), dtype=int), r"\(m, 3\)"),
        (np.zeros((2, 3)), "expected integers"),
        (np.full((1, 3), 200), "from 200 to 200; expected 0 to 199"),
        (np.full((1, 3), -1), "from -1 to -1"),
    ],
)
def test_positions_out_of_range_are_refused(positions, message):
    with pytest.raises(InvalidArgument, match=message):
        scb.SCB.random(3, 200, 2, seed=0).sample_at(positions, 5, seed=0)


def plain_refit(task, start, steps, stage, seed):
    """The refit as it is written down, on all positions of a full draw: iterates after every step."""
    theta, path = start, []
    on = (start.A != 0).astype(start.A.dtype)
    for n in range(steps):
        batch = task.sample(stage.batch_size, seed=seed, first=n * stage.batch_size)
        g = scb.model.minibatch_gradient(task, theta, batch, projected=True)
        mean = (on * g.A).sum(axis=0) / on.sum(axis=0)
        theta = scb.Parameters(
            theta.A - stage.step_size * stage.eta_A * on * (g.A - mean), theta.V - stage.step_size * stage.eta_V * g.V
        )
        path.append(theta)
    return path


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 64])
def test_a_refit_is_the_one_on_full_draws_to_rounding(shape, size):
    task = scb.SCB.random(*shape, seed=1)
    start = training.rounded(np, scb.dynamics.lift(task, 0.9, 0.8))
    speed = 0.2 / shape[0] / size**0.5
    stage = Refit(size, step_size=speed, eta_V=1.5, eta_A=2.0, tolerance=0.0, max_steps=30)
    path = plain_refit(task, start, 30, stage, seed=4)
    for packed in (False, True):
        found = training.train(task, (stage,), start=start, seed=4, packed=packed)
        for name in "AV":
            expected = np.mean([getattr(x, name) for x in path[10:]], axis=0)
            np.testing.assert_allclose(getattr(found.theta, name), expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_array_equal(found.theta.A != 0, start.A != 0)


@pytest.mark.parametrize("way", ["estimated", "everywhere", "reference"])
def test_the_other_ways_are_the_same(way, strict):
    """Counted frequencies, a support that is the whole context, and another array library take full draws."""
    task = scb.SCB.random(3, 12, 12 if way == "everywhere" else 2, seed=1)
    if way == "reference":
        task = task.on(strict)
    host = scb.SCB(task._host_P, task._host_Q)
    lifted = scb.dynamics.lift(host, 0.9, 0.8)
    start = lifted if way == "everywhere" else training.rounded(np, lifted)
    stage = Refit(50, step_size=0.1, tolerance=0.0, max_steps=30)
    on_device = scb.Parameters(*(task.backend.asarray(x) for x in (start.A, start.V)))
    found = training.train(
        task, (stage,), start=on_device, seed=4, packed=False, mu="estimated" if way == "estimated" else "known"
    )
    path = plain_refit(host, start, 30, stage, seed=4)
    if way == "estimated":
        assert 0 < np.abs(found.theta.V - np.mean([x.V for x in path[10:]], axis=0)).max() < 0.3
        return
    A = np.mean([x.A for x in path[10:]], axis=0)
    np.testing.assert_allclose(task.backend.to_numpy(found.theta.A), A, rtol=1e-10, atol=1e-13)


def test_a_column_without_a_support_is_refused():
    task = scb.SCB.random(3, 50, 2, seed=0)
    A = task.Q.copy()
    A[:, 1] = 0
    with pytest.raises(InvalidArgument, match=r"A\[:, 1\] is 0 everywhere"):
        training.train(task, (Refit(8),), start=scb.Parameters(A, task.P), max_samples=80)


def test_how_many_steps_are_taken_at_once_changes_nothing():
    task = scb.SCB.random(3, 100, 2, seed=0)
    start = training.rounded(np, scb.dynamics.lift(task, 0.9, 0.8))
    ends = []
    for record in (1.0001, 1.5, 1e9):
        found = training.train(task, (Refit(16, tolerance=0.0, max_steps=400),), start=start, seed=4, record=record)
        assert found.step[-1] == 400
        ends.append(found.theta)
    for end in ends[1:]:
        np.testing.assert_array_equal(end.A, ends[0].A)
        np.testing.assert_array_equal(end.V, ends[0].V)


def test_a_diverging_refit_stops_at_its_step_with_the_last_finite_parameters(tmp_path):
    task = scb.SCB.random(3, 100, 2, seed=0)
    start = training.rounded(np, scb.dynamics.lift(task, 0.9, 0.8))
    stage = Refit(16, step_size=40.0, tolerance=0.0, max_steps=400)
    for packed in (True, False):
        found = training.train(
            task, (stage,), start=start, seed=4, packed=packed, checkpoint=tmp_path / f"{packed}.npz"
        )
        assert found.status == "diverged"
        assert found.divergence.samples == 16 * found.divergence.step < 16 * 400
        assert np.all(np.isfinite(found.theta.A))
        again = training.History.load(tmp_path / f"{packed}.npz")
        assert again.status == "diverged"
        assert again.divergence == found.divergence
        assert again.rows == found.rows
    path = plain_refit(task, start, found.divergence.step, stage, seed=4)
    sizes = [task.inner(x.A, x.A) + task.inner(x.V, x.V) for x in path]
    assert not sizes[-1] <= 1e4
    assert all(size <= 1e4 for size in sizes[:-1])


def test_a_learner_counts_what_it_uses():
    task = scb.SCB.random(3, 100, 2, seed=0)
    learner = Learner(task, 4, training.rounded(np, scb.dynamics.lift(task, 0.9, 0.8)), task.mu)
    stage = Refit(16, tolerance=0.0, max_steps=30)
    stage.begin(learner)
    assert stage.advance(learner, 7)[0] == 7
    assert learner.samples == 7 * 16
    assert learner.memory["filled"] == 7
