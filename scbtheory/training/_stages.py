r"""The algorithm's stages; each ends by a rule that reads nothing but the learner's own parameters and samples.

A stage is a frozen set of numbers with four methods: ``begin(learner)``, ``step(learner)``,
``verdict(learner, steps)`` (why it ends now, or ``None``) and ``end(learner)``. One that can take many steps at a time
has ``advance`` for ``step`` and says by ``ahead`` how many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from scbtheory.checks import count, flag, positive, real
from scbtheory.errors import InvalidArgument
from scbtheory.model import Model, Parameters
from scbtheory.training._learner import deviation, noise_level, soft_threshold

BOUND = 1e4  # ‖A‖²_μ + ‖V‖²_μ beyond which a run has diverged; at the truth it is below 2
ROUNDING = 4096  # units in the last place of uniform attention that deviations below are not looked at
RELATIVE = 0.1  # a support entry is at least this part of its column's largest deviation


def between(low, high):
    """A check of numbers from ``low`` to below ``high``."""

    def check(name, value):
        if not low <= real(name, value) < high:
            raise InvalidArgument(f"{name} is {value!r}; expected a number from {low:g} to below {high:g}")
        return float(value)

    return check


def optional(check):
    """The same check, of what may also be ``None``."""
    return lambda name, value: None if value is None else check(name, value)


ACCEPTED = {
    "batch_size": count, "max_steps": count, "patience": count, "last_batch": optional(count),
    "step_size": positive, "eta_V": positive, "eta_A": positive, "mass": positive, "standing_out": positive,
    "epsilon": positive, "c": between(0, math.inf), "tolerance": between(0, math.inf),
    "relative": between(0, 1), "projected": flag, "beta_1": between(0, 1), "beta_2": between(0, 1),
}  # fmt: skip
"""What each number or flag of a stage may be, by its name: a function of name and value, as in `scbtheory.checks`."""


class Stage:
    """What stages that need no preparation and no farewell inherit."""

    name = "stage"
    any_model = False  # whether it trains models other than the linear one
    goal = ""  # how the verdict of a stage begins that has found a support; "" where none is looked for

    def size(self, steps: int) -> int:
        """Samples of the step that follows ``steps`` others of this stage."""
        return getattr(self, "batch_size", 0)

    def model_type(self, start: type[Model]) -> type[Model]:
        """What the model is between this stage's steps, in a run that started from a ``start``."""
        return start

    def begin(self, learner):
        """Prepare ``learner.memory``."""

    def end(self, learner):
        """Leave the parameters as the next stage expects them."""
        learner.memory.clear()

    def ahead(self, learner, steps):
        """How many steps may be taken before the verdict has to be asked again."""
        return 1

    def advance(self, learner, count):
        r"""Take up to ``count`` steps; return how many, and :math:`\|A\|_\mu^2 + \|V\|_\mu^2` after the last one.

        A step that leaves every bound is undone, and the last one.
        """
        before = learner.theta
        self.step(learner)
        size = squared_size(learner, learner.linear)
        if not size <= BOUND:  # also when it is not a number
            learner.theta = before
        return 1, size

    def __post_init__(self):
        """Refuse numbers that no run can use; keep the others as Python's own, whatever their type was."""
        for field in fields(self):
            if field.name in ACCEPTED:
                name = f"{type(self).__name__}.{field.name}"
                object.__setattr__(self, field.name, ACCEPTED[field.name](name, getattr(self, field.name)))

    @property
    def endless(self) -> bool:
        """Whether it ends by no rule of its own."""
        return False

    def descend(self, learner, gradient):
        """One step along a gradient, with the value and all else at their own speeds."""
        rates = {"attention": self.step_size * self.eta_A, "value": self.step_size * self.eta_V}
        return learner.theta.moved(gradient, **rates)


