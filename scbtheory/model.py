r"""The one-layer linear transformer :math:`f(X, k; A, V) = V X a^{(k)}` and its minibatch gradients (G6).

The context enters only through the histogram :math:`z_b = X_b a^{(k_b)}`, so no one-hot array is
ever formed: a step costs two passes over the B x T tokens and a few products of N x N matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scbtheory.backend import same
from scbtheory.checks import below
from scbtheory.errors import InvalidArgument, MixedBackends, ShapeMismatch
from scbtheory.task import SCB, Batch

__all__ = ["Parameters", "minibatch_gradient", "minibatch_loss", "predict"]


@dataclass(frozen=True, eq=False)
class Parameters:
    """Attention ``A`` (T, N), one column a trigger, and value ``V`` (N, N); a vector space.

    Columns of ``A`` are contiguous in memory in what this package makes, for the token loops read columns.

    Gradients are Parameters too, so a step of descent reads ``theta - step_size * gradient``.
    """

    A: Any
    V: Any

    @classmethod
    def initial(cls, task: SCB) -> Parameters:
        r"""The start of training from scratch: :math:`A = 11^\top/T`, :math:`V = \mu 1^\top`."""
        A = np.full((task.vocab_size, task.context_length), 1 / task.context_length).T
        V = np.outer(task._host_mu, np.ones(task.vocab_size))
        return cls(task.backend.asarray(A), task.backend.asarray(V))

    @classmethod
    def truth(cls, task: SCB) -> Parameters:
        """The Bayes predictor's parameters, ``(A, V) = (Q, P)`` (claim M2)."""
        return cls(task.Q, task.P)

    @classmethod
    def random(cls, task: SCB, *, seed: int, admissible: bool = False) -> Parameters:
        r"""Gaussian parameters; ``admissible`` ones satisfy :math:`1^\top a = 1, 1^\top V = 1^\top, V\mu = \mu`."""
        rng = np.random.Generator(np.random.Philox(below("seed", seed, 2**64)))
        T, N, mu = task.context_length, task.vocab_size, task._host_mu
        A, V = rng.standard_normal((T, N)) / T**0.5, rng.standard_normal((N, N)) / N**0.5
        if admissible:
            A = A - A.mean(axis=0) + 1 / T
            V = V - V.mean(axis=0)
            V = V - np.outer(V @ mu, np.ones(N)) + np.outer(mu, np.ones(N))
        return cls(task.backend.asarray(np.asfortranarray(A)), task.backend.asarray(V))

    def __eq__(self, other) -> bool:
        return isinstance(other, Parameters) and same(self.A, other.A) and same(self.V, other.V)

    __hash__ = None  # equality looks at the arrays

    def __add__(self, other: Parameters) -> Parameters:
        return Parameters(self.A + other.A, self.V + other.V)

    def __sub__(self, other: Parameters) -> Parameters:
        return Parameters(self.A - other.A, self.V - other.V)

    def __mul__(self, factor: float) -> Parameters:
        factor = float(factor)  # a NumPy float64 would raise float32 parameters to float64
        return Parameters(self.A * factor, self.V * factor)

    __rmul__ = __mul__


def check(task: SCB, theta: Parameters, batch: Batch | None = None) -> None:
    """Refuse arrays of another shape, array library, device or (parameters) precision than the task's."""
    N, T = task.vocab_size, task.context_length
    check_array(task, "A", theta.A, (T, N))
    check_array(task, "V", theta.V, (N, N))
    if batch is not None:
        check_array(task, "batch.tokens", batch.tokens, (len(batch), T), real=False)
        for name in ("trigger", "output"):
            check_array(task, f"batch.{name}", getattr(batch, name), (len(batch),), real=False)
        if not batch.drawn:
            for name in ("tokens", "trigger", "output"):
                _check_range(task, f"batch.{name}", getattr(batch, name))


def _check_range(task, name, array):
    """Refuse tokens that are no whole numbers of this machine's byte order, or out of range."""
    xp, N = task.backend.xp, task.vocab_size
    if not xp.isdtype(array.dtype, "integral") or not getattr(array.dtype, "isnative", True):
        raise InvalidArgument(
            f"{name} has the type {array.dtype}; expected whole numbers in this machine's byte order, such as uint8"
        )
    low, high = (int(f(array)) for f in (xp.min, xp.max)) if 0 not in array.shape else (0, 0)
    if low < 0 or high >= N:
        raise InvalidArgument(f"{name} has entries from {low} to {high}; expected tokens from 0 to {N - 1}")


