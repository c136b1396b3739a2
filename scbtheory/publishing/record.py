"""What a chapter was run with, in its own file: parameters, profile and versions, for the page that is made of it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scbtheory import files
from scbtheory.publishing.source import BookError
from scbtheory.verification import profiles

__all__ = ["KEY", "read", "write"]

KEY = "scbtheory"  # of a notebook's metadata; a stored chapter has none
LIBRARIES = ("scbtheory", "numpy", "scipy", "sympy", "numba", "matplotlib")


def write(notebook: Path, *, parameters: Mapping[str, Any], profile: str | None = None) -> None:
    """Record in a notebook with which values of its parameters, which profile and which versions it was run."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    versions = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
    if parameters.get("backend") == "cupy":
        versions |= _device()
    content["metadata"][KEY] = {
        "parameters": dict(parameters), "profile": profile or profiles.name(), "versions": versions
    }  # fmt: skip
    files.write(notebook, json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def read(notebook: Path) -> dict[str, Any]:
    """Return a notebook's record; an empty one for a chapter as it is stored.

    Raises
    ------
    BookError : the file is no notebook.
    """
    try:
        return json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get(KEY, {})
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BookError(f"{notebook} cannot be read as a notebook: {error}") from error


def _device() -> dict[str, str]:
    """CuPy's version and the name of the device that it used."""
    import cupy

    return {"cupy": cupy.__version__, "GPU": cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()}
