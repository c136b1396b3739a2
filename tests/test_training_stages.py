"""Each stage by its own rule."""

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import training
from scbtheory.errors import InvalidArgument
from scbtheory.training import Boost, Learner, Proximal, Refit, Round


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(3, 200, 2, seed=0)


def test_boost_ends_once_the_support_stands_out_and_not_before(task):
    noise = np.random.default_rng(0).standard_normal((200, 3)) * 1e-4
    flat = 1 / 200 + noise
    high, low = training.standing_out(np, flat)
    assert 0 < high < 1.6
    assert 0 < low < 1.6
    assert training.standing_out(np, flat + 0.01 * (task.Q > 0))[0] > 6
    assert training.standing_out(np, flat - 0.01 * (task.Q > 0))[1] > 6
    one_missing = flat + 0.01 * (task.Q > 0) * np.array([1, 1, 0])
    assert training.standing_out(np, one_missing)[0] < 1.6
    assert training.standing_out(np, np.full((200, 3), 1 / 200)) == pytest.approx((0, 0), abs=0.01)
    learner = Learner(task, 0, scb.Parameters(flat - 0.01 * (task.Q > 0), task.P), task.mu)
    assert "wrong branch" in Boost(8).verdict(learner, 1)


def test_the_noise_level_ignores_what_stands_out():
    values = np.random.default_rng(1).normal(0.3, 2.0, (20_001, 2))
    values[:50] = 1e6
    np.testing.assert_allclose(training.noise_level(np, values), 2.0, rtol=0.03)
    np.testing.assert_allclose(training.noise_level(np, np.array([[0.0], [1.0], [2.0], [3.0]])), [1.4826])


def test_soft_threshold_is_the_proximal_map_of_l1():
    x, level = np.array([[3.0, -0.5], [-2.0, 0.2], [0.0, 1.0]]), np.array([1.0, 0.5])
    found = training.soft_threshold(np, x, level)
    np.testing.assert_allclose(found, [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.5]])
    grid = np.linspace(-4, 4, 80_001)
    for i, j in np.ndindex(x.shape):
        best = grid[np.argmin(0.5 * (grid - x[i, j]) ** 2 + level[j] * np.abs(grid))]
        assert best == pytest.approx(found[i, j], abs=2e-4)


def test_a_proximal_step_is_threshold_then_centring(task):
    theta = scb.dynamics.lift(task, 0.3, 0.3)
    stage = Proximal(64, step_size=0.2, eta_V=2.0, eta_A=3.0, c=0.25)
    learner = Learner(task, 9, theta, task.mu)
    stage.begin(learner)
    stage.step(learner)
    g = scb.model.minibatch_gradient(task, theta, task.sample(64, seed=9, step=0), projected=True)
    move = -0.6 * g.A
    level = 1.4826 * np.median(np.abs(move - np.median(move, axis=0)), axis=0)
    d = theta.A + move - 1 / 200
    d = np.sign(d) * np.maximum(np.abs(d) - 0.25 * level * np.sqrt(2 * np.log(600)), 0)
    np.testing.assert_allclose(learner.theta.A, d - d.mean(axis=0) + 1 / 200, atol=1e-14)
    np.testing.assert_allclose(learner.theta.V, theta.V - 0.4 * g.V, atol=1e-14)
    assert learner.samples == 64


@pytest.mark.filterwarnings("ignore::scbtheory.training.NoSupport")  # a few steps find none
def test_thresholding_keeps_the_noise_of_the_other_positions_out(task):
    start = scb.dynamics.lift(task, 0.5, 0.5)
    ends = [
        training.train(task, (Proximal(128, eta_A=1 / task.K_P, c=c, mass=9.0, max_steps=20),), start=start, seed=3)
        for c in (0.3, 0.0)
    ]
    off = [np.abs((h.theta.A - 1 / 200)[task.Q == 0]).sum() for h in ends]
    assert off[0] < 0.3 * off[1]


def test_proximal_waits_for_mass_on_an_unchanged_support(task):
    stage = Proximal(1, mass=0.5, patience=3, max_steps=50)
    learner = Learner(task, 0, scb.dynamics.lift(task, 0.8, 1.0), task.mu)
    stage.begin(learner)
    assert stage.verdict(learner, 1) is None
    learner.memory["unchanged"] = 3
    assert "mass" in stage.verdict(learner, 1)
    learner.theta = scb.dynamics.lift(task, 0.3, 1.0)
    assert stage.verdict(learner, 1) is None
    assert stage.verdict(learner, 50) == "50 steps"


