import copy
import dataclasses
import pickle

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import scbtheory as scb
from scbtheory.errors import InvalidArgument, MixedBackends, ShapeMismatch
from scbtheory.model import check, minibatch_gradient, minibatch_loss, predict

SIZES = pytest.mark.parametrize(
    ("N", "T", "B"), [(2, 1, 1), (2, 3, 5), (3, 7, 20), (5, 4, 3)]
)  # the last has triggers that no sample shows


def setting(N, T, B, backend="numpy", *, admissible=False):
    """A task, parameters and a batch; and the same parameters and batch as host arrays."""
    task = scb.SCB.random(N, T, min(2, T), seed=1, backend=backend)
    theta = scb.Parameters.random(task, seed=2, admissible=admissible)
    batch = task.sample(B, seed=3)
    host = {name: task.backend.to_numpy(getattr(batch, name)).astype(int)
            for name in ("tokens", "trigger", "output")}  # fmt: skip
    A, V = (task.backend.to_numpy(x).astype(float) for x in (theta.A, theta.V))
    return task, theta, batch, A, V, host


def one_hot_predictions(A, V, host):
    """``V X a`` as it is written: with one-hot contexts."""
    X = np.eye(V.shape[0])[host["tokens"]]  # (B, T, N)
    return anp.einsum("nm,btm,tb->bn", V, X, A[:, host["trigger"]])


def one_hot_loss(A, V, host):
    residual = one_hot_predictions(A, V, host) - np.eye(V.shape[0])[host["output"]]
    return anp.sum(residual**2) / (2 * len(host["output"]))


def G6_by_loops(task, A, V, host):
    """G6's two formulas, one sample, one position and one token at a time."""
    N, T, B = task.vocab_size, task.context_length, len(host["output"])
    mu = task.backend.to_numpy(task.mu).astype(float)
    G_A, G_V = np.zeros((T, N)), np.zeros((N, N))
    for b in range(B):
        k, x = host["trigger"][b], host["tokens"][b]
        X = np.zeros((N, T))
        for t in range(T):
            X[x[t], t] = 1
        z = X @ A[:, k]
        r = V @ z
        r[host["output"][b]] -= 1
        for m in range(N):
            G_V[:, m] += r * (z[m] - mu[m]) / mu[m] / B
        G_A[:, k] += (np.eye(T) - np.ones((T, T)) / T) @ (V @ X).T @ r / mu[k] / B
    return G_A, G_V


@SIZES
def test_predictions_are_those_of_the_one_hot_model(backend, agree, N, T, B):
    task, theta, batch, A, V, host = setting(N, T, B, backend)
    agree(backend, predict(task, theta, batch), one_hot_predictions(A, V, host))


@SIZES
def test_the_minibatch_loss_is_that_of_the_one_hot_model(backend, agree, N, T, B):
    task, theta, batch, A, V, host = setting(N, T, B, backend)
    agree(backend, minibatch_loss(task, theta, batch), one_hot_loss(A, V, host))


@SIZES
def test_the_plain_gradient_is_autograds_of_the_one_hot_model(backend, agree, N, T, B):
    task, theta, batch, A, V, host = setting(N, T, B, backend)
    gradient = minibatch_gradient(task, theta, batch)
    by_A, by_V = autograd.grad(lambda p: one_hot_loss(p[0], p[1], host))((A, V))
    agree(backend, gradient.A, by_A)
    agree(backend, gradient.V, by_V)


@SIZES
def test_the_projected_gradient_is_G6_written_out(backend, agree, N, T, B):
    task, theta, batch, A, V, host = setting(N, T, B, backend)
    gradient = minibatch_gradient(task, theta, batch, projected=True)
    by_A, by_V = G6_by_loops(task, A, V, host)
    agree(backend, gradient.A, by_A)
    agree(backend, gradient.V, by_V)


