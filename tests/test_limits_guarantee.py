"""T5 and L8's samples that are certainly enough, and L6's budget: known answers, symmetries, refusals."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

import scbtheory as scb
from scbtheory import limits, noise
from scbtheory.errors import InvalidArgument, ShapeMismatch
from scbtheory.limits import _guarantee

LONG, MANY = scb.SCB.random(4, 31, 2, seed=1), scb.SCB.random(5, 30, 2, seed=1)


@pytest.fixture(scope="module")
def task():
    return scb.SCB.random(4, 30, 2, seed=1)


@pytest.fixture(scope="module")
def start(task):
    return scb.dynamics.lift(task, 0.0, 0.7)


@pytest.mark.parametrize("q", [0.0, 0.6, 1.0])
def test_the_largest_variance_is_that_of_every_outcome(task, q):
    N, mu = task.vocab_size, task.mu
    law = mu * (q * task.P + (1 - q) * mu[:, None])  # of output and token
    entry = (np.eye(N)[:, None, :, None] - mu[:, None]) * (np.eye(N)[None, :, None, :] - mu)  # o, x, n, m
    entry = entry / np.sqrt(np.outer(mu, mu))
    mean, square = (np.einsum("ox,oxnm->nm", law, entry**power) for power in (1, 2))
    assert _guarantee._largest_variance(task.P, mu, q) == pytest.approx((square - mean**2).max(), rel=1e-12)


# --- T5 ------------------------------------------------------------------------------------------


def test_bernsteins_samples_are_the_least_that_meet_the_chance():
    v, R, gap, chance = 0.7, 3.0, 0.1, 0.01
    n = noise.bernstein_samples(v, R, gap, chance)

    def bound(n):
        return math.exp(-n * gap**2 / 2 / (v + R * gap / 3))

    assert bound(n) <= chance < bound(n - 1)


@pytest.mark.parametrize("chance", [0.0, 1.0, -1, math.nan])
def test_a_chance_that_is_none_is_refused(chance):
    with pytest.raises(InvalidArgument, match="chance is"):
        noise.bernstein_samples(1.0, 1.0, 0.1, chance)


def test_no_coordinate_of_a_sample_goes_further_than_its_reach(task, start):
    terms = noise.recovery_terms(task, start)
    mean = -scb.population.projected_gradient(task, start).A
    for step in range(300):
        move = -scb.model.minibatch_gradient(task, start, task.sample(1, seed=2, step=step), projected=True).A
        assert np.all(np.abs(move - mean) <= terms.reach[None, :] + 1e-12)


def test_the_gap_is_half_of_what_separates_the_smallest_weight(task, start):
    mean = -scb.population.projected_gradient(task, start).A
    on = task.Q > 0
    least = min(mean[on[:, k], k].min() - mean[~on[:, k], k].max() for k in range(4))
    assert noise.recovery_terms(task, start).gap == pytest.approx(least / 2)


def test_the_batch_is_that_of_the_hardest_trigger(task, start):
    terms, events = noise.recovery_terms(task, start), 2 * 30 * 4
    each = [noise.bernstein_samples(v, R, terms.gap, 0.1 / events) for v, R in zip(*terms[:2], strict=True)]
    assert noise.recovery_batch(task, start, delta=0.1) == max(each) > min(each)


def test_starts_that_the_theorem_does_not_cover_are_refused(task, start):
    with pytest.raises(InvalidArgument, match="attention is not uniform"):
        noise.recovery_terms(task, scb.Parameters.truth(task))
    with pytest.raises(InvalidArgument, match=r"the correlation of V with P is -?0.*above 0"):
        noise.recovery_terms(task, scb.Parameters.initial(task))
    with pytest.raises(InvalidArgument, match=r"the correlation of V with P is -0\.1"):
        noise.recovery_terms(task, scb.dynamics.lift(task, 0.0, -0.7))


# --- L8 ------------------------------------------------------------------------------------------


def test_the_search_keeps_the_positions_whose_true_moments_are_beyond_the_level(task):
    """With every outcome in its share, the means are the truth; beyond the level is what stands on a support."""
    small = scb.SCB([[0.75, 0.25], [0.25, 0.75]], [[0.75, 0.0], [0.25, 0.5], [0.0, 0.5]])
    rows = [
        (x, k, o)
        for x, k, o in product(product(range(2), repeat=3), range(2), range(2))
        for _ in range(round(16 * sum(small.Q[t, k] * small.P[o, x[t]] for t in range(3))))
    ]
    tokens, trigger, output = (np.array(part, dtype=np.uint8) for part in zip(*rows, strict=True))
    batch = scb.Batch(tokens, trigger, output, np.zeros(len(rows), dtype=np.int64))
    level = limits.samples(small, 0.05, 0.1).level
    np.testing.assert_array_equal(limits.support_by_entries(small, batch, level), small.Q > 0)
    assert limits.support_by_entries(small, batch, 2.1 * level).sum() < (small.Q > 0).sum()
    found = limits.estimate_by_moments(small, batch, small.Q > 0)
    np.testing.assert_allclose(found.A, small.Q, atol=1e-12)
    np.testing.assert_allclose(found.V, small.P, atol=1e-12)


def test_enough_of_every_trigger(task):
    from scbtheory.limits._guarantee import _of_all

    total = _of_all(200, task.mu, 0.05)
    assert sum(binom.cdf(199, total, task.mu)) <= 0.05 < sum(binom.cdf(199, total - 1, task.mu))


def test_samples_grow_as_the_theorem_says(task):
    coarse, fine = limits.samples(task, 0.01, 0.1), limits.samples(task, 0.0001, 0.1)
    assert coarse.search == fine.search  # ε asks for no more to search
    assert 80 < fine.estimate / coarse.estimate < 130
    assert limits.samples(task, 0.01, 0.001).total < 3 * coarse.total
    assert coarse.total == coarse.search + coarse.estimate
    longer = scb.SCB(task.P, np.vstack([task.Q, np.zeros((30_000 - 30, 4))]))
    assert coarse.search < limits.samples(longer, 0.01, 0.1).search < 2 * coarse.search


def test_numbers_are_enough_for_every_task_that_has_them(task):
    numbers = limits.Numbers(4, 30, 2, task.K_P, float(task.Q[task.Q > 0].min()), float(task.mu.min()))
    for_all, for_one = (limits.samples(x, 0.01, 0.1) for x in (numbers, task))
    assert for_all.level <= for_one.level
    assert for_all.search >= for_one.search
    assert for_all.estimate >= for_one.estimate


def test_numbers_at_the_ends_of_their_ranges_are_a_task_s():
    limits.Numbers(3, 30, 3, 0.2, 1 / 3, 1 / 3)
    terms = _guarantee._terms(limits.Numbers(4, 30, 2, 0.2, 0.3, 0.1))
    assert terms.level == pytest.approx(0.3 * math.sqrt(0.2) / 8)
    assert terms[5:9] == pytest.approx((10, 20, 1, 1.8))  # 1/μ_min, 2/μ_min, ‖q‖ ≤ 1, 2(1 - μ_min)
    np.testing.assert_array_equal(terms.mu, [0.1] * 4)


def test_the_estimates_samples_are_the_least_over_splits_of_the_error(task):
    """On a grid of what P' may be off: what is left for each weight, and the samples that Bernstein asks for both."""
    epsilon, delta, s, N = 0.02, 0.1, task.sparsity, task.vocab_size
    mu, root = task.mu, math.sqrt(task.K_P)
    longest, size = math.sqrt((task.Q**2).sum(axis=0).max()), (1 + (mu**2).sum() - 2 * mu.min())
    single, least = math.sqrt(size * (1 / mu.min() - 1)), math.inf
    for v in np.linspace(0, math.sqrt(epsilon), 400)[1:-1]:
        w = (math.sqrt(epsilon - v**2) * (root - v) - longest * v) / math.sqrt(s)
        if w > 0:
            whole = noise.bernstein_samples(s * size * (N - 1), 2 * s * single, v, delta / 4)
            each = noise.bernstein_samples(size * (N - 1), 2 * single, w, delta / 4 / s / N)
            least = min(least, max(whole, enough(each, mu, delta / 2)))
    assert limits.samples(task, epsilon, delta).estimate == pytest.approx(least, rel=0.02)