def test_rounding_recovers_Q_on_the_plane(task):
    for alpha in (0.05, 0.5, 1.2):
        theta = scb.dynamics.lift(task, alpha, 1.0)
        found = training.rounded(np, theta)
        on = task.Q > 0
        np.testing.assert_array_equal(found.A > 0, on)
        d = theta.A - 1 / 200
        np.testing.assert_allclose(found.A, np.where(on, d, 0) / np.where(on, d, 0).sum(axis=0), atol=1e-13)
        np.testing.assert_allclose(found.A[on], task.Q[on], atol=0.01)
    flat = scb.Parameters.initial(task)
    np.testing.assert_allclose(training.rounded(np, flat).A, flat.A)


@pytest.mark.parametrize("relative", [0.1, 0.5])
def test_support_is_relative_to_the_columns_largest(relative):
    A = np.full((50, 2), 0.0)
    A[:3, 0] = 1.0, 0.3, 0.05
    A[:3, 1] = 0.01, 0.003, 0.0005
    found = training.prominent(np, A, relative)
    assert found.sum(axis=0).tolist() == ([2, 2] if relative == 0.1 else [1, 1])


def test_refit_moves_only_the_support_and_averages_the_last_two_thirds(task):
    start = training.rounded(np, scb.dynamics.lift(task, 0.7, 1.1))
    stage = Refit(32, step_size=0.1, eta_V=2.0, eta_A=3.0, tolerance=0.0, max_steps=9)
    found = training.train(task, (stage,), start=start, seed=5)
    on, A, V, path = task.Q > 0, start.A, start.V, []
    for step in range(9):
        batch = task.sample(32, seed=5, first=32 * step)
        g = scb.model.minibatch_gradient(task, scb.Parameters(A, V), batch, projected=True)
        A = A - 0.3 * on * (g.A - (on * g.A).sum(axis=0) / on.sum(axis=0))
        V = V - 0.2 * g.V
        path.append((A, V))
    np.testing.assert_allclose(found.theta.A, np.mean([a for a, _ in path[3:]], axis=0), atol=1e-14)
    np.testing.assert_allclose(found.theta.V, np.mean([v for _, v in path[3:]], axis=0), atol=1e-14)
    np.testing.assert_allclose(found.theta.A.sum(axis=0), 1)


def test_refit_that_lengthens_still_averages_a_tail(task, monkeypatch):
    monkeypatch.setattr(Refit, "_step_size", lambda stage, memory: stage.step_size)  # as the run it is compared with
    start = training.rounded(np, scb.dynamics.lift(task, 0.7, 1.1))
    stage = Refit(16, tolerance=1e-300, max_steps=120)  # thirds of 20, doubled once: the tail is steps 41 to 120
    found = training.train(task, (stage,), start=start, seed=5)
    path = [
        training.train(task, (Refit(16, tolerance=0.0, max_steps=10**6),), start=start, seed=5, max_samples=16 * n)
        .state["memory/iterate_V"] for n in range(41, 121)
    ]  # fmt: skip
    np.testing.assert_allclose(found.theta.V, np.mean(path, axis=0), atol=1e-13)


def test_a_refit_is_asked_whenever_its_thirds_are_full(task):
    learner = Learner(task, 5, training.rounded(np, scb.dynamics.lift(task, 0.7, 1.1)), task.mu)
    stage = Refit(16, tolerance=1e-300, max_steps=500)
    stage.begin(learner)
    assert stage.ahead(learner, 0) == 60
    stage.advance(learner, 50)
    assert stage.ahead(learner, 50) == 10
    stage.advance(learner, 10)
    assert stage.ahead(learner, 60) == 60  # thirds of 40 are half full
    assert stage.ahead(learner, 470) == 30


