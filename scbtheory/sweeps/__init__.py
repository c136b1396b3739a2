r"""Many runs: on the cores of this machine or on a Dask cluster, compared fairly, or counted over (B, T).

- ``_running``: points of a sweep, where they are computed, and the folder that keeps them
- ``_comparison``: methods, step sizes and seeds compared on the same samples (claims E2, E3)
- ``_phase``: how often training finds the right sign at each batch and length (claims N5, N6)
"""

from scbtheory.sweeps._comparison import Comparison, Exponent, Factor, at, compare, fit_exponent, paired_factor
from scbtheory.sweeps._phase import Forecast, PhaseDiagram, SignCount, SignPoint, phase_diagram
from scbtheory.sweeps._running import Point, Run, run_all

__all__ = [
    "Comparison",
    "Exponent",
    "Factor",
    "Forecast",
    "PhaseDiagram",
    "Point",
    "Run",
    "SignCount",
    "SignPoint",
    "at",
    "compare",
    "fit_exponent",
    "paired_factor",
    "phase_diagram",
    "run_all",
]


def __dir__():
    return sorted(__all__)  # what Tab shows
