"""What a task samples: the same bits everywhere, and exactly the law of claim M1."""

import itertools
import re

import numpy as np
import pytest
from scipy.stats import chi2, chi2_contingency, chisquare

import scbtheory as scb
from scbtheory.errors import InvalidArgument
from scbtheory.kernels.compiled import invert

P = np.array([[0.5, 0.2, 0.0], [0.5, 0.2, 0.3], [0.0, 0.6, 0.7]])
Q = np.array([[0.0, 0.25, 1.0], [0.4, 0.0, 0.0], [0.6, 0.5, 0.0], [0.0, 0.25, 0.0]])
UNLIKELY = 1e-4  # seeds are fixed, so a law that holds passes for ever


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


@pytest.mark.parametrize(
    ("value", "says"), [(1.5, "1.5"), (True, "True"), (-1, "-1"), (2**38 - 1, f"and below {2**38 - 1}")]
)
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


@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-53], ids=["smallest", "largest"])
def test_the_extreme_uniform_numbers_choose_only_what_is_possible(monkeypatch, u):
    support = np.array([[0, 0.1], *[[0.1, 0.1]] * 9, [0.1, 0], [0, 0]])  # ten 0.1s add up below 1
    task = scb.SCB([[0, 0.5], [1, 0.5]], support)
    monkeypatch.setattr(
        "scbtheory.task.choose",
        lambda stream, index, tables, which: invert(tables, which, np.full(len(index), u)),
    )
    batch = task.sample(1, seed=0)
    k, t, o = (int(x[0]) for x in (batch.trigger, batch.position, batch.output))
    assert (k, t) == ((0, 1) if u == 0 else (1, 9))
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
