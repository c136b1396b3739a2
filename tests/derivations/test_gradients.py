"""Moments, expectations and gradients against their definitions at small explicit sizes."""

import itertools

import pytest
import sympy as sp

from scbtheory.derivations import gradients, model, moments
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import N, T, difference


def at_sizes(expr, n, t):
    """Put N = n, T = t into an expression with sums and deltas, and carry the sums out."""
    expr = expr.subs({N: n, T: t})
    return sp.expand(expr.doit())


@pytest.mark.parametrize(("n", "t"), [(2, 2), (2, 3), (3, 2)])
def test_the_pair_moment_is_the_enumerated_one(n, t):
    """Average X_it X_ju over every context, symbolic mu, and compare all entries."""
    mu = [sp.Symbol(f"mu{i}") for i in range(n)]
    contexts = list(itertools.product(range(n), repeat=t))
    normalised = {mu[-1]: 1 - sum(mu[:-1])}
    for i, j, p, q in itertools.product(range(n), range(n), range(t), range(t)):
        enumerated = sum(
            sp.prod([mu[x] for x in context]) for context in contexts if context[p] == i and context[q] == j
        )
        same, equal = int(p == q), int(i == j)
        derived = moments.entry_pair().subs(
            {moments.delta(moments.i, moments.j, N): equal, moments.delta(moments.t, moments.u, T): same}
        )
        derived = derived.subs({moments.MU[moments.i]: mu[i], moments.MU[moments.j]: mu[j]})
        assert sp.expand((enumerated - derived).subs(normalised)) == 0


@pytest.mark.parametrize(
    "expr", [moments.attended(), moments.sandwiched(), model.law()], ids=["Xa(Xb)'", "X'MX", "law"]
)
def test_derived_sums_equal_themselves_under_other_index_names(expr):
    bound = [limit[0] for total in expr.atoms(sp.Sum) for limit in total.limits]
    renamed = expr
    for index in set(bound):
        renamed = renamed.replace(
            lambda e, index=index: isinstance(e, sp.Sum) and index in e.variables,
            lambda e, index=index: e.xreplace({index: sp.Dummy(integer=True, nonnegative=True)}),
        )
    assert moments.same(expr, renamed)


def test_sums_that_differ_are_told_apart():
    f = sp.Function("f")
    i, j = moments.i, moments.j
    one = sp.Sum(f(i, j), (i, 0, N - 1), (j, 0, N - 1))
    assert moments.same(one, sp.Sum(f(j, i), (j, 0, N - 1), (i, 0, N - 1)))
    assert not moments.same(one, sp.Sum(f(i, i), (i, 0, N - 1)))
    assert not moments.same(sp.Sum(f(i, 0), (i, 0, N - 1)), sp.Sum(f(i, 0), (i, 0, T - 1)))


@pytest.mark.parametrize("index", [0, 1])
def test_sum_over_carries_out_what_sympy_would(index):
    """Deltas collapse, constants count the size, and the rest stays a sum: evaluated at size 3."""
    f = sp.Function("f")
    expr = moments.delta(moments.t, index, T) * f(moments.t) + 5 + f(moments.t) ** 2
    total = at_sizes(moments.sum_over(expr, moments.t, T), 2, 3)
    assert total == f(index) + 15 + sum(f(n) ** 2 for n in range(3))


def test_expectations_use_the_law_of_the_output():
    assert gradients.unexplained(s.output, s.mu) == 0
    assert gradients.unexplained(s.output * (s.X * s.a).T, s.P * gradients.second_moment(s.q, s.a)) == 0
    assert gradients.unexplained(s.tr(s.output.T * s.output), sp.Integer(1)) == 0


@pytest.mark.parametrize(
    "expr", [s.output * s.output.T, s.X * s.a * s.b.T * s.X.T * s.M * s.X, s.X * s.a * s.mu.T * s.X]
)
def test_moments_that_are_not_known_are_refused(expr):
    with pytest.raises(ValueError, match="not"):
        gradients.expected(expr)


def test_the_hessian_is_the_gradients_derivative():
    """H a is the part of the expected gradient that is linear in a."""
    averaged = gradients.hessian_A() * s.a
    quadratic = gradients.expected(s.X.T * s.V.T * s.V * s.X * s.a)
    assert difference(averaged, gradients.expression(quadratic, (T, 1)), s.ALWAYS) == 0


def test_the_projected_sample_gradients_match_only_on_the_set():
    on_set = s.ALWAYS + s.ADMISSIBLE
    stated = s.dot(s.a, s.a) * (s.V - s.mu * s.one_N.T) - s.dot(s.q, s.a) * (s.P - s.mu * s.one_N.T)
    assert gradients.unexplained(gradients.projected_sample_V(), stated, on_set) == 0
    assert gradients.unexplained(gradients.projected_sample_V(), stated, s.ALWAYS) > 0
