"""R1 to R4's derivations: what they find, and that they refuse what they cannot decide."""

import pytest
import sympy as sp

from scbtheory.derivations import reduction as r
from scbtheory.derivations import symbols as s


def test_R1_only_the_plane_is_invariant():
    V, a = r.PLANE
    assert r.leaves_plane(V, r.P_DEVIATION, a, r.Q_DEVIATION) == 0
    assert r.leaves_plane(r.beta * s.P, s.P, a, r.Q_DEVIATION) > 0
    assert r.leaves_plane(V, r.P_DEVIATION, r.alpha * s.q, s.q) > 0
    assert r.leaves_plane(V, r.P_DEVIATION, r.uniform + r.alpha * (s.e - r.uniform), s.e - r.uniform) > 0


def test_R1_an_alpha_for_each_trigger_does_not_count_as_one():
    """At a = (1 + ‖q‖²) q' the multiple of q' would differ between triggers."""
    a = r.uniform + r.SQUARE_Q * r.Q_DEVIATION
    assert r.leaves_plane(r.PLANE[0], r.P_DEVIATION, a, r.Q_DEVIATION) == 1


def test_R2_is_found_from_the_sample_loss():
    alpha, beta = r.alpha, r.beta
    found = r.velocity()
    assert sp.expand(found[0] - r.K_P * beta * (1 - alpha * beta)) == 0
    assert sp.expand(found[1] - r.K_Q * alpha * (1 - alpha * beta) - (1 - beta) / r.T) == 0
    assert r.field_is_reduced()


def test_the_average_over_triggers_refuses_what_is_not_affine():
    with pytest.raises(ArithmeticError, match="not affine"):
        r.averaged(r.SQUARE_Q**2)


def test_R3_is_half_at_perfect_knowledge_of_nothing():
    """At the start the loss is that of predicting μ; at (1, 1) it is the Bayes loss."""
    start = r.loss().subs({r.alpha: 0, r.beta: 0})
    assert sp.expand(start - (1 - r.mu_squared) / 2) == 0
    truth = r.loss().subs({r.alpha: 1, r.beta: 1})
    assert sp.expand(truth - (1 - r.mu_squared - (r.K_Q + 1 / r.T) * r.K_P) / 2) == 0


def test_R4_points_types_and_expansions():
    points = r.fixed_points()
    assert set(points) == {(1, 1), (-r.d / r.q, 0)}
    assert [r.kind(point) for point in points] == ["stable node" if p == (1, 1) else "saddle" for p in points]
    slow = max(r.eigenvalues((1, 1), 2), key=lambda x: x.subs({r.K_P: 0.2, r.K_Q: 0.5, r.T: 100}))
    true = (-(0.71) + (0.71**2 - 4 * 0.2 / 100) ** 0.5) / 2
    assert float(slow.subs({r.K_P: 0.2, r.K_Q: 0.5, r.T: 100})) == pytest.approx(true, rel=1e-3)


def test_R4_listing_zeros_refuses_what_it_cannot_decide():
    with pytest.raises(ArithmeticError, match="not linear"):
        r.fixed_points((r.beta * (1 - r.alpha), r.alpha**2 + r.beta**2 - 1))


def test_R4_a_focus_is_not_called_a_node():
    focus = (-r.alpha + 5 * r.beta * r.p, -r.beta - 5 * r.alpha * r.p)
    assert r.kind((0, 0), focus) == "undecided"


def test_R4_the_wrong_branch_is_bounded_by_the_saddle_alone():
    assert r.wrong_branch_residuals(-r.d / r.q) == (0, 0)
    assert r.wrong_branch_residuals(sp.Integer(0))[0] != 0
