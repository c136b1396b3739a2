"""The packed gradient in one go against the same samples, unpacked and summed by the plain model."""

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import streaming
from scbtheory.kernels import compiled, grouped, packed, packing, reference, threads
from scbtheory.kernels.stream import Stream

SEED, STEP, FIRST = 5, 2, 3


def samples(task, size, *, packed=True):
    """The samples of one batch, of packs or not."""
    if not packed:
        return task.sample(size, seed=SEED, step=STEP, first=FIRST)
    [packs] = streaming.draw_packs(task, size, seed=SEED, step=STEP, first=FIRST)
    N, m = task.vocab_size, packing.width(task.vocab_size)
    tokens = packing.decode(packs.codes.astype(np.int64)[packs.seat // m], (packs.seat % m)[:, None], N)
    return scb.Batch(tokens.astype(np.uint8), packs.trigger, packs.output, position=None)


def grouped_gradient(task, theta, size, *, projected=False, memory=streaming.MEMORY, packed=True):
    streams, first = streaming._streams(task, size, SEED, STEP, FIRST, streaming.CODES if packed else streaming.TOKENS)
    return scb.Parameters(
        *grouped.gradient(task, theta, size, streams, first, memory, projected=projected, packed=packed)
    )


def plan(task, size, memory=streaming.MEMORY):
    """How a batch is divided: pairs or not, packs at once, lanes."""
    streams, _ = streaming._streams(task, size, SEED, STEP, FIRST)
    return grouped.prepared(task, size, streams, memory)[0][1:4]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("memory", [1, streaming.MEMORY])
@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("vocab_size", "context_length", "size"),
    [
        (2, 1001, 60),  # eight tokens in a byte
        (3, 2 * compiled.BLOCK + 3, 1),  # triggers without a sample
        (3, 2 * compiled.BLOCK + 3, 40),
        (3, 1401, 500),  # the packs of a trigger in several lanes
        (16, 130, 70),
        (17, 1155, 90),  # one in a byte, too short for pairs
        (17, 1157, 90),  # pairs; some trigger's last sample has no partner
        (32, 4099, 50),
        (33, 4500, 50),  # too many codes for pairs
        (200, 50, 300),
    ],
)
def test_the_gradient_is_that_of_the_samples(vocab_size, context_length, size, dtype, projected, memory, packed):
    task = scb.SCB.random(vocab_size, context_length, sparsity=2, seed=0, dtype=dtype)
    theta = scb.Parameters.random(task, seed=1)
    batch = samples(task, size, packed=packed)
    expected = scb.model.minibatch_gradient(task, theta, batch, projected=projected)
    computed = grouped_gradient(task, theta, size, projected=projected, memory=memory, packed=packed)
    for ours, theirs in zip((computed.A, computed.V), (expected.A, expected.V), strict=True):
        assert ours.dtype == theirs.dtype
        tolerance = 30 * context_length**0.5 * np.finfo(dtype).eps
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("vocab_size", "context_length", "expected"),
    [(16, 5000, False), (17, 1155, False), (17, 1157, True), (32, 4099, True), (33, 4500, False)],
)
def test_the_sizes_above_join_pairs_where_they_say(vocab_size, context_length, expected):
    task = scb.SCB.random(vocab_size, context_length, sparsity=2, seed=0)
    assert plan(task, 20)[0] == expected


