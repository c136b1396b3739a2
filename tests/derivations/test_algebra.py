"""The normal form: equal expressions meet, unequal ones do not, and assumptions are used only when named."""

import numpy as np
import pytest
import sympy as sp

from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import N, Rules, T, coefficient, difference, expression, normal, words

SIZES = {"N": 3, "T": 4, "1": 1}
NAMES = {x.name: x for x in (s.mu, s.one_N, s.one_T, s.a, s.b, s.q, s.P, s.V, s.M, s.C, s.D, s.W)}


@pytest.fixture(scope="module")
def numbers():
    """Random matrices that satisfy ALWAYS and ADMISSIBLE, for evaluating expressions at N = 3, T = 4."""
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(3), size=3).T
    mu = np.linalg.matrix_power(P, 200)[:, [0]]
    V = rng.standard_normal((3, 3))
    V -= V.mean(axis=0)
    V = V - V @ mu + mu
    a, b, q = (rng.standard_normal((4, 1)) for _ in range(3))
    a, q = a - a.mean() + 0.25, np.abs(q) / np.abs(q).sum()
    D = np.diag(mu[:, 0])
    return {
        s.mu: mu, s.one_N: np.ones((3, 1)), s.one_T: np.ones((4, 1)), s.a: a, s.b: b, s.q: q, s.P: P, s.V: V,
        s.M: rng.standard_normal((3, 3)), s.D: D, s.W: np.linalg.inv(D), s.C: D - mu @ mu.T,
    }  # fmt: skip


def value(expr, numbers):
    """Evaluate a SymPy matrix or scalar expression with numpy."""
    if isinstance(expr, sp.MatrixSymbol):
        return numbers[expr]
    if isinstance(expr, sp.Identity):
        return np.eye(SIZES[str(expr.shape[0])])
    if isinstance(expr, sp.ZeroMatrix):
        return np.zeros([SIZES[str(n)] for n in expr.shape])
    if isinstance(expr, sp.Transpose):
        return value(expr.arg, numbers).T
    if isinstance(expr, sp.Trace):
        return np.trace(value(expr.arg, numbers))
    if expr in (N, T):
        return SIZES[str(expr)]
    if expr.is_Number:
        return float(expr)
    parts = [value(arg, numbers) for arg in expr.args]
    if isinstance(expr, sp.MatAdd | sp.Add):
        return sum(parts[1:], parts[0])
    if isinstance(expr, sp.Pow):
        return parts[0] ** parts[1]
    product = parts[0]
    for part in parts[1:]:
        product = product @ part if np.ndim(product) and np.ndim(part) else product * part
    return product


EXPRESSIONS = [
    s.V * s.C * s.P.T + 2 * s.M,
    (s.V - s.mu * s.one_N.T) * s.D * (s.P - s.mu * s.one_N.T).T,
    s.tr(s.V.T * s.P * s.C) * s.M + s.mu * s.mu.T,
    s.V * s.mu * s.mu.T * s.P.T * s.M,
    (s.I_T - s.one_T * s.one_T.T / T) * (s.dot(s.a, s.q) * s.a - s.b),
    s.W * s.C * s.M,
    s.tr(s.mu.T * s.V.T * s.M * s.mu) * s.I_N,
    s.a * s.a.T * s.b * s.q.T,
    s.tr(s.C) * s.I_N,
    s.tr(s.I_T) * s.M,
]


@pytest.mark.parametrize("expr", EXPRESSIONS, ids=str)
def test_a_normal_form_has_the_value_of_its_expression(expr, numbers):
    """Write the normal form back as an expression, numbers included, and compare at N = 3, T = 4."""
    form = normal(expr, s.ALWAYS + s.ADMISSIBLE)
    total = np.zeros([SIZES[str(n)] for n in expr.shape])
    for word, number in form.items():
        total = total + value(named(number), numbers) * value(expression({word: 1}, expr.shape), numbers)
    np.testing.assert_allclose(total, value(expr, numbers), atol=1e-12)


