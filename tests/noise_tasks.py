"""What tests of the noise share: every sample of a small task, and one task in contexts of any length."""

import itertools

import numpy as np

import scbtheory as scb
from scbtheory import dynamics


def host(task, *arrays):
    return [task.backend.to_numpy(x).astype(float) for x in arrays]


def enumerate_samples(task):
    """Yield (X, k, o, probability) of every context, trigger and output."""
    P, Q, mu = host(task, task.P, task.Q, task.mu)
    N, T = task.vocab_size, task.context_length
    for x in itertools.product(range(N), repeat=T):
        X = np.eye(N)[:, list(x)]
        for k in range(N):
            law = P @ X @ Q[:, k]
            for o in range(N):
                yield X, k, o, mu[list(x)].prod() * mu[k] * law[o]


def grown(T, alpha, beta):
    """The same P and the same two positions, in a context of length T."""
    base = scb.SCB.random(3, 2, 2, seed=2)
    task = scb.SCB(base.P, np.concatenate([base.Q, np.zeros((T - 2, 3))]))
    return task, dynamics.lift(task, alpha, beta)
