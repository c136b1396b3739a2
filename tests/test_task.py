import itertools
import re
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency, chisquare

import scbtheory as scb
from scbtheory.errors import (
    InvalidArgument,
    InvalidTask,
    NotADistribution,
    ReducibleChain,
    ShapeMismatch,
)

P = np.array([[0.5, 0.2, 0.0], [0.5, 0.2, 0.3], [0.0, 0.6, 0.7]])
Q = np.array([[0.0, 0.25, 1.0], [0.4, 0.0, 0.0], [0.6, 0.5, 0.0], [0.0, 0.25, 0.0]])
UNLIKELY = 1e-4  # seeds are fixed, so a law that holds passes for ever


def stationary(P):
    """The eigenvector of the eigenvalue 1."""
    values, vectors = np.linalg.eig(P)
    vector = vectors[:, np.argmin(np.abs(values - 1))].real
    return vector / vector.sum()


def with_entry(matrix, where, value):
    return np.array([[value if (i, j) == where else x for j, x in enumerate(r)]
                     for i, r in enumerate(matrix)])  # fmt: skip


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.ones((2, 3)) / 2, "P has shape (2, 3); it must be square"),
        (np.ones(3) / 3, "P has shape (3,); expected a matrix"),
        (np.ones((2, 2, 2)) / 2, "P has shape (2, 2, 2); expected a matrix"),
        (np.ones((0, 0)), "P has shape (0, 0); expected a matrix"),
        (0.5, "P has shape (); expected a matrix"),
        ([[1, 2], [3]], "P is not a matrix of real numbers"),
        ("PQ", "P is not a matrix of real numbers: its entries are <U2"),
        (
            [["0.5", "0.5"], ["0.5", "0.5"]],
            "P is not a matrix of real numbers: its entries are <U3",
        ),
        (P + 1j, "P is not a matrix of real numbers: its entries are complex128"),
        ([[{}, 1], [1, 0]], "P is not a matrix of real numbers"),
        ([[1, 2, 3]], "P has shape (1, 3); it must be square"),
    ],
)
def test_a_P_that_is_no_square_real_matrix_is_refused(bad, says):
    with pytest.raises(InvalidTask, match=re.escape(says)):
        scb.SCB(bad, Q)


def test_a_matrix_on_another_device_is_refused_not_fetched(strict):
    with pytest.raises(InvalidTask, match=r"P is not a matrix of real numbers: .*device1"):
        scb.SCB(strict.asarray(P), Q)


