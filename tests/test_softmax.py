"""Softmax attention: gradients against automatic differentiation, the two-number flow against all parameters."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import scbtheory as scb
from scbtheory import softmax
from scbtheory.errors import InvalidArgument
from scbtheory.softmax import SoftmaxParameters


def random_parameters(task, seed=2):
    linear = scb.Parameters.random(task, seed=seed)
    rng = np.random.default_rng(seed)
    W = task.backend.asarray(rng.normal(size=(task.context_length, task.vocab_size)))
    return SoftmaxParameters(W, linear.V)


@pytest.fixture
def uniform():
    Q = np.zeros((20, 3))
    for k in range(3):
        Q[[2 * k, 2 * k + 3, 19 - k], k] = 1 / 3
    return scb.SCB(scb.SCB.random(3, 20, 2, seed=4).P, Q)


def test_softmax_is_a_distribution_for_any_logits(backend, agree):
    W = np.array([[800.0, -3.0], [799.0, -800.0], [0.0, 2.0]])
    found = softmax.softmax(backend.xp, backend.asarray(W))
    e = np.exp(W - W.max(axis=0))
    agree(backend, found, e / e.sum(axis=0))


def test_training_starts_from_equal_logits(uniform):
    start = SoftmaxParameters.initial(uniform)
    np.testing.assert_array_equal(start.W, np.zeros((20, 3)))
    np.testing.assert_array_equal(start.V, np.outer(uniform.mu, np.ones(3)))


def test_gradients_are_those_of_automatic_differentiation(backend, agree):
    task = scb.SCB.random(3, 8, 2, seed=1, backend=backend)
    theta = random_parameters(task)
    W, V = (backend.to_numpy(x).astype(float) for x in (theta.W, theta.V))
    P, Q, mu, C = (backend.to_numpy(x).astype(float) for x in (task.P, task.Q, task.mu, task.C))

    def loss(W, V):
        e = anp.exp(W)
        a = e / anp.sum(e, axis=0)
        p11, p20 = anp.sum(a * Q, axis=0), anp.sum(a * a, axis=0)
        spread = p20 * anp.trace(V.T @ V @ C) - 2 * p11 * anp.trace(V.T @ P @ C)
        return 0.5 * anp.sum(mu * (1 + spread + (V @ mu) @ (V @ mu) - 2 * (V @ mu) @ (P @ mu)))

    found = scb.population.gradient(task, theta)
    agree(backend, found.W, autograd.grad(loss, 0)(W, V))
    agree(backend, found.V, autograd.grad(loss, 1)(W, V))
    assert scb.population.loss(task, theta) == pytest.approx(loss(W, V), rel=1e-5)


def test_minibatch_gradients_are_those_of_the_minibatch_loss():
    task = scb.SCB.random(3, 8, 2, seed=1)
    theta, batch = random_parameters(task), task.sample(30, seed=3)
    X, k, o = np.eye(3)[batch.tokens], batch.trigger.astype(int), np.eye(3)[batch.output]

    def loss(W, V):
        e = anp.exp(W)
        a = e / anp.sum(e, axis=0)
        return anp.sum((anp.einsum("nm,btm,tb->bn", V, X, a[:, k]) - o) ** 2) / 60

    found = scb.model.minibatch_gradient(task, theta, batch)
    np.testing.assert_allclose(found.W, autograd.grad(loss, 0)(theta.W, theta.V), atol=1e-13)
    np.testing.assert_allclose(found.V, autograd.grad(loss, 1)(theta.W, theta.V), atol=1e-13)
    projected = scb.model.minibatch_gradient(task, theta, batch, projected=True)
    np.testing.assert_allclose(projected.W, found.W / task.mu, atol=1e-13)  # J takes care of the projection
    np.testing.assert_allclose(
        scb.model.predict(task, theta, batch),
        np.einsum("nm,btm,tb->bn", theta.V, X, softmax.softmax(np, theta.W)[:, k]),
    )


@pytest.mark.parametrize("scale", softmax.SCALES)
def test_the_flow_of_all_parameters_is_the_flow_of_two_numbers(uniform, scale):
    times = np.linspace(0, 400 if scale == "none" else 12, 9)
    path = softmax.matrix_flow(uniform, SoftmaxParameters.initial(uniform), times, scale=scale, eta_V=1.5, eta_A=0.7)
    system = {"K_P": uniform.K_P, "K_Q": uniform.K_Q, "T": 20, "eta_V": 1.5, "eta_A": 0.7}
    alpha, beta = softmax.flow(t=times, scale=scale, **system)
    for theta, a, b in zip(path, alpha, beta, strict=True):
        np.testing.assert_allclose(scb.dynamics.reduce(uniform, theta.linear(uniform)), [a, b, 0], atol=2e-8)
    assert alpha[-1] > 0.1
    index = np.array([4, 0, 8])
    np.testing.assert_allclose(softmax.flow(t=times[index], scale=scale, **system)[0], alpha[index], atol=1e-8)


@pytest.mark.parametrize("t", [0.0, [0.0], [[0.0]], 5.0])
def test_one_time_and_unequal_starts(t):
    """The flow from a point that it has reached goes on as it would have."""
    system = {"K_P": 0.3, "K_Q": 0.45, "T": 20, "eta_V": 1.5, "eta_A": 0.7, "scale": "start"}
    start = softmax.flow(t=3.0, start=(0.1, 0.4), **system)
    assert start[0] != start[1]
    found = softmax.flow(t=t, start=start, **system)
    expected = softmax.flow(t=3.0 + np.asarray(t), start=(0.1, 0.4), **system)
    assert [x.shape for x in found] == [np.shape(t)] * 2
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_the_slowdown_runs_from_one_over_T_squared_to_zero():
    assert softmax.slowdown(0.0, K_Q=0.5, T=100) == pytest.approx(1e-4)
    assert softmax.slowdown(1.0, K_Q=0.5, T=100) == 0
    assert softmax.slowdown(0.5, K_Q=0.5, T=100) == pytest.approx((0.5 * 0.26) ** 2)
    system = {"K_P": 0.25, "K_Q": 0.49, "T": 100}
    linear = scb.dynamics.velocity(0.0, 0.3, **system)
    for scale, factor in (("none", 1e-4), ("start", 1.0), ("peak", 1.0)):
        found = softmax.velocity(0.0, 0.3, scale=scale, **system)
        np.testing.assert_allclose(found, [factor * linear[0], linear[1]])
    peak = softmax.velocity(0.4, 0.3, scale="peak", **system)[0]
    assert peak == pytest.approx(0.36 * scb.dynamics.velocity(0.4, 0.3, **system)[0])


def test_plain_softmax_waits_for_a_time_like_T_where_linear_waits_for_log_T():
    """To leading order the rise is at t = T τ with one τ for all T; the linear model's grows by log T / ω."""
    times = np.linspace(0, 40, 4001)
    reached = []
    for T in (1000, 4000):
        alpha, _ = softmax.flow(t=times * T, K_P=0.3, K_Q=0.5, T=T)
        reached.append(times[np.argmax(alpha > 0.1)])
    assert reached[0] == pytest.approx(reached[1], rel=0.02)


