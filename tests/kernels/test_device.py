"""The whole step on the device: its source compiled for a CPU, against the CPU's own loops."""

import numpy as np
import pytest
from emulator import Emulator, compiled_by_nvcc

import scbtheory as scb
from scbtheory import streaming
from scbtheory.kernels import device
from scbtheory.kernels.stream import Stream, uniforms

WIDE_BINS = 100  # here, so that a small vocabulary goes the way of a large one
STEP = device.source("step", "gradient").replace(f"WIDE_BINS {device.WIDE_BINS}", f"WIDE_BINS {WIDE_BINS}")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return Emulator(tmp_path_factory.mktemp("step"), STEP, device.STEP_KERNELS, "Step")


@pytest.fixture
def emulator(compiled, monkeypatch):
    monkeypatch.setattr(device, "kernel", compiled.kernel)
    monkeypatch.setattr(device, "WIDE_BINS", WIDE_BINS)
    compiled.launches.clear()
    compiled.order = 0
    return compiled


def on_device(task, theta, B, *, seed=3, step=2, first=5, projected=True, packed=True, memory=2**26):
    purposes = (1, 2, 3, 4 if packed else 0)
    streams = [Stream.of(seed, step, purpose) for purpose in purposes]
    return device.step_gradient(task, theta, B, streams, first, memory, projected=projected, packed=packed)


def on_host(task, theta, B, *, seed=3, step=2, first=5, **options):
    g = streaming.gradient(task, theta, B, seed=seed, step=step, first=first, **options)
    return g.A, g.V


def close(computed, expected, dtype=np.float64):
    for ours, theirs in zip(computed, expected, strict=True):
        assert ours.dtype == theirs.dtype == dtype
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=(3e-6 if dtype == np.float32 else 2e-14) * scale)


@pytest.mark.parametrize("projected", [True, False])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("keep", ["fits", "never"])
@pytest.mark.parametrize(("N", "T", "B"), [(3, 1030, 37), (2, 601, 64), (16, 517, 40), (33, 260, 70)])
def test_the_gradient_is_the_cpus(emulator, monkeypatch, N, T, B, packed, projected, keep):
    monkeypatch.setattr(device, "KEEP", keep)
    task = scb.SCB.random(N, T, 2, seed=1)
    theta = scb.Parameters.random(task, seed=2)
    options = {"packed": packed, "projected": projected}
    close(on_device(task, theta, B, **options), on_host(task, theta, B, **options))
    assert len(emulator.launches) <= 6


@pytest.mark.parametrize(("N", "T", "B"), [(70, 300, 30), (130, 300, 30), (300, 90, 12)])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("keep", ["fits", "never"])
def test_many_tokens(emulator, monkeypatch, N, T, B, packed, keep):
    """Bins of a block in two halves (70), in the device's memory (130), and products by the array library (300)."""
    monkeypatch.setattr(device, "KEEP", keep)
    task = scb.SCB.random(N, T, 2, seed=1)
    theta = scb.Parameters.random(task, seed=2)
    packed = packed and N <= 256
    close(on_device(task, theta, B, packed=packed), on_host(task, theta, B, packed=packed, projected=True))
    assert any(name.startswith("forward_wide") for name, *_ in emulator.launches)


@pytest.mark.parametrize(("N", "T", "B"), [(3, 1030, 37), (70, 300, 30), (300, 90, 12)])
def test_single_precision(emulator, N, T, B):
    task = scb.SCB.random(N, T, 2, seed=1, dtype="float32")
    theta = scb.Parameters.random(task, seed=2)
    packed = N <= 256
    computed = on_device(task, theta, B, packed=packed)
    close(computed, on_host(task, theta, B, packed=packed, projected=True), np.float32)


@pytest.mark.parametrize(("N", "T", "memory"), [(3, 1030, 20_000), (16, 517, 40_000), (300, 90, 60_000)])
@pytest.mark.parametrize("keep", ["always", "never"])
def test_a_batch_in_parts(emulator, monkeypatch, N, T, memory, keep):
    monkeypatch.setattr(device, "KEEP", keep)
    task = scb.SCB.random(N, T, 2, seed=1)
    theta = scb.Parameters.random(task, seed=2)
    packed = N <= 256
    close(
        on_device(task, theta, 60, packed=packed, memory=memory),
        on_host(task, theta, 60, packed=packed, projected=True),
    )
    assert sum(name.startswith("backward") for name, *_ in emulator.launches) > 1


def test_splits_and_spans_add_up(emulator, monkeypatch):
    """More blocks than columns have tiles, more spans than one."""
    task = scb.SCB.random(2, 5000, 2, seed=1)
    theta = scb.Parameters.random(task, seed=2)
    cut = device.geometry(2, 5000, 300, True, 2**26, 8)
    assert cut.splits > 1
    assert cut.span < 5000
    close(on_device(task, theta, 300), on_host(task, theta, 300, packed=True, projected=True))


@pytest.mark.parametrize("N", [3, 70, 130])
def test_the_order_of_threads_does_not_matter(emulator, N):
    task = scb.SCB.random(N, 300, 2, seed=1)
    theta = scb.Parameters.random(task, seed=2)
    results = []
    for emulator.order in (0, 1, 2):
        results.append(on_device(task, theta, 30))
    for A, V in results[1:]:
        np.testing.assert_array_equal(A, results[0][0])
        np.testing.assert_array_equal(V, results[0][1])


