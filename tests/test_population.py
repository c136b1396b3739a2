import itertools

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import scbtheory as scb
from scbtheory import population
from scbtheory.errors import ShapeMismatch

SMALL = pytest.mark.parametrize(("N", "T"), [(2, 1), (2, 2), (2, 3), (3, 2), (3, 3)])
LARGER = pytest.mark.parametrize(("N", "T", "s"), [(2, 9, 1), (4, 30, 3), (7, 100, 2)])


def setting(N, T, s=None, backend="numpy", *, admissible=False):
    task = scb.SCB.random(N, T, s or min(2, T), seed=5, backend=backend)
    theta = scb.Parameters.random(task, seed=6, admissible=admissible)
    return task, theta


def host(task, *arrays):
    return [task.backend.to_numpy(x).astype(float) for x in arrays]


def law(task):
    """Every (context, trigger, position) with its probability, and the output's law."""
    P, Q, mu = task._host_P, task._host_Q, host(task, task.mu)[0]
    N, T = task.vocab_size, task.context_length
    cases = list(itertools.product(itertools.product(range(N), repeat=T), range(N), range(T)))
    X = np.array([np.eye(N)[:, list(x)] for x, _, _ in cases])
    k = np.array([k for _, k, _ in cases])
    weight = np.array([mu[list(x)].prod() * mu[k] * Q[t, k] for x, k, t in cases])
    return X, k, weight, np.array([P[:, x[t]] for x, _, t in cases])


def enumerated_loss(task, A, V):
    """``½ E|x_o - V X a|²``, summed over every context, trigger, position and output."""
    X, k, weight, outputs = law(task)
    f = anp.einsum("nm,cmt,tc->cn", V, X, A[:, k])
    total = 0.0
    for o in range(task.vocab_size):
        residual = np.eye(task.vocab_size)[o] - f
        total = total + anp.sum(weight * outputs[:, o] * anp.sum(residual**2, axis=1))
    return total / 2


# ---------------------------------------------------------------- loss


@SMALL
@pytest.mark.parametrize("admissible", [False, True])
def test_G2_the_loss_is_the_sum_over_every_sample(backend, agree, N, T, admissible):
    task, theta = setting(N, T, backend=backend, admissible=admissible)
    agree(backend, population.loss(task, theta), enumerated_loss(task, *host(task, theta.A, theta.V)))


@LARGER
def test_G2_the_loss_is_the_formula_with_its_matrices(backend, agree, N, T, s):
    task, theta = setting(N, T, s, backend)
    A, V, P, Q, mu = host(task, theta.A, theta.V, task.P, task.Q, task.mu)
    C, by_trigger = np.diag(mu) - np.outer(mu, mu), []
    for a, q in zip(A.T, Q.T, strict=True):
        M_aa = a @ a * C + a.sum() ** 2 * np.outer(mu, mu)
        M_qa = q @ a * C + a.sum() * np.outer(mu, mu)
        by_trigger.append(1 - 2 * np.trace(V.T @ P @ M_qa) + np.trace(V.T @ V @ M_aa))
    agree(backend, population.loss(task, theta), mu @ by_trigger / 2)


def test_M2_the_bayes_loss_is_its_formula(backend, agree):
    task, _ = setting(3, 4, backend=backend)
    P, Q, mu = host(task, task.P, task.Q, task.mu)
    K_P = (P**2).sum(axis=0) @ mu - mu @ mu
    agree(backend, population.bayes_loss(task), (1 - mu @ mu - (Q**2).sum(axis=0) @ mu * K_P) / 2)


@LARGER
def test_M2_the_bayes_loss_is_the_loss_at_the_truth(backend, agree, N, T, s):
    task, _ = setting(N, T, s, backend)
    agree(backend, population.bayes_loss(task), population.loss(task, scb.Parameters.truth(task)))


@SMALL
def test_M2_the_bayes_loss_is_that_of_the_conditional_mean(N, T):
    task, _ = setting(N, T)
    X, k, weight, outputs = law(task)
    f = np.einsum("nm,cmt,tc->cn", task.P, X, task.Q[:, k])
    squares = 1 - 2 * (outputs * f).sum(axis=1) + (f**2).sum(axis=1)
    assert population.bayes_loss(task) == pytest.approx(weight @ squares / 2, rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [1e-3, 1.0])
def test_M2_no_other_parameters_have_a_lower_loss(seed, size):
    task, _ = setting(3, 6)
    moved = scb.Parameters.truth(task) + size * scb.Parameters.random(task, seed=seed)
    assert population.loss(task, moved) > population.bayes_loss(task) + 1e-8 * size


