r"""The last stage: steps on the support alone, averaged (claim S7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scbtheory.errors import InvalidArgument
from scbtheory.model import Parameters
from scbtheory.task import OUTPUTS, POSITIONS, TOKENS, TRIGGERS
from scbtheory.training._stages import BOUND, Stage, squared_size

PURPOSES = TOKENS, TRIGGERS, POSITIONS, OUTPUTS
SHORT = 20  # steps of the first thirds of a refit that ends by itself


@dataclass(frozen=True)
class Refit(Stage):
    r"""Stage 4: steps on the support alone, gradients centred over it; the result is an average of iterates.

    Iterates of the last two thirds are averaged. The two thirds' own averages :math:`\bar\theta_2, \bar\theta_3` also
    say how far the result still is: independent and equally good, they differ by about four times its squared
    error. Ends once :math:`\frac14(\|\bar A_2-\bar A_3\|_\mu^2 + \|\bar V_2-\bar V_3\|_\mu^2)` is below ``tolerance``
    (0: after ``max_steps``); it is looked at whenever the steps have doubled. With a constant step the iterates' mean
    is off by a multiple of step over batch, as the model is bilinear, which no average removes; so steps shrink by
    :math:`\sqrt2` at each doubling, and squared bias falls like the variance. (``tolerance`` 0: a constant step.)

    Parameters
    ----------
    batch_size : samples a step, at least 1.
    step_size : positive, :math:`\eta`.
    eta_V, eta_A : positive weights of the step for V and for attention.
    tolerance : at least 0.
    max_steps : steps after which it ends in any case.
    name : what records call it.

    Raises
    ------
    InvalidArgument : a number is out of range; in training, a column of attention is 0 everywhere.
    """

    batch_size: int
    step_size: float = 0.1
    eta_V: float = 1.0
    eta_A: float = 1.0
    tolerance: float = 5e-5
    max_steps: int = 3840  # thirds of 20, doubled six times
    name: str = "refit"

    def begin(self, learner):
        xp, backend, m = learner.xp, learner.task.backend, learner.memory
        A = backend.to_numpy(learner.theta.A)
        on = A != 0
        if not on.any(axis=0).all():
            k = int(np.argmin(on.any(axis=0)))
            raise InvalidArgument(f"A[:, {k}] is 0 everywhere; refitting needs a support in every column")
        positions = np.argsort(~on, axis=0, kind="stable")[: on.sum(axis=0).max()]
        m["positions"] = backend.asarray(positions, xp.int64)
        m["on"] = backend.asarray(np.take_along_axis(on, positions, axis=0))
        m["iterate_A"] = backend.asarray(np.take_along_axis(A, positions, axis=0)) * m["on"]
        # The estimator sees V through V (I − μ1ᵀ) alone: what a stage before left of Vμ − μ would stay for ever.
        V = learner.theta.V
        m["iterate_V"] = V + (learner.mu - V @ learner.mu)[:, None]
        m["sums_A"] = xp.zeros((3, *positions.shape), dtype=backend.dtype, device=backend.device)
        m["sums_V"] = xp.zeros((3, *learner.theta.V.shape), dtype=backend.dtype, device=backend.device)
        m["length"], m["filled"] = -(-self.max_steps // 3), 0
        if self.tolerance > 0:
            m["length"] = min(m["length"], SHORT)

    def step(self, learner):
        self.advance(learner, 1)

    def ahead(self, learner, steps):
        m = learner.memory
        until = 3 * m["length"] - m["filled"] or 3 * m["length"]  # when full, the thirds are doubled first
        return min(until, self.max_steps - steps)

    def advance(self, learner, count):
        m = learner.memory
        if m["filled"] == 3 * m["length"]:
            self._lengthen(learner.xp, m)
        compiled = getattr(learner.task.backend.kernels, "descend", None)
        fast = compiled is not None and learner.counts is None and len(m["positions"]) < learner.task.context_length
        done, size = self._compiled(learner, compiled, count) if fast else self._one(learner)
        m["filled"] += done
        learner.theta = self.average(learner)
        return done, size

    def _step_size(self, m):
        """The step, shorter by a root of two whenever the thirds have doubled."""
        return self.step_size * (SHORT / m["length"]) ** 0.5 if self.tolerance > 0 else self.step_size

    def _compiled(self, learner, descend, count):
        """Up to ``count`` steps in one call; it changes the arrays that it is given."""
        m, count = learner.memory, learner.steps_at_once(self.batch_size, count)
        place = learner.seed, *learner._place(self.batch_size)
        xp = learner.xp
        A, V = (xp.array(m[f"iterate_{name}"].T, order="C") for name in "AV")
        sums = [xp.array(xp.swapaxes(m[f"sums_{name}"], 1, 2), order="C") for name in "AV"]
        speeds = self._step_size(m) * self.eta_A, self._step_size(m) * self.eta_V
        positions, on = (xp.ascontiguousarray(m[name].T) for name in ("positions", "on"))
        done, size = descend(
            learner.task, PURPOSES, place, self.batch_size, count, positions, on, (A, V), speeds, sums,
            m["filled"], m["length"], BOUND,
        )  # fmt: skip
        learner.samples += done * self.batch_size
        m["iterate_A"], m["iterate_V"] = A.T, V.T
        m["sums_A"], m["sums_V"] = (xp.swapaxes(x, 1, 2) for x in sums)
        return done, size

    def _one(self, learner):
        """One step in array-API operations: those of the compiled loop, to rounding."""
        xp, m = learner.xp, learner.memory
        here, on = Parameters(m["iterate_A"], m["iterate_V"]), m["on"]
        gradient = learner.gradient_at(learner.task.backend.to_numpy(m["positions"]), here, self.batch_size)
        mean = xp.sum(on * gradient.A, axis=0, keepdims=True) / xp.sum(on, axis=0, keepdims=True)
        moved = Parameters(
            here.A - (self._step_size(m) * self.eta_A) * on * (gradient.A - mean),
            here.V - (self._step_size(m) * self.eta_V) * gradient.V,
        )
        size = squared_size(learner, moved)
        if not size <= BOUND:
            return 1, size
        third = m["filled"] // m["length"]
        for name in "AV":
            m[f"iterate_{name}"] = getattr(moved, name)
            sums = m[f"sums_{name}"]
            added = [sums[i, ...] + (m[f"iterate_{name}"] / m["length"] if i == third else 0.0) for i in range(3)]
            m[f"sums_{name}"] = xp.stack(added)
        return 1, size

    @staticmethod
    def _lengthen(xp, m):
        """Double the thirds: the first two become the first, the last becomes the first half of the second."""
        for name in "AV":
            first, second, last = (m[f"sums_{name}"][i, ...] for i in range(3))
            m[f"sums_{name}"] = xp.stack([(first + second) / 2, last / 2, 0 * last])
        m["length"] *= 2

    @staticmethod
    def average(learner) -> Parameters:
        """The average of the last two thirds' iterates so far, at all T positions; the iterate during the first."""
        m, backend = learner.memory, learner.task.backend
        length, after = m["length"], m["filled"] - m["length"]
        if after <= 0:
            A, V = m["iterate_A"], m["iterate_V"]
        else:
            A, V = ((m[f"sums_{name}"][1, ...] + m[f"sums_{name}"][2, ...]) * (length / after) for name in "AV")
        everywhere = np.zeros(learner.size[::-1], dtype=np.result_type(backend.to_numpy(V))).T
        on = backend.to_numpy(m["on"]) != 0
        columns = np.broadcast_to(np.arange(on.shape[1]), on.shape)
        everywhere[backend.to_numpy(m["positions"])[on], columns[on]] = backend.to_numpy(A)[on]
        return Parameters(backend.asarray(everywhere), V)

    def verdict(self, learner, steps):
        m = learner.memory
        if self.tolerance > 0 and m["filled"] == 3 * m["length"]:
            gap = Parameters(*(m[f"sums_{name}"][1, ...] - m[f"sums_{name}"][2, ...] for name in "AV"))
            if squared_size(learner, gap) / 4 <= self.tolerance:
                return f"the averages of two thirds agree to {self.tolerance:g}"
        return f"{steps} steps" if steps >= self.max_steps else None
