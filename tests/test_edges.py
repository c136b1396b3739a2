"""The edges of what the package accepts: a right value, a documented infinity, or an error that says what came in."""

import gc
import math
import weakref

import mpmath as mp
import numpy as np
import pytest

import scbtheory as scb
from scbtheory import dynamics, flows, limits, noise, plots, softmax, streaming, sweeps, training, transfer
from scbtheory.errors import InvalidArgument, MixedBackends, NotADistribution, ShapeMismatch
from scbtheory.kernels import packing

SYSTEM = {"K_P": 0.2, "K_Q": 0.5, "T": 100}
TASK = scb.SCB.random(3, 20, 2, seed=0)
START, TRUTH = scb.Parameters.initial(TASK), scb.Parameters.truth(TASK)
INDEPENDENT = scb.SCB(np.outer(TASK.mu, np.ones(3)), TASK.Q)  # K_P = 0
UNIFORM = scb.SCB(TASK.P, np.full((20, 3), 1 / 20))  # K_Q = 0
BATCH = {"K_P": 0.2, "K_Q": 0.5, "T": 100, "N": 3, "largest": 0.5, "smallest": 0.2}
SOFT = softmax.SoftmaxParameters.initial(TASK)
OTHER = scb.SCB.random(3, 21, 2, seed=0)
MANY = scb.SCB.random(300, 10, 2, seed=0)
NOTHING = scb.task.Batch(np.zeros((0, 20), np.uint8), *(np.zeros(0, np.uint8) for _ in range(2)), np.zeros(0, np.int64))


def counts(samples=200):
    batch = TASK.sample(samples, seed=1)
    return limits.Counts.empty(TASK.Q > 0).add(batch.tokens, batch.trigger, batch.output)


