"""Do the drawn tokens follow the law? Counts against probabilities, in the common and the rarest tokens."""

import numpy as np
import pytest
import scipy.stats

import scbtheory as scb
from scbtheory.backend import get_backend
from scbtheory.kernels import compiled
from scbtheory.kernels.stream import Stream

NUMPY = get_backend("numpy")


def counts(cdf, draws, seed):
    stream = Stream.of(seed, step=0, purpose=0)
    total = np.zeros(len(cdf), dtype=np.int64)
    for first in range(0, draws, 2**22):
        part = compiled.draw(NUMPY, stream, (min(2**22, draws - first),), cdf, np.uint16, first=first)
        total += np.bincount(part, minlength=len(cdf))
    return total


@pytest.mark.parametrize("vocab_size", [2, 3, 16, 64, 300])
def test_counts_follow_mu(vocab_size):
    task = scb.SCB.random(vocab_size, 1000, 2, seed=vocab_size)
    observed = np.bincount(task.sample(4000, seed=11).tokens.ravel(), minlength=vocab_size)
    assert scipy.stats.chisquare(observed, 4e6 * task.mu).pvalue > 1e-3


@pytest.mark.parametrize("vocab_size", [3, 16, 64])
def test_counts_are_as_likely_as_a_multinomial_s(vocab_size):
    """The log probability of our counts lies among those of SciPy's multinomial."""
    task = scb.SCB.random(vocab_size, 500, 2, seed=vocab_size)
    law = scipy.stats.multinomial(10**6, task.mu)
    ours = law.logpmf(np.bincount(task.sample(2000, seed=5).tokens.ravel(), minlength=vocab_size))
    theirs = law.logpmf(law.rvs(2000, random_state=0))
    assert 1e-3 < np.mean(theirs <= ours) < 1 - 1e-3


def test_probabilities_below_16_bits_are_exact():
    """At 16 bits alone, the first two tokens would never be drawn or be drawn 15 times too often."""
    mu = np.array([1e-6, 3e-6, 0.4, 0.6 - 4e-6])
    draws = 2 * 10**8
    observed = counts(np.append(np.cumsum(mu)[:-1], 1.0), draws, seed=2)
    assert scipy.stats.chisquare(observed, draws * mu / mu.sum()).pvalue > 1e-3


def test_a_boundary_on_the_edge_of_a_code_needs_no_further_bits():
    cdf = np.array([2.0**-16, 0.25, 1.0])
    assert (compiled.cells(65536 * cdf[:-1]) < 0).sum() == 1  # only the first, which shares its cell of 4 codes
    draws = 10**7
    observed = counts(cdf, draws, seed=3)
    assert scipy.stats.chisquare(observed, draws * np.diff(cdf, prepend=0)).pvalue > 1e-3


def test_triggers_positions_and_outputs_follow_their_laws():
    task = scb.SCB.random(3, 40, 2, seed=1)
    batch = task.sample(200_000, seed=4)
    copied = batch.tokens[np.arange(200_000), batch.position]
    assert scipy.stats.chisquare(np.bincount(batch.trigger), 2e5 * task.mu).pvalue > 1e-3
    for k in range(3):
        position = np.bincount(batch.position[batch.trigger == k], minlength=40)
        support = task.Q[:, k] > 0
        assert position[~support].sum() == 0
        assert scipy.stats.chisquare(position[support], position.sum() * task.Q[support, k]).pvalue > 1e-3
        output = np.bincount(batch.output[copied == k], minlength=3)
        assert scipy.stats.chisquare(output, output.sum() * task.P[:, k]).pvalue > 1e-3
