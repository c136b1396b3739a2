"""Every figure of the book, one function each; a function returns a :class:`~scbtheory.plots.style.Picture`."""

from scbtheory.plots.foundations import convergence, curvature, task
from scbtheory.plots.stages import creep, half_time_errors, linearisation, phase_portrait, rise, rounding
from scbtheory.plots.style import Picture

__all__ = [
    "Picture",
    "convergence",
    "creep",
    "curvature",
    "half_time_errors",
    "linearisation",
    "phase_portrait",
    "rise",
    "rounding",
    "task",
]
