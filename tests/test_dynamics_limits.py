"""What the dynamics refuse or warn of, the table of stages, and ``scbtheory stages``."""

import argparse
import math

import numpy as np
import pytest
from mpmath import mp

import scbtheory as scb
from scbtheory import cli, dynamics
from scbtheory.dynamics._stages import _beyond
from scbtheory.errors import InvalidArgument, ShapeMismatch

LONG = {"K_P": 0.2, "K_Q": 0.5, "T": 1e4}
GOOD = {"K_P": 0.2, "K_Q": 0.5, "T": 100}


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(3, 12, 2, seed=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"T": 1}, "T is 1; with fewer than two positions"),
        ({"T": math.nan}, "T is nan; expected a finite number"),
        ({"T": "long"}, "T is 'long'; expected a real number"),
        ({"K_P": 0}, "K_P is 0; expected 0 < K_P < 1"),
        ({"K_P": 1.0}, "K_P is 1; expected 0 < K_P < 1"),
        ({"K_Q": 0}, "K_Q is 0; expected 0 < K_Q <= 1 - 1/T"),
        ({"K_Q": -1e-3}, "K_Q is -0.001; expected"),
        ({"K_Q": 0.995}, "K_Q is 0.995; expected 0 < K_Q <= 1 - 1/T = 0.99"),
        ({"eta_V": 0}, "eta_V is 0; expected a number above 0"),
        ({"balanced": True, "eta_A": 2.0}, "balanced=True already chooses"),
    ],
)
def test_constants_out_of_range_are_refused(change, message):
    with pytest.raises(InvalidArgument, match=message):
        dynamics.velocity(0, 0, **{**GOOD, **change})


