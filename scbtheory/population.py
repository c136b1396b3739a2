r"""The exact population loss, its gradients and its curvature (claims G1 to G5, G7, M2).

Everything depends on attention only through the power sums :math:`p_{ij}(k) = \sum_t (a_t^{(k)})^i (q_t^{(k)})^j`,
so the cost is that of reading A once: no expectation over contexts is ever sampled.
"""

from __future__ import annotations

from scbtheory.model import M, Model, Parameters, check, check_array, forward
from scbtheory.task import SCB

__all__ = ["attention_curvature", "bayes_loss", "gradient", "loss", "project", "projected_gradient", "second_moment"]


def __dir__():
    return sorted(__all__)  # what Tab shows


def second_moment(task: SCB, a, b):
    r"""G1: :math:`E[Xa(Xb)^\top] = \langle a,b\rangle C + (1^\top a)(1^\top b)\,\mu\mu^\top`, (N, N); a, b are (T,).

    Parameters
    ----------
    task : a task; its :math:`\mu` and T are read.
    a, b : (T,) weights of the positions, of any sign, on the task's backend.

    Returns
    -------
    array
        (N, N), on the task's backend.

    Raises
    ------
    MixedBackends : a or b is of another array library, device or precision than the task.
    ShapeMismatch : a or b is not (T,).
    """
    for name, vector in (("a", a), ("b", b)):
        check_array(task, name, vector, (task.context_length,))
    xp = task.backend.xp
    return xp.sum(a * b) * task.C + xp.sum(a) * xp.sum(b) * _outer(task.mu, task.mu)


def loss(task: SCB, theta: Model) -> float:
    r"""G2: :math:`\ell = \frac12\sum_k \mu_k[1 - 2\,\mathrm{tr}(V^\top P M_{qa}) + \mathrm{tr}(V^\top V M_{aa})]`.

    Parameters
    ----------
    task : a task.
    theta : a model on the task's backend, at its precision.

    Returns
    -------
    float
        The expected :math:`\frac12\|x_o - f\|^2`, at least :func:`bayes_loss`.

    Raises
    ------
    MixedBackends : ``theta`` is of another array library, device or precision than the task.
    ShapeMismatch : ``theta`` has other sizes than the task.
    """
    linear, _ = forward(task, theta)
    p10, p11, p20 = _power_sums(task, linear.A)
    by_trigger = (
        1
        - 2 * (p11 * _spread(task, linear.V, task.P) + p10 * _mean(task, linear.V, task.P))
        + p20 * _spread(task, linear.V, linear.V)
        + p10**2 * _mean(task, linear.V, linear.V)
    )
    return 0.5 * float(task.backend.xp.sum(task.mu * by_trigger))


def bayes_loss(task: SCB) -> float:
    r"""M2: the least possible loss, :math:`\frac12(1 - \|\mu\|^2 - \|Q\|_\mu^2 K_P)`.

    Parameters
    ----------
    task : a task.

    Returns
    -------
    float
        In the units of :func:`loss`, from 0 to below 1/2; 0 just when the context settles the output.
    """
    return 0.5 * (1 - float(task.backend.xp.sum(task.mu**2)) - task.inner(task.Q, task.Q) * task.K_P)


def gradient(task: SCB, theta: M) -> M:
    r"""Return the plain gradients, pulled back to the model's parameters.

    G3: :math:`\nabla_V\ell = \sum_k \mu_k (V M_{aa} - P M_{qa})`; G4: :math:`\nabla_{a^{(k)}}\ell = \mu_k
    [\mathrm{tr}(V^\top VC)\,a + \|V\mu\|^2 (1^\top a) 1 - \mathrm{tr}(V^\top PC)\,q - (\mu^\top V^\top P\mu) 1]`.

    Parameters
    ----------
    task : a task.
    theta : a model on the task's backend, at its precision.

    Returns
    -------
    Model
        The gradient of :func:`loss` in each of theta's arrays, of theta's type.

    Raises
    ------
    MixedBackends : ``theta`` is of another array library, device or precision than the task.
    ShapeMismatch : ``theta`` has other sizes than the task.
    """
    linear, pull_back = forward(task, theta)
    return pull_back(_plain(task, linear))