# ---------------------------------------------------------------- gradients


@SMALL
def test_G3_G4_the_gradient_is_autograds_of_the_sum_over_every_sample(backend, agree, N, T):
    task, theta = setting(N, T, backend=backend)
    gradient = population.gradient(task, theta)
    by_A, by_V = autograd.grad(lambda p: enumerated_loss(task, *p))(tuple(host(task, theta.A, theta.V)))
    agree(backend, gradient.A, by_A)
    agree(backend, gradient.V, by_V)


@LARGER
def test_G3_G4_the_gradient_is_autograds_of_G2(backend, agree, N, T, s):
    task, theta = setting(N, T, s, backend)
    A, V, P, Q, mu = host(task, theta.A, theta.V, task.P, task.Q, task.mu)
    C, mean = np.diag(mu) - np.outer(mu, mu), np.outer(mu, mu)

    def loss(A, V):
        total = 0.0
        for k in range(N):
            a, q = A[:, k], Q[:, k]
            M_aa = anp.dot(a, a) * C + anp.sum(a) ** 2 * mean
            M_qa = anp.dot(q, a) * C + anp.sum(a) * mean
            cross = anp.trace(anp.dot(anp.dot(V.T, P), M_qa))
            total = total + mu[k] * (1 - 2 * cross + anp.trace(anp.dot(anp.dot(V.T, V), M_aa)))
        return total / 2

    gradient = population.gradient(task, theta)
    agree(backend, gradient.A, autograd.grad(loss, 0)(A, V))
    agree(backend, gradient.V, autograd.grad(loss, 1)(A, V))


@pytest.mark.parametrize("name", ["A", "V"])
def test_the_loss_is_quadratic_and_its_central_differences_are_the_gradient(name):
    task, theta = setting(4, 30, 3)
    direction = scb.Parameters.random(task, seed=9)
    other = "V" if name == "A" else "A"
    along = scb.Parameters(**{name: getattr(direction, name), other: 0 * getattr(theta, other)})
    slope = (population.loss(task, theta + along) - population.loss(task, theta - along)) / 2
    gradient = population.gradient(task, theta)
    assert slope == pytest.approx((getattr(gradient, name) * getattr(along, name)).sum(), rel=1e-10)


@LARGER
def test_both_gradients_vanish_at_the_truth(backend, agree, N, T, s):
    task, _ = setting(N, T, s, backend)
    for of in (population.gradient, population.projected_gradient):
        gradient = of(task, scb.Parameters.truth(task))
        agree(backend, gradient.A, np.zeros((T, N)))
        agree(backend, gradient.V, np.zeros((N, N)))


@LARGER
def test_project_is_its_two_matrix_products_at_any_parameters(backend, agree, N, T, s):
    task, theta = setting(N, T, s, backend)
    plain = population.gradient(task, theta)
    mu, A, V = host(task, task.mu, plain.A, plain.V)
    for step in (population.project(task, plain), population.projected_gradient(task, theta)):
        agree(backend, step.A, (np.eye(T) - np.ones((T, T)) / T) @ A / mu)
        agree(backend, step.V, V @ np.diag(1 / mu) @ (np.eye(N) - np.outer(mu, np.ones(N))))


def G5(task, theta):
    """The closed forms of G5, written out."""
    A, V, P, Q, mu = host(task, theta.A, theta.V, task.P, task.Q, task.mu)
    T, N = A.shape

    def inner(M, R):
        return sum(mu[k] * (M[:, k] @ R[:, k]) for k in range(N))

    of_V, of_A = inner(V, V) - mu @ mu, inner(V, P) - mu @ mu
    return {
        "A": of_V * (A - 1 / T) - of_A * (Q - 1 / T),
        "V": inner(A, A) * (V - mu[:, None]) - inner(Q, A) * (P - mu[:, None]),
    }


@LARGER
def test_G5_the_projected_gradient_is_its_closed_form_on_the_constraint_set(backend, agree, N, T, s):
    task, theta = setting(N, T, s, backend, admissible=True)
    step = population.projected_gradient(task, theta)
    for name, closed in G5(task, theta).items():
        agree(backend, getattr(step, name), closed)


@LARGER
def test_G5_a_step_stays_in_the_constraint_set_and_moves(backend, agree, N, T, s):
    task, theta = setting(N, T, s, backend, admissible=True)
    step = population.projected_gradient(task, theta)
    after = theta - 0.3 * step
    agree(backend, backend.xp.sum(after.A, axis=0), np.ones(N))
    agree(backend, backend.xp.sum(after.V, axis=0), np.ones(N))
    agree(backend, after.V @ task.mu, host(task, task.mu)[0])
    assert min(np.abs(x).max() for x in host(task, step.A, step.V)) > 1e-2


