r"""M2 and G2 to G7 from the definition of the loss, for every N and T.

SymPy differentiates the loss of one sample; the expectation over the output given the context, and
then over the context, is taken word by word with G1 (proven in ``moments``). Expectations are finite
sums, so they commute with derivatives. Nothing is assumed about A and V unless ``ADMISSIBLE`` is named.
"""

from __future__ import annotations

import sympy as sp

from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import N, Rules, T, difference, expression, normal, words

__all__ = [
    "CENTRED",
    "SAMPLE_GRADIENT_A",
    "SAMPLE_GRADIENT_V",
    "SAMPLE_LOSS",
    "expectation",
    "expected",
    "given_context",
    "hessian_A",
    "projected_sample_A",
    "projected_sample_V",
    "sample_hessian_A",
    "second_moment",
    "unexplained",
]

RESIDUAL = s.V * s.X * s.a - s.output
SAMPLE_LOSS = sp.Rational(1, 2) * s.tr(RESIDUAL.T * RESIDUAL)

# SymPy differentiates; writing the result as a sum of words only makes it shorter to read.
SAMPLE_GRADIENT_V = expression(words(SAMPLE_LOSS.diff(s.V)), (N, N))
SAMPLE_GRADIENT_A = expression(words(SAMPLE_LOSS.diff(s.a)), (T, 1))


def second_moment(u, w):
    r"""G1: :math:`E[Xu(Xw)^\top] = \langle u,w\rangle C + (1^\top u)(1^\top w)\mu\mu^\top`."""
    return s.dot(u, w) * s.C + s.dot(s.one_T, u) * s.dot(s.one_T, w) * s.mu * s.mu.T


def given_context(word):
    """Replace the output in a word by its mean given the context, :math:`PXq` (M1); None if there is none."""
    outputs = [n for n, x in enumerate(word) if x.name == s.output.name]
    if outputs:
        n = outputs[0]
        if len(outputs) == 2:
            if outputs[1] != n + 1 or not word[n].transposed:
                raise ValueError(f"of two outputs only the product x_o'x_o is known, not {word}")
            return {word[:n] + word[n + 2 :]: sp.Integer(1)}
        mean = s.P * s.X * s.q
        return _splice(word, n, n + 1, mean.T if word[n].transposed else mean)
    return None


def expectation(word):
    """Replace the random letters of a word; None once there are none.

    First the output (one-hot, :func:`given_context`), then the context, of which at most two copies
    may be left: one has mean :math:`\\mu 1^\\top`, two are given by G1.
    """
    averaged = given_context(word)
    if averaged is not None:
        return averaged
    contexts = [n for n, x in enumerate(word) if x.name == s.X.name]
    if not contexts:
        return None
    if len(contexts) == 1:
        n = contexts[0]
        mean = s.mu * s.one_T.T
        return _splice(word, n, n + 1, mean.T if word[n].transposed else mean)
    if len(contexts) > 2 or word[contexts[0]].transposed == word[contexts[1]].transposed:
        raise ValueError(f"G1 gives the mean of X K X' and X' M X, not of {word}")
    first, last = contexts
    if word[first].transposed:
        M = expression({word[first + 1 : last]: 1}, (N, N))
        moment = s.tr(M * s.C) * s.I_T + s.tr(s.mu.T * M * s.mu) * s.one_T * s.one_T.T
    else:
        K = expression({word[first + 1 : last]: 1}, (T, T))
        moment = s.tr(K) * s.C + s.tr(s.one_T.T * K * s.one_T) * s.mu * s.mu.T
    return _splice(word, first, last + 1, moment)


def _splice(word, start, end, replacement):
    return {word[:start] + middle + word[end:]: c for middle, c in words(replacement).items()}


def expected(expr, rules=s.ALWAYS):
    """Return the normal form of the expectation of a sample's number or matrix."""
    return normal(expr, rules, expectation)


def unexplained(sample, stated, rules=s.ALWAYS) -> int:
    """Return how many terms separate the expectation of ``sample`` from ``stated``; 0 is a proof."""
    return difference(sample, stated, rules, expectation)


def projected_sample_V():
    r"""One sample's gradient in V, preconditioned and projected: :math:`\nabla_V D^{-1}(I-\mu 1^\top)`."""
    return SAMPLE_GRADIENT_V * s.W * (s.I_N - s.mu * s.one_N.T)


def projected_sample_A():
    r"""One sample's :math:`(I - 11^\top/T)\nabla_a`, given that its trigger is k (the factor :math:`\mu_k` cancels)."""
    return (s.I_T - s.one_T * s.one_T.T / T) * SAMPLE_GRADIENT_A


def sample_hessian_A():
    r"""Second derivative of one sample's loss in a, :math:`X^\top V^\top V X`: what its gradient multiplies a by."""
    letter = next(iter(words(s.a)))
    return {word[:-1]: c for word, c in words(SAMPLE_GRADIENT_A).items() if word[-1:] == letter}


def hessian_A():
    r"""The expectation of :func:`sample_hessian_A` as a SymPy expression; the loss has :math:`\mu_k` times it."""
    return expression(expected(expression(sample_hessian_A(), (T, T))), (T, T))


CENTRED = Rules((s.one_T.T * s.b, 0))
r"""A direction b in attention space that sums to zero."""