def test_a_training_step_is_the_stated_one():
    task = scb.SCB.random(3, 40, 2, seed=0)
    theta = scb.dynamics.lift(task, 0.5, 0.4)
    stage = softmax.SoftmaxDescent(64, step_size=0.2, eta_V=2.0, eta_A=3.0, max_steps=1)
    found = scb.training.train(task, (stage,), seed=5, start=theta, packed=False).theta
    g = scb.model.minibatch_gradient(task, theta, task.sample(64, seed=5), projected=True)
    into = theta.A * (g.A - (theta.A * g.A).sum(axis=0)) / theta.A.max(axis=0) ** 2
    logits = np.log(theta.A) - 0.6 * into
    np.testing.assert_allclose(found.A, np.exp(logits) / np.exp(logits).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.V, theta.V - 0.4 * g.V, atol=1e-14)


def test_both_models_find_the_same_pattern():
    task = scb.SCB.random(3, 60, 2, seed=0)
    linear = scb.training.train(task, scb.training.projected_sgd(task, batch_size=512), seed=1, max_samples=512 * 500)
    soft = scb.training.train(task, softmax.descent(task, batch_size=512), seed=1, max_samples=512 * 500)
    found = softmax.agreement(task, linear.theta, soft.theta, relative=0.15)
    assert found.attention > 0.95
    assert found.value > 0.99
    same = softmax.agreement(task, soft.theta, soft.theta)
    assert (same.attention, same.value, same.support) == pytest.approx((1, 1, 1))
    start = scb.Parameters.initial(task)
    opposite = softmax.agreement(task, linear.theta, 2.0 * start - linear.theta)
    assert (opposite.attention, opposite.value) == pytest.approx((-1, -1))


def test_mistakes_are_refused():
    task = scb.SCB.random(3, 10, 2, seed=0)
    with pytest.raises(InvalidArgument, match="scale is 'peek'"):
        softmax.velocity(0, 0, scale="peek", K_P=0.2, K_Q=0.5, T=10)
    with pytest.raises(InvalidArgument, match="scale is 'peek'"):
        scb.training.train(task, softmax.descent(task, scale="peek"), max_samples=10_000)
    with pytest.raises(InvalidArgument, match="not positive"):
        scb.training.train(task, softmax.descent(task, batch_size=8), start=scb.Parameters.truth(task), max_samples=80)
    with pytest.raises(InvalidArgument, match="times are finite"):
        softmax.flow(t=[-1.0], K_P=0.2, K_Q=0.5, T=10)


# --- unequal positions: X4 -----------------------------------------------------------------------


