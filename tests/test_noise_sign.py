"""N5: how often noise leaves the right sign, and the runs that show it."""

import numpy as np
import pytest
from noise_tasks import enumerate_samples, grown, host
from scipy.integrate import solve_ivp
from scipy.special import ndtr
from scipy.stats import binom

import scbtheory as scb
from scbtheory import noise


def test_N5_the_probability_is_its_formula():
    task = scb.SCB.random(3, 200, 2, seed=0)
    change = task.P - task.mu[:, None]
    w = np.trace(task.C @ change @ np.diag(task.mu) @ change.T) / task.K_P**2
    omega = np.sqrt(task.K_P * task.K_Q)
    assert noise.sign_noise(task) == pytest.approx(w, rel=1e-12)
    for B in (4, 16, 64):
        expected = ndtr(np.sqrt(2 * B / (0.1 * omega * w * 200)))
        assert noise.sign_probability(task, batch_size=B, step_size=0.1) == pytest.approx(expected, rel=1e-12)


def test_N5_balanced_steps_replace_eta_omega_by_eta():
    task = scb.SCB.random(3, 200, 2, seed=0)
    steps = {"step_size": 0.05 / task.K_Q, "attention_step_size": 0.05 / task.K_P}
    expected = ndtr(np.sqrt(2 * 8 / (0.05 * noise.sign_noise(task) * 200)))
    assert noise.sign_probability(task, batch_size=8, **steps) == pytest.approx(expected, rel=1e-12)


def test_N5_the_exact_noise_at_the_start_is_the_sum_over_every_sample(backend, agree):
    task = scb.SCB.random(3, 3, 2, seed=8, backend=backend)
    theta = scb.Parameters.initial(task)
    A, V, P, mu = host(task, theta.A, theta.V, task.P, task.mu)
    change, first, second = P - mu[:, None], 0, 0
    for X, k, o, p in enumerate_samples(task):
        z = X @ A[:, k]
        along = ((np.outer(V @ z - np.eye(3)[o], z - mu) / mu * change) @ mu).sum() / task.K_P
        first, second = first + p * along, second + p * along**2
    agree(backend, noise.sign_noise(task, exact=True), 3 * (second - first**2))
    assert noise.sign_noise(task) != pytest.approx(noise.sign_noise(task, exact=True), rel=1e-3)


def test_N5_all_T_collapse_on_one_curve():
    probabilities = [
        noise.sign_probability(grown(T, 0, 0)[0], batch_size=T / 20, step_size=0.1) for T in (500, 5000, 50_000)
    ]
    np.testing.assert_allclose(probabilities, probabilities[0], rtol=1e-3)


def test_N5_the_recursion_has_the_mean_and_spread_of_its_iteration():
    recursion = noise.SignRecursion(rate=0.03, drift=0.01, variance=0.002)
    mean = spread = 0.0
    for _ in range(40):
        mean, spread = 1.03 * mean + 0.01, 1.03**2 * spread + 0.002
    assert recursion.mean(40) == pytest.approx(mean, rel=1e-12)
    assert recursion.spread(40) == pytest.approx(spread, rel=1e-12)
    assert recursion.probability(40) == pytest.approx(ndtr(mean / np.sqrt(spread)), rel=1e-12)
    assert recursion.probability(2000) == pytest.approx(recursion.probability(), rel=1e-9)


def test_N5_small_steps_and_long_contexts_turn_the_recursion_into_the_limit():
    task = scb.SCB.random(3, 10_000, 2, seed=0)
    options = {"batch_size": 2, "step_size": 1e-3}
    limit = noise.sign_probability(task, **options)
    assert 0.7 < limit < 0.95
    assert noise.sign_recursion(task, **options).probability() == pytest.approx(limit, abs=1e-3)


def test_N5_training_is_that_of_the_model_run_by_run(backend):
    task = scb.SCB.random(3, 30, 2, seed=0, backend=backend)
    ended = noise.train_signs(task, runs=1, batch_size=5, step_size=0.1, seed=9)
    theta = scb.Parameters.initial(task)
    P, Q, mu = host(task, task.P, task.Q, task.mu)
    for step in range(1000):
        batch = task.sample(5, seed=9, step=step)
        theta = theta - 0.1 * scb.model.minibatch_gradient(task, theta, batch, projected=True)
        A, V = host(task, theta.A, theta.V)
        beta = ((V * (P - mu[:, None])) @ mu).sum() / task.K_P
        alpha = ((A * (Q - 1 / 30)) @ mu).sum() / task.K_Q
        Y = beta + np.sqrt(task.K_Q / task.K_P) * alpha
        if abs(Y) >= 0.5:
            break
    assert ended.steps.tolist() == [step + 1]
    np.testing.assert_allclose(ended.Y, [Y], rtol=1e-3 if backend.dtype == backend.xp.float32 else 1e-9)


