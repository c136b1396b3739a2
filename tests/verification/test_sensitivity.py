"""Changed numbers of a statement: which are found, what becomes of them, and that a blind route is found out."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

from scbtheory.verification import sensitivity
from scbtheory.verification.claim import Claim, Control, Route

WEIGHTS = (3, 5)


def statement(s):
    """Every kind of number: a factor, a summand, exponents, a power sum, 0, a default, an index and an option."""
    return scaled(s), s.T**2 - s.p(2, 1), np.maximum(s.x, 0) + WEIGHTS[1], sum(s.x**-1 for _ in range(3) if s.T > 7)


def scaled(s, factor=2):
    return factor * s.x + 0.5


NAMES = [
    "2 in s.T ** 2 - s.p(2, 1)", "2 in s.T ** 2 - s.p(2, 1) (2)", "1 in s.T ** 2 - s.p(2, 1)",
    "0 in np.maximum(s.x, 0) + WEIGHTS[1]", "1 in s.x ** (-1)", "2 in s, factor=2", "0.5 in factor * s.x + 0.5",
]  # fmt: skip


def bundle(x):
    return SimpleNamespace(x=x, T=10, p=lambda i, j: 10 * i + j)


def test_every_number_is_changed_once_and_alone():
    changed = sensitivity.variations(statement)
    assert [v.name for v in changed] == NAMES
    right = statement(bundle(4.0))
    values = [v.statement(bundle(4.0)) for v in changed]
    assert [sum(x != y for x, y in zip(value, right, strict=True)) for value in values] == [1, 1, 1, 0, 1, 1, 1]
    assert [value[1] for value in values[:3]] == [1000 - 21, 100 - 31, 100 - 22]
    assert values[3][2] == 4 + 5
    assert changed[3].statement(bundle(-4.0))[2] == pytest.approx(0.1 + 5)
    assert values[4][3] == 3 / 16  # x⁻¹ became x⁻²
    assert [values[5][0], values[6][0]] == pytest.approx([2.2 * 4 + 0.5, 2 * 4 + 0.55])
    assert statement(bundle(4.0)) == right


def formula(s):
    return (1 - 2 * s.x / 3,)


@pytest.mark.parametrize(
    "x",
    [0.3, np.array([0.3, 0.7]), np.array([Fraction(1, 3)]), Fraction(1, 3), sp.Symbol("x"), mp.mpf("0.3")],
    ids=["float", "floats", "fractions", "fraction", "symbol", "mpmath"],
)
def test_a_changed_number_takes_the_arithmetic_of_what_it_meets(x):
    kind = type(x.flat[0] if isinstance(x, np.ndarray) else x)
    tenth = {Fraction: Fraction(11, 10), sp.Symbol: sp.Rational(11, 10)}.get(kind, 1.1)
    for variation, wanted in zip(
        sensitivity.variations(formula),
        (tenth - 2 * x / 3, 1 - tenth * 2 * x / 3, 1 - 2 * x / 3 / tenth),
        strict=True,
    ):
        (found,) = variation.statement(SimpleNamespace(x=x))
        assert getattr(found, "dtype", None) == getattr(wanted, "dtype", None)
        difference = np.max(np.abs(np.array(found - wanted, dtype=object)))
        assert sp.simplify(difference) == 0 or float(difference) < 1e-12


def half(s):
    return (s.x / 2,)


def claim(*residuals):
    routes = tuple(Route("numeric", "toy", f, 1e-9) for f in residuals)
    controls = (Control("twice", lambda s: (s.x,)), Control("nothing", lambda s: (0,)))
    return Claim(
        id="M1", title="", text="$$0$$", assumptions="", scope="", nature="theorem", chapter="", statement=half,
        routes=routes, controls=controls,
    )  # fmt: skip


def test_a_route_that_does_not_look_is_found_out():
    def looks(statement):
        return {"gap": abs(statement(SimpleNamespace(x=3.0))[0] - 1.5)}

    def looks_at_nothing(statement):
        return {"gap": 0 * statement(SimpleNamespace(x=3.0))[0]}

    def breaks(statement):
        if statement(SimpleNamespace(x=3.0))[0] != 1.5:
            raise ArithmeticError("no root")
        return {"gap": 0}

    assert sensitivity.unseen(claim(looks, looks_at_nothing, breaks)) == [[], ["2 in s.x / 2"], []]


def test_a_route_that_draws_anew_is_not_asked():
    route = Route("monte carlo", "toy", lambda statement: pytest.fail("asked"), anew=True)
    other = Route("numeric", "toy", looks_fine, blind="it looks at nothing")
    assert sensitivity.unseen(replace(claim(looks_fine, looks_fine), routes=(route, other))) == [None, ["2 in s.x / 2"]]


def test_a_route_that_cannot_compute_with_a_changed_number_does_not_pass_as_one_that_sees_it():
    def counts(statement):
        return {"gap": 0 * range(10)[statement(SimpleNamespace(x=2))[0] // 1]}

    with pytest.raises(TypeError, match=r"M1, numeric, with another 2 in s\.x / 2: TypeError"):
        sensitivity.unseen(claim(looks_fine, lambda f: {"gap": len("ab" * f(SimpleNamespace(x=2))[0])}, counts))


def looks_fine(statement):
    return {"gap": 0}


def made(factor):
    def inner(s):
        return (factor - 2 * s.x,)

    return inner


def of_a_lambda(s):
    return (1 - named(s),)


def of_a_closure(s):
    return (1 - inner(s)[0],)


named = lambda s: 2 * s.x  # noqa: E731
inner = made(1)


@pytest.mark.parametrize(
    ("stated", "what"),
    [(named, "a lambda"), (of_a_lambda, "a lambda"), (inner, "a closure"), (of_a_closure, "a closure")],
)
def test_a_function_whose_source_is_not_its_own_is_no_statement_whose_numbers_can_be_read(stated, what):
    with pytest.raises(ValueError, match=rf"statement is or calls {what}, .*; expected functions of their own"):
        sensitivity.variations(stated)


def test_a_name_that_is_missing_in_a_changed_statement_is_no_number_seen():
    def asks(statement):
        if statement(SimpleNamespace(x=3.0))[0] != 1.5:
            raise NameError("name 'one' is not defined")
        return {"gap": 0}

    with pytest.raises(TypeError, match=r"M1, numeric, with another 2 in s\.x / 2: NameError"):
        sensitivity.unseen(claim(looks_fine, asks))
