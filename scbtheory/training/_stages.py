r"""The algorithm's stages; each ends by a rule that reads nothing but the learner's own parameters and samples.

A stage is a frozen set of numbers with four methods: ``begin(learner)``, ``step(learner)``,
``verdict(learner, steps)`` (why it ends now, or ``None``) and ``end(learner)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scbtheory.errors import InvalidArgument
from scbtheory.model import Parameters
from scbtheory.training._learner import deviation, noise_level, soft_threshold

RELATIVE = 0.1  # a support entry is at least this part of its column's largest deviation


class Stage:
    """What stages that need no preparation and no farewell inherit."""

    name = "stage"

    def begin(self, learner):
        """Prepare ``learner.memory``."""

    def end(self, learner):
        """Leave the parameters as the next stage expects them."""
        learner.memory.clear()

    def check(self):
        """Refuse numbers that no run can use."""
        for field in ("batch_size", "step_size", "eta_V", "eta_A", "max_steps"):
            value = getattr(self, field, 1)
            if not (math.isfinite(value) and value > 0):
                raise InvalidArgument(f"{type(self).__name__}.{field} is {value!r}; expected a number above 0")

    def descend(self, learner, gradient):
        """One step along the projected estimator, with V and A at their own speeds."""
        return Parameters(
            learner.theta.A - (self.step_size * self.eta_A) * gradient.A,
            learner.theta.V - (self.step_size * self.eta_V) * gradient.V,
        )


@dataclass(frozen=True)
class Boost(Stage):
    r"""Stage 1: :math:`\theta \leftarrow \theta - \eta(\eta_A \hat G_A, \eta_V \hat G_V)` with a large batch (G6, N5).

    Ends once, in every column, the largest deviation of attention is ``standing_out`` times what the noise of
    all T N entries would reach, :math:`\hat\sigma_k\sqrt{2\log(TN)}`, with :math:`\hat\sigma_k` from the median
    absolute deviation. It ends as well, and says so, if it is the lowest entries that stand out: the wrong branch.
    """

    batch_size: int
    step_size: float = 0.1
    eta_V: float = 1.0
    eta_A: float = 1.0
    standing_out: float = 6.0
    max_steps: int = 60
    name: str = "boost"

    def step(self, learner):
        learner.theta = self.descend(learner, learner.gradient(self.batch_size, projected=True))

    def verdict(self, learner, steps):
        high, low = standing_out(learner.xp, learner.theta.A)
        if high >= self.standing_out:
            return f"the support stands out {self.standing_out:g} times in every column"
        if low >= self.standing_out:
            return "wrong branch: attention is lowest on the support"
        return f"{steps} steps" if steps >= self.max_steps else None


def standing_out(xp, A) -> tuple[float, float]:
    r"""The least over columns of :math:`\max_t d_t / (\hat\sigma_k\sqrt{2\log TN})`, and of the same for :math:`-d_t`.

    ``d`` is the deviation of attention from its mean. A column without any deviation stands out by 0.
    """
    d, (T, N) = deviation(xp, A), A.shape
    reach = noise_level(xp, A) * math.sqrt(2 * math.log(T * N)) + 1e-12 / T  # rounding does not stand out
    return float(xp.min(xp.max(d, axis=0) / reach)), float(xp.min(xp.max(-d, axis=0) / reach))


@dataclass(frozen=True)
class Proximal(Stage):
    r"""Stage 2: small batches; a soft threshold on the deviation from :math:`11^\top/T`, then re-centring (N4).

    :math:`\lambda_k = c\,\hat\sigma_k\sqrt{2\log(TN)}` with :math:`\hat\sigma_k` the noise of this step's own move,
    from its median absolute deviation. c = 0 switches thresholding off.
    Ends once every column has ``mass`` on entries of its support (for Q it would be 1), and the supports have not
    changed for ``patience`` steps.
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

    def begin(self, learner):
        learner.memory["support"] = support(learner.xp, learner.theta.A)
        learner.memory["unchanged"] = 0

    def step(self, learner):
        xp, (T, N) = learner.xp, learner.size
        moved = self.descend(learner, learner.gradient(self.batch_size, projected=True))
        if self.c > 0:
            level = self.c * math.sqrt(2 * math.log(T * N)) * noise_level(xp, moved.A - learner.theta.A)
            kept = soft_threshold(xp, moved.A - 1 / T, level)
            moved = Parameters(deviation(xp, kept) + 1 / T, moved.V)
        learner.theta = moved
        found = support(xp, moved.A)
        same = bool(xp.all(found == learner.memory["support"]))
        learner.memory["unchanged"] = learner.memory["unchanged"] + 1 if same else 0
        learner.memory["support"] = found

    def verdict(self, learner, steps):
        xp = learner.xp
        on = xp.astype(learner.memory["support"], learner.task.backend.dtype)
        mass = float(xp.min(xp.sum(on * deviation(xp, learner.theta.A), axis=0)))
        if mass >= self.mass and learner.memory["unchanged"] >= self.patience:
            return f"every column has {self.mass:g} of its mass on a support unchanged for {self.patience} steps"
        return f"{steps} steps" if steps >= self.max_steps else None


