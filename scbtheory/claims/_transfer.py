"""What the claims of finetuning share: its constants, and how the time to a given alpha grows with log T."""

from __future__ import annotations

from functools import cache

import numpy as np

import scbtheory as scb

ANY_HAT = "every task and every column-stochastic P̂; population gradients of G5"
CONSTANTS = {"K_P": 0.25, "K_Q": 0.5, "K_hat": 0.2}
THETA = 0.8
LEVEL = 0.25  # of alpha, whose arrival is timed
LENGTHS = (10**3, 10**4, 10**5, 10**6)


def per_log(lengths, times) -> float:
    """What a unit of log T adds to a time: the slope of a least-squares line."""
    return float(np.polyfit(np.log(lengths), times, 1)[0])


@cache
def arrival_slopes(K_cross: float) -> tuple[float, float]:
    """What a unit of log T adds to the time at which the flow reaches alpha = ¼: finetuned, and from scratch."""

    def slope(theta, cross):
        times = [scb.transfer.time_to(LEVEL, theta=theta, K_cross=cross, T=T, **CONSTANTS) for T in LENGTHS]
        return per_log(LENGTHS, times)

    return slope(THETA, K_cross), slope(0.0, 0.0)
