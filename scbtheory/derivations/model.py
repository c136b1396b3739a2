r"""M1 to M3: the law of the output, the Bayes predictor's loss, and the distance to a bigram, for every N and T."""

from __future__ import annotations

import sympy as sp

from scbtheory.derivations import gradients, moments
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import N, T, normal

__all__ = ["distance_to_bigram", "law", "least_loss", "stated_law"]

TOKEN = sp.IndexedBase("x", integer=True, nonnegative=True)  # TOKEN[t] is the token at position t
CHANCE = sp.IndexedBase("q")  # CHANCE[t] is the probability that the trigger chooses position t

MEANING = moments.MEANING | {
    "P": lambda m, n: s.P[m, n],
    "X": lambda m, t: moments.delta(m, TOKEN[t], N),
    "q": lambda t, _: CHANCE[t],
}


def law():
    r"""M1: :math:`\Pr(x_o = i \mid X, k) = \sum_t q_t P_{i, x_t}`, by total probability over the position."""
    return sp.Sum(CHANCE[moments.t] * s.P[moments.i, TOKEN[moments.t]], (moments.t, 0, T - 1))


def stated_law(expr):
    r"""Entry i of a stated law such as :math:`PXq`, with :math:`X_{mt} = \delta_{m, x_t}`."""
    return moments.entries(expr, moments.i, sp.Integer(0), MEANING)


def least_loss():
    r"""M2: the expected sample loss at :math:`(a, V) = (q, P)`, given the trigger."""
    return gradients.expected(gradients.SAMPLE_LOSS.subs({s.V: s.P, s.a: s.q}))


def distance_to_bigram():
    r"""M3: :math:`E\|PXq - PXe\|^2` for a position e: how far the output's law is from copying that position."""
    error = s.P * s.X * (s.q - s.e)
    return normal(s.tr(error.T * error), s.ALWAYS + s.POSITION, gradients.expectation)
