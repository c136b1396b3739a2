"""N6's test of a sign: closed values, every context summed, the limit of long contexts, and what is refused."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

import scbtheory as scb
from scbtheory import noise
from scbtheory.errors import InvalidArgument


@pytest.fixture(scope="module")
def task():
    """Near enough to no bigram that P₋ = 2μ1' - P is one as well."""
    P = 1 / 3 + 0.1 * np.array([[1.0, -2.0, 0.5], [-0.5, 1.0, 1.5], [-0.5, 1.0, -2.0]])
    return scb.SCB(P, scb.SCB.random(3, 5, 2, seed=0).Q)


def longer(task, T):
    return scb.SCB(task.P, np.full((T, 3), 1 / T))


def test_the_coefficient_is_the_sum_over_every_context(task):
    rho = 0.0
    for context in product(range(3), repeat=5):
        n = np.bincount(context, minlength=3)
        up, down = task.P @ n / 5, (2 * task.mu[:, None] - task.P) @ n / 5
        rho += np.prod(task.mu[list(context)]) * np.sqrt(up * down).sum()
    assert noise.bhattacharyya(task) == pytest.approx(rho, rel=1e-12)


def test_the_information_is_its_trace_and_the_limit_of_the_coefficient(task):
    prime = task.P - task.mu[:, None]
    J = np.trace(np.diag(1 / task.mu) @ prime @ task.C @ prime.T)
    assert noise.sign_information(task) == pytest.approx(J, rel=1e-12)
    assert 200 * (1 - noise.bhattacharyya(longer(task, 200))) == pytest.approx(J / 2, rel=0.02)


def test_the_bound_on_the_error_is_le_cams():
    assert noise.sign_error_bound(0.6, 1) == pytest.approx(0.1)
    assert noise.sign_error_bound(0.9, 3.5) == pytest.approx(0.5 * (1 - math.sqrt(1 - 0.9**7)))
    assert (noise.sign_error_bound(0, 1), noise.sign_error_bound(1, 1)) == (0, 0.5)


def test_the_test_errs_by_the_normal_law_and_samples_solve_for_it(task):
    each = 5 / noise.sign_information(task)  # samples of unit signal
    assert noise.sign_test_error(task, each) == pytest.approx(norm.cdf(-1))
    assert noise.sign_test_error(task, 4 * each) == pytest.approx(norm.cdf(-2))
    for delta in (0.01, 0.4):
        assert noise.sign_samples(task, delta) == pytest.approx(each * math.log(1 / (4 * delta * (1 - delta))))


@pytest.mark.parametrize("delta", [0, 0.5, -0.1, 0.7, math.nan])
def test_errors_that_no_test_is_asked_for_are_refused(task, delta):
    with pytest.raises(InvalidArgument, match="delta is"):
        noise.sign_samples(task, delta)


@pytest.mark.parametrize("rho", [-0.1, 1.1, math.nan])
def test_a_coefficient_is_between_0_and_1(rho):
    with pytest.raises(InvalidArgument, match="rho is"):
        noise.sign_error_bound(rho, 1)


def test_what_has_no_mirror_image_too_many_contexts_or_no_sign_is_refused(task):
    with pytest.raises(InvalidArgument, match="expected none below 0"):
        noise.bhattacharyya(scb.SCB.random(3, 5, 2, seed=0))
    with pytest.raises(InvalidArgument, match="1127251 histograms"):
        noise.bhattacharyya(longer(task, 1500))
    with pytest.raises(InvalidArgument, match="P' is 0"):
        noise.sign_samples(scb.SCB(np.full((2, 2), 0.5), np.eye(2)), 0.1)


@pytest.mark.filterwarnings("ignore::scbtheory.noise.BatchTooSmall")
@pytest.mark.parametrize("corrected", [False, True])
def test_the_batch_for_a_probability_has_that_probability(corrected):
    task, options = scb.SCB.random(3, 300, 2, seed=0), {"step_size": 0.3, "corrected": corrected}
    for probability in (0.75, 0.9, 0.99):
        batch = noise.sign_batch(task, probability, **options)
        found = noise.sign_probability(task, batch_size=batch, **options)
        assert found == pytest.approx(probability, rel=1e-9)
    with pytest.raises(InvalidArgument, match=r"probability is 0\.5; expected a number above 0.5"):
        noise.sign_batch(task, 0.5, **options)


def test_the_steps_are_those_of_the_recursions_mean():
    task, options = scb.SCB.random(3, 300, 2, seed=0), {"step_size": 0.3, "attention_step_size": 0.2}
    for reach in (0.01, 0.5):
        n = noise.sign_steps(task, reach=reach, **options)
        assert noise.sign_recursion(task, batch_size=1, **options).mean(n) == pytest.approx(reach, rel=1e-12)
