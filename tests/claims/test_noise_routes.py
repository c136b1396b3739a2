from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from scipy.special import ndtr

import scbtheory as scb
from scbtheory import claims
from scbtheory.claims import N2_noise_scale as scale
from scbtheory.claims import N3_coordinate_noise as coordinates
from scbtheory.claims import N4_threshold as thresholds
from scbtheory.claims import N5_sign as signs
from scbtheory.claims import _noise as noise
from scbtheory.derivations import symbols as sym
from scbtheory.verification.instances import exact

NOISE = ["N1", "N2", "N3", "N4", "N5"]


@pytest.mark.parametrize("claim_id", NOISE)
def test_the_claim_has_routes_of_several_kinds_and_controls(claim_id):
    claim = claims.find(claim_id)
    assert len({route.kind for route in claim.routes}) >= 3
    assert "symbolic" in {route.kind for route in claim.routes}
    assert len(claim.controls) >= 3


def test_sums_over_fractions_stay_fractions():
    s = noise.on_plane(exact(2, 3, seed=4), Fraction(1, 2), Fraction(1, 3))
    assert isinstance(s.T, Fraction)
    for value in (*coordinates.statement(s), *noise.second_moments(s, s.V, s.p)):
        assert isinstance(value, Fraction)


def test_sums_on_the_plane_are_the_packages():
    task = scb.SCB.random(3, 8, 2, seed=2)
    theta = scb.dynamics.lift(task, 0.4, 0.7)
    s = noise.on_plane(noise.floating(task, scb.Parameters.initial(task)), 0.4, 0.7)
    np.testing.assert_allclose(s.A, theta.A, rtol=1e-14)
    np.testing.assert_allclose(s.V, theta.V, rtol=1e-14)
    assert pytest.approx(task.K_P, rel=1e-12) == s.K_P
    assert s.Q_norm == pytest.approx(task.inner(task.Q, task.Q), rel=1e-12)
    assert s.p(2, 1) == pytest.approx((theta.A[:, 0] ** 2 * task.Q[:, 0]).sum(), rel=1e-12)
    assert s.one_token(lambda y: (y.T @ s.W @ y)[0, 0]) == pytest.approx(2, rel=1e-12)  # tr(WC) = N - 1


def test_only_one_diagonal_has_a_symbol():
    with pytest.raises(ValueError, match="diag"):
        noise.Symbols().diag(sym.P * sym.mu)


def test_extrapolation_to_infinite_length_is_exact_for_polynomials():
    values = [3 - Fraction(5, T) + Fraction(7, T**3) for T in scale.LENGTHS]
    assert scale.at_infinity(values) == 3
    assert scale.at_infinity([Fraction(1, T**5) for T in scale.LENGTHS]) != 0


def test_aitkens_limit_is_exact_for_a_geometric_approach():
    assert signs.geometric_limit([5 - Fraction(1, 3) ** n for n in range(3)]) == 5


def test_a_binomial_surprise_is_a_normal_deviate():
    assert signs.surprise(500, 1000, 0.5) < 0.05
    assert signs.surprise(540, 1000, 0.5) == pytest.approx(40 / 250**0.5, abs=0.05)
    assert signs.surprise(460, 1000, 0.5) == pytest.approx(40 / 250**0.5, abs=0.05)
    assert signs.surprise(150, 150, 1 - 1e-9) == 0
    assert signs.surprise(149, 150, 1.0) > 30
    assert signs.surprise(5, 10, float("nan")) == np.inf


def test_a_sampled_norm_is_the_norm_of_the_minibatch_gradient_of_one():
    task = scb.SCB.random(3, 7, 2, seed=3)
    theta = scb.Parameters.random(task, seed=4)
    batch = task.sample(5, seed=5)
    for centred in (True, False):
        norms = noise.sampled_norms(task, theta, batch, centred)
        for b in range(5):
            one = scb.task.Batch(*(x[b : b + 1] for x in (batch.tokens, batch.trigger, batch.output, batch.position)))
            gradient = scb.model.minibatch_gradient(task, theta, one, projected=centred).V
            gradient = gradient if centred else gradient / task.mu
            assert norms[b] == pytest.approx((gradient**2 @ task.mu).sum(), rel=1e-12)
    h = coordinates.sampled_coordinates(task, theta, batch)
    whole = scb.model.minibatch_gradient(task, theta, batch, projected=True).A
    own = np.eye(3)[batch.trigger] / task.mu
    np.testing.assert_allclose(h.T @ own / 5, whole, atol=1e-12)


def test_hard_thresholding_keeps_what_soft_thresholding_shrinks():
    s = thresholds.bundle(
        thresholds.FLOATS, x=np.array([-3.0, -0.5, 0.2, 2.0]), cut=1.0, c=1.0, sigma=1.0, M=9.0, B=1.0, signal=1.0
    )
    np.testing.assert_array_equal(thresholds.hard(s), [-3, 0, 0, 2])
    np.testing.assert_array_equal(thresholds.statement(s)[3], [-2, 0, 0, 1])


def test_the_trained_runs_do_not_depend_on_the_statement():
    (s, right, runs), *_ = signs.trained(((40, 8, 60),))
    assert 0 < right <= runs == 60
    ratio = signs.statement(s)[2]
    assert ndtr(ratio**0.5) == pytest.approx(
        scb.noise.sign_probability(scb.SCB.random(3, 40, 2, seed=0), batch_size=8, step_size=0.1), rel=1e-12
    )


def test_terms_counts_what_is_left():
    x, y = sp.symbols("x y")
    assert noise.terms((x + y) ** 2 - x**2 - 2 * x * y - y**2) == 0
    assert noise.terms(x + y) == 2
