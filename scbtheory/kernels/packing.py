"""Several tokens in one byte: the samples of one trigger travel together, m at a time.

At one position, the m samples of a pack have independent tokens ``x_0, x_1, …``; the code
``c = x_0 + N x_1 + N**2 x_2 + …`` holds them all, while ``N**m`` is at most 256: five tokens at N = 3, two
up to N = 16. Attention gives every sample of a pack the same weights, so the loops take codes for tokens:
the weighted histogram of codes holds the histograms of all m samples, and a gradient that is a sum over
samples needs one table entry for each code. Nothing is approximated.
"""

from __future__ import annotations

import functools

import numpy as np

__all__ = ["CODES", "decode", "incidence", "law", "seats", "width"]

CODES = 256


def width(vocab_size: int) -> int:
    """Return m, the number of tokens that a byte holds: at least one."""
    m = 1
    while 1 < vocab_size ** (m + 1) <= CODES:  # one token alone would fit any number of times
        m += 1
    return m


def law(mu, m):
    """Return the probabilities of the codes of m independent tokens, (N**m,)."""
    probabilities = np.ones(1)
    for _ in range(m):
        probabilities = np.multiply.outer(mu, probabilities).ravel()
    return probabilities


def decode(codes, place, vocab_size):
    """Return the tokens at a place of the packs, 0 to m - 1."""
    return codes // vocab_size**place % vocab_size


@functools.lru_cache(maxsize=16)
def incidence(vocab_size, m):
    """Return D (N**m, m N): ``D[c, N j + n]`` is 1 if token j of code c is n, else 0.

    ``histogram_of_codes @ D`` are the histograms of the m samples; ``their_tables @ D.T`` is the table of a code.
    """
    codes, place = np.arange(vocab_size**m)[:, None, None], np.arange(m)[:, None]
    D = (decode(codes, place, vocab_size) == np.arange(vocab_size)).reshape(len(codes), -1)
    D.flags.writeable = False  # the next caller gets the same array
    return D


def seats(trigger, vocab_size, m):
    """Return the seat of each sample, m in a pack, and the trigger of each pack; the last of a trigger may have room.

    The sample in seat s is number ``s % m`` of pack ``s // m``.
    """
    members = np.bincount(trigger, minlength=vocab_size)
    packs = -(-members // m)
    order = np.argsort(trigger, kind="stable")
    rank = np.arange(len(trigger)) - np.repeat(np.cumsum(members) - members, members)
    seat = np.empty_like(order)
    seat[order] = np.repeat(m * (np.cumsum(packs) - packs), members) + rank
    return seat, np.repeat(np.arange(vocab_size), packs)