def check_array(task: SCB, name: str, array, shape: tuple[int, ...], *, real: bool = True) -> None:
    """Refuse one array of another shape, array library or device than the task's, or of another precision if real."""
    if type(array) is not type(task.mu):
        raise MixedBackends(
            f"{name} is a {type(array).__module__}.{type(array).__name__}, but the task computes with "
            f"{task.backend.name!r}; make it with task.backend.asarray"
        )
    if array.device != task.mu.device:
        raise MixedBackends(f"{name} is on {array.device}, but the task computes on {task.mu.device}")
    if real and array.dtype != task.mu.dtype:
        raise MixedBackends(
            f"{name} holds {array.dtype} numbers, but the task computes with {task.mu.dtype}; "
            "make it with task.backend.asarray, or the task with task.on(dtype=...)"
        )
    if array.shape != shape:
        raise ShapeMismatch(f"{name} has shape {array.shape}; this task expects {shape}")


def predict(task: SCB, theta: Parameters, batch: Batch):
    r"""Return the predictions :math:`V X_b a^{(k_b)}`, shape (B, N)."""
    check(task, theta, batch)
    return task.backend.kernels.histogram(task.backend, batch.tokens, batch.trigger, theta.A) @ theta.V.T


def minibatch_loss(task: SCB, theta: Parameters, batch: Batch) -> float:
    r"""Return :math:`\frac{1}{2B}\sum_b \|x_{o,b} - V X_b a^{(k_b)}\|^2`."""
    _, residual = _forward(task, theta, batch)
    return float(task.backend.xp.sum(residual * residual)) / (2 * len(batch))


def minibatch_gradient(task: SCB, theta: Parameters, batch: Batch, *, projected: bool = False) -> Parameters:
    r"""Return the gradient of the minibatch loss, or G6's preconditioned, projected estimator.

    With :math:`z_b = X_b a^{(k_b)}` and :math:`r_b = V z_b - x_{o,b}`, plain:
    :math:`\nabla_V = \overline{r_b z_b^\top}` and :math:`\nabla_{a^{(k)}} = \overline{1\{k_b=k\}\,(VX_b)^\top r_b}`.
    Projected: :math:`\hat G_V = \overline{r_b (z_b-\mu)^\top} D^{-1}` and
    :math:`\hat G_{a^{(k)}} = \mu_k^{-1}(I - 11^\top/T)\nabla_{a^{(k)}}`.
    """
    check(task, theta, batch)
    gradient_A, gradient_V = contributions(task, theta, batch, len(batch), projected=projected)
    return Parameters(centred(task, gradient_A) if projected else gradient_A, gradient_V)


def contributions(task, theta, batch, size, *, projected, mu=None):
    r"""Return what the samples of ``batch`` add to the gradients of one of ``size``, A's before it is centred.

    The one place that turns tokens into gradients. ``theta.A`` may have a row for each position of ``batch.tokens``
    rather than for each of the task. ``mu``: frequencies (N,) in place of the task's.
    """
    z = task.backend.kernels.histogram(task.backend, batch.tokens, batch.trigger, theta.A)
    table, into_V = tables(task, theta, z, batch.trigger, batch.output, size, projected=projected, mu=mu)
    return task.backend.kernels.accumulate(task.backend, batch.tokens, batch.trigger, table), into_V


def tables(task, theta, z, trigger, output, size, *, projected, mu=None):
    r"""Return what these samples of a batch of ``size`` add to its gradients.

    For ``A``, a table (samples, N): what each token of a sample adds to the column of its trigger, before
    the column is centred. For ``V``, the matrix itself. Where a frequency in ``mu`` is 0, nothing is added.
    """
    xp, mu = task.backend.xp, task.mu if mu is None else mu
    residual = residuals(task, theta, z, output)
    residual *= 1 / size  # in place, as below: these arrays can be as large as the tokens
    table = residual @ theta.V
    if not projected:
        return table, residual.T @ z
    divisor = xp.where(mu > 0, mu, xp.full_like(mu, np.inf))
    table /= xp.take(divisor, xp.astype(trigger, xp.int64))[:, None]
    return table, residual.T @ (z - mu[None, :]) / divisor[None, :]


def centred(task, columns):
    r"""Apply :math:`I - 11^\top/T` to the columns of an array, in that array where its library allows it."""
    columns -= task.backend.xp.mean(columns, axis=0, keepdims=True)
    return columns


def _forward(task, theta, batch):
    """Return ``z`` (B, N), the weighted histograms, and the residuals (B, N)."""
    check(task, theta, batch)
    z = task.backend.kernels.histogram(task.backend, batch.tokens, batch.trigger, theta.A)
    return z, residuals(task, theta, z, batch.output)


def residuals(task, theta, z, output):
    r"""Return :math:`V z_b - x_{o,b}`, (samples, N), from the histograms and outputs of some samples."""
    xp = task.backend.xp
    identity = xp.eye(task.vocab_size, dtype=task.backend.dtype, device=task.backend.device)
    residual = z @ theta.V.T
    residual -= xp.take(identity, xp.astype(output, xp.int64), axis=0)
    return residual