@pytest.mark.parametrize(("N", "T"), [(2, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize("projected", [False, True])
def test_the_mean_over_every_possible_sample_is_the_population_gradient(N, T, projected):
    task, theta, *_ = setting(N, T, 1, admissible=True)
    A, V = np.zeros((T, N)), np.zeros((N, N))
    for *context, k, o in np.ndindex(*(N,) * (T + 2)):
        weight = task.mu[list(context)].prod() * task.mu[k]
        weight *= (task.P[o, context] * task.Q[:, k]).sum()  # M1
        tokens, one = np.array([context], np.uint8), lambda x: np.array([x], np.uint8)
        batch = scb.Batch(tokens, one(k), one(o), None)
        gradient = minibatch_gradient(task, theta, batch, projected=projected)
        A, V = A + weight * gradient.A, V + weight * gradient.V
    of = scb.population.projected_gradient if projected else scb.population.gradient
    np.testing.assert_allclose(A, of(task, theta).A, atol=1e-13)
    np.testing.assert_allclose(V, of(task, theta).V, atol=1e-13)


def test_the_minibatch_gradient_approaches_the_population_gradient():
    task, theta, batch, *_ = setting(3, 6, 40_000, admissible=True)
    for projected, of in [(False, "gradient"), (True, "projected_gradient")]:
        estimate = minibatch_gradient(task, theta, batch, projected=projected)
        error = estimate - getattr(scb.population, of)(task, theta)
        assert np.abs(error.A).max() < 0.05
        assert np.abs(error.V).max() < 0.05


def test_the_estimator_keeps_the_constraints_of_attention_and_the_mean_column_sums(backend, agree):
    task, theta, batch, *_ = setting(3, 7, 20, backend, admissible=True)
    step = minibatch_gradient(task, theta, batch, projected=True)
    agree(backend, backend.xp.sum(step.A, axis=0), np.zeros(3))
    agree(backend, backend.xp.sum(step.V, axis=0), np.zeros(3))


# ---------------------------------------------------------------- parameters


def test_parameters_are_a_vector_space(backend, agree):
    task, x, *_ = setting(3, 5, 1, backend)
    y = scb.Parameters.random(task, seed=8)
    total = x - 0.5 * y + y * 2.0
    for name in ("A", "V"):
        a, b = (backend.to_numpy(getattr(p, name)).astype(float) for p in (x, y))
        agree(backend, getattr(total, name), a + 1.5 * b)


@pytest.mark.parametrize("factor", [2, 2.0, np.float64(2), np.float32(2), np.int64(2)])
def test_a_factor_of_any_number_type_keeps_library_device_and_precision(backend, agree, factor):
    _, theta, _, A, V, _ = setting(3, 5, 1, backend)
    for doubled in (theta * factor, factor * theta):
        agree(backend, doubled.A, 2 * A)
        agree(backend, doubled.V, 2 * V)


def test_training_from_scratch_starts_at_uniform_attention_and_constant_value(backend, agree):
    task, *_ = setting(3, 5, 1, backend)
    theta, mu = scb.Parameters.initial(task), backend.to_numpy(task.mu)
    agree(backend, theta.A, np.full((5, 3), 1 / 5))
    agree(backend, theta.V, np.column_stack([mu, mu, mu]))


def test_truth_is_Q_and_P(backend, agree):
    task, *_ = setting(3, 5, 1, backend)
    theta = scb.Parameters.truth(task)
    agree(backend, theta.A, task._host_Q)
    agree(backend, theta.V, task._host_P)


def test_admissible_parameters_satisfy_all_three_constraints(backend, agree):
    task, theta, *_ = setting(4, 9, 1, backend, admissible=True)
    mu = backend.to_numpy(task.mu)
    agree(backend, backend.xp.sum(theta.A, axis=0), np.ones(4))
    agree(backend, backend.xp.sum(theta.V, axis=0), np.ones(4))
    agree(backend, theta.V @ task.mu, mu)
    assert np.abs(backend.to_numpy(theta.A) - 1 / 9).max() > 0.1
    assert np.abs(backend.to_numpy(theta.V) - mu[:, None]).max() > 0.1


def test_other_random_parameters_satisfy_none():
    task, theta, *_ = setting(4, 9, 1)
    assert np.abs(theta.V @ task.mu - task.mu).max() > 1e-3
    assert np.abs(theta.A.sum(axis=0) - 1).min() > 1e-3
    assert np.abs(theta.V.sum(axis=0) - 1).min() > 1e-3


def test_random_parameters_depend_on_their_seed_alone_and_on_no_backend(backend, agree):
    task = scb.SCB.random(3, 5, 2, seed=1)
    here = scb.Parameters.random(task, seed=4)
    there = scb.Parameters.random(task.on(backend), seed=4)
    agree(backend, there.A, here.A)
    agree(backend, there.V, here.V)
    assert not np.array_equal(here.A, scb.Parameters.random(task, seed=5).A)
    assert not np.array_equal(here.V, scb.Parameters.random(task, seed=5).V)


# ---------------------------------------------------------------- what is refused

USES = pytest.mark.parametrize(
    "use",
    [
        lambda task, theta, batch: check(task, theta),
        lambda task, theta, batch: predict(task, theta, batch),
        lambda task, theta, batch: minibatch_loss(task, theta, batch),
        lambda task, theta, batch: minibatch_gradient(task, theta, batch),
        lambda task, theta, batch: scb.population.loss(task, theta),
        lambda task, theta, batch: scb.population.gradient(task, theta),
        lambda task, theta, batch: scb.population.projected_gradient(task, theta),
    ],
    ids=["check", "predict", "loss", "gradient", "pop-loss", "pop-gradient", "pop-projected"],
)
BATCH_USES = pytest.mark.parametrize("use", [predict, minibatch_loss, minibatch_gradient])


@USES
@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("A", (3, 7), (7, 3)),
        ("A", (7,), (7, 3)),
        ("A", (1, 3), (7, 3)),
        ("V", (3, 4), (3, 3)),
        ("V", (1, 1), (3, 3)),
    ],
)
def test_parameters_of_another_shape_are_refused(use, name, shape, expected):
    task, theta, batch, *_ = setting(3, 7, 4)
    theta = scb.Parameters(**{"A": theta.A, "V": theta.V, name: np.zeros(shape)})
    with pytest.raises(ShapeMismatch) as caught:
        use(task, theta, batch)
    assert str(caught.value) == f"{name} has shape {shape}; this task expects {expected}"


@USES
@pytest.mark.parametrize("name", ["A", "V"])
def test_parameters_of_another_library_are_refused(strict, use, name):
    task, theta, batch, *_ = setting(3, 7, 4)
    other = strict.asarray(getattr(theta, name))
    mixed = scb.Parameters(**{"A": theta.A, "V": theta.V, name: other})
    with pytest.raises(MixedBackends, match=rf"^{name} is a array_api_strict.*'numpy'.*asarray$"):
        use(task, mixed, batch)


@USES
def test_parameters_on_another_device_are_refused(strict, use):
    task, theta, batch, *_ = setting(3, 7, 4, strict)
    elsewhere = strict.xp.asarray(theta.V, device=strict.xp.Device("CPU_DEVICE"))
    with pytest.raises(MixedBackends, match=r"V is on .*CPU_DEVICE.* computes on .*device1"):
        use(task, scb.Parameters(theta.A, elsewhere), batch)


@USES
def test_lists_are_not_taken_for_arrays(use):
    task, theta, batch, *_ = setting(3, 7, 4)
    with pytest.raises(MixedBackends, match=r"A is a builtins\.list"):
        use(task, scb.Parameters(theta.A.tolist(), theta.V), batch)


@BATCH_USES
@pytest.mark.parametrize("length", [1, 6, 8])
def test_a_batch_of_another_context_length_is_refused(use, length):
    task, theta, *_ = setting(3, 7, 4)
    other = scb.SCB.random(3, length, 1).sample(4, seed=0)
    with pytest.raises(ShapeMismatch, match=rf"tokens has shape \(4, {length}\).*expects \(4, 7\)"):
        use(task, theta, other)


@BATCH_USES
def test_a_batch_of_another_library_is_refused(strict, use):
    task, theta, batch, *_ = setting(3, 7, 4)
    with pytest.raises(MixedBackends, match=r"batch\.tokens is a array_api_strict.*'numpy'"):
        use(task, theta, task.on(strict).sample(4, seed=0))
    with pytest.raises(MixedBackends, match=r"A is a numpy\.ndarray.*'array_api_strict'"):
        use(task.on(strict), theta, batch)


@BATCH_USES
@pytest.mark.parametrize("name", ["trigger", "output"])
def test_a_batch_whose_parts_differ_in_length_is_refused(use, name):
    task, theta, batch, *_ = setting(3, 7, 4)
    parts = {n: getattr(batch, n) for n in ("tokens", "trigger", "output", "position")}
    parts[name] = parts[name][:3]
    with pytest.raises(ShapeMismatch, match="this task expects"):
        use(task, theta, scb.Batch(**parts))


def test_parameters_of_another_precision_are_an_error():
    task = scb.SCB.random(3, 8, 2, seed=0)
    single = task.on(dtype="float32")
    double_theta, single_theta = (scb.Parameters.random(t, seed=1) for t in (task, single))
    with pytest.raises(MixedBackends, match=r"A holds float32 numbers, but the task computes with float64; .*asarray"):
        scb.model.minibatch_gradient(task, single_theta, task.sample(3, seed=0))
    with pytest.raises(MixedBackends, match=r"V holds float64 numbers, but the task computes with float32"):
        scb.population.loss(single, scb.Parameters(single_theta.A, double_theta.V))


def test_random_parameters_have_columns_of_unit_length_on_average():
    task = scb.SCB.random(30, 200, 2, seed=0)
    theta = scb.Parameters.random(task, seed=3)
    assert (theta.A**2).sum(axis=0).mean() == pytest.approx(1, rel=0.1)
    assert (theta.V**2).sum(axis=0).mean() == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("name", ["tokens", "trigger", "output"])
@pytest.mark.parametrize("wrong", [-1, 3])
def test_entries_of_a_batch_that_are_no_tokens_are_refused(name, wrong):
    task = scb.SCB.random(3, 6, 2, seed=0)
    batch = task.sample(4, seed=1)
    array = getattr(batch, name).astype(np.int64)
    array.flat[-1] = wrong
    low, high = array.min(), array.max()
    with pytest.raises(InvalidArgument, match=rf"batch.{name} has entries from {low} to {high}; .* from 0 to 2"):
        scb.model.minibatch_loss(task, scb.Parameters.initial(task), dataclasses.replace(batch, **{name: array}))


@BATCH_USES
def test_a_batch_of_a_task_of_more_tokens_is_refused(use):
    task = scb.SCB.random(3, 50, 2, seed=0)
    with pytest.raises(InvalidArgument, match=r"batch.tokens has entries from 0 to 3; expected tokens from 0 to 2"):
        use(task, scb.Parameters.initial(task), scb.SCB.random(4, 50, 2, seed=0).sample(64, seed=1))


@pytest.mark.parametrize("name", ["tokens", "trigger", "output", "position"])
@pytest.mark.parametrize("draw", ["sample", "sample_at"])
def test_what_was_drawn_cannot_be_edited(draw, name):
    task = scb.SCB.random(3, 6, 2, seed=0)
    where = [np.zeros((1, 3), int)] if draw == "sample_at" else []
    batch = getattr(task, draw)(*where, 4, seed=1)
    with pytest.raises(ValueError, match="read-only"):
        getattr(batch, name)[:] = 255


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_a_copied_batch_can_be_edited_and_is_looked_at_again(copied):
    task = scb.SCB.random(3, 6, 2, seed=0)
    batch = copied(task.sample(4, seed=1))
    assert batch == task.sample(4, seed=1)
    batch.output[:] = 255
    with pytest.raises(InvalidArgument, match=r"batch.output has entries from 255 to 255"):
        scb.model.minibatch_gradient(task, scb.Parameters.initial(task), batch)
