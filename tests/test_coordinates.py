"""Functions of coordinates: of what kind of numbers they are, and that they say which ones they refuse."""

import math

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import dynamics, noise, softmax, transfer
from scbtheory.errors import InvalidArgument, ShapeMismatch

TASK = scb.SCB.random(3, 20, 2, seed=0)
HERE = {"K_P": 0.2, "K_Q": 0.5, "T": 1000}
OF_COORDINATES = {
    "velocity, alpha": ("alpha", lambda x: dynamics.velocity(x, 0.1, **HERE)),
    "velocity, beta": ("beta", lambda x: dynamics.velocity(0.1, x, **HERE)),
    "step, alpha": ("alpha", lambda x: dynamics.step(x, 0.1, step_size=0.1, **HERE)),
    "step, beta": ("beta", lambda x: dynamics.step(0.1, x, step_size=0.1, **HERE)),
    "step": ("step_size", lambda x: dynamics.step(0.1, 0.1, step_size=x, **HERE)),
    "conserved, alpha": ("alpha", lambda x: dynamics.conserved(x, 0.1, **HERE)),
    "conserved, beta": ("beta", lambda x: dynamics.conserved(0.1, x, **HERE)),
    "creep": ("beta", lambda x: dynamics.creep_velocity(x, **HERE)),
    "manifold": ("beta", lambda x: dynamics.slow_manifold(x, **HERE)),
    "loss, alpha": ("alpha", lambda x: dynamics.plane_loss(x, 0.1, mu_squared=0.4, **HERE)),
    "loss, beta": ("beta", lambda x: dynamics.plane_loss(0.1, x, mu_squared=0.4, **HERE)),
    "softmax, alpha": ("alpha", lambda x: softmax.velocity(x, 0.1, **HERE)),
    "softmax, beta": ("beta", lambda x: softmax.velocity(0.1, x, scale="peak", **HERE)),
    "slowdown": ("alpha", lambda x: softmax.slowdown(x, K_Q=0.5, T=1000)),
    "transfer, alpha": ("alpha", lambda x: transfer.velocity(x, 0.1, 0.1, K_hat=0.2, K_cross=0.1, **HERE)),
    "transfer, beta": ("beta", lambda x: transfer.velocity(0.1, x, 0.1, K_hat=0.2, K_cross=0.1, **HERE)),
    "transfer, gamma": ("gamma", lambda x: transfer.velocity(0.1, 0.1, x, K_hat=0.2, K_cross=0.1, **HERE)),
    "support's A": ("A", lambda x: dynamics.support(x, 0.1)),
    "support's threshold": ("threshold", lambda x: dynamics.support(0.1, x)),
}


@pytest.mark.parametrize("case", OF_COORDINATES)
def test_coordinates_are_finite_real_numbers(case):
    name, call = OF_COORDINATES[case]
    for bad in (math.nan, [0.5, math.inf], "0.5", 1j, np.array([1j]), [[1.0], [1.0, 2.0]], None, True, ["0.5"]):
        with pytest.raises(InvalidArgument, match=f"^{name} (is|has)"):
            call(bad)


@pytest.mark.parametrize("case", OF_COORDINATES)
def test_coordinates_of_every_kind_of_number_are_reckoned_with_in_float64(case):
    _, call = OF_COORDINATES[case]
    expected = parts(call(np.array([2.0, 100.0])))
    for x in (*(np.array([2, 100], kind) for kind in (np.uint8, np.int8, np.int32, np.float32)), [2, 100]):
        for found, true in zip(parts(call(x)), expected, strict=True):
            np.testing.assert_array_equal(found, true)
    for found, true in zip(parts(call(2)), expected, strict=True):
        assert np.ndim(found) == 0
        np.testing.assert_allclose(found, np.ravel(true)[0], rtol=1e-15)


def parts(found):
    return found if isinstance(found, tuple) else (found,)


def test_attention_is_compared_at_its_own_precision():
    A = np.array([0.1, 0.2], np.float32)
    np.testing.assert_array_equal(dynamics.support(A, 0.1), [False, True])
    np.testing.assert_array_equal(dynamics.support([0.1, 0.2], 0.1), [False, True])


def test_what_no_step_and_no_loss_has_is_refused():
    for size in (-5, 0.0, [0.1, -0.1]):
        with pytest.raises(InvalidArgument, match=r"step_size is .*; expected (a number|numbers) above 0"):
            dynamics.step(0.1, 0.1, step_size=size, **HERE)
    for square in (-7, 1.5, math.nan):
        with pytest.raises(InvalidArgument, match="mu_squared is"):
            dynamics.plane_loss(0.1, 0.1, mu_squared=square, **HERE)
    for level in (-1.0, math.nan, np.array([0.1, -0.1, 0.1]), [0.1, 0.1, 0.1], "0.1"):
        with pytest.raises(InvalidArgument, match="level is"):
            noise.universal_threshold(TASK, level)
    with pytest.raises(ShapeMismatch, match="level has shape"):
        noise.universal_threshold(TASK, np.ones(2))
