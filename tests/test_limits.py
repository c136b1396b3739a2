"""The moment statistic, the search for supports, and Fano's bound, against slow definitions and known laws."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chi2

import scbtheory as scb
from scbtheory import limits, training
from scbtheory.errors import InvalidArgument
from scbtheory.limits import _detection
from scbtheory.limits._detection import _cumulants


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(3, 30, 2, seed=4)


def by_definition(task, batch, mu):
    """L1's statistic from its definition, a sample at a time."""
    N, T = task.vocab_size, task.context_length
    total, n = np.zeros((N, T, N, N)), np.zeros(N, dtype=int)
    for tokens, k, output in zip(batch.tokens, batch.trigger, batch.output, strict=True):
        n[k] += 1
        total[k] += np.einsum("o,tn->ton", np.eye(N)[output] - mu, np.eye(N)[tokens] - mu)
    C = total / np.maximum(n, 1)[:, None, None, None]
    return (n[:, None] * np.einsum("ktnm,n,m->kt", C**2, 1 / mu, 1 / mu)).T, n


@pytest.mark.parametrize(("first", "step"), [(0, 0), (700, 5)])
def test_statistic_is_its_definition(task, first, step):
    batch = task.sample(500, seed=3, step=step, first=first)
    X, n = limits.moment_statistic(task, 500, seed=3, step=step, first=first)
    slow, count = by_definition(task, batch, task.mu)
    np.testing.assert_array_equal(n, count)
    np.testing.assert_allclose(X, slow, rtol=1e-9, atol=1e-9)


def test_statistic_with_other_frequencies(task):
    mu = np.array([0.2, 0.5, 0.3])
    X, _ = limits.moment_statistic(task, 300, seed=3, mu=mu)
    np.testing.assert_allclose(X, by_definition(task, task.sample(300, seed=3), mu)[0], rtol=1e-9, atol=1e-9)


def test_a_trigger_never_seen_has_statistic_zero():
    task = scb.SCB.random(6, 10, 1, seed=0)
    X, n = limits.moment_statistic(task, 1, seed=0)
    assert n.sum() == 1
    assert np.all(X[:, n == 0] == 0)
    assert np.all(X[:, n == 1] > 0)


def test_larger_vocabularies_take_the_same_statistic():
    """N = 300 needs two bytes a token, and another loop."""
    task = scb.SCB.random(300, 5, 2, seed=0)
    X, _ = limits.moment_statistic(task, 400, seed=1)
    np.testing.assert_allclose(X, by_definition(task, task.sample(400, seed=1), task.mu)[0], rtol=1e-8, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"mu": [0.5, 0.5]}, "expected 3 positive numbers"),
        ({"mu": [0.5, 0.5, 0.0]}, "expected 3 positive numbers"),
    ],
)
def test_what_is_no_statistic_is_refused(task, change, message):
    with pytest.raises(InvalidArgument, match=message):
        limits.moment_statistic(task, **{"samples": 10, "seed": 0} | change)


def test_threshold_is_passed_by_the_chance_it_states():
    cut = limits.detection_threshold(N=4, T=1000, false_alarm=0.1)
    assert chi2.sf(cut, 9) == pytest.approx(0.1 / 4000)
    lengths = 10.0 ** np.array([20, 40])
    cuts = [limits.detection_threshold(N=2, T=T, false_alarm=0.1) for T in lengths]
    assert np.diff(cuts) / np.diff(np.log(lengths)) == pytest.approx(2, rel=0.02)  # 2 log T


@pytest.mark.parametrize("false_alarm", [0, 1, -0.1, float("nan")])
def test_no_chance_is_refused(false_alarm):
    with pytest.raises(InvalidArgument, match="false_alarm is"):
        limits.detection_threshold(N=3, T=10, false_alarm=false_alarm)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"T": 0.02}, "T is 0.02; expected at least one position"),
        ({"T": math.inf}, "T is inf; expected a finite number"),
        ({"N": 1}, "N is 1; with fewer than two tokens"),
        ({"N": 2.5}, "N is 2.5; expected a whole number"),
        ({"N": 1e300}, r"N is 1e\+300; expected a whole number"),
        ({"N": 10**300}, "is a whole number beyond every float"),
    ],
)
def test_a_threshold_is_of_a_vocabulary_and_a_context(size, message):
    with pytest.raises(InvalidArgument, match=message):
        limits.detection_threshold(**{"N": 3, "T": 9, "false_alarm": 0.5} | size)


