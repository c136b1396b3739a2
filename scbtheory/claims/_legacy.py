"""What modules that hold several claims still use; it goes with the last of them."""

from scbtheory.verification.claim import Claim as NewClaim
from scbtheory.verification.claim import Control
from scbtheory.verification.claim import Route as NewRoute

CHAPTERS = {
    "M": "model", "G1": "moments", "G2": "moments", "G": "population_gradient", "R": "reduction", "S": "stage_two",
    "S1": "stage_one", "S6": "rounding", "S7": "rounding", "N": "noise_scale", "N3": "thresholding",
    "N4": "thresholding", "N5": "sign_of_the_correlation", "T": "transfer", "X": "softmax", "E1": "from_scratch",
    "E2": "versus_sgd", "E3": "transfer", "E4": "softmax",
}  # fmt: skip
REGISTERED = {}


def Route(kind, scope, discrepancy, limit=0.0, margin=2.0, unit="terms that do not cancel"):
    return NewRoute(kind, scope, lambda statement: {unit: discrepancy(statement)}, limit, margin)


def Claim(id, title, formula, assumptions, statement, routes, controls):
    chapter = CHAPTERS[max((prefix for prefix in CHAPTERS if id.startswith(prefix)), key=len)]
    text = f"$$\n{formula}\n$$"
    experiment = id in ("E1", "E2", "E3", "E4", "T3", "X3")
    nature = "observation" if experiment else "theorem"
    return NewClaim(
        id, title, text, assumptions, "", nature, chapter, statement, routes, controls, experiment=experiment
    )


def register(claim):
    REGISTERED[claim.id] = claim
    return claim


def load():
    import importlib

    names = (
        "coordinates experiments fixed_points gradients half_times model noise population positions reduction rounding "
        "signs softmax stages thresholds versus"
    )
    for name in names.split():
        try:
            importlib.import_module(f"scbtheory.claims.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"scbtheory.claims.{name}":
                raise
    return REGISTERED


__all__ = ["Claim", "Control", "Route", "register"]
