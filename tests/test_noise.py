import warnings

import numpy as np
import pytest
from noise_tasks import enumerate_samples, grown, host

import scbtheory as scb
from scbtheory import dynamics, noise
from scbtheory.errors import InvalidArgument

SMALL = pytest.mark.parametrize(("N", "T"), [(2, 2), (2, 3), (3, 2), (3, 3)])
ON_SET = pytest.mark.parametrize("admissible", [False, True])


def setting(N, T, backend="numpy", *, admissible=False, seed=5):
    task = scb.SCB.random(N, T, min(2, T), seed=seed, backend=backend)
    return task, scb.Parameters.random(task, seed=seed + 1, admissible=admissible)


def enumerated_value_gradients(task, theta, centred):
    """Second moment given each trigger and the mean of one sample's value gradient, by definition."""
    A, V, mu = host(task, theta.A, theta.V, task.mu)
    second, mean = np.zeros(task.vocab_size), 0
    for X, k, o, p in enumerate_samples(task):
        z = X @ A[:, k]
        gradient = np.outer(V @ z - np.eye(task.vocab_size)[o], z - mu * centred) / mu
        second[k] += p * ((gradient**2) @ mu).sum() / mu[k]
        mean = mean + p * gradient
    return second, mean


def enumerated_attention_variance(task, theta):
    A, V, mu = host(task, theta.A, theta.V, task.mu)
    second, mean = np.zeros(A.shape), np.zeros(A.shape)
    for X, k, o, p in enumerate_samples(task):
        h = (V @ X).T @ (V @ X @ A[:, k] - np.eye(task.vocab_size)[o])
        h = (h - h.mean()) / mu[k]
        second[:, k] += p * h**2
        mean[:, k] += p * h
    return second - mean**2, mean


# ---------------------------------------------------------------- N1 and N2: the value gradient


@SMALL
@ON_SET
@pytest.mark.parametrize("centred", [True, False])
def test_N1_the_second_moment_is_the_sum_over_every_sample(backend, agree, N, T, admissible, centred):
    task, theta = setting(N, T, backend, admissible=admissible)
    second, _ = enumerated_value_gradients(task, theta, centred)
    agree(backend, noise.value_gradient_second_moment(task, theta, centred=centred, by_trigger=True), second)
    average = float(host(task, task.mu)[0] @ second)
    agree(backend, noise.value_gradient_second_moment(task, theta, centred=centred), average)


@SMALL
@ON_SET
@pytest.mark.parametrize("centred", [True, False])
def test_N2_the_noise_scale_is_trace_over_mean(N, T, admissible, centred):
    task, theta = setting(N, T, admissible=admissible)
    second, mean = enumerated_value_gradients(task, theta, centred)
    signal = (mean**2 @ task.mu).sum()
    expected = (task.mu @ second - signal) / signal
    assert noise.noise_scale(task, theta, centred=centred) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("T", [5, 100, 10_000])
def test_N2_at_the_start_the_noise_scale_is_linear_in_T_and_its_remainder_is_known(T):
    task = scb.SCB.random(4, T, 2, seed=1)
    start, mu = scb.Parameters.initial(task), task.mu
    flat = 1 - mu @ mu
    skew = sum((1 - mu[n]) * mu @ task.P @ (np.eye(4)[n] - mu) for n in range(4))
    centred = (flat * 3 * T - 2 * skew) / task.K_P - 1
    assert noise.noise_scale(task, start) == pytest.approx(centred, rel=1e-9)
    assert noise.noise_scale(task, start, centred=False) == pytest.approx(centred + flat * T**2 / task.K_P, rel=1e-9)


def test_N2_in_stage_two_the_noise_scale_tends_to_a_constant():
    scales = [noise.noise_scale(*grown(T, 0.6, 0.7)) for T in (10**3, 10**4, 10**5)]
    assert scales[1] == pytest.approx(scales[2], rel=1e-3)
    assert abs(scales[2] - scales[1]) < 0.2 * abs(scales[1] - scales[0])


def test_N2_on_the_creep_the_signal_is_of_order_one_over_T_and_the_noise_scale_grows_like_its_square():
    scales = [noise.noise_scale(*grown(T, 1.25, 0.8)) for T in (10**3, 10**4)]
    assert scales[1] / scales[0] == pytest.approx(100, rel=0.05)


def test_the_noise_scale_is_infinite_where_only_the_mean_vanishes(backend):
    task = scb.SCB.random(3, 20, 2, seed=3, backend=backend)
    assert noise.noise_scale(task, scb.Parameters.truth(task)) == np.inf
    assert noise.attention_noise_scale(task, scb.Parameters.truth(task)) == np.inf


