r"""The one-layer transformer :math:`f(X, k; A, V) = V X a^{(k)}` and its minibatch gradients (G6).

The context enters only through the histogram :math:`z_b = X_b a^{(k_b)}`, so no one-hot array is
ever formed: a step costs two passes over the B x T tokens and a few products of N x N matrices.

A **model** is a set of parameters from which attention and value follow (:class:`Model`). The linear one is its own
attention and value (:class:`Parameters`); every gradient here and elsewhere is its gradient, pulled back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from scbtheory.backend import same
from scbtheory.checks import below, flag
from scbtheory.errors import InvalidArgument, MixedBackends, ShapeMismatch
from scbtheory.task import SCB, Batch

__all__ = ["Model", "Parameters", "minibatch_gradient", "minibatch_loss", "predict"]


def __dir__():
    return sorted(__all__)  # what Tab shows


M = TypeVar("M", bound="Model")


class Model:
    """A model's parameters: a ``dataclass(frozen=True, eq=False)`` of arrays that says :meth:`forward`.

    One of the arrays is the value matrix ``V`` (N, N), which takes its own step size.
    Gradients have the model's own type, so a step of descent reads ``theta - step_size * gradient``.
    """

    V: Any
    __dataclass_fields__: ClassVar[dict[str, Any]]  # each model is a dataclass

    def __post_init__(self) -> None:
        for name, x in vars(self).items():
            if isinstance(x, np.generic):  # NumPy's arithmetic makes it of an array of no dimension
                object.__setattr__(self, name, np.asarray(x))

    def forward(self, task: SCB) -> tuple[Parameters, Callable[[Parameters], Self]]:
        r"""Return the attention and value that this model computes with, and the pull-back of their gradients.

        Parameters
        ----------
        task : SCB
            Gives the sizes and the array library.

        Returns
        -------
        Parameters
            ``A`` (T, N) and ``V`` (N, N): the linear model that is the same function.
        callable
            From a gradient in these, the transposed Jacobian times it: a gradient in the model's own parameters, of
            its type and their shapes.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it computes attention and value")

    def linear(self, task: SCB) -> Parameters:
        """The parameters of the linear model that computes the same function."""
        return self.forward(task)[0]

    def arrays(self) -> dict[str, Any]:
        """The parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def moved(self, direction: Self, *, attention: float, value: float) -> Self:
        """``theta - value * direction`` for V, and for all else ``theta - attention * direction``."""
        rates = {name: value if name == "V" else attention for name in self.arrays()}
        return replace(self, **{n: getattr(self, n) - rate * getattr(direction, n) for n, rate in rates.items()})

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and all(same(x, getattr(other, name)) for name, x in self.arrays().items())

    __hash__ = None  # type: ignore[assignment]  # equality looks at the arrays

    def __add__(self, other: Self) -> Self:
        return replace(self, **{name: x + getattr(other, name) for name, x in self.arrays().items()})

    def __sub__(self, other: Self) -> Self:
        return replace(self, **{name: x - getattr(other, name) for name, x in self.arrays().items()})

    def __mul__(self, factor: float) -> Self:
        factor = float(factor)  # a NumPy float64 would raise float32 parameters to float64
        return replace(self, **{name: x * factor for name, x in self.arrays().items()})

    __rmul__ = __mul__


@dataclass(frozen=True, eq=False)
class Parameters(Model):
    """The linear model: attention ``A`` (T, N), one column a trigger, and value ``V`` (N, N); a vector space.

    Columns of ``A`` are contiguous in memory in what this package makes, for the token loops read columns.

    Parameters
    ----------
    A : (T, N) array; ``A[t, k]`` is the weight of position t for trigger k, of any sign.
    V : (N, N) array of the same library and precision; row n predicts output n.
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
        if flag("admissible", admissible):
            A = A - A.mean(axis=0) + 1 / T
            V = V - V.mean(axis=0)
            V = V - np.outer(V @ mu, np.ones(N)) + np.outer(mu, np.ones(N))
        return cls(task.backend.asarray(np.asfortranarray(A)), task.backend.asarray(V))

    def forward(self, task: SCB) -> tuple[Parameters, Callable[[Parameters], Parameters]]:
        """Itself; gradients are pulled back by doing nothing."""
        return self, lambda gradient: gradient


def check(task: SCB, theta: Parameters) -> None:
    """Refuse arrays of another shape, array library, device or (parameters) precision than the task's."""
    if not isinstance(theta, Parameters):
        raise InvalidArgument(f"theta is {_kind(theta)}; expected Parameters: attention A and value V")
    N, T = task.vocab_size, task.context_length
    check_array(task, "A", theta.A, (T, N))
    check_array(task, "V", theta.V, (N, N))


