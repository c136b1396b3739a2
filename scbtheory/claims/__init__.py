"""The registry: every claim of the theory with its routes and controls, ready to be verified.

This is the only place that sees both the derivations and the numerics.
"""

from scbtheory.claims.framework import REGISTRY, Claim, ClaimReport, Control, Route, find, verify
from scbtheory.claims.ledger import Ledger, chapter

from scbtheory.claims import (  # isort: skip  (they register their claims)
    coordinates,
    experiments,
    fixed_points,
    gradients,
    half_times,
    model,
    noise,
    population,
    positions,
    reduction,
    rounding,
    signs,
    softmax,
    stages,
    thresholds,
    transfer,
    transfer_samples,
    versus,
)

ORDER = "MGRSNTXE"  # the order of theory: model, gradients, reduction, stages, noise, transfer, softmax, experiments


def ids() -> list[str]:
    """Return the ids of all claims in the order of the theory."""
    return sorted(REGISTRY, key=lambda name: (ORDER.index(name[0]), int(name[1:])))


__all__ = [
    "REGISTRY",
    "Claim",
    "ClaimReport",
    "Control",
    "Ledger",
    "Route",
    "chapter",
    "coordinates",
    "experiments",
    "find",
    "fixed_points",
    "gradients",
    "half_times",
    "ids",
    "model",
    "noise",
    "population",
    "positions",
    "reduction",
    "rounding",
    "signs",
    "softmax",
    "stages",
    "thresholds",
    "transfer",
    "transfer_samples",
    "verify",
    "versus",
]
