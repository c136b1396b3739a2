"""What only a GPU can tell: whole steps, refits and searches agree with the CPU's, twice alike, without waiting."""

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import limits, streaming, training
from scbtheory.backend import get_backend
from scbtheory.errors import BackendUnavailable
from scbtheory.kernels import device

pytestmark = pytest.mark.gpu

SIZES = [  # N, T, B
    (3, 5001, 64), (2, 1000, 300), (5, 4096, 64), (16, 3000, 64), (32, 4096, 256), (64, 512, 128), (200, 700, 64),
    (300, 600, 32), (1000, 300, 16),
]  # fmt: skip


@pytest.fixture(scope="module")
def cupy():
    try:
        get_backend("cupy")
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    return pytest.importorskip("cupy")


def pair(N, T, dtype="float64"):
    here = scb.SCB.random(N, T, 2, seed=1, dtype=dtype)
    there = here.on("cupy", dtype=dtype)
    return here, there, scb.Parameters.random(here, seed=2), scb.Parameters.random(there, seed=2)


@pytest.mark.parametrize("keep", ["fits", "never", "always"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("N", "T", "B"), SIZES)
def test_a_steps_gradient_is_the_cpus(cupy, monkeypatch, N, T, B, packed, keep):
    monkeypatch.setattr(device, "KEEP", keep)
    here, there, theta, theta_there = pair(N, T)
    options = {"seed": 3, "step": 2, "first": 5, "projected": True, "packed": packed}
    computed = streaming.gradient(there, theta_there, B, **options)
    again = streaming.gradient(there, theta_there, B, **options)
    expected = streaming.gradient(here, theta, B, **options)
    for name in "AV":
        ours, theirs = cupy.asnumpy(getattr(computed, name)), getattr(expected, name)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * np.abs(theirs).max())
        np.testing.assert_array_equal(ours, cupy.asnumpy(getattr(again, name)))


def test_bins_in_the_devices_memory(cupy, monkeypatch):
    """The way of more than 8192 tokens, for fewer."""
    here, there, theta, theta_there = pair(130, 700)
    monkeypatch.setattr(device, "WIDE_BINS", 100)
    for cache in (device.source, device.kernel, device.module):
        cache.cache_clear()
    try:
        computed = streaming.gradient(there, theta_there, 64, seed=3)
    finally:
        for cache in (device.source, device.kernel, device.module):
            cache.cache_clear()
    expected = streaming.gradient(here, theta, 64, seed=3)
    np.testing.assert_allclose(cupy.asnumpy(computed.A), expected.A, rtol=0, atol=1e-13 * np.abs(expected.A).max())


def test_single_precision(cupy):
    here, there, theta, theta_there = pair(16, 3000, "float32")
    options = {"seed": 3, "projected": True, "packed": True}
    computed, expected = (streaming.gradient(*x, 256, **options) for x in ((there, theta_there), (here, theta)))
    for name in "AV":
        theirs = getattr(expected, name)
        assert getattr(computed, name).dtype == np.float32
        np.testing.assert_allclose(
            cupy.asnumpy(getattr(computed, name)), theirs, rtol=0, atol=3e-6 * np.abs(theirs).max()
        )


def test_a_batch_in_parts(cupy):
    _, there, _, theta = pair(16, 3000)
    whole, parts = (
        streaming.gradient(there, theta, 256, seed=3, packed=True, projected=True, memory=memory)
        for memory in (2**26, 2**18)
    )
    for name in "AV":
        a, b = (cupy.asnumpy(getattr(x, name)) for x in (whole, parts))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * np.abs(a).max())


def test_a_step_is_six_launches_and_waits_for_nothing(cupy, monkeypatch):
    """A stream that is being captured refuses whatever would wait for it."""
    _, there, _, theta = pair(16, 3000)
    launches, find = [], device.kernel
    monkeypatch.setattr(device, "kernel", lambda *which: (launches.append(which[0]), find(*which))[1])
    streaming.gradient(there, theta, 64, seed=3, packed=True)  # compiles, and makes the arrays between launches
    assert len(launches) <= 6
    assert theta.A.T.flags.c_contiguous  # so that no step copies it
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        streaming.gradient(there, theta, 64, seed=3, packed=True)
        stream.synchronize()
        stream.begin_capture()
        try:
            streaming.gradient(there, theta, 64, seed=3, packed=True)
        finally:
            stream.end_capture()


@pytest.mark.parametrize(("N", "T"), [(3, 200), (16, 300), (40, 200)])
def test_a_refit_is_the_cpus(cupy, N, T):
    found = []
    for name in ("numpy", "cupy"):
        task = scb.SCB.random(N, T, 2, seed=1, backend=name)
        stage = training.Refit(64, tolerance=0.0, max_steps=90)
        found.append(training.train(task, (stage,), start=scb.Parameters.truth(task), seed=4).theta)
    for name in "AV":
        ours, theirs = (cupy.asnumpy(getattr(theta, name)) for theta in reversed(found))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("N", "T"), [(3, 5000), (16, 300), (24, 200)])
def test_the_moment_statistic_is_the_cpus_bit_for_bit(cupy, N, T):
    here, there, *_ = pair(N, T)
    for ours, theirs in zip(*(limits.moment_statistic(task, 3000, seed=5) for task in (there, here)), strict=True):
        np.testing.assert_array_equal(cupy.asnumpy(ours), theirs)


def test_a_training_run_follows_the_cpus(cupy):
    runs = []
    for name in ("numpy", "cupy"):
        task = scb.SCB.random(3, 200, 2, seed=0, backend=name)
        runs.append(training.train(task, training.algorithm(task, tolerance=2e-3), seed=1))
    assert [b.step for b in runs[0].boundaries] == [b.step for b in runs[1].boundaries]
    np.testing.assert_allclose(runs[1].loss, runs[0].loss, rtol=0, atol=1e-11)