def check_batch(task: SCB, batch: Batch) -> None:
    """Refuse samples of another shape, array library or device than the task's, or with other tokens than it has."""
    if not isinstance(batch, Batch):
        raise InvalidArgument(f"batch is {_kind(batch)}; expected a Batch, such as task.sample(64, seed=0)")
    check_array(task, "batch.tokens", batch.tokens, (len(batch), task.context_length), real=False)
    for name in ("trigger", "output"):
        check_array(task, f"batch.{name}", getattr(batch, name), (len(batch),), real=False)
    if not 0 < batch.drawn <= task.vocab_size:  # compiled loops write where these numbers say
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
    _check_library(task, name, array, real=real)
    if array.shape != shape:
        raise ShapeMismatch(f"{name} has shape {array.shape}; this task expects {shape}")


def _check_library(task, name, array, *, real=True):
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


def forward(task: SCB, theta: M) -> tuple[Parameters, Callable[[Parameters], M]]:
    """Return ``theta.forward(task)``; refuse what :func:`check` refuses, and gradients that are not of theta's kind."""
    if not isinstance(theta, Model):
        raise InvalidArgument(f"theta is {_kind(theta)}; expected a model, such as Parameters.initial(task)")
    for name, array in theta.arrays().items():
        _check_library(task, name, array)  # before anything is computed from it
    passed = theta.forward(task)
    if not (isinstance(passed, tuple) and len(passed) == 2 and callable(passed[1])):
        raise InvalidArgument(
            f"what {type(theta).__name__}.forward returns is {_kind(passed)}; "
            "expected two: Parameters and the pull-back of their gradients"
        )
    linear, pull_back = passed
    check(task, linear)
    return linear, pull_back if type(theta) is Parameters else partial(_pulled_back, task, theta, pull_back)


def _pulled_back(task, theta, pull_back, gradient):
    """The pull-back's gradient; another type than theta's, or an array of another kind or shape, is refused."""
    found, kind = pull_back(gradient), type(theta).__name__
    if type(found) is not type(theta):
        raise InvalidArgument(f"what the pull-back of {kind} returns is {_kind(found)}; expected a {kind}")
    for name, array in theta.arrays().items():  # another shape would be broadcast, and trained with
        check_array(task, f"the pull-back's {name}", getattr(found, name), array.shape)
    return found


def _kind(value) -> str:
    """What a message calls something of a wrong kind, which may be too long to show."""
    return "None" if value is None else f"of type {type(value).__name__}"


def _some(task, batch):
    """Refuse what :func:`check_batch` refuses, and an empty batch: a mean is over at least one sample."""
    check_batch(task, batch)
    if not len(batch):
        raise InvalidArgument("the batch is empty; expected at least one sample to average over")


def predict(task: SCB, theta: Model, batch: Batch):
    r"""Return the predictions :math:`V X_b a^{(k_b)}`, shape (B, N).

    Parameters
    ----------
    task : a task.
    theta : a model on the task's backend, at its precision.
    batch : B samples on the same backend; their positions are not read.

    Returns
    -------
    array
        (B, N), on the task's backend; near probabilities for a trained model, but of any sign.

    Raises
    ------
    MixedBackends : an array is of another array library, device or (``theta`` only) precision than the task.
    ShapeMismatch : an array of ``theta`` or ``batch`` has another shape than the task asks for.
    InvalidArgument : theta is no model, the batch none, or not the task's own and its tokens no native whole numbers
        from 0 to N - 1.
    """
    linear, _ = forward(task, theta)
    check_batch(task, batch)
    if not len(batch):
        return linear.V[:0, :]
    return _histograms(task, linear, batch) @ linear.V.T


def minibatch_loss(task: SCB, theta: Model, batch: Batch) -> float:
    r"""Return :math:`\frac{1}{2B}\sum_b \|x_{o,b} - V X_b a^{(k_b)}\|^2`.

    Parameters
    ----------
    task : a task.
    theta : a model on the task's backend, at its precision.
    batch : B samples on the same backend, at least one; their positions are not read.

    Returns
    -------
    float
        At least 0; its mean over batches is :func:`scbtheory.population.loss`.

    Raises
    ------
    MixedBackends : an array is of another array library, device or (``theta`` only) precision than the task.
    ShapeMismatch : an array of ``theta`` or ``batch`` has another shape than the task asks for.
    InvalidArgument : theta is no model, the batch none or empty, or not the task's own and its tokens no native whole
        numbers from 0 to N - 1.
    """
    linear, _ = forward(task, theta)
    _some(task, batch)
    residual = residuals(task, linear, _histograms(task, linear, batch), batch.output)
    return float(task.backend.xp.sum(residual * residual)) / (2 * len(batch))