def enough(each, mu, chance):
    """The least samples of all triggers with ``each`` of every one, but for a chance."""
    few, n = each, 2 * each  # few are too few
    while binom.cdf(each - 1, n, mu).sum() > chance:
        few, n = n, 2 * n
    while n - few > 1:
        middle = (few + n) // 2
        few, n = (middle, n) if binom.cdf(each - 1, middle, mu).sum() > chance else (few, middle)
    return n


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("N", 1, "N is 1; expected at least 2"),
        ("s", 0, "s is 0"),
        ("K_P", 0.0, "K_P is 0"),
        ("q_min", 0.6, r"q_min is 0.6; expected above 0 and at most 0.5"),
        ("mu_min", 0.5, r"mu_min is 0.5; expected above 0 and at most 0.25"),
    ],
)
def test_numbers_that_no_task_has_are_refused(name, value, message):
    with pytest.raises(InvalidArgument, match=message):
        replace(limits.Numbers(4, 30, 2, 0.2, 0.3, 0.1), **{name: value})


def test_what_cannot_be_promised_is_refused(task):
    with pytest.raises(InvalidArgument, match="does not depend on the copied token"):
        limits.samples(scb.SCB(np.full((2, 2), 0.5), [[1, 0], [0, 1]]), 0.1, 0.1)
    with pytest.raises(InvalidArgument, match="epsilon"):
        limits.samples(task, 0.0, 0.1)
    with pytest.raises(InvalidArgument, match="delta"):
        limits.samples(task, 0.1, 1.0)
    nothing = task.sample(50, seed=1)
    with pytest.raises(InvalidArgument, match="trigger 0 has"):
        limits.estimate_by_moments(task, nothing, np.zeros((30, 4), dtype=bool))


