r"""From the matrix flow to two numbers, and the stages' boundaries in closed form (claims R1 to R4, S1 to S7).

On the plane :math:`V = \mu 1^\top + \beta P'`, :math:`A = 11^\top/T + \alpha Q'`, population gradient descent
is a flow of two numbers, always in the order (alpha, beta). Functions take the system as keywords ``K_P``,
``K_Q``, ``T`` and, where the step sizes differ, ``eta_V`` and ``eta_A`` or ``balanced=True``; times are in
units of :math:`1/\eta`.

>>> import scbtheory as scb
>>> half = scb.dynamics.half_time(K_P=0.2, K_Q=0.5, T=1e4)
>>> alpha, beta = scb.dynamics.flow(K_P=0.2, K_Q=0.5, T=1e4, t=half)
>>> round(float(alpha * beta), 2)
0.5
"""

from scbtheory.dynamics._creep import (
    attention_held,
    attention_held_rate,
    creep_rate,
    creep_time,
    creep_velocity,
    slow_manifold,
)
from scbtheory.dynamics._matrix import (
    Coordinates,
    lift,
    matrix_descend,
    matrix_flow,
    recover,
    reduce,
    rounding_interval,
    support,
)
from scbtheory.dynamics._reduced import FixedPoint, descend, fixed_points, flow, plane_loss, step, velocity
from scbtheory.dynamics._reference import high_precision_flow, high_precision_half_time
from scbtheory.dynamics._report import Boundary, Stages, add_arguments, describe, run_stages, stages
from scbtheory.dynamics._stages import (
    arrival,
    conserved,
    half_time,
    linearised,
    linearised_error,
    linearised_until,
    product,
    stage_two_end,
)
from scbtheory.dynamics._system import OutsideTrustRegion, System

__all__ = [
    "Boundary",
    "Coordinates",
    "FixedPoint",
    "OutsideTrustRegion",
    "Stages",
    "System",
    "add_arguments",
    "arrival",
    "attention_held",
    "attention_held_rate",
    "conserved",
    "creep_rate",
    "creep_time",
    "creep_velocity",
    "descend",
    "describe",
    "fixed_points",
    "flow",
    "half_time",
    "high_precision_flow",
    "high_precision_half_time",
    "lift",
    "linearised",
    "linearised_error",
    "linearised_until",
    "matrix_descend",
    "matrix_flow",
    "plane_loss",
    "product",
    "recover",
    "reduce",
    "rounding_interval",
    "run_stages",
    "slow_manifold",
    "stage_two_end",
    "stages",
    "step",
    "support",
    "velocity",
]
