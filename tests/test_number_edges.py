"""Closed forms at the edges of their domains: the value of 50 digits, a documented infinity, a warning or an error.

The domains are the documented ones, cut where a result itself leaves the floats. Each formula is written out here a
second time, for mpmath.
"""

import contextlib
import math
import warnings

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import scbtheory as scb
from scbtheory import dynamics, limits, noise, softmax, transfer
from scbtheory.errors import InvalidArgument

TASK = scb.SCB.random(3, 20, 2, seed=0)
mpf = mp.mpf
sizes = st.floats(1e-100, 1e3)


@st.composite
def systems(draw, balanced=True):
    """Constants from one end of what a System takes to the other."""
    T = draw(st.floats(2, 1e12))
    found = {"K_P": draw(st.floats(1e-9, 1 - 1e-9)), "K_Q": draw(st.floats(1e-9, 1)) * (1 - 1 / T), "T": T}
    if balanced and draw(st.booleans()):
        return {**found, "balanced": True}
    return {**found, **{eta: draw(st.floats(1e-3, 1e3)) for eta in ("eta_V", "eta_A")}}


def rates(K_P, K_Q, T, eta_V=1.0, eta_A=1.0, balanced=False):
    """p, q, d and ω to 50 digits."""
    K_P, K_Q, T = mpf(K_P), mpf(K_Q), mpf(T)
    eta_V, eta_A = (1 / K_Q, 1 / K_P) if balanced else (mpf(eta_V), mpf(eta_A))
    p, q = eta_A * K_P, eta_V * K_Q
    return p, q, eta_V / T, mp.sqrt(p * q)


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def close(found, true, rtol=1e-11, atol=0.0):
    """Finite, and right relative to the size of the truth (or to what cancels in it)."""
    assert math.isfinite(found)
    assert abs(mpf(float(found)) - true) <= rtol * abs(true) + atol, (found, mp.nstr(true, 20))


@contextlib.contextmanager
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dynamics.OutsideTrustRegion)  # documented; all others stay errors
        yield


# ---------------------------------------------------------------- dynamics


@given(systems(), st.floats(0, 699.9))
def test_S1_at_every_time_it_takes(system, exponent):
    _, q, d, omega = rates(**system)
    room = 30 * (d > min(q, omega))  # for the factor of what overflows
    exponent = min(exponent, 699.9 - room)
    t = float(exponent / omega)
    with quiet():
        alpha, beta = dynamics.linearised(t=t, **system)
    close(alpha, 2 * mp.sinh(omega * t / 2) ** 2 * d / q, atol=1e-307)
    close(beta, mp.sinh(omega * t) * d / omega, atol=1e-307)
    if exponent < 349.9 - room:
        true = d * t + d**2 / (4 * q * omega) * (mp.sinh(2 * omega * t) - 2 * omega * t)
        close(dynamics.linearised_error(t=t, **system), true, atol=1e-307)


@given(systems(), st.floats(0, 1e300))
@example({"K_P": 0.2, "K_Q": 0.5, "T": 1e12}, 1e300)
def test_S1s_arrival(system, alpha):
    _, q, d, omega = rates(**system)
    with quiet():
        close(
            dynamics.arrival(alpha=alpha, **system),
            2 * mp.asinh(mp.sqrt(mpf(alpha) * q / (2 * d))) / omega,
            atol=1e-307,
        )


@given(systems(), st.floats(1e-9, 1 - 1e-9))
def test_S1s_region_ends_where_its_error_says(system, error):
    t = mpf(dynamics.linearised_until(error=error, **system))
    _, q, d, omega = rates(**system)
    reached = d * t + d**2 / (4 * q * omega) * (mp.sinh(2 * omega * t) - 2 * omega * t)
    assert abs(reached / error - 1) < 1e-6 or (reached < error and t >= 349 / omega)