def test_memory_bounds_the_packs_at_once_and_the_lanes(monkeypatch):
    task = scb.SCB.random(3, 1000, sparsity=2, seed=0)
    row, columns = 1000 + 16 * 3**5, 8 * 3 * 1000
    assert plan(task, 700, memory=16 * 7 * row) == (False, 7, min(16 * 7 * row // columns, 700 // 120))
    assert plan(task, 700, memory=3 * columns) == (False, 1, 3)
    assert plan(task, 700, memory=1) == (False, 1, 1)
    assert plan(task, 10**5)[1:] == (grouped.CACHE // row, 16 // 3)
    monkeypatch.setattr(grouped, "CACHE", 0)
    assert plan(task, 700)[1] == 4
    assert plan(task, 600)[2] == 1  # one thread's work
    assert plan(scb.SCB.random(3, 1401, sparsity=2, seed=0), 500)[2] == 4  # a size above
    paired = scb.SCB.random(17, 1157, sparsity=2, seed=0)
    assert plan(paired, 90, memory=1) == (True, 1, 1)


def test_an_odd_number_of_samples_is_among_them():
    """The last sample of such a trigger has no partner."""
    task = scb.SCB.random(17, 1157, sparsity=2, seed=0)
    assert (np.bincount(samples(task, 90).trigger) % 2).any()


@pytest.mark.parametrize(
    ("vocab_size", "context_length", "size"),
    [(3, 5001, 90), (3, 301, 900), (17, 1157, 90), (40, 1001, 90), (40, 1001, 1000)],
)
@pytest.mark.parametrize("packed", [True, False])
def test_threads_change_no_bit(monkeypatch, vocab_size, context_length, size, packed):
    task = scb.SCB.random(vocab_size, context_length, sparsity=2, seed=0)
    theta = scb.Parameters.random(task, seed=1)
    streams, _ = streaming._streams(task, size, SEED, STEP, FIRST)
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    assert grouped.prepared(task, size, streams, streaming.MEMORY, packed)[0][-1] > 1
    found = []
    for n in (1, 2, 5):
        monkeypatch.setattr(threads, "THREADS", n)
        found.append(grouped_gradient(task, theta, size, projected=True, packed=packed))
    for other in found[1:]:
        np.testing.assert_array_equal(other.A, found[0].A)
        np.testing.assert_array_equal(other.V, found[0].V)


@pytest.mark.parametrize(("T", "size", "parts"), [(6400, 90, 4), (6400, 1000, 6), (6401, 90, 16)])
def test_parts_have_many_samples_where_products_cost_something(T, size, parts):
    """More parts would be right, and slower: nothing else would tell."""
    task = scb.SCB.random(40, T, sparsity=2, seed=0)
    streams, _ = streaming._streams(task, size, SEED, STEP, FIRST)
    assert grouped.prepared(task, size, streams, streaming.MEMORY)[0][-1] == parts


@pytest.mark.parametrize("N", [5, 8, 16, 40, 256])
@pytest.mark.parametrize("T", [2, 255, 256, 5000])
@pytest.mark.parametrize("packed", [True, False])
def test_every_part_is_of_one_column_and_lane_or_of_whole_columns(N, T, packed):
    task = scb.SCB.random(N, T, sparsity=2, seed=0)
    for size in (1, 128, 511, 900, 5000, 10**5):
        streams, _ = streaming._streams(task, size, SEED, STEP, FIRST)
        *_, lanes, parts = grouped.prepared(task, size, streams, streaming.MEMORY, packed)[0]
        assert 1 <= parts <= grouped.PARTS
        assert parts == N * lanes if lanes > 1 else parts <= N


def test_a_step_of_one_thread_is_one_call(monkeypatch):
    """It would be right without, and slower: nothing else would tell."""
    task = scb.SCB.random(3, 101, sparsity=2, seed=0)
    monkeypatch.setattr(grouped, "arrange", None)
    streaming.gradient(task, scb.Parameters.initial(task), 30, seed=1, packed=True)


@pytest.mark.parametrize("vocab_size", [3, 17])
def test_packed_batches_go_through_the_cache(monkeypatch, vocab_size):
    """They would be right without, and slower: nothing else would tell."""
    task = scb.SCB.random(vocab_size, 101, sparsity=2, seed=0)
    monkeypatch.setattr(streaming, "draw_packs", None)
    streaming.gradient(task, scb.Parameters.initial(task), 30, seed=1, packed=True)


@pytest.mark.parametrize("vocab_size", [3, 200])
def test_so_do_the_tokens_of_samples_and_no_array_holds_them_all(monkeypatch, vocab_size):
    task = scb.SCB.random(vocab_size, 1001, sparsity=2, seed=0)
    theta = scb.Parameters.random(task, seed=1)
    batch = task.sample(600, seed=1, first=100)
    expected = scb.model.minibatch_gradient(task, theta, batch, projected=True)
    monkeypatch.setattr(scb.SCB, "sample", None)
    learner = scb.training.Learner(task, 1, theta, task.mu, samples=100)
    streamed = streaming.gradient(task, theta, 600, seed=1, first=100, projected=True)
    for gradient in (streamed, learner.gradient(600, projected=True)):
        np.testing.assert_allclose(gradient.A, expected.A, rtol=0, atol=1e-12 * np.abs(expected.A).max())
        np.testing.assert_allclose(gradient.V, expected.V, rtol=0, atol=1e-12 * np.abs(expected.V).max())
    assert learner.samples == 700


def test_samples_are_arranged_by_trigger_as_in_packs():
    cdf, stream, size, m = np.array([0.2, 0.2, 0.7, 1.0]), Stream.of(1, 0, 1), 50, 3  # token 1 never is a trigger
    order, members, packs = packed.arrange(np.uint64(stream.origin), 7, size, cdf, m)
    trigger = compiled.choose(stream, np.arange(7, 7 + size), cdf[None, :], np.zeros(size, dtype=np.int64))
    np.testing.assert_array_equal(order, np.argsort(trigger, kind="stable"))
    np.testing.assert_array_equal(np.diff(members), np.bincount(trigger, minlength=4))
    seat, of = packing.seats(trigger, 4, m)
    np.testing.assert_array_equal(np.diff(packs), np.bincount(of, minlength=4))
    np.testing.assert_array_equal(seat[order] // m, np.repeat(packs[:-1], np.diff(members)) + _rank(members) // m)


def _rank(members):
    return np.concatenate([np.arange(n) for n in np.diff(members)])


@pytest.mark.parametrize(("vocab_size", "m"), [(2, 8), (3, 5), (7, 2), (20, 1)])
def test_codes_and_tokens_sum_as_their_incidence_says(vocab_size, m):
    rng = np.random.default_rng(0)
    D = packing.incidence(vocab_size, m)
    counts, table = rng.standard_normal((6, vocab_size**m)), rng.standard_normal((6 * m, vocab_size))
    np.testing.assert_allclose(packed._of_tokens(counts, m, vocab_size).reshape(6, -1), counts @ D, atol=1e-13)
    np.testing.assert_allclose(packed._of_codes(table, m, vocab_size), table.reshape(6, -1) @ D.T, atol=1e-13)


@pytest.mark.parametrize("codes", [compiled.CROWDED - 1, compiled.CROWDED, 1024])
def test_any_number_of_bins(codes):
    rng = np.random.default_rng(0)
    tokens, weights = rng.integers(codes, size=(5, 1003)).astype(np.uint16), rng.standard_normal((1003, 2))
    trigger, numpy = np.array([0, 1, 0, 1, 1]), scb.get_backend("numpy")
    found = [f.histogram(numpy, tokens, trigger, weights, n_codes=codes) for f in (compiled, reference)]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-13)
