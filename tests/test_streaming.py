"""A batch drawn in parts is the batch drawn at once, in bounded memory."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import memory, streaming
from scbtheory.errors import InvalidArgument, MixedBackends
from scbtheory.kernels import packing, threads


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


def unpacked(task, parts):
    """The samples of packs as a batch."""
    N, host = task.vocab_size, task.backend.to_numpy
    m, tokens, trigger, output = packing.width(N), [], [], []
    for packs in parts:
        seat = host(packs.seat)
        tokens.append(packing.decode(host(packs.codes).astype(int)[seat // m], (seat % m)[:, None], N))
        trigger.append(host(packs.trigger))
        output.append(host(packs.output))
    arrays = (task.backend.asarray(np.concatenate(x), task.token_dtype) for x in (tokens, trigger, output))
    return scb.Batch(*arrays, position=None)


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("limit", [1, 7 * 101, 2**26])
@pytest.mark.parametrize("vocab_size", [2, 3, 16, 17])
def test_the_packed_gradient_is_its_samples_(backend, agree, vocab_size, projected, limit):
    if not isinstance(backend.xp.zeros(1), np.ndarray) and vocab_size > 3 and limit < 2**26:
        pytest.skip("slow without compiled loops, and covered by the other sizes")
    task = scb.SCB.random(vocab_size, context_length=101, sparsity=2, seed=0, backend=backend)
    theta = scb.Parameters.random(task, seed=1)
    batch = unpacked(task, streaming.draw_packs(task, 30, seed=5, step=2, memory=limit))
    assert len(batch) == 30
    expected = scb.model.minibatch_gradient(task, theta, batch, projected=projected)
    computed = streaming.gradient(task, theta, 30, seed=5, step=2, projected=projected, packed=True, memory=limit)
    agree(backend, computed.A, backend.to_numpy(expected.A))
    agree(backend, computed.V, backend.to_numpy(expected.V))


def test_memory_does_not_change_the_packed_samples(task):
    whole, parts = (unpacked(task, streaming.draw_packs(task, 50, seed=5, memory=m)) for m in (2**26, 400))
    order, other = (np.lexsort(np.column_stack([b.trigger, b.output, b.tokens]).T) for b in (whole, parts))
    for name in ("tokens", "trigger", "output"):
        np.testing.assert_array_equal(getattr(whole, name)[order], getattr(parts, name)[other])


def test_packed_steps_share_no_bits_with_each_other_or_with_samples(task):
    batches = [unpacked(task, streaming.draw_packs(task, 64, seed=5, step=step)).tokens for step in range(2)]
    batches.append(task.sample(64, seed=5, step=0).tokens)
    [packs] = streaming.draw_packs(task, 64, seed=5)
    batches.append(packing.decode(packs.codes, packing.width(3) - 1, 3))  # what the leading bits of a code decide
    batches.append(np.resize(batches[2], batches[3].shape))
    agreement = (task.mu**2).sum()
    for a, b in [(0, 1), (0, 2), (1, 2), (3, 4)]:
        assert abs((batches[a] == batches[b]).mean() - agreement) < 5 * (0.25 / batches[a].size) ** 0.5


@pytest.mark.parametrize("packed", [False, True])
def test_later_samples_of_a_step_are_others(task, packed):
    """``first`` goes on where the samples before ended: no bits are shared, and plain batches add up."""
    theta = scb.Parameters.random(task, seed=1)
    whole, start, rest = (
        streaming.gradient(task, theta, size, seed=5, first=first, packed=packed)
        for size, first in ((30, 0), (20, 0), (10, 20))
    )
    total = (20 * start.A + 10 * rest.A) / 30
    assert np.allclose(total, whole.A, rtol=0, atol=1e-14) != packed
    batches = [unpacked(task, streaming.draw_packs(task, 64, seed=5, first=first)).tokens for first in (0, 64)]
    agreement = (task.mu**2).sum()
    assert abs((batches[0] == batches[1]).mean() - agreement) < 5 * (0.25 / batches[0].size) ** 0.5


def test_packed_batches_of_a_step_use_bits_that_do_not_meet(task, monkeypatch):
    drawn, real = [], task.backend.kernels.draw
    chosen, invert = {}, streaming.choose

    def draw(backend, stream, shape, *rest, first):
        drawn.append((first, first + int(np.prod(shape))))
        return real(backend, stream, shape, *rest, first=first)

    def choose(stream, index, *rest):
        chosen.setdefault(stream, []).extend(index.tolist())
        return invert(stream, index, *rest)

    monkeypatch.setattr(task.backend.kernels, "draw", draw)
    monkeypatch.setattr(streaming, "choose", choose)
    for first, size in ((0, 7), (7, 50), (57, 3)):
        list(streaming.draw_packs(task, size, seed=5, first=first, memory=400))
    assert all(stop <= start for (_, stop), (start, _) in pairwise(drawn))
    assert len(chosen) == 3  # triggers, positions, outputs
    for index in chosen.values():
        assert sorted(index) == list(range(60))


@pytest.mark.parametrize("projected", [False, True])
def test_the_packed_gradient_has_the_law_of_the_other(projected):
    """Mean: the population gradient (plain) within its standard errors; variances: those of the unpacked path."""
    task = scb.SCB.random(vocab_size=3, context_length=12, sparsity=2, seed=0)
    theta, steps = scb.Parameters.random(task, seed=1, admissible=True), 4000

    def draws(packed):
        found = [
            streaming.gradient(task, theta, 7, seed=8, step=i, projected=projected, packed=packed) for i in range(steps)
        ]
        return np.array([np.concatenate([g.A.ravel(), g.V.ravel()]) for g in found])

    ours, theirs = draws(True), draws(False)
    if not projected:
        exact = scb.population.gradient(task, theta)
        error = ours.mean(axis=0) - np.concatenate([exact.A.ravel(), exact.V.ravel()])
        z = error / (ours.std(axis=0, ddof=1) / steps**0.5)
        assert np.abs(z).max() < 4.2
        assert 0.5 < (z**2).mean() < 1.7
    difference = ours.mean(axis=0) - theirs.mean(axis=0)
    assert np.abs(difference / ((ours.var(axis=0) + theirs.var(axis=0)) / steps) ** 0.5).max() < 4.2
    spread = [((x - x.mean(axis=0)) ** 2) for x in (ours, theirs)]
    gap = spread[0].mean(axis=0) - spread[1].mean(axis=0)
    assert np.abs(gap / ((spread[0].var(axis=0) + spread[1].var(axis=0)) / steps) ** 0.5).max() < 4.2


@pytest.mark.parametrize("packed", [False, True])
def test_threads_change_no_bit_of_a_gradient(monkeypatch, packed):
    task = scb.SCB.random(vocab_size=3, context_length=5001, sparsity=2, seed=0)
    theta = scb.Parameters.random(task, seed=1)
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    found = []
    for n in (1, 2, 5):
        monkeypatch.setattr(threads, "THREADS", n)
        found.append(streaming.gradient(task, theta, 33, seed=3, packed=packed, projected=True))
    for other in found[1:]:
        np.testing.assert_array_equal(other.A, found[0].A)
        np.testing.assert_array_equal(other.V, found[0].V)


def test_a_token_that_no_byte_holds_is_not_packed():
    task = scb.SCB.random(vocab_size=257, context_length=30, sparsity=2, seed=0)
    theta = scb.Parameters.random(task, seed=1)
    plain, packed = (streaming.gradient(task, theta, 9, seed=3, packed=p) for p in (False, True))
    np.testing.assert_array_equal(packed.A, plain.A)


def test_the_largest_token_of_a_byte_is_drawn():
    task = scb.SCB.random(vocab_size=256, context_length=30, sparsity=2, seed=0)
    batch = unpacked(task, streaming.draw_packs(task, 2000, seed=5))
    assert (batch.tokens.min(), batch.tokens.max()) == (0, 255)
    theta = scb.Parameters.random(task, seed=1)
    plain, packed = (streaming.gradient(task, theta, 9, seed=3, packed=p) for p in (False, True))
    assert not np.array_equal(packed.A, plain.A), "a byte holds these tokens: they come from the codes' stream"


def test_threads_do_not_share_the_memory_of_codes(task):
    theta = scb.Parameters.random(task, seed=1)

    def work(step):
        return streaming.gradient(task, theta, 200, seed=5, step=step, packed=True).A

    alone = [work(step) for step in range(40)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(40)))
    np.testing.assert_array_equal(alone, together)


def test_the_columns_of_attention_are_contiguous(task):
    theta = scb.Parameters.random(task, seed=1)
    gradient = streaming.gradient(task, theta, 4, seed=0, packed=True)
    for A in (theta.A, scb.Parameters.initial(task).A, gradient.A, (theta - 0.1 * gradient).A):
        assert A.T.flags.c_contiguous


@pytest.mark.parametrize("packed", [False, True])
def test_parameters_of_another_library_are_an_error(task, strict, packed):
    theta = scb.Parameters.initial(task.on(strict))
    with pytest.raises(MixedBackends):
        streaming.gradient(task, theta, 4, seed=0, packed=packed)


@pytest.mark.parametrize("packed", [False, True])
def test_memory_is_bounded_by_the_parameters_and_the_limit(packed):
    task = scb.SCB.random(vocab_size=3, context_length=200_000, sparsity=2, seed=0)
    theta = scb.Parameters.initial(task)
    streaming.gradient(task, theta, 1, seed=0, packed=packed)  # what the task keeps, and compiled code
    tracemalloc.start()
    streaming.gradient(task, theta, 400, seed=0, packed=packed, memory=2**23)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23 + 2.2 * theta.A.nbytes < 2 * 2**23 + theta.A.nbytes  # a sum, a part, but never two parts
    assert peak < 400 * task.sample_bytes


def test_a_batch_beyond_the_memory_is_refused_with_the_way_out(task, monkeypatch):
    monkeypatch.setattr("scbtheory.memory.available", lambda: 2**30)
    with pytest.raises(InvalidArgument, match=r"needs 9.41 GiB .* but 1 GiB are available; use .*streaming.gradient"):
        task.sample(10**8, seed=0)
    wide = scb.SCB.random(3, 4, 2, seed=0)
    for packed in (False, True):
        with pytest.raises(
            InvalidArgument, match=r"needs 1.49 GiB for its triggers, .* but 1 GiB are available; add up"
        ):
            streaming.gradient(wide, scb.Parameters.initial(wide), 10**8, seed=0, packed=packed)


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
    assert scb.get_backend("numpy").free_memory() == expected


WRONG = [{"batch_size": 0}, {"batch_size": 1.5}, {"memory": 0}, {"seed": -1}, {"step": 2**24}, {"seed": 0.5}]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_numbers_are_errors(task, wrong, packed):
    theta = scb.Parameters.initial(task)
    arguments = {"batch_size": 4, "seed": 0} | wrong
    with pytest.raises(InvalidArgument, match="expected a whole number"):
        streaming.gradient(task, theta, packed=packed, **arguments)


def test_a_packed_batch_beyond_a_step_s_stream_is_an_error(task):
    with pytest.raises(InvalidArgument, match="batch_size is 10886519797"):
        next(streaming.draw_packs(task, 10886519797, seed=0))


@pytest.mark.parametrize("first", [-1, 2**40, 0.5])
def test_a_wrong_first_sample_is_an_error(task, first):
    with pytest.raises(InvalidArgument, match="first is"):
        next(streaming.draw_packs(task, 4, seed=0, first=first))
    with pytest.raises(InvalidArgument, match="first is"):
        task.sample(4, seed=0, first=first)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({"seed": 2**64}, f"seed is {2**64}; expected a whole number, at least 0 and below {2**64}"),
        ({"seed": 0, "step": 2**24}, f"step is {2**24}; .* below {2**24}"),
        ({"seed": 0, "first": 2**40 // 8 - 4}, f"first is {2**40 // 8 - 4}; .* below {2**40 // 8 - 4}"),
    ],
)
def test_samples_beyond_a_step_are_refused(packed, where, says):
    task = scb.SCB.random(3, 8, 2, seed=0)
    with pytest.raises(InvalidArgument, match=says):
        streaming.gradient(task, scb.Parameters.initial(task), 5, packed=packed, **where)


@pytest.mark.parametrize("packed", [False, True])
def test_the_last_samples_of_a_step_are_drawn(packed):
    task = scb.SCB.random(3, 8, 2, seed=0)
    last = streaming.gradient(task, scb.Parameters.initial(task), 5, seed=0, first=2**40 // 8 - 5, packed=packed)
    assert np.isfinite(last.A).all()