# --- L6 ------------------------------------------------------------------------------------------


def test_a_budget_adds_up_what_its_claims_say(task):
    found = limits.budget(task, 0.01, transferred=0.5)
    assert found.moments == limits.samples_for_support(task, false_alarm=0.02, miss=0.08)
    assert found.likelihood == pytest.approx(sum(limits.cramer_rao(task, "known")) / 0.01)
    assert found.refit == pytest.approx(1.5 * sum(limits.least_squares_error(task, "known")) / 0.01)
    steps = [noise.support_batch(task, *at, c=1.25).max() for at in ((0.5**0.5, 0.5**0.5), (0.0, 0.5))]
    assert [found.sparsify, found.transfer] == pytest.approx(steps)
    assert found.ways["moments, likelihood"] == {"moments": found.moments, "last stage": found.likelihood}


def test_boosting_pays_the_batch_of_the_sign_at_every_step_to_the_half_time(task):
    T, step = 30_000, 0.1
    task = scb.SCB(task.P, np.vstack([task.Q, np.zeros((T - 30, 4))]))
    speed = {"step_size": step / task.K_Q, "attention_step_size": step / task.K_P}
    steps = math.log(2 * T * task.K_Q) / step
    batch = limits.budget(task, 0.01).boost / steps
    assert noise.sign_probability(task, batch_size=batch, **speed) == pytest.approx(0.9, abs=1e-9)


def test_only_boosting_grows_like_the_length(task):
    longer = scb.SCB(task.P, np.vstack([task.Q, np.zeros((30_000 - 30, 4))]))
    short, long = limits.budget(task, 0.01), limits.budget(longer, 0.01)
    assert long.boost > 1000 * short.boost
    assert all(getattr(long, name) < 4 * getattr(short, name) for name in short._fields[1:])


def test_a_budget_is_the_same_on_every_backend(task, backend):
    np.testing.assert_allclose(limits.budget(task.on(backend), 0.01), limits.budget(task, 0.01), rtol=1e-4)


@pytest.mark.parametrize("share", [0.0, 1.1, math.nan])
def test_a_share_that_is_none_is_refused(task, share):
    with pytest.raises(InvalidArgument, match="transferred"):
        limits.budget(task, 0.01, transferred=share)


def test_the_promised_numbers_are_those_of_the_stated_chances(task):
    """Written out once more: half of δ for the search, a quarter for P', a quarter over all weights."""
    from scbtheory.limits import _guarantee as g

    at, delta, epsilon = g._terms(task), 0.1, 0.05
    found = limits.samples(task, epsilon, delta)
    entry = noise.bernstein_samples(at.variance, at.reach, at.level, delta / (2 * at.T * at.N**3))
    assert found.search == g._of_all(entry, at.mu, delta / 2)
    single = math.sqrt(at.size * (1 / at.mu.min() - 1))

    def larger(v):
        w = (math.sqrt(epsilon - v * v) * (at.root - v) - at.longest * v) / math.sqrt(at.s)
        if w <= 0:
            return math.inf
        whole = noise.bernstein_samples(at.s * at.size * (at.N - 1), 2 * at.s * single, v, delta / 4)
        each = noise.bernstein_samples(at.size * (at.N - 1), 2 * single, w, delta / (4 * at.s * at.N))
        return max(whole, g._of_all(each, at.mu, delta / 2))

    low, high = 1e-3, math.sqrt(epsilon) - 1e-6
    for _ in range(3):  # the larger of one that falls and one that rises: least in a neighbouring cell
        grid = np.linspace(low, high, 200)
        least = int(np.argmin([larger(v) for v in grid]))
        low, high = grid[max(least - 1, 0)], grid[min(least + 1, 199)]
    assert found.estimate == pytest.approx(larger(grid[least]), abs=2)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (
            lambda t, b: limits.support_by_entries(t, LONG.sample(9, seed=0), 0.1),
            ShapeMismatch,
            "batch.tokens has shape",
        ),
        (
            lambda t, b: limits.estimate_by_moments(t, LONG.sample(9, seed=0), t.Q > 0),
            ShapeMismatch,
            "batch.tokens has",
        ),
        (lambda t, b: limits.estimate_by_moments(t, b, LONG.Q > 0), ShapeMismatch, r"on has shape \(31, 4\)"),
        (
            lambda t, b: limits.support_by_entries(t, MANY.sample(99, seed=0), 0.1),
            InvalidArgument,
            "entries from 0 to 4",
        ),
        (lambda t, b: limits.support_by_entries(t, b, np.nan), InvalidArgument, "level is nan"),
        (lambda t, b: limits.support_by_entries(t, b.tokens, 0.1), InvalidArgument, "batch is of type ndarray"),
    ],
)
def test_samples_and_supports_of_another_task_are_refused(task, use, error, message):
    with pytest.raises(error, match=message):
        use(task, task.sample(9, seed=0))