def support(xp, A, relative: float = RELATIVE):
    """Entries whose deviation exceeds ``relative`` times their column's largest, as booleans (T, N)."""
    d = deviation(xp, A)
    return d > relative * xp.max(d, axis=0, keepdims=True)


@dataclass(frozen=True)
class Round(Stage):
    r"""Stage 3: keep the support, drop the background, renormalise the columns to sum to 1 (S6)."""

    relative: float = RELATIVE
    name: str = "round"

    def step(self, learner):
        learner.theta = rounded(learner.xp, learner.theta, self.relative)

    def verdict(self, learner, steps):
        return "rounded" if steps >= 1 else None


def rounded(xp, theta: Parameters, relative: float = RELATIVE) -> Parameters:
    """Attention on its support alone, columns summing to 1; V as it was."""
    on = xp.astype(support(xp, theta.A, relative), theta.A.dtype)
    signal = on * deviation(xp, theta.A)
    total = xp.sum(signal, axis=0, keepdims=True)
    flat = xp.full_like(signal, 1 / signal.shape[0])  # a column without any deviation has no support: leave it flat
    return Parameters(xp.where(total > 0, signal / xp.where(total > 0, total, xp.ones_like(total)), flat), theta.V)


@dataclass(frozen=True)
class Refit(Stage):
    r"""Stage 4: steps on the support alone, gradients centred over it; the result is an average of iterates.

    Iterates of the last two thirds are averaged. The two thirds' own averages :math:`\bar\theta_2, \bar\theta_3` also
    say how far the result still is: independent and equally good, they differ by about four times its squared
    error. Ends once :math:`\frac14(\|\bar A_2-\bar A_3\|_\mu^2 + \|\bar V_2-\bar V_3\|_\mu^2)` is below ``tolerance``
    (0: after ``max_steps``); it is looked at whenever the steps have doubled.
    """

    batch_size: int
    step_size: float = 0.1
    eta_V: float = 1.0
    eta_A: float = 1.0
    tolerance: float = 5e-5
    max_steps: int = 4000
    name: str = "refit"

    def begin(self, learner):
        xp, A = learner.xp, learner.theta.A
        learner.memory["on"] = xp.astype(A != 0, A.dtype)
        learner.memory["iterate_A"], learner.memory["iterate_V"] = A, learner.theta.V
        for third in ("first", "second", "last"):
            learner.memory[f"{third}_A"] = xp.zeros_like(A)
            learner.memory[f"{third}_V"] = xp.zeros_like(learner.theta.V)
        learner.memory["length"], learner.memory["filled"] = max(1, self.max_steps // 3), 0
        if self.tolerance > 0:
            learner.memory["length"] = min(learner.memory["length"], 20)

    def step(self, learner):
        xp, m = learner.xp, learner.memory
        learner.theta = Parameters(m["iterate_A"], m["iterate_V"])
        gradient = learner.gradient(self.batch_size, projected=True)
        here, on = learner.theta, m["on"]
        mean = xp.sum(on * gradient.A, axis=0, keepdims=True) / xp.sum(on, axis=0, keepdims=True)
        m["iterate_A"] = here.A - (self.step_size * self.eta_A) * on * (gradient.A - mean)
        m["iterate_V"] = here.V - (self.step_size * self.eta_V) * gradient.V
        if m["filled"] == 3 * m["length"]:
            self._lengthen(m)
        third = ("first", "second", "last")[m["filled"] // m["length"]]
        for name in "AV":
            m[f"{third}_{name}"] = m[f"{third}_{name}"] + m[f"iterate_{name}"] / m["length"]
        m["filled"] += 1
        learner.theta = self.average(m)

    @staticmethod
    def _lengthen(m):
        """Double the thirds: the first two become the first, the last becomes the first half of the second."""
        for name in "AV":
            m[f"first_{name}"] = (m[f"first_{name}"] + m[f"second_{name}"]) / 2
            m[f"second_{name}"], m[f"last_{name}"] = m[f"last_{name}"] / 2, 0 * m[f"last_{name}"]
        m["length"] *= 2

    @staticmethod
    def average(m) -> Parameters:
        """The average of the last two thirds' iterates so far; the iterate itself during the first."""
        length, after = m["length"], m["filled"] - m["length"]
        if after <= 0:
            return Parameters(m["iterate_A"], m["iterate_V"])
        share = length / after
        return Parameters(*((m[f"second_{name}"] + m[f"last_{name}"]) * share for name in "AV"))

    def verdict(self, learner, steps):
        m = learner.memory
        if self.tolerance > 0 and m["filled"] == 3 * m["length"]:
            gap = Parameters(m["second_A"] - m["last_A"], m["second_V"] - m["last_V"])
            squares = (learner.xp.sum(learner.xp.sum(g * g, axis=0) * learner.mu) for g in (gap.A, gap.V))
            if float(sum(squares)) / 4 <= self.tolerance:
                return f"the averages of two thirds agree to {self.tolerance:g}"
        return f"{steps} steps" if steps >= self.max_steps else None
