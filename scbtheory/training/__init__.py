r"""Training: the algorithm in four stages, its baselines, and the record of a run (claims E1, E2).

>>> import scbtheory as scb
>>> task = scb.SCB.random(3, 50, 2, seed=0)
>>> history = scb.training.train(task, scb.training.algorithm(task), seed=1)
>>> history.status
'finished'

Everything is made of **stages**; :func:`algorithm` returns four, a baseline is one. All read the same
stream of samples, and none reads P, Q or the distances that the :class:`History` records.
"""

from scbtheory.training._baselines import Adam, Descent
from scbtheory.training._history import Divergence, History, NoSupport, StageEnd
from scbtheory.training._learner import Draws, Learner, deviation, noise_level, soft_threshold
from scbtheory.training._methods import adam, algorithm, boost_batch, projected_sgd, proximal_batch, sgd
from scbtheory.training._on_support import Likelihood, MomentStart
from scbtheory.training._refit import Refit
from scbtheory.training._run import train
from scbtheory.training._stages import Boost, Proximal, Round, Stage, prominent, rounded, standing_out

__all__ = [
    "Adam",
    "Boost",
    "Descent",
    "Divergence",
    "Draws",
    "History",
    "Learner",
    "Likelihood",
    "MomentStart",
    "NoSupport",
    "Proximal",
    "Refit",
    "Round",
    "Stage",
    "StageEnd",
    "adam",
    "algorithm",
    "boost_batch",
    "deviation",
    "noise_level",
    "projected_sgd",
    "prominent",
    "proximal_batch",
    "rounded",
    "sgd",
    "soft_threshold",
    "standing_out",
    "train",
]
