"""The reduced dynamics and the stages' formulas against independent integrations."""

import math

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

import scbtheory as scb
from scbtheory import dynamics

SYSTEMS = [
    {"K_P": 0.2, "K_Q": 0.5, "T": 1e4},
    {"K_P": 0.6, "K_Q": 0.1, "T": 300},
    {"K_P": 0.2, "K_Q": 0.5, "T": 1e4, "balanced": True},
    {"K_P": 0.3, "K_Q": 0.4, "T": 500, "eta_V": 0.5, "eta_A": 3.0},
]
EVERY = pytest.mark.parametrize("system", SYSTEMS, ids=["equal", "other", "balanced", "weighted"])


def weights(system):
    if system.get("balanced"):
        return 1 / system["K_Q"], 1 / system["K_P"]
    return system.get("eta_V", 1.0), system.get("eta_A", 1.0)


def written_out(system):
    """R2 with its step sizes, written out from the theory."""
    K_P, K_Q, T = (system[name] for name in ("K_P", "K_Q", "T"))
    eta_V, eta_A = weights(system)

    def velocity(_, y):
        alpha, beta = y
        return [
            eta_A * K_P * beta * (1 - alpha * beta),
            eta_V * (K_Q * alpha * (1 - alpha * beta) + (1 - beta) / T),
        ]

    return velocity


def integrated(system, t, start=(0.0, 0.0)):
    """By another method than the package's."""
    path = solve_ivp(written_out(system), (0, max(t)), start, method="DOP853", t_eval=t, rtol=1e-13, atol=1e-16)
    return path.y


# ---------------------------------------------------------------- flow and steps


@EVERY
@pytest.mark.parametrize("start", [(0.0, 0.0), (0.3, -0.2), (-0.5, -0.4)])
def test_R2_the_flow_is_that_of_another_integrator(system, start):
    t = np.linspace(0, 60, 31)
    found = dynamics.flow(t=t, start=start, **system)
    np.testing.assert_allclose(found, integrated(system, t, start), rtol=0, atol=1e-10)


@EVERY
def test_R2_the_flow_is_that_of_the_taylor_series(system):
    for t in (1.0, 12.0, 30.0):
        reference = [float(x) for x in dynamics.high_precision_flow(t=t, **system)]
        np.testing.assert_allclose(dynamics.flow(t=t, **system), reference, rtol=1e-9)


def test_the_taylor_series_gains_the_digits_it_is_asked_for():
    system = SYSTEMS[0]
    few, many = (dynamics.high_precision_half_time(digits=n, **system) for n in (15, 40))
    most = dynamics.high_precision_half_time(digits=60, **system)
    with mp.workdps(60):
        assert 1e-22 < abs(few / most - 1) < 1e-13
        assert abs(many / most - 1) < 1e-38


def test_the_flow_of_many_digits_has_them():
    few, many = (dynamics.high_precision_flow(t=7.0, digits=n, **SYSTEMS[0]) for n in (20, 45))
    with mp.workdps(50):
        assert all(0 < abs(x / y - 1) < mp.mpf(10) ** -19 for x, y in zip(few, many, strict=True))


def test_the_half_times_of_theory_are_reproduced():
    errors = []
    for T in (1e2, 1e3, 1e4, 1e5, 1e6):
        system = {"K_P": 0.2, "K_Q": 0.5, "T": T}
        errors.append(float(dynamics.high_precision_half_time(**system)) - dynamics.half_time(**system))
    np.testing.assert_allclose(errors, [0.20, 0.031, 0.0042, 0.00054, 0.000065], rtol=0.02)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_a_level_is_reached_when_the_reference_says_so(level):
    system = SYSTEMS[0]
    t = dynamics.high_precision_half_time(level=level, **system)
    alpha, beta = dynamics.high_precision_flow(t=t, **system)
    assert abs(alpha * beta / mp.mpf(level) - 1) < mp.mpf(10) ** -25


