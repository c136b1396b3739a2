r"""Thresholding: noise in T coordinates at the price of log T (claim N4).

A step of :math:`\ell_1`-regularised descent soft-thresholds the deviation :math:`A - 11^\top/T` and
re-centres it. At :math:`h_k = c\,\sigma_k\sqrt{2\log(TN)/B}`, in units of the gradient, of TN Gaussian
coordinates without signal about :math:`(TN)^{1-c^2}` pass: none from c = 1 on, a vanishing fraction below.
"""

from __future__ import annotations

import math
import warnings

from scipy.special import ndtr, ndtri

from scbtheory.backend import column_medians
from scbtheory.checks import positive, real
from scbtheory.dynamics import lift
from scbtheory.errors import InvalidArgument
from scbtheory.model import Parameters, check_array
from scbtheory.noise._attention import attention_noise_variance
from scbtheory.noise._checks import BatchTooSmall, correlated
from scbtheory.task import SCB


def universal_threshold(task: SCB, level, *, c: float = 1.0):
    r""":math:`h = c\,\sqrt{2\log(TN)}` times ``level``, the standard deviation of a coordinate's gradient.

    Parameters
    ----------
    task : the task; its T and N are read.
    level : a number from 0 on or an (N,) array, one a trigger, such as :func:`measured_noise` returns.
    c : factor, above 0; from 1 on hardly any coordinate without signal passes.

    Returns
    -------
    float or array
        Of the shape of ``level`` and in its unit, that of the gradient.

    Raises
    ------
    InvalidArgument : ``c`` is not a finite number above 0, or a level is not a finite number from 0 on.
    ShapeMismatch, MixedBackends : ``level`` is an array, but not (N,), or not of the task's library and precision.
    """
    level, c = _levels(task, "level", level), positive("c", c)
    return level * (c * math.sqrt(2 * math.log(task.context_length * task.vocab_size)))


def threshold(task: SCB, theta: Parameters, *, batch_size: float, c: float = 1.0):
    r"""N4: :math:`h_k = c\,\sigma_k\sqrt{2\log(TN)/B}` with N3's :math:`\sigma_k` at ``theta``, (N,).

    In units of the gradient: :func:`proximal_step` multiplies it by the step size.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    theta : ``A`` (T, N) and ``V`` (N, N).
    batch_size : B, above 0; need not be whole.
    c : factor, above 0; from 1 on hardly any coordinate without signal passes.

    Returns
    -------
    array
        (N,), one threshold a trigger, not negative.

    Raises
    ------
    InvalidArgument : ``batch_size`` or ``c`` is not a finite number above zero.
    ShapeMismatch, MixedBackends : ``theta`` does not belong to the task.

    Warns
    -----
    BatchTooSmall : some trigger has fewer than :math:`2\log(TN)` samples to expect in a batch. The tails of its
        mean are then not Gaussian as far out as the threshold lies.
    """
    size = positive("batch_size", batch_size)
    _warn_if_rare(task, size)
    return universal_threshold(task, (attention_noise_variance(task, theta) / size) ** 0.5, c=c)


def measured_noise(task: SCB, gradient_A):
    r"""The noise of a coordinate read off one step, (N,): median absolute deviation over :math:`\Phi^{-1}(3/4)`.

    Off the support the entries of the gradient are the noise, and they are most of it when :math:`s \ll T`; this
    estimates :math:`\sigma_k/\sqrt B` without knowing P or Q.

    Parameters
    ----------
    task : the task; only its sizes and its array library are read.
    gradient_A : (T, N), one batch's :math:`\hat G_A`.

    Returns
    -------
    array
        (N,), one standard deviation a trigger, in units of the gradient.

    Raises
    ------
    InvalidArgument : ``gradient_A`` is not finite.
    ShapeMismatch : ``gradient_A`` is not (T, N).
    MixedBackends : ``gradient_A`` is of another array library, device or precision than the task.
    """
    xp = task.backend.xp
    check_array(task, "gradient_A", gradient_A, (task.context_length, task.vocab_size))
    if not xp.all(xp.isfinite(gradient_A)):
        raise InvalidArgument("gradient_A has entries that are not finite")
    return column_medians(xp, xp.abs(gradient_A - column_medians(xp, gradient_A)[None, :])) / float(ndtri(0.75))


def proximal_step(task: SCB, A, gradient_A, *, step_size: float, threshold):
    r"""One step of proximal descent on A: soft-threshold the deviation from uniform, then re-centre; (T, N).

    With :math:`Y = A - \eta\hat G_A - 11^\top/T`: the deviation becomes
    :math:`\mathrm{sign}(Y)\max(|Y| - \eta h, 0)`, the minimiser of
    :math:`\frac12\|\cdot - Y\|^2 + \eta h\|\cdot\|_1`, less its mean over positions.

    Parameters
    ----------
    task : the task; only T and its array library are read.
    A, gradient_A : (T, N), the attention and a batch's :math:`\hat G_A` there.
    step_size : :math:`\eta`, above 0.
    threshold : :math:`h`, a number or an (N,) array, in units of the gradient.

    Returns
    -------
    array
        (T, N), the next attention; every column sums to 1.

    Raises
    ------
    InvalidArgument : ``step_size`` is not a finite number above 0, or a threshold is not a finite number from 0 on.
    ShapeMismatch : ``A`` or ``gradient_A`` is not (T, N), or ``threshold`` neither a number nor (N,).
    MixedBackends : an array is of another array library, device or precision than the task.
    """
    xp, size = task.backend.xp, positive("step_size", step_size)
    for name, array in (("A", A), ("gradient_A", gradient_A)):
        check_array(task, name, array, (task.context_length, task.vocab_size))
    threshold = _levels(task, "threshold", threshold)
    moved = A - gradient_A * size - 1 / task.context_length
    kept = xp.abs(moved) - threshold * size
    deviation = xp.sign(moved) * xp.where(kept > 0, kept, xp.zeros_like(kept))
    return deviation - xp.mean(deviation, axis=0, keepdims=True) + 1 / task.context_length


