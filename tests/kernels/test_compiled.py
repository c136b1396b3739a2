"""The compiled loops against the readable ones: tokens bit for bit, sums to rounding, threads without effect."""

import functools
import os
import resource
import shutil
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from scbtheory.backend import from_namespace, get_backend
from scbtheory.errors import InvalidArgument
from scbtheory.kernels import compiled, loops_for, reference, threads
from scbtheory.kernels.stream import Stream, uniforms

VOCABULARIES = (2, 3, 16, 64, 300)
STREAM = Stream.of(seed=7, step=3, purpose=0)
NUMPY = get_backend("numpy")


def token_types(vocab_size):
    return [t for t in (np.uint8, np.uint16, np.uint32) if vocab_size - 1 <= np.iinfo(t).max]


def cumulative(vocab_size, seed=0):
    cdf = np.cumsum(np.random.default_rng(seed).dirichlet(np.ones(vocab_size)))
    cdf[-1] = 1
    return cdf


def problem(vocab_size, shape, dtype, token_type):
    rng = np.random.default_rng(vocab_size)
    tokens = rng.integers(vocab_size, size=shape).astype(token_type)
    trigger = rng.integers(vocab_size, size=shape[0]).astype(token_type)
    weights = rng.standard_normal((shape[1], vocab_size)).astype(dtype)
    table = rng.standard_normal((shape[0], vocab_size)).astype(dtype)
    return tokens, trigger, weights, table


def test_numpy_runs_the_compiled_loops():
    assert loops_for("numpy").draw is compiled.draw
    assert loops_for("array_api_strict") is reference


# Cells of up to 128 tokens take one byte each.
@pytest.mark.parametrize("vocab_size", [*VOCABULARIES, 128, 129])
@pytest.mark.parametrize(("shape", "first"), [((1, 1), 0), ((1, 3), 2), ((37, 1001), 0), ((5, 4099), 4095)])
def test_draw_gives_the_reference_tokens(vocab_size, shape, first):
    cdf = cumulative(vocab_size)
    for dtype in token_types(vocab_size):
        expected = reference.draw(NUMPY, STREAM, shape, cdf, dtype, first=first)
        drawn = compiled.draw(NUMPY, STREAM, shape, cdf, dtype, first=first)
        assert drawn.dtype == dtype
        np.testing.assert_array_equal(drawn, expected)


def test_a_vocabulary_beyond_16_bits_of_cells():
    cdf = cumulative(40_000)
    drawn = compiled.draw(NUMPY, STREAM, (1, 500), cdf, np.uint16)
    np.testing.assert_array_equal(drawn, reference.draw(NUMPY, STREAM, (1, 500), cdf, np.uint16))


@pytest.mark.parametrize(
    "cdf",
    [
        [0.25, 0.25 + 1e-6, 1.0],  # a token far below 2**-16, from the left edge of a code
        [0.5 - 2.0**-17, 0.5 + 2.0**-17, 1.0],  # boundaries in the middle of two codes
        [2.0**-16, 0.5, 0.5, 1.0],  # boundaries on edges; an impossible token
        [1e-9, 1 - 1e-9, 1.0],  # in the first and the last code
        [1.0, 1.0],
    ],
)
def test_draw_gives_the_reference_tokens_at_hard_boundaries(cdf):
    shape = (1, 2**20)
    np.testing.assert_array_equal(
        compiled.draw(NUMPY, STREAM, shape, cdf, np.uint8), reference.draw(NUMPY, STREAM, shape, cdf, np.uint8)
    )


def test_draw_gives_the_same_tokens_on_a_device_without_shared_memory(strict):
    cdf, shape = cumulative(16), (7, 501)
    drawn = reference.draw(strict, STREAM, shape, cdf, strict.xp.uint8, first=5)
    assert drawn.device == strict.device
    np.testing.assert_array_equal(strict.to_numpy(drawn), compiled.draw(NUMPY, STREAM, shape, cdf, np.uint8, first=5))


@pytest.mark.parametrize("vocab_size", VOCABULARIES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (23, 1030)])
def test_sums_agree_with_the_reference(vocab_size, dtype, shape):
    for token_type in token_types(vocab_size):
        tokens, trigger, weights, table = problem(vocab_size, shape, dtype, token_type)
        for name, factor in (("histogram", weights), ("accumulate", table)):
            expected = getattr(reference, name)(NUMPY, tokens, trigger, factor)
            computed = getattr(compiled, name)(NUMPY, tokens, trigger, factor)
            assert computed.dtype == dtype
            assert computed.shape == expected.shape
            np.testing.assert_allclose(computed, expected, rtol=0, atol=2000 * np.finfo(dtype).eps)


