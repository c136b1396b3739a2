r"""Softmax attention, :math:`f = V X\,\mathrm{softmax}(w^{(k)})`, beside the linear model (claims X1 to X4).

Attention enters the loss only through :math:`a = \mathrm{softmax}(w)`, so every gradient is the linear
model's times the Jacobian :math:`J = \mathrm{diag}(a) - aa^\top`. :math:`J1 = 0`: the projection of G5 comes for free.
"""

from scbtheory.softmax._descent import Agreement, SoftmaxDescent, agreement, descent
from scbtheory.softmax._flow import flow, matrix_flow, positions_flow, second_position, slowdown, velocity
from scbtheory.softmax._model import SCALES, SoftmaxParameters, jacobian_times, softmax, speed_factor

__all__ = [
    "SCALES",
    "Agreement",
    "SoftmaxDescent",
    "SoftmaxParameters",
    "agreement",
    "descent",
    "flow",
    "jacobian_times",
    "matrix_flow",
    "positions_flow",
    "second_position",
    "slowdown",
    "softmax",
    "speed_factor",
    "velocity",
]
