import pytest
import sympy as sp

from scbtheory.derivations import noise, sums
from scbtheory.derivations import symbols as s
from scbtheory.derivations.algebra import N, T


@pytest.mark.parametrize("weights", ["aa", "aq", "qq", "aaa", "aaq", "aaaa", "aaaq", "aaqq"])
def test_the_cumulants_of_sums_over_positions_are_power_sums_times_one_tokens(weights):
    found = sums.cumulant_of_sums(weights)
    assert found == sums.stated_cumulant(weights)
    (limits,) = found.limits
    assert limits[1:] == (0, T - 1)


def test_the_cumulants_of_one_token_are_those_of_a_bernoulli_variable():
    p = sp.Symbol("p")
    moment = {n: p * (1 - p) ** n + (1 - p) * (-p) ** n for n in (2, 3, 4)}
    known = {2: p * (1 - p), 3: p * (1 - p) * (1 - 2 * p), 4: p * (1 - p) * (1 - 6 * p * (1 - p))}
    for n, cumulant in known.items():
        found = sums.token_cumulant(tuple(range(n)))
        found = found.subs({x: moment[len(x.name) - 4] for x in found.free_symbols})  # m_{012} has three digits
        assert sp.expand(found - cumulant) == 0


@pytest.mark.parametrize("n", [2, 3, 4])
def test_moments_are_sums_over_partitions_without_singletons(n):
    assert sums.moment_of_sums(n)


def test_there_are_as_many_partitions_as_bell_numbers_say():
    assert [len(list(sums.partitions(tuple(range(n))))) for n in range(6)] == [1, 1, 2, 5, 15, 52]
    assert len(sums.pairings(range(4))) == 3


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        (s.tr(s.W * s.C), N - 1),
        (s.tr(s.one_T * s.one_T.T), T),
        (s.tr(s.one_N * s.mu.T), 1),
        (s.tr(s.I_N), N),
        (s.tr(s.W * s.D) * s.tr(s.mu.T * s.one_N), N),
        (s.tr(s.C * s.W * s.C * s.W), N - 1),
    ],
)
def test_a_trace_that_closes_is_the_number_it_is(expr, value):
    assert sums.number(expr) == value


def test_the_mean_of_two_sums_is_a_power_sum_times_the_covariance():
    assert sums.mean(s.tr(sums.zeta.T * s.W * sums.zeta)) == sp.expand(sums.p(2, 0) * (N - 1))
    found = sums.mean(s.tr(sums.xi.T * s.M * sums.zeta))
    assert sp.expand(found - sums.p(1, 1) * sums.number(s.tr(s.M * s.C))) == 0
    assert sums.mean(s.tr(s.mu.T * sums.zeta)) == 0
    assert sums.mean(s.tr(sums.here.T * s.W * sums.total)) == N - 1  # one position in common
    assert sums.mean(s.tr(sums.total.T * s.W * sums.total)) == sp.expand(T * (N - 1))


def test_four_sums_pair_in_three_ways():
    found = sums.mean(s.tr(sums.zeta.T * s.M * sums.zeta) * s.tr(sums.xi.T * s.W * sums.xi))
    p20, p02, p11, p22 = (sums.p(*i) for i in ((2, 0), (0, 2), (1, 1), (2, 2)))
    trace = sums.number(s.tr(s.M * s.C))
    pairs = p20 * p02 * trace * (N - 1) + 2 * p11**2 * trace
    fourth = sums.one_token(s.tr(sums.y.T * s.M * sums.y) * s.tr(sums.y.T * s.W * sums.y)) - (N + 1) * trace
    assert sp.expand(found - pairs - p22 * fourth) == 0


def test_two_forms_that_are_not_symmetric_meet_either_way_round():
    found = sums.mean(s.tr(sums.zeta.T * s.M * sums.zeta) * s.tr(sums.zeta.T * s.P * sums.zeta))
    both = s.tr(s.M * s.C * s.P * s.C) + s.tr(s.M * s.C * s.P.T * s.C)
    pairs = sums.number(s.tr(s.M * s.C) * s.tr(s.P * s.C) + both)
    fourth = sums.one_token(s.tr(sums.y.T * s.M * sums.y) * s.tr(sums.y.T * s.P * sums.y)) - pairs
    assert sp.expand(found - sums.p(2, 0) ** 2 * pairs - sums.p(4, 0) * fourth) == 0


