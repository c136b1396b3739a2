"""The independence that makes agreement mean something, read off the source."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scbtheory"
NUMERIC = {"numpy", "scipy", "numba", "autograd", "array_api_compat", "cupy"}


def imports(path):
    """The modules that a file imports, by full name, names imported from a package included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(*folders):
    return [path for folder in folders for path in sorted((PACKAGE / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", files("derivations"), ids=lambda p: p.stem)
def test_derivations_import_nothing_numeric(path):
    for name in imports(path):
        assert name.split(".")[0] not in NUMERIC, f"{path.name} imports {name}"
        if name.startswith("scbtheory"):
            assert name == "scbtheory.derivations" or name.startswith("scbtheory.derivations."), (
                f"{path.name} imports {name}"
            )


@pytest.mark.parametrize(
    "path",
    [p for p in files(".") if p.relative_to(PACKAGE).parts[0] not in {"derivations", "claims", "plots", "publishing"}],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_the_numerics_import_no_derivation(path):
    for name in imports(path):
        assert not name.startswith("scbtheory.derivations"), f"{path.name} imports {name}"
        if path.parent.name != "scbtheory" or path.stem not in {"__init__", "cli"}:
            assert not name.startswith("scbtheory.claims"), f"{path.name} imports {name}"


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ("backend", {"task", "model", "population"}),
        ("task", {"model", "population"}),
        ("model", {"population"}),
    ],
)
def test_a_floor_never_looks_up(lower, upper):
    found = imports(PACKAGE / f"{lower}.py")
    assert not {f"scbtheory.{name}" for name in upper} & found