def _levels(task, name, value):
    """A level or threshold, or one for each trigger; refuse one that is below 0 or not finite."""
    low = high = value
    if getattr(value, "ndim", 0):
        check_array(task, name, value, (task.vocab_size,))
        low, high = (float(f(value)) for f in (task.backend.xp.min, task.backend.xp.max))
    if real(name, low) < 0 or real(name, high) < 0:
        raise InvalidArgument(f"{name} is {low:g} at the least; expected numbers from 0 on")
    return value


def passing(task: SCB, *, c: float = 1.0) -> float:
    r"""N4: of TN Gaussian coordinates without signal, how many exceed the threshold on average.

    :math:`2TN\,\Phi(-c\sqrt{2\log TN}) = \frac{(TN)^{1-c^2}}{c\sqrt{\pi\log TN}}(1 + O(1/\log TN))`.

    Parameters
    ----------
    task : the task; its T and N are read.
    c : factor of :func:`universal_threshold`, above 0.

    Returns
    -------
    float
        A mean number of coordinates, between 0 and TN.

    Raises
    ------
    InvalidArgument : ``c`` is not a finite number above 0.
    """
    count = task.context_length * task.vocab_size
    return 2 * count * float(ndtr(-universal_threshold(task, 1.0, c=c)))


def support_batch(task: SCB, alpha: float, beta: float, *, c: float = 1.0):
    r"""N4: the batch from which a step recovers each support, (N,): it grows like log T.

    At :math:`B_k = 2\log(TN)\,\sigma_k^2(1+c)^2/S_k^2` the smallest signal on the support,
    :math:`S_k = \beta K_P(1-\alpha\beta)(q_{min}^{(k)} - 1/T)`, exceeds the threshold by
    :math:`\sigma_k\sqrt{2\log(TN)/B}`. Its own deviation is larger than the :math:`\sigma_k/\sqrt B` off the
    support (:func:`attention_noise_variance` with ``exact``): about 1.1 times at N = 3, twice at N = 16.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    alpha, beta : the point of the plane where the batch is drawn.
    c : factor of :func:`threshold`, above 0.

    Returns
    -------
    array
        (N,), samples for each trigger's support, not rounded.

    Raises
    ------
    InvalidArgument : α or β is not finite, c is not above 0, K_Q or the signal vanishes, or Q has an entry in (0, 1/T].
    """
    signal, variance = _signal_and_noise(task, alpha, beta)
    cutoff = universal_threshold(task, 1.0, c=c)
    return variance * (cutoff * (1 + 1 / c)) ** 2 / signal**2


def unthresholded_batch(task: SCB, alpha: float, beta: float):
    r"""The batch at which the noise summed over T coordinates is as large as the signal, (N,): it grows like T.

    :math:`B_k = T\sigma_k^2 / \|\beta K_P(1-\alpha\beta)(q^{(k)} - 1/T)\|^2`, N3's remark.

    Parameters
    ----------
    task : the task; its P, Q and μ are read.
    alpha, beta : the point of the plane where the batch is drawn.

    Returns
    -------
    array
        (N,), samples for each trigger, not rounded.

    Raises
    ------
    InvalidArgument : α or β is not finite, K_Q or the signal vanishes, or Q has an entry in (0, 1/T].
    """
    xp = task.backend.xp
    _, variance = _signal_and_noise(task, alpha, beta)
    strength = float(beta) * task.K_P * (1 - float(alpha) * float(beta))
    spread = xp.sum((task.Q - 1 / task.context_length) ** 2, axis=0)
    return task.context_length * variance / (strength**2 * spread)


def _signal_and_noise(task, alpha, beta):
    """The smallest signal on each support and the variance of a coordinate, both (N,), on the plane of R."""
    correlated(task)
    alpha, beta = real("alpha", alpha), real("beta", beta)
    strength = beta * task.K_P * (1 - alpha * beta)
    if strength == 0:
        raise InvalidArgument(
            f"alpha is {alpha:g} and beta is {beta:g}: the signal βK_P(1-αβ) vanishes and no batch shows it"
        )
    xp = task.backend.xp
    smallest = xp.min(xp.where(task.Q > 0, task.Q, xp.ones_like(task.Q)), axis=0) - 1 / task.context_length
    if not float(xp.min(smallest)) > 0:
        raise InvalidArgument("a column of Q has an entry between 0 and 1/T: it does not stand out from uniform")
    return strength * smallest, attention_noise_variance(task, lift(task, alpha, beta))


def _warn_if_rare(task, size):
    rarest = size * float(task.backend.xp.min(task.mu))
    needed = 2 * math.log(task.context_length * task.vocab_size)
    if rarest < needed:
        warnings.warn(
            f"a batch of {size:g} has {rarest:.3g} samples of its rarest trigger on average; the threshold needs "
            f"{needed:.3g} for the noise to be Gaussian that far out",
            BatchTooSmall,
            stacklevel=3,
        )
