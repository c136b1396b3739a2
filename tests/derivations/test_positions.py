"""X4's derivation: the closed flow of three numbers, its two expansions, and what is rejected."""

import numpy as np
import pytest
import sympy as sp

import scbtheory as scb
from scbtheory.derivations import positions as p

FIRST = 1 - p.q_2 / p.q_1
SQUARE = 2 * (p.a / (1 - p.a) + sp.log(1 - p.a)) / p.K_Q
PUSH = p.q_1 / (p.a * p.K_Q) * (p.q_2 / p.u - p.q_1 * (1 - p.a) / p.a)
DECAY = -(1 - p.a) * p.q_1 * p.q_2 / p.a**3


def test_the_velocities_are_those_of_all_logits_and_V():
    """The closed flow, at a point with columns alike, beside the package's projected gradient of every parameter."""
    T, y_1, y, beta = 12, 5.0, 2.0, 0.7
    Q = np.zeros((T, 3))
    Q[[4, 9], :] = [[0.6] * 3, [0.4] * 3]
    task = scb.SCB(scb.SCB.random(3, T, 2, seed=6).P, Q)
    W = np.zeros((T, 3))
    W[4], W[9] = np.log(y_1), np.log(y)
    theta = scb.softmax.SoftmaxParameters(W, task.mu[:, None] + beta * (task.P - task.mu[:, None]))
    g = scb.population.projected_gradient(task, theta)
    values = {p.q_1: 0.6, p.q_2: 0.4, p.eps: sp.Rational(1, T), p.beta: beta, p.speed: 1, p.K_Q: task.K_Q}
    d_y1, d_y, d_a, d_beta = (float(v.subs(values)) for v in p.velocity(y_1, y))
    w = -g.W / task.K_P
    np.testing.assert_allclose([d_y1, d_y], [w[4, 0] - w[0, 0], w[9, 0] - w[0, 0]], rtol=1e-12)
    A = theta.linear(task).A
    np.testing.assert_allclose(d_a, scb.softmax.jacobian_times(np, A, w)[4, 0], rtol=1e-12)
    along = -task.inner(g.V, task.P - task.mu[:, None]) / task.K_P
    np.testing.assert_allclose(d_beta, along / task.K_Q, rtol=1e-12)


def test_each_attention_grows_like_its_square():
    y_1 = sp.Symbol("y_1", positive=True)
    assert p.race() == [p.q_1 * y_1**2, p.q_2 * p.y**2]


def test_the_stated_expressions_are_the_derived_ones():
    assert p.is_conserved()
    for found, stated in zip(p.derived(), (FIRST, DECAY, PUSH, SQUARE), strict=True):
        assert sp.simplify(found - stated) == 0


def test_u_falls_along_the_flow_of_large_T():
    """The sign of du: the second position grows while the first rests, by the flow itself at T = 10⁶."""
    values = {p.q_1: 0.6, p.q_2: 0.4, p.eps: 1e-6, p.K_Q: 0.52}
    a, u = 0.7, 0.5
    first = a * (1 / u + 1 / values[p.eps] - 2) / (1 - a)
    rate = p.velocity(first, 1 / u)[1].subs({**values, p.beta: values[p.q_1] / a, p.speed: a**-2})
    stated = DECAY.subs({**values, p.a: a})
    assert float(-u * rate / values[p.eps]) == pytest.approx(float(stated), rel=1e-3)
