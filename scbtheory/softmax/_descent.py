r"""Training of the softmax model, and how alike two trained models are (claim X3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scbtheory.checks import correlation, rounding
from scbtheory.errors import InvalidArgument
from scbtheory.model import Parameters, check
from scbtheory.softmax._model import SoftmaxParameters, checked_scale, speed_factor
from scbtheory.task import SCB
from scbtheory.training import Stage, prominent

# --- training: X3 --------------------------------------------------------------------------------


@dataclass(frozen=True)
class SoftmaxDescent(Stage):
    r"""Projected SGD on the logits, a stage for :func:`scbtheory.training.train`, on the linear model's samples.

    :math:`w \leftarrow w - \eta\,\eta_A\,\mathrm{scale}\,J\hat G_a` and
    :math:`V \leftarrow V - \eta\,\eta_V \hat G_V`; the learner's attention is the softmax, positive from the start on.

    Parameters
    ----------
    batch_size : samples of a step.
    step_size : :math:`\eta`, above 0.
    eta_V, eta_A : positive weights of the two step sizes.
    scale : one of ``SCALES``, see :func:`speed_factor`.
    max_steps : steps after which the stage ends; by default none within reach.
    name : what the stage is called in a run's record.

    Raises
    ------
    InvalidArgument : a count is no whole number from 1 on, a step size or weight is not above 0, or another ``scale``.
    """

    batch_size: int
    step_size: float = 0.1
    eta_V: float = 1.0
    eta_A: float = 1.0
    scale: str = "peak"
    max_steps: int = 2**62
    name: str = "softmax"
    any_model = True

    def __post_init__(self):
        super().__post_init__()
        checked_scale(self.scale)

    @property
    def endless(self):
        return self.max_steps >= 2**62

    def model_type(self, start):
        return SoftmaxParameters

    def begin(self, learner):
        if isinstance(learner.theta, SoftmaxParameters):
            return
        attention = learner.linear.A
        if float(learner.xp.min(attention)) <= 0:
            raise InvalidArgument("attention has entries that are not positive; no softmax starts there")
        learner.theta = SoftmaxParameters(learner.xp.log(attention), learner.theta.V)

    def step(self, learner):
        xp, before = learner.xp, learner.linear.A
        found = learner.gradient(self.batch_size, projected=True)
        along = SoftmaxParameters(speed_factor(xp, before, self.scale) * found.W, found.V)
        rates = {"attention": self.step_size * self.eta_A, "value": self.step_size * self.eta_V}
        learner.theta = learner.theta.moved(along, **rates)

    def end(self, learner):
        super().end(learner)
        learner.theta = learner.linear  # what the next stage goes on with

    def verdict(self, learner, steps):
        return f"{steps} steps" if steps >= self.max_steps else None


def descent(task: SCB, step_size: float = 0.1, *, batch_size: int = 1024, steps: int | None = None, scale="peak"):
    r"""The softmax model with balanced steps; beside it belongs :func:`scbtheory.training.projected_sgd`.

    Parameters
    ----------
    task : a task with :math:`K_P, K_Q > 0`, which choose the weights.
    step_size : :math:`\eta`, above 0.
    batch_size : samples of a step.
    steps : how many; without it, until a run's samples are used up.
    scale : one of ``SCALES``, see :func:`speed_factor`.

    Returns
    -------
    tuple of SoftmaxDescent
        The one stage, for :func:`scbtheory.training.train`.

    Raises
    ------
    InvalidArgument : as for :class:`SoftmaxDescent`, or K_P or K_Q is 0.
    """
    weights = {"eta_V": 1 / correlation(task, "K_Q"), "eta_A": 1 / correlation(task, "K_P")}
    speed: dict[str, Any] = {"step_size": step_size, **weights}
    return (SoftmaxDescent(batch_size, scale=scale, max_steps=2**62 if steps is None else steps, **speed),)


@dataclass(frozen=True)
class Agreement:
    """X3: how alike two trained models are; cosines are in the μ-inner product, of what lies above the start.

    Parameters
    ----------
    attention, value : cosines, from -1 to 1.
    support : share of columns whose supports are the same, from 0 to 1.
    """

    attention: float
    value: float
    support: float  # share of columns whose supports are the same


def agreement(task: SCB, first: Parameters, second: Parameters, relative: float = 0.25) -> Agreement:
    r"""Compare :math:`A - 11^\top/T` and :math:`V - \mu1^\top` of two models, and the columns' supports.

    Parameters
    ----------
    task : the task that both were trained on.
    first, second : ``A`` (T, N) and ``V`` (N, N); both away from the start, where no cosine exists.
    relative : a support has the entries that exceed this part of their column's largest deviation from its mean.

    Returns
    -------
    Agreement
        Cosines of attention and of values, and the share of equal supports.

    Raises
    ------
    InvalidArgument : the attention or the value of a model is the start's.
    ShapeMismatch, MixedBackends : a model does not belong to the task.
    """
    xp, start = task.backend.xp, Parameters.initial(task)
    for name, theta in (("first", first), ("second", second)):
        check(task, theta)
        for part in ("A", "V"):
            away, flat = getattr(theta, part) - getattr(start, part), getattr(start, part)
            if not task.inner(away, away) > rounding(task) ** 2 * task.inner(flat, flat):
                raise InvalidArgument(f"{name}.{part} is the start's; a cosine takes a model away from the start")

    def cosine(x, y):
        return task.inner(x, y) / (task.inner(x, x) * task.inner(y, y)) ** 0.5

    same = xp.all(prominent(xp, first.A, relative) == prominent(xp, second.A, relative), axis=0)
    return Agreement(
        cosine(first.A - start.A, second.A - start.A),
        cosine(first.V - start.V, second.V - start.V),
        float(xp.mean(xp.astype(same, task.backend.dtype))),
    )
