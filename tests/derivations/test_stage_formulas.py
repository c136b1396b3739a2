"""S1 to S7's derivations: numbers put into what they find, and residuals that do not vanish for a mistake."""

import mpmath as mp
import pytest
import sympy as sp

from scbtheory.derivations import stages as st
from scbtheory.derivations.reduction import BALANCED, K_Q, T, alpha, beta, d, p, q

POINT = {p: sp.Rational(1, 5), q: sp.Rational(1, 2), d: sp.Rational(1, 10**6)}


def test_vanishes_decides_hyperbolic_and_logarithmic_identities():
    x = sp.Symbol("x", positive=True)
    assert st.vanishes(sp.cosh(x) ** 2 - sp.sinh(x) ** 2 - 1)
    assert st.vanishes(sp.log(x**2 * p) - 2 * sp.log(x) - sp.log(p))
    assert not st.vanishes(sp.log(x**2) - sp.log(x))
    assert st.surviving(x, x - x, sp.exp(x) - 1) == 2


def test_S3_the_half_time_is_the_time_integral():
    """∫ dy / y' in the symmetric case p = q by quadrature, where z is known to be of order δ and its share δ/4."""
    drift = mp.mpf(10) ** -5
    y = lambda x: x * (1 - x**2 / 4) + drift * (1 - x / 2)  # noqa: E731
    points = [0, drift, 10 * drift, 1000 * drift, 0.1, 1, mp.sqrt(2)]
    integral = mp.quad(lambda x: 1 / y(x), points) + drift / 4
    values = {p: 1, q: 1, d: sp.Rational(1, 10**5)}
    found = (st.half_time() + st.half_time_correction()).subs(values)
    assert abs(sp.N(found, 25) - integral) < 1e-8


def test_S3_the_surds_are_what_they_say():
    for surd, value in st.SURDS.items():
        assert sp.N(surd - value, 30, chop=True) == 0


def test_S3_scaled_variables_do_solve_the_field():
    assert st.surviving(*st.scaled_residuals()) == 0


def test_S3_a_wrong_leading_order_stops_the_correction(monkeypatch):
    st.half_time_correction.cache_clear()
    monkeypatch.setattr(st, "half_time", lambda: 2 * sp.log(1 / d))
    with pytest.raises(ArithmeticError, match="not the matched half time"):
        st.half_time_correction()
    st.half_time_correction.cache_clear()


def test_S4_balanced_is_the_same_formula():
    found = st.half_time().subs(BALANCED, simultaneous=True)
    assert st.vanishes(found - sp.log(2 * T * K_Q))
    end = st.stage_two_end()
    assert [x.subs({p: 1, q: 1}) for x in end] == [1, 1]


def test_S4_the_gap_region_needs_its_exact_width():
    assert st.surviving(*st.gap_residuals(d, d)) == 0
    assert st.surviving(*st.gap_residuals(d / 2, d)) == 1


def test_S5_the_slow_curve_is_invariant_to_first_order():
    h, v = st.creep()
    b = sp.Rational(6, 5)
    velocity = [f.subs({alpha: 1 / b + d * h.subs(beta, b), beta: b}).subs(POINT) for f in st.FIELD]
    assert abs(velocity[1] / (d * v).subs(beta, b).subs(POINT) - 1) < 1e-4
    assert abs(velocity[0] / velocity[1] * b**2 + 1) < 1e-4


def test_S5_the_eigenvalue_series_are_two_derivations_of_one_number():
    from scbtheory.derivations.reduction import EQUAL, eigenvalues

    first, second = (x.subs(EQUAL) for x in st.slow_eigenvalue())
    series = eigenvalues((1, 1), 2)
    assert any(sp.simplify(x - first / T - second / T**2) == 0 for x in series)


def test_S7_the_least_square_is_one_over_the_sparsity():
    assert st.least_square() == 1 / st.sparsity
    assert len(st.held_velocity()) == 2