@pytest.mark.parametrize("constraint", ["A", "V"])
def test_G5_the_closed_form_needs_its_constraints(constraint):
    task, theta = setting(3, 8, admissible=True)
    broken = scb.Parameters(theta.A + 0.1 * (constraint == "A"), theta.V + (constraint == "V"))
    step = population.projected_gradient(task, broken)
    assert np.abs(getattr(step, constraint) - G5(task, broken)[constraint]).max() > 1e-2


def test_steps_along_the_projected_gradient_lower_the_loss():
    task, theta = setting(3, 20, admissible=True)
    losses = []
    for _ in range(60):
        losses.append(population.loss(task, theta))
        theta = theta - 0.1 * population.projected_gradient(task, theta)
    assert (np.diff(losses) < 0).all()
    assert losses[-1] >= population.bayes_loss(task)


# ---------------------------------------------------------------- moments and curvature


@SMALL
def test_G1_the_second_moment_is_the_sum_over_every_context(backend, agree, N, T):
    task, theta = setting(N, T, backend=backend)
    (a, b), mu = host(task, theta.A[:, 0], theta.A[:, 1]), host(task, task.mu)[0]
    expected = np.zeros((N, N))
    for x in itertools.product(range(N), repeat=T):
        X = np.eye(N)[:, list(x)]
        expected += mu[list(x)].prod() * np.outer(X @ a, X @ b)
    agree(backend, population.second_moment(task, theta.A[:, 0], theta.A[:, 1]), expected)


@pytest.mark.parametrize(("N", "T"), [(2, 2), (3, 7), (4, 12)])
def test_G7_the_curvatures_are_the_eigenvalues_of_the_numerical_hessian(backend, agree, N, T):
    task, theta = setting(N, T, backend=backend)
    bulk, top = population.attention_curvature(task, theta.V)
    made = np.zeros((N, T))
    zero = 0 * theta.V
    for k in range(N):
        hessian = np.zeros((T, T))
        for t in range(T):
            nudge = np.zeros((T, N))
            nudge[t, k] = 1
            along = scb.Parameters(backend.asarray(nudge), zero)
            change = population.gradient(task, theta + along) - population.gradient(task, theta)
            hessian[:, t] = host(task, change.A)[0][:, k]
        made[k] = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    agree(backend, top, made[:, -1])
    agree(backend, bulk, made[:, :-1].mean(axis=1))
    np.testing.assert_allclose(made[:, :-1], made[:, :1] + 0 * made[:, :-1], atol=1e-5)


def test_G7_plain_descent_on_attention_diverges_just_above_its_bound_and_not_below():
    task, theta = setting(3, 40)
    bound = 2 / population.attention_curvature(task, theta.V)[1].max()
    final = {}
    for factor in (0.9, 1.1):
        A = theta.A
        for _ in range(300):
            gradient = population.gradient(task, scb.Parameters(A, theta.V))
            A = A - factor * bound * gradient.A
        final[factor] = population.loss(task, scb.Parameters(A, theta.V))
    start = population.loss(task, theta)
    assert final[0.9] < start < 1e6 * start < final[1.1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda task, theta: population.second_moment(task, theta.A[:, 0], theta.A[1:, 0]), "b has shape"),
        (lambda task, theta: population.project(task, scb.Parameters(theta.A.T, theta.V)), "A has shape"),
        (lambda task, theta: population.attention_curvature(task, theta.V[:, 1:]), "V has shape"),
    ],
)
def test_arrays_of_another_shape_are_errors(call, message):
    with pytest.raises(ShapeMismatch, match=message):
        call(*setting(4, 9, 2))


# ---------------------------------------------------------------- precision


@LARGER
def test_single_precision_stays_close_to_double_and_is_not_double(N, T, s):
    task, theta = setting(N, T, s)
    single = task.on(dtype="float32")
    small = scb.Parameters.random(single, seed=6)
    assert population.loss(single, small) == pytest.approx(population.loss(task, theta), rel=1e-5)
    for of in (population.gradient, population.projected_gradient):
        for name in ("A", "V"):
            x, y = getattr(of(single, small), name), getattr(of(task, theta), name)
            assert x.dtype == np.float32
            assert 0 < np.abs(x - y).max() < 1e-5 * np.abs(y).max()