def test_a_model_that_is_no_number_gives_none(emulator):
    task = scb.SCB.random(3, 100, 2, seed=1)
    theta = scb.Parameters.random(task, seed=2)
    theta.A[5, 1] = np.nan
    A, _ = on_device(task, theta, 30, projected=False)
    assert np.isnan(A[:, 1]).all()
    assert np.isfinite(A[:, 0]).all()


def test_large_and_small_attention_is_exact_to_its_column(emulator):
    """Integers are scaled for each column: one with tiny weights loses nothing to one with huge ones."""
    task = scb.SCB.random(3, 300, 2, seed=1)
    theta = scb.Parameters.random(task, seed=2)
    theta.A[:, 0] *= 1e-30
    theta.A[:, 1] *= 1e20
    computed, expected = (f(task, theta, 40, projected=False, packed=True) for f in (on_device, on_host))
    for k in range(3):
        ours, theirs = computed[0][:, k], expected[0][:, k]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14 * np.abs(theirs).max())


@pytest.mark.parametrize("seed", range(4))
def test_the_guide_finds_every_token(compiled_tokens, seed):
    """Every code, with a boundary at, just above or just below it, and many in one cell; bits that settle are drawn."""
    rng = np.random.default_rng(seed)
    bounds = np.sort(rng.choice([rng.random(40) * 65536, rng.integers(0, 65536, 40).astype(float)][seed % 2], 40))
    bounds[10:14] = bounds[10] + np.array([0, 2**-30, 0.5, 0.5])
    bounds[-3:] = 65536.0
    codes = np.arange(65536)
    numbers = rng.integers(0, 2**40, 65536).astype(np.uint64)
    stream = Stream.of(seed, 1, 0)
    rest = uniforms(np, None, stream.refinement, numbers)
    expected = (bounds[None, :] - codes[:, None] <= rest[:, None]).sum(axis=1)
    np.testing.assert_array_equal(compiled_tokens(stream, bounds, codes, numbers), expected)


@pytest.fixture(scope="module")
def compiled_tokens(tmp_path_factory):
    """``token_of`` for many codes and numbers."""
    text = (
        device.source()
        + """
struct Many { Law law; const integer* codes; const word* numbers; integer size; integer* tokens; };
__global__ void many(Many s) {
    for (integer i = 0; i < s.size; ++i) s.tokens[i] = token_of(s.law, s.law.guide, s.codes[i], s.numbers[i]);
}
"""
    )
    emulator = Emulator(tmp_path_factory.mktemp("tokens"), text, ["many"], "Many")

    def tokens(stream, bounds, codes, numbers):
        record, found = device.Record(text, "Many"), np.empty(len(codes), dtype=np.int64)
        guide, codes = device.guide(bounds), codes.astype(np.int64)  # a record has addresses alone: both must live
        record.law(stream, guide, bounds)
        record.set(codes=codes, numbers=numbers, size=len(codes), tokens=found)
        emulator.kernel("many")(1, 32, record, 0)
        return found

    return tokens


TABLE = [  # N, T, B: the sizes that a card is measured at
    (3, 5000, 64), (32, 4096, 256), (16, 100_000, 64), (64, 512, 1024), (32, 4096, 16384), (256, 4096, 4096),
    (3, 10**6, 256), (16, 100_000, 4096), (3, 10**7, 32), (65536, 512, 64), (2, 1, 1), (256, 3, 2),
]  # fmt: skip


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("keep", ["fits", "always", "never"])
@pytest.mark.parametrize(("N", "T", "B"), TABLE)
def test_the_cut_fits_a_card(N, T, B, keep, itemsize):
    """Grids, fast memory and what is held between launches."""
    packed = N <= 256
    cut = device.geometry(N, T, B, packed, 2**26, itemsize, keep)
    assert cut.rows * 1.0 * (-(-T // cut.span)) < 2**31
    assert cut.tiles * N * cut.splits < 2**31
    assert N * (1 + cut.slices) < 2**31
    forward = 16384 + (cut.warps * cut.m * N * 256 if cut.warps else 8 * N if N <= device.WIDE_BINS else 0)
    assert max(forward, device._tile_bytes(cut)) <= 164 * 1024  # an A100's, less than an H100's
    seats = cut.rows * cut.m
    held = 16 * seats * N + cut.rows * (cut.codes * itemsize + 4 * cut.words) + 8 * cut.parts * N**2
    assert cut.words == 0 or cut.codes <= 256
    held += 8 * B + (cut.splits * N * T * itemsize if cut.splits > 1 else 0)
    assert held <= 2**26 or cut.rows == 1
    assert cut.packs >= -(-B // cut.m)


@pytest.mark.parametrize(("N", "T", "B"), [size for size in TABLE if 16 <= size[0] <= 256 and size[2] >= 1024])
def test_large_products_are_cut_into_parts(N, T, B):
    """One part would be one block's work while the card waits: 1.1 ms at (32, 4096, 16384) on an H100."""
    cut = device.geometry(N, T, B, True, 2**26, 8)
    assert cut.parts * (-(-N // (16 * cut.each))) ** 2 >= 16


def test_the_records_fields_are_read_off_the_source():
    assert device.fields(STEP, "Step")[:7] == [
        "law.origin", "law.refinement", "law.guide", "law.boundaries", "law.n_boundaries", "triggers", "positions",
    ]  # fmt: skip


def test_nvcc_compiles_the_step(tmp_path):
    notes = compiled_by_nvcc(tmp_path, device.source("step", "gradient"), device.STEP_KERNELS, "Step")
    assert "0 bytes spill stores" in notes
    assert not any(
        int(line.split(" bytes spill stores")[0].split()[-1]) for line in notes.splitlines() if "spill" in line
    )