@dataclass(frozen=True)
class Boost(Stage):
    r"""Stage 1: :math:`\theta \leftarrow \theta - \eta(\eta_A \hat G_A, \eta_V \hat G_V)` with a large batch (G6, N5).

    Ends once, in every column, the largest deviation of attention is ``standing_out`` times what the noise of
    all T N entries would reach, :math:`\hat\sigma_k\sqrt{2\log(TN)}`, with :math:`\hat\sigma_k` from the median
    absolute deviation. It ends as well, and says so, if it is the lowest entries that stand out: the wrong branch.

    The correlation grows by :math:`1+\eta` a step, and what a step's noise adds to it counts the less the later it
    comes. So batches may fall by as much, to ``last_batch``: the sum of all is that of :math:`1/\eta` steps, and the
    sign's variance twice that of a constant batch. It does not end before: at small batches the sign is not safe yet.

    Parameters
    ----------
    batch_size : samples of the first step, at least 1.
    step_size : positive, :math:`\eta`.
    eta_V, eta_A : positive weights of the step for V and for attention.
    standing_out : positive, in units of the noise's reach.
    max_steps : steps after which it ends in any case.
    name : what records call it.
    last_batch : samples that later steps fall to by :math:`1+\eta` a step; ``None`` for a constant batch.

    Raises
    ------
    InvalidArgument : a number is out of range.
    """

    batch_size: int
    step_size: float = 0.1
    eta_V: float = 1.0
    eta_A: float = 1.0
    standing_out: float = 6.0
    max_steps: int = 120
    name: str = "boost"
    last_batch: int | None = None

    goal = "the support stands out"

    def size(self, steps):
        if self.last_batch is None:
            return self.batch_size
        return max(self.last_batch, math.ceil(self.batch_size / (1 + self.step_size) ** steps))

    def begin(self, learner):
        learner.memory["boosted"] = 0

    def step(self, learner):
        size = self.size(learner.memory["boosted"])
        learner.memory["boosted"] += 1
        learner.theta = self.descend(learner, learner.gradient(size, projected=True))

    def verdict(self, learner, steps):
        high, low = standing_out(learner.xp, learner.theta.A)
        if high >= self.standing_out:
            if self.last_batch is None or self.size(steps) <= self.last_batch:
                return f"{self.goal} {self.standing_out:g} times in every column"
        elif low >= self.standing_out:
            return "wrong branch: attention is lowest on the support"
        return f"{steps} steps" if steps >= self.max_steps else None


def standing_out(xp, A) -> tuple[float, float]:
    r"""The least over columns of :math:`\max_t d_t / (\hat\sigma_k\sqrt{2\log TN})`, and of the same for :math:`-d_t`.

    ``d`` is the deviation of attention from its mean. A column without any deviation stands out by 0.

    Parameters
    ----------
    xp : the array namespace.
    A : (T, N) attention.

    Returns
    -------
    tuple of float
        For the highest entries, and for the lowest; about 1 or less for noise alone.
    """
    d, (T, N) = deviation(xp, A), A.shape
    rounding = ROUNDING * float(xp.finfo(A.dtype).eps) / T  # which does not stand out
    reach = noise_level(xp, A) * math.sqrt(2 * math.log(T * N)) + rounding
    return float(xp.min(xp.max(d, axis=0) / reach)), float(xp.min(xp.max(-d, axis=0) / reach))