REFUSED = {
    "fano, independent": (lambda: limits.fano_samples(INDEPENDENT), "does not depend on the copied token"),
    "fano, information": (lambda: limits.fano_error(information=-1.0, n=5, choices=10), "information is -1 and n is 5"),
    "fano, n": (lambda: limits.fano_error(information=1.0, n=math.nan, choices=10), "n is nan; expected a finite"),
    "fano, choices": (lambda: limits.fano_error(information=1.0, n=1, choices=0.5), "choices is 0.5; expected"),
    "miss, n": (lambda: limits.miss_probability(TASK, n=[-1, math.nan], q=0.5, threshold=9), "n has entries between"),
    "miss, threshold": (lambda: limits.miss_probability(TASK, n=5, q=0.5, threshold=math.nan), "threshold is nan"),
    "error, empty": (lambda: limits.estimated_error(limits.Counts.empty(TASK.Q > 0), TRUTH), "counts are empty"),
    "error, V": (lambda: limits.estimated_error(counts(), scb.Parameters(TASK.Q, np.eye(3))), "an output the chance 0"),
    "error, mu": (lambda: limits.estimated_error(counts(), TRUTH, np.array([0.0, 0.5, 0.5])), r"mu is \[0.0, 0.5, 0.5"),
    "mean, n": (lambda: limits.moment_mean(TASK, math.inf), "n is inf; expected at least one"),
    "mean, no number": (lambda: limits.moment_mean(TASK, "many"), "n is 'many'; expected samples"),
    "numbers, s": (lambda: limits.Numbers(3, 5, 9, 0.2, 0.1, 0.1), "s is 9 and T is 5"),
    "numbers, K_P": (lambda: limits.Numbers(3, 5, 2, 30, 0.1, 0.1), "K_P is 30; expected above 0 and at most 0.666"),
    "numbers, q_min": (lambda: limits.Numbers(3, 5, 2, 0.2, "small", 0.1), "q_min is 'small'; expected a real number"),
    "until, negative": (lambda: flows.until(np.negative, [1.0], [], -1.0, what="x"), "longest is -1.0; expected"),
    "until, endless": (lambda: flows.until(np.negative, [1.0], [], math.inf, what="x"), "longest is inf; expected"),
    "recovery": (lambda: noise.recovery_batch(TASK, scb.Parameters(START.A, TASK.P), delta=50), "delta is 50"),
    "bernstein, gap": (lambda: noise.bernstein_samples(1, 1, 0, 0.5), "gap is 0; expected a number above 0"),
    "bernstein, tiny": (lambda: noise.bernstein_samples(1, 1, 1e-200, 0.5), "exceeds every float"),
    "bernstein, variance": (lambda: noise.bernstein_samples(-1, 1, 1, 0.5), "variance is -1 and reach is 1"),
    "sign error, samples": (lambda: noise.sign_error_bound(0, -1), "samples is -1; expected a number above 0"),
    "sign error, rho": (lambda: noise.sign_error_bound("half", 1), "rho is 'half'; expected a real number"),
    "sign samples": (lambda: noise.sign_samples(TASK, "half"), "delta is 'half'; expected a real number"),
    "recover, no sum": (lambda: dynamics.recover(TASK, np.ones((20, 3)) * (-1.0) ** np.arange(20)[:, None], -2.0),
                        r"A\[:, 0\] is kept whole and sums to 0"),
    "recover, threshold": (lambda: dynamics.recover(TASK, TASK.Q, "low"), "threshold is 'low'"),
    "matrix flow, K_Q": (lambda: dynamics.matrix_flow(UNIFORM, START, 1.0, balanced=True), "K_Q is 0 for this task"),
    "matrix descent, K_P": (lambda: dynamics.matrix_descend(
        INDEPENDENT, START, steps=1, step_size=0.1, balanced=True), r"K_P is \S+ for this task: there is no"),
    "S1's error": (lambda: dynamics.linearised_error(t=1500, **SYSTEM), "t reaches 1500, where"),
    "flow, three numbers": (lambda: dynamics.flow(t=1, start=(0, 0, 0), **SYSTEM), r"start is \(0, 0, 0\); exp"),
    "flow, no pair": (lambda: softmax.flow(t=1, start=3, **SYSTEM), "start is 3; expected two numbers"),
    "descent's start": (lambda: dynamics.descend(steps=1, step_size=1, start=(math.nan, 0), **SYSTEM), "start is nan"),
    "mpf, negative": (lambda: dynamics.high_precision_flow(t=mp.mpf(-1), **SYSTEM), "t is -1.0; expected a time"),
    "mpf, endless": (lambda: dynamics.high_precision_flow(t=mp.inf, **SYSTEM), r"t is \+inf; expected"),
    "mpf, nan": (lambda: dynamics.high_precision_flow(t=mp.nan, **SYSTEM), "t is nan; expected"),
    "digits": (lambda: dynamics.high_precision_flow(t=1, digits=0, **SYSTEM), "digits is 0"),
    "held, beta": (lambda: dynamics.attention_held(t=1, K_Q=0.5, T=10, beta=math.nan), "beta is nan"),
    "transfer, K_cross": (lambda: transfer.velocity(0, 0, 1, K_hat=0.2, K_cross=math.nan, **SYSTEM), "K_cross is nan"),
    "transfer, K_hat": (lambda: transfer.flow(t=1, K_hat=math.inf, K_cross=0.1, **SYSTEM), "K_hat is inf"),
    "pretrained, K_P": (lambda: transfer.pretrained(INDEPENDENT, 0.0), r"K_P is \S+ for this task: there is no"),
    "pretrained, K_cross": (lambda: transfer.pretrained(TASK, "some"), "K_cross is 'some'"),
    "start, theta": (lambda: transfer.start(TASK, TASK.P, math.inf), "theta is inf"),
    "shifted, amount": (lambda: transfer.shifted(TASK, TASK.P, "some"), "amount is 'some'"),
    "agreement, A": (lambda: softmax.agreement(TASK, START, TRUTH), "first.A is the start's"),
    "agreement, V": (lambda: softmax.agreement(TASK, TRUTH, scb.Parameters(TASK.Q, START.V)), "second.V is the st"),
    "slowdown": (lambda: softmax.slowdown(0.5, K_Q=0.5, T=0), "T is 0"),
    "softmax, K_Q": (lambda: softmax.descent(UNIFORM), "K_Q is 0 for this task"),
    "sgd, K_P": (lambda: training.projected_sgd(INDEPENDENT, 0.1), r"K_P is \S+ for this task: there is no"),
    "rounding, no background": (lambda: plots.rounding(TASK, 1.0), "alpha is 1; expected above 0 and below 1"),
    "rounding, whole": (lambda: plots.rounding(UNIFORM, 0.5), r"Q\[:, 0\] has no entry 0"),
    "rounding, trigger": (lambda: plots.rounding(TASK, 0.5, trigger=3), "trigger is 3"),
    "task's sample": (lambda: plots.task(TASK, TASK.sample(2, seed=0), 2), "sample is 2"),
    "packs, tokens": (lambda: next(streaming.draw_packs(MANY, 5, seed=0)), "the task has 300 tokens"),
    "packs, memory": (lambda: next(streaming.draw_packs(TASK, 5, seed=0, memory=-5)), "memory is -5"),
    "loss of nothing": (lambda: scb.model.minibatch_loss(TASK, START, NOTHING), "the batch is empty"),
    "gradient of nothing": (lambda: scb.model.minibatch_gradient(TASK, START, NOTHING), "the batch is empty"),
    "moments": (lambda: training.MomentStart(1, "often"), "false_alarm is 'often'; expected a real number"),
    "a text": (lambda: dynamics.stages(K_P="0.3", K_Q=0.5, T=100), "K_P is '0.3'; expected a real number"),
    "a text of digits": (lambda: dynamics.linearised_until(error=".1", **SYSTEM), "error is '.1'; expected a real"),
    "a text, alpha": (lambda: dynamics.rounding_interval(alpha="0.5", q_min=0.1, T=9), "alpha is '0.5'; expected a r"),
    "a text, delta": (lambda: limits.samples(TASK, 0.1, "0.5"), "delta is '0.5'; expected a real number"),
    "a text, amount": (lambda: transfer.shifted(TASK, TASK.P, "0.5"), "amount is '0.5'; expected a real number"),
    "a text, chance": (lambda: noise.sign_batch(TASK, "0.9", step_size=0.1), "probability is '0.9'; expected a real n"),
    "bytes": (lambda: training.algorithm(TASK, K_P=b"0.3"), "K_P is b'0.3'; expected a real number"),
    "a complex number": (lambda: dynamics.lift(TASK, np.complex128(1 + 2j), 0), r"alpha is \S*1\+2j\S*; expected a"),
    "a text in an array": (lambda: dynamics.lift(TASK, np.array("1"), 0), r"alpha is array.*; expected a real number"),
    "flag, packed": (lambda: training.train(TASK, training.sgd(0.1), packed="no"), "packed is 'no'; expected True or"),
    "flag, projected": (lambda: training.Descent(4, 0.1, projected="no"), "Descent.projected is 'no'; expected True"),
    "flag, balanced": (lambda: dynamics.System(balanced="no", **SYSTEM), "balanced is 'no'; expected True or False"),
    "flag, matrices": (lambda: dynamics.matrix_flow(TASK, START, 1.0, balanced="no"), "balanced is 'no'; expected T"),
    "flag, gradient": (lambda: scb.model.minibatch_gradient(TASK, START, TASK.sample(2, seed=0), projected=1),
                       "projected is 1; expected True or False"),
    "flag, streamed": (lambda: streaming.gradient(TASK, START, 2, seed=0, packed="no"), "packed is 'no'; expected T"),
    "flag, exact": (lambda: noise.sign_noise(TASK, exact="no"), "exact is 'no'; expected True or False"),
    "no model": (lambda: scb.population.loss(TASK, None), "theta is None; expected a model"),
    "another model": (lambda: dynamics.reduce(TASK, SOFT), "theta is of type SoftmaxParameters; expected Parameters"),
    "another model's noise": (lambda: noise.noise_scale(TASK, SOFT), "theta is of type SoftmaxParameters; expected P"),
    "another model's loss": (lambda: scb.landscape.excess_loss(TASK, SOFT), "theta is of type SoftmaxParameters; exp"),
    "no batch": (lambda: scb.model.predict(TASK, START, None), "batch is None; expected a Batch"),
    "tokens alone": (lambda: scb.model.minibatch_loss(TASK, START, TASK.Q), "batch is of type ndarray; expected a B"),
    "one stage": (lambda: training.train(TASK, training.Descent(4, 0.1)), r"stages is Descent\(.*; expected a seq"),
    "one stage of a run": (lambda: sweeps.Run.of(TASK, training.Descent(4, 0.1), 0), "expected a sequence"),
    "confidence": (lambda: sweeps.paired_factor([1.0, 2.0], [2.0, 3.0], "x"), "confidence is 'x'; expected a real"),
    "steps, a bool": (lambda: dynamics.descend(steps=True, step_size=1, **SYSTEM), "steps is True; expected a whole"),
    "a batch beyond a step": (lambda: TASK.sample(2**62, seed=1), "batch_size is 4611686018427387904; expected a wh"),
    "threshold, N": (lambda: limits.detection_threshold(N=math.nan, T=9, false_alarm=0.1), "N is nan; expected a who"),
    "proximal, N": (lambda: training.proximal_batch(**{**BATCH, "N": math.nan}), "N is nan; expected a finite number"),
    "proximal, K_Q": (lambda: training.proximal_batch(**{**BATCH, "K_Q": 1e-200}), "K_Q = 1e-200, .* more samples"),
    "boost, K_P": (lambda: training.boost_batch(K_P=1e-300, T=1e10, largest=1), "K_P = 1e-300, .* more samples than"),
    "boost, sign": (lambda: training.boost_batch(K_P=0.2, T=9, largest=1, sign=1e200), "sign = 1e.200 take more"),
    "portrait": (lambda: plots.phase_portrait(starts=(), **SYSTEM), "starts is empty; expected at least one"),
    "rise": (lambda: plots.rise([], K_P=0.2, K_Q=0.5), "lengths is empty; expected at least one"),
    "half times": (lambda: plots.half_time_errors([], K_P=0.2, K_Q=0.5), "lengths is empty; expected at least one"),
    "creep": (lambda: plots.creep([], K_P=0.2, K_Q=0.5), "lengths is empty; expected at least one"),
    "the algorithm": (lambda: plots.algorithm([]), "runs is empty; expected at least one"),
    "likelihood, mu": (lambda: limits.estimated_error(counts(), TRUTH, 10 * TASK.mu), "positive numbers that sum to 1"),
    "likelihood, text": (lambda: limits.estimated_error(counts(), TRUTH, ["a"] * 3), r"mu is \['a'.*; expected 3 pos"),
    "likelihood, start": (lambda: limits.maximum_likelihood(counts(), start=scb.Parameters(TASK.Q, TASK.P * np.nan)),
                          "start.V has entries that are not finite"),
    "miss, text": (lambda: limits.miss_probability(TASK, n="x", q=0.5, threshold=1), "n is 'x'; expected samples"),
    "noise factor": (lambda: transfer.noise_factor(TASK, START.V), "V is the same in every column"),
    "noise factor, shifted": (lambda: transfer.noise_factor(TASK, transfer.shifted(TASK, START.V, 0.5)), "the same in"),
    "lift": (lambda: transfer.lift(TASK, TASK.P, math.nan, 0, 0), "alpha is nan; expected a finite number"),
    "variants": (lambda: sweeps.compare(TASK, {"a": training.sgd(0.1)}, seeds=(1, 2), max_samples=9),
                 "a variant of 'a', in a list of them, is Descent.*; expected a sequence"),
    "a point, K_Q": (lambda: sweeps.phase_diagram([1], [4], sparsity=1), "K_Q is 0 for this task"),
    "a point, speed": (lambda: sweeps.phase_diagram([20], [4], step_size=-1), "step_size is -1; expected a number ab"),
    "a length": (lambda: sweeps.phase_diagram(20, [4]), "lengths is 20; expected a sequence"),
    "exponent": (lambda: sweeps.fit_exponent([[1, 2], [3, 4]], [[1, 2], [3, 4]]), r"x has shape \(2, 2\)"),
    "batch sizes": (lambda: training.algorithm(TASK, batch_sizes=256), "batch_sizes is 256; expected a sequence"),
    "batch sizes, text": (lambda: training.algorithm(TASK, batch_sizes=("x", 2, 3)), "batch_sizes is 'x'; expected a"),
    "descent of nothing": (lambda: dynamics.matrix_descend(TASK, None, steps=0, step_size=0.1), "theta is None; expe"),
    "flag, progress": (lambda: training.train(TASK, training.sgd(0.1), max_samples=9, progress="no"), "progress is 'n"),
    "trials": (lambda: plots.support_batches([100], trials=0), "trials is 0; expected a whole number"),
    "batches": (lambda: plots.noise_scale([100], batches=0, points=1), "batches is 0; expected a whole number"),
    "ratios": (lambda: plots.sign_collapse([50], []), "ratios is empty; expected at least one"),
    "signs' lengths": (lambda: plots.sign_collapse([], [1]), "lengths is empty; expected at least one"),
    "no course": (lambda: plots.course(TASK, [], step_size=0.1), "runs is empty; expected at least one"),
    "no names": (lambda: plots.step_sizes(None, []), "names is empty; expected at least one"),
    "no models": (lambda: plots.attention_patterns(TASK, {}), "models is empty; expected at least one"),
    "an int beyond floats": (lambda: noise.passing(TASK, c=10**400), "c is a whole number beyond every float"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_answer_is_refused_with_what_came_in(case):
    call, message = REFUSED[case]
    with pytest.raises(InvalidArgument, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: limits.estimated_error(counts(), TRUTH, np.ones(2) / 2),
        lambda: limits.estimated_error(counts(), scb.Parameters.truth(OTHER)),
        lambda: limits.moment_mean(TASK, np.ones(2)),
        lambda: dynamics.recover(TASK, OTHER.Q, 0.1),
        lambda: softmax.matrix_flow(TASK, softmax.SoftmaxParameters.initial(OTHER), 1.0),
        lambda: softmax.agreement(TASK, TRUTH, scb.Parameters.truth(OTHER)),
        lambda: transfer.shifted(TASK, [[1.0]], 0.1),
    ],
)
def test_arrays_of_another_task_are_refused(call):
    with pytest.raises(ShapeMismatch, match=r"shape"):
        call()


def test_other_libraries_and_matrices_that_are_no_distributions_are_refused(strict):
    foreign = TASK.on(strict)
    with pytest.raises(MixedBackends):
        softmax.matrix_flow(TASK, softmax.SoftmaxParameters.initial(foreign), 1.0)
    with pytest.raises(MixedBackends):
        dynamics.recover(TASK, foreign.Q, 0.1)
    with pytest.raises(NotADistribution):
        transfer.shifted(TASK, 2 * TASK.P, 0.1)


@pytest.mark.parametrize("P_hat", [None, "P", [["a"] * 3] * 3, [[1.0], [1.0, 2.0]], TASK.P + 1j * TASK.P,
                                   np.ma.masked_less(TASK.P, 0.1)])  # fmt: skip
def test_a_pretrained_matrix_that_is_none_is_refused(P_hat):
    with pytest.raises(NotADistribution, match="P_hat is not a matrix of real numbers"):
        transfer.correlations(TASK, P_hat)


def test_a_search_keeps_no_task_alive():
    task = scb.SCB.random(3, 200, 2, seed=0)
    limits.samples_for_support(task)
    alive = weakref.ref(task)
    del task
    gc.collect()
    assert alive() is None


def test_frequencies_of_single_precision_may_miss_one_by_their_rounding():
    double = np.array([0.2, 0.3, 0.5])
    single = double.astype(np.float32)
    assert abs(single.astype(float).sum() - 1) > 1e-9
    found, expected = (limits.estimated_error(counts(), TRUTH, mu) for mu in (single, double))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_token_is_packed_one_at_a_time():
    only = scb.SCB([[1.0]], [[0.5], [0.5]])
    assert packing.width(1) == 1
    assert float(streaming.gradient(only, scb.Parameters.initial(only), 5, seed=0, packed=True).V[0, 0]) == 0


# ---------------------------------------------------------------- limits


def weak(weight, strength=1e-5):
    """Two tokens that depend on each other by hardly anything, and a second position of a small weight."""
    P = np.full((2, 2), 0.5) + strength * np.array([[1, -1], [-1, 1]])
    return scb.SCB(P, np.eye(20, 2)[:, [0, 0]] * (1 - weight) + np.eye(20, 2)[:, [1, 1]] * weight)


def test_supports_that_take_many_samples_are_counted_and_hopeless_ones_refused():
    task = weak(0.001)
    n = limits.samples_for_support(task)
    threshold = limits.detection_threshold(N=2, T=20, false_alarm=0.1)
    misses = [2 * sum(limits.miss_probability(task, n=x / 2, q=q, threshold=threshold) for q in (0.001, 0.999))
              for x in (n, 0.999 * n)]  # fmt: skip
    assert n > 1e17
    assert misses[0] == pytest.approx(0.1, rel=1e-4)
    assert misses[1] > misses[0]
    with pytest.raises(InvalidArgument, match="the least weight is 1e-200"):
        limits.samples_for_support(weak(1e-200))


def test_one_sample_may_be_enough_for_supports():
    task = scb.SCB(np.array([[0.0, 1.0], [1.0, 0.0]]), np.eye(1, 2)[:, [0, 0]])
    assert limits.samples_for_support(task, false_alarm=0.999999, miss=0.999999) == 1


@pytest.mark.parametrize("n", [1e25, 1e30, 1e40, 1e100, 1e300])
def test_no_number_of_samples_makes_the_law_of_misses_no_number(n):
    found = limits.miss_probability(weak(0.001), n=n, q=np.float64(0.999), threshold=11.0)
    assert found == 0
    rates = limits.miss_probability(weak(0.001), n=[0, 1, n], q=0.999, threshold=11.0)
    assert rates[0] > 0.99
    assert rates[2] == 0


def test_a_certain_find_is_where_the_law_itself_vanishes():
    """Just before the chance is set to 0, the matched law already says so."""
    task, n = weak(0.1, 0.2), np.geomspace(10, 1e7, 2000)
    found = limits.miss_probability(task, n=n, q=0.9, threshold=11.0)
    assert np.all(np.diff(found) <= 1e-12)
    assert found[np.flatnonzero(found)[-1]] < 1e-80


def test_information_keeps_its_digits_where_it_is_small():
    task = weak(0.001, 1e-7)
    with mp.workdps(50):
        d = [2 * mp.mpf(float(x)) - 1 for x in task.P[0]]  # of the two tokens, relative to ½
        w = [mp.mpf(float(x)) for x in task._host_Q[:2, 0]]
        pairs = [(w[0] * a + w[1] * b) for a in d for b in d]
        true = sum(((1 + x) * mp.log1p(x) + (1 - x) * mp.log1p(-x)) / 2 for x in pairs) / 4
    np.testing.assert_allclose(limits.token_information(task), float(true), rtol=1e-6)


def test_fano_error_takes_more_supports_than_a_float_holds():
    choices = math.comb(10**6, 80)
    assert choices > 10**308
    whole = limits.fano_error(information=0.5, n=100, choices=choices)
    with mp.workdps(50):
        missing = mp.log(choices) - 50
        residual = (
            -whole * mp.log(whole) - (1 - mp.mpf(whole)) * mp.log(1 - mp.mpf(whole)) + whole * mp.log(choices - 1)
        )
    assert float(residual / missing) == pytest.approx(1, rel=1e-12)
    assert limits.fano_error(information=0.0, n=0, choices=choices) == 1
    assert limits.fano_error(information=0.0, n=0, choices=1) == 0


# ---------------------------------------------------------------- dynamics and transfer


def test_S1_warns_beyond_its_region_and_overflows_nowhere():
    omega = math.sqrt(0.1)
    for exponent in (300.0, 360.0, 500.0, 699.0):
        with pytest.warns(dynamics.OutsideTrustRegion) as caught:
            alpha, beta = dynamics.linearised(t=exponent / omega, **SYSTEM)
        assert len(caught) == 1
        with mp.workdps(50):
            true = [(mp.cosh(exponent) - 1) / 50, mp.sinh(exponent) / (100 * omega)]
        np.testing.assert_allclose([alpha, beta], [float(x) for x in true], rtol=1e-12)


def test_attention_held_follows_its_formula_for_every_weight():
    for eta_V in (0.5, 1.0, 3.0):
        found = dynamics.attention_held(t=[0.0, 2.0], K_Q=0.4, T=50, beta=0.3, eta_V=eta_V)
        np.testing.assert_allclose(found, [0.3, 1 - 0.7 * math.exp(-eta_V * 0.42 * 2)], rtol=1e-14)


@pytest.mark.parametrize("level", [1.5, 3.0, 5.0])
def test_attention_never_reaches_what_is_beyond_it(level):
    for longest in (1e3, 1e6):
        assert transfer.time_to(level, K_hat=0.2, K_cross=0.1, longest=longest, **SYSTEM) == math.inf


def test_a_peak_between_two_steps_of_the_solver_is_not_passed_over():
    constants = {"K_hat": 0.05, "K_cross": 0.1, "theta": 0.3, "eta_A": 5.0, **SYSTEM}
    peak = transfer.flow(t=np.linspace(8.0, 8.1, 2001), **constants)[0].max()
    for below in (1e-4, 1e-6, 1e-8, 1e-10):
        t = transfer.time_to(peak * (1 - below), **constants)
        assert 7.6 < t < 8.05
        assert transfer.flow(t=t, **constants)[0] == pytest.approx(peak * (1 - below), rel=1e-11)
    assert transfer.time_to(peak * (1 + 1e-6), **constants) == math.inf


def test_an_event_at_rest_does_not_stop_the_integrator():
    """At rest a velocity is rounding, of another sign at the end of a step than in the step's interpolant."""
    slow = lambda y: np.array([1 - y[0], 1e-6 * (1 - y[1])])  # noqa: E731
    (at_rest,) = flows.until(slow, [0.0, 0.0], [lambda y: 1 - y[0]], 1e7, what="x", rtol=1e-12, atol=1e-14)
    assert np.all(at_rest > 20)


def test_a_pretrained_matrix_may_be_lists():
    as_lists = TASK.P.tolist()
    np.testing.assert_array_equal(transfer.shifted(TASK, as_lists, 0.1), transfer.shifted(TASK, TASK.P, 0.1))
    np.testing.assert_array_equal(transfer.uncentred_start(TASK, as_lists).V, TASK.P)


def test_the_slowdown_first_rises_and_ends_at_zero():
    found = softmax.slowdown(np.linspace(0, 1, 101), **{name: SYSTEM[name] for name in ("K_Q", "T")})
    assert found[0] == pytest.approx(1e-4)
    assert found[-1] == 0
    assert found.max() == pytest.approx((0.51**2 / 2) ** 2, rel=1e-3)
    assert found.argmax() not in (0, 100)


# ---------------------------------------------------------------- figures, batches


def test_short_contexts_have_a_figure_of_positions():
    axes = plots.positions(first=0.6, second=0.4, T=20, lengths=(3, 5, 10, 300)).figure.axes
    softmax_times, linear = (line.get_ydata() for line in axes[1].lines[:2])
    assert np.isnan(softmax_times[0])  # nowhere behind
    assert softmax_times[-1] > 10
    assert np.all(np.diff(linear) > 0)


def test_many_tokens_have_a_colour_each():
    task = scb.SCB.random(9, 30, 2, seed=0)
    axes = plots.task(task, task.sample(2, seed=0)).figure.axes
    colours = {tuple(np.ravel(stems.markerline.get_color())) for stems in axes[1].containers}
    assert len(colours) == 9


def test_an_empty_batch_has_no_predictions(backend):
    task = TASK.on(backend)
    some = task.sample(2, seed=0)
    none = scb.task.Batch(some.tokens[:0, :], *(x[:0] for x in (some.trigger, some.output, some.position)))
    found = scb.model.predict(task, scb.Parameters.initial(task), none)
    assert found.shape == (0, 3)
    assert found.dtype == task.backend.dtype