def test_N5_runs_are_reproducible_different_and_decided():
    task = scb.SCB.random(3, 60, 2, seed=0)
    options = {"runs": 150, "batch_size": 4, "step_size": 0.1}
    Y = noise.train_signs(task, seed=3, **options).Y
    np.testing.assert_array_equal(Y, noise.train_signs(task, seed=3, **options).Y)
    assert len(np.unique(Y)) == 150
    assert (np.abs(Y) >= 0.5).all()
    assert 0 < (Y < 0).mean() < 0.3


def test_N5_runs_in_pieces_are_the_same_runs(monkeypatch):
    task = scb.SCB.random(3, 60, 2, seed=0)
    for size, runs in ((600, 1), (3, 20)):
        options = {"runs": runs, "batch_size": size, "step_size": 0.1, "seed": 3}
        whole = noise.train_signs(task, **options)
        with monkeypatch.context() as patch:
            patch.setattr("scbtheory.noise._sign_runs.PIECE", 60 * 250)
            pieces = noise.train_signs(task, **options)
        np.testing.assert_allclose(pieces.Y, whole.Y, rtol=1e-9)
        np.testing.assert_array_equal(pieces.steps, whole.steps)


def test_N5_fails_first_where_the_batch_is_below_eta_root_T_and_the_correction_says_which_way():
    task = scb.SCB.random(3, 50, 2, seed=0)
    options = {"batch_size": 1, "step_size": 0.1}
    with pytest.warns(noise.BatchTooSmall, match="true probability is lower"):
        limit = noise.sign_probability(task, **options)
    with pytest.warns(noise.BatchTooSmall):
        corrected = noise.sign_probability(task, corrected=True, **options)
    right = int((noise.train_signs(task, runs=1200, seed=5, **options).Y > 0).sum())
    assert corrected < limit - 0.05
    assert binom.cdf(right, 1200, limit) < 1e-9
    assert binom.cdf(right, 1200, corrected) > 1e-5


def test_at_a_fixed_chance_the_added_variance_falls_like_one_over_T():
    """The transfer chapter's formula, with balanced steps; N³/(z⁴ K_Q² T) if tokens are equally frequent."""
    z, N = 1.5, 4
    for T in (400, 4000):
        task = scb.SCB.random(N, T, 2, seed=23)
        w, steps = noise.sign_noise(task), {"step_size": 0.1 / task.K_Q, "attention_step_size": 0.1 / task.K_P}
        B = z**2 * 0.1 * w * T / 2
        assert noise.sign_probability(task, batch_size=B, **steps) == pytest.approx(ndtr(z))
        expected = N * (N - 1) * (task.C**2).sum() / (z**4 * w**2 * task.K_P**2 * task.K_Q**2 * T)
        assert noise.added_variance(task, batch_size=B, **steps) == pytest.approx(expected)
        assert expected == pytest.approx(N**3 / (z**4 * task.K_Q**2 * T), rel=0.6)


def test_the_added_variance_scales_as_eta_squared_T_over_B_squared():
    def added(T, B, eta):
        return noise.added_variance(grown(T, 0, 0)[0], batch_size=B, step_size=eta)

    assert added(4000, 20, 0.1) == pytest.approx(added(1000, 10, 0.1), rel=2e-3)
    assert added(1000, 10, 0.2) == pytest.approx(4 * added(1000, 10, 0.1), rel=1e-12)


def test_the_wrong_branch_is_a_trap():
    K_P, K_Q, T = 0.3, 0.5, 100.0

    def flow(_, state):
        alpha, beta = state
        return K_P * beta * (1 - alpha * beta), K_Q * alpha * (1 - alpha * beta) + (1 - beta) / T

    path = solve_ivp(flow, (0, 1e6), [-0.05, -0.05], method="LSODA", rtol=1e-9, atol=1e-12, t_eval=[1e3, 1e4, 1e5, 1e6])
    alpha, beta = path.y
    assert (beta < 0).all()
    assert (np.diff(alpha) < 0).all()  # it never turns back
    np.testing.assert_allclose(alpha * beta, 1, atol=0.02)
    assert alpha[-1] < -5