@given(systems(), st.floats(0, 1e4), st.floats(-1e6, 1 - 1e-12), st.just(0.0) | sizes | sizes.map(lambda c: -c))
@example({"K_P": 0.5, "K_Q": 0.5, "T": 2.0, "balanced": True}, 400.0, 0.0, 1e-100)
@example({"K_P": 0.5, "K_Q": 0.5, "T": 10.0}, 1e4, 1 - 1e-15, 100.0)
@example({"K_P": 0.5, "K_Q": 0.5, "T": 2.0}, 683.0, 1 - 1e-12, 0.0)
@example({"K_P": 0.5, "K_Q": 0.5, "T": 2.0, "balanced": True}, 351.0, 1e-300, 0.0)
@example({"K_P": 0.5, "K_Q": 0.5, "T": 2.0}, 1.0, -1e15, 0.0)
@example({"K_P": 0.5, "K_Q": 0.5, "T": 2.0, "balanced": True}, 0.0, -499997.0, 1e-100)
@example({"K_P": 0.5, "K_Q": 0.0625, "T": 2.0, "eta_V": 1.5, "eta_A": 0.001}, 0.0, -0.125, 47.0)
def test_S2s_product(system, t, u, c):
    with mp.workdps(800):  # E cancels below 0 where c is tiny beside k u
        k, x, time, start = 2 * rates(**system)[3], mpf(c), mpf(t), mpf(u)
        R = mp.sqrt(x**2 + k**2)
        odds = start / (1 - start) * mp.exp(k * time * mp.sign(start))
        E = mp.exp(R * time) * (x**2 + k**2 * start + R * mp.sqrt(x**2 + (k * start) ** 2)) / (1 - start)
        ratio = (x * k) ** 2
        true = (E**2 - 2 * x**2 * E - ratio) / (E**2 + 2 * k**2 * E - ratio) if c else odds / (1 + odds)
    found = dynamics.product(t=t, u=u, c=c, **system)
    close(found, true, rtol=1e-8, atol=1e-9 * (1 + abs(u)))
    assert found <= 1


@given(systems())
def test_S3s_half_time_or_why_there_is_none(system):
    p, q, d, omega = rates(**system)
    skew = (p / q) ** mpf("0.25")
    t_0 = mp.log(4 * q * omega / d**2) / (2 * omega)
    shift = mpf(3) / 4 * mp.log(1 + mp.sqrt(2)) - mp.sqrt(2) / 4
    share = d / omega * (mpf(1) / 2 + shift * skew / (omega * t_0)) if t_0 > 0 else mp.inf
    assume(abs(share - 1) > 1e-9)
    if share >= 1:
        with pytest.raises(InvalidArgument, match="no first stage"):
            dynamics.half_time(**system)
        return
    with quiet():
        close(dynamics.half_time(**system), t_0, rtol=1e-9)
        close(dynamics.half_time(order=2, **system), t_0 + d / omega * (t_0 / 2 - shift * skew / omega), rtol=1e-9)


@given(systems())
def test_R4s_eigenvalues(system):
    p, q, d, _ = rates(**system)
    node, saddle = dynamics.fixed_points(**system)
    close(saddle.alpha, -d / q)
    for point, minus_trace, determinant in ((node, p + q + d, p * d), (saddle, d * (1 + d / q), -p * q)):
        root = mp.sqrt(minus_trace**2 - 4 * determinant)
        low = -(minus_trace + root) / 2
        close(point.eigenvalues[0], low, rtol=1e-9)
        close(point.eigenvalues[1], determinant / low, rtol=1e-9)


@given(systems(), st.floats(1e-12, 1e12))
def test_S5s_creep_along_the_manifold(system, beta):
    p, q, d, _ = rates(**system)
    b = mpf(beta)
    close(dynamics.creep_rate(**system), -d * p / (p + q))
    close(dynamics.creep_velocity(beta, **system), d * (1 - b) * p * b**4 / (p * b**4 + q), atol=1e-300)
    part = d * (1 - b) / (p * b**4 + q)
    close(dynamics.slow_manifold(beta, **system), 1 / b + part, atol=1e-11 * max(1 / beta, abs(float(part))))


