"""Finds claims: those of a package are its modules called ``<id>_<subject>.py``, each with one ``CLAIM``."""

from __future__ import annotations

import importlib
import pkgutil
import re
import traceback
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scbtheory.errors import SCBError, UnknownClaim, nearest
from scbtheory.verification.claim import Claim, ClaimReport, verify

__all__ = ["CLAIMS", "FAMILIES", "InvalidClaim", "Registry"]

# The letters of ids with what they are about, in the order of the theory.
FAMILIES = {
    "M": "the model",
    "G": "loss and gradient",
    "R": "reduction to two numbers",
    "S": "stages and their boundaries",
    "N": "noise and sample complexity",
    "T": "transfer",
    "X": "softmax",
    "E": "experiments",
    "L": "limits",
}
FILE = re.compile(r"(?P<id>[A-Z][1-9][0-9]*)_[A-Za-z0-9_]+")


class InvalidClaim(SCBError, ValueError):
    """A claim's file cannot be imported, or neither its name nor what it holds is the claim expected there."""


@dataclass(frozen=True)
class Registry:
    """The claims of one package; a claim's module is imported when it is asked for, not before.

    Attributes
    ----------
    package : the package's name, such as ``"scbtheory.claims"``.
    """

    package: str

    @cached_property
    def modules(self) -> dict[str, str]:
        """Module names by claim id, in the order of the theory.

        Raises
        ------
        InvalidClaim : two modules have one id, an id belongs to no family, or a module's name is neither a claim's
            nor begins with an underscore: its claim would be verified by nobody.
        """
        found: dict[str, str] = {}
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            match = FILE.fullmatch(module.name)
            if module.name.startswith("_"):
                continue
            if not match:
                raise InvalidClaim(f"{module.name}.py is no claim; expected <id>_<subject>.py, or _{module.name}.py")
            claim_id = match["id"]
            if claim_id in found:
                raise InvalidClaim(f"claim {claim_id} has two files: {found[claim_id]} and {module.name}")
            if claim_id[0] not in FAMILIES:
                raise InvalidClaim(f"{module.name} belongs to no family; known: {', '.join(FAMILIES)}")
            found[claim_id] = module.name
        order = list(FAMILIES)
        return {k: found[k] for k in sorted(found, key=lambda name: (order.index(name[0]), int(name[1:])))}

    def ids(self) -> list[str]:
        """Return the ids of all claims in the order of the theory."""
        return list(self.modules)

    def find(self, claim_id: str) -> Claim:
        """Return the claim called ``claim_id``.

        Raises
        ------
        UnknownClaim : no such id; the message names the nearest.
        InvalidClaim : its file cannot be imported, or holds another claim.
        """
        key = str(claim_id)
        if key not in self.modules:
            raise UnknownClaim(
                f"claim {claim_id!r} is not known{nearest(key, self.modules)}; known: {', '.join(self.modules)}"
            )
        try:
            claim = importlib.import_module(f"{self.package}.{self.modules[key]}").CLAIM
        except Exception as error:  # whatever the file does; a syntax error says its line itself
            frames = traceback.extract_tb(error.__traceback__)
            places = [f":{frame.lineno}" for frame in frames if Path(frame.filename).stem == self.modules[key]]
            words = " ".join(str(error).split())
            raise InvalidClaim(
                f"{self.modules[key]}.py{places[-1] if places else ''}: {type(error).__name__}: {words}"
            ) from error
        if claim.id != key:
            raise InvalidClaim(f"{self.modules[key]}.py holds claim {claim.id}; expected {key}")
        return claim

    def verify(self, claim_id: str) -> ClaimReport:
        """Run every route of the claim called ``claim_id`` on its statement and on every control.

        Raises
        ------
        UnknownClaim : no such id; the message names the nearest.
        InvalidClaim : its file cannot be imported, or holds another claim.
        """
        return verify(self.find(claim_id))


CLAIMS = Registry("scbtheory.claims")