@pytest.mark.parametrize("number", [np.float32, np.float64, np.array], ids=["single", "double", "array"])
def test_the_reference_takes_numpys_numbers(number):
    system = {"K_P": 0.25, "K_Q": 0.5, "T": 100, "eta_V": 2.0}
    theirs = {name: number(value) for name, value in system.items()} | {"T": np.int64(100)}
    assert dynamics.System(**theirs) == dynamics.System(**system)
    assert all(type(getattr(dynamics.System(**theirs), name)) is float for name in system)
    half = dynamics.high_precision_half_time(level=0.75, digits=12, **system)
    assert dynamics.high_precision_half_time(level=number(0.75), digits=12, **theirs) == half
    found = [dynamics.high_precision_flow(t=t, digits=12, **of) for t, of in ((3.0, system), (number(3.0), theirs))]
    assert found[0] == found[1]


def test_flow_takes_times_of_any_shape_and_order():
    t = np.array([[5.0, 0.0, 20.0], [20.0, 1.0, 5.0]])
    alpha, beta = dynamics.flow(t=t, **SYSTEMS[0])
    assert alpha.shape == beta.shape == t.shape
    assert alpha[0, 0] == alpha[1, 2]
    assert (alpha[0, 1], beta[0, 1]) == (0, 0)
    assert np.shape(dynamics.flow(t=3.0, **SYSTEMS[0])[0]) == ()
    assert dynamics.flow(t=[], **SYSTEMS[0])[0].shape == (0,)
    assert float(dynamics.flow(t=0.0, start=(0.2, 0.1), **SYSTEMS[0])[1]) == 0.1


def test_a_creep_of_a_million_time_units_arrives():
    alpha, beta = dynamics.flow(t=[1e7], **SYSTEMS[0])
    np.testing.assert_allclose([alpha[0], beta[0]], 1, atol=1e-9)


@EVERY
def test_discrete_steps_are_eulers(system):
    alpha, beta = dynamics.descend(steps=50, step_size=0.2, start=(0.1, 0.3), **system)
    y = np.array([0.1, 0.3])
    for n in range(50):
        np.testing.assert_allclose((alpha[n], beta[n]), y, rtol=1e-13)
        np.testing.assert_allclose(dynamics.step(*y, step_size=0.2, **system), (alpha[n + 1], beta[n + 1]), rtol=1e-13)
        y = y + 0.2 * np.array(written_out(system)(0, y))
    assert len(alpha) == len(beta) == 51


# ---------------------------------------------------------------- fixed points


@EVERY
def test_R4_eigenvalues_are_those_of_a_differentiated_velocity(system):
    velocity = written_out(system)
    for point in dynamics.fixed_points(**system):
        here = np.array([point.alpha, point.beta])
        np.testing.assert_allclose(velocity(0, here), 0, atol=1e-17)
        h = 1e-6
        columns = [
            (np.array(velocity(0, here + step)) - velocity(0, here - step)) / (2 * h) for step in (h * np.eye(2))
        ]
        true = np.sort(np.linalg.eigvals(np.transpose(columns)).real)
        np.testing.assert_allclose(point.eigenvalues, true, rtol=1e-5, atol=1e-9)
    node, saddle = dynamics.fixed_points(**system)
    assert (node.kind, saddle.kind) == ("stable node", "saddle")
    assert node.eigenvalues[1] < 0 < saddle.eigenvalues[1]


def test_R4_beyond_the_saddle_the_flow_runs_off_and_never_comes_back():
    system = {"K_P": 0.3, "K_Q": 0.5, "T": 30}
    alpha, beta = dynamics.flow(t=[1e2, 1e4, 1e6], start=(-1 / 15 - 1e-6, -1e-6), **system)
    assert np.all(np.diff(alpha) < 0)
    assert alpha[-1] < -10
    assert np.all((beta < 0) & (alpha * beta > 0.5) & (alpha * beta < 1))


# ---------------------------------------------------------------- stages


@EVERY
def test_S1_bounds_the_flow_from_both_sides(system):
    t = np.linspace(0.5, dynamics.linearised_until(error=0.5, **system), 40)
    with pytest.warns(dynamics.OutsideTrustRegion, match="S1 is trusted"):
        upper = dynamics.linearised(t=t, **system)
    share = 1 - np.array(dynamics.flow(t=t, **system)) / upper
    assert np.all(share > -1e-9)
    assert np.all(share < dynamics.linearised_error(t=t, **system))
    assert share.max() > 0.25  # the bound is of the error's size