def test_five_sums_and_three_outputs_are_refused():
    with pytest.raises(ValueError, match="no mean is known"):
        sums.mean(s.tr(sums.zeta.T * s.W * sums.zeta) ** 2 * s.tr(s.mu.T * s.P * sums.xi))
    with pytest.raises(ValueError, match="given the context is not known"):
        sums.mean(s.tr(s.output.T * s.mu) ** 3)


def test_an_output_is_one_hot():
    assert sums.mean(s.tr(s.output.T * s.output)) == 1
    assert sums.mean(s.tr(s.one_N.T * s.output)) == 1
    assert sp.expand(sums.mean(s.tr(s.mu.T * s.output) ** 2) - sums.number(s.tr(s.mu.T * s.D * s.mu))) == 0
    assert sp.expand(sums.mean(s.tr(s.output.T * s.M * s.output)) - sums.number(s.tr(s.M * s.D))) == 0


# ---------------------------------------------------------------- the noise


def test_N2_without_centring_the_second_moment_gains_the_squared_residual():
    gained = noise.value_second_moment(centred=False) - noise.value_second_moment()
    residual = s.V * s.X * s.a - s.output
    assert sp.expand(gained - sums.mean(s.tr(residual.T * residual))) == 0


def test_N2_the_noise_scale_at_the_start_is_linear_in_T_with_a_constant():
    start = noise.on_plane(noise.value_second_moment(s.mu * s.one_N.T)).subs(noise.alpha, 0)
    orders = sp.Poly(sp.expand(start * T**2), T)
    assert orders.degree() == 1
    assert sp.expand(orders.coeff_monomial(T) - sums.number((1 - s.tr(s.mu.T * s.mu)) * (N - 1))) == 0


def test_N2_on_the_creep_the_mean_is_of_order_one_over_T():
    mean = noise.on_plane(noise.mean_along_change(noise.PLANE)).subs(noise.beta, 1 / noise.alpha)
    assert sp.simplify(noise.leading(mean, 0)) == 0
    assert sp.simplify(noise.leading(mean, 1)) != 0
    assert (
        noise.leading(noise.on_plane(noise.value_second_moment(noise.PLANE)), 0).subs(noise.beta, 1 / noise.alpha) != 0
    )


def test_N3_the_variance_of_the_coordinates_is_the_same_wherever_weights_are_the_same():
    variance = noise.attention_variance()
    assert variance.free_symbols >= {sums.a_t, sums.q_t, s.mu_k, T}
    assert not {x for x in variance.free_symbols if x.name in ("p_{30}", "p_{21}", "p_{31}", "p_{40}")}


def test_N5_the_unstable_direction_grows_at_the_geometric_mean_of_the_steps():
    direction, rate = noise.unstable_direction()
    assert sp.simplify(rate**2 - noise.step_V * noise.step_A * noise.K_P * noise.K_Q) == 0
    assert sp.simplify(direction[1] * noise.step_A * noise.K_P - rate) == 0


def test_N5_the_ratio_in_small_steps():
    ratio = noise.sign_ratio()
    small = sp.limit(ratio * noise.rate, noise.rate, 0)
    assert sp.simplify(small - 2 * noise.batch / (T * noise.w)) == 0


def test_N5_the_recursion_starts_at_its_drift_and_noise():
    average, variance = noise.recursion()
    assert sp.simplify(average.subs(noise.n, 1) - noise.drift) == 0
    assert sp.simplify(variance.subs(noise.n, 1) - noise.noise) == 0


def test_the_field_points_into_the_wrong_branch_on_all_its_sides():
    K_P, K_Q = sp.Rational(1, 3), sp.Rational(2, 5)
    sides = noise.trap()
    assert len(sides) == 3
    for outward in sides:
        free = [x for x in outward.free_symbols if x not in (noise.K_P, noise.K_Q, T)]
        for value in (sp.Rational(1, 50), 1, 30):
            assert outward.subs({noise.K_P: K_P, noise.K_Q: K_Q, T: 40} | dict.fromkeys(free, value)) < 0
        # Every term of the numerator has the same sign, whatever the positive symbols are.
        numerator, _ = sp.fraction(sp.together(outward))
        assert {sp.sign(c) for c in sp.Poly(sp.expand(numerator)).coeffs()} in ({-1}, {sp.Integer(-1)})
