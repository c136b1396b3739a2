"""Sticky chains: correlation and its inverse, and the sampler of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scbtheory as scb
from scbtheory import limits
from scbtheory.errors import InvalidArgument


@given(st.floats(0, 0.95), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_correlate_is_the_matrix_and_decorrelate_undoes_it(rate, T, seed):
    M = np.random.default_rng(seed).normal(size=(T, 3))
    matrix = rate ** np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
    np.testing.assert_allclose(limits.correlate(M, rate), matrix @ M, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(limits.decorrelate(matrix @ M, rate), M, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan"), "half", True])
def test_a_stickiness_out_of_range_is_refused(rate):
    for call in (limits.correlate, limits.decorrelate):
        with pytest.raises(InvalidArgument, match="stickiness is"):
            call(np.eye(3), rate)


@pytest.mark.parametrize("columns", [[1.0, np.nan], np.array([1.0, 2.0j]), ["1", "2"], "12", 3.0, [[1.0], [2.0, 3.0]]])
def test_columns_are_real_numbers_by_position(columns):
    for call in (limits.correlate, limits.decorrelate):
        with pytest.raises(InvalidArgument, match=r"columns (is|has)"):
            call(columns, 0.5)


def test_a_chain_repeats_its_tokens_and_outputs_copy_from_it():
    task = scb.SCB.random(3, 20, 2, seed=1)
    batch = limits.chain_batch(task, 20_000, 0.4, seed=2)
    repeats = (batch.tokens[:, 1:] == batch.tokens[:, :-1]).mean()
    stated = 0.4 + 0.6 * np.sum(task.mu**2)
    assert abs(repeats - stated) < 5e-3
    np.testing.assert_allclose(np.bincount(batch.tokens[:, 7], minlength=3) / 20_000, task.mu, atol=0.02)
    copied = batch.tokens[np.arange(20_000), batch.position]
    joint = np.zeros((3, 3))
    np.add.at(joint, (batch.output, copied), 1 / 20_000)
    np.testing.assert_allclose(joint, task.P * task.mu, atol=0.015)


def test_without_stickiness_tokens_are_the_tasks_own():
    task = scb.SCB.random(4, 15, 2, seed=1)
    chain, plain = limits.chain_batch(task, 50, 0.0, seed=2, step=3), task.sample(50, seed=2, step=3)
    for name in ("tokens", "trigger", "position"):
        np.testing.assert_array_equal(getattr(chain, name), getattr(plain, name))
