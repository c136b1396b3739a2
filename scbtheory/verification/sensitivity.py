"""Which numbers of a statement a route sees: each is changed in turn, and every route should reject the result.

The numbers are those written in the statement and in the formulas it calls within the claims. A factor, a summand or
an argument is changed by a tenth (0 becomes a tenth); a whole exponent, and the order of a power sum ``p(i, j)`` or
``h(j)``, is raised by one, as 2.2 means nothing to a matrix or a negative number. Indices, sizes of loops, where a root
is looked for, comparisons, options and truth values are no numbers of the theory and stay; so does what a statement
asks of the package, which has tests of its own. A route that cannot see all of them says why in its ``blind``;
``scbtheory measure`` finds and stores which, and the pages show them.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import FunctionType
from typing import Any

import mpmath as mp
import numpy as np

from scbtheory.verification.claim import Claim, Statement, run

__all__ = ["Variation", "unseen", "variations"]

WIDTH = 60
_ORDERS = ("p", "h")  # power sums, whose arguments are exponents
_COUNTS = ("range", "enumerate", "brentq")  # sizes, and where a root is looked for


@dataclass(frozen=True)
class Variation:
    """A statement with one of its numbers changed.

    Attributes
    ----------
    name : the number and where it stands, such as ``"2 in 2 * s.T * s.K_Q"``.
    statement : the changed statement.
    """

    name: str
    statement: Statement


def variations(statement: Statement) -> list[Variation]:
    """Return the statement with each of its numbers changed, one at a time, in the order of the source.

    Raises
    ------
    ValueError : the statement is or calls a lambda, whose source is not its own, or a closure, whose names are not.
    """
    formulas = list(_formulas(statement))
    found: dict[str, Variation] = {}
    for index, formula in enumerate(formulas):
        for place, (node, parents) in enumerate(_numbers(_parsed(formula))):
            name = _unique(f"{node.value} in {ast.unparse(_around(parents))}", found)
            found[name] = Variation(name, _rebuilt(formulas, index, place))
    return list(found.values())


def unseen(claim: Claim) -> list[list[str] | None]:
    """Return, route by route, the numbers that a route does not see: it holds the statement with one changed.

    None for a route that would draw new samples for each of them.

    A route that breaks has noticed: ``verify`` would not let it pass.

    Raises
    ------
    TypeError : a route cannot compute with the changed number at all (nor find a name), so that nothing is found out.
    """
    found: list[list[str] | None] = [None if route.anew else [] for route in claim.routes]
    for variation in variations(claim.statement):
        for names, route in zip(found, claim.routes, strict=True):
            if names is None:
                continue
            finding = run(route, variation.statement)
            if finding.error.startswith(("TypeError", "NameError")):
                raise TypeError(f"{claim.id}, {route.kind}, with another {variation.name}: {finding.error}")
            if finding.holds:
                names.append(variation.name)
    return found


# --- the source ----------------------------------------------------------------------------------


def _formulas(statement: Any) -> Iterator[FunctionType]:
    """The statement and the functions of the claims' package that it calls, each once."""
    package, seen, waiting = statement.__module__.rpartition(".")[0], [], [statement]
    while waiting:
        formula = waiting.pop(0)
        if formula in seen:
            continue
        if formula.__name__ == "<lambda>" or formula.__closure__:
            what = "a closure" if formula.__closure__ else "a lambda"
            raise ValueError(
                f"a claim's statement is or calls {what}, {formula.__qualname__}; "
                "expected functions of their own, whose numbers can be changed"
            )
        seen.append(formula)
        yield formula
        for node in ast.walk(_parsed(formula)):
            called = formula.__globals__.get(node.id) if isinstance(node, ast.Name) else None
            if isinstance(called, FunctionType) and called.__module__.rpartition(".")[0] == package:
                waiting.append(called)


