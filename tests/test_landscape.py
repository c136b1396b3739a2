"""The loss landscape: the excess as a difference of losses, the growth as an eigenvalue, and what is refused."""

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import landscape
from scbtheory.errors import InvalidArgument, ShapeMismatch


def test_the_excess_is_what_the_loss_has_above_the_least(backend):
    task = scb.SCB.random(4, 9, 2, seed=1, backend=backend)
    theta = scb.Parameters.random(task, seed=2, admissible=True)
    least = scb.population.bayes_loss(task)
    assert landscape.excess_loss(task, theta) == pytest.approx(scb.population.loss(task, theta) - least, rel=1e-5)
    assert landscape.excess_loss(task, scb.Parameters.truth(task)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("leak", [1.5e-9, -1.5e-9])
def test_parameters_off_the_admissible_set_are_refused(leak):
    task = scb.SCB.random(3, 8, 2, seed=1)
    theta = scb.Parameters.random(task, seed=2, admissible=True)
    A, V, moved = theta.A.copy(), theta.V.copy(), theta.V.copy()
    A[2, 1] += leak
    V[0] += leak  # and V mu with it
    moved[0, 0], moved[1, 0] = moved[0, 0] + leak / task.mu[0], moved[1, 0] - leak / task.mu[0]
    for wrong, message in (((A, theta.V), "columns of A"), ((theta.A, V), "columns of V"), ((theta.A, moved), "V mu")):
        with pytest.raises(InvalidArgument, match=message):
            landscape.excess_loss(task, scb.Parameters(*wrong))
    landscape.excess_loss(task, scb.Parameters(theta.A + leak / 16, theta.V))


def test_single_precision_may_leak_more():
    task = scb.SCB.random(3, 8, 2, seed=1, dtype="float32")
    theta = scb.Parameters.random(task, seed=2, admissible=True)
    landscape.excess_loss(task, theta + scb.Parameters(np.full((8, 3), 1e-5, np.float32), 0 * theta.V))
    with pytest.raises(InvalidArgument, match="columns of A"):
        landscape.excess_loss(task, theta + scb.Parameters(np.full((8, 3), 1.5e-5, np.float32), 0 * theta.V))


def test_a_saddle_is_left_as_fast_as_its_jacobian_says():
    task = scb.SCB.random(3, 6, 2, seed=3)
    A, Q = scb.Parameters.random(task, seed=4, admissible=True).A, task.Q - 1 / 6
    saddle = scb.Parameters(A - task.inner(task.Q, A) / task.K_Q * Q, scb.Parameters.initial(task).V)
    h, steps = 1e-6, np.eye(27) * 1e-6

    def velocity(step):
        moved = scb.Parameters(saddle.A + step[:18].reshape(6, 3), saddle.V + step[18:].reshape(3, 3))
        found = scb.population.projected_gradient(task, moved)
        return -np.append(found.A, found.V)

    jacobian = np.array([(velocity(e) - velocity(-e)) / (2 * h) for e in steps]).T
    growth = np.linalg.eigvals(jacobian).real.max()
    assert landscape.saddle_growth(task, saddle.A) == pytest.approx(growth, rel=1e-7)
    with pytest.raises(ShapeMismatch):
        landscape.saddle_growth(task, saddle.V)
