import contextlib
import copy
import dataclasses
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse

import scbtheory as scb
from scbtheory import memory
from scbtheory.backend import Backend, get_backend
from scbtheory.errors import (
    InvalidArgument,
    InvalidTask,
    NotADistribution,
    ReducibleChain,
    ShapeMismatch,
)
from scbtheory.task import distribution_function

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


def test_a_chain_that_doubles_cannot_tell_from_a_reducible_one_is_refused():
    with pytest.raises(ReducibleChain, match="to double precision"):
        scb.SCB([[1, 0.5], [1e-20, 0.5]], Q[:, 1:])


@pytest.mark.parametrize("a", [1e-3, 1e-12, 1e-15, 1e-20])
def test_the_law_of_a_nearly_decoupled_chain_keeps_all_its_digits(a):
    np.testing.assert_allclose(scb.SCB([[1 - a, a / 2], [a, 1 - a / 2]], Q[:, 1:]).mu, [1 / 3, 2 / 3], rtol=1e-14)


def test_the_law_is_that_of_the_chains_powers():
    P = scb.SCB.random(40, 3, 1, seed=5).P
    np.testing.assert_allclose(scb.SCB.random(40, 3, 1, seed=5).mu, np.linalg.matrix_power(P, 500)[:, 0], rtol=1e-12)


def test_matrices_of_lower_precision_are_taken_and_made_distributions():
    task = scb.SCB.random(5, 30, 3, seed=2)
    low = scb.SCB(task.P.astype("float32"), task.Q.astype("float32"))
    np.testing.assert_allclose(low.P.sum(axis=0), 1, rtol=1e-15)
    np.testing.assert_allclose(low.mu, task.mu, rtol=1e-5)
    assert scb.SCB(low.P, low.Q).P.tobytes() == low.P.tobytes()
    on = task.on(dtype="float32")
    assert scb.SCB(on.P, on.Q, dtype="float32").P.dtype == np.float32


def test_what_hides_entries_is_refused_and_rows_are_told_from_columns():
    P = np.array([[0.7, 0.2], [0.3, 0.8]])
    with pytest.raises(scb.SCBError, match="masked"):
        scb.SCB(np.ma.array(P, mask=[[True, False], [False, False]]), Q[:, 1:])
    with pytest.raises(scb.SCBError, match=r"its rows are: pass P\.T"):
        scb.SCB(P.T, Q[:, 1:])
    with pytest.raises(scb.SCBError, match="toarray"):
        scb.SCB(scipy.sparse.csr_array(P), Q[:, 1:])


def test_what_a_task_keeps_cannot_be_edited():
    task = scb.SCB.random(3, 20, 2, seed=0)
    truth = scb.Parameters.truth(task)
    for array in (task.P, task.Q, task.mu, task.C, truth.A, truth.V, task._trigger_cdf, task._position_cdfs):
        with pytest.raises(ValueError, match="read-only"):
            array /= 2


def test_a_task_of_single_precision_cannot_be_edited_either():
    task = scb.SCB.random(3, 20, 2, seed=0).on(dtype="float32")
    for array in (task.P, task.Q, task.mu, task.C):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_equality_looks_at_the_arrays_and_nothing_is_hashed():
    task = scb.SCB.random(3, 20, 2, seed=0)
    theta, other = scb.Parameters.truth(task), scb.Parameters.initial(task)
    copy = scb.Parameters(task.Q.copy(), task.P.copy())
    assert theta == copy
    assert theta != other
    assert theta != "theta"
    assert theta != scb.Parameters(theta.A[:5], theta.V)
    assert task.sample(5, seed=1) == task.sample(5, seed=1) != task.sample(5, seed=2)
    soft = scb.softmax.SoftmaxParameters.initial(task)
    assert soft == scb.softmax.SoftmaxParameters.initial(task)
    for thing in (theta, soft, task.sample(5, seed=1)):
        with pytest.raises(TypeError, match="unhashable"):
            hash(thing)


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


def test_a_tasks_law_cannot_be_edited(backend):
    task = scb.SCB.random(3, 5, 2, backend=backend)
    if backend.name == "numpy":
        for array in (task._host_P, task._host_Q, task._host_mu):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0.5


def test_a_column_whose_cumulative_sum_passes_one_by_rounding():
    column = np.array([0.2, 0.4, 0.3, 0.1, 1e-17, 0.0])
    assert np.cumsum(column)[3] > 1  # what a sum in order makes of it
    cdf = distribution_function(column)
    np.testing.assert_array_equal(cdf[3:], 1.0)
    np.testing.assert_allclose(cdf[:3], [0.2, 0.6, 0.9], rtol=1e-15)
    short = distribution_function(np.full(10, 0.1))
    assert np.cumsum(np.full(10, 0.1))[-1] < 1
    assert short[-1] == 1.0
    assert not short.flags.writeable


@pytest.mark.parametrize(("free", "refused"), [(None, False), (2**28, False), (2**28 - 1, True)])
def test_a_batch_may_take_all_memory_and_no_more(free, refused):
    class Machine(Backend):
        def free_memory(self):
            return free

    numpy = get_backend("numpy")
    task = scb.SCB(P, Q, backend=Machine(**{f.name: getattr(numpy, f.name) for f in dataclasses.fields(Backend)}))
    assert task.sample_bytes == 4
    memory.check_batch(task, 2**26 - 1)  # too small to ask for
    with pytest.raises(InvalidArgument, match="GiB for its tokens") if refused else contextlib.nullcontext():
        memory.check_batch(task, 2**26)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda task: pickle.loads(pickle.dumps(task))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_copied_or_pickled_task_is_the_task(again, dtype):
    task = scb.SCB.random(4, 7, 2, seed=3, dtype=dtype)
    other = again(task)
    assert other is not task
    assert other.backend.dtype == task.backend.dtype
    for name in ("P", "Q", "mu"):
        np.testing.assert_array_equal(getattr(other, name), getattr(task, name))
    assert other.sample(50, seed=1) == task.sample(50, seed=1)
