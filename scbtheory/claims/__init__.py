"""Every claim of the theory, one file each: its statement, its routes and controls, and all that is known of it.

This is the only place that sees both the derivations and the numerics. Modules whose names begin with an underscore
hold what several claims share.
"""

from scbtheory.verification.claim import Claim, ClaimReport, Control, Route
from scbtheory.verification.ledger import Ledger
from scbtheory.verification.registry import CLAIMS

__all__ = ["CLAIMS", "Claim", "ClaimReport", "Control", "Ledger", "Route", "chapter", "find", "ids", "verify"]


def __dir__():
    return sorted(__all__)  # what Tab shows, whichever claims were looked up before


find, ids = CLAIMS.find, CLAIMS.ids


def verify(claim_id: str) -> ClaimReport:
    """Run every route of a claim on its statement and on every control (see :func:`scbtheory.verify`)."""
    return CLAIMS.verify(claim_id)


def chapter(claim_id: str) -> str:
    """Return the name of the page that treats a claim."""
    return find(claim_id).chapter