def _parsed(formula: FunctionType) -> ast.Module:
    tree = ast.parse(textwrap.dedent(inspect.getsource(formula)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
    return tree


def _numbers(tree: ast.AST, parents: tuple[ast.AST, ...] = ()) -> Iterator[tuple[Any, tuple[ast.AST, ...]]]:
    """Every number of the source with the nodes around it, the nearest last."""
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int | float) and not isinstance(tree.value, bool):
        yield tree, parents
    for child in ast.iter_child_nodes(tree):
        if isinstance(tree, ast.Subscript) and child is tree.slice:
            continue
        if isinstance(tree, ast.Compare | ast.keyword) or (isinstance(tree, ast.Call) and _called(tree) in _COUNTS):
            continue
        yield from _numbers(child, (*parents, tree))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _around(parents: tuple[ast.AST, ...]) -> ast.AST:
    """The largest expression around a number that still is one formula, and fits a line."""
    inner = parents[-1]
    for node in reversed(parents):
        if not isinstance(node, ast.BinOp | ast.UnaryOp | ast.Call) or len(ast.unparse(node)) > WIDTH:
            break
        inner = node
    return inner


def _unique(name: str, taken) -> str:
    count = sum(other == name or other.startswith(f"{name} (") for other in taken)
    return f"{name} ({count + 1})" if count else name


# --- the change ----------------------------------------------------------------------------------


def _rebuilt(formulas: list[FunctionType], index: int, place: int) -> Callable[..., tuple]:
    """The first formula, compiled anew with all others, one number of one of them changed."""
    made: list[FunctionType] = []
    for i, formula in enumerate(formulas):
        tree, namespace = _parsed(formula), dict(formula.__globals__)
        if i == index:
            node, parents = list(_numbers(tree))[place]
            namespace["_changed"] = _change(node.value, parents, node)
            _put(parents[-1], node, ast.copy_location(ast.Name("_changed", ast.Load()), node))
        exec(compile(tree, f"<{formula.__qualname__}, changed>", "exec"), namespace)
        made.append(namespace[formula.__name__])
    for copy, formula in zip(made, formulas, strict=True):
        for name, thing in formula.__globals__.items():
            if isinstance(thing, FunctionType) and thing in formulas:
                copy.__globals__[name] = made[formulas.index(thing)]
    return made[0]


def _put(parent: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for field, value in ast.iter_fields(parent):
        if value is old:
            setattr(parent, field, new)
        elif isinstance(value, list):
            setattr(parent, field, [new if x is old else x for x in value])


def _change(value: float, parents: tuple[ast.AST, ...], node: ast.AST) -> Any:
    if isinstance(value, float):
        return 1.1 * value
    inner = [*parents, node]
    while isinstance(inner[-2], ast.UnaryOp):
        inner.pop()
    outer, own = inner[-2:]
    exponent = isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Pow) and outer.right is own
    if exponent or (isinstance(outer, ast.Call) and _called(outer) in _ORDERS):
        return value + 1
    return _Number(Fraction(11 * value, 10) if value else Fraction(1, 10))


class _Number(Fraction):
    """A fraction that stays one among fractions and symbols, and becomes a float among floats."""

    def _mpmath_(self, prec, rounding):
        return mp.mpf(self.numerator) / self.denominator

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        exact = any(isinstance(x, np.ndarray) and x.dtype == object for x in inputs)
        plain = Fraction if exact else float
        return getattr(ufunc, method)(*(plain(x) if isinstance(x, _Number) else x for x in inputs), **options)


def _kept(name: str) -> Callable:
    """An operation of fractions whose result is such a number again, so that it may meet an array later."""

    def operation(self, *other):
        found = getattr(Fraction, name)(self, *other)
        return _Number(found) if type(found) is Fraction else found

    return operation


for _name in ("neg", "abs", *(side + name for name in ("add", "sub", "mul", "truediv", "pow") for side in ("", "r"))):
    setattr(_Number, f"__{_name}__", _kept(f"__{_name}__"))