def test_a_refits_step_shrinks_by_a_root_of_two_when_its_thirds_double(task):
    stage, moves = Refit(16, tolerance=1e-300, max_steps=240), []
    start = training.rounded(np, scb.dynamics.lift(task, 0.7, 1.1))
    learner = Learner(task, 5, start, task.mu)
    stage.begin(learner)
    for _ in range(61):
        m, A = learner.memory, np.zeros_like(start.A)
        np.add.at(A, (m["positions"], np.arange(task.vocab_size)[None, :]), m["on"] * m["iterate_A"])
        before = scb.Parameters(A, m["iterate_V"])
        place = dict(zip(("step", "first"), learner._place(16), strict=True))
        stage.step(learner)
        batch = task.sample(16, seed=5, **place)
        gradient = scb.model.minibatch_gradient(task, before, batch, projected=True).V
        moves.append(np.vdot(before.V - learner.memory["iterate_V"], gradient) / np.vdot(gradient, gradient))
    np.testing.assert_allclose(moves, [0.1] * 60 + [0.1 / 2**0.5], rtol=1e-10)


def test_refits_own_estimate_of_its_error_is_about_right(task):
    """A quarter of the squared gap of two thirds' averages estimates the squared error."""
    ratios = []
    for seed in range(12):
        start = training.rounded(np, scb.dynamics.lift(task, 0.95, 1.0))
        stage = Refit(64, eta_V=1 / task.K_Q, eta_A=1 / task.K_P, tolerance=0.0, max_steps=600)
        learner = Learner(task, seed, start, task.mu)
        stage.begin(learner)
        for _ in range(600):
            stage.step(learner)
        m = learner.memory
        gap = sum(task.inner(d, d) for d in (m[f"sums_{x}"][1] - m[f"sums_{x}"][2] for x in "AV")) / 4
        away = learner.theta - scb.Parameters.truth(task)
        ratios.append((gap, task.inner(away.A, away.A) + task.inner(away.V, away.V)))
    gap, error = np.mean(ratios, axis=0)
    assert 0.5 < gap / error < 2


def test_each_baseline_takes_its_own_step(task):
    theta, batch = scb.dynamics.lift(task, 0.2, 0.4), task.sample(32, seed=4)
    plain = scb.model.minibatch_gradient(task, theta, batch)
    projected = scb.model.minibatch_gradient(task, theta, batch, projected=True)

    def after(stages, steps=1):
        return training.train(task, stages, seed=4, start=theta, max_samples=32 * steps, packed=False).theta

    sgd = after(training.sgd(0.01, batch_size=32))
    np.testing.assert_allclose(sgd.A, theta.A - 0.01 * plain.A, atol=1e-15)
    np.testing.assert_allclose(sgd.V, theta.V - 0.01 * plain.V, atol=1e-15)
    balanced = after(training.projected_sgd(task, 0.1, batch_size=32))
    np.testing.assert_allclose(balanced.A, theta.A - 0.1 / task.K_P * projected.A, atol=1e-14)
    np.testing.assert_allclose(balanced.V, theta.V - 0.1 / task.K_Q * projected.V, atol=1e-14)
    adam = after(training.adam(0.01, batch_size=32))
    np.testing.assert_allclose(adam.V, theta.V - 0.01 * np.sign(plain.V), atol=1e-6)  # its first step is a sign
    second = scb.model.minibatch_gradient(task, adam, task.sample(32, seed=4, first=32))
    mean = (0.9 * 0.1 * plain.V + 0.1 * second.V) / (1 - 0.9**2)
    square = (0.999 * 0.001 * plain.V**2 + 0.001 * second.V**2) / (1 - 0.999**2)
    np.testing.assert_allclose(
        after(training.adam(0.01, batch_size=32), 2).V, adam.V - 0.01 * mean / (np.sqrt(square) + 1e-8), atol=1e-12
    )


def test_refit_ends_by_a_quarter_of_the_gap_between_thirds(task):
    """At a tolerance just above a quarter of the squared gap it ends, and just below it goes on."""
    start = training.rounded(np, scb.dynamics.lift(task, 0.9, 1.0))
    learner = Learner(task, 3, start, task.mu)
    Refit(32, tolerance=1e-300).begin(learner)
    for _ in range(60):
        Refit(32, tolerance=1e-300).step(learner)
    m = learner.memory
    gap = sum(task.inner(d, d) for d in (m[f"sums_{x}"][1] - m[f"sums_{x}"][2] for x in "AV")) / 4
    assert "agree" in Refit(32, tolerance=1.001 * gap).verdict(learner, 60)
    assert Refit(32, tolerance=0.999 * gap).verdict(learner, 60) is None
    m["filled"] -= 1
    assert Refit(32, tolerance=1.001 * gap).verdict(learner, 60) is None


