"""The token loops on a CPU, and what only a CPU has: whole gradients, steps and sums of squares in one go."""

from scbtheory.kernels.compiled import accumulate, draw, draw_at, histogram
from scbtheory.kernels.descent import descend_drawn, descend_packed, few
from scbtheory.kernels.grouped import gradient as grouped_gradient
from scbtheory.kernels.moments import statistic as moment_sums
from scbtheory.kernels.small import small_gradient
from scbtheory.kernels.supported import descend

__all__ = [
    "accumulate", "descend", "descend_drawn", "descend_packed", "draw", "draw_at", "few", "grouped_gradient",
    "histogram", "moment_sums", "small_gradient",
]  # fmt: skip