@pytest.mark.parametrize("loops", [reference, compiled])
def test_codes_need_not_be_as_many_as_triggers(loops):
    tokens, _, _, table = problem(9, (30, 70), np.float64, np.uint8)
    trigger, weights = tokens[:, 0] % 4, np.random.default_rng(0).standard_normal((70, 4))
    one_hot = np.eye(9)[tokens]
    z = np.einsum("btc,bt->bc", one_hot, weights[:, trigger].T)
    np.testing.assert_allclose(loops.histogram(NUMPY, tokens, trigger, weights, n_codes=9), z, atol=1e-13)
    g = np.einsum("btc,bc,bk->tk", one_hot, table, np.eye(4)[trigger])
    np.testing.assert_allclose(loops.accumulate(NUMPY, tokens, trigger, table, n_triggers=4), g, atol=1e-13)


@pytest.mark.parametrize("members", range(10))
def test_any_number_of_samples_of_one_trigger(members):
    """They are summed four, two and one at a time, in blocks of positions."""
    T = compiled.BLOCK + 3
    tokens, _, _, table = problem(5, (12, T), np.float64, np.uint8)
    trigger = np.where(np.arange(12) < members, 1, 3)
    expected = np.zeros((T, 5))
    for b, k in enumerate(trigger):
        expected[:, k] += table[b, tokens[b]]
    np.testing.assert_allclose(compiled.accumulate(NUMPY, tokens, trigger, table), expected, rtol=0, atol=1e-14)


def test_choose_inverts_the_uniforms_of_its_stream():
    rng = np.random.default_rng(0)
    tables, which, index = (
        np.cumsum(rng.dirichlet(np.ones(7), size=5), axis=1),
        rng.integers(5, size=400),
        np.arange(400),
    )
    tables[:, -1] = 1
    u = uniforms(np, None, STREAM, index[::-1].astype(np.uint64))
    np.testing.assert_array_equal(
        compiled.choose(STREAM, index[::-1], tables, which), compiled.invert(tables, which, u)
    )


@pytest.mark.parametrize("vocab_size", [compiled.MANY, compiled.MANY + 1, 256])
def test_cells_of_one_code_give_the_same_tokens(vocab_size):
    cdf = cumulative(vocab_size)
    drawn = compiled.draw(NUMPY, STREAM, (1, 2**18), cdf, np.uint8)
    np.testing.assert_array_equal(drawn, reference.draw(NUMPY, STREAM, (1, 2**18), cdf, np.uint8))


def test_layout_of_the_arguments_does_not_matter():
    tokens, trigger, weights, table = problem(5, (11, 600), np.float64, np.uint8)
    fortran = [np.asfortranarray(x) for x in (tokens, weights, table)]
    z, g = compiled.histogram(NUMPY, tokens, trigger, weights), compiled.accumulate(NUMPY, tokens, trigger, table)
    np.testing.assert_array_equal(compiled.histogram(NUMPY, fortran[0], trigger, fortran[1]), z)
    np.testing.assert_array_equal(compiled.accumulate(NUMPY, fortran[0], trigger, fortran[2]), g)


@pytest.mark.parametrize("vocab_size", [3, 300])
def test_threads_change_no_bit(monkeypatch, vocab_size):
    monkeypatch.setattr(threads, "WORTHWHILE", 1)
    token_type = token_types(vocab_size)[0]
    tokens, trigger, weights, table = problem(vocab_size, (33, 2 * compiled.BLOCK + 2), np.float64, token_type)

    def everything(n):
        monkeypatch.setattr(threads, "THREADS", n)
        return (
            compiled.draw(NUMPY, STREAM, (33, 2049), cumulative(vocab_size), token_type, first=3),
            compiled.histogram(NUMPY, tokens, trigger, weights),
            compiled.accumulate(NUMPY, tokens, trigger, table),
        )

    for one, several in zip(everything(1) * 2, everything(2) + everything(5), strict=True):
        np.testing.assert_array_equal(one, several)


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(threads, "THREADS", 2)
    caller, both = threading.get_ident(), threading.Barrier(2, timeout=30)

    def run(lo, hi):
        both.wait()  # each of the two threads holds a piece
        if threading.get_ident() != caller:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.share(run, parts=2, size=10 * threads.WORTHWHILE)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("parts", [0, 1, 3, 100])
