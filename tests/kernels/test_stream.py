"""The random stream's known answers: every seeded result of the package stands on them."""

import numpy as np
import pytest

from scbtheory.kernels.stream import Stream, mix, uniforms, words
from scbtheory.streaming import CODES
from scbtheory.task import OUTPUTS, POSITIONS, TOKENS, TRIGGERS

GOLDEN = 0x9E3779B97F4A7C15


def xor(x, y):
    """Bit by bit: the sum modulo 2."""
    return sum((x // 2**i + y // 2**i) % 2 * 2**i for i in range(64))


def finaliser(word):
    """SplitMix64's, in whole numbers."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        word = xor(word, word // 2**shift) * factor % 2**64
    return word


def word(seed, step, purpose, i, *, refined=False):
    """Word i of a stream, by its definition."""
    key = finaliser((finaliser(seed) + GOLDEN * (purpose + 1)) % 2**64)
    key = finaliser(xor(key, GOLDEN)) if refined else key
    return finaliser((key + (step * 2**40 + i) * GOLDEN) % 2**64)


def drawn(stream, *indices):
    return words(np, "cpu", stream, np.array(indices, dtype=np.uint64)).tolist()


def test_it_is_splitmix64():
    """The published generator's first three outputs from state 0; its output i is the finaliser of i times GOLDEN."""
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [mix(i * GOLDEN % 2**64) for i in (1, 2, 3)] == published
    assert [finaliser(i * GOLDEN % 2**64) for i in (1, 2, 3)] == published
    assert drawn(Stream(0, 0), 1, 2, 3) == published


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**63 + 5, 2**64 - 1])
@pytest.mark.parametrize(("step", "purpose"), [(0, 0), (0, 3), (1, 0), (2**24 - 1, 2)])
def test_words_are_their_definition(seed, step, purpose):
    stream, places = Stream.of(seed, step, purpose), (0, 1, 7, 2**40 - 1)
    assert drawn(stream, *places) == [word(seed, step, purpose, i) for i in places]
    assert drawn(stream.refinement, *places) == [word(seed, step, purpose, i, refined=True) for i in places]


def test_known_answers():
    stream = Stream.of(7, 3, 1)
    assert (stream.key, stream.start) == (0x4D58FBD282EAF415, 3 * 2**40)
    assert stream.origin == 0x2CCD3AD282EAF415
    assert (stream.refinement.key, stream.refinement.start) == (0x867DDF4649FC3635, 3 * 2**40)
    first = uniforms(np, "cpu", stream, np.arange(2, dtype=np.uint64))
    assert first.tolist() == [0.226313907880915, 0.5312177514593381]


def test_uniforms_are_the_first_53_bits():
    stream, places = Stream.of(2, 0, 0), range(1000)
    expected = [x // 2**11 / 2**53 for x in drawn(stream, *places)]
    np.testing.assert_array_equal(uniforms(np, "cpu", stream, np.arange(1000, dtype=np.uint64)), expected)


def test_purposes_keep_their_numbers():
    """Another number is another stream: a seed would no longer name the samples that it named."""
    assert (TOKENS, TRIGGERS, POSITIONS, OUTPUTS, CODES) == (0, 1, 2, 3, 4)