@given(systems(), st.floats(1e-3, 1 - 1e-9), st.floats(0, 1), st.booleans())
def test_S5s_time(system, start, share, above):
    start, end = start, start + share * (1 - 1e-9 - start)
    if above:
        start, end = 1 / start, 1 / end
    p, q, d, _ = rates(**system)

    def F(x):
        x = mpf(x)
        tail = mp.log(abs(x / (1 - x))) - 1 / x - 1 / (2 * x**2) - 1 / (3 * x**3)
        return -mp.log(abs(1 - x)) + q / p * tail

    if not (start <= end < 1 or 1 < end <= start):
        with pytest.raises(InvalidArgument, match="does not creep"):
            dynamics.creep_time(start, end, **system)
        return
    found = dynamics.creep_time(start, end, **system)
    assert found >= 0
    close(found, (F(end) - F(start)) / d, rtol=1e-9)


@given(systems(balanced=False), st.floats(0, 1e15), st.floats(-1e6, 1e6))
def test_S7s_refit(system, t, beta):
    held = {name: system[name] for name in ("K_Q", "T", "eta_V")}
    rate = mpf(held["eta_V"]) * (mpf(held["K_Q"]) + 1 / mpf(held["T"]))
    close(dynamics.attention_held_rate(**held), rate)
    true = 1 - (1 - mpf(beta)) * mp.exp(-rate * t)
    close(dynamics.attention_held(t=t, beta=beta, **held), true, atol=1e-9 * (1 + abs(beta)))


@given(st.floats(1e-12, 10), st.floats(1e-12, 1), st.floats(1, 1e15))
def test_S6s_interval(alpha, q_min, T):
    low, high = dynamics.rounding_interval(alpha=alpha, q_min=q_min, T=T)
    assert low <= high
    close(low, (1 - mpf(alpha)) / T, atol=1e-15 / T)
    close(high, (1 - mpf(alpha)) / T + mpf(alpha) * q_min, atol=1e-15 / T)


@given(systems(balanced=False), st.floats(0, 1))
def test_softmax_slowdown(system, alpha):
    found = softmax.slowdown(alpha, K_Q=system["K_Q"], T=system["T"])
    close(found, ((1 - mpf(alpha)) * (1 / mpf(system["T"]) + mpf(alpha) * system["K_Q"])) ** 2, atol=1e-300)


# ---------------------------------------------------------------- limits


@given(st.integers(2, 60), st.floats(1, 1e15), st.floats(1e-12, 1 - 1e-12))
def test_L2s_threshold_is_passed_with_the_chance_it_states(N, T, false_alarm):
    threshold = limits.detection_threshold(N=N, T=T, false_alarm=false_alarm)
    assert threshold >= 0
    passed = mp.gammainc(mpf((N - 1) ** 2) / 2, mpf(threshold) / 2, mp.inf, regularized=True)
    close(float(passed), mpf(false_alarm) / (mpf(T) * N), rtol=1e-9)


@given(st.floats(0, 1), st.floats(0, 300), st.floats(0, 1e6))
def test_L2s_misses_are_a_chance_and_vanish(q, exponent, threshold):
    n = 10.0**exponent
    none, some, all_of_them = limits.miss_probability(TASK, n=[0, n, 1e300], q=q, threshold=threshold)
    assert 0 <= some <= 1
    assert 0 <= none <= 1
    assert all_of_them == 0 or q < 1e-3


@given(st.integers(1, 10**15), st.integers(1, 10**4))
def test_L3_counts_supports(T, s):
    assume(s <= T)
    with mp.workdps(60):
        true = mp.loggamma(T + 1) - mp.loggamma(s + 1) - mp.loggamma(T - s + 1)
    close(limits.supports(T, s), true, rtol=1e-9, atol=1e-9)