def test_misses_are_as_frequent_as_stated(task):
    k = 0
    q = float(np.sort(task.Q[:, k])[-2])
    t = int(np.flatnonzero(task.Q[:, k] == q)[0])
    seen, missed, stated = 0, 0, []
    for seed in range(400):
        X, n = limits.moment_statistic(task, 120, seed=seed)
        stated.append(limits.miss_probability(task, n=n[k], q=q, threshold=12.0))
        missed += X[t, k] < 12.0
        seen += 1
    mean, spread = np.sum(stated), math.sqrt(np.sum(np.array(stated) * (1 - np.array(stated))))
    assert 0.1 < mean / seen < 0.9, "nothing to tell"
    assert abs(missed - mean) < 4 * spread


def test_misses_become_rarer_with_samples_and_certain_at_none(task):
    found = limits.miss_probability(task, n=np.array([1e-9, 10, 100, 1000]), q=0.4, threshold=20.0)
    assert np.all(np.diff(found) < 0)
    off = limits.miss_probability(task, n=1e-9, q=0.0, threshold=20.0)
    assert off == pytest.approx(chi2.cdf(20.0, 4), abs=1e-9)


def test_samples_for_support_are_enough_and_hardly_more(task):
    for wanted in (0.2, 0.01):
        needed = limits.samples_for_support(task, false_alarm=0.05, miss=wanted)
        cut = limits.detection_threshold(N=3, T=30, false_alarm=0.05)

        def misses(samples, cut=cut):
            return sum(
                limits.miss_probability(task, n=samples * task.mu[k], q=float(q), threshold=cut)
                for k in range(3)
                for q in task.Q[:, k]
                if q > 0
            )

        assert misses(needed) <= wanted < misses(needed - 2)


def test_a_task_without_information_is_refused():
    flat = scb.SCB(np.full((3, 3), 1 / 3), scb.SCB.random(3, 10, 2, seed=0).Q)
    with pytest.raises(InvalidArgument, match="does not depend on the copied token"):
        limits.samples_for_support(flat)


def test_information_is_the_mutual_information_of_a_tiny_task():
    """At s = 1 it is that of copied token and output, whatever the trigger."""
    task = scb.SCB.random(4, 12, 1, seed=3)
    joint = task.P * task.mu
    mutual = np.sum(joint * np.log(joint / np.outer(task.mu, task.mu)))
    np.testing.assert_allclose(limits.token_information(task), mutual, rtol=1e-12)


def test_information_too_large_to_enumerate_is_refused():
    with pytest.raises(InvalidArgument, match="too many to enumerate"):
        limits.token_information(scb.SCB.random(30, 40, 8, seed=0))


def test_supports_are_counted():
    assert limits.supports(7, 3) == pytest.approx(math.log(len(list(combinations(range(7), 3)))))
    for T, s in ((3, 4), (3, 0)):
        with pytest.raises(InvalidArgument, match="expected 0 < s ≤ T"):
            limits.supports(T, s)


def test_fano_grows_like_the_logarithm_and_vanishes_where_there_is_no_choice():
    tasks = [scb.SCB.random(3, T, 2, seed=0) for T in (100, 10_000)]
    needed = [limits.fano_samples(task) for task in tasks]
    assert needed[1] / needed[0] == pytest.approx(limits.supports(10_000, 2) / limits.supports(100, 2), rel=0.15)
    assert limits.fano_samples(scb.SCB.random(3, 3, 3, seed=0)) == 0


def test_fanos_error_solves_its_inequality():
    error = limits.fano_error(information=0.1, n=10, choices=20)
    h = -error * math.log(error) - (1 - error) * math.log(1 - error)
    assert h + error * math.log(19) == pytest.approx(math.log(20) - 1)
    assert limits.fano_error(information=0.1, n=1000, choices=20) == 0


def test_the_search_finds_supports_and_the_stage_starts_from_them(task):
    method = training.algorithm(task, first="moments")
    run = training.train(task, method, seed=1)
    assert [boundary.stage for boundary in run.boundaries] == ["moments", "refit"]
    np.testing.assert_array_equal(run.theta.A > 0, task.Q > 0)
    assert run.boundaries[0].samples == limits.samples_for_support(task, false_alarm=1e-3, miss=1e-3)
    assert run.distance_A[-1] + run.distance_V[-1] < 1e-3


def test_the_search_with_estimated_frequencies(task):
    run = training.train(task, training.algorithm(task, first="moments"), seed=1, mu="estimated")
    np.testing.assert_array_equal(run.theta.A > 0, task.Q > 0)


def test_the_search_resumes_bit_for_bit(task, tmp_path):
    method = training.algorithm(task, first="moments", last="likelihood")
    whole = training.train(task, method, seed=1)
    options = {"seed": 1, "checkpoint": tmp_path / "run.npz"}
    training.train(task, method, max_samples=whole.boundaries[0].samples + 1000, **options)
    rest = training.train(task, method, **options)
    np.testing.assert_array_equal(rest.theta.A, whole.theta.A)
    np.testing.assert_array_equal(rest.theta.V, whole.theta.V)