def minibatch_gradient(task: SCB, theta: M, batch: Batch, *, projected: bool = False) -> M:
    r"""Return the gradient of the minibatch loss, or G6's preconditioned, projected estimator.

    With :math:`z_b = X_b a^{(k_b)}` and :math:`r_b = V z_b - x_{o,b}`, plain:
    :math:`\nabla_V = \overline{r_b z_b^\top}` and :math:`\nabla_{a^{(k)}} = \overline{1\{k_b=k\}\,(VX_b)^\top r_b}`.
    Projected: :math:`\hat G_V = \overline{r_b (z_b-\mu)^\top} D^{-1}` and
    :math:`\hat G_{a^{(k)}} = \mu_k^{-1}(I - 11^\top/T)\nabla_{a^{(k)}}`. Both are then pulled back.

    Parameters
    ----------
    task : a task.
    theta : a model on the task's backend, at its precision.
    batch : B samples on the same backend, at least one; their positions are not read.
    projected : whether to return G6's estimator, and not the plain gradient.

    Returns
    -------
    Model
        The gradient in each of theta's arrays, of theta's type.

    Raises
    ------
    MixedBackends : an array is of another array library, device or (``theta`` only) precision than the task.
    ShapeMismatch : an array of ``theta`` or ``batch`` has another shape than the task asks for.
    InvalidArgument : theta is no model, the batch none or empty, or not the task's own and its tokens no native whole
        numbers from 0 to N - 1; or ``projected`` is neither True nor False.
    """
    linear, pull_back = forward(task, theta)
    _some(task, batch)
    projected = flag("projected", projected)
    gradient_A, gradient_V = contributions(task, linear, batch, len(batch), projected=projected)
    return pull_back(Parameters(centred(task, gradient_A) if projected else gradient_A, gradient_V))


def contributions(task, theta, batch, size, *, projected, mu=None, column=None):
    r"""Return what the samples of ``batch`` add to the gradients of one of ``size``, A's before it is centred.

    The one place that turns tokens into gradients. ``theta.A`` may have a row for each position of ``batch.tokens``
    rather than for each of the task. ``mu``: frequencies (N,) in place of the task's. For R models at once
    ``theta.A`` is (T, R N) and ``theta.V`` (R, N, N); the samples are sorted by model, equally many of each, and
    ``column`` (B,) says which column of A each of them reads.
    """
    loops = task.backend.kernels
    if column is None and batch.drawn and hasattr(loops, "small_gradient"):
        frequencies = task.mu if mu is None else mu
        found = loops.small_gradient(batch.tokens, batch.trigger, batch.output, theta, size, frequencies, projected)
        if found is not None:
            return found
    column = batch.trigger if column is None else column
    z = _histograms(task, theta, batch, column)
    table, into_V = tables(task, theta, z, batch.trigger, batch.output, size, projected=projected, mu=mu)
    table = task.backend.xp.reshape(table, (-1, task.vocab_size))
    return loops.accumulate(task.backend, batch.tokens, column, table, n_triggers=theta.A.shape[1]), into_V


def _histograms(task, theta, batch, column=None):
    r"""The :math:`z_b`, (B, N); for R models (R, B, N) of their B samples each."""
    xp, N, column = task.backend.xp, task.vocab_size, batch.trigger if column is None else column
    z = task.backend.kernels.histogram(task.backend, batch.tokens, column, theta.A, n_codes=N)
    return xp.reshape(z, (*theta.V.shape[:-2], -1, N))


def tables(task, theta, z, trigger, output, size, *, projected, mu=None):
    r"""Return what these samples of a batch of ``size`` add to its gradients.

    For ``A``, a table (samples, N): what each token of a sample adds to the column of its trigger, before
    the column is centred. For ``V``, the matrix itself. Where a frequency in ``mu`` is 0, nothing is added.
    For R models at once all have R as their first dimension, and trigger and output hold the samples of all.
    """
    xp, mu = task.backend.xp, task.mu if mu is None else mu
    residual = residuals(task, theta, z, output)
    residual *= 1 / size  # in place, as below: these arrays can be as large as the tokens
    table = residual @ theta.V
    if not projected:
        return table, xp.matrix_transpose(residual) @ z
    divisor = xp.where(mu > 0, mu, xp.full_like(mu, np.inf))
    table /= xp.reshape(xp.take(divisor, xp.astype(trigger, xp.int64)), (*z.shape[:-1], 1))
    return table, xp.matrix_transpose(residual) @ (z - mu) / divisor


def centred(task, columns):
    r"""Apply :math:`I - 11^\top/T` to the columns of an array, in that array where its library allows it."""
    columns -= task.backend.xp.mean(columns, axis=0, keepdims=True)
    return columns


def residuals(task, theta, z, output):
    r"""Return :math:`V z_b - x_{o,b}`, of z's shape, from the histograms and outputs of some samples."""
    xp = task.backend.xp
    identity = xp.eye(task.vocab_size, dtype=task.backend.dtype, device=task.backend.device)
    residual = z @ xp.matrix_transpose(theta.V)
    residual -= xp.reshape(xp.take(identity, xp.astype(output, xp.int64), axis=0), z.shape)
    return residual
