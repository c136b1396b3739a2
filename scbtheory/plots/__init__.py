"""Every figure of the book, one function each; a function returns a :class:`~scbtheory.plots._style.Picture`."""

from scbtheory.plots._foundations import convergence, curvature, task
from scbtheory.plots._learning import (
    algorithm,
    attention_patterns,
    comparison,
    course,
    positions,
    side_by_side,
    softmax_flow,
    step_sizes,
)
from scbtheory.plots._limits import (
    budgets,
    coverage,
    efficiency,
    moment_search,
    samples_against_length,
    sticky_search,
)
from scbtheory.plots._noise import branches, noise_scale, sign_collapse, support_batches, thresholded_column
from scbtheory.plots._opening import model, story
from scbtheory.plots._performance import DeviceResults, Results
from scbtheory.plots._runs import RunResults
from scbtheory.plots._scaling import SweepCosts, phase_diagram
from scbtheory.plots._split import SplitResults
from scbtheory.plots._stages import creep, half_time_errors, linearisation, phase_portrait, rise, rounding
from scbtheory.plots._style import Picture
from scbtheory.plots._transfer import bypass, least_batches, savings

__all__ = [
    "DeviceResults",
    "Picture",
    "Results",
    "RunResults",
    "SplitResults",
    "SweepCosts",
    "algorithm",
    "attention_patterns",
    "branches",
    "budgets",
    "bypass",
    "comparison",
    "convergence",
    "course",
    "coverage",
    "creep",
    "curvature",
    "efficiency",
    "half_time_errors",
    "least_batches",
    "linearisation",
    "model",
    "moment_search",
    "noise_scale",
    "phase_diagram",
    "phase_portrait",
    "positions",
    "rise",
    "rounding",
    "samples_against_length",
    "savings",
    "side_by_side",
    "sign_collapse",
    "softmax_flow",
    "step_sizes",
    "sticky_search",
    "story",
    "support_batches",
    "task",
    "thresholded_column",
]