def test_K_Q_of_a_one_position_task_is_accepted_in_spite_of_rounding():
    dynamics.System(K_P=0.2, K_Q=1 - 1 / 300 + 1e-15, T=300)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dynamics.flow(t=[1, -1], **GOOD), "times are finite and from 0 on"),
        (lambda: dynamics.flow(t=[math.inf], **GOOD), "times are finite"),
        (lambda: dynamics.flow(t="soon", **GOOD), "expected times, in units of 1/η"),
        (lambda: dynamics.flow(t=1, start=(math.nan, 0), **GOOD), "start is nan"),
        (lambda: dynamics.descend(steps=-1, step_size=0.1, **GOOD), "steps is -1"),
        (lambda: dynamics.descend(steps=1.5, step_size=0.1, **GOOD), "steps is 1.5"),
        (lambda: dynamics.descend(steps=2, step_size=0, **GOOD), "step_size is 0"),
        (lambda: dynamics.linearised(t=1e5, **GOOD), "S1's hyperbolic functions overflow"),
        (lambda: dynamics.linearised_error(t=1500, **GOOD), "overflow; S1 is trusted until"),
        (lambda: dynamics.linearised_until(error=1.5, **GOOD), "error is 1.5"),
        (lambda: dynamics.arrival(alpha=-0.1, **GOOD), "alpha is -0.1; the flow from the start only takes"),
        (lambda: dynamics.product(t=1, u=1.0, **GOOD), "u is 1; expected αβ below 1"),
        (lambda: dynamics.half_time(order=3, **GOOD), "order is 3"),
        (lambda: dynamics.half_time(K_P=0.2, K_Q=1e-4, T=50), "no first stage .* K_Q or K_P too near 0"),
        (lambda: dynamics.half_time(K_P=0.01, K_Q=0.5, T=5), "no first stage"),
        (lambda: dynamics.creep_time(0.9, 1.1, **GOOD), "does not creep from 0.9 to 1.1"),
        (lambda: dynamics.creep_time(0.9, 0.8, **GOOD), "it moves towards 1"),
        (lambda: dynamics.creep_time(0, 0.8, **GOOD), "beta_from is 0"),
        (lambda: dynamics.slow_manifold(np.array([0.5, 0.0]), **GOOD), "beta is 0 somewhere"),
        (lambda: dynamics.rounding_interval(alpha=-0.1, q_min=0.3, T=10), "rounding needs alpha > 0"),
        (lambda: dynamics.rounding_interval(alpha=0.1, q_min=0, T=10), "q_min is 0"),
        (lambda: dynamics.attention_held(t=1, K_Q=0, T=10), "K_Q is 0"),
        (lambda: dynamics.high_precision_half_time(level=0.95, **GOOD), "level is 0.95"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()


def test_bad_matrix_arguments_are_refused(task):
    start = scb.Parameters.initial(task)
    with pytest.raises(InvalidArgument, match="balanced=True already"):
        dynamics.matrix_flow(task, start, [1.0], balanced=True, eta_V=2.0)
    with pytest.raises(InvalidArgument, match="has no entry above it"):
        dynamics.recover(task, start.A, 0.5)
    with pytest.raises(ShapeMismatch):
        dynamics.reduce(task, scb.Parameters(start.V, start.V))
    independent = scb.SCB(np.outer(task.mu, np.ones(3)), task.Q)
    with pytest.raises(InvalidArgument, match="K_P is 0: the plane has no direction P'"):
        dynamics.reduce(independent, scb.Parameters.initial(independent))


@pytest.mark.parametrize(
    "call",
    [
        lambda: dynamics.half_time(K_P=0.2, K_Q=0.05, T=20, balanced=False),
        lambda: dynamics.arrival(alpha=0.8, **GOOD),
        lambda: dynamics.linearised(t=40.0, **GOOD),
    ],
)
def test_a_formula_outside_its_region_warns_and_still_answers(call):
    with pytest.warns(dynamics.OutsideTrustRegion):
        found = call()
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("system", [{"eta_V": 1.0, "eta_A": 4.0}, {"balanced": True}])
def test_the_half_times_warning_names_its_epsilon(system):
    s = dynamics.System(K_P=0.2, K_Q=0.2, T=12, **system)
    t_0 = math.log(4 * s.q * s.omega / s.d**2) / (2 * s.omega)
    kappa, r = 0.75 * math.log(1 + math.sqrt(2)) - math.sqrt(2) / 4, (s.p / s.q) ** 0.25
    epsilon = s.d / s.omega * (0.5 + kappa * r / (s.omega * t_0))
    assert 0.1 < epsilon < 1
    with pytest.warns(dynamics.OutsideTrustRegion, match=f"{t_0:.3g} is wrong by about {epsilon:.0%}"):
        assert dynamics.half_time(K_P=0.2, K_Q=0.2, T=12, **system) == pytest.approx(t_0)


def test_the_half_times_warning_means_ten_percent():
    """Wherever no warning is given, the first order is right to 10 %, over a grid that leaves the region."""
    silent = 0
    for K_P in (0.02, 0.3, 0.8):
        for K_Q in (0.02, 0.2, 0.7):
            for T in (4, 20, 100, 1000):
                system = {"K_P": K_P, "K_Q": K_Q, "T": T}
                try:
                    found = dynamics.half_time(**system)
                except (InvalidArgument, dynamics.OutsideTrustRegion):
                    continue
                true = float(dynamics.high_precision_half_time(digits=12, **system))
                assert abs(found / true - 1) < 0.1, system
                silent += 1
    assert silent >= 12


# ---------------------------------------------------------------- the table and the command


def test_the_stages_follow_each_other_and_the_flow():
    found = dynamics.stages(**LONG)
    assert 0 < found.linear_end < found.half_time < found.rise_end < found.creep
    alpha, beta = dynamics.flow(t=[found.linear_end, found.half_time, found.rise_end], **LONG)
    np.testing.assert_allclose((alpha * beta)[1:], [0.5, 0.99], atol=2e-3)
    alpha, beta = dynamics.flow(t=found.rise_end + found.creep, **LONG)
    assert beta == pytest.approx(1.01, abs=1e-4)
    assert found.half_time_error == pytest.approx(0.0042, rel=0.02)
    assert dynamics.attention_held(t=found.refit, K_Q=0.5, T=1e4) == pytest.approx(0.99)
    assert found.warnings == ()
    assert [b.claim for b in found.boundaries] == ["R4", "S1", "S3", "S2", "S5", "S7"]
    assert found.boundaries[3].trust == f"while well below the creep's {-1 / dynamics.creep_rate(**LONG):.2g}"


def test_balanced_steps_leave_nothing_to_creep():
    found = dynamics.stages(**LONG, balanced=True)
    assert found.creep == 0
    assert found.end == (1, 1)


def test_weighted_steps_refit_at_their_own_rate():
    equal, weighted = dynamics.stages(**GOOD), dynamics.stages(**GOOD, eta_V=2.0)
    assert weighted.refit == pytest.approx(equal.refit / 2)


def test_stages_collect_warnings_instead_of_raising_them():
    found = dynamics.stages(K_P=0.2, K_Q=0.05, T=20)
    assert len(found.warnings) == 1
    assert "warning: at K_P=0.2" in dynamics.describe(found)


def test_the_command_prints_a_given_system(capsys):
    assert cli.main(["stages", "--K-P", ".2", "--K-Q", ".5", "--context-length", "10000"]) == 0
    out = capsys.readouterr().out
    assert "times in 1/η" in out
    assert "28.41  S3" in out
    assert "alpha = 0.7953, beta = 1.257" in out


def test_the_command_prints_a_random_tasks_stages(capsys):
    assert cli.main(["stages", "--vocab-size", "3", "--context-length", "500", "--sparsity", "3", "--balanced"]) == 0
    out = capsys.readouterr().out
    task = scb.SCB.random(3, 500, 3)
    assert f"K_P = {task.K_P:.4g}, K_Q = {task.K_Q:.4g}, T = 500; steps balanced" in out
    assert "keep exactly the support" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--K-P", ".2"], "give either"),
        (["--K-P", ".2", "--K-Q", ".5", "--vocab-size", "3"], "give either"),
        (["--vocab-size", "3"], "sparsity is 2, context_length is 1"),
        (["--K-P", ".2", "--K-Q", ".5"], "T is 1"),
    ],
)
def test_the_command_refuses_half_a_description(options, message, capsys):
    assert cli.main(["stages", "--context-length", "1", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_random_tasks_length_is_whole():
    parser = argparse.ArgumentParser()
    dynamics.add_arguments(parser)
    with pytest.raises(InvalidArgument, match="a task's is a whole number"):
        dynamics.run_stages(parser.parse_args(["--context-length", "10.5", "--vocab-size", "3"]))


@pytest.mark.parametrize("x", [1e-3, 0.1, 0.3, 0.45, 0.499999, 0.5, 0.6])
def test_the_series_of_sinh_less_its_argument_keeps_every_digit(x):
    with mp.workdps(50):
        known = float(mp.sinh(mp.mpf(x)) - mp.mpf(x))
    assert _beyond(x) == pytest.approx(known, rel=1e-15 if x < 0.5 else 1e-14)


def test_S2_from_nothing_stays_nothing_for_ever():
    assert np.all(dynamics.product(t=[0.0, 1.0, 1e9], u=0.0, **GOOD) == 0)


def test_a_column_of_zeros_kept_whole_is_refused():
    task = scb.SCB.random(3, 5, 2, seed=0)
    with pytest.raises(InvalidArgument, match=r"A\[:, 0\] is kept whole and sums to 0"):
        dynamics.recover(task, np.zeros((5, 3)), -1.0)