def test_every_part_is_done_once(monkeypatch, n, parts):
    monkeypatch.setattr(threads, "THREADS", n)
    done = []
    threads.share(lambda lo, hi: done.extend(range(lo, hi)), parts, size=10 * threads.WORTHWHILE)
    assert sorted(done) == list(range(parts))


def test_a_helper_that_never_began_keeps_no_memory(monkeypatch):
    monkeypatch.setattr(threads, "THREADS", 2)
    pool, wait = ThreadPoolExecutor(1), threading.Event()
    monkeypatch.setattr(threads, "_pool", lambda process, workers: pool)
    pool.submit(wait.wait)  # the helper's turn comes after this
    array = np.zeros(5)
    known = weakref.ref(array)
    threads.share(lambda lo, hi, array=array: array[lo:hi].sum(), parts=5, size=10 * threads.WORTHWHILE)
    del array
    try:
        assert known() is None
    finally:
        wait.set()
        pool.shutdown()


def test_loops_compile_where_nothing_can_be_written():
    namespace = {}
    exec("def double(x):\n    return 2 * x", namespace)  # without a file, Numba has no place for its cache
    assert compiled.loop(namespace["double"])(4) == 8


@pytest.mark.parametrize("name", ["histogram", "accumulate"])
@pytest.mark.parametrize("array", ["tokens", "trigger"])
def test_a_token_beyond_the_vocabulary_is_an_error(name, array):
    tokens, trigger = np.zeros((2, 3), dtype=np.uint8), np.zeros(2, dtype=np.uint8)
    {"tokens": tokens, "trigger": trigger}[array][1] = 4
    factor = np.zeros((3, 4) if name == "histogram" else (2, 4))
    with pytest.raises(InvalidArgument, match=f"{array} holds values from 0 to 4; expected 0 to 3"):
        getattr(compiled, name)(NUMPY, tokens, trigger, factor)


def test_a_namespace_without_loops_of_its_own_uses_the_reference(strict):
    assert strict.kernels is reference
    assert from_namespace("numpy", np).kernels is loops_for("numpy")


def fresh_process(cache, **limits):
    """Draw a few tokens in a process of its own, whose cache is the folder."""
    code = "import scbtheory as scb; print(scb.SCB.random(3, 50, 2, seed=0).sample(3, seed=0).tokens.sum())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"NUMBA_CACHE_DIR": str(cache)}, capture_output=True, text=True,
        **limits,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def whole_cache(tmp_path_factory):
    """A cache with what the few tokens need, and what they are."""
    folder = tmp_path_factory.mktemp("cache")
    expected, quiet = fresh_process(folder)
    assert quiet == ""
    return folder, expected


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("kept", [0, 100])
def test_a_damaged_cache_is_compiled_afresh_with_one_warning(whole_cache, tmp_path, ending, kept):
    whole, expected = whole_cache
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    damaged = list(tmp_path.rglob(f"*.{ending}"))
    assert damaged
    for file in damaged:
        os.truncate(file, kept)
    found, complaint = fresh_process(tmp_path)
    assert found == expected
    assert complaint.count("cache cannot be used") == 1
    assert fresh_process(tmp_path) == (expected, ""), "the damage was mended"


def test_a_change_of_any_kernel_compiles_all_again(monkeypatch):
    loop = compiled._mix
    loop(np.uint64(1))
    [signature] = loop.signatures
    assert compiled.Cache(loop.py_func).load_overload(signature, loop.targetctx) is not None
    files = [name for name, *_ in compiled._written()]
    assert {"compiled.py", "packed.py", "small.py", "descent.py"} <= set(files)
    later = tuple((name, when + (name == "small.py"), size) for name, when, size in compiled._written())
    monkeypatch.setattr(compiled, "_written", lambda: later)
    assert compiled.Cache(loop.py_func).load_overload(signature, loop.targetctx) is None


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path):
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (4096, 4096))
    found, complaint = fresh_process(tmp_path, preexec_fn=limit)
    assert found.strip().isdigit()
    assert complaint.count("cache cannot be used") == 1