def test_the_flow_of_unequal_positions_is_that_of_all_parameters():
    T, t = 24, np.array([2.0, 5.0, 9.0, 15.0])
    Q = np.zeros((T, 3))
    Q[[4, 9], :] = [[0.7] * 3, [0.3] * 3]
    task = scb.SCB(scb.SCB.random(3, T, 2, seed=6).P, Q)
    start = scb.softmax.SoftmaxParameters.initial(task)
    path = scb.softmax.matrix_flow(task, start, t, scale="peak", eta_V=1 / task.K_Q, eta_A=1 / task.K_P)
    linear = [theta.linear(task) for theta in path]
    found = [(x.A[4, 0], x.A[9, 0], scb.dynamics.reduce(task, x).beta) for x in linear]
    stated = scb.softmax.positions_flow(t=t, first=0.7, second=0.3, T=T)
    np.testing.assert_allclose(np.transpose(stated), found, rtol=1e-7)


@pytest.mark.parametrize(("first", "c"), [(0.55, 0.1028628), (0.6, 0.2463634), (0.7, 0.8164871)])
def test_the_wait_is_the_flow_s(first, c):
    """Recorded from an integration of its own; the flow's arrivals at two lengths agree with it."""
    assert scb.softmax.second_position(first, 1 - first) == pytest.approx(c, abs=1e-6)
    arrivals = []
    for T in (4000, 16_000):
        t = np.linspace(0, 1.1 * c * T + 40, 20_000)
        a, b, _ = scb.softmax.positions_flow(t=t, first=first, second=1 - first, T=T)
        arrivals.append(t[np.flatnonzero(b / a < (1 - first) / first / 2)[-1]])
    assert (arrivals[1] - arrivals[0]) / 12_000 == pytest.approx(c, rel=5e-3)


def test_nearly_equal_positions_hardly_wait():
    waits = [scb.softmax.second_position(0.5 + x, 0.5 - x) for x in (0.1, 0.01, 0.001)]
    assert waits[0] > 9 * waits[1] > 80 * waits[2] > 0


def test_the_second_position_has_its_limits_at_equal_and_at_extreme_weights():
    equal = [scb.softmax.second_position(0.5 + d, 0.5 - d) / d for d in (1e-7, 2e-10, 1e-12)]
    np.testing.assert_allclose(equal, 1.78865814, rtol=1e-4)  # what comes in has 16 digits, less at 1e-12
    extreme = [scb.softmax.second_position(1 - e, e) * e**2 for e in (1e-4, 1e-6)]
    np.testing.assert_allclose(extreme, 0.25, rtol=1e-2)


@pytest.mark.parametrize("weights", [(0.4, 0.6), (0.5, 0.5), (0.7, 0.4), (0.0, 1.0), (1.0, 0.0), ("much", 0.1)])
def test_weights_that_are_no_unequal_pair_are_errors(weights):
    with pytest.raises(InvalidArgument, match="expected a"):
        scb.softmax.second_position(*weights)
    with pytest.raises(InvalidArgument, match="expected a"):
        scb.softmax.positions_flow(t=[1.0], first=weights[0], second=weights[1], T=100)


@pytest.mark.parametrize("wrong", [{"t": [-1.0, 1.0]}, {"t": "late"}, {"t": [np.nan]}, {"T": 2.5}])
def test_times_and_lengths_of_no_flow_are_errors(wrong):
    with pytest.raises(InvalidArgument):
        scb.softmax.positions_flow(**{"t": [1.0], "T": 100, "first": 0.6, "second": 0.4} | wrong)


def test_weights_too_small_for_a_float_are_zero_whatever_the_callers_error_state():
    with np.errstate(all="raise"):
        assert softmax.softmax(np, np.array([[0.0], [-1000.0]])).ravel().tolist() == [1.0, 0.0]


@pytest.mark.parametrize("eta", [float("nan"), 0.0, -1.0])
def test_the_matrix_flow_refuses_step_sizes_that_end_nowhere(eta):
    task = scb.SCB.random(3, 20, 2, seed=0)
    for name in ("eta_A", "eta_V"):
        with pytest.raises(InvalidArgument, match=f"{name} is"):
            softmax.matrix_flow(task, softmax.SoftmaxParameters.initial(task), [1.0], **{name: eta})
    with pytest.raises(InvalidArgument, match="theta is Parameters; expected SoftmaxParameters"):
        softmax.matrix_flow(task, scb.Parameters.initial(task), [1.0])


def test_descent_is_balanced_by_the_tasks_own_correlations():
    task = scb.SCB.random(3, 12, 2, seed=4)
    [stage] = softmax.descent(task, step_size=0.2, steps=7)
    assert stage.eta_V == pytest.approx(1 / task.K_Q)
    assert stage.eta_A == pytest.approx(1 / task.K_P)
    assert (stage.step_size, stage.max_steps) == (0.2, 7)