@pytest.mark.parametrize("name", ["P", "Q"])
@pytest.mark.parametrize(("value", "shown"), [(-0.25, "-0.25"), (np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_an_entry_that_no_distribution_has_is_named_with_its_value(name, value, shown):
    bad = {"P": P, "Q": Q} | {name: with_entry({"P": P, "Q": Q}[name], (2, 1), value)}
    says = f"{name}[2, 1] is {shown}; entries of {name} must be finite and not negative"
    with pytest.raises(NotADistribution, match=re.escape(says)):
        scb.SCB(**bad)


@pytest.mark.parametrize("name", ["P", "Q"])
@pytest.mark.parametrize(("excess", "shown"), [(0.1, "+0.1"), (-0.05, "-0.05"), (1e-8, "+1e-08"), (-2e-9, "-2e-09")])
def test_a_column_that_does_not_sum_to_one_is_named_with_its_excess(name, excess, shown):
    good = {"P": P, "Q": Q}
    bad = good | {name: with_entry(good[name], (2, 1), good[name][2, 1] + excess)}
    says = f"{name}[:, 1] sums to {1 + excess:.10g}, off by {shown}; columns of {name} must be"
    with pytest.raises(NotADistribution, match=re.escape(says)):
        scb.SCB(**bad)


@pytest.mark.parametrize("name", ["P", "Q"])
def test_of_several_bad_columns_the_worst_is_named(name):
    good = {"P": P, "Q": Q}
    bad = good | {name: good[name] * [1.01, 1.0, 0.9]}
    with pytest.raises(NotADistribution, match=re.escape(f"{name}[:, 2] sums to 0.9, off by -0.1")):
        scb.SCB(**bad)


def test_rounding_of_a_column_sum_is_accepted():
    assert scb.SCB(P * (1 + 1e-10), Q * (1 - 1e-10)).vocab_size == 3


def test_rows_that_are_distributions_are_refused_as_columns():
    with pytest.raises(NotADistribution, match=r"P\[:, [02]\] sums to .*, off by [+-]0.3"):
        scb.SCB(P.T, Q)


@pytest.mark.parametrize("bad", [Q[:, :2], np.hstack([Q, Q]), Q[:, :1]])
def test_a_Q_without_one_column_a_token_is_refused(bad):
    says = f"Q has shape {bad.shape}; expected (T, 3)"
    with pytest.raises(ShapeMismatch, match=re.escape(says)):
        scb.SCB(P, bad)


@pytest.mark.parametrize(
    ("chain", "classes"),
    [
        (np.eye(3), "3 classes [[0], [1], [2]]"),
        ([[0.5, 0.5, 0.2], [0.5, 0.5, 0.3], [0, 0, 0.5]], "2 classes"),
        ([[0.5, 0, 0], [0.5, 1, 0], [0, 0, 1]], "3 classes"),
        ([[0.1, 0.9, 0], [0.9, 0.1, 0], [0, 0, 1]], "2 classes [[0, 1], [2]]"),
    ],
    ids=["identity", "transient", "absorbing", "two-blocks"],
)
def test_a_reducible_chain_is_refused_with_its_classes(chain, classes):
    with pytest.raises(ReducibleChain, match=re.escape(classes)):
        scb.SCB(chain, Q)


@pytest.mark.parametrize("chain", [[[1, 1e-20], [1e-20, 1]], [[1, 0.5], [1e-20, 0.5]]])
def test_a_chain_that_doubles_cannot_tell_from_a_reducible_one_is_refused(chain):
    with pytest.raises(ReducibleChain, match="to double precision"):
        scb.SCB(chain, Q[:, 1:])


@pytest.mark.parametrize("N", [2, 3, 5])
def test_a_periodic_but_irreducible_chain_is_accepted(N):
    cycle = np.roll(np.eye(N), 1, axis=0)
    task = scb.SCB(cycle, np.ones((4, N)) / 4)
    np.testing.assert_allclose(task.mu, 1 / N, rtol=1e-14)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (0, "batch_size is 0; expected a whole number, at least 1"),
        (-3, "batch_size is -3; expected a whole number, at least 1"),
        (2.0, "batch_size is 2.0; expected a whole number"),
        (True, "batch_size is True; expected a whole number"),
        (np.True_, "batch_size is np.True_; expected a whole number"),
        ("3", "batch_size is '3'; expected a whole number"),
        (None, "batch_size is None; expected a whole number"),
    ],
)
def test_a_batch_size_that_counts_nothing_is_refused(size, says):
    with pytest.raises(InvalidArgument, match=re.escape(says)):
        scb.SCB(P, Q).sample(size, seed=0)


WHOLE = [
    (1.5, "is 1.5; expected a whole number"),
    (None, "is None; expected a whole number"),
    ("0", "is '0'; expected a whole number"),
    (True, "is True; expected a whole number"),
    (-1, "is -1; expected a whole number, at least 0"),
]


@pytest.mark.parametrize(("value", "says"), [*WHOLE, (2**64, f"at least 0 and below {2**64}")])
@pytest.mark.parametrize(
    "use",
    [
        lambda seed: scb.SCB(P, Q).sample(2, seed=seed),
        lambda seed: scb.SCB.random(3, 4, 2, seed=seed),
        lambda seed: scb.Parameters.random(scb.SCB(P, Q), seed=seed),
    ],
    ids=["sample", "task", "parameters"],
)
def test_a_seed_that_names_no_stream_is_refused(use, value, says):
    with pytest.raises(InvalidArgument, match=f"seed .*{re.escape(says)}"):
        use(value)


@pytest.mark.parametrize(("value", "says"), [*WHOLE, (2**24, f"at least 0 and below {2**24}")])
def test_a_step_that_names_no_batch_is_refused(value, says):
    with pytest.raises(InvalidArgument, match=f"step .*{re.escape(says)}"):
        scb.SCB(P, Q).sample(2, seed=0, step=value)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ((1, 5, 2), "vocab_size is 1; with fewer than two tokens"),
        ((0, 5, 2), "vocab_size is 0; expected a whole number, at least 1"),
        ((3.0, 5, 2), "vocab_size is 3.0; expected a whole number"),
        ((3, 0, 2), "context_length is 0; expected a whole number, at least 1"),
        ((3, 5, 0), "sparsity is 0; expected a whole number, at least 1"),
        ((3, 5, 6), "sparsity is 6, context_length is 5; sparsity must be at most the length"),
    ],
)
def test_a_random_task_of_impossible_size_is_refused(sizes, says):
    with pytest.raises(InvalidArgument, match=re.escape(says)):
        scb.SCB.random(*sizes)


def test_another_backend_is_refused_where_the_task_is_made():
    with pytest.raises(scb.SCBError, match="did you mean 'numpy'"):
        scb.SCB(P, Q, backend="numpi")


