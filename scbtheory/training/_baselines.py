r"""What the algorithm is compared with: stochastic gradient descent, plain or projected, and Adam."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scbtheory.training._stages import BOUND, Stage

FOREVER = 2**62  # steps: until the samples are used up


@dataclass(frozen=True)
class Descent(Stage):
    r"""SGD: :math:`\theta \leftarrow \theta - \eta\,\hat\nabla\ell`, or with G6's estimator if ``projected``.

    Plain steps above :math:`2/(T\mu_k\|V\mu\|^2)` diverge (G7).

    Parameters
    ----------
    batch_size : samples a step, at least 1.
    step_size : positive, :math:`\eta`.
    projected : whether to follow G6's estimator, and not the plain gradient.
    eta_V, eta_A : positive weights of the step for V and for all else.
    max_steps : steps after which it ends; by default it ends by no rule of its own.
    name : what records call it.

    Raises
    ------
    InvalidArgument : a number is out of range.
    """

    batch_size: int
    step_size: float
    projected: bool = False
    eta_V: float = 1.0
    eta_A: float = 1.0
    max_steps: int = FOREVER
    name: str = "sgd"
    any_model = True

    def step(self, learner):
        learner.theta = self.descend(learner, learner.gradient(self.batch_size, projected=self.projected))

    def ahead(self, learner, steps):
        return self.max_steps - steps

    def advance(self, learner, count):
        rates = self.step_size * self.eta_A, self.step_size * self.eta_V
        if not learner.at_once(self.batch_size):
            return super().advance(learner, 1)
        return learner.descend(self.batch_size, count, projected=self.projected, rates=rates, bound=BOUND)

    @property
    def endless(self):
        return self.max_steps >= FOREVER

    def verdict(self, learner, steps):
        return f"{steps} steps" if steps >= self.max_steps else None


@dataclass(frozen=True)
class Adam(Stage):
    r"""Adam (Kingma and Ba 2015) on the plain gradients, with its usual constants and one step size.

    Parameters
    ----------
    batch_size : samples a step, at least 1.
    step_size : positive.
    beta_1, beta_2 : in [0, 1), how much of the gradient's mean and mean square stays after a step.
    epsilon : positive, added to the root of the mean square.
    max_steps : steps after which it ends; by default it ends by no rule of its own.
    name : what records call it.

    Raises
    ------
    InvalidArgument : a number is out of range.
    """

    batch_size: int
    step_size: float
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    max_steps: int = FOREVER
    name: str = "adam"
    any_model = True

    def begin(self, learner):
        for name, like in learner.theta.arrays().items():
            learner.memory[f"mean_{name}"] = learner.xp.zeros_like(like)
            learner.memory[f"square_{name}"] = learner.xp.zeros_like(like)
        learner.memory["t"] = 0

    def step(self, learner):
        gradient, m = learner.gradient(self.batch_size, projected=False), learner.memory
        m["t"] += 1
        updated = {}
        for name, g in gradient.arrays().items():
            m[f"mean_{name}"] = self.beta_1 * m[f"mean_{name}"] + (1 - self.beta_1) * g
            m[f"square_{name}"] = self.beta_2 * m[f"square_{name}"] + (1 - self.beta_2) * g * g
            mean = m[f"mean_{name}"] / (1 - self.beta_1 ** m["t"])
            square = m[f"square_{name}"] / (1 - self.beta_2 ** m["t"])
            step = self.step_size * mean / (learner.xp.sqrt(square) + self.epsilon)
            updated[name] = getattr(learner.theta, name) - step
        learner.theta = replace(learner.theta, **updated)

    def ahead(self, learner, steps):
        return self.max_steps - steps

    def advance(self, learner, count):
        """As the others do; in a compiled call the moments of A lie as its columns do."""
        m, xp = learner.memory, learner.xp
        if not learner.at_once(self.batch_size):
            return super().advance(learner, 1)
        moments = [xp.array(m[f"{of}_{name}"].T if name == "A" else m[f"{of}_{name}"], order="C")
                   for name in "AV" for of in ("mean", "square")]  # fmt: skip
        rates, adam = (self.step_size,) * 2, ((self.beta_1, self.beta_2, self.epsilon, m["t"]), *moments)
        done, last = learner.descend(self.batch_size, count, projected=False, rates=rates, bound=BOUND, adam=adam)
        m["t"] += done
        for name, mean, square in zip("AV", moments[::2], moments[1::2], strict=True):
            m[f"mean_{name}"], m[f"square_{name}"] = (x.T if name == "A" else x for x in (mean, square))
        return done, last

    @property
    def endless(self):
        return self.max_steps >= FOREVER

    def verdict(self, learner, steps):
        return f"{steps} steps" if steps >= self.max_steps else None