@pytest.mark.parametrize("N", [3, 9, 11])  # rounding leaves the variance below 0 or above
def test_the_noise_scale_is_zero_where_the_noise_vanishes_too(backend, N):
    cycle, first = np.roll(np.eye(N), 1, axis=0), np.eye(N + 2)[:, [0, *[N] * (N - 1)]]
    task = scb.SCB(cycle, first, backend=backend)  # a deterministic task: no residual at the truth
    assert noise.noise_scale(task, scb.Parameters.truth(task)) == 0
    assert noise.attention_noise_scale(task, scb.Parameters.truth(task)) == 0
    assert noise.attention_noise_scale(task, scb.Parameters.initial(task)) == 0


# ---------------------------------------------------------------- N3: the attention gradient


@SMALL
@ON_SET
def test_N3_the_exact_variance_is_the_sum_over_every_sample(backend, agree, N, T, admissible):
    task, theta = setting(N, T, backend, admissible=admissible)
    variance, mean = enumerated_attention_variance(task, theta)
    agree(backend, noise.attention_noise_variance(task, theta, exact=True), variance)
    agree(backend, noise.attention_signal(task, theta), -mean)


def test_N3_off_the_support_the_exact_variance_tends_to_sigma_squared():
    gaps = []
    for T in (100, 1000):
        task, theta = grown(T, 0.6, 0.7)
        exact = noise.attention_noise_variance(task, theta, exact=True)[2:]
        gaps.append(np.abs(exact / noise.attention_noise_variance(task, theta) - 1).max())
    assert gaps[1] < 0.01
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.05)


def test_N3_sigma_squared_is_its_formula():
    task, theta = grown(40, 0.6, 0.7)
    C, change, k = task.C, task.P - task.mu[:, None], 1
    V, a, q = 0.7 * change, theta.A[:, k], task.Q[:, k]
    R = a @ a * V @ C @ V.T - a @ q * (V @ C @ change.T + change @ C @ V.T) + C
    expected = 0.7**2 * np.trace(change @ np.diag(task.mu) @ change.T @ R) / task.mu[k]
    assert noise.attention_noise_variance(task, theta)[k] == pytest.approx(expected, rel=1e-12)


def test_N3_near_the_start_the_ratio_depends_on_neither_T_nor_beta():
    for T, beta in ((10**3, 1e-3), (10**5, 1e-3), (10**5, 1e-5)):
        task, theta = grown(T, 1e-6, beta)
        expected = task.Q[:2] * np.sqrt(50 * task.mu / noise.sign_noise(task))
        np.testing.assert_allclose(noise.attention_snr(task, theta, batch_size=50)[:2], expected, rtol=5e-3)


def test_N3_the_noise_summed_over_coordinates_grows_like_T():
    scales = [noise.attention_noise_scale(*grown(T, 0.6, 0.7)) for T in (10**3, 10**4)]
    assert scales[1] / scales[0] == pytest.approx(10, rel=0.02)


def test_the_ratio_refuses_a_value_matrix_without_noise():
    task = scb.SCB.random(3, 20, 2, seed=3)
    with pytest.raises(InvalidArgument, match="no noise"):
        noise.attention_snr(task, scb.Parameters.initial(task))


# ---------------------------------------------------------------- N4: thresholding


def test_N4_the_threshold_is_its_formula_for_each_trigger(backend, agree):
    task = scb.SCB.random(3, 200, 2, seed=4, backend=backend)
    theta = dynamics.lift(task, 0.5, 0.5)
    (variance,) = host(task, noise.attention_noise_variance(task, theta))
    expected = 0.4 * np.sqrt(variance) * np.sqrt(2 * np.log(600) / 500)
    agree(backend, noise.threshold(task, theta, batch_size=500, c=0.4), expected)