@given(st.floats(1, 1e300), st.floats(0, 1))
@example(2.0, 0.0)
@example(2.0, 1 - 1e-16)
@example(1 + 2**-52, 0.0)
def test_L3s_least_error_solves_Fanos_equation(choices, share):
    """A share of what all supports take is known."""
    information = share * math.log(choices)
    error = limits.fano_error(information=information, n=1, choices=choices)
    assert 0 <= error <= 1 - 1 / choices
    missing = mp.log(mpf(choices)) - mpf(information)
    e, M = mpf(error), mpf(choices)
    if 0 < e < 1 and M > 1.001:
        reached = -e * mp.log(e) - (1 - e) * mp.log1p(-e) + e * mp.log(M - 1)
        assert abs(reached - missing) <= 1e-12 * mp.log(M)
    else:
        assert e in (0, 1) or M <= 1.001
        assert missing <= 1e-12 * mp.log(M) or e == 1 or M <= 1.001


@given(st.floats(1e-12, 0.5), st.floats(1e-9, 1 - 1e-9), st.floats(1e-9, 1), st.floats(1e-6, 1), st.floats(1e-6, 1))
@example(1.0, 0.1, 0.01, 1e-6, 1.0)
@settings(max_examples=30, deadline=None)
def test_L8s_samples_are_a_number_or_refused(epsilon, delta, K_P, q, mu):
    numbers = limits.Numbers(4, 1000, 2, K_P * 0.75, q / 2, mu / 4)
    try:
        found = limits.samples(numbers, epsilon, delta)
    except InvalidArgument as error:
        assert "beyond 1e+15 samples" in str(error)  # noqa: PT017 - either outcome is right
        return
    assert found.search > 0
    assert found.estimate > 0
    assert 0 < found.level < 1


@given(st.lists(st.floats(1, 1e15), min_size=3, max_size=3))
def test_L1s_mean_grows_with_the_samples(n):
    P, mu, q = TASK._host_P, TASK._host_mu, TASK._host_Q
    own = sum((1 - mpf(m)) * sum(mpf(p) * (1 / mpf(x) - 1) for p, x in zip(P[:, j], mu, strict=True))
              for j, m in enumerate(mu))  # fmt: skip
    phi = sum((mpf(P[i, j]) - mpf(mu[i])) ** 2 * mpf(mu[j]) / mpf(mu[i]) for i in range(3) for j in range(3))
    found = limits.moment_mean(TASK, n)
    t, k = np.unravel_index(q.argmax(), q.shape)
    weight = mpf(q[t, k])
    close(found[t, k], (mpf(n[k]) - 1) * weight**2 * phi + (1 - weight) * 4 + weight * own)


# ---------------------------------------------------------------- noise


@given(st.floats(0, 1), st.floats(1e-6, 1e12))
@example(0.0, 1.0)
@example(1.0, 1e12)
@example(5e-324, 1e-6)
@example(0.5, 100.0)
def test_N6s_bound(rho, samples):
    true = (1 - mp.sqrt(1 - mpf(rho) ** (2 * mpf(samples)))) / 2 if rho else mpf(0)
    with mp.workdps(700):
        if rho:
            true = (1 - mp.sqrt(1 - mpf(rho) ** (2 * mpf(samples)))) / 2
    slack = 1e-14 * max(1.0, abs(2 * samples * math.log(rho))) if rho else 0.0  # of the exponent
    close(noise.sign_error_bound(rho, samples), true, rtol=1e-11 + slack, atol=1e-300)


@given(st.floats(1e-6, 1e12), st.floats(1e-12, 0.5 - 1e-12))
def test_N6s_test_and_its_samples(samples, delta):
    J = mpf(noise.sign_information(TASK))
    z = mp.sqrt(mpf(samples) * J / 20)
    true = mp.erfc(z / mp.sqrt(2)) / 2
    close(noise.sign_test_error(TASK, samples), true, rtol=1e-9, atol=1e-300)
    d = mpf(delta)
    close(noise.sign_samples(TASK, delta), -mp.log(4 * d * (1 - d)) * 20 / J, rtol=1e-9, atol=1e-12)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(1e-9, 1e9), st.floats(1e-300, 1 - 1e-9))
