"""The softmax derivations: the Jacobian with T a symbol, and the flow that closes."""

import pytest
import sympy as sp

from scbtheory.derivations import reduction, softmax
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import T

PI = s.I_T - s.one_T * s.one_T.T / T


def test_the_jacobian_at_zero_is_the_centring_over_T():
    assert softmax.jacobian_has_that_form()
    assert softmax.unexplained(PI / T, PI * s.b / T, -(PI * s.b) / T**2) == 0


@pytest.mark.parametrize(
    ("J", "gradient", "velocity"),
    [
        (s.I_T / T, PI * s.b / T, -(PI * s.b) / T**2),
        (PI / T, PI * s.b, -(PI * s.b) / T**2),
        (PI / T, PI * s.b / T, -(PI * s.b) / T),
    ],
)
def test_a_wrong_power_of_T_leaves_terms(J, gradient, velocity):
    assert softmax.unexplained(J, gradient, velocity) > 0


def test_the_general_entry_at_explicit_lengths():
    for length in (2, 3):
        w = sp.symbols(f"w0:{length}", real=True)
        total = sum(sp.exp(x) for x in w)
        J = sp.Matrix([sp.exp(x) / total for x in w]).jacobian(w)
        for i, j in ((0, 0), (0, 1), (1, 0)):
            entry = softmax.jacobian_entry().subs(T, length).subs({softmax.t: i, softmax.u: j}).doit()
            entry = entry.subs({softmax.W[n]: x for n, x in enumerate(w)})
            assert sp.simplify(entry - J[i, j]) == 0


def test_the_flow_on_two_numbers():
    alpha, beta, K_P, K_Q = softmax.alpha, softmax.beta, softmax.K_P, softmax.K_Q
    kappa = ((1 - alpha) * (1 / T + alpha * K_Q)) ** 2
    d_beta = reduction.velocity()[1]
    assert softmax.surviving(kappa * K_P * beta * (1 - alpha * beta), d_beta) == 0
    assert softmax.surviving(K_P * beta * (1 - alpha * beta) / T**2, d_beta) == 1
    assert softmax.surviving(kappa * K_P * beta * (1 - alpha * beta), d_beta + 1 / T) == 1


def test_attention_on_two_levels_is_on_the_plane():
    m, size = softmax.mass, softmax.size
    assert sp.simplify(softmax.alpha_of_mass() - (m - size / T) / (1 - size / T)) == 0