def named(number):
    """Turn the commuting symbols of a normal form back into traces, by reading their names."""

    def trace(symbol):
        text = symbol.name.strip("{}").replace(r"\operatorname{tr}", "")[1:-1]
        product = None
        for letter in text.split():
            transposed = letter.endswith("^{T}")
            matrix = NAMES[letter.removesuffix("^{T}")]
            matrix = matrix.T if transposed else matrix
            product = matrix if product is None else product * matrix
        return sp.Trace(product)

    return sp.sympify(number).subs({x: trace(x) for x in number.free_symbols if x not in (N, T)})


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (s.tr(s.V * s.M), s.tr(s.M * s.V)),
        (s.tr(s.V * s.M), s.tr(s.M.T * s.V.T)),
        (s.tr(s.V * s.M * s.P), s.tr(s.P * s.V * s.M)),
        (s.dot(s.a, s.q), s.dot(s.q, s.a)),
        (s.tr(s.V * s.mu * s.mu.T * s.M), s.tr(s.mu.T * s.M * s.V * s.mu)),
        (s.C, s.C.T),
        (s.C * s.one_N, sp.ZeroMatrix(N, 1)),
        (s.P * s.C * s.one_N, sp.ZeroMatrix(N, 1)),
        (s.W * s.C, s.I_N - s.one_N * s.mu.T),
        ((s.P - s.mu * s.one_N.T) * s.mu, sp.ZeroMatrix(N, 1)),
        (s.tr(s.I_N) + s.tr(s.I_T), N + T),
        (s.tr(s.one_T * s.one_T.T), T),
        (s.tr(s.mu * s.one_N.T), sp.Integer(1)),
        (s.tr(s.one_N * s.mu.T), sp.Integer(1)),
        (s.tr(s.W * s.D), N),
        (s.tr(s.one_T * s.one_T.T * s.one_T * s.one_T.T), T**2),
        (s.tr(s.I_T - s.one_T * s.one_T.T / T), T - 1),
        (s.tr(s.W * s.C), N - 1),
    ],
    ids=str,
)
def test_equal_expressions_have_equal_normal_forms(left, right):
    assert difference(left, right, s.ALWAYS) == 0


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (s.V * s.M, s.M * s.V),
        (s.V, s.V.T),
        (s.tr(s.V * s.M), s.tr(s.V.T * s.M)),
        (s.tr(s.V * s.M * s.P), s.tr(s.M * s.V * s.P)),
        (s.dot(s.a, s.q), s.dot(s.b, s.q)),
        (s.C, s.D),
        (s.V * s.mu, s.mu),
        (s.dot(s.one_T, s.a), sp.Integer(1)),
    ],
    ids=str,
)
def test_unequal_expressions_keep_terms_apart(left, right):
    assert difference(left, right, s.ALWAYS) > 0


def test_assumptions_act_only_when_named():
    assert difference(s.V * s.mu, s.mu, s.ALWAYS + s.ADMISSIBLE) == 0
    assert difference(s.mu.T * s.V.T, s.mu.T, s.ALWAYS + s.ADMISSIBLE) == 0
    assert difference(s.V * s.mu, s.mu, s.ALWAYS) > 0


def test_a_rule_needs_one_product_on_its_left():
    with pytest.raises(ValueError, match="one product"):
        Rules((s.V + s.P, s.M))


def test_what_has_no_normal_form_is_refused():
    with pytest.raises(TypeError, match="no normal form"):
        words(sp.HadamardProduct(s.V, s.P))


def test_coefficient_reads_one_number_of_a_form():
    form = normal(3 * s.tr(s.V * s.M) * s.a + s.b, s.ALWAYS)
    assert coefficient(form, s.b) == 1
    assert coefficient(form, s.a) == 3 * normal(s.tr(s.V * s.M))
    assert coefficient(form, s.q) == 0
