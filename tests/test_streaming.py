"""A batch drawn in parts is the batch drawn at once, in bounded memory."""

import tracemalloc

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import memory, streaming
from scbtheory.errors import InvalidArgument


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(vocab_size=3, context_length=101, sparsity=2, seed=0)


def test_parts_of_a_batch_are_its_samples(backend):
    task = scb.SCB.random(vocab_size=3, context_length=101, sparsity=2, seed=0, backend=backend)
    whole = task.sample(20, seed=5, step=2)
    for first, size in ((0, 7), (7, 12), (19, 1)):
        part = task.sample(size, seed=5, step=2, first=first)
        for name in ("tokens", "trigger", "output", "position"):
            expected = backend.to_numpy(getattr(whole, name))[first : first + size]
            np.testing.assert_array_equal(backend.to_numpy(getattr(part, name)), expected)


def test_steps_share_no_bits(task):
    batches = [task.sample(64, seed=5, step=step).tokens for step in range(3)]
    agreement = (task.mu**2).sum()
    for i in range(3):
        for j in range(i):
            assert abs((batches[i] == batches[j]).mean() - agreement) < 5 * (0.25 / batches[i].size) ** 0.5


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("limit", [1, 7 * 101, 2**26])
def test_the_gradient_is_the_batch_s(task, projected, limit):
    theta = scb.Parameters.random(task, seed=1)
    batch = task.sample(30, seed=5, step=2)
    expected = scb.model.minibatch_gradient(task, theta, batch, projected=projected)
    computed = streaming.gradient(task, theta, 30, seed=5, step=2, projected=projected, memory=limit)
    np.testing.assert_allclose(computed.A, expected.A, rtol=0, atol=1e-14)
    np.testing.assert_allclose(computed.V, expected.V, rtol=0, atol=1e-13)


def test_memory_is_bounded_by_the_parameters_and_the_limit():
    task = scb.SCB.random(vocab_size=3, context_length=200_000, sparsity=2, seed=0)
    theta = scb.Parameters.initial(task)
    task.sample(1, seed=0)  # what the task keeps
    tracemalloc.start()
    streaming.gradient(task, theta, 200, seed=0, memory=2**22)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22 + 6 * theta.A.nbytes < 200 * task.sample_bytes


def test_a_batch_beyond_the_memory_is_refused_with_the_way_out(task, monkeypatch):
    monkeypatch.setattr("scbtheory.task.available", lambda backend: 2**30)
    with pytest.raises(InvalidArgument, match=r"needs 9.41 GiB .* but 1 GiB are available; use .*streaming.gradient"):
        task.sample(10**8, seed=0)


@pytest.mark.parametrize(
    ("meminfo", "maximum", "expected"),
    [
        ("MemTotal: 9 kB\nMemAvailable:    4 kB\n", None, 4096),
        ("MemAvailable: 4 kB\n", "max", 4096),
        ("MemAvailable: 4 kB\n", "3000", 2000),
        ("MemTotal: 9 kB\n", "3000", 2000),
        (None, None, None),
    ],
)
def test_available_memory_is_the_machine_s_or_the_container_s(tmp_path, monkeypatch, meminfo, maximum, expected):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    if meminfo is not None:
        (tmp_path / "meminfo").write_text(meminfo)
    if maximum is not None:
        (tmp_path / "memory.max").write_text(maximum)
        (tmp_path / "memory.current").write_text("1000")
    assert memory.available(scb.get_backend("numpy")) == expected


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_size": 1.5}, {"memory": 0}])
def test_wrong_numbers_are_errors(task, wrong):
    theta = scb.Parameters.initial(task)
    arguments = {"batch_size": 4, "seed": 0} | wrong
    with pytest.raises(InvalidArgument, match="expected a whole number"):
        streaming.gradient(task, theta, **arguments)


@pytest.mark.parametrize("first", [-1, 2**40, 0.5])
def test_a_wrong_first_sample_is_an_error(task, first):
    with pytest.raises(InvalidArgument, match="first is"):
        task.sample(4, seed=0, first=first)