@example(1.0, 1.0, 1e-9, 5e-324)
@example(0.0, 0.0, 1.0, 0.5)
def test_bernsteins_samples(variance, reach, gap, chance):
    n = noise.bernstein_samples(variance, reach, gap, chance)
    true = (2 * mpf(variance) / mpf(gap) ** 2 + 2 * mpf(reach) / (3 * mpf(gap))) * -mp.log(mpf(chance))
    assert n >= 1
    assert true * (1 - mpf("1e-14")) <= n <= true * (1 + mpf("1e-14")) + 1


@given(st.floats(1e-6, 1e3))
def test_N4s_passing(c):
    true = 60 * mp.erfc(mpf(c) * mp.sqrt(mp.log(60)))
    close(noise.passing(TASK, c=c), true, rtol=1e-8, atol=1e-300)


@given(st.floats(1e-6, 1e9), st.floats(1e-6, 1e3))
def test_N5s_probability_is_a_chance(batch_size, step_size):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", noise.BatchTooSmall)
        found = noise.sign_probability(TASK, batch_size=batch_size, step_size=step_size)
    w, rate = mpf(noise.sign_noise(TASK)), mpf(step_size) * mp.sqrt(mpf(TASK.K_P) * mpf(TASK.K_Q))
    close(found, mp.ncdf(mp.sqrt(2 * mpf(batch_size) / (rate * w * 20))), rtol=1e-11)


# ---------------------------------------------------------------- transfer

coordinates = st.floats(-1e6, 1e6)


@given(systems(), st.floats(0, 10), st.floats(-1, 1), coordinates, coordinates, coordinates)
def test_T1s_velocity(system, K_hat, share, alpha, beta, gamma):
    K_P, K_Q, T = (mpf(system[name]) for name in ("K_P", "K_Q", "T"))
    K_cross = share * math.sqrt(K_hat * system["K_P"])
    p, q, _, _ = rates(**system)
    a, b, g, h, x = (mpf(y) for y in (alpha, beta, gamma, K_hat, K_cross))
    moves = (
        p / K_P * ((b * K_P + g * x) - (b**2 * K_P + 2 * b * g * x + g**2 * h) * a),
        q / K_Q * ((1 / T + a * K_Q) - (1 / T + a**2 * K_Q) * b),
        -q / K_Q * (1 / T + a**2 * K_Q) * g,
    )
    sizes = (
        p / K_P * (abs(b) * K_P + abs(g * x) + (b**2 * K_P + 2 * abs(b * g * x) + g**2 * h) * abs(a)),
        q / K_Q * (1 / T + abs(a) * K_Q + (1 / T + a**2 * K_Q) * abs(b)),
        abs(moves[2]),
    )
    found = transfer.velocity(alpha, beta, gamma, K_hat=K_hat, K_cross=K_cross, **system)
    for velocity, true, size in zip(found, moves, sizes, strict=True):
        close(velocity, true, atol=1e-13 * size + mpf("1e-300"))


@given(st.floats(0.01, 0.9), st.floats(0.05, 0.9), st.floats(5, 1e6), st.floats(0, 1), st.floats(-1, 1),
       st.floats(0.01, 10), st.floats(-2, 2))  # fmt: skip
@example(0.2, 0.5 / 0.99, 100.0, 0.2, 0.5, 5.0, 1.0)
@settings(max_examples=60, deadline=None)
def test_transfer_arrives_or_never_does(K_P, K_Q, T, K_hat, share, level, theta):
    system = {"K_P": K_P, "K_Q": K_Q * (1 - 1 / T), "T": T, "balanced": True}
    constants = {"K_hat": K_hat, "K_cross": share * math.sqrt(K_hat * K_P), "theta": theta, **system}
    t = transfer.time_to(level, longest=1e3, **constants)
    assert 0 <= t <= 1e3 or t == math.inf
    path = np.abs(transfer.flow(t=np.linspace(0, min(t, 1e3), 200), **constants)[0])
    assert np.all(path <= level * (1 + 1e-6))
    if t < math.inf:
        assert path[-1] == pytest.approx(level, rel=1e-6)