def _plain(task, theta):
    """The gradients in attention and value."""
    xp = task.backend.xp
    p10, p11, p20 = _power_sums(task, theta.A)
    averages = [xp.sum(task.mu * p) for p in (p20, p10**2, p11, p10)]
    mu_mu = _outer(task.mu, task.mu)
    gradient_V = theta.V @ (averages[0] * task.C + averages[1] * mu_mu) - task.P @ (
        averages[2] * task.C + averages[3] * mu_mu
    )
    constant = _mean(task, theta.V, theta.V) * p10 - _mean(task, theta.V, task.P)
    gradient_A = _spread(task, theta.V, theta.V) * theta.A - _spread(task, theta.V, task.P) * task.Q + constant[None, :]
    return Parameters(gradient_A * task.mu[None, :], gradient_V)


def project(task: SCB, plain: Parameters) -> Parameters:
    r"""Precondition and project plain gradients.

    :math:`G_V = \nabla_V D^{-1}(I - \mu 1^\top)` and :math:`G_{a^{(k)}} = (I - 11^\top/T)\nabla_{a^{(k)}}/\mu_k`.

    Parameters
    ----------
    task : a task; its :math:`\mu` is read.
    plain : gradients in ``A`` (T, N) and ``V`` (N, N), on the task's backend.

    Returns
    -------
    Parameters
        Of the same shapes; columns of ``A`` sum to 0, and ``V`` times :math:`\mu` is 0.

    Raises
    ------
    MixedBackends : ``plain`` is of another array library, device or precision than the task.
    ShapeMismatch : ``plain`` has other sizes than the task.
    """
    check(task, plain)
    xp = task.backend.xp
    A = (plain.A - xp.mean(plain.A, axis=0, keepdims=True)) / task.mu[None, :]
    return Parameters(A, plain.V / task.mu[None, :] - xp.sum(plain.V, axis=1, keepdims=True))


def projected_gradient(task: SCB, theta: M) -> M:
    r"""Return :func:`project` of the plain gradients in attention and value, pulled back to the model's parameters.

    On :math:`\{1^\top a^{(k)} = 1, 1^\top V = 1^\top, V\mu = \mu\}` they simplify to G5's
    :math:`\|A\|_\mu^2 (V - \mu 1^\top) - \langle Q,A\rangle_\mu P'` and
    :math:`(\|V\|_\mu^2 - \|\mu\|^2)(a^{(k)} - 1/T) - (\langle V,P\rangle_\mu - \|\mu\|^2)(q^{(k)} - 1/T)`,
    and a step along them stays in that set.

    Parameters
    ----------
    task : a task.
    theta : a model on the task's backend, at its precision; admissible or not.

    Returns
    -------
    Model
        The direction in each of theta's arrays, of theta's type.

    Raises
    ------
    MixedBackends : ``theta`` is of another array library, device or precision than the task.
    ShapeMismatch : ``theta`` has other sizes than the task.
    """
    linear, pull_back = forward(task, theta)
    return pull_back(project(task, _plain(task, linear)))


def attention_curvature(task: SCB, V):
    r"""Eigenvalues of :math:`\nabla^2_{a^{(k)}}\ell = \mu_k[\mathrm{tr}(V^\top VC) I + \|V\mu\|^2 11^\top]`.

    Gradient descent on A needs steps below ``2 / max(top)``.

    Parameters
    ----------
    task : a task; its :math:`\mu` and T are read.
    V : (N, N) value, on the task's backend.

    Returns
    -------
    tuple of array
        ``(bulk, top)``, each (N,) and not negative: ``bulk[k]`` on the T - 1 directions that sum to zero, and
        ``top[k]`` along the constant vector.

    Raises
    ------
    MixedBackends : V is of another array library, device or precision than the task.
    ShapeMismatch : V is not (N, N).
    """
    check_array(task, "V", V, (task.vocab_size, task.vocab_size))
    bulk = task.mu * _spread(task, V, V)
    return bulk, bulk + task.mu * (task.context_length * _mean(task, V, V))


def _power_sums(task, A):
    """``p10, p11, p20``, each (N,)."""
    xp = task.backend.xp
    return xp.sum(A, axis=0), xp.sum(A * task.Q, axis=0), xp.sum(A * A, axis=0)


def _spread(task, V, W):
    """``tr(V'WC)``, what varies with the token."""
    return task.inner(V, W) - _mean(task, V, W)


def _mean(task, V, W):
    """``mu'V'W mu``, what a constant token frequency already gives."""
    return float(task.backend.xp.sum((V @ task.mu) * (W @ task.mu)))


def _outer(u, v):
    return u[:, None] * v[None, :]
