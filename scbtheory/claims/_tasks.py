"""Tasks whose columns of Q stand on two positions each, with weights of one's choice."""

from __future__ import annotations

import numpy as np

import scbtheory as scb


def on_two(T: int, N: int = 3, weights=(0.5, 0.5)):
    """Q with these weights on positions 3k and 3k + 2 of trigger k, (T, N); equal ones make K_Q = ½ - 1/T."""
    Q = np.zeros((T, N))
    for k in range(N):
        Q[[3 * k, 3 * k + 2], k] = weights
    return Q


def task_on_two(N: int, T: int, seed: int, weights=(0.5, 0.5)) -> scb.SCB:
    """A random P with such a Q."""
    return scb.SCB(scb.SCB.random(N, T, 2, seed=seed).P, on_two(T, N, weights))
