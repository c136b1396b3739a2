"""Finetuning's derivations: what cancels, and that what should not cancel does not."""

import pytest
import sympy as sp

from scbtheory.derivations import transfer as d

BACK = {d.k_P: d.K_P, d.k_Q: d.K_Q, d.k_hat: d.K_hat, d.k_cross: d.K_cross}


def matrices(field):
    return tuple(f.subs(BACK, simultaneous=True) for f in field)


def test_the_field_is_derived_for_any_stationary_law_centred_or_not():
    assert d.field_is_derived()
    field = matrices(d.field())
    assert d.residual_terms(*field, same_law=True) == 0
    z = sp.Symbol("z")
    assert z in d._point(z)[0].free_symbols, "nothing is left of a shift because there was one"
    assert d.residual_terms(*field, shift=z) == 0


@pytest.mark.parametrize("index", range(3))
def test_a_wrong_velocity_leaves_terms(index):
    field = list(d.field())
    field[index] = field[index] + d.gamma * d.k_cross
    assert d.residual_terms(*matrices(field)) > 0


def test_starts_and_growths():
    assert d.start_velocity() == (d.theta * d.k_cross, 1 / d.T, -d.theta / d.T)
    assert d.time_growth(True) == 0
    assert sp.simplify(d.time_growth(False) - 1 / sp.sqrt(d.k_P * d.k_Q)) == 0
    rate = d.growth_rate()
    assert sp.simplify(rate**2 + d.theta**2 * d.k_hat * rate - d.k_P * d.k_Q) == 0
    assert sp.simplify(d.growth_rate(0) - sp.sqrt(d.k_P * d.k_Q)) == 0
    assert d.resting_product() == [1]


def test_the_branch_is_decided_along_the_left_eigenvector():
    left, amplitude = d.growing_mode()
    rate = d.growth_rate()
    assert sp.simplify(left[1] - d.k_P / rate) == 0
    assert sp.simplify(rate * amplitude - d.T * (d.theta * d.k_cross + d.k_P / (rate * d.T))) == 0
    assert sp.simplify(d.branch_threshold() + d.k_P / (rate * d.theta * d.T)) == 0


def test_the_threshold_puts_the_start_on_the_saddles_stable_manifold():
    """In numbers, from the linear field written by hand: at the threshold the growing mode is not excited."""
    values = {d.k_P: sp.Rational(1, 4), d.k_Q: sp.Rational(1, 2), d.k_hat: sp.Rational(1, 5), d.theta: 1, d.T: 10**4}
    K_cross = d.branch_threshold().subs(values)
    J = sp.Matrix([[-values[d.k_hat], values[d.k_P]], [values[d.k_Q], 0]])
    saddle = -J.inv() * sp.Matrix([K_cross, sp.Rational(1, 10**4)])
    growing = [vectors[0] for value, _, vectors in J.T.eigenvects() if value > 0]
    assert len(growing) == 1
    assert sp.simplify((growing[0].T * saddle)[0]) == 0
