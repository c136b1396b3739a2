r"""Matrix algebra with symbolic sizes: a normal form for SymPy matrix expressions.

SymPy multiplies, transposes and differentiates matrices of symbolic size, but it does not decide
whether two expressions are equal, least of all under assumptions such as :math:`V\mu = \mu`. Here an
expression becomes a sum of coefficients times **words** (products of matrix symbols); assumptions
are rewriting rules on words; a product that closes to a number, :math:`\mu^\top V^\top P\mu` or
:math:`\mathrm{tr}(VC)`, becomes a commuting symbol. Two expressions whose normal forms agree are
equal for **every** N and T; the converse is not claimed (a failure to simplify proves nothing).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.matrices.expressions.matexpr import MatrixExpr

__all__ = [
    "Letter",
    "N",
    "Rules",
    "T",
    "coefficient",
    "difference",
    "expression",
    "flip",
    "normal",
    "rewrite",
    "symbol_of",
    "words",
]

N, T = sp.symbols("N T", integer=True, positive=True)


@dataclass(frozen=True, order=True)
class Letter:
    """A matrix symbol or its transpose."""

    name: str
    rows: str
    cols: str
    transposed: bool = False

    @property
    def shape(self):
        return (self.cols, self.rows) if self.transposed else (self.rows, self.cols)

    @property
    def T(self) -> Letter:
        symmetric = self.name in SYMMETRIC
        return self if symmetric else Letter(self.name, self.rows, self.cols, not self.transposed)


SYMMETRIC = {"C", "D", "W"}


def flip(word):
    """Transpose a word: reverse it and transpose each letter."""
    return tuple(letter.T for letter in reversed(word))


class Rules:
    """Assumptions as rewriting rules, each stated once and applied to transposes as well.

    ``Rules((V * mu, mu), (C, D - mu * mu.T))`` reads: wherever :math:`V\\mu` stands, write :math:`\\mu`.
    """

    def __init__(self, *equations):
        self.table = {}
        for left, right in equations:
            if len(words(left)) != 1 or set(words(left).values()) != {1}:
                raise ValueError(f"the left side of a rule is one product, not {left}")
            (pattern,) = words(left)
            replacement = words(right) if isinstance(right, MatrixExpr) else {(): sp.sympify(right)}
            self.table[pattern] = replacement
            self.table[flip(pattern)] = {flip(word): c for word, c in replacement.items()}

    def __add__(self, other: Rules) -> Rules:
        both = Rules()
        both.table = {**self.table, **other.table}
        return both

    def first_match(self, word):
        """Return (start, end, replacement) of the first pattern found in ``word``, or None."""
        for start in range(len(word)):
            for pattern, replacement in self.table.items():
                if word[start : start + len(pattern)] == pattern:
                    return start, start + len(pattern), replacement
        return None


def words(expr) -> dict:
    """Return a matrix expression as ``{word: coefficient}``."""
    if isinstance(expr, sp.MatrixSymbol):
        return {(Letter(expr.name, str(expr.rows), str(expr.cols)),): sp.Integer(1)}
    if isinstance(expr, sp.Identity):
        return {(): sp.Integer(1)}
    if isinstance(expr, sp.ZeroMatrix):
        return {}
    if isinstance(expr, sp.Transpose):
        return {flip(word): c for word, c in words(expr.arg).items()}
    if isinstance(expr, sp.MatAdd):
        return _collect(item for arg in expr.args for item in words(arg).items())
    if isinstance(expr, sp.MatMul | sp.MatPow):
        factors = [expr.base] * int(expr.exp) if isinstance(expr, sp.MatPow) else expr.args
        product = {(): sp.Integer(1)}
        for factor in factors:
            right = words(factor) if isinstance(factor, MatrixExpr) else {(): factor}
            product = _collect((u + v, c * d) for u, c in product.items() for v, d in right.items())
        return product
    raise TypeError(f"no normal form for {type(expr).__name__}: {expr}")


def normal(expr, rules: Rules | None = None, expectation=None):
    """Return the normal form of a scalar or matrix expression under ``rules``.

    A scalar gives a SymPy expression in commuting symbols, a matrix gives ``{word: coefficient}``.
    ``expectation`` maps a word with random letters to ``{word: coefficient}``; see ``moments``.
    """
    rules = rules or Rules()
    if not isinstance(expr, MatrixExpr):
        return sp.expand(
            sp.expand(expr).replace(lambda e: isinstance(e, sp.Trace), lambda e: _trace(e.arg, rules, expectation))
        )
    pending = list(words(expr).items())
    done: dict[Any, sp.Expr] = defaultdict(lambda: sp.Integer(0))
    while pending:
        word, coefficient = pending.pop()
        rewritten = rewrite(word, rules, expectation)
        if rewritten is None:
            outer, numbers = _close(word)
            done[outer] += normal(coefficient, rules, expectation) * numbers
        else:
            pending += [(new, coefficient * c) for new, c in rewritten.items()]
    return {word: c for word, c in ((w, sp.expand(c)) for w, c in done.items()) if c != 0}


def difference(left, right, rules: Rules | None = None, expectation=None) -> int:
    """Return how many terms of ``left - right`` survive: 0 proves equality for every size."""
    rest = normal(left - right, rules, expectation)
    return len(rest) if isinstance(rest, dict) else (0 if rest == 0 else len(sp.Add.make_args(rest)))


def _trace(arg, rules, expectation):
    """Return the trace of a matrix expression as a polynomial in commuting symbols."""
    total, rows = sp.Integer(0), str(arg.shape[0])
    pending = [(word, rows, coefficient) for word, coefficient in words(arg).items()]
    while pending:
        word, rows, coefficient = pending.pop()
        # A cyclic word has no first letter: try every rotation for a rule before naming the number. A rotation
        # is a matrix with as many rows as its first letter, and so is what a rule leaves of it: an emptied
        # word is the identity of that size, which for a row times a column is the number 1.
        for turn in range(max(len(word), 1)):
            turned = word[turn:] + word[:turn]
            rewritten = rewrite(turned, rules, expectation)
            if rewritten is not None:
                rows = turned[0].shape[0]
                pending += [(new, rows, coefficient * c) for new, c in rewritten.items()]
                break
        else:
            total += normal(coefficient, rules, expectation) * _number(word, rows)
    return sp.expand(total)


def rewrite(word, rules, expectation):
    """Return the word after one rule or one expectation as ``{word: coefficient}``, or None."""
    if expectation is not None:
        averaged = expectation(word)
        if averaged is not None:
            return averaged
    match = rules.first_match(word)
    if match is None:
        return None
    start, end, replacement = match
    return _collect((word[:start] + middle + word[end:], c) for middle, c in replacement.items())


def _close(word):
    """Split off every inner product in a word: ``(what stays open, the product of the numbers)``."""
    cuts = [i for i in range(1, len(word)) if word[i - 1].shape[1] == "1" and word[i].shape[0] == "1"]
    pieces = [word[i:j] for i, j in zip([0, *cuts], [*cuts, len(word)], strict=True)]
    open_piece, numbers = [], sp.Integer(1)
    for piece in pieces:
        closed = piece and piece[0].shape[0] == "1" and piece[-1].shape[1] == "1"
        if closed:
            numbers *= symbol_of(piece, cyclic=False)
        else:
            open_piece += piece
    return tuple(open_piece), numbers


def _number(word, rows):
    """Name the trace of a fully rewritten word; an empty one is an identity with ``rows`` rows."""
    if not word:
        return {"N": N, "T": T, "1": sp.Integer(1)}[rows]
    for turn in range(len(word)):
        turned = word[turn:] + word[:turn]
        if turned[0].shape[0] == "1":  # the cycle passes through a vector: a product of inner products
            return _close(turned)[1]
    return symbol_of(word, cyclic=True)


def symbol_of(word, cyclic):
    """Return one commuting symbol for a number, the same for a word, its transpose and its rotations."""
    candidates = [word, flip(word)]
    if cyclic:
        candidates = [w[i:] + w[:i] for w in candidates for i in range(len(w))]
    text = " ".join(f"{x.name}^{{T}}" if x.transposed else x.name for x in min(candidates))
    return sp.Symbol(rf"{{\operatorname{{tr}}({text})}}" if cyclic else f"{{({text})}}")


def _collect(items) -> dict:
    total: dict[Any, sp.Expr] = defaultdict(lambda: sp.Integer(0))
    for word, coefficient in items:
        total[word] += coefficient
    return {word: c for word, c in total.items() if c != 0}


def coefficient(form: dict, matrix):
    """Return the number that multiplies a product such as ``a`` or ``V * C`` in a normal form."""
    ((word, one),) = words(matrix).items()
    return sp.factor(form.get(word, sp.Integer(0)) / one)


def expression(form: dict, shape):
    """Turn a matrix's normal form back into a SymPy expression, to be shown."""
    sizes = {"N": N, "T": T, "1": sp.Integer(1)}
    total = sp.ZeroMatrix(*shape)
    for word, coefficient in form.items():
        product = sp.Identity(shape[0])
        for x in word:
            symbol = sp.MatrixSymbol(x.name, sizes[x.rows], sizes[x.cols])
            product = product * (symbol.T if x.transposed else symbol)
        total = total + coefficient * product
    return total.doit()
