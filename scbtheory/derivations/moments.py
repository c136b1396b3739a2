r"""G1: second moments of one-hot contexts, for every N and T, element by element.

The only facts used: the tokens are independent, and each is n with probability :math:`\mu_n`.
"""

from __future__ import annotations

from itertools import permutations

import sympy as sp
from sympy.concrete.delta import deltasummation

from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import N, T, words

__all__ = [
    "MEANING",
    "MU",
    "attended",
    "delta",
    "entries",
    "entry_pair",
    "i",
    "j",
    "one_token",
    "same",
    "sandwiched",
    "sum_over",
    "t",
    "u",
    "v",
]

i, j = sp.symbols("i j", integer=True, nonnegative=True)  # tokens
t, u, v = sp.symbols("t u v", integer=True, nonnegative=True)  # positions; v sums over the vocabulary
MU, A, B = (sp.IndexedBase(name) for name in (r"\mu", "a", "b"))


def sum_over(expr, index, size):
    """Sum ``expr`` over ``index`` = 0 … size - 1: deltas collapse, the rest stays a ``Sum``."""
    total = sp.Integer(0)
    for term in sp.Add.make_args(sp.expand(expr)):
        if any(d.has(index) for d in term.atoms(sp.KroneckerDelta)):
            total += deltasummation(term, (index, 0, size - 1))
        else:
            constant, varying = term.as_independent(index)
            total += constant * (size if varying == 1 else _merged(varying, (index, 0, size - 1)))
    return total


def _merged(varying, limits):
    """Return the sum of a product as one ``Sum``, inner sums that depend on the index taken in."""
    inner = [f for f in sp.Mul.make_args(varying) if isinstance(f, sp.Sum)]
    body = sp.Mul(*[f.function for f in inner], *[f for f in sp.Mul.make_args(varying) if f not in inner])
    return sp.Sum(body, *[limit for f in inner for limit in f.limits], limits)


def delta(m, n, size):
    """Kronecker's delta of two indices that both run over 0 … size - 1."""
    return sp.KroneckerDelta(m, n, (0, size - 1))


def one_token(*tokens):
    r"""The mean of a product of entries of one one-hot vector: :math:`\sum_v \mu_v \prod \delta_{v n}`."""
    product = MU[v]
    for n in tokens:
        product *= delta(v, n, N)
    return sum_over(product, v, N)


def entry_pair():
    r""":math:`E[X_{it} X_{ju}]`: one token twice where t = u, two independent tokens elsewhere."""
    same = delta(t, u, T)
    return sp.expand(same * one_token(i, j) + (1 - same) * one_token(i) * one_token(j))


def attended():
    r"""Entry (i, j) of :math:`E[Xa(Xb)^\top] = \sum_{t,u} a_t b_u E[X_{it}X_{ju}]`, for every N, T, a, b."""
    return sp.expand(sum_over(sum_over(A[t] * B[u] * entry_pair(), u, T), t, T))


def sandwiched(matrix=s.M):
    r"""Entry (t, u) of :math:`E[X^\top M X] = \sum_{i,j} M_{ij} E[X_{it}X_{ju}]`, for every N, T, M."""
    return sp.expand(sum_over(sum_over(matrix[i, j] * entry_pair(), j, N), i, N))


MEANING = {
    "C": lambda m, n: delta(m, n, N) * MU[m] - MU[m] * MU[n],
    "D": lambda m, n: delta(m, n, N) * MU[m],
    "M": lambda m, n: s.M[m, n],
    r"\mu": lambda m, _: MU[m],
    "a": lambda m, _: A[m],
    "b": lambda m, _: B[m],
    r"\mathbf{1}": lambda m, _: sp.Integer(1),
    r"\mathbf{1}_T": lambda m, _: sp.Integer(1),
}
"""What entry (m, n) of each matrix symbol is; the covariance is :math:`C = \\mathrm{diag}(\\mu) - \\mu\\mu^\\top`."""


def entries(expr, row, column, meaning=MEANING):
    """Write entry (row, column) of a stated matrix with sums over indices, as :func:`attended` is written."""
    total = sp.Integer(0)
    for word, coefficient in words(expr).items():
        number = sp.expand(coefficient).replace(lambda e: isinstance(e, sp.Trace), lambda e: _number(e, meaning))
        total += number * _chain(word, row, column, expr.shape, meaning)
    return sp.expand(total)


def _chain(word, row, column, shape, meaning):
    """The (row, column) entry of a product of letters, its inner indices summed."""
    if not word:
        return delta(row, column, shape[0])
    indices = [row, *(_running(letter.shape[1]) for letter in word[:-1]), column]
    product = sp.Integer(1)
    for letter, m, n in zip(word, indices, indices[1:], strict=False):
        product *= meaning[letter.name](n, m) if letter.transposed else meaning[letter.name](m, n)
    for letter, index in zip(word, indices[1:-1], strict=False):
        inner = letter.shape[1]
        product = product if inner == "1" else sum_over(product, index, {"N": N, "T": T}[inner])
    return product


def _running(size):
    """A fresh index: t for positions, v for the vocabulary."""
    return sp.Dummy({"T": "t", "N": "v"}.get(size, "i"), integer=True, nonnegative=True)


def _number(trace, meaning):
    """A trace as sums over its diagonal; the trace of a 1 x 1 product is its only entry."""
    total = sp.Integer(0)
    for word, coefficient in words(trace.arg).items():
        rows = trace.arg.shape[0]
        if rows == 1:
            total += coefficient * _chain(word, sp.Integer(0), sp.Integer(0), (1, 1), meaning)
        else:
            index = _running(str(rows))
            total += coefficient * sum_over(_chain(word, index, index, (rows, rows), meaning), index, rows)
    return total


def same(left, right) -> bool:
    """Decide whether two expressions agree once every sum's indices carry canonical names."""
    return sp.expand(_canonical(left) - _canonical(right)) == 0


def _canonical(expr):
    """Name the indices of each sum s0, s1, … in the order that sorts first."""

    def rename(total):
        versions = []
        for order in permutations(total.limits):
            names = [sp.Symbol(f"s{n}", integer=True, nonnegative=True) for n in range(len(order))]
            old = [limit[0] for limit in order]
            body = total.function.subs(dict(zip(old, names, strict=True)), simultaneous=True)
            limits = [(name, *limit[1:]) for name, limit in zip(names, order, strict=True)]
            versions.append(sp.Sum(body, *limits))
        return min(versions, key=sp.default_sort_key)

    return sp.expand(expr).replace(lambda e: isinstance(e, sp.Sum), rename)
