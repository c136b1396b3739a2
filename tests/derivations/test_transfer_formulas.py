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
    assert d.residual_terms(*field, shift=sp.Symbol("z")) == 0


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