# ---------------------------------------------------------------- what a task is


def test_exact_fractions_are_real_numbers_too():
    exact = [[Fraction(1, 3), Fraction(1, 2)], [Fraction(2, 3), Fraction(1, 2)]]
    np.testing.assert_allclose(scb.SCB(exact, [[1, 1]]).mu, [3 / 7, 4 / 7], rtol=1e-15)


def test_later_changes_of_the_callers_arrays_do_not_reach_the_task():
    own_P, own_Q = P.copy(), Q.copy()
    task = scb.SCB(own_P, own_Q)
    own_P[:], own_Q[:] = 7, 7
    np.testing.assert_array_equal(task.P, P)
    np.testing.assert_array_equal(task.Q, Q)


def test_mu_is_stationary_positive_and_sums_to_one(backend, agree):
    task = scb.SCB(P, Q, backend=backend)
    agree(backend, task.P @ task.mu, backend.to_numpy(task.mu))
    agree(backend, task.mu, stationary(P))
    assert backend.to_numpy(task.mu).min() > 0


def test_sizes_and_sparsity_are_read_off_the_matrices():
    task = scb.SCB(P, Q)
    assert (task.vocab_size, task.context_length, task.sparsity) == (3, 4, 3)
    assert "vocab_size=3, context_length=4, sparsity=3" in repr(task)
    assert "backend='numpy'" in repr(task)


def test_K_P_K_Q_C_and_the_inner_product_are_their_definitions(backend, agree):
    task = scb.SCB(P, Q, backend=backend)
    mu = stationary(P)
    agree(backend, task.K_P, sum(mu[k] * P[n, k] ** 2 for n in range(3) for k in range(3))
          - sum(mu**2))  # fmt: skip
    agree(backend, task.K_Q, sum(mu[k] * Q[t, k] ** 2 for t in range(4) for k in range(3)) - 1 / 4)
    agree(backend, task.C, [[mu[i] * (i == j) - mu[i] * mu[j] for j in range(3)] for i in range(3)])
    other = np.arange(12.0).reshape(4, 3)
    agree(backend, task.inner(task.Q, backend.asarray(other)),
          sum(mu[k] * Q[t, k] * other[t, k] for t in range(4) for k in range(3)))  # fmt: skip


@pytest.mark.parametrize(("N", "T", "s"), [(2, 1, 1), (3, 50, 2), (10, 30, 30), (40, 7, 3)])
def test_a_random_task_has_the_sizes_and_floors_it_promises(N, T, s):
    task = scb.SCB.random(N, T, s, seed=4)
    assert (task.vocab_size, task.context_length) == (N, T)
    assert ((task.Q > 0).sum(axis=0) == s).all()
    assert task.Q[task.Q > 0].min() >= 0.6 / s - 1e-12
    assert ((task.P >= 0.5).sum(axis=1) >= 1).all()  # every token is some token's likely successor
    assert task.P.min() > 0


def test_the_likeliest_successors_of_a_random_task_are_one_cycle_through_all_tokens():
    successor = scb.SCB.random(9, 5, 2, seed=3).P.argmax(axis=0)
    visited = [0]
    while successor[visited[-1]] not in visited:
        visited.append(successor[visited[-1]])
    assert sorted(visited) == list(range(9))


def test_random_tasks_have_K_P_near_a_quarter():
    K_P = [scb.SCB.random(10, 5, 2, seed=seed).K_P for seed in range(30)]
    assert 0.2 < np.mean(K_P) < 0.3