def test_N4_the_step_soft_thresholds_the_deviation_and_recentres_it(backend, agree):
    task, theta = setting(3, 9, backend)
    A, G = host(task, theta.A, scb.population.gradient(task, theta).A)
    cut = np.array([0.0, 0.1, 10.0])
    found = noise.proximal_step(
        task, theta.A, task.backend.asarray(G), step_size=0.5, threshold=task.backend.asarray(cut)
    )
    moved = A - 0.5 * G - 1 / 9
    kept = np.where(np.abs(moved) > 0.5 * cut, moved - 0.5 * cut * np.sign(moved), 0)
    agree(backend, found, kept - kept.mean(axis=0) + 1 / 9)
    np.testing.assert_allclose(host(task, found)[0].sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(host(task, found)[0][:, 2], 1 / 9, rtol=1e-6)


def test_N4_the_noise_level_can_be_read_off_one_step(backend):
    task = scb.SCB.random(3, 800, 2, seed=4, backend=backend)
    theta = dynamics.lift(task, 0.5, 0.5)
    step = scb.model.minibatch_gradient(task, theta, task.sample(2000, seed=1), projected=True).A
    found, variance = host(task, noise.measured_noise(task, step), noise.attention_noise_variance(task, theta))
    np.testing.assert_allclose(found, np.sqrt(variance / 2000), rtol=0.12)


def test_measured_noise_is_exact_on_two_and_on_three_values():
    task = scb.SCB.random(2, 3, 2, seed=0)
    level = noise.measured_noise(task, np.array([[1.0, 0.0], [2.0, 0.0], [9.0, 5.0]]))
    np.testing.assert_allclose(level, [1 / 0.6744897501960817, 0])
    task = scb.SCB.random(2, 2, 2, seed=0)
    np.testing.assert_allclose(
        noise.measured_noise(task, np.array([[1.0, 0.0], [2.0, 0.0]]))[0] * 0.6744897501960817, 0.5
    )


def test_N4_at_the_batch_it_asks_for_one_step_recovers_the_support_and_nothing_else():
    task = scb.SCB.random(3, 1000, 2, seed=4)
    theta = dynamics.lift(task, 0.5, 0.5)
    batch_size = int(np.ceil(noise.support_batch(task, 0.5, 0.5, c=1.2).max()))
    lost, spurious = 0, 0
    for step in range(20):
        batch = task.sample(batch_size, seed=2, step=step)
        gradient = scb.model.minibatch_gradient(task, theta, batch, projected=True).A
        kept = -gradient > noise.threshold(task, theta, batch_size=batch_size, c=1.2)
        lost += (~kept & (task.Q > 0)).sum()
        spurious += (kept & (task.Q == 0)).sum()
    assert lost == 0
    assert spurious <= 3


def test_N4_the_batch_grows_like_log_T_and_without_a_threshold_like_T():
    small, large = grown(10**3, 0.5, 0.5)[0], grown(10**6, 0.5, 0.5)[0]
    ratio = noise.support_batch(large, 0.5, 0.5) / noise.support_batch(small, 0.5, 0.5)
    np.testing.assert_allclose(ratio, np.log(3e6) / np.log(3e3), rtol=0.02)
    ratio = noise.unthresholded_batch(large, 0.5, 0.5) / noise.unthresholded_batch(small, 0.5, 0.5)
    np.testing.assert_allclose(ratio, 1e3, rtol=0.02)


def test_N4_without_a_threshold_signal_and_noise_of_a_column_are_equal():
    task = scb.SCB.random(3, 50, 2, seed=2)
    batch = noise.unthresholded_batch(task, 0.3, 0.6)
    variance = noise.attention_noise_variance(task, scb.dynamics.lift(task, 0.3, 0.6))
    signal = ((0.6 * task.K_P * (1 - 0.18) * (task.Q - 1 / 50)) ** 2).sum(axis=0)
    np.testing.assert_allclose(batch * signal, 50 * variance, rtol=1e-12)


def test_N4_below_c_of_one_a_power_of_TN_passes():
    sizes = [scb.SCB.random(2, T, 2, seed=0) for T in (10**3, 10**5)]
    for c, power in ((0.4, 0.84), (1.0, 0.0)):
        counts = [noise.passing(task, c=c) for task in sizes]
        logs = [np.log(2 * task.context_length) for task in sizes]
        for count, log in zip(counts, logs, strict=True):
            assert np.log(count * c * np.sqrt(np.pi * log)) / log == pytest.approx(power, abs=0.05)
    assert noise.passing(sizes[0], c=1.0) < 1


def test_a_threshold_warns_where_a_trigger_is_too_rare_for_gaussian_tails():
    task = scb.SCB.random(3, 200, 2, seed=4)
    theta = dynamics.lift(task, 0.5, 0.5)
    with pytest.warns(noise.BatchTooSmall, match="rarest trigger"):
        few = noise.threshold(task, theta, batch_size=10)
    assert np.isfinite(few).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noise.threshold(task, theta, batch_size=2000)


@pytest.mark.parametrize(("dtype", "beta"), [("float64", 1e-9), ("float32", 1e-4)])
def test_attention_has_its_noise_however_little_is_learned(dtype, beta):
    """The noise and the squared signal vanish alike with β, and the constant part of V is none of either."""
    task, double = (scb.SCB.random(3, 1000, 2, seed=0, dtype=kind) for kind in (dtype, "float64"))
    expected = noise.attention_noise_scale(double, dynamics.lift(double, 0.0, 1e-3))
    assert noise.attention_noise_scale(task, dynamics.lift(task, 0.0, beta)) == pytest.approx(expected, rel=0.01)
    assert noise.attention_noise_scale(task, scb.Parameters.initial(task)) == 0
