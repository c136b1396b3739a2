"""The gradient of a small batch in one compiled call is the assembly's, and is used where it may be: not on copies."""

from dataclasses import replace

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import model
from scbtheory.kernels import small

SIZES = [(2, 3, 1, 1), (3, 200, 2, 64), (5, 37, 3, 300), (32, 50, 2, 17), (3, 5000, 2, 13)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize(("N", "T", "s", "B"), SIZES)
def test_it_is_what_the_assembly_gives(N, T, s, B, projected, dtype):
    task = scb.SCB.random(N, T, s, seed=N, dtype=dtype)
    theta = scb.Parameters.random(task, seed=1)
    batch = task.sample(B, seed=2)
    mu = np.where(np.arange(N) == 1, 0, task.mu).astype(dtype) if N > 2 else task.mu
    for frequencies in (None, mu):
        options = {"projected": projected, "mu": frequencies}
        found = model.contributions(task, theta, batch, 2 * B, **options)
        expected = model.contributions(task, theta, replace(batch), 2 * B, **options)
        for mine, theirs in zip(found, expected, strict=True):
            assert mine.dtype == theirs.dtype
            assert mine.flags.f_contiguous == theirs.flags.f_contiguous
            scale = np.abs(theirs).max() + 1e-30
            np.testing.assert_allclose(mine / scale, theirs / scale, rtol=0, atol=64 * np.finfo(dtype).eps)


def test_small_batches_take_it_and_no_others(monkeypatch):
    task = scb.SCB.random(3, 200, 2, seed=0)
    theta, calls = scb.Parameters.random(task, seed=1), []
    loop = small._small
    monkeypatch.setattr(small, "_small", lambda *arguments: (calls.append(0), loop(*arguments)))
    drawn = task.sample(small.FEW // 200, seed=0)
    for batch, expected in ((drawn, 1), (replace(drawn), 0), (task.sample(small.FEW, seed=0), 0)):
        calls.clear()
        model.minibatch_gradient(task, theta, batch)
        assert len(calls) == expected
    many = scb.SCB.random(small.SMALL + 1, 50, 2, seed=0)
    model.minibatch_gradient(many, scb.Parameters.random(many, seed=1), many.sample(4, seed=0))
    assert len(calls) == 0


def test_a_training_run_takes_it(monkeypatch):
    task, calls = scb.SCB.random(3, 50, 2, seed=0), []
    loop = small._small
    monkeypatch.setattr(small, "_small", lambda *arguments: (calls.append(0), loop(*arguments)))
    scb.training.train(task, scb.training.sgd(0.01, batch_size=32), seed=0, max_samples=320, mu="estimated")
    assert len(calls) == 10