def test_a_random_task_depends_on_its_seed_alone():
    one, same, other = (scb.SCB.random(3, 50, 2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.P, same.P)
    np.testing.assert_array_equal(one.Q, same.Q)
    assert not np.array_equal(one.P, other.P)
    assert not np.array_equal(one.Q, other.Q)


def test_options_of_a_random_task_reach_the_task(backend):
    assert scb.SCB.random(3, 5, 2, backend=backend).P.dtype == backend.dtype
    assert scb.SCB.random(3, 5, 2, dtype="float32").P.dtype == np.float32


# ---------------------------------------------------------------- what it samples


def fields(task, batch):
    names = ("tokens", "trigger", "output", "position")
    return {name: task.backend.to_numpy(getattr(batch, name)) for name in names}


def test_one_seed_gives_one_batch_on_every_backend_bit_for_bit(backend):
    task = scb.SCB.random(5, 37, 3, seed=1)
    here = fields(task, task.sample(50, seed=9, step=3))
    there = task.on(backend)
    for name, array in fields(there, there.sample(50, seed=9, step=3)).items():
        np.testing.assert_array_equal(array, here[name], strict=True, err_msg=name)


def test_a_batch_lives_on_the_tasks_device(backend):
    task = scb.SCB.random(5, 37, 3, seed=1, backend=backend)
    batch = task.sample(4, seed=0)
    for name in fields(task, batch):
        assert type(getattr(batch, name)) is type(task.mu), name
        assert getattr(batch, name).device == task.mu.device, name


@pytest.mark.parametrize("other", [{"seed": 8}, {"step": 1}, {"seed": 2**63}, {"step": 2**24 - 1}])
@pytest.mark.parametrize("name", ["tokens", "trigger", "output", "position"])
def test_another_seed_or_step_changes_every_part_of_the_batch(name, other):
    task = scb.SCB(P, Q)
    first = fields(task, task.sample(200, seed=7))
    second = fields(task, task.sample(200, **{"seed": 7, **other}))
    same = (first[name] == second[name]).mean()
    assert same < 0.7


@pytest.mark.parametrize("name", ["tokens", "trigger", "output", "position"])
def test_a_step_of_one_seed_is_not_the_start_of_the_next_seed(name):
    task = scb.SCB(P, Q)
    first = fields(task, task.sample(200, seed=7, step=1))
    second = fields(task, task.sample(200, seed=8, step=0))
    assert (first[name] == second[name]).mean() < 0.7


@pytest.mark.parametrize("sizes", [(1, 9), (7, 3), (3, 3, 4)])
def test_a_batch_drawn_in_parts_is_the_batch_drawn_at_once(backend, sizes):
    task = scb.SCB.random(5, 37, 3, seed=1, backend=backend)  # 37: parts do not start on whole words
    whole = fields(task, task.sample(10, seed=9, step=3))
    starts = np.cumsum([0, *sizes])
    parts = [
        fields(task, task.sample(size, seed=9, step=3, first=int(first)))
        for first, size in zip(starts, sizes, strict=False)
    ]
    for name, array in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), array)


@pytest.mark.parametrize(("value", "says"), [*WHOLE, (2**38 - 1, f"and below {2**38 - 1}")])
def test_a_first_sample_that_would_reach_into_the_next_step_is_refused(value, says):
    with pytest.raises(InvalidArgument, match=f"first .*{re.escape(says)}"):
        scb.SCB(P, Q).sample(2, seed=0, first=value)  # 2**40 tokens a step, 4 a sample


@pytest.mark.parametrize("size", [1, 2, 37])
def test_a_batch_has_the_shapes_it_promises(size):
    batch = scb.SCB(P, Q).sample(size, seed=0)
    assert len(batch) == size
    assert batch.tokens.shape == (size, 4)
    assert batch.trigger.shape == batch.output.shape == batch.position.shape == (size,)


@pytest.mark.parametrize(("N", "dtype"), [(2, "uint8"), (256, "uint8"), (257, "uint16"), (300, "uint16")])
def test_tokens_take_the_smallest_unsigned_type_that_holds_them(N, dtype, backend):
    task = scb.SCB.random(N, 6, 2, backend=backend)
    batch = task.sample(500, seed=0)
    tokens, trigger, output, _ = fields(task, batch).values()
    assert {x.dtype for x in (tokens, trigger, output)} == {np.dtype(dtype)}
    for values in (tokens, trigger, output):
        assert 0.9 * (N - 1) <= values.max() < N


@pytest.fixture(scope="module")
def drawn():
    """A large batch of the small task, with the token that each sample copied."""
    task = scb.SCB(P, Q)
    arrays = fields(task, task.sample(120_000, seed=2024))
    arrays["copied"] = arrays["tokens"][np.arange(120_000), arrays["position"]]
    return {name: array.astype(int) for name, array in arrays.items()} | {"mu": task.mu}


def follows(values, law):
    """Whether ``values`` look drawn from ``law``; an impossible value is a failure on its own."""
    law = np.asarray(law)
    counts = np.bincount(values, minlength=len(law))
    assert len(counts) == len(law)
    assert counts[law == 0].sum() == 0
    possible = law > 0
    if possible.sum() == 1:
        return True
    expected = law[possible] / law[possible].sum() * len(values)
    return chisquare(counts[possible], expected).pvalue > UNLIKELY


def independent(x, y):
    table = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(table, (x, y), 1)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    return chi2_contingency(table).pvalue > UNLIKELY


@pytest.mark.parametrize("t", range(4))
def test_every_token_follows_mu(drawn, t):
    assert follows(drawn["tokens"][:, t], drawn["mu"])


