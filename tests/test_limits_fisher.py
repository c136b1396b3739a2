"""L4 and L5 in the package: information, bounds and maximum likelihood, against independent values."""

import math

import numpy as np
import pytest

import scbtheory as scb
from scbtheory import limits
from scbtheory.errors import InvalidArgument, MixedBackends, ShapeMismatch
from scbtheory.limits._fisher import Model
from scbtheory.limits._likelihood import _Fit

TASK = scb.SCB.random(3, 50, 2, seed=0)
BIGRAM = scb.SCB([[0.5, 0.2, 0.1], [0.3, 0.5, 0.1], [0.2, 0.3, 0.8]], np.eye(4, 3)[:, [0, 0, 0]])


def sampled(task, size, seed=1):
    batch = task.sample(size, seed=seed)
    return limits.Counts.empty(task.Q > 0).add(batch.tokens, batch.trigger, batch.output)


def test_a_bigram_has_the_multinomial_bound():
    """With one known position, counts of (token, next) are multinomial: the error is the sum of p(1 - p)."""
    attention, value = limits.cramer_rao(BIGRAM)
    assert attention == 0
    assert value == pytest.approx((BIGRAM.P * (1 - BIGRAM.P)).sum(), rel=1e-12)


def test_the_bounds_of_one_task():
    """Figures that an independent program gave."""
    unknown, known = limits.cramer_rao(TASK), limits.cramer_rao(TASK, "known")
    squares = limits.least_squares_error(TASK, "unknown")
    assert [round(x, 2) for x in (*unknown, *squares)] == [3.49, 1.46, 3.57, 1.92]
    assert round(known.value, 2) == 0.77


@pytest.mark.parametrize("mu", ["known", "unknown"])
@pytest.mark.parametrize("size", [(2, 1), (3, 3), (5, 2)])
def test_least_squares_is_never_better_than_the_bound(mu, size):
    task = scb.SCB.random(size[0], 30, size[1], seed=4)
    for bound, squares in zip(limits.cramer_rao(task, mu), limits.least_squares_error(task, mu), strict=True):
        assert bound <= squares * (1 + 1e-9)


def test_a_law_on_the_edge_is_refused():
    with pytest.raises(InvalidArgument, match=r"P\[0, 0\] is 0"):
        limits.cramer_rao(scb.SCB([[0.0, 0.5], [1.0, 0.5]], np.eye(3, 2)))
    with pytest.raises(InvalidArgument, match="singular"):
        limits.cramer_rao(scb.SCB([[0.5, 0.5], [0.5, 0.5]], np.eye(3, 2) / 2 + np.eye(3, 2)[[1, 0, 2]] / 2))
    with pytest.raises(InvalidArgument, match="'sometimes'; expected 'known'"):
        limits.cramer_rao(TASK, "sometimes")
    with pytest.raises(InvalidArgument, match="cells"):
        limits.fisher_information(scb.SCB.random(16, 50, 6))


def test_counts_are_what_a_loop_counts():
    task = scb.SCB.random(3, 6, 2, seed=2)
    Q = task.Q.copy()
    Q[:, 1] = np.eye(6)[4]  # one trigger with a single position
    task = scb.SCB(task.P, Q)
    batch = task.sample(500, seed=3)
    half = sampled(task, 300, seed=3)
    counts = half.add(batch.tokens[300:], batch.trigger[300:], batch.output[300:])
    assert counts.total == 500
    expected: dict = {}
    for tokens, k, n in zip(batch.tokens, batch.trigger, batch.output, strict=True):
        copied = [int(tokens[t]) for t in np.flatnonzero(Q[:, k])] + [0]
        key = int(k), tuple(copied[:2]), int(n)
        expected[key] = expected.get(key, 0) + 1
    trigger, copied, output = counts.decoded()
    found = {
        (int(k), tuple(map(int, c)), int(n)): int(x)
        for k, c, n, x in zip(trigger, copied, output, counts.count, strict=True)
    }
    assert found == expected


def test_maximum_likelihood_of_a_bigram_are_frequencies():
    counts = sampled(BIGRAM, 2000)
    theta = limits.maximum_likelihood(counts)
    _, copied, output = counts.decoded()
    table = np.zeros((3, 3))
    np.add.at(table, (output, copied[:, 0]), counts.count)
    np.testing.assert_allclose(theta.V, table / table.sum(axis=0), atol=1e-6)


