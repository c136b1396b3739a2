"""Every figure of the book, one function each; a function returns a :class:`~scbtheory.plots.style.Picture`."""

from scbtheory.plots.foundations import convergence, curvature, task
from scbtheory.plots.style import Picture

__all__ = ["Picture", "convergence", "curvature", "task"]