@pytest.mark.parametrize("name", ["trigger", "output", "copied"])
def test_trigger_output_and_copied_token_follow_mu(drawn, name):
    assert follows(drawn[name], drawn["mu"])


@pytest.mark.parametrize("k", range(3))
def test_the_position_follows_its_triggers_column_and_stays_on_its_support(drawn, k):
    assert follows(drawn["position"][drawn["trigger"] == k], Q[:, k])


@pytest.mark.parametrize("m", range(3))
def test_the_output_follows_the_copied_tokens_column(drawn, m):
    assert follows(drawn["output"][drawn["copied"] == m], P[:, m])


@pytest.mark.parametrize(("s", "t"), list(itertools.combinations(range(4), 2)))
def test_tokens_of_one_context_are_independent(drawn, s, t):
    assert independent(drawn["tokens"][:, s], drawn["tokens"][:, t])


@pytest.mark.parametrize("t", range(4))
def test_the_trigger_is_independent_of_every_token(drawn, t):
    assert independent(drawn["trigger"], drawn["tokens"][:, t])


@pytest.mark.parametrize("name", ["trigger", "position", "copied", "output"])
def test_consecutive_samples_are_independent(drawn, name):
    assert independent(drawn[name][:-1], drawn[name][1:])


def test_the_joint_law_of_trigger_position_copied_and_output_is_the_models(drawn):
    mu, names = drawn["mu"], ("trigger", "position", "copied", "output")
    law = np.einsum("k,tk,m,nm->ktmn", mu, Q, mu, P)
    cell = np.ravel_multi_index([drawn[name] for name in names], law.shape)
    assert follows(cell, law.ravel())


@pytest.mark.parametrize("other", [{"seed": 2025, "step": 0}, {"seed": 2024, "step": 1}])
def test_batches_of_other_seeds_and_steps_are_independent(drawn, other):
    task = scb.SCB(P, Q)
    again = fields(task, task.sample(120_000, **other))
    for name in ("trigger", "position", "output"):
        assert independent(drawn[name], again[name].astype(int)), name
    assert independent(drawn["tokens"].ravel(), again["tokens"].ravel().astype(int))


def test_M1_the_output_given_context_and_trigger_follows_P_X_q(drawn):
    statistic, freedom, tokens = 0.0, 0, drawn["tokens"]
    code = np.ravel_multi_index((*tokens.T, drawn["trigger"]), (3,) * 5)
    for case in np.unique(code):
        *context, k = np.unravel_index(case, (3,) * 5)
        law = P @ np.eye(3)[:, list(context)] @ Q[:, k]
        counts = np.bincount(drawn["output"][code == case], minlength=3)
        assert counts[law == 0].sum() == 0
        expected = law * counts.sum()
        if expected[law > 0].min() >= 5:
            statistic += ((counts - expected)[law > 0] ** 2 / expected[law > 0]).sum()
            freedom += (law > 0).sum() - 1
    assert freedom > 100
    assert chi2.sf(statistic, freedom) > UNLIKELY


@pytest.mark.parametrize("word", [0, 2**64 - 1], ids=["smallest", "largest"])
def test_the_extreme_uniform_numbers_choose_only_what_is_possible(monkeypatch, word):
    support = np.array([[0, 0.1], *[[0.1, 0.1]] * 9, [0.1, 0], [0, 0]])  # ten 0.1s add up below 1
    task = scb.SCB([[0, 0.5], [1, 0.5]], support)
    monkeypatch.setattr(
        "scbtheory.kernels.stream.words",
        lambda xp, device, stream, indices: xp.full(indices.shape, word, dtype=xp.uint64),
    )
    batch = task.sample(1, seed=0)
    k, t, o = (int(x[0]) for x in (batch.trigger, batch.position, batch.output))
    assert (k, t) == ((0, 1) if word == 0 else (1, 9))
    assert task.P[o, int(batch.tokens[0, t])] > 0


def test_M3_a_bigram_always_copies_its_one_position():
    task = scb.SCB(P, np.eye(4)[:, [2, 2, 2]])
    batch = task.sample(500, seed=1)
    assert (batch.position == 2).all()
    assert task.sparsity == 1


def test_a_token_rarer_than_16_bits_can_say_is_drawn_at_its_rate():
    rare = 2**-17  # 16 bits alone would make it nothing, or twice as much
    task = scb.SCB([[1 - rare, 1.0], [rare, 0.0]], np.ones((1000, 2)) / 1000)
    seen = int((task.sample(5000, seed=5).tokens == 1).sum())
    expected = 5_000_000 * float(task.mu[1])
    assert abs(seen - expected) < 4 * expected**0.5
