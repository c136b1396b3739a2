"""Codes that hold several tokens: their arithmetic against tokens written out, and their law."""

import numpy as np
import pytest
import scipy.stats

import scbtheory as scb
from scbtheory import streaming
from scbtheory.kernels import packing

VOCABULARIES = (2, 3, 5, 16, 17)


def tokens_of(packs, vocab_size):
    """The tokens of each sample, (samples, T)."""
    m = packing.width(vocab_size)
    seat = np.asarray(packs.seat)
    return packing.decode(np.asarray(packs.codes, dtype=np.int64)[seat // m], (seat % m)[:, None], vocab_size)


@pytest.mark.parametrize(("vocab_size", "m"), [(2, 8), (3, 5), (4, 4), (6, 3), (7, 2), (16, 2), (17, 1), (300, 1)])
def test_as_many_tokens_as_a_byte_holds(vocab_size, m):
    assert packing.width(vocab_size) == m


@pytest.mark.parametrize("vocab_size", VOCABULARIES)
def test_codes_and_tokens_are_one_to_one(vocab_size):
    m = packing.width(vocab_size)
    codes = np.arange(vocab_size**m)
    tokens = np.stack([packing.decode(codes, j, vocab_size) for j in range(m)])
    assert tokens.min() == 0
    assert tokens.max() == vocab_size - 1
    np.testing.assert_array_equal((tokens * vocab_size ** np.arange(m)[:, None]).sum(axis=0), codes)
    one_hot = np.eye(vocab_size)[tokens]  # (m, codes, N)
    D = packing.incidence(vocab_size, m)
    np.testing.assert_array_equal(D, one_hot.transpose(1, 0, 2).reshape(len(codes), -1))


def test_the_incidence_that_all_callers_share_cannot_be_written():
    D = packing.incidence(3, 2)
    assert packing.incidence(3, 2) is D
    with pytest.raises(ValueError, match="read-only"):
        D[0, 0] = False


def test_the_law_of_a_code_is_the_product_of_its_tokens():
    mu = np.array([0.2, 0.5, 0.3])
    law = packing.law(mu, 5)
    expected = [np.prod([mu[packing.decode(c, j, 3)] for j in range(5)]) for c in range(3**5)]
    np.testing.assert_allclose(law, expected, rtol=1e-14)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_a_pack_has_one_trigger_and_no_seat_is_taken_twice(m):
    rng = np.random.default_rng(m)
    for size in (1, 2, 9, 64):
        trigger = rng.integers(4, size=size)
        seat, of = packing.seats(trigger, 4, m)
        assert len(np.unique(seat)) == size
        np.testing.assert_array_equal(of[seat // m], trigger)
        np.testing.assert_array_equal(np.bincount(of, minlength=4), -(-np.bincount(trigger, minlength=4) // m))


@pytest.mark.parametrize("vocab_size", VOCABULARIES[:-1])
def test_packed_samples_follow_the_law(vocab_size):
    """Tokens, pairs of tokens in one pack at one position, and outputs given the tokens that they copy."""
    task = scb.SCB.random(vocab_size, 40, 2, seed=vocab_size)
    m = packing.width(vocab_size)
    [packs] = streaming.draw_packs(task, 60_000, seed=11)
    tokens = tokens_of(packs, vocab_size)
    assert scipy.stats.chisquare(np.bincount(tokens.ravel()), tokens.size * task.mu).pvalue > 1e-3

    mates = np.flatnonzero((packs.seat % m == 1) & np.isin(packs.seat - 1, packs.seat))
    first = np.argsort(packs.seat)[np.searchsorted(np.sort(packs.seat), packs.seat[mates] - 1)]
    pairs = np.bincount((tokens[first] * vocab_size + tokens[mates]).ravel(), minlength=vocab_size**2)
    assert scipy.stats.chisquare(pairs, pairs.sum() * np.outer(task.mu, task.mu).ravel()).pvalue > 1e-3

    batch = task.sample(60_000, seed=11)
    np.testing.assert_array_equal(packs.trigger, batch.trigger)
    copied = tokens[np.arange(60_000), batch.position]  # positions come from the same random bits
    for n in range(vocab_size):
        output = np.bincount(packs.output[copied == n], minlength=vocab_size)
        assert scipy.stats.chisquare(output, output.sum() * task.P[:, n]).pvalue > 1e-3


def test_packed_tokens_below_16_bits_are_exact():
    """Five rare tokens in a code have probability 1e-10; each token keeps its own, in every place of the code."""
    mu, m, draws = np.array([0.01, 0.1, 0.89]), 5, 2 * 10**7
    backend = scb.get_backend("numpy")
    cdf = np.append(np.cumsum(packing.law(mu, m))[:-1], 1.0)
    stream = streaming.Stream.of(3, 0, streaming.CODES)
    counts = np.bincount(backend.kernels.draw(backend, stream, (draws,), cdf, np.uint8), minlength=3**m)
    for j in range(m):
        token = np.bincount(packing.decode(np.arange(3**m), j, 3), weights=counts)
        assert scipy.stats.chisquare(token, draws * mu).pvalue > 1e-3
    common = np.argsort(packing.law(mu, m))[-60:]
    observed = np.append(counts[common], draws - counts[common].sum())
    law = np.append(packing.law(mu, m)[common], 1 - packing.law(mu, m)[common].sum())
    assert scipy.stats.chisquare(observed, draws * law).pvalue > 1e-3
