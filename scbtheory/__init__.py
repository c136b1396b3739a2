"""Theorems about Sparse Contextual Bigrams, each established by independent routes.

>>> import scbtheory as scb
>>> task = scb.SCB.random(vocab_size=3, context_length=50, sparsity=2, seed=0)
>>> theta = scb.Parameters.initial(task)
>>> scb.population.gradient(task, theta).V.shape
(3, 3)
"""

from importlib import import_module

from scbtheory import model, population, streaming
from scbtheory.backend import Backend, get_backend
from scbtheory.errors import SCBError
from scbtheory.model import Parameters
from scbtheory.task import SCB, Batch

# Loaded when first used: SciPy's integrators and statistics take longer to load than most sessions need them.
_LATER = ("claims", "dynamics", "landscape", "limits", "noise", "plots", "softmax", "sweeps", "training", "transfer")


def __getattr__(name: str):
    if name in _LATER:
        return import_module(f"scbtheory.{name}")
    raise AttributeError(f"module 'scbtheory' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)


def verify(claim_id: str):
    """Run every route of a claim on its statement and on its controls; return a ``ClaimReport``.

    The report shows itself in a notebook; ``report.holds``, ``report.evidence`` and
    ``report.controls`` say the same to a program.

    Raises
    ------
    UnknownClaim : no claim has this id; the message names the nearest.
    """
    from scbtheory import claims

    return claims.verify(claim_id)


def contrast(claim_id: str, mistake: str):
    """Run every route of a claim on its statement and on one of its controls, side by side; return a ``Contrast``.

    Raises
    ------
    UnknownClaim : no claim has this id; the message names the nearest.
    InvalidArgument : the claim has no such control; the message lists those that it has.
    """
    from scbtheory.verification.contrast import contrast as compare

    return compare(claim_id, mistake)


__version__ = "0.1.0"
__all__ = [
    "SCB",
    "Backend",
    "Batch",
    "Parameters",
    "SCBError",
    "claims",
    "contrast",
    "dynamics",
    "get_backend",
    "landscape",
    "limits",
    "model",
    "noise",
    "plots",
    "population",
    "softmax",
    "streaming",
    "sweeps",
    "training",
    "transfer",
    "verify",
]
