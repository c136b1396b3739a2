"""Lay out the file of a new claim: everything that a claim needs, with what is still to be said marked."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from scbtheory.errors import InvalidArgument
from scbtheory.verification.registry import CLAIMS, FAMILIES, FILE, Registry

__all__ = ["lay_out"]

TEMPLATE = '''r"""{id}. {title}."""

from __future__ import annotations

from scbtheory.verification.claim import Claim, Control, Route


def statement(s):
    """The quantities that the claim states, from the names of a bundle ``s`` and arithmetic alone."""
    raise NotImplementedError("{id} states nothing yet")


# --- routes --------------------------------------------------------------------------------------


def derived(statement):
    """Residuals against SymPy's derivation (scbtheory/derivations/)."""
    raise NotImplementedError("{id} has no derivation yet")


def measured(statement):
    """Residuals against the package's numbers."""
    raise NotImplementedError("{id} has no numerical route yet")


# --- controls ------------------------------------------------------------------------------------


def first_mistake(s):
    raise NotImplementedError("{id} has no control yet")


def second_mistake(s):
    raise NotImplementedError("{id} has one control yet")


CLAIM = Claim(
    id="{id}",
    title={quoted},
    text=r"""
TODO: the statement, with its formula.

$$
TODO = 0
$$ (eq-{label})
""",
    assumptions="TODO",
    scope="TODO: for which sizes the derivation is a proof, and what is only measured.",
    nature="theorem",
    chapter="{chapter}",
    statement=statement,
    routes=(
        Route("symbolic", "TODO: proof for which N and T", derived),
        Route("numeric", "TODO: at which sizes", measured, 1e-10),
    ),
    controls=(
        Control("TODO: a mistake that a careful person could make", first_mistake),
        Control("TODO: another", second_mistake),
    ),
)
'''


def lay_out(name: str, *, title: str, chapter: str, registry: Registry = CLAIMS) -> Path:
    """Write the file of a new claim and return its path; what is missing in it fails until it is filled in.

    Parameters
    ----------
    name : ``<id>_<subject>``, such as ``"S8_cooling"``: the file's name without its ending.
    title : what the claim says, in words.
    chapter : the page that will state it.
    registry : whose package receives the file.

    Raises
    ------
    InvalidArgument : the name is no claim's, its family is unknown, its id is taken, or the title is no line of words.
    """
    match = FILE.fullmatch(name)
    if not match or name[0] not in FAMILIES:
        families = ", ".join(f"{letter} {about}" for letter, about in FAMILIES.items())
        raise InvalidArgument(
            f"a claim cannot be called {name!r}; expected <id>_<subject>, such as S8_cooling ({families})"
        )
    if match["id"] in registry.modules:
        raise InvalidArgument(f"claim {match['id']} exists: {registry.modules[match['id']]}.py; take the next number")
    if not title.strip() or '"' in title + chapter or not (title + chapter).isprintable():
        raise InvalidArgument(
            f"the title is {title!r} and the chapter {chapter!r}; expected words without quotes, on one line"
        )
    quoted = json.dumps(title, ensure_ascii=False)  # in double quotes, a backslash as two
    label = name.partition("_")[2].replace("_", "-")
    path = Path(importlib.import_module(registry.package).__path__[0]) / f"{name}.py"
    with path.open("x", encoding="utf-8") as file:
        file.write(TEMPLATE.format(id=match["id"], title=title, quoted=quoted, chapter=chapter, label=label))
    return path