@EVERY
def test_S1_arrival_inverts_alpha(system):
    t = dynamics.arrival(alpha=0.02, **system)
    assert dynamics.linearised(t=t, **system)[0] == pytest.approx(0.02, rel=1e-10)
    until = dynamics.linearised_until(**system)
    assert dynamics.linearised_error(t=until, **system) == pytest.approx(0.1)


def test_S1_tiny_times_keep_their_digits():
    alpha, _ = dynamics.linearised(t=1e-6, **SYSTEMS[0])
    assert alpha == pytest.approx(0.2 * 1e-12 / 2 / 1e4, rel=1e-9)  # p d t² / 2


@EVERY
@pytest.mark.parametrize(("u", "c"), [(0.01, 0.0), (0.2, 0.1), (0.2, -0.1), (0.0, 0.3), (-0.3, 0.2), (-0.2, 0.0)])
def test_S2_the_product_solves_its_equation(system, u, c):
    omega = dynamics.System(**system).omega
    t = np.linspace(0, 9, 10)
    true = solve_ivp(
        lambda _, u: (1 - u) * np.sqrt(c**2 + 4 * omega**2 * u**2), (0, 9), [u], t_eval=t, rtol=1e-12, atol=1e-14
    ).y[0]
    np.testing.assert_allclose(dynamics.product(t=t, u=u, c=c, **system), true, atol=1e-9)
    assert dynamics.product(t=1e6, u=0.1, c=c, **system) == 1


@EVERY
def test_S2_follows_the_flow_while_the_drift_is_small(system):
    t = float(dynamics.high_precision_half_time(**system)) - 1
    alpha, beta = dynamics.flow(t=np.array([t, t + 1, t + 4]), **system)
    c = dynamics.conserved(alpha[0], beta[0], **system)
    found = dynamics.product(t=[1, 4], u=alpha[0] * beta[0], c=c, **system)
    np.testing.assert_allclose(found, (alpha * beta)[1:], atol=5 * dynamics.System(**system).d)


@EVERY
def test_S3_the_second_order_is_closer(system):
    true = float(dynamics.high_precision_half_time(**system))
    first, second = (dynamics.half_time(order=n, **system) for n in (1, 2))
    assert abs(first / true - 1) < 0.03
    s = dynamics.System(**system)
    assert abs(second - true) < (1 + s.skew**4) * (s.d / s.omega) ** 2 * true


@EVERY
def test_S4_stage_two_ends_there(system):
    s = dynamics.System(**system)
    alpha, beta = dynamics.stage_two_end(**system)
    assert alpha * beta == pytest.approx(1)
    assert dynamics.conserved(alpha, beta, **system) == pytest.approx(0, abs=1e-12)
    t = float(dynamics.high_precision_half_time(**system)) + 3 / s.omega
    reached = dynamics.flow(t=t, **system)
    np.testing.assert_allclose(reached, (alpha, beta), rtol=0.03)


@EVERY
@pytest.mark.parametrize(("start", "end"), [(0.7, 0.95), (1.3, 1.05)])
def test_S5_creep_time_and_velocity_agree_with_each_other_and_with_the_flow(system, start, end):
    t = dynamics.creep_time(start, end, **system)
    speed = quad(lambda b: 1 / dynamics.creep_velocity(b, **system), start, end, epsabs=0, epsrel=1e-10)[0]
    assert t == pytest.approx(speed, rel=1e-8)
    alpha, beta = dynamics.flow(t=t, start=(dynamics.slow_manifold(start, **system), start), **system)
    assert beta == pytest.approx(end, abs=5 * dynamics.System(**system).d)
    d = dynamics.System(**system).d
    q = dynamics.System(**system).q
    assert alpha == pytest.approx(dynamics.slow_manifold(beta, **system), abs=10 * (d / q) ** 2)


@EVERY
def test_S5_the_rate_is_the_slow_eigenvalue(system):
    slow = dynamics.fixed_points(**system)[0].eigenvalues[1]
    d = dynamics.System(**system).d
    assert dynamics.creep_rate(**system) == pytest.approx(slow, rel=10 * d)


def test_S7_refitting_is_exponential():
    rate = dynamics.attention_held_rate(K_Q=0.3, T=10, eta_V=2.0)
    assert rate == pytest.approx(0.8)
    np.testing.assert_allclose(
        dynamics.attention_held(t=[0.0, 2.0], K_Q=0.3, T=10, beta=-1.0), [-1, 1 - 2 * math.exp(-0.8)]
    )


