r"""Transfer from a pretrained :math:`\hat P`: constructions, the three-number flow, another stationary law (T1 to T4).

Finetuning starts at :math:`V = \mu1^\top + \theta\hat P'`, :math:`A = 11^\top/T`, with
:math:`\hat P' = \hat P(I - \mu1^\top)`.
What matters of :math:`\hat P` are two numbers: :math:`K_{\hat P} = \|\hat P'\|_\mu^2` and the correlation
:math:`K_\times = \langle\hat P', P'\rangle_\mu`.
"""

from scbtheory.transfer._flow import TransferSystem, flow, lift, time_to, velocity
from scbtheory.transfer._other_law import OtherLaw, noise_factor, other_law, shifted, uncentred_start
from scbtheory.transfer._start import Correlations, centred, correlation_range, correlations, pretrained, start

__all__ = [
    "Correlations",
    "OtherLaw",
    "TransferSystem",
    "centred",
    "correlation_range",
    "correlations",
    "flow",
    "lift",
    "noise_factor",
    "other_law",
    "pretrained",
    "shifted",
    "start",
    "time_to",
    "uncentred_start",
    "velocity",
]