@pytest.mark.parametrize("known", [True, False])
def test_no_other_point_is_likelier(known):
    counts = sampled(TASK, 5000)
    mu = TASK.mu if known else None
    theta = limits.maximum_likelihood(counts, mu)
    np.testing.assert_allclose(theta.A.sum(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(theta.V.sum(axis=0), 1, rtol=1e-12)
    if known:
        np.testing.assert_allclose(theta.V @ mu, mu, rtol=1e-9)
    best, rng = height(counts, theta), np.random.default_rng(0)
    U = Model.of(TASK).tangent("known" if known else "unknown")
    for _ in range(50):
        move = 1e-3 * U @ rng.standard_normal(U.shape[1])
        A = theta.A.copy()
        A.T[TASK.Q.T > 0] += move[:-9]
        assert height(counts, scb.Parameters(A, theta.V + move[-9:].reshape(3, 3))) < best


def height(counts, theta):
    """The log-likelihood by its definition."""
    trigger, copied, output = counts.decoded()
    a = np.stack([theta.A[counts.supports[k], k] for k in trigger])
    return float(counts.count @ np.log((a * theta.V[output[:, None], copied]).sum(axis=1)))


def test_few_samples_give_distributions():
    for size in (1, 5, 30):
        for mu in (None, TASK.mu):
            counts = sampled(TASK, size)
            theta = limits.maximum_likelihood(counts, mu)
            for matrix in (theta.A, theta.V):
                assert np.all(np.isfinite(matrix))
                assert matrix.min() >= 0
                np.testing.assert_allclose(matrix.sum(axis=0), 1, rtol=1e-9)
            assert math.isfinite(height(counts, theta))


def test_the_estimated_error_tends_to_the_bound():
    counts = sampled(TASK, 200_000)
    theta = limits.maximum_likelihood(counts, TASK.mu)
    found = limits.estimated_error(counts, theta, TASK.mu)
    np.testing.assert_allclose(np.multiply(found, counts.total), limits.cramer_rao(TASK, "known"), rtol=0.05)


def test_counts_refuse_what_they_cannot_hold():
    with pytest.raises(InvalidArgument, match="trigger 1 has no position"):
        limits.Counts.empty([[True, False]])
    with pytest.raises(InvalidArgument, match="round first"):
        limits.Counts.empty(np.ones((100, 3), dtype=bool))
    with pytest.raises(InvalidArgument, match=r"61 positions of 2 tokens"):
        limits.Counts.empty(np.ones((61, 2), dtype=bool))
    assert limits.Counts.empty(np.ones((60, 2), dtype=bool)).cells.size == 0
    with pytest.raises(InvalidArgument, match="empty"):
        limits.maximum_likelihood(limits.Counts.empty(TASK.Q > 0))
    with pytest.raises(ShapeMismatch, match="mu has shape"):
        limits.maximum_likelihood(sampled(TASK, 10), np.ones(2) / 2)
    with pytest.raises(ShapeMismatch, match="start has shapes"):
        limits.maximum_likelihood(sampled(TASK, 10), None, scb.Parameters(np.ones((2, 3)), np.eye(3)))


@pytest.mark.parametrize(
    "on", [np.ones(3, dtype=bool), np.ones((2, 3, 3), dtype=bool), np.ones((5, 0), dtype=bool), True]
)
def test_counts_are_of_a_matrix_of_positions(on):
    with pytest.raises(InvalidArgument, match=r"on has shape .*; expected \(T, N\)"):
        limits.Counts.empty(on)


@pytest.mark.parametrize("use", ["start", "theta"])
def test_parameters_are_numpys_arrays_of_real_numbers(use, strict):
    def call(theta):
        counts = sampled(TASK, 10)
        if use == "start":
            return limits.maximum_likelihood(counts, start=theta)
        return limits.estimated_error(counts, theta)

    A, V = TASK.Q, TASK.P
    for theta in (scb.Parameters.truth(TASK.on(strict)), scb.Parameters(A.tolist(), V), scb.Parameters(A, V.tolist())):
        with pytest.raises(MixedBackends, match=rf"{use}\.[AV] is a .*; expected an array of NumPy"):
            call(theta)
    for theta in ((A, V), scb.softmax.SoftmaxParameters(A, V)):
        with pytest.raises(InvalidArgument, match=f"{use} is of type (tuple|SoftmaxParameters); expected Parameters"):
            call(theta)
    with pytest.raises(InvalidArgument, match=f"{use}.V has entries of type complex128; expected real numbers"):
        call(scb.Parameters(A, V + 1j))


def test_a_step_of_em_shares_out_each_sample():
    """From its definition, a sample at a time; trigger 2 has a single one."""
    batch = TASK.sample(60, seed=1)
    few = np.append(np.flatnonzero(batch.trigger != 2), np.flatnonzero(batch.trigger == 2)[0])
    tokens, trigger, output = (np.asarray(x)[few] for x in (batch.tokens, batch.trigger, batch.output))
    counts = limits.Counts.empty(TASK.Q > 0).add(tokens, trigger, output)
    fit = _Fit.of(counts, None)
    q, V = fit.initial(None)
    new_q, new_V = np.zeros_like(q), np.zeros((3, 3))
    for x, k, o in zip(tokens, trigger, output, strict=True):
        copied = x[counts.supports[k]]
        share = q[k, : len(copied)] * V[o, copied]
        new_q[k, : len(copied)] += share / share.sum()
        np.add.at(new_V[o], copied, share / share.sum())
    found = fit.em(q, V)
    np.testing.assert_allclose(found[0], new_q / new_q.sum(axis=1, keepdims=True), atol=1e-9)
    np.testing.assert_allclose(found[1], new_V / new_V.sum(axis=0), atol=1e-9)


@pytest.mark.parametrize("name", ["tokens", "trigger", "output"])
@pytest.mark.parametrize("wrong", [-1, 3, 0.5])
def test_counts_refuse_what_is_no_token(name, wrong):
    task = scb.SCB.random(3, 6, 2, seed=0)
    batch, on = task.sample(9, seed=1), task.Q > 0
    parts = {n: getattr(batch, n).astype(type(wrong) if n == name else int) for n in ("tokens", "trigger", "output")}
    parts[name][:] = wrong
    with pytest.raises(InvalidArgument, match=rf"{name} has the type .*; expected whole numbers from 0 to 2"):
        limits.Counts.empty(on).add(**parts)
    with pytest.raises(ShapeMismatch, match="expected"):
        limits.Counts.empty(on).add(batch.tokens, batch.trigger, batch.output[:3])


def test_counts_are_equal_if_they_count_the_same():
    task = scb.SCB.random(3, 6, 2, seed=0)
    first, second = (limits.Counts.empty(task.Q > 0) for _ in range(2))
    assert first == second
    batch = task.sample(9, seed=1)
    more = first.add(batch.tokens, batch.trigger, batch.output)
    assert more != first
    assert more == second.add(batch.tokens, batch.trigger, batch.output)
    assert more != "counts"
