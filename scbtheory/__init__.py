"""Theorems about Sparse Contextual Bigrams, each established by independent routes.

>>> import scbtheory as scb
>>> task = scb.SCB.random(vocab_size=3, context_length=50, sparsity=2, seed=0)
>>> theta = scb.Parameters.initial(task)
>>> scb.population.gradient(task, theta).V.shape
(3, 3)
"""

from scbtheory import (
    claims,
    dynamics,
    landscape,
    limits,
    model,
    noise,
    population,
    softmax,
    streaming,
    sweeps,
    training,
    transfer,
)
from scbtheory.backend import Backend, get_backend
from scbtheory.errors import SCBError
from scbtheory.model import Parameters
from scbtheory.task import SCB, Batch


def verify(claim_id: str):
    """Run every route of a claim on its statement and on its controls; return a ``ClaimReport``.

    The report shows itself in a notebook; ``report.holds``, ``report.evidence`` and
    ``report.controls`` say the same to a program.

    Raises
    ------
    UnknownClaim : no claim has this id; the message names the nearest.
    """
    return claims.verify(claim_id)  # SymPy is loaded only by those who verify


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
    "population",
    "softmax",
    "streaming",
    "sweeps",
    "training",
    "transfer",
    "verify",
]