# ---------------------------------------------------------------- matrices


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(3, 12, 2, seed=4)


def test_R1_lift_and_reduce_are_inverse(backend, agree):
    task = scb.SCB.random(3, 12, 2, seed=4, backend=backend)
    theta = dynamics.lift(task, 0.3, -0.7)
    found = dynamics.reduce(task, theta)
    agree(backend, found.alpha, 0.3)
    agree(backend, found.beta, -0.7)
    assert found.distance < 1e-6
    agree(backend, dynamics.lift(task, 1, 1).A, backend.to_numpy(task.Q))
    agree(backend, dynamics.lift(task, 0, 0).V, np.outer(backend.to_numpy(task.mu), np.ones(3)))


def test_R1_reduce_measures_what_is_off_the_plane(task):
    theta = dynamics.lift(task, 0.3, -0.7)
    away = scb.Parameters.random(task, seed=1)
    found = dynamics.reduce(task, theta + 0.1 * away)
    nearest = dynamics.lift(task, found.alpha, found.beta)
    off = theta + 0.1 * away - nearest
    assert found.distance == pytest.approx((task.inner(off.A, off.A) + task.inner(off.V, off.V)) ** 0.5)
    assert task.inner(off.A, task.Q - 1 / 12) == pytest.approx(0, abs=1e-14)  # the nearest point of the plane
    assert task.inner(off.V, task.P - task.mu[:, None]) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("options", [{}, {"balanced": True}, {"eta_V": 0.5, "eta_A": 2.0}])
def test_R1_matrices_stay_on_the_plane_and_follow_the_two_numbers(task, options):
    system = {"K_P": task.K_P, "K_Q": task.K_Q, "T": 12, **options}
    t = [0.0, 3.0, 20.0]
    path = dynamics.matrix_flow(task, scb.Parameters.initial(task), t, **options)
    alpha, beta, distance = np.array([dynamics.reduce(task, theta) for theta in path]).T
    np.testing.assert_allclose((alpha, beta), dynamics.flow(t=t, **system), atol=1e-10)
    assert distance.max() < 1e-12
    path = dynamics.matrix_descend(task, scb.Parameters.initial(task), steps=30, step_size=0.1, **options)
    found = np.array([dynamics.reduce(task, theta)[:2] for theta in path]).T
    np.testing.assert_allclose(found, dynamics.descend(steps=30, step_size=0.1, **system), atol=1e-13)


def test_the_matrix_flow_off_the_plane_descends(task):
    start = scb.Parameters.random(task, seed=2, admissible=True)
    losses = [scb.population.loss(task, theta) for theta in dynamics.matrix_flow(task, start, np.linspace(0, 5, 20))]
    assert np.all(np.diff(losses) < 0)


def test_R3_the_plane_loss_is_the_population_loss(task):
    mu = task.mu
    for alpha, beta in ((0, 0), (1, 1), (-0.4, 0.9)):
        found = dynamics.plane_loss(alpha, beta, mu_squared=float(mu @ mu), K_P=task.K_P, K_Q=task.K_Q, T=12)
        assert found == pytest.approx(scb.population.loss(task, dynamics.lift(task, alpha, beta)), rel=1e-13)


@pytest.mark.parametrize("alpha", [0.01, 0.6, 1.0, 1.5])
def test_S6_rounding_gives_back_Q(backend, agree, alpha):
    task = scb.SCB.random(3, 12, 2, seed=4, backend=backend)
    Q = backend.to_numpy(task.Q)
    low, high = dynamics.rounding_interval(alpha=alpha, q_min=float(Q[Q > 0].min()), T=12)
    found = dynamics.recover(task, dynamics.lift(task, alpha, 0.0).A, (low + high) / 2)
    np.testing.assert_allclose(backend.to_numpy(found), Q, atol=1e-4 if backend.dtype == backend.xp.float32 else 1e-13)


def test_S6_a_column_kept_whole_has_no_background(task):
    np.testing.assert_allclose(dynamics.recover(task, task.Q + 0.01, 0.001), (task.Q + 0.01) / 1.12)
