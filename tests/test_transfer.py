"""Pretrained matrices with an exact correlation, the three-number flow, and another stationary law."""

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import transfer
from scbtheory.errors import InvalidArgument, NotADistribution, ShapeMismatch

CONSTANTS = {"K_P": 0.25, "K_Q": 0.5, "K_hat": 0.2}


@pytest.fixture(params=[(2, 1), (3, 0), (5, 2)], ids=str)
def task(request):
    N, seed = request.param
    return scb.SCB.random(N, 30, 2, seed=seed)


@pytest.mark.parametrize("share", [-1.0, -0.4, 0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("spread", [0.0, 0.9])
def test_a_pretrained_matrix_is_what_was_asked_for(task, share, spread):
    low, high = transfer.correlation_range(task)
    K_cross = share * (high if share > 0 else -low)
    if task.vocab_size == 2 and K_cross == 0:
        with pytest.raises(InvalidArgument, match="N is 2"):
            transfer.pretrained(task, K_cross, spread=spread)
        return
    hat = transfer.pretrained(task, K_cross, spread=spread, seed=3)
    assert hat.min() >= 0
    np.testing.assert_allclose(hat.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(hat @ task.mu, task.mu, atol=1e-12)
    found = transfer.correlations(task, hat)
    assert found.K_cross == pytest.approx(K_cross, abs=1e-12)
    prime, own = hat - task.mu[:, None], task.P - task.mu[:, None]
    assert found.K_hat == pytest.approx((prime**2).sum(axis=0) @ task.mu, abs=1e-13)
    assert found.K_cross == pytest.approx((prime * own).sum(axis=0) @ task.mu, abs=1e-12)


def test_the_range_of_correlations_is_that_of_all_couplings():
    """Permutation matrices are the extreme couplings of a uniform law: try them all."""
    from itertools import permutations

    P = np.array([[0.6, 0.1, 0.3], [0.3, 0.6, 0.1], [0.1, 0.3, 0.6]])
    task = scb.SCB(P, np.eye(3))
    values = [((np.eye(3)[:, list(p)] - 1 / 3) * (P - 1 / 3)).sum() / 3 for p in permutations(range(3))]
    np.testing.assert_allclose(transfer.correlation_range(task), [min(values), max(values)], atol=1e-12)


def test_an_impossible_correlation_is_refused_with_the_range(task):
    low, high = transfer.correlation_range(task)
    assert low <= 0 < task.K_P <= high * (1 + 1e-9)
    for wrong in (1.01 * high, 1.01 * low - 1e-6):
        with pytest.raises(InvalidArgument, match=f"from {low:.6g} to {high:.6g}"):
            transfer.pretrained(task, wrong)
    with pytest.raises(InvalidArgument, match="spread"):
        transfer.pretrained(task, 0.1 * task.K_P, spread=1.5)


def test_another_seed_is_another_matrix():
    task = scb.SCB.random(4, 10, 2, seed=0)
    first, again, second = (transfer.pretrained(task, 0.1 * task.K_P, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 0.01


@pytest.mark.parametrize("same_law", [True, False])
def test_the_flow_of_all_matrices_is_the_flow_of_three_numbers(same_law):
    task = scb.SCB.random(3, 30, 2, seed=0)
    hat = transfer.pretrained(task, 0.6 * task.K_P, seed=1)
    if not same_law:
        hat = transfer.shifted(task, hat, 0.4, seed=2)
        assert np.abs(hat @ task.mu - task.mu).max() > 0.05
    c, times = transfer.correlations(task, hat), np.linspace(0, 20, 9)
    system = {"K_P": task.K_P, "K_Q": task.K_Q, "T": 30, "eta_V": 1.7, "eta_A": 0.6}
    found = np.transpose(transfer.flow(t=times, theta=0.7, **c._asdict(), **system))
    start = transfer.start(task, hat, 0.7)
    path = scb.dynamics.matrix_flow(task, start, times, eta_V=1.7, eta_A=0.6)
    for theta, place in zip(path, found, strict=True):
        lifted = transfer.lift(task, hat, *place)
        np.testing.assert_allclose(theta.A, lifted.A, atol=1e-9)
        np.testing.assert_allclose(theta.V, lifted.V, atol=1e-9)
    assert found[-1, 0] > 0.3


def test_starts_are_admissible_whatever_the_law():
    task = scb.SCB.random(3, 30, 2, seed=0)
    other = scb.SCB.random(3, 30, 2, seed=9).P
    V = transfer.start(task, other, 0.5).V
    np.testing.assert_allclose(V.sum(axis=0), 1)
    np.testing.assert_allclose(V @ task.mu, task.mu)
    np.testing.assert_array_equal(transfer.uncentred_start(task, other).V, other)
    np.testing.assert_allclose(transfer.start(task, task.P).V, task.P)


def test_without_pretraining_the_flow_is_the_reduced_one():
    times = np.linspace(0, 60, 13)
    alpha, beta, gamma = transfer.flow(t=times, theta=0.0, K_cross=0.1, T=500, **CONSTANTS)
    expected = scb.dynamics.flow(t=times, K_P=0.25, K_Q=0.5, T=500)
    np.testing.assert_allclose((alpha, beta), expected, atol=1e-9)
    assert np.all(gamma == 0)


def test_arrival_times():
    correlated = [transfer.time_to(0.25, K_cross=0.15, T=T, **CONSTANTS) for T in (10**3, 10**6)]
    assert correlated[0] == pytest.approx(correlated[1], rel=0.02)
    scratch = [transfer.time_to(0.25, theta=0.0, K_cross=0.15, T=T, **CONSTANTS) for T in (10**3, 10**6)]
    assert scratch[1] - scratch[0] == pytest.approx(np.log(1000) / np.sqrt(0.125), rel=0.01)
    uncorrelated = transfer.time_to(0.25, K_cross=0.0, T=10**6, **CONSTANTS)
    assert uncorrelated > scratch[1]  # worse than no pretraining at all
    assert transfer.time_to(0.25, K_cross=0.0, T=10**6, longest=10.0, **CONSTANTS) == np.inf
    alpha, beta, _ = transfer.flow(t=[40.0], K_cross=-0.1, T=10**3, **CONSTANTS)
    assert alpha[0] < 0
    assert alpha[0] * beta[0] == pytest.approx(1, abs=0.02)


def test_another_law_costs_variance_and_no_time():
    task = scb.SCB.random(3, 50, 2, seed=0)
    hat = transfer.pretrained(task, 0.5 * task.K_P, seed=1)
    none, some = transfer.other_law(task, hat, [0.0, 0.6], samples=60_000)
    assert none.offset == pytest.approx(0, abs=1e-12)
    assert none.predicted == pytest.approx(1)
    assert none.measured == pytest.approx(1)
    assert some.offset > 0.1
    assert some.K_cross == pytest.approx(0.4 * none.K_cross)
    assert some.predicted > 1.05
    assert some.measured == pytest.approx(some.predicted, rel=0.05)
    assert some.time_uncentred == pytest.approx(some.time_centred, rel=1e-6)
    assert some.time_centred > none.time_centred


def test_mistakes_are_refused(task):
    N = task.vocab_size
    with pytest.raises(ShapeMismatch, match="P_hat"):
        transfer.start(task, np.eye(N + 1))
    with pytest.raises(NotADistribution, match="P_hat"):
        transfer.start(task, np.full((N, N), 0.9))
    with pytest.raises(NotADistribution):
        transfer.start(task, np.full((N, N), np.nan))
    with pytest.raises(InvalidArgument, match="Cauchy"):
        transfer.velocity(0, 0, 1, K_P=0.1, K_Q=0.5, T=100, K_hat=0.1, K_cross=0.2)
    with pytest.raises(InvalidArgument, match="amount"):
        transfer.shifted(task, task.P, 1.0)
    with pytest.raises(InvalidArgument, match="times are finite"):
        transfer.flow(t=[np.nan], K_cross=0.1, T=100, **CONSTANTS)


def test_transfer_on_every_backend(backend, agree):
    task = scb.SCB.random(3, 20, 2, seed=0, backend=backend)
    hat = transfer.pretrained(task, 0.5 * task.K_P, seed=1)
    host = scb.SCB.random(3, 20, 2, seed=0)
    expected = transfer.start(host, transfer.pretrained(host, 0.5 * host.K_P, seed=1), 0.8)
    agree(backend, transfer.start(task, hat, 0.8).V, expected.V)
    assert transfer.correlations(task, hat).K_cross == pytest.approx(0.5 * host.K_P, rel=1e-5)


@pytest.mark.parametrize("seed", [None, -1, 0.5, True])
def test_what_is_drawn_can_be_drawn_again(seed):
    task = scb.SCB.random(3, 20, 2, seed=0)
    for call, arguments in ((transfer.pretrained, [0.01]), (transfer.shifted, [task.P, 0.1])):
        with pytest.raises(InvalidArgument, match="seed is"):
            call(task, *arguments, seed=seed)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_truth_itself_and_its_mirror_image_meet_cauchy_and_schwarz(sign):
    system = {"K_P": 0.3, "K_Q": 0.4, "T": 20}
    transfer.velocity(0.1, 0.2, 0.3, K_hat=0.3, K_cross=sign * 0.3, **system)
    with pytest.raises(InvalidArgument, match="Cauchy"):
        transfer.velocity(0.1, 0.2, 0.3, K_hat=0.3, K_cross=sign * 0.3 * (1 + 1e-8), **system)


@pytest.mark.parametrize(
    "option",
    [{"samples": np.nan}, {"samples": -5}, {"samples": 2.5}, {"level": np.nan}, {"level": "half"}, {"level": 0}],
)
def test_the_study_of_another_law_refuses_what_it_cannot_use(task, option):
    with pytest.raises(InvalidArgument, match=rf"{next(iter(option))} is"):
        transfer.other_law(task, task.P, [0.1], **option)


def test_the_study_of_another_law_is_of_a_task_with_something_to_learn():
    one = scb.SCB.random(3, 1, 1, seed=0)
    with pytest.raises(InvalidArgument, match="K_Q is 0 for this task"):
        transfer.other_law(one, transfer.pretrained(one, one.K_P / 2), (0.1,), samples=500)
