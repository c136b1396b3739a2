"""What the experiments share: the step, the seeds, and when a recorded run passes a level."""

from __future__ import annotations

import math

import numpy as np

STEP = 0.1  # η, with balanced steps
SEEDS, TASK = range(100, 108), 23  # drawn for the first time after all limits of E1 to E4 had been fixed


def crossing(steps, values, level) -> float:
    """The step, between recorded ones, at which a column first exceeds a level; infinity if it never does."""
    above = np.flatnonzero(values > level)
    if not len(above) or above[0] == 0:
        return math.inf
    n = above[0]
    return float(np.interp(level, values[n - 1 : n + 1], steps[n - 1 : n + 1]))