@dataclass(frozen=True)
class Proximal(Stage):
    r"""Stage 2: small batches; a soft threshold on the deviation from :math:`11^\top/T`, then re-centring (N4).

    :math:`h_k = c\,\hat\sigma_k\sqrt{2\log(TN)}` with :math:`\hat\sigma_k` the noise of this step's own move,
    from its median absolute deviation. c = 0 switches thresholding off.
    Ends once every column has ``mass`` on entries of its support (for Q it would be 1 - s/T), and the supports have
    not changed for ``patience`` steps.

    Parameters
    ----------
    batch_size : samples a step, at least 1.
    step_size : positive, :math:`\eta`.
    eta_V, eta_A : positive weights of the step for V and for attention.
    c : at least 0.
    mass : positive, the sum of deviations on a column's support.
    patience : steps, at least 1.
    max_steps : steps after which it ends in any case.
    name : what records call it.

    Raises
    ------
    InvalidArgument : a number is out of range.
    """

    batch_size: int
    step_size: float = 0.1
    eta_V: float = 1.0
    eta_A: float = 1.0
    c: float = 0.3
    mass: float = 0.5
    patience: int = 5
    max_steps: int = 400
    name: str = "proximal"

    goal = "every column has"

    def begin(self, learner):
        learner.memory["support"] = prominent(learner.xp, learner.theta.A)
        learner.memory["unchanged"] = 0

    def step(self, learner):
        xp, (T, N) = learner.xp, learner.size
        moved = self.descend(learner, learner.gradient(self.batch_size, projected=True))
        if self.c > 0:
            level = self.c * math.sqrt(2 * math.log(T * N)) * noise_level(xp, moved.A - learner.theta.A)
            kept = soft_threshold(xp, moved.A - 1 / T, level)
            moved = Parameters(deviation(xp, kept) + 1 / T, moved.V)
        learner.theta = moved
        found = prominent(xp, moved.A)
        same = bool(xp.all(found == learner.memory["support"]))
        learner.memory["unchanged"] = learner.memory["unchanged"] + 1 if same else 0
        learner.memory["support"] = found

    def verdict(self, learner, steps):
        xp = learner.xp
        on = xp.astype(learner.memory["support"], learner.task.backend.dtype)
        mass = float(xp.min(xp.sum(on * deviation(xp, learner.theta.A), axis=0)))
        if mass >= self.mass and learner.memory["unchanged"] >= self.patience:
            return f"{self.goal} {self.mass:g} of its mass on a support unchanged for {self.patience} steps"
        return f"{steps} steps" if steps >= self.max_steps else None


def prominent(xp, A, relative: float = RELATIVE):
    """Entries whose deviation exceeds ``relative`` times their column's largest, as booleans (T, N).

    Parameters
    ----------
    xp : the array namespace.
    A : (T, N) attention.
    relative : in [0, 1).

    Returns
    -------
    array
        (T, N) booleans; nothing in a column without any deviation.
    """
    d = deviation(xp, A)
    return d > relative * xp.max(d, axis=0, keepdims=True)


@dataclass(frozen=True)
class Round(Stage):
    r"""Stage 3: keep the support, drop the background, renormalise the columns to sum to 1 (S6).

    Parameters
    ----------
    relative : in [0, 1); a column's support is what deviates by more than this part of its largest deviation.
    name : what records call it.

    Raises
    ------
    InvalidArgument : a number is out of range.
    """

    relative: float = RELATIVE
    name: str = "round"

    def step(self, learner):
        learner.theta = rounded(learner.xp, learner.theta, self.relative)

    def verdict(self, learner, steps):
        return "rounded" if steps >= 1 else None


def rounded(xp, theta: Parameters, relative: float = RELATIVE) -> Parameters:
    """Attention on its support alone, columns summing to 1; V as it was.

    Parameters
    ----------
    xp : the array namespace.
    theta : ``A`` (T, N) and ``V`` (N, N).
    relative : in [0, 1), as in :func:`prominent`.

    Returns
    -------
    Parameters
        ``A`` not negative; a column without any deviation is 1/T everywhere.
    """
    on = xp.astype(prominent(xp, theta.A, relative), theta.A.dtype)
    signal = on * deviation(xp, theta.A)
    total = xp.sum(signal, axis=0, keepdims=True)
    flat = xp.full_like(signal, 1 / signal.shape[0])  # a column without any deviation has no support: leave it flat
    return Parameters(xp.where(total > 0, signal / xp.where(total > 0, total, xp.ones_like(total)), flat), theta.V)


def squared_size(learner, theta: Parameters) -> float:
    r""":math:`\|A\|_\mu^2 + \|V\|_\mu^2`."""
    xp = learner.xp
    return sum(float(xp.sum(x * x, axis=0) @ learner.mu) for x in (theta.A, theta.V))
