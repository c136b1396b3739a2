"""What the claims about the data model share: one large sample of a task small enough to list its contexts."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from scbtheory.verification.claim import Route
from scbtheory.verification.instances import case, z_score


@cache
def observed(size: int = 200_000):
    """A task small enough to list its contexts, with one large sample: (numbers, one-hot contexts, codes, batch)."""
    instance = case(3, 4, seed=21)
    batch = instance.task.sample(size, seed=22)
    contexts = [np.eye(3)[:, list(x)] for x in product(range(3), repeat=4)]
    return instance.numbers, contexts, batch.tokens.astype(int) @ 3 ** np.arange(3, -1, -1), batch


def law_z_score(law) -> float:
    """Largest |z| of the output against a stated law ``law(s)`` (N, 1), for every trigger, position and token there.

    The mean of (one-hot output - law) vanishes among the samples with trigger k and token m at
    position t, for every (k, t, m), just when the law is right about each position.
    """
    s, contexts, codes, batch = observed()
    laws = np.array([[law(s.seen_from(k, X=X))[:, 0] for k in range(s.N)] for X in contexts])
    surprise = np.eye(s.N)[batch.output] - laws[codes, batch.trigger]
    worst = 0.0
    for k, t, m in product(range(s.N), range(s.T), range(s.N)):
        worst = max(
            worst,
            z_score(surprise[(batch.trigger == k) & (batch.tokens[:, t] == m)], np.zeros(s.N)),
        )
    return worst


def sampler_route(scope, z_scores) -> Route:
    return Route("monte carlo", scope + ", 200 000 samples at N = 3, T = 4", z_scores, limit=5.0)
