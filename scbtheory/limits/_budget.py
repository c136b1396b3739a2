r"""L6: what each stage of each way to the truth costs, in samples, as closed forms."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import ndtri

from scbtheory import dynamics, noise
from scbtheory.checks import positive, real
from scbtheory.errors import InvalidArgument
from scbtheory.limits._detection import samples_for_support
from scbtheory.limits._fisher import cramer_rao, least_squares_error
from scbtheory.task import SCB

__all__ = ["Budget", "budget"]

SUCCESS = 0.9
LEVEL = 1.25  # of N4's threshold: at 1 it lets noise pass too often for nine runs in ten
KEPT = 2 / 3  # of the refit's samples are in its average


class Budget(NamedTuple):
    """Samples of each stage; a way from scratch, or after pretraining, adds up some of them.

    Parameters
    ----------
    boost : until half is learned, at the least batch whose sign is right in nine of ten runs.
    sparsify : of one step that finds every support from there, by its gradient alone.
    transfer : of the same step from a pretrained value matrix.
    moments : of the search that finds every support without a gradient.
    refit, likelihood : of the last stage, to the error asked for.
    """

    boost: float
    sparsify: float
    transfer: float
    moments: float
    refit: float
    likelihood: float

    @property
    def ways(self) -> dict[str, dict[str, float]]:
        """The stages of each way, by its name."""
        return {
            "boost, step, refit": {"boost": self.boost, "step": self.sparsify, "last stage": self.refit},
            "moments, likelihood": {"moments": self.moments, "last stage": self.likelihood},
            "pretrained, step, refit": {"step": self.transfer, "last stage": self.refit},
        }


def budget(task: SCB, epsilon: float, *, transferred: float = 0.7) -> Budget:
    r"""L6: samples until :math:`\|A-Q\|_\mu^2 + \|V-P\|_\mu^2 \le \epsilon` in the mean, stage by stage.

    ``boost`` is :math:`\tfrac12z_{0.9}^2wT\log(2TK_Q)`: N5's batch times S4's half time; the steps are N4's batch,
    from scratch at that half time, :math:`\alpha = \beta = \sqrt{1/2}`, and after pretraining at :math:`\alpha = 0`,
    :math:`V = \mu1^\top + \beta P'`; ``moments`` is L2's; the last stages are L4's least squares,
    of whose samples two thirds are averaged, and Cramér and Rao's bound.

    Parameters
    ----------
    task : with positive P, :math:`K_P, K_Q > 0`, and every weight of a support above 1/T.
    epsilon : the error, above 0.
    transferred : :math:`\beta` of the pretrained value matrix, in (0, 1].

    Returns
    -------
    Budget
        Samples of all triggers together, above 0; ``moments`` is whole, the others need not be.

    Raises
    ------
    InvalidArgument : a number is out of range, the task is not as above or too short for a first stage (S3), or it has
        more than 40 tokens or too many copied tokens to enumerate (:math:`N^s`).
    """
    epsilon, transferred = positive("epsilon", epsilon), real("transferred", transferred)
    if not 0 < transferred <= 1:
        raise InvalidArgument(f"transferred is {transferred:g}; expected a share of P' above 0 and at most 1")
    T, learned = task.context_length, math.sqrt(0.5)
    half = dynamics.half_time(K_P=task.K_P, K_Q=task.K_Q, T=T, balanced=True)
    batch = 0.5 * float(ndtri(SUCCESS)) ** 2 * noise.sign_noise(task) * T  # over η

    def largest(batches):
        return float(task.backend.xp.max(batches))

    return Budget(
        boost=batch * half,
        sparsify=largest(noise.support_batch(task, learned, learned, c=LEVEL)),
        transfer=largest(noise.support_batch(task, 0.0, transferred, c=LEVEL)),
        moments=float(samples_for_support(task, false_alarm=0.02, miss=0.08)),
        refit=sum(least_squares_error(task, "known")) / KEPT / epsilon,
        likelihood=sum(cramer_rao(task, "known")) / epsilon,
    )
