"""The token loops on a CPU, and the loop over whole steps that only a CPU has."""

from scbtheory.kernels.compiled import accumulate, draw, draw_at, histogram
from scbtheory.kernels.supported import descend

__all__ = ["accumulate", "descend", "draw", "draw_at", "histogram"]
