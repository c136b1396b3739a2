"""What the noise formulas refuse, and that they say what came in."""

import math

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import dynamics, noise
from scbtheory.errors import InvalidArgument, MixedBackends, ShapeMismatch

TASK = scb.SCB.random(3, 20, 2, seed=0)
THETA = dynamics.lift(TASK, 0.5, 0.5)


@pytest.mark.parametrize("bad", [0, -1, np.nan, np.inf, "many", None, True])
@pytest.mark.parametrize(
    "call",
    [
        lambda x: noise.threshold(TASK, THETA, batch_size=x),
        lambda x: noise.threshold(TASK, THETA, batch_size=100, c=x),
        lambda x: noise.passing(TASK, c=x),
        lambda x: noise.proximal_step(TASK, THETA.A, THETA.A, step_size=x, threshold=0.1),
        lambda x: noise.support_batch(TASK, 0.5, 0.5, c=x),
        lambda x: noise.attention_snr(TASK, THETA, batch_size=x),
        lambda x: noise.sign_probability(TASK, batch_size=x, step_size=0.1),
        lambda x: noise.sign_probability(TASK, batch_size=10, step_size=x),
        lambda x: noise.added_variance(TASK, batch_size=x, step_size=0.1),
        lambda x: noise.sign_recursion(TASK, batch_size=x, step_size=0.1),
        lambda x: noise.sign_batch(TASK, x, step_size=0.1),
        lambda x: noise.sign_batch(TASK, 0.9, step_size=x),
        lambda x: noise.sign_steps(TASK, step_size=x),
        lambda x: noise.sign_steps(TASK, step_size=0.1, reach=x),
        lambda x: noise.train_signs(TASK, runs=x, batch_size=4, step_size=0.1, seed=0),
        lambda x: noise.train_signs(TASK, runs=4, batch_size=4, step_size=0.1, seed=0, reach=x),
    ],
)
def test_a_number_out_of_range_is_refused_with_what_came_in(call, bad):
    with pytest.raises(InvalidArgument) as caught:
        call(bad)
    assert repr(bad) in str(caught.value) or str(bad) in str(caught.value)


@pytest.mark.parametrize("function", [noise.support_batch, noise.unthresholded_batch])
def test_a_batch_is_refused_where_there_is_no_signal(function):
    for alpha, beta in ((0.5, 0.0), (2.0, 0.5)):
        with pytest.raises(InvalidArgument, match="vanishes"):
            function(TASK, alpha, beta)
    for alpha in (np.nan, np.inf, "half"):
        with pytest.raises(InvalidArgument, match="alpha"):
            function(TASK, alpha, 0.5)


def test_an_entry_of_Q_below_uniform_is_refused():
    Q = np.full((4, 2), [[0.4], [0.3], [0.2], [0.1]])
    with pytest.raises(InvalidArgument, match="between 0 and 1/T"):
        noise.support_batch(scb.SCB(TASK.P[:2, :2] / TASK.P[:2, :2].sum(axis=0), Q), 0.5, 0.5)


def test_a_task_without_correlation_is_refused():
    flat = scb.SCB(np.full((2, 2), 0.5), np.eye(3)[:, :2])
    for call in (
        lambda: noise.sign_probability(flat, batch_size=4, step_size=0.1),
        lambda: noise.sign_noise(flat),
        lambda: noise.support_batch(flat, 0.5, 0.5),
    ):
        with pytest.raises(InvalidArgument, match="K_P"):
            call()


def test_other_shapes_and_libraries_are_refused(strict):
    with pytest.raises(ShapeMismatch):
        noise.measured_noise(TASK, np.zeros((5, 3)))
    with pytest.raises(ShapeMismatch):
        noise.proximal_step(TASK, THETA.A, np.zeros((5, 3)), step_size=0.1, threshold=0.1)
    other = scb.Parameters.initial(scb.SCB.random(3, 21, 2, seed=0))
    foreign = scb.Parameters.initial(TASK.on(strict))
    for function in (noise.value_gradient_second_moment, noise.noise_scale, noise.attention_noise_variance):
        with pytest.raises(ShapeMismatch):
            function(TASK, other)
        with pytest.raises(MixedBackends):
            function(TASK, foreign)


def test_noise_is_measured_on_the_tasks_own_numbers(strict):
    for gradient in (THETA.A.tolist(), TASK.on(strict).Q, THETA.A.astype(np.float32)):
        with pytest.raises(MixedBackends, match="gradient_A"):
            noise.measured_noise(TASK, gradient)
    with pytest.raises(InvalidArgument, match="gradient_A has entries that are not finite"):
        noise.measured_noise(TASK, np.where(TASK.Q > 0, np.nan, TASK.Q))


@pytest.mark.parametrize("threshold", [-1.0, math.nan, math.inf, "0.1", np.array([0.1, -1.0, 0.1]), np.full(3, np.nan)])
def test_a_threshold_is_not_negative(threshold):
    with pytest.raises(InvalidArgument, match="threshold is"):
        noise.proximal_step(TASK, THETA.A, THETA.A, step_size=0.1, threshold=threshold)


@pytest.mark.parametrize(
    "call",
    [
        lambda short: noise.proximal_step(TASK, short, short, step_size=0.1, threshold=0.1),
        lambda short: noise.proximal_step(TASK, THETA.A, THETA.A, step_size=0.1, threshold=short),
        lambda short: scb.transfer.noise_factor(TASK, short),
    ],
)
def test_arrays_of_another_size_are_refused(call):
    with pytest.raises(ShapeMismatch, match="shape"):
        call(np.zeros((5, 3)))
