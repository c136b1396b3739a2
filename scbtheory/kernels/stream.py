"""Counter-based random numbers: word ``i`` of a stream is a hash of (key, i), computed anywhere.

SplitMix64 (Steele, Lea and Flood 2014) used as a hash of its counter. The key fixes the stream, so
draws depend on neither the backend, nor the number of threads, nor the order of evaluation.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

__all__ = ["GOLDEN", "MIX_1", "MIX_2", "STEP_BITS", "Stream", "mix", "uniforms", "words"]

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
STEP_BITS = 40  # a step may draw 2**40 words before it meets the next step's


def mix(word: int) -> int:
    """SplitMix64's finaliser on one Python integer."""
    word = ((word ^ (word >> 30)) * MIX_1) & MASK
    word = ((word ^ (word >> 27)) * MIX_2) & MASK
    return word ^ (word >> 31)


@dataclass(frozen=True)
class Stream:
    """The words ``hash(key, start), hash(key, start + 1), …``; ``purpose`` separates parallel streams."""

    key: int
    start: int

    @classmethod
    def of(cls, seed: int, step: int, purpose: int) -> Stream:
        """Return the stream of one purpose (tokens, triggers, …) of one step of a seeded run."""
        return cls(_key(seed, purpose), step << STEP_BITS)

    @property
    def refinement(self) -> Stream:
        """The independent stream that settles what 16 bits leave open."""
        return Stream(_other(self.key), self.start)

    @property
    def origin(self) -> int:
        """The hash's input for word 0; word ``i`` has ``origin + i * GOLDEN``, modulo 2**64."""
        return (self.key + self.start * GOLDEN) & MASK


@functools.lru_cache(maxsize=256)  # a run asks for the same few at every step
def _key(seed, purpose):
    return mix(mix(seed & MASK) + GOLDEN * (purpose + 1) & MASK)


@functools.lru_cache(maxsize=256)
def _other(key):
    return mix(key ^ GOLDEN)


def words(xp, device, stream: Stream, indices):
    """Return the stream's 64-bit words at ``indices`` (a uint64 array)."""

    def constant(value):
        return xp.full((1,), value, dtype=xp.uint64, device=device)

    x = constant(stream.origin) + indices * constant(GOLDEN)
    x = (x ^ (x >> constant(30))) * constant(MIX_1)
    x = (x ^ (x >> constant(27))) * constant(MIX_2)
    return x ^ (x >> constant(31))


def uniforms(xp, device, stream: Stream, indices):
    """Return 53-bit uniforms in [0, 1) at ``indices``, as float64."""
    shift = xp.full((1,), 11, dtype=xp.uint64, device=device)
    return xp.astype(words(xp, device, stream, indices) >> shift, xp.float64) * 2.0**-53