def test_positions_pass_beyond_the_threshold_of_all_entries():
    cut = limits.detection_threshold(N=3, T=5, false_alarm=0.2)
    X = np.full((5, 3), cut)
    X[4, 1] = np.nextafter(cut, np.inf)
    np.testing.assert_array_equal(np.argwhere(limits.support_by_moments(X, false_alarm=0.2)), [[4, 1]])
    with pytest.raises(InvalidArgument, match=r"X has shape \(3,\)"):
        limits.support_by_moments(X[0])


@pytest.mark.parametrize("q", [0.0, 0.4, 1.0])
def test_the_law_of_misses_has_the_moments_of_every_outcome(task, q):
    """Covariance and mean of the whitened product of output and token, an outcome at a time."""
    N, mu = task.vocab_size, task.mu
    products, chances = [], []
    for o in range(N):
        for x in range(N):
            white = [(np.eye(N)[n] - mu) / np.sqrt(mu) for n in (o, x)]
            products.append(np.outer(*white).ravel())
            chances.append(mu[x] * (q * task.P[o, x] + (1 - q) * mu[o]))
    S = np.cov(np.array(products).T, aweights=chances, ddof=0)
    m = np.average(products, axis=0, weights=chances)
    traces, along = _cumulants(task, q)
    powers = [np.linalg.matrix_power(S, j) for j in range(5)]
    np.testing.assert_allclose(traces, [np.trace(S_j) for S_j in powers[1:]], rtol=1e-10)
    np.testing.assert_allclose(along, [m @ S_j @ m for S_j in powers[:4]], rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore::scbtheory.training.NoSupport")  # too few samples for every column
def test_the_search_keeps_what_passes_and_each_columns_largest(task):
    """One step of L2's stage, from its statistic: equal weights, V as it was, or at the counted frequencies."""
    for mu, known in (("known", True), ("estimated", False)):
        run = training.train(task, (training.MomentStart(400),), seed=2, mu=mu, packed=False)
        batch = task.sample(400, seed=2)
        counts = np.bincount(np.append(batch.trigger, batch.output), minlength=3) / 800
        own = task.mu if known else counts
        X, _ = limits.moment_statistic(task, 400, seed=2, mu=own)
        on = limits.support_by_moments(X) | (X.max(axis=0) == X)
        assert on.sum(axis=0).max() > 1
        np.testing.assert_allclose(run.theta.A, on / on.sum(axis=0), rtol=1e-12)
        np.testing.assert_allclose(run.theta.V, np.outer(own, np.ones(3)), rtol=1e-12)


def test_statistic_counts_whole_batches_where_a_backend_has_no_kernel_for_it(strict):
    task = scb.SCB.random(3, 8, 2, seed=4)
    there = scb.SCB(task.P, task.Q, backend=strict)
    mu = np.array([0.2, 0.5, 0.3])
    for got, known in zip(*(limits.moment_statistic(t, 200, seed=3, mu=mu) for t in (there, task)), strict=True):
        np.testing.assert_allclose(got, known, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("root", [1.02, 1.09, 2.5, 40.5, 1e9 + 0.5])
def test_samples_for_supports_are_the_root_rounded_up(task, monkeypatch, root):
    """By a law of misses, 1/n, whose root is known."""
    monkeypatch.setattr(_detection, "miss_probability", lambda task, *, n, q, threshold: 1e-3 / n)
    entries = sum(1 / task.mu[k] for k in range(3) for q in task.Q[:, k] if q > 0)
    assert limits.samples_for_support(task, miss=1e-3 * entries / root) == math.ceil(root)


def test_a_threshold_beyond_all_noise_is_missed_for_certain(task):
    assert limits.miss_probability(task, n=10, q=0.4, threshold=1e9) == 1.0
    assert limits.miss_probability(task, n=1e9, q=0.4, threshold=1.0) == 0.0


@pytest.mark.parametrize("q", [-0.1, 1.0001, 1.5])
def test_a_weight_that_is_none_has_no_misses(task, q):
    with pytest.raises(InvalidArgument, match="expected a weight between 0 and 1"):
        limits.miss_probability(task, n=10, q=q, threshold=20.0)


def test_the_mean_of_the_statistic_is_its_definition_at_every_weight(task):
    """One of four cumulants; by the whitened moments of one sample, q (P − μ1ᵀ)D."""
    one = (np.eye(3) - task.mu) / np.sqrt(task.mu)
    for q in (0.0, 0.2, 1.0):
        traces, along = _cumulants(task, q)
        mean = one.T @ (q * (task.P - task.mu[:, None]) * task.mu) @ one
        assert along[0] == pytest.approx((mean**2).sum(), abs=1e-14)
        assert traces[0] == pytest.approx(4, rel=0.5)  # about (N - 1)²