def test_a_changed_support_starts_the_waiting_again(task):
    learner = Learner(task, 0, scb.dynamics.lift(task, 0.8, 1.0), task.mu)
    stage = Proximal(2000, step_size=0.01)
    stage.begin(learner)
    stage.step(learner)
    stage.step(learner)
    assert learner.memory["unchanged"] == 2
    learner.memory["support"] = ~learner.memory["support"]
    stage.step(learner)
    assert learner.memory["unchanged"] == 0


@pytest.mark.filterwarnings("ignore::scbtheory.training.NoSupport")  # a few steps find none
def test_with_estimated_frequencies_V_stays_on_their_set(task):
    history = training.train(task, (Boost(50, max_steps=8),), seed=2, mu="estimated")
    mu = history.state["learner/mu"]
    np.testing.assert_allclose(history.theta.V @ mu, mu, atol=1e-14)
    np.testing.assert_allclose(history.theta.V.sum(axis=0), 1)
    tokens = np.concatenate([task.sample(50, seed=2, first=50 * i).tokens for i in range(8)])
    np.testing.assert_allclose(mu, np.bincount(tokens.ravel(), minlength=3) / tokens.size)


def test_steps_are_balanced_and_rows_grow_geometrically(task):
    for stage in training.algorithm(task):
        if hasattr(stage, "eta_V"):
            assert (stage.eta_V, stage.eta_A) == (1 / task.K_Q, 1 / task.K_P)
            assert stage.step_size == 0.1
    history = training.train(task, training.sgd(0.01, batch_size=10), max_samples=20_000, record=1.5)
    assert np.all(history.samples[2:-1] >= 1.5 * history.samples[1:-2])
    assert np.all(history.samples[2:-1] < 1.5 * history.samples[1:-2] + 10)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_rounding_makes_of_uniform_attention_does_not_stand_out(dtype):
    last = np.finfo(dtype).eps * np.where(np.arange(300) % 50 == 7, 3.0, 0.0)  # most entries have no noise at all
    for sign in (1, -1):
        A = ((1 + sign * last) / 300).astype(dtype)[:, None] * np.ones((1, 3), dtype=dtype)
        assert np.abs(A - A.mean(axis=0)).max() > 0
        assert max(training.standing_out(np, A)) < 1


def test_what_stands_out_of_no_noise_does_so_far():
    A = np.full((50, 3), 1 / 50)
    assert max(map(abs, training.standing_out(np, A))) < 1e-2
    A[7] += 0.1
    high, low = training.standing_out(np, A)
    assert high > 1e6
    assert 0 < low < high


def test_a_stage_without_samples_runs_when_all_are_used():
    task = scb.SCB.random(3, 20, 2, seed=0)
    stages = training.Descent(4, 0.01, max_steps=2), Round()
    run = training.train(task, stages, start=scb.dynamics.lift(task, 0.9, 0.9), max_samples=8)
    assert run.status == "finished"


def test_a_refit_names_the_column_without_a_support():
    task = scb.SCB.random(3, 20, 2, seed=0)
    start = scb.Parameters(task.Q * (np.arange(3) != 2), task.P)
    with pytest.raises(InvalidArgument, match=r"A\[:, 2\] is 0 everywhere"):
        training.train(task, (Refit(8),), start=start, max_samples=80)


def test_a_refit_puts_V_on_its_set_whatever_came_before(task):
    """G6's estimator sees V through V (I − μ1ᵀ): what SGD left of Vμ − μ no step of a refit would repair."""
    away = np.array([0.3, -0.1, -0.2])
    start = scb.Parameters(task.Q, task.P + away[:, None])
    stage = training.Refit(64, tolerance=0.0, max_steps=3000)
    history = training.train(task, (stage,), seed=1, start=start, record=1e9)
    np.testing.assert_allclose(history.theta.V @ task.mu, task.mu, atol=1e-12)
    assert history.distance_V[-1] < 1e-3
