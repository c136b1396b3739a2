"""The refit and the moment statistic on the device: their sources compiled for a CPU, against the CPU's own loops."""

import numpy as np
import pytest
from emulator import Emulator, compiled_by_nvcc

import scbtheory as scb
from scbtheory import training
from scbtheory.kernels import device, device_stages, host, moments, supported
from scbtheory.kernels.stream import Stream
from scbtheory.task import TOKENS

RECORDS = {"refit": "Refit", "moments": "Moments"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return {
        name: Emulator(tmp_path_factory.mktemp(name), device.source(name), device_stages.KERNELS[name], record)
        for name, record in RECORDS.items()
    }


@pytest.fixture
def emulators(compiled, monkeypatch):
    monkeypatch.setattr(device_stages, "kernel", lambda source, *rest: compiled[source].kernel(*rest))
    monkeypatch.setattr(device_stages, "arrays", lambda: np)
    for emulator in compiled.values():
        emulator.launches.clear()
        emulator.order = 0
    return compiled


def refit(N, m, dtype, seed=1):
    """The arguments of ``descend`` from a point near the truth; the second column's row has room."""
    task = scb.SCB.random(N, 80, m, seed=seed, dtype=dtype)
    on = task.Q.T > 0
    positions = np.argsort(~on, axis=1, kind="stable")[:, :m]
    on = np.take_along_axis(on, positions, axis=1).astype(dtype)
    if m > 1:
        on[1, -1] = 0
    rng = np.random.default_rng(2)
    A = (on / on.sum(axis=1, keepdims=True)).astype(dtype)
    V = (task.P.T + 0.1 * rng.standard_normal((N, N))).astype(dtype)
    sums = [np.zeros((3, N, m), dtype=dtype), np.zeros((3, N, N), dtype=dtype)]
    return task, positions, on, (A, V), sums


def run(descend, N, m, size, steps, dtype="float64", bound=1e4, length=4, filled=3, rate=0.1):
    task, positions, on, iterate, sums = refit(N, m, dtype)
    place, purposes = (5, 1, 7), training._refit.PURPOSES
    done, last = descend(
        task, purposes, place, size, steps, positions, on, iterate, (rate, rate), sums, filled, length, bound
    )
    return done, last, *iterate, *sums


@pytest.mark.parametrize(("N", "m", "size", "steps"), [(3, 2, 50, 9), (2, 1, 300, 3), (16, 3, 40, 2), (40, 2, 30, 2)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_refit_is_the_cpus(emulators, N, m, size, steps, dtype):
    ours, theirs = (run(f, N, m, size, steps, dtype) for f in (device_stages.descend, supported.descend))
    assert ours[0] == theirs[0] == steps
    for computed, expected in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(computed, expected, rtol=0, atol=(1e-13 if dtype == "float64" else 3e-6))
    assert len(emulators["refit"].launches) == 1


def test_a_step_beyond_the_bound_is_undone(emulators):
    ours, theirs = (run(f, 3, 2, 20, 9, bound=40.0, rate=3.0) for f in (device_stages.descend, supported.descend))
    assert 1 < ours[0] == theirs[0] < 9
    for computed, expected in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(computed, expected, rtol=1e-11)


def test_what_does_not_fit_the_fast_memory_lies_outside(emulators, monkeypatch):
    expected = run(device_stages.descend, 3, 2, 50, 5)
    monkeypatch.setattr(device_stages, "FAST", 4096)
    computed = run(device_stages.descend, 3, 2, 50, 5)
    assert emulators["refit"].launches[0][3] > emulators["refit"].launches[1][3] == 8 * device.THREADS
    for ours, theirs in zip(computed, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_order_of_threads_does_not_matter(emulators):
    results = []
    for emulators["refit"].order in (0, 1, 2):
        results.append(run(device_stages.descend, 3, 2, 50, 5))
    for other in results[1:]:
        for ours, theirs in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("N", "T"), [(3, 300), (16, 130), (21, 50)])
def test_the_moment_sums_are_the_cpus_bit_for_bit(emulators, monkeypatch, N, T):
    """At 21 tokens the counts lie outside the fast memory, in fewer blocks than there is work for."""
    monkeypatch.setattr(device_stages, "MEMORY", 2**20)
    task, rng = scb.SCB.random(N, T, 2, seed=0), np.random.default_rng(1)
    trigger, output = rng.integers(N, size=(2, 400))
    arguments = Stream.of(3, 1, TOKENS), task._trigger_cdf, 11, trigger, output, T, task.mu
    for ours, theirs in zip(device_stages.moment_sums(*arguments), moments.statistic(*arguments), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert emulators["moments"].launches[0][1] == {3: 9, 16: 32, 21: 4}[N]


@pytest.fixture
def on_device(emulators, tmp_path_factory, monkeypatch):
    """NumPy's backend with the device's loops."""
    sources = ("step", "gradient"), device.STEP_KERNELS
    step = Emulator(tmp_path_factory.mktemp("step"), device.source(*sources[0]), sources[1], "Step")
    monkeypatch.setattr(device, "kernel", step.kernel)
    for name, module in (("step_gradient", device), ("descend", device_stages), ("moment_sums", device_stages)):
        monkeypatch.setattr(host, name, getattr(module, name), raising=False)
    return step


@pytest.mark.parametrize("packed", [True, False])
def test_a_training_run_follows_the_cpus(request, packed):
    task = scb.SCB.random(3, 60, 2, seed=1)
    stages = training.algorithm(task, batch_sizes=(800, 500, 64), tolerance=2e-3)
    expected = training.train(task, stages, seed=2, packed=packed)
    step = request.getfixturevalue("on_device")
    computed = training.train(task, stages, seed=2, packed=packed)
    assert [b.step for b in computed.boundaries] == [b.step for b in expected.boundaries]
    assert computed.status == "finished"
    np.testing.assert_allclose(computed.loss, expected.loss, rtol=0, atol=1e-12)
    np.testing.assert_allclose(computed.theta.A, expected.theta.A, rtol=0, atol=1e-10)
    assert len(step.launches) == 6 * computed.boundaries[1].step


def test_a_search_by_moments_finds_what_the_cpu_finds(request):
    task = scb.SCB.random(3, 60, 2, seed=1)
    stages = training.algorithm(task, first="moments", tolerance=2e-3)
    expected = training.train(task, stages, seed=2)
    request.getfixturevalue("on_device")
    computed = training.train(task, stages, seed=2)
    np.testing.assert_allclose(computed.theta.A, expected.theta.A, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", RECORDS)
def test_nvcc_compiles(tmp_path, name):
    compiled_by_nvcc(tmp_path, device.source(name), device_stages.KERNELS[name], RECORDS[name])
